package autoscale

import (
	"fmt"
	"slices"
)

// Floor is a policy around another one that never leaves work without a worker. Where records wait, at least one worker is
// there that can take them, whatever the inner policy, a cooldown, a governor or a budget named; and the last worker does not
// leave while it holds work. The clamp that says so is [ClampWorkWaits].
//
// [New] puts it around every policy. An unknown depth holds the size, and what an operator wants outranks it: a pause, a dry
// run or a forced size may leave a pool empty. Build it with [WithFloor].
type Floor struct{ inner Policy }

// WithFloor puts a [Floor] around a policy that has none yet.
func WithFloor(p Policy) Policy {
	if _, ok := within[Floor](p); ok {
		return p
	}
	return Floor{p}
}

// Name is that of the inner policy.
func (f Floor) Name() string { return f.inner.Name() }

// Unwrap returns the inner policy.
func (f Floor) Unwrap() Policy { return f.inner }

// Decide asks the inner policy and raises what it settled for.
func (f Floor) Decide(o Observation) Proposal {
	p := f.inner.Decide(o)
	if o.Unknown != "" {
		return p
	}
	settled := settledSize(p)
	least, why := workFloor(o)
	if settled >= least {
		return p
	}
	p.Clamps = append(slices.Clip(p.Clamps), Clamp{Name: ClampWorkWaits, Before: settled, After: least})
	if p.Reason != "" {
		why = p.Reason + "; but " + why
	}
	p.Reason = why
	return p
}

// workFloor is the fewest workers that the work needs, and why. A stuck worker takes nothing, so it does not count.
func workFloor(o Observation) (least int, why string) {
	stuck, holding := 0, o.Workers == nil && o.InFlight > 0
	for _, w := range o.Workers {
		switch w.State {
		case WorkerStuck:
			stuck++
			holding = true
		case WorkerBusy:
			holding = true
		}
	}
	switch {
	case o.Depth > 0 && stuck > 0:
		least, why = stuck+1, fmt.Sprintf("%d waiting and %d stuck: at least %d", o.Depth, stuck, stuck+1)
	case o.Depth > 0:
		least, why = 1, fmt.Sprintf("%d waiting: at least 1", o.Depth)
	case o.Size > 0 && holding:
		least, why = 1, "the last one holds work: it stays"
	}
	if o.MaxSize > 0 {
		least = min(least, o.MaxSize)
	}
	return least, why
}
