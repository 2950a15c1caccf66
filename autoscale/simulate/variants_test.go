package simulate

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// completions plays ten quiet checks, one per second, over a long queue, and returns the rows.
func completions(t *testing.T, size int, v Variants, change func(*Options)) []Row {
	t.Helper()
	var rows []Row
	o := everySecond(1, size)
	o.Rate, o.InitialSize, o.Variants = 10, size, v
	o.Timeline = func(r Row) { rows = append(rows, r) }
	if change != nil {
		change(&o)
	}
	arrivals := make([]int, 10)
	arrivals[0] = 100_000
	run(t, trace(t, arrivals...), script{size}, o)
	return rows[:10]
}

func TestRateChanges(t *testing.T) {
	rows := completions(t, 3, Variants{RateFactor: 0.5, RateFactorAt: 4}, nil)
	for second, r := range rows {
		want := 30
		if second >= 4 {
			want = 15
		}
		if r.Completed != want || r.BusySeconds != 3 {
			t.Errorf("second %d: %d completed in %v busy seconds, want %d in 3", second, r.Completed, r.BusySeconds, want)
		}
	}
}

func TestStuckWorker(t *testing.T) {
	rows := completions(t, 3, Variants{StuckAt: 4}, nil)
	for second, r := range rows {
		want := 30
		if second >= 4 {
			want = 20
		}
		if r.Completed != want || r.Ready != 3 || r.BusySeconds != float64(want)/10 {
			t.Errorf("second %d: %d completed by %d ready in %v busy seconds, want %d by 3", second, r.Completed, r.Ready, r.BusySeconds, want)
		}
	}
}

// TestDownstreamLimit: ten workers do no more than the limit lets through, and are all busy; two do not reach it.
func TestDownstreamLimit(t *testing.T) {
	for _, test := range []struct {
		size, completed int
		limit           float64
	}{{2, 20, 3.5}, {10, 35, 3.5}, {10, 100, 10}, {10, 30, 3}} {
		for second, r := range completions(t, test.size, Variants{DownstreamLimit: test.limit}, nil) {
			if r.Completed != test.completed || math.Abs(r.BusySeconds-float64(test.size)) > 1e-9 {
				t.Errorf("limit %v, second %d: %d completed in %v busy seconds, want %d in %d",
					test.limit, second, r.Completed, r.BusySeconds, test.completed, test.size)
			}
		}
	}
	// The limit is the downstream's: slower workers need to be more for it.
	rows := completions(t, 10, Variants{DownstreamLimit: 3, RateFactor: 0.5}, nil)
	if got := rows[5].Completed; got != 30 {
		t.Errorf("ten workers of half the rate: %d completed, want 30", got)
	}
}

func TestUnequalWorkersKeepTheirRates(t *testing.T) {
	v := Variants{RateSpread: 0.3, Seed: 1}
	c := newCrew(v, 10*million)
	all := c.capacity(0, 5)
	if all == 50*million || all < 35*million || all > 65*million {
		t.Errorf("five workers do %d millionths, want 7 to 13 records each, not all 10", all)
	}
	four := c.capacity(1, 4)
	c.follow(4)
	if again := c.capacity(2, 4); again != four || four >= all {
		t.Errorf("four of them: %d, then %d, want the same", four, again)
	}
	if replaced := c.capacity(3, 5); replaced == all {
		t.Error("a new fifth worker has the rate of the one that left")
	}
	rows := completions(t, 4, v, nil)
	again := completions(t, 4, v, nil)
	for i := range rows {
		if rows[i].Completed != again[i].Completed {
			t.Errorf("second %d: %d completed, %d in another run", i, rows[i].Completed, again[i].Completed)
		}
	}
}

func TestSlowStarts(t *testing.T) {
	rows := completions(t, 3, Variants{StartupFactor: 2.5}, func(o *Options) { o.InitialSize, o.Startup = 1, 2*time.Second })
	if rows[5].Ready != 1 || rows[6].Ready != 3 {
		t.Errorf("%d ready workers in second 5 and %d in second 6, want 1 and 3", rows[5].Ready, rows[6].Ready)
	}
}

func TestLostReadings(t *testing.T) {
	lost := LostReadings(5*time.Second, 20, 4)
	for second := 0; second < 300; second += 5 {
		if want := second%100 >= 80; lost(second) != want {
			t.Errorf("second %d: lost %v, want %v", second, lost(second), want)
		}
	}
}

func TestNoVariantIsTheModel(t *testing.T) {
	s, err := Synthetic("bursts", 3600, 2)
	if err != nil {
		t.Fatal(err)
	}
	o := Classes()[1].Options(s.Rate)
	plain := run(t, s.Trace, autoscale.DefaultOptions().Threshold(), o)
	// Goes through the workers one by one, but changes nothing: the moment never comes.
	o.Variants.RateFactor, o.Variants.RateFactorAt = 0.5, 1_000_000
	if got := run(t, s.Trace, autoscale.DefaultOptions().Threshold(), o); got != plain {
		t.Errorf("workers one by one:\n%+v, want\n%+v", got, plain)
	}
}

// TestBoundHoldsUnderVariants grants each run what it has late.
func TestBoundHoldsUnderVariants(t *testing.T) {
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 21))
		arrivals := make([]int, 600)
		for i := range arrivals {
			arrivals[i] = random.IntN(1 + 40*(1+i/150%2))
		}
		tr := trace(t, arrivals...)
		for _, variant := range NamedVariants() {
			o := variant.Apply(Options{
				Rate: 5, Startup: time.Duration(random.IntN(8)) * time.Second, MinSize: 1, MaxSize: 30,
				CheckInterval: time.Duration(1+random.IntN(5)) * time.Second, SLO: 40 * time.Second,
			}, len(arrivals))
			o.Variants.Seed = seed
			policy := autoscale.Threshold{ScaleUpThreshold: 20, ScaleDownThreshold: 2, ScaleUpCount: 4, ScaleDownCount: 1}
			r := run(t, tr, policy, o)
			b, err := BoundLate(tr, o, r.SLOViolations)
			if err != nil {
				t.Fatal(err)
			}
			if float64(r.Cost) < b.Cost {
				t.Errorf("seed %d, %s: a run costs %d with %v late, the bound is %v", seed, variant.Name, r.Cost, r.SLOViolations, b.Cost)
			}
		}
	}
	// Half the rate costs twice as much, and the bound knows.
	o := Options{Rate: 5, MaxSize: 30, CheckInterval: time.Second, SLO: time.Minute, Variants: Variants{RateFactor: 0.5}}
	if b := bound(t, trace(t, 0, 500, 0, 0), o); b.Ratio < 1.999 || b.Ratio > 2 {
		t.Errorf("half the rate: bound %+v, want twice the useful cost", b)
	}
}

func TestVariantsNameEveryProblem(t *testing.T) {
	_, err := Run(trace(t, 1), script{1}, Options{Rate: 1, MaxSize: 1, Variants: Variants{
		RateFactor: 9, RateFactorAt: -1, RateSpread: 1, StuckAt: -1, StartupFactor: -1, DownstreamLimit: -1,
	}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"RateFactor is 9", "RateFactorAt is -1", "RateSpread is 1", "StuckAt is -1", "StartupFactor is -1", "DownstreamLimit is -1"} {
		if !strings.Contains(err.Error(), "Variants."+part) {
			t.Errorf("error does not say %q:\n%v", part, err)
		}
	}
}
