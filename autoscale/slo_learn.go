package autoscale

import (
	"math"
	"time"
)

// sloClock counts the policy's own seconds from its first observation on. It stands still when the time goes back.
type sloClock struct {
	last    time.Time
	now     float64
	back    int // readings in a row that were older than the last
	started bool
}

// backwardIsReal is how many readings in a row may be older than the last before the clock is taken to have been set back.
const backwardIsReal = 3

// read advances to t; it reports false for a reading from the past.
func (c *sloClock) read(t time.Time) (float64, bool) {
	if !c.started {
		c.started, c.last = true, t
		return c.now, true
	}
	d := t.Sub(c.last)
	if d < 0 {
		if c.back++; c.back < backwardIsReal {
			return c.now, false
		}
	}
	c.back = 0
	c.last = t
	c.now += max(0, d.Seconds())
	return c.now, true
}

// peek is the time at t without advancing.
func (c *sloClock) peek(t time.Time) float64 {
	if !c.started {
		return c.now
	}
	return c.now + max(0, t.Sub(c.last).Seconds())
}

// sloPeriod is what happened in a time that is long enough to learn from: a check or, where checks come early, several.
type sloPeriod struct {
	dt        float64
	arrived   int
	completed float64
	busy      float64
	ready     int  // ready workers, at the last reading
	least     int  // the fewest at any reading
	floor     int  // lower bound of the pool, at the last reading
	changed   bool // they were not the same all the time
	dry       bool // workers may have run out of work, or what waited could not be worked on
	empty     bool // nothing is unfinished, at the last reading
	inHand    int  // records that workers have taken and not finished, at the last reading

	toldRecords, toldBusy float64 // of workers told apart
	apart                 bool
}

// add goes on until the reading.
func (m *sloPeriod) add(r, previous sloReading, arrived int) {
	if m.dt == 0 {
		m.least = previous.ready
		m.dry = previous.waiting == 0 || previous.held > 0
	}
	m.dt += r.dt
	m.arrived += arrived
	if m.apart { // busy seconds go with the records that came of them
		m.completed, m.busy = m.toldRecords, m.toldBusy
	} else {
		m.completed += float64(r.completed)
		m.busy += r.busy
	}
	m.ready, m.least, m.floor = r.ready, min(m.least, r.ready), r.min
	m.changed = m.changed || r.ready != previous.ready
	// First in, first out: only when more waits than has come since has something waited all the time.
	m.dry = m.dry || r.waiting == 0 || r.waiting < arrived || r.held > 0
	m.empty = r.depth == 0
	m.inHand = r.inHand()
}

// told takes what workers told apart have done.
func (m *sloPeriod) told(records, busy float64) {
	m.apart = true
	m.toldRecords += records
	m.toldBusy += busy
}

// Memories of the rate, in busy worker-seconds.
const (
	rateMemory  = 120.0 // of the value used
	rateWindow  = 3     // latest readings that may contradict it
	rateDiffers = 0.08  // relative difference that is worth a jump

	rateMost = 1e9 // records per second; beyond that, and below its inverse, nothing is believed
)

// sloRate is the records that a worker completes per busy second.
type sloRate struct {
	records, busy float64 // exponential memory
	spread        float64 // variance of a reading's records over what a Poisson stream would have; 0 is exact
	window        [rateWindow]struct{ records, busy float64 }
	next          int
	pending       struct{ records, busy float64 } // not enough yet to be an entry of the window
	jumped        float64                         // which way the rate jumped last, fading with the readings since
}

// value is the rate; 0 while unknown.
func (m *sloRate) value() float64 {
	if m.records <= 0 || m.busy <= 0 {
		return 0
	}
	return m.records / m.busy
}

// noise is the dispersion of completions around what the rate predicts.
func (m *sloRate) noise() float64 { return m.spread }

// learn takes the completions and the busy time of one reading. Busy time without a completion waits for the next one:
// live, a batch may take longer than a check, and what is stuck says nothing about the others.
func (m *sloRate) learn(completed, busy float64) {
	m.pending.records += completed
	m.pending.busy += busy
	if completed == 0 || m.pending.busy <= 0 {
		m.pending.busy = min(m.pending.busy, rateMemory)
		return
	}
	records, busy := m.pending.records, m.pending.busy
	m.pending.records, m.pending.busy = 0, 0
	if records > rateMost*busy || busy > rateMost*records {
		return
	}
	if rate := m.value(); rate > 0 {
		expected := rate * busy
		m.window[m.next] = struct{ records, busy float64 }{records, busy}
		m.next = (m.next + 1) % rateWindow
		if m.contradicted(rate) {
			return
		}
		m.learnSpread(records, expected, 0.05)
		m.jumped *= 0.95
	}
	keep := math.Exp(-busy / rateMemory)
	m.records = m.records*keep + records
	m.busy = m.busy*keep + busy
}

// contradicted looks whether the newest reading, the newest two or the whole window differ from the rate by more than
// the noise seen so far explains. If so, the memory starts anew with them.
func (m *sloRate) contradicted(rate float64) bool {
	var records, busy float64
	for i := range rateWindow {
		w := m.window[(m.next+2*rateWindow-1-i)%rateWindow]
		if w.busy <= 0 {
			return false
		}
		records += w.records
		busy += w.busy
		expected := rate * busy
		differs := math.Abs(records-expected) - 1 // one record may always fall on the other side of a check
		if differs > rateDiffers*expected && differs > 4*math.Sqrt(m.spread*max(expected, 1)) && records >= 1 {
			m.jump(records, expected, busy, i == 0)
			return true
		}
	}
	return false
}

// jump believes the records of the busy time from now on, which were to be expected otherwise.
func (m *sloRate) jump(records, expected, busy float64, single bool) {
	proven := m.busy >= rateMemory && m.spread <= 1
	m.records, m.busy = records, busy
	clear(m.window[:])
	way := 1.0
	if records < expected {
		way = -1
	}
	switch {
	case m.jumped*way < -0.5:
		// There and back is no change of the rate. It is noise: batches that complete at once, say.
		m.learnSpread(records, expected, 0.2)
		m.jumped = way
	case single && proven && way < 0:
		// Workers became slower in the middle of the reading, for all that is known, and are slower still at its end.
		m.records = max(2*records-expected, records/2)
		m.jumped = 0
	default:
		m.jumped = way
	}
}

// learnSpread counts a reading as noise.
func (m *sloRate) learnSpread(records, expected, weight float64) {
	surprise := (records - expected) * (records - expected) / max(expected, 1)
	m.spread += weight * (min(surprise, 25*max(m.spread, 1)) - m.spread) // batches of thousands make it large
}

// sloLead is the seconds from asking for a worker to its first work.
type sloLead struct {
	believed float64
	waiting  float64 // age of the oldest order still outstanding
	learned  bool
}

// value is the lead to plan with.
func (m *sloLead) value() float64 { return max(m.believed, m.waiting) }

func (m *sloLead) learn(sample float64) {
	switch {
	case !m.learned:
		m.believed, m.learned = sample, true
	case sample > m.believed:
		m.believed += 0.7 * (sample - m.believed)
	default:
		m.believed += 0.2 * (sample - m.believed)
	}
}

// bracket is for a worker that joined at an unknown time between two readings: in the middle at the latest, as long as
// nothing tells that it was later.
func (m *sloLead) bracket(least, most float64) {
	m.believed = min(max(m.believed, least), (least+most)/2)
}

// outstanding is told the age of the oldest order that has not joined yet.
func (m *sloLead) outstanding(age float64) { m.waiting = age }

// Memory of the arrivals.
const (
	levelMemory  = 60.0      // seconds that make up the level
	latelyChecks = 2         // checks that make up what came lately
	surely       = 1.2       // standard deviations beyond which what came lately is no chance
	excessMemory = 24 * 3600 // seconds that the histogram of excess reaches back
	excessBins   = 96
	excessStep   = 0.25
	excessFrom   = -2.0
)

// sloLevel is the arrivals per second and how far a reading's arrivals exceeded what was expected of them.
type sloLevel struct {
	sum, weight float64 // exponential memory of arrivals and of the seconds they came in
	newSum      float64 // the same over a few checks only
	newWeight   float64
	busyAt      float64 // when a record came last
	excess      [excessBins]float64
	excessSum   float64
	peak        float64 // most arrivals per second within a period, with a day's memory
}

// perSecond is the level in records per second.
func (m *sloLevel) perSecond() float64 {
	if m.weight <= 0 {
		return 0
	}
	return m.sum / m.weight
}

// lately is the same over a shorter time.
func (m *sloLevel) lately() float64 {
	if m.newWeight <= 0 {
		return 0
	}
	return m.newSum / m.newWeight
}

// between is what the arrivals of the next check are to be expected between, in workers: at the level, unless what came
// lately is less, or more, than chance allows.
func (m *sloLevel) between(rate, check float64) (low, high float64) {
	level, lately := m.perSecond()/rate, m.lately()/rate
	chance := surely * math.Sqrt(level/rate/(2*latelyChecks*check))
	return min(level, lately+chance), max(level, lately-chance)
}

func (m *sloLevel) learn(arrived int, dt, rate, short float64) {
	if dt > 0 {
		m.peak = max(m.peak*math.Exp(-dt/excessMemory), float64(arrived)/dt)
	}
	if dt > 0 && rate > 0 && m.weight > 0 {
		level := m.perSecond() / rate
		m.count((float64(arrived)/dt/rate-level)/math.Sqrt(level+1), float64(arrived), dt)
	}
	m.sum, m.weight = remember(m.sum, m.weight, arrived, dt, levelMemory)
	m.newSum, m.newWeight = remember(m.newSum, m.newWeight, arrived, dt, short)
}

// remember adds arrivals that came evenly within dt to an exponential memory of arrivals and seconds.
func remember(sum, weight float64, arrived int, dt, memory float64) (float64, float64) {
	keep := math.Exp(-dt / memory)
	seconds := memory * (1 - keep)
	share := 1.0 // of the arrivals that is still remembered
	if dt > 0 {
		share = min(seconds/dt, 1)
	}
	return sum*keep + float64(arrived)*share, weight*keep + seconds
}

// count puts an excess into the histogram, weighted by the records that it concerned.
func (m *sloLevel) count(excess, records, dt float64) {
	keep := math.Exp(-dt / excessMemory)
	m.excessSum = 0
	for i := range m.excess {
		m.excess[i] *= keep
		m.excessSum += m.excess[i]
	}
	i := min(max((excess-excessFrom)/excessStep, 0), excessBins-1)
	m.excess[int(i)] += records
	m.excessSum += records
}

// beyond is the excess that only the given share of the records came with.
func (m *sloLevel) beyond(share float64) float64 {
	left := m.excessSum * share
	for i := excessBins - 1; i >= 0; i-- {
		if left -= m.excess[i]; left < 0 {
			return max(0, excessFrom+float64(i+1)*excessStep)
		}
	}
	return 0
}

// upTo is the workers' worth of arrivals that all but the given share of the records came within: the level with its excess, though no
// more than ever came. A burst raises the level, and the excess over a low level does not come on top of it.
func (m *sloLevel) upTo(share, rate float64) float64 {
	level := m.perSecond() / rate
	return max(level, min(level+m.beyond(share)*math.Sqrt(level+1), m.peak/rate))
}

// sloLack is the ready workers that do not show in what gets done.
type sloLack struct {
	long    sloSpan // exponential memory of readings with work waiting throughout
	last    sloSpan // the latest of them
	missing float64 // workers
}

// sloSpan is what was there and what was done in some time.
type sloSpan struct {
	ready, completed, seconds float64
	runs                      float64 // stretches without a break; each may have a record half done at both ends
}

// lacking is how many workers are missing in the span; 0 as long as rounding and noise explain it.
func (w sloSpan) lacking(rate, noise float64) float64 {
	unsure := (1.5*w.runs + 2*math.Sqrt(noise*rate*w.ready)) / rate
	missing := w.ready - w.completed/rate
	if missing < unsure || missing < 0.25*w.seconds {
		return 0
	}
	return (missing - unsure/2) / w.seconds
}

// learn compares what was completed with what the ready workers would complete. Only periods with the same ready workers
// and with work waiting all the time count: otherwise idle time would look like a stuck worker.
func (m *sloLack) learn(p sloPeriod, rate, noise float64) {
	if rate <= 0 || p.dt <= 0 {
		return
	}
	done := p.completed / rate / p.dt // workers' worth
	m.missing = max(0, min(m.missing, float64(p.ready)-done+1/(rate*p.dt)))
	if p.dry || p.ready == 0 || p.changed {
		m.last = sloSpan{}
		return
	}
	now := sloSpan{float64(p.ready) * p.dt, p.completed, p.dt, 1 + float64(p.inHand)}
	fresh := 0.0
	if m.last.seconds == 0 {
		fresh = 1
	}
	keep := math.Exp(-p.dt / max(6*p.dt, 10, 10/rate/float64(p.ready)))
	m.long = sloSpan{m.long.ready*keep + now.ready, m.long.completed*keep + now.completed, m.long.seconds*keep + now.seconds, m.long.runs*keep + fresh}
	m.long.runs = max(m.long.runs, now.runs)
	m.missing = m.long.lacking(rate, noise)
	if m.last.seconds > 0 {
		both := sloSpan{now.ready + m.last.ready, now.completed + m.last.completed, now.seconds + m.last.seconds, now.runs}
		m.missing = max(m.missing, both.lacking(rate, noise))
	}
	m.missing = min(m.missing, float64(p.ready))
	m.last = now
}

// sloGaps is how long the policy has lately been blind between two readings, beyond a check.
type sloGaps struct{ usual float64 }

const (
	gapMemory = 600.0 // seconds that a gap is remembered
	gapGain   = 0.2   // how much of a new one is believed: it is planned for once it repeats itself
)

// learn takes the time between two readings. An outage longer than the SLO is not prepared for: nothing would help.
func (m *sloGaps) learn(dt, check, slo float64) {
	m.usual *= math.Exp(-dt / gapMemory)
	if gap := dt - 1.5*check; gap > m.usual && dt <= slo+check {
		m.usual += gapGain * (gap - m.usual)
	}
}

// sloBegun is the work already done on records that are not finished, where the pool does not tell what its workers do. Where
// a record takes long, that is much of what is left to do.
type sloBegun struct {
	records float64 // worth of such work; never more than one record, whatever they are
	proven  int     // readings in a row that agree with it
	doubts  int     // how often one did not
}

const (
	begunNeeds  = 20   // readings that have to agree before it is believed; twice as many after each doubt
	begunDoubts = 8    // doubts that count
	begunNoise  = 0.05 // records by which rounding may be off
)

// learn compares what the workers can do with what they have completed: what is left over is begun.
func (m *sloBegun) learn(r, previous sloReading, rate, missing float64) {
	if r.waiting == 0 || rate <= 0 {
		m.records = 0
		return
	}
	working := max(0, float64(min(r.ready, previous.ready))-missing)
	done := working * r.dt * rate
	if previous.waiting == 0 {
		// They have worked since the front came. Waits are told in whole seconds, from the one in which it came.
		done = working * min(r.dt, r.oldest+1) * rate
		m.records = 0
	}
	left := m.records + done - float64(r.completed)
	// A record more than was completed should have been. Unless nothing waited for a while in between, somebody works less
	// than was thought.
	if left > 1+begunNoise && float64(previous.waiting) > done {
		m.records, m.proven, m.doubts = 0, 0, min(m.doubts+1, begunDoubts)
		return
	}
	if r.completed > 0 {
		m.proven++
	}
	m.records = min(max(left, 0), 1)
}

// value is the work, in records; 0 while it is not known well.
func (m *sloBegun) value() float64 {
	if m.proven < begunNeeds<<m.doubts {
		return 0
	}
	return m.records
}
