package emitter

import (
	"math/rand/v2"
	"time"
)

// schedule hands out the records of a run by time. It reads no clock.
type schedule struct {
	profile Profile
	records int64         // the most in all
	length  time.Duration // what falls due after it is not sent; zero means no end
	grace   time.Duration // how long after length the rest may still be sent
	claimed int64
}

// newSchedule bounds a profile by a number of records and a length; zero means no bound.
func newSchedule(p Profile, records int64, length, grace time.Duration) *schedule {
	if d := p.Duration(); length == 0 || d > 0 && d < length {
		length = d
	}
	if records == 0 {
		records = Unlimited
	}
	return &schedule{profile: p, records: records, length: length, grace: grace}
}

// claim takes up to most records that are due. over says that there will be none any more.
func (s *schedule) claim(elapsed time.Duration, most int) (n int, over bool) {
	ended := s.length > 0 && elapsed >= s.length
	if ended && elapsed >= s.length+s.grace {
		return 0, true
	}
	at := elapsed
	if ended {
		at = s.length
	}
	due := s.profile.Due(at)
	if ended && due == Unlimited {
		return 0, true
	}
	due = min(due, s.records)
	if due <= s.claimed {
		return 0, ended || s.exhausted()
	}
	n = int(min(int64(most), due-s.claimed))
	s.claimed += int64(n)
	return n, false
}

// exhausted is whether the number of records is reached.
func (s *schedule) exhausted() bool { return s.claimed >= s.records }

// nextLook is when to look again that does not miss the end.
func (s *schedule) nextLook(next time.Duration) time.Duration {
	if s.length > 0 {
		return min(next, s.length)
	}
	return next
}

// giveBack returns records that were claimed and not sent.
func (s *schedule) giveBack(n int) { s.claimed -= int64(n) }

// pace says when one emitter looks for records again.
type pace struct {
	every  time.Duration // between looks
	jitter float64       // how much a gap may differ, as a part of it; 0 to 1
	eager  bool          // look again at once after a full batch
	random *rand.Rand
	next   time.Duration // since the start
}

// The gaps between looks of an emitter in a pool with a profile: all emitters together look every minTick, so that a load
// is smooth, but none rests longer than maxTick.
const (
	minTick = 20 * time.Millisecond
	maxTick = 200 * time.Millisecond
)

// newPace spreads the first looks of emitter k (from 0) of n.
func newPace(o PoolOptions, k int) *pace {
	random := rand.New(rand.NewPCG(o.Seed, uint64(k)))
	if o.Interval > 0 {
		p := &pace{every: o.Interval, jitter: o.Jitter, random: random}
		p.next = time.Duration(float64(o.Interval) * o.Jitter * random.Float64())
		return p
	}
	every := min(minTick*time.Duration(o.Emitters), maxTick)
	p := &pace{every: every, eager: true, random: random}
	if _, ok := o.Profile.(AsFastAsPossible); !ok {
		p.next = every * time.Duration(k) / time.Duration(o.Emitters)
	}
	return p
}

// after moves next on, at the end of a look that found n records of at most most. Looks that were missed while a post took
// long are left out, not made up for.
func (p *pace) after(now time.Duration, n, most int) {
	if p.eager && n == most {
		p.next = now
		return
	}
	p.next += time.Duration(float64(p.every) * (1 + p.jitter*(2*p.random.Float64()-1)))
	if p.next < now {
		p.next = now
	}
}
