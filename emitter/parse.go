package emitter

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ProfileGrammar shows every form that [ParseProfile] reads, one a line, for help texts.
const ProfileGrammar = `constant:500                   500 records/s
ramp:0-2000/60s                from 0 to 2000 records/s within 60s, then 2000
spike:100-5000@20s+10s         100 records/s, and 5000 from 20s on for 10s
onoff:1000/0,10s/20s           1000 records/s for 10s, 0 for 20s, and again
trace:FILE[,speedup=N][,scale=N]  arrivals of a trace CSV, N times as fast, N times as many
max                            as fast as possible`

// ParseProfile reads a profile from text, as in [ProfileGrammar]. Rates are plain decimals, durations are as in Go ("90s",
// "1m30s") or plain seconds. A trace is read from its file at once.
func ParseProfile(text string) (Profile, error) {
	kind, rest, _ := strings.Cut(text, ":")
	parse, ok := map[string]func(string) (Profile, error){
		"constant": parseConstant,
		"ramp":     parseRamp,
		"spike":    parseSpike,
		"onoff":    parseOnOff,
		"trace":    parseTrace,
	}[kind]
	if text == "max" {
		return AsFastAsPossible{}, nil
	}
	if !ok {
		return nil, fmt.Errorf("load profile %q: no such kind; write one of\n%s", text, indent(ProfileGrammar))
	}
	p, err := parse(rest)
	if err == nil {
		err = checkProfile(p)
	}
	if err != nil {
		return nil, fmt.Errorf("load profile %q: %w; write it like %s", text, err, grammarOf(kind))
	}
	return p, nil
}

func indent(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }

// grammarOf is the example of one kind.
func grammarOf(kind string) string {
	for line := range strings.Lines(ProfileGrammar) {
		if strings.HasPrefix(line, kind+":") {
			return strings.Fields(line)[0]
		}
	}
	return ProfileGrammar
}

func parseConstant(s string) (Profile, error) {
	rate, err := parseNumber(s)
	return Constant{Rate: rate}, err
}

func parseRamp(s string) (Profile, error) {
	parts, err := split(s, "-", "/")
	if err != nil {
		return nil, err
	}
	var r Ramp
	err = firstOf(number(parts[0], &r.From), number(parts[1], &r.To), duration(parts[2], &r.Over))
	return r, err
}

func parseSpike(s string) (Profile, error) {
	parts, err := split(s, "-", "@", "+")
	if err != nil {
		return nil, err
	}
	var p Spike
	err = firstOf(number(parts[0], &p.Base), number(parts[1], &p.Peak), duration(parts[2], &p.At), duration(parts[3], &p.For))
	return p, err
}

func parseOnOff(s string) (Profile, error) {
	parts, err := split(s, "/", ",", "/")
	if err != nil {
		return nil, err
	}
	var o OnOff
	err = firstOf(number(parts[0], &o.High), number(parts[1], &o.Low), duration(parts[2], &o.On), duration(parts[3], &o.Off))
	return o, err
}

func parseTrace(s string) (Profile, error) {
	parts := strings.Split(s, ",")
	var o TraceOptions
	for len(parts) > 1 {
		name, value, ok := strings.Cut(parts[len(parts)-1], "=")
		var err error
		switch {
		case ok && name == "speedup":
			o.Speedup, err = parsePositive(value)
		case ok && name == "scale":
			o.Scale, err = parsePositive(value)
		default:
			ok = false
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if !ok {
			break // a comma in the file's name
		}
		parts = parts[:len(parts)-1]
	}
	return OpenTrace(strings.Join(parts, ","), o)
}

// parsePositive reads a number for which zero, the default of an option, would be misread.
func parsePositive(s string) (float64, error) {
	f, err := parseNumber(s)
	if err == nil && f == 0 {
		err = fmt.Errorf("0 is not a factor")
	}
	return f, err
}

// split cuts s at each of the separators, in their order.
func split(s string, separators ...string) ([]string, error) {
	var parts []string
	for _, sep := range separators {
		before, after, ok := strings.Cut(s, sep)
		if !ok {
			return nil, fmt.Errorf("a %q is missing", sep)
		}
		parts = append(parts, before)
		s = after
	}
	return append(parts, s), nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func number(s string, into *float64) (err error) {
	*into, err = parseNumber(s)
	return err
}

// parseNumber reads a plain decimal; signs and exponents would be misread among the separators.
func parseNumber(s string) (float64, error) {
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return f, nil
}

func duration(s string, into *time.Duration) error {
	if seconds, err := parseNumber(s); err == nil && seconds <= 1e8 {
		*into = time.Duration(seconds * float64(time.Second))
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d.Seconds() > 1e8 {
		return fmt.Errorf("%q is not a duration of at most 1e8 seconds", s)
	}
	*into = d
	return nil
}
