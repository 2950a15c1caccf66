package autoscale

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// seasonalStateVersion is raised when the meaning of a field of [SeasonalState] changes.
const seasonalStateVersion = 1

// SeasonalState is what a [Seasonal] has learned, to be kept over a restart: at most a few hundred kilobytes of JSON.
type SeasonalState struct {
	Version int       `json:"version"` // of this form
	SavedAt time.Time `json:"saved_at"`

	Minute int64  `json:"minute"` // since 1970; the counts are of the two weeks before it
	Counts []byte `json:"counts"` // records per minute as varints, the oldest first; -1 where nobody knows

	Days  SeasonalScore `json:"days"`
	Weeks SeasonalScore `json:"weeks"`
}

// SeasonalScore is how far a repetition is proven. The numbers are sums of about three days, in worker-seconds.
type SeasonalScore struct {
	Seconds   float64 `json:"seconds"`    // how long it was looked at
	Work      float64 `json:"work"`       // what arrived
	PlainLate float64 `json:"plain_late"` // work that would have been late without looking ahead
	AheadLate float64 `json:"ahead_late"` // and with it
	PlainCost float64 `json:"plain_cost"`
	AheadCost float64 `json:"ahead_cost"`
	Today     float64 `json:"today"`  // records per minute of the last half hour
	Before    float64 `json:"before"` // and what was expected for it
	Believed  bool    `json:"believed"`
}

// State returns what was learned so far.
func (s *Seasonal) State() SeasonalState {
	m := &s.minutes
	state := SeasonalState{
		Version: seasonalStateVersion, SavedAt: s.clock.last.Round(0).UTC(), Minute: m.minute,
		Days: s.days.state(), Weeks: s.weeks.state(),
	}
	for minute := m.minute - seasonalMemory; minute < m.minute; minute++ {
		state.Counts = binary.AppendVarint(state.Counts, int64(*m.slot(minute)))
	}
	return state
}

func (f *seasonalForecast) state() SeasonalScore {
	x := f.score
	return SeasonalScore{x.seconds, x.work, x.plainLate, x.aheadLate, x.plainCost, x.aheadCost, f.today, f.before, f.believed}
}

// Restore brings back what an earlier one had learned; the minutes between are unknown. Call it before the first Decide. A state that is
// damaged or of another version changes nothing and is told as an error.
func (s *Seasonal) Restore(state SeasonalState) error {
	if s.seen {
		return errors.New("autoscale: the policy has decided already, want Restore before that")
	}
	var p problems
	p.wantIf(state.Version != seasonalStateVersion, "version", state.Version, "%d", seasonalStateVersion)
	p.wantIf(state.Minute < 0 || state.Minute > math.MaxInt64/120, "minute", state.Minute, "a minute since 1970")
	counts := make([]int32, 0, seasonalMemory)
	for rest := state.Counts; len(rest) > 0 && len(counts) < seasonalMemory; {
		x, n := binary.Varint(rest)
		if n <= 0 || x < -1 || x > math.MaxInt32 {
			break
		}
		counts, rest = append(counts, int32(x)), rest[n:]
	}
	p.wantIf(len(counts) != seasonalMemory, "counts", len(counts), "%d good numbers", seasonalMemory)
	for _, x := range []SeasonalScore{state.Days, state.Weeks} {
		for _, number := range []float64{x.Seconds, x.Work, x.PlainLate, x.AheadLate, x.PlainCost, x.AheadCost, x.Today, x.Before} {
			p.wantIf(!(number >= 0 && number <= 1e18), "score", number, "0 to 1e18")
		}
	}
	if err := errors.Join(p...); err != nil {
		return err
	}
	m := &s.minutes
	m.minute = state.Minute
	for i, n := range counts {
		*m.slot(state.Minute - seasonalMemory + int64(i)) = n
	}
	s.days.restore(state.Days)
	s.weeks.restore(state.Weeks)
	return nil
}

func (f *seasonalForecast) restore(x SeasonalScore) {
	f.score = seasonalScore{x.Seconds, x.Work, x.PlainLate, x.AheadLate, x.PlainCost, x.AheadCost}
	f.today, f.before, f.believed = x.Today, x.Before, x.Believed
}
