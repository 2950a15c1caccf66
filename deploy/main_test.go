package deploy

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/cli"
)

// childVariable makes the test binary the sluice command.
const childVariable = "DEPLOY_CHILD_OF_SLUICE_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// sluice prepares a command of the binary under test, with none of the caller's settings.
func sluice(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SLUICE_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, childVariable+"=1")
	return cmd
}

// tool finds a program that somebody else wrote, or skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed; scripts/setup does that where there is a package", name)
	}
	return path
}

// runTool runs a program in a folder and wants it to be content.
func runTool(t *testing.T, dir, path string, args ...string) string {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// process is a program that runs beside the test, until its end.
type process struct {
	mu     sync.Mutex
	out    bytes.Buffer
	exited chan struct{}
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// begin starts a program. It is asked to stop at the end of the test, and killed if it doesn't.
func begin(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		<-p.exited
		kill.Stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", cmd.Args[0], p.said())
		}
	})
	return p
}

// await looks again and again until it is done, the process ended, or it took too long.
func await(t *testing.T, p *process, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-p.exited:
			t.Fatalf("%s: the process ended: %s", what, p.said())
		case <-late:
			t.Fatalf("%s: took longer than 30s", what)
		}
	}
}

// runSluice starts sluice run on a free port and returns its address.
func runSluice(t *testing.T, args ...string) string {
	t.Helper()
	all := append([]string{"run", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--log-format", "json"}, args...)
	p := begin(t, sluice(t, all...))
	var address string
	await(t, p, "sluice run", func() bool {
		for line := range strings.SplitSeq(p.said(), "\n") {
			var said struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "ready" {
				address = said.Address
			}
		}
		return address != ""
	})
	return address
}

// fetch gets a page, whatever its status.
func fetch(url string) (status int, body string, err error) {
	answer, err := http.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
