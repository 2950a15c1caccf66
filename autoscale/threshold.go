package autoscale

import (
	"fmt"
	"strings"
	"time"
)

// Threshold is the classic policy: many records waiting, add workers; few, remove some; then wait before the next
// action. It keeps no state. Build it with [Options.Threshold]; the fields are taken literally and have the meanings
// and bounds they have in [Options].
type Threshold struct {
	ScaleUpThreshold   int           // depth in records at which the pool grows
	ScaleDownThreshold int           // depth in records at which the pool shrinks
	ScaleUpCount       int           // workers added by one action
	ScaleDownCount     int           // workers removed by one action
	Cooldown           time.Duration // time without another action after an action; zero means none
}

// Name is "threshold".
func (t Threshold) Name() string { return "threshold" }

// Decide names the next size. Within the cooldown it names what it would do otherwise, and a clamp takes it back.
func (t Threshold) Decide(o Observation) Proposal {
	if o.Unknown != "" {
		return Proposal{Size: o.Size, Reason: unknownReason(o)}
	}
	p := t.step(o)
	left := t.CooldownLeft(o.Time, o.LastAction)
	if left == 0 {
		return p
	}
	// Rounded up to a tenth: "0.0s left" while it still holds would look like a mistake.
	tenths := (left + 100*time.Millisecond - 1) / (100 * time.Millisecond)
	p.Reason = fmt.Sprintf("cooldown: %d.%ds left", tenths/10, tenths%10)
	if p.Size != o.Size {
		p.Clamps = []Clamp{{Name: ClampCooldown, Before: p.Size, After: o.Size}}
	}
	return p
}

// step is the policy without its cooldown. It names the whole step even where a bound will cut it, but the reason tells
// what the bound leaves of it.
func (t Threshold) step(o Observation) Proposal {
	switch {
	case o.Depth >= t.ScaleUpThreshold:
		p := Proposal{Size: o.Size + t.ScaleUpCount}
		add := t.ScaleUpCount
		if o.MaxSize > 0 {
			add = min(add, o.MaxSize-o.Size)
		}
		if add <= 0 {
			p.Reason = fmt.Sprintf("at max size %d", o.MaxSize)
		} else {
			p.Reason = fmt.Sprintf("depth %d >= %d: up by %d", o.Depth, t.ScaleUpThreshold, add)
		}
		return p
	case o.Depth <= t.ScaleDownThreshold:
		p := Proposal{Size: max(0, o.Size-t.ScaleDownCount)}
		if remove := min(t.ScaleDownCount, o.Size-o.MinSize); remove <= 0 {
			p.Reason = fmt.Sprintf("at min size %d", o.MinSize)
		} else {
			p.Reason = fmt.Sprintf("depth %d <= %d: down by %d", o.Depth, t.ScaleDownThreshold, remove)
		}
		return p
	default:
		return Proposal{
			Size:   o.Size,
			Reason: fmt.Sprintf("depth %d is between %d and %d", o.Depth, t.ScaleDownThreshold, t.ScaleUpThreshold),
		}
	}
}

// explanation says at which depth the answer would be another one.
func (t Threshold) explanation(o Observation) Explanation {
	e := Explanation{Estimates: []Estimate{}}
	if o.Unknown != "" {
		e.Otherwise = "decides again once the depth is known"
		return e
	}
	var parts []string
	if left := t.CooldownLeft(o.Time, o.LastAction); left > 0 {
		e.Estimates = append(e.Estimates, Estimate{"cooldown_seconds", left.Seconds()})
		parts = append(parts, fmt.Sprintf("nothing changes for another %.1fs", left.Seconds()))
	}
	switch {
	case o.MaxSize > 0 && o.Size >= o.MaxSize:
		parts = append(parts, fmt.Sprintf("never more than max size %d", o.MaxSize))
	case o.Depth < t.ScaleUpThreshold:
		parts = append(parts, fmt.Sprintf("up at depth %d, %d more than now", t.ScaleUpThreshold, t.ScaleUpThreshold-o.Depth))
	}
	switch {
	case o.Size <= o.MinSize:
		parts = append(parts, fmt.Sprintf("never fewer than min size %d", o.MinSize))
	case o.Depth > t.ScaleDownThreshold:
		parts = append(parts, fmt.Sprintf("down at depth %d, %d fewer than now", t.ScaleDownThreshold, o.Depth-t.ScaleDownThreshold))
	}
	e.Otherwise = strings.Join(parts, "; ")
	return e
}

// CooldownLeft is how long the policy still waits at now after an action at last; zero when it does not. A zero last
// means that there was no action yet.
func (t Threshold) CooldownLeft(now, last time.Time) time.Duration {
	if last.IsZero() {
		return 0
	}
	// Never more than a whole cooldown, should a clock have been turned back.
	return min(max(0, t.Cooldown-now.Sub(last)), t.Cooldown)
}
