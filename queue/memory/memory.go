// Package memory is a queue that lives and dies with its process: for tests, which may run it in a testing/synctest
// bubble, and for programs that can afford to lose their backlog. It keeps every promise of the contract but durability.
package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// Options are the settings. The zero value is a queue with the contract's defaults and no limit.
type Options struct {
	Lease    time.Duration // how long a batch is leased unless extended; zero means 30s
	MaxBytes int64         // most that unfinished batches may hold; zero means no limit
	Retry    queue.Retry   // what becomes of failed batches

	Observer queue.Observer // is told when records are done or dead; nil for none
}

// Queue is an in-memory queue. Make one with [New].
type Queue struct {
	o Options

	mu      sync.Mutex
	closed  bool
	changed chan struct{} // closed and replaced when a waiting Lease should look again
	items   []*item       // unfinished, the oldest first
	dead    []letter
	ids     uint64 // given out as tokens and as IDs of dead letters
	st      queue.Stats
}

type item struct {
	batch     *sluice.Batch
	attempts  int
	handBacks int
	due       time.Time // not leased before
	token     string    // of the open lease; empty when there is none
	analyzer  string
	expires   time.Time
}

type letter struct {
	queue.DeadLetter
	batch *sluice.Batch
}

// New makes an empty queue.
func New(o Options) (*Queue, error) {
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	o.Retry = o.Retry.WithDefaults()
	if o.Lease < 0 || o.MaxBytes < 0 {
		return nil, fmt.Errorf("queue: Lease is %v and MaxBytes %d, want neither below 0", o.Lease, o.MaxBytes)
	}
	return &Queue{o: o, changed: make(chan struct{})}, o.Retry.Validate()
}

// Put adds batches; see [queue.Queue].
func (q *Queue) Put(_ context.Context, batches ...*sluice.Batch) error {
	var size int64
	copies := make([]*sluice.Batch, len(batches)) // the caller may reuse the memory of its own
	for i, b := range batches {
		data, err := b.Encode()
		if err != nil {
			return err
		}
		if copies[i], err = sluice.DecodeBatch(data); err != nil {
			return err
		}
		size += int64(b.Size())
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queue.ErrClosed
	}
	if q.o.MaxBytes > 0 && q.st.Bytes+size > q.o.MaxBytes {
		return &queue.FullError{Limit: "max_bytes", Bound: q.o.MaxBytes, Now: q.st.Bytes, Hint: "wait until analyzers have caught up"}
	}
	for _, b := range copies {
		q.st.Accepted += int64(b.Len())
		q.add(&item{batch: b})
	}
	return nil
}

func (q *Queue) add(it *item) {
	q.items = append(q.items, it)
	q.st.Waiting += int64(it.batch.Len())
	q.st.Batches++
	q.st.Bytes += int64(it.batch.Size())
	q.notify()
}

func (q *Queue) notify() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Lease hands out batches; see [queue.Leaser].
func (q *Queue) Lease(ctx context.Context, r queue.Request) ([]queue.Lease, error) {
	deadline := time.Now().Add(r.Wait)
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return nil, queue.ErrClosed
		}
		now := time.Now()
		leases := q.leaseNow(r, now)
		until := min(deadline.Sub(now), q.nextChange(now))
		changed := q.changed
		q.mu.Unlock()
		if len(leases) > 0 || !now.Before(deadline) {
			return leases, nil
		}
		timer := time.NewTimer(until)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (q *Queue) leaseNow(r queue.Request, now time.Time) (leases []queue.Lease) {
	q.expire(now)
	for _, it := range q.items {
		if len(leases) == max(r.Max, 1) {
			break
		}
		if it.token != "" || it.due.After(now) {
			continue
		}
		q.ids++
		it.token, it.analyzer, it.expires = fmt.Sprint("m-", q.ids), r.Analyzer, now.Add(q.o.Lease)
		it.attempts++
		if it.attempts > 1 {
			q.st.Redelivers++
		}
		q.st.Waiting -= int64(it.batch.Len())
		q.st.InFlight += int64(it.batch.Len())
		leases = append(leases, queue.Lease{Token: it.token, Batch: it.batch, Attempt: it.attempts, HandBacks: it.handBacks, Expires: it.expires})
	}
	return leases
}

// nextChange is how long until time alone makes a batch available.
func (q *Queue) nextChange(now time.Time) time.Duration {
	next := time.Hour
	for _, it := range q.items {
		if it.token != "" {
			next = min(next, it.expires.Sub(now)+1)
		} else {
			next = min(next, it.due.Sub(now))
		}
	}
	return max(next, 0)
}

func (q *Queue) expire(now time.Time) {
	for i := 0; i < len(q.items); i++ {
		if it := q.items[i]; it.token != "" && now.After(it.expires) {
			q.fail(it, queue.Failure{Vanished: true, Delay: 1,
				Reason: fmt.Sprintf("lease expired: analyzer %q said nothing for %v", it.analyzer, q.o.Lease)}, now)
			i = -1 // items have changed: look through them again
		}
	}
}

// claim returns the item of an open lease. The caller holds mu.
func (q *Queue) claim(token string) (*item, error) {
	if q.closed {
		return nil, queue.ErrClosed
	}
	for _, it := range q.items {
		if it.token != "" && it.token == token && !time.Now().After(it.expires) {
			return it, nil
		}
	}
	return nil, queue.ErrLeaseExpired
}

// Extend prolongs a lease; see [queue.Leaser].
func (q *Queue) Extend(_ context.Context, token string) (time.Time, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it, err := q.claim(token)
	if err != nil {
		return time.Time{}, err
	}
	it.expires = time.Now().Add(q.o.Lease)
	return it.expires, nil
}

// Ack completes a batch; see [queue.Leaser].
func (q *Queue) Ack(_ context.Context, token string, failed ...queue.Failure) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	it, err := q.claim(token)
	if err != nil {
		return err
	}
	seen := map[int]bool{}
	for _, f := range failed {
		if f.Record < 0 || f.Record >= it.batch.Len() || seen[f.Record] {
			return fmt.Errorf("failed record %d: want each index once, from 0 to %d", f.Record, it.batch.Len()-1)
		}
		seen[f.Record] = true
	}
	for _, f := range failed {
		part, err := it.batch.Sub([]int{f.Record})
		if err != nil {
			return err
		}
		switch step, delay := q.o.Retry.After(f, it.attempts, 1); {
		case f.HandBack:
			q.st.HandBacks++
			q.add(&item{batch: part, attempts: it.attempts - 1, handBacks: it.handBacks + 1, due: time.Now().Add(f.Delay)})
		case step == queue.Bury:
			q.bury(part, it.attempts, f.Why())
		default:
			q.add(&item{batch: part, attempts: it.attempts, handBacks: it.handBacks, due: time.Now().Add(delay)})
		}
	}
	q.remove(it)
	done := it.batch.Len() - len(failed)
	q.st.Completed += int64(done)
	if q.o.Observer != nil && done > 0 {
		q.o.Observer.Done(it.batch.Accepted, time.Now(), done)
	}
	return nil
}

func (q *Queue) remove(it *item) {
	for i := range q.items {
		if q.items[i] == it {
			q.items = append(q.items[:i:i], q.items[i+1:]...)
			break
		}
	}
	q.st.InFlight -= int64(it.batch.Len())
	q.st.Batches--
	q.st.Bytes -= int64(it.batch.Size())
}

// Nack returns a batch; see [queue.Leaser].
func (q *Queue) Nack(_ context.Context, token string, f queue.Failure) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	it, err := q.claim(token)
	if err != nil {
		return err
	}
	q.fail(it, f, time.Now())
	return nil
}

func (q *Queue) fail(it *item, f queue.Failure, now time.Time) {
	step, delay := q.o.Retry.After(f, it.attempts, it.batch.Len())
	switch {
	case f.HandBack:
		it.attempts--
		it.handBacks++
		q.st.HandBacks++
		q.giveBack(it, now.Add(f.Delay))
	case step == queue.Again:
		q.giveBack(it, now.Add(delay))
	case step == queue.Bury:
		q.remove(it)
		q.bury(it.batch, it.attempts, f.Why())
	default:
		q.remove(it)
		for _, indexes := range queue.Parts(it.batch.Len()) {
			part, err := it.batch.Sub(indexes)
			if err != nil { // can't be: batches here were never packed
				panic(err)
			}
			q.add(&item{batch: part, attempts: it.attempts - 1, handBacks: it.handBacks, due: now.Add(delay)})
		}
	}
	q.notify()
}

func (q *Queue) giveBack(it *item, due time.Time) {
	it.token, it.due = "", due
	q.st.InFlight -= int64(it.batch.Len())
	q.st.Waiting += int64(it.batch.Len())
}

func (q *Queue) bury(b *sluice.Batch, attempts int, reason string) {
	q.ids++
	q.st.Dead += int64(b.Len())
	if q.o.Observer != nil {
		q.o.Observer.Dead(time.Now(), b.Len())
	}
	q.dead = append(q.dead, letter{queue.DeadLetter{
		ID: q.ids, Batch: b.ID, Time: time.Now(), Reason: reason, Attempts: attempts, Records: b.Len(), Bytes: b.Size(),
	}, b})
}

// Stats counts; see [queue.Queue].
func (q *Queue) Stats(context.Context) (queue.Stats, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queue.Stats{}, queue.ErrClosed
	}
	now := time.Now()
	q.expire(now)
	st := q.st
	st.LimitBytes, st.FreeBytes, st.Durability = q.o.MaxBytes, -1, "memory"
	for _, it := range q.items {
		st.OldestWait = max(st.OldestWait, now.Sub(it.batch.Accepted))
		if it.handBacks >= queue.OftenHandedBack {
			st.Returning++
		}
	}
	return st, nil
}

// Dead lists dead letters; see [queue.DeadLetters].
func (q *Queue) Dead(_ context.Context, after uint64, limit int) ([]queue.DeadLetter, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := []queue.DeadLetter{}
	for _, l := range q.dead {
		if l.ID > after && len(out) < limit {
			out = append(out, l.DeadLetter)
		}
	}
	return out, nil
}

func (q *Queue) findDead(id uint64) (int, error) {
	for i, l := range q.dead {
		if l.ID == id {
			return i, nil
		}
	}
	return 0, fmt.Errorf("dead letter %d: %w", id, queue.ErrNotFound)
}

// DeadBatch reads a dead letter; see [queue.DeadLetters].
func (q *Queue) DeadBatch(_ context.Context, id uint64) (queue.DeadLetter, *sluice.Batch, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i, err := q.findDead(id)
	if err != nil {
		return queue.DeadLetter{}, nil, err
	}
	return q.dead[i].DeadLetter, q.dead[i].batch, nil
}

// RetryDead puts a dead letter back to work; see [queue.DeadLetters].
func (q *Queue) RetryDead(_ context.Context, id uint64) error {
	return q.takeDead(id, func(b *sluice.Batch) { q.add(&item{batch: b}) })
}

// DropDead deletes a dead letter; see [queue.DeadLetters].
func (q *Queue) DropDead(_ context.Context, id uint64) error {
	return q.takeDead(id, func(b *sluice.Batch) {
		q.st.Completed += int64(b.Len())
		q.st.Dropped += int64(b.Len())
	})
}

func (q *Queue) takeDead(id uint64, then func(*sluice.Batch)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	i, err := q.findDead(id)
	if err != nil {
		return err
	}
	b := q.dead[i].batch
	q.dead = append(q.dead[:i:i], q.dead[i+1:]...)
	q.st.Dead -= int64(b.Len())
	then(b)
	return nil
}

// Close ends the queue and forgets what it holds.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queue.ErrClosed
	}
	q.closed = true
	q.notify()
	return nil
}
