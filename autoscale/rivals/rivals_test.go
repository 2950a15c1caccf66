package rivals

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// seen is what a check sees at a second, with every worker ready and no bounds in the way.
func seen(second, depth, size int) autoscale.Observation {
	return autoscale.Observation{
		Time: time.Unix(1000+int64(second), 0), Depth: depth, Size: size, Ready: size, MinSize: 1, MaxSize: 1000,
	}
}

// must builds a rival, or ends the test.
func must[P any](p P, err error) func(t *testing.T) P {
	return func(t *testing.T) P {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

// decided is the size that comes of a check, as the controller would set it.
func decided(t *testing.T, p autoscale.Policy, o autoscale.Observation) int {
	t.Helper()
	d := autoscale.Decide(p, o)
	if d.Reason == "" {
		t.Errorf("%s gives no reason at %v", p.Name(), o.Time)
	}
	return d.NewSize
}

// follow checks every interval seconds with the depths given, the pool doing as told, and returns the sizes after each.
func follow(t *testing.T, p autoscale.Policy, size, interval int, depths ...int) []int {
	t.Helper()
	var sizes []int
	for i, depth := range depths {
		size = decided(t, p, seen(i*interval, depth, size))
		sizes = append(sizes, size)
	}
	return sizes
}

// repeated returns n times the depth.
func repeated(n, depth int) []int {
	depths := make([]int, n)
	for i := range depths {
		depths[i] = depth
	}
	return depths
}

func TestNamesAreThoseOfThePolicies(t *testing.T) {
	want := "backlog celery ds2 hpa kpa nomad static"
	if got := strings.Join(Names(), " "); got != want {
		t.Errorf("names %q, want %q", got, want)
	}
	for _, name := range Names() {
		p, err := New(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name() != name {
			t.Errorf("%s calls itself %q", name, p.Name())
		}
		if len(SettingNames(name)) == 0 {
			t.Errorf("%s has no settings, want some", name)
		}
	}
	if SettingNames("vpa") != nil {
		t.Error("an unknown rival has settings")
	}
}

func TestSettings(t *testing.T) {
	p, err := New("hpa", Settings{"target": "2.5", "down_window": "90s", "sync": "30", "count_in_flight": "true", "up_workers": "7"})
	if err != nil {
		t.Fatal(err)
	}
	o := p.(*HPA).o
	if o.Target != 2.5 || o.DownWindow != 90*time.Second || o.Sync != 30*time.Second || !o.CountInFlight || o.UpWorkers != 7 {
		t.Errorf("options %+v", o)
	}
	if o.Tolerance != 0.1 || o.UpPeriod != 15*time.Second {
		t.Errorf("options %+v, want the defaults for what was not set", o)
	}
	_, err = New("hpa", Settings{"target": "much", "sync": "soon", "window": "5m"})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{`target is "much"`, `sync is "soon"`, `hpa has no setting "window"`, "down_window"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not say %q:\n%v", part, err)
		}
	}
	if _, err := New("vpa", nil); err == nil || !strings.Contains(err.Error(), "hpa, kpa") {
		t.Errorf("unknown name: %v, want the names there are", err)
	}
}

func TestOptionsNameEveryProblem(t *testing.T) {
	tests := []struct {
		err  error
		want []string
	}{
		{second(NewStatic(StaticOptions{Size: -1})), []string{"Size is -1"}},
		{second(NewHPA(HPAOptions{Target: -1, Tolerance: 1, Sync: -1, UpPercent: -1, UpWorkers: -1})),
			[]string{"Target is -1", "Tolerance is 1", "Sync is -1ns", "UpPercent and UpWorkers"}},
		{second(NewKPA(KPAOptions{Utilization: 2, StableWindow: 1, MaxDownRate: 1})),
			[]string{"Utilization is 2", "StableWindow is 1ns", "MaxDownRate is 1"}},
		{second(NewDS2(DS2Options{Utilization: 2, Window: time.Second, MaxDown: 3})),
			[]string{"Utilization is 2", "Window is 1s", "MaxDown is 3"}},
		{second(NewBacklog(BacklogOptions{HighPoints: -1, LowShare: 2, InShare: -1})),
			[]string{"HighPoints is -1", "LowShare is 2", "InShare is -1"}},
		{second(NewCelery(CeleryOptions{Prefetch: -1})), []string{"Prefetch is -1"}},
		{second(NewNomad(NomadOptions{Target: -2, Evaluation: time.Millisecond})), []string{"Target is -2", "Evaluation is 1ms"}},
	}
	for _, test := range tests {
		if test.err == nil {
			t.Errorf("accepted, want %v", test.want)
			continue
		}
		for _, part := range test.want {
			if !strings.Contains(test.err.Error(), part) {
				t.Errorf("error does not say %q:\n%v", part, test.err)
			}
		}
	}
}

func second[P any](_ P, err error) error { return err }

// TestUnknownReadingsHold loses one reading in three.
func TestUnknownReadingsHold(t *testing.T) {
	for _, name := range Names() {
		p, err := New(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		size := 5
		for i := range 3000 {
			o := seen(i*10, 7*(i%50), size)
			if i%3 == 2 {
				o.Unknown = "connection refused"
			}
			proposal := p.Decide(o)
			if o.Unknown != "" && (proposal.Size != size || len(proposal.Clamps) > 0) {
				t.Fatalf("%s names %+v without a reading, want the present size %d", name, proposal, size)
			}
			size = decided(t, &again{p, proposal}, o)
		}
	}
}

// again repeats an answer.
type again struct {
	autoscale.Policy
	answer autoscale.Proposal
}

func (a *again) Decide(autoscale.Observation) autoscale.Proposal { return a.answer }

func TestStatic(t *testing.T) {
	fixed := must(NewStatic(StaticOptions{Size: 7}))(t)
	most := must(NewStatic(StaticOptions{}))(t)
	for i, depth := range []int{0, 5, 100000} {
		o := seen(i, depth, 3)
		o.MaxSize = 20
		if got := decided(t, fixed, o); got != 7 {
			t.Errorf("depth %d: size %d, want 7", depth, got)
		}
		if got := decided(t, most, o); got != 20 {
			t.Errorf("depth %d: size %d, want all 20", depth, got)
		}
	}
}

// TestNoRivalBeatsTheBound runs all of them on random traffic.
func TestNoRivalBeatsTheBound(t *testing.T) {
	inTime := map[string]int{}
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 9))
		arrivals := make([]int, 1500)
		height := 20.0
		for i := range arrivals {
			if random.IntN(100) == 0 {
				height = 40 * random.Float64()
			}
			arrivals[i] = int(height * 2 * random.Float64())
		}
		trace, err := simulate.NewTrace(arrivals...)
		if err != nil {
			t.Fatal(err)
		}
		o := simulate.Options{
			Rate: 4, Startup: time.Duration(random.IntN(30)) * time.Second, Drain: time.Duration(random.IntN(10)) * time.Second,
			MinSize: 1 + random.IntN(3), MaxSize: 40, InitialSize: 10, CheckInterval: time.Duration(1+random.IntN(10)) * time.Second,
			SLO: time.Duration(30+random.IntN(200)) * time.Second,
		}
		bound, err := simulate.Bound(trace, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range Names() {
			p, err := New(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			r, err := simulate.Run(trace, p, o)
			if err != nil {
				t.Fatal(err)
			}
			least := bound
			if r.SLOViolations == 0 {
				inTime[name]++
			} else if least, err = simulate.BoundLate(trace, o, r.SLOViolations); err != nil {
				t.Fatal(err)
			}
			if float64(r.Cost) < least.Cost {
				t.Errorf("seed %d: %s costs %d with %v late, less than the bound %v", seed, name, r.Cost, r.SLOViolations, least.Cost)
			}
		}
	}
	for _, name := range []string{"static", "hpa", "kpa", "celery"} {
		if inTime[name] == 0 {
			t.Errorf("%s was never in time, so that nothing was tested", name)
		}
	}
}

// TestRivalsAreRepeatable plays each twice.
func TestRivalsAreRepeatable(t *testing.T) {
	s, err := simulate.Synthetic("bursts", 7200, 3)
	if err != nil {
		t.Fatal(err)
	}
	o := simulate.Classes()[1].Options(s.Rate)
	for _, name := range Names() {
		var results [2]simulate.Result
		for i := range results {
			p, err := New(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if results[i], err = simulate.Run(s.Trace, p, o); err != nil {
				t.Fatal(err)
			}
		}
		if results[0] != results[1] {
			t.Errorf("%s: two runs differ:\n%+v\n%+v", name, results[0], results[1])
		}
	}
}

// TestStateIsBounded lets a year of checks go by.
func TestStateIsBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	h := must(NewHPA(HPAOptions{}))(t)
	k := must(NewKPA(KPAOptions{DownDelay: 10 * time.Minute}))(t)
	d := must(NewDS2(DS2Options{}))(t)
	size := 5
	for i := range 365 * 24 * 4 {
		o := seen(900*i, random.IntN(500), size)
		o.Completed, o.BusySeconds = 1000, 100
		size = 1 + random.IntN(50)
		if i%100 > 2 {
			size = o.Size
		}
		for _, p := range []autoscale.Policy{h, k, d} {
			p.Decide(o)
		}
	}
	if n := len(h.wanted) + len(h.changes) + len(k.wanted) + len(d.samples); n > 1000 {
		t.Errorf("%d things remembered after a year", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			p, err := New(name, nil)
			if err != nil {
				b.Fatal(err)
			}
			for i := 0; b.Loop(); i++ {
				p.Decide(seen(i, i%200, 5+i%3))
			}
		})
	}
}
