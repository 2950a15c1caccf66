package simulate

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// maxBoundSeconds is the longest trace that [Bound] takes: a leap year and a bit.
const maxBoundSeconds = 32_000_000

// BoundResult is what no policy can beat.
type BoundResult struct {
	Cost  float64 `json:"cost"`       // worker-seconds that every policy pays at least
	Ratio float64 `json:"cost_ratio"` // Cost over the useful worker-seconds, records / rate; 0 without records

	// Late is the share of the records that may be late or never served in the runs that the bound holds for. It is 0
	// where the pool can be in time at all, and otherwise the least share that MaxSize and Startup leave.
	Late float64 `json:"late"`
}

// Bound is the least that any policy can pay, in worker-seconds, for serving every record of the trace within the SLO. It
// knows the whole trace beforehand, divides workers into fractions, and still pays what the model asks: every worker that
// works was started, costs all of its start-up before and its drain afterwards, changes only at checks, and the size keeps
// to its bounds. So it holds for every [Run] without late records, whatever the policy; readings do not matter to it.
// What it does not hold for is a run that saves work by being late; [BoundLate] is for those. Where MaxSize and Startup
// make it impossible to be in time, nobody can be measured against "no record late": then the bound is that of BoundLate
// for the least share that is possible, and Late tells it.
//
// The error names everything wrong with the arguments. A week of one-second traffic takes a few seconds.
//
// # Why it is a bound
//
// Let W(t) be the work done until second t, in worker-seconds. It can neither be ahead of the arrivals nor behind those
// of SLO seconds ago, and in one second it grows by at most the number of ready workers. Give each second a price z(t) for
// work, any price that is not negative. Then a policy's cost is at least
//
//   - what the work is worth at these prices, at the worst moments that arrivals and SLO allow: a price that falls after
//     t counts the work that is due by t, a price that rises after t that which has arrived by t;
//   - plus the least that a pool can lose when it sells its time at these prices. Here every worker is on its own, since a
//     pool is a stack of levels that are on or off: one pass through the seconds finds the best moments to start and stop.
//
// Both are computed anew from the prices, second by second, so a bound comes out of any prices at all; how they were found
// need not be trusted. Good ones come from a linear program ([solver]); what it leaves on the table, usually less than
// a thousandth, makes the bound lower, never wrong.
func Bound(trace *Trace, o Options) (BoundResult, error) {
	return BoundLate(trace, o, 0)
}

// BoundLate is the [Bound] of runs in which up to the given share of the records, 0 to 1, is late or never served: one
// that grants a run its own SLOViolations holds for that run. Late records count as if no work were spent on them. Where a
// larger share cannot be avoided it takes its place.
func BoundLate(trace *Trace, o Options, share float64) (BoundResult, error) {
	var errs []error
	if trace == nil || trace.seconds < 1 || trace.seconds > maxBoundSeconds {
		errs = append(errs, fmt.Errorf("simulate: the trace is empty or too long for a bound, want 1 to %d seconds", maxBoundSeconds))
	} else if o.Scale > 0 && o.Scale*float64(trace.records) > maxRecords {
		errs = append(errs, fmt.Errorf("simulate: Scale is %v, which makes more than %d records", o.Scale, maxRecords))
	}
	if !(share >= 0 && share <= 1) {
		errs = append(errs, fmt.Errorf("simulate: the share of late records is %v, want 0 to 1", share))
	}
	if err := errors.Join(errors.Join(errs...), o.Validate()); err != nil {
		return BoundResult{}, err
	}
	b := newBounding(trace, o.withDefaults())
	records := float64(b.arrived[b.last])
	late := max(share*records, b.unavoidable())
	r := BoundResult{Cost: max(0, b.best(late/b.rate))}
	if records > 0 {
		r.Ratio = r.Cost / (records / b.rate)
		r.Late = late / records
	}
	return r, nil
}

// bounding is the trace and the pool as the bound sees them. Work is in worker-seconds, a record being 1 / rate.
type bounding struct {
	rate           float64 // records per second of a worker
	variants       Variants
	micros         int     // the rate in millionths
	fastest        float64 // the most that a worker ever does in a second, as a share of the rate
	startup, drain int
	interval       int
	stuckAt        int // second from which on one worker does nothing; it stays, since the youngest stop first
	slo            int // whole seconds: waits are whole, too
	minimum        int // workers
	initial        int
	maximum        int   // no more than could ever find work in one second
	arrived        []int // records that came until the end of each second
	last           int   // the trace's last second
	horizon        int   // the second in which the last record is due
}

func newBounding(trace *Trace, o Options) *bounding {
	b := &bounding{
		rate: o.Rate, variants: o.Variants, startup: o.Variants.startupSeconds(o.Startup), drain: int(o.Drain / time.Second),
		interval: int(o.CheckInterval / time.Second), slo: int(min(o.SLO/time.Second, maxSecond)),
		minimum: o.MinSize, initial: o.InitialSize,
		arrived: make([]int, trace.seconds), last: trace.seconds - 1,
	}
	b.horizon = b.last + min(b.slo, overtime)
	b.micros, _ = micros(o.Rate) // Validate has seen it
	b.fastest = max(b.speed(0), b.speed(b.horizon))
	total, factor := 0, scaled{factor: o.Scale}
	for t, n := range trace.Arrivals() {
		total += factor.next(n)
		b.arrived[t] = total
	}
	b.stuckAt = math.MaxInt
	if o.Variants.StuckAt > 0 && o.MinSize > 0 {
		b.stuckAt = o.Variants.StuckAt
	}
	// Work done in one second has arrived and is not overdue. More workers than it could keep busy only cost.
	most := 0.0
	for t := range b.horizon + 1 {
		most = max(most, (b.latest(t)-b.due(t-1))/b.speed(t))
	}
	b.maximum = max(o.InitialSize, min(o.MaxSize, int(math.Ceil(most))+b.stuck(b.horizon)))
	return b
}

// speed is the most work that a ready worker does in second t: 1, but for variants.
func (b *bounding) speed(t int) float64 { return b.variants.fastest(t, b.micros) }

// stuck is how many of the ready workers do nothing in second t.
func (b *bounding) stuck(t int) int {
	if t < b.stuckAt {
		return 0
	}
	return 1
}

// latest is the work that can be done until the end of second t: everything that has arrived.
func (b *bounding) latest(t int) float64 {
	if t < 0 {
		return 0
	}
	return float64(b.arrived[min(t, b.last)]) / b.rate
}

// due is the work that must be done until the end of second t. A run that leaves nothing behind is over at the horizon.
func (b *bounding) due(t int) float64 {
	if t >= b.horizon {
		return b.latest(b.last)
	}
	return b.latest(t - b.slo)
}

// capacity is the most workers that can be ready in second t: those asked for at the first check come after their start-up.
func (b *bounding) capacity(t int) int {
	if t <= b.startup {
		return b.initial
	}
	return b.maximum
}

// unavoidable is how many records, in fractions, cannot be in time even if the pool is as large as it may be in every
// second and spends nothing on those that are late.
func (b *bounding) unavoidable() float64 {
	done, lost := 0.0, 0.0 // done includes lost
	for t := range b.horizon + 1 {
		done = min(done+b.speed(t)*float64(b.capacity(t)-b.stuck(t)), b.latest(t))
		if missing := b.due(t) - done; missing > 0 {
			lost, done = lost+missing, b.due(t)
		}
	}
	lost *= b.rate
	if lost < 1e-9*float64(b.arrived[b.last]) {
		return 0 // float dust; granting less than is needed keeps the bound a bound, as prices are finite
	}
	return lost
}

// best is the largest bound found for runs that spare themselves the given amount of work by being late.
func (b *bounding) best(late float64) float64 {
	flat := prices{width: b.horizon + 1, z: []float64{1}}
	best := max(b.value(flat, 0, late), b.value(flat, 1/b.fastest, late))
	if b.arrived[b.last] == 0 {
		return best
	}
	simple := b.simplePrices()
	best = max(best, b.value(simple, 1/b.fastest, late))
	if b.startup+b.drain == 0 && b.interval == 1 && b.speed(0) == 1 && b.speed(b.horizon) == 1 && b.stuck(b.horizon) == 0 {
		return best // there is nothing to gain from prices between 0 and 1
	}
	// A record that is not worth more than the ceiling is given up. Without late records it is higher than a worker's
	// whole life for one second of work, so that it hardly ever matters.
	ceiling := 8 * float64(1+b.startup+b.drain) / min(1, b.speed(0), b.speed(b.horizon))
	found := b.solve(ceiling)
	best = max(best, b.finest(found, late))
	if late == 0 {
		return best
	}
	// Granting late records costs the bound the highest price for each. Look for the height at which to cut.
	const cuts = 24
	cut, value := ceiling, math.Inf(-1)
	for i := range cuts + 1 {
		c := math.Pow(ceiling, float64(i)/cuts)
		if v := b.value(found.cut(c), 1, late); v > value {
			cut, value = c, v
		}
	}
	best = max(best, value)
	return max(best, b.finest(b.solve(cut).cut(cut), late))
}

// finest is the best value of slightly lowered prices: those of an unfinished search may promise workers a small profit.
func (b *bounding) finest(p prices, late float64) float64 {
	best := math.Inf(-1)
	for _, lowered := range []float64{1, 0.99999, 0.9999, 0.9995, 0.999, 0.998, 0.995, 0.99, 0.98, 0.95} {
		v := b.value(p, lowered, late)
		if v < best {
			break // the value is concave in the prices
		}
		best = v
	}
	return best
}

// prices is a price per worker-second, constant over width seconds each.
type prices struct {
	width int
	z     []float64
}

// cut lowers every price to at most the ceiling.
func (p prices) cut(ceiling float64) prices {
	z := make([]float64, len(p.z))
	for i := range z {
		z[i] = min(p.z[i], ceiling)
	}
	return prices{p.width, z}
}

// value is the bound that the prices, times the factor, prove.
func (b *bounding) value(p prices, factor, late float64) float64 {
	worth, size, highest := 0.0, 0.0, 0.0
	always := level{on: 0, off: math.Inf(1)}  // one of the first MinSize workers
	stuck := always                           // the one of them that gets stuck
	initial := level{on: 0, off: math.Inf(1)} // one of those that are ready at second 0 beyond them
	others := level{on: math.Inf(1), off: 0}  // one of those that have to be started
	z := factor * max(0, p.z[0])
	for t := range b.horizon + 1 {
		next := 0.0
		if t < b.horizon {
			next = factor * max(0, p.z[(t+1)/p.width])
		}
		highest = max(highest, z)
		work := b.latest(t)
		if z > next {
			work = b.due(t)
		}
		worth += work * (z - next)
		size += math.Abs(work * (z - next))

		start, stop := math.Inf(1), math.Inf(1)
		if asked := t - 1 - b.startup; asked >= 0 && asked%b.interval == 0 {
			start = float64(b.startup)
		}
		if t > b.last {
			stop = 0 // the run may be over
		} else if t > 0 && (t-1)%b.interval == 0 {
			stop = float64(min(b.drain, b.last-(t-1)))
		}
		loss := 1 - b.speed(t)*z
		initial.step(start, stop, loss)
		others.step(start, stop, loss)
		if t <= b.last {
			stop = math.Inf(1)
		}
		always.step(math.Inf(1), stop, loss)
		if b.stuck(t) > 0 {
			loss = 1
		}
		stuck.step(math.Inf(1), stop, loss)
		size += math.Abs(loss)
		z = next
	}
	total := worth - late*highest
	for _, l := range []struct {
		level
		count int
	}{{stuck, min(1, b.minimum)}, {always, b.minimum - min(1, b.minimum)}, {initial, b.initial - b.minimum}, {others, b.maximum - b.initial}} {
		if l.count > 0 {
			total += float64(l.count) * min(l.on, l.off)
			size += float64(l.count) * math.Abs(min(l.on, l.off))
		}
	}
	// Rounded to the safe side: sums of a year of seconds err by less.
	return total - 1e-12*size
}

// level is one worker that sells its seconds: the least it can have lost so far if it is on now, and if it is off.
type level struct{ on, off float64 }

// step goes on by one second, before which it may change sides.
func (l *level) step(start, stop, loss float64) {
	l.on, l.off = min(l.on, l.off+start)+loss, min(l.off, l.on+stop)
}

// simplePrices are the best ones of 0 and 1 for a pool whose workers start and stop at will: 0 while the smallest pool
// has time to spare, 1 elsewhere. A pass forward keeps the best value for either price, a pass back reads off the choice.
func (b *bounding) simplePrices() prices {
	n := b.horizon + 1
	choice := make([]uint8, n) // bit z: the price of the second before, when this one's is z
	var best [2]float64        // value so far, with a price of 0 or 1 in this second
	for t := range n {
		idle := 0.0
		if t <= b.last {
			idle = float64(b.minimum)
		}
		if t > 0 {
			stay, rise := best[0], best[0]-b.latest(t-1)
			fall, keep := best[1]+b.due(t-1), best[1]
			best = [2]float64{max(stay, fall), max(rise, keep)}
			if fall > stay {
				choice[t] |= 1
			}
			if keep >= rise {
				choice[t] |= 2
			}
		}
		best[0] += idle
	}
	z := make([]float64, n)
	now := uint8(0)
	if best[1]+b.due(b.horizon) > best[0] {
		now = 1
	}
	for t := n - 1; t >= 0; t-- {
		z[t] = float64(now)
		now = choice[t] >> now & 1
	}
	return prices{1, z}
}
