package traces

import (
	"fmt"
	"math"
	"time"

	"github.com/sluicehq/sluice/autoscale/simulate"
)

const (
	day = 24 * 3600 // seconds

	// mostSeconds is how long a trace may be: a leap year and a bit, as much as the simulator's bound takes.
	mostSeconds = 32_000_000

	// mostMinutes is how many different minutes may have records, which bounds the memory to some 300 MB. Only a file
	// that is refused in the end can have more.
	mostMinutes = 1 << 20
)

// counts is records by second, in any order. The zero value is empty and ready.
type counts struct {
	minutes  map[int64]*[60]uint32
	at       int64 // minute of the page last used
	page     *[60]uint32
	earliest mark
	latest   mark
	records  int
}

// mark is a second and the line that named it.
type mark struct {
	second int64
	line   int
}

// add counts n records into a second.
func (c *counts) add(second int64, n uint32, line int) error {
	minute := second / 60
	if second%60 < 0 {
		minute--
	}
	if c.page == nil || minute != c.at {
		if err := c.turn(minute); err != nil {
			return err
		}
	}
	place := &c.page[second-minute*60]
	if *place > math.MaxUint32-n {
		return fmt.Errorf("second %d has more than %d records", second, uint32(math.MaxUint32))
	}
	*place += n
	if c.records == 0 || second < c.earliest.second {
		c.earliest = mark{second, line}
	}
	if c.records == 0 || second > c.latest.second {
		c.latest = mark{second, line}
	}
	c.records += int(n)
	return nil
}

// turn opens the page of a minute.
func (c *counts) turn(minute int64) error {
	page := c.minutes[minute]
	if page == nil {
		if len(c.minutes) == mostMinutes {
			return fmt.Errorf("records in more than %d different minutes, want a year of them at most", mostMinutes)
		}
		if c.minutes == nil {
			c.minutes = map[int64]*[60]uint32{}
		}
		page = new([60]uint32)
		c.minutes[minute] = page
	}
	c.at, c.page = minute, page
	return nil
}

// seconds is how long it is from the first to the last second with a record.
func (c *counts) seconds() int64 { return c.latest.second - c.earliest.second + 1 }

// tooLong is the error for a span that no simulation takes. One line with a wrong year is the usual reason.
func (c *counts) tooLong() error {
	if c.seconds() <= mostSeconds {
		return nil
	}
	at := func(m mark) string { return time.Unix(m.second, 0).UTC().Format(time.DateOnly) }
	return fmt.Errorf("it goes from %s (line %d) to %s (line %d), want %d days at most; is one of these lines wrong?",
		at(c.earliest), c.earliest.line, at(c.latest), c.latest.line, mostSeconds/day)
}

// trace makes a trace of the seconds from the first to the last one with a record.
func (c *counts) trace() (*simulate.Trace, error) {
	perSecond := make([]int, c.seconds())
	for minute, page := range c.minutes {
		for i, n := range page {
			if n > 0 {
				perSecond[minute*60+int64(i)-c.earliest.second] = int(n)
			}
		}
	}
	return simulate.NewTrace(perSecond...)
}

// skipDays takes out those of the given days, numbered from 1970, that have no record while there are some before and
// after. Later seconds move forward.
func (c *counts) skipDays(days []int64) {
	for i := len(days) - 1; i >= 0; i-- {
		from := days[i] * day
		if c.earliest.second >= from || c.latest.second < from+day || c.any(from, from+day) {
			continue
		}
		moved := make(map[int64]*[60]uint32, len(c.minutes))
		for minute, page := range c.minutes {
			if minute*60 >= from {
				minute -= day / 60
			}
			moved[minute] = page
		}
		c.minutes, c.page = moved, nil
		c.latest.second -= day
	}
}

func (c *counts) any(from, to int64) bool {
	for minute := from / 60; minute < to/60; minute++ {
		if c.minutes[minute] != nil {
			return true
		}
	}
	return false
}
