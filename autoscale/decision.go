package autoscale

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Actions of a [Decision]: what really happened to the pool.
const (
	ActionUp   = "up"
	ActionDown = "down"
	ActionHold = "hold"
)

// Decision is what one check came to, and why. Its JSON form has depth null when the depth was unknown.
type Decision struct {
	Time       time.Time // when the check was due; for a resize that took long, when it ended
	Depth      int       // records waiting; zero when DepthKnown is false
	DepthKnown bool      // whether anybody could tell the depth
	Size       int       // workers before
	NamedSize  int       // what the policy wanted before anything limited it
	NewSize    int       // what was asked of the pool; Size on a hold
	Action     string    // ActionUp, ActionDown or ActionHold
	Clamps     []Clamp   // every limit that changed the number, in order; empty when none did
	Reason     string    // one short line for people
	Policy     string    // the policy's name
	WakeAt     int       // unfinished records from which on the next check is due at once; zero means none

	Saw         *Saw         // what else the policy saw; nil when the depth was unknown, or nobody looked deeper
	Explanation *Explanation // what the policy believed; nil when it does not say
}

// Saw is what a decision was made on, besides depth and size. Counters are since the last check with a reading.
type Saw struct {
	OldestWaitSeconds float64 `json:"oldest_wait_seconds"`
	InFlight          int     `json:"in_flight"`
	Arrived           int     `json:"arrived"`
	Completed         int     `json:"completed"`
	BusySeconds       float64 `json:"busy_seconds"`
	Ready             int     `json:"ready"`
	Starting          int     `json:"starting"`
	Draining          int     `json:"draining"`
	Stuck             int     `json:"stuck"` // the part of ready that has been busy for far too long
}

// saw copies what goes into the ledger; nil for an observer that tells nothing but the depth.
func saw(o Observation) *Saw {
	s := Saw{
		OldestWaitSeconds: o.OldestWait.Seconds(), InFlight: o.InFlight, Arrived: o.Arrived, Completed: o.Completed,
		BusySeconds: o.BusySeconds, Ready: o.Ready, Starting: o.Starting, Draining: o.Draining,
	}
	for _, w := range o.Workers {
		if w.State == WorkerStuck {
			s.Stuck++
		}
	}
	if o.Unknown != "" || s == (Saw{}) {
		return nil
	}
	return &s
}

// decisionJSON is the wire form of a Decision.
type decisionJSON struct {
	Time      time.Time `json:"time"`
	Depth     *int      `json:"depth"`
	Size      int       `json:"size"`
	NamedSize int       `json:"named_size"`
	NewSize   int       `json:"new_size"`
	Action    string    `json:"action"`
	Clamps    []Clamp   `json:"clamps"`
	Reason    string    `json:"reason"`
	Policy    string    `json:"policy"`
	WakeAt    int       `json:"wake_at,omitempty"`

	Saw         *Saw         `json:"saw,omitempty"`
	Explanation *Explanation `json:"explanation,omitempty"`
}

// MarshalJSON writes the decision with snake_case names; clamps is a list even when empty.
func (d Decision) MarshalJSON() ([]byte, error) {
	w := decisionJSON{
		Time: d.Time, Size: d.Size, NamedSize: d.NamedSize, NewSize: d.NewSize,
		Action: d.Action, Clamps: d.Clamps, Reason: d.Reason, Policy: d.Policy,
		WakeAt: d.WakeAt, Saw: d.Saw, Explanation: d.Explanation,
	}
	if d.DepthKnown {
		w.Depth = &d.Depth
	}
	if w.Clamps == nil {
		w.Clamps = []Clamp{}
	}
	return marshal(w)
}

// marshal writes JSON for people too: reasons say ">=", which the default would escape for the sake of HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (d *Decision) UnmarshalJSON(data []byte) error {
	var w decisionJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*d = Decision{
		Time: w.Time, Size: w.Size, NamedSize: w.NamedSize, NewSize: w.NewSize,
		Action: w.Action, Clamps: w.Clamps, Reason: w.Reason, Policy: w.Policy,
		WakeAt: w.WakeAt, Saw: w.Saw, Explanation: w.Explanation,
	}
	if w.Depth != nil {
		d.Depth, d.DepthKnown = *w.Depth, true
	}
	return nil
}

// Decide asks the policy and brings its answer inside the observation's bounds. The live controller and the simulator
// both decide here. Without a depth the present size stays; only a pool below its minimum is still raised to it. A pool
// found outside its bounds is brought inside at once, whatever cooldown the policy keeps.
func Decide(p Policy, o Observation) Decision {
	proposal := p.Decide(o)
	d := Decision{
		Time: o.Time, Size: o.Size, NamedSize: proposal.Size, NewSize: proposal.Size,
		Reason: proposal.Reason, Policy: p.Name(), WakeAt: max(0, proposal.WakeAt),
	}
	if n := len(proposal.Clamps); n > 0 {
		d.Clamps = slices.Clone(proposal.Clamps)
		d.NewSize = d.Clamps[n-1].After
	}
	if d.Reason == "" {
		d.Reason = fmt.Sprintf("%s named %d", d.Policy, d.NamedSize)
	}
	if o.Unknown == "" {
		d.Depth, d.DepthKnown = o.Depth, true
		if o.MaxSize > 0 && d.NewSize > o.MaxSize {
			d.clamp(ClampMaxSize, o.MaxSize)
		}
	} else {
		d.Reason = unknownReason(o)
		d.clamp(ClampUnknown, o.Size)
	}
	if d.NewSize < o.MinSize {
		d.clamp(ClampMinSize, o.MinSize)
	}
	if broughtInside(o, d.NewSize) {
		d.Reason = fmt.Sprintf("size %d is below min size %d: up by %d", o.Size, o.MinSize, d.NewSize-o.Size)
		if o.Size > d.NewSize {
			d.Reason = fmt.Sprintf("size %d is above max size %d: down by %d", o.Size, o.MaxSize, o.Size-d.NewSize)
		}
	}
	d.Action = direction(d.Size, d.NewSize)
	return d
}

func unknownReason(o Observation) string { return "depth unknown: " + o.Unknown }

// broughtInside tells whether a change to size only takes a pool found beyond its bounds to the nearer one. That is upkeep,
// not an answer to load, and starts no cooldown.
func broughtInside(o Observation, size int) bool {
	return (o.Size < o.MinSize && size == o.MinSize) || (o.MaxSize > 0 && o.Size > o.MaxSize && size == o.MaxSize)
}

// clamp sets the new size and notes it, if it is a change.
func (d *Decision) clamp(name string, size int) {
	if d.NewSize != size {
		// Clipped, so that copies of a decision never share what they append.
		d.Clamps = append(slices.Clip(d.Clamps), Clamp{Name: name, Before: d.NewSize, After: size})
		d.NewSize = size
	}
}

// hold turns the decision into one that leaves the pool alone.
func (d *Decision) hold(clamp, reason string) {
	d.clamp(clamp, d.Size)
	d.Action, d.Reason = ActionHold, reason
}

func direction(from, to int) string {
	switch {
	case to > from:
		return ActionUp
	case to < from:
		return ActionDown
	default:
		return ActionHold
	}
}

// override is an operator's word, which outranks policy and bounds.
type override struct {
	paused bool
	forced int       // meaningful until the time below
	until  time.Time // zero means that nothing is forced
}

func (v override) forces(now time.Time) bool { return now.Before(v.until) }

// apply puts the override on top of a decision. A forced size outranks a pause: it is the more exact word.
func (v override) apply(d *Decision, now time.Time) {
	switch {
	case v.forces(now):
		d.clamp(ClampForced, v.forced)
		d.Action = direction(d.Size, d.NewSize)
		left := (v.until.Sub(now) + time.Second - 1).Truncate(time.Second)
		d.Reason = fmt.Sprintf("forced to %d for another %v", v.forced, left)
	case v.paused:
		d.hold(ClampPaused, "paused")
	default:
		return
	}
	d.WakeAt = 0 // the policy could do nothing
}

// ledger keeps the newest decisions in a ring that grows until it is full.
type ledger struct {
	limit int
	rows  []Decision
	next  int // where the next row goes once the ring is full
}

func (l *ledger) add(d Decision) {
	if len(l.rows) < l.limit {
		l.rows = append(l.rows, d)
		return
	}
	l.rows[l.next] = d
	l.next = (l.next + 1) % l.limit
}

// last returns copies of the newest n rows, or of all when n is below 1, the newest last.
func (l *ledger) last(n int) []Decision {
	if n < 1 || n > len(l.rows) {
		n = len(l.rows)
	}
	rows := make([]Decision, n)
	for i := range rows {
		d := l.rows[(l.next+len(l.rows)-n+i)%len(l.rows)]
		d.Clamps = slices.Clone(d.Clamps) // what the row points to is never changed
		rows[i] = d
	}
	return rows
}
