//go:build !race

// Computation alone, which takes ten times as long with the race detector: make test runs it without.

package autoscale

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func newBudget(t testing.TB, inner Policy, hours float64, window time.Duration) *Budget {
	t.Helper()
	b, err := NewBudget(inner, BudgetOptions{WorkerHours: hours, Window: window})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBudgetOptionsNameEveryProblem(t *testing.T) {
	_, err := NewBudget(nil, BudgetOptions{WorkerHours: math.NaN(), Window: time.Second})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"the policy to pay for is nil", "WorkerHours is NaN", "Window is 1s"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not say %q:\n%v", part, err)
		}
	}
}

// outlay is what a pool cost, second by second, as the simulation counts.
type outlay struct {
	size     int
	draining []int // seconds left of each
	drain    int
	cost     []int
}

// until lets the pool be, to the given second.
func (p *outlay) until(second int) {
	for len(p.cost) < second {
		left := p.draining[:0]
		for _, s := range p.draining {
			if s > 0 {
				left = append(left, s-1)
			}
		}
		p.draining = left
		p.cost = append(p.cost, p.size+len(p.draining))
	}
}

func (p *outlay) resize(size int) {
	for range p.size - size {
		p.draining = append(p.draining, p.drain)
	}
	p.size = size
}

// dearest is the cost of the dearest window, in worker-seconds.
func (p *outlay) dearest(window int) int {
	sum, most := 0, 0
	for i, c := range p.cost {
		sum += c
		if i >= window {
			sum -= p.cost[i-window]
		}
		most = max(most, sum)
	}
	return most
}

// TestBudgetIsNeverExceeded plays traffic of all kinds: whatever the policy wants, the dearest window costs no more than
// the budget, or than MinSize costs all the time. Checks come at any time, and of every twenty the last four see nothing.
func TestBudgetIsNeverExceeded(t *testing.T) {
	const window = 4 * 3600
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 5))
		inner := &wants{}
		least, hours := r.IntN(4), 1+r.Float64()*60
		b := newBudget(t, inner, hours, window*time.Second)
		pool := &outlay{size: least, drain: r.IntN(60)}
		check, change := 1+r.IntN(30), 60+r.IntN(3600)
		for at := 0; at < 3*window; at += 1 + r.IntN(check) {
			pool.until(at)
			if at%change < check || seed%5 == 0 {
				inner.size = r.IntN(51)
			}
			if seed%7 == 0 {
				inner.size = 50
			}
			o := Observation{Time: noon.Add(time.Duration(at) * time.Second), Size: pool.size, Draining: len(pool.draining), MinSize: least, MaxSize: 50}
			if at/check%20 >= 16 {
				o.Unknown = "connection refused"
			}
			d := Decide(b, o)
			if d.NewSize < least || d.NewSize > 50 {
				t.Fatalf("seed %d: size %d, want %d to 50", seed, d.NewSize, least)
			}
			pool.resize(d.NewSize)
		}
		if got, most := float64(pool.dearest(window)), max(hours*3600, float64(least*window)); got > most {
			t.Errorf("seed %d: a window costs %.2f worker-hours, want at most %.2f (MinSize %d, %.1f hours)", seed, got/3600, most/3600, least, hours)
		}
	}
}

// TestBudgetRations: 48 worker-hours a day are 2 workers. A policy that always wants 40 gets a burst and then never starves,
// and what there is gets used.
func TestBudgetRations(t *testing.T) {
	inner := &wants{40}
	b := newBudget(t, inner, 48, 0)
	pool := &outlay{size: 1}
	burst, fewest := 0, 40
	for at := 0; at < 3*24*3600; at += 30 {
		pool.until(at)
		d := Decide(b, Observation{Time: noon.Add(time.Duration(at) * time.Second), Size: pool.size, MaxSize: 50})
		pool.resize(d.NewSize)
		burst, fewest = max(burst, d.NewSize), min(fewest, d.NewSize)
	}
	if burst < 7 || fewest < 1 {
		t.Errorf("%d to %d workers, want 7 or more at first, and always one", fewest, burst)
	}
	day := 0
	for _, c := range pool.cost[24*3600 : 48*3600] {
		day += c
	}
	if float64(day) < 0.85*48*3600 {
		t.Errorf("the second day used %.1f of 48 worker-hours", float64(day)/3600)
	}
	changes := 0
	for i := 24*3600 + 1; i < 48*3600; i++ {
		if pool.cost[i] != pool.cost[i-1] {
			changes++
		}
	}
	if changes > 100 {
		t.Errorf("%d changes of the size in a day", changes)
	}
}

// TestBudgetLeavesAloneWhatItCanPayFor: a quiet day with a burst of eight times the mean for an hour.
func TestBudgetLeavesAloneWhatItCanPayFor(t *testing.T) {
	inner := &wants{1}
	b := newBudget(t, inner, 48, 0)
	for at := 0; at < 48*3600; at += 60 {
		inner.size = 1
		if hour := at / 3600 % 24; hour == 20 {
			inner.size = 8
		}
		p := b.Decide(Observation{Time: noon.Add(time.Duration(at) * time.Second), Size: inner.size, MaxSize: 50})
		if len(p.Clamps) > 0 || p.WakeAt != 100 {
			t.Fatalf("hour %.1f: %+v", float64(at)/3600, p)
		}
	}
}

func TestBudgetSaysSo(t *testing.T) {
	inner := &wants{30}
	b := newBudget(t, inner, 24, 0)
	var p Proposal
	size := 0
	for at := range 120 {
		p = b.Decide(Observation{Time: noon.Add(time.Duration(at) * time.Minute), Size: size, MaxSize: 50})
		size = settledSize(p)
	}
	if p.Reason != "the budget pays for 3 of the 30 asked for: 18.1 of 24 worker-hours are left until May 7 12:05" {
		t.Errorf("reason %q", p.Reason)
	}
	if p.Size != 30 || p.WakeAt != 0 || len(p.Clamps) != 1 || p.Clamps[0] != (Clamp{ClampBudget, 30, 3}) {
		t.Errorf("%+v", p)
	}
	e := b.Explanation()
	if len(e.Estimates) != 2 || e.Estimates[1].Name != "worker_hours_left" || math.Abs(e.Estimates[1].Value-18.05) > 0.01 ||
		!strings.Contains(e.Otherwise, "with a larger budget 30 would run; one more than now is due when another") {
		t.Errorf("explanation %+v", e)
	}
	if b.Name() != "wants" || b.Unwrap() != Policy(inner) {
		t.Error("the inner policy does not show through")
	}
}

func TestBudgetState(t *testing.T) {
	inner := &wants{30}
	b := newBudget(t, inner, 24, 0)
	at := 0
	step := func(b *Budget, size int) int {
		at++
		return settledSize(b.Decide(Observation{Time: noon.Add(time.Duration(at) * time.Minute), Size: size, MaxSize: 50}))
	}
	size := 0
	for range 300 {
		size = step(b, size)
	}
	text, err := json.Marshal(b.State())
	if err != nil || len(text) > 8000 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	var state BudgetState
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	fresh := newBudget(t, inner, 24, 0)
	if err := fresh.Restore(state); err != nil {
		t.Fatal(err)
	}
	before := b.purse.left()
	at += 59 // an hour without anybody counting
	step(fresh, size)
	if got, want := fresh.purse.left(), before-float64(size); math.Abs(got-want) > 0.01 {
		t.Errorf("an hour of %d workers after a restart: %.3f left, want %.3f", size, got, want)
	}
	if err := fresh.Restore(state); err == nil {
		t.Error("restored in the middle")
	}
	for name, damage := range map[string]func(*BudgetState){
		"version": func(s *BudgetState) { s.Version++ }, "window_seconds": func(s *BudgetState) { s.WindowSeconds = 1 },
		"spent": func(s *BudgetState) { s.Spent = s.Spent[1:] }, "slot_seconds": func(s *BudgetState) { s.SlotSeconds = math.NaN() },
		"present": func(s *BudgetState) { s.Present = -1 },
	} {
		damaged := state
		damage(&damaged)
		if err := newBudget(t, inner, 24, 0).Restore(damaged); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s damaged: %v", name, err)
		}
	}
}

// TestBudgetSurvivesAnything feeds it nonsense.
func TestBudgetSurvivesAnything(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	numbers := []int{0, 1, 50, -1, math.MaxInt, math.MinInt}
	inner := &wants{}
	b := newBudget(t, inner, 5, time.Hour)
	at := noon
	for range 20_000 {
		at = at.Add(time.Duration(r.IntN(5000)-500) * time.Second)
		inner.size = r.IntN(60)
		o := Observation{Time: at, Size: r.IntN(60), Draining: numbers[r.IntN(len(numbers))], MinSize: r.IntN(3), MaxSize: 50}
		if d := Decide(b, o); d.NewSize < o.MinSize || d.NewSize > 50 {
			t.Fatalf("size %d from %+v", d.NewSize, o)
		}
		if left := b.Explanation().Estimates[1].Value; math.IsNaN(left) || left > 5 {
			t.Fatalf("%v worker-hours left", left)
		}
	}
}

func BenchmarkBudget(b *testing.B) {
	inner := &wants{20}
	budget := newBudget(b, inner, 1000, 0)
	b.ReportAllocs()
	for i := range b.N {
		budget.Decide(Observation{Time: seconds0(float64(i)), Size: 20, MaxSize: 50})
	}
}
