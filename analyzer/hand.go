package analyzer

import (
	"context"
	"errors"
	"time"

	"github.com/sluicehq/sluice/queue"
)

// A handler whose context has ended gets this long to return before the pool lets go of its batch.
const cancelGrace = 500 * time.Millisecond

// A lease that names no end is taken to last this long.
const unknownLease = 30 * time.Second

// What the context of a handler ends with; see context.Cause.
var (
	errLeaving   = errors.New("the analyzer is leaving")
	errLeaseLost = errors.New("the lease was lost")
	errReturned  = errors.New("the handler has returned")
)

// hand is a batch in hand: from the lease until the queue was told how it went.
type hand struct {
	w        *worker
	lease    queue.Lease
	since    time.Time
	unwanted bool            // hand back without a look
	cut      <-chan struct{} // closed when the time to drain is over
	ctx      context.Context // of the handler
	cancel   context.CancelCauseFunc

	// Guarded by Pool.mu.
	expires   time.Time     // end of the lease
	beatAt    time.Time     // when to extend it; zero for not at all
	extending chan struct{} // closed when the extension under way is over; nil for none
	lost      bool          // the lease has ended
	returned  bool          // the handler has returned
	abandoned bool          // the pool went on without the handler
	waitedFor bool          // a drain that was over goes on because of it, and the log says so
}

func newHand(w *worker, l queue.Lease, now time.Time) *hand {
	h := &hand{w: w, lease: l, since: now, cut: w.cut, expires: l.Expires}
	if l.Expires.IsZero() {
		h.expires = now.Add(unknownLease)
	}
	h.ctx, h.cancel = context.WithCancelCause(w.handling)
	return h
}

// work sees one batch through. Whatever happens, the batch ends up in exactly one of the counters. It reports whether the
// goroutine is to serve the worker next.
func (p *Pool) work(h *hand) (serve bool) {
	if h.unwanted {
		h.cancel(errLeaving)
		return p.finish(h, p.handBack(h), nil)
	}
	callSafely(h.ctx, p.handler, h.lease.Batch, func(err error) {
		serve = p.handled(h, err)
		if serve && err == errGoexit { // which ends this goroutine
			go p.serve(h.w)
		}
	})
	return serve
}

// handled tells the queue what the handler found. A handler that returns nil in the time it has after its context ended is
// believed even then: the work is done.
func (p *Pool) handled(h *hand, err error) (serve bool) {
	h.cancel(errReturned)
	p.mu.Lock()
	h.returned = true
	if h.abandoned {
		p.abandoned--
	}
	extending := h.quiet()
	p.mu.Unlock()
	if e, ok := err.(*panicError); ok {
		p.panicked(h, e)
	}
	if extending != nil {
		<-extending // a queue refuses the second of two calls for one lease
	}
	p.mu.Lock()
	abandoned, lost := h.abandoned, h.lost
	p.mu.Unlock()
	switch {
	case abandoned:
		return false
	case lost:
		return p.finish(h, p.late(h), err)
	case err != nil && h.over():
		return p.finish(h, p.handBack(h), nil)
	}
	return p.finish(h, p.report(h, err), err)
}

// cutShort ends the handler's context and gives the handler a moment to return. The caller holds p.mu.
func (p *Pool) cutShort(h *hand) {
	if !h.unwanted && !h.returned {
		h.cancel(errLeaving)
		time.AfterFunc(cancelGrace, func() { p.abandon(h) })
	}
}

// abandon goes on without a handler that does not obey its context, and serves the worker where its goroutine was the one
// to do that.
func (p *Pool) abandon(h *hand) {
	p.mu.Lock()
	if h.returned {
		p.mu.Unlock()
		return
	}
	h.abandoned = true
	p.abandoned++
	extending, lost := h.quiet(), h.lost
	p.mu.Unlock()
	p.o.Logger.Warn("handler does not obey its context, going on without it",
		"analyzer", h.w.id, "batch", h.lease.Batch.ID)
	if extending != nil {
		<-extending
	}
	tell := p.handBack
	if lost {
		tell = p.late
	}
	if p.finish(h, tell(h), nil) {
		p.serve(h.w)
	}
}

// finish counts a batch that the pool is done with. It reports whether the caller is to serve the worker next.
func (p *Pool) finish(h *hand, done Totals, err error) (serve bool) {
	defer p.wg.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	w, now := h.w, time.Now()
	spent := now.Sub(h.since)
	if done.Batches > 0 {
		done.ServiceSeconds = spent.Seconds()
	}
	if done.Batches+done.FailedBatches > 0 {
		w.took.add(spent)
	}
	if err != nil {
		w.lastError, w.lastErrorAt = short(err.Error()), now.Round(0).UTC()
	}
	delete(w.hands, h)
	if len(w.hands) == 0 && !w.draining {
		w.changed = now
	}
	w.totals.add(done)
	w.busy += spent
	p.totals.add(done)
	p.busy += spent
	serve = !w.serving
	w.serving = true
	return serve
}

func (p *Pool) panicked(h *hand, e *panicError) {
	p.o.Logger.Error("handler panicked", "analyzer", h.w.id, "batch", h.lease.Batch.ID,
		"attempt", h.lease.Attempt, "panic", e.value, "at", e.at, "stack", string(e.stack))
	p.mu.Lock()
	defer p.mu.Unlock()
	h.w.totals.Panics++
	p.totals.Panics++
}

func (p *Pool) late(h *hand) Totals {
	p.o.Logger.Warn("lease lost before the batch was done", "analyzer", h.w.id, "batch", h.lease.Batch.ID)
	return Totals{Late: 1}
}

// patience is how long to wait for an answer about this batch: to the end of its lease, but not too short to get one.
func (h *hand) patience() time.Time {
	if least := time.Now().Add(lastBackoff); h.expires.Before(least) {
		return least
	}
	return h.expires
}

// report tells the queue what the handler found.
func (p *Pool) report(h *hand, verdict error) Totals {
	n := h.lease.Batch.Len()
	whole, records := judge(verdict, n)
	if verdict != nil {
		p.o.Logger.Debug("batch failed", "analyzer", h.w.id, "batch", h.lease.Batch.ID,
			"attempt", h.lease.Attempt, "whole", whole != nil, "error", verdict)
	}
	if whole != nil {
		if !p.tell(h, func(ctx context.Context) error { return p.source.Nack(ctx, h.lease.Token, *whole) }) {
			return Totals{Late: 1}
		}
		return Totals{FailedBatches: 1, FailedRecords: int64(n)}
	}
	if !p.tell(h, func(ctx context.Context) error { return p.source.Ack(ctx, h.lease.Token, records...) }) {
		return Totals{Late: 1}
	}
	failed := int64(len(records))
	return Totals{Batches: 1, Records: int64(n) - failed, Bytes: int64(h.lease.Batch.Size()), FailedRecords: failed}
}

func (p *Pool) handBack(h *hand) Totals {
	f := queue.Failure{Reason: errLeaving.Error(), HandBack: true}
	if !p.tell(h, func(ctx context.Context) error { return p.source.Nack(ctx, h.lease.Token, f) }) {
		return Totals{Late: 1}
	}
	return Totals{HandedBack: 1}
}

// endingPatience is how long a call is repeated, or waited for, while the pool ends: a queue that is away may well stay away.
const endingPatience = 5 * time.Second

// tell makes a call to the queue and repeats it while the queue can't be reached, until the lease has ended or
// the time to drain is over, or endingPatience while the pool ends. It is tried at least once, and reports whether the queue
// took it.
func (p *Pool) tell(h *hand, call func(context.Context) error) bool {
	ctx, cancel := context.WithDeadline(p.calls, h.patience())
	defer cancel()
	ending := false
	for n := 1; ; n++ {
		if !ending && p.ending() {
			ending = true
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(ctx, endingPatience)
			defer stop()
		}
		err := call(ctx)
		if err == nil {
			return true
		}
		if errors.Is(err, queue.ErrLeaseExpired) || ctx.Err() != nil || h.over() {
			p.o.Logger.Warn("queue not told how a batch went, it will come again", "analyzer", h.w.id,
				"batch", h.lease.Batch.ID, "error", err)
			return false
		}
		rest := backoff(n)
		if deadline, ok := ctx.Deadline(); ok {
			rest = min(rest, time.Until(deadline))
		}
		pause(h.cut, rest)
	}
}

// ending says that the pool was asked to stop.
func (p *Pool) ending() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == poolEnding
}

// over says that the time to drain has ended.
func (h *hand) over() bool {
	select {
	case <-h.cut:
		return true
	default:
		return false
	}
}
