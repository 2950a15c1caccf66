package fields

import (
	"bytes"
	"math"
	"strconv"
)

// Severity is a severity number of the OpenTelemetry log data model, from 1 to 24; 0 where a record does not say.
type Severity uint8

// The first number of each range, and the two others that are used.
const (
	Unknown Severity = 0
	Trace   Severity = 1
	Debug   Severity = 5
	Info    Severity = 9
	Notice  Severity = 10
	Warn    Severity = 13
	Error   Severity = 17
	Fatal   Severity = 21

	most Severity = 24
)

// UnknownSeverity is the name of [Unknown].
const UnknownSeverity = "unknown"

// String is the name of the range: TRACE, DEBUG, INFO, WARN, ERROR or FATAL, and "unknown" for 0.
func (s Severity) String() string {
	if s == Unknown || s > most {
		return UnknownSeverity
	}
	return [...]string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}[(s-1)/4]
}

// ParseSeverity reads the name of a severity as programs write it, in any case: ERROR, err, eror, E, Emergency, INFO2, ERROR+4.
func ParseSeverity(name string) Severity { return severityOf([]byte(name), lettersToo) }

// strictness is how sure a word must be to name a severity.
type strictness int

const (
	lettersToo strictness = iota // the value of a field for severities: one letter will do
	wordsOnly                    // abbreviations of three letters or more
	sureWords                    // those that seldom mean something else: a word in a text
	fullWords                    // the value of a field that may hold something else
)

// longestWord bounds what is looked at: the longest word is SEVERITY_NUMBER_ERROR2.
const longestWord = 24

// severityOf reads a word in any case.
func severityOf(word []byte, strict strictness) Severity {
	word = bytes.TrimSpace(word)
	if len(word) == 0 || len(word) > longestWord || len(word) == 1 && strict != lettersToo {
		return Unknown
	}
	var lower [longestWord]byte
	for i, c := range word {
		if c-'A' <= 'Z'-'A' {
			c |= 0x20
		}
		lower[i] = c
	}
	w := lower[:len(word)]
	w = bytes.TrimPrefix(w, []byte("severity_number_")) // the names in OTLP
	if s := severityWord(w); s != Unknown {
		if strict == fullWords && len(w) < 4 || strict >= sureWords && vague(w) {
			return Unknown
		}
		return s
	}
	if strict == fullWords {
		return Unknown
	}
	return severityStep(w)
}

// severityStep reads a name with a step: INFO2 of OpenTelemetry, ERROR+4 of Go's slog, DEBUG3 of PostgreSQL.
func severityStep(w []byte) Severity {
	at := len(w)
	for at > 0 && isDigit(w[at-1]) {
		at--
	}
	if at == 0 || at == len(w) || len(w)-at > 3 {
		return Unknown
	}
	step := atoi(w[at:])
	if step > 100 {
		return Unknown
	}
	sign := w[at-1]
	if sign == '+' || sign == '-' {
		at--
	}
	s := severityWord(w[:at])
	switch {
	case s == Unknown || at < 3:
		return Unknown
	case sign == '+':
		return min(s+Severity(step), most)
	case sign == '-':
		return Severity(max(int(s)-step, int(Trace)))
	case (s-1)%4 == 0 && step >= 2 && step <= 4:
		return s + Severity(step-1)
	}
	return s
}

// severityWord is the table of names, in small letters.
func severityWord(w []byte) Severity {
	switch string(w) {
	case "trace", "trc", "trce", "tra", "finest", "verbose", "vrb", "verb", "silly", "t", "v":
		return Trace
	case "debug", "dbg", "dbug", "debu", "deb", "fine", "finer", "config", "d":
		return Debug
	case "info", "inf", "information", "informational", "infos", "log", "system", "normal", "success", "http", "i", "ii":
		return Info
	case "notice", "note", "noti", "ntc", "n":
		return Notice
	case "warn", "warning", "wrn", "warnung", "deprecated", "w", "ww":
		return Warn
	case "error", "err", "eror", "erro", "severe", "fail", "failure", "failed", "fault", "e", "ee":
		return Error
	case "dpanic":
		return Error + 1
	case "fatal", "ftl", "fata", "critical", "crit", "crt", "cri", "alert", "alrt", "panic", "pani", "pnc", "emergency", "emerg", "emrg", "f", "c", "a":
		return Fatal
	}
	return Unknown
}

// vague says whether a word that names a severity often means something else.
func vague(w []byte) bool {
	switch string(w) {
	case "log", "system", "normal", "success", "http", "config", "fine", "note", "fail", "failed", "failure", "fault", "silly", "verb", "deprecated", "infos", "tra", "deb", "ii", "ee", "ww":
		return true
	}
	return false
}

// scale is what the numbers of a field mean.
type scale int

const (
	anyScale       scale = iota // told by the number's size, see severityNumber
	otelScale                   // 1 to 24
	syslogScale                 // 0 (emergency) to 7 (debug); greater ones have the facility in them
	pythonScale                 // 10 to 50
	windowsScale                // 1 (critical) to 5 (verbose)
	azureScale                  // 0 (verbose) to 4 (critical)
	nextcloudScale              // 0 (debug) to 4 (fatal), beside reqId
	gcpScale                    // hundreds: 200 is info, 500 error, 800 emergency
)

var syslogSeverities = [8]Severity{Fatal, Fatal, Fatal, Error, Warn, Notice, Info, Debug}

// severityNumber reads the number of a severity.
//
// Where the field does not say what it counts in, 0 to 7 are syslog's (as in GELF and the journal), 10, 20, ... 60 are those of pino and
// bunyan, other numbers to 24 are OpenTelemetry's, hundreds are Monolog's and thousands Logback's.
func severityNumber(text []byte, by scale) Severity {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f < 0 || f > 60_000 || f != math.Trunc(f) {
		return Unknown
	}
	n := int(f)
	switch by {
	case otelScale:
		if n >= 1 && n <= int(most) {
			return Severity(n)
		}
	case syslogScale:
		if n < 192 {
			return syslogSeverities[n&7]
		}
	case pythonScale:
		return pick(n, 10, Debug, Info, Warn, Error, Fatal)
	case windowsScale:
		return pick(n, 1, Fatal, Error, Warn, Info, Trace)
	case azureScale:
		return pick(n+1, 1, Trace, Info, Warn, Error, Fatal)
	case nextcloudScale:
		return pick(n+1, 1, Debug, Info, Warn, Error, Fatal)
	case gcpScale:
		return pick(n, 100, Debug, Info, Notice, Warn, Error, Fatal, Fatal, Fatal)
	default:
		switch {
		case n < 8:
			return syslogSeverities[n]
		case n%10 == 0 && n <= 60:
			return pick(n, 10, Trace, Debug, Info, Warn, Error, Fatal)
		case n <= int(most):
			return Severity(n)
		case n == 250:
			return Notice
		case n < 1000 && n%50 == 0:
			return pick(n/100, 1, Debug, Info, Warn, Error, Fatal, Fatal)
		case n == 5000:
			return Trace
		default:
			return pick(n, 10_000, Debug, Info, Warn, Error, Fatal)
		}
	}
	return Unknown
}

// pick is the severity of a number that is a whole multiple of a unit: 1 is the first.
func pick(n, unit int, of ...Severity) Severity {
	if n%unit != 0 || n/unit < 1 || n/unit > len(of) {
		return Unknown
	}
	return of[n/unit-1]
}

// statusSeverity is the severity of an HTTP request by its answer: 5xx is an error, 4xx a warning, everything else information.
func statusSeverity(code int) Severity {
	switch {
	case code < 100 || code > 599:
		return Unknown
	case code >= 500:
		return Error
	case code >= 400:
		return Warn
	}
	return Info
}
