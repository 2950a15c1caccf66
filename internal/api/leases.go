package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/internal/visible"
	"github.com/sluicehq/sluice/internal/words"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// Bounds of a request for leases.
const (
	maxWait    = 60 * time.Second
	maxBatches = 64
	maxDelay   = 7 * 24 * time.Hour
	maxAnswer  = 4 << 20 // bytes of batches after which no more are leased for one answer
)

// workMemory bounds the bodies and answers of the work API that are being read, built and sent, and batchRoom is what a batch is thought to
// take before one is known: distributors make batches of up to 1 MiB.
const (
	workMemory = 48 << 20
	batchRoom  = 1 << 20
)

func (s *Server) postLeases(w http.ResponseWriter, r *http.Request) {
	req := remote.LeaseRequest{MaxBatches: 1}
	if !s.read(w, r, &req, maxLease, false) || len(req.Acks) == 0 && s.stopping(w) {
		return
	}
	names, err := namesOf(req)
	if err != nil {
		wrong(w, err.Error())
		return
	}
	wait := seconds.Nearest(req.WaitSeconds)
	outcomes := s.ackAll(r.Context(), req.Acks)
	if len(req.Acks) > 0 {
		wait = 0 // somebody waits for their outcomes
		if s.stopped() {
			names = nil
		}
	}
	out := answerFor(r, s.work.claim(), outcomes)
	defer out.release()
	err = s.leaseAll(r.Context(), names, wait, out)
	if err != nil && len(out.leases) == 0 && len(req.Acks) == 0 {
		failFor(w, err)
		return
	}
	if reason := out.send(w, r); reason != "" {
		s.handBack(out.leases, reason)
	}
}

// namesOf checks a request for leases and returns the name of an analyzer for each batch that it may get.
func namesOf(req remote.LeaseRequest) ([]string, error) {
	if !(req.WaitSeconds >= 0 && req.WaitSeconds <= maxWait.Seconds()) {
		return nil, fmt.Errorf("wait_seconds is %v, must be 0 to %v", req.WaitSeconds, maxWait.Seconds())
	}
	least := 1
	if len(req.Acks) > 0 {
		least = 0
	}
	if req.MaxBatches < least || req.MaxBatches > maxBatches {
		return nil, fmt.Errorf("max_batches is %d, must be %d to %d", req.MaxBatches, least, maxBatches)
	}
	names := req.Analyzers
	for i, name := range names {
		if err := checkName(fmt.Sprintf("analyzers[%d]", i), name); err != nil {
			return nil, err
		}
	}
	if len(names) > 0 || req.MaxBatches == 0 {
		return names, nil
	}
	return slices.Repeat([]string{req.Analyzer}, req.MaxBatches), checkName("analyzer", req.Analyzer)
}

// checkName says what is wrong with the name of an analyzer.
func checkName(field, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s is required: the name of the analyzer, shown in statistics", field)
	case len(name) > remote.MaxName:
		return fmt.Errorf("%s has %d bytes, must have at most %d", field, len(name), remote.MaxName)
	case !visible.Safe(name):
		return fmt.Errorf("%s has characters that are not safe to print: %s", field, visible.Line(name))
	}
	return nil
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

// leaseAll leases at most one batch for each time a name is in names, and adds them to an answer. Only the first analyzer waits.
func (s *Server) leaseAll(ctx context.Context, names []string, wait time.Duration, out *leaseAnswer) error {
	waiting := ctx
	if wait > 0 {
		var cancel context.CancelFunc
		waiting, cancel = s.untilStop(ctx)
		defer cancel()
	}
	s.leasing.asked(names, time.Now())
	if wait > 0 {
		s.leasing.wait(names, 1)
		defer s.leasing.wait(names, -1)
	}
	for until := time.Now().Add(wait); len(names) > 0 && out.size() < maxAnswer; {
		name, n := names[0], 1
		for n < len(names) && names[n] == name {
			n++
		}
		n, err := out.room(waiting, n)
		if n == 0 {
			return queueClosed(waiting, err)
		}
		leases, err := s.Queue.Lease(waiting, queue.Request{Analyzer: name, Max: n, Remote: true})
		if err == nil && len(leases) == 0 && len(out.leases) == 0 && wait > 0 {
			leases, err = s.waitForOne(waiting, name, until, out.claim)
		}
		if err != nil {
			return queueClosed(waiting, err)
		}
		for _, l := range leases {
			if hungUp(ctx) { // nobody is there to work on it
				s.nack(l, queue.Failure{Reason: "the analyzer hung up", HandBack: true})
			} else if err := out.add(l); err != nil {
				s.nack(l, queue.Failure{Reason: err.Error(), Discard: true})
			} else {
				s.leasing.leased(name, l.Batch.Len())
			}
		}
		if len(leases) < n {
			break // the queue is empty
		}
		names = names[n:]
	}
	return nil
}

// queueClosed is the error of a request that ended because the process stops, or because nobody waits any more.
func queueClosed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return queue.ErrClosed
	}
	return err
}

// waitForOne waits for a batch, without holding memory meanwhile. A batch that comes while there is no memory for it goes back until there is.
func (s *Server) waitForOne(ctx context.Context, name string, until time.Time, c *claim) ([]queue.Lease, error) {
	r := queue.Request{Analyzer: name, Max: 1, Remote: true}
	for {
		c.settle(0)
		if r.Wait = time.Until(until); r.Wait <= 0 {
			return nil, nil
		}
		leases, err := s.Queue.Lease(ctx, r)
		if err != nil || len(leases) == 0 || c.tryGrow(batchRoom) {
			return leases, err
		}
		s.handBack(leases, "no memory for an answer")
		if err := c.grow(ctx, batchRoom); err != nil {
			return nil, err
		}
		r.Wait = 0
		if leases, err = s.Queue.Lease(ctx, r); err != nil || len(leases) > 0 {
			return leases, err
		}
	}
}

// handBack makes batches that did not reach their analyzer available again, as if they had not been leased.
func (s *Server) handBack(leases []queue.Lease, reason string) {
	for _, l := range leases {
		s.nack(queue.Lease{Token: l.Token, Batch: l.Batch}, queue.Failure{Reason: reason, HandBack: true})
	}
}

func (s *Server) nack(l queue.Lease, f queue.Failure) {
	if err := s.Queue.Nack(context.Background(), l.Token, f); err != nil {
		s.Log.Warn("lease not given back", "token", l.Token, "why", f.Reason, "error", err)
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
	if !s.read(w, r, &req, maxCommand, true) {
		return
	}
	var failed []queue.Failure
	for i, f := range req.Failed {
		if !goodDelay(w, fmt.Sprintf("failed[%d].delay_seconds", i), f.DelaySeconds) {
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
func goodDelay(w http.ResponseWriter, field string, delay float64) bool {
	if _, err := seconds.Duration(delay, maxDelay); err != nil {
		wrong(w, field+" "+err.Error()+" (a week)")
		return false
	}
	return true
}

func (s *Server) postNack(w http.ResponseWriter, r *http.Request) {
	var req remote.Failure
	if !s.read(w, r, &req, maxCommand, false) || !goodDelay(w, "delay_seconds", req.DelaySeconds) {
		return
	}
	switch {
	case req.Reason == "" && !req.HandBack:
		wrong(w, "reason is required, unless hand_back is true")
		return
	case req.Discard && req.HandBack:
		wrong(w, "discard and hand_back are both true, must be one of them at most")
		return
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
	if !s.read(w, r, &res, maxCommand, false) {
		return
	}
	if err := res.Validate(); err != nil {
		wrong(w, err.Error())
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
	mu     sync.Mutex
	seen   map[string]*leaser
	tidied time.Time // when those who were not seen for long were last forgotten
}

// leaser is one analyzer elsewhere.
type leaser struct {
	last             time.Time
	waiting          int // requests of it that wait for a batch now
	batches, records int64
}

// remembered is how long after its last word an analyzer is still known. At most maxLeasers are, and maxRows of them are listed, those that
// were seen last.
const (
	remembered = 2 * maxWait
	maxLeasers = 10_000
	maxRows    = 1_000
)

// asked notes who asks for work.
func (g *registry) asked(names []string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		if l := g.seen[name]; l != nil {
			l.last = now
			continue
		}
		if len(g.seen) >= maxLeasers && now.Sub(g.tidied) >= time.Second { // it looks at all
			g.forget(now)
		}
		if len(g.seen) < maxLeasers {
			g.seen[name] = &leaser{last: now}
		}
	}
}

// wait notes that a request of these analyzers begins to wait, with 1, or that it ends, with -1.
func (g *registry) wait(names []string, by int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		if l := g.seen[name]; l != nil {
			l.waiting += by
		}
	}
}

func (g *registry) forget(now time.Time) {
	g.tidied = now
	for name, l := range g.seen {
		if now.Sub(l.last) > remembered && l.waiting <= 0 {
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
	Waiting  bool    `json:"waiting"`           // a request of it waits for a batch now
	Batches  int64   `json:"leased_batches"`
	Records  int64   `json:"leased_records"`
}

// rows lists those that were seen last, by name, and says how many there are in all.
func (g *registry) rows(now time.Time) ([]remoteAnalyzer, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(now)
	rows := make([]remoteAnalyzer, 0, len(g.seen))
	for name, l := range g.seen {
		rows = append(rows, remoteAnalyzer{name, now.Sub(l.last).Seconds(), l.waiting > 0, l.batches, l.records})
	}
	all := len(rows)
	if all > maxRows {
		slices.SortFunc(rows, func(a, b remoteAnalyzer) int {
			return cmp.Or(cmp.Compare(a.LastSeen, b.LastSeen), strings.Compare(a.ID, b.ID))
		})
		rows = slices.Clone(rows[:maxRows])
	}
	slices.SortFunc(rows, func(a, b remoteAnalyzer) int { return words.Natural(a.ID, b.ID) })
	return rows, all
}
