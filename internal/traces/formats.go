package traces

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/sluicehq/sluice/internal/jsonscan"
)

// format is a form of log lines: it finds the time in one.
type format struct {
	name string
	find func(line []byte) (stamp, bool)
}

var (
	commonLog = mustCompile("[%d/%b/%Y:%H:%M:%S %z]")
	localTime = mustCompile("%d/%b/%Y:%H:%M:%S %z")
	httpDate  = mustCompile("%a, %d %b %Y %H:%M:%S")
	slashes   = mustCompile("%Y/%m/%d %H:%M:%S")
	bsdSyslog = mustCompile("%b %e %H:%M:%S")
)

// formats are in the order in which they are asked. ISO 8601 is last: it may stand anywhere in the lines of the others.
var formats = []format{
	{"JSON lines", findJSON},
	{"Common Log Format", commonLog.find},
	{"syslog (RFC 5424)", findSyslog},
	{"syslog (RFC 3164)", findBSDSyslog},
	{"date with slashes", func(line []byte) (stamp, bool) { return slashes.at(line, 0) }},
	{"seconds since 1970", findEpoch},
	{"ISO 8601", findISO},
}

// compileFormat is the format that somebody asks for; nil for an empty text.
func compileFormat(text string) (*format, error) {
	if text == "" {
		return nil, nil
	}
	p, err := compile(text)
	if err != nil {
		return nil, fmt.Errorf("time format %w", err)
	}
	return &format{fmt.Sprintf("time format %q", text), p.find}, nil
}

// sampleLines is how many lines tell the format.
const sampleLines = 1000

// recognize tells the format of a log by its first lines: the first one that understands at least half of them, and
// otherwise the one that understands the most. It is nil if none understands any. The second result says whether the lines with
// times begin with white space.
func recognize(sample []byte) (*format, bool) {
	understood, inside := make([]int, len(formats)), make([]bool, len(formats))
	lines := 0
	for line := range bytes.Lines(sample) {
		if lines == sampleLines {
			break
		}
		line = trimmed(line)
		counted := len(line) > 0 && !indented(line)
		if counted {
			lines++
		}
		for i := range formats {
			if _, ok := formats[i].find(line); ok && (counted || understood[i] == 0 || inside[i]) {
				inside[i] = inside[i] || !counted && understood[i] == 0
				understood[i]++
			}
		}
	}
	best := -1
	for i, n := range understood {
		if n > 0 && 2*n >= lines {
			return &formats[i], inside[i]
		}
		if n > 0 && (best < 0 || n > understood[best]) {
			best = i
		}
	}
	if best < 0 {
		return nil, false
	}
	return &formats[best], inside[best]
}

func trimmed(line []byte) []byte {
	line = bytes.TrimRight(line, "\r\n")
	return bytes.TrimPrefix(line, []byte("\ufeff"))
}

// indented is true for lines that continue the one before.
func indented(line []byte) bool { return len(line) > 0 && (line[0] == ' ' || line[0] == '\t') }

// at reads a time that stands exactly at i.
func (p *pattern) at(line []byte, i int) (stamp, bool) {
	s, _, ok := p.match(line, i)
	return s, ok
}

// afterPriority is where a syslog line goes on after its <34>, or 0.
func afterPriority(line []byte) int {
	if len(line) == 0 || line[0] != '<' {
		return 0
	}
	_, end, ok := number(line, 1, 1, 3, false)
	if !ok || end >= len(line) || line[end] != '>' {
		return 0
	}
	return end + 1
}

func findSyslog(line []byte) (stamp, bool) {
	i := afterPriority(line)
	if i == 0 || i+2 > len(line) || !isDigit(line[i]) || line[i+1] != ' ' {
		return stamp{}, false
	}
	return isoAt(line, i+2)
}

func findBSDSyslog(line []byte) (stamp, bool) { return bsdSyslog.at(line, afterPriority(line)) }

// findEpoch takes a number at the beginning, maybe in brackets.
func findEpoch(line []byte) (s stamp, ok bool) {
	i := 0
	for i < len(line) && (line[i] == ' ' || line[i] == '[' || line[i] == '(') {
		i++
	}
	end, ok := s.readEpoch(line, i)
	if !ok || end < len(line) && bytes.IndexByte([]byte(" \t,;:|])"), line[end]) < 0 {
		return stamp{}, false
	}
	return s, true
}

// findISO takes the first date and time of the line.
func findISO(line []byte) (stamp, bool) {
	for i := 0; i+15 <= len(line); i++ {
		if !isDigit(line[i]) || i > 0 && isDigit(line[i-1]) {
			continue
		}
		if s, ok := isoAt(line, i); ok {
			return s, true
		}
	}
	return stamp{}, false
}

// isoAt reads 2006-01-02T15:04:05 or 20060102T150405 at i, with any fraction and zone.
func isoAt(line []byte, i int) (s stamp, ok bool) {
	var separators [2]byte // between the numbers of the date and of the clock
	if i+4 < len(line) && line[i+4] == '-' {
		separators = [2]byte{'-', ':'}
	}
	s.written = hasYear | hasDate | hasClock
	for n, to := range [...]*int{&s.year, &s.month, &s.day, &s.hour, &s.minute, &s.second} {
		separator := separators[n/3]
		if n == 0 {
			separator = 0
		} else if n == 3 {
			if i >= len(line) || line[i]|0x20 != 't' && (line[i] != ' ' || separators[0] == 0) {
				return stamp{}, false
			}
			i++
			separator = 0
		}
		if separator != 0 {
			if i >= len(line) || line[i] != separator {
				return stamp{}, false
			}
			i++
		}
		digits := 2
		if n == 0 {
			digits = 4
		}
		if *to, i, ok = number(line, i, digits, digits, false); !ok {
			return stamp{}, false
		}
	}
	if i < len(line) && isDigit(line[i]) {
		return stamp{}, false
	}
	i = skipFraction(line, i)
	if _, ok := s.readZone(line, i); !ok && i+5 < len(line) && line[i] == ' ' {
		if zone := line[i+1:]; isDigit(zone[3]) { // "15:04:05 +0000", and not a word with a sign
			s.readZone(zone, 0)
		}
	}
	return s, s.valid()
}

// timeKeys are the keys of JSON lines that may hold the time, in any case; the first that does counts. The last is the
// journal's.
var timeKeys = []string{"timestamp", "@timestamp", "time", "ts", "date", "__realtime_timestamp"}

// findJSON goes through the members of the outermost object.
func findJSON(line []byte) (found stamp, ok bool) {
	i := jsonscan.SkipSpace(line, 0)
	if i >= len(line) || line[i] != '{' {
		return stamp{}, false
	}
	best := len(timeKeys)
	for best > 0 {
		from := jsonscan.SkipSpace(line, i+1)
		if from >= len(line) || line[from] != '"' {
			break
		}
		end, err := jsonscan.Value(line, from)
		if err != nil {
			break
		}
		key := line[from+1 : end-1]
		colon := jsonscan.SkipSpace(line, end)
		if colon >= len(line) || line[colon] != ':' {
			break
		}
		from = jsonscan.SkipSpace(line, colon+1)
		if end, err = jsonscan.Value(line, from); err != nil {
			break
		}
		if n := slices.Index(timeKeys[:best], string(bytes.ToLower(key))); n >= 0 {
			if s, ok := jsonTime(line[from:end]); ok {
				found, best = s, n
			}
		}
		i = jsonscan.SkipSpace(line, end)
		if i >= len(line) || line[i] != ',' {
			break
		}
	}
	return found, best < len(timeKeys)
}

// jsonTime reads the value of a member: text in one of the usual forms, or a number since 1970.
func jsonTime(value []byte) (s stamp, ok bool) {
	if len(value) > 2 && value[0] == '"' {
		value = value[1 : len(value)-1]
		for _, find := range []func([]byte) (stamp, bool){
			func(b []byte) (stamp, bool) { return isoAt(b, 0) },
			func(b []byte) (stamp, bool) { return localTime.at(b, 0) },
			func(b []byte) (stamp, bool) { return httpDate.at(b, 0) },
		} {
			if s, ok := find(value); ok {
				return s, true
			}
		}
	}
	if len(value) > 1 && value[1] == '.' { // 1.7040672e+09
		f, err := strconv.ParseFloat(string(value), 64)
		if err != nil || f < 1e8 || f > 1e18 {
			return stamp{}, false
		}
		value = strconv.AppendFloat(nil, f, 'f', 0, 64)
	}
	end, ok := s.readEpoch(value, 0)
	return s, ok && end == len(value)
}
