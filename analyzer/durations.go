package analyzer

import (
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/visible"
)

// durations remembers how long the last batches of an analyzer took.
type durations struct {
	ring []time.Duration // at most mostDurations
	next int

	sorted   time.Time // when the quantiles were taken
	stale    bool      // a duration came since
	p50, p99 time.Duration
}

const mostDurations = 200

// freshFor is how long quantiles are good, since whoever looks looks often.
const freshFor = time.Second

func (d *durations) add(took time.Duration) {
	d.stale = true
	if len(d.ring) < mostDurations {
		d.ring = append(d.ring, took)
		return
	}
	d.ring[d.next] = took
	d.next = (d.next + 1) % mostDurations
}

// quantiles are by nearest rank, in seconds, and at most a second old.
func (d *durations) quantiles(now time.Time) (p50, p99 float64) {
	if d.stale && now.Sub(d.sorted) >= freshFor {
		all := slices.Sorted(slices.Values(d.ring))
		rank := func(percent int) time.Duration { return all[(len(all)*percent+99)/100-1] }
		d.p50, d.p99, d.sorted, d.stale = rank(50), rank(99), now, false
	}
	return d.p50.Seconds(), d.p99.Seconds()
}

// mostError is how much of an error is kept for people to see.
const mostError = 500

func short(s string) string { return visible.Cut(s, mostError) }
