package disk

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/internal/ranges"
	"github.com/sluicehq/sluice/queue"
)

// Lease hands out batches; see [queue.Leaser].
func (q *Queue) Lease(ctx context.Context, r queue.Request) ([]queue.Lease, error) {
	var over <-chan time.Time
	for {
		leases, err := q.leaseNow(r)
		if len(leases) > 0 || err != nil || r.Wait <= 0 {
			return leases, err
		}
		if over == nil {
			timer := time.NewTimer(r.Wait)
			defer timer.Stop()
			over = timer.C
		}
		woken := make(chan struct{})
		q.mu.Lock()
		q.waiters = append(q.waiters, woken)
		if q.rouse(); q.closed { // for batches that arrived before this call was on the list
			q.wake(1)
		}
		q.mu.Unlock()
		select {
		case <-woken:
		case <-over:
			q.unwait(woken)
			return nil, nil
		case <-ctx.Done():
			q.unwait(woken)
			return nil, ctx.Err()
		}
	}
}

// wake lets up to k waiting calls look again. The caller holds mu.
func (q *Queue) wake(k int) {
	k = min(k, len(q.waiters))
	for _, w := range q.waiters[:k] {
		close(w)
	}
	q.waiters = slices.Delete(q.waiters, 0, k)
}

// unwait takes a waiter off the list; one that was woken but will not look passes the word on.
func (q *Queue) unwait(woken chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiters, woken); i >= 0 {
		q.waiters = slices.Delete(q.waiters, i, i+1)
		return
	}
	q.rouse()
}

// leaseNow leases the available batches, without waiting.
func (q *Queue) leaseNow(r queue.Request) ([]queue.Lease, error) {
	if err := q.enter(); err != nil {
		return nil, err
	}
	defer q.calls.Done()
	var parts []*part
	for len(parts) < max(r.Max, 1) {
		p, err := q.leaseOne(r)
		if err != nil {
			return nil, err
		}
		if p == nil {
			break
		}
		parts = append(parts, p)
	}
	if len(parts) == 0 {
		return nil, nil
	}
	q.keep()
	leases := make([]queue.Lease, 0, len(parts))
	for _, p := range parts {
		b, err := q.read(p)
		q.mu.Lock()
		p.settling = err != nil
		l := queue.Lease{Token: token(p.nonce), Batch: b, Attempt: p.attempts, HandBacks: p.handBacks, Expires: p.expires}
		q.mu.Unlock()
		if err != nil {
			q.spoiled(p, err)
			continue
		}
		leases = append(leases, l)
	}
	if len(leases) == 0 {
		return q.leaseNow(r)
	}
	return leases, nil
}

// enter keeps Close from releasing the files until calls.Done is called, or returns ErrClosed.
func (q *Queue) enter() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queue.ErrClosed
	}
	q.calls.Add(1)
	return nil
}

// leaseOne leases the part that is due, else the next batch that was never leased. It is settling until it was read.
func (q *Queue) leaseOne(r queue.Request) (*part, error) {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil, queue.ErrClosed
	}
	now := time.Now()
	if len(q.due) > 0 && !q.due[0].due.After(now) {
		defer q.mu.Unlock()
		p := q.due[0]
		q.quit(p)
		if p.attempts > 0 {
			q.n.again++
		}
		q.lease(p, r, now)
		q.rouse()
		return p, nil
	}
	q.mu.Unlock()

	q.reading.Lock()
	defer q.reading.Unlock()
	h := q.peek()
	if h == nil {
		return nil, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, queue.ErrClosed
	}
	p := q.takeFresh(h)
	q.lease(p, r, now)
	q.rouse()
	return p, nil
}

// takeFresh makes a part of the batch that peek returned, in no state yet. The caller holds reading and mu.
func (q *Queue) takeFresh(h *header) *part {
	e := &entry{header: *h, seg: q.cursor.seg, off: q.cursor.off}
	p := &part{e: e, runs: []ranges.Range{{First: h.first, Last: h.end() - 1}}, records: int(h.records)}
	q.n.waiting -= int64(p.records)
	q.n.bytes -= e.total() // link counts it again, as it does the batch
	q.n.batches--
	q.link(p)
	q.passed(h)
	return p
}

// lease makes a part leased. The caller holds mu.
func (q *Queue) lease(p *part, r queue.Request, now time.Time) {
	p.attempts++
	p.nonce, p.remote, p.analyzer, p.expires = rand.Uint64(), r.Remote, r.Analyzer, now.Add(q.o.Lease)
	p.settling = true
	q.nowLeased(p)
	q.note(facts(nil).part(p))
}

// token names a lease to the outside.
func token(nonce uint64) string { return fmt.Sprintf("%016x", nonce) }

// find returns the open lease of a token. The caller holds mu.
func (q *Queue) find(tok string) (*part, error) {
	if q.closed {
		return nil, queue.ErrClosed
	}
	nonce, err := strconv.ParseUint(tok, 16, 64)
	p := q.leases[nonce]
	if err != nil || len(tok) != 16 || p == nil || time.Now().After(p.expires) {
		return nil, queue.ErrLeaseExpired
	}
	return p, nil
}

// claim finds the open lease of a token and keeps all others from it until it is settled.
func (q *Queue) claim(tok string) (*part, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p, err := q.find(tok)
	if err != nil {
		return nil, err
	}
	if p.settling {
		return nil, queue.ErrLeaseExpired
	}
	p.settling = true
	q.calls.Add(1) // Done once settled and noted
	return p, nil
}

func (q *Queue) unclaim(p *part) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p.settling = false
}

// Extend prolongs a lease; see [queue.Leaser].
func (q *Queue) Extend(_ context.Context, tok string) (time.Time, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p, err := q.find(tok)
	if err != nil {
		return time.Time{}, err
	}
	p.expires = time.Now().Add(q.o.Lease)
	return p.expires, nil
}

// Ack completes a batch; see [queue.Leaser].
func (q *Queue) Ack(_ context.Context, tok string, failed ...queue.Failure) error {
	p, err := q.claim(tok)
	if err != nil {
		return err
	}
	defer q.calls.Done()
	if len(failed) > 0 {
		if err := q.ackSome(p, failed); err != nil {
			q.unclaim(p)
			return err
		}
	} else {
		q.mu.Lock()
		q.complete(p, p.runs)
		q.observeDone(p, p.records)
		q.mu.Unlock()
	}
	q.keep()
	return nil
}

// observeDone reports records of a part that an acknowledgement completed. The caller holds mu.
func (q *Queue) observeDone(p *part, records int) {
	if q.o.Observer != nil && records > 0 {
		q.o.Observer.Done(time.Unix(0, p.e.accepted), time.Now(), records)
	}
}

// ackSome completes a part except for its failed records.
func (q *Queue) ackSome(p *part, failed []queue.Failure) error {
	fates, parts, done, err := q.fates(p, failed)
	if err != nil {
		return err
	}
	sizes, due := make([]int64, len(parts)), make([]time.Time, len(parts))
	for i, to := range fates {
		if to.bury {
			sizes[i] = q.size(parts[i])
			continue
		}
		delay := to.delay
		if !to.free {
			_, delay = q.o.Retry.After(queue.Failure{Delay: delay}, p.attempts, 1)
		}
		due[i] = time.Now().Add(delay)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.replace(p, parts, done, due)
	q.observeDone(p, count(done))
	for i, to := range fates {
		switch {
		case to.bury:
			q.bury(parts[i], to.reason, sizes[i])
		case to.free:
			q.countHandBack(parts[i], p.analyzer)
		}
	}
	return nil
}

// Nack returns a batch; see [queue.Leaser].
func (q *Queue) Nack(_ context.Context, tok string, f queue.Failure) error {
	p, err := q.claim(tok)
	if err != nil {
		return err
	}
	defer q.calls.Done()
	q.failed(p, f)
	q.keep()
	return nil
}

// failed does with a claimed part what the retry rules say.
func (q *Queue) failed(p *part, f queue.Failure) {
	step, delay := q.o.Retry.After(f, p.attempts, p.records)
	size := int64(0)
	if step == queue.Bury && !f.HandBack {
		size = q.size(p)
	}
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case f.HandBack:
		q.handBack(p, now.Add(f.Delay))
	case step == queue.Again:
		q.wait(p, now.Add(delay))
	case step == queue.Bury:
		q.bury(p, f.Why(), size)
	default:
		parts := p.split()
		q.replace(p, parts, nil, slices.Repeat([]time.Time{now.Add(delay)}, len(parts)))
	}
}

// expire takes back the leases that ran out, and returns whether there were any.
func (q *Queue) expire(now time.Time) bool {
	var out []*part
	q.mu.Lock()
	for _, p := range q.leases {
		if !p.settling && now.After(p.expires) {
			p.settling = true
			out = append(out, p)
		}
	}
	q.mu.Unlock()
	for _, p := range out {
		q.log.Warn("lease expired", "analyzer", p.analyzer, "batch", p.e.batchID(), "records", p.records, "attempt", p.attempts)
		q.failed(p, queue.Failure{Vanished: true, Delay: 1,
			Reason: fmt.Sprintf("lease expired: analyzer %q gave no answer for %v", p.analyzer, q.o.Lease)})
	}
	return len(out) > 0
}

// Dead lists dead letters; see [queue.DeadLetters].
func (q *Queue) Dead(_ context.Context, after uint64, limit int) ([]queue.DeadLetter, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, queue.ErrClosed
	}
	letters := []queue.DeadLetter{}
	i, _ := slices.BinarySearchFunc(q.dead, after+1, func(l letter, id uint64) int { return cmp.Compare(l.id, id) })
	for ; i < len(q.dead) && len(letters) < limit; i++ {
		if l := q.dead[i]; l.there() {
			letters = append(letters, l.p.describe())
		}
	}
	return letters, nil
}

func (p *part) describe() queue.DeadLetter {
	return queue.DeadLetter{ID: p.letter, Batch: p.e.batchID(), Time: time.Unix(0, p.at).UTC(), Reason: p.reason,
		Attempts: p.attempts, Records: p.records, Bytes: int(p.bytes)}
}

// deadPart finds a dead letter. The caller holds mu.
func (q *Queue) deadPart(id uint64) (*part, error) {
	if q.closed {
		return nil, queue.ErrClosed
	}
	i, found := slices.BinarySearchFunc(q.dead, id, func(l letter, id uint64) int { return cmp.Compare(l.id, id) })
	if !found || !q.dead[i].there() {
		return nil, fmt.Errorf("dead letter %d: %w", id, queue.ErrNotFound)
	}
	return q.dead[i].p, nil
}

// DeadBatch reads a dead letter; see [queue.DeadLetters].
func (q *Queue) DeadBatch(_ context.Context, id uint64) (queue.DeadLetter, *sluice.Batch, error) {
	if err := q.enter(); err != nil {
		return queue.DeadLetter{}, nil, err
	}
	defer q.calls.Done()
	q.mu.Lock()
	p, err := q.deadPart(id)
	if err != nil {
		q.mu.Unlock()
		return queue.DeadLetter{}, nil, err
	}
	l := p.describe()
	q.mu.Unlock()
	b, err := q.read(p)
	if err != nil {
		return l, nil, fmt.Errorf("dead letter %d: %w", id, err)
	}
	return l, b, nil
}

// RetryDead puts a dead letter back to work; see [queue.DeadLetters].
func (q *Queue) RetryDead(_ context.Context, id uint64) error {
	return q.decide(id, func(p *part) {
		p.attempts, p.handBacks = 0, 0
		q.wait(p, time.Time{})
	})
}

// DropDead deletes a dead letter; see [queue.DeadLetters].
func (q *Queue) DropDead(_ context.Context, id uint64) error {
	return q.decide(id, func(p *part) {
		q.complete(p, p.runs)
		q.n.dropped += int64(p.records)
	})
}

// decide does with a dead letter what a person decided. The function is called with mu held.
func (q *Queue) decide(id uint64, do func(*part)) error {
	if err := q.enter(); err != nil {
		return err
	}
	defer q.calls.Done()
	q.mu.Lock()
	p, err := q.deadPart(id)
	if err == nil {
		do(p)
	}
	q.mu.Unlock()
	q.keep()
	return err
}
