package simulate

import "iter"

// cohort is a number of alike things with a second to their name: records by arrival, workers by when they change.
type cohort struct{ second, count int }

// queue is what waits, in order of arrival.
type queue struct {
	depth   int
	cohorts []cohort
	head    int // index of the front; what lies before it is served
	most    int // cohorts to tell apart; 0 means that there is no limit
	grain   int // seconds of arrivals that were taken together last to keep to it
}

func (q *queue) push(second, count int) {
	if count > 0 {
		if q.depth == 0 {
			q.grain = 1
		}
		if q.most > 0 && len(q.cohorts)-q.head >= q.most {
			q.thin()
		}
		q.cohorts = append(q.cohorts, cohort{second, count})
		q.depth += count
	}
}

// thin takes neighbours together, as old as the oldest of them, until half of the cohorts are left: rather late than early.
func (q *queue) thin() {
	for len(q.cohorts)-q.head > q.most/2 {
		kept := q.cohorts[:0]
		for _, c := range q.cohorts[q.head:] {
			if last := len(kept) - 1; last >= 0 && kept[last].second/q.grain == c.second/q.grain {
				kept[last].count += c.count
			} else {
				kept = append(kept, c)
			}
		}
		q.cohorts, q.head = kept, 0
		q.grain *= 2
	}
	q.grain /= 2
}

// all goes through what waits, the oldest first.
func (q *queue) all() iter.Seq2[int, int] {
	return func(yield func(arrived, count int) bool) {
		for _, c := range q.cohorts[q.head:] {
			if !yield(c.second, c.count) {
				return
			}
		}
	}
}

// pop takes count records from the front, and tells the arrival second of each run of them.
func (q *queue) pop(count int, served func(arrived, count int)) {
	q.depth -= count
	for count > 0 {
		front := &q.cohorts[q.head]
		n := min(count, front.count)
		served(front.second, n)
		count -= n
		if front.count -= n; front.count == 0 {
			q.head++
		}
	}
	// Served cohorts make room once they are the larger half: the copying stays a constant per cohort.
	if q.head > 64 && q.head*2 > len(q.cohorts) {
		q.cohorts = q.cohorts[:copy(q.cohorts, q.cohorts[q.head:])]
		q.head = 0
	}
}

// oldest is the age of the front at second t, 0 when nothing waits.
func (q *queue) oldest(t int) int {
	if q.depth == 0 {
		return 0
	}
	return t - q.cohorts[q.head].second
}

// pool counts workers by what they do. Ready ones are all alike, so that "the youngest first" needs no names there.
type pool struct {
	ready    int
	starting group // second: when they become ready
	draining group // second: when they are gone
}

func (p *pool) size() int    { return p.ready + p.starting.total }
func (p *pool) present() int { return p.size() + p.draining.total }

// advance moves on those whose time is up at t.
func (p *pool) advance(t int) {
	p.ready += p.starting.takeUntil(t)
	p.draining.takeUntil(t)
}

func (p *pool) start(count, readyAt int) { p.starting.add(readyAt, count) }

// stop cancels starting workers, the youngest first, and then drains ready ones.
func (p *pool) stop(count, goneAt int) {
	count -= p.starting.takeYoungest(count)
	p.ready -= count
	p.draining.add(goneAt, count)
}

// group is workers whose state ends at a known second, the oldest first.
type group struct {
	total   int
	cohorts []cohort
}

func (g *group) add(second, count int) {
	if count > 0 {
		g.cohorts = append(g.cohorts, cohort{second, count})
		g.total += count
	}
}

func (g *group) takeUntil(t int) int {
	taken, done := 0, 0
	for done < len(g.cohorts) && g.cohorts[done].second <= t {
		taken += g.cohorts[done].count
		done++
	}
	if done > 0 {
		g.cohorts = g.cohorts[:copy(g.cohorts, g.cohorts[done:])]
		g.total -= taken
	}
	return taken
}

// takeYoungest removes up to count and returns how many it found.
func (g *group) takeYoungest(count int) int {
	taken := 0
	for taken < count && len(g.cohorts) > 0 {
		youngest := &g.cohorts[len(g.cohorts)-1]
		n := min(count-taken, youngest.count)
		taken += n
		if youngest.count -= n; youngest.count == 0 {
			g.cohorts = g.cohorts[:len(g.cohorts)-1]
		}
	}
	g.total -= taken
	return taken
}
