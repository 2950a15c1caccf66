package league

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// start is when all leagues here begin.
var start = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// named builds a fresh policy for an SLO of 30 s and a check each second.
func named(t testing.TB, name string) autoscale.Policy {
	t.Helper()
	var p autoscale.Policy
	var err error
	switch name {
	case "slo":
		p, err = autoscale.NewSLO(autoscale.SLOOptions{SLO: 30 * time.Second, CheckInterval: time.Second, Startup: -1})
	case "threshold":
		p = autoscale.DefaultOptions().Threshold()
	default:
		p, err = rivals.New(name, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// contestants are policies by name, the first one in charge.
func contestants(t testing.TB, names ...string) (list []Contestant) {
	for i, name := range names {
		list = append(list, Contestant{Policy: named(t, name), InCharge: i == 0})
	}
	return list
}

func begin(t testing.TB, list ...Contestant) *League {
	t.Helper()
	l, err := New(Options{Contestants: list, MinSize: 1, MaxSize: 20, CheckInterval: time.Second, SLO: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// second is one in which so many records came, and in which the real pool has 3 workers of 10 records/s.
func second(i, arrived int) Second {
	return Second{Time: start.Add(time.Duration(i) * time.Second), Arrived: arrived, Completed: 20, ServiceSeconds: 2, Workers: 3}
}

// waves is traffic with bursts.
func waves(seconds int) []int {
	random := rand.New(rand.NewPCG(7, 7))
	list := make([]int, seconds)
	for i := range list {
		list[i] = 40 + int(30*math.Sin(float64(i)/200)) + random.IntN(20)
		if i%900 < 20 {
			list[i] += 150
		}
	}
	return list
}

// TestScoresAreThoseOfTheSimulator plays the same traffic in a league and in the simulator.
func TestScoresAreThoseOfTheSimulator(t *testing.T) {
	names := append([]string{"slo", "threshold"}, rivals.Names()...)
	l := begin(t, contestants(t, names...)...)
	arrivals := append(waves(2600), make([]int, 400)...) // so that nothing waits at the end, where the simulator goes on
	for i, n := range arrivals {
		l.Step(second(i, n))
	}
	trace, err := simulate.NewTrace(arrivals...)
	if err != nil {
		t.Fatal(err)
	}
	st := l.Standing()
	if st.Policy != "slo" || math.Abs(st.Rate-10) > 1e-6 || st.Total.Seconds != 3000 || st.Total.Records != trace.Records() || !st.Since.Equal(start) {
		t.Errorf("standing %+v", st)
	}
	for i, r := range st.Policies {
		o := simulate.Options{Rate: 10, MinSize: 1, MaxSize: 20, InitialSize: 3, CheckInterval: time.Second, SLO: 30 * time.Second}
		want, err := simulate.Run(trace, named(t, names[i]), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-9s %+v", r.Policy, r.Total)
		if r.Policy != names[i] || r.InCharge != (i == 0) || r.DroppedOut != "" {
			t.Errorf("row %d: %+v", i, r)
		}
		near := func(what string, got, want, within float64) {
			if math.Abs(got-want) > within {
				t.Errorf("%s: %s is %v, in the simulator %v", r.Policy, what, got, want)
			}
		}
		near("cost ratio", r.Total.CostRatio, want.CostRatio, 1e-9)
		near("late share", r.Total.LateShare, want.SLOViolations, 0)
		near("p99", float64(r.Total.WaitP99), float64(want.WaitP99), 0.032*float64(want.WaitP99))
		near("reversals", float64(r.Total.Reversals), float64(want.Reversals), 0)
		hour := r.LastHour
		if math.Abs(hour.CostRatio-r.Total.CostRatio) < 1e-9 {
			hour.CostRatio = r.Total.CostRatio // it was added up in another order
		}
		if hour != r.Total {
			t.Errorf("%s: the last hour %+v is not the total %+v, after less than an hour", r.Policy, hour, r.Total)
		}
	}
	if want := 3 * 3000 / 3600.0; math.Abs(st.Real.Total.WorkerHours-want) > 1e-9 || st.Real.Size != 3 {
		t.Errorf("the real pool %+v, want %v worker-hours of 3 workers", st.Real, want)
	}
}

// two is the policy that wants two workers.
type two struct{}

func (two) Name() string { return "two" }

func (two) Decide(autoscale.Observation) autoscale.Proposal { return autoscale.Proposal{Size: 2} }

func TestLastHour(t *testing.T) {
	l := begin(t, Contestant{Policy: two{}})
	for i := range 3 * 3600 {
		n := 10
		if i < 3600 {
			n = 22 // more than two workers do
		}
		l.Step(second(i, n))
	}
	st := l.Standing()
	if st.LastHour.Seconds != 3600 || st.LastHour.Records != 36_000 || st.Total.Records != 22*3600+72_000 {
		t.Errorf("the last hour is %+v of %+v", st.LastHour, st.Total)
	}
	r := st.Policies[0]
	if r.LastHour.LateShare != 0 || r.LastHour.WorkerHours != 2 || r.LastHour.WaitP99 != 0 || r.Total.LateShare < 0.4 || r.Total.WaitP99 < 300 {
		t.Errorf("the last hour %+v, the whole %+v: want a first hour with late records in the whole only", r.LastHour, r.Total)
	}
}

func TestNothingIsScoredBeforeTheRateIsKnown(t *testing.T) {
	l := begin(t, contestants(t, "slo", "hpa")...)
	for i := range 50 {
		l.Step(Second{Time: start.Add(time.Duration(i) * time.Second), Arrived: 5, Workers: 2})
	}
	if st := l.Standing(); st.WaitingFor == "" || st.Since != nil || st.Rate != 0 || st.Total.Seconds != 0 || st.Policies[1].Total != (Score{}) || st.Real.Size != 2 {
		t.Errorf("before anything was completed: %+v", st)
	}
	l.Step(Second{Time: start.Add(50 * time.Second), Arrived: 5, Workers: 7, Completed: 251, ServiceSeconds: 3.3333})
	if st := l.Standing(); st.WaitingFor != "" || math.Abs(st.Rate-75.3) > 0.1 || st.Policies[1].DroppedOut != "" || st.Total.Seconds != 1 || st.Policies[1].Total.WorkerHours != 7.0/3600 {
		t.Errorf("after the first records: %+v", st)
	}
}

func TestRate(t *testing.T) {
	var r rate
	for range 10 {
		r.learn(5, 0.01)
		r.learn(0, 0)
		r.learn(-4, 3)
		r.learn(3, math.NaN())
	}
	if r.value() != 0 {
		t.Errorf("after 50 records %v, want it unknown", r.value())
	}
	for range 10 {
		r.learn(5, 0.01)
	}
	if got := r.value(); math.Abs(got-500) > 1e-6 {
		t.Errorf("rate %v, want 500", got)
	}
	for range 1000 {
		r.learn(0, 0) // idle
	}
	for range 240 {
		r.learn(100, 1)
	}
	if got := r.value(); math.Abs(got-100) > 1 {
		t.Errorf("rate %v after four minutes at 100, want about that", got)
	}
	for range 2000 {
		r.learn(1e9, 1)
	}
	if got := r.value(); got != mostRate {
		t.Errorf("rate %v, want at most %v", got, mostRate)
	}
}

// sick panics after so many checks.
type sick int

func (s *sick) Name() string { return "sick" }

func (s *sick) Decide(o autoscale.Observation) autoscale.Proposal {
	if *s--; *s < 0 {
		panic("I feel ill")
	}
	return autoscale.Proposal{Size: o.Size}
}

func TestWhoPanicsDropsOut(t *testing.T) {
	ill := sick(100)
	l := begin(t, append(contestants(t, "slo", "hpa"), Contestant{Policy: &ill})...)
	healthy := begin(t, contestants(t, "slo", "hpa")...)
	for i, n := range waves(4000) {
		l.Step(second(i, n))
		healthy.Step(second(i, n))
	}
	st := l.Standing()
	r := st.Policies[2]
	if r.DroppedOut != "it panicked: I feel ill" || r.LastHour != (Score{}) || math.Abs(r.Total.WorkerHours-300.0/3600) > 1e-3 || r.Total.CostRatio > 2 {
		t.Errorf("the sick one: %+v, want its scores of the first 100 seconds", r)
	}
	for i, want := range healthy.Standing().Policies {
		if st.Policies[i] != want {
			t.Errorf("beside it %+v, want %+v", st.Policies[i], want)
		}
	}
}

func TestImpossibleLeagues(t *testing.T) {
	_, err := New(Options{Contestants: append(contestants(t, "hpa", "hpa"), Contestant{}), MinSize: 4, MaxSize: 2})
	for _, want := range []string{"hpa plays twice", "contestant 3 has no policy", "MinSize is 4"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
	if _, err := New(Options{MaxSize: 1}); err == nil {
		t.Error("a league of nobody was taken")
	}
}

// TestAChangeBeginsAnew: what follows is what a league says that was begun then.
func TestAChangeBeginsAnew(t *testing.T) {
	l := begin(t, append(contestants(t, "slo", "hpa"), Contestant{Policy: new(sick)})...)
	for i, n := range waves(5000) {
		l.Step(second(i, n))
	}
	if st := l.Standing(); st.Total.Seconds != 5000 || st.Policies[2].DroppedOut == "" || st.SinceWhy != "" {
		t.Fatalf("before: %+v", st)
	}
	other := func() Options {
		return Options{Contestants: contestants(t, "threshold", "slo"), MinSize: 2, MaxSize: 5, CheckInterval: 2 * time.Second, SLO: 10 * time.Second}
	}
	if err := l.Change(other(), "settings changed"); err != nil {
		t.Fatal(err)
	}
	st := l.Standing()
	if st.Policy != "threshold" || st.SLO != 10 || st.CheckInterval != 2 || len(st.Policies) != 2 || math.Abs(st.Rate-10) > 1e-6 || st.Real.Size != 3 {
		t.Errorf("after the change %+v, want the new rules, and the rate as it was", st)
	}
	if st.Since != nil || st.SinceWhy != "" || st.WaitingFor != "the first second by the new settings" || st.Total != (Span{}) || st.LastHour != (Span{}) ||
		st.Policies[1].Total != (Score{}) || st.Real.Total != (RealScore{}) {
		t.Errorf("after the change %+v, want nothing scored", st)
	}
	fresh, err := New(other())
	if err != nil {
		t.Fatal(err)
	}
	fresh.rate = l.rate
	for i, n := range waves(4000) {
		l.Step(second(5000+i, n))
		fresh.Step(second(5000+i, n))
		if s := l.Standing().Policies[0].Size; i%100 == 0 && (s < 2 || s > 5) {
			t.Fatalf("a size of %d after %d s, want 2 to 5", s, i)
		}
	}
	got, want := l.Standing(), fresh.Standing()
	if got.SinceWhy != "settings changed" || !got.Since.Equal(start.Add(5000*time.Second)) || got.Total.Seconds != 4000 {
		t.Errorf("since %v (%s), %+v", got.Since, got.SinceWhy, got.Total)
	}
	got.SinceWhy = ""
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n%+v, want that of a league begun then\n%+v", got, want)
	}
}

func TestAnImpossibleChangeChangesNothing(t *testing.T) {
	l := begin(t, contestants(t, "slo", "hpa")...)
	for i := range 100 {
		l.Step(second(i, 30))
	}
	before := l.Standing()
	err := l.Change(Options{Contestants: contestants(t, "hpa", "hpa"), MinSize: 4, MaxSize: 2}, "a mistake")
	if err == nil || !strings.Contains(err.Error(), "hpa plays twice") || !strings.Contains(err.Error(), "MinSize is 4") {
		t.Errorf("error %v", err)
	}
	if after := l.Standing(); !reflect.DeepEqual(after, before) {
		t.Errorf("%+v, was %+v", after, before)
	}
}

func TestWholeSeconds(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{0: 1, 1: 1, time.Second: 1, 1500 * time.Millisecond: 2, time.Minute: 60} {
		if got := WholeSeconds(d); got != want*time.Second {
			t.Errorf("%v becomes %v, want %v", d, got, want*time.Second)
		}
	}
}

func TestPlacesOfWaits(t *testing.T) {
	last := -1
	for wait := range 100_000 {
		i := place(wait)
		if i < last || i > last+1 {
			t.Fatalf("a wait of %d s is at place %d, the one before at %d", wait, i, last)
		}
		if last = i; longest(i) < wait || float64(longest(i)) > float64(wait)*1.032+1 {
			t.Fatalf("a wait of %d s is told as %d", wait, longest(i))
		}
	}
	if n := place(1 << 30); n > 1000 {
		t.Errorf("a wait of 34 years is at place %d", n)
	}
}

// TestMemoryIsBounded lets some contestants fall behind for ever; what is kept does not grow any more.
func TestMemoryIsBounded(t *testing.T) {
	all := append([]string{"slo", "threshold"}, rivals.Names()...)
	l := begin(t, contestants(t, all...)...)
	used := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	play := func(from, to int) int {
		for i := from; i < to; i++ {
			s := second(i, 500) // twenty workers do 200
			if i%97 == 0 {
				s.Completed++
			}
			l.Step(s)
		}
		return used()
	}
	days := play(0, 6_000)
	later := play(6_000, 16_000)
	t.Logf("%d KB, later %d KB", days>>10, later>>10)
	if later > days+days/4+1<<20 {
		t.Errorf("%d bytes, later %d: want it to stay", days, later)
	}
	if st := l.Standing(); st.Policies[0].Total.LateShare < 0.99 {
		t.Errorf("%+v, want all late", st.Policies[0])
	}
}

func TestManyReaders(t *testing.T) {
	l := begin(t, contestants(t, "slo", "hpa")...)
	var g sync.WaitGroup
	for range 3 {
		g.Go(func() {
			for range 50 {
				l.Standing()
			}
		})
	}
	for i := range 500 {
		if i%100 == 50 {
			if err := l.Change(Options{Contestants: contestants(t, "hpa", "slo"), MaxSize: 1 + i, SLO: time.Second}, "another size"); err != nil {
				t.Error(err)
			}
		}
		l.Step(second(i, 30))
	}
	g.Wait()
}

func BenchmarkStep(b *testing.B) {
	for _, names := range [][]string{{"slo"}, append([]string{"slo", "threshold"}, rivals.Names()...)} {
		b.Run(fmt.Sprint(len(names)), func(b *testing.B) {
			l := begin(b, contestants(b, names...)...)
			arrivals := waves(5000)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				l.Step(second(i, arrivals[i%len(arrivals)]))
			}
		})
	}
}

// TestTheRealPoolIsMeasured: its late share is what the caller counted, over the same spans as the scores, and unknown without a count.
func TestTheRealPoolIsMeasured(t *testing.T) {
	l := begin(t, contestants(t, "slo")...)
	l.Step(second(0, 20))
	if st := l.Standing(); st.Real.Total.LateShare != nil || st.Real.LastHour.LateShare != nil {
		t.Errorf("nobody measures, and the late share is %+v", st.Real)
	}
	for i := range 7200 {
		s := second(i+1, 20)
		s.Judged = 20
		if i < 3600 {
			s.Late = 5
		}
		l.Step(s)
	}
	st := l.Standing()
	if total, hour := st.Real.Total.LateShare, st.Real.LastHour.LateShare; total == nil || *total != 0.125 || hour == nil || *hour != 0 {
		t.Errorf("late share %v of all and %v of the last hour, want 0.125 and 0", total, hour)
	}
}
