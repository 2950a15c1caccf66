package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/access"
	"github.com/sluicehq/sluice/internal/history"
	"github.com/sluicehq/sluice/queue/remote"
)

const (
	beat        = time.Second      // between two looks
	rateWindow  = 5                // looks over which rates are taken
	mostViewers = 200              // at once; the next one takes the place of the one that has watched longest
	leastWatch  = 2 * time.Second  // for which nobody's place is taken
	heartbeat   = 15 * time.Second // a stream that says nothing for so long says that it lives
	writeTime   = 10 * time.Second // that a viewer may take for one event
	recent      = 64               // decisions that mostly suffice between two looks
)

// feed looks once a second at everything there is, tells those who watch, and keeps what the charts need. What it tells is made once for
// all viewers.
type feed struct {
	s    *Server
	boot string // names this start of the process

	mu      sync.Mutex
	viewers map[*viewer]struct{}
	latest  Rates
	plain   []byte // the newest event without the rows of the analyzers, and with them
	full    []byte

	// Only the loop touches these.
	looks   []sample
	step    history.Point // the one that is not over yet
	stepEnd int64
	seen    time.Time // of the newest decision told
}

// viewer is somebody who watches.
type viewer struct {
	rows   bool
	events chan []byte // never waited for: who is slow misses some
	since  time.Time
	gone   chan struct{} // closed where another takes its place
}

// sample is counters at a time. They only ever grow.
type sample struct {
	at                                             time.Time
	in, inBytes, out, outBytes, failed, pushedBack int64
	again                                          int64
}

// Rates are per second, over the last few seconds.
type Rates struct {
	In         float64 `json:"in_records_per_second"`
	InBytes    float64 `json:"in_bytes_per_second"`
	Out        float64 `json:"out_records_per_second"`
	OutBytes   float64 `json:"out_bytes_per_second"`
	Failed     float64 `json:"failed_records_per_second"`
	PushedBack float64 `json:"pushed_back_per_second"` // requests
	TriedAgain float64 `json:"tried_again_per_second"` // batches that were leased for another attempt
	Window     float64 `json:"window_seconds"`
}

// Live is the answer to GET /v1/stats, and what those who watch are told each second: the statistics, and what follows from them.
type Live struct {
	Stats
	Time      time.Time `json:"time"`
	Boot      string    `json:"boot"` // changes with each start of the process
	Rates     Rates     `json:"rates"`
	KeepingUp Pace      `json:"keeping_up"`
	Verdict   Verdict   `json:"verdict"`
}

func newFeed(s *Server) *feed {
	return &feed{s: s, boot: fmt.Sprintf("%x", s.Started.UnixNano()), viewers: map[*viewer]struct{}{}, seen: s.Started}
}

// Watch looks once a second until ctx ends, for the charts and for those who watch.
func (s *Server) Watch(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	s.feed.look(ctx, time.Now())
	for {
		select {
		case <-ctx.Done():
			s.feed.look(context.WithoutCancel(ctx), time.Now()) // what was decided at the end is kept too
			return
		case now := <-tick.C:
			s.feed.look(ctx, now)
		}
	}
}

func (f *feed) look(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, 2*beat)
	defer cancel()
	st, err := f.s.stats(ctx)
	f.tellDecisions()
	live := Live{Stats: st, Time: now.UTC(), Boot: f.boot}
	if err == nil {
		f.count(sampleOf(st, now))
		live.Rates = f.rates()
		f.mu.Lock()
		f.latest = live.Rates
		f.mu.Unlock()
	}
	live.Judge()
	if err == nil { // unknown is not zero: else there is no point
		f.keepPoint(live, now)
	}
	f.tellStats(live)
}

func sampleOf(st Stats, now time.Time) sample {
	s := sample{at: now}
	if q := st.QueueStats; q != nil {
		s.in, s.out, s.again = q.Accepted, q.Completed, q.Redelivers
	}
	if in := st.Ingest; in != nil {
		s.inBytes, s.pushedBack = in.Bytes, in.PushedBack
	}
	if p := st.Pool; p != nil {
		s.outBytes, s.failed = p.Bytes, p.FailedRecords
		if st.QueueStats == nil {
			s.out = p.Records
		}
	}
	return s
}

func (f *feed) count(s sample) {
	if n := len(f.looks); n > 0 {
		last := f.looks[n-1]
		f.step.In += max(0, s.in-last.in)
		f.step.Out += max(0, s.out-last.out)
		f.step.InBytes += max(0, s.inBytes-last.inBytes)
		f.step.Failed += max(0, s.failed-last.failed)
	}
	f.looks = append(f.looks, s)
	if n := len(f.looks) - rateWindow - 1; n > 0 {
		f.looks = append(f.looks[:0], f.looks[n:]...)
	}
}

func (f *feed) rates() Rates { return f.looks[0].until(f.looks[len(f.looks)-1]) }

// until is the rates from one sample to a later one; none where no time lies between them.
func (s sample) until(later sample) Rates {
	span := later.at.Sub(s.at).Seconds()
	if span <= 0 {
		return Rates{}
	}
	per := func(a, b int64) float64 { return float64(max(0, b-a)) / span }
	return Rates{
		In: per(s.in, later.in), InBytes: per(s.inBytes, later.inBytes), Out: per(s.out, later.out), OutBytes: per(s.outBytes, later.outBytes),
		Failed: per(s.failed, later.failed), PushedBack: per(s.pushedBack, later.pushedBack), TriedAgain: per(s.again, later.again), Window: span,
	}
}

// RatesBetween is the rates from one look at the statistics to a later one.
func RatesBetween(before Stats, at time.Time, after Stats, later time.Time) Rates {
	return sampleOf(before, at).until(sampleOf(after, later))
}

func (f *feed) latestRates() Rates {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest
}

// keepPoint completes a point of the series at the end of each step.
func (f *feed) keepPoint(l Live, now time.Time) {
	if q := l.QueueStats; q != nil {
		f.step.Depth, f.step.InFlight, f.step.Dead = q.Depth, q.InFlight, q.Dead
		f.step.OldestWait = max(f.step.OldestWait, q.OldestWait)
	}
	if p := l.Pool; p != nil {
		f.step.Size, f.step.Ready, f.step.Draining, f.step.Busy = int64(p.Size), int64(p.Ready), int64(p.Draining), int64(p.Busy)
	}
	if a := l.Autoscaler; a != nil && a.LastDecision != nil {
		f.step.Named = int64(a.LastDecision.NamedSize)
		if saw := a.LastDecision.Saw; l.QueueStats == nil && a.LastDecision.DepthKnown { // the queue is elsewhere
			f.step.Depth = int64(a.LastDecision.Depth)
			if saw != nil {
				f.step.InFlight, f.step.OldestWait = int64(saw.InFlight), max(f.step.OldestWait, saw.OldestWaitSeconds)
			}
		}
	}
	end := now.Unix() / int64(history.Step/time.Second) * int64(history.Step/time.Second)
	if f.stepEnd == 0 {
		f.stepEnd = end // the first step is not whole
	}
	if end < f.stepEnd { // the clock was set back: what came since belongs to no step
		f.stepEnd, f.step = end, history.Point{}
	}
	if end == f.stepEnd {
		return
	}
	f.stepEnd, f.step.Time = end, end
	if f.s.Series != nil {
		f.s.Series.Add(f.step)
	}
	f.send(event("point", f.step.AppendJSON(nil)))
	f.step = history.Point{}
}

// tellDecisions tells what was decided since the last look, and keeps what moved the pool.
func (f *feed) tellDecisions() {
	if f.s.Scaler == nil {
		return
	}
	all := f.s.Scaler.Decisions(recent)
	for n := recent; len(all) == n && all[0].Time.After(f.seen); { // there were more
		n *= 8
		all = f.s.Scaler.Decisions(n)
	}
	fresh := all[:0:0]
	for _, d := range all {
		if d.Time.After(f.seen) {
			fresh = append(fresh, d)
		}
	}
	if len(fresh) == 0 {
		return
	}
	f.seen = fresh[len(fresh)-1].Time
	for _, d := range fresh {
		if line, err := json.Marshal(d); err == nil && d.Action != autoscale.ActionHold && f.s.Acted != nil {
			f.s.Acted.Add(history.Line{Time: d.Time, JSON: line})
		}
	}
	if f.watched() {
		if text, err := json.Marshal(map[string]any{"decisions": fresh}); err == nil {
			f.send(event("decisions", text))
		}
	}
}

func (f *feed) tellStats(l Live) {
	if !f.watched() {
		f.mu.Lock()
		f.plain, f.full = nil, nil
		f.mu.Unlock()
		return
	}
	full, err := json.Marshal(l)
	if err != nil {
		return
	}
	if l.Pool != nil {
		pool := *l.Pool
		pool.Analyzers = nil
		l.Pool = &pool
	}
	l.Remote = nil
	plain, err := json.Marshal(l)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plain, f.full = event("stats", plain), event("stats", full)
	for v := range f.viewers {
		if v.rows {
			v.offer(f.full)
		} else {
			v.offer(f.plain)
		}
	}
}

func (f *feed) watched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.viewers) > 0
}

func (f *feed) send(e []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for v := range f.viewers {
		v.offer(e)
	}
}

func (v *viewer) offer(e []byte) {
	select {
	case v.events <- e:
	default:
	}
}

// event is one event of a stream; JSON has no line breaks.
func event(name string, data []byte) []byte {
	b := append(make([]byte, 0, len(name)+len(data)+20), "event: "...)
	b = append(append(b, name...), "\ndata: "...)
	return append(append(b, data...), "\n\n"...)
}

// join adds a viewer, which takes the place of another where there are too many: else those who came first, and may not even read, would
// keep all others out. It returns false where none has watched long enough to leave.
func (f *feed) join(v *viewer, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.viewers) >= mostViewers {
		oldest := v
		for other := range f.viewers {
			if oldest == v || other.since.Before(oldest.since) {
				oldest = other
			}
		}
		if now.Sub(oldest.since) < leastWatch {
			return false
		}
		delete(f.viewers, oldest)
		close(oldest.gone)
	}
	v.since, v.gone = now, make(chan struct{})
	f.viewers[v] = struct{}{}
	latest := f.plain
	if v.rows {
		latest = f.full
	}
	if latest != nil {
		v.offer(latest)
	}
	return true
}

func (f *feed) leave(v *viewer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.viewers, v)
}

// getEvents streams what happens until the viewer leaves or the process stops.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	v := &viewer{rows: r.URL.Query().Get("rows") == "1", events: make(chan []byte, 8)}
	if !s.feed.join(v, time.Now()) {
		pushBack(w, remote.Error{Message: fmt.Sprintf("%d are watching already", mostViewers), Limit: map[string]int{"viewers": mostViewers}})
		return
	}
	defer s.feed.leave(v)
	s.stream(w, r, v.events, v.gone)
}

// stream sends events until whoever reads leaves, loses its place, or the process stops.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, events <-chan []byte, gone <-chan struct{}) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // for proxies that would wait for more
	h.Set("X-Content-Type-Options", "nosniff")
	conn := http.NewResponseController(w)
	send := func(b []byte) bool {
		conn.SetWriteDeadline(time.Now().Add(writeTime)) // not supported only where a test has no connection
		_, err := w.Write(b)
		return err == nil && conn.Flush() == nil
	}
	if !send([]byte("retry: 1000\n\n")) {
		return
	}
	alive := time.NewTicker(heartbeat)
	defer alive.Stop()
	for {
		var next []byte
		select {
		case next = <-events:
		case <-alive.C:
			if !access.StillGood(r) {
				return
			}
			next = []byte(": alive\n\n")
		case <-r.Context().Done():
			return
		case <-gone:
			return
		case <-s.stop:
			return
		}
		if !send(next) {
			return
		}
	}
}
