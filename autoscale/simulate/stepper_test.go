package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// anySLO is the policy slo for these options.
func anySLO(t *testing.T, o Options) autoscale.Policy {
	t.Helper()
	p, err := autoscale.NewSLO(autoscale.SLOOptions{SLO: max(o.SLO, time.Second), CheckInterval: o.CheckInterval})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestStepByStepIsRun plays random traffic both ways, the variants included.
func TestStepByStepIsRun(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			arrivals := make([]int, 200+random.IntN(600))
			for i := range arrivals {
				if random.IntN(3) > 0 {
					arrivals[i] = random.IntN(60)
				}
			}
			o := Options{
				Rate: float64(1+random.IntN(50)) / 4, Startup: time.Duration(random.IntN(9)) * time.Second, Drain: time.Duration(random.IntN(5)) * time.Second,
				MinSize: 1, MaxSize: 2 + random.IntN(30), CheckInterval: time.Duration(1+random.IntN(12)) * time.Second,
				SLO: time.Duration(random.IntN(40)) * time.Second, Scale: []float64{1, 0.37, 2.5}[random.IntN(3)], Endless: seed%2 == 0,
			}
			if seed%4 == 1 {
				o.Variants = Variants{RateSpread: 0.3, Seed: seed, StuckAt: 90, RateFactor: 0.5, RateFactorAt: 150}
				o.Missing = LostReadings(o.CheckInterval, 20, 4)
			}
			want := run(t, trace(t, arrivals...), anySLO(t, o), o)
			s, err := NewStepper(anySLO(t, o), o)
			if err != nil {
				t.Fatal(err)
			}
			cost, reversals := 0, 0
			for second := range want.Seconds {
				n := 0
				if second < len(arrivals) {
					n = arrivals[second]
				}
				step := s.Step(n)
				cost += step.Cost
				if step.Reversal {
					reversals++
				}
			}
			if cost != want.Cost || reversals != want.Reversals {
				t.Errorf("the steps cost %d and turned %d times, want %d and %d", cost, reversals, want.Cost, want.Reversals)
			}
			if want.Unserved == 0 {
				if got := s.Result(); got != want {
					t.Errorf("so far %+v\nwant   %+v", got, want)
				}
			}
			got := s.Finish()
			if o.Endless && want.WaitMax < 1<<exactBits || !o.Endless {
				if got != want {
					t.Errorf("finished %+v\nwant     %+v", got, want)
				}
			}
		})
	}
}

func TestResultSoFarCountsWhatIsLateAlready(t *testing.T) {
	o := everySecond(1, 1)
	o.SLO = 2 * time.Second
	s, err := NewStepper(script{1}, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{5, 1, 0, 0} { // one a second is served, so that two wait after 4 seconds: one for 3 s, one for 2 s
		s.Step(n)
	}
	if r := s.Result(); r.Records != 6 || r.Unserved != 2 || r.SLOViolations != 2.0/6 || r.WaitMax != 3 {
		t.Errorf("so far %+v, want the one served after 3 s and the one that has waited for 3 s late", r)
	}
	if r := s.Finish(); r.SLOViolations != 3.0/6 {
		t.Errorf("finished %+v, want what still waits late", r)
	}
	for wait, records := range s.Overdue {
		if wait != 3 || records != 1 {
			t.Errorf("%d records overdue for %d s, want 1 for 3 s", records, wait)
		}
	}
	empty, _ := NewStepper(script{1}, o)
	if r := empty.Result(); r.Seconds != 0 || r.WaitMax != 0 {
		t.Errorf("before the first step %+v, want nothing", r)
	}
	empty.m.options.MinSize, empty.m.pool.ready = 0, 0
	empty.Step(3)
	if r := empty.Result(); r.Records != 3 || r.WaitP99 != 0 || r.SLOViolations != 0 {
		t.Errorf("nothing served yet: %+v, want nobody late", r)
	}
}

func TestRateMayChangeBetweenSteps(t *testing.T) {
	o := everySecond(2, 2)
	s, err := NewStepper(script{2}, o)
	if err != nil {
		t.Fatal(err)
	}
	s.Step(30)
	for _, rate := range []float64{10, 10, 2.5} {
		if err := s.SetRate(rate); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetRate(10); err != nil {
		t.Fatal(err)
	}
	s.Step(20)
	// 30 records at 1 a second and 20 at 10 a second; two workers served 2 and then 20 of them.
	if r := s.Result(); math.Abs(r.Useful-32) > 1e-9 || s.m.queue.depth != 28 {
		t.Errorf("useful %v, %d wait, want 32 and 28", r.Useful, s.m.queue.depth)
	}
	for _, wrong := range []float64{0, -1, math.NaN(), math.Inf(1), 1e-7, 2e6} {
		if s.SetRate(wrong) == nil {
			t.Errorf("a rate of %v was taken", wrong)
		}
	}
}

func TestEndlessRunStaysSmall(t *testing.T) {
	o := everySecond(1, 1)
	o.SLO, o.Endless = time.Minute, true
	s, err := NewStepper(script{1}, o)
	if err != nil {
		t.Fatal(err)
	}
	const seconds = 400_000
	for range seconds {
		s.Step(2) // more than can be served, for ever
	}
	if n := cap(s.m.queue.cohorts); n > 4*mostCohorts {
		t.Errorf("room for %d cohorts, want at most %d", n, 4*mostCohorts)
	}
	if n := len(s.m.account.waits); n > 8<<exactBits {
		t.Errorf("%d different waits are kept, want at most %d", n, 8<<exactBits)
	}
	if r := s.Result(); r.Unserved != seconds || r.Records != 2*seconds || r.WaitMax < seconds/2-1000 || r.WaitMax > seconds/2+1000 {
		t.Errorf("%+v, want half of the records unserved and the oldest half of the run behind", r)
	}
}

func TestStepperRefuses(t *testing.T) {
	if _, err := NewStepper(nil, Options{}); err == nil {
		t.Error("no policy and no rate were taken")
	}
}
