package simulate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Variants are ways in which workers may fall short of the model, to see what a policy makes of it. It is told nothing:
// it sees what gets done and in how much busy time. The zero value changes nothing.
//
// The [Bound] of a run knows of changed rates, changed start-ups and, where MinSize is 1 or more, of the stuck worker. Of
// unequal workers it supposes that all are as fast as the fastest could be, and of a downstream limit it knows nothing:
// whoever has the limit too can only do worse, so that it stays a bound.
type Variants struct {
	RateFactor   float64 // factor on every worker's rate from RateFactorAt on; zero means 1, at most 4
	RateFactorAt int     // second

	// RateSpread makes workers unequal: each has its own factor, evenly drawn from 1 - RateSpread to 1 + RateSpread, for
	// as long as it lives. Zero means that all are alike; less than 1.
	RateSpread float64
	Seed       uint64 // for RateSpread

	// StuckAt is the second at which the worker that has been ready for the longest stops completing anything. It stays
	// ready, and as the youngest leave first, it is the last to go. Zero means that none does.
	StuckAt int

	StartupFactor float64 // factor on every start-up, which is then rounded to whole seconds; zero means 1

	// DownstreamLimit is how many workers' worth of records complete per second at most, at Options.Rate, however many
	// work: what they write to, or the lock that they share, does not take more. Ready workers are then busy waiting for
	// it, and their time counts as busy, as a live pool would report it. Zero means none.
	DownstreamLimit float64
}

func (v Variants) validate() error {
	var errs []error
	wantIf := func(wrong bool, field string, value any, rule string) {
		if wrong {
			errs = append(errs, fmt.Errorf("simulate: Variants.%s is %v, want %s", field, value, rule))
		}
	}
	wantIf(!(v.RateFactor >= 0 && v.RateFactor <= 4), "RateFactor", v.RateFactor, "0 (for the default) to 4")
	wantIf(v.RateFactorAt < 0, "RateFactorAt", v.RateFactorAt, "0 or more")
	wantIf(!(v.RateSpread >= 0 && v.RateSpread < 1), "RateSpread", v.RateSpread, "0 or more, less than 1")
	wantIf(v.StuckAt < 0, "StuckAt", v.StuckAt, "0 or more")
	wantIf(!(v.StartupFactor >= 0 && v.StartupFactor <= 1000), "StartupFactor", v.StartupFactor, "0 (for the default) to 1000")
	wantIf(!(v.DownstreamLimit >= 0 && v.DownstreamLimit <= maxPool), "DownstreamLimit", v.DownstreamLimit, fmt.Sprintf("0 (for none) to %d", maxPool))
	return errors.Join(errs...)
}

// rateFactor is the factor on every rate in a second.
func (v Variants) rateFactor(second int) float64 {
	if v.RateFactor == 0 || second < v.RateFactorAt {
		return 1
	}
	return v.RateFactor
}

// startupSeconds is a start-up as it really takes.
func (v Variants) startupSeconds(d time.Duration) int {
	if v.StartupFactor == 0 {
		return int(d / time.Second)
	}
	return int(math.Round(v.StartupFactor * d.Seconds()))
}

// fastest is the most that any worker can do in a second, as a share of the rate in millionths of a record per second.
func (v Variants) fastest(second, rate int) float64 {
	factor := (1 + v.RateSpread) * v.rateFactor(second)
	if factor == 1 {
		return 1
	}
	return factor + 1/float64(rate) // a worker's own rate is rounded to a millionth, and not to 0
}

// crew gives the ready workers of a run names, for variants in which they differ. The youngest leave first, so that they
// are a stack.
type crew struct {
	variants Variants
	rate     int // millionths of a record per second
	random   *rand.Rand
	factors  []float64 // of each ready worker, the oldest first; 0 for one that is stuck
	stuck    bool      // somebody has got stuck
	busy     float64   // worker-seconds of service since the last check with a reading
	power    int       // of this second
	working  int       // workers that make it up
}

// newCrew returns nil for workers that are all alike at all times.
func newCrew(v Variants, rate int) *crew {
	v.StartupFactor = 0
	if v == (Variants{Seed: v.Seed}) {
		return nil
	}
	return &crew{variants: v, rate: rate, random: seeded("workers", v.Seed)}
}

// follow takes note of how many are ready now.
func (c *crew) follow(ready int) {
	for len(c.factors) < ready {
		c.factors = append(c.factors, 1+c.variants.RateSpread*(2*c.random.Float64()-1))
	}
	c.factors = c.factors[:ready]
}

// capacity is what the ready workers can do in second t, in millionths of a record.
func (c *crew) capacity(t, ready int) int {
	c.follow(ready)
	if at := c.variants.StuckAt; at > 0 && t >= at && !c.stuck && ready > 0 {
		c.stuck, c.factors[0] = true, 0
	}
	c.power, c.working = 0, 0
	now := c.variants.rateFactor(t)
	for _, factor := range c.factors {
		if factor > 0 {
			c.power += max(1, int(math.Round(float64(c.rate)*factor*now)))
			c.working++
		}
	}
	if limit := c.variants.DownstreamLimit; limit > 0 {
		c.power = min(c.power, max(1, int(math.Round(float64(c.rate)*limit))))
	}
	return c.power
}

// served takes note of how many records this second's work has completed.
func (c *crew) served(records int) {
	if c.power > 0 {
		c.busy += float64(records) * million / float64(c.power) * float64(c.working)
	}
}

// Variant is a named way to make a run harder.
type Variant struct {
	Name  string
	Apply func(o Options, seconds int) Options // changes the options of a run of so many seconds
}

// RobustnessVariants are those that policies are compared on.
func RobustnessVariants() []Variant {
	return []Variant{
		{"rate halves", func(o Options, seconds int) Options {
			o.Variants.RateFactor, o.Variants.RateFactorAt = 0.5, seconds/2
			return o
		}},
		{"unequal workers", func(o Options, _ int) Options {
			o.Variants.RateSpread = 0.3
			return o
		}},
		{"stuck worker", func(o Options, seconds int) Options {
			o.Variants.StuckAt = max(1, seconds/3)
			return o
		}},
		{"lost readings", func(o Options, _ int) Options {
			o.Missing = LostReadings(o.withDefaults().CheckInterval, 20, 4)
			return o
		}},
		{"slow starts", func(o Options, _ int) Options {
			o.Variants.StartupFactor = 2
			return o
		}},
	}
}

// NamedVariants are all that can be asked for by name: those of [RobustnessVariants], and those that no policy can make up
// for.
func NamedVariants() []Variant {
	return append(RobustnessVariants(), Variant{"downstream limit", func(o Options, _ int) Options {
		o.Variants.DownstreamLimit = 8
		return o
	}})
}

// LostReadings is for Options.Missing: of every so many checks, the last ones have no reading.
func LostReadings(interval time.Duration, every, lost int) func(second int) bool {
	return func(second int) bool {
		check := second / max(1, int(interval/time.Second))
		return check%every >= every-lost
	}
}
