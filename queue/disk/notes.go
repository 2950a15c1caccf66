package disk

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/ranges"
	"github.com/sluicehq/sluice/queue"
)

// A note is an entry of the second log: facts about records, which hold for good or until a later note about the same
// records. Notes may therefore be read twice, and a snapshot is nothing but all facts once more. The notes are written
// before a call that they are about returns, and synced within a second.
//
// A fact is an operation, a byte, followed by numbers as unsigned varints:
//
//	done     records, which were analyzed, or dropped by a person
//	lost     records, which damage took
//	part     records that go through the queue together, attempts, state, and what belongs to the state:
//	         waiting: when it is due; leased: nonce and 1 where by another process; dead: ID, when, bytes, reason
//	accepted the number of the last record that was answered
//	letters  the largest ID of a dead letter
//	returned how often the part that follows was handed back; left out where it never was
//
// Records are the number of the first record of their batch, the count of ranges, and each range as the distance from the
// end of the one before and its length.
const (
	opDone = 1 + iota
	opLost
	opPart
	opAccepted
	opLetters
	opReturned
)

// facts builds the payload of a note.
type facts []byte

func (f facts) num(numbers ...uint64) facts {
	for _, n := range numbers {
		f = binary.AppendUvarint(f, n)
	}
	return f
}

func (f facts) records(op byte, first uint64, runs []ranges.Range) facts {
	f = append(f, op).num(first, uint64(len(runs)))
	for _, r := range runs {
		f = f.num(r.First-first, r.Last-r.First+1)
		first = r.Last + 1
	}
	return f
}

func (f facts) done(first uint64, runs ...ranges.Range) facts { return f.records(opDone, first, runs) }

func (f facts) part(p *part) facts {
	if p.handBacks > 0 {
		f = append(f, opReturned).num(uint64(p.handBacks))
	}
	f = f.records(opPart, p.e.first, p.runs).num(uint64(p.attempts), uint64(p.state))
	switch p.state {
	case waiting:
		due := uint64(0)
		if !p.due.IsZero() {
			due = uint64(p.due.UnixNano())
		}
		return f.num(due)
	case leased:
		remote := uint64(0)
		if p.remote {
			remote = 1
		}
		return f.num(p.nonce, remote)
	}
	f = f.num(p.letter, uint64(p.at), uint64(p.bytes), uint64(len(p.reason)))
	return append(f, p.reason...)
}

var errNote = errors.New("not a note of this version")

// reader reads the payload of a note. After an error everything reads as zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) num() uint64 {
	n, k := binary.Uvarint(r.b)
	if k <= 0 {
		r.err, r.b = errNote, nil
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *reader) bytes() []byte {
	n := r.num()
	if n > uint64(len(r.b)) {
		r.err, r.b = errNote, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) records() (first uint64, runs []ranges.Range) {
	first = r.num()
	at := first
	for n := r.num(); n > 0 && r.err == nil; n-- {
		from := at + r.num()
		count := r.num()
		if from < at || count == 0 || count > math.MaxUint64-from {
			r.err, r.b = errNote, nil
			break
		}
		at = from + count
		runs = append(runs, ranges.Range{First: from, Last: at - 1})
	}
	return first, runs
}

// recalled is what the notes say.
type recalled struct {
	done, lost ranges.Set
	parts      map[uint64][]*part // by the first record of their batch; without done and lost records once settled
	accepted   uint64
	letters    uint64
	damaged    bool // some notes were unreadable
	short      bool // some of the last notes may be missing: the disk was full, power was cut, or the file was
	found      bool // there were notes
}

// apply reads one note.
func (m *recalled) apply(payload []byte) error {
	r := reader{b: payload}
	handBacks := 0 // of the part that follows
	for len(r.b) > 0 {
		op := r.b[0]
		r.b = r.b[1:]
		switch op {
		case opDone, opLost:
			to := &m.done
			if op == opLost {
				to = &m.lost
			}
			_, runs := r.records()
			for _, run := range runs {
				to.Add(run.First, run.Last)
			}
		case opPart:
			m.part(&r, handBacks)
			handBacks = 0
		case opAccepted:
			m.accepted = max(m.accepted, r.num())
		case opLetters:
			m.letters = max(m.letters, r.num())
		case opReturned:
			handBacks = int(min(r.num(), math.MaxInt32))
		default:
			return errNote
		}
		if r.err != nil {
			return r.err
		}
	}
	return nil
}

// part reads a part, which takes the place of those that have records of it.
func (m *recalled) part(r *reader, handBacks int) {
	p := &part{handBacks: handBacks}
	first, runs := r.records()
	p.runs, p.attempts, p.state = runs, int(r.num()), state(r.num())
	switch p.state {
	case waiting:
		if due := r.num(); due != 0 {
			p.due = time.Unix(0, int64(due))
		}
	case leased:
		p.nonce, p.remote = r.num(), r.num() == 1
	case dead:
		p.letter, p.at, p.bytes, p.reason = r.num(), int64(r.num()), int64(r.num()), queue.Reason(string(r.bytes()))
	default:
		r.err = errNote
	}
	if r.err != nil || len(runs) == 0 {
		return
	}
	m.letters = max(m.letters, p.letter)
	others := slices.DeleteFunc(m.parts[first], func(other *part) bool { return overlap(other.runs, runs) })
	m.parts[first] = append(others, p)
}

// settle takes records that are done or lost out of the parts.
func (m *recalled) settle() {
	for first, parts := range m.parts {
		parts = slices.DeleteFunc(parts, func(p *part) bool {
			p.runs = without(without(p.runs, &m.done), &m.lost)
			return len(p.runs) == 0
		})
		if m.parts[first] = parts; len(parts) == 0 {
			delete(m.parts, first)
		}
	}
}

// readNotes reads the notes of all segments.
func readNotes(l *log) *recalled {
	m := &recalled{parts: map[uint64][]*part{}, found: len(l.segs) > 0}
	for i, s := range l.segs {
		ordinal, damaged, snapshot := uint64(0), false, false
		end := scan(s.f, s.written, func(e *scanned) {
			damaged = damaged || e.bad != "" || ordinal > 0 && e.ordinal != ordinal
			ordinal = e.ordinal + 1
			if e.kind == kindNote && e.bad == "" && m.apply(e.payload) != nil {
				damaged = true
			}
			if !snapshot && e.kind == kindNote && e.last { // each segment begins with one, which says all once more
				snapshot = true
				m.damaged = m.damaged && damaged
			}
		}, func(from, to int64) { damaged = true })
		m.damaged = m.damaged || damaged
		s.size.Store(end)
		l.ordinal.Store(max(l.ordinal.Load(), ordinal))
		s.sealed = i < len(l.segs)-1
		if !s.sealed { // notes end with zeros, unless the file was cut or the disk full
			m.short = end == s.written
		}
	}
	m.settle()
	return m
}

func overlap(a, b []ranges.Range) bool {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i].Last < b[j].First:
			i++
		case b[j].Last < a[i].First:
			j++
		default:
			return true
		}
	}
	return false
}

// without returns the runs that are not in the set.
func without(runs []ranges.Range, s *ranges.Set) (out []ranges.Range) {
	for _, r := range runs {
		out = append(out, s.Gaps(r.First, r.Last)...)
	}
	return out
}

func count(runs []ranges.Range) (n int) {
	for _, r := range runs {
		n += int(r.Last - r.First + 1)
	}
	return n
}

// snapshot returns all facts, as notes of one group. The caller holds mu.
func (q *Queue) snapshot(g *group) {
	var f facts
	add := func(least int) {
		if len(f) > least {
			q.addNote(g, f)
			f = f[:0]
		}
	}
	f = append(f, opAccepted).num(q.next - 1)
	f = append(f, opLetters).num(q.letters)
	// Every record before the next one to be leased is done, lost, or in a part.
	var open []ranges.Range
	for _, e := range q.entries {
		for _, p := range e.parts {
			open = append(open, p.runs...)
		}
	}
	open = append(append(open, q.lost.Ranges()...), q.known.Gaps(q.fresh, math.MaxUint64-1)...)
	slices.SortFunc(open, func(a, b ranges.Range) int { return cmp.Compare(a.First, b.First) })
	next, done := uint64(1), int64(0)
	for _, r := range open {
		if r.First > next {
			f = f.done(next, ranges.Range{First: next, Last: r.First - 1})
			done += int64(r.First - next)
			add(maxNote)
		}
		next = max(next, r.Last+1)
	}
	if done != q.n.completed {
		q.log.Error("account does not close", "completed", q.n.completed, "neither_open_nor_lost", done)
	}
	for _, r := range q.lost.Ranges() {
		f = f.records(opLost, r.First, []ranges.Range{r})
		add(maxNote)
	}
	for _, e := range q.entries {
		for _, p := range e.parts {
			f = f.part(p)
			add(maxNote)
		}
	}
	add(0)
}

// maxNote is how long a note of a snapshot gets, in bytes.
const maxNote = 256 << 10

func (q *Queue) addNote(g *group, f facts) {
	g.add(header{kind: kindNote}, func(b []byte) ([]byte, error) { return append(b, f...), nil })
}

// note appends facts to the notes that are to be written. The caller holds mu and calls keep afterwards, without it.
func (q *Queue) note(f facts) {
	if !q.notesBroken {
		q.addNote(&q.notes, f)
	}
}

// keep returns once all notes so far are written. If they can't be written, only the state in memory is up to date, and the
// loop tries to write a snapshot of it: analyzers continue while a disk is full.
func (q *Queue) keep() { q.keeping.Do(struct{}{}) }

// writeNotes is the commit of keep.
func (q *Queue) writeNotes([]struct{}) {
	q.mu.Lock()
	q.writing, q.notes = q.notes, q.writing
	q.notes.reset()
	whole := q.snapshotDue
	if whole {
		q.writing.reset()
		q.snapshot(&q.writing)
		q.notesBroken, q.snapshotDue = false, false
	}
	q.mu.Unlock()
	if len(q.writing.entries) == 0 {
		return
	}
	var err error
	old := q.noteLog.all()
	if whole {
		_, err = q.noteLog.begin(header{})
	}
	if err == nil {
		_, _, err = q.noteLog.append(&q.writing, header{}, whole, whole)
	}
	if err == nil && whole {
		for _, s := range old {
			if err := q.noteLog.remove(s); err != nil {
				q.log.Warn("old notes not removed", "path", s.path, "error", err)
			}
		}
		q.snapshotBytes.Store(q.noteLog.bytes())
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.notesDirty = true
	if err != nil {
		if q.noteError == "" {
			q.log.Error("notes not written; what analyzers finish now may be analyzed again after a crash", "error", err)
		}
		q.notesBroken, q.noteError = true, err.Error()
		return
	}
	q.noteError = ""
}

// syncNotes makes all notes durable that were made before, and reports whether they are.
func (q *Queue) syncNotes() bool {
	q.keep()
	q.mu.Lock()
	dirty, ok := q.notesDirty, !q.notesBroken
	q.notesDirty = false
	q.mu.Unlock()
	s, _ := q.noteLog.tail()
	if !dirty || !ok || s == nil {
		return ok
	}
	if err := q.noteLog.sync(s); err != nil {
		q.log.Error("notes not synced; writing them anew", "path", s.path, "error", err)
		q.mu.Lock()
		q.notesBroken, q.noteError = true, err.Error()
		q.mu.Unlock()
		return false
	}
	return true
}
