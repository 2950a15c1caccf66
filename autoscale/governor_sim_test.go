//go:build !race

// Computation alone, which takes ten times as long with the race detector: make test runs it without.

package autoscale_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// governed wraps the policy, with checks as often as the class has them.
func governed(t testing.TB, inner autoscale.Policy, check time.Duration) *autoscale.Governor {
	t.Helper()
	g, err := autoscale.NewGovernor(inner, autoscale.GovernorOptions{CheckInterval: check})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func sloOf(t testing.TB, class simulate.Class) autoscale.Policy {
	t.Helper()
	p, err := autoscale.NewSLO(autoscale.SLOOptions{SLO: class.SLO, CheckInterval: class.CheckInterval})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// climb goes from 2 workers to 30, by so many every few seconds, or in one jump.
type climb struct{ by, every int }

func (c climb) Name() string { return "climb" }

func (c climb) Decide(o autoscale.Observation) autoscale.Proposal {
	t, size := int(o.Time.Unix())-600, 2
	if t >= 0 {
		size = min(30, 2+c.by*(1+t/c.every))
	}
	return autoscale.Proposal{Size: size, Reason: "as written", WakeAt: 7}
}

// limited plays ten quiet minutes and then more than eight workers can do, where no more than that get through.
func limited(class simulate.Class, rate float64, seed uint64) (*simulate.Trace, simulate.Options) {
	r := rand.New(rand.NewPCG(seed, 8))
	arrivals := make([]int, 2400)
	for t := range arrivals {
		mean := 1.5 * rate
		if t >= 600 {
			mean = 13 * rate
		}
		arrivals[t] = poisson(r, mean)
	}
	trace, _ := simulate.NewTrace(arrivals...)
	o := class.Options(rate)
	o.InitialSize = 2
	o.Variants.DownstreamLimit = 8
	return trace, o
}

// TestGovernorBehindALimit: eight workers' worth gets through. Within five checks of there being more than two too many
// the governor says so, and from then on at most two are kept on top of the eight.
func TestGovernorBehindALimit(t *testing.T) {
	policies := map[string]func(class simulate.Class) autoscale.Policy{
		"slo":       func(class simulate.Class) autoscale.Policy { return sloOf(t, class) },
		"jump":      func(simulate.Class) autoscale.Policy { return climb{28, 1} },
		"steps":     func(class simulate.Class) autoscale.Policy { return climb{2, 3 * int(class.CheckInterval/time.Second)} },
		"threshold": func(simulate.Class) autoscale.Policy { return autoscale.DefaultOptions().Threshold() },
	}
	for _, class := range simulate.Classes() {
		for name, policy := range policies {
			t.Run(class.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(3) {
					for _, rate := range []float64{2, 20} {
						trace, o := limited(class, rate, seed)
						check := int(class.CheckInterval / time.Second)
						crowded, told, most := -1, -1, 0
						o.Timeline = func(r simulate.Row) {
							if crowded < 0 && r.Ready > 10 && r.Second >= 600 {
								crowded = r.Second
							}
							if told < 0 && strings.Contains(r.Reason, "more would not help: throughput has stayed at") {
								told = r.Second
							}
							if told >= 0 && r.Second < 2400 {
								most = max(most, r.Size)
							}
						}
						if _, err := simulate.Run(trace, governed(t, policy(class), class.CheckInterval), o); err != nil {
							t.Fatal(err)
						}
						if told < 0 || (told-crowded)/check > 5 {
							t.Errorf("seed %d, rate %v: more than 10 ready at %d, told at %d", seed, rate, crowded, told)
						}
						if most > 10 || most < 8 {
							t.Errorf("seed %d, rate %v: up to %d kept, want 8 to 10", seed, rate, most)
						}
					}
				}
			})
		}
	}
}

// TestGovernorLosesNothing: a cap does not cost throughput, so that the queue is emptied as early as without it.
func TestGovernorLosesNothing(t *testing.T) {
	class := simulate.Classes()[1]
	trace, o := limited(class, 2, 5)
	free, err := simulate.Run(trace, sloOf(t, class), o)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := simulate.Run(trace, governed(t, sloOf(t, class), class.CheckInterval), o)
	if err != nil {
		t.Fatal(err)
	}
	if kept.WaitMax > free.WaitMax+10 || kept.Cost > free.Cost/3 {
		t.Errorf("longest wait %v and cost %d, without the governor %v and %d", kept.WaitMax, kept.Cost, free.WaitMax, free.Cost)
	}
}

// TestGovernorCostsNothingWithoutALimit: whatever else workers do wrong, nothing is capped that helps.
func TestGovernorCostsNothingWithoutALimit(t *testing.T) {
	for _, class := range simulate.Classes() {
		t.Run(class.Name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range simulate.SyntheticNames() {
				s, err := simulate.Synthetic(kind, 7200, 6)
				if err != nil {
					t.Fatal(err)
				}
				variants := append(simulate.RobustnessVariants(), simulate.Variant{Name: "none", Apply: func(o simulate.Options, _ int) simulate.Options { return o }})
				for _, v := range variants {
					o := v.Apply(class.Options(s.Rate), s.Trace.Seconds())
					free, err := simulate.Run(s.Trace, sloOf(t, class), o)
					if err != nil {
						t.Fatal(err)
					}
					got, err := simulate.Run(s.Trace, governed(t, sloOf(t, class), class.CheckInterval), o)
					if err != nil {
						t.Fatal(err)
					}
					if got.SLOViolations > free.SLOViolations+0.0005 || got.CostRatio > free.CostRatio*1.003 {
						t.Errorf("%s, %s: %.3f %% late at ratio %.4f, without the governor %.3f %% at %.4f", kind, v.Name,
							100*got.SLOViolations, got.CostRatio, 100*free.SLOViolations, free.CostRatio)
					}
				}
			}
		})
	}
}

// A policy that goes by depth alone adds workers for as long as the queue grows. What they write to takes 40 records per
// second, which is what four of them deliver.
func ExampleGovernor() {
	options := autoscale.DefaultOptions()
	options.MaxSize, options.Cooldown = 20, 0
	policy, err := autoscale.NewGovernor(options.Threshold(), autoscale.GovernorOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	trace, _ := simulate.NewTrace(repeated(90, 100)...)
	_, _ = simulate.Run(trace, policy, simulate.Options{
		Rate: 10, MinSize: 1, MaxSize: 20, CheckInterval: 10 * time.Second, SLO: time.Minute,
		Variants: simulate.Variants{DownstreamLimit: 4},
		Timeline: func(r simulate.Row) {
			if r.Second <= 70 {
				fmt.Printf("%2ds: %d, %s\n", r.Second, r.Size, r.Reason)
			}
		},
	})
	// Output:
	//  0s: 3, depth 90 >= 50: up by 2
	// 10s: 5, depth 790 >= 50: up by 2
	// 20s: 7, depth 1390 >= 50: up by 2
	// 30s: 9, depth 1990 >= 50: up by 2
	// 40s: 11, depth 2590 >= 50: up by 2
	// 50s: 5, 8 more would not help: throughput has stayed at 40/s since 4 workers; kept at 5
	// 60s: 5, 2 more would not help: throughput has stayed at 40/s since 4 workers; kept at 5
	// 70s: 5, 2 more would not help: throughput has stayed at 40/s since 4 workers; kept at 5
}

// repeated is n times x.
func repeated(n, x int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = x
	}
	return list
}
