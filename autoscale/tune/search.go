package tune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// Options say for what settings are looked. Only Simulate has to be given.
type Options struct {
	Simulate simulate.Options // the workers, the pool and the goal; Served and Timeline are not called

	MaxLate  float64 // share of late records that may be recommended; zero means 0.001, negative none at all; less than 1
	HeldOut  float64 // share of the trace, at its end, that only judges; zero means a third where that is long enough, negative nothing; at most 0.9
	Parallel int     // runs at once; zero means one per processor

	Progress func(done, total int) // called after each run, from one goroutine at a time; total grows while better neighbours are found
}

// Validate returns nil, or one error that names every problem: the field, its value and the rule.
func (o Options) Validate() error {
	var errs []error
	if !(o.MaxLate < 1) {
		errs = append(errs, fmt.Errorf("tune: MaxLate is %v, want less than 1", o.MaxLate))
	}
	if !(o.HeldOut <= 0.9) {
		errs = append(errs, fmt.Errorf("tune: HeldOut is %v, want at most 0.9", o.HeldOut))
	}
	return errors.Join(o.Simulate.Validate(), errors.Join(errs...))
}

// maxLate is the share of late records that is allowed.
func (o Options) maxLate() float64 {
	if o.MaxLate < 0 {
		return 0
	}
	return cmp.Or(o.MaxLate, 0.001)
}

// A part that judges is an hour long at least, and has so many records that one of them is no more than a tenth of what
// may be late by default.
const (
	leastHeldOut = time.Hour
	leastRecords = 10_000
)

// FoundOn is how many seconds of the trace, from its beginning, settings are looked for on. The rest judges.
func (o Options) FoundOn(trace *simulate.Trace) (int, error) {
	if trace == nil || trace.Seconds() < 1 {
		return 0, errors.New("tune: the trace is empty, want at least one second")
	}
	all := trace.Seconds()
	if o.HeldOut < 0 {
		return all, nil
	}
	found := all - int(cmp.Or(o.HeldOut, 1.0/3)*float64(all))
	first, err := trace.First(max(1, found))
	if err != nil {
		return 0, err
	}
	short := all-found < int(leastHeldOut/time.Second) || trace.Records()-first.Records() < leastRecords || first.Records() < leastRecords
	if o.HeldOut == 0 && short {
		return all, nil
	}
	return min(max(1, found), all), nil
}

// Point is settings, and what they came to.
type Point struct {
	Settings rivals.Settings `json:"settings"`
	Found    Score           `json:"found_on"` // on the part that settings were looked for on, or the whole trace where that is all
	HeldOut  *Score          `json:"held_out"` // on the part that only judges; nil where there is none, or no time for it

	shape   Shape
	index   int  // in the order they were tried
	onCurve bool // and not only a candidate
}

// inTime is true for what has at most so many late records, on both parts.
func (p Point) inTime(allowed float64) bool {
	return p.Found.Late <= allowed && (p.HeldOut == nil || p.HeldOut.Late <= allowed)
}

// Result is what a search found.
type Result struct {
	Policy   string `json:"policy"`
	Defaults *Point `json:"defaults"` // the policy as it comes, static with the largest pool; nil where there was no time for it

	// Curve is how cost and late records trade for each other: the cheapest settings for each share of late records, from few
	// late records to many. It is thinned out to about ten.
	Curve []Point `json:"curve"`

	// Recommended is the cheapest point of the curve that is in time; nil where none is. Settings that were in time where they
	// were found and not on the part held out are passed over, and Passed counts them.
	Recommended *Point `json:"recommended"`
	Passed      int    `json:"passed_over"`

	Tried       []Point `json:"-"` // everything, in the order it was tried; without HeldOut
	Interrupted bool    `json:"interrupted"`
}

// Search looks for good settings of a policy. A context that ends makes it return the best so far, marked as interrupted; only
// without anything to return is that an error.
func Search(ctx context.Context, trace *simulate.Trace, policy string, o Options) (Result, error) {
	if spaces[policy] == nil {
		return Result{}, fmt.Errorf("tune: %q has nothing to tune, want one of %s", policy, strings.Join(Policies(), ", "))
	}
	if err := o.Validate(); err != nil {
		return Result{}, err
	}
	foundOn, err := o.FoundOn(trace)
	if err != nil {
		return Result{}, err
	}
	first, err := trace.First(foundOn)
	if err != nil {
		return Result{}, err
	}
	s := &search{ctx: ctx, policy: policy, o: o, trace: trace, first: first, seen: map[string]bool{}}
	if err := s.run(); err != nil {
		return Result{}, err
	}
	return s.result()
}

// Replay plays a policy as [Search] does. The policy must be a fresh one.
func Replay(ctx context.Context, trace *simulate.Trace, policy func() (autoscale.Policy, error), o Options) (Point, error) {
	if err := o.Validate(); err != nil {
		return Point{}, err
	}
	foundOn, err := o.FoundOn(trace)
	if err != nil {
		return Point{}, err
	}
	first, err := trace.First(foundOn)
	if err != nil {
		return Point{}, err
	}
	s := &search{ctx: ctx, o: o, trace: trace, first: first}
	var p Point
	if p.Found, err = s.found(policy); err == nil {
		p.HeldOut, err = s.heldOut(policy)
	}
	return p, err
}

// search is the state of one.
type search struct {
	ctx          context.Context
	policy       string
	o            Options
	trace, first *simulate.Trace // the whole, and the part that settings are found on

	seen  map[string]bool // settings tried, in words
	tried []Point
	done  int // runs, of total ones that are known of
	total int

	interrupted bool
}

// found plays the part that settings are found on.
func (s *search) found(build func() (autoscale.Policy, error)) (Score, error) {
	p, err := build()
	if err != nil {
		return Score{}, err
	}
	_, r, err := play(s.ctx, s.first, p, s.o.Simulate, 0)
	return scoreOf(r), err
}

// heldOut plays the whole trace and scores what comes after that part. The pool and the policy are warm by then.
func (s *search) heldOut(build func() (autoscale.Policy, error)) (*Score, error) {
	mark := s.first.Seconds()
	if mark == s.trace.Seconds() {
		return nil, nil
	}
	p, err := build()
	if err != nil {
		return nil, err
	}
	before, whole, err := play(s.ctx, s.trace, p, s.o.Simulate, mark)
	if err != nil {
		return nil, err
	}
	score := since(before, whole)
	return &score, nil
}

func (s *search) build(settings rivals.Settings) func() (autoscale.Policy, error) {
	return func() (autoscale.Policy, error) { return Build(s.policy, settings) }
}

const (
	mostSteps  = 18 // from the best of the grid
	abreast    = 5  // points that a step starts from
	candidates = 12 // points in time that are judged, the cheapest first
)

// factors between neighbours: the next one where there is nothing better at the present one.
var factors = []float64{2, 1.5, 1.15}

// run tries the grid, and then the neighbours of the best. Points a little too late, or a little too dear, are a start as well:
// from the best alone the way often leads nowhere, since settings hang together.
func (s *search) run() error {
	if err := s.try(Shapes(s.policy)); err != nil {
		return err
	}
	for steps, at := 0, 0; steps < mostSteps && at < len(factors) && !s.interrupted; steps++ {
		from := s.starts()
		var near []Shape
		for _, p := range from {
			near = append(near, neighbours(s.policy, p.shape, factors[at])...)
		}
		if err := s.try(near); err != nil {
			return err
		}
		if slices.EqualFunc(from, s.starts(), func(a, b Point) bool { return a.index == b.index }) {
			at++
		}
	}
	return nil
}

// front is the points that no other one beats in both cost and late records, the cheapest first.
func (s *search) front() []Point {
	front := slices.Clone(s.tried)
	slices.SortFunc(front, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Found.Cost, b.Found.Cost), cmp.Compare(a.Found.Late, b.Found.Late), cmp.Compare(a.index, b.index))
	})
	least := math.Inf(1)
	return slices.DeleteFunc(front, func(p Point) bool {
		beaten := p.Found.Late >= least
		least = min(least, p.Found.Late)
		return beaten
	})
}

// starts are the best point and its neighbours on the front.
func (s *search) starts() []Point {
	front := s.front()
	best := slices.IndexFunc(front, func(p Point) bool { return p.Found.Late <= s.o.maxLate() })
	if best < 0 {
		best = len(front) - 1 // the fewest late records
	}
	from := max(0, min(best-abreast/2, len(front)-abreast))
	return front[from:min(len(front), from+abreast)]
}

// try plays shapes that were not played before. Once the context has ended it keeps those that were over by then.
func (s *search) try(shapes []Shape) error {
	var points []Point
	for _, shape := range shapes {
		p := Point{Settings: shape.Settings(s.policy, s.o.Simulate), shape: shape}
		if words := fmt.Sprint(p.Settings); !s.seen[words] { // maps print in order
			s.seen[words] = true
			p.index = len(s.tried) + len(points)
			points = append(points, p)
		}
	}
	ended, err := s.each(len(points), func(i int) (err error) {
		points[i].Found, err = s.found(s.build(points[i].Settings))
		return err
	})
	for i := range points {
		if ended[i] {
			s.tried = append(s.tried, points[i])
		}
	}
	if len(s.tried) == 0 && err == nil {
		err = s.ctx.Err()
	}
	return err
}

// each does something n times, several at once, and tells which of them came to an end before the context did.
func (s *search) each(n int, do func(i int) error) (ended []bool, err error) {
	ended = make([]bool, n)
	s.total += n
	var next atomic.Int64
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for range min(n, cmp.Or(max(0, s.o.Parallel), runtime.GOMAXPROCS(0))) {
		wg.Go(func() {
			for s.ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				err := do(i)
				mu.Lock()
				switch {
				case err == nil:
					ended[i] = true
					s.done++
					if s.o.Progress != nil {
						s.o.Progress(s.done, s.total)
					}
				case s.ctx.Err() == nil:
					errs = append(errs, err)
					next.Store(int64(n))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	s.interrupted = s.interrupted || s.ctx.Err() != nil
	return ended, errors.Join(errs...)
}

// levels are the shares of late records that the curve has a point for each.
var levels = []float64{0, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1}

// curve is the cheapest point for each level, without repetition, and the candidates for a recommendation; from few late records
// to many.
func (s *search) curve() []Point {
	front := s.front()
	judged := map[int]bool{} // by place on the front
	for _, level := range append(slices.Clone(levels), s.o.maxLate()) {
		if i := slices.IndexFunc(front, func(p Point) bool { return p.Found.Late <= level }); i >= 0 {
			front[i].onCurve, judged[i] = true, true
		}
	}
	if first := slices.IndexFunc(front, func(p Point) bool { return p.Found.Late <= s.o.maxLate() }); first >= 0 {
		for i := first; i < min(first+candidates, len(front)); i++ {
			judged[i] = true
		}
	}
	var curve []Point
	for i, p := range slices.Backward(front) {
		if judged[i] {
			curve = append(curve, p)
		}
	}
	return curve
}

// result judges the curve on what was held out, and chooses.
func (s *search) result() (Result, error) {
	r := Result{Policy: s.policy, Tried: s.tried, Curve: s.curve()}
	judged := append(slices.Clone(r.Curve), Point{Settings: rivals.Settings{}})
	own := rivals.Settings{}
	if s.policy == "static" { // it has no default; the most that there may be is what people take
		own = rivals.Settings{"size": fmt.Sprint(s.o.Simulate.MaxSize)}
	}
	last := len(judged) - 1
	judged[last].Settings = own
	ended, err := s.each(len(judged), func(i int) (err error) {
		build := s.build(judged[i].Settings)
		if i == last {
			if judged[i].Found, err = s.found(build); err != nil {
				return err
			}
		}
		judged[i].HeldOut, err = s.heldOut(build)
		return err
	})
	if err != nil {
		return r, err
	}
	r.Curve, r.Interrupted = judged[:last:last], s.interrupted
	if ended[last] {
		r.Defaults = &judged[last]
	}
	r.choose(s.o.maxLate())
	return r, nil
}

// choose finds the cheapest point that is in time. The other candidates have done their part then.
func (r *Result) choose(allowed float64) {
	best := -1
	for i := len(r.Curve) - 1; i >= 0 && best < 0; i-- {
		switch p := r.Curve[i]; {
		case p.inTime(allowed):
			best = p.index
		case p.Found.Late <= allowed:
			r.Passed++
		}
	}
	r.Curve = slices.DeleteFunc(r.Curve, func(p Point) bool { return !p.onCurve && p.index != best })
	if i := slices.IndexFunc(r.Curve, func(p Point) bool { return p.index == best }); i >= 0 {
		r.Recommended = &r.Curve[i]
	}
}
