package autoscale

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// resizePatience is how long a check waits for Resize, so that its decision tells what really happened. A pool
	// that takes longer goes on in the background.
	resizePatience = time.Second

	// forcedPatience is how long a forced size waits for a depth it does not need. Enough for a healthy observer,
	// so that the ledger has the depth too.
	forcedPatience = 100 * time.Millisecond

	// stopGrace is how long Run waits, once asked to stop, for a Pool or Observer that ignores its context.
	stopGrace = time.Second
)

// Controller keeps a pool at the size its policy names. Build it with [New], start it with Run; all other methods may be
// called at any time from any goroutine.
type Controller struct {
	pool     Pool
	observer Observer
	policy   Policy
	options  Options // with defaults filled in
	log      *slog.Logger
	wake     chan struct{} // holds one token: wakes that come together are one check
	running  atomic.Bool

	mu         sync.Mutex // guards the fields below
	override   override
	ledger     ledger
	lastAction time.Time
	lastCheck  time.Time
	ups, downs int
	checks     int
	next       *change // asked for by Change, and not yet adopted

	// Only Run's goroutine touches these.
	changed       string      // what the next decision has to say of a change that was adopted
	look          *look       // the look under way, or stuck; nil when none
	missed        Observation // counters of looks that came too late to be used
	vigil         *vigil      // between two checks
	resize        *resize     // the resize under way; nil when none
	depthUnknown  bool        // what was logged last
	resizeFailing bool
	alive         time.Time     // when the loop was seen to run
	stood         time.Duration // how long it stood still, until a reading was disregarded for it
}

// New builds a controller. The error names everything wrong with the arguments and the options at once.
func New(pool Pool, observer Observer, o Options) (*Controller, error) {
	o = o.withDefaults()
	var errs []error
	if pool == nil {
		errs = append(errs, errors.New("autoscale: pool is nil, want something to resize"))
	}
	if f, isFunc := observer.(DepthFunc); observer == nil || (isFunc && f == nil) {
		errs = append(errs, errors.New("autoscale: observer is nil, want something to observe"))
	}
	if err := errors.Join(errors.Join(errs...), o.Validate()); err != nil {
		return nil, err
	}
	if o.Policy == nil {
		o.Policy = o.Threshold()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Controller{
		pool: pool, observer: observer, policy: WithFloor(o.Policy), options: o, log: o.Logger,
		wake:   make(chan struct{}, 1),
		ledger: ledger{limit: o.LedgerSize},
	}, nil
}

// Run checks at once, then every CheckInterval and whenever it is woken, until ctx ends; then it returns nil. It leaves
// the pool at its size. All of its goroutines have ended by then; a Pool or Observer that ignores its context is waited
// for up to a second and then left behind with a log line. A second Run at the same time is refused with an error.
func (c *Controller) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("autoscale: this controller runs already")
	}
	defer c.running.Store(false)
	defer c.stop()

	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	c.vigil = newVigil(c.observer)
	defer c.vigil.stop()
	pulse := time.NewTicker(pulseInterval)
	defer pulse.Stop()
	c.alive = time.Time{} // of an earlier Run
	for ctx.Err() == nil {
		var resized chan error // nil, and never ready, while no resize is under way
		if c.resize != nil {
			resized = c.resize.done
		}
		select {
		case <-ctx.Done():
		case <-pulse.C:
			before := c.stood
			if c.beat(pulseInterval); c.stood > before {
				c.check(ctx, time.Now())
			}
		case <-timer.C:
			due = latestDue(due, time.Now(), c.options.CheckInterval)
			c.check(ctx, due)
			c.vigil.rested()
			due = due.Add(c.options.CheckInterval)
			timer.Reset(time.Until(due))
		case <-c.wake:
			now := time.Now()
			if c.adopt() {
				due = now.Add(c.options.CheckInterval)
				timer.Reset(c.options.CheckInterval)
			}
			c.check(ctx, now)
		case <-c.vigil.ticks:
			if now := time.Now(); c.vigil.danger(now, c.options.CheckInterval) {
				c.check(ctx, now)
			}
		case err := <-resized:
			c.settleLate(err)
		}
	}
	return nil
}

// latestDue is the last point up to now on the grid that due lies on: checks missed, by a stopped process for one, are not
// made up for.
func latestDue(due, now time.Time, interval time.Duration) time.Time {
	late := max(0, now.Sub(due))
	return due.Add(late / interval * interval)
}

// check looks, decides, tells the pool and records.
func (c *Controller) check(ctx context.Context, at time.Time) {
	at = c.begin(at)
	c.beat(pulseInterval)
	o, conclusive := c.observe(ctx)
	if ctx.Err() != nil {
		return // the look was cut short by the stop and says nothing
	}
	c.beat(c.options.ObserveTimeout)
	defer c.beat(resizePatience)
	o = c.disregard(o)
	if conclusive {
		c.logDepth(o)
	}
	o.Time, o.Size, o.MinSize, o.MaxSize = at, c.pool.Size(), c.options.MinSize, c.options.MaxSize

	c.mu.Lock()
	o.LastAction = c.lastAction
	override := c.override
	c.mu.Unlock()

	d := c.decide(o)
	d.Saw, d.Explanation = saw(o), explain(c.policy, o)
	if c.options.DryRun && d.Action != ActionHold {
		d.hold(ClampDryRun, fmt.Sprintf("dry run, else %d -> %d: %s", d.Size, d.NewSize, d.Reason))
	}
	override.apply(&d, at)
	if c.changed != "" {
		d.Reason = c.changed + "; " + d.Reason
		c.changed = ""
	}
	c.vigil.keep(d.WakeAt)
	switch {
	case c.resize != nil:
		d.hold(ClampResize, fmt.Sprintf("resize to %d still under way", c.resize.decision.NewSize))
		c.record(d)
	case d.Action == ActionHold:
		c.record(d)
	default:
		c.startResize(ctx, d, !override.forces(at) && broughtInside(o, d.NewSize))
		c.awaitResize(ctx)
	}
}

// begin counts the check and returns its time. A wake may come a moment after a check on the interval was due and be
// served first; time does not go back for the policy.
func (c *Controller) begin(at time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.Before(c.lastCheck) {
		at = c.lastCheck
	}
	c.lastCheck = at
	c.checks++
	return at
}

// decide is Decide, with a panicking policy turned into a hold.
func (c *Controller) decide(o Observation) (d Decision) {
	defer func() {
		if p := recover(); p != nil {
			d = Decide(WithFloor(standStill{c.policy, fmt.Sprintf("policy panicked: %v", p)}), o)
		}
	}()
	return Decide(c.policy, o)
}

// standStill is what a policy that panicked is replaced by for one check.
type standStill struct {
	Policy
	reason string
}

// Decide names the present size.
func (s standStill) Decide(o Observation) Proposal { return Proposal{Size: o.Size, Reason: s.reason} }

// record puts a decision into the ledger.
func (c *Controller) record(d Decision) {
	d.Time = d.Time.Round(0).UTC() // without the monotonic reading, which does not survive JSON
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger.add(d)
}

// logDepth says once that the depth became unknown, and once that it is known again.
func (c *Controller) logDepth(o Observation) {
	unknown := o.Unknown != ""
	if unknown == c.depthUnknown {
		return
	}
	c.depthUnknown = unknown
	if unknown {
		c.log.Warn("depth unknown, pool keeps its size", "size", c.pool.Size(), "reason", o.Unknown)
	} else {
		c.log.Info("depth known again", "size", c.pool.Size(), "depth", o.Depth)
	}
}

// stop waits a moment for what is still under way.
func (c *Controller) stop() {
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	if c.resize != nil {
		select {
		case err := <-c.resize.done:
			if err == nil {
				c.settle(nil) // it happened, so the ledger has it
			}
			c.resize = nil
		case <-grace.C:
			c.log.Warn("stopped without waiting for the pool", "resize_to", c.resize.decision.NewSize)
			return
		}
	}
	if c.look != nil {
		select {
		case <-c.look.done:
			c.look = nil
		case <-grace.C:
			c.log.Warn("stopped without waiting for the observer", "looking_for", time.Since(c.look.started))
		}
	}
}

// Wake asks for a check now instead of at the next interval. It returns at once. Wakes that come while a check is under
// way are answered by one more check after it. Wakes before Run are remembered.
func (c *Controller) Wake() {
	select {
	case c.wake <- struct{}{}:
	default: // a check is due already
	}
}

// Pause holds the pool at its present size, whatever it is, until Resume. Checks go on: the ledger shows what the policy
// would have done.
func (c *Controller) Pause() {
	c.mu.Lock()
	c.override.paused = true
	c.mu.Unlock()
	c.Wake()
}

// Resume ends a pause and a forced size; the policy decides again, at once.
func (c *Controller) Resume() {
	c.mu.Lock()
	c.override = override{}
	c.mu.Unlock()
	c.Wake()
}

// Force keeps the pool at size workers for the given time, at once and whatever policy, bounds, cooldown or pause say.
// That it goes beyond MinSize and MaxSize is its point: it is for the hour in which the settings are wrong. Afterwards
// the policy decides again, or a pause that is still on holds, and the bounds apply again. A forced change counts as an
// action and starts a cooldown. The size must be 0 to 1,000,000 and the time positive and at most 366 days; the error names what is wrong.
func (c *Controller) Force(size int, duration time.Duration) error {
	var p problems
	p.wantIf(size < 0 || size > maxWorkers, "forced size", size, "0 to %d", maxWorkers)
	p.wantIf(duration <= 0 || duration > maxForced, "time to force it for", duration, "more than 0, at most %v", maxForced)
	if err := errors.Join(p...); err != nil {
		return err
	}
	c.mu.Lock()
	c.override.forced, c.override.until = size, time.Now().Add(duration)
	c.mu.Unlock()
	c.Wake()
	return nil
}

// change is other options, and who wanted them.
type change struct {
	options Options
	why     string
}

// Change puts other options in the place of those in use, the policy included, at once and without a restart; the pool stays as it is
// until the check that follows decides. Pause and a forced size live on. LedgerSize and Logger stay what they are. Why is said by the
// decision of that check and in the log. The error names everything that is wrong; then nothing changes.
func (c *Controller) Change(o Options, why string) error {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return err
	}
	if o.Policy == nil {
		o.Policy = o.Threshold()
	}
	c.mu.Lock()
	c.next = &change{o, why}
	c.mu.Unlock()
	c.Wake()
	return nil
}

// adopt takes over what Change brought, if anything.
func (c *Controller) adopt() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		return false
	}
	o := c.next.options
	o.LedgerSize, o.Logger = c.options.LedgerSize, c.options.Logger
	c.changed, c.next = c.next.why, nil
	c.options, c.policy = o, WithFloor(o.Policy)
	c.log.Info("autoscaler changed", "why", c.changed, "policy", c.policy.Name(), "min_size", o.MinSize, "max_size", o.MaxSize)
	return true
}

// Options returns the options in use, with everything filled in that zero stood for. What [Controller.Change] brought is in use from the
// check that follows it.
func (c *Controller) Options() Options {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.options
}
