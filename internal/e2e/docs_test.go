package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// TestDocumentation runs what the documents show. Each block says in its first line what it is:
//
//	console  a session: lines that begin with "$ " are run by bash, and the first line of what is shown below them, numbers
//	         aside, has to be among what they print; of sluice simulate and tune every line, as it stands. A server stays until the next one; one that is shown with ^C ends there.
//	sh       commands without their output
//	go       a program, or declarations: they are compiled
//	python   a program: it is compiled
//	yaml, json  are parsed; yaml that is a configuration of Sluice is validated
//	text     anything else
//
// All blocks of a document share a folder. Comments before a block say more:
//
//	<!-- before: COMMAND -->  is run first
//	<!-- file: NAME -->       the block is written to a file; a Go program is built, to a command of that name without .go
//	<!-- not run: WHY -->
func TestDocumentation(t *testing.T) {
	t.Parallel()
	root := moduleRoot(t)
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "traces/*.md", "deploy/*.md", "docs/rivals/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	ran := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := blocksOf(t, name, string(text))
		if len(blocks) == 0 {
			continue
		}
		ran++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReader(t, root)
			for _, b := range blocks {
				r.read(b)
			}
		})
	}
	if ran < 10 {
		t.Errorf("%d documents with blocks were found, want all of them", ran)
	}
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// block is a fenced block of a document.
type block struct {
	where    string // document and line
	language string
	lines    []string
	before   []string
	file     string
	skip     string
}

var (
	fence     = regexp.MustCompile("^( *)```([a-z]*)$")
	directive = regexp.MustCompile(`^ *<!-- (before|file|not run): (.*) -->$`)
)

func blocksOf(t *testing.T, name, text string) (blocks []block) {
	t.Helper()
	var open *block
	var next block
	indent := ""
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open != nil && m != nil:
			blocks = append(blocks, *open)
			open, next = nil, block{}
		case open != nil:
			open.lines = append(open.lines, strings.TrimPrefix(line, indent))
		case m != nil:
			indent = m[1]
			next.where, next.language = fmt.Sprintf("%s:%d", name, i+1), m[2]
			open = &next
		default:
			switch d := directive.FindStringSubmatch(line); {
			case d == nil:
				next = block{}
			case d[1] == "before":
				next.before = append(next.before, d[2])
			case d[1] == "file":
				next.file = d[2]
			default:
				next.skip = d[2]
			}
		}
	}
	if open != nil {
		t.Errorf("%s: the block does not end", open.where)
	}
	return blocks
}

// reader follows one document.
type reader struct {
	t       *testing.T
	root    string
	dir     string
	env     []string
	ports   [2]string // in the place of 8000 and 8001
	servers [2]*exec.Cmd
	failed  bool
}

func newReader(t *testing.T, root string) *reader {
	t.Helper()
	r := &reader{t: t, root: root, dir: t.TempDir()}
	for i := range r.ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, r.ports[i], _ = net.SplitHostPort(l.Addr().String())
		defer l.Close()
	}
	// A journal that ends, and where there is none.
	journal := "#!/bin/sh\necho '{\"MESSAGE\":\"Started.\",\"PRIORITY\":\"6\",\"SYSLOG_IDENTIFIER\":\"systemd\"}'\n"
	script := fmt.Sprintf("#!/bin/sh\nexport %s=1\nexec %q \"$@\"\n", childVariable, plain(t))
	bin := filepath.Join(r.dir, ".bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(bin, "sluice"), filepath.Join(r.dir, "sluice")} {
		if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(bin, "journalctl"), []byte(journal), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"traces", "deploy"} {
		if err := os.Symlink(filepath.Join(root, dir), filepath.Join(r.dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SLUICE_") && !strings.HasPrefix(v, "PATH=") {
			r.env = append(r.env, v)
		}
	}
	r.env = append(r.env, "PATH="+bin+":"+os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC", "CURL_HOME="+r.dir)
	if err := os.WriteFile(filepath.Join(r.dir, ".curlrc"), []byte("silent\nshow-error\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for i := range r.servers {
			r.stop(i)
		}
	})
	return r
}

func (r *reader) read(b block) {
	if r.failed { // what follows would fail because of that
		return
	}
	problem := func(format string, args ...any) {
		r.failed = true
		r.t.Errorf("%s: %s", b.where, fmt.Sprintf(format, args...))
	}
	if b.skip != "" {
		return
	}
	for _, cmd := range b.before {
		if err := r.run(session{command: cmd}); err != nil {
			problem("before: %v", err)
		}
	}
	text := strings.Join(b.lines, "\n") + "\n"
	if b.file != "" {
		if err := os.WriteFile(filepath.Join(r.dir, b.file), []byte(text), 0o644); err != nil {
			problem("%v", err)
		}
	}
	switch b.language {
	case "console", "sh":
		sessions, err := sessionsOf(b.language, b.lines)
		if err != nil {
			problem("%v", err)
		}
		for _, s := range sessions {
			if err := r.run(s); err != nil {
				problem("%v", err)
				return
			}
		}
	case "go":
		if err := r.compile(b.file, text); err != nil {
			problem("%v", err)
		}
	case "python":
		cmd := exec.Command("python3", "-c", "import sys; compile(sys.stdin.read(), 'block', 'exec')")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			problem("%v: %s", err, out)
		}
	case "json":
		if d := json.NewDecoder(strings.NewReader(text)); !json.Valid([]byte(text)) {
			var v any
			problem("no JSON: %v", d.Decode(&v))
		}
	case "yaml":
		var v map[string]any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			problem("no YAML: %v", err)
		}
	case "text", "mermaid":
	default:
		problem("the block begins with %q, want console, sh, go, python, yaml, json or text behind the three ticks", b.language)
	}
}

// compile builds a Go program, or checks declarations.
func (r *reader) compile(file, text string) error {
	dir := r.t.TempDir()
	path := filepath.Join(dir, "main.go")
	args := []string{"vet", path}
	switch {
	case !strings.Contains(text, "package "):
		var imports strings.Builder
		for _, p := range []string{"context", "time", "errors", "net/http"} {
			if strings.Contains(text, filepath.Base(p)+".") {
				fmt.Fprintf(&imports, "import %q\n", p)
			}
		}
		text = "package block\n" + imports.String() + text
	case file != "":
		args = []string{"build", "-o", filepath.Join(r.dir, strings.TrimSuffix(file, ".go")), path}
	}
	if err := os.WriteFile(path, []byte(r.here(text)), 0o644); err != nil {
		return err
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = r.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// session is a command and what the document says it prints.
type session struct {
	command string
	shown   []string
}

// sessionsOf takes a block of commands apart. A command goes on in the next line while the shell says that it is not complete.
func sessionsOf(language string, lines []string) (all []session, err error) {
	for i := 0; i < len(lines); i++ {
		command, is := strings.CutPrefix(lines[i], "$ ")
		if !is && language != "sh" {
			if len(all) == 0 {
				return nil, errors.New("a console block begins with a line that begins with $")
			}
			all[len(all)-1].shown = append(all[len(all)-1].shown, lines[i])
			continue
		}
		for !complete(command) && i+1 < len(lines) {
			i++
			command += "\n" + lines[i]
		}
		all = append(all, session{command: command})
	}
	return all, nil
}

func complete(command string) bool {
	return !strings.HasSuffix(command, "\\") && exec.Command("bash", "-n", "-c", command).Run() == nil
}

var (
	address    = regexp.MustCompile(`[A-Za-z0-9.-]*:800([01])\b`)
	long       = regexp.MustCompile(`--duration [0-9]+(m|[0-9]s)`) // shortened
	server     = regexp.MustCompile(`^\s*(?:[A-Z_]+=\S+ )*(?:\./)?(?:sluice (run|distributor|analyze)\b|make (run)\b)`)
	repeatable = regexp.MustCompile(`^(\./)?sluice (simulate|tune) |^sed `) // prints the same each time, to the last digit
	changes    = regexp.MustCompile(` -d |--data|-X |\bemit\b|\bdrop\b|\bretry\b|>`)
)

// here puts the addresses of this test in the place of those of the documents.
func (r *reader) here(text string) string {
	return address.ReplaceAllStringFunc(text, func(a string) string { return "127.0.0.1:" + r.ports[a[len(a)-1]-'0'] })
}

// run runs a command. What only looks is repeated until it shows what the document says.
func (r *reader) run(s session) error {
	command := r.here(s.command)
	command = long.ReplaceAllString(command, "--duration 3s")
	fails := len(s.shown) > 0 && strings.HasPrefix(s.shown[0], "sluice: ")
	if m := server.FindStringSubmatch(command); m != nil && !fails {
		return r.start(command, m[1] == "analyze")
	}
	want := ""
	if len(s.shown) > 0 && s.shown[0] != "..." {
		want = shape(s.shown[0])
	}
	late := time.After(patience)
	for {
		out, err := r.shell(command, slices.ContainsFunc(s.shown, func(l string) bool { return strings.HasPrefix(l, "^C") }), want)
		found := strings.Contains(shape(out), want)
		if found && repeatable.MatchString(command) {
			for _, line := range s.shown {
				if line = strings.TrimRight(line, " "); line == "..." {
					break
				} else if !slices.Contains(strings.Split(out, "\n"), line) {
					return fmt.Errorf("%s\nprinted\n%s\nwant the line %q, as it stands", command, tail(out, 6000), line)
				}
			}
		}
		if found && ((err != nil) == fails || slices.ContainsFunc(s.shown, func(l string) bool { return strings.Contains(l, " problem") })) {
			return nil
		}
		why := fmt.Errorf("%s\nprinted\n%s\n%v; want a line like %q, and an error: %v", command, tail(out, 3000), err, want, fails)
		if changes.MatchString(command) {
			return why
		}
		select {
		case <-late:
			return why
		case <-time.After(200 * time.Millisecond):
		}
	}
}

var numbers = regexp.MustCompile(`[0-9a-f]{16,}|[0-9][0-9,.:TZ-]*[a-zµ]*( -> [0-9,]+)?`)

// shape is text without spaces, and without what differs from run to run: numbers, times, IDs.
func shape(text string) string {
	return strings.Join(strings.Fields(numbers.ReplaceAllString(text, "0")), "")
}

func (r *reader) bash(ctx context.Context, command string, port int) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", command)
	cmd.Dir = r.dir
	cmd.Env = append(slices.Clone(r.env), "SLUICE_LISTEN=127.0.0.1:"+r.ports[port])
	if !strings.Contains(command, "doctor") {
		cmd.Env = append(cmd.Env, "SLUICE_DISTRIBUTOR=http://127.0.0.1:"+r.ports[0])
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// shell runs a command to its end; with interrupt, until it has printed what is wanted.
func (r *reader) shell(command string, interrupt bool, want string) (string, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*patience)
	defer cancel()
	var out output
	cmd := r.bash(ctx, command, 0)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", err
	}
	if interrupt {
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for !strings.Contains(shape(out.String()), want) {
			select {
			case <-ended:
				return out.String(), errors.New("it ended by itself")
			case <-tick.C:
			}
		}
		syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		<-ended
		return out.String(), nil
	}
	err := cmd.Wait()
	return out.String(), err
}

// start starts a server in the place of the one before.
func (r *reader) start(command string, pool bool) error {
	i := 0
	if pool {
		i = 1
	}
	r.stop(i)
	command = strings.Replace(command, "make run", "./sluice run", 1)
	var log output
	cmd := r.bash(context.Background(), command+" --log-format json", i)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return err
	}
	r.servers[i] = cmd
	late := time.After(patience)
	for !strings.Contains(log.String(), `"msg":"ready"`) {
		select {
		case <-late:
			return fmt.Errorf("%s\nis not ready: %s", command, log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func (r *reader) stop(i int) {
	if cmd := r.servers[i]; cmd != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		late := time.AfterFunc(patience, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		cmd.Wait()
		late.Stop()
		r.servers[i] = nil
	}
}
