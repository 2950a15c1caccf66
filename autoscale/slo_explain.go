package autoscale

import (
	"fmt"
	"math"
	"strings"
)

// What a check of the slo policy came to.
const (
	sloGrow      = "grow"       // a deadline needs more workers
	sloFull      = "full"       // so it does, but the pool is at its maximum
	sloShrink    = "shrink"     // workers would be idle
	sloHold      = "hold"       // all is well, or nothing can be done
	sloLearning  = "learning"   // no record was completed yet, so the rate is unknown
	sloNoReading = "no_reading" // the reading was missing or could not be used; the numbers are from before
)

// sloBeliefs is what the last check was decided on.
type sloBeliefs struct {
	status   string
	size     int // workers named
	reason   string
	scene    sloScene
	need     sloNeed
	orders   int     // workers asked for that do not work yet, this check's included
	arrivals float64 // records per second
	blind    float64 // seconds since the last usable reading; 0 when this check had one
}

// Explanation is what the policy believed at its last check, and what would have to change for another outcome.
func (s *SLO) Explanation() Explanation {
	return Explanation{Estimates: s.estimates(), Otherwise: s.otherwise()}
}

// estimates leaves out what meant nothing at the last check.
func (s *SLO) estimates() []Estimate {
	b := s.beliefs
	v := b.scene
	list := []Estimate{{"slo_seconds", s.slo}}
	add := func(means bool, name string, value float64) {
		if means && !math.IsNaN(value) && !math.IsInf(value, 0) {
			list = append(list, Estimate{name, value})
		}
	}
	known := v.rate > 0
	planned := known && b.status != sloNoReading
	add(known, "rate_per_second", v.rate)
	add(s.service.seconds > 0, "service_seconds", s.service.seconds)
	add(s.seen, "lead_seconds", v.lead)
	add(known, "arrivals_per_second", b.arrivals)
	add(known, "arrivals_workers", v.level)
	add(known, "unfinished_worker_seconds", v.load)
	add(v.held > 0, "held_worker_seconds", v.held)
	add(v.missing > 0, "missing_workers", v.missing)
	add(b.orders > 0, "ordered_workers", float64(b.orders))
	add(planned && b.need.records > 0, "deadline_seconds", b.need.in)
	add(planned && b.need.records > 0, "deadline_records", b.need.records)
	add(planned, "slack_seconds", b.need.slack)
	add(planned && b.need.more > 0, "needed_workers", b.need.more)
	add(planned && v.reserve > 0, "reserve_seconds", v.reserve)
	add(planned && v.floor > 0, "unseen_floor_workers", v.floor)
	add(planned && s.mayStart(), "start_above_arrivals_per_second", s.startAbove())
	add(b.blind > 0, "blind_seconds", b.blind)
	return list
}

// mayStart tells whether the pool could have been made larger.
func (s *SLO) mayStart() bool {
	b := s.beliefs
	return (b.status == sloHold || b.status == sloShrink) && b.size < b.scene.r.max
}

// startAbove is the arrivals per second until the next check above which a start is due then.
func (s *SLO) startAbove() float64 {
	v := s.beliefs.scene
	spare := s.capacity(v, v.within*s.check+s.slo-v.reserve) - v.load
	return max(0, spare*v.rate/s.check)
}

// otherwise says what would have to change for another outcome.
func (s *SLO) otherwise() string {
	b := s.beliefs
	v := b.scene
	switch b.status {
	case sloNoReading:
		return "the size stays until there is a reading that can be used"
	case sloLearning:
		if b.size == 0 {
			return "the first one starts as soon as a record waits"
		}
		return "deadlines can be planned for once a record was completed"
	case sloFull:
		return fmt.Sprintf("at max size: %d more would be needed", sloCeil(b.need.more))
	case sloGrow:
		said := fmt.Sprintf("no start with %.0f fewer records due in %.1fs", math.Ceil(b.need.short*v.rate), b.need.in)
		if b.need.late {
			said = "no start had the late records been done already"
		}
		if missing := sloCeil(b.need.more) - (b.size - v.r.size); missing > 0 {
			said += fmt.Sprintf("; at max size: %d more would be needed", missing)
		}
		return said
	case sloShrink:
		return fmt.Sprintf("all stay with more than %.0f records unfinished", float64(v.r.size)*idleAhead*s.check*v.rate)
	}
	var parts []string
	switch {
	case b.size >= v.r.max:
		parts = append(parts, fmt.Sprintf("never more than max size %d", v.r.max))
	case b.need.slack >= 0:
		parts = append(parts, fmt.Sprintf("no start: all deadlines met with %.1fs to spare; the next start is due if arrivals exceed %s/s until the next check",
			b.need.slack, sloNumber(s.startAbove())))
	default:
		parts = append(parts, fmt.Sprintf("no start: whoever starts now is too late for what is %.1fs late", -b.need.slack))
	}
	return strings.Join(append(parts, s.fewer(v)), "; ")
}

// fewer says what keeps the last worker.
func (s *SLO) fewer(v sloScene) string {
	size := s.beliefs.size
	switch {
	case size <= v.r.min:
		return fmt.Sprintf("never fewer than min size %d", v.r.min)
	case v.r.now < s.settled:
		return fmt.Sprintf("nobody leaves for another %.1fs", s.settled-v.r.now)
	case s.surplus(v, s.goal(v)) > 0 && s.removable(v) > 0:
		return "one fewer at the next check on the interval, or when calm allows"
	case s.surplus(v, s.goal(v)) > 0:
		return "one fewer once every deadline is met without it"
	case v.load/(idleAhead*s.check) > float64(size-1):
		return fmt.Sprintf("one fewer once less than %s records are unfinished", sloNumber(float64(size-1)*idleAhead*s.check*v.rate))
	case s.stay(v) > float64(size-1):
		if s.idle(v) {
			return fmt.Sprintf("one fewer once arrivals fall below %s/s", sloNumber((float64(size-1)+keepIdle)*v.rate))
		}
		return fmt.Sprintf("one fewer once arrivals fall below %s/s, or nothing waits", sloNumber((float64(size-1)+keepPart)*v.rate))
	case v.floor > float64(size-1):
		return "one fewer once arrivals are less uneven"
	}
	return "one fewer once nothing has come for a while"
}

// sloNumber is a number as people read it: three digits are enough.
func sloNumber(x float64) string {
	if x >= 100 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3g", x)
}
