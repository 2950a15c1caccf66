package tap

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/fields"
)

const (
	mostLine    = 16 << 10 // bytes of a record that are passed on
	mostService = 256      // bytes of a service's name that are passed on
)

// Record is one record as it is passed on.
type Record struct {
	ID       int64           `json:"id"`   // ascends in the order of passing, at one place
	Time     time.Time       `json:"time"` // of the record; when it passed, where it has none
	Edge     string          `json:"edge"`
	Severity string          `json:"severity,omitempty"` // TRACE, DEBUG, INFO, WARN, ERROR or FATAL
	Number   fields.Severity `json:"severity_number,omitempty"`
	Level    string          `json:"level"` // what that means: one of Levels
	Service  string          `json:"service,omitempty"`
	Body     string          `json:"body"`
	Line     json.RawMessage `json:"line,omitempty"` // as it came; left out where it was cut
	Cut      bool            `json:"cut,omitempty"`  // it was longer than is passed on
}

// size is about what it takes, in bytes.
func (r *Record) size() int { return 256 + len(r.Body) + len(r.Line) + len(r.Service) }

// view is what people look at in a line.
type view struct {
	line    []byte
	time    time.Time // zero where the record has none
	number  fields.Severity
	level   string
	service string
	text    string
}

// views are used again.
var views = sync.Pool{New: func() any { return new(fields.View) }}

// look reads a line that passed at a time. All that is known here about the fields of records is in this function.
func look(line []byte, passed time.Time) view {
	v := view{line: line}
	f := views.Get().(*fields.View)
	defer views.Put(f)
	if f.Scan(line) == nil {
		if at, ok := f.Time(passed); ok {
			v.time = at
		}
		service := f.Service()
		v.number, v.service, v.text = f.Severity(), strings.ToValidUTF8(string(service[:min(len(service), mostService)]), ""), f.Text()
	} else {
		v.text = string(line)
	}
	v.level = levelOf(v.number)
	return v
}

// severity is the name of the severity; empty where the record has none.
func (v *view) severity() string {
	if v.number == fields.Unknown {
		return ""
	}
	return v.number.String()
}

// record is the view as it is passed on.
func (v view) record(edge string, id int64, passed time.Time) Record {
	r := Record{ID: id, Time: v.time.UTC(), Edge: edge, Severity: v.severity(), Number: v.number, Level: v.level, Service: v.service, Body: v.text}
	if v.time.IsZero() {
		r.Time = passed.UTC()
	}
	if len(r.Body) > mostLine {
		r.Body, r.Cut = strings.Clone(strings.ToValidUTF8(r.Body[:mostLine], "")), true // else it keeps all of the text
	}
	if len(v.line) > mostLine {
		r.Cut = true
	} else {
		r.Line = bytes.Clone(v.line)
	}
	return r
}

// LevelOther is the level of records that have no severity.
const LevelOther = "other"

// Levels are what severities mean, the worst first, and then LevelOther.
var Levels = []string{"fatal", "error", "warn", "info", "debug", LevelOther}

func levelOf(number fields.Severity) string {
	switch {
	case number == fields.Unknown:
		return LevelOther
	case number < fields.Info:
		return "debug" // and TRACE
	}
	return strings.ToLower(number.String())
}
