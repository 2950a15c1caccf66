package autoscale

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Governor wraps a policy and keeps it from adding workers that bring nothing. Behind a slow downstream, a lock or a full
// CPU, throughput stays where it is however many work; a policy that goes by backlog or deadlines then asks for more and
// more. The governor notices, goes back to what helped, says so, and tries again later.
//
// # What it takes for evidence
//
// Only growth tells. The pool has grown, it was kept busy before and after, with work waiting all the time, and what it
// completes per second has risen by less than half of what the added workers should have brought, beyond the noise that
// completions had so far. Workers that all got slower are something else, since throughput falls with them at
// the same size: what was measured before then no longer counts. New workers get the time that a batch takes, as seen so far.
//
// # What it does
//
// The size is clamped to what helped and one more, never below the observation's MinSize. Going back is a test of its own:
// throughput must not fall. If it does, the cap was wrong; it is lifted at once, and the governor is slower to believe
// the next time. Where it cannot know well what helped, and whenever throughput falls under the cap, it goes further back in small
// steps as long as that costs nothing. Every GovernorOptions.ProbeAfter a few more workers are tried for some checks. The cap is lifted
// when they help, and also when those at work complete more than the cap explains.
//
// Readings that are missing, impossible, repeated or out of order change nothing.
//
// Build it with [NewGovernor]. Its state has a fixed size. It is for one goroutine at a time.
type Governor struct {
	inner   Policy
	options GovernorOptions // with defaults filled in

	meter  governorMeter
	levels governorLevels
	path   governorPath
	cap    governorCap
	doubts int     // caps that turned out wrong, lately
	deaf   float64 // no evidence is believed before this time, in the governor's seconds
	wanted int     // what the inner policy settled for at the last check

	clamped Clamp // of the last check; no name when there was none
}

// GovernorOptions says when the governor looks again. Zero values are good ones.
type GovernorOptions struct {
	// CheckInterval is the time between two checks that can be relied on. Readings closer than half of it are taken
	// together, as they hold too few completions. Zero means that each reading counts; at most 24h.
	CheckInterval time.Duration

	// ProbeAfter is how long after a cap more workers are tried again. It doubles with every try that brings nothing, up
	// to ProbeMost. Zero means 10m; otherwise 1s to 24h.
	ProbeAfter time.Duration

	// ProbeMost is the longest time between two tries. Zero means 1h or ProbeAfter, whichever is longer; at most 7 days.
	ProbeMost time.Duration
}

// Validate returns nil, or one error that names every problem: the field, its value and the rule.
func (o GovernorOptions) Validate() error {
	o = o.withDefaults()
	var p problems
	p.wantIf(o.CheckInterval < 0 || o.CheckInterval > 24*time.Hour, "CheckInterval", o.CheckInterval, "0 to 24h")
	p.wantIf(o.ProbeAfter < time.Second || o.ProbeAfter > 24*time.Hour, "ProbeAfter", o.ProbeAfter, "1s to 24h")
	p.wantIf(o.ProbeMost < o.ProbeAfter || o.ProbeMost > 7*24*time.Hour, "ProbeMost", o.ProbeMost, "ProbeAfter (%v) to 168h", o.ProbeAfter)
	return errors.Join(p...)
}

func (o GovernorOptions) withDefaults() GovernorOptions {
	if o.ProbeAfter == 0 {
		o.ProbeAfter = 10 * time.Minute
	}
	if o.ProbeMost == 0 {
		o.ProbeMost = max(time.Hour, o.ProbeAfter)
	}
	return o
}

// NewGovernor wraps the policy. The error names everything wrong with the arguments at once.
func NewGovernor(inner Policy, o GovernorOptions) (*Governor, error) {
	err := o.Validate()
	if inner == nil {
		err = errors.Join(errors.New("autoscale: the policy to govern is nil, want one"), err)
	}
	if err != nil {
		return nil, err
	}
	return &Governor{inner: inner, options: o.withDefaults()}, nil
}

// Name is the inner policy's.
func (g *Governor) Name() string { return g.inner.Name() }

// Unwrap returns the inner policy.
func (g *Governor) Unwrap() Policy { return g.inner }

// Decide asks the inner policy and takes back what would not help.
func (g *Governor) Decide(o Observation) Proposal {
	p := g.inner.Decide(o)
	g.wanted = settledSize(p)
	g.clamped = Clamp{}
	if o.StoodStill > 0 {
		g.meter.restart()
	}
	lifted := g.learn(o)
	if o.Unknown != "" || !g.cap.on {
		if lifted != "" {
			p.Reason = fmt.Sprintf("%s (%s)", p.Reason, lifted)
		}
		return p
	}
	limit := max(g.cap.target, o.MinSize)
	if g.wanted <= limit {
		return p
	}
	g.clamped = Clamp{Name: ClampGovernor, Before: g.wanted, After: limit}
	p.Clamps = append(p.Clamps[:len(p.Clamps):len(p.Clamps)], g.clamped)
	p.WakeAt = 0 // whatever comes, there is nothing to be gained from a check before the next
	p.Reason = g.cap.reason(g.wanted, limit)
	return p
}

// settledSize is what a policy settled for after its own clamps.
func settledSize(p Proposal) int {
	if n := len(p.Clamps); n > 0 {
		return p.Clamps[n-1].After
	}
	return p.Size
}

// learn takes from the reading what it tells, and returns why a cap was lifted, if one was.
func (g *Governor) learn(o Observation) string {
	s, ok := g.meter.read(o, g.options.CheckInterval.Seconds(), g.levels.rate())
	if !ok {
		return ""
	}
	g.path.add(s, g.levels.back())
	if g.cap.on {
		return g.learnCapped(s, o.MinSize)
	}
	if spread, ok := g.levels.learn(s, g.meter.spread); ok {
		g.meter.scatter(spread)
	} else {
		g.meter.forget()
	}
	if s.now >= g.deaf {
		if f, ok := g.evidence(); ok {
			g.impose(f, s.now)
		}
	}
	return ""
}

// impose starts a cap.
func (g *Governor) impose(f governorFinding, now float64) {
	g.cap = governorCap{
		on: true, helped: f.helped, rate: f.rate, flat: f.flat, from: f.ready, rough: f.rough, phase: governorVerify, since: now,
		kept: governorRound(f.helped) + governorSpare, probeAfter: g.options.ProbeAfter.Seconds(),
	}
	g.cap.kept = min(g.cap.kept, int(f.ready))
	g.cap.target = g.cap.kept
	g.cap.probeDue = now + g.cap.probeAfter
	g.meter.forget()
}

// lift ends the cap. What was measured last is what the next growth is compared with.
func (g *Governor) lift(m governorSpan, wrong bool) {
	g.cap = governorCap{}
	g.levels = governorLevels{}
	g.levels.add(m)
	g.meter.forget()
	if !wrong {
		g.doubts = 0
		return
	}
	g.doubts = min(g.doubts+1, governorMostDoubts)
	g.deaf = m.now + governorDeafness*math.Pow(2, float64(g.doubts-1))
}

const (
	governorSpare      = 1     // workers kept on top of what helped: they show when more begins to help
	governorMostDoubts = 4     // more make no difference
	governorDeafness   = 300.0 // seconds without a cap after a wrong one; doubles with each
)

func governorRound(x float64) int { return int(math.Round(min(max(x, 1), sloMost))) }

// Explanation is the inner policy's, if it gives one, with the governor's own estimates.
func (g *Governor) Explanation() Explanation {
	e := explanationOf(g.inner)
	effective := g.cap.helped
	if !g.cap.on {
		effective = g.effective()
	}
	e.Estimates = append(e.Estimates,
		Estimate{"effective_workers", effective},
		Estimate{"throughput_per_second", g.meter.throughput},
	)
	if g.clamped.Name != "" {
		e.Otherwise = fmt.Sprintf("more than %d would be kept if throughput rose above %s/s with them; the next try is due in %v",
			g.clamped.After, perSecond(g.cap.flat+g.cap.rate/2), spanOf(math.Floor(max(0, g.cap.probeDue-g.meter.clock.now))))
		if g.cap.phase == governorProbe {
			e.Otherwise = fmt.Sprintf("more than %d would be kept if throughput rose above %s/s: they are being tried now",
				g.cap.kept, perSecond(g.cap.flat+g.cap.rate*float64(g.cap.target-g.cap.kept)/2))
		}
	}
	return e
}

// effective is how many workers' worth the pool completes; 0 while nobody can tell.
func (g *Governor) effective() float64 {
	if rate := g.levels.rate(); rate > 0 {
		return g.meter.throughput / rate
	}
	return 0
}

// explanationOf asks a policy that can explain itself. The list is the caller's own.
func explanationOf(p Policy) Explanation {
	if x, ok := p.(Explainer); ok {
		e := x.Explanation()
		e.Estimates = e.Estimates[:len(e.Estimates):len(e.Estimates)]
		return e
	}
	return Explanation{}
}

// perSecond writes a throughput with the digits that mean something.
func perSecond(x float64) string {
	if x >= 100 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3g", x)
}
