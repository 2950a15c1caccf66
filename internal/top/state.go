package top

import (
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/seconds"
)

const (
	mostPoints    = 3700             // an hour of seconds, and a little
	mostDecisions = 1000             // as many as are asked for at first
	rateWindow    = 5 * time.Second  // over which rates are taken
	rowWindow     = 15 * time.Second // and those of one analyzer, which acknowledges whole batches
)

// State is what is known from all looks so far.
type State struct {
	address   string
	points    []point // for the charts, the oldest first
	looks     []Look  // those of the longest window, the oldest first
	decisions []autoscale.Decision
	shift     time.Duration // what this machine's clock is ahead of that of the Sluice; 0 where they agree well enough

	err   error // why the last look failed; nil when it did not
	since time.Time
}

// point is one moment in the charts.
type point struct {
	at                time.Time
	wait              float64 // seconds
	depth             float64 // records
	size, busy, named int
	hasBusy           bool
}

// NewState returns the state before the first look, at a Sluice with this address.
func NewState(address string) *State { return &State{address: address} }

// Add takes a look in.
func (s *State) Add(l Look) {
	s.err = nil
	if last := s.last(); last != nil && l.Stats.Uptime < last.Stats.Uptime {
		s.looks = nil // another process: its counters began anew
	}
	if len(s.points) == 0 {
		s.shift = shiftOf(l)
		s.addPast(l)
	} else {
		s.addDecisions(l.Decisions, false)
	}
	s.looks = append(s.looks, l)
	for len(s.looks) > 2 && l.Time.Sub(s.looks[1].Time) >= rowWindow {
		s.looks = s.looks[1:]
	}
	if p, ok := pointOf(l); ok {
		s.points = append(s.points, p)
	}
	if n := len(s.points) - mostPoints; n > 0 {
		s.points = append(s.points[:0], s.points[n:]...)
	}
}

// Fail takes in that a look failed.
func (s *State) Fail(err error, at time.Time) {
	if s.err == nil {
		s.since = at
	}
	s.err = err
}

func (s *State) last() *Look {
	if len(s.looks) == 0 {
		return nil
	}
	return &s.looks[len(s.looks)-1]
}

// addPast fills the charts with the time before the first look: from the decisions, which are many, and before those from what the process
// remembers.
func (s *State) addPast(l Look) {
	s.addDecisions(l.Decisions, true)
	decided := s.points
	first := l.Time
	if len(decided) > 0 {
		first = decided[0].at
	}
	s.points = nil
	for _, p := range l.Past {
		if p.at = p.at.Add(s.shift); p.at.Before(first) {
			s.points = append(s.points, p)
		}
	}
	s.points = append(s.points, decided...)
}

// addDecisions keeps those that are new. The first time they fill the charts with the time before the first look.
func (s *State) addDecisions(all []autoscale.Decision, first bool) {
	for _, d := range all {
		if n := len(s.decisions); n > 0 && !d.Time.After(s.decisions[n-1].Time) {
			continue
		}
		s.decisions = append(s.decisions, d)
		if first && d.DepthKnown {
			p := point{at: d.Time.Add(s.shift), depth: float64(d.Depth), size: d.Size, named: d.NamedSize}
			if d.Saw != nil {
				p.wait = d.Saw.OldestWaitSeconds
			}
			s.points = append(s.points, p)
		}
	}
	if n := len(s.decisions) - mostDecisions; n > 0 {
		s.decisions = append(s.decisions[:0], s.decisions[n:]...)
	}
}

// shiftOf compares clocks by the newest decision, which was made within a check interval.
func shiftOf(l Look) time.Duration {
	if len(l.Decisions) == 0 {
		return 0
	}
	age := l.Time.Sub(l.Decisions[len(l.Decisions)-1].Time)
	if age < -time.Second || age > seconds.Nearest(2*l.Settings.CheckInterval)+10*time.Second {
		return age
	}
	return 0
}

// pointOf is a look in the charts. There is none while nobody knows what waits.
func pointOf(l Look) (point, bool) {
	p := point{at: l.Time}
	if pool := l.Stats.Pool; pool != nil {
		p.size, p.busy, p.hasBusy = pool.Size, pool.Busy, true
	}
	if a := l.Stats.Autoscaler; a != nil && a.LastDecision != nil {
		p.named = a.LastDecision.NamedSize
		if d := a.LastDecision; l.Stats.QueueStats == nil {
			if !d.DepthKnown {
				return p, false
			}
			p.depth = float64(d.Depth)
			if d.Saw != nil {
				p.wait = d.Saw.OldestWaitSeconds
			}
		}
	}
	if q := l.Stats.QueueStats; q != nil {
		p.depth, p.wait = float64(q.Depth), q.OldestWait
	}
	return p, true
}

// rates compares the newest look with one that is a window older, or with the oldest there is.
func (s *State) rates() api.Rates {
	a, b := s.window(rateWindow)
	return api.RatesBetween(a.Stats, a.Time, b.Stats, b.Time)
}

// window returns the newest look and the youngest that is at least so much older, or else the oldest.
func (s *State) window(age time.Duration) (a, b Look) {
	b = s.looks[len(s.looks)-1]
	a = s.looks[0]
	for _, l := range s.looks {
		if b.Time.Sub(l.Time) >= age {
			a = l
		}
	}
	return a, b
}

// live is what the page is told of the newest look. The verdict is that of the process, so that all say the same.
func (s *State) live() api.Live {
	l := s.last()
	live := api.Live{Stats: l.Stats, Time: l.Time.UTC(), Rates: s.rates(), KeepingUp: l.KeepingUp, Verdict: l.Verdict}
	if live.Verdict.State == "" {
		live.Judge()
	}
	return live
}

// clears is how long the backlog takes to be done at the present rates, in seconds; negative while it does not shrink.
func clears(q *api.QueueStats, r api.Rates) float64 {
	backlog := float64(q.Depth + q.InFlight)
	switch {
	case backlog == 0:
		return 0
	case r.Out <= r.In:
		return -1
	}
	return backlog / (r.Out - r.In)
}
