package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/cli"
	"github.com/sluicehq/sluice/internal/demo"
)

// beSluice makes the test binary act as sluice.
const beSluice = "DEMO_TEST_BE_SLUICE"

func TestMain(m *testing.M) {
	if os.Getenv(beSluice) != "" {
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// printed is where a demo prints. It calls seen, if there is one, with everything printed so far.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
	seen func(text string)
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	if p.seen != nil {
		p.seen(p.text.String())
	}
	return len(b), nil
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// stage prepares a demo: its folder must be gone in the end.
func stage(t *testing.T) (*printed, demo.Options) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	out := &printed{}
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("the temporary folder still holds %v (%v)", left, err)
		}
		if t.Failed() {
			t.Logf("the demo printed:\n%s", out)
		}
	})
	return out, demo.Options{Screen: demo.NewScreen(out, nil), Log: slog.New(slog.DiscardHandler), Version: "test"}
}

// mustAddUp checks the account of a demo that went to its end.
func mustAddUp(t *testing.T, a *demo.Account, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !a.OK || a.Failed() || a.Interrupted || a.Emitted == 0 || a.Emitted != a.Accepted || a.Accepted != a.Analyzed || a.Lost != 0 {
		t.Fatalf("the account is\n%s", a)
	}
}

func scaler(o autoscale.Options) autoscale.Options {
	o.CheckInterval, o.Cooldown = 0, -1
	return o
}

func TestAutoscaling(t *testing.T) {
	out, o := stage(t)
	so := scaler(autoscale.DefaultOptions())
	so.MaxSize = 4
	a, err := demo.Autoscaling(t.Context(), demo.AutoscalingOptions{Options: o, Duration: 6 * time.Second, Scaler: so})
	mustAddUp(t, a, err)
	p := a.Pool
	if p == nil || p.StartSize != 2 || p.PeakSize != 4 || p.EndSize != 2 || p.ScaleUps < 1 || p.ScaleDowns < 2 || p.PeakDepth < 50 {
		t.Errorf("the story of the pool is %+v, want a size of 2, 4 and 2 again", p)
	}
	if p != nil && len(p.Decisions) != p.ScaleUps+p.ScaleDowns {
		t.Errorf("%d decisions for %d scale ups and %d scale downs", len(p.Decisions), p.ScaleUps, p.ScaleDowns)
	}
	for _, want := range []string{"A pool of 2 analyzers", "10 emitters send", "maximum of 4", "The emitters stop", "2 → 4", "up by 2", "down by 1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it did not print %q", want)
		}
	}
	var fields map[string]any
	text, err := json.Marshal(a)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil || fields["emitted"] != float64(a.Emitted) || fields["ok"] != true {
		t.Errorf("as JSON it is %s (%v)", text, err)
	}
}

func TestAutoscalingInterrupted(t *testing.T) {
	out, o := stage(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out.seen = func(text string) {
		if strings.Contains(text, "maximum of 4") { // in the middle of the load
			interrupt()
		}
	}
	so := scaler(autoscale.DefaultOptions())
	so.MaxSize = 4
	a, err := demo.Autoscaling(ctx, demo.AutoscalingOptions{Options: o, Duration: 10 * time.Second, Scaler: so})
	if err != nil {
		t.Fatal(err)
	}
	if !a.Interrupted || a.Failed() || a.Lost != 0 || a.Emitted == 0 || a.Accepted != a.Analyzed+a.Unfinished || a.Pool.PeakSize != 4 {
		t.Errorf("the account is\n%s", a)
	}
}

func TestNoDistributorThere(t *testing.T) {
	_, o := stage(t)
	_, err := demo.Autoscaling(t.Context(), demo.AutoscalingOptions{
		Options: o, Distributor: "http://127.0.0.1:1", Scaler: scaler(autoscale.DefaultOptions()),
	})
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("error %v, want one with the address", err)
	}
}

func TestWeights(t *testing.T) {
	_, o := stage(t)
	a, err := demo.Weights(t.Context(), demo.WeightsOptions{Options: o, Duration: 4 * time.Second})
	mustAddUp(t, a, err)
	if len(a.Weights) != 4 {
		t.Fatalf("%d shares, want 4", len(a.Weights))
	}
	var records int64
	for i, want := range []float64{40, 30, 20, 10} {
		s := a.Weights[i]
		records += s.Records
		if s.Expected != want || math.Abs(s.Actual-want) > 8 {
			t.Errorf("%s took %.1f %%, expected %.1f %%, want about %.0f %%", s.Analyzer, s.Actual, s.Expected, want)
		}
	}
	if records < a.Analyzed {
		t.Errorf("the shares are of %d records, want %d", records, a.Analyzed)
	}
}

func TestWeightsInterrupted(t *testing.T) {
	out, o := stage(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out.seen = func(text string) {
		if strings.Contains(text, "shares") {
			interrupt()
		}
	}
	a, err := demo.Weights(ctx, demo.WeightsOptions{Options: o, Duration: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if !a.Interrupted || a.Failed() || a.Emitted == 0 || a.Accepted != a.Analyzed+a.Unfinished {
		t.Errorf("the account is\n%s", a)
	}
}

// processes makes commands, and knows afterwards whether they have ended.
type processes struct {
	mu  sync.Mutex
	all []*exec.Cmd
}

func (p *processes) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), beSluice+"=1", "SLUICE_HANDLER=nonsense") // settings must not reach it
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, cmd)
	return cmd
}

// mustBeGone checks that all have been waited for, and returns how many were killed.
func (p *processes) mustBeGone(t *testing.T) (killed int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cmd := range p.all {
		if cmd.ProcessState == nil {
			t.Errorf("process %d was not waited for", cmd.Process.Pid)
			continue
		}
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			killed++
		}
	}
	return killed
}

func TestFailure(t *testing.T) {
	out, o := stage(t)
	var p processes
	a, err := demo.Failure(t.Context(), demo.FailureOptions{
		Options: o, Command: p.command, Duration: 6 * time.Second, Processes: 2, KillEvery: time.Second, Lease: time.Second,
	})
	killed := p.mustBeGone(t)
	mustAddUp(t, a, err)
	f := a.Failure
	if f.Kills < 1 || f.Kills != killed || f.Processes < 2 {
		t.Errorf("the story is %+v, and %d processes were killed", f, killed)
	}
	if f.Held > 0 && f.Redelivered == 0 {
		t.Errorf("the killed held %d batches, and none was given to others", f.Held)
	}
	if got := strings.Count(out.String(), "killed analyzer process"); got != f.Kills {
		t.Errorf("%d kills are told, want %d", got, f.Kills)
	}
}

func TestFailureInterrupted(t *testing.T) {
	out, o := stage(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out.seen = func(text string) {
		if strings.Contains(text, "killed analyzer process") {
			interrupt()
		}
	}
	var p processes
	a, err := demo.Failure(ctx, demo.FailureOptions{
		Options: o, Command: p.command, Duration: time.Minute, Processes: 2, KillEvery: 500 * time.Millisecond,
	})
	p.mustBeGone(t)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Interrupted || a.Failed() || a.Failure.Kills == 0 || a.Accepted != a.Analyzed+a.Unfinished {
		t.Errorf("the account is\n%s", a)
	}
}

func TestFailureWithoutAnalyzers(t *testing.T) {
	_, o := stage(t)
	a, err := demo.Failure(t.Context(), demo.FailureOptions{
		Options: o, Duration: time.Minute, Processes: 2,
		Command: func(ctx context.Context, args ...string) *exec.Cmd {
			return exec.CommandContext(ctx, "sh", "-c", "echo no such thing >&2; exit 7")
		},
	})
	if a != nil || err == nil || !strings.Contains(err.Error(), "no such thing") || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("account %v, error %v, want only an error with the last words of the process", a, err)
	}
}
