package autoscale

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// shift is a pool at work: what comes and what each worker does per second, with a check each second.
type shift struct {
	rate           float64
	startup        int // seconds
	size, min, max int
}

// ledger plays a policy over arrivals per second and keeps its decisions as the controller does.
func (s shift) ledger(p Policy, arrivals []float64) []Decision {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var rows []Decision
	var waiting []float64 // by the second of arrival
	var starts []int
	first, ready, size := 0, s.size, s.size
	for second, n := range arrivals {
		for len(starts) > 0 && starts[0] <= second {
			starts = starts[1:]
			ready = min(ready+1, size)
		}
		waiting = append(waiting, n)
		capacity, done := float64(ready)*s.rate, 0.0
		for ; first < len(waiting) && capacity > 0; first++ {
			part := min(waiting[first], capacity)
			waiting[first], capacity, done = waiting[first]-part, capacity-part, done+part
			if waiting[first] > 0 {
				break
			}
		}
		depth := 0.0
		for _, w := range waiting[first:] {
			depth += w
		}
		o := Observation{
			Time: noon.Add(time.Duration(second) * time.Second), Depth: int(depth), Size: size, MinSize: s.min, MaxSize: s.max,
			Ready: ready, Starting: size - ready, Arrived: int(n), Completed: int(done),
		}
		if s.rate > 0 {
			o.BusySeconds = done / s.rate
		}
		if o.Depth > 0 {
			o.OldestWait = time.Duration(second-first) * time.Second
		}
		d := Decide(p, o)
		e := explanationOf(p)
		d.Explanation, d.Saw = &e, saw(o)
		rows = append(rows, d)
		for range d.NewSize - size {
			starts = append(starts, second+s.startup)
		}
		if d.NewSize < ready {
			ready = d.NewSize
		}
		starts = starts[:min(len(starts), max(0, d.NewSize-ready))]
		size = d.NewSize
	}
	return rows
}

func level(n int, perSecond float64) []float64 { return slices.Repeat([]float64{perSecond}, n) }

func TestDiagnoseOfSLO(t *testing.T) {
	for _, test := range []struct {
		name     string
		shift    shift
		slo      time.Duration
		arrivals []float64
		question string
		problem  bool
		answer   string // its beginning
		setting  string
		suggest  string // its beginning
	}{
		{"full", shift{10, 0, 1, 1, 4}, 5 * time.Second, append(level(20, 8), level(60, 90)...), QuestionNotUp, true,
			"The pool was at its maximum of 4 in ", "max_size", "6"},
		{"starting takes too long", shift{10, 20, 1, 1, 40}, 10 * time.Second, append(level(60, 8), level(40, 90)...), QuestionNotUp, true,
			"It was, but not in time: records were up to ", "", "workers that start faster"},
		{"nothing is ever done", shift{0, 0, 2, 1, 4}, 10 * time.Second, level(30, 1), QuestionNotUp, true,
			"Records waited in ", "", "look at why the workers finish nothing"},
		{"nothing is done so far", shift{0, 0, 2, 1, 4}, 10 * time.Second, level(5, 1), QuestionNotUp, false,
			"It is: 2 ups", "", ""},
		{"it follows", shift{10, 0, 1, 1, 4}, 10 * time.Second, append(level(30, 8), level(60, 28)...), QuestionNotUp, false,
			"It is: ", "", ""},
		{"calm", shift{10, 0, 1, 1, 4}, 10 * time.Second, level(60, 8), QuestionNotUp, false,
			"It had no reason to: the policy named no larger size", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := NewSLO(SLOOptions{SLO: test.slo, CheckInterval: time.Second, Startup: cmp.Or(time.Duration(test.shift.startup)*time.Second, -1)})
			if err != nil {
				t.Fatal(err)
			}
			rows := test.shift.ledger(p, test.arrivals)
			findings := Diagnose(rows, Options{MinSize: test.shift.min, MaxSize: test.shift.max, CheckInterval: time.Second})
			i := slices.IndexFunc(findings, func(f Finding) bool { return f.Question == test.question })
			f := findings[i]
			if f.Problem != test.problem || !strings.HasPrefix(f.Answer, test.answer) || f.Setting != test.setting || !strings.HasPrefix(f.Suggested, test.suggest) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

// What slo says it would start above is what it starts above.
func TestStartAboveIsKept(t *testing.T) {
	s := shift{rate: 10, size: 2, min: 1, max: 50}
	asked := 0
	for calm := 30; calm < 70; calm++ {
		build := func() *SLO {
			p, err := NewSLO(SLOOptions{SLO: 5 * time.Second, CheckInterval: time.Second, Startup: -1})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		before := s.ledger(build(), level(calm, 16))
		last := before[len(before)-1]
		if last.Action != ActionHold {
			continue
		}
		asked++
		above, ok := last.estimate("start_above_arrivals_per_second")
		if !ok || !strings.Contains(last.Explanation.Otherwise, "the next start is due if arrivals exceed "+sloNumber(above)+"/s") {
			t.Fatalf("after %d s it says %+v", calm, last.Explanation)
		}
		for _, next := range []float64{math.Floor(above) - 1, math.Ceil(above) + 2} {
			rows := s.ledger(build(), append(level(calm, 16), next))
			if up := rows[len(rows)-1].Action == ActionUp; up != (next > above) {
				t.Errorf("after %d s at 16/s, with %v/s: up %v, and it had said above %.1f/s", calm, next, up, above)
			}
		}
	}
	if asked < 20 {
		t.Errorf("it was asked %d times only", asked)
	}
}
