package simulate

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestClasses(t *testing.T) {
	for _, c := range Classes() {
		o := c.Options(2)
		if err := o.Validate(); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if o.MinSize != 1 || o.MaxSize != 50 || o.SLO != c.SLO || o.Startup != c.Startup {
			t.Errorf("%s: %+v", c.Name, o)
		}
	}
}

func TestSyntheticsAreTheSameForTheSameSeed(t *testing.T) {
	for _, kind := range SyntheticNames() {
		build := func(seed uint64) Scenario {
			s, err := Synthetic(kind, 4*3600, seed)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		first, again, other := perSecond(build(1).Trace), perSecond(build(1).Trace), perSecond(build(2).Trace)
		if !slices.Equal(first, again) {
			t.Errorf("%s: the same seed gives other arrivals", kind)
		}
		if slices.Equal(first, other) {
			t.Errorf("%s: another seed gives the same arrivals", kind)
		}
		if s := build(1); s.Trace.Seconds() != 4*3600 || s.Name != kind || s.Rate != PeakRate(s.Trace) {
			t.Errorf("%s: %d seconds, name %q, rate %v", kind, s.Trace.Seconds(), s.Name, s.Rate)
		}
	}
}

func TestSyntheticShapes(t *testing.T) {
	quarters := func(kind string) []int {
		s, err := Synthetic(kind, 8*3600, 5)
		if err != nil {
			t.Fatal(err)
		}
		sums := make([]int, 4)
		for second, n := range s.Trace.Arrivals() {
			sums[second/7200] += n
		}
		return sums
	}
	if q := quarters("steady"); float64(slices.Max(q)) > 1.05*float64(slices.Min(q)) {
		t.Errorf("steady: quarters %v, want nearly equal ones", q)
	}
	if q := quarters("ramp"); !(q[0] < q[1] && q[1] < q[2] && q[3] < q[2]) {
		t.Errorf("ramp: quarters %v, want a climb and a descent", q)
	}
	s, err := Synthetic("quarter-hours", 3600, 5)
	if err != nil {
		t.Fatal(err)
	}
	in, out := 0, 0
	for second, n := range s.Trace.Arrivals() {
		if second%900 < 10 {
			in += n
		} else {
			out += n
		}
	}
	if in < 4*10*100 || out < 3*3500 {
		t.Errorf("quarter-hours: %d records in the batches and %d outside", in, out)
	}
}

func TestSyntheticNamesEveryProblem(t *testing.T) {
	if _, err := Synthetic("weekly", 100, 1); err == nil || !strings.Contains(err.Error(), "diurnal") {
		t.Errorf("unknown kind: %v, want the kinds there are", err)
	}
	if _, err := Synthetic("steady", 0, 1); err == nil {
		t.Error("no seconds: accepted")
	}
}

func TestPoisson(t *testing.T) {
	random := seeded("test", 1)
	for _, mean := range []float64{0, 0.05, 3, 49, 50, 777.7} {
		const n = 20_000
		sum, squares := 0.0, 0.0
		for range n {
			x := float64(poisson(random, mean))
			sum, squares = sum+x, squares+x*x
		}
		got := sum / n
		variance := squares/n - got*got
		if math.Abs(got-mean) > 5*math.Sqrt(mean/n) || math.Abs(variance-mean) > 0.06*mean {
			t.Errorf("mean %v: drew a mean of %v and a variance of %v", mean, got, variance)
		}
	}
}

func TestPeakRate(t *testing.T) {
	arrivals := make([]int, 2000)
	for i := range arrivals {
		arrivals[i] = 10
	}
	arrivals[7], arrivals[8], arrivals[9] = 1000, 371, 999
	// Rank 1998 of 2000: the third largest.
	if got := PeakRate(trace(t, arrivals...)); got != 12.4 {
		t.Errorf("rate %v, want 371/30 to three digits, 12.4", got)
	}
	sparse := make([]int, 100_000)
	sparse[5] = 60
	if got := PeakRate(trace(t, sparse...)); got != 2 {
		t.Errorf("rate %v for a trace of one busy second, want 2 after that second", got)
	}
	if got := PeakRate(trace(t, 0, 0)); got != 0 {
		t.Errorf("rate %v without records, want 0", got)
	}
}

func TestWindows(t *testing.T) {
	c := Class{Name: "test", Window: 40}
	// Ten seconds at each height; windows begin every ten seconds.
	var arrivals []int
	for _, height := range []int{1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 9, 9, 9, 9, 0, 0, 0, 0} {
		for range 10 {
			arrivals = append(arrivals, height)
		}
	}
	got, err := c.Windows("stairs", trace(t, arrivals...), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Name != "stairs" || got[1].Name != "stairs (busiest)" {
		t.Fatalf("scenarios %+v, want the 75th percentile and the busiest", got)
	}
	// Totals on the grid: 40 50 60 70 80 90 100 110 120 180 240 300 360 270 180 90 0; at the 75th percentile of 17: 180.
	if n := got[0].Trace.Records(); n != 180 {
		t.Errorf("the first window has %d records, want 180", n)
	}
	if n := got[1].Trace.Records(); n != 360 || got[1].Trace.Seconds() != 40 {
		t.Errorf("the busiest window has %d records in %d s, want 360 in 40", n, got[1].Trace.Seconds())
	}

	short, err := c.Windows("short", trace(t, 3, 3, 3), 1)
	if err != nil || len(short) != 1 || short[0].Trace.Seconds() != 3 || short[0].Rate != 0.1 {
		t.Errorf("a short trace: %+v, %v, want all of it", short, err)
	}
	if _, err := c.Windows("quiet", trace(t, 0, 0), 1); err == nil {
		t.Error("a trace without records: accepted")
	}
}

func TestWideBinsAreResampled(t *testing.T) {
	text := "second,records\n0,600\n60,600\n120,600\n180,1200\n"
	wide, err := ReadTrace(strings.NewReader(text), TraceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := Class{Name: "test", Window: 240}
	got, err := c.Windows("wide", wide, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := got[0]
	if s.Rate != 0.667 {
		t.Errorf("rate %v, want the largest mean, 20/s, over 30", s.Rate)
	}
	arrivals := perSecond(s.Trace)
	if slices.Max(arrivals) <= 20 || math.Abs(float64(s.Trace.Records()-3000)) > 300 {
		t.Errorf("%d records, at most %d in a second: want about 3000, and more than 20 by chance", s.Trace.Records(), slices.Max(arrivals))
	}
	narrow, err := ReadTrace(strings.NewReader("second,records\n0,100\n10,100\n"), TraceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err = c.Windows("narrow", narrow, 1); err != nil || slices.Max(perSecond(got[0].Trace)) != 10 {
		t.Errorf("narrow bins: %+v, %v, want an even spread", got, err)
	}
}
