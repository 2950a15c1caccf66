package slo

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// same compares a number that may be unknown.
func same(t *testing.T, what string, got *int64, want int64) {
	t.Helper()
	switch {
	case got == nil && want >= 0:
		t.Errorf("%s is unknown, want %d", what, want)
	case got != nil && *got != want:
		t.Errorf("%s is %d, want %d (-1: unknown)", what, *got, want)
	}
}

func TestLateIsLongerThanTheSLO(t *testing.T) {
	for _, c := range []struct {
		name string
		slo  time.Duration
		wait time.Duration
		late int64 // -1: unknown
	}{
		{"at once", 10 * time.Second, 0, 0},
		{"exactly the SLO", 10 * time.Second, 10 * time.Second, 0},
		{"a nanosecond longer", 10 * time.Second, 10*time.Second + 1, 500},
		{"an SLO between two buckets", 7 * time.Second, 7*time.Second + 1, 500},
		{"in time between two buckets", 7 * time.Second, 7 * time.Second, 0},
		{"the clock was set back", 10 * time.Second, -time.Hour, 0},
		{"half a year", 10 * time.Second, 180 * 24 * time.Hour, 500},
		{"no SLO is known", 0, time.Hour, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := New(0.999, noon)
			k.SetSLO(c.slo)
			k.Done(noon.Add(-c.wait), noon, 500)
			r := k.Report(noon)
			same(t, "late", r.Late, c.late)
			if r.Done != 500 || r.Histogram.Count != 500 || (r.SLO == nil) != (c.slo == 0) {
				t.Errorf("%+v, want 500 records done, and the SLO if it is known", r)
			}
			for _, w := range r.Windows {
				same(t, w.Name+" late", w.Late, c.late)
				if (w.LateShare == nil) != (c.late < 0) || w.LateShare != nil && *w.LateShare != float64(c.late)/500 {
					t.Errorf("%s: late share %v, want %d of 500", w.Name, w.LateShare, c.late)
				}
			}
		})
	}
}

// TestTheSLOInForceDecides: records are judged at their acknowledgement, and no others are judged again.
func TestTheSLOInForceDecides(t *testing.T) {
	k := New(0.99, noon)
	done := func(n int) { k.Done(noon.Add(-5*time.Second), noon, n) }
	done(1) // while it is unknown
	k.SetSLO(10 * time.Second)
	done(20)
	k.SetSLO(time.Second)
	done(300)
	k.SetSLO(0)
	done(4000)
	r := k.Report(noon)
	w := r.Windows[0]
	same(t, "late", r.Late, 300)
	same(t, "late in the last hour", w.Late, 300)
	if r.Done != 4321 || r.Judged != 320 || w.Done != 4321 || w.Judged != 320 || r.SLO != nil {
		t.Errorf("%+v, want 320 of 4321 judged, and no SLO", r)
	}
	if *w.LateShare != 300.0/320 || *w.BudgetUsed < 93.74 || *w.BudgetUsed > 93.76 {
		t.Errorf("late share %v and budget used %v, want 300/320 and a hundred times that", *w.LateShare, *w.BudgetUsed)
	}
}

// TestExactlyTheBudget: one record of as many as the target names is no miss, whatever the target.
func TestExactlyTheBudget(t *testing.T) {
	for target, all := range map[float64]int{0.5: 2, 0.9: 10, 0.95: 20, 0.99: 100, 0.999: 1000, 0.9999: 10_000, 0.99999: 100_000} {
		k := New(target, noon)
		k.SetSLO(time.Second)
		k.Done(noon.Add(-time.Minute), noon, 1)
		k.Done(noon, noon, all-1)
		if w := k.Report(noon).Windows[0]; *w.BudgetUsed > 1 || *w.BudgetUsed < 0.9999999 {
			t.Errorf("target %v: 1 late of %d uses %v of the budget, want 1", target, all, *w.BudgetUsed)
		}
	}
}

func TestNothingIsNotZero(t *testing.T) {
	k := New(0.999, noon)
	k.SetSLO(time.Second)
	k.Dead(noon, 7)
	r := k.Report(noon)
	same(t, "late", r.Late, 0)
	for _, w := range r.Windows {
		if w.Late != nil || w.LateShare != nil || w.BudgetUsed != nil || w.P50 != nil || w.P99 != nil || w.Dead != 7 || w.Done != 0 {
			t.Errorf("%+v, want no share and no wait of no records, and 7 dead", w)
		}
	}
	if len(r.Windows) != 3 || r.Dead != 7 {
		t.Errorf("%+v, want three windows and 7 dead", r)
	}
}

// TestWindowsEnd: a window has what it names and up to a slot more, and nothing older.
func TestWindowsEnd(t *testing.T) {
	for i, w := range windows {
		at := noon.Add(17 * time.Second)
		k := New(0.999, at)
		k.SetSLO(time.Second)
		k.Done(at.Add(-time.Minute), at, 3)
		for _, c := range []struct {
			age  time.Duration
			want int64
		}{{0, 3}, {w.length, 3}, {w.length + w.width - 18*time.Second, 3}, {w.length + w.width, 0}, {100 * w.length, 0}, {-w.width, 0}} {
			if got := k.Report(at.Add(c.age)).Windows[i]; got.Done != c.want {
				t.Errorf("%s: %d records after %v, want %d", w.name, got.Done, c.age, c.want)
			}
		}
		later := at.Add(w.length + w.width) // the slot is used again
		k.Done(later, later, 1)
		if got := k.Report(later).Windows[i]; got.Done != 1 || *got.Late != 0 || *got.P99 != 0 {
			t.Errorf("%s: %+v, want the new record alone", w.name, got)
		}
	}
}

// TestAgainstAnAccount compares with records that are kept one by one.
func TestAgainstAnAccount(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	k := New(0.999, noon)
	const limit = 3 * time.Second
	k.SetSLO(limit)
	type record struct {
		at   time.Time
		wait time.Duration
	}
	var all []record
	end := noon.Add(8 * 24 * time.Hour)
	for at := noon; at.Before(end); at = at.Add(time.Duration(r.IntN(600)) * time.Second) {
		wait, n := time.Duration(r.ExpFloat64()*float64(2*time.Second)), 1+r.IntN(500)
		k.Done(at.Add(-wait), at, n)
		all = append(all, slices.Repeat([]record{{at, wait}}, n)...)
	}
	report := k.Report(end)
	for i, w := range windows {
		from := end.Truncate(w.width).Add(-w.length)
		var late int64
		var waits []time.Duration
		for _, rec := range all {
			if !rec.at.Before(from) {
				waits = append(waits, rec.wait)
				if rec.wait > limit {
					late++
				}
			}
		}
		got := report.Windows[i]
		same(t, w.name+" late", got.Late, late)
		if got.Done != int64(len(waits)) || got.Judged != got.Done {
			t.Errorf("%s: %d records, want %d", w.name, got.Done, len(waits))
		}
		slices.Sort(waits)
		for percent, told := range map[int]float64{50: *got.P50, 99: *got.P99} {
			want := waits[(len(waits)*percent+99)/100-1].Seconds()
			if told < want || told > want*(1+1.0/perDouble)+0.001 {
				t.Errorf("%s: p%d is %v, want %v or a sixteenth more", w.name, percent, told, want)
			}
		}
	}
	for i, b := range Bounds {
		want := int64(0)
		for _, rec := range all {
			if rec.wait.Seconds() <= b {
				want++
			}
		}
		if got := report.Histogram.Buckets[i]; got != want {
			t.Errorf("%d records waited at most %v s, want %d", got, b, want)
		}
	}
}

func TestPlacesOfWaits(t *testing.T) {
	last := -1
	for ms := range 200_000 {
		i := place(time.Duration(ms) * time.Millisecond)
		if i < last || i > last+1 || longest(i) < ms || float64(longest(i)) > float64(ms)*(1+1.0/perDouble)+1 {
			t.Fatalf("a wait of %d ms is at place %d, told as %d ms", ms, i, longest(i))
		}
		last = i
	}
	if place(1) != 1 || place(time.Millisecond+1) != 2 {
		t.Error("waits are not rounded up to milliseconds")
	}
	if n := place(1000 * longWait); n >= 480 {
		t.Errorf("the longest wait is at place %d", n)
	}
}

// BenchmarkDone is what an acknowledgement of a batch costs, whatever its size.
func BenchmarkDone(b *testing.B) {
	k := New(0.999, noon)
	k.SetSLO(10 * time.Second)
	at := noon
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Millisecond)
		k.Done(at.Add(-3*time.Second), at, 500)
	}
}

// BenchmarkReport is what an answer to GET /v1/stats costs, a week into a busy installation.
func BenchmarkReport(b *testing.B) {
	k := New(0.999, noon)
	k.SetSLO(10 * time.Second)
	end := noon.Add(7 * 24 * time.Hour)
	for at := noon; at.Before(end); at = at.Add(20 * time.Second) {
		for wait := 10 * time.Millisecond; wait < time.Minute; wait += wait / 8 {
			k.Done(at.Add(-wait), at, 500)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		k.Report(end.Add(time.Duration(i) * time.Millisecond)) // a thousand a second
	}
}

// TestTheTargetIsShownAsItWasSet: 99.9 percent as a share is 0.999, not 0.9990000000000001.
func TestTheTargetIsShownAsItWasSet(t *testing.T) {
	for percent, want := range map[float64]Report{99.9: {Target: 0.999, Budget: 0.001}, 99.99: {Target: 0.9999, Budget: 0.0001}, 95: {Target: 0.95, Budget: 0.05}} {
		if r := New(percent/100, time.Time{}).Report(time.Time{}); r.Target != want.Target || r.Budget != want.Budget {
			t.Errorf("%v %%: target %v and budget %v, want %v and %v", percent, r.Target, r.Budget, want.Target, want.Budget)
		}
	}
}
