package emitter

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Unlimited is what a profile without a pace says is due: there is always one more.
const Unlimited = math.MaxInt64

// maxRate bounds the rates of a profile, in records per second.
const maxRate = 1e9

// Profile says how much load there is, as a running total. It is a pure function of the time since the start, so that
// rounding never adds up: a profile of 0.3 records per second has sent 1080 records after an hour, whoever looked when.
type Profile interface {
	// Due is how many records should have been sent since the start; it does not fall with elapsed. [Unlimited] means as
	// many as possible.
	Due(elapsed time.Duration) int64
	// Duration is when the profile ends; zero means that it does not. Nothing is due after it that was not due at it.
	Duration() time.Duration
	// String is the form that [ParseProfile] reads.
	String() string
}

// whole is the number of complete records; the sum of rate (records per second) times nanoseconds comes in. The rounding
// error of such a sum is far below a millionth of a record, so a total that close to the next record has reached it.
func whole(recordNanos float64) int64 {
	return int64(math.Floor(min(recordNanos/1e9+1e-7, math.MaxInt64/2)))
}

// AsFastAsPossible sends without a pace.
type AsFastAsPossible struct{}

// Due is always [Unlimited].
func (AsFastAsPossible) Due(time.Duration) int64 { return Unlimited }

// Duration is zero: it does not end.
func (AsFastAsPossible) Duration() time.Duration { return 0 }

// String is the form that [ParseProfile] reads.
func (AsFastAsPossible) String() string { return "max" }

// Constant sends at one rate.
type Constant struct {
	Rate float64 // records per second
}

// Due is the rate times elapsed.
func (c Constant) Due(elapsed time.Duration) int64 { return whole(c.Rate * float64(max(elapsed, 0))) }

// Duration is zero: it does not end.
func (c Constant) Duration() time.Duration { return 0 }

// String is the form that [ParseProfile] reads.
func (c Constant) String() string { return "constant:" + decimal(c.Rate) }

func (c Constant) check() error { return checkRates(c.Rate) }

// Ramp goes from one rate to another in a straight line and stays there.
type Ramp struct {
	From, To float64       // records per second
	Over     time.Duration // how long the change takes
}

// Due is the area under the line.
func (r Ramp) Due(elapsed time.Duration) int64 {
	t := float64(max(elapsed, 0))
	on := min(t, float64(r.Over))
	sum := r.From*on + (r.To-r.From)*on*on/(2*float64(max(r.Over, 1))) + r.To*(t-on)
	return whole(sum)
}

// Duration is zero: it does not end.
func (r Ramp) Duration() time.Duration { return 0 }

// String is the form that [ParseProfile] reads.
func (r Ramp) String() string {
	return "ramp:" + decimal(r.From) + "-" + decimal(r.To) + "/" + r.Over.String()
}

func (r Ramp) check() error { return errors.Join(checkRates(r.From, r.To), checkTimes(r.Over)) }

// Spike sends at a base rate with one interval at another.
type Spike struct {
	Base, Peak float64       // records per second
	At         time.Duration // when the peak begins
	For        time.Duration // how long it lasts
}

// Due is what both rates add up to.
func (s Spike) Due(elapsed time.Duration) int64 {
	elapsed = max(elapsed, 0)
	peak := min(max(elapsed-s.At, 0), s.For)
	return whole(s.Base*float64(elapsed-peak) + s.Peak*float64(peak))
}

// Duration is zero: it does not end.
func (s Spike) Duration() time.Duration { return 0 }

// String is the form that [ParseProfile] reads.
func (s Spike) String() string {
	return "spike:" + decimal(s.Base) + "-" + decimal(s.Peak) + "@" + s.At.String() + "+" + s.For.String()
}

func (s Spike) check() error {
	if s.At == 0 { // a peak from the start on is fine
		return errors.Join(checkRates(s.Base, s.Peak), checkTimes(s.For))
	}
	return errors.Join(checkRates(s.Base, s.Peak), checkTimes(s.At, s.For))
}

// OnOff changes between two rates for ever, beginning with the high one.
type OnOff struct {
	High, Low float64       // records per second; Low is usually 0
	On, Off   time.Duration // how long each lasts
}

// Due is what both rates add up to.
func (o OnOff) Due(elapsed time.Duration) int64 {
	elapsed = max(elapsed, 0)
	cycle := max(o.On+o.Off, 1)
	on := elapsed/cycle*o.On + min(elapsed%cycle, o.On)
	return whole(o.High*float64(on) + o.Low*float64(elapsed-on))
}

// Duration is zero: it does not end.
func (o OnOff) Duration() time.Duration { return 0 }

// String is the form that [ParseProfile] reads.
func (o OnOff) String() string {
	return "onoff:" + decimal(o.High) + "/" + decimal(o.Low) + "," + o.On.String() + "/" + o.Off.String()
}

func (o OnOff) check() error { return errors.Join(checkRates(o.High, o.Low), checkTimes(o.On, o.Off)) }

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func checkRates(rates ...float64) error {
	for _, r := range rates {
		if !(r >= 0 && r <= maxRate) { // NaN fails too
			return fmt.Errorf("rate %s, want 0 to %s records per second", decimal(r), decimal(maxRate))
		}
	}
	return nil
}

// checkTimes bounds durations to what can be added up without overflow.
func checkTimes(times ...time.Duration) error {
	for _, d := range times {
		if d < time.Millisecond || d > 10000*time.Hour {
			return fmt.Errorf("duration %v, want 1ms to 10000h", d)
		}
	}
	return nil
}

// checkProfile finds out whether a profile can be used; foreign ones are trusted.
func checkProfile(p Profile) error {
	if c, ok := p.(interface{ check() error }); ok {
		if err := c.check(); err != nil {
			return fmt.Errorf("profile %s: %w", p, err)
		}
	}
	return nil
}
