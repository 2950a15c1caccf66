package rivals

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// DS2Options are the settings of the autoscaler of the Flink Kubernetes operator. Zero means the product's default; where 0
// is a sensible value, a negative one means it.
type DS2Options struct {
	Utilization   float64       // share of a worker's true rate that it plans with; zero means 0.7
	Boundary      float64       // distance from it that is left alone; zero means 0.3, negative none
	Reconcile     time.Duration // time between evaluations; zero means 60s
	Window        time.Duration // time that rates are measured over; zero means 15m
	Stabilization time.Duration // time after a change that is not measured; zero means 5m, negative none
	CatchUp       time.Duration // time in which it wants to work off the queue; zero means 30m, negative leaves the queue alone
	Restart       time.Duration // time without work that a change is thought to cost; zero means 5m, negative none
	DownInterval  time.Duration // how long a smaller size must stay wanted; zero means 1h, negative not at all
	MaxDown       float64       // most that one step takes away, as a share of the pool; zero means 0.6
	MaxUp         float64       // most that one step adds, as a multiple of the pool; zero means 100000
	LagThreshold  time.Duration // queue, in time to work it off at the present pace, above which it only grows; zero means 5m
}

func (o *DS2Options) fields() []field {
	return []field{
		{"utilization", &o.Utilization}, {"boundary", &o.Boundary}, {"reconcile", &o.Reconcile}, {"window", &o.Window},
		{"stabilization", &o.Stabilization}, {"catch_up", &o.CatchUp}, {"restart", &o.Restart}, {"down_interval", &o.DownInterval},
		{"max_down", &o.MaxDown}, {"max_up", &o.MaxUp}, {"lag_threshold", &o.LagThreshold},
	}
}

// DS2 is the autoscaler of the Flink operator: from the true rate of a worker, measured while it works, and the rate of
// arrivals it computes in one step how many workers are needed. It waits long before it measures, and an hour before it
// shrinks.
type DS2 struct {
	o    DS2Options
	beat rhythm

	changed  time.Time // when the pool last changed, or when it began to look
	size     int       // of the pool at that time
	previous time.Time // the last check

	// Measured since the window began, one sample per evaluation.
	samples   []sample
	processed float64
	busy      float64
	ready     float64 // ready workers times seconds

	downSince time.Time // when a smaller size was first wanted; zero means that none is
	downTo    int       // the largest size wanted since
}

// sample is the running totals at an evaluation.
type sample struct {
	at                     time.Time
	processed, busy, ready float64
	lag                    int
}

// NewDS2 returns an error that names everything wrong with the options.
func NewDS2(o DS2Options) (*DS2, error) {
	o.Utilization, o.Boundary = cmp.Or(o.Utilization, 0.7), orDefault(o.Boundary, 0.3)
	o.Reconcile, o.Window = cmp.Or(o.Reconcile, time.Minute), cmp.Or(o.Window, 15*time.Minute)
	o.Stabilization, o.CatchUp = orDefault(o.Stabilization, 5*time.Minute), orDefault(o.CatchUp, 30*time.Minute)
	o.Restart, o.DownInterval = orDefault(o.Restart, 5*time.Minute), orDefault(o.DownInterval, time.Hour)
	o.MaxDown, o.MaxUp, o.LagThreshold = cmp.Or(o.MaxDown, 0.6), cmp.Or(o.MaxUp, 1e5), cmp.Or(o.LagThreshold, 5*time.Minute)
	p := problems{policy: "ds2"}
	p.wantIf(!(o.Utilization > 0 && o.Utilization <= 1), "Utilization", o.Utilization, "more than 0, at most 1")
	p.wantIf(!(o.Boundary <= 1), "Boundary", o.Boundary, "at most 1")
	p.beat("Reconcile", o.Reconcile)
	p.wantIf(o.Window < o.Reconcile || o.Window > 1000*o.Reconcile, "Window", o.Window, "one to 1000 times Reconcile")
	p.pause("Stabilization", o.Stabilization)
	p.pause("CatchUp", o.CatchUp)
	p.pause("Restart", o.Restart)
	p.pause("DownInterval", o.DownInterval)
	p.wantIf(!(o.MaxDown > 0 && o.MaxDown <= 1), "MaxDown", o.MaxDown, "more than 0, at most 1")
	p.positive("MaxUp", o.MaxUp)
	p.beat("LagThreshold", o.LagThreshold)
	if err := p.err(); err != nil {
		return nil, err
	}
	return &DS2{o: o, beat: rhythm{every: o.Reconcile}}, nil
}

// Name is "ds2".
func (*DS2) Name() string { return "ds2" }

// Decide measures at every check and evaluates on its own grid.
func (d *DS2) Decide(o autoscale.Observation) autoscale.Proposal {
	if d.changed.IsZero() || d.size != o.Size {
		d.restart(o) // by its own doing or somebody else's
	}
	due := d.beat.due(o.Time)
	if o.Unknown != "" {
		return unknown(o) // the counters of the next reading cover this check too
	}
	d.measure(o)
	if !due {
		return d.beat.wait(o, "next evaluation")
	}
	return d.evaluate(o)
}

// restart forgets what was measured with another pool.
func (d *DS2) restart(o autoscale.Observation) {
	d.changed, d.size, d.previous = o.Time, o.Size, o.Time
	d.samples, d.processed, d.busy, d.ready = d.samples[:0], 0, 0, 0
	d.downSince = time.Time{}
}

func (d *DS2) measure(o autoscale.Observation) {
	since := o.Time.Sub(d.previous).Seconds()
	d.previous = o.Time
	if since > 0 && o.Time.Sub(d.changed) > d.o.Stabilization {
		d.processed += float64(o.Completed)
		d.busy += o.BusySeconds
		d.ready += since * float64(o.Ready)
	}
}

func (d *DS2) evaluate(o autoscale.Observation) autoscale.Proposal {
	if left := d.o.Stabilization - o.Time.Sub(d.changed); left > 0 {
		return hold(o, "stabilizing for another %v", left.Round(time.Millisecond))
	}
	now := sample{o.Time, d.processed, d.busy, d.ready, o.Depth}
	for len(d.samples) > 1 && o.Time.Sub(d.samples[1].at) >= d.o.Window {
		d.samples = d.samples[:copy(d.samples, d.samples[1:])]
	}
	d.samples = append(d.samples, now)
	first := d.samples[0]
	window := now.at.Sub(first.at)
	if window < d.o.Window {
		return hold(o, "measured for %v of %v", window, d.o.Window)
	}
	rate := (now.processed - first.processed) / window.Seconds()
	arrivals := max(0, rate+float64(now.lag-first.lag)/window.Seconds())
	// The true rate is what the pool would do if it were busy all the time.
	trueRate := math.Inf(1)
	if busy := now.busy - first.busy; busy > 0 && now.ready > first.ready {
		trueRate = rate * (now.ready - first.ready) / busy
	}
	return d.plan(o, rate, arrivals, trueRate)
}

// capacity is the rate at which the pool should be able to work.
func (d *DS2) capacity(lag, arrivals, utilization float64, restart bool) float64 {
	if utilization <= 0 {
		return math.Inf(1)
	}
	c := arrivals / min(utilization, 1)
	if catchUp := d.o.CatchUp.Seconds(); catchUp > 0 {
		c += lag / catchUp
		if restart {
			c += arrivals * d.o.Restart.Seconds() / catchUp
		}
	}
	return math.Round(c)
}

func (d *DS2) plan(o autoscale.Observation, rate, arrivals, trueRate float64) autoscale.Proposal {
	lag := float64(o.Depth)
	high, low := min(1, d.o.Utilization+d.o.Boundary), d.o.Utilization-d.o.Boundary
	if lag > rate*d.o.LagThreshold.Seconds() {
		high, low = 1, 0 // so much waits that shrinking is out of the question
	}
	within := trueRate >= d.capacity(lag, arrivals, high, false) && trueRate <= d.capacity(lag, arrivals, low, true)
	if math.IsInf(trueRate, 1) {
		return hold(o, "nothing processed, no rate known")
	}
	factor := d.capacity(lag, arrivals, d.o.Utilization, true) / trueRate
	factor = min(max(factor, 1-d.o.MaxDown), 1+d.o.MaxUp)
	size := up(factor * float64(o.Size))
	seen := fmt.Sprintf("%.4g/s arrive, %d workers could do %.4g/s", arrivals, o.Size, trueRate)
	target := bounded(size, o)
	p := autoscale.Proposal{Size: size, Reason: fmt.Sprintf("%s: %d", seen, size)}
	switch {
	case target == o.Size:
		d.downSince = time.Time{}
		return p
	case within:
		return hold(o, "%s: within bounds", seen)
	case target > o.Size:
		d.downSince = time.Time{}
		return p
	}
	if d.downSince.IsZero() {
		d.downSince, d.downTo = o.Time, target
	}
	d.downTo = max(d.downTo, target)
	if left := d.o.DownInterval - o.Time.Sub(d.downSince); left > 0 {
		limit(&p, ClampStabilization, o.Size)
		p.Reason = fmt.Sprintf("%s: down to %d in %v", seen, d.downTo, left.Round(time.Millisecond))
		return p
	}
	limit(&p, ClampStabilization, d.downTo)
	d.downSince = time.Time{}
	return p
}
