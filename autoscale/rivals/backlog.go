package rivals

import (
	"cmp"
	"fmt"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// BacklogOptions are the settings of a target tracking policy on the backlog per instance. Zero means the product's
// default; where 0 is a sensible value, a negative one means it.
type BacklogOptions struct {
	// Target is the records per worker that are acceptable: the acceptable latency over the time that one record takes.
	// Zero means 100, the documentation's example (10 s at 0.1 s each).
	Target float64

	Period      time.Duration // time between two points of the metric; zero means 60s
	HighPoints  int           // points above the target before it grows; zero means 3
	LowPoints   int           // points below LowShare of the target before it shrinks; zero means 15
	LowShare    float64       // zero means 0.9
	InShare     float64       // most of the pool that one step of shrinking takes, at least one worker; zero means 0.1
	OutCooldown time.Duration // after growing, before it grows again to the same size or less; zero means 5m, negative none
	InCooldown  time.Duration // after shrinking or growing, before it shrinks; zero means 5m, negative none
}

func (o *BacklogOptions) fields() []field {
	return []field{
		{"target", &o.Target}, {"period", &o.Period}, {"high_points", &o.HighPoints}, {"low_points", &o.LowPoints},
		{"low_share", &o.LowShare}, {"in_share", &o.InShare}, {"out_cooldown", &o.OutCooldown}, {"in_cooldown", &o.InCooldown},
	}
}

// Backlog is Amazon's target tracking on the backlog per instance: an alarm over three minutes grows the pool in
// proportion, one over fifteen shrinks it step by step.
type Backlog struct {
	o         BacklogOptions
	metric    rhythm
	high, low int // points in a row beyond the target, and below its share
	grown     time.Time
	shrunk    time.Time
	grownTo   int
}

// NewBacklog returns an error that names everything wrong with the options.
func NewBacklog(o BacklogOptions) (*Backlog, error) {
	o.Target, o.Period = cmp.Or(o.Target, 100), cmp.Or(o.Period, time.Minute)
	o.HighPoints, o.LowPoints = cmp.Or(o.HighPoints, 3), cmp.Or(o.LowPoints, 15)
	o.LowShare, o.InShare = cmp.Or(o.LowShare, 0.9), cmp.Or(o.InShare, 0.1)
	o.OutCooldown, o.InCooldown = orDefault(o.OutCooldown, 5*time.Minute), orDefault(o.InCooldown, 5*time.Minute)
	p := problems{policy: "backlog"}
	p.positive("Target", o.Target)
	p.beat("Period", o.Period)
	p.wantIf(o.HighPoints < 1, "HighPoints", o.HighPoints, "1 or more")
	p.wantIf(o.LowPoints < 1, "LowPoints", o.LowPoints, "1 or more")
	p.wantIf(!(o.LowShare > 0 && o.LowShare <= 1), "LowShare", o.LowShare, "more than 0, at most 1")
	p.wantIf(!(o.InShare > 0 && o.InShare <= 1), "InShare", o.InShare, "more than 0, at most 1")
	p.pause("OutCooldown", o.OutCooldown)
	p.pause("InCooldown", o.InCooldown)
	if err := p.err(); err != nil {
		return nil, err
	}
	return &Backlog{o: o, metric: rhythm{every: o.Period}}, nil
}

// Name is "backlog".
func (*Backlog) Name() string { return "backlog" }

// Decide looks at each new point of the metric.
func (b *Backlog) Decide(o autoscale.Observation) autoscale.Proposal {
	due := b.metric.due(o.Time)
	if o.Unknown != "" {
		if due { // an alarm without data is neither high nor low
			b.high, b.low = 0, 0
		}
		return unknown(o)
	}
	if !due {
		return b.metric.wait(o, "next point")
	}
	// Instances that warm up are not in service.
	perWorker := float64(o.Depth) / float64(max(1, o.Ready))
	b.high, b.low = inRow(b.high, perWorker > b.o.Target), inRow(b.low, perWorker < b.o.LowShare*b.o.Target)
	switch {
	case b.high >= b.o.HighPoints:
		return b.out(o, perWorker)
	case b.low >= b.o.LowPoints:
		return b.in(o, perWorker)
	case b.high > 0:
		return hold(o, "%.4g records per worker, above %g for %d of %d points", perWorker, b.o.Target, b.high, b.o.HighPoints)
	case b.low > 0:
		return hold(o, "%.4g records per worker, below %g for %d of %d points", perWorker, b.o.LowShare*b.o.Target, b.low, b.o.LowPoints)
	default:
		return hold(o, "%.4g records per worker are near the target %g", perWorker, b.o.Target)
	}
}

// inRow counts on while it holds. No need to count further than a million.
func inRow(n int, holds bool) int {
	if !holds {
		return 0
	}
	return min(n+1, 1_000_000)
}

func (b *Backlog) out(o autoscale.Observation, perWorker float64) autoscale.Proposal {
	// Never smaller than what is there already, those warming up included.
	size := max(o.Size, up(float64(max(1, o.Ready))*perWorker/b.o.Target))
	p := autoscale.Proposal{Size: size, Reason: fmt.Sprintf("%.4g records per worker, target %g: %d", perWorker, b.o.Target, size)}
	target := bounded(size, o)
	if left := b.o.OutCooldown - o.Time.Sub(b.grown); !b.grown.IsZero() && left > 0 && target <= b.grownTo {
		limit(&p, autoscale.ClampCooldown, o.Size)
		if size > o.Size {
			p.Reason = fmt.Sprintf("cooldown: %v left", left.Round(time.Millisecond))
		}
		return p
	}
	if target > o.Size {
		b.grown, b.grownTo = o.Time, target
	}
	return p
}

func (b *Backlog) in(o autoscale.Observation, perWorker float64) autoscale.Proposal {
	want := up(float64(o.Ready) * perWorker / b.o.Target)
	step := max(1, int(b.o.InShare*float64(o.Size)))
	size := max(min(want, o.Size), o.Size-step, 0)
	p := autoscale.Proposal{Size: size, Reason: fmt.Sprintf("%.4g records per worker, target %g: a step toward %d", perWorker, b.o.Target, want)}
	acted := b.shrunk
	if b.grown.After(acted) {
		acted = b.grown
	}
	if left := b.o.InCooldown - o.Time.Sub(acted); !acted.IsZero() && left > 0 {
		limit(&p, autoscale.ClampCooldown, o.Size)
		if size < o.Size {
			p.Reason = fmt.Sprintf("cooldown: %v left", left.Round(time.Millisecond))
		}
		return p
	}
	if bounded(size, o) < o.Size {
		b.shrunk = o.Time
	}
	return p
}
