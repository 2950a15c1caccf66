// Package tap lets people look at records where they pass: as they are accepted, and as they are done.
//
// The newest records of each place are kept, a few thousand in a few MiB, so that somebody who begins to look sees what has just passed
// and can search it. [Tap.Show] copies a batch as it is, mostly packed, and unpacks nothing: what looking costs, the one who looks pays, in
// a goroutine of its own. Where more passes than a bound, part of it is not copied, and a [Reader] counts it as skipped.
package tap

import (
	"slices"
	"sync"
	"time"

	"github.com/sluicehq/sluice"
)

// The places where records can be looked at.
const (
	In   = "in"   // accepted
	Done = "done" // analyzed
	Dead = "dead" // became a dead letter
)

const (
	mostReaders = 50              // that follow, at once, of all places; the next one takes the place of the one that has followed longest
	leastFollow = 2 * time.Second // for which nobody's place is taken

	// Of each place are kept:
	keptRecords = 5000
	keptBytes   = 8 << 20 // of lines, unpacked; the newest batch is kept whatever its size

	// At most so many bytes of lines, unpacked, are copied in each window; the batch that crosses the bound is copied still. That is 32 MiB
	// a second, and a memory copy of about a fifth of it, since most batches are packed.
	window      = 100 * time.Millisecond
	windowBytes = 3355443
)

// Tap is where records pass. The zero Tap is ready to use, and so is a nil one, which keeps nothing.
type Tap struct {
	in, done, dead place

	mu      sync.Mutex
	readers map[*Reader]struct{}
}

// place keeps the newest batches that passed.
type place struct {
	mu      sync.Mutex
	first   int64 // number of the first record that passed
	next    int64 // number of the next record; those not kept are counted too
	kept    []entry
	records int
	bytes   int
	began   time.Time // of the present window
	copied  int       // bytes, in it
}

// entry is a kept batch. It does not change any more.
type entry struct {
	first int64 // number of its first record
	at    time.Time
	batch *sluice.Batch
}

func (e entry) end() int64 { return e.first + int64(e.batch.Len()) }

func (t *Tap) place(edge string) *place {
	switch edge {
	case Done:
		return &t.done
	case Dead:
		return &t.dead
	}
	return &t.in
}

// Show keeps a copy of a batch that passes, within the bounds.
func (t *Tap) Show(edge string, b *sluice.Batch) {
	if t == nil || b.Len() == 0 {
		return
	}
	t.place(edge).add(time.Now(), b)
}

func (p *place) add(now time.Time, b *sluice.Batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == 0 {
		// Numbers go on over a restart, so that one that somebody kept does not name another record then.
		p.first = now.UnixMicro()
		p.next = p.first
	}
	first := p.next
	p.next += int64(b.Len())
	if since := now.Sub(p.began); since < 0 || since >= window {
		p.began, p.copied = now, 0
	}
	if p.copied >= windowBytes {
		return
	}
	p.copied += b.Size()
	p.kept = append(p.kept, entry{first, now, b.Clone()})
	p.records += b.Len()
	p.bytes += b.Size()
	n := 0
	for n < len(p.kept)-1 && (p.bytes > keptBytes || p.records-p.kept[n].batch.Len() >= keptRecords) {
		p.records -= p.kept[n].batch.Len()
		p.bytes -= p.kept[n].batch.Size()
		p.kept[n] = entry{}
		n++
	}
	p.kept = p.kept[n:]
}

// since returns what is kept of the records from a number on, and the number of the next record.
func (p *place) since(number int64) ([]entry, int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, _ := slices.BinarySearchFunc(p.kept, number, func(e entry, n int64) int {
		if e.end() <= n {
			return -1
		}
		return 1
	})
	return slices.Clone(p.kept[i:]), p.next
}

func (p *place) start() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first
}

// Look says that somebody looks at a place until the returned function is called. It is for those who do not follow it.
func (t *Tap) Look(edge string) (done func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &Reader{tap: t, q: Query{Edge: edge}}
	t.add(r)
	return r.Close
}

// add adds a reader. The caller holds mu.
func (t *Tap) add(r *Reader) {
	if t.readers == nil {
		t.readers = map[*Reader]struct{}{}
	}
	t.readers[r] = struct{}{}
}

// Read adds a reader, which takes the place of another where too many follow: else those who came first, and may not even read, would keep
// all others out. It returns nil where none has followed long enough to leave. The reader must be closed.
func (t *Tap) Read(q Query) *Reader {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	var oldest *Reader
	following := 0
	for r := range t.readers {
		if r.gone == nil {
			continue // it only looks
		}
		if following++; oldest == nil || r.since.Before(oldest.since) {
			oldest = r
		}
	}
	if following >= mostReaders {
		if now.Sub(oldest.since) < leastFollow {
			return nil
		}
		delete(t.readers, oldest)
		close(oldest.gone)
	}
	r := &Reader{tap: t, place: t.place(q.Edge), q: q, since: now, gone: make(chan struct{})}
	_, r.next = r.place.since(1<<63 - 1)
	t.add(r)
	return r
}

// Close ends a reader.
func (r *Reader) Close() {
	r.tap.mu.Lock()
	defer r.tap.mu.Unlock()
	delete(r.tap.readers, r)
}

// Listened says whether anybody looks at a place.
func (t *Tap) Listened(edge string) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for r := range t.readers {
		if r.q.Edge == edge {
			return true
		}
	}
	return false
}
