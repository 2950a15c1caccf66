package fields

// The forms of times, as they are named to people.
const (
	FormJSON    = "JSON lines"
	FormPairs   = "key=value pairs"
	FormCLF     = "Common Log Format"
	Form5424    = "syslog (RFC 5424)"
	Form3164    = "syslog (RFC 3164)"
	FormSlashes = "date with slashes"
	FormEpoch   = "seconds since 1970"
	FormISO     = "ISO 8601"
	FormC       = "asctime"
	FormHTTP    = "RFC 1123"
	FormKlog    = "klog"
	FormDay     = "day, month and year"
	FormMonth   = "month and day"
	FormClock   = "time of day"
)

// way is a form of times and how it is written.
type way struct {
	form string
	*Pattern
}

func ways(form string, layouts ...string) []way {
	var all []way
	for _, layout := range layouts {
		all = append(all, way{form, mustCompile(layout)})
	}
	return all
}

func join(all ...[]way) (joined []way) {
	for _, ways := range all {
		joined = append(joined, ways...)
	}
	return joined
}

// The ways to write a time, by how they begin. Where one begins with another, the longer is first.
var (
	fourDigits = ways(FormSlashes, "%Y/%m/%d %T", "%Y/%m/%d - %T", "%Y.%m.%d %T", "%Y/%m/%dT%T")
	twoDigits  = join(
		ways(FormCLF, "%d/%b/%Y:%T", "%d/%b/%Y %T", "%d/%m/%Y:%T"),
		ways(FormDay, "%e-%b-%Y %T", "%e-%b-%Y::%T", "%e %b %Y %T", "%e %b %Y, %T", "%e.%m.%Y %T", "%e.%m.%Y, %T"),
		ways(FormDay, "1/2/2006 3:04:05 PM", "1/2/2006, 3:04:05 PM", "1/2/2006 15:04:05", "1/2/2006-15:04:05", "2/1/2006 15:04:05",
			"2/1/2006 -- 15:04:05", "1/2/06 15:04:05", "1/2/06, 15:04:05", "%y/%m/%d %T", "%m-%d-%Y %T", "%d-%m-%Y %T"),
		ways(FormMonth, "%m-%d %T", "%m.%d %T", "%d %b %T"),
	)
	sixDigits   = ways(FormDay, "%y%m%d %k:%M:%S", "%y%m%d %H%M%S")
	eightDigits = ways(FormDay, "%Y%m%d %T", "%Y%m%d-%T")
	monthFirst  = join(
		ways(FormDay, "%b %e, %Y %l:%M:%S %p", "%b %e, %Y, %l:%M:%S %p", "%b %e, %Y %T", "%b %e, %Y @ %T"),
		ways(FormC, "%b %e %T %Y", "%b %e %Y %T"),
		ways(Form3164, "%b %e %T"),
	)
	weekdayFirst = join(
		ways(FormC, "%a %b %e %T %Y", "%a %b %e %T %z %Y", "%a %b %e %T %Z %Y"),
		ways(FormHTTP, "%a, %e %b %Y %T", "%A, %e-%b-%y %T", "%A, %e-%b-%Y %T"),
	)
	clock   = mustCompile("%T")
	kitchen = Pattern{written: HasClock, parts: []part{ // 3:04PM of Go
		{directive: 'l', loose: true}, {text: ":"}, {directive: 'M'}, {directive: 'p'},
	}}
)

// timeAt reads a time with a date, and its zone, that begins at i.
func timeAt(b []byte, i int) (s Stamp, end int, form string, ok bool) {
	if i >= len(b) || i > 0 && isDigit(b[i]) && isDigit(b[i-1]) {
		return Stamp{}, 0, "", false
	}
	var candidates []way
	if isDigit(b[i]) {
		digits := 1
		for i+digits < len(b) && digits < 9 && isDigit(b[i+digits]) {
			digits++
		}
		if i+digits >= len(b) {
			return Stamp{}, 0, "", false
		}
		switch {
		case digits == 4, digits == 8:
			if s, end, ok := isoAt(b, i); ok {
				return s, end, FormISO, true
			}
			if candidates = fourDigits; digits == 8 {
				candidates = eightDigits
			}
		case digits <= 2:
			candidates = twoDigits
		case digits == 6:
			candidates = sixDigits
		}
	} else if isLetter(b[i]) && (i == 0 || !isLetter(b[i-1])) && i+3 < len(b) {
		switch month, _ := nameAt(b, i, monthNames); {
		case month > 0:
			candidates = monthFirst
		default:
			if day, _ := nameAt(b, i, weekdayNames); day > 0 {
				candidates = weekdayFirst
			}
		}
	}
	for _, w := range candidates {
		if s, end, ok = w.match(b, i); ok && s.followed(b, end) {
			return s, s.zoneAfter(b, end), w.form, true
		}
	}
	return Stamp{}, 0, "", false
}

// followed says whether a time may end before b[end].
func (s *Stamp) followed(b []byte, end int) bool { return end >= len(b) || !isDigit(b[end]) }

// zoneAfter reads a zone right after a time or behind a space, and says where the time ends.
func (s *Stamp) zoneAfter(b []byte, i int) int {
	if end, ok := s.readZone(b, i); ok {
		return end
	}
	if i+1 >= len(b) || b[i] != ' ' {
		return i
	}
	if c := b[i+1]; (c == '+' || c == '-') && i+3 < len(b) && isDigit(b[i+2]) && isDigit(b[i+3]) {
		if end, ok := s.readZone(b, i+1); ok && (end >= len(b) || !isDigit(b[end]) && !isLetter(b[end])) {
			return end
		}
		return i
	}
	if end, ok := s.readLocation(b, i+1); ok {
		return end
	}
	end := i + 1
	for end < len(b) && b[end]-'A' <= 'Z'-'A' {
		end++
	}
	if end-i > 5 || end < len(b) && (isLetter(b[end]) || isDigit(b[end])) {
		return i
	}
	if hours, known := zoneNames[string(b[i+1:end])]; known {
		s.Offset = hours * 3600
		return end
	}
	return i
}

// isoAt reads 2006-01-02T15:04:05 or 20060102T150405 at i, with any fraction and zone. Seconds may be missing, and the date and the clock
// may stand apart by a space, an underscore or a tab.
func isoAt(b []byte, i int) (s Stamp, end int, ok bool) {
	dashed := i+4 < len(b) && b[i+4] == '-'
	separator := func(c byte) bool {
		if dashed && i < len(b) && b[i] == c {
			i++
			return true
		}
		return !dashed
	}
	two := func(to *int) (ok bool) {
		*to, i, ok = number(b, i, 2, 2, false)
		return ok
	}
	if s.Year, i, ok = number(b, i, 4, 4, false); !ok {
		return s, 0, false
	}
	if !separator('-') || !two(&s.Month) || !separator('-') || !two(&s.Day) || i >= len(b) {
		return s, 0, false
	}
	c := b[i]
	if dashed && c == ',' && i+1 < len(b) && b[i+1] == ' ' { // Airflow
		i++
		c = ' '
	}
	if c|0x20 != 't' && (!dashed || c != ' ' && c != '_' && c != '\t') {
		return s, 0, false
	}
	if i++; c == ' ' && i+1 < len(b) && b[i] == ' ' && isDigit(b[i+1]) { // MariaDB pads the hour
		s.Hour, i, ok = number(b, i, 1, 2, true)
	} else {
		ok = two(&s.Hour)
	}
	if !ok || !separator(':') || !two(&s.Minute) {
		return s, 0, false
	}
	if before := i; !separator(':') || !two(&s.Second) {
		if !dashed {
			return s, 0, false
		}
		s.Second, i = 0, before
	}
	if !s.followed(b, i) {
		return s, 0, false
	}
	s.Written = HasYear | HasDate | HasClock
	s.Nano, i = fraction(b, i)
	return s, s.zoneAfter(b, i), s.valid()
}
