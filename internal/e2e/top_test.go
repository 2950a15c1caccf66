package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// terminal is a tmux session with a server of its own.
type terminal struct {
	t      *testing.T
	socket string
}

func openTerminal(t *testing.T, columns, rows int, command string) terminal {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed; scripts/setup does that")
	}
	// A socket's path must be short.
	dir, err := os.MkdirTemp("", "top")
	if err != nil {
		t.Fatal(err)
	}
	term := terminal{t, filepath.Join(dir, "s")}
	t.Cleanup(func() {
		exec.Command("tmux", "-S", term.socket, "kill-server").Run()
		os.RemoveAll(dir)
	})
	term.run("-f", "/dev/null", "new-session", "-d", "-x", strconv.Itoa(columns), "-y", strconv.Itoa(rows), "sh")
	term.run("set-option", "-g", "window-size", "manual")
	term.keys("PS1='at rest> '; clear", "Enter")
	term.until(`(?m)^at rest>`)
	term.keys(command, "Enter")
	return term
}

func (term terminal) run(args ...string) string {
	term.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", term.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", childVariable+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		term.t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

func (term terminal) keys(keys ...string) { term.run(append([]string{"send-keys"}, keys...)...) }

func (term terminal) screen() string { return term.run("capture-pane", "-p") }

// until waits for the screen to match.
func (term terminal) until(want string) string {
	term.t.Helper()
	re := regexp.MustCompile(want)
	return term.when("it shows "+want, re.MatchString)
}

// when waits for the screen to be as it should.
func (term terminal) when(what string, good func(screen string) bool) string {
	term.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		screen := term.screen()
		if good(screen) {
			return screen
		}
		if time.Now().After(end) {
			term.t.Fatalf("waited for long until %s; the screen is\n%s", what, screen)
		}
	}
}

// number reads what stands behind a name on the screen.
func number(t *testing.T, screen, name string) int64 {
	t.Helper()
	m := regexp.MustCompile(`\b` + name + ` +([\d,]+)`).FindStringSubmatch(screen)
	if m == nil {
		t.Fatalf("there is no %q on\n%s", name, screen)
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(m[1], ",", ""), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTopInATerminal drives sluice top in small and large terminals, with a real sluice run that works off a backlog.
func TestTopInATerminal(t *testing.T) {
	t.Parallel()
	s := serve(t, "run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "3ms", "--slo", "60s", "--min-size", "3", "--max-size", "3")
	var body bytes.Buffer
	for i := range 40_000 {
		fmt.Fprintf(&body, "{\"body\":\"line %d\"}\n", i)
	}
	s.accept(t, body.String())
	top := fmt.Sprintf("%s top --distributor %s --interval 200ms", self(t), s.url)
	for _, size := range [][2]int{{80, 24}, {200, 60}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			term := openTerminal(t, size[0], size[1], top)
			term.until(`KEEPING UP`)
			// The depth falls all the time: what the screen shows lies between an earlier answer and a later one.
			before := s.stats(t)
			screen := term.when("it shows what is newer", func(screen string) bool { return number(t, screen, "waiting") <= before.Depth })
			after := s.stats(t)
			if n := number(t, screen, "waiting"); n < after.Depth {
				t.Errorf("waiting is %d on the screen, and was %d before and %d after it was looked at", n, before.Depth, after.Depth)
			}
			if n := number(t, screen, "lost"); n != 0 {
				t.Errorf("lost is %d", n)
			}
			if n := number(t, screen, "analyzers"); n != 3 {
				t.Errorf("analyzers is %d, want 3", n)
			}
			for _, r := range after.Pool.Analyzers {
				if !strings.Contains(screen, r.ID) {
					t.Errorf("the analyzer %s is missing", r.ID)
				}
			}
			lines := strings.Split(strings.TrimRight(screen, "\n"), "\n")
			if len(lines) != size[1] || !strings.Contains(lines[size[1]-1], "q quit") {
				t.Errorf("the screen has %d lines and ends with %q, want %d and the keys", len(lines), lines[len(lines)-1], size[1])
			}
			term.run("resize-window", "-x", "100", "-y", "30")
			term.until(`(?s)^ sluice top[^\n]*\n(?:[^\n]*\n){28}q quit`)
			term.keys("?")
			term.until(`scroll the analyzers`)
			term.keys("q")
			if left := term.until(`at rest> $|at rest>\s*$`); strings.Contains(left, "KEEPING UP") {
				t.Errorf("the screen is not restored:\n%s", left)
			}
		})
	}
}

// TestTopOutlivesTheDistributor: it says that nobody answers, goes on when somebody does, and Ctrl-C leaves.
func TestTopOutlivesTheDistributor(t *testing.T) {
	t.Parallel()
	s := serve(t, "run", "--data", t.TempDir())
	term := openTerminal(t, 80, 24, fmt.Sprintf("NO_COLOR=1 %s top --distributor %s --interval 100ms", self(t), s.url))
	term.until(`nothing to do`)
	s.stop()
	term.until(`AWAY  no answer for .*\n.*refused`)
	s.again()
	term.until(`IDLE`)
	if escapes := regexp.MustCompile(`\x1b\[[0-9;]*m`).FindAllString(term.run("capture-pane", "-ep"), -1); len(escapes) > 0 {
		t.Errorf("NO_COLOR is set, and there are %q", escapes)
	}
	term.keys("C-c")
	term.until(`at rest>\s*$`)
}
