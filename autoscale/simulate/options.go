package simulate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	million         = 1_000_000
	maxPool         = 1_000_000
	defaultInterval = 10 * time.Second
)

// Options describes the workers, the pool and the goal. Durations other than the SLO are whole seconds.
type Options struct {
	// Rate is the records per second that one busy worker completes; more than 0, at most 1,000,000, with at most six
	// digits after the point.
	Rate float64

	Startup time.Duration // from the decision until a worker takes work; zero means from the next second on
	Drain   time.Duration // from the decision until a stopping worker is gone; it takes no work and still costs

	MinSize     int // fewest workers; 0 or more
	MaxSize     int // most workers; 1 to 1,000,000
	InitialSize int // workers ready at second 0, within the bounds; zero means MinSize

	CheckInterval time.Duration // time between checks, the first at second 0; zero means 10s

	// SLO is the longest wait that a record may have. Zero is taken literally: only what is served in the second of its
	// arrival is in time.
	SLO time.Duration

	Scale float64 // factor on the arrivals, more than 0; zero means 1

	// Missing tells for each check, by its second, whether its reading is lost. Nil means that none is. The counters of
	// the next check cover both.
	Missing func(second int) bool

	// Served is called whenever records are served, with how many seconds so many of them waited. Nil means that nobody
	// wants to know.
	Served func(wait, records int)

	// Endless keeps the memory of a [Stepper] bounded over years: waits above a quarter of an hour are kept to three digits,
	// and while more than 4,096 seconds of arrivals wait, neighbouring ones are taken together.
	Endless bool

	// Variants let workers fall short of the model. The zero value changes nothing.
	Variants Variants

	// Timeline is called with one row per check, in order. Nil means that nobody wants them.
	Timeline func(Row)
}

// Validate returns nil, or one error that names every problem: the field, its value and the rule.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	wantIf := func(wrong bool, field string, value any, rule string) {
		if wrong {
			errs = append(errs, fmt.Errorf("simulate: %s is %v, want %s", field, value, rule))
		}
	}
	_, rateErr := micros(o.Rate)
	wantIf(rateErr != nil, "Rate", o.Rate, "more than 0, at most 1000000, at most six digits after the point")
	wholeSeconds := func(field string, d, least time.Duration) {
		wantIf(d < least || d%time.Second != 0, field, d, fmt.Sprintf("whole seconds, at least %v", least))
	}
	wholeSeconds("Startup", o.Startup, 0)
	wholeSeconds("Drain", o.Drain, 0)
	wholeSeconds("CheckInterval", o.CheckInterval, time.Second)
	wantIf(o.SLO < 0, "SLO", o.SLO, "0 or more")
	wantIf(o.MinSize < 0, "MinSize", o.MinSize, "0 or more")
	wantIf(o.MaxSize < 1 || o.MaxSize > maxPool, "MaxSize", o.MaxSize, fmt.Sprintf("1 to %d", maxPool))
	wantIf(o.MaxSize >= 1 && o.MinSize > o.MaxSize, "MinSize", o.MinSize, fmt.Sprintf("at most MaxSize (%d)", o.MaxSize))
	wantIf(o.InitialSize < o.MinSize || o.InitialSize > o.MaxSize,
		"InitialSize", o.InitialSize, fmt.Sprintf("MinSize to MaxSize (%d to %d)", o.MinSize, o.MaxSize))
	wantIf(!(o.Scale > 0) || math.IsInf(o.Scale, 0), "Scale", o.Scale, "more than 0")
	errs = append(errs, o.Variants.validate())
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	o.InitialSize = cmp.Or(o.InitialSize, o.MinSize)
	o.CheckInterval = cmp.Or(o.CheckInterval, defaultInterval)
	o.Scale = cmp.Or(o.Scale, 1)
	return o
}

// micros is a rate in millionths of a record per second, exactly. It goes through the shortest decimal that stands for
// the float, which is what the user wrote.
func micros(rate float64) (int, error) {
	if !(rate > 0) || rate > million {
		return 0, fmt.Errorf("rate %v is out of range", rate)
	}
	units, fraction, _ := strings.Cut(strconv.FormatFloat(rate, 'f', -1, 64), ".")
	if len(fraction) > 6 {
		return 0, fmt.Errorf("rate %v has more than six digits after the point", rate)
	}
	return strconv.Atoi(units + fraction + strings.Repeat("0", 6-len(fraction)))
}
