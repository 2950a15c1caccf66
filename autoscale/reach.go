package autoscale

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// What the controller does to the world outside, observing and resizing, may block or panic. Each runs in a goroutine
// of its own, at most one of a kind at a time, and answers over a channel that takes the answer even if nobody waits.

// look is one call of the observer.
type look struct {
	started time.Time
	done    chan Observation // holds one; a failure is an Unknown observation
}

// observe returns what the observer sees, or an unknown observation when it does not answer in time. A look that is
// stuck stays the only one; when its answer comes at last it is out of date and thrown away. The result is not conclusive
// when a forced size would not wait for it.
func (c *Controller) observe(ctx context.Context) (o Observation, conclusive bool) {
	if c.look != nil && time.Since(c.look.started) >= c.options.ObserveTimeout {
		select {
		case o := <-c.look.done:
			c.look = nil
			c.missed.add(o)
		default:
			since := time.Since(c.look.started).Round(100 * time.Millisecond)
			return Observation{Unknown: fmt.Sprintf("no answer for %v", since)}, true
		}
	}
	if c.look == nil {
		c.startLook(ctx)
	}
	return c.awaitLook(ctx)
}

// add counts what another look has counted. Counters of single workers are left as they are: they only compare workers.
func (o *Observation) add(other Observation) {
	if other.Unknown == "" {
		o.Arrived += other.Arrived
		o.Completed += other.Completed
		o.BusySeconds += other.BusySeconds
	}
}

func (c *Controller) startLook(ctx context.Context) {
	l := &look{started: time.Now(), done: make(chan Observation, 1)}
	c.look = l
	patience := c.options.ObserveTimeout // which may change while it looks
	go func() { l.done <- c.ask(ctx, patience) }()
}

func (c *Controller) awaitLook(ctx context.Context) (o Observation, conclusive bool) {
	timeout := time.NewTimer(time.Until(c.look.started.Add(c.options.ObserveTimeout)))
	defer timeout.Stop()
	var impatient <-chan time.Time // set once a forced size waits for this check
	if c.forceWaits() {
		impatient = time.After(forcedPatience)
	}
	woken := false
	defer func() {
		if woken {
			c.Wake() // what it was about may be newer than this look
		}
	}()
	for {
		select {
		case o := <-c.look.done:
			c.look = nil
			if o.Unknown == "" {
				o.add(c.missed)
				c.missed = Observation{}
			}
			return o, true
		case <-timeout.C:
			return Observation{Unknown: noAnswer(c.options.ObserveTimeout)}, true
		case <-impatient:
			return Observation{Unknown: fmt.Sprintf("no answer within %v", forcedPatience)}, false
		case <-ctx.Done():
			return Observation{Unknown: "stopped"}, false
		case <-c.wake:
			woken = true
			if impatient == nil && c.forceWaits() {
				impatient = time.After(forcedPatience)
			}
		}
	}
}

// forceWaits tells whether somebody forced a size that the pool does not have yet.
func (c *Controller) forceWaits() bool {
	c.mu.Lock()
	v := c.override
	c.mu.Unlock()
	return v.forces(time.Now()) && c.pool.Size() != v.forced
}

func noAnswer(patience time.Duration) string { return fmt.Sprintf("no answer within %v", patience) }

// ask calls the observer and turns every kind of failure into an unknown observation.
func (c *Controller) ask(ctx context.Context, patience time.Duration) (o Observation) {
	defer func() {
		if p := recover(); p != nil {
			o = Observation{Unknown: fmt.Sprintf("observer panicked: %v", p)}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o, err := c.observer.Observe(ctx)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded):
		return Observation{Unknown: noAnswer(patience)}
	case err != nil:
		return Observation{Unknown: oneLine(err)}
	case o.Unknown == "" && o.Depth < 0:
		return Observation{Unknown: fmt.Sprintf("the observer answered depth %d", o.Depth)}
	default:
		return o
	}
}

// oneLine is the text of an error for a reason; joined errors come on several lines.
func oneLine(err error) string {
	if text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "); text != "" {
		return text
	}
	return fmt.Sprintf("error without a text (%T)", err)
}

// resize is one call of the pool, and the decision it carries out.
type resize struct {
	decision Decision
	started  time.Time
	upkeep   bool       // only brings the pool inside its bounds: no cooldown
	done     chan error // holds one
}

func (c *Controller) startResize(ctx context.Context, d Decision, upkeep bool) {
	r := &resize{decision: d, started: time.Now(), upkeep: upkeep, done: make(chan error, 1)}
	c.resize = r
	go func() { r.done <- c.tell(ctx, d.NewSize) }()
}

// tell calls the pool, with a panic turned into an error.
func (c *Controller) tell(ctx context.Context, size int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("pool panicked: %v", p)
		}
	}()
	return c.pool.Resize(ctx, size)
}

// awaitResize waits a moment for the pool, which is all it takes as a rule. If it takes longer, the check holds, and the
// action enters the ledger when it has happened.
func (c *Controller) awaitResize(ctx context.Context) {
	patience := time.NewTimer(min(resizePatience, c.options.CheckInterval/2))
	defer patience.Stop()
	select {
	case err := <-c.resize.done:
		c.settle(err)
	case <-patience.C:
		d := c.resize.decision
		d.hold(ClampResize, fmt.Sprintf("resize to %d still under way", c.resize.decision.NewSize))
		c.record(d)
	case <-ctx.Done(): // stop settles it
	}
}

// settleLate ends a resize that outlived its check. The action happened now, and so its cooldown starts now.
func (c *Controller) settleLate(err error) {
	r := c.resize
	now := time.Now()
	r.decision.Time = now
	r.decision.Reason += fmt.Sprintf(" (the resize took %v)", now.Sub(r.started).Round(100*time.Millisecond))
	c.settle(err)
	c.Wake() // a forced size may have waited for this
}

// settle records how the resize under way ended.
func (c *Controller) settle(err error) {
	r := c.resize
	c.resize = nil
	d := r.decision
	if err != nil {
		d.hold(ClampResize, fmt.Sprintf("resize to %d failed: %s", d.NewSize, oneLine(err)))
		if !c.resizeFailing {
			c.resizeFailing = true // said once; the ledger has the rest
			c.log.Warn("resize failed, pool keeps its size", "from", d.Size, "to", r.decision.NewSize, "error", err)
		}
		c.record(d)
		return
	}
	c.resizeFailing = false
	c.mu.Lock()
	if d.Action == ActionUp {
		c.ups++
	} else {
		c.downs++
	}
	if !r.upkeep {
		c.lastAction = d.Time
	}
	c.mu.Unlock()
	c.record(d)

	var depth any = "unknown"
	if d.DepthKnown {
		depth = d.Depth
	}
	c.log.Info("pool resized", "from", d.Size, "to", d.NewSize, "depth", depth, "reason", d.Reason)
}
