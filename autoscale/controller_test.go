package autoscale

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestDepthSequence is the sequence that the project promises, through the live loop: the depth changes whenever the
// cooldown has passed.
func TestDepthSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		depths := []int{5, 60, 85, 8, 3, 3, 3, 3}
		want := []int{2, 4, 6, 5, 4, 3, 2, 2}
		pool := &fakePool{size: 2}
		begin := time.Now()
		depth := DepthFunc(func(context.Context) (int, error) {
			return depths[min(int(time.Since(begin)/(30*time.Second)), len(depths)-1)], nil
		})
		c, err := New(pool, depth, Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		var got []int
		for range depths {
			pass(29 * time.Second) // the checks at 0, 10 and 20 s of this depth are over
			got = append(got, pool.Size())
			pass(time.Second)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("sizes %v, want %v", got, want)
		}
		s := c.Stats()
		if s.TotalScaleUps != 2 || s.TotalScaleDowns != 4 || s.CurrentSize != 2 {
			t.Errorf("stats %+v, want 2 ups, 4 downs, size 2", s)
		}
	})
}

func TestChecksAtOnceAndThenOnTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r := start(t, 2, Options{})
		pass(25 * time.Second)
		var got []time.Duration
		for _, d := range r.Decisions(0) {
			got = append(got, d.Time.Sub(begin))
		}
		want := []time.Duration{0, 10 * time.Second, 20 * time.Second}
		if !slices.Equal(got, want) {
			t.Errorf("checks at %v, want %v", got, want)
		}
	})
}

func TestLooksAsLongAsTheIntervalSkipNoCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := DefaultOptions()
		o.CheckInterval = time.Second
		r := start(t, 2, o)
		r.queue.set(func(q *fakeQueue) { q.polite = true })
		pass(time.Minute + time.Millisecond)
		if got := r.Stats().Checks; got != 61 {
			t.Errorf("%d checks in a minute, want 61", got)
		}
	})
}

func TestMissedChecksAreNotMadeUpFor(t *testing.T) {
	tests := []struct {
		name      string
		late, due time.Duration
	}{
		{"in time", 0, 0},
		{"a little late", 300 * time.Millisecond, 0},
		{"just missed one", 10 * time.Second, 10 * time.Second},
		{"an hour of sleep", time.Hour + 3*time.Second, time.Hour},
		{"early", -time.Second, 0},
	}
	for _, test := range tests {
		if got := latestDue(noon, noon.Add(test.late), 10*time.Second).Sub(noon); got != test.due {
			t.Errorf("%s: due %v after the start, want %v", test.name, got, test.due)
		}
	}
}

func TestSlowLooksDoNotStretchTheCooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, looks := &fakePool{size: 2}, 0
		slow := DepthFunc(func(context.Context) (int, error) {
			looks++ // each look takes another time, and the first is the slowest
			time.Sleep(max(0, 4-time.Duration(looks)) * time.Second)
			return 60, nil
		})
		c, err := New(pool, slow, Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		go c.Run(t.Context())
		pass(31 * time.Second)
		if got := pool.Size(); got != 6 {
			t.Errorf("size %d after 31s, want 6: two actions 30s apart", got)
		}
	})
}

func TestCooldownRunsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		r.queue.set(at(60))
		pass(10 * time.Second)
		r.expect(t, ActionUp, 4, "depth 60 >= 50: up by 2")
		if s := r.Stats(); !s.InCooldown || s.CooldownRemaining != 30*time.Second {
			t.Errorf("in cooldown %v, %v left, want 30s", s.InCooldown, s.CooldownRemaining)
		}
		pass(10 * time.Second)
		r.expect(t, ActionHold, 4, "cooldown: 20.0s left")
		if d := r.last(t); d.NamedSize != 6 || len(d.Clamps) != 1 || d.Clamps[0] != (Clamp{ClampCooldown, 6, 4}) {
			t.Errorf("%+v, want 6 named and taken back by the cooldown", d)
		}
		pass(20 * time.Second)
		r.expect(t, ActionUp, 6, "depth 60 >= 50: up by 2")
	})
}

func TestUnknownKeepsTheSize(t *testing.T) {
	tests := []struct {
		name    string
		breakIt func(q *fakeQueue)
		wait    time.Duration // until the reason is there, after the check is due
		want    string
	}{
		{"an error", func(q *fakeQueue) { q.err = errors.New("connection refused") }, 0, "depth unknown: connection refused"},
		{"several errors", func(q *fakeQueue) { q.err = errors.Join(errors.New("a"), errors.New("b")) }, 0, "depth unknown: a; b"},
		{"an error without words", func(q *fakeQueue) { q.err = errors.New("") }, 0, "depth unknown: error without a text (*errors.errorString)"},
		{"a panic", func(q *fakeQueue) { q.panics = true }, 0, "depth unknown: observer panicked: lost my glasses"},
		{"a negative depth", at(-3), 0, "depth unknown: the observer answered depth -3"},
		{"no answer in time", func(q *fakeQueue) { q.polite = true }, 5 * time.Second, "depth unknown: no answer within 5s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, 5, Options{})
				r.queue.set(at(0))
				r.queue.set(test.breakIt)
				pass(10*time.Second + test.wait)
				r.expect(t, ActionHold, 5, test.want)
				if d := r.last(t); d.DepthKnown {
					t.Errorf("depth %d is said to be known", d.Depth)
				}
				pass(time.Hour)
				if got := r.pool.Size(); got != 5 {
					t.Errorf("size %d after an hour without a depth, want 5", got)
				}
				if n := len(r.log.containing("depth unknown")); n != 1 {
					t.Errorf("%d log lines say that the depth is unknown, want 1: %q", n, r.log.all)
				}
				r.queue.set(func(q *fakeQueue) { q.err, q.panics, q.polite, q.depth = nil, false, false, 0 })
				pass(20 * time.Second)
				if n := len(r.log.containing("depth known again")); n != 1 {
					t.Errorf("%d log lines say that the depth is known again, want 1", n)
				}
				if got := r.pool.Size(); got != 4 {
					t.Errorf("size %d with an empty queue again, want 4", got)
				}
			})
		})
	}
}

func TestStuckObserverIsAskedOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 5, Options{})
		release := make(chan struct{})
		r.queue.set(func(q *fakeQueue) { q.block, q.depth = release, 0 })
		looks := r.queue.lookCount()
		pass(15 * time.Second)
		r.expect(t, ActionHold, 5, "depth unknown: no answer within 5s")
		pass(10 * time.Second)
		r.expect(t, ActionHold, 5, "depth unknown: no answer for 10s")
		pass(10 * time.Second)
		r.expect(t, ActionHold, 5, "depth unknown: no answer for 20s")
		if r.queue.lookCount() != looks+1 {
			t.Errorf("%d looks at a stuck source, want 1", r.queue.lookCount()-looks)
		}
		// The answer that comes at last is old: it must not decide.
		r.queue.set(func(q *fakeQueue) { q.block = nil; q.depth = 70 })
		close(release)
		pass(10 * time.Second)
		r.expect(t, ActionUp, 7, "depth 70 >= 50: up by 2")
		if r.queue.lookCount() != looks+2 {
			t.Errorf("%d looks, want a new one after the stuck one", r.queue.lookCount()-looks)
		}
	})
}

func TestPanickingPolicyHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 5, Options{Policy: policyFunc(func(Observation) Proposal { panic("division by hope") })})
		r.expect(t, ActionHold, 5, "policy panicked: division by hope")
	})
}

func TestResizeThatBlocksDoesNotBlockTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		release := make(chan struct{})
		r.pool.set(func(p *fakePool) { p.block = release })
		r.queue.set(at(60))
		pass(11 * time.Second)
		r.expect(t, ActionHold, 2, "resize to 4 still under way")
		checks := r.Stats().Checks
		pass(60 * time.Second)
		if got := r.Stats().Checks - checks; got != 6 {
			t.Errorf("%d checks in a minute, want 6", got)
		}
		r.expect(t, ActionHold, 2, "resize to 4 still under way")
		if s := r.Stats(); s.TotalScaleUps != 0 || s.InCooldown {
			t.Errorf("%+v, want no action yet", s)
		}
		r.pool.set(func(p *fakePool) { p.block = nil })
		close(release)
		synctest.Wait()
		rows := r.Decisions(0)
		i := slices.IndexFunc(rows, func(d Decision) bool { return d.Action == ActionUp })
		if i < 0 || rows[i].NewSize != 4 || rows[i].Reason != "depth 60 >= 50: up by 2 (the resize took 1m1s)" {
			t.Errorf("ledger %+v, want the late action in it", rows)
		}
		if s := r.Stats(); s.TotalScaleUps != 1 || !s.InCooldown {
			t.Errorf("%+v, want one action, and its cooldown", s)
		}
		if n := len(r.log.containing("pool resized")); n != 1 {
			t.Errorf("%d log lines for one action: %q", n, r.log.all)
		}
	})
}

func TestFailingResizeIsNoAction(t *testing.T) {
	tests := []struct {
		name    string
		breakIt func(p *fakePool)
		want    string
	}{
		{"an error", func(p *fakePool) { p.err = errors.New("quota exceeded") }, "resize to 4 failed: quota exceeded"},
		{"a panic", func(p *fakePool) { p.panics = true }, "resize to 4 failed: pool panicked: no more room"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, 2, Options{})
				r.pool.set(test.breakIt)
				r.queue.set(at(60))
				pass(30 * time.Second)
				r.expect(t, ActionHold, 2, test.want)
				if d := r.last(t); d.NamedSize != 4 || !hasClamp(d, ClampResize) {
					t.Errorf("%+v, want 4 named and the clamp %q", d, ClampResize)
				}
				if s := r.Stats(); s.TotalScaleUps != 0 || s.InCooldown {
					t.Errorf("%+v, want no action and no cooldown", s)
				}
				if n := len(r.log.containing("resize failed")); n != 1 {
					t.Errorf("%d log lines for one and the same failure, want 1", n)
				}
				r.pool.set(func(p *fakePool) { p.err, p.panics = nil, false })
				pass(10 * time.Second)
				r.expect(t, ActionUp, 4, "depth 60 >= 50: up by 2")
			})
		})
	}
}

func TestPoolOutsideItsBoundsIsBroughtInside(t *testing.T) {
	tests := []struct {
		name         string
		size, depth  int
		wantSize     int
		action, want string
		clamp        Clamp
	}{
		{"below", 0, 30, 2, ActionUp, "size 0 is below min size 2: up by 2", Clamp{ClampMinSize, 0, 2}},
		{"above", 13, 30, 10, ActionDown, "size 13 is above max size 10: down by 3", Clamp{ClampMaxSize, 13, 10}},
		{"above with a full queue", 13, 90, 10, ActionDown, "size 13 is above max size 10: down by 3", Clamp{ClampMaxSize, 15, 10}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, 5, Options{})
				r.queue.set(at(60))
				pass(10 * time.Second) // an action, so that there is a cooldown to ignore
				r.queue.set(at(test.depth))
				r.pool.set(func(p *fakePool) { p.size = test.size })
				pass(10 * time.Second)
				d := r.last(t)
				r.expect(t, test.action, test.wantSize, test.want)
				if clamp := d.Clamps[len(d.Clamps)-1]; clamp.Name != test.clamp.Name || clamp.After != test.clamp.After {
					t.Errorf("clamps %+v, want the last one to be %+v", d.Clamps, test.clamp)
				}
				if left := r.Stats().CooldownRemaining; left != 20*time.Second {
					t.Errorf("cooldown left %v, want 20s: that of the action before", left)
				}
			})
		})
	}
}

func TestWakesTogetherAreOneCheck(t *testing.T) {
	c, err := New(&fakePool{}, &fakeQueue{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		c.Wake()
	}
	if got := len(c.wake); got != 1 {
		t.Errorf("%d checks asked for, want 1", got)
	}
}

func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		r.queue.set(at(60))
		pass(time.Second)
		r.Wake()
		synctest.Wait()
		if got := r.pool.Size(); got != 4 {
			t.Errorf("size %d, want 4 without waiting for the interval", got)
		}
	})
}

func TestLedgerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := DefaultOptions()
		o.LedgerSize = 7
		r := start(t, 2, o)
		pass(time.Hour)
		rows := r.Decisions(0)
		if len(rows) != 7 {
			t.Fatalf("%d decisions, want 7", len(rows))
		}
		for i := 1; i < len(rows); i++ {
			if step := rows[i].Time.Sub(rows[i-1].Time); step != 10*time.Second {
				t.Errorf("row %d is %v after the one before, want 10s: the newest is last", i, step)
			}
		}
		if two := r.Decisions(2); len(two) != 2 || !two[1].Time.Equal(rows[6].Time) {
			t.Errorf("the newest two: %+v, want the end of %+v", two, rows)
		}
	})
}

func TestRunEndsWithEverythingItStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		release := make(chan struct{})
		r.queue.set(func(q *fakeQueue) { q.block = release })
		pass(12 * time.Second) // in the middle of a look that ignores its context
		begin := time.Now()
		r.stop()
		if took := time.Since(begin); took != stopGrace {
			t.Errorf("Run took %v to end, want %v", took, stopGrace)
		}
		if len(r.log.containing("without waiting for the observer")) != 1 {
			t.Errorf("log %q does not say who was left behind", r.log.all)
		}
		close(release) // the bubble ends only when the look has
	})
}

func TestStopLetsAResizeFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		release := make(chan struct{})
		r.pool.set(func(p *fakePool) { p.block = release })
		r.queue.set(at(60))
		pass(10*time.Second + 500*time.Millisecond)
		time.AfterFunc(200*time.Millisecond, func() { close(release) })
		r.stop()
		r.expect(t, ActionUp, 4, "depth 60 >= 50: up by 2")
	})
}

func TestSecondRunIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		if err := r.Run(t.Context()); err == nil {
			t.Error("a second Run was accepted")
		}
	})
}

func TestQuietChecksDoNotLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		pass(time.Hour)
		if len(r.log.all) != 0 {
			t.Errorf("an hour of nothing was worth %q", r.log.all)
		}
		r.queue.set(at(60))
		pass(10 * time.Second)
		want := []string{`msg="pool resized"`, "from=2", "to=4", "depth=60", `reason="depth 60 >= 50: up by 2"`}
		got := r.log.containing("pool resized")
		if len(got) != 1 {
			t.Fatalf("log %q, want one line for the action", r.log.all)
		}
		for _, part := range want {
			if !strings.Contains(got[0], part) {
				t.Errorf("log line %q lacks %q", got[0], part)
			}
		}
	})
}

// TestEverybodyTalksAtOnce is for the race detector.
func TestEverybodyTalksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 200 {
					switch (i + j) % 8 {
					case 0:
						r.Pause()
					case 1:
						r.Resume()
					case 2:
						if err := r.Force(j%12, time.Second); err != nil {
							t.Error(err)
						}
					case 3:
						r.Wake()
					case 4:
						r.queue.set(at(j))
					case 5:
						for _, d := range r.Decisions(5) {
							for k := range d.Clamps {
								d.Clamps[k].Name = "scribbled on" // copies are the caller's
							}
						}
					case 6:
						time.Sleep(time.Duration(j) * time.Millisecond)
					default:
						if s := r.Stats(); s.LastDecision != nil && hasClamp(*s.LastDecision, "scribbled on") {
							t.Error("the ledger can be written to from outside")
						}
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestNewNamesEverything(t *testing.T) {
	var none DepthFunc
	for name, observer := range map[string]Observer{"nil": nil, "nil function": none} {
		_, err := New(nil, observer, Options{MaxSize: -1, CheckInterval: 1})
		if err == nil {
			t.Fatalf("%s: accepted", name)
		}
		for _, part := range []string{"pool is nil", "observer is nil", "MaxSize is -1", "CheckInterval is 1ns"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error does not say %q:\n%v", name, part, err)
			}
		}
	}
}

func TestOptionsInUseAreComplete(t *testing.T) {
	c, err := New(&fakePool{}, &fakeQueue{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := c.Options()
	if o.MinSize != 2 || o.ObserveTimeout != 5*time.Second || o.LedgerSize != 8640 || o.Policy.Name() != "threshold" || o.Logger == nil {
		t.Errorf("%+v, want everything filled in", o)
	}
}
