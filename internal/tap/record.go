package tap

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/sluicehq/sluice"
)

const mostLine = 16 << 10 // bytes of a record that are passed on

// Record is one record as it is passed on.
type Record struct {
	ID       int64           `json:"id"`   // ascends in the order of passing, at one place
	Time     time.Time       `json:"time"` // of the record; when it passed, where it has none
	Edge     string          `json:"edge"`
	Severity string          `json:"severity,omitempty"` // as sent
	Level    string          `json:"level"`              // what that means: one of Levels
	Service  string          `json:"service,omitempty"`
	Body     string          `json:"body"`
	Line     json.RawMessage `json:"line,omitempty"` // as it came; left out where it was cut
	Cut      bool            `json:"cut,omitempty"`  // it was longer than is passed on
}

// view is what people look at in a line.
type view struct {
	line     []byte
	time     time.Time // zero where the record has none
	severity string
	level    string
	service  string
	text     string
}

// look reads a line. All that is known here about the fields of records is in this function.
func look(line []byte) view {
	v := view{line: line}
	var rec sluice.Record
	if rec.UnmarshalJSON(line) == nil {
		v.time, v.severity, v.text, v.service = rec.Timestamp, rec.Severity, textOf(&rec, line), rec.Service()
	} else {
		v.text = string(line)
	}
	v.level = levelOf(v.severity)
	return v
}

// record is the view as it is passed on.
func (v view) record(edge string, id int64, passed time.Time) Record {
	r := Record{ID: id, Time: v.time.UTC(), Edge: edge, Severity: v.severity, Level: v.level, Service: v.service, Body: v.text}
	if v.time.IsZero() {
		r.Time = passed.UTC()
	}
	if len(r.Body) > mostLine {
		r.Body, r.Cut = strings.ToValidUTF8(r.Body[:mostLine], ""), true
	}
	if len(v.line) > mostLine {
		r.Cut = true
	} else {
		r.Line = bytes.Clone(v.line)
	}
	return r
}

// textOf is what a record says: its body, or all of it where it has none.
func textOf(r *sluice.Record, line []byte) string {
	switch body := r.Body.(type) {
	case nil:
		return string(line)
	case string:
		return body
	default:
		text, err := json.Marshal(body)
		if err != nil {
			return string(line)
		}
		return string(text)
	}
}

// LevelOther is the level of records that have no severity, or one that is not known.
const LevelOther = "other"

// Levels are what severities mean, the worst first, and then LevelOther.
var Levels = []string{"fatal", "error", "warn", "info", "debug", LevelOther}

// levelNames are how severities of each level begin.
var levelNames = [][]string{
	{"fatal", "crit", "emerg", "alert", "panic"}, {"err"}, {"warn"}, {"info", "notice"}, {"debug", "trace", "fine", "verb"},
}

func levelOf(severity string) string {
	severity = strings.ToLower(severity)
	for i, names := range levelNames {
		for _, name := range names {
			if strings.HasPrefix(severity, name) {
				return Levels[i]
			}
		}
	}
	return LevelOther
}
