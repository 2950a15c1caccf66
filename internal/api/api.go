// Package api is the HTTP side of Sluice: routes, JSON shapes and metrics. It holds no state of its own but who leases;
// everything it says is asked from the rooms it was given.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/league"
	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/internal/access"
	"github.com/sluicehq/sluice/internal/history"
	"github.com/sluicehq/sluice/internal/tap"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// Rooms is what a process consists of. What a process does not have is nil, and its routes then answer 404 with a word of why.
type Rooms struct {
	Role        string // "run", "distributor" or "analyze"
	Version     string
	Started     time.Time
	ReadOnly    bool                 // what would steer is refused
	Auth        bool                 // whoever asks has to have a token
	SLO         func() time.Duration // of the policy in charge; 0 where it has none; nil for none
	Distributor *distributor.Distributor
	Queue       Queue
	Pool        *analyzer.Pool
	Scaler      *autoscale.Controller
	League      *league.League // nil also where no policies are compared
	Results     Results
	Series      *history.Series  // for the charts; nil keeps none
	Acted       *history.Journal // decisions that moved the pool; nil keeps none
	Tuner       Tuner            // changes the autoscaler; nil where there is none
	Tap         *tap.Tap         // where records can be looked at; nil for nowhere
	Page        http.Handler     // the page, with its files below /ui/; nil for none
	Log         *slog.Logger
}

// Queue is a queue that knows whether it can take batches now.
type Queue interface {
	queue.Queue
	Healthy() error
}

// Results is where analyzers' results are added up.
type Results interface {
	count.Sink
	Totals() *count.Totals
}

// Server answers requests. It is an [http.Handler].
type Server struct {
	Rooms
	mux     *http.ServeMux
	routed  []string // the patterns in mux
	leasing registry
	pools   pools
	feed    *feed

	deadWatched atomic.Bool // somebody offers new dead letters to those who look
	cross       *http.CrossOriginProtection
	stop        chan struct{} // closed by Stop
	ready       func() error  // says why the process is not ready, beyond the queue
}

// New makes a server for some rooms. The function ready says why the process as a whole is not ready, or nil.
func New(r Rooms, ready func() error) *Server {
	s := &Server{Rooms: r, mux: http.NewServeMux(), ready: ready, leasing: registry{seen: map[string]*leaser{}}, stop: make(chan struct{}), cross: http.NewCrossOriginProtection()}
	s.feed = newFeed(s)
	s.routes()
	return s
}

func (s *Server) routes() {
	handle := func(pattern string, present bool, h http.HandlerFunc) {
		if !present {
			hint := "it is at the distributor, by default http://127.0.0.1:8000"
			if s.Queue != nil {
				hint = "it is where the analyzers are: sluice analyze, by default http://127.0.0.1:8001 (--distributor names it)"
			}
			h = func(w http.ResponseWriter, r *http.Request) {
				fail(w, http.StatusNotFound, remote.Error{Message: fmt.Sprintf("sluice %s does not have %s", s.Role, r.URL.Path), Hint: hint})
			}
		}
		s.mux.HandleFunc(pattern, h)
		s.routed = append(s.routed, pattern)
	}
	q, pool, scaler := s.Queue != nil, s.Pool != nil, s.Scaler != nil
	handle("POST "+recordsPath, s.Distributor != nil, s.unlessStopped(s.postRecords))
	handle("POST /v1/leases", q, s.postLeases)
	handle("POST /v1/leases/{token}/extend", q, s.postExtend)
	handle("POST /v1/leases/{token}/ack", q, s.postAck)
	handle("POST /v1/leases/{token}/nack", q, s.postNack)
	handle("POST /v1/pools", q, s.postPool)
	handle("GET /v1/dead", q, s.getDead)
	handle("DELETE /v1/dead", q, s.steering(s.deleteAllDead))
	handle("POST /v1/dead/retry", q, s.steering(s.retryAllDead))
	handle("GET /v1/dead/{id}", q, s.getDeadLetter)
	handle("DELETE /v1/dead/{id}", q, s.steering(s.oneDead(func(ctx context.Context, id uint64) error { return s.Queue.DropDead(ctx, id) })))
	handle("POST /v1/dead/{id}/retry", q, s.steering(s.oneDead(func(ctx context.Context, id uint64) error { return s.Queue.RetryDead(ctx, id) })))
	handle("GET /v1/dead/groups", q, s.getDeadGroups)
	handle("GET /v1/dead/export", q, s.getDeadExport)
	handle("GET /v1/tail", s.Tap != nil, s.getTail)
	handle("GET /v1/flow", true, s.getFlow)
	handle("POST /v1/analyzers/{id}/drain", pool, s.steering(s.dismiss(false)))
	handle("POST /v1/analyzers/{id}/kill", pool, s.steering(s.dismiss(true)))
	handle("GET /v1/results", s.Results != nil, s.getResults)
	handle("POST /v1/results", s.Results != nil, s.postResult)
	handle("GET /v1/decisions", scaler, s.getDecisions)
	handle("GET /v1/league", scaler, s.getLeague)
	handle("POST /v1/autoscaler/pause", scaler && pool, s.steering(s.postPause))
	handle("POST /v1/autoscaler/resume", scaler && pool, s.steering(s.postResume))
	handle("POST /v1/autoscaler/force", scaler && pool, s.steering(s.postForce))
	handle("GET /v1/autoscaler/settings", s.Tuner != nil, s.getSettings)
	handle("PUT /v1/autoscaler/settings", s.Tuner != nil, s.steering(s.putSettings))
	handle("POST /v1/autoscaler/preview", s.Tuner != nil, s.postPreview)
	handle("GET /v1/explain", scaler, s.getExplain)
	handle("GET /v1/stats", true, s.getStats)
	handle("GET /v1/series", true, s.getSeries)
	handle("GET /v1/events", true, s.getEvents)
	handle("GET /v1/ui", true, s.getUI)
	if s.Page != nil {
		s.mux.Handle("GET /ui/", s.Page)
	}
	handle("GET /healthz", true, s.getHealth)
	handle("GET /readyz", true, s.getReady)
	s.mux.Handle("GET /metrics", s.metrics())
	handle("GET /{$}", true, s.getIndex)
	s.mux.HandleFunc("/", s.noRoute)
}

// noRoute answers what no route takes: another method would do, or nothing would.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		fail(w, http.StatusMethodNotAllowed, remote.Error{Message: r.URL.Path + " does not take " + r.Method,
			Hint: "it takes " + strings.Join(allowed, ", ")})
		return
	}
	fail(w, http.StatusNotFound, remote.Error{Message: "no such path: " + r.Method + " " + r.URL.Path, Hint: "GET / lists them"})
}

// recordsPath is where records are sent.
const recordsPath = "/v1/records"

// ServeHTTP answers one request. What most requests ask for is found without the mux.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Distributor != nil && r.URL.Path == recordsPath && r.Method == http.MethodPost {
		if !s.stopping(w) {
			s.postRecords(w, r)
		}
		return
	}
	s.mux.ServeHTTP(w, r)
}

// Stop ends the requests that only wait, and refuses records and leases from now on. Everything else is still answered. It must be
// called once at most.
func (s *Server) Stop() { close(s.stop) }

// unlessStopped refuses what would start new work.
func (s *Server) unlessStopped(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.stopping(w) {
			h(w, r)
		}
	}
}

// stopping says whether Stop was called, and then refuses the request.
func (s *Server) stopping(w http.ResponseWriter) bool {
	if !s.stopped() {
		return false
	}
	w.Header().Set("Connection", "close")
	pushBack(w, remote.Error{Message: "the process is stopping", Hint: "send it again, to this address once it is back"})
	return true
}

func (s *Server) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// steering refuses to change how the process works where nobody may, and where the web page of somebody else asks.
func (s *Server) steering(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.cross.Check(r); err != nil {
			fail(w, http.StatusForbidden, remote.Error{Message: "a page of another site asks for this: " + err.Error()})
			return
		}
		if s.ReadOnly {
			fail(w, http.StatusForbidden, remote.Error{Message: r.Method + " " + r.URL.Path + " would change something, and the setting read_only is true",
				Hint: "use a process without it, or restart this one with --read-only=false"})
			return
		}
		h(w, r)
	}
}

// untilStop returns a context that also ends with Stop.
func (s *Server) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		select {
		case <-s.stop:
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // a reason may say ">="
	e.Encode(v)            // fails only when nobody reads any more
}

func fail(w http.ResponseWriter, status int, e remote.Error) { answer(w, status, e) }

// statusOf is the status that an error of the queue means.
func statusOf(err error) int {
	_, isFull := errors.AsType[*queue.FullError](err)
	switch {
	case errors.Is(err, queue.ErrLeaseExpired):
		return http.StatusConflict
	case errors.Is(err, queue.ErrDamaged):
		return http.StatusGone
	case errors.Is(err, queue.ErrNotFound):
		return http.StatusNotFound
	case isFull, errors.Is(err, queue.ErrUnavailable), errors.Is(err, queue.ErrClosed), isOverload(err):
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// failFor answers with the status that an error of the queue means.
func failFor(w http.ResponseWriter, err error) {
	body := remote.Error{Message: err.Error()}
	if full, ok := errors.AsType[*queue.FullError](err); ok {
		body.Limit, body.Hint = map[string]int64{full.Limit: full.Bound}, full.Hint
	}
	switch status := statusOf(err); status {
	case http.StatusConflict:
		body.Hint = "the batch may be with another analyzer by now; drop what you have of it"
		fail(w, status, body)
	case http.StatusGone:
		body.Hint = "drop it; the log says where a copy of the damaged bytes is"
		fail(w, status, body)
	case http.StatusServiceUnavailable:
		pushBack(w, body)
	default:
		fail(w, status, body)
	}
}

func isOverload(err error) bool {
	_, ok := errors.AsType[*distributor.OverloadError](err)
	return ok
}

// retryAfter is what a client that was pushed back should wait, in seconds.
const retryAfter = 1

func pushBack(w http.ResponseWriter, body remote.Error) {
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	fail(w, http.StatusServiceUnavailable, body)
}

// maxCommand is how long a JSON body may be that is not records.
const maxCommand = 8 << 20

// read decodes a JSON body into v; an empty body leaves v as it is. It answers and returns false where it can't.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	return readBody(w, json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCommand)), v)
}

// readStrict is read, and refuses fields that are not known: a misspelled setting must not be taken for none.
func readStrict(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCommand))
	d.DisallowUnknownFields()
	return readBody(w, d, v)
}

func readBody(w http.ResponseWriter, d *json.Decoder, v any) bool {
	err := d.Decode(v)
	if err == nil || errors.Is(err, io.EOF) {
		return true
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		fail(w, http.StatusRequestEntityTooLarge, remote.Error{Message: "the body is too large", Limit: large.Limit})
		return false
	}
	fail(w, http.StatusBadRequest, remote.Error{Message: "the body is not the JSON that is wanted here: " + err.Error()})
	return false
}

// getIndex is the page for browsers, and a list of routes for everybody else.
func (s *Server) getIndex(w http.ResponseWriter, r *http.Request) {
	if s.Page != nil && strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.Page.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, `Sluice %s, sluice %s, up %s

  POST /v1/records      logs in: NDJSON, JSON or text, plain, gzip or zstd
  GET  /v1/stats        counts, pool and autoscaler
  GET  /v1/decisions    why the pool has the size it has; /v1/explain: the newest, in words
  GET  /v1/series       depth, rates and sizes over time; /v1/events: a stream of what happens
  GET  /v1/league       what other policies would have cost
  GET  /v1/results      what the analyzers counted
  GET  /v1/dead         records that could not be analyzed; DELETE drops them all
       /v1/dead/{id}    GET one, DELETE it, POST .../retry; POST /v1/dead/retry for all
       /v1/dead/        groups: by error; export: the records
  GET  /v1/tail         a stream of live records; /v1/flow: where they go, how fast
  POST /v1/leases       work for analyzers in other processes; then
       /v1/leases/{token}/  extend, ack, nack
       /v1/autoscaler/  POST pause, resume, force; GET and PUT settings; POST preview
  GET  /metrics         for Prometheus
  GET  /healthz         is the process alive
  GET  /readyz          does it take records
`, s.Version, s.Role, time.Since(s.Started).Round(time.Second))
}

func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) getReady(w http.ResponseWriter, r *http.Request) {
	var reasons []string
	if s.ready != nil {
		if err := s.ready(); err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	if s.Queue != nil {
		if err := s.Queue.Healthy(); err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	if len(reasons) > 0 {
		body := map[string]any{"status": "not ready"}
		if !access.Stranger(r) {
			body["reasons"] = reasons
		}
		answer(w, http.StatusServiceUnavailable, body)
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "ready"})
}
