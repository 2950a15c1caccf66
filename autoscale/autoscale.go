package autoscale

import (
	"context"
	"time"
)

// Pool is anything that can be made larger or smaller. Both methods may be called from several goroutines.
type Pool interface {
	// Size is the number of workers that are ready or starting; workers that drain no longer count.
	// It is called on every check and must answer at once.
	Size() int

	// Resize asks for size workers. It returns as soon as the change is under way, before any drain ends. An error
	// means that nothing changed; the controller tries again at a later check. The context ends with [Controller.Run].
	Resize(ctx context.Context, size int) error
}

// Observer looks at the backlog that the pool works on.
type Observer interface {
	// Observe fills in what it knows: Depth at least, or Unknown. Time, Size, the bounds and LastAction are the
	// controller's and overwritten. On an error the whole reading counts as unknown. The context carries
	// Options.ObserveTimeout as its deadline. Observe is never called again before the last call has returned.
	Observe(ctx context.Context) (Observation, error)
}

// DepthFunc is the smallest [Observer]: a function that returns how many records wait, zero or more.
type DepthFunc func(ctx context.Context) (int, error)

// Observe calls f and returns its answer as an Observation with nothing but the depth.
func (f DepthFunc) Observe(ctx context.Context) (Observation, error) {
	depth, err := f(ctx)
	return Observation{Depth: depth}, err
}

// Observation is everything a policy gets to see at one check.
type Observation struct {
	// Time is when the check was due. Checks on the interval stay on an exact grid, so that a cooldown of three
	// intervals lasts three intervals, however late the timer fires.
	Time time.Time

	// Unknown says why the depth is not known; empty means that it is. With a reason here, Depth and the counters
	// below mean nothing.
	Unknown string

	// StoodStill is how long this process did not run since the last reading, because it was stopped or the machine was
	// suspended; zero when it ran. Such a reading is Unknown. What a policy measures across it means nothing; the counters of
	// the next reading begin after it.
	StoodStill time.Duration

	Depth int // records waiting, not yet taken by a worker; zero or more
	Size  int // workers ready or starting, without those that drain

	MinSize int // lower bound in workers that the answer will be clamped to
	MaxSize int // upper bound in workers that the answer will be clamped to; zero means none is known

	// LastAction is when the pool last changed its size by a decision; zero means not yet. Bringing a pool inside
	// its bounds does not count.
	LastAction time.Time

	// What follows is for policies that look deeper than the depth. An observer that does not know a value leaves it zero.

	OldestWait  time.Duration // age of the oldest waiting record; zero when the queue is empty
	Ready       int           // workers able to take work now
	Starting    int           // workers asked for that do not work yet
	Draining    int           // workers that finish what they hold and then leave; not in Size
	InFlight    int           // records taken by workers and not finished; zero where a record counts as waiting until it is finished
	Arrived     int           // records that came since the last check with a reading
	Completed   int           // records finished by this pool since the last check with a reading
	BusySeconds float64       // worker-seconds of service that the completed records took

	// Service is how long workers lately took for what they take at once, a batch, say: half of it took no longer. Zero means
	// unknown.
	Service time.Duration

	// Workers is every worker, those that drain included, the oldest first. Nil means that the pool does not tell them
	// apart; Ready, Starting and Draining count them all the same.
	Workers []Worker
}

// Worker is what is known of one worker.
type Worker struct {
	ID          string    // the same for as long as it lives
	State       string    // one of the Worker constants
	Since       time.Time // since when it is in that state; zero when unknown
	Completed   int       // records it finished since the last check with a reading
	BusySeconds float64   // seconds of service that they took
}

// States of a [Worker].
const (
	WorkerStarting = "starting" // asked for, does not work yet
	WorkerIdle     = "idle"     // could work
	WorkerBusy     = "busy"     // works
	WorkerStuck    = "stuck"    // has been busy with the same thing for far longer than is usual; counted in Ready
	WorkerDraining = "draining" // finishes what it holds, then leaves
)

// Policy names a size for what it sees. It reads no clock and does no I/O; the time is in the observation. A policy may
// keep state of its own between calls: one controller or simulation calls it from one goroutine at a time, in order of time.
//
// A policy that wraps another one has a method Unwrap() Policy, so that the controller finds what the inner one can do.
type Policy interface {
	// Name is a short lower-case word, the same for every call, such as "threshold".
	Name() string

	// Decide names the size it wants and why. It need not respect the bounds: [Decide], the function, does that.
	Decide(o Observation) Proposal
}

// Proposal is a policy's answer.
type Proposal struct {
	// Size is what the policy wants before anything limits it, in workers.
	Size int

	// Reason is one short line for people, such as "depth 60 >= 50: up by 2".
	Reason string

	// Clamps are limits of the policy's own, such as a cooldown, in the order they applied: the first starts at Size, and
	// the last one's After is what the policy settles for. Empty means that Size stands.
	Clamps []Clamp

	// WakeAt is the number of unfinished records, Depth and InFlight together, from which on a check is due at once,
	// without waiting for the interval. Zero means that none is.
	WakeAt int
}

// Explainer is a [Policy] that can say more about its last answer than a line. The controller asks after each check and
// keeps the explanation in the ledger.
type Explainer interface {
	// Explanation is about the last call of Decide.
	Explanation() Explanation
}

// Explanation is what a policy believed when it decided, and what would have changed its answer.
type Explanation struct {
	Estimates []Estimate `json:"estimates"` // in the order that people should read them
	Otherwise string     `json:"otherwise"` // what would have to change for another outcome; empty when nobody can tell
}

// Estimate is one number that a policy believes in.
type Estimate struct {
	Name  string  `json:"name"` // in snake_case, with its unit: lead_seconds
	Value float64 `json:"value"`
}

// Clamp is one limit that changed a size on its way from the policy to the pool.
type Clamp struct {
	Name   string `json:"name"`   // which limit; the package's own are the Clamp constants
	Before int    `json:"before"` // size before the limit, in workers
	After  int    `json:"after"`  // size after it
}

// Names of the clamps that this package applies.
const (
	ClampCooldown  = "cooldown"      // the threshold policy waits after an action
	ClampBudget    = "budget"        // the [Budget] could not pay for more
	ClampGovernor  = "governor"      // the [Governor] found that more would not help
	ClampSeasonal  = "seasonal"      // the [Seasonal] policy has workers ready for what comes at this time
	ClampWorkWaits = "work_waits"    // raised so that work is not left without a worker, see [Floor]
	ClampUnknown   = "depth_unknown" // without a depth the present size stays
	ClampMinSize   = "min_size"      // raised to Options.MinSize
	ClampMaxSize   = "max_size"      // lowered to Options.MaxSize
	ClampPaused    = "paused"        // somebody paused the controller
	ClampForced    = "forced"        // somebody forced a size
	ClampDryRun    = "dry_run"       // Options.DryRun: nothing is moved
	ClampResize    = "resize"        // the pool refused, or is still busy with an earlier resize
)
