package simulate

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// overtime is how many seconds a run goes on after the trace for the queue to empty.
const overtime = 3600

// reversalWindow is how soon, in seconds, an action in the other direction is a reversal.
const reversalWindow = 300

// Row is one check: what the policy saw, and what came of it.
type Row struct {
	Second      int     `json:"t"`            // seconds from the start
	Depth       *int    `json:"depth"`        // records waiting; nil when the reading was missing, and so below
	OldestWait  *int    `json:"oldest_wait"`  // age of the front record in seconds, 0 when the queue is empty
	Ready       int     `json:"ready"`        // workers able to work
	Starting    int     `json:"starting"`     // workers asked for that do not work yet
	Draining    int     `json:"draining"`     // workers that are leaving
	Arrived     int     `json:"arrived"`      // records since the last check with a reading
	Completed   int     `json:"completed"`    // records served since then
	BusySeconds float64 `json:"busy_seconds"` // worker-seconds of service since then
	NamedSize   int     `json:"named_size"`   // what the policy settled for: clamped to the bounds, this is Size
	Size        int     `json:"size"`         // after every clamp
	Reason      string  `json:"reason"`       // the policy's reason
}

// Run plays the trace against the policy. A policy with state must be a fresh one: a run is its whole life. The error
// names everything wrong with the arguments; a run that began always ends with a result.
func Run(trace *Trace, policy autoscale.Policy, o Options) (Result, error) {
	var errs []error
	if trace == nil || trace.seconds < 1 {
		errs = append(errs, errors.New("simulate: the trace is empty, want at least one second"))
	}
	if policy == nil {
		errs = append(errs, errors.New("simulate: the policy is nil, want one to run"))
	}
	if err := errors.Join(errors.Join(errs...), o.Validate()); err != nil {
		return Result{}, err
	}
	if total := o.withDefaults().Scale * float64(trace.records); total > maxRecords {
		return Result{}, fmt.Errorf("simulate: Scale is %v, which makes %g records, want at most %d", o.Scale, total, maxRecords)
	}
	s := newStepper(policy, o.withDefaults())
	arrivals := cursor{bins: trace.bins, width: trace.width}
	last := trace.seconds - 1
	for t := 0; ; t++ {
		n := 0
		if t <= last {
			n = arrivals.at(t)
		}
		s.Step(n)
		if t >= last && (s.m.queue.depth == 0 || t == last+overtime) {
			return s.Finish(), nil
		}
	}
}

// machine is the state of a run between two ticks.
type machine struct {
	options  Options
	policy   autoscale.Policy
	interval int   // seconds between checks
	startup  int   // seconds
	drain    int   // seconds
	rate     int   // millionths of a record per second and worker
	crew     *crew // nil while workers are all alike

	scale     scaled
	queue     queue
	capacity  int // millionths of a record, served next; never banked while the queue is empty
	pool      pool
	lastCheck reading
	account   account
}

// reading is the counters since the last check with a reading, and when the last action was.
type reading struct {
	arrived, completed int
	acted              bool
	actedAt            int
	direction          string
}

func newMachine(policy autoscale.Policy, o Options) *machine {
	rate, _ := micros(o.Rate) // Validate has seen it
	m := &machine{
		options: o, policy: policy, rate: rate,
		interval: int(o.CheckInterval / time.Second),
		startup:  o.Variants.startupSeconds(o.Startup),
		drain:    int(o.Drain / time.Second),
		scale:    scaled{factor: o.Scale},
		crew:     newCrew(o.Variants, rate),
		pool:     pool{ready: o.InitialSize},
		account:  account{waits: make(map[int]int), slo: o.SLO, endless: o.Endless},
	}
	if o.Endless {
		m.queue.most = mostCohorts
	}
	return m
}

// tick is one second, in the order that the model fixes.
func (m *machine) tick(t, arrivals int) {
	m.pool.advance(t)
	m.arrive(t, arrivals)
	m.serve(t)
	started := 0
	if t%m.interval == 0 {
		started = m.check(t)
	}
	// Those started now cost from the next second on.
	m.account.cost += m.pool.present() - started
}

func (m *machine) arrive(t, arrivals int) {
	n := m.scale.next(arrivals)
	m.queue.push(t, n)
	m.account.records += n
	m.lastCheck.arrived += n
}

func (m *machine) serve(t int) {
	if m.crew != nil {
		m.capacity += m.crew.capacity(t, m.pool.ready)
	} else {
		m.capacity += m.rate * m.pool.ready
	}
	n := min(m.queue.depth, m.capacity/million)
	m.capacity -= n * million
	m.queue.pop(n, func(arrived, count int) {
		m.account.served(t-arrived, count)
		if m.options.Served != nil {
			m.options.Served(t-arrived, count)
		}
	})
	m.lastCheck.completed += n
	if m.crew != nil {
		m.crew.served(n)
	}
	if m.queue.depth == 0 {
		m.capacity = 0
	}
	m.account.maxDepth = max(m.account.maxDepth, m.queue.depth)
}

// check asks the policy, changes the pool, and returns how many workers it started.
func (m *machine) check(t int) int {
	o := m.observe(t)
	d := autoscale.Decide(m.policy, o)
	if m.options.Timeline != nil {
		m.options.Timeline(row(t, o, d))
	}
	if o.Unknown == "" {
		m.lastCheck.arrived, m.lastCheck.completed = 0, 0
		if m.crew != nil {
			m.crew.busy = 0
		}
	}
	started := max(0, d.NewSize-d.Size)
	switch d.Action {
	case autoscale.ActionUp:
		m.pool.start(started, t+1+m.startup)
		m.account.ups++
		m.account.started += started
	case autoscale.ActionDown:
		m.pool.stop(d.Size-d.NewSize, t+1+m.drain)
		if m.crew != nil {
			m.crew.follow(m.pool.ready)
		}
		m.account.downs++
		m.account.stopped += d.Size - d.NewSize
	default:
		return 0
	}
	last := &m.lastCheck
	if last.acted && last.direction != d.Action && t-last.actedAt <= reversalWindow {
		m.account.reversals++
	}
	last.acted, last.actedAt, last.direction = true, t, d.Action
	return started
}

func (m *machine) observe(t int) autoscale.Observation {
	o := autoscale.Observation{
		Time: time.Unix(int64(t), 0).UTC(),
		Size: m.pool.size(), MinSize: m.options.MinSize, MaxSize: m.options.MaxSize,
		Ready: m.pool.ready, Starting: m.pool.starting.total, Draining: m.pool.draining.total,
	}
	if m.lastCheck.acted {
		o.LastAction = time.Unix(int64(m.lastCheck.actedAt), 0).UTC()
	}
	if m.options.Missing != nil && m.options.Missing(t) {
		o.Unknown = "the reading is missing"
		return o
	}
	o.Depth = m.queue.depth
	o.OldestWait = time.Duration(m.queue.oldest(t)) * time.Second
	o.Arrived, o.Completed = m.lastCheck.arrived, m.lastCheck.completed
	o.BusySeconds = float64(o.Completed) / m.options.Rate
	if m.crew != nil {
		o.BusySeconds = m.crew.busy
	}
	return o
}

// named is the size that the model's policy names: limits of the policy's own, such as a cooldown, are part of it there.
func named(d autoscale.Decision) int {
	size := d.NamedSize
	for _, c := range d.Clamps {
		switch c.Name {
		case autoscale.ClampUnknown, autoscale.ClampMinSize, autoscale.ClampMaxSize:
			return size
		}
		size = c.After
	}
	return size
}

func row(t int, o autoscale.Observation, d autoscale.Decision) Row {
	r := Row{
		Second: t, Ready: o.Ready, Starting: o.Starting, Draining: o.Draining,
		Arrived: o.Arrived, Completed: o.Completed, BusySeconds: o.BusySeconds,
		NamedSize: named(d), Size: d.NewSize, Reason: d.Reason,
	}
	if o.Unknown == "" {
		oldest := int(o.OldestWait / time.Second)
		r.Depth, r.OldestWait = &o.Depth, &oldest
	}
	return r
}
