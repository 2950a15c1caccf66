package simulate

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

func bound(t *testing.T, tr *Trace, o Options) BoundResult {
	t.Helper()
	b, err := Bound(tr, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance*(1+math.Abs(b)) }

func TestBoundByHand(t *testing.T) {
	quiet := make([]int, 40)
	burst := func(at, records int) []int {
		a := make([]int, 40)
		a[at] = records
		return a
	}
	pair := burst(10, 20)
	pair[20] = 20
	far := append(burst(10, 20), burst(20, 20)...)
	const second = time.Second
	tests := []struct {
		name string
		a    []int
		o    Options
		want float64
	}{
		{"nothing to do costs the smallest pool", quiet, Options{MinSize: 2, MaxSize: 9}, 80},
		{"nothing to do and nobody there", quiet, Options{MaxSize: 9}, 0},
		{"those ready at the start cost their first second", quiet, Options{MaxSize: 9, InitialSize: 4}, 4},
		{"and their drain", quiet, Options{MaxSize: 9, InitialSize: 4, Drain: 3 * second}, 16},
		{"free starts cost the work alone", burst(10, 20), Options{MaxSize: 99, SLO: 4 * second}, 20},
		{"a start costs its start-up: four workers for five seconds", burst(10, 20),
			Options{MaxSize: 99, Startup: 6 * second, SLO: 4 * second}, 4 * (6 + 5)},
		{"and its drain", burst(10, 20), Options{MaxSize: 99, Startup: 6 * second, Drain: 2 * second, SLO: 4 * second}, 4 * (6 + 5 + 2)},
		{"the smallest pool's idle time is paid for", burst(10, 20), Options{MinSize: 1, MaxSize: 99, SLO: 4 * second}, 40 + 15},
		{"a short gap is bridged", pair, Options{MaxSize: 99, Startup: 6 * second, SLO: 4 * second}, 4 * (6 + 5 + 5 + 5)},
		{"a long one is not", far, Options{MaxSize: 99, Startup: 6 * second, SLO: 4 * second}, 2 * 4 * (6 + 5)},
		{"checks are rare, but the SLO is long enough for fewer workers", burst(10, 20),
			Options{MaxSize: 99, CheckInterval: 8 * second, SLO: 20 * second}, 20},
		{"and the pool cannot follow a burst: ten workers until the next check", burst(10, 20),
			Options{MaxSize: 99, CheckInterval: 8 * second, SLO: second}, 80},
		{"a stuck worker costs and does nothing", burst(10, 20),
			Options{MinSize: 1, MaxSize: 99, SLO: 9 * second, Variants: Variants{StuckAt: 10}}, 40 + 20},
		{"the run ends before the drain does", burst(39, 20), Options{MaxSize: 99, Drain: 50 * second, SLO: 4 * second}, 20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.o.Rate = 1
			if test.o.CheckInterval == 0 {
				test.o.CheckInterval = second
			}
			got := bound(t, trace(t, test.a...), test.o)
			if got.Cost > test.want+1e-6 || got.Cost < test.want*0.9999-1e-6 || got.Late != 0 {
				t.Errorf("bound %+v, want %v and nothing late", got, test.want)
			}
		})
	}
}

func TestBoundWhereThePoolCannotBeInTime(t *testing.T) {
	// Two workers have three seconds for twenty records: fourteen are late whatever happens.
	o := Options{Rate: 1, MaxSize: 2, InitialSize: 2, SLO: 2 * time.Second, CheckInterval: time.Second}
	got := bound(t, trace(t, 20), o)
	if want := 14.0 / 20; !near(got.Late, want, 1e-9) || got.Cost < 5.99 || got.Cost > 6 {
		t.Errorf("%+v, want %v late and a cost of 6 for the others", got, want)
	}
	r := run(t, trace(t, 20), script{2}, o)
	if r.SLOViolations < got.Late || float64(r.Cost) < got.Cost {
		t.Errorf("a run pays %d with %v late, less than %+v", r.Cost, r.SLOViolations, got)
	}
}

// drawn is a random small problem.
func drawn(random *rand.Rand, seconds int) ([]int, Options) {
	arrivals := make([]int, seconds)
	for i := range arrivals {
		if random.IntN(2) == 0 {
			arrivals[i] = random.IntN(7)
		}
	}
	o := Options{
		Rate: []float64{1, 2, 0.7, 3.25}[random.IntN(4)], Startup: time.Duration(random.IntN(3)) * time.Second,
		Drain: time.Duration(random.IntN(3)) * time.Second, MinSize: random.IntN(2), MaxSize: 3,
		CheckInterval: time.Duration(1+random.IntN(2)) * time.Second,
		SLO:           time.Duration(random.IntN(5000)) * time.Millisecond,
	}
	o.InitialSize = o.MinSize + random.IntN(2)
	return arrivals, o
}

// TestNoScheduleBeatsTheBound plays every schedule there is on tiny traces: each must pay at least the bound, with late
// records at least the bound that grants them; and the cheapest may not be far above.
func TestNoScheduleBeatsTheBound(t *testing.T) {
	inTime, ratio := 0, 0.0
	for seed := range uint64(36) {
		random := rand.New(rand.NewPCG(seed, 7))
		arrivals, o := drawn(random, 5)
		tr := trace(t, arrivals...)
		if tr.Records() == 0 {
			continue
		}
		interval := int(o.CheckInterval / time.Second)
		checks := 6 / interval
		granted := map[float64]float64{} // bound by share of late records
		cheapest := math.Inf(1)
		sizes := make(script, 7)
		for code := range int(math.Pow(4, float64(checks))) {
			for i := range sizes {
				if i%interval == 0 && i/interval < checks {
					sizes[i] = code & 3
					code >>= 2
				} else {
					sizes[i] = 3 // so that every run ends soon
				}
			}
			r := run(t, tr, sizes, o)
			least, known := granted[r.SLOViolations]
			if !known {
				b, err := BoundLate(tr, o, r.SLOViolations)
				if err != nil {
					t.Fatal(err)
				}
				if b.Late > r.SLOViolations+1e-9 {
					t.Fatalf("seed %d: %v late, but the bound says that %v is the least", seed, r.SLOViolations, b.Late)
				}
				least = b.Cost
				granted[r.SLOViolations] = least
			}
			if float64(r.Cost) < least-1e-9 {
				t.Fatalf("seed %d: %v with %+v on %v costs %d at %v late, less than the bound %v",
					seed, sizes, o, arrivals, r.Cost, r.SLOViolations, least)
			}
			if r.SLOViolations == 0 {
				cheapest = min(cheapest, float64(r.Cost))
			}
		}
		if least, known := granted[0]; known {
			inTime++
			ratio += least / cheapest
		}
	}
	// Whole workers cost more than fractions, on five seconds more than anywhere else.
	if inTime < 10 || ratio/float64(inTime) < 0.75 {
		t.Errorf("%d problems can be solved in time, and their bound is %.3f of the best schedule, want 10 and 0.75", inTime, ratio/float64(inTime))
	}
}

// TestBoundIsWhatTheProgramCosts compares the proven bound with the cost of the program's best solution, an upper limit of
// what can be proven this way.
func TestBoundIsWhatTheProgramCosts(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 3))
		arrivals := make([]int, 100+random.IntN(900))
		height := 0.0
		for i := range arrivals {
			if random.IntN(50) == 0 {
				height = random.Float64() * 60
			}
			arrivals[i] = int(height * 2 * random.Float64())
		}
		o := Options{
			Rate: 3, Startup: time.Duration(random.IntN(60)) * time.Second, Drain: time.Duration(random.IntN(20)) * time.Second,
			MinSize: random.IntN(3), MaxSize: 50, CheckInterval: time.Duration(1+random.IntN(15)) * time.Second,
		}
		o.InitialSize = o.MinSize + random.IntN(5)
		o.SLO = o.Startup + time.Duration(20+random.IntN(100))*time.Second
		tr := trace(t, arrivals...)
		got := bound(t, tr, o)
		if got.Late > 0 {
			continue
		}
		b := newBounding(tr, o.withDefaults())
		s := &solver{ceiling: 8 * float64(1+b.startup+b.drain)}
		b.layOut(s, 1)
		s.allocate()
		s.begin()
		s.iterate()
		// The program allows both kinds of change at both kinds of moments; the certificate knows better, and may exceed it.
		if program := s.cost(); got.Cost < 0.9995*program-1 || got.Cost > 1.02*program+1 {
			t.Errorf("seed %d: bound %v, program %v (%+v)", seed, got.Cost, program, o)
		}
		if useful := float64(tr.Records()) / o.Rate; got.Cost < useful*(1-1e-9) || !near(got.Ratio, got.Cost/useful, 1e-9) {
			t.Errorf("seed %d: bound %+v is less than the useful %v", seed, got, useful)
		}
	}
}

// TestAnyPricesGiveABound is what makes the search harmless: prices made of dice prove less, never too much.
func TestAnyPricesGiveABound(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 11))
		arrivals, o := drawn(random, 30)
		o.MaxSize = 9
		tr := trace(t, arrivals...)
		sizes := make(script, 30)
		for i := range sizes {
			sizes[i] = 4 + random.IntN(6)
		}
		r := run(t, tr, sizes, o)
		if r.SLOViolations > 0 {
			continue
		}
		b := newBounding(tr, o.withDefaults())
		for range 20 {
			p := prices{1, make([]float64, b.horizon+1)}
			for i := range p.z {
				p.z[i] = 1.5 * random.Float64()
				if i > 0 && random.IntN(3) > 0 {
					p.z[i] = p.z[i-1]
				}
			}
			if v := b.value(p, 1, 0); v > float64(r.Cost) {
				t.Fatalf("seed %d: prices prove %v, and a run costs %d", seed, v, r.Cost)
			}
		}
	}
}

// TestBoundHoldsForThresholds is the same with policies that look, on longer traces; those in other packages are tried there.
func TestBoundHoldsForThresholds(t *testing.T) {
	met := 0
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 5))
		arrivals := make([]int, 400)
		for i := range arrivals {
			arrivals[i] = random.IntN(1 + 30*(1+i/100%2))
		}
		o := Options{
			Rate: 5, Startup: time.Duration(random.IntN(8)) * time.Second, Drain: time.Duration(random.IntN(8)) * time.Second,
			MinSize: random.IntN(6), MaxSize: 20, CheckInterval: time.Duration(1+random.IntN(5)) * time.Second,
			SLO: time.Duration(5+random.IntN(40)) * time.Second,
		}
		policy := autoscale.Threshold{
			ScaleUpThreshold: 10 + random.IntN(50), ScaleDownThreshold: random.IntN(10), ScaleUpCount: 1 + random.IntN(4), ScaleDownCount: 1,
		}
		tr := trace(t, arrivals...)
		r := run(t, tr, policy, o)
		b, err := BoundLate(tr, o, r.SLOViolations)
		if err != nil {
			t.Fatal(err)
		}
		if r.SLOViolations == 0 {
			met++
		}
		if float64(r.Cost) < b.Cost {
			t.Errorf("seed %d: a run costs %d with %v late, the bound is %v", seed, r.Cost, r.SLOViolations, b.Cost)
		}
		if all := bound(t, tr, o); b.Cost > all.Cost*(1+1e-4) {
			t.Errorf("seed %d: granting %v late raises the bound from %v to %v", seed, r.SLOViolations, all.Cost, b.Cost)
		}
	}
	if met < 5 {
		t.Errorf("%d runs were in time, want 5 at least for the test to mean something", met)
	}
}

func TestBoundNamesEveryProblem(t *testing.T) {
	_, err := BoundLate(nil, Options{Rate: 1, Startup: -1}, 2)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"the trace is empty", "Startup is -1ns", "MaxSize is 0", "share of late records is 2"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not say %q:\n%v", part, err)
		}
	}
}

func BenchmarkBoundOfAWeek(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	arrivals := make([]int, 7*24*3600)
	for i := range arrivals {
		arrivals[i] = random.IntN(1 + int(100*(1+math.Sin(float64(i)/13750))))
	}
	tr, err := NewTrace(arrivals...)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		o := Options{Rate: 7.5, Startup: 5 * time.Second, MinSize: 1, MaxSize: 50, CheckInterval: 5 * time.Second, SLO: 30 * time.Second}
		if _, err := Bound(tr, o); err != nil {
			b.Fatal(err)
		}
	}
}

// TestBoundWhereTheSearchBreaksDown: the search goes on a little past the optimum here, to where it divides by nothing. What it had found
// until then counts.
func TestBoundWhereTheSearchBreaksDown(t *testing.T) {
	arrivals := make([]int, 150_000)
	useful := 0.0
	for second := range arrivals {
		arrivals[second] = 10
		if day := second % 86400; day >= 10800 && day < 10980 {
			arrivals[second] = 50
		}
		useful += float64(arrivals[second]) / 2
	}
	trace, err := NewTrace(arrivals...)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Rate: 2, Startup: 4 * time.Minute, SLO: 30 * time.Second, MinSize: 1, MaxSize: 60, CheckInterval: 10 * time.Second}
	got, err := Bound(trace, o)
	if err != nil {
		t.Fatal(err)
	}
	if least := useful * (1 - got.Late); !(got.Cost >= least && got.Cost < 1.2*useful) {
		t.Errorf("the bound is %.0f, want at least the %.0f worker-seconds of the work in time, and not much more", got.Cost, least)
	}
}
