package analyzer

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/sluicehq/sluice/queue"
)

// Back-off of requests for leases, acknowledgements and the like while the queue can't be reached.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// worker is one analyzer. All fields but the first block are guarded by Pool.mu.
//
// At most one goroutine serves a worker, which means that it leases while slots are free. Once all slots are taken there is
// nothing to lease, so that goroutine works on the last batch itself, and whichever goroutine is the first to finish a batch
// serves next. With one slot, no goroutine is started or woken for a batch. While nothing is in hand, there always is a
// goroutine that serves.
type worker struct {
	id       string
	number   int
	since    time.Time
	handling context.Context // what contexts of handlers are made of

	serving     bool      // a goroutine serves it
	ready       bool      // has asked for work
	changed     time.Time // when it became ready, idle, or began to drain
	draining    bool
	deadline    *time.Timer   // of the drain; nil before the first
	cut         chan struct{} // closed when the time to drain is over; each time it stays, there is a new one
	isCut       bool          // cut is closed
	hands       map[*hand]struct{}
	leasing     context.Context // of requests for leases; ends when it drains; each time it stays, there is a new one
	stopLeasing context.CancelFunc
	failures    int           // requests for leases that failed in a row; written by the goroutine that serves, under the lock
	totals      Totals        // but for BusySeconds
	busy        time.Duration // spent on batches that are finished
	took        durations     // the last of them
	lastError   string        // of the handler
	lastErrorAt time.Time
}

// stay makes the worker lease from now on. The caller holds Pool.mu, as for the three methods below.
func (w *worker) stay(calls context.Context) {
	w.cut, w.isCut = make(chan struct{}), false
	w.leasing, w.stopLeasing = context.WithCancel(calls)
}

// cutOff ends the time to drain: what is in hand is cancelled and handed back.
func (p *Pool) cutOff(w *worker) {
	if w.isCut {
		return
	}
	w.isCut = true
	close(w.cut)
	for h := range w.hands {
		p.cutShort(h)
	}
}

// returning is a batch in hand that was handed back often; nil when there is none.
func (w *worker) returning() *hand {
	for h := range w.hands {
		if h.lease.HandBacks >= queue.OftenHandedBack {
			return h
		}
	}
	return nil
}

// leastRecheck is the shortest time between two looks at a drain that waits for a batch.
const leastRecheck = time.Second

// drainEnded cuts off what is in hand, unless the worker was called back since the drain began. While it holds a batch that was
// handed back often, the drain goes on: as long as that batch's lease is extended, or until the pool ends.
func (p *Pool) drainEnded(w *worker, leasing context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.draining || w.leasing != leasing {
		return
	}
	h := w.returning()
	if h == nil || h.lost || p.state == poolEnding {
		p.cutOff(w)
		return
	}
	if !h.waitedFor {
		h.waitedFor = true
		p.o.Logger.Warn("drain waits for a batch that was handed back again and again", "analyzer", w.id,
			"batch", h.lease.Batch.ID, "hand_backs", h.lease.HandBacks, "duration_seconds", time.Since(h.since).Seconds())
	}
	p.setDeadline(w, max(p.o.DrainTimeout, leastRecheck))
}

// serve leases while slots are free, and leaves when told to and nothing is in hand.
func (p *Pool) serve(w *worker) {
	for {
		ctx, free := p.next(w)
		if free == 0 {
			return
		}
		if last := p.lease(ctx, w, free); last != nil && !p.work(last) {
			return
		}
	}
}

func (p *Pool) workThenServe(h *hand) {
	if p.work(h) {
		p.serve(h.w)
	}
}

// next says how many batches to lease until which context ends. After zero, the goroutine no longer serves. It decides
// under the lock, so that a worker which leaves can't be called back any more.
func (p *Pool) next(w *worker) (ctx context.Context, free int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	free = p.o.Slots - len(w.hands)
	if w.draining || free <= 0 { // a goroutine that finishes a batch serves next
		w.serving = false
		if w.draining && len(w.hands) == 0 {
			p.leave(w)
		}
		return nil, 0
	}
	if !w.ready {
		w.ready, w.changed = true, time.Now()
	}
	return w.leasing, free
}

// lease asks the queue once, then rests if it could not answer. It returns a batch where that takes the last free slot, for
// the caller to work on.
func (p *Pool) lease(ctx context.Context, w *worker, free int) *hand {
	wait := p.o.LeaseWait
	if w.failures > 0 {
		wait = 0 // only to know whether the queue is back
	}
	asked := time.Now()
	leases, err := p.source.Lease(ctx, queue.Request{Analyzer: w.id, Max: free, Wait: wait, Remote: p.o.Remote})
	last := p.take(w, leases, free)
	rest := time.Duration(0)
	switch {
	case ctx.Err() != nil: // this analyzer was told to leave; says nothing about the queue
		return last
	case err != nil:
		rest = p.leaseFailed(w, err)
	default:
		p.leaseWorked(w)
		if len(leases) == 0 && wait > 0 && time.Since(asked) < firstBackoff {
			rest = backoff(1) // a queue that does not wait would be asked without pause
		}
	}
	pause(ctx.Done(), rest)
	return last
}

// take puts leases in hand. Those that arrive after the worker was told to leave, or beyond what was asked for, are
// handed back. It returns the last one if that leaves no slot free, and then the goroutine no longer serves.
func (p *Pool) take(w *worker, leases []queue.Lease, free int) (last *hand) {
	if len(leases) == 0 {
		return nil
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, l := range leases {
		h := newHand(w, l, now)
		h.unwanted = w.draining || i >= free
		w.hands[h] = struct{}{}
		p.wg.Add(1)
		if i == len(leases)-1 && len(leases) >= free {
			w.serving = false
			last = h
		} else {
			go p.workThenServe(h)
		}
		p.keep(h, now)
	}
	return last
}

// leaseFailed notes the failure and returns how long to rest. The first analyzer that fails speaks for all.
func (p *Pool) leaseFailed(w *worker, err error) time.Duration {
	p.mu.Lock()
	if w.failures == 0 {
		p.failing++
	}
	w.failures++
	p.leaseError = err.Error()
	first := w.failures == 1 && p.failing == 1
	if first {
		p.failedAt = time.Now()
	}
	p.mu.Unlock()
	if first {
		p.o.Logger.Warn("queue unavailable, trying again", "error", err)
	}
	return backoff(w.failures)
}

// leaseWorked notes that the queue answered. It counts as back once every analyzer has got through.
func (p *Pool) leaseWorked(w *worker) {
	if w.failures == 0 {
		return
	}
	p.mu.Lock()
	w.failures = 0
	p.failing--
	last := p.failing == 0
	if last {
		p.leaseError = ""
	}
	away := time.Since(p.failedAt)
	p.mu.Unlock()
	if last {
		p.o.Logger.Info("queue available again", "away_seconds", away.Seconds())
	}
}

// backoff is the rest after the n-th failure in a row, from 1: doubling, with the upper half left to chance, so that
// analyzers which failed together do not come back together.
func backoff(n int) time.Duration {
	d := min(firstBackoff<<min(n-1, 10), lastBackoff)
	return d/2 + rand.N(d/2+1)
}

// pause waits for d, or until stop is closed.
func pause(stop <-chan struct{}, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-stop:
	case <-t.C:
	}
}
