package e2e

import (
	"slices"
	"testing"

	"github.com/sluicehq/sluice/internal/api"
)

func ids(st api.Stats, which func(state string) bool) []string {
	var list []string
	for _, r := range st.Pool.Analyzers {
		if which(r.State) {
			list = append(list, r.ID)
		}
	}
	slices.Sort(list)
	return list
}

func anyState(string) bool { return true }

func isDraining(state string) bool { return state == "draining" }

// busyTen starts a server whose ten analyzers all have a batch in hand that takes seconds, with many more waiting.
func busyTen(t *testing.T) (server, emitter *process) {
	t.Helper()
	server = serve(t, "run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "20ms", "--max-batch-records", "100",
		"--min-size", "1", "--max-size", "10", "--scale-up-threshold", "1000000", "--check-interval", "50ms")
	server.force(t, 10)
	emitter = emit(t, server, "--records", "3000", "--batch", "100", "--run-id", "drain")
	waitFor(t, "ten analyzers to be busy", func() bool { return server.stats(t).Pool.Busy == 10 })
	return server, emitter
}

func TestShrinkingABusyPoolLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	server, e := busyTen(t)
	server.force(t, 1)
	var st api.Stats
	waitFor(t, "the drain to begin", func() bool { st = server.stats(t); return st.Pool.Draining > 0 })
	if st.Pool.Size != 1 {
		t.Errorf("size %d while draining, want 1", st.Pool.Size)
	}
	// The loop goes on to check in the middle of the drain.
	checks := st.Autoscaler.Checks
	waitFor(t, "three checks during the drain", func() bool {
		st = server.stats(t)
		if st.Pool.Draining == 0 {
			t.Fatalf("the drain ended after %d checks, want it to last for more", st.Autoscaler.Checks-checks)
		}
		return st.Autoscaler.Checks >= checks+3
	})
	waitFor(t, "the drain to end", func() bool { st = server.stats(t); return st.Pool.Draining == 0 })
	if len(st.Pool.Analyzers) != 1 || st.Pool.HandedBack != 0 || st.Pool.Late != 0 {
		t.Errorf("after the drain: %d analyzers, %d batches handed back, %d late, want 1, 0 and 0", len(st.Pool.Analyzers), st.Pool.HandedBack, st.Pool.Late)
	}
	done := st.Pool.Records
	if done < 900 {
		t.Errorf("the totals hold %d records, want those of the nine that left as well", done)
	}
	server.force(t, 10) // so that the test ends soon
	if a := e.account(t); a.Twice != 0 || a.Acknowledged != 3000 {
		t.Errorf("want 3000 acknowledged and none twice:\n%s", a)
	}
	if st := server.settled(t); st.Pool.Records != 3000 || st.Completed != 3000 {
		t.Errorf("the pool counts %d records and the queue %d, want 3000", st.Pool.Records, st.Completed)
	}
	server.stop()
}

func TestLoadThatReturnsDuringADrainFindsTheSameAnalyzers(t *testing.T) {
	t.Parallel()
	server, e := busyTen(t)
	before := ids(server.stats(t), anyState)
	// Down and up at once: whoever drains when load returns is at work again before anybody new is started.
	server.force(t, 1)
	waitFor(t, "the drain to begin", func() bool { return server.stats(t).Pool.Draining > 0 })
	server.force(t, 10)
	var st api.Stats
	waitFor(t, "ten analyzers", func() bool { st = server.stats(t); return st.Pool.Size == 10 })
	if st.Pool.Draining != 0 {
		t.Errorf("%d analyzers still drain although ten are wanted", st.Pool.Draining)
	}
	after := ids(st, anyState)
	kept := 0
	for _, id := range after {
		if slices.Contains(before, id) {
			kept++
		}
	}
	// Each batch takes two seconds, so that hardly any of the nine can have left in between; on a very slow machine some may.
	t.Logf("%d of the same ten analyzers", kept)
	if kept < 5 {
		t.Errorf("the ten analyzers %v become %v, want the same at work", before, after)
	}
	waitFor(t, "the returned to be at work", func() bool {
		st := server.stats(t)
		return st.Pool.Busy == 10 || st.Depth == 0
	})
	if a := e.account(t); a.Twice != 0 {
		t.Errorf("want none twice:\n%s", a)
	}
	server.settled(t)
}

func TestThePolicyCallsDrainingAnalyzersBackBeforeItStartsNewOnes(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "15ms", "--max-batch-records", "100",
		"--min-size", "1", "--max-size", "10", "--scale-up-threshold", "1500", "--scale-down-threshold", "600", "--scale-up-count", "9",
		"--scale-down-count", "9", "--check-interval", "50ms", "--cooldown", "0")
	e := emit(t, server, "--records", "3000", "--batch", "100", "--run-id", "first")
	waitFor(t, "the pool to grow", func() bool { return server.stats(t).Pool.Size == 10 })
	waitFor(t, "the pool to shrink while it is busy", func() bool { return server.stats(t).Pool.Draining > 0 })
	again := emit(t, server, "--records", "2000", "--batch", "100", "--run-id", "second")
	known := ids(server.stats(t), anyState)
	waitFor(t, "the pool to grow again", func() bool {
		st := server.stats(t)
		for _, id := range ids(st, func(s string) bool { return !isDraining(s) }) {
			if left := ids(st, isDraining); !slices.Contains(known, id) && len(left) > 0 {
				t.Errorf("%s was started while %v still drained", id, left)
			}
		}
		return st.Pool.Size == 10
	})
	for _, e := range []*process{e, again} {
		if a := e.account(t); a.Twice != 0 {
			t.Errorf("want none twice:\n%s", a)
		}
	}
	server.settled(t)
}
