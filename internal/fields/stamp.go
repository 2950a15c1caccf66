package fields

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the same answers where the machine has no zones
)

// Stamp is a time as a text writes it. What is not written is zero, and Written says what is.
type Stamp struct {
	Year, Month, Day, DayOfYear int
	Hour, Minute, Second, Nano  int
	Offset                      int   // seconds east of UTC; 0 where no zone is written
	Epoch                       int64 // seconds since 1970, where Written is HasEpoch
	Written                     Parts

	half byte // 'a' before noon, 'p' after; 0 where hours go to 23
}

// Parts is a set of what a Stamp or a Pattern has.
type Parts uint8

// The parts of a time.
const (
	HasYear Parts = 1 << iota
	HasDate       // month and day, or the day of the year
	HasClock
	HasEpoch
)

// oldest is the first year that is taken for one: before it lie the zero times of programs that have none.
const oldest = 1900

// Logs are of the past. A time without a year may be ahead of now by mostAhead all the same, for clocks and zones that differ.
const (
	mostAhead = 24 * time.Hour
	leapGap   = 9 // years in which a 29 February was, with one to spare; 1896 to 1904 is not asked for
)

// Time is the time that a stamp stands for. A time without a zone is taken as UTC. Without a year it is the last one that is not ahead of
// now, but for a day; without a date, it is on the day nearest to now.
func (s Stamp) Time(now time.Time) (t time.Time, ok bool) {
	switch {
	case s.Written == HasEpoch:
		return time.Unix(s.Epoch, int64(s.Nano)).UTC(), true
	case s.Written&HasYear != 0:
		t := s.in(s.Year)
		return t, t.Year() >= oldest
	case s.Written&HasDate != 0:
		for year := now.UTC().Year() + 1; year >= now.UTC().Year()-leapGap; year-- {
			if s.Month == 2 && s.Day == 29 && !isLeap(year) {
				continue
			}
			if t := s.in(year); t.Sub(now) <= mostAhead {
				return t, true
			}
		}
		return time.Time{}, false
	case s.Written&HasClock != 0:
		today := now.UTC()
		s.Month, s.Day = int(today.Month()), today.Day()
		t = s.in(today.Year())
		for _, other := range []time.Time{t.AddDate(0, 0, -1), t.AddDate(0, 0, 1)} {
			if other.Sub(now).Abs() < t.Sub(now).Abs() {
				t = other
			}
		}
		return t, true
	}
	return time.Time{}, false
}

// in is the time in a year.
func (s Stamp) in(year int) time.Time {
	month, day := s.Month, s.Day
	if s.DayOfYear > 0 {
		month, day = 1, s.DayOfYear
	}
	return time.Date(year, time.Month(month), day, s.Hour, s.Minute, s.Second-s.Offset, s.Nano, time.UTC)
}

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
func (s *Stamp) read(x part, line []byte, i int) (end int, ok bool) {
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
		s.Year, end, ok = number(line, i, 4, 4, false)
		return end, ok
	case 'y':
		end, ok = two(&s.Year)
		if s.Year += 1900; s.Year < 1969 { // as POSIX has it
			s.Year += 100
		}
		return end, ok
	case 'm':
		return two(&s.Month)
	case 'd', 'e':
		return two(&s.Day)
	case 'H', 'k', 'I', 'l':
		return two(&s.Hour)
	case 'M':
		return two(&s.Minute)
	case 'S':
		return two(&s.Second)
	case 'j':
		s.DayOfYear, end, ok = number(line, i, 1, 3, x.loose)
		return end, ok && s.DayOfYear > 0
	case 'f', 'L', 'N':
		_, end, ok = number(line, i, 1, 9, false)
		unit := 100_000_000
		for s.Nano = 0; i < end; i++ {
			s.Nano += int(line[i]-'0') * unit
			unit /= 10
		}
		return end, ok
	case 's':
		return s.readEpoch(line, i)
	case 'b', 'B':
		s.Month, end = nameAt(line, i, monthNames)
		return end, s.Month > 0
	case 'a', 'A':
		n, end := nameAt(line, i, weekdayNames)
		return end, n > 0
	case 'p':
		return s.readHalf(line, i)
	case 'z':
		return s.readZone(line, i)
	default: // 'Z', a zone's name
		return s.readZoneName(line, i)
	}
}

// readEpoch reads a number of 9 to 19 digits, maybe with a fraction: seconds since 1970, or thousandths, millionths or billionths
// of them. The number of digits tells them apart for dates between 1973 and 5138.
func (s *Stamp) readEpoch(line []byte, i int) (int, bool) {
	if end, ok := s.readCompact(line, i); ok {
		return end, true
	}
	value, end, ok := number(line, i, 9, 19, false)
	if !ok || end < len(line) && isDigit(line[end]) || value < 100_000_000 {
		return 0, false
	}
	after := end
	s.Nano, after = fraction(line, end)
	unit := int64(1) // parts of a second
	switch n := int64(value); {
	case n >= 100_000_000_000_000_000:
		unit = 1_000_000_000
	case n >= 100_000_000_000_000:
		unit = 1_000_000
	case n >= 100_000_000_000:
		unit = 1_000
	}
	n := int64(value)
	s.Nano = int(n%unit*(1_000_000_000/unit) + int64(s.Nano)/unit)
	s.Epoch, s.Written = n/unit, HasEpoch
	return after, true
}

// readCompact reads 20060102150405, maybe with thousandths: as a number since 1970 it would be centuries ahead.
func (s *Stamp) readCompact(line []byte, i int) (end int, ok bool) {
	digits := 0
	for i+digits < len(line) && isDigit(line[i+digits]) {
		digits++
	}
	if digits != len("20060102150405") && digits != len("20060102150405000") || string(line[i:i+2]) != "19" && string(line[i:i+2]) != "20" {
		return 0, false
	}
	compact := Stamp{Written: HasYear | HasDate | HasClock}
	at := i
	for _, x := range []struct {
		to     *int
		digits int
	}{{&compact.Year, 4}, {&compact.Month, 2}, {&compact.Day, 2}, {&compact.Hour, 2}, {&compact.Minute, 2}, {&compact.Second, 2}} {
		*x.to, at, _ = number(line, at, x.digits, x.digits, false)
	}
	if !compact.valid() {
		return 0, false
	}
	if digits > len("20060102150405") {
		millis, _, _ := number(line, at, 3, 3, false)
		compact.Nano = millis * 1_000_000
	} else {
		compact.Nano, _ = fraction(line, at)
	}
	*s = compact
	end = i + digits
	if _, after := fraction(line, end); digits == len("20060102150405") {
		end = after
	}
	return s.zoneAfter(line, end), true
}

// fraction reads a fraction of a second at i, after a point or a comma, in nanoseconds, or thousandths after a colon. Without one it ends at i.
func fraction(line []byte, i int) (nano, end int) {
	if i+3 < len(line) && line[i] == ':' { // WebSphere
		if n, end, ok := number(line, i+1, 3, 3, false); ok && (end == len(line) || !isDigit(line[end]) && line[end] != ':') {
			return n * 1_000_000, end
		}
	}
	if i+1 >= len(line) || line[i] != '.' && line[i] != ',' || !isDigit(line[i+1]) {
		return 0, i
	}
	unit := 100_000_000
	for i++; i < len(line) && isDigit(line[i]); i++ {
		nano += int(line[i]-'0') * unit
		unit /= 10
	}
	return nano, i
}

func (s *Stamp) readHalf(line []byte, i int) (int, bool) {
	if i+2 > len(line) || line[i+1]|0x20 != 'm' {
		return 0, false
	}
	s.half = line[i] | 0x20
	return i + 2, s.half == 'a' || s.half == 'p'
}

// readZone takes Z, +01, +0100 or +01:00.
func (s *Stamp) readZone(line []byte, i int) (int, bool) {
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
	s.Offset = sign * (hours*3600 + minutes*60)
	return end, true
}

// zoneNames are the zones that mean one thing only, or are defined by RFC 822, in hours east of UTC. Other names, such as IST, have
// several meanings.
var zoneNames = map[string]int{
	"UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9, "KST": 9,
	"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
}

// areas are what the names of zones of the IANA begin with.
var areas = [...]string{"Europe/", "America/", "Asia/", "Africa/", "Australia/", "Pacific/", "Atlantic/", "Indian/", "Antarctica/", "Arctic/", "Etc/"}

// locations are the zones of the IANA that were named; nil where there is none of the name. They are some 600, and as many wrong ones are kept.
var locations struct {
	sync.Mutex
	known map[string]*time.Location
}

const mostLocations = 1200

// location is the zone of the IANA with a name, nil where there is none.
func location(name []byte) *time.Location {
	locations.Lock()
	defer locations.Unlock()
	if l, ok := locations.known[string(name)]; ok {
		return l
	}
	l, err := time.LoadLocation(string(name))
	if err != nil {
		l = nil
	}
	if locations.known == nil || len(locations.known) >= mostLocations {
		locations.known = map[string]*time.Location{}
	}
	locations.known[string(name)] = l
	return l
}

// readLocation reads the name of a zone of the IANA, as PHP writes it behind a time: Europe/Berlin. How far east it is depends on the time.
func (s *Stamp) readLocation(line []byte, i int) (end int, ok bool) {
	if s.Written&(HasYear|HasDate) != HasYear|HasDate || s.Month == 0 || !slices.ContainsFunc(areas[:], func(area string) bool { return bytes.HasPrefix(line[i:], []byte(area)) }) {
		return i, false
	}
	for end = i; end < len(line) && end-i < 40 && (isLetter(line[end]) || isDigit(line[end]) || bytes.IndexByte([]byte("/_-+"), line[end]) >= 0); end++ {
	}
	zone := location(line[i:end])
	if zone == nil {
		return i, false
	}
	_, s.Offset = time.Date(s.Year, time.Month(s.Month), s.Day, s.Hour, s.Minute, s.Second, 0, zone).Zone()
	return end, true
}

// readZoneName reads the name of a zone. An unknown one is read too, and taken as UTC.
func (s *Stamp) readZoneName(line []byte, i int) (end int, ok bool) {
	from := i
	for i < len(line) && isLetter(line[i]) {
		i++
	}
	if i-from <= 4 {
		if hours, known := zoneNames[string(line[from:i])]; known {
			s.Offset = hours * 3600
		}
	}
	return i, i > from
}

var (
	monthNames = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
		"november", "december"}
	weekdayNames = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
)

// nameAt reads one of the names, whole or its first three letters. It returns its number from 1, or 0.
func nameAt(line []byte, i int, names []string) (number, end int) {
	if i+3 > len(line) {
		return 0, 0
	}
	for n, full := range names {
		if line[i]|0x20 != full[0] || !strings.EqualFold(full[:3], string(line[i:i+3])) {
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
func (s *Stamp) valid() bool {
	if s.Written == HasEpoch {
		return true
	}
	if s.half != 0 {
		if s.Hour < 1 || s.Hour > 12 {
			return false
		}
		s.Hour %= 12
		if s.half == 'p' {
			s.Hour += 12
		}
	}
	if s.Hour > 23 || s.Minute > 59 || s.Second > 60 { // 60 is a leap second
		return false
	}
	if s.Written&HasDate == 0 || s.DayOfYear > 0 {
		return s.DayOfYear <= 366
	}
	if s.Month < 1 || s.Month > 12 || s.Day < 1 || s.Day > monthDays[s.Month-1] {
		return false
	}
	return s.Month != 2 || s.Day != 29 || s.Written&HasYear == 0 || isLeap(s.Year)
}

func isLeap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func isDigit(b byte) bool { return b-'0' <= 9 }

func isLetter(b byte) bool { return b|0x20-'a' <= 'z'-'a' }
