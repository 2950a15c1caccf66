package autoscale

import "math"

// governorSpan is what happened in some time that a reading, or several, told of.
type governorSpan struct {
	now     float64 // when it ended, in the governor's seconds
	seconds float64
	low     int     // fewest ready workers, of those that had the time to show what they can do
	high    int     // most ready workers
	worked  float64 // low * seconds, summed up
	records float64 // completed
	busy    float64 // worker-seconds of service
	told    bool    // whether the observer tells of busy seconds
	waiting bool    // work waited throughout
}

// steady tells whether the number of ready workers did not change.
func (s governorSpan) steady() bool { return s.low == s.high && s.low > 0 }

// full tells whether every ready worker was at work all the time, as far as anybody can tell. A record may be half done.
func (s governorSpan) full() bool {
	if !s.waiting || s.worked <= 0 || s.records <= 0 {
		return false
	}
	return !s.told || s.busy*(1+1/s.records) >= 0.85*s.worked
}

// work is the worker-seconds that the records took; 0 when nobody can tell.
func (s governorSpan) work() float64 {
	switch {
	case s.told:
		return s.busy
	case s.waiting:
		return s.worked
	default:
		return 0
	}
}

// perSecond is the throughput.
func (s governorSpan) perSecond() float64 {
	if s.seconds <= 0 {
		return 0
	}
	return s.records / s.seconds
}

// and is both spans together, t being the later one. An empty span adds nothing.
func (s governorSpan) and(t governorSpan) governorSpan {
	if s == (governorSpan{}) {
		return t
	}
	return governorSpan{
		now: t.now, seconds: s.seconds + t.seconds, low: min(s.low, t.low), high: max(s.high, t.high), worked: s.worked + t.worked,
		records: s.records + t.records, busy: s.busy + t.busy,
		told: s.told || t.told, waiting: s.waiting && t.waiting,
	}
}

const (
	governorRecent = 12    // latest spans that are looked at together
	governorSteps  = 16    // latest changes of the ready workers that are remembered
	governorSettle = 300.0 // longest time in seconds that new workers get to show what they can do
)

// governorMeter turns observations into spans.
type governorMeter struct {
	clock   sloClock
	seen    bool
	last    governorPoint // the latest reading
	from    float64       // when the pending span began
	pending governorSpan

	recent [governorRecent]governorSpan // the newest last
	count  int
	steps  [governorSteps]struct {
		since float64
		ready int
	} // the newest last
	changes int

	told       bool    // whether the observer was ever seen to tell of busy seconds
	usual      float64 // seconds of a span
	spread     float64 // variance of completions over what a Poisson stream would have, at its highest lately: about a batch
	residence  float64 // seconds that a record stays with a worker; 0 while unknown
	throughput float64 // records per second in the latest span
}

// governorPoint is what is remembered of a reading.
type governorPoint struct {
	now       float64
	depth     int
	completed int
	busy      float64
}

// plausible tells whether the numbers of an observation can be worked with.
func plausible(o Observation) bool {
	return o.Unknown == "" && o.Depth >= 0 && o.Depth <= sloMostRecords && o.Completed >= 0 && o.Completed <= sloMostRecords &&
		o.Size >= 0 && o.Size <= sloMost && o.BusySeconds >= 0 && o.BusySeconds <= sloMostSeconds
}

// readyOf is the ready workers of an observation; an observer that does not tell the states apart leaves them zero.
func readyOf(o Observation) int {
	if o.Ready == 0 && o.Starting == 0 {
		return o.Size
	}
	return min(max(o.Ready, 0), o.Size)
}

// read adds an observation and returns a span when one is complete. The rate is that of a worker, 0 while unknown.
func (m *governorMeter) read(o Observation, interval, rate float64) (governorSpan, bool) {
	if !plausible(o) {
		return governorSpan{}, false
	}
	now, ok := m.clock.read(o.Time)
	if !ok {
		return governorSpan{}, false
	}
	ready, before := readyOf(o), m.last
	m.told = m.told || o.BusySeconds > 0
	m.last = governorPoint{now, o.Depth, o.Completed, o.BusySeconds}
	if !m.seen {
		m.seen, m.from = true, now
		m.step(now, ready)
		// How long its counters ran nobody knows, but busy seconds tell the rate all the same.
		return governorSpan{now: now, low: ready, high: ready, records: float64(o.Completed), busy: o.BusySeconds, told: m.told}, true
	}
	if m.last == before {
		return governorSpan{}, false // the same reading again
	}
	m.step(now, ready)
	waiting := before.depth > 0 && o.Depth > 0
	if !m.told {
		waiting = waiting && min(before.depth, o.Depth) >= ready // only the queue tells that everybody had something to do
	}
	if m.pending == (governorSpan{}) {
		m.pending.waiting = true
	}
	m.pending.now, m.pending.told = now, m.told
	m.pending.seconds = now - m.from
	m.pending.records += float64(o.Completed)
	m.pending.busy += o.BusySeconds
	m.pending.waiting = m.pending.waiting && waiting
	m.stay(o, now-before.now)
	if m.pending.seconds <= 0 || m.pending.seconds < interval/2 {
		return governorSpan{}, false
	}
	return m.close(rate), true
}

// close ends the pending span.
func (m *governorMeter) close(rate float64) governorSpan {
	s := m.pending
	s.low, s.high = m.between(m.from-m.settling(rate), s.now)
	s.worked = float64(s.low) * s.seconds
	m.from, m.pending = s.now, governorSpan{}
	m.throughput = s.perSecond()
	if m.usual == 0 {
		m.usual = s.seconds
	}
	m.usual += 0.1 * (s.seconds - m.usual)
	if m.count == governorRecent {
		copy(m.recent[:], m.recent[1:])
		m.count--
	}
	m.recent[m.count] = s
	m.count++
	return s
}

// forget drops the latest spans: they are not to be looked at together with those to come.
func (m *governorMeter) forget() { m.count = 0 }

// restart begins a span with the next reading: what happened since the last one cannot be measured.
func (m *governorMeter) restart() {
	m.forget()
	m.seen, m.pending = false, governorSpan{}
}

// newest is the latest n spans together.
func (m *governorMeter) newest(n int) governorSpan {
	var all governorSpan
	for _, s := range m.recent[m.count-n : m.count] {
		all = all.and(s)
	}
	return all
}

// step notes the number of ready workers.
func (m *governorMeter) step(now float64, ready int) {
	if m.changes > 0 && m.steps[m.changes-1].ready == ready {
		return
	}
	if m.changes == governorSteps {
		copy(m.steps[:], m.steps[1:])
		m.changes--
	}
	m.steps[m.changes].since, m.steps[m.changes].ready = now, ready
	m.changes++
}

// between is the fewest and the most ready workers between two times. None are sure for times that are forgotten.
func (m *governorMeter) between(from, to float64) (low, high int) {
	if m.changes == governorSteps && m.steps[0].since > from {
		return 0, m.steps[m.changes-1].ready
	}
	low = sloMost
	for i := range m.changes {
		if i+1 < m.changes && m.steps[i+1].since <= from || m.steps[i].since > to {
			continue
		}
		low, high = min(low, m.steps[i].ready), max(high, m.steps[i].ready)
	}
	return low, high
}

// settling is how long new workers take until their completions are as regular as those of the others: about a batch.
func (m *governorMeter) settling(rate float64) float64 {
	if rate <= 0 {
		return 0
	}
	batch := max(1, 1.5*m.spread)
	settling := min(max(1.2*batch/rate, 1.5*m.residence), governorSettle)
	if settling < m.usual/10 {
		return 0 // they are seen later than they start anyway
	}
	return settling
}

// stay learns how long a record stays with its worker, where the pool tells what is in flight.
func (m *governorMeter) stay(o Observation, seconds float64) {
	if o.InFlight <= 0 || o.InFlight > sloMostRecords || o.Completed == 0 || seconds <= 0 {
		return
	}
	residence := min(float64(o.InFlight)*seconds/float64(o.Completed), governorSettle)
	if m.residence == 0 {
		m.residence = residence
	}
	m.residence += 0.2 * (residence - m.residence)
}

// scatter learns from how far a span's completions were from what was expected of it, squared, over that.
func (m *governorMeter) scatter(surprise float64) {
	gain := 0.03 // high values are believed sooner than low ones: batches come seldom
	if surprise > m.spread {
		gain = 0.1
	}
	m.spread += gain * (surprise - m.spread)
}

// noise is by how many records completions may differ from what is expected, at so many standard deviations.
func (m *governorMeter) noise(expected, deviations float64) float64 {
	return deviations*math.Sqrt(max(m.spread, governorLeastSpread)*max(expected, 1)) + 1
}

// governorLeastSpread is for pools that seemed more regular than any real one.
const governorLeastSpread = 0.05
