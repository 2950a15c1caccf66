package chart

import (
	"fmt"
	"math"
	"strings"

	"github.com/sluicehq/sluice/internal/words"
)

// How many ticks an axis has at most, about.
const (
	xTicks = 12
	yTicks = 5
)

// ticks are those of the axis, or round numbers.
func (a Axis) ticks(from, to float64, most int) []Tick {
	if a.Ticks != nil {
		return a.Ticks
	}
	step := roundStep((to - from) / float64(most))
	digits := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	var ticks []Tick
	for i := math.Ceil(from/step - 1e-9); i*step <= to*(1+1e-9); i++ {
		at := i*step + 0 // and not -0
		ticks = append(ticks, Tick{at, words.Fixed(at, digits)})
	}
	return ticks
}

// roundStep is the first of 1, 2, 5, 10, 20, ... and of their tenths that is not less than least.
func roundStep(least float64) float64 {
	if !(least > 0) || math.IsInf(least, 0) {
		return 1
	}
	ten := math.Pow(10, math.Floor(math.Log10(least)))
	for _, f := range []float64{1, 2, 5} {
		if f*ten >= least*(1-1e-9) {
			return f * ten
		}
	}
	return 10 * ten
}

// Seconds are the ticks of an axis in seconds, as people count time.
func Seconds(from, to float64) []Tick {
	steps := []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 3 * 3600, 6 * 3600, 12 * 3600,
		86400, 2 * 86400, 7 * 86400, 14 * 86400, 30 * 86400, 60 * 86400}
	step := steps[len(steps)-1]
	for _, s := range steps {
		if (to-from)/s <= xTicks {
			step = s
			break
		}
	}
	ticks := []Tick{}
	for i := math.Ceil(from / step); i*step <= to; i++ {
		ticks = append(ticks, Tick{i * step, span(int(i * step))})
	}
	return ticks
}

// span is a number of seconds as short as can be: 90m would be 1h30m.
func span(seconds int) string {
	if seconds == 0 {
		return "0"
	}
	var b strings.Builder
	for _, u := range []struct {
		name    string
		seconds int
	}{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}} {
		if n := seconds / u.seconds; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			seconds -= n * u.seconds
		}
	}
	return b.String()
}
