package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/analyzer/discard"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/internal/history"
	"github.com/sluicehq/sluice/queue/memory"
)

// charted is a server that keeps a series and decisions in memory.
func charted(t *testing.T) (string, *testQueue, *Server) {
	t.Helper()
	url, q, s := start(t, distributor.Options{})
	now := time.Now()
	s.Series = history.OpenSeries(history.Options{}, now)
	s.Acted = history.OpenJournal(history.Options{}, "decisions", now, nil)
	s.SLO = func() time.Duration { return 30 * time.Second }
	return url, q, s
}

// nextEvent reads one event of a stream.
func nextEvent(t *testing.T, in *bufio.Reader) (name string, data []byte) {
	t.Helper()
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended: %v", err)
		}
		switch line = strings.TrimSuffix(line, "\n"); {
		case strings.HasPrefix(line, "event: "):
			name = line[len("event: "):]
		case strings.HasPrefix(line, "data: "):
			data = []byte(line[len("data: "):])
		case line == "" && name != "":
			return name, data
		}
	}
}

func TestEventsSayWhatStatsSay(t *testing.T) {
	url, _, s := charted(t)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { s.Watch(ctx) })
	defer watching.Wait()
	defer cancel()
	call(t, "POST", url+"/v1/records", "application/json", `[{"body":"a"},{"body":"b"}]`)
	for _, rows := range []bool{false, true} {
		path := "/v1/events"
		if rows {
			path += "?rows=1"
		}
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("Content-Type %q", got)
		}
		in := bufio.NewReader(resp.Body)
		name, data := nextEvent(t, in)
		for name != "stats" {
			name, data = nextEvent(t, in)
		}
		resp.Body.Close()
		var live struct {
			Live
			Pool struct{ Analyzers []analyzer.Row }
		}
		if err := json.Unmarshal(data, &live); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		if live.QueueStats == nil || live.Depth != 2 || live.Boot == "" || live.KeepingUp.State == "" || live.Verdict.State == "" {
			t.Errorf("rows %v: %s; want a depth of 2, a boot, and both verdicts", rows, data)
		}
		if got := len(live.Pool.Analyzers); rows && got != 0 && live.Pool.Analyzers[0].ID == "" || !rows && got > 0 {
			t.Errorf("rows %v: %d analyzers", rows, got)
		}
	}
}

func TestTooManyViewersAreTurnedAway(t *testing.T) {
	url, _, s := charted(t)
	for range mostViewers {
		if !s.feed.join(&viewer{events: make(chan []byte, 1)}, time.Now().Add(time.Minute)) {
			t.Fatal("turned away too early")
		}
	}
	status, body, h := call(t, "GET", url+"/v1/events", "", "")
	if status != 503 || h.Get("Retry-After") == "" || !strings.Contains(body, `"viewers":200`) {
		t.Errorf("one too many: %d %s, want 503 that says the limit", status, body)
	}
}

// Viewers that came first, and may not even read, do not keep all others out.
func TestTheNextViewerTakesThePlaceOfTheOldest(t *testing.T) {
	_, _, s := charted(t)
	now := time.Now()
	var all []*viewer
	for i := range mostViewers + 1 {
		v := &viewer{events: make(chan []byte, 1)}
		if all = append(all, v); !s.feed.join(v, now.Add(time.Duration(i)*leastWatch/mostViewers)) {
			t.Fatalf("viewer %d is turned away", i)
		}
	}
	gone := func(v *viewer) bool {
		select {
		case <-v.gone:
			return true
		default:
			return false
		}
	}
	if !gone(all[0]) || gone(all[1]) || gone(all[mostViewers]) || len(s.feed.viewers) != mostViewers {
		t.Errorf("gone: the first %v, the second %v, the last %v, of %d; want the first alone", gone(all[0]), gone(all[1]), gone(all[mostViewers]), len(s.feed.viewers))
	}
	if s.feed.join(&viewer{events: make(chan []byte, 1)}, all[1].since.Add(leastWatch-1)) {
		t.Error("the place of one that has just come is taken")
	}
}

func TestASlowViewerHoldsUpNobody(t *testing.T) {
	_, _, s := charted(t)
	slow := &viewer{events: make(chan []byte, 1)}
	s.feed.join(slow, time.Now())
	now := time.Now()
	for i := range 20 {
		s.feed.look(t.Context(), now.Add(time.Duration(i)*time.Second)) // would hang if it waited
	}
	if len(slow.events) != 1 {
		t.Errorf("%d events wait for the slow one, want 1", len(slow.events))
	}
}

func TestStepsAreKeptAndAnswered(t *testing.T) {
	url, _, s := charted(t)
	begin := time.Now().Truncate(history.Step).Add(-5 * history.Step)
	s.feed.look(t.Context(), begin)
	call(t, "POST", url+"/v1/records", "application/json", `[{"body":"a"},{"body":"b"},{"body":"c"}]`)
	for i := 1; i <= 40; i++ {
		s.feed.look(t.Context(), begin.Add(time.Duration(i)*time.Second))
	}
	_, body, _ := call(t, "GET", url+"/v1/series?seconds=600", "", "")
	var a struct {
		Step    float64     `json:"step_seconds"`
		Columns []string    `json:"columns"`
		Rows    [][]float64 `json:"rows"`
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if a.Step != 10 || len(a.Rows) != 4 || len(a.Columns) != len(a.Rows[0]) {
		t.Fatalf("the series is %s, want 4 rows of 10 s", body)
	}
	at := map[string]int{}
	for i, c := range a.Columns {
		at[c] = i
	}
	if got := a.Rows[0][at["in_records"]]; got != 3 {
		t.Errorf("%v records came in the first step, want 3: %s", got, body)
	}
	if got := a.Rows[3]; got[at["in_records"]] != 0 || got[at["depth"]] != 3 || got[at["time"]] != float64(begin.Add(40*time.Second).Unix()) {
		t.Errorf("the last row is %v, want no arrivals and a depth of 3", got)
	}
	for _, bad := range []string{"seconds=x", "seconds=999999999", "points=-1"} {
		if status, body, _ := call(t, "GET", url+"/v1/series?"+bad, "", ""); status != 400 || !strings.Contains(body, "must be a whole number") {
			t.Errorf("%s: %d %s", bad, status, body)
		}
	}
}

func TestDecisionsBeforeATime(t *testing.T) {
	url, _, s := charted(t)
	at := time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	for i := range 5 {
		d := autoscale.Decision{Time: at.Add(time.Duration(i) * time.Minute), Action: autoscale.ActionUp, Reason: fmt.Sprint("reason ", i)}
		line, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		s.Acted.Add(history.Line{Time: d.Time, JSON: line})
	}
	_, body, _ := call(t, "GET", url+"/v1/decisions?actions=1&limit=2&before=2026-11-24T02:03:00Z", "", "")
	if strings.Contains(body, "reason 0") || !strings.Contains(body, "reason 1") || !strings.Contains(body, "reason 2") || strings.Contains(body, "reason 3") {
		t.Errorf("two before 02:03: %s", body)
	}
	if status, body, _ := call(t, "GET", url+"/v1/decisions?before=yesterday", "", ""); status != 400 || !strings.Contains(body, "2026-11-24T02:10:46Z") {
		t.Errorf("a bad time: %d %s", status, body)
	}
	if status, body, _ := call(t, "GET", url+"/v1/decisions?before=2026-11-24T02:03:00Z", "", ""); status != 200 || !strings.Contains(body, `"decisions":[]`) {
		t.Errorf("before the first: %d %s", status, body)
	}
}

func TestBrowsersGetThePage(t *testing.T) {
	_, _, s := charted(t)
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "the page at "+r.URL.Path) })
	rooms := s.Rooms
	rooms.Page = page
	s = New(rooms, nil)
	for accept, want := range map[string]string{"text/html,*/*;q=0.8": "the page at /", "*/*": "POST /v1/records", "": "POST /v1/records"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("Accept %q: %s, want %q", accept, w.Body, want)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/ui/app.js", nil))
	if got := w.Body.String(); got != "the page at /ui/app.js" {
		t.Errorf("a file of the page: %q", got)
	}
}

func TestKeepingUp(t *testing.T) {
	queue := func(depth int64, wait float64, problem string) *QueueStats {
		return &QueueStats{Depth: depth, OldestWait: wait, Problem: problem}
	}
	tests := []struct {
		name  string
		q     *QueueStats
		rates Rates
		slo   time.Duration
		want  string
	}{
		{"nothing at all", queue(0, 0, ""), Rates{}, 0, "idle"},
		{"nothing waits", queue(0, 0, ""), Rates{In: 5, Out: 5}, 0, "keeping_up"},
		{"within the SLO", queue(500, 20, ""), Rates{In: 50, Out: 5}, 30 * time.Second, "keeping_up"},
		{"beyond the SLO", queue(500, 31, ""), Rates{In: 50, Out: 60}, 30 * time.Second, "behind"},
		{"no SLO, growing", queue(500, 31, ""), Rates{In: 50, Out: 5}, 0, "behind"},
		{"no SLO, shrinking", queue(500, 31, ""), Rates{In: 50, Out: 55}, 0, "keeping_up"},
		{"nothing is done", queue(500, 31, ""), Rates{In: 50}, 30 * time.Second, "stalled"},
		{"nothing is done yet", queue(500, 2, ""), Rates{In: 50}, 30 * time.Second, "keeping_up"},
		{"no queue", queue(500, 2, "no space"), Rates{}, 0, "unknown"},
	}
	for _, tt := range tests {
		l := Live{Stats: Stats{QueueStats: tt.q}, Rates: tt.rates}
		if got := keepingUp(l, tt.slo); got.State != tt.want || got.Text == "" {
			t.Errorf("%s: %+v, want %s", tt.name, got, tt.want)
		}
	}
}

func TestVerdictsAreWrittenForPeople(t *testing.T) {
	live := func(depth int64, wait float64, r Rates) Live {
		return Live{Stats: Stats{QueueStats: &QueueStats{Depth: depth, InFlight: 100, OldestWait: wait}}, Rates: r}
	}
	away := Live{Stats: Stats{Autoscaler: &autoscale.Stats{LastDecision: &autoscale.Decision{Depth: 1234567, DepthKnown: true}}}, Rates: Rates{Out: 2800}}
	for _, tt := range []struct {
		l    Live
		want string
	}{
		{live(47_900, 90, Rates{In: 2195, Out: 12.34}), "2,195/s in, 12.3/s done; the oldest of 48,000 records waits for 1m30s, more than the SLO of 1m"},
		{live(900, 0.0431, Rates{In: 0.2, Out: 1}), "0.2/s in, 1/s done; the oldest of 1,000 records waits for 43ms of 1m"},
		{live(-1, 7200, Rates{In: 5}), "nothing is being done, and the oldest of 99 records waits for 2h"},
		{away, "2,800/s done here, 1,234,567 records wait"},
	} {
		if got := keepingUp(tt.l, time.Minute); got.Text != tt.want {
			t.Errorf("%q, want %q", got.Text, tt.want)
		}
	}
}

func TestExplain(t *testing.T) {
	o := autoscale.Options{MinSize: 1, MaxSize: 10, ScaleUpThreshold: 50, ScaleDownThreshold: 10, ScaleUpCount: 2, ScaleDownCount: 1}
	slo := &autoscale.Explanation{Otherwise: "no start: all deadlines met with 3.2s to spare; the next start is due if arrivals exceed 410/s; one fewer once arrivals fall below 90/s",
		Estimates: []autoscale.Estimate{{Name: "rate_per_second", Value: 12.5}}}
	tests := []struct {
		name                 string
		st                   autoscale.Stats
		d                    autoscale.Decision
		binding, more, fewer string
	}{
		{"slo", autoscale.Stats{}, autoscale.Decision{NewSize: 4, DepthKnown: true, Policy: "slo", Explanation: slo}, "deadline", "exceed 410/s", "below 90/s"},
		{"threshold", autoscale.Stats{}, autoscale.Decision{NewSize: 4, Depth: 34, DepthKnown: true, Policy: "threshold"}, "threshold", "2 more at a depth of 50; it is 34", "1 fewer at a depth of 10 or less"},
		{"at its maximum", autoscale.Stats{}, autoscale.Decision{NewSize: 10, Depth: 340, DepthKnown: true, Policy: "threshold", Clamps: []autoscale.Clamp{{Name: autoscale.ClampMaxSize}}}, autoscale.ClampMaxSize, "never more than max size 10", "1 fewer"},
		{"at its minimum", autoscale.Stats{}, autoscale.Decision{NewSize: 1, DepthKnown: true, Policy: "static"}, "policy", "asked for no more", "never fewer than min size 1"},
		{"cooldown", autoscale.Stats{InCooldown: true, CooldownRemaining: 12300 * time.Millisecond}, autoscale.Decision{NewSize: 4, DepthKnown: true, Policy: "threshold"}, "cooldown", "12s left", "12s left"},
		{"unknown", autoscale.Stats{}, autoscale.Decision{NewSize: 4, Reason: "depth unknown: no answer", Policy: "slo"}, "unknown", "stays until it is known", "unknown is not zero"},
		{"paused", autoscale.Stats{Paused: true}, autoscale.Decision{NewSize: 4, DepthKnown: true, Policy: "slo", Clamps: []autoscale.Clamp{{Name: autoscale.ClampPaused}}}, autoscale.ClampPaused, "scale resume", "scale resume"},
		{"forced", autoscale.Stats{ForcedSize: 7, ForcedUntil: time.Now()}, autoscale.Decision{NewSize: 7, DepthKnown: true, Policy: "slo", Clamps: []autoscale.Clamp{{Name: autoscale.ClampForced}}}, autoscale.ClampForced, "forced the size to 7", "forced"},
	}
	for _, tt := range tests {
		tt.st.LastDecision = &tt.d
		e := explain(tt.st, o)
		if e.Binding != tt.binding || !strings.Contains(e.WhyNotMore, tt.more) || !strings.Contains(e.WhyNotFewer, tt.fewer) || e.Text == "" {
			t.Errorf("%s: %+v, want %s, %q and %q", tt.name, e, tt.binding, tt.more, tt.fewer)
		}
	}
	if st := (autoscale.Stats{LastDecision: &tests[0].d}); explain(st, o).Facts["rate_per_second"] != 12.5 {
		t.Error("the facts are not those of the policy")
	}
}

// BenchmarkLook is one second's work for all viewers, with 200 analyzers. Of the ledger, however long, only its end is looked at.
func BenchmarkLook(b *testing.B) {
	mem, err := memory.New(memory.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer mem.Close()
	log := slog.New(slog.DiscardHandler)
	pool, err := analyzer.NewPool(mem, discard.Handler{}, analyzer.Options{Size: 200, Logger: log})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { pool.Run(ctx) })
	defer running.Wait()
	defer cancel()
	for _, viewers := range []int{0, 1, 100} {
		b.Run(fmt.Sprint(viewers, "viewers"), func(b *testing.B) {
			s := New(Rooms{Started: time.Now(), Queue: &testQueue{Queue: mem}, Pool: pool, Log: log}, nil)
			for range viewers {
				v := &viewer{events: make(chan []byte, 1), rows: true}
				s.feed.join(v, time.Now())
				go func() {
					for e := range v.events {
						io.Copy(io.Discard, bytes.NewReader(e))
					}
				}()
				defer close(v.events)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.feed.look(ctx, time.Now().Add(time.Duration(i)*time.Second))
			}
		})
	}
}
