package disk

import (
	"errors"
	"io/fs"
	"math"
	"time"
)

// How often the loop looks after things that time brings.
const (
	syncTick  = time.Second // the notes are synced; the files looked at
	moveBytes = 8 << 20     // how much of a segment is moved at once, so that batches need not wait long to be stored
)

// loop does what no call waits for: it takes back leases that ran out, syncs notes, deletes and rewrites segments, and
// looks whether the files are still there.
func (q *Queue) loop() {
	leases := time.NewTicker(min(max(q.o.Lease/10, 20*time.Millisecond), time.Second))
	defer leases.Stop()
	sync := time.NewTicker(syncTick)
	defer sync.Stop()
	for {
		select {
		case <-q.stop:
			return
		case now := <-leases.C:
			if q.expire(now) {
				q.keep()
			}
		case <-q.kick:
			q.tidy()
		case <-sync.C:
			q.look()
			long := q.noteLog.bytes() > 4*q.snapshotBytes.Load()+minNotes
			q.mu.Lock()
			q.snapshotDue = long || q.notesBroken
			q.mu.Unlock()
			q.syncNotes()
			q.tidy()
		}
	}
}

// minNotes is how long the notes may get however little there is to note, in bytes.
const minNotes = 4 << 20

// ring is called when a part is due.
func (q *Queue) ring() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.rouse()
	}
}

// rouse wakes a waiting call if a batch can be leased now, and sets the alarm for the part that is due next. Each call that leases
// rouses the next one. The caller holds mu.
func (q *Queue) rouse() {
	wait := time.Duration(math.MaxInt64)
	if len(q.due) > 0 {
		wait = time.Until(q.due[0].due)
	}
	switch {
	case q.fresh < q.next || wait <= 0:
		q.wake(1)
	case len(q.due) > 0:
		q.alarm.Reset(wait)
	}
}

// look checks that the files of the queue are still in place, and whether storing works again.
func (q *Queue) look() {
	tail, _ := q.data.tail()
	err := q.intact(tail)
	if err != nil {
		q.fail("the data folder is not as it was: " + err.Error())
	}
	for _, s := range q.data.all() {
		id, err := q.o.files.Identity(s.path)
		gone := errors.Is(err, fs.ErrNotExist) || err == nil && id != s.identity
		q.mu.Lock()
		fresh := gone && !s.unlinked
		s.unlinked = gone
		q.mu.Unlock()
		if fresh {
			q.data.seal(s)
			q.log.Error("segment was removed or replaced; its batches are moved to another", "segment", s.path)
		}
	}
	if err == nil && q.sick.Load() != nil { // senders may wait for readiness, so the queue tries without them
		r := &putRequest{probe: true}
		q.puts.Do(r)
	}
}

// tidy deletes segments without unfinished batches. If the others take too much space, it moves their unfinished batches.
func (q *Queue) tidy() {
	for {
		var closed []*segment
		var worst *segment
		segs := q.data.all() // the last of which is kept: it may be written to, and numbers must not be used twice
		total := q.data.bytes()
		q.mu.Lock()
		live := q.n.live
		for i, s := range segs {
			switch last := i == len(segs)-1; {
			case s.open == 0 && !last:
				closed = append(closed, s)
			case s.damaged && !s.unlinked: // it can't be rewritten
				total -= s.size.Load()
				live -= s.live
			case s.unlinked && s.open > 0:
				worst = s
			case !last && (worst == nil || !worst.unlinked && s.use() < worst.use()):
				worst = s
			}
		}
		move := worst != nil && (worst.unlinked || total > 2*live+q.o.SegmentBytes)
		q.mu.Unlock()
		if len(closed) > 0 {
			if !q.syncNotes() {
				return
			}
			for _, s := range closed {
				q.reading.Lock() // the cursor may be on its way through it
				if q.cursor.seg == s {
					q.cursor.off = s.size.Load()
				}
				q.data.detach(s)
				q.reading.Unlock()
				if err := q.data.remove(s); err != nil { // a large file takes a while
					q.log.Warn("segment not deleted", "segment", s.path, "error", err)
				}
			}
			continue
		}
		if !move || !q.move(worst) {
			return
		}
	}
}

// use is how much of a segment is open.
func (s *segment) use() float64 { return float64(s.live) / float64(max(s.size.Load(), 1)) }

// move appends the unfinished batches of a segment to the end of the log once more, and reports whether that worked.
func (q *Queue) move(s *segment) bool {
	var open []*entry
	q.reading.Lock()
	for h := q.peek(); h != nil && q.cursor.seg.number <= s.number; h = q.peek() { // a moved batch needs a part of its own
		q.mu.Lock()
		p := q.takeFresh(h)
		q.nowWaiting(p, time.Time{})
		q.note(facts(nil).part(p))
		q.mu.Unlock()
	}
	q.mu.Lock()
	for _, e := range q.entries {
		if e.seg == s {
			open = append(open, e)
		}
	}
	q.mu.Unlock()
	q.reading.Unlock()
	for len(open) > 0 {
		n, bytes := 0, int64(0)
		for ; n < len(open) && n < maxEntries && bytes < moveBytes; n++ {
			bytes += open[n].total()
		}
		r := &putRequest{copies: open[:n]}
		q.puts.Do(r)
		if r.err != nil {
			q.log.Warn("segment not rewritten", "segment", s.path, "error", r.err)
			return false
		}
		open = open[n:]
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return s.open == 0
}
