package tap

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/fields"
)

const (
	// MostRate is how many records a second a reader may ask for.
	MostRate = 200
	// MostRecent is how many kept records may be asked for at once.
	MostRecent = 2000

	// Tick is how often a reader looks.
	Tick = 100 * time.Millisecond

	mostLooking  = Tick / 4        // time in each tick for looking into records
	mostSearch   = 2 * time.Second // time for searching what is kept
	recentBytes  = 4 << 20         // of text and lines in one answer
	tickBytes    = 256 << 10       // of them in a tick, or at the beginning of a stream: clients that do not read keep as much waiting
	contextLines = 50              // most records before and behind one
)

// Query says what somebody wants to see.
type Query struct {
	Edge       string   // In, Done or Dead
	Filter     *Filter  // nil for all
	Levels     []string // only these of Levels; none for all
	Severities []string // only these, by any name that package fields knows, or "unknown"; none for all
	Rate       int      // records a second, 1 to MostRate
}

// all says whether every record is wanted.
func (q *Query) all() bool { return q.Filter == nil && len(q.Levels) == 0 && len(q.Severities) == 0 }

func (q *Query) wants(line []byte, passed time.Time) (view, bool) {
	v, ok := q.Filter.matches(line, passed)
	return v, ok && (len(q.Levels) == 0 || slices.Contains(q.Levels, v.level)) && q.wantsSeverity(v.number)
}

// wantsSeverity says whether a severity is among those of the query. A name stands for its range.
func (q *Query) wantsSeverity(number fields.Severity) bool {
	for _, name := range q.Severities {
		asked := fields.ParseSeverity(name)
		if asked == fields.Unknown && !strings.EqualFold(name, fields.UnknownSeverity) {
			continue // no name of a severity
		}
		if asked.String() == number.String() {
			return true
		}
	}
	return len(q.Severities) == 0
}

// Reader follows what passes at one place. It is for one goroutine.
type Reader struct {
	tap   *Tap
	place *place
	q     Query
	next  int64   // number of the next record to look at
	room  float64 // records that may be passed on now, a bucket that fills with Rate
	last  time.Time
	since time.Time     // when it began
	gone  chan struct{} // closed where another takes its place; nil for one that only looks
}

// Gone is closed when another reader has taken the place of this one.
func (r *Reader) Gone() <-chan struct{} { return r.gone }

// After makes the reader go on behind a record, as far as it is kept.
func (r *Reader) After(id int64) { r.next = min(r.next, max(id+1, r.place.start())) }

// Next returns what has passed since it was asked last and is wanted, the oldest first, and how many records it left out: those that
// are not kept, and those for which the rate has no room. What a tick has no time for is looked at in the next one, if it is kept until then.
// Call it every [Tick].
func (r *Reader) Next(now time.Time) (records []Record, skipped int64) {
	rate := float64(min(max(r.q.Rate, 1), MostRate))
	if r.last.IsZero() {
		r.room = rate
	}
	if since := now.Sub(r.last); since > 0 {
		r.room = min(rate, r.room+rate*since.Seconds())
	}
	r.last = now
	kept, end := r.place.since(r.next)
	if r.next == 0 { // nothing had passed yet
		if len(kept) == 0 {
			return nil, 0
		}
		r.next = kept[0].first
	}
	from := r.next
	if r.q.all() {
		from = max(from, end-int64(r.room)) // the newest say more than the oldest
	}
	began, size := time.Now(), 0
	late := false
	eachLine(kept, from, func(id int64, e entry, line []byte) bool {
		if late = time.Since(began) > mostLooking || size > tickBytes; late || r.room < 1 {
			return false
		}
		skipped += id - r.next
		r.next = id + 1
		if v, ok := r.q.wants(line, e.at); ok {
			records = append(records, v.record(r.q.Edge, id, e.at))
			size += records[len(records)-1].size()
			r.room--
		}
		return true
	})
	if !late {
		skipped += end - r.next
		r.next = end
	}
	return records, skipped
}

// Recent is what is kept of a place.
type Recent struct {
	Records  []Record `json:"records"`  // the newest that are wanted, the oldest of them first
	Searched int      `json:"searched"` // records that were looked into
	Next     int64    `json:"next"`     // ID of the next record that passes
	Complete bool     `json:"complete"` // everything that is kept was looked into
}

// Recent searches what is kept, from the newest on, for so many records at most.
func (t *Tap) Recent(ctx context.Context, q Query, most int) Recent {
	return t.recent(ctx, q, most, recentBytes)
}

// Begin is what a reader begins with: as Recent, of a size that a client which does not read may keep waiting.
func (r *Reader) Begin(ctx context.Context, most int) Recent {
	return r.tap.recent(ctx, r.q, most, tickBytes)
}

func (t *Tap) recent(ctx context.Context, q Query, most, mostBytes int) Recent {
	ctx, cancel := context.WithTimeout(ctx, mostSearch)
	defer cancel()
	kept, next := t.place(q.Edge).since(0)
	r := Recent{Records: []Record{}, Next: next, Complete: true}
	size := 0
	for i := len(kept) - 1; i >= 0 && r.Complete; i-- {
		lines := linesOf(kept[i])
		for n := len(lines) - 1; n >= 0; n-- {
			if len(r.Records) == most || size > mostBytes || ctx.Err() != nil {
				r.Complete = false
				break
			}
			r.Searched++
			if v, ok := q.wants(lines[n], kept[i].at); ok {
				rec := v.record(q.Edge, kept[i].first+int64(n), kept[i].at)
				size += rec.size()
				r.Records = append(r.Records, rec)
			}
		}
	}
	slices.Reverse(r.Records)
	return r
}

// Around returns a kept record with what passed before and behind it, whatever it is; false where it is not kept.
func (t *Tap) Around(edge string, id int64, n int) ([]Record, bool) {
	n = min(max(n, 0), contextLines)
	from := max(id-int64(n), 0)
	kept, _ := t.place(edge).since(from)
	var records []Record
	found := false
	eachLine(kept, from, func(at int64, e entry, line []byte) bool {
		if at > id+int64(n) {
			return false
		}
		found = found || at == id
		records = append(records, look(line, e.at).record(edge, at, e.at))
		return true
	})
	return records, found
}

// eachLine goes through the lines with a number or a later one, until f returns false.
func eachLine(kept []entry, from int64, f func(id int64, e entry, line []byte) bool) {
	for _, e := range kept {
		for i, line := range linesOf(e) {
			if id := e.first + int64(i); id >= from && !f(id, e, line) {
				return
			}
		}
	}
}

// linesOf unpacks a batch for one who looks. What was kept stays packed, and is unpacked by several at once.
func linesOf(e entry) [][]byte {
	b := *e.batch
	text, err := b.Lines()
	if err != nil || len(text) == 0 {
		return nil
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte{'\n'}), []byte{'\n'})
}
