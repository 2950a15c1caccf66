package autoscale

import (
	"fmt"
	"math"
)

const (
	// dueWithin says where in the span between two readings the records of a cohort are taken to have come, as a share
	// of it: about the middle, as nobody saw it. Later is cheaper, and wrong for bursts at the beginning of the span.
	dueWithin = 0.65

	// idleAhead is how many checks of work the queue has to hold for each worker; those beyond that will soon be idle.
	idleAhead = 1.5

	crowdedFrom    = 0.6 // share of the largest pool that the level needs, from which on records are done earlier
	crowdedRamp    = 0.2 // as much more, and the reserve is at its largest
	crowdedReserve = 0.5 // share of the room that a new worker has
	gapReserve     = 0.5 // share of the time that the policy was blind
	mostReserve    = 0.6 // share of the room, for both
)

// sloScene is everything one plan is made from.
type sloScene struct {
	r       sloReading
	rate    float64 // records per second of a worker
	working float64 // ready workers that show in what gets done
	lead    float64
	within  float64 // see dueWithin
	first   float64 // room that the first arrivals after this check will have at the next one
	level   float64 // arrivals in workers
	load    float64 // work waiting, in worker-seconds
	reserve float64 // seconds before its deadline that a record shall be done
	floor   float64 // workers that unseen arrivals need
}

// sloNeed is what the deadlines ask for.
type sloNeed struct {
	more    float64 // workers to start; 0 when all is well
	records float64 // that have to be done by the deadline that asks for most
	in      float64 // seconds until that deadline
	late    bool    // more is to catch up, since it is too late for the deadline
	slack   float64 // least seconds to spare over all deadlines; the SLO when nothing waits
}

// plan names a size.
func (s *SLO) plan(r sloReading) Proposal {
	if s.rate.value() <= 0 {
		return s.planBlind(r)
	}
	v := s.scene(r)
	need := s.walk(v)
	s.foresee(&v, &need)
	s.note(v, need)
	if more := sloCeil(need.more); more > 0 {
		return s.grow(v, need, more)
	}
	return s.shrink(v, need)
}

func (s *SLO) scene(r sloReading) sloScene {
	v := sloScene{r: r, rate: s.rate.value(), lead: s.lead.value(), within: max(dueWithin, s.queue.earliest.value())}
	v.working = max(0, float64(r.ready)-s.lack.missing)
	v.first = s.slo - v.lead - s.check
	v.level = s.level.perSecond() / v.rate
	v.load = float64(r.depth) / v.rate
	v.reserve = s.reserve(v)
	return v
}

// reserve is how much earlier than its deadline work is planned to be done: where the pool is near its maximum, it could
// not grow for what comes next, and where readings were lost lately, it may see that late. Working earlier costs
// nothing, as long as there is work.
func (s *SLO) reserve(v sloScene) float64 {
	crowded := min(max(v.level/float64(v.r.max)-crowdedFrom, 0)/crowdedRamp, 1)
	room := max(0, v.first) // more would leave a new worker no time
	return min(crowdedReserve*crowded*room+gapReserve*s.gaps.usual, mostReserve*room)
}

// planBlind is for the time before the first completion: a worker at a time.
func (s *SLO) planBlind(r sloReading) Proposal {
	size, reason := r.size, "nothing waits, and no record was completed yet"
	if r.depth > 0 {
		reason = fmt.Sprintf("%d records wait, no record was completed yet: waiting for the %d asked for", r.depth, r.size)
		// The next one is for when those at work have had a check to complete something.
		if r.starting == 0 && (r.size == 0 || s.seen && s.previous.depth > 0) {
			size++
			reason = fmt.Sprintf("%d records wait, no record was completed yet: one more", r.depth)
		}
	}
	if quiet := r.now - s.level.busyAt; r.depth == 0 && size > r.min && r.now >= s.settled && quiet >= max(s.slo, 2*s.check) {
		size--
		reason = fmt.Sprintf("nothing has waited for %.1fs, and no record was completed yet: one fewer", quiet)
		s.orders.cancel(1)
	}
	size = min(max(size, r.min), r.max)
	s.orders.ask(r.now, size-r.size)
	s.calm.change(r.now, size-r.size)
	s.explain = SLOExplanation{SLOSeconds: s.slo, LeadSeconds: s.lead.value(), SlackSeconds: s.slo}
	return s.propose(SLOLearning, size, reason)
}

// capacity is the worker-seconds that the pool does until d seconds from now, orders included.
func (s *SLO) capacity(v sloScene, d float64) float64 {
	done := v.working * d
	for i := range s.orders.used {
		o := &s.orders.slots[i]
		if left := d - s.joinsIn(v, o); left > 0 {
			done += float64(o.count) * left
		}
	}
	return done
}

// joinsIn is when an order is expected to work, in seconds from now.
func (s *SLO) joinsIn(v sloScene, o *sloOrder) float64 {
	return max(0, o.asked+v.lead-v.r.now)
}

// dueIn is when a cohort is due, in seconds from now.
func (s *SLO) dueIn(v sloScene, c *sloCohort) float64 {
	return c.from + v.within*(c.to-c.from) + s.slo - v.reserve - v.r.now
}

// leastRoom is the time a new worker must have before a deadline for the deadline to ask for it. Deadlines closer than
// that cannot be helped any more, or would ask for a crowd.
func (s *SLO) leastRoom(v sloScene) float64 {
	return min(max(v.first, min(1, s.check)), s.check)
}

// walk goes through the cohorts and finds the deadline that asks for most.
func (s *SLO) walk(v sloScene) sloNeed {
	need := sloNeed{slack: s.slo}
	work := 0.0
	for i := range s.queue.count {
		c := s.queue.at(i)
		work += c.records / v.rate
		s.weigh(v, &need, work, s.dueIn(v, c))
	}
	// What is late already asks for nothing above. It is to be done in half an SLO of work.
	if need.slack < 0 && need.more == 0 {
		late := need
		s.weigh(v, &late, work, v.lead+max(s.slo/2, s.check))
		need.more, need.late = late.more, true
	}
	return need
}

// weigh looks at one deadline, d seconds from now, by which so much work has to be done.
func (s *SLO) weigh(v sloScene, need *sloNeed, work, d float64) {
	spare := s.capacity(v, d) - work
	if seconds := spare/max(v.working, 1) + v.reserve; seconds < need.slack {
		need.slack = seconds
		if need.more == 0 {
			need.records, need.in = work*v.rate, d+v.reserve
		}
	}
	if room := d - v.lead; room >= s.leastRoom(v) && spare < -1e-9 {
		if more := -spare / room; more > need.more {
			need.more, need.records, need.in = more, work*v.rate, d+v.reserve
		}
	}
}

// foresee provides for arrivals that could not be rescued any more once they are seen.
func (s *SLO) foresee(v *sloScene, need *sloNeed) {
	window := min(s.check, v.lead/10) - v.first
	if window <= 0 || s.level.weight <= 0 {
		return
	}
	v.floor = v.level + s.level.beyond(s.options.LateShare)*math.Sqrt(v.level+1)
	if more := v.floor - v.working - float64(s.orders.total); more > need.more {
		need.more, need.records, need.in = more, v.floor*v.rate*window, window
	}
	for third := 1.0; third <= 3; third++ {
		s.weigh(*v, need, v.load+v.level*window*third/3, window*third/3+s.slo)
	}
}

// grow asks for more.
func (s *SLO) grow(v sloScene, need sloNeed, more int) Proposal {
	reason := fmt.Sprintf("deadline of %.0f records in %.1fs needs %d more", need.records, need.in, more)
	if need.late {
		reason = fmt.Sprintf("%.0f records will be up to %.1fs late: catching up needs %d more", need.records, -need.slack, more)
	}
	if v.r.size >= v.r.max {
		return s.propose(SLOHold, v.r.max, fmt.Sprintf("%s, but the pool is at max size %d", reason, v.r.max))
	}
	size := max(min(v.r.size+more, v.r.max), v.r.min)
	if started := size - v.r.size; started < more {
		reason += fmt.Sprintf(", of which max size %d leaves %d", v.r.max, started)
	}
	s.orders.ask(v.r.now, size-v.r.size)
	s.calm.change(v.r.now, size-v.r.size)
	return s.propose(SLOGrow, size, reason)
}

// shrink lets go who would be idle.
func (s *SLO) shrink(v sloScene, need sloNeed) Proposal {
	fine := fmt.Sprintf("all deadlines met with %.1fs to spare", need.slack)
	if need.slack < 0 {
		fine = fmt.Sprintf("%.1fs late, and no start could help", -need.slack)
	}
	size := min(max(v.r.size, v.r.min), v.r.max)
	if size != v.r.size {
		return s.propose(SLOHold, size, fine) // outside its bounds; that is for [Decide], the function
	}
	surplus := min(size-s.goal(v), s.removable(v))
	may := s.calm.mayShrink(v.r.now, float64(s.options.MaxReversals))
	switch {
	case surplus <= 0 || need.slack < 0:
		return s.propose(SLOHold, size, fine)
	case v.r.now < s.settled:
		return s.propose(SLOHold, size, fmt.Sprintf("%s; nobody leaves for another %.1fs, as the policy has just begun", fine, s.settled-v.r.now))
	case !may:
		return s.propose(SLOHold, size, fmt.Sprintf("%s; %d would be idle, but stay for calm: %d reversals per hour are allowed", fine, surplus, s.options.MaxReversals))
	}
	s.orders.cancel(surplus)
	s.calm.change(v.r.now, -surplus)
	return s.propose(SLOShrink, size-surplus, fmt.Sprintf("%s, and %d would be idle: down by %d", fine, surplus, surplus))
}

// goal is the size below which nobody would be idle.
func (s *SLO) goal(v sloScene) int {
	arrivals := min(v.level, s.level.lately()/v.rate)
	calm := arrivals - s.calm.below()*math.Sqrt(v.level)
	floor := max(float64(v.r.min), v.load/(idleAhead*s.check), v.floor, calm)
	if v.r.depth > 0 && s.lack.missing > 0 {
		floor = max(floor, s.lack.missing+1) // the youngest leave first, and those stuck stay
	}
	if v.r.now-s.level.busyAt < s.slo+2*v.lead {
		floor = max(floor, 1) // a pool that may empty keeps one until it was quiet for a while
	}
	return sloCeil(floor)
}

// removable is how many can go with every deadline still met: those starting first, the youngest of them first.
func (s *SLO) removable(v sloScene) int {
	removed := 0
	for k := s.orders.used - 1; k >= 0; k-- {
		o := &s.orders.slots[k]
		n := min(o.count, s.spare(v, s.joinsIn(v, o)))
		removed += n
		if n < o.count {
			return removed
		}
	}
	if removed > 0 {
		return removed // the ready ones have their turn at a later check
	}
	return min(v.r.ready, s.spare(v, 0))
}

// spare is how many workers that work from the given second on could be missed.
func (s *SLO) spare(v sloScene, from float64) int {
	most := float64(sloMost)
	work := 0.0
	for i := range s.queue.count {
		c := s.queue.at(i)
		work += c.records / v.rate
		if d := s.dueIn(v, c); d > from {
			most = min(most, (s.capacity(v, d)-work)/(d-from))
		}
	}
	return int(max(0, most+1e-9))
}

// sloCeil rounds up what is more than rounding noise.
func sloCeil(x float64) int {
	if !(x > 1e-6) {
		return 0
	}
	return int(min(math.Ceil(x-1e-6), sloMost))
}

func (s *SLO) propose(status string, size int, reason string) Proposal {
	s.explain.Status, s.explain.Size, s.explain.Reason = status, size, reason
	return Proposal{Size: size, Reason: reason}
}
