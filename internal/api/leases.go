package api

import (
	"context"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/internal/words"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// Bounds of a request for leases.
const (
	maxWait    = 60 * time.Second
	maxBatches = 64
)

// leaseJSON is remote.Lease with its records written as they are stored.
type leaseJSON struct {
	Token     string     `json:"token"`
	Batch     string     `json:"batch"`
	Attempt   int        `json:"attempt"`
	Accepted  time.Time  `json:"accepted_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	Seconds   float64    `json:"lease_seconds"`
	Records   rawRecords `json:"records"`
}

func (s *Server) postLeases(w http.ResponseWriter, r *http.Request) {
	req := remote.LeaseRequest{MaxBatches: 1}
	if !read(w, r, &req) {
		return
	}
	wait := time.Duration(req.WaitSeconds * float64(time.Second))
	if req.MaxBatches < 1 || req.MaxBatches > maxBatches || wait < 0 || math.IsNaN(req.WaitSeconds) {
		fail(w, http.StatusBadRequest, remote.Error{Message: "max_batches must be 1 to 64 and wait_seconds at least 0"})
		return
	}
	s.leasing.asked(req.Analyzer, time.Now())
	ctx := r.Context()
	waiting, cancel := s.untilStop(ctx)
	leases, err := s.Queue.Lease(waiting, queue.Request{Analyzer: req.Analyzer, Max: req.MaxBatches, Wait: min(wait, maxWait), Remote: true})
	stopped := waiting.Err() != nil
	cancel()
	if err != nil {
		if stopped { // the process stops, or nobody waits any more
			err = queue.ErrClosed
		}
		failFor(w, err)
		return
	}
	out := struct {
		Leases []leaseJSON `json:"leases"`
	}{[]leaseJSON{}}
	for _, l := range leases {
		lines, err := l.Batch.Lines()
		if err != nil {
			s.nack(l, queue.Failure{Reason: err.Error(), Discard: true})
			continue
		}
		if ctx.Err() != nil { // nobody is there to work on it
			s.nack(l, queue.Failure{Reason: "the analyzer hung up", HandBack: true})
			continue
		}
		s.leasing.leased(req.Analyzer, l.Batch.Len())
		out.Leases = append(out.Leases, leaseJSON{l.Token, l.Batch.ID, l.Attempt, l.Batch.Accepted, l.Expires, time.Until(l.Expires).Seconds(), lines})
	}
	answer(w, http.StatusOK, out)
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
func goodDelay(w http.ResponseWriter, seconds float64) bool {
	if seconds < 0 || seconds > 7*86400 {
		fail(w, http.StatusBadRequest, remote.Error{Message: "delay_seconds must be 0 to 604800 (a week)"})
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
