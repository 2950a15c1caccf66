package api

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/internal/words"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// Bounds of a request for leases.
const (
	maxWait    = 60 * time.Second
	maxBatches = 64
	maxAcks    = 256
	maxDelay   = 7 * 24 * time.Hour
	maxAnswer  = 4 << 20 // bytes of batches after which no more are leased for one answer
)

func (s *Server) postLeases(w http.ResponseWriter, r *http.Request) {
	req := remote.LeaseRequest{MaxBatches: 1}
	if !read(w, r, &req) || len(req.Acks) == 0 && s.stopping(w) {
		return
	}
	names := req.Analyzers
	if len(names) == 0 {
		names = slices.Repeat([]string{req.Analyzer}, min(max(req.MaxBatches, 0), maxBatches+1))
	}
	wait, err := seconds.Duration(req.WaitSeconds, seconds.Longest) // longer than maxWait is cut to it
	if len(names) < 1 && len(req.Acks) == 0 || len(names) > maxBatches || err != nil {
		fail(w, http.StatusBadRequest, remote.Error{Message: "max_batches must be 1 to 64 and wait_seconds at least 0, and no more than ten years"})
		return
	}
	if len(req.Acks) > maxAcks {
		fail(w, http.StatusBadRequest, remote.Error{Message: "acks must be 256 tokens at most"})
		return
	}
	outcomes := s.ackAll(r.Context(), req.Acks)
	if len(req.Acks) > 0 {
		wait = 0 // somebody waits for their outcomes
		if s.stopped() {
			names = nil
		}
	}
	out := answerFor(r, outcomes)
	n, err := s.leaseAll(r.Context(), names, min(wait, maxWait), out)
	if err != nil && n == 0 && len(req.Acks) == 0 {
		failFor(w, err)
		return
	}
	out.write(w)
}

// ackAll completes batches of which all records are done.
func (s *Server) ackAll(ctx context.Context, tokens []string) []remote.Outcome {
	var outcomes []remote.Outcome
	for _, token := range tokens {
		o := remote.Outcome{Status: http.StatusOK}
		if err := s.Queue.Ack(ctx, token); err != nil {
			o.Status, o.Message = statusOf(err), err.Error()
		}
		outcomes = append(outcomes, o)
	}
	return outcomes
}

// leaseAll leases at most one batch for each time a name is in names, and says how many in all. Only the first analyzer waits.
func (s *Server) leaseAll(ctx context.Context, names []string, wait time.Duration, out leaseAnswer) (leased int, err error) {
	waiting := ctx
	if wait > 0 {
		var cancel context.CancelFunc
		waiting, cancel = s.untilStop(ctx)
		defer cancel()
	}
	now := time.Now()
	for _, name := range names {
		s.leasing.asked(name, now)
	}
	for size := 0; len(names) > 0 && size < maxAnswer; wait = 0 {
		name, n := names[0], 1
		for n < len(names) && names[n] == name {
			n++
		}
		names = names[n:]
		leases, err := s.Queue.Lease(waiting, queue.Request{Analyzer: name, Max: n, Wait: wait, Remote: true})
		if err != nil {
			if waiting.Err() != nil { // the process stops, or nobody waits any more
				err = queue.ErrClosed
			}
			return leased, err
		}
		for _, l := range leases {
			if ctx.Err() != nil { // nobody is there to work on it
				s.nack(l, queue.Failure{Reason: "the analyzer hung up", HandBack: true})
			} else if n, err := out.add(l); err != nil {
				s.nack(l, queue.Failure{Reason: err.Error(), Discard: true})
			} else {
				size += n
				leased++
				s.leasing.leased(name, l.Batch.Len())
			}
		}
		if len(leases) < n {
			break // the queue is empty
		}
	}
	return leased, nil
}

func (s *Server) nack(l queue.Lease, f queue.Failure) {
	if err := s.Queue.Nack(context.Background(), l.Token, f); err != nil {
		s.Log.Warn("lease not given back", "batch", l.Batch.ID, "error", err)
	}
}

func (s *Server) postExtend(w http.ResponseWriter, r *http.Request) {
	until, err := s.Queue.Extend(r.Context(), r.PathValue("token"))
	if err != nil {
		failFor(w, err)
		return
	}
	answer(w, http.StatusOK, remote.ExtendAnswer{ExpiresAt: until, Seconds: time.Until(until).Seconds()})
}

func (s *Server) postAck(w http.ResponseWriter, r *http.Request) {
	var req remote.AckRequest
	if !read(w, r, &req) {
		return
	}
	var failed []queue.Failure
	for _, f := range req.Failed {
		if !goodDelay(w, f.DelaySeconds) {
			return
		}
		failed = append(failed, f.Failure())
	}
	if err := s.Queue.Ack(r.Context(), r.PathValue("token"), failed...); err != nil {
		failFor(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "done"})
}

// goodDelay says whether a wish for a delay can be met, and answers where it can't.
func goodDelay(w http.ResponseWriter, delay float64) bool {
	if _, err := seconds.Duration(delay, maxDelay); err != nil {
		fail(w, http.StatusBadRequest, remote.Error{Message: "delay_seconds " + err.Error() + " (a week)"})
		return false
	}
	return true
}

func (s *Server) postNack(w http.ResponseWriter, r *http.Request) {
	var req remote.Failure
	if !read(w, r, &req) {
		return
	}
	if !goodDelay(w, req.DelaySeconds) {
		return
	}
	if req.Reason == "" {
		req.Reason = "handed back without a reason"
	}
	if err := s.Queue.Nack(r.Context(), r.PathValue("token"), req.Failure()); err != nil {
		failFor(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "given back"})
}

func (s *Server) getResults(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.Results.Totals())
}

func (s *Server) postResult(w http.ResponseWriter, r *http.Request) {
	var res count.Result
	if !read(w, r, &res) {
		return
	}
	if err := s.Results.Write(r.Context(), res); err != nil {
		pushBack(w, remote.Error{Message: err.Error()})
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "added"})
}

// registry knows which analyzers of other processes have asked for work lately.
type registry struct {
	mu   sync.Mutex
	seen map[string]*leaser
}

// leaser is one analyzer elsewhere.
type leaser struct {
	last             time.Time
	batches, records int64
}

// remembered is how long after its last word an analyzer is still listed, and maxLeasers how many are at most.
const (
	remembered = 2 * maxWait
	maxLeasers = 10_000
)

func (g *registry) asked(name string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.seen[name]; l != nil {
		l.last = now
		return
	}
	if len(g.seen) >= maxLeasers {
		g.forget(now)
	}
	if len(g.seen) < maxLeasers {
		g.seen[name] = &leaser{last: now}
	}
}

func (g *registry) forget(now time.Time) {
	for name, l := range g.seen {
		if now.Sub(l.last) > remembered {
			delete(g.seen, name)
		}
	}
}

func (g *registry) leased(name string, records int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.seen[name]; l != nil {
		l.batches++
		l.records += int64(records)
	}
}

// remoteAnalyzer is a row of the statistics.
type remoteAnalyzer struct {
	ID       string  `json:"id"`
	LastSeen float64 `json:"last_seen_seconds"` // ago; while it waits for work, since it asked
	Batches  int64   `json:"leased_batches"`
	Records  int64   `json:"leased_records"`
}

func (g *registry) rows(now time.Time) []remoteAnalyzer {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(now)
	rows := make([]remoteAnalyzer, 0, len(g.seen))
	for name, l := range g.seen {
		rows = append(rows, remoteAnalyzer{name, now.Sub(l.last).Seconds(), l.batches, l.records})
	}
	slices.SortFunc(rows, func(a, b remoteAnalyzer) int { return words.Natural(a.ID, b.ID) })
	return rows
}
