package simulate_test

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// reference is the model again, written from its description and not from the code: every worker is a thing of its own, capacity
// and factors are exact fractions, and nothing is clever. It does not ask a policy; it is told the sizes that one named.
type reference struct {
	rate, capacity          *big.Rat
	startup, drain          int
	minimum, maximum        int
	interval, slo           int
	workers                 []worker // the oldest first
	queue                   []waiting
	arrived, completed      int // since the last check that was not missing
	records, cost, late     int
	waits                   map[int]int
	maxDepth                int
	ups, downs              int
	started, stopped        int
	reversals, lastAct, dir int
}

// worker is starting until readyAt, and draining from the moment that it has a time to leave at.
type worker struct{ readyAt, goneAt int }

type waiting struct{ since, count int }

// seen is what the reference knows at a check, in the words of a [simulate.Row].
type seen struct {
	depth, oldest, ready, starting, draining, arrived, completed, size int
}

func (r *reference) depth() (n int) {
	for _, w := range r.queue {
		n += w.count
	}
	return n
}

func (r *reference) count(t int) (ready, starting, draining int) {
	for _, w := range r.workers {
		switch {
		case w.goneAt > 0:
			draining++
		case w.readyAt > t:
			starting++
		default:
			ready++
		}
	}
	return ready, starting, draining
}

// tick is one second; named is what the policy names if there is a check, and missing says that it sees nothing.
func (r *reference) tick(t, arrivals, named int, missing bool) (s seen) {
	r.workers = slices.DeleteFunc(r.workers, func(w worker) bool { return w.goneAt > 0 && w.goneAt <= t })
	if arrivals > 0 {
		r.queue = append(r.queue, waiting{t, arrivals})
	}
	r.records += arrivals
	r.arrived += arrivals

	ready, starting, draining := r.count(t)
	r.capacity.Add(r.capacity, new(big.Rat).Mul(r.rate, big.NewRat(int64(ready), 1)))
	whole := new(big.Int).Quo(r.capacity.Num(), r.capacity.Denom())
	serve := min(r.depth(), int(whole.Int64()))
	r.capacity.Sub(r.capacity, big.NewRat(int64(serve), 1))
	r.completed += serve
	for serve > 0 {
		n := min(serve, r.queue[0].count)
		r.waited(t-r.queue[0].since, n)
		serve -= n
		if r.queue[0].count -= n; r.queue[0].count == 0 {
			r.queue = r.queue[1:]
		}
	}
	depth := r.depth()
	if depth == 0 {
		r.capacity = new(big.Rat)
	}
	r.maxDepth = max(r.maxDepth, depth)
	if t%r.interval != 0 {
		r.cost += len(r.workers)
		return s
	}
	s = seen{depth: depth, ready: ready, starting: starting, draining: draining, arrived: r.arrived, completed: r.completed}
	if depth > 0 {
		s.oldest = t - r.queue[0].since
	}
	s.size = min(max(named, r.minimum), r.maximum)
	if missing {
		s.size = ready + starting
	} else {
		r.arrived, r.completed = 0, 0
	}
	r.resize(t, s.size-(ready+starting))
	// Those it started cost from the next second on; those it cancelled are gone at once.
	r.cost += len(r.workers) - max(0, s.size-(ready+starting))
	return s
}

// resize starts workers, or stops the youngest.
func (r *reference) resize(t, by int) {
	act := 0
	for ; by > 0; by-- {
		r.workers = append(r.workers, worker{readyAt: t + 1 + r.startup})
		r.started++
		act = 1
	}
	for ; by < 0; by++ {
		act = -1
		r.stopped++
		if i := r.youngest(func(w worker) bool { return w.goneAt == 0 && w.readyAt > t }); i >= 0 {
			r.workers = slices.Delete(r.workers, i, i+1)
			continue
		}
		r.workers[r.youngest(func(w worker) bool { return w.goneAt == 0 })].goneAt = t + 1 + r.drain
	}
	switch act {
	case 0:
		return
	case 1:
		r.ups++
	default:
		r.downs++
	}
	if r.dir == -act && t-r.lastAct <= 300 {
		r.reversals++
	}
	r.dir, r.lastAct = act, t
}

func (r *reference) youngest(is func(worker) bool) int {
	for i := len(r.workers) - 1; i >= 0; i-- {
		if is(r.workers[i]) {
			return i
		}
	}
	return -1
}

func (r *reference) waited(seconds, count int) {
	r.waits[seconds] += count
	if seconds > r.slo {
		r.late += count
	}
}

// quantile is the smallest wait that at least per of mille records do not exceed.
func (r *reference) quantile(per int) int {
	seconds := make([]int, 0, len(r.waits))
	for w := range r.waits {
		seconds = append(seconds, w)
	}
	slices.Sort(seconds)
	sum := 0
	for _, w := range seconds {
		if sum += r.waits[w]; 1000*sum >= per*r.records {
			return w
		}
	}
	return 0
}

// readArrivals is the trace's file, second by second, read without the code under test.
func readArrivals(t *testing.T, name string) []int {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var in io.Reader = file
	if strings.HasSuffix(name, ".gz") {
		if in, err = gzip.NewReader(file); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := csv.NewReader(in).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var seconds, records []int64
	width := int64(0)
	for i, row := range rows[1:] {
		second, _ := strconv.ParseInt(row[0], 10, 64)
		n, _ := strconv.ParseInt(row[1], 10, 64)
		if i > 0 {
			width = new(big.Int).GCD(nil, nil, big.NewInt(width), big.NewInt(second-seconds[i-1])).Int64()
		}
		seconds, records = append(seconds, second), append(records, n)
	}
	width = max(width, 1)
	arrivals := make([]int, seconds[len(seconds)-1]+width)
	for i, second := range seconds {
		for j := range width {
			arrivals[second+j] = int((j+1)*records[i]/width - j*records[i]/width)
		}
	}
	return arrivals
}

// replayed checks a run against the reference, row by row and in the end.
func replayed(t *testing.T, arrivals []int, rows []simulate.Row, got simulate.Result, o simulate.Options) {
	t.Helper()
	rate, _ := new(big.Rat).SetString(strconv.FormatFloat(o.Rate, 'f', -1, 64))
	r := &reference{
		rate: rate, capacity: new(big.Rat), waits: map[int]int{},
		startup: int(o.Startup.Seconds()), drain: int(o.Drain.Seconds()), interval: int(o.CheckInterval.Seconds()), slo: int(o.SLO.Seconds()),
		minimum: o.MinSize, maximum: o.MaxSize,
	}
	for range max(o.InitialSize, o.MinSize) {
		r.workers = append(r.workers, worker{})
	}
	factor, _ := new(big.Rat).SetString(strconv.FormatFloat(max(o.Scale, 0), 'f', -1, 64))
	if o.Scale == 0 {
		factor = big.NewRat(1, 1)
	}
	total, passed := int64(0), int64(0)
	end := 0
	for ; ; end++ {
		n := 0
		if end < len(arrivals) {
			total += int64(arrivals[end])
			scaled := new(big.Rat).Mul(factor, big.NewRat(total, 1))
			all := new(big.Int).Quo(scaled.Num(), scaled.Denom()).Int64()
			n, passed = int(all-passed), all
		}
		var row simulate.Row
		if end%r.interval == 0 {
			if len(rows) == 0 {
				t.Fatalf("no row for the check at %d", end)
			}
			row, rows = rows[0], rows[1:]
		}
		missing := o.Missing != nil && o.Missing(end)
		s := r.tick(end, n, row.NamedSize, missing)
		if end%r.interval == 0 {
			want := seen{ready: row.Ready, starting: row.Starting, draining: row.Draining, size: row.Size, arrived: row.Arrived, completed: row.Completed}
			if row.Depth != nil {
				want.depth, want.oldest = *row.Depth, *row.OldestWait
			}
			if missing {
				s.depth, s.oldest, s.arrived, s.completed = 0, 0, 0, 0
			}
			if s != want || row.Second != end {
				t.Fatalf("at %d the reference has %+v, and the row of %d %+v", end, s, row.Second, want)
			}
		}
		if last := len(arrivals) - 1; end >= last && (r.depth() == 0 || end == last+3600) {
			break
		}
	}
	unserved := r.depth()
	for _, w := range r.queue {
		r.waited(end-w.since, w.count)
		if end-w.since <= r.slo {
			r.late += w.count // all of them are
		}
	}
	want := simulate.Result{
		Policy: got.Policy, Useful: got.Useful, CostRatio: got.CostRatio, SLOViolations: got.SLOViolations, // below
		Seconds: end + 1, Records: r.records, Cost: r.cost, MaxDepth: r.maxDepth, ScaleUps: r.ups, ScaleDowns: r.downs,
		WorkersStarted: r.started, WorkersStopped: r.stopped, Reversals: r.reversals, Unserved: unserved,
		WaitP50: r.quantile(500), WaitP90: r.quantile(900), WaitP99: r.quantile(990), WaitP999: r.quantile(999), WaitMax: r.quantile(1000),
	}
	if got != want {
		t.Errorf("the run has\n%+v\nand the reference\n%+v", got, want)
	}
	if got.SLOViolations*float64(r.records) < float64(r.late)-0.5 || got.SLOViolations*float64(r.records) > float64(r.late)+0.5 {
		t.Errorf("the run has %v of %d late, the reference %d", got.SLOViolations, r.records, r.late)
	}
	useful, _ := new(big.Rat).Quo(big.NewRat(int64(r.records), 1), rate).Float64()
	if diff := got.Useful - useful; diff > 1e-6*useful || diff < -1e-6*useful {
		t.Errorf("the run has %v useful worker-seconds, the reference %v", got.Useful, useful)
	}
	if len(rows) > 0 {
		t.Errorf("%d checks after the end", len(rows))
	}
}

// mostReplayed is how many seconds of a trace the reference replays.
const mostReplayed = 90_000

// TestRunAgreesWithReference plays every trace that there is with several policies, and compares what each check saw and what came of
// it all with the reference, to the record and the worker-second.
func TestRunAgreesWithReference(t *testing.T) {
	files, err := filepath.Glob("../../traces/*.csv*")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d traces, error %v", len(files), err)
	}
	second := time.Second
	pools := []simulate.Options{
		{Startup: 5 * second, MinSize: 2, MaxSize: 40, CheckInterval: 10 * second, SLO: 30 * second},
		{MinSize: 0, MaxSize: 50, InitialSize: 3, CheckInterval: second, SLO: 5 * second, Scale: 0.37},
		{Startup: 60 * second, Drain: 17 * second, MinSize: 1, MaxSize: 25, CheckInterval: 15 * second, SLO: 120 * second, Scale: 1.3,
			Missing: func(second int) bool { return second/15%20 >= 16 }},
	}
	policies := []string{"slo", "threshold", "hpa", "kpa"}
	for i, file := range files {
		name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".gz"), ".csv")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrivals := readArrivals(t, file)
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			trace, err := simulate.ReadTrace(f, simulate.TraceOptions{})
			if err != nil || trace.Seconds() != len(arrivals) {
				t.Fatalf("%d seconds, error %v, want %d", trace.Seconds(), err, len(arrivals))
			}
			if len(arrivals) > mostReplayed { // the reference is slow
				if trace, err = trace.First(mostReplayed); err != nil {
					t.Fatal(err)
				}
				arrivals = arrivals[:mostReplayed]
			}
			rate := simulate.PeakRate(trace)
			for j, o := range pools {
				policy := policies[(i+j)%len(policies)]
				t.Run(fmt.Sprint(policy, " in pool ", j), func(t *testing.T) {
					o.Rate = rate
					var rows []simulate.Row
					o.Timeline = func(r simulate.Row) { rows = append(rows, r) }
					p := rival(t, policy, o)
					got, err := simulate.Run(trace, p, o)
					if err != nil {
						t.Fatal(err)
					}
					replayed(t, arrivals, rows, got, o)
				})
			}
		})
	}
}

func rival(t *testing.T, name string, o simulate.Options) autoscale.Policy {
	t.Helper()
	var p autoscale.Policy
	var err error
	switch name {
	case "slo":
		p, err = autoscale.NewSLO(autoscale.SLOOptions{SLO: o.SLO, CheckInterval: o.CheckInterval})
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
