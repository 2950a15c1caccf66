package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// held is an unfinished batch that was leased at least once. Its fields are guarded by Queue.mu, but for batch and records,
// which do not change while it is open, and all of them while settling, when only the settling call touches it.
type held struct {
	trace
	slot     int // in the journal
	analyzer string
	expires  time.Time
	batch    *sluice.Batch // nil unless open
	stored   time.Time     // when its message was
	msg      *nats.Msg     // nil where this life of the server has not delivered it
	moved    int           // records of it that are stored elsewhere already
	settling bool          // a call is finishing or returning it
	due      time.Time     // not open: when it may be leased again
	vanished bool          // its last lease ended with the process that worked on it
}

func (h *held) batchID() string {
	if h.batch == nil {
		return "unreadable"
	}
	return h.batch.ID
}

// lookAgain is how often a waiting Lease looks without having been woken. It only matters where a hint was wrong.
const lookAgain = time.Second

// Lease hands out batches; see [queue.Leaser].
func (q *Queue) Lease(ctx context.Context, r queue.Request) ([]queue.Lease, error) {
	deadline := time.NewTimer(r.Wait)
	defer deadline.Stop()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		woken := make(chan struct{})
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return nil, queue.ErrClosed
		}
		q.waiters = append(q.waiters, woken)
		q.mu.Unlock()

		leases, err := q.leaseNow(r)
		if len(leases) > 0 || err != nil || r.Wait <= 0 {
			q.unwait(woken)
			return leases, err
		}
		select {
		case <-woken:
		case <-look.C:
			q.refreshHints()
		case <-deadline.C:
			q.unwait(woken)
			return nil, nil
		case <-ctx.Done():
			q.unwait(woken)
			return nil, ctx.Err()
		}
		q.unwait(woken)
	}
}

// unwait takes a waiter off the list; one that was woken but will not look passes the word on.
func (q *Queue) unwait(woken chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiters {
		if w == woken {
			q.waiters = append(q.waiters[:i], q.waiters[i+1:]...)
			return
		}
	}
	for _, p := range q.parts {
		if p.ready > 0 {
			q.wake(1)
			return
		}
	}
}

// refreshHints sets each partition's hint to what should be there.
func (q *Queue) refreshHints() {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]int64, len(q.parts))
	now := time.Now()
	for _, h := range q.held {
		if h.open || h.due.After(now) {
			out[h.part]++
		}
	}
	for _, p := range q.parts {
		p.ready = int(max(p.batches-out[p.index], 0))
	}
}

// leaseNow fetches what is there, without waiting.
func (q *Queue) leaseNow(r queue.Request) ([]queue.Lease, error) {
	if err := q.enter(); errors.Is(err, queue.ErrUnavailable) {
		return nil, nil // leases go on when the server is back; nobody has to hear of it
	} else if err != nil {
		return nil, err
	}
	defer q.life.RUnlock()
	var leases []queue.Lease
	want := max(r.Max, 1)
	for _, p := range q.oldestFirst() {
		for len(leases) < want {
			q.mu.Lock()
			k := min(want-len(leases), p.ready, maxPull)
			p.ready -= k
			q.mu.Unlock()
			if k == 0 {
				break
			}
			got, err := q.fetch(p, k, r)
			leases = append(leases, got...)
			if err != nil {
				q.raise("leasing got no answer: " + err.Error())
				return leases, nil
			}
			if len(got) < k {
				break
			}
		}
	}
	return leases, nil
}

// oldestFirst lists the partitions that have something, the one whose front has waited longest first: each is a queue of its own, and
// records shall leave about in the order in which they came.
func (q *Queue) oldestFirst() []*partition {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := make([]*partition, 0, len(q.parts))
	for _, p := range q.parts {
		if p.ready > 0 {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *partition) int { return a.front.Compare(b.front) })
	return list
}

// fetch asks the server for k messages of a partition.
func (q *Queue) fetch(p *partition, k int, r queue.Request) ([]queue.Lease, error) {
	var leases []queue.Lease
	received, err := q.e.pull(p.index, k, func(m *nats.Msg) {
		if l, ok := q.deliver(p, m, r); ok {
			leases = append(leases, l)
		}
	})
	if received < k {
		q.hintLater(p, k-received)
	}
	return leases, err
}

// hintLater renews a hint that a fetch did not find true. The server takes back a returned batch a moment after it was
// told to, so what was promised may come up a little later.
func (q *Queue) hintLater(p *partition, k int) {
	time.AfterFunc(20*time.Millisecond, func() {
		q.refreshHints()
		q.mu.Lock()
		defer q.mu.Unlock()
		q.wake(min(k, p.ready))
	})
}

// deliver turns a fetched message into a lease, unless the batch must not be handed out now.
func (q *Queue) deliver(p *partition, m *nats.Msg, r queue.Request) (queue.Lease, bool) {
	meta, err := m.Metadata()
	if err != nil {
		q.log.Error("message without metadata left alone", "error", err)
		return queue.Lease{}, false
	}
	k := key{p.index, meta.Sequence.Stream}
	p.countedAll()
	if meta.NumDelivered > 1 && q.outdated(p, k) {
		return queue.Lease{}, false
	}

	batch, err := sluice.DecodeBatch(m.Data)
	h, ok := q.admit(k, m, meta.Timestamp, batch, r)
	if !ok {
		return queue.Lease{}, false
	}
	if err != nil {
		q.fail(h, queue.Failure{Reason: "stored form damaged: " + err.Error(), Discard: true})
		return queue.Lease{}, false
	}
	if h.vanished && h.attempts > 1 {
		// Delivering it once more could be what ends the process again: first see whether it has to be split.
		f := queue.Failure{Reason: "the process ended while it worked on this batch", Vanished: true}
		if step, _ := q.retry.After(f, h.attempts-1, h.records); step != queue.Again {
			q.mu.Lock()
			h.attempts--
			q.mu.Unlock()
			q.fail(h, f)
			return queue.Lease{}, false
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	h.settling, h.vanished = false, false
	return queue.Lease{Token: token(h.trace), Batch: batch, Attempt: h.attempts, Expires: h.expires}, true
}

// countedAll waits until every message that is visible is counted: whoever stores one holds the lock for both.
func (p *partition) countedAll() {
	p.put.Lock()
	defer p.put.Unlock()
}

// outdated says whether a message that was delivered before has been finished and deleted since it was sent.
func (q *Queue) outdated(p *partition, k key) bool {
	for {
		before := p.deletions.Load()
		q.mu.Lock()
		_, done := p.done[k.seq]
		held := q.held[k]
		q.mu.Unlock()
		if done || held != nil {
			return done
		}
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		_, err := q.e.streams[k.part].GetMsg(ctx, k.seq)
		cancel()
		if err != nil { // deleted, or not known to be there: then it comes again
			return true
		}
		if p.deletions.Load() == before {
			return false
		}
	}
}

// admit enters a delivered message as a lease that is still settling, or says that it must wait.
func (q *Queue) admit(k key, m *nats.Msg, stored time.Time, batch *sluice.Batch, r queue.Request) (*held, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, done := q.parts[k.part].done[k.seq]; done {
		return nil, false
	}
	h := q.held[k]
	now := time.Now()
	if h == nil {
		h = &held{trace: trace{key: k}, slot: q.journal.slot(), stored: stored}
		h.records, h.bytes = int(recordsOf(m.Subject)), storedBytes(m.Subject, m.Header, m.Data)
		h.attempts, _ = strconv.Atoi(m.Header.Get(headerAttempts))
		if ns, err := strconv.ParseInt(m.Header.Get(headerNotBefore), 10, 64); err == nil {
			h.due = time.Unix(0, ns)
		}
		q.held[k] = h
		if h.due.After(now) {
			h.msg = m
			q.returnAt(h, h.due.Sub(now))
			return nil, false
		}
	}
	h.msg = m
	if h.open || h.settling || h.due.After(now) { // known already: this delivery only brings a new handle
		return nil, false
	}
	h.open, h.settling = true, true
	h.remote, h.analyzer, h.nonce = r.Remote, r.Analyzer, rand.Uint64()
	h.attempts++
	h.expires = now.Add(q.o.Lease)
	h.batch = batch
	if batch != nil && h.attempts == 1 {
		q.parts[h.part].front = batch.Accepted // whatever is behind it came later
	}
	q.n.inFlight += int64(h.records)
	if h.attempts > 1 {
		q.n.again++
	}
	q.note(h)
	return h, true
}

// note writes what must be remembered of a batch.
func (q *Queue) note(h *held) {
	if err := q.journal.set(h.slot, h.trace); err != nil {
		q.log.Error("journal not written", "error", err)
	}
}

// token names a lease to the outside.
func token(t trace) string { return fmt.Sprintf("%d-%d-%016x", t.part, t.seq, t.nonce) }

// find returns the open lease of a token. The caller holds mu.
func (q *Queue) find(tok string) (*held, error) {
	var t trace
	if n, err := fmt.Sscanf(tok, "%d-%d-%016x", &t.part, &t.seq, &t.nonce); n != 3 || err != nil || token(t) != tok {
		return nil, queue.ErrLeaseExpired
	}
	h := q.held[t.key]
	if h == nil || !h.open || h.nonce != t.nonce || time.Now().After(h.expires) {
		return nil, queue.ErrLeaseExpired
	}
	return h, nil
}

// claim finds the open lease of a token and keeps everybody else from it until it is settled or unclaimed.
func (q *Queue) claim(tok string) (*held, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	h, err := q.find(tok)
	if err != nil || h.settling {
		return nil, queue.ErrLeaseExpired
	}
	h.settling = true
	return h, nil
}

func (q *Queue) unclaim(h *held) {
	q.mu.Lock()
	defer q.mu.Unlock()
	h.settling = false
}

// Extend prolongs a lease; see [queue.Leaser].
func (q *Queue) Extend(_ context.Context, tok string) (time.Time, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	h, err := q.find(tok)
	if err != nil {
		return time.Time{}, err
	}
	h.expires = time.Now().Add(q.o.Lease)
	return h.expires, nil
}

// Ack completes a batch; see [queue.Leaser].
func (q *Queue) Ack(ctx context.Context, tok string, failed ...queue.Failure) error {
	if err := q.enter(); err != nil {
		return err
	}
	defer q.life.RUnlock()
	h, err := q.claim(tok)
	if err != nil {
		return err
	}
	if len(failed) > 0 {
		if err := q.moveFailed(ctx, h, failed); err != nil {
			q.unclaim(h)
			return err
		}
	}
	if err := q.settle(h); err != nil {
		q.unclaim(h)
		return err
	}
	return nil
}

// Nack returns a batch; see [queue.Leaser].
func (q *Queue) Nack(_ context.Context, tok string, f queue.Failure) error {
	if err := q.enter(); err != nil {
		return err
	}
	defer q.life.RUnlock()
	h, err := q.claim(tok)
	if err != nil {
		return err
	}
	q.fail(h, f)
	return nil
}

// giveBack ends a claimed lease and makes its batch available after a delay.
func (q *Queue) giveBack(h *held, delay time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	h.open, h.settling, h.batch = false, false, nil
	q.n.inFlight -= int64(h.records)
	q.note(h)
	q.returnAt(h, delay)
}

// returnAt hands a batch to the server again after a delay. The caller holds life, at least for reading, and mu.
func (q *Queue) returnAt(h *held, delay time.Duration) {
	h.due = time.Now().Add(delay)
	back := func() {
		if h.msg != nil {
			q.e.back(h.msg)
		}
		q.parts[h.part].ready++
		q.wake(1)
	}
	if delay <= 0 {
		back()
		return
	}
	time.AfterFunc(delay, func() {
		q.life.RLock()
		defer q.life.RUnlock()
		q.mu.Lock()
		defer q.mu.Unlock()
		if !q.closed && !h.open {
			back()
		}
	})
}

// sweepLoop takes back the leases that ran out.
func (q *Queue) sweepLoop() {
	tick := time.NewTicker(min(max(q.o.Lease/10, 20*time.Millisecond), time.Second))
	defer tick.Stop()
	for {
		select {
		case <-q.done:
			return
		case now := <-tick.C:
			for _, h := range q.expired(now) {
				q.life.RLock()
				q.log.Warn("lease expired", "analyzer", h.analyzer, "batch", h.batchID(), "records", h.records, "attempt", h.attempts)
				q.fail(h, queue.Failure{Vanished: true, Delay: 1,
					Reason: fmt.Sprintf("lease expired: analyzer %q said nothing for %v", h.analyzer, q.o.Lease)})
				q.life.RUnlock()
			}
		}
	}
}

// expired claims all leases that have run out.
func (q *Queue) expired(now time.Time) (out []*held) {
	if q.down.Load() != nil {
		return nil // nothing can be moved now, and nobody else could lease it
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, h := range q.held {
		if h.open && !h.settling && now.After(h.expires) {
			h.settling = true
			out = append(out, h)
		}
	}
	return out
}

// recall takes up what the journal remembers of the last process. Leases of analyzers in other processes go on for one
// more lease time; those of the last process itself ended with it.
func (q *Queue) recall(ctx context.Context, traces map[int]trace) error {
	for slot, t := range traces {
		if t.part >= len(q.parts) || t.done {
			continue
		}
		m, err := q.e.streams[t.part].GetMsg(ctx, t.seq)
		if errors.Is(err, js.ErrMsgNotFound) {
			if err := q.journal.clear(slot); err != nil {
				return fmt.Errorf("write journal: %w", err)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("read message %d of partition %d: %w", t.seq, t.part, err)
		}
		h := &held{trace: t, slot: slot, stored: m.Time}
		h.records, h.bytes = int(recordsOf(m.Subject)), storedBytes(m.Subject, m.Header, m.Data)
		if t.open && t.remote {
			if h.batch, err = sluice.DecodeBatch(m.Data); err == nil {
				h.analyzer, h.expires = "of an earlier start", time.Now().Add(q.o.Lease)
				q.n.inFlight += int64(h.records)
				q.held[t.key] = h
				continue
			}
		}
		h.vanished, h.open = t.open, false
		q.held[t.key] = h
		q.note(h)
		if h.vanished { // it may be to blame: others go first, and a process that it ends again and again ends more slowly
			_, delay := q.retry.After(queue.Failure{Vanished: true}, t.attempts, 1)
			q.returnAt(h, delay)
		}
	}
	return nil
}
