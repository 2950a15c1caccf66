// Package seconds makes durations of numbers of seconds that come from outside. A conversion without it overflows beyond 292
// years: 1e12 seconds become a time in the past.
package seconds

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Longest is the bound for settings that need no tighter one: ten years. Sums and small multiples of it do not overflow.
const Longest = 10 * 365 * 24 * time.Hour

// RangeError says that a number of seconds is out of range.
type RangeError struct {
	Seconds float64
	Most    time.Duration
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("is %s, must be a number of seconds from 0 to %s",
		strconv.FormatFloat(e.Seconds, 'g', -1, 64), strconv.FormatFloat(e.Most.Seconds(), 'f', -1, 64))
}

// Duration is s seconds, from 0 to most, or a [RangeError]. It is rounded to nanoseconds.
func Duration(s float64, most time.Duration) (time.Duration, error) {
	if !(s >= 0 && s <= most.Seconds()) { // NaN fails too
		return 0, &RangeError{s, most}
	}
	return time.Duration(math.Round(s * float64(time.Second))), nil
}

// Nearest is s seconds, or the nearest duration there is: for numbers that are only shown, or come from a server that is
// not to be believed. NaN is 0.
func Nearest(s float64) time.Duration {
	const most = float64(math.MaxInt64 / int64(time.Second))
	if math.IsNaN(s) {
		return 0
	}
	return time.Duration(max(-most, min(s, most)) * float64(time.Second))
}
