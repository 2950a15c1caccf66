// Package api is the HTTP side of Sluice: routes, JSON shapes and metrics. It holds no state of its own but who leases;
// everything it says is asked from the rooms it was given.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/league"
	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/internal/access"
	"github.com/sluicehq/sluice/internal/history"
	"github.com/sluicehq/sluice/internal/slo"
	"github.com/sluicehq/sluice/internal/tap"
	"github.com/sluicehq/sluice/internal/visible"
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
	SLO         func() time.Duration // longest wait that a record may have; 0 while it is unknown; nil for none
	Waits       func() *slo.Report   // how long records waited; nil, and a nil report, mean unknown
	PoolsSLO    func(time.Duration)  // is told the shortest SLO of the pools elsewhere, 0 for none, when one reports; nil for nobody
	Distributor *distributor.Distributor
	Upstream    string // URL of the distributor whose work this process does; empty for none
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
	ingest  http.HandlerFunc
	leasing registry
	pools   pools
	feed    *feed
	work    *budget // memory of bodies and answers of the work API
	reading reading

	deadShowing sync.Mutex // guards the next two
	deadWatched bool       // new dead letters are shown to those who look
	deadShown   uint64     // ID of the last one

	stop  chan struct{} // closed by Stop
	ready func() error  // says why the process is not ready, beyond the queue
}

// New makes a server for some rooms. The function ready says why the process as a whole is not ready, or nil.
func New(r Rooms, ready func() error) *Server {
	s := &Server{Rooms: r, mux: http.NewServeMux(), ready: ready, leasing: registry{seen: map[string]*leaser{}}, work: newBudget(workMemory), reading: newReading(), stop: make(chan struct{})}
	s.feed = newFeed(s)
	s.routes()
	return s
}

func (s *Server) routes() {
	handle := func(pattern string, present bool, h http.HandlerFunc) {
		if !present {
			hint := "it is at the distributor, by default http://127.0.0.1:8000"
			if s.Upstream != "" {
				hint = "it is at the distributor, " + s.Upstream
			}
			if s.Queue != nil {
				hint = "it is where the analyzers are: sluice analyze, by default http://127.0.0.1:8001 (--server names it; the pools in GET /v1/stats have addresses)"
			}
			h = func(w http.ResponseWriter, r *http.Request) {
				fail(w, http.StatusNotFound, remote.Error{Message: fmt.Sprintf("sluice %s does not have %s", s.Role, r.URL.Path), Hint: hint, At: s.Upstream})
			}
		}
		s.mux.HandleFunc(pattern, scoped(pattern, h))
		s.routed = append(s.routed, pattern)
	}
	quick, long, search := s.reading.quick, s.reading.long, s.reading.search
	q, pool, scaler := s.Queue != nil, s.Pool != nil, s.Scaler != nil
	s.ingest = scoped("POST "+recordsPath, s.unlessStopped(s.postRecords))
	handle("POST "+recordsPath, s.Distributor != nil, s.ingest)
	handle("POST /v1/leases", q, s.postLeases)
	handle("POST /v1/leases/{token}/extend", q, s.bare(s.postExtend))
	handle("POST /v1/leases/{token}/ack", q, s.postAck)
	handle("POST /v1/leases/{token}/nack", q, s.postNack)
	handle("POST /v1/pools", q, s.postPool)
	handle("GET /v1/dead", q, s.gated(long, s.getDead))
	handle("DELETE /v1/dead", q, s.steering(s.deleteAllDead))
	handle("POST /v1/dead/retry", q, s.steering(s.retryAllDead))
	handle("GET /v1/dead/{id}", q, s.gated(long, s.getDeadLetter))
	handle("DELETE /v1/dead/{id}", q, s.steering(s.bare(s.oneDead(func(ctx context.Context, id uint64) error { return s.Queue.DropDead(ctx, id) }))))
	handle("POST /v1/dead/{id}/retry", q, s.steering(s.bare(s.oneDead(func(ctx context.Context, id uint64) error { return s.Queue.RetryDead(ctx, id) }))))
	handle("GET /v1/dead/groups", q, s.gated(search, s.getDeadGroups))
	handle("GET /v1/dead/export", q, s.getDeadExport)
	handle("GET /v1/tail", s.Tap != nil, s.getTail)
	handle("GET /v1/tail/recent", s.Tap != nil, s.gated(search, s.getTailRecent))
	handle("GET /v1/flow", true, s.gated(quick, s.getFlow))
	handle("POST /v1/analyzers/{id}/drain", pool, s.steering(s.bare(s.dismiss(false))))
	handle("POST /v1/analyzers/{id}/kill", pool, s.steering(s.bare(s.dismiss(true))))
	handle("GET /v1/results", s.Results != nil, s.gated(long, s.getResults))
	handle("POST /v1/results", s.Results != nil, s.postResult)
	handle("GET /v1/decisions", scaler, s.gated(long, s.getDecisions))
	handle("GET /v1/league", scaler, s.gated(long, s.getLeague))
	handle("POST /v1/autoscaler/pause", scaler && pool, s.steering(s.bare(s.postPause)))
	handle("POST /v1/autoscaler/resume", scaler && pool, s.steering(s.bare(s.postResume)))
	handle("POST /v1/autoscaler/force", scaler && pool, s.steering(s.postForce))
	handle("GET /v1/autoscaler/settings", s.Tuner != nil, s.gated(quick, s.getSettings))
	handle("PUT /v1/autoscaler/settings", s.Tuner != nil, s.steering(s.putSettings))
	handle("POST /v1/autoscaler/preview", s.Tuner != nil, s.postPreview)
	handle("GET /v1/explain", scaler, s.gated(quick, s.getExplain))
	handle("GET /v1/stats", true, s.gated(quick, s.getStats))
	handle("GET /v1/series", true, s.gated(long, s.getSeries))
	handle("GET /v1/events", true, s.getEvents)
	handle("GET /v1/ui", true, s.gated(quick, s.getUI))
	if s.Page != nil {
		handle("GET /ui/", true, s.Page.ServeHTTP)
	}
	handle("GET /healthz", true, s.getHealth)
	handle("GET /readyz", true, s.getReady)
	handle("GET /metrics", true, s.gated(quick, s.metrics().ServeHTTP))
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
		s.ingest(w, r)
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
	pushBackFor(w, queue.ErrClosed, remote.Error{Message: "the process is stopping", Hint: "send it again, to this address once it is back"})
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

// steering refuses to change how the process works where nobody may.
func (s *Server) steering(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
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
	if a, kept := w.(*whole); kept {
		a.status = status
		encode(&a.body, v)
		return
	}
	var b bytes.Buffer
	encode(&b, v)
	w.Header().Set("Content-Length", strconv.Itoa(b.Len())) // so that the answer is complete while a body is still read on
	w.WriteHeader(status)
	w.Write(b.Bytes()) // fails only when nobody reads any more
}

func encode(b *bytes.Buffer, v any) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false) // a reason may say ">="
	e.Encode(v)            // what is answered here always encodes
}

// fail answers with an error. It may repeat what the client sent, so it is cut and made safe to print.
func fail(w http.ResponseWriter, status int, e remote.Error) {
	e.Message, e.Hint = visible.Cut(e.Message, maxMessage), visible.Cut(e.Hint, maxMessage)
	answer(w, status, e)
}

// maxMessage is how many bytes the text of an error has at most.
const maxMessage = 2000

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
		pushBackFor(w, err, body)
	default:
		fail(w, status, body)
	}
}

func isOverload(err error) bool {
	_, ok := errors.AsType[*distributor.OverloadError](err)
	return ok
}

// retryAfter is how many seconds a client should wait that was pushed back because of err. It is drawn from a range, so that
// clients which were pushed back together do not come back together.
func retryAfter(err error, draw func(n int) int) int {
	least, most := 1, 2 // a moment's overload
	full, isFull := errors.AsType[*queue.FullError](err)
	switch {
	case isFull && full.Limit == "min_free_bytes": // somebody has to make room on the disk
		least, most = 15, 30
	case isFull: // analyzers make room, batch by batch
		least, most = 4, 8
	case errors.Is(err, queue.ErrUnavailable), errors.Is(err, queue.ErrClosed): // the queue tries again each second; a restart takes a few
		least, most = 2, 5
	}
	return least + draw(most-least+1)
}

// pushBack asks a client to come again in a moment.
func pushBack(w http.ResponseWriter, body remote.Error) { pushBackFor(w, nil, body) }

// pushBackFor asks a client to come again when what err says may be over.
func pushBackFor(w http.ResponseWriter, err error, body remote.Error) {
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter(err, rand.IntN)))
	fail(w, http.StatusServiceUnavailable, body)
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
  GET  /v1/tail         a stream of live records; /v1/tail/recent: what has just passed
  GET  /v1/flow         where records go, how fast
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
