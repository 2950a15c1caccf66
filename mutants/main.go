// Mutants checks that tests notice when a promise is broken. Each mutant in the lists beside this file breaks one line; the program
// applies one at a time and wants the named tests to fail. A mutant that survives is a promise without a test, and fails the run.
//
// The source tree is never touched: the compiler reads the broken file through its -overlay flag, from a temporary folder. Commands
// that tests build get it as well.
//
// A list is a text file of blocks, with an empty line between two. The first line of a block says what is broken:
//
//	# an answer before the sync
//	file queue/disk/log.go
//	old  err = f.Sync()
//	new  err = nil
//	test ./queue/disk -run TestPowerCut
//
// The text after old must be in the file exactly once; no new line deletes it. The words after test go to "go test".
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// mutant is one breakage.
type mutant struct {
	where string // list and line
	what  string
	file  string
	old   string
	new   string
	test  []string // arguments of go test
}

// limit is how long the tests of one mutant may take. One that makes them hang is noticed by this.
const limit = 4 * time.Minute

func main() {
	only := flag.String("only", "", "run the mutants whose description, file or test matches this regular expression")
	sample := flag.Int("sample", 0, "run this many, drawn at random; 0 runs all")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the draw")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only, *sample, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, sample int, seed uint64) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	all, err := readLists("mutants")
	if err != nil {
		return err
	}
	if err := fit(all); err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(all), func(m mutant) bool {
		return !pattern.MatchString(strings.Join([]string{m.what, m.file, strings.Join(m.test, " ")}, "\n"))
	})
	if sample > 0 {
		fmt.Printf("%d of %d mutants, -seed %d\n", min(sample, len(chosen)), len(chosen), seed)
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		chosen = chosen[:min(sample, len(chosen))]
	}
	if len(chosen) == 0 {
		return errors.New("no mutant was chosen")
	}
	healthy := map[string]bool{} // tests that pass without a mutant
	failed := 0
	for i, m := range chosen {
		begun := time.Now()
		verdict, output := try(ctx, m, healthy)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		fmt.Printf("%3d/%d %-8s %4.0fs  %s (%s)\n", i+1, len(chosen), verdict, time.Since(begun).Seconds(), m.what, m.file)
		if verdict != died {
			failed++
			fmt.Printf("%s: go test %s\n%s\n", m.where, strings.Join(m.test, " "), output)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d did not die as they should", failed, len(chosen))
	}
	fmt.Printf("all %d died\n", len(chosen))
	return nil
}

// What became of a mutant. Only died is right.
const (
	died     = "died"
	survived = "SURVIVED"
	sick     = "SICK"   // the tests fail without it as well
	broken   = "BROKEN" // does not compile, or no test ran
)

// try applies a mutant and runs its tests.
func try(ctx context.Context, m mutant, healthy map[string]bool) (verdict, output string) {
	tests := strings.Join(m.test, " ")
	if !healthy[tests] {
		out, err := goTest(ctx, m.test, "")
		if err != nil {
			return sick, out
		}
		if !ran(out) {
			return broken, "no test ran:\n" + out
		}
		healthy[tests] = true
	}
	dir, err := os.MkdirTemp("", "sluice-mutant-")
	if err != nil {
		return broken, err.Error()
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(dir)
	if err != nil {
		return broken, err.Error()
	}
	out, err := goTest(ctx, m.test, overlay)
	switch {
	case err == nil:
		return survived, out
	case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
		return broken, out
	}
	return died, out
}

// ran says whether any test ran, by what go test prints.
func ran(output string) bool {
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "ok") && !strings.Contains(line, "[no tests to run]") {
			return true
		}
	}
	return false
}

// overlay writes the broken file and the list that the compiler reads, and returns the path of the list.
func (m mutant) overlay(dir string) (string, error) {
	text, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	source, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	changed := filepath.Join(dir, "mutant"+filepath.Ext(m.file))
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {source: changed}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

// goTest runs tests, with an overlay unless it is empty. Without one, results may come from the cache.
func goTest(ctx context.Context, args []string, overlay string) (output string, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	args = append([]string{"test", "-vet=off", "-failfast", "-timeout", (limit - 10*time.Second).String()}, args...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 10 * time.Second
	if overlay != "" {
		cmd.Env = append(os.Environ(), strings.TrimSpace("GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+overlay))
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// fit says which mutants no longer fit the source.
func fit(all []mutant) error {
	var problems []error
	seen := map[string]string{}
	for _, m := range all {
		text, err := os.ReadFile(m.file)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", m.where, err))
			continue
		}
		if n := strings.Count(string(text), m.old); n != 1 {
			problems = append(problems, fmt.Errorf("%s: %q is in %s %d times, want once", m.where, m.old, m.file, n))
		}
		key := m.file + "\n" + m.old + "\n" + m.new
		if other := seen[key]; other != "" {
			problems = append(problems, fmt.Errorf("%s: the same as %s", m.where, other))
		}
		seen[key] = m.where
	}
	return errors.Join(problems...)
}

// readLists reads all lists of a folder.
func readLists(dir string) (all []mutant, err error) {
	lists, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(lists) == 0 {
		return nil, fmt.Errorf("no lists in %s: run it from the top of the source", dir)
	}
	for _, path := range lists {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		mutants, err := parse(path, string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, mutants...)
	}
	return all, nil
}

// parse reads a list.
func parse(path, text string) (all []mutant, err error) {
	m := mutant{}
	end := func() error {
		if m.where == "" {
			return nil
		}
		if m.what == "" || m.file == "" || m.old == "" || len(m.test) == 0 || m.old == m.new {
			return fmt.Errorf("%s: want # and what is broken, then file, old, test and another new", m.where)
		}
		all = append(all, m)
		m = mutant{}
		return nil
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\n")
		if strings.TrimSpace(line) == "" {
			if err := end(); err != nil {
				return nil, err
			}
			continue
		}
		if m.where == "" {
			m.where = fmt.Sprintf("%s:%d", path, n)
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch word {
		case "#":
			m.what = rest
		case "file":
			m.file = rest
		case "old":
			m.old = rest
		case "new":
			m.new = rest
		case "test":
			m.test = strings.Fields(rest)
		default:
			return nil, fmt.Errorf("%s:%d: a line begins with #, file, old, new or test, not with %q", path, n, word)
		}
	}
	return all, end()
}
