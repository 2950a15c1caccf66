package autoscale

import (
	"fmt"
	"time"
)

// Peeker is an [Observer] that can tell between two checks how many records are unfinished, waiting or in flight. It is
// asked many times a second and must answer from memory, at once. Where the observer is one, a policy that names
// [Proposal.WakeAt] gets its check within about 20 ms of the records being there.
type Peeker interface {
	Peek() (unfinished int)
}

// peekInterval is the time between two looks at a [Peeker].
const peekInterval = 20 * time.Millisecond

// vigil looks between two checks whether as many records are unfinished as the last decision named.
type vigil struct {
	peeker Peeker // nil when the observer is none
	ticker *time.Ticker
	ticks  <-chan time.Time // nil while there is nothing to look for
	at     int              // unfinished records that are a reason to wake
	rest   time.Duration    // least time between two woken checks; doubles with each
	woke   time.Time        // when the last one was
}

// newVigil is asleep until it is told what to look for.
func newVigil(observer Observer) *vigil {
	v := &vigil{}
	v.peeker, _ = observer.(Peeker)
	return v
}

// keep looks for so many unfinished records from now on; for none when it is zero.
func (v *vigil) keep(at int) {
	v.at = at
	if at <= 0 || v.peeker == nil {
		v.stop()
		return
	}
	if v.ticks == nil {
		v.ticker = time.NewTicker(peekInterval)
		v.ticks = v.ticker.C
	}
}

func (v *vigil) stop() {
	if v.ticks != nil {
		v.ticker.Stop()
		v.ticks = nil
	}
}

// danger tells whether a check is due. The more often it was in a row, the longer it rests: a policy that asks to be
// woken and then does nothing must not be asked all the time.
func (v *vigil) danger(now time.Time, interval time.Duration) bool {
	if now.Sub(v.woke) < v.rest || v.unfinished() < v.at {
		return false
	}
	v.woke = now
	v.rest = min(max(2*v.rest, peekInterval), interval)
	return true
}

// unfinished is zero when the observer can't be asked.
func (v *vigil) unfinished() (n int) {
	defer func() {
		if recover() != nil {
			n = 0
		}
	}()
	return v.peeker.Peek()
}

// rested ends the rest: a check on the interval was made.
func (v *vigil) rested() { v.rest = 0 }

// explain asks the policy for more than its line; nil when it has nothing to say.
func explain(p Policy, o Observation) (e *Explanation) {
	defer func() {
		if r := recover(); r != nil {
			e = &Explanation{Estimates: []Estimate{}, Otherwise: fmt.Sprintf("explaining panicked: %v", r)}
		}
	}()
	if p, ok := within[Explainer](p); ok {
		x := p.Explanation()
		e = &x
	}
	if t, ok := within[Threshold](p); ok && (e == nil || e.Otherwise == "") {
		x := t.explanation(o)
		if e != nil {
			x.Estimates = append(x.Estimates, e.Estimates...)
		}
		e = &x
	}
	return e
}

// within finds the outermost T in a policy that may be wrapped in others, each of which has Unwrap() Policy.
func within[T any](p Policy) (T, bool) {
	for {
		if t, ok := p.(T); ok {
			return t, true
		}
		w, ok := p.(interface{ Unwrap() Policy })
		if !ok {
			var none T
			return none, false
		}
		p = w.Unwrap()
	}
}
