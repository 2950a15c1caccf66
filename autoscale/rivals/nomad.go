package rivals

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// NomadOptions are the settings of a scaling policy of the Nomad Autoscaler with the strategy "target-value". Zero means
// the product's default; where 0 is a sensible value, a negative one means it.
type NomadOptions struct {
	Target     float64       // value of the metric that it aims for; the product has no default; zero means 10
	PerWorker  bool          // the metric is the depth per ready worker; otherwise the depth, as it comes out of a queue
	Threshold  float64       // relative distance from the target that is left alone; zero means 0.01, negative none
	Evaluation time.Duration // time between evaluations; zero means 10s
	Cooldown   time.Duration // after every change; zero means 5m, negative none
}

func (o *NomadOptions) fields() []field {
	return []field{
		{"target", &o.Target}, {"per_worker", &o.PerWorker}, {"threshold", &o.Threshold},
		{"evaluation", &o.Evaluation}, {"cooldown", &o.Cooldown},
	}
}

// Nomad multiplies the pool by how far the metric is from its target, and then waits. On a depth this has no resting
// point: the pool goes to its upper bound while records wait and to the lower one when none do.
type Nomad struct {
	o     NomadOptions
	beat  rhythm
	acted time.Time // last change of its own; zero means none yet
}

// NewNomad returns an error that names everything wrong with the options.
func NewNomad(o NomadOptions) (*Nomad, error) {
	o.Target, o.Threshold = cmp.Or(o.Target, 10), orDefault(o.Threshold, 0.01)
	o.Evaluation, o.Cooldown = cmp.Or(o.Evaluation, 10*time.Second), orDefault(o.Cooldown, 5*time.Minute)
	p := problems{policy: "nomad"}
	p.positive("Target", o.Target)
	p.wantIf(o.Threshold >= 1, "Threshold", o.Threshold, "less than 1")
	p.beat("Evaluation", o.Evaluation)
	p.pause("Cooldown", o.Cooldown)
	if err := p.err(); err != nil {
		return nil, err
	}
	return &Nomad{o: o, beat: rhythm{every: o.Evaluation}}, nil
}

// Name is "nomad".
func (*Nomad) Name() string { return "nomad" }

// Decide evaluates on its own grid. A metric that cannot be read ends the evaluation.
func (n *Nomad) Decide(o autoscale.Observation) autoscale.Proposal {
	due := n.beat.due(o.Time)
	switch {
	case o.Unknown != "":
		return unknown(o)
	case !due:
		return n.beat.wait(o, "next evaluation")
	}
	value, unit := float64(o.Depth), "records"
	if n.o.PerWorker {
		value, unit = value/float64(max(1, o.Ready)), "records per worker"
	}
	factor := value / n.o.Target
	if math.Abs(1-factor) <= n.o.Threshold {
		return hold(o, "%.4g %s are near the target %g", value, unit, n.o.Target)
	}
	size := up(factor * float64(max(1, o.Size)))
	p := autoscale.Proposal{
		Size: size, Reason: fmt.Sprintf("%.4g %s are %.3g times the target: %d", value, unit, factor, size),
	}
	if left := n.o.Cooldown - o.Time.Sub(n.acted); !n.acted.IsZero() && left > 0 {
		limit(&p, autoscale.ClampCooldown, o.Size)
		p.Reason = fmt.Sprintf("cooldown: %v left", left.Round(time.Millisecond))
		return p
	}
	if bounded(size, o) != o.Size {
		n.acted = o.Time
	}
	return p
}
