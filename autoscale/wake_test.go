package autoscale

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// waker is a policy that names the depth as the size and wants to be woken at a fixed number of records.
type waker struct{ at int }

func (waker) Name() string { return "waker" }

func (w waker) Decide(o Observation) Proposal {
	return Proposal{Size: max(1, o.Depth/100), WakeAt: w.at}
}

// peekQueue is a queue whose depth can be asked for at any time.
type peekQueue struct {
	depth   atomic.Int64
	counted atomic.Int64
	slow    atomic.Int64 // nanoseconds that a look takes, whatever the context says
	panics  atomic.Bool
}

func (q *peekQueue) Observe(context.Context) (Observation, error) {
	counted := int(q.counted.Swap(0))
	time.Sleep(time.Duration(q.slow.Load()))
	return Observation{Depth: int(q.depth.Load()), Arrived: counted, Completed: counted, BusySeconds: float64(counted)}, nil
}

func (q *peekQueue) Peek() int {
	if q.panics.Load() {
		panic("blind")
	}
	return int(q.depth.Load())
}

// watch runs a controller with a check every 10 s in a bubble.
func watch(t *testing.T, q Observer, o Options) (*Controller, *fakePool) {
	t.Helper()
	pool := &fakePool{size: 1}
	o.MinSize, o.MaxSize, o.CheckInterval, o.Logger = 1, 10, 10*time.Second, slog.New(slog.DiscardHandler)
	if o.Policy == nil {
		o.ScaleUpThreshold, o.ScaleUpCount, o.ScaleDownCount = 50, 1, 1
	}
	c, err := New(pool, q, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
	return c, pool
}

func TestDangerWakesTheController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &peekQueue{}
		c, pool := watch(t, q, Options{Policy: waker{at: 200}})
		pass(3 * time.Second)
		q.depth.Store(199)
		pass(3 * time.Second)
		if n := c.Stats().Checks; n != 1 {
			t.Fatalf("%d checks below the mark, want 1", n)
		}
		q.depth.Store(500)
		pass(2 * peekInterval)
		if n := pool.Size(); n != 5 {
			t.Errorf("size %d soon after the danger, want 5", n)
		}
	})
}

// TestWakingDoesNotFlood has a policy that asks to be woken for what is there already: it gets a few checks, not fifty a second.
func TestWakingDoesNotFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &peekQueue{}
		q.depth.Store(100)
		c, _ := watch(t, q, Options{Policy: waker{at: 1}})
		pass(100 * time.Second)
		if n := c.Stats().Checks; n < 11 || n > 11+11*10 {
			t.Errorf("%d checks in 100 s at an interval of 10 s", n)
		}
	})
}

func TestNobodyIsWokenWhilePausedOrWithoutAPeeker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &peekQueue{}
		c, _ := watch(t, q, Options{Policy: waker{at: 200}})
		c.Pause()
		synctest.Wait()
		checks := c.Stats().Checks
		q.depth.Store(500)
		pass(5 * time.Second)
		if n := c.Stats().Checks; n != checks {
			t.Errorf("%d checks while paused, want none", n-checks)
		}
		c.Resume()
		q.panics.Store(true)
		pass(5 * time.Second)
		if d := c.Decisions(1)[0]; d.NewSize != 5 {
			t.Errorf("size %d with an observer that panics when peeked, want 5", d.NewSize)
		}

		deaf := &fakeQueue{depth: 500}
		c, _ = watch(t, deaf, Options{Policy: waker{at: 200}})
		pass(5 * time.Second)
		if n := c.Stats().Checks; n != 1 {
			t.Errorf("%d checks with an observer that cannot be peeked, want 1", n)
		}
	})
}

func TestDryRunMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &peekQueue{}
		q.depth.Store(500)
		c, pool := watch(t, q, Options{Policy: waker{}, DryRun: true})
		pass(30 * time.Second)
		d := c.Decisions(1)[0]
		if pool.Size() != 1 || d.Action != ActionHold || d.NamedSize != 5 || d.NewSize != 1 {
			t.Errorf("size %d after %+v, want 1 and a hold that names 5", pool.Size(), d)
		}
		if !strings.HasPrefix(d.Reason, "dry run, else 1 -> 5: ") || !hasClamp(d, ClampDryRun) {
			t.Errorf("reason %q, clamps %v", d.Reason, d.Clamps)
		}
		if s := c.Stats(); !s.DryRun || s.TotalScaleUps != 0 {
			t.Errorf("stats %+v", s)
		}
		if err := c.Force(3, time.Minute); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if pool.Size() != 3 {
			t.Errorf("size %d, want the 3 that somebody forced", pool.Size())
		}
	})
}

// TestCountersOfLateLooksAreNotLost has a look that takes longer than it may: what it counted is part of the next reading.
func TestCountersOfLateLooksAreNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &peekQueue{}
		c, _ := watch(t, q, Options{Policy: waker{}})
		q.counted.Store(70)
		q.slow.Store(int64(12 * time.Second))
		pass(10 * time.Second) // the look begins
		q.slow.Store(0)
		pass(15 * time.Second) // it came too late, and the next is in time
		q.counted.Add(5)
		pass(10 * time.Second)
		total := 0
		for _, d := range c.Decisions(0) {
			if d.Saw != nil {
				total += d.Saw.Arrived
				if d.Saw.Completed != d.Saw.Arrived || d.Saw.BusySeconds != float64(d.Saw.Arrived) {
					t.Errorf("saw %+v", *d.Saw)
				}
			}
		}
		if total != 75 {
			t.Errorf("%d records were seen arriving, want 75", total)
		}
	})
}

func TestThresholdSaysWhatWouldChangeItsAnswer(t *testing.T) {
	policy := Options{}.Threshold()
	noon := time.Unix(43200, 0)
	o := Observation{Time: noon, Depth: 34, Size: 4, MinSize: 2, MaxSize: 10}
	for _, c := range []struct {
		change func(*Observation)
		want   string
	}{
		{func(*Observation) {}, "up at depth 50, 16 more than now; down at depth 10, 24 fewer than now"},
		{func(o *Observation) { o.Size = 10 }, "never more than max size 10; down at depth 10, 24 fewer than now"},
		{func(o *Observation) { o.Size, o.Depth = 2, 5 }, "up at depth 50, 45 more than now; never fewer than min size 2"},
		{func(o *Observation) { o.LastAction = noon.Add(-18 * time.Second) },
			"nothing changes for another 12.0s; up at depth 50, 16 more than now; down at depth 10, 24 fewer than now"},
		{func(o *Observation) { o.Unknown = "no answer" }, "decides again once the depth is known"},
	} {
		o := o
		c.change(&o)
		if got := explain(policy, o).Otherwise; got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
