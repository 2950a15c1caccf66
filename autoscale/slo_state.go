package autoscale

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// sloStateVersion is raised when the meaning of a field of [SLOState] changes.
const sloStateVersion = 1

// SLOState is what an [SLO] has learned, to be kept over a restart: about a kilobyte of JSON.
type SLOState struct {
	Version int       `json:"version"`  // of this form
	SavedAt time.Time `json:"saved_at"` // time of the last reading in it

	RateRecords float64 `json:"rate_records"` // memory of completed records
	RateBusy    float64 `json:"rate_busy"`    // memory of the busy seconds they took
	RateSpread  float64 `json:"rate_spread"`  // how unevenly records complete: variance over mean

	LeadSeconds float64 `json:"lead_seconds"` // from asking for a worker to its first work
	LeadLearned bool    `json:"lead_learned"` // whether a worker was ever seen joining

	LevelRecords float64   `json:"level_records"` // memory of arrivals
	LevelSeconds float64   `json:"level_seconds"` // memory of the seconds they came in
	Excess       []float64 `json:"excess"`        // histogram of how far arrivals exceeded the level, in records

	PeakPerSecond float64 `json:"peak_per_second"` // most arrivals within a check, with a day's memory

	Missing float64    `json:"missing"` // ready workers that do not show in what gets done
	Orders  []SLOOrder `json:"orders"`  // workers asked for that did not work yet
}

// SLOOrder is workers asked for at the same time.
type SLOOrder struct {
	AgeSeconds float64 `json:"age_seconds"` // since they were asked for
	Count      int     `json:"count"`
}

// State returns what the policy has learned so far. Without a reading it is what was restored last, if anything.
func (s *SLO) State() SLOState {
	if !s.seen && s.restored != nil {
		return *s.restored
	}
	state := SLOState{
		Version: sloStateVersion, SavedAt: s.clock.last.Round(0).UTC(),
		RateRecords: s.rate.records, RateBusy: s.rate.busy, RateSpread: s.rate.spread,
		LeadSeconds: s.lead.believed, LeadLearned: s.lead.learned,
		LevelRecords: s.level.sum, LevelSeconds: s.level.weight,
		Excess:        append([]float64{}, s.level.excess[:]...),
		PeakPerSecond: s.level.peak,
		Missing:       s.lack.missing,
	}
	for _, o := range s.orders.slots[:s.orders.used] {
		state.Orders = append(state.Orders, SLOOrder{AgeSeconds: s.clock.now - o.asked, Count: o.count})
	}
	return state
}

// Restore brings back what an earlier policy had learned. Call it before the first Decide. A state that is damaged or of
// another version changes nothing and is told as an error; the policy then learns anew.
func (s *SLO) Restore(state SLOState) error {
	if s.seen {
		return errors.New("autoscale: the policy has decided already, want Restore before that")
	}
	if state.Version != sloStateVersion {
		return fmt.Errorf("autoscale: the state has version %d, want %d", state.Version, sloStateVersion)
	}
	if err := state.validate(); err != nil {
		return err
	}
	s.restored = &state
	s.rate = sloRate{records: state.RateRecords, busy: state.RateBusy, spread: state.RateSpread}
	s.lead = sloLead{believed: state.LeadSeconds, learned: state.LeadLearned}
	s.level = sloLevel{sum: state.LevelRecords, weight: state.LevelSeconds, peak: state.PeakPerSecond}
	s.level.newSum, s.level.newWeight = s.level.sum, s.level.weight
	for i, records := range state.Excess {
		s.level.excess[i] = records
		s.level.excessSum += records
	}
	s.lack = sloLack{missing: state.Missing}
	return nil
}

// restart begins anew with what was learned, as a process does that is started again: what happened since the last reading cannot
// be measured.
func (s *SLO) restart() {
	if !s.seen {
		return
	}
	state := s.State()
	*s = SLO{options: s.options, slo: s.slo, check: s.check, beliefs: s.beliefs}
	if err := s.Restore(state); err != nil { // hostile readings may leave what no state may hold
		s.lead.believed = s.options.Startup.Seconds()
	}
}

func (state SLOState) validate() error {
	var p problems
	number := func(field string, x, most float64) {
		p.wantIf(!(x >= 0 && x <= most), field, x, "a number from 0 to %g", most)
	}
	number("rate_records", state.RateRecords, 1e18)
	number("rate_busy", state.RateBusy, 1e18)
	number("rate_spread", state.RateSpread, 1e18)
	number("lead_seconds", state.LeadSeconds, 1e12)
	number("level_records", state.LevelRecords, 1e18)
	number("level_seconds", state.LevelSeconds, 2*levelMemory)
	number("peak_per_second", state.PeakPerSecond, 1e18)
	number("missing", state.Missing, sloMost)
	p.wantIf(len(state.Excess) > excessBins, "excess", len(state.Excess), "at most %d bins", excessBins)
	for _, x := range state.Excess {
		number("excess", x, math.MaxInt64)
	}
	p.wantIf(len(state.Orders) > sloOrderSlots, "orders", len(state.Orders), "at most %d", sloOrderSlots)
	for _, o := range state.Orders {
		number("orders: age_seconds", o.AgeSeconds, 1e12)
		number("orders: count", float64(o.Count), sloMost)
	}
	return errors.Join(p...)
}

// resume fits what was restored to the first reading: the memories have aged, and so have the orders.
func (s *SLO) resume(r sloReading) {
	away := max(0, s.clock.last.Sub(s.restored.SavedAt).Seconds())
	keep := math.Exp(-away / levelMemory)
	s.level.sum, s.level.weight = s.level.sum*keep, s.level.weight*keep
	s.level.newSum, s.level.newWeight = s.level.newSum*keep, s.level.newWeight*keep
	for _, o := range s.restored.Orders {
		s.orders.ask(r.now-away-o.AgeSeconds, o.Count)
	}
	s.restored = nil
}
