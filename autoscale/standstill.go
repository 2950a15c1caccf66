package autoscale

import (
	"fmt"
	"time"
)

// A process that was stopped (SIGSTOP, a debugger) or whose machine was suspended continues as if no time had passed. What it
// measured over that time, such as how long a batch took, would make a policy believe in slow workers. The controller notices
// by a pulse that it stood still, holds for one check, and drops what its counters say of that time.
const (
	pulseInterval   = time.Second
	leastStandstill = 3 * time.Second // a busy machine may be this late
)

// Resumer is an [Observer] that measures durations itself. It is told that the process stood still for so long, before the
// next look; it must return at once.
type Resumer interface {
	Resumed(stood time.Duration)
}

// elapsed is the time between two readings of the clock. The monotonic clock goes on while the process is stopped, and not
// while the machine is suspended; the wall clock does both, and may be set.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// beat notes that the loop is alive, and how long it was not beyond the time that this may have taken.
func (c *Controller) beat(expected time.Duration) {
	now := time.Now()
	if !c.alive.IsZero() {
		if gap := elapsed(c.alive, now) - expected; gap >= leastStandstill {
			c.stood += gap
			if r, ok := c.observer.(Resumer); ok {
				r.Resumed(gap)
			}
			c.log.Warn("process stood still, the next check only looks", "duration_seconds", gap.Seconds())
		}
	}
	c.alive = now
}

// disregard makes a reading unknown that spans a standstill. Once there was one, the next counts from there.
func (c *Controller) disregard(o Observation) Observation {
	if c.stood == 0 {
		return o
	}
	stale := Observation{Unknown: fmt.Sprintf("this process stood still for %v, and what it measured spans that", c.stood.Round(time.Second)), StoodStill: c.stood}
	if o.Unknown == "" {
		c.stood, c.missed = 0, Observation{}
	}
	return stale
}
