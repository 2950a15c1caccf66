package autoscale

import (
	"errors"
	"fmt"
	"math"
)

// Seasonal wraps the slo policy and has workers ready for what comes at the same time every day or every week.
//
// It can matter only where a worker takes so long to start that [SLO] has to guess: the time from the decision to the first
// work and a check are longer than the SLO. Then a job that begins at 03:00 each night is late before the workers for it are there.
// Everywhere else slo is in time by itself, and Seasonal does nothing.
//
// # What it learns
//
// The arrivals of each minute, for two weeks. It expects at a minute what came there on both of the last two days or, apart from
// that, in both of the last two weeks: the smaller of the two, so that what happened once is not expected again. Where
// today is quieter than those were, it expects less in proportion.
//
// # When it believes itself
//
// All the time two simple pools are reckoned with beside the real one, with the real arrivals: one that is ordered when work is seen, as slo
// does it, and one that has the expected workers ordered ahead. While the second one is late for clearly fewer records,
// and the workers it had idle for that cost no more than ten times the work that was kept in time, repetition is proven and raises
// the floor. A holiday costs one day of idle workers at the expected times; a change that stays ends the belief.
//
// It never lowers a size. Readings that are missing change nothing. Days are those of UTC: where a clock on the wall governs the traffic,
// the two days after it was changed are not foreseen.
//
// Build it with [NewSeasonal]. Its state has a fixed size. It is for one goroutine at a time.
type Seasonal struct {
	inner   *SLO
	minutes seasonalMinutes
	days    seasonalForecast
	weeks   seasonalForecast

	clock  sloClock
	seen   bool
	last   float64 // seconds, of the last reading
	raised Clamp   // of the last check; no name when there was none
	floor  float64 // workers that the last check would have ready; 0 for none
}

// NewSeasonal wraps the policy, which must not be nil.
func NewSeasonal(inner *SLO) (*Seasonal, error) {
	if inner == nil {
		return nil, errors.New("autoscale: the policy to look ahead for is nil, want one")
	}
	s := &Seasonal{inner: inner, days: seasonalForecast{period: minutesPerDay}, weeks: seasonalForecast{period: 7 * minutesPerDay}}
	s.minutes.clear()
	return s, nil
}

// Name is the inner policy's.
func (s *Seasonal) Name() string { return s.inner.Name() }

// Unwrap returns the inner policy.
func (s *Seasonal) Unwrap() Policy { return s.inner }

const (
	minutesPerDay  = 24 * 60
	seasonalMemory = 14 * minutesPerDay // minutes
	seasonalGap    = 5 * 60             // seconds without a reading after which nobody knows what came when
	seasonalAhead  = 120                // minutes, at most, that it looks ahead
	seasonalMargin = 2                  // square roots above what is expected, at most; fewer where arrivals are smoother
	seasonalJump   = 1.2                // times the level of arrivals that something has to be for slo not to follow it by itself
)

// Decide asks the inner policy, and has more where repetition is proven.
func (s *Seasonal) Decide(o Observation) Proposal {
	p := s.inner.Decide(o)
	s.raised, s.floor = Clamp{}, 0
	if o.StoodStill > 0 {
		s.seen = false // nobody knows what came when
	}
	if o.Unknown != "" || s.inner.beliefs.status == sloNoReading {
		return p
	}
	now, ok := s.clock.read(o.Time)
	if !ok {
		return p
	}
	since := now - s.last
	if !s.seen {
		since = 0
	}
	s.seen, s.last = true, now
	unix := float64(o.Time.UnixNano()) / 1e9
	s.minutes.add(unix, since, float64(min(max(o.Arrived, 0), sloMostRecords)), func(minute int64, records float64) {
		s.days.compare(&s.minutes, minute, records)
		s.weeks.compare(&s.minutes, minute, records)
	})
	v := s.inner.beliefs.scene
	if s.inner.foresight(v) <= 0 || v.rate <= 0 { // slo is in time by itself, or knows nothing yet
		return p
	}
	a := seasonalArrivals{dt: min(since, seasonalGap), work: float64(max(o.Arrived, 0)) / v.rate, now: now}
	margin := min(s.inner.level.beyond(s.inner.options.LateShare), seasonalMargin)
	best := ""
	for _, f := range []struct {
		what string
		f    *seasonalForecast
	}{{"days", &s.days}, {"weeks", &s.weeks}} {
		expected, known := f.f.workers(&s.minutes, unix, v, s.inner.check, margin)
		if !known {
			continue
		}
		f.f.reckon(a, expected, v, s.inner)
		if f.f.believed && expected > s.floor {
			s.floor, best = expected, f.what
		}
	}
	return s.raise(p, o, best)
}

// raise has the floor ready.
func (s *Seasonal) raise(p Proposal, o Observation, what string) Proposal {
	before, after := settledSize(p), sloCeil(s.floor)
	if o.MaxSize > 0 {
		after = min(after, o.MaxSize)
	}
	if after <= before {
		return p
	}
	s.raised = Clamp{Name: ClampSeasonal, Before: before, After: after}
	p.Clamps = append(p.Clamps[:len(p.Clamps):len(p.Clamps)], s.raised)
	p.Reason = fmt.Sprintf("about %d are needed within %.0fs, as on the last %s at this time; %d without that: %s",
		after, s.inner.beliefs.scene.lead+s.inner.check, what, before, p.Reason)
	return p
}

// foresight is for how many seconds arrivals cannot be rescued once they are seen; 0 or less where all can.
func (s *SLO) foresight(v sloScene) float64 { return min(s.check, v.lead/10) - v.first }

// Explanation is the inner policy's, with what was expected.
func (s *Seasonal) Explanation() Explanation {
	e := explanationOf(s.inner)
	if s.floor > 0 {
		e.Estimates = append(e.Estimates, Estimate{"expected_workers", s.floor})
	}
	for _, f := range []struct {
		what string
		f    *seasonalForecast
	}{{"daily", &s.days}, {"weekly", &s.weeks}} {
		if f.f.score.seconds > 0 && f.f.score.work > 0 {
			saved, extra := f.f.score.saved()
			e.Estimates = append(e.Estimates, Estimate{f.what + "_late_share_saved", saved / f.f.score.work}, Estimate{f.what + "_extra_cost_share", extra / max(f.f.score.plainCost, 1)})
		}
	}
	if s.raised.Name != "" {
		e.Otherwise = fmt.Sprintf("%d if the days and weeks before had not had more at this time", s.raised.Before)
	}
	return e
}

// seasonalMinutes is the records of each minute, for two weeks.
type seasonalMinutes struct {
	counts [seasonalMemory]int32 // by minute since 1970, modulo; -1 where nobody knows
	minute int64                 // the present one, which is not among the counts yet
	sum    float64               // its records so far
	whole  bool                  // whether it was seen from its beginning
}

func (m *seasonalMinutes) clear() {
	for i := range m.counts {
		m.counts[i] = -1
	}
}

// at is the records of a finished minute.
func (m *seasonalMinutes) at(minute int64) (float64, bool) {
	if minute >= m.minute || minute < m.minute-seasonalMemory {
		return 0, false
	}
	n := *m.slot(minute)
	return float64(n), n >= 0
}

// add takes records that came evenly in the seconds before unix, and calls finished for every minute that is over and known.
func (m *seasonalMinutes) add(unix, since, records float64, finished func(minute int64, records float64)) {
	minute := int64(math.Floor(unix / 60))
	if since <= 0 || since > seasonalGap || minute-m.minute > seasonalGap/60+1 || minute < m.minute {
		m.skip(minute)
		return
	}
	from, perSecond := unix-since, records/since
	for m.minute < minute {
		end := float64(m.minute+1) * 60
		m.sum += perSecond * max(0, end-from)
		from = max(from, end)
		if m.whole {
			finished(m.minute, m.sum)
			*m.slot(m.minute) = int32(min(math.Round(m.sum), math.MaxInt32))
		} else {
			*m.slot(m.minute) = -1
		}
		m.minute, m.sum, m.whole = m.minute+1, 0, true
	}
	m.sum += perSecond * max(0, unix-from)
}

// slot is the place of a minute.
func (m *seasonalMinutes) slot(minute int64) *int32 {
	return &m.counts[(minute%seasonalMemory+seasonalMemory)%seasonalMemory]
}

// skip goes to a minute without knowing what came until then.
func (m *seasonalMinutes) skip(minute int64) {
	if minute == m.minute {
		m.whole = m.whole && minute > 0
		return
	}
	if minute < m.minute || minute-m.minute >= seasonalMemory {
		m.clear()
		m.minute = minute
	}
	for ; m.minute < minute; m.minute++ {
		*m.slot(m.minute) = -1
	}
	m.sum, m.whole = 0, false
}

// seasonalArrivals is what came since the last check.
type seasonalArrivals struct {
	now  float64 // seconds
	dt   float64 // seconds since the last check
	work float64 // worker-seconds
}

// seasonalForecast expects what came one period and two periods ago.
type seasonalForecast struct {
	period   int64 // minutes
	today    float64
	before   float64 // what was expected for the same minutes as today; both over about half an hour
	plain    seasonalPool
	ahead    seasonalPool
	score    seasonalScore
	believed bool
}

// expected is the records of a minute.
func (f *seasonalForecast) expected(m *seasonalMinutes, minute int64) (float64, bool) {
	one, ok := m.at(minute - f.period)
	two, also := m.at(minute - 2*f.period)
	return min(one, two), ok && also
}

const seasonalScaleMinutes = 30

// compare learns from a finished minute how today is beside the days before.
func (f *seasonalForecast) compare(m *seasonalMinutes, minute int64, records float64) {
	if expected, ok := f.expected(m, minute); ok {
		f.today += (records - f.today) / seasonalScaleMinutes
		f.before += (expected - f.before) / seasonalScaleMinutes
	}
}

// scale is how today is beside what was expected; 1 at most.
func (f *seasonalForecast) scale() float64 {
	if f.before <= 0 {
		return 1
	}
	return min(1, f.today/f.before)
}

// workers is how many the busiest minute needs from now until workers asked for at the next check would be there; 0 where that is
// about what there is to do already. It is not known where most of those minutes are not.
func (f *seasonalForecast) workers(m *seasonalMinutes, unix float64, v sloScene, check, margin float64) (float64, bool) {
	first := int64(math.Floor(unix / 60))
	last := min(int64(math.Floor((unix+v.lead+check)/60)), first+seasonalAhead)
	most, known := 0.0, int64(0)
	for minute := first; minute <= last; minute++ {
		if records, ok := f.expected(m, minute); ok {
			most, known = max(most, records), known+1
		}
	}
	if known*2 <= last-first+1 {
		return 0, false
	}
	level := most / 60 / v.rate * f.scale()
	if level < seasonalJump*v.level+1 {
		return 0, true
	}
	return min(level+margin*math.Sqrt(level+1), sloMost), true
}

// reckon plays the two pools on, and sees what they came to.
func (f *seasonalForecast) reckon(a seasonalArrivals, expected float64, v sloScene, slo *SLO) {
	if a.dt <= 0 {
		return
	}
	lower, upper := float64(v.r.min), float64(v.r.max)
	within := func(x float64) float64 { return min(max(math.Ceil(x-1e-6), lower), upper) }
	plainLate, plainCost := f.plain.step(a, within(v.floor), upper, v.lead, slo.slo)
	aheadLate, aheadCost := f.ahead.step(a, within(max(v.floor, expected)), upper, v.lead, slo.slo)
	f.score.add(seasonalScore{seconds: a.dt, work: a.work, plainLate: plainLate, aheadLate: aheadLate, plainCost: plainCost, aheadCost: aheadCost})
	f.believed = f.score.proves(f.believed)
}

// seasonalOrders is how many orders a pool that is only reckoned with tells apart.
const seasonalOrders = 64

// seasonalPool is a pool that is only reckoned with: it has what it is told to have, a lead later, and more when work is late.
type seasonalPool struct {
	size   float64
	queue  float64 // worker-seconds that wait
	orders [seasonalOrders]struct{ at, count float64 }
	used   int
}

func (p *seasonalPool) ordered() (n float64) {
	for _, o := range p.orders[:p.used] {
		n += o.count
	}
	return n
}

// step returns how much of the work that came is going to be late, and what the workers cost.
func (p *seasonalPool) step(a seasonalArrivals, want, most, lead, slo float64) (late, cost float64) {
	kept := 0
	capacity := 0.0
	for _, o := range p.orders[:p.used] {
		if o.at <= a.now {
			p.size += o.count
			continue
		}
		capacity += o.count * max(0, a.now+slo-o.at) // what it does before the deadline
		p.orders[kept] = o
		kept++
	}
	p.used = kept
	p.queue += a.work
	capacity += p.size * slo
	over := max(0, p.queue-p.size*a.dt-capacity)
	late = min(a.work, over)
	p.queue = max(0, p.queue-p.size*a.dt)
	there := p.size + p.ordered()
	cost = there * a.dt
	want = min(most, want+math.Ceil(over/max(slo, 1))) // late work is caught up with within another SLO
	if want > there {
		p.order(a.now+lead, want-there)
	} else {
		p.shed(there - want)
	}
	return late, cost
}

func (p *seasonalPool) order(at, count float64) {
	if p.used == seasonalOrders { // taken together with the one before
		p.orders[p.used-1].count += count
		return
	}
	p.orders[p.used].at, p.orders[p.used].count = at, count
	p.used++
}

// shed lets so many go, the last ones ordered first.
func (p *seasonalPool) shed(count float64) {
	for p.used > 0 && count > 0 {
		o := &p.orders[p.used-1]
		n := min(count, o.count)
		o.count -= n
		count -= n
		if o.count <= 0 {
			p.used--
		}
	}
	p.size = max(0, p.size-count)
}

const (
	seasonalForget = 3 * 24 * 3600.0 // seconds of memory of a score
	seasonalProof  = 12 * 3600.0     // seconds at least
	seasonalWorth  = 10              // worker-seconds that may be idle for each one of work that is kept in time
	seasonalLeast  = 0.0002          // share of the work that has to be kept in time, for it to be more than chance
)

// seasonalScore is what the two pools came to, in worker-seconds.
type seasonalScore struct {
	seconds              float64
	work                 float64
	plainLate, aheadLate float64
	plainCost, aheadCost float64
}

func (s *seasonalScore) add(x seasonalScore) {
	keep := math.Exp(-x.seconds / seasonalForget)
	for _, f := range []struct {
		sum *float64
		x   float64
	}{
		{&s.seconds, x.seconds}, {&s.work, x.work}, {&s.plainLate, x.plainLate}, {&s.aheadLate, x.aheadLate},
		{&s.plainCost, x.plainCost}, {&s.aheadCost, x.aheadCost},
	} {
		*f.sum = *f.sum*keep + f.x
	}
}

// saved is the work that was kept in time, and the worker-seconds spent on it.
func (s *seasonalScore) saved() (late, extra float64) {
	return s.plainLate - s.aheadLate, s.aheadCost - s.plainCost
}

// proves tells whether looking ahead pays. One that is believed may have half of the evidence before it no longer is.
func (s *seasonalScore) proves(believed bool) bool {
	saved, extra := s.saved()
	least := seasonalLeast * s.work
	if believed {
		least /= 2
	}
	return s.seconds >= seasonalProof && saved > least && extra <= seasonalWorth*saved
}
