package traces

import (
	"time"

	"github.com/sluicehq/sluice/internal/fields"
)

// calendar turns stamps into seconds since 1970. It fills in what they leave out from the one before.
//
// A stamp without a year lives in years of 366 days, since nobody knows which one is a leap year; [calendar.leapDays] are
// those to take out again where they stayed empty.
type calendar struct {
	previous int64
	seen     bool
	yearless bool // some stamp had no year
	undated  bool // or no date
}

const (
	leapYear     = 366 * day
	someLeapYear = 2000
)

func (c *calendar) second(s fields.Stamp) int64 {
	clock := int64(s.Hour*3600 + s.Minute*60 + s.Second - s.Offset)
	var t int64
	switch {
	case s.Written == fields.HasEpoch:
		t = s.Epoch
	case s.Written&fields.HasYear != 0 && s.DayOfYear > 0:
		t = time.Date(s.Year, 1, s.DayOfYear, 0, 0, 0, 0, time.UTC).Unix() + clock
	case s.Written&fields.HasYear != 0:
		t = time.Date(s.Year, time.Month(s.Month), s.Day, 0, 0, 0, 0, time.UTC).Unix() + clock
	case s.Written&fields.HasDate != 0:
		c.yearless, c.undated = true, true
		days := s.DayOfYear - 1
		if s.DayOfYear == 0 {
			days = time.Date(someLeapYear, time.Month(s.Month), s.Day, 0, 0, 0, 0, time.UTC).YearDay() - 1
		}
		t = c.nearest(int64(days)*day+clock, leapYear)
	default:
		c.undated = true
		t = c.nearest(clock, day)
	}
	c.previous, c.seen = t, true
	return t
}

// nearest adds whole periods to t, so that it comes nearest to the stamp before.
func (c *calendar) nearest(t, period int64) int64 {
	if !c.seen {
		return t
	}
	away := c.previous - t + period/2
	periods := away / period
	if away%period < 0 {
		periods--
	}
	return t + periods*period
}

// leapDays are the numbers of the 29ths of February between two seconds, in years of 366 days.
func (c *calendar) leapDays(from, to int64) []int64 {
	var days []int64
	if !c.yearless {
		return nil
	}
	for year := from/leapYear - 1; year <= to/leapYear+1; year++ {
		days = append(days, year*366+31+28)
	}
	return days
}
