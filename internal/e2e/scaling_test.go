package e2e

import (
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/api"
)

// taught starts a server whose slo policy has seen how fast its analyzers are: 500 records a second each. It looks every ten
// seconds, so that whatever happens sooner was a wake.
func taught(t *testing.T, args ...string) *process {
	t.Helper()
	server := serve(t, append([]string{"run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "2ms",
		"--slo", "1s", "--max-batch-records", "100", "--min-size", "1", "--max-size", "20", "--check-interval", "3s"}, args...)...)
	for range 10 { // a few batches rather than one
		server.accept(t, lines(50, 100))
	}
	waitFor(t, "a check that has seen records done", func() bool {
		d := server.stats(t).Autoscaler.LastDecision
		return d != nil && d.Saw != nil && d.Saw.Completed > 0 && d.WakeAt > 0
	})
	return server
}

// Must show 6 of the autoscaler: a deadline in danger wakes it, and a new analyzer has its first lease soon after.
func TestADeadlineInDangerNeedNotWaitForTheInterval(t *testing.T) {
	t.Parallel()
	server := taught(t)
	waitFor(t, "the pool to be idle", func() bool { st := server.stats(t); return st.Pool.Busy == 0 && st.Depth+st.InFlight == 0 })
	before := server.stats(t)
	waitFor(t, "the middle between two checks", func() bool {
		return time.Since(before.Autoscaler.LastDecision.Time)%(3*time.Second) > time.Second
	})
	body := lines(5000, 100) // ten seconds of work for the one there is, to be done within one
	stored := time.Now()
	server.accept(t, body)
	var st api.Stats
	waitFor(t, "new analyzers at work", func() bool {
		st = server.stats(t)
		return st.Pool.Busy > before.Pool.Size
	})
	t.Logf("%d analyzers were at work %v after 5,000 records were sent, with a check every 3 s", st.Pool.Busy, time.Since(stored))
	rows := server.decisions(t).Decisions
	var up *autoscale.Decision
	for i := range rows {
		if rows[i].Action == autoscale.ActionUp && rows[i].Time.After(before.Autoscaler.LastDecision.Time) {
			up = &rows[i]
			break
		}
	}
	if up == nil {
		t.Fatal("no decision went up")
	}
	// Checks on the interval lie on a grid of 3 s from the first one on.
	off := up.Time.Sub(rows[0].Time) % (3 * time.Second)
	if off < 50*time.Millisecond || off > 2950*time.Millisecond {
		t.Errorf("the pool grew %v after a check was due on the interval, want it woken in between", off)
	}
	server.settled(t)
	server.stop()
}

// TestARestartNeitherShrinksThePoolNorForgets kills a server at work.
func TestARestartNeitherShrinksThePoolNorForgets(t *testing.T) {
	t.Parallel()
	server := taught(t, "--check-interval", "100ms")
	e := emit(t, server, "--rate", "4000", "--duration", "8s", "--batch", "100", "--run-id", "restart")
	size := 0
	waitFor(t, "a pool of at least five at rest", func() bool {
		st := server.stats(t)
		was := size
		size = st.Pool.Size
		return size >= 5 && size == was
	})
	pass(300 * time.Millisecond) // two checks, for the size to be kept
	size = server.stats(t).Pool.Size
	server.kill()
	server = server.again()
	st := server.stats(t)
	if st.Pool.Size < size-1 {
		t.Errorf("a pool of %d after the restart, want the %d it had", st.Pool.Size, size)
	}
	waitFor(t, "a decision", func() bool { return server.stats(t).Autoscaler.LastDecision != nil })
	first := server.decisions(t).Decisions[0]
	if first.Explanation == nil || first.Explanation.Estimates[1].Name != "rate_per_second" {
		t.Fatalf("the first decision explains %+v, want the rate second", first.Explanation)
	}
	if rate := first.Explanation.Estimates[1].Value; rate < 300 || rate > 550 {
		t.Errorf("the first decision believes in %.0f records/s, want about 500", rate)
	}
	e.account(t)
	server.settled(t)
	server.stop()
}

// TestDryRunOnlySpeaks lets the policy see a backlog and not act.
func TestDryRunOnlySpeaks(t *testing.T) {
	t.Parallel()
	server := taught(t, "--dry-run")
	for range 10 {
		server.accept(t, lines(500, 100))
	}
	var d *autoscale.Decision
	waitFor(t, "a decision to grow that was not carried out", func() bool {
		d = server.stats(t).Autoscaler.LastDecision
		return d.NamedSize > d.Size
	})
	if st := server.stats(t); d.Action != autoscale.ActionHold || st.Pool.Size != 1 || !st.Autoscaler.DryRun {
		t.Errorf("action %s, pool of %d, want a hold and 1: %s", d.Action, st.Pool.Size, d.Reason)
	}
	server.stop()
}
