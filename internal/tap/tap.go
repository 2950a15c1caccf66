// Package tap lets people look at live records where they pass: as they come in, and as they are done.
//
// Looking is a sample. Each listener gets at most so many records a second, and is told how many it missed. While nobody listens, a record
// costs one look at a counter.
package tap

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/internal/fields"
)

// The places where records can be looked at.
const (
	In   = "in"   // accepted
	Done = "done" // analyzed
	Dead = "dead" // became a dead letter
)

const (
	// MostRate is how many records a second a listener may ask for.
	MostRate = 200

	mostListeners = 50
	mostLine      = 16 << 10 // bytes of a record that are passed on
	mostService   = 256      // bytes of a service's name that are passed on
	mostParsed    = 10       // records looked into, for each that may be passed on
)

// Query says what somebody wants to see.
type Query struct {
	Edge       string   // In, Done or Dead
	Text       string   // only records whose JSON has this, in any case; empty for all
	Severities []string // only these, by any name that package fields knows, or "unknown"; none for all
	Rate       int      // records a second, 1 to MostRate
}

// Record is one record as it is passed on.
type Record struct {
	Time     time.Time       `json:"time"` // of the record; when it passed, where it has none
	Edge     string          `json:"edge"`
	Severity string          `json:"severity,omitempty"` // TRACE, DEBUG, INFO, WARN, ERROR or FATAL
	Number   fields.Severity `json:"severity_number,omitempty"`
	Service  string          `json:"service,omitempty"`
	Body     string          `json:"body"`
	Line     json.RawMessage `json:"line,omitempty"` // as it came; left out where it was cut
	Cut      bool            `json:"cut,omitempty"`  // it was longer than is passed on
}

// Tap is where records pass. The zero Tap is ready to use, and so is a nil one, on which nobody listens.
type Tap struct {
	listening atomic.Int32

	mu        sync.Mutex
	listeners map[*Listener]struct{}
}

// Listener gets records from its channel. It must be closed.
type Listener struct {
	Records <-chan Record
	out     chan Record
	q       Query
	text    []byte // of the query, in small letters
	view    fields.View
	skipped atomic.Int64

	// Guarded by Tap.mu: what is left for this second.
	second int64
	pass   int
	parse  int
}

// Listen adds a listener, or returns nil where there are too many.
func (t *Tap) Listen(q Query) *Listener {
	q.Rate = min(max(q.Rate, 1), MostRate)
	l := &Listener{q: q, text: bytes.ToLower([]byte(q.Text)), out: make(chan Record, q.Rate)}
	l.Records = l.out
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.listeners) >= mostListeners {
		return nil
	}
	if t.listeners == nil {
		t.listeners = map[*Listener]struct{}{}
	}
	t.listeners[l] = struct{}{}
	t.listening.Add(1)
	return l
}

// Close ends a listener.
func (t *Tap) Close(l *Listener) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.listeners[l]; ok {
		delete(t.listeners, l)
		t.listening.Add(-1)
	}
}

// Skipped is how many records were neither passed on nor looked into, since it was asked last.
func (l *Listener) Skipped() int64 { return l.skipped.Swap(0) }

// Offer shows records that pass, one JSON object a line, to those who listen there.
func (t *Tap) Offer(edge string, lines []byte) {
	if t == nil || t.listening.Load() == 0 {
		return
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range t.listeners {
		if l.q.Edge == edge {
			l.offer(now, lines)
		}
	}
}

// Listened says whether anybody listens at a place.
func (t *Tap) Listened(edge string) bool {
	if t == nil || t.listening.Load() == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range t.listeners {
		if l.q.Edge == edge {
			return true
		}
	}
	return false
}

func (l *Listener) offer(now time.Time, lines []byte) {
	if s := now.Unix(); s != l.second {
		l.second, l.pass, l.parse = s, l.q.Rate, l.q.Rate*mostParsed
	}
	for len(lines) > 0 {
		if l.pass <= 0 || l.parse <= 0 {
			l.skipped.Add(int64(bytes.Count(lines, []byte{'\n'})))
			return
		}
		end := bytes.IndexByte(lines, '\n') + 1
		if end == 0 {
			end = len(lines)
		}
		line := bytes.TrimSuffix(lines[:end], []byte{'\n'})
		lines = lines[end:]
		if len(l.text) > 0 && !bytes.Contains(bytes.ToLower(line), l.text) {
			continue
		}
		l.parse--
		r := l.record(now, line)
		if !l.wants(r.Number) {
			continue
		}
		select {
		case l.out <- r:
			l.pass--
		default:
			l.skipped.Add(1)
		}
	}
}

// wants says whether a severity is among those of the query. A name stands for its range.
func (l *Listener) wants(number fields.Severity) bool {
	for _, name := range l.q.Severities {
		asked := fields.ParseSeverity(name)
		if asked == fields.Unknown && !strings.EqualFold(name, fields.UnknownSeverity) {
			continue // no name of a severity
		}
		if asked.String() == number.String() {
			return true
		}
	}
	return len(l.q.Severities) == 0
}

// record takes from a line what people look at.
func (l *Listener) record(now time.Time, line []byte) Record {
	r := Record{Time: now.UTC(), Edge: l.q.Edge}
	if err := l.view.Scan(line); err == nil {
		if at, ok := l.view.Time(now); ok {
			r.Time = at
		}
		if r.Number = l.view.Severity(); r.Number != fields.Unknown {
			r.Severity = r.Number.String()
		}
		service := l.view.Service()
		r.Service, r.Body = strings.ToValidUTF8(string(service[:min(len(service), mostService)]), ""), l.view.Text()
	} else {
		r.Body = string(line)
	}
	if len(r.Body) > mostLine {
		r.Body, r.Cut = strings.ToValidUTF8(r.Body[:mostLine], ""), true
	}
	if len(line) > mostLine {
		r.Cut = true
	} else {
		r.Line = json.RawMessage(bytes.Clone(line))
	}
	return r
}
