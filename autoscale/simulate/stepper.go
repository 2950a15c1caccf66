package simulate

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/sluicehq/sluice/autoscale"
)

// Stepper is a run that is fed from outside, one second at a time: by [Run] from a trace, by a live system with what really
// arrives. It is for one goroutine at a time.
type Stepper struct {
	m machine
	t int // the next second
}

// Second is what one [Stepper.Step] came to.
type Second struct {
	Cost     int  // workers present, and so worker-seconds
	Size     int  // workers ready or starting, after the check if there was one
	Depth    int  // records that wait
	Reversal bool // the pool turned against a change at most 300 s before
}

// NewStepper makes a run that has not begun. A policy with state must be a fresh one. The error names everything wrong with
// the arguments.
func NewStepper(policy autoscale.Policy, o Options) (*Stepper, error) {
	var err error
	if policy == nil {
		err = errors.New("simulate: the policy is nil, want one to run")
	}
	if err := errors.Join(err, o.Validate()); err != nil {
		return nil, err
	}
	return newStepper(policy, o.withDefaults()), nil
}

func newStepper(policy autoscale.Policy, o Options) *Stepper {
	return &Stepper{m: *newMachine(policy, o)}
}

// Step plays one second in which so many records arrive, 0 or more.
func (s *Stepper) Step(arrivals int) Second {
	a := &s.m.account
	cost, reversals := a.cost, a.reversals
	s.m.tick(s.t, arrivals)
	s.t++
	return Second{
		Cost: a.cost - cost, Size: s.m.pool.size(), Depth: s.m.queue.depth, Reversal: a.reversals > reversals,
	}
}

// SetRate changes what one busy worker completes per second, from the next step on. It is rounded to a millionth of a record
// and has to be more than 0 then, and 1,000,000 at most.
func (s *Stepper) SetRate(rate float64) error {
	rounded := math.Round(rate * million)
	if !(rounded >= 1 && rounded <= million*million) {
		return fmt.Errorf("simulate: the rate is %v, want more than 0, at most %d", rate, million)
	}
	m := &s.m
	if m.rate == int(rounded) {
		return nil
	}
	a := &m.account
	a.useful += float64(a.records-a.valued) / m.options.Rate
	a.valued = a.records
	m.rate, m.options.Rate = int(rounded), rounded/million
	if m.crew != nil {
		m.crew.rate = m.rate
	}
	return nil
}

// Overdue goes through the records that wait and are late already, the oldest first: how many seconds so many of them have
// waited up to now.
func (s *Stepper) Overdue(yield func(wait, records int) bool) {
	for arrived, count := range s.m.queue.all() {
		wait := s.t - 1 - arrived
		if !s.m.account.isLate(wait) || !yield(wait, count) {
			return
		}
	}
}

// Result is how the run has gone so far. Records that wait count as late if they are late already; the others are yet to be
// counted.
func (s *Stepper) Result() Result { return s.m.result(s.t-1, false) }

// Finish is the result of a run that ends here: whatever still waits is late.
func (s *Stepper) Finish() Result { return s.m.result(s.t-1, true) }

const (
	mostCohorts = 4096
	exactBits   = 10 // waits of so many bits are kept as they are
)

// roughly keeps the leading bits of a wait, and so at least three digits of it.
func roughly(wait int) int {
	excess := max(0, bits.Len(uint(wait))-exactBits)
	return wait >> excess << excess
}
