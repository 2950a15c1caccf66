package simulate

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// script is a policy that names a size per check, the last one for ever.
type script []int

func (s script) Name() string { return "script" }

func (s script) Decide(o autoscale.Observation) autoscale.Proposal {
	i := min(int(o.Time.Unix()), len(s)-1)
	return autoscale.Proposal{Size: s[i], Reason: "scripted"}
}

func trace(t *testing.T, perSecond ...int) *Trace {
	t.Helper()
	tr, err := NewTrace(perSecond...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func run(t *testing.T, tr *Trace, p autoscale.Policy, o Options) Result {
	t.Helper()
	r, err := Run(tr, p, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seconds per check of the scripts: one.
func everySecond(minimum, maximum int) Options {
	return Options{Rate: 1, MinSize: minimum, MaxSize: maximum, CheckInterval: time.Second}
}

// TestWorkedExample is the table at the end of the model's page.
func TestWorkedExample(t *testing.T) {
	policy := autoscale.Threshold{ScaleUpThreshold: 10, ScaleDownThreshold: 2, ScaleUpCount: 2, ScaleDownCount: 1}
	var rows []Row
	o := Options{
		Rate: 2, Startup: time.Second, MinSize: 1, MaxSize: 3, CheckInterval: time.Second, SLO: 2 * time.Second,
		Timeline: func(r Row) { rows = append(rows, r) },
	}
	m := newMachine(policy, o.withDefaults())
	table := []struct{ ready, starting, arrivals, served, depth, size, cost int }{
		{1, 0, 20, 2, 18, 3, 1},
		{1, 2, 0, 2, 16, 3, 4},
		{3, 0, 0, 6, 10, 3, 7},
		{3, 0, 0, 6, 4, 3, 10},
		{3, 0, 0, 4, 0, 2, 13},
	}
	for second, want := range table {
		m.tick(second, want.arrivals)
		got := rows[second]
		if got.Ready != want.ready || got.Starting != want.starting || got.Arrived != want.arrivals ||
			got.Completed != want.served || *got.Depth != want.depth || got.Size != want.size || m.account.cost != want.cost {
			t.Errorf("second %d: got %+v, depth %d, cost %d, want %+v", second, got, *got.Depth, m.account.cost, want)
		}
	}
	if got := rows[1].Reason; got != "at max size 3" || rows[1].NamedSize != 5 {
		t.Errorf("second 1: named %d because %q, want 5 and the upper bound", rows[1].NamedSize, got)
	}

	got := run(t, trace(t, 20), policy, o)
	want := Result{
		Policy: "threshold", Seconds: 5, Records: 20, Cost: 13, Useful: 10, CostRatio: 1.3, SLOViolations: 0.5,
		WaitP50: 2, WaitP90: 4, WaitP99: 4, WaitP999: 4, WaitMax: 4, MaxDepth: 18,
		ScaleUps: 1, ScaleDowns: 1, WorkersStarted: 2, WorkersStopped: 1, Reversals: 1,
	}
	if got != want {
		t.Errorf("result\n got %+v\nwant %+v", got, want)
	}
	waits := map[int]int{0: 2, 1: 2, 2: 6, 3: 6, 4: 4}
	for wait, count := range waits {
		if got := m.account.waits[wait]; got != count {
			t.Errorf("%d records waited %d s, want %d", got, wait, count)
		}
	}
}

func TestStartup(t *testing.T) {
	tests := []struct {
		name    string
		startup time.Duration
		want    []int // ready workers, second by second, after 1 -> 3 at second 0
	}{
		{"at once means from the next second on", 0, []int{1, 3, 3, 3}},
		{"one second", time.Second, []int{1, 1, 3, 3}},
		{"two seconds", 2 * time.Second, []int{1, 1, 1, 3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var ready []int
			o := everySecond(1, 3)
			o.Startup = test.startup
			o.Timeline = func(r Row) { ready = append(ready, r.Ready) }
			r := run(t, trace(t, 0, 0, 0, 0), script{3}, o)
			for i, want := range test.want {
				if ready[i] != want {
					t.Errorf("ready %v, want %v", ready, test.want)
					break
				}
			}
			if r.Cost != 1+3+3+3 {
				t.Errorf("cost %d, want 10: those asked for at second 0 cost from second 1 on, ready or not", r.Cost)
			}
		})
	}
}

func TestDrainCostsAndDoesNotServe(t *testing.T) {
	var rows []Row
	o := everySecond(1, 3)
	o.InitialSize, o.Drain = 3, 2*time.Second
	o.Timeline = func(r Row) { rows = append(rows, r) }
	r := run(t, trace(t, 0, 5, 0, 0, 0, 0), script{1}, o)
	// Two leave at second 0: they cost in 0, 1 and 2 and are gone at 3. One worker serves the five records.
	if r.Cost != 3+3+3+1+1+1 {
		t.Errorf("cost %d, want 12", r.Cost)
	}
	if rows[1].Completed != 1 || rows[1].Draining != 2 || rows[1].Ready != 1 {
		t.Errorf("second 1: %+v, want one record served by one ready worker, two draining", rows[1])
	}
	if rows[3].Draining != 0 || r.WaitMax != 4 || r.WorkersStopped != 2 {
		t.Errorf("second 3: %+v, result %+v, want nobody draining and the last record after 4 s", rows[3], r)
	}
}

func TestStartingOnesAreCancelledYoungestFirst(t *testing.T) {
	var rows []Row
	o := everySecond(1, 9)
	o.Startup, o.Drain = 3*time.Second, 5*time.Second
	o.Timeline = func(r Row) { rows = append(rows, r) }
	// Two are asked for at second 0 and three at second 1; four of the five go at second 2: all the young, one of the old.
	r := run(t, trace(t, 0, 0, 0, 0, 0, 0), script{3, 6, 2}, o)
	if rows[3].Starting != 1 || rows[3].Ready != 1 || rows[3].Draining != 0 {
		t.Errorf("after the cancelling: %+v, want 1 ready and 1 starting", rows[3])
	}
	if rows[4].Starting != 0 || rows[4].Ready != 2 {
		t.Errorf("second 4: %+v, want the one from second 0 ready", rows[4])
	}
	// A cancelled worker is gone at once: second 2 pays for 1 ready and 1 starting.
	if r.Cost != 1+3+2+2+2+2 {
		t.Errorf("cost %d, want 12", r.Cost)
	}
	if r.WorkersStarted != 5 || r.WorkersStopped != 4 || r.ScaleUps != 2 || r.ScaleDowns != 1 || r.Reversals != 1 {
		t.Errorf("%+v, want 5 started, 4 stopped, 2 ups, 1 down, 1 reversal", r)
	}
}

func TestCancellingMoreThanStartsDrainsTheRest(t *testing.T) {
	var rows []Row
	o := everySecond(1, 9)
	o.InitialSize, o.Startup, o.Drain = 3, 3*time.Second, time.Second
	o.Timeline = func(r Row) { rows = append(rows, r) }
	run(t, trace(t, 0, 0, 0, 0), script{5, 2}, o)
	if got := rows[2]; got.Ready != 2 || got.Starting != 0 || got.Draining != 1 {
		t.Errorf("after 5 -> 2: %+v, want 2 ready, 1 draining, none starting", got)
	}
	if got := rows[3]; got.Draining != 0 {
		t.Errorf("second 3: %d draining, want 0", got.Draining)
	}
}

func TestIdleTimeIsNotBanked(t *testing.T) {
	o := everySecond(1, 1)
	o.Rate = 0.5
	// A quiet minute earns nothing: half a record in the second of arrival, the whole one in the next.
	arrivals := append(make([]int, 60), 1)
	if r := run(t, trace(t, arrivals...), script{1}, o); r.WaitMax != 1 || r.Seconds != 62 {
		t.Errorf("waited %d s in %d s, want 1 in 62", r.WaitMax, r.Seconds)
	}
}

func TestCapacityDoesNotDrift(t *testing.T) {
	o := everySecond(1, 1)
	o.Rate = 0.1 // ten of these make exactly one record, unlike ten floats
	var served []int
	o.Timeline = func(r Row) { served = append(served, r.Completed) }
	run(t, trace(t, 3), script{1}, o)
	for second, n := range served {
		if want := (second + 1) % 10; (n == 1) != (want == 0) {
			t.Errorf("second %d: %d served, want one every tenth second", second, n)
		}
	}
	if len(served) != 30 {
		t.Errorf("took %d s, want 30", len(served))
	}
}

func TestWhatIsLeftAfterAnHourIsLate(t *testing.T) {
	o := everySecond(1, 1)
	o.SLO = 100_000 * time.Second
	r := run(t, trace(t, 4000), script{1}, o)
	if r.Seconds != 3601 || r.Unserved != 4000-3601 || r.WaitMax != 3600 {
		t.Errorf("%+v, want 3601 s, 399 unserved, 3600 s waited", r)
	}
	if want := 399.0 / 4000; r.SLOViolations != want {
		t.Errorf("violations %v, want %v", r.SLOViolations, want)
	}
}

func TestMissingReadings(t *testing.T) {
	var rows []Row
	o := everySecond(1, 5)
	o.Missing = func(second int) bool { return second == 1 || second == 2 }
	o.Timeline = func(r Row) { rows = append(rows, r) }
	run(t, trace(t, 3, 3, 3, 3), script{1, 5, 5, 1}, o)
	if rows[1].Depth != nil || rows[1].Arrived != 0 || rows[1].Size != 1 || rows[1].Ready != 1 {
		t.Errorf("missing check: %+v, want no reading and no change", rows[1])
	}
	if rows[3].Arrived != 9 || rows[3].Completed != 3 || rows[3].BusySeconds != 3 {
		t.Errorf("check after two missing ones: %+v, want 9 arrived and 3 completed", rows[3])
	}
}

func TestReversalsCountWithinFiveMinutes(t *testing.T) {
	sizes := make(script, 700)
	for i := range sizes {
		switch {
		case i < 300: // up at 0, down at 300: a reversal; up at 601: 301 s later, none
			sizes[i] = 2
		case i < 601:
			sizes[i] = 1
		default:
			sizes[i] = 2
		}
	}
	r := run(t, trace(t, make([]int, 700)...), sizes, everySecond(1, 2))
	if r.Reversals != 1 || r.ScaleUps != 2 || r.ScaleDowns != 1 {
		t.Errorf("%d reversals, %d ups, %d downs, want 1, 2, 1", r.Reversals, r.ScaleUps, r.ScaleDowns)
	}
}

func TestChecksKeepTheirInterval(t *testing.T) {
	var at []int
	o := everySecond(1, 1)
	o.CheckInterval = 4 * time.Second
	o.Timeline = func(r Row) { at = append(at, r.Second) }
	run(t, trace(t, 0, 0, 0, 0, 0, 0, 0, 0, 2), script{1}, o)
	if len(at) != 3 || at[2] != 8 {
		t.Errorf("checks at %v, want 0, 4, 8", at)
	}
}

func TestScaleLosesNothing(t *testing.T) {
	tr := trace(t, 1, 1, 1, 1, 1, 1, 1)
	for factor, want := range map[float64]int{0: 7, 1: 7, 0.5: 3, 2.5: 17, 10: 70} {
		o := everySecond(10, 10)
		o.Scale = factor
		if r := run(t, tr, script{10}, o); r.Records != want {
			t.Errorf("scale %v: %d records, want %d", factor, r.Records, want)
		}
	}
}

func TestQuantilesAreNearestRank(t *testing.T) {
	a := account{records: 1000, waits: map[int]int{0: 500, 1: 400, 7: 90, 8: 9, 100: 1}}
	got := a.quantiles(500, 900, 990, 999, 1000)
	for i, want := range []int{0, 1, 7, 8, 100} {
		if got[i] != want {
			t.Errorf("quantiles %v, want 0 1 7 8 100", got)
			break
		}
	}
}

// TestBooksBalance plays random traffic against random policies, and compares with a model that keeps every record
// and every worker by itself.
func TestBooksBalance(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		arrivals := make([]int, 200)
		for i := range arrivals {
			if random.IntN(3) == 0 {
				arrivals[i] = random.IntN(30)
			}
		}
		sizes := make(script, 400)
		for i := range sizes {
			sizes[i] = random.IntN(12)
		}
		o := Options{
			Rate: float64(random.IntN(5_000_000)+1) / million, Startup: time.Duration(random.IntN(5)) * time.Second,
			Drain: time.Duration(random.IntN(5)) * time.Second, MinSize: 1, MaxSize: 9, CheckInterval: time.Second,
		}
		got, again := run(t, trace(t, arrivals...), sizes, o), run(t, trace(t, arrivals...), sizes, o)
		if got != again {
			t.Errorf("seed %d: two runs differ:\n%+v\n%+v", seed, got, again)
		}
		cost, waits := slowModel(arrivals, sizes, o)
		total, longest := 0, 0
		for _, wait := range waits {
			total, longest = total+1, max(longest, wait)
		}
		if got.Cost != cost || got.Records-got.Unserved != total || (got.Unserved == 0 && got.WaitMax != longest) {
			t.Errorf("seed %d: cost %d, served %d, longest %d, want %d, %d, %d",
				seed, got.Cost, got.Records-got.Unserved, got.WaitMax, cost, total, longest)
		}
	}
}

// slowModel follows the page word for word, with a list entry per record and per worker.
func slowModel(arrivals []int, sizes script, o Options) (cost int, waits []int) {
	type worker struct{ readyAt, goneAt int } // goneAt -1: stays
	const forever = -1
	workers := []worker{}
	for range o.MinSize {
		workers = append(workers, worker{0, forever})
	}
	var queue []int
	rate, _ := micros(o.Rate)
	capacity := 0
	for t := 0; ; t++ {
		alive := workers[:0]
		for _, w := range workers {
			if w.goneAt == forever || w.goneAt > t {
				alive = append(alive, w)
			}
		}
		workers = alive
		if t < len(arrivals) {
			for range arrivals[t] {
				queue = append(queue, t)
			}
		}
		size := 0
		for _, w := range workers {
			if w.goneAt == forever {
				size++
				if w.readyAt <= t {
					capacity += rate
				}
			}
		}
		for capacity >= million && len(queue) > 0 {
			waits, queue, capacity = append(waits, t-queue[0]), queue[1:], capacity-million
		}
		if len(queue) == 0 {
			capacity = 0
		}
		want := min(max(sizes[min(t, len(sizes)-1)], o.MinSize), o.MaxSize)
		for i := len(workers) - 1; i >= 0 && size > want; i-- { // the youngest is the last: first those that start
			if w := &workers[i]; w.goneAt == forever && w.readyAt > t {
				workers = append(workers[:i], workers[i+1:]...)
				size--
			}
		}
		for i := len(workers) - 1; i >= 0 && size > want; i-- {
			if w := &workers[i]; w.goneAt == forever {
				w.goneAt = t + 1 + int(o.Drain/time.Second)
				size--
			}
		}
		cost += len(workers)
		for ; size < want; size++ {
			workers = append(workers, worker{t + 1 + int(o.Startup/time.Second), forever})
		}
		if t >= len(arrivals)-1 && (len(queue) == 0 || t == len(arrivals)-1+overtime) {
			return cost, waits
		}
	}
}

func TestRunNamesEveryProblem(t *testing.T) {
	_, err := Run(nil, nil, Options{
		Rate: 0.1234567, Startup: 1500 * time.Millisecond, Drain: -time.Second, CheckInterval: time.Millisecond,
		SLO: -1, MinSize: 5, MaxSize: 3, InitialSize: 9, Scale: -2,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{
		"the trace is empty", "the policy is nil", "Rate is 0.1234567", "Startup is 1.5s", "Drain is -1s", "CheckInterval is 1ms",
		"SLO is -1ns", "MinSize is 5, want at most MaxSize (3)", "InitialSize is 9", "Scale is -2",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not say %q:\n%v", part, err)
		}
	}
}

func TestRatesAreExact(t *testing.T) {
	for rate, want := range map[float64]int{0.1: 100_000, 0.000001: 1, 12.5: 12_500_000, 0.3: 300_000, 4.35: 4_350_000, 1e6: 1_000_000_000_000} {
		if got, err := micros(rate); got != want || err != nil {
			t.Errorf("rate %v: %d millionths, %v, want %d", rate, got, err, want)
		}
	}
	for _, rate := range []float64{0, -1, 0.0000001, 1e6 + 1} {
		if got, err := micros(rate); err == nil {
			t.Errorf("rate %v: %d millionths, want an error", rate, got)
		}
	}
}

func BenchmarkWeekOfSeconds(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	arrivals := make([]int, 7*24*3600)
	for i := range arrivals {
		arrivals[i] = random.IntN(100)
	}
	tr, err := NewTrace(arrivals...)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		o := Options{Rate: 7.5, Startup: 5 * time.Second, MinSize: 1, MaxSize: 50, CheckInterval: time.Second}
		if _, err := Run(tr, autoscale.DefaultOptions().Threshold(), o); err != nil {
			b.Fatal(err)
		}
	}
}
