package api

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/analyzer/discard"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/memory"
	"github.com/sluicehq/sluice/queue/remote"
)

// testQueue is an in-memory queue that a test can make sick.
type testQueue struct {
	*memory.Queue
	sick error
}

func (q *testQueue) Healthy() error { return q.sick }

func (q *testQueue) Stats(ctx context.Context) (queue.Stats, error) {
	if q.sick != nil {
		return queue.Stats{}, q.sick
	}
	return q.Queue.Stats(ctx)
}

// totals is a Results that keeps one sum.
type totals struct{ sum *count.Totals }

func (r totals) Write(_ context.Context, res count.Result) error { r.sum.Add(res); return nil }
func (r totals) Totals() *count.Totals                           { return r.sum }

// start serves everything but a running pool, and returns its URL and queue.
func start(t *testing.T, o distributor.Options) (string, *testQueue, *Server) {
	t.Helper()
	mem, err := memory.New(memory.Options{MaxBytes: 1 << 20, Retry: queue.Retry{MaxAttempts: 2}})
	if err != nil {
		t.Fatal(err)
	}
	q := &testQueue{Queue: mem}
	d, err := distributor.New(q, o)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	pool, err := analyzer.NewPool(q, discard.Handler{}, analyzer.Options{Size: 2, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	scaler, err := autoscale.New(pool, autoscale.DepthFunc(func(context.Context) (int, error) { return 0, nil }), autoscale.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Rooms{Role: "run", Version: "test", Started: time.Now(), Distributor: d, Queue: q, Pool: pool, Scaler: scaler,
		Results: totals{count.NewTotals(time.Now())}, Log: log}, nil)
	srv := httptest.NewServer(s)
	t.Cleanup(func() { srv.Close(); d.Close(); q.Close() })
	return srv.URL, q, s
}

// call sends a request and returns status, body and headers.
func call(t *testing.T, method, url, contentType, body string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text)), resp.Header
}

func TestAnswers(t *testing.T) {
	const js, nd = "application/json", "application/x-ndjson"
	long := `{"a":"` + strings.Repeat("x", 2000) + `"}`
	tests := []struct {
		name, method, path, contentType, body string
		status                                int
		want                                  string // in the answer
	}{
		{"good records", "POST", "/v1/records", nd, "{}\n{}\n", 200, `{"accepted":2,"rejected":0,"errors":[]}`},
		{"some bad", "POST", "/v1/records", nd, "{}\nx\n", 200, `{"accepted":1,"rejected":1,"errors":[{"line":2,"reason":"invalid JSON`},
		{"all bad", "POST", "/v1/records", nd, "x\n", 400, `"errors":[{"line":1`},
		{"no record", "POST", "/v1/records", nd, "", 400, `the body holds no record`},
		{"too long a record", "POST", "/v1/records", nd, long, 413, `the limit is 1024`},
		{"too long a body", "POST", "/v1/records", nd, strings.Repeat("{}\n", 2000), 413, `"limit":{"max_body_bytes":4096}`},
		{"a wrong type", "POST", "/v1/records", "image/png", "x", 415, `unsupported content type`},
		{"a wrong method", "GET", "/v1/records", "", "", 405, ""},
		{"no such path", "GET", "/v2/records", "", "", 404, `no such path: GET /v2/records`},
		{"index", "GET", "/", "", "", 200, `POST /v1/records`},
		{"healthy", "GET", "/healthz", "", "", 200, `"ok"`},
		{"ready", "GET", "/readyz", "", "", 200, `"ready"`},
		{"leases need JSON", "POST", "/v1/leases", js, "{", 400, `not JSON`},
		{"too many leases", "POST", "/v1/leases", js, `{"max_batches":65}`, 400, `1 to 64`},
		{"an unknown token", "POST", "/v1/leases/nonsense/ack", js, "", 409, `lease expired`},
		{"an impossible delay", "POST", "/v1/leases/nonsense/nack", js, `{"delay_seconds":-1}`, 400, `delay_seconds`},
		{"dead letters", "GET", "/v1/dead", "", "", 200, `{"dead":[]}`},
		{"dead letters, wrong limit", "GET", "/v1/dead?limit=x", "", "", 400, `limit must be`},
		{"a dead letter that is not there", "GET", "/v1/dead/7", "", "", 404, `dead letter 7`},
		{"retrying one that is not there", "POST", "/v1/dead/7/retry", "", "", 404, `not found`},
		{"dropping a wrong one", "DELETE", "/v1/dead/x", "", "", 400, `whole number`},
		{"retrying all of none", "POST", "/v1/dead/retry", "", "", 200, `{"count":0}`},
		{"results", "GET", "/v1/results", "", "", 200, `"by_severity"`},
		{"adding a result", "POST", "/v1/results", js, `{"batch":"00112233445566778899aabb","records":1}`, 200, `added`},
		{"decisions", "GET", "/v1/decisions", "", "", 200, `"decisions":[]`},
		{"a league of nobody", "GET", "/v1/league", "", "", 404, `"hint":"start it with --league`},
		{"pausing", "POST", "/v1/autoscaler/pause", "", "", 200, `"paused":true`},
		{"resuming", "POST", "/v1/autoscaler/resume", "", "", 200, `"paused":false`},
		{"forcing", "POST", "/v1/autoscaler/force", js, `{"size":3,"seconds":60}`, 200, `"forced_size":3`},
		{"forcing without an end", "POST", "/v1/autoscaler/force", js, `{"size":3}`, 400, `required`},
		{"forcing for longer than there is time", "POST", "/v1/autoscaler/force", js, `{"size":3,"seconds":1e12}`, 400, `is 1e+12, must be a number of seconds from 0 to 31622400`},
		{"forcing for a time in the past", "POST", "/v1/autoscaler/force", js, `{"size":3,"seconds":-1e300}`, 400, `is -1e+300`},
		{"forcing a negative size", "POST", "/v1/autoscaler/force", js, `{"size":-3,"seconds":60}`, 400, `size is -3, must be 0 to 100`},
		{"waiting for longer than there is time", "POST", "/v1/leases", js, `{"analyzer":"a","wait_seconds":1e300}`, 400, `wait_seconds`},
		{"a delay longer than there is time", "POST", "/v1/leases/x/nack", js, `{"reason":"x","delay_seconds":1e300}`, 400, `is 1e+300, must be a number of seconds from 0 to 604800 (a week)`},
		{"forcing without measure", "POST", "/v1/autoscaler/force", js, `{"size":1000,"seconds":1}`, 400, `must be 0 to 100`},
	}
	url, _, _ := start(t, distributor.Options{MaxBodyBytes: 4096, MaxRecordBytes: 1024})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body, _ := call(t, tt.method, url+tt.path, tt.contentType, tt.body)
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%s %s = %d %s; want %d with %s", tt.method, tt.path, status, body, tt.status, tt.want)
			}
		})
	}
}

// TestHowABodyIsDescribed: by headers in any case and form, by its bytes, and by the query.
func TestHowABodyIsDescribed(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte("{\"a\":1}\n{\"b\":2}\n"))
	z.Close()
	gz := packed.String()
	packed.Reset()
	d := zlib.NewWriter(&packed)
	d.Write([]byte("{\"a\":1}\n{\"b\":2}\n"))
	d.Close()
	zl := packed.String() // which nothing but the header tells
	trace := "x\n\tat y\nz\n"
	tests := []struct {
		name, query, contentType string
		encodings                []string
		body                     string
		status                   int
		want                     string // in the answer
	}{
		{"gzip in capitals", "", "application/x-ndjson", []string{"GZIP"}, gz, 200, `{"accepted":2,"rejected":0`},
		{"gzip and identity", "", "application/x-ndjson", []string{"gzip, identity"}, gz, 200, `{"accepted":2,"rejected":0`},
		{"two headers", "", "application/x-ndjson", []string{"identity", "Deflate"}, zl, 200, `{"accepted":2,"rejected":0`},
		{"an empty header", "", "application/x-ndjson", []string{""}, "{}\n", 200, `{"accepted":1,"rejected":0`},
		{"gzip without a header", "", "", nil, gz, 200, `{"accepted":2,"rejected":0`},
		{"an unknown coding", "", "", []string{"gzip, br"}, gz, 415, `unsupported content encoding \"br\": send gzip, zstd, deflate or identity`},
		{"an unknown charset", "", "text/plain; charset=klingon", nil, "x", 415, `unsupported charset`},
		{"binary", "", "text/plain", nil, "\xfd7zXZ\x00", 415, `send gzip or zstd`},
		{"a trace", "", "text/plain", nil, trace, 200, `{"accepted":2,`},
		{"a trace as lines", "?multiline=false", "text/plain", nil, trace, 200, `{"accepted":3,`},
		{"a trace on demand", "?multiline=true", "", nil, trace, 200, `{"accepted":2,`},
		{"a wrong query", "?multiline=perhaps", "", nil, trace, 400, `multiline is \"perhaps\", must be true or false`},
		{"a large window", "", "application/json", []string{"zstd"}, "\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00", 413, `"limit":{"zstd_window_bytes":8388608}`},
	}
	url, _, _ := start(t, distributor.Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/records"+tt.query, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.contentType != "" {
				req.Header.Set("Content-Type", tt.contentType)
			}
			req.Header["Content-Encoding"] = tt.encodings
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tt.status || !strings.Contains(string(text), tt.want) {
				t.Errorf("%d %s, %v; want %d with %s", resp.StatusCode, text, err, tt.status, tt.want)
			}
		})
	}
}

func TestFullQueueIsPushBack(t *testing.T) {
	url, _, _ := start(t, distributor.Options{Hold: -1})
	line := `{"a":"` + strings.Repeat("x", 300<<10) + "\"}\n"
	for range 3 {
		if status, body, _ := call(t, "POST", url+"/v1/records", "application/x-ndjson", line); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	status, body, header := call(t, "POST", url+"/v1/records", "application/x-ndjson", line)
	if status != 503 || !slices.Contains([]string{"4", "5", "6", "7", "8"}, header.Get("Retry-After")) || !strings.Contains(body, `"limit":{"max_bytes":1048576}`) {
		t.Errorf("%d %s, Retry-After %q; want 503 that names max_bytes", status, body, header.Get("Retry-After"))
	}
}

func TestSickQueue(t *testing.T) {
	url, q, _ := start(t, distributor.Options{})
	q.sick = fmt.Errorf("%w: the disk is gone", queue.ErrUnavailable)
	for path, want := range map[string]string{"/readyz": "the disk is gone", "/v1/stats": "the disk is gone"} {
		if status, body, _ := call(t, "GET", url+path, "", ""); status != 503 || !strings.Contains(body, want) {
			t.Errorf("%s = %d %s; want 503 with %q", path, status, body, want)
		}
	}
	if _, body, _ := call(t, "GET", url+"/metrics", "", ""); !strings.Contains(body, "sluice_queue_up 0") {
		t.Error("metrics do not say that the queue is down")
	}
}

// TestRemoteClient: an analyzer elsewhere gets what was put, byte for byte, and its verdicts arrive.
func TestRemoteClient(t *testing.T) {
	url, q, s := start(t, distributor.Options{})
	c, err := remote.NewClient(url + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	call(t, "POST", url+"/v1/records", "application/x-ndjson", `{"a":1.50,"b":"é"}`+"\n{}\n{\"c\":3}\n")
	if st, err := c.Stats(t.Context()); err != nil || st.Waiting != 3 || st.Accepted != 3 || st.OldestWait <= 0 {
		t.Errorf("Stats = %+v, %v; want 3 accepted and waiting for a while", st, err)
	}
	leases, err := c.Lease(t.Context(), queue.Request{Analyzer: "elsewhere-1", Max: 2, Wait: time.Second})
	if err != nil || len(leases) != 1 {
		t.Fatalf("%d leases, %v", len(leases), err)
	}
	l := leases[0]
	if lines, _ := l.Batch.Lines(); string(lines) != `{"a":1.50,"b":"é"}`+"\n{}\n{\"c\":3}\n" || l.Attempt != 1 || time.Until(l.Expires) < 10*time.Second {
		t.Errorf("lease of %q, attempt %d, for %v", lines, l.Attempt, time.Until(l.Expires))
	}
	if until, err := c.Extend(t.Context(), l.Token); err != nil || time.Until(until) < 10*time.Second {
		t.Errorf("Extend = %v, %v", until, err)
	}
	if err := c.Ack(t.Context(), l.Token, queue.Failure{Record: 1, Reason: "no good", Discard: true}); err != nil {
		t.Errorf("Ack: %v", err)
	}
	if err := c.Ack(t.Context(), l.Token); !errors.Is(err, queue.ErrLeaseExpired) {
		t.Errorf("second Ack = %v, want ErrLeaseExpired", err)
	}
	if st, _ := q.Stats(t.Context()); st.Completed != 2 || st.Dead != 1 {
		t.Errorf("%+v, want 2 completed and 1 dead", st)
	}
	if rows, _ := s.leasing.rows(time.Now()); len(rows) != 1 || rows[0].ID != "elsewhere-1" || rows[0].Records != 3 {
		t.Errorf("remote analyzers: %+v", rows)
	}
	if leases, err := c.Lease(t.Context(), queue.Request{Max: 1}); err != nil || len(leases) != 0 {
		t.Errorf("Lease of an empty queue = %d, %v", len(leases), err)
	}
}

func TestRemoteClientErrors(t *testing.T) {
	for _, url := range []string{"", "localhost:8000", "ftp://x", "http://", "://"} {
		if _, err := remote.NewClient(url); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:8000") {
			t.Errorf("NewClient(%q) = %v, want an error with an example", url, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there now
	c, err := remote.NewClient("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stats(t.Context()); !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("a distributor that is down: %v, want ErrUnavailable that names it", err)
	}
}

// TestStopEndsWaiting: a long poll does not hold up a server that wants to stop.
func TestStopEndsWaiting(t *testing.T) {
	url, _, s := start(t, distributor.Options{})
	got := make(chan string)
	go func() {
		status, body, _ := call(t, "POST", url+"/v1/leases", "application/json", `{"analyzer":"a","wait_seconds":60}`)
		got <- fmt.Sprint(status, " ", body)
	}()
	for listed(s) == 0 { // until it is waiting
		call(t, "GET", url+"/healthz", "", "")
	}
	s.Stop()
	if answer := <-got; !strings.HasPrefix(answer, "503") {
		t.Errorf("answer %s, want 503", answer)
	}
}

func TestMissingRooms(t *testing.T) {
	srv := httptest.NewServer(New(Rooms{Role: "analyze", Log: slog.New(slog.DiscardHandler)}, func() error { return errors.New("stopping") }))
	defer srv.Close()
	if status, body, _ := call(t, "POST", srv.URL+"/v1/records", "", "x"); status != 404 || !strings.Contains(body, `sluice analyze does not have`) {
		t.Errorf("records without a distributor: %d %s", status, body)
	}
	if status, body, _ := call(t, "GET", srv.URL+"/readyz", "", ""); status != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("not ready: %d %s", status, body)
	}
	if status, _, _ := call(t, "GET", srv.URL+"/v1/stats", "", ""); status != 200 {
		t.Errorf("stats: %d", status)
	}
}

func TestStatsNames(t *testing.T) {
	url, _, _ := start(t, distributor.Options{})
	_, body, _ := call(t, "GET", url+"/v1/stats", "", "")
	var st map[string]any
	if err := json.Unmarshal([]byte(body), &st); err != nil {
		t.Fatal(err)
	}
	has := func(in any, names ...string) {
		t.Helper()
		for _, name := range names {
			if _, ok := in.(map[string]any)[name]; !ok {
				t.Errorf("%s is missing in %v", name, in)
			}
		}
	}
	has(st, "accepted", "completed", "dead", "depth", "in_flight", "batches", "bytes", "oldest_wait_seconds", "durability", "pool", "autoscaler")
	has(st["pool"], "size", "ready", "starting", "draining", "busy", "analyzers")
	has(st["autoscaler"], "current_size", "min_size", "max_size", "total_scale_ups", "total_scale_downs", "in_cooldown",
		"cooldown_remaining_seconds", "paused", "last_decision")
}

func TestMetricsFollowTheConventions(t *testing.T) {
	url, _, _ := start(t, distributor.Options{})
	_, body, _ := call(t, "GET", url+"/metrics", "", "")
	problems, err := promlint.New(strings.NewReader(body + "\n")).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "sluice_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, line := range []string{"sluice_queue_depth_records 0", "sluice_queue_storing 1", "sluice_queue_remote_analyzers 0", "sluice_pool_leasing 1",
		"sluice_autoscaler_forced 0", `sluice_autoscaler_policy_info{policy="threshold"} 1`} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("%q is missing", line)
		}
	}
	if strings.Contains(body, "sluice_autoscaler_slo_seconds") {
		t.Error("the threshold policy knows no SLO, and yet there is one")
	}
}

// TestIdleLimit: of more silent connections than allowed, those silent longest are closed; the others live.
func TestIdleLimit(t *testing.T) {
	l := &IdleLimit{Max: 3}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	srv.Config.ConnState = l.ConnState
	srv.Start()
	defer srv.Close()
	var conns []net.Conn
	for range 8 {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	for i, c := range conns[:5] { // the server closes them
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("connection %d: %v, want it closed", i, err)
		}
	}
	fmt.Fprintf(conns[7], "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	conns[7].SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := conns[7].Read(make([]byte, 1)); err != nil {
		t.Errorf("the newest connection: %v", err)
	}
}

// listed is how many analyzers elsewhere are known.
func listed(s *Server) int {
	_, n := s.leasing.rows(time.Now())
	return n
}
