package autoscale

import (
	"fmt"
	"math"
)

const (
	// dueWithin says where in the span between two readings the records of a cohort are taken to have come, as a share
	// of it: about the middle, as nobody saw it. Later is cheaper, and wrong for bursts at the beginning of the span.
	dueWithin = 0.7

	// How many checks of work have to wait, or be in hand, for each worker; those beyond that will soon be idle.
	idleAhead = 2.5
	handAhead = 1.5

	// The part of a worker that arrivals need from which on a whole one stays for it: while something waits, and when nothing
	// does, so that it is idle in between.
	keepPart = 0.3
	keepIdle = 0.6

	justCame = 0.1 // share of what the workers do in a check, that waits although somebody is idle

	crowdedFrom    = 0.6  // share of the largest pool that the level needs, from which on records are done earlier
	crowdedRamp    = 0.2  // as much more, and the reserve is at its largest
	crowdedReserve = 0.5  // share of the room that a new worker has
	gapReserve     = 0.5  // share of the time that the policy was blind
	leadReserve    = 0.04 // share of the lead beyond a check
	mostReserve    = 0.6  // share of the room, for all of them

	// How many times the workers that unseen arrivals need stay, where whoever leaves could not be back in time.
	unseenReserve = 1.5
)

// sloScene is everything one plan is made from.
type sloScene struct {
	r       sloReading
	rate    float64 // records per second of a worker
	working float64 // ready workers that show in what gets done
	lead    float64
	within  float64 // see dueWithin
	first   float64 // room that the first arrivals after this check will have at the next one
	missing float64 // the other ready ones
	level   float64 // arrivals in workers
	load    float64 // unfinished work that can be worked on, in worker-seconds
	held    float64 // unfinished work, the oldest, that cannot
	begun   float64 // work already done on unfinished records
	reserve float64 // seconds before its deadline that a record shall be done
	floor   float64 // workers below which nobody leaves, for arrivals that are not seen yet
}

// sloNeed is what the deadlines ask for.
type sloNeed struct {
	more    float64 // workers to start; 0 when all is well
	records float64 // that have to be done by the deadline that asks for most
	in      float64 // seconds until that deadline
	short   float64 // work that will not be done by then without them
	late    bool    // more is to catch up, since it is too late for the deadline
	unseen  bool    // more is for records that have not come yet, too
	overdue float64 // work that will be late whoever is started now, with all that is in front of it
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
	var p Proposal
	if more := sloCeil(need.more); more > 0 {
		p = s.grow(v, need, more)
	} else {
		p = s.shrink(v, need)
	}
	if !s.early(r.now) {
		s.regular = r.now
	}
	return p
}

// early tells whether this check is one between two on the interval. Those are for starting workers only.
func (s *SLO) early(now float64) bool { return s.seen && now-s.regular < 0.9*s.check }

func (s *SLO) scene(r sloReading) sloScene {
	v := sloScene{r: r, rate: s.rate.value(), lead: s.lead.value(), within: max(dueWithin, s.queue.earliest.value())}
	v.missing = s.missing(r.ready)
	v.working = max(0, float64(r.ready)-v.missing)
	if s.crew != nil {
		v.working = s.crew.working
	}
	v.first = s.slo - v.lead - s.check
	v.level = s.level.perSecond() / v.rate
	v.held = float64(min(r.held, r.depth)) / v.rate
	v.begun = s.begun.value() / v.rate
	v.load = max(0, float64(r.depth)/v.rate-v.held-v.begun)
	v.reserve = s.reserve(v)
	return v
}

// reserve is how much earlier than its deadline work is planned to be done: where the pool is near its maximum, it could
// not grow for what comes next; where readings were lost lately, it may see that late; where starts are slow, so is help when
// workers become slower; and at the very beginning nothing is known of what may come. Working earlier costs nothing, as
// long as there is work.
func (s *SLO) reserve(v sloScene) float64 {
	room := max(0, v.first) // more would leave a new worker no time
	if v.r.now < s.hurried {
		return mostReserve * room
	}
	crowded := min(max(v.level/float64(v.r.max)-crowdedFrom, 0)/crowdedRamp, 1)
	return min(leadReserve*max(0, v.lead-s.check)+crowdedReserve*crowded*room+gapReserve*s.gaps.usual, mostReserve*room)
}

// planBlind is for the time before the first completion: a worker at a time.
func (s *SLO) planBlind(r sloReading) Proposal {
	size, reason := r.size, "nothing waits, and no record was completed yet"
	if r.depth > 0 {
		reason = fmt.Sprintf("%d records wait, no record was completed yet: waiting for the %d asked for", r.depth, r.size)
		// The next one is for when those at work have had a check to complete something.
		tried := s.seen && s.previous.depth > 0 && !(s.calm.acted && r.now-s.calm.changed < 0.9*s.check)
		if r.starting == 0 && (r.size == 0 || tried) {
			size++
			reason = fmt.Sprintf("%d records wait, no record was completed yet: one more", r.depth)
		}
	}
	if quiet := r.now - s.level.busyAt; r.depth == 0 && size > r.min && r.now >= s.settled && quiet >= max(s.slo, 2*s.check) && !s.early(r.now) {
		size--
		reason = fmt.Sprintf("nothing has waited for %.1fs, and no record was completed yet: one fewer", quiet)
		s.orders.cancel(1)
	}
	if !s.early(r.now) {
		s.regular = r.now
	}
	size = min(max(size, r.min), r.max)
	s.orders.ask(r.now, size-r.size)
	s.calm.change(r.now, size-r.size)
	s.beliefs = sloBeliefs{status: sloLearning, size: size, reason: reason, scene: sloScene{r: r, lead: s.lead.value()}, orders: s.orders.total}
	p := Proposal{Size: size, Reason: reason}
	if size == 0 && r.max > 0 {
		p.WakeAt = 1
	}
	return p
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
	work := -v.held - v.begun
	for i := range s.queue.count {
		c := s.queue.at(i)
		if work += c.records / v.rate; work > 0 {
			s.weigh(v, &need, work, s.dueIn(v, c))
		}
	}
	// What is late already asks for nothing above. It is to be done in half an SLO.
	if need.slack < 0 && need.more == 0 {
		late := need
		s.weigh(v, &late, need.overdue, v.lead+s.catchUp())
		need.more, need.late = late.more, true
	}
	return need
}

// catchUp is the seconds in which late work is to be done, once a worker asked for now works.
func (s *SLO) catchUp() float64 { return max(s.slo/2, s.check) }

// weigh looks at one deadline, d seconds from now, by which so much work has to be done.
func (s *SLO) weigh(v sloScene, need *sloNeed, work, d float64) {
	spare := s.capacity(v, d) - work
	if seconds := spare/max(v.working, 1) + v.reserve; seconds < need.slack {
		need.slack = seconds
		if need.more == 0 {
			need.records, need.in = work*v.rate, d+v.reserve
		}
	}
	if spare >= -1e-9 {
		return
	}
	room := d - v.lead
	if room < s.leastRoom(v) {
		need.overdue = work
	} else if more := -spare / room; more > need.more {
		need.more, need.records, need.in, need.short = more, work*v.rate, d+v.reserve, -spare
	}
}

// foresee provides for arrivals that could not be rescued any more once they are seen.
func (s *SLO) foresee(v *sloScene, need *sloNeed) {
	window := s.foresight(*v)
	if window <= 0 || s.level.weight <= 0 {
		return
	}
	seen := need.more
	// The level is to be kept up with, or the queue grows for good. What may come beyond it only has to be done by its deadlines, in
	// which time those at work do much of it.
	if more := v.level - v.working - float64(s.orders.total); more > need.more {
		need.more, need.records, need.in, need.short = more, v.level*v.rate*window, window, more*window
	}
	most := s.level.upTo(s.options.LateShare, v.rate)
	for third := 1.0; third <= 3; third++ {
		s.weigh(*v, need, v.load+most*window*third/3, window*third/3+s.slo)
	}
	if need.more > seen {
		need.late, need.unseen = false, true
	}
	v.floor = max(v.level, unseenReserve*(v.load+most*window)/(window+s.slo))
}

// grow asks for more.
func (s *SLO) grow(v sloScene, need sloNeed, more int) Proposal {
	reason := fmt.Sprintf("deadline of %.0f records in %.1fs needs %d more", need.records, need.in, more)
	switch {
	case need.late:
		reason = fmt.Sprintf("%.0f records will be up to %.1fs late: catching up needs %d more", need.records, -need.slack, more)
	case need.unseen:
		reason = fmt.Sprintf("%.0f records due in %.1fs, with those that may come before help could, need %d more", need.records, need.in, more)
	}
	if v.r.size >= v.r.max {
		return s.propose(v, need, sloFull, v.r.max, fmt.Sprintf("%s, but the pool is at max size %d", reason, v.r.max))
	}
	size := max(min(v.r.size+more, v.r.max), v.r.min)
	if started := size - v.r.size; started < more {
		reason += fmt.Sprintf(", of which max size %d leaves %d", v.r.max, started)
	}
	s.orders.ask(v.r.now, size-v.r.size)
	s.calm.change(v.r.now, size-v.r.size)
	return s.propose(v, need, sloGrow, size, reason)
}

// shrink lets go who would be idle.
func (s *SLO) shrink(v sloScene, need sloNeed) Proposal {
	fine := fmt.Sprintf("all deadlines met with %.1fs to spare", need.slack)
	if need.slack < 0 {
		fine = fmt.Sprintf("%.1fs late, and no start could help", -need.slack)
	}
	size := min(max(v.r.size, v.r.min), v.r.max)
	if size != v.r.size || s.early(v.r.now) {
		return s.propose(v, need, sloHold, size, fine) // outside its bounds; that is for [Decide], the function
	}
	surplus := min(s.surplus(v, s.goal(v)), s.removable(v), size-v.r.min)
	may := s.calm.mayShrink(v.r.now, float64(s.options.MaxReversals))
	switch {
	case surplus <= 0:
		return s.propose(v, need, sloHold, size, fine)
	case v.r.now < s.settled:
		return s.propose(v, need, sloHold, size, fmt.Sprintf("%s; nobody leaves for another %.1fs, as the policy has just begun", fine, s.settled-v.r.now))
	case !may:
		return s.propose(v, need, sloHold, size, fmt.Sprintf("%s; %d would be idle, but stay for calm: %d reversals per hour are allowed", fine, surplus, s.options.MaxReversals))
	}
	v.working -= s.worth(surplus - s.orders.cancel(surplus))
	s.calm.change(v.r.now, -surplus)
	return s.propose(v, need, sloShrink, size-surplus, fmt.Sprintf("%s, and %d would be idle: down by %d", fine, surplus, surplus))
}

// stay is the workers that arrivals keep busy. While work waits, as many stay as are needed for what usually comes, so that
// the queue does not fill at once; when somebody is idle, as many as will be busy for sure.
func (s *SLO) stay(v sloScene) float64 {
	low, high := s.level.between(v.rate, s.check)
	if s.idle(v) {
		return math.Floor(low + 1 - keepIdle)
	}
	return math.Floor(high + 1 - keepPart)
}

// idle tells whether some worker finds nothing to do. The little that waits may just have come.
func (s *SLO) idle(v sloScene) bool {
	if s.crew != nil && s.crew.resting > 0 {
		return true
	}
	return float64(v.r.waiting-v.r.held) <= justCame*v.working*v.rate*s.check
}

// busyWith is the workers that so many unfinished records keep busy. What is in hand cannot be given to others.
func (s *SLO) busyWith(v sloScene, records float64) float64 {
	inHand := min(float64(v.r.inHand()), records)
	return (inHand/handAhead + (records-inHand)/idleAhead) / v.rate / s.check
}

// goal is the workers below which nobody would be idle.
func (s *SLO) goal(v sloScene) float64 {
	floor := max(float64(v.r.min), s.busyWith(v, v.load*v.rate), v.floor+s.lack.missing, s.stay(v))
	if v.r.depth > 0 && s.lack.missing > 0 {
		floor = max(floor, s.lack.missing+1) // the youngest leave first, and those stuck stay
	}
	if v.r.now-s.level.busyAt < s.slo+2*v.lead {
		floor = max(floor, 1) // a pool that may empty keeps one until it was quiet for a while
	}
	return floor
}

// surplus is how many workers there are beyond the goal.
func (s *SLO) surplus(v sloScene, goal float64) int {
	if s.crew == nil {
		return v.r.size - sloCeil(goal)
	}
	beyond := v.working + float64(s.orders.total) - goal + 1e-6
	starting := min(s.orders.total, int(max(beyond, 0)))
	if starting < s.orders.total {
		return starting
	}
	return starting + s.crew.leaving(beyond-float64(starting))
}

// removable is how many can go with every deadline still met: those starting first, the youngest of them first.
func (s *SLO) removable(v sloScene) int {
	removed := 0
	for k := s.orders.used - 1; k >= 0; k-- {
		o := &s.orders.slots[k]
		n := min(o.count, int(s.spare(v, s.joinsIn(v, o))))
		removed += n
		if n < o.count {
			return removed
		}
	}
	if removed > 0 {
		return removed // the ready ones have their turn at a later check
	}
	if s.crew != nil {
		return s.crew.leaving(s.spare(v, 0))
	}
	return min(v.r.ready, int(s.spare(v, 0)))
}

// spare is how many workers' worth, from the given second on, could be missed, even if all of a cohort came as early as it
// can have: whoever stays a little longer costs little, and whoever has left is missed for a lead. What is late already has no deadline any
// more; it is to be done twice as fast as when workers are started for it, so that nobody goes back and forth.
func (s *SLO) spare(v sloScene, from float64) float64 {
	most := float64(sloMost)
	work := -v.held - v.begun
	for i := range s.queue.count {
		c := s.queue.at(i)
		if work += c.records / v.rate; work <= 0 {
			continue
		}
		d := s.dueIn(v, c) - v.within*(c.to-c.from)
		if d <= 0 {
			d = s.catchUp() / 2
		}
		if d > from {
			most = min(most, (s.capacity(v, d)-work)/(d-from))
		}
	}
	return max(0, most+1e-9)
}

// worth is the capacity of the first so many ready workers to leave.
func (s *SLO) worth(count int) float64 {
	if s.crew != nil {
		return s.crew.worth(count)
	}
	return float64(max(count, 0))
}

// wakeAt is how many unfinished records are more than the workers v.working, and those ordered, can do within the SLO.
// Records of any age count: what came before was looked at, and is done by its deadlines.
func (s *SLO) wakeAt(v sloScene, size int) int {
	switch {
	case size >= v.r.max:
		return 0 // nothing could be done
	case size == 0:
		return 1
	}
	records := s.capacity(v, s.slo-v.reserve)*v.rate + float64(v.r.held)
	// When that many are there already, they are late, and help is on its way.
	records = max(records, 1.1*float64(v.r.depth))
	return int(min(records, sloMostRecords)) + 1
}

// sloCeil rounds up what is more than rounding noise.
func sloCeil(x float64) int {
	if !(x > 1e-6) {
		return 0
	}
	return int(min(math.Ceil(x-1e-6), sloMost))
}

// propose names the size, and remembers what it was made of.
func (s *SLO) propose(v sloScene, need sloNeed, status string, size int, reason string) Proposal {
	s.beliefs = sloBeliefs{status: status, size: size, reason: reason, scene: v, need: need, orders: s.orders.total, arrivals: s.level.perSecond()}
	return Proposal{Size: size, Reason: reason, WakeAt: s.wakeAt(v, size)}
}
