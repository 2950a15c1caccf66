package autoscale

import "fmt"

// What a capped governor is about.
const (
	governorHold   = ""       // the cap stands
	governorVerify = "verify" // it has gone back, and looks whether that costs throughput
	governorTrim   = "trim"   // it goes further back in steps
	governorProbe  = "probe"  // it tries a few more
)

// governorCap is what is known while the size is capped.
type governorCap struct {
	on     bool
	helped float64 // workers that bring all the throughput there is
	rate   float64 // records per second of a worker that helps
	flat   float64 // records per second that it has stayed at
	from   float64 // largest size that completed no more than that
	rough  bool    // fewer may do as well

	kept   int    // size of the cap
	target int    // the same, or the size that is being tried
	phase  string // one of those above
	since  float64
	sum    governorSpan // what was measured in this phase
	spans  int          // in sum

	fallen  bool // whether throughput was last seen fallen for no reason of the governor's
	unasked int  // spans in a row in which the inner policy wanted less

	probeDue, probeAfter float64 // seconds
}

const (
	governorPatience = 20 // spans after which a try without a clear answer has failed

	governorFell  = 0.05 // share of the throughput whose loss makes a cap too tight
	governorMoved = 0.15 // share of the throughput whose loss, without a change of size, has a reason outside
	governorLong  = 900  // seconds after which an experiment without an answer ends
)

// reason says why the size is not larger.
func (c *governorCap) reason(wanted, limit int) string {
	flat := fmt.Sprintf("throughput has stayed at %s/s since %s", perSecond(c.flat), counted(governorRound(c.helped), "worker"))
	switch c.phase {
	case governorProbe:
		return fmt.Sprintf("%s: trying whether %d help now", flat, limit)
	case governorTrim:
		return fmt.Sprintf("%d more would not help: %s; trying whether %d are enough", wanted-limit, flat, limit)
	}
	return fmt.Sprintf("%d more would not help: %s; kept at %d", wanted-limit, flat, limit)
}

// enter begins a phase at a size.
func (c *governorCap) enter(phase string, target int, now float64) {
	c.phase, c.target, c.since = phase, target, now
	c.sum, c.spans = governorSpan{}, 0
}

// learnCapped takes a span while the size is capped, and returns why the cap was lifted, if it was.
func (g *Governor) learnCapped(s governorSpan, minSize int) string {
	c := &g.cap
	limit := max(c.target, minSize)
	if g.wanted >= limit {
		c.unasked = 0
	} else if c.unasked++; c.phase == governorVerify && c.unasked >= governorPatience/3 {
		g.lift(governorSpan{}, false) // nobody needs it, and nobody knows whether it is right
		return ""
	}
	if c.spans > 0 && s.now-c.since > governorLong || c.phase == governorProbe && g.wanted <= c.kept {
		c.enter(governorHold, c.kept, s.now) // nobody can tell, or it is not needed
	}
	if c.phase == governorHold && s.now >= c.probeDue && g.wanted > limit {
		c.probeDue = s.now + c.probeAfter
		c.enter(governorProbe, c.kept+g.step(), s.now)
		return ""
	}
	if !s.waiting || !s.steady() || s.low != limit {
		return ""
	}
	c.sum = c.sum.and(s)
	c.spans++
	if !c.sum.full() {
		return ""
	}
	switch c.phase {
	case governorVerify:
		return g.verify(limit)
	case governorTrim:
		return g.trim(limit)
	case governorProbe:
		return g.probe(limit)
	default:
		return g.watch(limit)
	}
}

// differs is the throughput of the phase less the one before, and what of it noise may be.
func (g *Governor) differs(deviations float64) (by, noise float64) {
	c := &g.cap
	return c.sum.perSecond() - c.flat, g.meter.noise(c.flat*c.sum.seconds, deviations) / c.sum.seconds
}

// verify looks whether going back was right.
func (g *Governor) verify(limit int) string {
	c := &g.cap
	by, noise := g.differs(2)
	worst := c.flat * (float64(limit)/c.from - 1) // if all had helped
	switch {
	case by < worst/2 && -by > noise && (c.spans >= 2 || -by > 2*noise) || c.spans >= governorPatience:
		now := c.sum.perSecond()
		g.lift(c.sum, true)
		return fmt.Sprintf("with %d workers throughput fell to %s/s: no longer kept there", limit, perSecond(now))
	case c.spans < 3 || noise > -worst/2:
	case -by > governorFell*c.flat+noise:
		g.recount(limit)
	default:
		g.doubts = 0
		c.flat = c.sum.perSecond()
		c.enter(governorHold, c.kept, c.sum.now)
		if c.rough {
			g.trimFurther()
		}
	}
	return ""
}

// recount sets the cap anew from a throughput that fell a bit when the size went back.
func (g *Governor) recount(limit int) {
	c := &g.cap
	c.rate = c.sum.perSecond() / float64(limit)
	c.helped = min(c.flat/c.rate, c.from)
	c.kept = min(governorRound(c.helped)+governorSpare, int(c.from))
	c.rough = false
	c.enter(governorHold, c.kept, c.sum.now)
}

// trimFurther tries a smaller size.
func (g *Governor) trimFurther() {
	c := &g.cap
	c.rough = true
	if c.kept <= 1 {
		c.enter(governorHold, c.kept, c.sum.now)
		return
	}
	c.enter(governorTrim, c.kept-max(1, c.kept/8), c.sum.now)
}

// trim looks whether the smaller size does as well.
func (g *Governor) trim(limit int) string {
	c := &g.cap
	if limit > c.target { // MinSize forbids to go further
		c.rough = false
		c.enter(governorHold, c.kept, c.sum.now)
		return ""
	}
	by, noise := g.differs(1)
	worst := c.flat * (float64(limit)/float64(c.kept) - 1)
	if c.spans < 2 || c.spans < governorPatience/3 && noise > -worst/2 {
		return ""
	}
	if by > worst/2 { // as good as before
		c.flat += (c.sum.perSecond() - c.flat) / 2
		c.helped, c.kept = min(c.helped, float64(limit)), limit
		g.trimFurther()
		return ""
	}
	if all := c.flat / c.sum.perSecond() * float64(limit); all > c.from-0.6 {
		g.lift(c.sum, false)
		return fmt.Sprintf("all %d workers help: no longer kept there", c.kept)
	}
	g.recount(limit)
	return ""
}

// step is how many more have to be tried for their effect to show within a few checks.
func (g *Governor) step() int {
	c := &g.cap
	seconds := governorPatience / 2 * g.levels.usual
	shows := 2 * g.meter.noise(c.flat*seconds, 2) / seconds / c.rate
	return max(1, min(int(shows), c.kept/16))
}

// probe looks whether more workers help by now.
func (g *Governor) probe(limit int) string {
	c := &g.cap
	by, noise := g.differs(2)
	worth := c.rate * float64(limit-c.kept)
	switch {
	case c.spans >= 2 && by > worth/2 && by > noise:
		g.lift(c.sum, false)
		return fmt.Sprintf("with %d workers throughput rose by %s/s: no longer kept at fewer", limit, perSecond(by))
	case c.spans >= governorPatience || c.spans >= 3 && noise < worth/2:
		c.probeAfter = min(2*c.probeAfter, g.options.ProbeMost.Seconds())
		c.probeDue = c.sum.now + c.probeAfter
		c.enter(governorHold, c.kept, c.sum.now)
	}
	return ""
}

// watch is for the time in which the cap stands.
func (g *Governor) watch(limit int) string {
	c := &g.cap
	if c.spans < 3 {
		return ""
	}
	by, noise := g.differs(3)
	now := c.sum.perSecond()
	switch {
	case by > noise && by > 0.4*c.rate*(float64(limit)-c.helped) && by > 0.02*c.flat:
		g.lift(c.sum, false)
		return fmt.Sprintf("throughput rose to %s/s: no longer kept at %d", perSecond(now), limit)
	case -by > noise && -by > governorMoved*c.flat:
		if c.fallen = !c.fallen; c.fallen { // this may be half old and half new
			c.enter(governorHold, c.kept, c.sum.now)
			return ""
		}
		c.flat, c.from = now, float64(limit)
		g.trimFurther()
		return ""
	}
	c.fallen = false
	c.flat += 0.2 * by
	if helped := c.flat / c.rate; !c.rough && helped < c.helped {
		c.helped = helped
		c.kept = min(c.kept, max(governorRound(helped+0.2)+governorSpare, 1))
	}
	c.enter(governorHold, c.kept, c.sum.now)
	return ""
}
