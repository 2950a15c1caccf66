package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluicehq/sluice/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sluice": func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs the scripts under testdata/script. Beside the usual commands they know
//
//	serve NAME ARGS...   start a server (run, distributor or analyze) on a free port; its URL is in $NAME, its address in ${NAME}_ADDRESS
//	shutdown NAME        ask it to stop, and want it to end cleanly; stop is a command of testscript that ends the script
//	post URL TYPE FILE   send a file as the body of a POST; status and answer go to stdout
//	get URL              the same for GET
//	until REGEXP ARGS... run a sluice command again and again until it prints what matches
//	occupy NAME          listen on a free port; its address is in $NAME
//	status N COMMAND...  run a command that must end with exit code N
//	once FILE REGEXP     want exactly one line of a file to match
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serve, "shutdown": shutdown, "post": post, "get": get, "until": until, "occupy": occupy, "status": status, "once": once,
		},
		Condition: func(name string) (bool, error) {
			if name != "disk" { // is the temporary folder on a disk?
				return false, fmt.Errorf("there is no condition %q", name)
			}
			var s syscall.Statfs_t
			err := syscall.Statfs(os.TempDir(), &s)
			return uint32(s.Type) != tmpfs, err
		},
		Setup: func(e *testscript.Env) error {
			e.Values[serversKey{}] = map[string]*server{}
			return nil
		},
	})
}

// tmpfs is what statfs(2) calls memory.
const tmpfs = 0x01021994

// patience is how long anything may take on a slow machine.
const patience = 60 * time.Second

type serversKey struct{}

// server is a process that a script has started.
type server struct {
	cmd    *exec.Cmd
	log    string // path of what it prints
	exited chan struct{}
}

// await looks until done says so, or the patience ends.
func await(done func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if done() {
			return true
		}
	}
	return false
}

func one(ts *testscript.TestScript, neg bool, args []string, least int, usage string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

var readyLine = regexp.MustCompile(`"msg":"ready".*"address":"([^"]+)"`)

func serve(ts *testscript.TestScript, neg bool, args []string) {
	one(ts, neg, args, 2, "serve NAME ARGS...")
	name, args := args[0], append([]string{args[1], "--listen", "127.0.0.1:0"}, args[2:]...) // a script may say otherwise
	s := &server{log: ts.MkAbs(name + ".log"), exited: make(chan struct{})}
	log, err := os.Create(s.log)
	ts.Check(err)
	path, err := exec.LookPath("sluice")
	ts.Check(err)
	s.cmd = exec.Command(path, args...)
	s.cmd.Dir, s.cmd.Stderr = ts.Getenv("WORK"), log
	s.cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("WORK"))
	ts.Check(s.cmd.Start())
	go func() {
		s.cmd.Wait()
		log.Close()
		close(s.exited)
	}()
	ts.Defer(func() {
		s.cmd.Process.Kill()
		<-s.exited
		if text, _ := os.ReadFile(s.log); strings.Contains(string(text), "DATA RACE") {
			ts.Fatalf("%s", text)
		}
	})
	ts.Value(serversKey{}).(map[string]*server)[name] = s
	ready := await(func() bool {
		text, err := os.ReadFile(s.log)
		ts.Check(err)
		if m := readyLine.FindSubmatch(text); m != nil {
			ts.Setenv(name, "http://"+string(m[1]))
			ts.Setenv(name+"_ADDRESS", string(m[1]))
			return true
		}
		select {
		case <-s.exited:
			ts.Fatalf("%s ended: %s", name, text)
		default:
		}
		return false
	})
	if !ready {
		ts.Fatalf("%s is not ready", name)
	}
}

func shutdown(ts *testscript.TestScript, neg bool, args []string) {
	one(ts, neg, args, 1, "shutdown NAME")
	s := ts.Value(serversKey{}).(map[string]*server)[args[0]]
	if s == nil {
		ts.Fatalf("no server %s", args[0])
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(patience):
		ts.Fatalf("%s does not stop", args[0])
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		ts.Fatalf("%s ended with %d", args[0], code)
	}
}

func post(ts *testscript.TestScript, neg bool, args []string) {
	one(ts, neg, args, 3, "post URL TYPE FILE")
	req, err := http.NewRequest("POST", args[0], strings.NewReader(ts.ReadFile(args[2])))
	ts.Check(err)
	req.Header.Set("Content-Type", args[1])
	fetch(ts, req)
}

func get(ts *testscript.TestScript, neg bool, args []string) {
	one(ts, neg, args, 1, "get URL")
	req, err := http.NewRequest("GET", args[0], nil)
	ts.Check(err)
	fetch(ts, req)
}

func fetch(ts *testscript.TestScript, req *http.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := http.DefaultClient.Do(req.WithContext(ctx))
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d\n%s\n", resp.StatusCode, body)
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	one(ts, neg, args, 2, "until REGEXP ARGS...")
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	var out []byte
	if !await(func() bool {
		cmd := exec.Command("sluice", args[1:]...)
		cmd.Dir = ts.Getenv("WORK")
		cmd.Env = append(os.Environ(), "SLUICE_DISTRIBUTOR="+ts.Getenv("SLUICE_DISTRIBUTOR"))
		out, _ = cmd.CombinedOutput()
		return want.Match(out)
	}) {
		ts.Fatalf("sluice %s never printed %s, but at last:\n%s", strings.Join(args[1:], " "), args[0], out)
	}
}

func occupy(ts *testscript.TestScript, neg bool, args []string) {
	one(ts, neg, args, 1, "occupy NAME")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	one(ts, neg, args, 2, "status N COMMAND...")
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if want := args[0]; strconv.Itoa(got) != want {
		ts.Fatalf("%s ended with %d, want %s", strings.Join(args[1:], " "), got, want)
	}
}

func once(ts *testscript.TestScript, neg bool, args []string) {
	one(ts, neg, args, 2, "once FILE REGEXP")
	want, err := regexp.Compile(args[1])
	ts.Check(err)
	n := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if want.MatchString(line) {
			n++
		}
	}
	if n != 1 {
		ts.Fatalf("%d lines match %s, want one:\n%s", n, args[1], ts.ReadFile(args[0]))
	}
}
