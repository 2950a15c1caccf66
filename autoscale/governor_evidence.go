package autoscale

import "math"

const (
	governorSizes   = 16   // pool sizes whose throughput is remembered
	governorBackMin = 60.0 // seconds that they are remembered, at least; otherwise so many spans:
	governorBack    = 30.0

	governorDiffers = 0.15  // relative difference of a throughput that is worth a second look
	governorGain    = 0.75  // share of their worth that added workers have to bring
	governorIdle    = 2.2   // workers without effect from which on it is worth saying
	governorFewest  = 4     // records without which nothing is believed
	governorUnequal = 0.175 // how much a worker's rate may differ from another's, as a share
)

// governorLevel is what a pool of one size completed.
type governorLevel struct {
	ready         int
	records, work float64 // exponential memory; work in worker-seconds
	now           float64 // of the latest span in it
}

// perWorker is the records that a worker completes per second.
func (l governorLevel) perWorker() float64 { return l.records / l.work }

// doubt is the relative error that the rate may have from having seen few records.
func (l governorLevel) doubt(spread float64) float64 {
	return (math.Sqrt(max(spread, governorLeastSpread)*max(l.records, 1)) + 0.5) / max(l.records, 0.5)
}

// governorLevels is the throughput by size, as far as it was seen lately.
type governorLevels struct {
	list    [governorSizes]governorLevel
	used    int
	usual   float64 // seconds of a span
	shocked float64 // when workers were seen getting slower without growth; 0 when never
}

// back is how long a level counts.
func (v *governorLevels) back() float64 { return max(governorBackMin, governorBack*v.usual) }

// rate is that of a worker at the size at which workers did best; 0 while unknown.
func (v *governorLevels) rate() float64 {
	best := 0.0
	for _, l := range v.list[:v.used] {
		best = max(best, l.perWorker())
	}
	return best
}

// learn adds a span to the level of its size. Levels that it contradicts are dropped. It returns how far it was from what
// was expected, and false when it shows that workers got slower without growth: then what was known is no base any more, and
// neither is this span, which may be half old and half new.
func (v *governorLevels) learn(s governorSpan, spread float64) (surprise float64, ok bool) {
	if s.seconds > 0 {
		if v.usual == 0 {
			v.usual = s.seconds
		}
		v.usual += 0.1 * (s.seconds - v.usual)
	}
	if !s.steady() || s.work() <= 0 {
		return 0, true
	}
	for i := 0; i < v.used; {
		l := v.list[i]
		if l.ready == s.low && s.records != l.perWorker()*s.work() {
			expected := l.perWorker() * s.work()
			surprise = max(surprise, (s.records-expected)*(s.records-expected)/max(expected, 0.25))
		}
		switch verdict := l.compare(s, spread); {
		case verdict < 0:
			v.forget(s.now)
			return 0, false
		case verdict > 0 || s.now-l.now > v.back():
			v.drop(i)
		default:
			i++
		}
	}
	v.add(s)
	return min(surprise, max(s.records, 1)), true // no batch is larger than what was completed
}

// forget drops all levels, since workers have got slower.
func (v *governorLevels) forget(now float64) { *v = governorLevels{usual: v.usual, shocked: now} }

// compare tells whether the span fits to the level, if workers have a rate and something may limit them all: 0. It is
// below when workers have got slower since, above when they have got faster or the limit has moved.
func (l governorLevel) compare(s governorSpan, spread float64) int {
	least, most := l.perWorker()*s.work(), l.perWorker()*s.work()
	switch {
	case s.low > l.ready:
		least *= float64(l.ready) / float64(s.low)
	case s.low < l.ready:
		most *= float64(l.ready) / float64(s.low)
	}
	beyond := func(differs, expected float64) bool {
		noise := 4*math.Sqrt(max(spread, governorLeastSpread)*max(expected, 1)) + 1.5 + l.doubt(spread)*expected
		return differs > noise && differs > governorDiffers*expected
	}
	switch {
	case beyond(least-s.records, least):
		return -1
	case beyond(s.records-most, most):
		return 1
	default:
		return 0
	}
}

func (v *governorLevels) drop(i int) {
	v.used--
	v.list[i] = v.list[v.used]
}

// add puts a span into the level of its size, in place of the oldest level if there is no room.
func (v *governorLevels) add(s governorSpan) {
	if s.work() <= 0 || s.low <= 0 {
		return
	}
	at := v.find(s.low)
	if at < 0 && s.records == 0 {
		return // a level that has not completed anything tells nothing
	}
	if at < 0 {
		at = v.room()
		v.list[at] = governorLevel{ready: s.low}
	}
	l := &v.list[at]
	keep := math.Exp(-s.seconds / v.back())
	l.records, l.work, l.now = l.records*keep+s.records, l.work*keep+s.work(), s.now
}

// find is the index of the level of a size; -1 when there is none.
func (v *governorLevels) find(ready int) int {
	for i := range v.used {
		if v.list[i].ready == ready {
			return i
		}
	}
	return -1
}

// room is the index of a new level, the oldest one's if there is no other.
func (v *governorLevels) room() int {
	if v.used < governorSizes {
		v.used++
		return v.used - 1
	}
	oldest := 0
	for i := range v.list {
		if v.list[i].now < v.list[oldest].now {
			oldest = i
		}
	}
	return oldest
}

// base is the rate of workers at sizes that were not limited yet, when the pool completes so many records per second now.
// Its ready is the largest of these sizes, least the smallest.
func (v *governorLevels) base(below int, now, throughput, spread float64) (base governorLevel, least int, ok bool) {
	best := 0.0
	for _, l := range v.list[:v.used] {
		sure := l.perWorker() * (1 - l.doubt(spread))
		if l.ready < below && now-l.now <= v.back() && sure > best {
			best, base, least, ok = sure, l, l.ready, true
		}
	}
	if !ok {
		return base, least, false
	}
	// Sizes up to what this rate makes of the throughput were not limited either.
	limit := throughput/base.perWorker() + 0.25
	first := base.ready
	for _, l := range v.list[:v.used] {
		if l.ready < below && l.ready != first && float64(l.ready) <= limit && now-l.now <= v.back() {
			base.records, base.work = base.records+l.records, base.work+l.work
			base.ready, least = max(base.ready, l.ready), min(least, l.ready)
		}
	}
	return base, least, true
}

// governorFinding is a pool that has outgrown what helps.
type governorFinding struct {
	helped float64 // workers
	rate   float64 // records per second of a worker that helps
	flat   float64 // records per second however many work
	ready  float64 // workers that completed them
	rough  bool    // what helped is an upper bound only
}

// evidence looks whether the pool has grown without completing more.
func (g *Governor) evidence() (governorFinding, bool) {
	m := &g.meter
	for n := 2 + g.doubts; n <= m.count; n++ {
		s := m.newest(n)
		if !s.full() {
			return governorFinding{}, false
		}
		if f, ok := g.weigh(s); ok {
			return f, true
		}
	}
	return governorFinding{}, false
}

// weigh compares what was completed lately with what it was before the pool grew.
func (g *Governor) weigh(s governorSpan) (governorFinding, bool) {
	m, v := &g.meter, &g.levels
	flat := s.perSecond()
	base, least, ok := v.base(s.low, s.now, flat, m.spread)
	if !ok || flat <= 0 {
		return governorFinding{}, false
	}
	worked := s.worked
	if s.told {
		worked = min(worked, s.busy)
	}
	rate, ready := base.perWorker(), worked/s.seconds
	f := governorFinding{helped: flat / rate, rate: rate, flat: flat, ready: ready}
	// The smallest size seen may have been limited already, and so may one seen only since workers got slower.
	f.rough = float64(least) > 0.75*f.helped || v.shocked > 0 && s.now-v.shocked <= v.back()
	more := ready - float64(base.ready)
	if ready-f.helped < governorIdle || flat-float64(base.ready)*rate > governorGain*more*rate {
		return f, false
	}
	expected := rate * worked
	unequal := governorUnequal * math.Sqrt(more*more/float64(base.ready)+more) * rate * s.seconds // the first may just be good ones
	unsure := math.Hypot(m.noise(expected, 3), math.Hypot(2*base.doubt(m.spread)*expected, 2.5*unequal))
	if s.records < governorFewest || expected-s.records <= unsure {
		return f, false
	}
	if g.slower(s, f, base.ready) {
		v.forget(s.now)
		return f, false
	}
	return f, true
}

// slower tells whether it is the workers that have got slower, all of them, at about the time when the pool grew.
func (g *Governor) slower(s governorSpan, f governorFinding, from int) bool {
	for _, l := range g.levels.list[:g.levels.used] {
		if before := l.perWorker() * float64(l.ready); l.ready <= s.high && before > f.flat*1.08+g.meter.noise(f.flat*s.seconds, 2)/s.seconds {
			return true // a smaller pool completed more
		}
	}
	return g.path.slowed(f, (float64(from)+f.ready)/2, g.meter.spread)
}

const (
	governorPathSpans = 24
	governorPathLook  = 3 // spans of about the same size that are kept, and that are looked at together
)

// governorPath is the way on which the pool came to its size: the latest spans, without those that repeat a size for long.
type governorPath struct {
	list [governorPathSpans]governorSpan // the newest last
	used int
}

// size is how many workers were at work.
func (s governorSpan) size() float64 { return s.work() / s.seconds }

func (v *governorPath) add(s governorSpan, back float64) {
	for v.used > 0 && s.now-v.list[0].now > back {
		copy(v.list[:], v.list[1:v.used])
		v.used--
	}
	if s.seconds <= 0 || s.work() <= 0 {
		return
	}
	drop := 0 // the oldest when full
	if v.used >= governorPathLook {
		drop = v.used - governorPathLook
		for _, e := range v.list[drop:v.used] {
			if e.high != s.high {
				drop = 0
			}
		}
	}
	if drop > 0 || v.used == governorPathSpans {
		copy(v.list[drop:], v.list[drop+1:v.used])
		v.used--
	}
	v.list[v.used] = s
	v.used++
}

// slowed tells whether workers had got slower already when the pool was last at most so large: what it completed then is
// nearer to what so slow workers would have, than to what good ones would have under the limit. So does a smaller pool that
// completed more.
func (v *governorPath) slowed(f governorFinding, most, spread float64) bool {
	for _, e := range v.list[:v.used] {
		flat := f.flat * e.seconds
		if e.size() <= f.ready && e.records > (1+governorDiffers)*flat+4*math.Sqrt(max(spread, governorLeastSpread)*flat)+1.5 {
			return true
		}
	}
	var records, slowly, well float64
	for i, found := v.used-1, 0; i >= 0 && found < governorPathLook; i-- {
		e := v.list[i]
		if e.size() > most {
			continue
		}
		found++
		records += e.records
		slowly += f.flat / f.ready * e.work()
		well += min(f.rate*e.work(), f.flat*e.seconds)
		if well >= 2 && records < (slowly+well)/2 {
			return true
		}
	}
	return false
}
