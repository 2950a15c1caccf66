package autoscale

import (
	"errors"
	"fmt"
)

// governorStateVersion is raised when the meaning of a field of [GovernorState] changes.
const governorStateVersion = 1

// GovernorState is what a [Governor] knows of a limit, to be kept over a restart. Without a cap it is all but empty.
type GovernorState struct {
	Version int `json:"version"` // of this form

	Kept       int     `json:"kept"`                   // workers that the size is capped to; 0 means no cap
	Helped     float64 `json:"helped"`                 // workers that bring all the throughput there is
	WorkerRate float64 `json:"worker_rate"`            // records per second of a worker that helps
	Throughput float64 `json:"throughput_per_second"`  // that it has stayed at
	From       float64 `json:"from"`                   // largest size seen that completed no more
	Rough      bool    `json:"rough"`                  // fewer workers may do as well
	ProbeIn    float64 `json:"probe_in_seconds"`       // until more are tried
	ProbeAfter float64 `json:"probe_interval_seconds"` // between two tries
	Doubts     int     `json:"doubts"`                 // caps that turned out wrong, lately
}

// State returns what the governor knows.
func (g *Governor) State() GovernorState {
	c := g.cap
	s := GovernorState{Version: governorStateVersion, Doubts: g.doubts}
	if c.on {
		s.Kept, s.Helped, s.WorkerRate, s.Throughput, s.From, s.Rough = c.kept, c.helped, c.rate, c.flat, c.from, c.rough
		s.ProbeIn, s.ProbeAfter = max(0, c.probeDue-g.meter.clock.now), c.probeAfter
	}
	return s
}

// Restore brings back what an earlier governor knew. Call it before the first Decide. A cap that comes back has to prove
// itself once more. A state that is damaged or of another version changes nothing and is told as an error.
func (g *Governor) Restore(s GovernorState) error {
	if g.meter.seen {
		return errors.New("autoscale: the governor has decided already, want Restore before that")
	}
	if s.Version != governorStateVersion {
		return fmt.Errorf("autoscale: the state has version %d, want %d", s.Version, governorStateVersion)
	}
	var p problems
	p.wantIf(s.Doubts < 0 || s.Doubts > governorMostDoubts, "doubts", s.Doubts, "0 to %d", governorMostDoubts)
	p.wantIf(s.Kept < 0 || s.Kept > sloMost, "kept", s.Kept, "0 to %d", sloMost)
	if s.Kept > 0 {
		number := func(field string, x, least, most float64) {
			p.wantIf(!(x >= least && x <= most), field, x, "a number from %g to %g", least, most)
		}
		number("helped", s.Helped, 0, sloMost)
		number("worker_rate", s.WorkerRate, 1e-9, rateMost)
		number("throughput_per_second", s.Throughput, 1e-9, sloMostRecords)
		number("from", s.From, float64(s.Kept), sloMost)
		number("probe_in_seconds", s.ProbeIn, 0, 7*24*3600)
		number("probe_interval_seconds", s.ProbeAfter, 1, 7*24*3600)
	}
	if err := errors.Join(p...); err != nil {
		return err
	}
	g.doubts = s.Doubts
	if s.Kept > 0 {
		g.cap = governorCap{
			on: true, kept: s.Kept, target: s.Kept, helped: s.Helped, rate: s.WorkerRate, flat: s.Throughput, from: s.From, rough: s.Rough,
			probeDue: s.ProbeIn, probeAfter: s.ProbeAfter,
		}
	}
	return nil
}
