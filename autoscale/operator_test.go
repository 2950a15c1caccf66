package autoscale

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		r.queue.set(at(60))
		r.Pause()
		synctest.Wait()
		r.expect(t, ActionHold, 2, "paused")
		if d := r.last(t); d.NamedSize != 4 || !d.DepthKnown || !slices.Contains(d.Clamps, Clamp{ClampPaused, 4, 2}) {
			t.Errorf("%+v, want the policy's wish in the ledger", d)
		}
		pass(time.Hour)
		if s := r.Stats(); s.CurrentSize != 2 || !s.Paused {
			t.Errorf("%+v, want 2 and paused", s)
		}
		r.Resume()
		synctest.Wait()
		r.expect(t, ActionUp, 4, "depth 60 >= 50: up by 2")
		if r.Stats().Paused {
			t.Error("still paused")
		}
	})
}

func TestForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		r.queue.set(at(60))
		pass(10 * time.Second)
		r.expect(t, ActionUp, 4, "depth 60 >= 50: up by 2")

		pass(5 * time.Second) // within the cooldown, and between two checks
		if err := r.Force(15, 10*time.Minute); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.expect(t, ActionUp, 15, "forced to 15 for another 10m0s")
		if s := r.Stats(); s.ForcedSize != 15 || s.ForcedUntil.IsZero() || s.TotalScaleUps != 2 || s.CooldownRemaining != 30*time.Second {
			t.Errorf("%+v, want it forced, counted and followed by a cooldown", s)
		}
		pass(30 * time.Second)
		r.expect(t, ActionHold, 15, "forced to 15 for another 9m35s")

		pass(10 * time.Minute) // it ends; the pool is outside its bounds now
		if got := r.pool.Size(); got != 10 {
			t.Errorf("size %d after the force, want the maximum 10", got)
		}
		if s := r.Stats(); !s.ForcedUntil.IsZero() {
			t.Errorf("%+v, want nothing forced", s)
		}
	})
}

func TestForceWorksWithoutADepth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		release := make(chan struct{})
		defer close(release)
		r.queue.set(func(q *fakeQueue) { q.block = release })
		if err := r.Force(1, time.Minute); err != nil {
			t.Fatal(err)
		}
		pass(200 * time.Millisecond)
		r.expect(t, ActionDown, 1, "forced to 1 for another 1m0s")
		if d := r.last(t); d.DepthKnown {
			t.Errorf("%+v, want an unknown depth", d)
		}
		if n := len(r.log.containing("depth unknown")); n != 0 {
			t.Errorf("%d log lines about a depth that was not waited for", n)
		}
		pass(time.Minute)
		if got := r.pool.Size(); got != 2 {
			t.Errorf("size %d, want the minimum 2 again, even without a depth", got)
		}
	})
}

func TestForceInterruptsASlowLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		r.queue.set(func(q *fakeQueue) { q.polite = true })
		pass(11 * time.Second) // one second into a look that will take five
		if err := r.Force(8, time.Minute); err != nil {
			t.Fatal(err)
		}
		pass(200 * time.Millisecond)
		if got := r.pool.Size(); got != 8 {
			t.Errorf("size %d, want 8", got)
		}
	})
}

func TestForceOutranksPauseAndResumeEndsBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		r.Pause()
		synctest.Wait()
		if err := r.Force(0, time.Minute); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.expect(t, ActionDown, 0, "forced to 0 for another 1m0s")
		pass(70 * time.Second)
		r.expect(t, ActionHold, 0, "paused")
		if err := r.Force(7, time.Minute); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.Resume()
		synctest.Wait()
		if s := r.Stats(); s.Paused || !s.ForcedUntil.IsZero() {
			t.Errorf("%+v, want neither pause nor force", s)
		}
		r.expect(t, ActionHold, 7, "cooldown: 30.0s left")
	})
}

func TestForceRefusesNonsense(t *testing.T) {
	c, err := New(&fakePool{}, &fakeQueue{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Force(-1, 0)
	if err == nil || !strings.Contains(err.Error(), "forced size is -1") || !strings.Contains(err.Error(), "is 0s") {
		t.Errorf("got %v, want both problems named", err)
	}
	if s := c.Stats(); !s.ForcedUntil.IsZero() {
		t.Errorf("%+v, want nothing forced", s)
	}
}
