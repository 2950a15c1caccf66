package traces

import (
	"bytes"
	"strings"
	"time"
)

// number reads from least to most digits. Where loose, a space may stand before them.
func number(line []byte, i, least, most int, loose bool) (value, end int, ok bool) {
	if loose && i < len(line) && line[i] == ' ' {
		i++
	}
	from := i
	for i < len(line) && i-from < most && isDigit(line[i]) {
		value = value*10 + int(line[i]-'0')
		i++
	}
	return value, i, i-from >= least
}

// read takes one directive of the line at i.
func (s *stamp) read(x part, line []byte, i int) (end int, ok bool) {
	two := func(to *int) (int, bool) {
		least := 2
		if x.loose {
			least = 1
		}
		*to, end, ok = number(line, i, least, 2, x.loose)
		return end, ok
	}
	switch x.directive {
	case 'Y':
		s.year, end, ok = number(line, i, 4, 4, false)
		return end, ok
	case 'y':
		end, ok = two(&s.year)
		if s.year += 1900; s.year < 1969 { // as POSIX has it
			s.year += 100
		}
		return end, ok
	case 'm':
		return two(&s.month)
	case 'd', 'e':
		return two(&s.day)
	case 'H', 'k', 'I', 'l':
		return two(&s.hour)
	case 'M':
		return two(&s.minute)
	case 'S':
		return two(&s.second)
	case 'j':
		s.dayOfYear, end, ok = number(line, i, 1, 3, x.loose)
		return end, ok && s.dayOfYear > 0
	case 'f', 'L', 'N':
		_, end, ok = number(line, i, 1, 9, false)
		return end, ok
	case 's':
		return s.readEpoch(line, i)
	case 'b', 'B':
		s.month, end = name(line, i, months)
		return end, s.month > 0
	case 'a', 'A':
		n, end := name(line, i, weekdays)
		return end, n > 0
	case 'p':
		return s.readHalf(line, i)
	case 'z':
		return s.readZone(line, i)
	default: // 'Z', a zone's name, tells too little to be used
		from := i
		for i < len(line) && (line[i]|0x20) >= 'a' && (line[i]|0x20) <= 'z' {
			i++
		}
		return i, i > from
	}
}

// Epochs are numbers of 9 to 19 digits: seconds since 1973, or thousandths, millionths or billionths of them. Where
// shorter ones or fewer zeros would make another unit, dates between 1973 and 5138 tell them apart.
func (s *stamp) readEpoch(line []byte, i int) (int, bool) {
	value, end, ok := number(line, i, 9, 19, false)
	if !ok || end < len(line) && isDigit(line[end]) || value < 100_000_000 {
		return 0, false
	}
	n := int64(value)
	switch {
	case n >= 100_000_000_000_000_000:
		n /= 1_000_000_000
	case n >= 100_000_000_000_000:
		n /= 1_000_000
	case n >= 100_000_000_000:
		n /= 1_000
	}
	s.epoch, s.written = n, hasEpoch
	return skipFraction(line, end), true
}

func (s *stamp) readHalf(line []byte, i int) (int, bool) {
	if i+2 > len(line) || line[i+1]|0x20 != 'm' {
		return 0, false
	}
	s.half = line[i] | 0x20
	return i + 2, s.half == 'a' || s.half == 'p'
}

// readZone takes Z, +01, +0100 or +01:00.
func (s *stamp) readZone(line []byte, i int) (int, bool) {
	if i >= len(line) {
		return 0, false
	}
	sign := 1
	switch line[i] {
	case 'Z', 'z':
		return i + 1, true
	case '-':
		sign = -1
	case '+':
	default:
		return 0, false
	}
	hours, end, ok := number(line, i+1, 2, 2, false)
	if !ok || hours > 23 {
		return 0, false
	}
	at := end
	if at < len(line) && line[at] == ':' {
		at++
	}
	minutes, after, ok := number(line, at, 2, 2, false)
	if ok && minutes < 60 {
		end = after
	} else {
		minutes = 0
	}
	s.offset = sign * (hours*3600 + minutes*60)
	return end, true
}

var (
	months = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
		"november", "december"}
	weekdays = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
)

// name reads one of the names, whole or its first three letters. It returns its number from 1, or 0.
func name(line []byte, i int, names []string) (number, end int) {
	if i+3 > len(line) {
		return 0, 0
	}
	for n, full := range names {
		if !strings.EqualFold(full[:3], string(line[i:i+3])) {
			continue
		}
		if end := i + len(full); end <= len(line) && bytes.EqualFold(line[i:end], []byte(full)) {
			return n + 1, end
		}
		return n + 1, i + 3
	}
	return 0, 0
}

var monthDays = [...]int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// valid says whether there is such a time, and brings hours to 0 to 23.
func (s *stamp) valid() bool {
	if s.written == hasEpoch {
		return true
	}
	if s.half != 0 {
		if s.hour < 1 || s.hour > 12 {
			return false
		}
		s.hour %= 12
		if s.half == 'p' {
			s.hour += 12
		}
	}
	if s.hour > 23 || s.minute > 59 || s.second > 60 { // 60 is a leap second
		return false
	}
	if s.written&hasDate == 0 || s.dayOfYear > 0 {
		return s.dayOfYear <= 366
	}
	if s.month < 1 || s.month > 12 || s.day < 1 || s.day > monthDays[s.month-1] {
		return false
	}
	return s.month != 2 || s.day != 29 || s.written&hasYear == 0 || isLeap(s.year)
}

func isLeap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

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
