package autoscale

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOptionsAreChangedWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		pass(time.Second)
		o := DefaultOptions()
		o.MinSize, o.MaxSize, o.CheckInterval, o.Cooldown, o.ScaleUpThreshold = 3, 20, time.Second, 0, 25
		if err := r.Change(o, "somebody wanted it"); err != nil {
			t.Fatal(err)
		}
		pass(time.Millisecond)
		ds := r.Decisions(1)
		if d := ds[0]; !strings.HasPrefix(d.Reason, "somebody wanted it; ") || d.NewSize <= 2 {
			t.Errorf("the next decision is %+v, want that it says why, and grows", d)
		}
		if got := r.Options(); got.MaxSize != 20 || r.Stats().MaxSize != 20 {
			t.Errorf("options %+v", got)
		}
		before := r.Stats().Checks
		pass(5 * time.Second)
		if n := r.Stats().Checks - before; n != 5 {
			t.Errorf("%d checks in 5 s, want one a second", n)
		}
		if d := r.Decisions(1)[0]; strings.Contains(d.Reason, "somebody") {
			t.Errorf("it is said again: %q", d.Reason)
		}

		o.MinSize, o.Cooldown = 30, -2
		err := r.Change(o, "a mistake")
		if err == nil || !strings.Contains(err.Error(), "MinSize") || !strings.Contains(err.Error(), "Cooldown") {
			t.Errorf("impossible options: %v, want all that is wrong", err)
		}
		pass(time.Second)
		if got := r.Options(); got.MinSize != 3 {
			t.Errorf("options that were refused are in use: %+v", got)
		}
	})
}

func TestAPauseOutlivesAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{})
		r.Pause()
		pass(time.Second)
		o := DefaultOptions()
		o.ScaleUpThreshold = 20
		if err := r.Change(o, "more eager"); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if s := r.Stats(); !s.Paused || r.pool.Size() != 2 {
			t.Errorf("paused %v at size %d, want a pause at 2", s.Paused, r.pool.Size())
		}
	})
}
