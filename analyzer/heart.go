package analyzer

import (
	"context"
	"errors"
	"time"

	"github.com/sluicehq/sluice/queue"
)

// Leases are extended each time a third of them has passed. One timer does that for all batches of the pool: with a timer or a
// goroutine of its own, a batch that is done in microseconds would cost several times as much.

// keep sees to it that a lease is extended in time. The caller holds p.mu.
func (p *Pool) keep(h *hand, now time.Time) {
	if !h.unwanted {
		h.beatAt = now.Add(max(h.expires.Sub(now)/3, firstBackoff))
		p.beatBy(h.beatAt)
	}
}

// beatBy makes heartbeats be called no later than at a time. The caller holds p.mu.
func (p *Pool) beatBy(at time.Time) {
	if !p.beatAt.IsZero() && !at.Before(p.beatAt) {
		return
	}
	p.beatAt = at
	if p.heart == nil {
		p.heart = time.AfterFunc(time.Until(at), p.heartbeats)
	} else {
		p.heart.Reset(time.Until(at))
	}
}

func (p *Pool) stopHeart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heart != nil {
		p.heart.Stop()
	}
}

// heartbeats extends the leases that are due. Leases that were given up since the timer was set make it come too early, at
// most once in a third of a lease.
func (p *Pool) heartbeats() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.beatAt = time.Time{}
	for _, w := range p.workers {
		for h := range w.hands {
			switch {
			case h.beatAt.IsZero():
			case h.beatAt.After(now):
				p.beatBy(h.beatAt)
			default:
				h.beatAt, h.extending = time.Time{}, make(chan struct{})
				p.wg.Add(1)
				go p.extend(h, h.patience())
			}
		}
	}
}

// extend extends one lease. It ends the handler's context when the lease is lost: when the queue says so, or when its end
// passes while the queue does not answer.
func (p *Pool) extend(h *hand, deadline time.Time) {
	defer p.wg.Done()
	ctx, cancel := context.WithDeadline(h.ctx, deadline)
	defer cancel()
	until, err := p.source.Extend(ctx, h.lease.Token)
	p.mu.Lock()
	defer p.mu.Unlock()
	close(h.extending)
	h.extending = nil
	now := time.Now()
	switch {
	case h.returned || h.abandoned:
	case err == nil:
		h.expires = until
		p.keep(h, now)
	case errors.Is(err, queue.ErrLeaseExpired) || !now.Before(h.expires):
		h.lost = true
		h.cancel(errLeaseLost)
	default:
		p.keep(h, now)
	}
}

// quiet ends the extensions of a lease. One that is under way closes the channel it returns. The caller holds p.mu.
func (h *hand) quiet() (extending <-chan struct{}) {
	h.beatAt = time.Time{}
	return h.extending
}
