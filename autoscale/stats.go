package autoscale

import (
	"encoding/json"
	"math"
	"time"
)

// Stats is a snapshot of a controller. Its JSON form has snake_case names, and durations in seconds with the unit in
// the name.
type Stats struct {
	Policy            string        // the policy's name
	CurrentSize       int           // what the pool says now, in workers
	MinSize           int           // lower bound in workers
	MaxSize           int           // upper bound in workers
	Checks            int           // checks so far
	TotalScaleUps     int           // times that the pool was made larger, by whatever amount
	TotalScaleDowns   int           // times that the pool was made smaller
	InCooldown        bool          // whether the policy waits after an action; false for a policy without a cooldown
	CooldownRemaining time.Duration // how long it still waits; zero when it does not
	Paused            bool          // whether Pause is on
	DryRun            bool          // whether decisions are only recorded
	ForcedSize        int           // the size forced; meaningful only with ForcedUntil
	ForcedUntil       time.Time     // when the forced size ends; zero when nothing is forced
	LastDecision      *Decision     // the newest decision; nil before the first check
}

// statsJSON is the wire form of Stats.
type statsJSON struct {
	Policy            string     `json:"policy"`
	CurrentSize       int        `json:"current_size"`
	MinSize           int        `json:"min_size"`
	MaxSize           int        `json:"max_size"`
	Checks            int        `json:"checks"`
	TotalScaleUps     int        `json:"total_scale_ups"`
	TotalScaleDowns   int        `json:"total_scale_downs"`
	InCooldown        bool       `json:"in_cooldown"`
	CooldownRemaining float64    `json:"cooldown_remaining_seconds"`
	Paused            bool       `json:"paused"`
	DryRun            bool       `json:"dry_run"`
	ForcedSize        *int       `json:"forced_size"`
	ForcedUntil       *time.Time `json:"forced_until"`
	LastDecision      *Decision  `json:"last_decision"`
}

// MarshalJSON writes forced_size, forced_until and last_decision as null where there is none.
func (s Stats) MarshalJSON() ([]byte, error) {
	w := statsJSON{
		Policy: s.Policy, CurrentSize: s.CurrentSize, MinSize: s.MinSize, MaxSize: s.MaxSize, Checks: s.Checks,
		TotalScaleUps: s.TotalScaleUps, TotalScaleDowns: s.TotalScaleDowns,
		InCooldown: s.InCooldown, CooldownRemaining: s.CooldownRemaining.Seconds(),
		Paused: s.Paused, DryRun: s.DryRun, LastDecision: s.LastDecision,
	}
	if !s.ForcedUntil.IsZero() {
		w.ForcedSize, w.ForcedUntil = &s.ForcedSize, &s.ForcedUntil
	}
	return marshal(w)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Stats) UnmarshalJSON(data []byte) error {
	var w statsJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*s = Stats{
		Policy: w.Policy, CurrentSize: w.CurrentSize, MinSize: w.MinSize, MaxSize: w.MaxSize, Checks: w.Checks,
		TotalScaleUps: w.TotalScaleUps, TotalScaleDowns: w.TotalScaleDowns,
		InCooldown: w.InCooldown, CooldownRemaining: spanOf(w.CooldownRemaining),
		Paused: w.Paused, DryRun: w.DryRun, LastDecision: w.LastDecision,
	}
	if w.ForcedSize != nil && w.ForcedUntil != nil {
		s.ForcedSize, s.ForcedUntil = *w.ForcedSize, *w.ForcedUntil
	}
	return nil
}

// spanOf is a duration of so many seconds, or the nearest that there is. NaN is zero.
func spanOf(s float64) time.Duration {
	const most = float64(math.MaxInt64 / int64(time.Second))
	if math.IsNaN(s) {
		return 0
	}
	return time.Duration(max(-most, min(s, most)) * float64(time.Second))
}

// cooler is a policy that can tell how long it still waits after an action.
type cooler interface {
	CooldownLeft(now, last time.Time) time.Duration
}

// Stats returns a snapshot. It asks the pool for its size, and so is right before the first check too.
func (c *Controller) Stats() Stats {
	size := c.pool.Size() // outside the lock: it is somebody else's code
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{
		Policy: c.policy.Name(), CurrentSize: size,
		MinSize: c.options.MinSize, MaxSize: c.options.MaxSize,
		Checks: c.checks, TotalScaleUps: c.ups, TotalScaleDowns: c.downs,
		Paused: c.override.paused, DryRun: c.options.DryRun,
	}
	if p, ok := within[cooler](c.policy); ok {
		s.CooldownRemaining = p.CooldownLeft(now, c.lastAction)
		s.InCooldown = s.CooldownRemaining > 0
	}
	if c.override.forces(now) {
		s.ForcedSize, s.ForcedUntil = c.override.forced, c.override.until.Round(0).UTC()
	}
	if last := c.ledger.last(1); len(last) == 1 {
		s.LastDecision = &last[0]
	}
	return s
}

// Decisions returns copies of the newest n decisions, the newest last; n below 1 means all that the ledger holds.
func (c *Controller) Decisions(n int) []Decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ledger.last(n)
}
