package tune

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

var workers = simulate.Options{
	Rate: 2, Startup: 5 * time.Second, MinSize: 1, MaxSize: 30, CheckInterval: 10 * time.Second, SLO: 30 * time.Second,
}

// waves are hours of traffic that swells and ebbs, with a jump in the middle of each.
func waves(t *testing.T, hours int) *simulate.Trace {
	t.Helper()
	arrivals := make([]int, hours*3600)
	for i := range arrivals {
		arrivals[i] = int(8 + 6*math.Sin(2*math.Pi*float64(i)/3600))
		if i%3600 >= 1800 && i%3600 < 2100 {
			arrivals[i] += 20
		}
	}
	trace, err := simulate.NewTrace(arrivals...)
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

func TestPlayIsRun(t *testing.T) {
	trace := waves(t, 1)
	for _, p := range []autoscale.Policy{autoscale.DefaultOptions().Threshold(), autoscale.Threshold{ScaleUpThreshold: 1 << 40}} {
		want, err := simulate.Run(trace, p, workers)
		if err != nil {
			t.Fatal(err)
		}
		before, got, err := play(t.Context(), trace, p, workers, 1000)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("played it is\n%+v, error %v, want\n%+v", got, err, want)
		}
		if before.Seconds != 1000 || before.Cost >= got.Cost {
			t.Errorf("after 1000 s it had %d s and cost %d of %d", before.Seconds, before.Cost, got.Cost)
		}
	}
}

func TestSharesBecomeRecords(t *testing.T) {
	for _, c := range []struct {
		policy string
		shape  Shape
		want   rivals.Settings
	}{
		{"hpa", Shape{"target": "0.4", "sync": "1s"}, rivals.Settings{"target": "24", "sync": "1s"}},
		{"threshold", Shape{"scale_up_threshold": "0.51", "scale_down_threshold": "0.3", "cooldown": "0s"},
			rivals.Settings{"scale_up_threshold": "31", "scale_down_threshold": "9", "cooldown": "0s"}},
		{"threshold", Shape{"scale_up_threshold": "0", "scale_down_threshold": "1"},
			rivals.Settings{"scale_up_threshold": "1", "scale_down_threshold": "0"}},
		{"static", Shape{"size": "0.5"}, rivals.Settings{"size": "15"}},
		{"static", Shape{"size": "0.001"}, rivals.Settings{"size": "1"}},
	} {
		if got := c.shape.Settings(c.policy, workers); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %v is %v, want %v", c.policy, c.shape, got, c.want)
		}
	}
}

// Whatever is tried can be built: the whole grid, and what lies beside it.
func TestEveryShapeCanBeBuilt(t *testing.T) {
	for _, policy := range Policies() {
		shapes := Shapes(policy)
		for _, s := range Shapes(policy) {
			shapes = append(shapes, neighbours(policy, s, factors[0])...)
		}
		for _, s := range shapes {
			for _, near := range append(neighbours(policy, s, factors[len(factors)-1]), s) {
				if _, err := Build(policy, near.Settings(policy, workers)); err != nil {
					t.Fatalf("%s %v: %v", policy, near, err)
				}
			}
		}
	}
	if Shapes("slo") != nil {
		t.Error("slo has a grid, want none: it learns")
	}
	if _, err := Build("threshold", rivals.Settings{"cooldwn": "1s"}); err == nil {
		t.Error("a setting that threshold does not have was taken")
	}
}

func TestSearchBeatsTheDefaults(t *testing.T) {
	trace := waves(t, 6)
	for _, policy := range []string{"threshold", "hpa", "static"} {
		r, err := Search(t.Context(), trace, policy, Options{Simulate: workers})
		if err != nil {
			t.Fatal(err)
		}
		best := r.Recommended
		switch {
		case best == nil:
			t.Fatalf("%s: nothing recommended, %d settings tried", policy, len(r.Tried))
		case best.Found.Late > 0.001 || best.HeldOut.Late > 0.001:
			t.Errorf("%s: recommended %v is late for %v and %v", policy, best.Settings, best.Found.Late, best.HeldOut.Late)
		case best.Found.compare(r.Defaults.Found, 0.001) >= 0:
			t.Errorf("%s: recommended %v comes to %v, no better than the defaults with %v", policy, best.Settings, best.Found, r.Defaults.Found)
		}
		grid := len(Shapes(policy))
		if better := slices.MinFunc(r.Tried[:min(grid, len(r.Tried))], func(a, b Point) int { return a.Found.compare(b.Found, 0.001) }); best.Found.compare(better.Found, 0.001) > 0 {
			t.Errorf("%s: recommended %v is worse than %v of the grid", policy, best.Found, better.Found)
		}
		for i := 1; i < len(r.Curve); i++ {
			if a, b := r.Curve[i-1].Found, r.Curve[i].Found; a.Cost <= b.Cost || a.Late >= b.Late {
				t.Errorf("%s: the curve goes from %+v to %+v, want less cost for more late records", policy, a, b)
			}
		}
		// A point is what the policy really does.
		p, err := Replay(t.Context(), trace, func() (autoscale.Policy, error) { return Build(policy, best.Settings) }, Options{Simulate: workers})
		if err != nil || p.Found != best.Found || *p.HeldOut != *best.HeldOut {
			t.Errorf("%s: replayed it is %+v %+v, error %v, want %+v %+v", policy, p.Found, p.HeldOut, err, best.Found, best.HeldOut)
		}
	}
}

func TestSearchIsTheSameEveryTime(t *testing.T) {
	trace := waves(t, 2)
	var first Result
	for i, parallel := range []int{1, 5, 5} {
		r, err := Search(t.Context(), trace, "threshold", Options{Simulate: workers, Parallel: parallel, HeldOut: 0.25})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = r
		} else if !reflect.DeepEqual(r, first) {
			t.Errorf("with %d runs at once it found\n%+v, want\n%+v", parallel, r, first)
		}
	}
}

// The end of the trace is unlike its beginning: what was just enough there is not enough here.
func TestSettingsThatOnlyFitThePastArePassedOver(t *testing.T) {
	arrivals := make([]int, 9000)
	for i := range arrivals {
		arrivals[i] = 10
		if i >= 6000 && i%600 < 120 { // waves that were not there before
			arrivals[i] = 28
		}
	}
	trace, err := simulate.NewTrace(arrivals...)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Search(t.Context(), trace, "static", Options{Simulate: workers, HeldOut: 1.0 / 3})
	if err != nil {
		t.Fatal(err)
	}
	if r.Recommended != nil || r.Passed == 0 {
		t.Errorf("recommended is %+v with %d passed over, want nothing: no size of the curve is in time later", r.Recommended, r.Passed)
	}
}

func TestNothingIsRecommendedThatIsLate(t *testing.T) {
	o := workers
	o.MaxSize = 4 // half of what is needed
	r, err := Search(t.Context(), waves(t, 1), "threshold", Options{Simulate: o})
	if err != nil {
		t.Fatal(err)
	}
	if r.Recommended != nil || len(r.Curve) == 0 {
		t.Errorf("recommended is %+v on a curve of %d, want nothing on a curve", r.Recommended, len(r.Curve))
	}
}

func TestShortTracesAreNotCut(t *testing.T) {
	for _, c := range []struct {
		hours   int
		heldOut float64
		want    int
	}{
		{2, 0, 7200},
		{6, 0, 14400},
		{6, -1, 21600},
		{2, 0.5, 3600},
	} {
		got, err := Options{HeldOut: c.heldOut}.FoundOn(waves(t, c.hours))
		if got != c.want || err != nil {
			t.Errorf("%d h with %v held out: found on %d s, error %v, want %d s", c.hours, c.heldOut, got, err, c.want)
		}
	}
}

func TestInterruptedSearchKeepsTheBestSoFar(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Simulate: workers, Parallel: 1, Progress: func(done, _ int) {
		if done == 10 {
			cancel()
		}
	}}
	r, err := Search(ctx, waves(t, 6), "threshold", o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || len(r.Tried) != 10 || len(r.Curve) == 0 || r.Defaults != nil {
		t.Errorf("interrupted is %v with %d tried, a curve of %d and defaults %v", r.Interrupted, len(r.Tried), len(r.Curve), r.Defaults)
	}
	if _, err := Search(ctx, waves(t, 1), "threshold", Options{Simulate: workers}); !errors.Is(err, context.Canceled) {
		t.Errorf("a search that never began ended with %v, want %v", err, context.Canceled)
	}
}

func TestSearchNamesEveryMistake(t *testing.T) {
	_, err := Search(t.Context(), waves(t, 1), "threshold", Options{MaxLate: 1, HeldOut: 0.95})
	for _, want := range []string{"Rate is 0", "MaxLate is 1", "HeldOut is 0.95"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if _, err := Search(t.Context(), waves(t, 1), "slo", Options{Simulate: workers}); err == nil || !strings.Contains(err.Error(), "threshold, backlog") {
		t.Errorf("error %v, want the policies that can be tuned", err)
	}
	if _, err := Search(t.Context(), nil, "hpa", Options{Simulate: workers}); err == nil {
		t.Error("no trace was taken for one")
	}
}
