package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/cli"
)

// childVariable makes the test binary the sluice command. It must not begin with SLUICE_, which is for settings.
const childVariable = "E2E_CHILD_OF_SLUICE_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	code := m.Run()
	if builtDir != "" {
		os.RemoveAll(builtDir)
	}
	os.Exit(code)
}

// patience is how long anything may take on a slow machine before it counts as stuck.
const patience = 3 * time.Minute

// variable reads one of the variables that doc.go describes.
func variable(name string) string {
	if v := os.Getenv("E2E_" + name); v != "" {
		return v
	}
	return os.Getenv("SLUICE_E2E_" + name)
}

func numberOf(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := variable(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("E2E_%s is %q, want a number", name, text)
	}
	return n
}

// dice returns random numbers whose seed is in the log.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(numberOf(t, "SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("E2E_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// self is the test binary acting as sluice.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var builtDir string // holds the command that plain built, until the end

var builtOnce = sync.OnceValues(func() (path string, err error) {
	if builtDir, err = os.MkdirTemp("", "sluice-e2e-"); err != nil {
		return "", err
	}
	path = filepath.Join(builtDir, "sluice")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/sluicehq/sluice/cmd/sluice").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

// plain is sluice without the race detector, which takes several times the memory and the time to start.
func plain(t *testing.T) string {
	t.Helper()
	if !raceDetector {
		return self(t)
	}
	path, err := builtOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// command prepares a sluice command that no setting of the caller's environment reaches.
func command(binary string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SLUICE_") && !strings.HasPrefix(v, "E2E_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, childVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// output collects what a process prints. It may be read while it grows.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is a sluice command that runs beside the test.
type process struct {
	t      *testing.T
	args   []string
	cmd    *exec.Cmd
	stdout output
	stderr output
	exited chan struct{}
	url    string // of a server
}

// begin starts a command and returns at once. The process is killed at the end of the test if it still runs.
func begin(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	p := &process{t: t, args: args, cmd: command(binary, args...), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start sluice %s: %v", args, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGCONT)
		p.signal(syscall.SIGKILL)
		<-p.exited
		p.check()
	})
	return p
}

// check looks for what no process may ever print.
func (p *process) check() {
	p.t.Helper()
	log := p.stderr.String()
	for _, bad := range []string{"DATA RACE", "panic: ", "fatal error: "} {
		if at := strings.Index(log, bad); at >= 0 {
			p.t.Errorf("sluice %s printed:\n%s", p.args[0], log[at:min(len(log), at+6000)])
		}
	}
	if p.t.Failed() {
		p.t.Logf("the last words of sluice %s:\n%s", strings.Join(p.args, " "), tail(log, 3000))
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// serve starts a server and waits until it is ready. Unless args say otherwise it takes any free port.
func serve(t *testing.T, args ...string) *process {
	t.Helper()
	return serveBinary(t, self(t), args...)
}

func serveBinary(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	p := begin(t, binary, withListen(args)...)
	if err := p.awaitReady(); err != nil {
		t.Fatal(err)
	}
	return p
}

func withListen(args []string) []string {
	if slices.Contains(args, "--listen") {
		return args
	}
	return append(slices.Clone(args), "--listen", "127.0.0.1:0")
}

func withoutListen(args []string) []string {
	if i := slices.Index(args, "--listen"); i >= 0 {
		return slices.Delete(slices.Clone(args), i, i+2)
	}
	return slices.Clone(args)
}

// awaitReady reads the address from the log line that says so.
func (p *process) awaitReady() error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for ended := false; ; {
		for line := range strings.SplitSeq(p.stderr.String(), "\n") {
			var said struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "ready" {
				p.url = "http://" + said.Address
				return nil
			}
		}
		if ended {
			return fmt.Errorf("sluice %s ended before it was ready: %s", p.args[0], tail(p.stderr.String(), 2000))
		}
		select {
		case <-tick.C:
		case <-p.exited:
			ended = true // it may have been ready for a moment
		case <-late.C:
			return fmt.Errorf("sluice %s is not ready after %v: %s", p.args[0], patience, tail(p.stderr.String(), 2000))
		}
	}
}

// again starts a server that has ended with the same arguments on the same port.
func (p *process) again() *process {
	p.t.Helper()
	args := append(withoutListen(p.args), "--listen", strings.TrimPrefix(p.url, "http://"))
	var next *process
	// Another program may hold the port for a moment.
	waitFor(p.t, "the server to start again", func() bool {
		next = begin(p.t, p.cmd.Path, args...)
		err := next.awaitReady()
		if err != nil && !strings.Contains(err.Error(), "in use") {
			p.t.Fatal(err)
		}
		return err == nil
	})
	return next
}

func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.exited:
	default:
		p.cmd.Process.Signal(s)
	}
}

// kill ends the process without a warning.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// wait returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	return p.waitUntil(patience)
}

func (p *process) waitUntil(most time.Duration) int {
	p.t.Helper()
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-late.C:
		p.t.Fatalf("sluice %s did not end within %v: %s", strings.Join(p.args, " "), most, tail(p.stderr.String(), 3000))
		return -1
	}
}

// stop asks the process to end and wants it to do so cleanly.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("sluice %s ended with %d after SIGTERM, want 0: %s", p.args[0], code, tail(p.stderr.String(), 2000))
	}
}

// call runs a command to its end.
func call(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := command(plain(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("sluice %s did not end within %v", strings.Join(args, " "), patience)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := call(t, args...)
	if code != 0 {
		t.Fatalf("sluice %s ended with %d: %s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// waitFor looks until a condition holds.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	waitLong(t, what, patience, condition)
}

// waitLong is the one place where a test waits for time to pass.
func waitLong(t *testing.T, what string, most time.Duration, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(most); ; <-tick.C {
		if condition() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain for %s", most, what)
		}
	}
}

// pass lets a random or given stretch of an emitter's run go by; nothing is asserted about how long it took.
func pass(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	<-t.C
}
