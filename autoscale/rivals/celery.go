package rivals

import (
	"cmp"
	"fmt"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// CeleryOptions are the settings of a Celery node started with --autoscale. Zero means the product's default; where 0 is a
// sensible value, a negative one means it.
type CeleryOptions struct {
	Prefetch  int           // records reserved per process (worker_prefetch_multiplier); zero means 4
	Keepalive time.Duration // time after the last growth before it may shrink (AUTOSCALE_KEEPALIVE); zero means 30s, negative none
}

func (o *CeleryOptions) fields() []field {
	return []field{{"prefetch", &o.Prefetch}, {"keepalive", &o.Keepalive}}
}

// Celery has one process per record that the node holds, in work or reserved. It knows nothing of what waits beyond
// that, and it never shrinks a pool that it has not grown itself.
type Celery struct {
	o      CeleryOptions
	beat   rhythm
	busy   inFlight
	lastUp time.Time // zero means never
}

// NewCelery returns an error that names everything wrong with the options.
func NewCelery(o CeleryOptions) (*Celery, error) {
	o.Prefetch, o.Keepalive = cmp.Or(o.Prefetch, 4), orDefault(o.Keepalive, 30*time.Second)
	p := problems{policy: "celery"}
	p.wantIf(o.Prefetch < 1 || o.Prefetch > 1_000_000, "Prefetch", o.Prefetch, "1 to 1000000")
	p.pause("Keepalive", o.Keepalive)
	if err := p.err(); err != nil {
		return nil, err
	}
	return &Celery{o: o, beat: rhythm{every: time.Second}}, nil
}

// Name is "celery".
func (*Celery) Name() string { return "celery" }

// Decide compares processes with what the node holds, once a second at most.
func (c *Celery) Decide(o autoscale.Observation) autoscale.Proposal {
	if o.Unknown != "" {
		return unknown(o)
	}
	busy := c.busy.now(o)
	if !c.beat.due(o.Time) {
		return c.beat.wait(o, "next look")
	}
	// The node takes as many records as the multiplier allows it for its processes, those in work included.
	held := min(o.Depth+busy, c.o.Prefetch*max(1, o.Size))
	switch want := bounded(held, o); {
	case want > o.Size:
		c.lastUp = o.Time
		return autoscale.Proposal{Size: held, Reason: fmt.Sprintf("%d records held by %d processes", held, o.Size)}
	case want == o.Size:
		return hold(o, "%d records held: enough processes", held)
	case c.lastUp.IsZero():
		return hold(o, "%d records held, but it never grew", held)
	}
	p := autoscale.Proposal{Size: held, Reason: fmt.Sprintf("%d records held: %d processes are idle", held, o.Size-held)}
	if left := c.o.Keepalive - o.Time.Sub(c.lastUp); left >= 0 && c.o.Keepalive > 0 {
		limit(&p, autoscale.ClampCooldown, o.Size)
		p.Reason = fmt.Sprintf("kept alive for another %v", left.Round(time.Millisecond))
	}
	return p
}
