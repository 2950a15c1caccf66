package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/internal/slo"
	"github.com/sluicehq/sluice/queue/remote"
)

// Stats is the first part of the answer to GET /v1/stats. Counts are records where they do not say otherwise. What a process does not have
// is left out.
type Stats struct {
	Role    string  `json:"role"`
	Version string  `json:"version"`
	Uptime  float64 `json:"uptime_seconds"`
	SLO     float64 `json:"slo_seconds,omitempty"` // longest wait that a record may have; only where it is known

	NotReady   string `json:"not_ready,omitempty"`   // why the process as a whole takes no records
	QueueError string `json:"queue_error,omitempty"` // why the account of the queue cannot be read, and is not here

	*QueueStats
	Waits      *slo.Report       `json:"waits,omitempty"` // where the queue is elsewhere: as its distributor says
	Ingest     *IngestStats      `json:"ingest,omitempty"`
	Pool       *analyzer.Stats   `json:"pool,omitempty"`
	Autoscaler *autoscale.Stats  `json:"autoscaler,omitempty"`
	Remote     *[]remoteAnalyzer `json:"remote_analyzers,omitempty"` // those that leased over HTTP lately, at most maxRows

	RemoteCount *int   `json:"remote_analyzers_count,omitempty"` // all of them
	Pools       []Pool `json:"pools,omitempty"`                  // in other processes, that work for this queue
}

// QueueStats is the account of the queue: accepted = completed + dead + depth + in_flight + lost.
type QueueStats struct {
	Accepted   int64   `json:"accepted"`
	Completed  int64   `json:"completed"`
	Dropped    int64   `json:"dropped"` // the part of completed that a person dropped from the dead letters, since the start
	Dead       int64   `json:"dead"`
	Depth      int64   `json:"depth"`
	InFlight   int64   `json:"in_flight"`
	Lost       int64   `json:"lost"` // records that damage to the files took
	Batches    int64   `json:"batches"`
	Bytes      int64   `json:"bytes"`
	LimitBytes int64   `json:"limit_bytes"`
	FreeBytes  int64   `json:"disk_free_bytes"`
	MinFree    int64   `json:"min_free_bytes"` // free space below which nothing is accepted
	OldestWait float64 `json:"oldest_wait_seconds"`
	Redelivers int64   `json:"redelivered_batches"`
	HandBacks  int64   `json:"hand_backs"`        // batches handed back by analyzers that had to leave or could not work, since the start
	Returning  int64   `json:"returning_batches"` // unfinished batches that were handed back again and again
	Durability string  `json:"durability"`
	Problem    string  `json:"queue_problem,omitempty"` // why the queue takes no batches now
}

// IngestStats counts since the process started.
type IngestStats struct {
	Requests   int64 `json:"requests"`
	Accepted   int64 `json:"accepted"`
	Rejected   int64 `json:"rejected"`
	Bytes      int64 `json:"bytes"`
	PushedBack int64 `json:"pushed_back_requests"`
	TooLarge   int64 `json:"too_large_requests"`
}

// stats asks everybody. With an error, which says why the queue cannot be read, all but its account is there.
func (s *Server) stats(ctx context.Context) (Stats, error) {
	st := Stats{Role: s.Role, Version: s.Version, Uptime: time.Since(s.Started).Seconds(), SLO: s.slo().Seconds()}
	if s.ready != nil {
		if err := s.ready(); err != nil {
			st.NotReady = err.Error()
		}
	}
	if s.Waits != nil {
		st.Waits = s.Waits()
	}
	var unread error
	if s.Queue != nil {
		unread = s.queueStats(ctx, &st)
	}
	if s.Distributor != nil {
		d := s.Distributor.Stats()
		st.Ingest = &IngestStats{d.Requests, d.Accepted, d.Rejected, d.Bytes, d.PushedBack, d.TooLarge}
	}
	if s.Pool != nil {
		p := s.Pool.Stats()
		st.Pool = &p
	}
	if s.Scaler != nil {
		a := s.Scaler.Stats()
		st.Autoscaler = &a
	}
	return st, unread
}

// queueStats fills in the account of the queue.
func (s *Server) queueStats(ctx context.Context, st *Stats) error {
	q, err := s.Queue.Stats(ctx)
	if err != nil {
		st.QueueError = err.Error()
		return err
	}
	st.QueueStats = &QueueStats{
		Accepted: q.Accepted, Completed: q.Completed, Dropped: q.Dropped, Dead: q.Dead, Depth: q.Waiting, InFlight: q.InFlight, Lost: q.Lost,
		Batches: q.Batches, Bytes: q.Bytes, LimitBytes: q.LimitBytes, FreeBytes: q.FreeBytes, MinFree: q.MinFreeBytes,
		OldestWait: q.OldestWait.Seconds(), Redelivers: q.Redelivers, HandBacks: q.HandBacks, Returning: q.Returning, Durability: q.Durability,
	}
	if err := s.Queue.Healthy(); err != nil {
		st.Problem = err.Error()
	}
	rows, all := s.leasing.rows(time.Now())
	st.Remote, st.RemoteCount = &rows, &all
	st.Pools = s.pools.list(time.Now())
	return nil
}

// live is the statistics with what follows from them.
func (s *Server) live(ctx context.Context, now time.Time) (Live, error) {
	st, err := s.stats(ctx)
	l := Live{Stats: st, Time: now.UTC(), Boot: s.feed.boot, Rates: s.feed.latestRates()}
	l.Judge()
	return l, err
}

func (s *Server) getStats(w http.ResponseWriter, r *http.Request) {
	l, err := s.live(r.Context(), time.Now())
	if err != nil {
		failFor(w, err)
		return
	}
	answer(w, http.StatusOK, l)
}

// Decisions is the answer to GET /v1/decisions: the newest last. Options are those they were made with.
type Decisions struct {
	Decisions []autoscale.Decision `json:"decisions"`
	Settings  ScalerSettings       `json:"settings"`
}

// ScalerSettings are the autoscaler's settings, durations in seconds. What only the threshold policy reads is zero with
// another one.
type ScalerSettings struct {
	Policy             string  `json:"policy"`
	MinSize            int     `json:"min_size"`
	MaxSize            int     `json:"max_size"`
	ScaleUpThreshold   int     `json:"scale_up_threshold"`
	ScaleDownThreshold int     `json:"scale_down_threshold"`
	CheckInterval      float64 `json:"check_interval_seconds"`
	Cooldown           float64 `json:"cooldown_seconds"`
	ScaleUpCount       int     `json:"scale_up_count"`
	ScaleDownCount     int     `json:"scale_down_count"`
}

// Options returns the settings in the autoscaler's words. A policy other than threshold is known by its name alone.
func (s ScalerSettings) Options() autoscale.Options {
	o := autoscale.DefaultOptions() // in which zero is zero
	o.MinSize, o.MaxSize, o.ScaleUpThreshold, o.ScaleDownThreshold = s.MinSize, s.MaxSize, s.ScaleUpThreshold, s.ScaleDownThreshold
	o.CheckInterval, o.Cooldown = seconds.Nearest(s.CheckInterval), seconds.Nearest(s.Cooldown)
	o.ScaleUpCount, o.ScaleDownCount = s.ScaleUpCount, s.ScaleDownCount
	if s.Policy != (autoscale.Threshold{}).Name() {
		o.Policy = elsewhere(s.Policy)
	}
	return o
}

// elsewhere is a policy of another process, of which only the name is known here.
type elsewhere string

// Name is the policy's.
func (e elsewhere) Name() string { return string(e) }

// Decide keeps the size: nothing is decided here.
func (elsewhere) Decide(o autoscale.Observation) autoscale.Proposal {
	return autoscale.Proposal{Size: o.Size, Reason: "decided elsewhere"}
}

func settingsOf(policy string, o autoscale.Options) ScalerSettings {
	s := ScalerSettings{Policy: policy, MinSize: o.MinSize, MaxSize: o.MaxSize, CheckInterval: o.CheckInterval.Seconds()}
	if policy != (autoscale.Threshold{}).Name() {
		return s
	}
	return ScalerSettings{
		Policy:  policy,
		MinSize: o.MinSize, MaxSize: o.MaxSize, ScaleUpThreshold: o.ScaleUpThreshold, ScaleDownThreshold: o.ScaleDownThreshold,
		CheckInterval: o.CheckInterval.Seconds(), Cooldown: o.Cooldown.Seconds(), ScaleUpCount: o.ScaleUpCount, ScaleDownCount: o.ScaleDownCount,
	}
}

func (s *Server) getDecisions(w http.ResponseWriter, r *http.Request) {
	limit, ok := number(w, r, "limit", 0, 1<<30)
	if !ok {
		return
	}
	before := time.Time{}
	if text := r.URL.Query().Get("before"); text != "" {
		var err error
		if before, err = time.Parse(time.RFC3339Nano, text); err != nil {
			fail(w, http.StatusBadRequest, remote.Error{Message: "before must be a time like 2026-11-24T02:10:46Z"})
			return
		}
	}
	var decisions any
	if r.URL.Query().Get("actions") == "1" {
		decisions = s.acted(before, int(limit))
	} else {
		decisions = s.decided(before, int(limit))
	}
	answer(w, http.StatusOK, map[string]any{"decisions": decisions, "settings": settingsOf(s.Scaler.Stats().Policy, s.Scaler.Options())})
}

// decided returns the newest decisions of the ledger, the newest last; before a time unless that is zero. Limit 0 means as many as are
// answered at most.
func (s *Server) decided(before time.Time, limit int) []autoscale.Decision {
	if limit == 0 || limit > mostDecided {
		limit = mostDecided
	}
	if before.IsZero() {
		return append([]autoscale.Decision{}, s.Scaler.Decisions(limit)...)
	}
	all := s.Scaler.Decisions(0)
	end := sort.Search(len(all), func(i int) bool { return !all[i].Time.Before(before) })
	return append([]autoscale.Decision{}, all[max(0, end-limit):end]...)
}

// How many decisions are answered at most, and how many of those that moved the pool.
const (
	mostDecided = 10_000
	mostActed   = 10_000
)

// acted returns the newest decisions that moved the pool, those of earlier starts of the process included.
func (s *Server) acted(before time.Time, limit int) []json.RawMessage {
	list := []json.RawMessage{}
	if s.Acted == nil {
		return list
	}
	if before.IsZero() {
		before = time.Now().Add(time.Hour)
	}
	if limit == 0 || limit > mostActed {
		limit = mostActed
	}
	for _, l := range s.Acted.Before(before, limit) {
		list = append(list, l.JSON)
	}
	return list
}

// getLeague answers with a league.Standing.
func (s *Server) getLeague(w http.ResponseWriter, _ *http.Request) {
	if s.League == nil {
		fail(w, http.StatusNotFound, remote.Error{Message: "no policies are compared here: the setting league is none",
			Hint: "start it with --league threshold,slo,hpa,kpa or --league all"})
		return
	}
	answer(w, http.StatusOK, s.League.Standing())
}

func (s *Server) postPause(w http.ResponseWriter, _ *http.Request) {
	s.Scaler.Pause()
	answer(w, http.StatusOK, s.Scaler.Stats())
}

func (s *Server) postResume(w http.ResponseWriter, _ *http.Request) {
	s.Scaler.Resume()
	answer(w, http.StatusOK, s.Scaler.Stats())
}

// maxForced is the longest time for which a size can be forced.
const maxForced = 366 * 24 * time.Hour

// ForceRequest is the body of POST /v1/autoscaler/force.
type ForceRequest struct {
	Size    int     `json:"size" strict:"required"`    // analyzers
	Seconds float64 `json:"seconds" strict:"required"` // until it ends, at most 366 days
}

func (s *Server) postForce(w http.ResponseWriter, r *http.Request) {
	var req ForceRequest
	if !s.read(w, r, &req, maxSmall, false) {
		return
	}
	duration, err := seconds.Duration(req.Seconds, maxForced)
	if err == nil && duration <= 0 {
		err = errors.New("is 0, must be more")
	}
	if err != nil {
		wrong(w, "seconds "+err.Error()+" (366 days)")
		return
	}
	if most := 10 * s.Scaler.Options().MaxSize; req.Size < 0 || req.Size > most {
		wrong(w, fmt.Sprintf("size is %d, must be 0 to %d (ten times max_size)", req.Size, most))
		return
	}
	if err := s.Scaler.Force(req.Size, duration); err != nil {
		fail(w, http.StatusBadRequest, remote.Error{Message: err.Error()})
		return
	}
	answer(w, http.StatusOK, s.Scaler.Stats())
}
