package autoscale

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Budget wraps a policy and keeps the pool within a number of worker-hours per window of time.
//
// The window slides: whatever the traffic, the worker-hours of any span of that length stay within the budget. Every worker
// costs from when it was asked for until it is gone, those that drain included, whether or not a reading came. The
// observation's MinSize outranks the budget: a pool at its minimum stays there. So does the rule that a pool without a
// reading keeps its size; only an outage longer than a twentieth of the window can cost more than there is.
//
// # How it rations
//
// A burst may be paid for, and what comes after it shall not starve. So two thirds of the budget are there at any time at the rate
// at which the window brings them back: that many workers, or MinSize if that is more, can always run. What that leaves over
// is a purse. A growing pool may be as large as the purse can pay for a tenth of the window, and one that runs already
// stays until it is down to a twentieth. With a full purse that is four times the mean size; as the purse empties, the cap comes down
// to the two thirds, and never to nothing at once.
//
// Build it with [NewBudget]. Its state has a fixed size. It is for one goroutine at a time.
type Budget struct {
	inner   Policy
	options BudgetOptions // with defaults filled in
	purse   budgetPurse

	clock   sloClock
	seen    bool
	last    float64   // time of the last observation, in the budget's seconds
	present int       // workers, those that drain included, since then
	savedAt time.Time // of the state that was restored; zero without one

	clamped Clamp   // of the last check; no name when there was none
	short   float64 // worker-hours that one more would take
}

// BudgetOptions says how much may be spent. WorkerHours has to be given.
type BudgetOptions struct {
	WorkerHours float64       // worker-hours per Window; more than 0, at most 1e9
	Window      time.Duration // zero means 24h; 1m to 31 days
}

// Validate returns nil, or one error that names every problem: the field, its value and the rule.
func (o BudgetOptions) Validate() error {
	o = o.withDefaults()
	var p problems
	p.wantIf(!(o.WorkerHours > 0 && o.WorkerHours <= 1e9), "WorkerHours", o.WorkerHours, "more than 0, at most 1e9")
	p.wantIf(o.Window < time.Minute || o.Window > 31*24*time.Hour, "Window", o.Window, "1m to 744h")
	return errors.Join(p...)
}

func (o BudgetOptions) withDefaults() BudgetOptions {
	if o.Window == 0 {
		o.Window = 24 * time.Hour
	}
	return o
}

// NewBudget wraps the policy. The error names everything wrong with the arguments at once.
func NewBudget(inner Policy, o BudgetOptions) (*Budget, error) {
	err := o.Validate()
	if inner == nil {
		err = errors.Join(errors.New("autoscale: the policy to pay for is nil, want one"), err)
	}
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	return &Budget{inner: inner, options: o, purse: budgetPurse{slot: o.Window.Seconds() / (budgetSlots - 1), budget: o.WorkerHours * 3600}}, nil
}

// Name is the inner policy's.
func (b *Budget) Name() string { return b.inner.Name() }

// Unwrap returns the inner policy.
func (b *Budget) Unwrap() Policy { return b.inner }

// Decide asks the inner policy and takes back what cannot be paid for.
func (b *Budget) Decide(o Observation) Proposal {
	p := b.inner.Decide(o)
	b.spend(o)
	b.clamped = Clamp{}
	wanted := settledSize(p)
	if o.Unknown == "" {
		p = b.afford(p, o, wanted)
	}
	// Until the next check as many are there as now, and those asked for. That a policy's word may be overruled is seen then.
	size := max(settledSize(p), o.MinSize)
	if o.MaxSize > 0 {
		size = min(size, o.MaxSize)
	}
	b.present = max(b.present, min(size, sloMost)+draining(o))
	return p
}

// spend counts the time since the last observation.
func (b *Budget) spend(o Observation) {
	now, _ := b.clock.read(o.Time)
	present := min(max(o.Size, 0), sloMost) + draining(o)
	switch {
	case b.seen:
		b.purse.pay(now-b.last, float64(max(present, b.present)))
	case !b.savedAt.IsZero(): // the pool was there while nobody counted
		b.purse.pay(max(0, o.Time.Sub(b.savedAt).Seconds()), float64(max(present, b.present)))
	}
	b.last, b.seen, b.present = now, true, present
}

func draining(o Observation) int { return min(max(o.Draining, 0), sloMost) }

// afford clamps what was wanted to what can be paid for.
func (b *Budget) afford(p Proposal, o Observation, wanted int) Proposal {
	least := max(o.MinSize, 0)
	spare, until := b.purse.spare(float64(least))
	rate := b.purse.rate(float64(least))
	grow := wholeWorkers(rate+spare/b.purse.part(budgetGrow)) - draining(o)
	stay := wholeWorkers(rate+spare/b.purse.part(budgetStay)) - draining(o)
	limit := max(grow, min(o.Size, stay), least)
	if wanted <= limit {
		return p
	}
	b.clamped = Clamp{Name: ClampBudget, Before: wanted, After: limit}
	b.short = max(0, (float64(limit+1+draining(o))-rate)*b.purse.part(budgetGrow)-spare) / 3600
	p.Clamps = append(p.Clamps[:len(p.Clamps):len(p.Clamps)], b.clamped)
	p.WakeAt = 0
	p.Reason = fmt.Sprintf("the budget pays for %d of the %d asked for: %s of %s worker-hours are left until %s",
		limit, wanted, hours(b.purse.left()), hours(b.options.WorkerHours), b.clock.last.Add(spanOf(until)).Format("Jan 2 15:04"))
	return p
}

// wholeWorkers rounds down what is less than a whole worker, apart from rounding noise.
func wholeWorkers(x float64) int { return int(math.Floor(min(max(x, 0), sloMost) + 1e-9)) }

// hours writes worker-hours with the digits that mean something.
func hours(x float64) string {
	if x >= 100 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3g", max(0, x))
}

// Explanation is the inner policy's, if it gives one, with what is left of the budget.
func (b *Budget) Explanation() Explanation {
	e := explanationOf(b.inner)
	e.Estimates = append(e.Estimates, Estimate{"worker_hours_left", max(0, b.purse.left())})
	if b.clamped.Name != "" {
		e.Otherwise = fmt.Sprintf("with a larger budget %d would run; one more than now is due when another %s worker-hours have come back",
			b.clamped.Before, hours(b.short))
	}
	return e
}

const (
	budgetSlots  = 289       // of the ring, one of them only in part within the window
	budgetSteady = 2.0 / 3.0 // share of the budget that is there at any time
	budgetGrow   = 1.0 / 10  // share of the window that the purse has to last when the pool grows
	budgetStay   = 1.0 / 20  // the same for workers that run already, so that the pool does not chatter
)

// budgetPurse is what was spent within the window, in worker-seconds.
type budgetPurse struct {
	budget float64
	slot   float64              // seconds
	ring   [budgetSlots]float64 // by slot of time
	at     int                  // place in the ring of the present slot
	into   float64              // seconds of it that have passed
}

// window is a little longer than the real one: a slot counts until all of it is out of the window.
func (m *budgetPurse) window() float64 { return m.slot * budgetSlots }

// part is a share of the window in seconds.
func (m *budgetPurse) part(share float64) float64 { return m.slot * (budgetSlots - 1) * share }

// left is what is not spent, in worker-hours.
func (m *budgetPurse) left() float64 {
	spent := 0.0
	for _, x := range m.ring {
		spent += x
	}
	return (m.budget - spent) / 3600
}

// pay spends the time of so many workers.
func (m *budgetPurse) pay(seconds, workers float64) {
	if seconds > m.window() { // what came before has left the window
		seconds = m.window()
	}
	for seconds > 0 {
		step := min(seconds, m.slot-m.into)
		m.ring[m.at] += step * workers
		m.into += step
		seconds -= step
		if m.into >= m.slot*(1-1e-12) {
			m.at, m.into = (m.at+1)%budgetSlots, 0
			m.ring[m.at] = 0
		} else if step <= 0 {
			return
		}
	}
}

// rate is how many workers can always run.
func (m *budgetPurse) rate(least float64) float64 {
	mean := m.budget / m.window()
	return min(max(mean*budgetSteady, least), mean)
}

// spare is how many worker-seconds can be spent beyond the steady rate without ever running out, and in how many seconds the
// tightest moment is over.
func (m *budgetPurse) spare(least float64) (spare, until float64) {
	spare, until = math.Inf(1), 0
	remaining, rate := m.left()*3600, m.rate(least)
	for i := 1; i <= budgetSlots; i++ { // the oldest first; each counts until the present slot has come to its place
		end := float64(i)*m.slot - m.into
		if x := remaining - rate*end; x < spare {
			spare, until = x, end
		}
		remaining += m.ring[(m.at+i)%budgetSlots]
	}
	return spare, until
}

// budgetStateVersion is raised when the meaning of a field of [BudgetState] changes.
const budgetStateVersion = 1

// BudgetState is what a [Budget] has counted, to be kept over a restart: a few kilobytes of JSON.
type BudgetState struct {
	Version int       `json:"version"` // of this form
	SavedAt time.Time `json:"saved_at"`

	WindowSeconds float64   `json:"window_seconds"`
	Spent         []float64 `json:"spent"`        // worker-seconds by slot of time, the oldest first, the present one last
	SlotSeconds   float64   `json:"slot_seconds"` // how long the present slot has lasted
	Present       int       `json:"present"`      // workers that were there
}

// State returns what was counted so far.
func (b *Budget) State() BudgetState {
	s := BudgetState{
		Version: budgetStateVersion, SavedAt: b.clock.last.Round(0).UTC(), WindowSeconds: b.options.Window.Seconds(),
		SlotSeconds: b.purse.into, Present: b.present,
	}
	if !b.seen {
		s.SavedAt = b.savedAt
	}
	for i := 1; i <= budgetSlots; i++ {
		s.Spent = append(s.Spent, b.purse.ring[(b.purse.at+i)%budgetSlots])
	}
	return s
}

// Restore brings back what an earlier budget had counted; the time between counts for the workers there were. Call it
// before the first Decide. A state that is damaged, of another version or of another window changes nothing and is told as
// an error.
func (b *Budget) Restore(s BudgetState) error {
	if b.seen {
		return errors.New("autoscale: the budget has counted already, want Restore before that")
	}
	if s.Version != budgetStateVersion {
		return fmt.Errorf("autoscale: the state has version %d, want %d", s.Version, budgetStateVersion)
	}
	var p problems
	p.wantIf(s.WindowSeconds != b.options.Window.Seconds(), "window_seconds", s.WindowSeconds, "%g as in the options", b.options.Window.Seconds())
	p.wantIf(len(s.Spent) != budgetSlots, "spent", len(s.Spent), "%d numbers", budgetSlots)
	p.wantIf(!(s.SlotSeconds >= 0 && s.SlotSeconds < b.purse.slot), "slot_seconds", s.SlotSeconds, "0 to less than %g", b.purse.slot)
	p.wantIf(s.Present < 0 || s.Present > 2*sloMost, "present", s.Present, "0 to %d", 2*sloMost)
	for _, x := range s.Spent {
		p.wantIf(!(x >= 0 && x <= 1e15), "spent", x, "numbers from 0 to 1e15")
	}
	if err := errors.Join(p...); err != nil {
		return err
	}
	copy(b.purse.ring[:], s.Spent)
	b.purse.at, b.purse.into = budgetSlots-1, s.SlotSeconds
	b.savedAt, b.present = s.SavedAt, s.Present
	return nil
}
