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

const leapYear = 366 * day

func (c *calendar) second(s stamp) int64 {
	clock := int64(s.hour*3600 + s.minute*60 + s.second - s.offset)
	var t int64
	switch {
	case s.written == hasEpoch:
		t = s.epoch
	case s.written&hasYear != 0 && s.dayOfYear > 0:
		t = time.Date(s.year, 1, s.dayOfYear, 0, 0, 0, 0, time.UTC).Unix() + clock
	case s.written&hasYear != 0:
		t = time.Date(s.year, time.Month(s.month), s.day, 0, 0, 0, 0, time.UTC).Unix() + clock
	case s.written&hasDate != 0:
		c.yearless, c.undated = true, true
		days := s.dayOfYear - 1
		if s.dayOfYear == 0 {
			days = s.day - 1
			for _, n := range monthDays[:s.month-1] {
				days += n
			}
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
