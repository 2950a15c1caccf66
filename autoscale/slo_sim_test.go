//go:build !race

// Computation alone, which takes ten times as long with the race detector: make test runs it without.

package autoscale_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// sloClass is how fast workers start, and what is asked of them.
type sloClass struct {
	name                string
	startup, slo, check time.Duration
}

var sloClasses = []sloClass{
	{"in-process", 0, 5 * time.Second, time.Second},
	{"process", 5 * time.Second, 30 * time.Second, 5 * time.Second},
	{"pod", time.Minute, 2 * time.Minute, 15 * time.Second},
}

// sloTraffic is arrivals per second of a few kinds, the same on every run. A worker does three records per second.
var sloTraffic = []struct {
	name    string
	arrival func(r *rand.Rand, t int) float64 // mean
	most    float64                           // cost over useful, in the worst class
}{
	{"steady", func(_ *rand.Rand, _ int) float64 { return 60 }, 1.01},
	{"steps", func(_ *rand.Rand, t int) float64 { return 20 + 50*float64(t/1800%2) }, 1.03},
	{"wave", func(_ *rand.Rand, t int) float64 { return 45 - 40*math.Cos(2*math.Pi*float64(t)/7200) }, 1.03},
	{"spikes", func(_ *rand.Rand, t int) float64 { return 10 + 70*math.Exp(-float64(t%1500)/150) }, 1.12},
	{"bursts", func(_ *rand.Rand, t int) float64 { return 8 + 52*float64((t/70)%5/4) }, 1.35}, // a pod is as long in starting as the burst lasts,
}

func sloTrace(t testing.TB, kind int, seconds int) *simulate.Trace {
	t.Helper()
	r := rand.New(rand.NewPCG(4, uint64(kind)))
	arrivals := make([]int, seconds)
	for second := range arrivals {
		arrivals[second] = poisson(r, sloTraffic[kind].arrival(r, second))
	}
	trace, err := simulate.NewTrace(arrivals...)
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

func poisson(r *rand.Rand, mean float64) int {
	n := 0
	for at := r.ExpFloat64(); at < mean; at += r.ExpFloat64() {
		n++
	}
	return n
}

func sloRun(t testing.TB, trace *simulate.Trace, c sloClass, change func(*simulate.Options)) simulate.Result {
	t.Helper()
	policy, err := autoscale.NewSLO(autoscale.SLOOptions{SLO: c.slo, CheckInterval: c.check})
	if err != nil {
		t.Fatal(err)
	}
	o := simulate.Options{Rate: 3, Startup: c.startup, MinSize: 1, MaxSize: 50, CheckInterval: c.check, SLO: c.slo}
	if change != nil {
		change(&o)
	}
	result, err := simulate.Run(trace, policy, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestSLOIsKeptCheaply(t *testing.T) {
	for _, class := range sloClasses {
		for kind, traffic := range sloTraffic {
			t.Run(class.name+"/"+traffic.name, func(t *testing.T) {
				t.Parallel()
				trace := sloTrace(t, kind, 2*3600)
				got := sloRun(t, trace, class, nil)
				if got.SLOViolations > 0.001 {
					t.Errorf("%.3f %% of the records were late", 100*got.SLOViolations)
				}
				if got.CostRatio > traffic.most {
					t.Errorf("cost ratio %.3f, want at most %.3f", got.CostRatio, traffic.most)
				}
				if again := sloRun(t, trace, class, nil); again != got {
					t.Errorf("another run of the same: %+v, was %+v", again, got)
				}
			})
		}
	}
}

// TestSLOMoreTimeNeverCostsMore: a longer SLO gives the policy more freedom, so it should use it.
func TestSLOMoreTimeNeverCostsMore(t *testing.T) {
	for kind, traffic := range sloTraffic {
		trace := sloTrace(t, kind, 3600)
		before := math.Inf(1)
		for _, slo := range []time.Duration{5, 10, 20, 40, 80, 160} {
			class := sloClass{startup: 2 * time.Second, slo: slo * time.Second, check: 2 * time.Second}
			got := sloRun(t, trace, class, nil).CostRatio
			if got > before*1.03 {
				t.Errorf("%s: SLO %vs costs %.3f, half of it %.3f", traffic.name, int(slo), got, before)
			}
			before = got
		}
	}
}

// TestSLOWithoutReadings: of every 20 checks, the last four see nothing.
func TestSLOWithoutReadings(t *testing.T) {
	for _, class := range sloClasses {
		for kind, traffic := range sloTraffic[:4] {
			got := sloRun(t, sloTrace(t, kind, 2*3600), class, func(o *simulate.Options) {
				o.Missing = func(second int) bool { return second/int(class.check/time.Second)%20 >= 16 }
			})
			if got.SLOViolations > 0.005 || got.CostRatio > traffic.most*1.1 {
				t.Errorf("%s, %s: %.3f %% late at cost ratio %.3f", class.name, traffic.name, 100*got.SLOViolations, got.CostRatio)
			}
		}
	}
}

// TestSLOThroughAnOutage: ten minutes without a reading in steady traffic do not shrink the pool, and what follows is
// no jump: nothing piled up.
func TestSLOThroughAnOutage(t *testing.T) {
	for _, class := range sloClasses {
		var inside, before, after int
		sloRun(t, sloTrace(t, 0, 3600), class, func(o *simulate.Options) {
			o.Missing = func(second int) bool { return second >= 1800 && second < 2400 }
			o.Timeline = func(r simulate.Row) {
				switch {
				case r.Second < 1800:
					before = r.Size
				case r.Second < 2400 && r.Size != before:
					inside++
				case r.Second >= 2400 && r.Second < 2700:
					after = max(after, r.Size)
				}
			}
		})
		if inside > 0 {
			t.Errorf("%s: %d checks without a reading changed the size", class.name, inside)
		}
		if after > before+8 {
			t.Errorf("%s: from %d workers to %d after the outage", class.name, before, after)
		}
	}
}

// TestSLOFollowsSlowerWorkers gives every worker half of its rate in the middle. The trace has it as twice the records, which
// is the same to queue and pool; what the policy gets to see is put right on the way.
func TestSLOFollowsSlowerWorkers(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	arrivals := make([]int, 3600)
	for t := range arrivals {
		if arrivals[t] = poisson(r, 30); t >= 1800 {
			arrivals[t] *= 2
		}
	}
	trace, err := simulate.NewTrace(arrivals...)
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range sloClasses {
		policy, err := autoscale.NewSLO(autoscale.SLOOptions{SLO: class.slo, CheckInterval: class.check})
		if err != nil {
			t.Fatal(err)
		}
		o := simulate.Options{Rate: 3, Startup: class.startup, MinSize: 1, MaxSize: 50, CheckInterval: class.check, SLO: class.slo}
		got, err := simulate.Run(trace, halved{policy}, o)
		if err != nil {
			t.Fatal(err)
		}
		if got.SLOViolations > 0.003 || got.CostRatio > 1.1 {
			t.Errorf("%s: %.3f %% late at cost ratio %.3f", class.name, 100*got.SLOViolations, got.CostRatio)
		}
	}
}

// halved shows a policy half of the records from the middle on, as if each took twice as long.
type halved struct{ autoscale.Policy }

func (h halved) Decide(o autoscale.Observation) autoscale.Proposal {
	if o.Time.Unix() > 1800 {
		o.Depth, o.Arrived, o.Completed = (o.Depth+1)/2, o.Arrived/2, o.Completed/2
	}
	return h.Policy.Decide(o)
}

// TestSLORestartsInTheMiddle: the autoscaler is replaced by a new one every ten minutes, which gets the state of the old.
func TestSLORestartsInTheMiddle(t *testing.T) {
	for _, class := range sloClasses {
		for kind, traffic := range sloTraffic[:3] {
			trace := sloTrace(t, kind, 2*3600)
			policy := &restarting{options: autoscale.SLOOptions{SLO: class.slo, CheckInterval: class.check}}
			o := simulate.Options{Rate: 3, Startup: class.startup, MinSize: 1, MaxSize: 50, CheckInterval: class.check, SLO: class.slo}
			got, err := simulate.Run(trace, policy, o)
			if err != nil {
				t.Fatal(err)
			}
			if policy.err != nil || got.SLOViolations > 0.001 || got.CostRatio > traffic.most*1.05 {
				t.Errorf("%s, %s: %.3f %% late at cost ratio %.3f, error %v",
					class.name, traffic.name, 100*got.SLOViolations, got.CostRatio, policy.err)
			}
		}
	}
}

type restarting struct {
	options autoscale.SLOOptions
	policy  *autoscale.SLO
	born    time.Time
	err     error
}

func (r *restarting) Name() string { return "slo" }

func (r *restarting) Decide(o autoscale.Observation) autoscale.Proposal {
	if r.policy == nil || o.Time.Sub(r.born) >= 10*time.Minute {
		fresh, err := autoscale.NewSLO(r.options)
		if err == nil && r.policy != nil {
			err = fresh.Restore(r.policy.State())
		}
		if err != nil {
			r.err = err
		}
		r.policy, r.born = fresh, o.Time
	}
	return r.policy.Decide(o)
}

func TestSLOAtItsMaximumSaysSo(t *testing.T) {
	said := false
	sloRun(t, sloTrace(t, 0, 600), sloClasses[0], func(o *simulate.Options) {
		o.MaxSize = 5
		o.Timeline = func(r simulate.Row) {
			said = said || strings.Contains(r.Reason, "at max size 5")
			if r.NamedSize > 5 || r.NamedSize < 1 {
				t.Errorf("%d: named %d", r.Second, r.NamedSize)
			}
		}
	})
	if !said {
		t.Error("no reason told of the maximum")
	}
}

func ExampleSLO() {
	policy, err := autoscale.NewSLO(autoscale.SLOOptions{SLO: 30 * time.Second, CheckInterval: 5 * time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	trace, _ := simulate.NewTrace(120, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	_, _ = simulate.Run(trace, policy, simulate.Options{
		Rate: 1, MinSize: 1, MaxSize: 10, CheckInterval: 5 * time.Second, SLO: 30 * time.Second,
		Timeline: func(r simulate.Row) { fmt.Printf("%2ds: %d, %s\n", r.Second, r.Size, r.Reason) },
	})
	// Output:
	//  0s: 10, deadline of 119 records in 30.0s needs 11 more, of which max size 10 leaves 9
	//  5s: 6, all deadlines met with 18.1s to spare, and 4 would be idle: down by 4
	// 10s: 4, all deadlines met with 13.5s to spare, and 2 would be idle: down by 2
	// 15s: 2, all deadlines met with 10.2s to spare, and 2 would be idle: down by 2
	// 20s: 1, all deadlines met with 5.5s to spare, and 1 would be idle: down by 1
	// 25s: 1, all deadlines met with 1.0s to spare
}

// TestSLOWhereAStartTakesAllOfIt: nothing that is seen can be rescued by a start any more, so there must be workers for what may
// come. Once the policy has seen what does, that costs something, but not as many workers as the busiest moment needs, and no
// back and forth.
func TestSLOWhereAStartTakesAllOfIt(t *testing.T) {
	class := sloClass{"as long as the SLO", time.Minute, time.Minute, 15 * time.Second}
	most := map[string]float64{"steady": 1.04, "steps": 1.12, "wave": 1.06, "spikes": 2.1, "bursts": 2.05}
	for kind, traffic := range sloTraffic {
		t.Run(traffic.name, func(t *testing.T) {
			t.Parallel()
			const hours = 6
			first := sloRun(t, sloTrace(t, kind, 3600), class, nil)
			all := sloRun(t, sloTrace(t, kind, hours*3600), class, nil)
			late := func(r simulate.Result) float64 { return r.SLOViolations * float64(r.Records) }
			later := (late(all) - late(first)) / float64(all.Records-first.Records)
			t.Logf("cost ratio %.3f, %.3f %% late after the first hour, %d reversals", all.CostRatio, 100*later, all.Reversals)
			if later > 0.001 {
				t.Errorf("%.3f %% of the records were late after the first hour, want at most 0.1 %%", 100*later)
			}
			if all.CostRatio > most[traffic.name] {
				t.Errorf("cost ratio %.3f, want at most %.2f", all.CostRatio, most[traffic.name])
			}
			if perHour := float64(all.Reversals) / hours; perHour > 60 {
				t.Errorf("%.0f reversals per hour, want at most 60", perHour)
			}
		})
	}
}

// TestSLODoesNotTakeIdleWorkersForStuckOnes: where a little waits now and then, and everything is done at once, nobody is missing.
func TestSLODoesNotTakeIdleWorkersForStuckOnes(t *testing.T) {
	policy, err := autoscale.NewSLO(autoscale.SLOOptions{SLO: time.Minute, CheckInterval: 15 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	o := simulate.Options{Rate: 3, MinSize: 30, MaxSize: 30, CheckInterval: 15 * time.Second, SLO: time.Minute}
	r := rand.New(rand.NewPCG(4, 4))
	arrivals := make([]int, 3600)
	for second := range arrivals {
		arrivals[second] = poisson(r, 60+100*float64(second%15/12)) // more than they do just before a check, and less on average
	}
	trace, err := simulate.NewTrace(arrivals...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := simulate.Run(trace, policy, o); err != nil {
		t.Fatal(err)
	}
	if missing := policy.State().Missing; missing > 0 {
		t.Errorf("%.1f of 30 workers are believed missing, though all of them work", missing)
	}
}
