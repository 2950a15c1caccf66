package autoscale

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// SLO is the policy that takes one number: the longest wait a record may have. Everything else it learns.
//
// It works on deadlines and not on depth. A queue whose records all have time left is free capacity: it keeps the workers
// busy without making anybody late. A queue without time left is late already. So the policy never empties a queue that
// has slack; the price is that the median wait is about half of the SLO. Whoever wants lower latency names a smaller SLO.
//
// # What it learns
//
//   - The rate of a worker: records per busy second, never from idle time. Two memories, a long one and a short one; when
//     the short one contradicts the long one beyond the noise seen so far, the long one gives way at once.
//   - The lead: seconds from asking for a worker until it works. It is measured when ordered workers join, and grows while
//     an order is outstanding for longer than was believed.
//   - Missing capacity: workers that count as ready while the pool, with work waiting all the time, completes less than
//     that many would. Stuck and slow workers are found that way without knowing which ones they are.
//   - The level of arrivals, and how far they exceed it.
//
// # What it does at a check
//
// The waiting records are kept as cohorts by arrival. From the front to the back, each cohort has to be done by its
// deadline, together with all that is in front of it; the ready workers work until then, those ordered from when they are
// expected, and one asked for now for its room: the time to the deadline less the lead. The cohort that asks for
// the most decides how many to start. Arrivals that have not come yet are provided for only where waiting to see them
// would be too late. Workers that would soon be idle are let go, as long as every deadline is met without them. Where the
// pool is near its maximum, or readings keep getting lost, work is planned to be done somewhat before its deadline.
//
// An up soon after a down churns caches and connections. So the pool uses the whole of the SLO: it grows no earlier than a
// deadline asks for it, and shrinks no earlier than the queue is nearly empty, and then not below what arrives.
// SLOOptions.MaxReversals buys more calm for idle workers.
//
// # How it fails
//
// A reading that is missing, impossible, repeated or out of order holds the size. When readings come back, what came
// meanwhile is taken to have come evenly, and the pool grows by what that backlog needs. While the rate is unknown, work that waits
// gets one worker at a time. After a restart, [SLO.Restore] brings back what was learned, and nothing shrinks until the
// policy has seen a while of traffic again.
//
// Build it with [NewSLO]. Its state has a fixed size. It is for one goroutine at a time.
type SLO struct {
	options SLOOptions // with defaults filled in
	slo     float64    // options.SLO in seconds
	check   float64    // options.CheckInterval in seconds

	clock  sloClock
	rate   sloRate
	lead   sloLead
	level  sloLevel
	lack   sloLack
	queue  sloQueue
	orders sloOrders
	gaps   sloGaps
	calm   sloCalm
	begun  sloBegun
	period sloPeriod
	crew   *sloWorkers // nil while the pool does not tell its workers apart
	putOff float64     // records that wait although somebody could take them: they are put off

	previous sloReading // the last reading that could be used
	seen     bool       // whether there was one
	settled  float64    // no shrinking before this time, in the policy's seconds
	hurried  float64    // work is done earlier than it has to be before this time
	regular  float64    // when the last check was that did not come early
	beliefs  sloBeliefs // of the last check
	restored *SLOState  // waits for the first reading
	service  sloService // at the last reading
}

// SLOOptions says what the policy shall achieve. Only SLO has to be given.
type SLOOptions struct {
	// SLO is the longest wait a record may have; at least 10ms, at most 30 days.
	SLO time.Duration

	// CheckInterval is the time between two checks that can be relied on; earlier ones are welcome. Zero means 10s. At
	// least 10ms, at most a day.
	CheckInterval time.Duration

	// Startup is how long a worker is believed to take from being asked for to its first work, until the policy has
	// seen one join. Zero means half of the SLO; negative means none.
	Startup time.Duration

	// LateShare is the share of records that may come late where starting a worker takes so long that the policy has to
	// guess. Zero means 0.001; more than 0 and at most 0.5.
	LateShare float64

	// MaxReversals caps the changes of direction per hour: ups within 5 minutes of a down and the other way round. It is
	// kept by not shrinking, never by not growing, and costs idle workers. Zero means no cap; otherwise at least 2.
	MaxReversals int
}

// Validate returns nil, or one error that names every problem: the field, its value and the rule.
func (o SLOOptions) Validate() error {
	o = o.withDefaults()
	var p problems
	p.wantIf(o.SLO < 10*time.Millisecond || o.SLO > 30*24*time.Hour, "SLO", o.SLO, "10ms to 720h")
	p.wantIf(o.CheckInterval < minCheckInterval || o.CheckInterval > 24*time.Hour, "CheckInterval", o.CheckInterval, "10ms to 24h")
	p.wantIf(o.Startup > 24*time.Hour, "Startup", o.Startup, "at most 24h")
	p.wantIf(!(o.LateShare > 0 && o.LateShare <= 0.5), "LateShare", o.LateShare, "more than 0, at most 0.5")
	p.wantIf(o.MaxReversals < 0 || o.MaxReversals == 1, "MaxReversals", o.MaxReversals, "0 or at least 2")
	return errors.Join(p...)
}

func (o SLOOptions) withDefaults() SLOOptions {
	if o.CheckInterval == 0 {
		o.CheckInterval = 10 * time.Second
	}
	if o.Startup == 0 {
		o.Startup = o.SLO / 2
	}
	o.Startup = max(0, o.Startup)
	if o.LateShare == 0 {
		o.LateShare = 0.001
	}
	return o
}

// NewSLO builds the policy. The error names everything wrong with the options at once.
func NewSLO(o SLOOptions) (*SLO, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	s := &SLO{options: o, slo: o.SLO.Seconds(), check: o.CheckInterval.Seconds()}
	s.lead.believed = o.Startup.Seconds()
	s.beliefs = sloBeliefs{status: sloNoReading}
	return s, nil
}

// Name is "slo".
func (s *SLO) Name() string { return "slo" }

// Decide learns from the observation and names a size within the bounds that the observation gives.
func (s *SLO) Decide(o Observation) Proposal {
	size := min(max(o.Size, 0), sloMost)
	if o.StoodStill > 0 {
		s.restart()
	}
	reading, problem := s.read(o)
	if problem != "" {
		s.hold(o, problem)
		return Proposal{Size: size, Reason: problem}
	}
	s.learn(&reading, o)
	s.service.measure(o, s.rate.value())
	p := s.plan(reading)
	if why := s.service.tooLong(s.slo); why != "" {
		p.Reason += "; " + why
	}
	s.previous, s.seen = reading, true
	return p
}

// hold notes a check that could say nothing. What was estimated before stays as it was.
func (s *SLO) hold(o Observation, reason string) {
	s.beliefs.status, s.beliefs.size, s.beliefs.reason = sloNoReading, o.Size, reason
	if s.seen {
		s.beliefs.blind = max(0, s.clock.peek(o.Time)-s.previous.now)
	}
}

// Bounds that keep hostile numbers from doing harm: whatever is beyond is not believed.
const (
	sloMost        = 1_000_000 // workers
	sloMostRecords = 1 << 50   // in one number of an observation
	sloMostSeconds = 1e12      // of service in one reading
)

// sloReading is an observation in the policy's own terms: usable, and in seconds.
type sloReading struct {
	now       float64 // the policy's clock
	dt        float64 // since the reading before; 0 for the first
	depth     int     // unfinished records: what waits and what workers have in hand
	waiting   int     // the part of it that waits
	oldest    float64 // age of the front in seconds; 0 when unknown or brand new
	size      int
	ready     int
	starting  int
	arrived   int
	completed int
	busy      float64
	held      int // unfinished records that nobody can work on now
	min, max  int
}

// inHand is the records that workers have taken and not finished.
func (r sloReading) inHand() int { return r.depth - r.waiting }

// read turns an observation into a reading, or says why it cannot be used.
func (s *SLO) read(o Observation) (sloReading, string) {
	if o.Unknown != "" {
		return sloReading{}, unknownReason(o)
	}
	switch {
	case o.Depth < 0 || o.Depth > sloMostRecords:
		return sloReading{}, fmt.Sprintf("impossible reading: depth %d", o.Depth)
	case o.InFlight < 0 || o.InFlight > sloMostRecords:
		return sloReading{}, fmt.Sprintf("impossible reading: %d records in flight", o.InFlight)
	case o.Arrived < 0 || o.Arrived > sloMostRecords:
		return sloReading{}, fmt.Sprintf("impossible reading: %d records arrived", o.Arrived)
	case o.Completed < 0 || o.Completed > sloMostRecords:
		return sloReading{}, fmt.Sprintf("impossible reading: %d records completed", o.Completed)
	case !(o.BusySeconds >= 0 && o.BusySeconds <= sloMostSeconds):
		return sloReading{}, fmt.Sprintf("impossible reading: %g busy seconds", o.BusySeconds)
	case o.Size < 0 || o.Size > sloMost:
		return sloReading{}, fmt.Sprintf("impossible reading: size %d", o.Size)
	}
	now, ok := s.clock.read(o.Time)
	if !ok {
		return sloReading{}, "the reading is older than the one before"
	}
	r := sloReading{
		now: now, depth: o.Depth + o.InFlight, waiting: o.Depth, oldest: max(0, o.OldestWait.Seconds()), size: o.Size,
		arrived: o.Arrived, completed: o.Completed, busy: o.BusySeconds,
		min: min(max(o.MinSize, 0), sloMost), max: min(max(o.MaxSize, 0), sloMost),
	}
	if r.max == 0 {
		r.max = sloMost
	}
	r.min = min(r.min, r.max)
	// An observer that does not tell the states apart leaves all of them zero.
	r.ready, r.starting = o.Size, 0
	if o.Ready != 0 || o.Starting != 0 {
		r.starting = min(max(o.Starting, 0), o.Size)
		r.ready = o.Size - r.starting
	}
	if s.seen {
		r.dt = now - s.previous.now
		if r.dt == 0 && r.sameAs(s.previous) {
			return sloReading{}, "the same reading again"
		}
	}
	return r, ""
}

func (r sloReading) sameAs(p sloReading) bool {
	p.dt = r.dt
	return r == p && (r.arrived != 0 || r.completed != 0)
}

// learn takes everything from the reading that outlasts it.
func (s *SLO) learn(r *sloReading, o Observation) {
	if !s.seen {
		s.begin(*r)
	}
	since := s.previous.now
	if !s.seen {
		since = r.now - r.oldest // what is found came over all that time
	}
	r.held = s.readWorkers(o, *r)
	arrived := s.queue.update(*r, since, s.slo, s.check)
	if arrived > 0 || r.depth > 0 {
		s.level.busyAt = r.now
	}
	if s.seen {
		s.gaps.learn(r.dt, s.check, s.slo)
	}
	s.period.add(*r, s.previous, arrived)
	// Checks may come early. What happened in next to no time says little, so it waits for more.
	if !s.seen || s.period.dt >= s.check/2 || s.rate.value() <= 0 {
		s.learnPeriod()
	}
	if s.crew == nil && s.seen {
		s.begun.learn(*r, s.previous, s.rate.value(), s.missing(r.ready))
	} else {
		s.begun = sloBegun{}
	}
	s.learnOrders(*r)
}

// learnPeriod takes what happened since it was called last.
func (s *SLO) learnPeriod() {
	p := s.period
	s.period = sloPeriod{}
	believed := s.rate.value()
	s.rate.learn(p.completed, p.busy)
	if !s.seen {
		return
	}
	switch {
	case s.crew != nil:
		s.lack = sloLack{} // each worker counts for what it is worth
	case believed > 0:
		s.lack.learn(p, s.rate.value(), s.rate.noise())
	}
	s.level.learn(p.arrived, p.dt, s.rate.value(), latelyChecks*s.check)
}

// readWorkers takes what the pool tells of each worker, and returns how many records nobody can work on now: those in
// the hands of stuck workers, and those that wait although somebody is idle. Such a record waits for a retry, say.
func (s *SLO) readWorkers(o Observation, r sloReading) int {
	if o.Workers == nil {
		s.crew = nil
		return 0
	}
	if s.crew == nil {
		s.crew = &sloWorkers{}
	}
	records, busy := s.crew.read(o, r.now, s.rate.value())
	if s.crew.counted {
		s.period.told(records, busy)
	}
	// While everybody is busy again nobody can tell, so the belief fades: a few workers too many find out.
	s.putOff = min(s.putOff*math.Exp(-r.dt/(10*s.slo)), float64(r.waiting))
	if s.seen && s.crew.resting > 0 && r.dt > 0 {
		s.putOff = float64(max(0, min(r.waiting, s.previous.waiting-r.completed)))
	}
	held := s.putOff
	if s.crew.stuck > 0 {
		held += float64(r.inHand()) * float64(s.crew.stuck) / float64(s.crew.stuck+s.crew.busy)
	}
	return int(held)
}

// missing is the ready workers that do not show in what gets done.
func (s *SLO) missing(ready int) float64 {
	if s.crew != nil {
		return max(0, float64(ready)-s.crew.working)
	}
	return s.lack.missing
}

// begin is for the first reading: it fits what was restored to it. A pool found larger than it has to be is not shrunk
// before the policy has seen an SLO of traffic.
func (s *SLO) begin(r sloReading) {
	if s.restored != nil {
		s.settled = r.now + max(s.slo, 2*s.check) + s.lead.value()
		s.resume(r)
		return
	}
	s.hurried = r.now + s.check
	if r.size > r.min {
		s.settled = r.now + max(s.slo, 2*s.check)
	}
}

// learnOrders notes who joined, and learns the lead from it.
func (s *SLO) learnOrders(r sloReading) {
	from := r.now
	if s.seen {
		from = s.previous.now
	}
	joined := r.ready - s.previous.ready
	worked := -1.0 // how long those that joined have worked, when that can be told
	if s.seen && joined > 0 && r.waiting > 0 && s.previous.waiting > 0 {
		// What is in hand is half done; where that is much, the busy seconds tell nothing.
		if blur := float64(1+r.inHand()) / s.rate.value() / float64(joined); blur < r.dt/3 {
			worked = (r.busy - float64(s.previous.ready)*r.dt) / float64(joined)
			worked = min(max(worked, 0), r.dt)
		}
	}
	s.orders.settle(r, from, func(asked float64) {
		switch {
		case !s.seen || joined <= 0: // they joined before anybody looked, or failed to start
		case worked >= 0:
			s.lead.learn(max(0, r.now-worked-asked))
		default:
			s.lead.bracket(max(0, from-asked), max(0, r.now-asked))
		}
	})
	s.lead.outstanding(s.orders.oldest(r.now))
}
