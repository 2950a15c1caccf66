package analyzer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
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
	unwanted bool          // hand back without a look
	cut      chan struct{} // closed when the time to drain is over; guarded by Pool.mu
	isCut    bool          // guarded by Pool.mu

	expires atomic.Int64 // end of the lease, nanoseconds since 1970
	lost    atomic.Bool  // the lease has ended
}

func newHand(w *worker, l queue.Lease) *hand {
	h := &hand{w: w, lease: l, since: time.Now(), cut: make(chan struct{})}
	if l.Expires.IsZero() {
		l.Expires = h.since.Add(unknownLease)
	}
	h.expires.Store(l.Expires.UnixNano())
	return h
}

func (h *hand) cutOff() {
	if !h.isCut {
		h.isCut = true
		close(h.cut)
	}
}

// work sees one batch through. Whatever happens, the batch ends up in exactly one of the counters.
func (p *Pool) work(h *hand) {
	defer p.wg.Done()
	var done Totals
	err, handBack := p.attend(h)
	switch {
	case h.lost.Load():
		p.o.Logger.Warn("lease lost before the batch was done", "analyzer", h.w.id, "batch", h.lease.Batch.ID)
		done.Late = 1
	case handBack:
		done = p.handBack(h)
	default:
		done = p.report(h, err)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	spent := time.Since(h.since)
	if done.Batches > 0 {
		done.ServiceSeconds = spent.Seconds()
	}
	if done.Batches+done.FailedBatches > 0 {
		h.w.took.add(spent)
	}
	if err != nil && !handBack {
		h.w.lastError, h.w.lastErrorAt = short(err.Error()), time.Now().Round(0).UTC()
	}
	delete(h.w.hands, h)
	if len(h.w.hands) == 0 && !h.w.draining {
		h.w.changed = time.Now()
	}
	h.w.totals.add(done)
	h.w.busy += spent
	p.totals.add(done)
	p.busy += spent
	h.w.poke()
}

// attend calls the handler and keeps the lease alive meanwhile. It returns the verdict, or handBack where the batch
// must go back because the analyzer leaves. A handler that returns nil in time is believed even then: the work is done.
func (p *Pool) attend(h *hand) (err error, handBack bool) {
	if h.unwanted {
		return nil, true
	}
	ctx, cancel := context.WithCancelCause(context.WithValue(context.WithoutCancel(p.calls), nameKey{}, h.w.id))
	defer cancel(errReturned)
	var keeper sync.WaitGroup
	keeping, stopKeeping := context.WithCancel(p.calls)
	keeper.Go(func() { p.keep(keeping, h, cancel) })
	defer keeper.Wait()
	defer stopKeeping()

	verdict := p.call(ctx, h)
	select {
	case err = <-verdict.err:
		return err, false
	case <-h.cut:
	}
	cancel(errLeaving)
	grace := time.NewTimer(cancelGrace)
	defer grace.Stop()
	select {
	case err = <-verdict.err:
		return nil, err != nil
	case <-grace.C:
		p.abandon(h, verdict)
		return nil, true
	}
}

// call is one call of the handler that goes on in a goroutine of its own.
type call struct {
	err       chan error // gets the verdict, once
	returned  bool       // guarded by Pool.mu, as the next
	abandoned bool
}

func (p *Pool) call(ctx context.Context, h *hand) *call {
	c := &call{err: make(chan error, 1)}
	go callSafely(ctx, p.handler, h.lease.Batch, func(err error) {
		p.mu.Lock()
		c.returned = true
		if c.abandoned {
			p.abandoned--
		}
		p.mu.Unlock()
		if e, ok := errors.AsType[*panicError](err); ok {
			p.panicked(h, e)
		}
		c.err <- err
	})
	return c
}

// abandon lets go of a handler that does not obey its context.
func (p *Pool) abandon(h *hand, c *call) {
	p.mu.Lock()
	if !c.returned {
		c.abandoned = true
		p.abandoned++
	}
	p.mu.Unlock()
	p.o.Logger.Warn("handler does not obey its context, going on without it",
		"analyzer", h.w.id, "batch", h.lease.Batch.ID)
}

func (p *Pool) panicked(h *hand, e *panicError) {
	p.o.Logger.Error("handler panicked", "analyzer", h.w.id, "batch", h.lease.Batch.ID,
		"attempt", h.lease.Attempt, "panic", e.value, "at", e.at, "stack", string(e.stack))
	p.mu.Lock()
	defer p.mu.Unlock()
	h.w.totals.Panics++
	p.totals.Panics++
}

// keep extends the lease each time a third of it has passed, and ends the handler's context when the lease is lost:
// when the queue says so, or when its end passes while the queue does not answer.
func (p *Pool) keep(ctx context.Context, h *hand, cancel context.CancelCauseFunc) {
	for {
		pause(ctx.Done(), max(time.Until(h.end())/3, firstBackoff))
		if ctx.Err() != nil {
			return
		}
		until, err := p.extend(ctx, h)
		switch {
		case err == nil:
			h.expires.Store(until.UnixNano())
		case ctx.Err() != nil:
			return
		case errors.Is(err, queue.ErrLeaseExpired) || !time.Now().Before(h.end()):
			h.lost.Store(true)
			cancel(errLeaseLost)
			return
		}
	}
}

func (p *Pool) extend(ctx context.Context, h *hand) (time.Time, error) {
	ctx, cancel := context.WithDeadline(ctx, h.patience())
	defer cancel()
	return p.source.Extend(ctx, h.lease.Token)
}

func (h *hand) end() time.Time { return time.Unix(0, h.expires.Load()) }

// patience is how long to wait for an answer about this batch: to the end of its lease, but not too short to get one.
func (h *hand) patience() time.Time {
	end := h.end()
	if least := time.Now().Add(lastBackoff); end.Before(least) {
		return least
	}
	return end
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

// tell makes a call to the queue and repeats it while the queue can't be reached, until the lease has ended or
// the time to drain is over. It is tried at least once, and reports whether the queue took it.
func (p *Pool) tell(h *hand, call func(context.Context) error) bool {
	ctx, cancel := context.WithDeadline(p.calls, h.patience())
	defer cancel()
	for n := 1; ; n++ {
		err := call(ctx)
		if err == nil {
			return true
		}
		if errors.Is(err, queue.ErrLeaseExpired) || ctx.Err() != nil || h.over() {
			p.o.Logger.Warn("queue not told how a batch went, it will come again", "analyzer", h.w.id,
				"batch", h.lease.Batch.ID, "error", err)
			return false
		}
		pause(h.cut, backoff(n))
	}
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
