package rivals

import (
	"slices"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// The documentation's formula is ceil(current * metric / target). With the average as the metric, that is the sum over
// the target: an average of 200 at a target of 100 doubles the pool, one of 50 halves it.
func TestHPADocumentedRatios(t *testing.T) {
	tests := []struct {
		name        string
		depth, size int
		want        int
	}{
		{"twice the target doubles", 800, 4, 8},
		{"half the target halves", 200, 4, 2},
		{"a fraction is rounded up", 401, 2, 5},
		{"at the target nothing happens", 400, 4, 4},
		{"10 % above is tolerated", 440, 4, 4},
		{"a record more is not", 441, 4, 5},
		{"10 % below is tolerated", 1800, 20, 20},
		{"a record less is not", 1799, 20, 18},
		{"nothing waits: the smallest pool", 0, 4, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := must(NewHPA(HPAOptions{Target: 100, DownWindow: -1}))(t)
			if got := decided(t, h, seen(0, test.depth, test.size)); got != test.want {
				t.Errorf("depth %d with %d workers: %d, want %d", test.depth, test.size, got, test.want)
			}
		})
	}
}

func TestHPAGrowsByTheLargerOfItsTwoPolicies(t *testing.T) {
	h := must(NewHPA(HPAOptions{Target: 10}))(t)
	// From 1: four workers more; from 5: double is more than four more; and so on to the 100 that are wanted.
	got := follow(t, h, 1, 15, repeated(6, 1000)...)
	if want := []int{5, 10, 20, 40, 80, 100}; !slices.Equal(got, want) {
		t.Errorf("sizes %v, want %v", got, want)
	}
}

func TestHPAGrowthIsPerPeriod(t *testing.T) {
	// One minute's growth is spent at the first sync; the others of the same minute add nothing.
	h := must(NewHPA(HPAOptions{Target: 10, UpPeriod: time.Minute}))(t)
	got := follow(t, h, 10, 15, repeated(6, 10_000)...)
	if want := []int{20, 20, 20, 20, 40, 40}; !slices.Equal(got, want) {
		t.Errorf("sizes %v, want %v", got, want)
	}
}

func TestHPAShrinksPerPeriod(t *testing.T) {
	h := must(NewHPA(HPAOptions{Target: 10, DownWindow: -1, DownPercent: 10, DownPeriod: time.Minute}))(t)
	got := follow(t, h, 80, 15, repeated(9, 10)...)
	// The documentation's example: 10 % per minute of 80 leaves 72, of those 64 (rounded down), then 57.
	if want := []int{72, 72, 72, 72, 64, 64, 64, 64, 57}; !slices.Equal(got, want) {
		t.Errorf("sizes %v, want %v", got, want)
	}
}

func TestHPAStabilization(t *testing.T) {
	h := must(NewHPA(HPAOptions{Target: 10}))(t)
	// 8 are wanted at second 15 for the last time. Until that is 300 s ago, the pool keeps them.
	depths := append([]int{80, 80}, repeated(25, 20)...)
	got := follow(t, h, 8, 15, depths...)
	for i, size := range got {
		want := 8
		if 15*i >= 15+300 {
			want = 2
		}
		if size != want {
			t.Errorf("second %d: %d workers, want %d", 15*i, size, want)
		}
	}
}

func TestHPARememberedSizeAtStart(t *testing.T) {
	// A restarted controller has no history; the size that it finds stands for it.
	h := must(NewHPA(HPAOptions{Target: 10}))(t)
	if got := decided(t, h, seen(0, 10, 30)); got != 30 {
		t.Errorf("first sync: %d workers, want the 30 there are", got)
	}
}

func TestHPASyncsOnItsOwnGrid(t *testing.T) {
	h := must(NewHPA(HPAOptions{Target: 10}))(t)
	size := 1
	for second := range 40 {
		before := size
		size = decided(t, h, seen(second, 1000, size))
		if changed := size != before; changed != (second%15 == 0) {
			t.Errorf("second %d: %d -> %d, want changes at 0, 15 and 30 only", second, before, size)
		}
	}
	// A late check does not move the grid.
	if size = decided(t, h, seen(58, 1000, size)); size == 20 {
		t.Error("second 58: no change, want the sync of second 45")
	}
	if got := h.Decide(seen(60, 1000, size)); got.Size != 100 {
		t.Errorf("second 60: %+v, want a sync, though its growth was spent two seconds before", got)
	}
}

func TestHPAClampsTellTheStory(t *testing.T) {
	h := must(NewHPA(HPAOptions{Target: 10}))(t)
	p := h.Decide(seen(0, 1000, 3))
	if p.Size != 100 || len(p.Clamps) != 1 || p.Clamps[0] != (autoscale.Clamp{Name: ClampScaleUp, Before: 100, After: 7}) {
		t.Errorf("%+v, want 100 named and the growth limited to 7", p)
	}
}

func TestHPAScaleToZeroIsKEDAs(t *testing.T) {
	h := must(NewHPA(HPAOptions{Target: 10, DownWindow: -1}))(t)
	size, zeroAt := 1, -1
	for second := 0; second < 600 && zeroAt < 0; second += 15 {
		o := seen(second, 0, size)
		o.MinSize = 0
		if size = decided(t, h, o); size == 0 {
			zeroAt = second
		}
	}
	if zeroAt <= 300 || zeroAt > 345 {
		t.Errorf("empty at second %d, want after more than 300 idle ones, at the next poll", zeroAt)
	}
	wokenAt := -1
	for second := zeroAt + 15; second < zeroAt+100 && wokenAt < 0; second += 15 {
		o := seen(second, 500, 0)
		o.MinSize = 0
		if size = decided(t, h, o); size > 0 {
			wokenAt = second
		}
	}
	if size != 1 || wokenAt-zeroAt > 45 {
		t.Errorf("%d workers %d s later, want one within a poll", size, wokenAt-zeroAt)
	}
}

// TestKEDACollapsesOnDepthAlone is the known trouble with a depth as the only signal: at a constant load, enough workers
// empty the queue, an empty queue wants nobody, and after five minutes the pool is let go and the queue comes back.
func TestKEDACollapsesOnDepthAlone(t *testing.T) {
	const needed = 8
	sizes := constantLoad(t, HPAOptions{Target: 10}, needed)
	collapses, enough := 0, false
	for i, size := range sizes {
		switch {
		case size >= needed:
			enough = true
		case size <= needed/2 && enough && i > 0:
			collapses, enough = collapses+1, false
		}
	}
	if collapses < 3 {
		t.Errorf("%d collapses in two hours at constant load, want one every five to ten minutes", collapses)
	}
	// With the records in work counted and a target of less than one per worker there is a resting point.
	sizes = constantLoad(t, HPAOptions{Target: 0.8, CountInFlight: true}, needed)
	for second, size := range sizes {
		if second > 1800 && size < needed {
			t.Fatalf("second %d: %d workers, want %d or more for good once the work is counted", second, size, needed)
		}
	}
}

// constantLoad is the pool's size in each second of two hours in which exactly so many workers are needed.
func constantLoad(t *testing.T, o HPAOptions, needed int) []int {
	t.Helper()
	arrivals := make([]int, 7200)
	for i := range arrivals {
		arrivals[i] = 10 * needed
	}
	trace, err := simulate.NewTrace(arrivals...)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	_, err = simulate.Run(trace, must(NewHPA(o))(t), simulate.Options{
		Rate: 10, Startup: 5 * time.Second, MinSize: 1, MaxSize: 100, CheckInterval: time.Second, SLO: time.Minute,
		Timeline: func(r simulate.Row) { sizes = append(sizes, r.Size) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return sizes
}
