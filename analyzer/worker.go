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
type worker struct {
	id     string
	number int
	since  time.Time
	wake   chan struct{} // something changed: look again

	ready       bool      // has asked for work
	changed     time.Time // when it became ready, idle, or began to drain
	draining    bool
	deadline    time.Time // end of the drain
	cut         bool      // the deadline is over, and what was in hand then has been cut off
	hands       map[*hand]struct{}
	cancelLease context.CancelFunc // ends the request for leases under way; nil when there is none
	failures    int                // requests for leases that failed in a row; written by serve alone, under the lock
	totals      Totals             // but for BusySeconds
	busy        time.Duration      // spent on batches that are finished
	took        durations          // the last of them
	lastError   string             // of the handler
	lastErrorAt time.Time
}

// poke makes serve look again. It never blocks: one wake-up that is not yet taken is enough.
func (w *worker) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) stopLeasing() {
	if w.cancelLease != nil {
		w.cancelLease()
	}
}

// cutOff ends the time to drain: what is in hand is cancelled and handed back.
func (w *worker) cutOff() {
	w.cut = true
	for h := range w.hands {
		h.cutOff()
	}
}

// step is what an analyzer does next. The zero step waits until something changes.
type step struct {
	leave bool
	lease context.Context // ask for so many leases, unless this ends
	free  int
	until time.Time // wait no longer than this; zero means no end
}

// serve is the life of an analyzer: lease while slots are free, leave when told to and nothing is in hand.
func (p *Pool) serve(w *worker) {
	defer p.wg.Done()
	for {
		s := p.next(w)
		switch {
		case s.leave:
			return
		case s.lease != nil:
			p.lease(s.lease, w, s.free)
		default:
			w.wait(s.until)
		}
	}
}

// next decides under the lock, so that a worker which leaves can't be called back any more.
func (p *Pool) next(w *worker) step {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case w.draining && len(w.hands) == 0:
		p.leave(w)
		return step{leave: true}
	case w.draining && !w.cut && !time.Now().Before(w.deadline):
		w.cutOff()
		return step{}
	case w.draining && !w.cut:
		return step{until: w.deadline}
	case w.draining || len(w.hands) >= p.o.Slots:
		return step{}
	}
	ctx, cancel := context.WithCancel(p.calls)
	if !w.ready {
		w.ready, w.changed = true, time.Now()
	}
	w.cancelLease = cancel
	return step{lease: ctx, free: p.o.Slots - len(w.hands)}
}

func (w *worker) wait(until time.Time) {
	var over <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		over = t.C
	}
	select {
	case <-w.wake:
	case <-over:
	}
}

// lease asks the queue once, then rests if it could not answer.
func (p *Pool) lease(ctx context.Context, w *worker, free int) {
	defer w.cancelLease()
	wait := p.o.LeaseWait
	if w.failures > 0 {
		wait = 0 // only to know whether the queue is back
	}
	asked := time.Now()
	leases, err := p.source.Lease(ctx, queue.Request{Analyzer: w.id, Max: free, Wait: wait, Remote: p.o.Remote})
	p.take(w, leases, free)
	rest := time.Duration(0)
	switch {
	case ctx.Err() != nil: // this analyzer was told to leave; says nothing about the queue
		return
	case err != nil:
		rest = p.leaseFailed(w, err)
	default:
		p.leaseWorked(w)
		if len(leases) == 0 && wait > 0 && time.Since(asked) < firstBackoff {
			rest = backoff(1) // a queue that does not wait would be asked without pause
		}
	}
	pause(ctx.Done(), rest)
}

// take puts leases in hand. Those that arrive after the worker was told to leave, or beyond what was asked for, are
// handed back.
func (p *Pool) take(w *worker, leases []queue.Lease, free int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, l := range leases {
		h := newHand(w, l)
		h.unwanted = w.draining || i >= free
		if w.cut {
			h.cutOff()
		}
		w.hands[h] = struct{}{}
		p.wg.Add(1)
		go p.work(h)
	}
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
