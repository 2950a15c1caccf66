package remote

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/queue"
)

// A request costs more than most batches do. So requests for leases and acknowledgements share one: what comes while a shared
// request is under way goes with the next. Shared requests do not wait for batches. An analyzer that gets none waits with a
// request of its own, so that nothing waits for it.

// Bounds of a shared request. The distributor refuses more.
const (
	maxSharedLeases = 64
	maxSharedAcks   = 256
)

// part is what one caller wants of a shared request: an acknowledgement, or else leases.
type part struct {
	token string // to acknowledge

	analyzer string
	max      int
	leases   []queue.Lease

	err  error
	done chan struct{} // closed, under sharing.mu, once the above is final
	sent bool          // part of the request under way; guarded by sharing.mu, as the next
	gone bool          // the caller does not wait any more
}

// sharing is the state of the shared requests of a client.
type sharing struct {
	mu      sync.Mutex
	pending []*part
	running bool               // a goroutine sends what is pending
	waiting int                // callers that wait for the request under way
	cancel  context.CancelFunc // ends it
	ended   sync.WaitGroup     // of that goroutine
}

// share sends p with others and returns once it was answered, or ctx has ended. What is leased for a caller that has left is
// handed back.
func (c *Client) share(ctx context.Context, p *part) error {
	p.done = make(chan struct{})
	s := &c.sharing
	s.mu.Lock()
	s.pending = append(s.pending, p)
	if !s.running {
		s.running = true
		s.ended.Go(c.sendPending)
	}
	s.mu.Unlock()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-p.done:
		return p.err
	default:
	}
	p.gone = true
	if p.sent {
		if s.waiting--; s.waiting == 0 {
			s.cancel()
		}
	}
	return ctx.Err()
}

// sendPending sends what is pending, one request after the other.
func (c *Client) sendPending() {
	for {
		runtime.Gosched() // callers that were just answered may have something for this request
		acks, wants := c.sharing.take()
		if len(acks)+len(wants) == 0 {
			return
		}
		err := c.sendShared(acks, wants)
		for _, p := range append(acks, wants...) {
			c.sharing.finish(p, err)
		}
	}
}

// take takes what goes into the next request. After nothing, no goroutine sends any more.
func (s *sharing) take() (acks, wants []*part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	leases := 0
	var rest []*part
	for _, p := range s.pending {
		switch {
		case p.gone:
			continue
		case p.token != "" && len(acks) < maxSharedAcks:
			acks = append(acks, p)
		case p.token == "" && leases+p.max <= maxSharedLeases:
			wants = append(wants, p)
			leases += p.max
		default:
			rest = append(rest, p)
			continue
		}
		p.sent = true
	}
	s.pending = rest
	s.waiting = len(acks) + len(wants)
	s.running = s.waiting > 0
	return acks, wants
}

// finish answers a caller, unless it was answered before. An err is of the request as a whole.
func (s *sharing) finish(p *part, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-p.done:
		return
	default:
	}
	if len(p.leases) == 0 {
		p.err = err
	}
	if !p.gone {
		s.waiting--
	}
	close(p.done)
}

// give adds a lease to what the caller gets, and says whether it still waits.
func (s *sharing) give(p *part, l queue.Lease) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.gone {
		p.leases = append(p.leases, l)
	}
	return !p.gone
}

// sendShared makes one request. An error is of all that has not been answered.
func (c *Client) sendShared(acks, wants []*part) error {
	ctx, cancel := context.WithTimeout(context.Background(), slack)
	defer cancel()
	c.sharing.mu.Lock()
	c.sharing.cancel = cancel
	if c.sharing.waiting == 0 { // all have left before it was set
		cancel()
	}
	c.sharing.mu.Unlock()

	req := LeaseRequest{}
	for _, p := range acks {
		req.Acks = append(req.Acks, p.token)
	}
	for _, p := range wants {
		for range p.max {
			req.Analyzers = append(req.Analyzers, p.analyzer)
		}
	}
	if len(wants) > 0 { // all that a distributor reads that does not know shared requests
		req.Analyzer, req.MaxBatches = wants[0].analyzer, len(req.Analyzers)
	}
	next := 0 // in wants
	var orphans []string
	answered, err := c.lease(ctx, req, func(i int, o Outcome) {
		acks[i].err = o.Err()
		c.sharing.finish(acks[i], acks[i].err)
	}, func(l queue.Lease) {
		if next == len(wants) || !c.sharing.give(wants[next], l) {
			orphans = append(orphans, l.Token)
		} else if len(wants[next].leases) < wants[next].max {
			return
		}
		if next < len(wants) {
			c.sharing.finish(wants[next], nil)
			next++
		}
	})
	for _, token := range orphans {
		c.Nack(context.Background(), token, queue.Failure{Reason: "the analyzer has left", HandBack: true}) // else its lease ends
	}
	if err == nil && !answered {
		for _, p := range acks {
			c.sharing.finish(p, c.ackAlone(ctx, p.token))
		}
	}
	return err
}

// lease makes one request for leases. It tells whether the acks in it were looked at: a distributor that does not know the
// stored form does not know them either.
func (c *Client) lease(ctx context.Context, r LeaseRequest, outcome func(int, Outcome), lease func(queue.Lease)) (acked bool, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return false, err
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/leases", body, StoredForm)
	if err != nil {
		if ctx.Err() == nil {
			c.stored.Store(false)
		}
		return false, err
	}
	defer done(resp)
	form, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	c.stored.Store(form == StoredForm)
	if form == StoredForm {
		err = readForm(resp.Body, len(r.Acks), r.MaxBatches, outcome, lease)
	} else {
		var answer LeaseAnswer
		err = json.NewDecoder(resp.Body).Decode(&answer)
		for _, l := range answer.Leases[:min(len(answer.Leases), r.MaxBatches)] {
			lease(queue.Lease{Token: l.Token, Attempt: l.Attempt, HandBacks: max(l.HandBacks, 0), Expires: time.Now().Add(seconds.Nearest(l.Seconds)), Batch: batchOf(l)})
		}
	}
	if err != nil {
		c.stored.Store(false)
		return false, c.unread(err)
	}
	return form == StoredForm, nil
}
