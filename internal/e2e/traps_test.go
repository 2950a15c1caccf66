package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// TestABatchThatTakesLongerThanADrainEnds has a pool that may be empty, drains of a tenth of a second, and a batch that takes
// three seconds. Analyzers are told to leave by hand as soon as they hold it, and still it is done.
func TestABatchThatTakesLongerThanADrainEnds(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir(), "--policy", "threshold", "--min-size", "0", "--check-interval", "100ms", "--cooldown", "0",
		"--drain-timeout", "100ms", "--handler", "sleep", "--sleep-per-record", "300ms")
	server.accept(t, lines(10, 100)) // fewer than threshold starts an analyzer for
	waitFor(t, "the batch to be done", func() bool {
		st := server.stats(t)
		for _, row := range st.Pool.Analyzers {
			if row.InHand > 0 && row.State != "draining" {
				ask(t, "POST", server.url+"/v1/analyzers/"+row.ID+"/drain", "")
			}
		}
		return st.Completed == 10
	})
	waitFor(t, "the pool to be empty", func() bool { return server.stats(t).Pool.Size == 0 })
	st := server.stats(t)
	if st.HandBacks != 3 || st.Returning != 0 || st.Redelivers != 0 {
		t.Errorf("%d hand-backs, %d batches that keep returning, %d redelivered; want 3, 0, 0", st.HandBacks, st.Returning, st.Redelivers)
	}
	if log := server.stderr.String(); !strings.Contains(log, "batch handed back again and again") || !strings.Contains(log, "drain waits for a batch") {
		t.Errorf("the log says nothing of it:\n%s", tail(log, 2000))
	}
	server.stop()
}

// TestAStoppedProcessDoesNotScaleOnStaleNumbers stops a pool and its autoscaler for as long as it takes to be noticed.
func TestAStoppedProcessDoesNotScaleOnStaleNumbers(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir(), "--check-interval", "500ms", "--handler", "sleep", "--sleep-per-record", "1ms", "--slo", "5s")
	server.accept(t, lines(500, 100))
	server.settled(t)
	server.signal(syscall.SIGSTOP)
	pass(6 * time.Second)
	server.signal(syscall.SIGCONT)
	var stale []autoscale.Decision
	waitFor(t, "the check that only looks, and one after it", func() bool {
		stale = nil
		known := false
		for _, d := range server.decisions(t).Decisions {
			if strings.Contains(d.Reason, "stood still") {
				stale, known = append(stale, d), false
			}
			known = known || d.DepthKnown
		}
		return len(stale) > 0 && known
	})
	for _, d := range stale {
		if d.Action != autoscale.ActionHold || d.DepthKnown {
			t.Errorf("%+v, want it to hold", d)
		}
	}
	server.stop()
}
