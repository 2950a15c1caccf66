package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/ranges"
	"github.com/sluicehq/sluice/queue"
)

// The names in the data folder.
const (
	lockName    = "LOCK"
	queueName   = "queue"    // the folder of the engine's files
	batchEnding = ".batches" // of segments with batches
	noteEnding  = ".notes"   // of segments with notes
	badEnding   = ".bad"     // of copies of damaged bytes and of files set aside
)

// Open takes the data folder for this process and opens the queue in it. A folder that another process uses gives a
// [LockedError], one of another version a [FormatError].
func Open(_ context.Context, o Options) (*Queue, error) {
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	q := &Queue{
		o: o, dir: filepath.Join(o.Dir, queueName), log: o.Logger, next: 1, fresh: 1,
		entries: map[uint64]*entry{}, leases: map[uint64]*part{}, reported: map[string]bool{},
		stop: make(chan struct{}), kick: make(chan struct{}, 1),
	}
	q.puts.Commit, q.keeping.Commit = q.commitPuts, q.writeNotes
	q.data.fs, q.data.dir, q.data.ending, q.data.limit = o.files, q.dir, batchEnding, o.SegmentBytes
	q.noteLog.fs, q.noteLog.dir, q.noteLog.ending, q.noteLog.limit = o.files, q.dir, noteEnding, math.MaxInt64
	q.noteLog.reserve = noteReserve
	q.data.check = func(s *segment) error {
		if err := q.intact(s); err != nil {
			return fmt.Errorf("the data folder is not as it was: %w", err)
		}
		return nil
	}
	q.data.ordinal.Store(1)
	q.noteLog.ordinal.Store(1)
	q.alarm = time.AfterFunc(time.Hour, q.ring)
	q.alarm.Stop()
	if err := q.open(); err != nil {
		return nil, errors.Join(err, q.release())
	}
	q.wg.Go(q.loop)
	return q, nil
}

// noteReserve is how much of the notes' file is written ahead: some ten thousand batches can be finished on a full disk.
var noteReserve int64 = 2 << 20 // lowered by tests

func (q *Queue) open() error {
	files := q.o.files
	if err := files.MakeDir(q.o.Dir); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	if _, real := files.(osFiles); real {
		for _, old := range []string{"jetstream", "journal"} {
			if _, err := os.Stat(filepath.Join(q.o.Dir, old)); err == nil {
				return &FormatError{Path: filepath.Join(q.o.Dir, old), What: "the data folder belongs to a version of Sluice that stored batches in JetStream",
					Hint: "let that version analyze what is left (sluice run until its depth is 0), and decide about its dead letters, then delete the folder; or choose another one with --data"}
			}
		}
		var err error
		if q.lock, err = lockDir(q.o.Dir); err != nil {
			return err
		}
		if q.lockID, err = files.Identity(q.lock.Name()); err != nil {
			return err
		}
	}
	if err := files.MakeDir(q.dir); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	if err := files.SyncDir(q.o.Dir); err != nil {
		return fmt.Errorf("sync data folder: %w", err)
	}
	if err := files.SyncDir(filepath.Dir(filepath.Clean(q.o.Dir))); err != nil { // often made and synced by the operator
		q.log.Warn("name of the data folder not synced", "error", err)
	}
	_, size, err := files.Space(q.o.Dir)
	if err != nil {
		size = -1
	}
	q.minFree = q.o.minFree(size)
	for _, l := range []*log{&q.data, &q.noteLog} {
		if err := l.list(); err != nil {
			return fmt.Errorf("open queue: %w", err)
		}
		if err := q.setStrangeAside(l); err != nil {
			return err
		}
	}
	m := readNotes(&q.noteLog)
	v := &survey{q: q, m: m, bad: map[uint64]*entry{}}
	v.run()
	q.snapshotDue = m.damaged || m.short || !m.found
	q.notesDirty, q.noteLog.newName = true, true // what the last process wrote is perhaps not synced
	// What the last process wrote and did not sync must not be taken for safe.
	if s := q.data.last(); s != nil {
		q.data.newName = true
		if err := q.data.sync(s); err != nil {
			q.log.Error("last segment not synced", "segment", s.path, "error", err)
		}
	}
	q.recall(m, v)
	q.keep()
	return nil
}

// setStrangeAside takes out copies of segments under another name; a segment that has another's name and is no copy keeps
// the number that it begins with. A segment of another version is an error.
func (q *Queue) setStrangeAside(l *log) error {
	numbers, taken := map[*segment]uint64{}, map[uint64]bool{}
	for _, s := range l.segs {
		var h header
		b := make([]byte, headerSize)
		s.f.ReadAt(b, 0) // what can't be read is found out later
		if version, ok := foreign(b); ok {
			return &FormatError{Path: s.path, What: fmt.Sprintf("format version %d, this program reads version %d", version, formatVersion),
				Hint: "use the version of Sluice that wrote it, or choose another folder with --data"}
		}
		numbers[s] = s.number
		if h.decode(b) && h.kind == kindStart {
			numbers[s] = uint64(h.accepted)
		}
		taken[s.number] = taken[s.number] || numbers[s] == s.number
	}
	for _, s := range slices.Clone(l.segs) {
		number, aside := numbers[s], s.path+badEnding
		switch {
		case number == s.number:
		case !taken[number]:
			q.log.Error("segment has the name of another one", "path", s.path, "segment", number)
			s.number, taken[number] = number, true
		default:
			q.log.Error("file set aside: it is a copy of another segment", "path", s.path, "to", aside, "segment", number)
			l.segs = slices.DeleteFunc(l.segs, func(other *segment) bool { return other == s })
			if err := errors.Join(s.f.Close(), l.fs.Rename(s.path, aside)); err != nil {
				q.log.Error("file not set aside", "path", s.path, "error", err)
			}
		}
	}
	slices.SortFunc(l.segs, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	return nil
}

// survey reads the segments with batches and matches them with the notes.
type survey struct {
	q *Queue
	m *recalled

	found   ranges.Set        // records that are readable
	spans   ranges.Set        // numbers that the segments should have
	bad     map[uint64]*entry // batches whose payload is damaged, by their first record
	leased  uint64            // the number after the last record that was ever leased
	end     uint64            // the number after the last record that was found
	pending []scanned         // the group that is being read
	holes   []damage          // before it or in it
}

func (v *survey) run() {
	q, segs := v.q, v.q.data.segs
	v.leased, v.end = 1, 1
	for _, s := range []*ranges.Set{&v.m.done, &v.m.lost} {
		if r := s.Ranges(); len(r) > 0 {
			v.leased = max(v.leased, r[len(r)-1].Last+1)
		}
	}
	for _, parts := range v.m.parts {
		for _, p := range parts {
			v.leased = max(v.leased, p.runs[len(p.runs)-1].Last+1)
		}
	}
	void := make([]uint64, len(segs)) // for each segment the ordinal from which on its entries are void
	start := uint64(math.MaxUint64)
	for i := len(segs) - 1; i >= 0; i-- {
		void[i] = start
		var b [headerSize]byte
		var h header
		if _, err := segs[i].f.ReadAt(b[:], 0); err == nil && h.decode(b[:]) {
			start = h.ordinal
		}
	}
	for i, s := range segs {
		v.segment(s, void[i], i == len(segs)-1)
	}
	q.next = max(v.end, v.m.accepted+1, v.leased)
	for i, s := range segs { // its numbers go up to those of the next segment, unless one between is missing
		to := s.end
		for j := i + 1; ; j++ {
			if j == len(segs) {
				to = q.next
			} else if segs[j].number-s.number != uint64(j-i) {
				break
			} else if to = segs[j].first; to == 0 {
				continue
			}
			break
		}
		if s.first > 0 && to > s.first {
			v.spans.Add(s.first, to-1)
		}
	}
}

// segment reads one segment.
func (v *survey) segment(s *segment, void uint64, last bool) {
	q := v.q
	bad := false         // some entry is not as it was written
	clean := true        // the last entry is intact, so entries can be appended
	ordinal := uint64(0) // of the next entry
	next := uint64(0)    // the number of the next record, where known
	cut := s.written     // where void entries begin
	var hole *damage
	end := scan(s.f, s.written, func(e *scanned) {
		if e.ordinal >= void {
			cut = min(cut, e.off)
			return
		}
		if hole != nil {
			if hole.batches = int64(e.ordinal - ordinal); e.kind == kindBatch && next > 0 && e.first >= next {
				hole.records = int64(e.first - next)
			}
			v.holes = append(v.holes, *hole)
			hole = nil
		}
		if e.ordinal < ordinal {
			q.reportDamage(damage{s: s, from: e.off, to: e.off + e.total(), why: "out of order", batches: -1, records: -1})
			if e.kind == kindBatch || e.kind == kindCopy { // a repetition, or carried here by damage: it stands apart
				e.kind = kindCopy
				v.batch(s, e)
			}
			return
		}
		if len(v.pending) > 0 && e.ordinal-uint64(e.place) != v.pending[0].ordinal-uint64(v.pending[0].place) {
			v.settle(s)
		}
		ordinal, bad = e.ordinal+1, bad || e.bad != ""
		if e.kind == kindBatch || e.kind == kindStart {
			next = e.end()
		}
		v.pending = append(v.pending, *e)
		if e.last && len(v.pending) == int(e.place)+1 && !slices.ContainsFunc(v.pending, func(e scanned) bool { return e.bad != "" }) {
			v.settle(s)
		}
	}, func(from, to int64) {
		if from < cut {
			hole = &damage{s: s, from: from, to: to, why: "no header", batches: -1, records: -1}
		}
	})
	torn := last && len(v.pending) > 0 && !v.answered()
	if torn { // a write that the end of the process or of power cut short
		end, ordinal = v.pending[0].off, v.pending[0].ordinal-uint64(v.pending[0].place)
		if len(v.holes) > 0 {
			end = min(end, v.holes[0].from)
		}
		v.pending, v.holes, hole = nil, nil, nil
		q.log.Info("unfinished write passed over", "segment", s.path, "offset", end)
	}
	v.settle(s)
	clean = torn || !bad // else it could come to lie within the length that a damaged entry claims
	switch {
	case hole == nil:
	case !last && ordinal != void || last && v.m.accepted >= v.end:
		clean = false
		q.reportDamage(*hole)
	default: // no sender got an answer for it
		torn = last
	}
	end = min(end, cut)
	s.size.Store(end)
	q.data.ordinal.Store(max(q.data.ordinal.Load(), ordinal))
	// The rest of an unanswered write is cut off, or it would look like damage if the next segment is lost.
	if torn && s.f.Truncate(end) == nil {
		s.written = end
	}
	// A damaged end is never overwritten: another segment follows.
	s.sealed = !last || !clean || end == 0 || end != s.written
}

// answered reports whether a sender got an answer for a record of the pending group. A moved batch does not count while its
// original exists.
func (v *survey) answered() bool {
	return slices.ContainsFunc(v.pending, func(e scanned) bool {
		return e.kind == kindCopy && len(v.found.Gaps(e.first, e.first)) > 0 || e.kind == kindBatch && e.first <= v.m.accepted
	})
}

// settle takes over the entries of a group.
func (v *survey) settle(s *segment) {
	for _, d := range v.holes {
		v.q.reportDamage(d)
	}
	v.holes = nil
	for i := range v.pending {
		switch e := &v.pending[i]; e.kind {
		case kindStart:
			s.first, s.end, v.end = e.first, e.first, max(v.end, e.first)
			if e.notes() > v.q.noteLog.ordinal.Load() {
				v.m.short = true
			}
		case kindBatch:
			if s.first == 0 {
				s.first = e.first
			}
			s.end, v.end = max(s.end, e.end()), max(v.end, e.end())
			v.batch(s, e)
		case kindCopy:
			v.end = max(v.end, e.end())
			v.batch(s, e)
		}
	}
	v.pending = v.pending[:0]
}

// batch takes over a stored batch.
func (v *survey) batch(s *segment, e *scanned) {
	q, all := v.q, []ranges.Range{{First: e.first, Last: e.end() - 1}}
	at := &entry{header: e.header, seg: s, off: e.off}
	open := without(without(all, &v.m.done), &v.m.lost)
	if e.bad != "" {
		if len(open) > 0 {
			v.bad[e.first] = at
		}
		q.reportDamage(damage{s: s, from: e.off, to: min(e.off+e.total(), s.written), why: e.bad, batches: 1, records: int64(count(open))})
		return
	}
	known := len(without(all, &v.found)) == 0
	v.found.Add(all[0].First, all[0].Last)
	old := q.entries[e.first]
	switch {
	case len(open) == 0 || known && old == nil: // or a copy of a batch that was never leased, whose note was lost
		return
	case old != nil: // the original of a copy
		old.seg.open--
		old.seg.live -= old.total()
		q.n.live -= old.total()
		*old = *at
	case e.kind == kindCopy || e.first < v.leased:
		q.entries[e.first] = at
	default:
		if q.cursor.seg == nil {
			q.fresh, q.cursor = e.first, cursor{seg: s, off: e.off}
		}
		q.n.waiting += int64(e.records)
		q.n.batches++
		q.n.bytes += e.total()
	}
	q.n.live += e.total()
	s.open++
	s.live += e.total()
}

// recall takes up where the last process stopped.
func (q *Queue) recall(m *recalled, v *survey) {
	if q.cursor.seg == nil {
		q.fresh = q.next
	}
	for first, e := range v.bad { // a good copy may have been found
		if len(v.found.Gaps(first, first)) == 0 {
			delete(v.bad, first)
			continue
		}
		v.found.Add(first, e.end()-1)
		q.entries[first] = e
		e.seg.open++
		e.seg.live += e.total()
		q.n.live += e.total()
	}
	all := ranges.Set{}
	if q.next > 1 {
		all.Add(1, q.next-1)
	}
	missing := all.Without(&v.found).Without(&m.done).Without(&m.lost)
	if !m.found && q.next > 1 {
		q.log.Error("notes of finished batches are missing: batches may be analyzed again, and dead letters are tried again")
	}
	if m.damaged {
		q.log.Error("notes of finished batches are damaged: some batches may be analyzed again")
	}
	if m.damaged || m.short || !m.found { // then numbers of segments that are not there are those of batches that were finished
		finished := missing.Without(&v.spans)
		if n := finished.Len(); n > 0 && !m.short {
			q.log.Error("records of missing segments are taken for finished: the notes that would tell are damaged", "records", n)
		}
		m.done.AddSet(finished)
		missing = missing.Without(finished)
	}
	q.mu.Lock()
	q.lost.AddSet(&m.lost)
	q.n.lost = int64(m.lost.Len())
	q.lose(missing.Ranges())
	q.known.AddSet(&m.done)
	q.known.AddSet(&q.lost)
	for first, e := range q.entries {
		q.known.Add(first, e.end()-1)
	}
	q.n.completed = int64(m.done.Without(&m.lost).Len())
	q.letters = m.letters
	now := time.Now()
	var vanished, spoiled []*part
	for first, e := range q.entries {
		rest := without(without([]ranges.Range{{First: first, Last: e.end() - 1}}, &m.done), &q.lost)
		var named ranges.Set
		for _, p := range m.parts[first] {
			for _, r := range p.runs {
				named.Add(r.First, r.Last)
			}
			p.e, p.records = e, count(p.runs)
			was := p.state
			if was == leased && !p.remote { // it ended with its process
				vanished = append(vanished, p)
			}
			if was == leased {
				p.analyzer, p.expires = "of an earlier start", now.Add(q.o.Lease)
			}
			q.put(p, was, p.due)
		}
		if rest = without(rest, &named); len(rest) > 0 {
			q.put(&part{e: e, runs: rest, records: count(rest)}, waiting, time.Time{})
		}
		if v.bad[first] != nil {
			spoiled = append(spoiled, e.parts...)
		}
	}
	slices.SortFunc(q.dead, func(a, b letter) int { return cmp.Compare(a.id, b.id) })
	if open := q.n.completed + q.n.dead + q.n.waiting + q.n.inFlight + q.n.lost; open != int64(q.next-1) {
		q.log.Error("account does not close", "accepted", q.next-1, "sum", open)
	}
	for _, p := range spoiled {
		if p.state != dead {
			q.bury(p, "damaged on disk", 0)
		}
	}
	q.mu.Unlock()
	for _, p := range vanished {
		if p.state == leased {
			q.failed(p, queue.Failure{Vanished: true, Reason: "the process ended while it worked on this batch"})
		}
	}
}

// put puts a part into the queue in a state. The caller holds mu.
func (q *Queue) put(p *part, s state, due time.Time) {
	p.state = s
	q.link(p)
	switch s {
	case waiting:
		q.nowWaiting(p, due)
	case leased:
		q.nowLeased(p)
	default:
		q.nowDead(p)
	}
}
