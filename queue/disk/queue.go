package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice"
	groupcommit "github.com/sluicehq/sluice/internal/group"
	"github.com/sluicehq/sluice/internal/ranges"
	"github.com/sluicehq/sluice/queue"
)

// Queue is a durable queue in a folder. Make one with [Open].
type Queue struct {
	o       Options
	dir     string // of the engine's files
	log     *slog.Logger
	minFree int64
	lock    *os.File // nil where the file system is not the real one
	lockID  uint64

	puts    groupcommit.Committer[*putRequest]
	data    log
	putting group // used by the commit of puts alone

	keeping       groupcommit.Committer[struct{}]
	noteLog       log
	snapshotBytes atomic.Int64 // length of the notes when they began with a snapshot
	writing       group        // used by the commit of keeping alone

	sick  atomic.Pointer[string] // why batches can't be stored now; nil if they can
	space struct {
		sync.Mutex
		taken time.Time
		free  int64
	}

	reading sync.Mutex // held by who reads the next batch that was never leased; taken before mu
	cursor  cursor     // guarded by reading

	mu          sync.Mutex // guards all below, and what entries, parts and segments say
	closed      bool
	n           counts
	next        uint64 // number of the next record to be accepted
	fresh       uint64 // number of the next record that was never leased; every record before is done, lost, or in a part
	lost        ranges.Set
	known       ranges.Set        // records, some behind fresh, that were not fresh when the queue opened
	letters     uint64            // the largest ID of a dead letter
	entries     map[uint64]*entry // batches that were leased or stand apart, by their first record
	leases      map[uint64]*part  // by nonce
	due         dueParts          // parts that wait
	dead        []letter          // by ID, with some that are gone
	gone        int               // of dead
	oldest      *part             // the oldest part that is not dead; nil if unknown
	oldestFresh time.Time         // when the batch at fresh was accepted; zero if unknown
	waiters     []chan struct{}
	reported    map[string]bool // damage that was logged
	alarm       *time.Timer     // goes off when the next part is due
	notes       group
	notesDirty  bool   // some notes are not synced
	notesBroken bool   // notes can't be written; only a snapshot mends that
	snapshotDue bool   // the next notes to be written are a snapshot
	noteError   string // why

	stop chan struct{}  // closed by Close; ends the loop
	kick chan struct{}  // a segment may be deleted
	wg   sync.WaitGroup // of the loop

	calls sync.WaitGroup // that change something; none begins once closed is set
}

// counts are in records, except for the last five.
type counts struct {
	completed, dropped, dead, waiting, inFlight, lost, again int64
	handBacks                                                int64 // of batches and parts
	returning                                                int64 // parts that are not dead and were handed back often
	batches                                                  int64 // never leased, and parts that are not dead
	bytes                                                    int64 // of batches with records that are not dead
	live                                                     int64 // of these and of those with dead letters
}

type putRequest struct {
	batches []*sluice.Batch
	copies  []*entry // to be moved; instead of batches
	probe   bool     // only to see whether storing works; instead of batches
	err     error
}

// maxGroup bounds one write in bytes, and maxEntries in entries.
const (
	maxGroup   = 32 << 20
	maxEntries = 1 << 14
)

// Put stores batches; see [queue.Queue].
func (q *Queue) Put(ctx context.Context, batches ...*sluice.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(batches) > maxEntries {
		return fmt.Errorf("%d batches at once, must be at most %d", len(batches), maxEntries)
	}
	r := &putRequest{batches: batches}
	q.puts.Do(r)
	return r.err
}

// commitPuts stores the batches that were put while the last commit ran.
func (q *Queue) commitPuts(requests []*putRequest) {
	for len(requests) > 0 {
		g := &q.putting
		g.reset()
		n := 0
		for ; n < len(requests) && len(g.b) < maxGroup && len(g.entries) < maxEntries; n++ {
			r := requests[n]
			before := len(g.entries)
			if r.err = q.addTo(g, r); r.err != nil {
				g.cut(before)
			}
		}
		if len(g.entries) > 0 {
			if err := q.write(g); err != nil {
				for _, r := range requests[:n] {
					if r.err == nil {
						r.err = err
					}
				}
			} else {
				q.stored(g, requests[:n])
			}
		}
		requests = requests[n:]
	}
}

// addTo adds the batches of a request to the group, or returns why they can't be stored.
func (q *Queue) addTo(g *group, r *putRequest) error {
	if r.copies != nil {
		r.copies = slices.DeleteFunc(r.copies, func(e *entry) bool {
			data, err := q.readEntry(e)
			if err != nil { // this one stays in place, the others are moved
				q.reportDamage(damage{s: e.seg, from: e.off, to: e.off + e.total(), why: err.Error(), batches: 1, records: -1})
				return true
			}
			h := e.header
			h.kind = kindCopy
			g.add(h, func(b []byte) ([]byte, error) { return append(b, data...), nil })
			return false
		})
		return nil
	}
	if r.probe { // a segment of its own shows all that storing needs
		s, err := q.data.begin(q.start())
		if err == nil {
			err = q.data.sync(s)
		}
		if err == nil {
			q.recover()
		}
		return err
	}
	q.mu.Lock()
	closed, stored := q.closed, q.n.bytes
	q.mu.Unlock()
	if closed {
		return queue.ErrClosed
	}
	if free := q.free(); free >= 0 && free < q.minFree {
		return q.diskFull(q.minFree, free)
	}
	for _, b := range r.batches {
		h := header{kind: kindBatch, records: uint32(b.Len()), size: uint32(b.Size()), accepted: b.Accepted.UnixNano()}
		if b.Len() == 0 {
			return errors.New("a batch without records")
		}
		if err := h.setID(b.ID); err != nil {
			return err
		}
		if err := g.add(h, b.AppendEncode); err != nil {
			return err
		}
	}
	if stored+int64(len(g.b)) > q.o.MaxBytes {
		hint := "wait until analyzers have caught up, or raise max_bytes"
		if stored == 0 && len(g.entries) == len(r.batches) {
			hint = "these records alone are more than that: send fewer at once, or raise max_bytes"
		}
		return &queue.FullError{Limit: "max_bytes", Bound: q.o.MaxBytes, Now: stored, Hint: hint}
	}
	return nil
}

func (q *Queue) diskFull(wanted, free int64) error {
	return &queue.FullError{Limit: "min_free_bytes", Bound: wanted, Now: max(free, 0), Hint: "make room on the disk of " + q.o.Dir}
}

// write makes a group durable, or returns the error to answer with.
func (q *Queue) write(g *group) error {
	first := q.next // only this goroutine changes it
	durable := q.o.Durability == Disk
	for i := range g.entries {
		switch e := &g.entries[i]; e.kind {
		case kindBatch:
			e.first = first
			first = e.end()
		default:
			durable = true // the original will be deleted
		}
	}
	_, off, err := q.data.append(g, q.start(), true, durable)
	if err != nil {
		if noSpace(err) {
			return q.diskFull(max(q.minFree, int64(len(g.b))), 0)
		}
		q.fail("storing failed: " + err.Error())
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	q.recover()
	for i := range g.entries {
		g.entries[i].at += int(off) // from here on in the segment
	}
	return nil
}

// start is the first entry of a segment that begins now.
func (q *Queue) start() header {
	h := header{first: q.next}
	h.setNotes(q.noteLog.ordinal.Load())
	return h
}

// stored counts the written batches.
func (q *Queue) stored(g *group, requests []*putRequest) {
	s := q.data.last()
	q.mu.Lock()
	i, added := 0, 0
	for _, r := range requests {
		if r.err != nil {
			continue
		}
		for range r.batches {
			h := &g.entries[i]
			q.next = h.end()
			q.n.waiting += int64(h.records)
			q.n.batches++
			q.n.bytes += h.total()
			q.n.live += h.total()
			s.open++
			s.live += h.total()
			i, added = i+1, added+1
		}
		for _, e := range r.copies {
			if !e.finished() {
				e.seg.open--
				e.seg.live -= e.total()
				e.seg, e.off, e.kind = s, int64(g.entries[i].at), kindCopy
				s.open++
				s.live += e.total()
			}
			i++
		}
	}
	if added > 0 {
		q.note(append(facts(nil), opAccepted).num(q.next - 1))
	}
	q.wake(added)
	q.mu.Unlock()
	q.keep()
}

// intact returns an error if the files of the queue are no longer in place.
func (q *Queue) intact(s *segment) error {
	if err := q.o.files.Writable(q.dir); err != nil {
		return err
	}
	check := func(path string, identity uint64) error {
		id, err := q.o.files.Identity(path)
		if err == nil && id != identity {
			err = fmt.Errorf("%s was replaced by another file", path)
		}
		return err
	}
	if q.lock != nil {
		if err := check(filepath.Join(q.o.Dir, lockName), q.lockID); err != nil {
			return err
		}
	}
	if s == nil {
		return nil
	}
	return check(s.path, s.identity)
}

// fail notes why nothing can be stored, until recover.
func (q *Queue) fail(why string) {
	if old := q.sick.Swap(&why); old == nil || *old != why {
		q.log.Error("queue does not store", "reason", why)
	}
}

func (q *Queue) recover() {
	if q.sick.Load() != nil && q.sick.Swap(nil) != nil {
		q.log.Info("queue stores again")
	}
}

// Healthy returns why the queue can't store batches now, or nil. A full disk or queue does not count: it is temporary.
func (q *Queue) Healthy() error {
	q.mu.Lock()
	closed := q.closed
	q.mu.Unlock()
	if closed {
		return queue.ErrClosed
	}
	if why := q.sick.Load(); why != nil {
		return fmt.Errorf("%w: %s", queue.ErrUnavailable, *why)
	}
	return nil
}

// free returns the free bytes of the disk, measured at most five times a second, or -1 if unknown.
func (q *Queue) free() int64 {
	q.space.Lock()
	defer q.space.Unlock()
	if now := time.Now(); now.Sub(q.space.taken) > 200*time.Millisecond {
		q.space.free, _, _ = q.o.files.Space(q.o.Dir)
		q.space.taken = now
	}
	return q.space.free
}

// Stats counts; see [queue.Queue].
func (q *Queue) Stats(context.Context) (queue.Stats, error) {
	free := q.free()
	q.reading.Lock()
	q.peek() // for the age of the oldest
	q.reading.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queue.Stats{}, queue.ErrClosed
	}
	n := q.n
	return queue.Stats{
		Accepted: int64(q.next - 1), Completed: n.completed, Dropped: n.dropped, Dead: n.dead, Waiting: n.waiting, InFlight: n.inFlight,
		Lost: n.lost, Batches: n.batches, Bytes: n.bytes, LimitBytes: q.o.MaxBytes, FreeBytes: free, MinFreeBytes: q.minFree,
		OldestWait: q.oldestWait(time.Now()), Redelivers: n.again, HandBacks: n.handBacks, Returning: n.returning, Durability: string(q.o.Durability),
	}, nil
}

// Unfinished is how many records wait or are in flight, from memory: it may be asked many times a second.
func (q *Queue) Unfinished() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n.waiting + q.n.inFlight
}

// oldestWait is the age of the oldest batch that is not finished or dead. The caller holds mu.
func (q *Queue) oldestWait(now time.Time) time.Duration {
	if q.oldest == nil {
		for _, e := range q.entries {
			for _, p := range e.parts {
				if p.state != dead && (q.oldest == nil || e.accepted < q.oldest.e.accepted) {
					q.oldest = p
				}
			}
		}
	}
	oldest := q.oldestFresh
	if q.oldest != nil {
		if t := time.Unix(0, q.oldest.e.accepted); oldest.IsZero() || t.Before(oldest) {
			oldest = t
		}
	}
	if oldest.IsZero() {
		return 0
	}
	return max(now.Sub(oldest), 0)
}

// Close hands back the leases of this process and releases the folder. Leases of other processes live on: their tokens are
// still good when the queue opens again.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return queue.ErrClosed
	}
	q.closed = true
	for _, p := range q.leases {
		if !p.remote && !p.settling {
			q.handBack(p, time.Time{})
		}
	}
	q.wake(len(q.waiters))
	q.alarm.Stop()
	q.mu.Unlock()
	close(q.stop)
	q.wg.Wait()
	q.calls.Wait()
	q.mu.Lock()
	q.snapshotDue = q.notesBroken // the last chance
	q.mu.Unlock()
	q.puts.Do(&putRequest{}) // after the last commit
	var err error
	if !q.syncNotes() {
		err = errors.New("the last notes are not synced: some batches may be analyzed again")
	}
	return errors.Join(err, q.release())
}

// release closes whatever Open has opened.
func (q *Queue) release() error {
	err := errors.Join(q.data.close(), q.noteLog.close())
	if q.lock != nil {
		err = errors.Join(err, q.lock.Close())
	}
	return err
}
