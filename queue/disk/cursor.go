package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/sluicehq/sluice/internal/ranges"
	"github.com/sluicehq/sluice/queue"
)

// cursor is where the next batch lies that was never leased.
type cursor struct {
	seg    *segment // nil before the first
	off    int64
	before int64  // where the header before it ends
	head   header // of the entry at off, where peeked
	peeked bool
}

// peek returns the header of the next batch that was never leased, or nil. It skips damaged entries. The caller holds
// reading.
func (q *Queue) peek() *header {
	c := &q.cursor
	for {
		q.mu.Lock()
		fresh, next := q.fresh, q.next
		q.mu.Unlock()
		if fresh >= next {
			return nil
		}
		if c.peeked {
			return &c.head
		}
		size, after := q.data.around(c.seg)
		if c.seg == nil || c.off >= size {
			if after == nil { // there should be more
				q.miss(next)
				return nil
			}
			c.leave(q)
			c.seg, c.off, c.before = after, 0, 0
			continue
		}
		if err := c.readHeader(); err != nil {
			w := window{f: c.seg.f, size: size}
			to := w.find(c.before) // the length of the entry before may have led astray
			if to > c.off {
				q.reportDamage(damage{s: c.seg, from: c.off, to: to, why: err.Error(), batches: -1, records: -1})
			}
			c.off = to
			continue
		}
		c.before = c.off + headerSize
		if c.head.kind != kindBatch || c.head.first < fresh {
			c.off += c.head.total()
			continue
		}
		if c.head.first > fresh {
			q.miss(c.head.first)
		}
		q.mu.Lock()
		if q.isKnown(c.head.first) { // a dead letter already, because its payload is damaged
			q.passed(&c.head)
		} else {
			c.peeked, q.oldestFresh = true, time.Unix(0, c.head.accepted)
		}
		q.mu.Unlock()
	}
}

// isKnown reports whether a record behind the next fresh one is not fresh. The caller holds reading.
func (q *Queue) isKnown(n uint64) bool { return len(q.known.Gaps(n, n)) == 0 }

func (c *cursor) readHeader() (err error) {
	var b [headerSize]byte
	for range 1 + readTries {
		if _, err = c.seg.f.ReadAt(b[:], c.off); err == nil || err == io.EOF {
			break
		}
	}
	if err == nil && !c.head.decode(b[:]) {
		err = fmt.Errorf("not a header")
	}
	return err
}

// leave is called when every batch of the segment was leased at least once. If the segment is damaged, it recounts the
// unfinished batches: the lost ones are no longer among them.
func (c *cursor) leave(q *Queue) {
	if c.seg == nil || !c.seg.damaged {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	c.seg.open, c.seg.live = 0, 0
	for _, e := range q.entries {
		if e.seg == c.seg {
			c.seg.open++
			c.seg.live += e.total()
		}
	}
}

// passed moves the cursor behind a batch. The caller holds reading and mu.
func (q *Queue) passed(h *header) {
	q.cursor.off += h.total()
	q.cursor.peeked = false
	q.fresh, q.oldestFresh = h.end(), time.Time{}
}

// miss counts the records from the next fresh one up to a number as lost, except those that are accounted for. The caller
// holds reading.
func (q *Queue) miss(to uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	gaps := q.known.Gaps(q.fresh, to-1)
	q.fresh = to
	if len(gaps) == 0 {
		return
	}
	q.n.waiting -= q.lose(gaps)
	q.n.batches, q.n.bytes, q.n.live = 0, 0, 0 // of the lost ones nothing is known: count the others
	for _, e := range q.entries {
		q.n.live += e.total()
		if e.alive > 0 {
			q.n.bytes += e.total()
		}
		q.n.batches += int64(e.alive)
	}
	if to < q.next {
		q.countFresh()
	}
}

// lose counts records as lost. The caller holds mu and subtracts them from the count that they were part of.
func (q *Queue) lose(runs []ranges.Range) (n int64) {
	for i, r := range runs {
		q.lost.Add(r.First, r.Last)
		q.note(facts(nil).records(opLost, r.First, []ranges.Range{r}))
		if i < mostLosses {
			q.log.Error("records lost: damaged on disk", "records", r.Last-r.First+1, "first", r.First, "last", r.Last,
				"segment_or_after", q.segmentOf(r.First))
		}
	}
	n = int64(count(runs))
	if len(runs) > mostLosses {
		q.log.Error("more records lost: damaged on disk", "records", n-int64(count(runs[:mostLosses])), "ranges", len(runs)-mostLosses)
	}
	q.n.lost += n
	return n
}

// mostLosses is how many ranges of lost records are logged one by one.
const mostLosses = 20

// segmentOf returns the path of the segment that contains a record, or of the preceding one if that segment is missing.
func (q *Queue) segmentOf(n uint64) (path string) {
	for _, s := range q.data.all() {
		if s.first > 0 && s.first <= n {
			path = s.path
		}
	}
	return path
}

// damage is a stretch of a segment that can't be read.
type damage struct {
	s                *segment
	from, to         int64
	why              string
	batches, records int64 // that the stretch contained; -1 if unknown
}

// reportDamage logs a damaged stretch once and keeps a copy of it.
func (q *Queue) reportDamage(d damage) {
	path := fmt.Sprintf("%s-%d%s", d.s.path, d.from, badEnding)
	q.mu.Lock()
	known := q.reported[path]
	q.reported[path] = true
	d.s.damaged = true
	q.mu.Unlock()
	if known {
		return
	}
	to, err := q.o.files.Open(path, true)
	if errors.Is(err, fs.ErrExist) {
		q.log.Warn("still damaged on disk", "segment", d.s.path, "offset", d.from, "bytes", d.to-d.from, "copy", path)
		return
	}
	if err == nil {
		w := window{f: d.s.f, size: d.to}
		for off := d.from; off < d.to && err == nil; off += windowSize {
			_, err = to.WriteAt(w.read(off, windowSize), off-d.from)
		}
		err = errors.Join(err, to.Close())
	}
	args := []any{"segment", d.s.path, "offset", d.from, "bytes", d.to - d.from, "reason", d.why, "copy", path}
	if d.batches >= 0 {
		args = append(args, "batches", d.batches)
	}
	if d.records >= 0 {
		args = append(args, "records", d.records)
	}
	if err != nil {
		args = append(args, "copy_error", err)
	}
	q.log.Error("damaged on disk", args...)
}

// spoiled makes a claimed part that can't be read a dead letter.
func (q *Queue) spoiled(p *part, err error) {
	q.mu.Lock()
	d := damage{s: p.e.seg, from: p.e.off, to: p.e.off + p.e.total(), why: err.Error(), batches: 1, records: int64(p.records)}
	q.mu.Unlock()
	q.reportDamage(d)
	q.mu.Lock()
	q.bury(p, queue.Reason(err.Error()), 0)
	q.mu.Unlock()
	q.keep()
}

// countFresh counts batches and bytes from the cursor on, by reading them. The caller holds reading and mu.
func (q *Queue) countFresh() {
	for _, s := range q.data.all() {
		size, _ := q.data.around(s)
		if s.number < q.cursor.seg.number {
			continue
		}
		scan(s.f, size, func(h *scanned) {
			if h.kind == kindBatch && h.first >= q.fresh && h.end() <= q.next && !q.isKnown(h.first) {
				q.n.batches++
				q.n.bytes += h.total()
				q.n.live += h.total()
			}
		}, func(from, to int64) {})
	}
}
