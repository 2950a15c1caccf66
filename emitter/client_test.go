package emitter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

type answer = func(http.ResponseWriter, *http.Request, int)

func TestNewClientNamesABadURL(t *testing.T) {
	for _, raw := range []string{"", "localhost:8000", "127.0.0.1:8000", "ftp://host", "http://", "http://host?x=1", "http://ho st", "http://host:port"} {
		_, err := NewClient(raw, ClientOptions{})
		if err == nil || !strings.Contains(err.Error(), DefaultURL) {
			t.Errorf("NewClient(%q) = %v, want an error with an example", raw, err)
		}
	}
	c, err := NewClient("https://host/prefix/", ClientOptions{})
	if err != nil || c.URL() != "https://host/prefix" {
		t.Errorf("NewClient with a prefix: %v", err)
	}
	if _, err := NewClient("x", ClientOptions{Compression: "lzma", Timeout: -1, MinBackoff: -1}); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("four mistakes: got %v", err)
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	for _, test := range []struct {
		name        string
		header      func() string
		least, most time.Duration
	}{
		{"seconds", func() string { return "7" }, 7 * time.Second, 7700 * time.Millisecond},
		{"a date", func() string { return time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat) }, 19 * time.Second, 22 * time.Second},
		{"too long", func() string { return "86400" }, time.Minute, time.Minute},
		{"nothing", func() string { return "" }, 50 * time.Millisecond, 100 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &answers{list: []answer{status(503, "Retry-After", test.header()), accept}}
				c, log := clientOf(t, h, ClientOptions{})
				start := time.Now()
				r, err := c.Send(t.Context(), []byte("{}\n{}\n"), 2)
				if took := time.Since(start); err != nil || r.Accepted != 2 || took < test.least || took > test.most {
					t.Errorf("Send = %+v, %v after %v; want 2 accepted after %v to %v", r, err, took, test.least, test.most)
				}
				want := ClientStats{Requests: 2, Retries: 1, PushedBack: 1, Sent: 2, Accepted: 2, Bytes: 12}
				if got := c.Stats(); got != want {
					t.Errorf("Stats() = %+v, want %+v", got, want)
				}
				if log.Len() > 0 {
					t.Errorf("a push-back was logged: %s", log)
				}
			})
		})
	}
}

// TestOnlyTheRestIsSentAgain: a push-back that counts records says that the first so many are stored.
func TestOnlyTheRestIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		partly := func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.WriteHeader(503)
			io.WriteString(w, `{"accepted":3,"rejected":0,"errors":[],"error":"overloaded"}`)
		}
		h := &answers{list: []answer{partly, status(503), accept}}
		c, _ := clientOf(t, h, ClientOptions{})
		r, err := c.Send(t.Context(), []byte("{}\n{}\n{}\n{}\n{}\n"), 5)
		if err != nil || r.Accepted != 5 || fmt.Sprint(h.sent()) != "[5 2 2]" {
			t.Errorf("Send = %+v, %v with bodies of %v lines; want 5 accepted with [5 2 2]", r, err, h.sent())
		}
	})
}

func TestBackOffWhileNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		noted := func(w http.ResponseWriter, r *http.Request, n int) {
			at = append(at, time.Since(start))
			if len(at) < 12 {
				refuse(w, r, n)
			}
			accept(w, r, n)
		}
		c, log := clientOf(t, &answers{list: []answer{noted}}, ClientOptions{})
		if _, err := c.Send(t.Context(), []byte("{}\n"), 1); err != nil {
			t.Fatal(err)
		}
		full := 100 * time.Millisecond
		for i := 1; i < len(at); i++ {
			if gap := at[i] - at[i-1]; gap < full/2 || gap > full {
				t.Errorf("gap %d is %v, want %v to %v", i, gap, full/2, full)
			}
			full = min(full*2, 10*time.Second)
		}
		if got := log.String(); strings.Count(got, "\n") != 2 || strings.Count(got, "out of reach") != 1 || strings.Count(got, "is back") != 1 {
			t.Errorf("log, want one line when it went and one when it was back:\n%s", got)
		}
	})
}

func TestPermanentAnswersAreNotRepeated(t *testing.T) {
	for _, code := range []int{302, 400, 401, 404, 413, 415, 501} {
		h := &answers{list: []answer{status(code, "Location", "http://elsewhere")}}
		c, _ := clientOf(t, h, ClientOptions{})
		r, err := c.Send(t.Context(), []byte("{}\n"), 1)
		refused, ok := errors.AsType[*RefusedError](err)
		if !ok || refused.Status != code || refused.Limit != "7" || refused.Hint != "do otherwise" || len(h.sent()) != 1 {
			t.Errorf("status %d: %v after %d posts, want a RefusedError after one", code, err, len(h.sent()))
		}
		if got := r.accepted(1); got != nil {
			t.Errorf("status %d: accepted lines %v, want none", code, got)
		}
	}
}

func TestAnAnswerThatCountsNothingIsAnError(t *testing.T) {
	c, _ := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>hello") }), ClientOptions{})
	if r, err := c.Send(t.Context(), []byte("{}\n"), 1); err == nil || r.accepted(1) != nil {
		t.Errorf("Send to a web page = %+v, %v; want an error", r, err)
	}
}

// tooLarge takes bodies up to a size and refuses lines that contain "bad".
func tooLarge(limit int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if len(body) > limit {
			w.WriteHeader(413)
			return
		}
		var errs []string
		n := 0
		for line := range bytes.Lines(body) {
			n++
			if bytes.Contains(line, []byte("bad")) {
				errs = append(errs, fmt.Sprintf(`{"line": %d, "reason": "bad"}`, n))
			}
		}
		if len(errs) == n {
			w.WriteHeader(400)
		}
		fmt.Fprintf(w, `{"accepted": %d, "rejected": %d, "errors": [%s]}`, n-len(errs), len(errs), strings.Join(errs, ","))
	})
}

func TestTooLargeBodiesAreSplit(t *testing.T) {
	c, _ := clientOf(t, tooLarge(20), ClientOptions{})
	lines := []string{"1111", "2222", "bad", "4444", strings.Repeat("5", 40), "bad", "7777", "8888", "9999"}
	r, err := c.Send(t.Context(), []byte(strings.Join(lines, "\n")+"\n"), len(lines))
	if err != nil || r.Accepted != 6 || r.Rejected != 3 {
		t.Errorf("Send = %+v, %v; want 6 accepted, 3 rejected", r, err)
	}
	if got, want := r.accepted(9), []span{{1, 2}, {4, 4}, {7, 9}}; !reflect.DeepEqual(got, want) {
		t.Errorf("accepted lines %v, want %v", got, want)
	}
	var bad []int
	for _, e := range r.Errors {
		bad = append(bad, e.Line)
	}
	if want := []int{3, 5, 6}; !reflect.DeepEqual(bad, want) {
		t.Errorf("lines with errors %v, want %v", bad, want)
	}
	if _, err := c.Send(t.Context(), []byte(strings.Repeat("9", 30)+"\n"+strings.Repeat("9", 30)+"\n"), 2); !rejectsOnly(err) {
		t.Errorf("two lines, both too large: %v, want a refusal", err)
	}
}

func TestAcceptedLines(t *testing.T) {
	twenty := make([]LineError, 20)
	for i := range twenty {
		twenty[i].Line = 2 * (i + 1)
	}
	odd := []span{}
	for i := 1; i <= 39; i += 2 {
		odd = append(odd, span{i, i})
	}
	for _, test := range []struct {
		name string
		text string
		r    *Response
		n    int
		want []span
	}{
		{"all", `{"accepted": 5, "rejected": 0}`, nil, 5, []span{{1, 5}}},
		{"first and last bad", `{"accepted": 3, "rejected": 2, "errors": [{"line": 1}, {"line": 5}]}`, nil, 5, []span{{2, 4}}},
		{"a line out of range", `{"accepted": 1, "rejected": 1, "errors": [{"line": 99}, {"line": -1}]}`, nil, 2, []span{{1, 2}}},
		{"rejections without names", `{"accepted": 3, "rejected": 2}`, nil, 5, nil},
		{"more than are named", "", &Response{Errors: twenty, unsure: []span{{41, 100}}}, 100, odd},
	} {
		r := test.r
		if r == nil {
			got, f := judge(200, nil, []byte(test.text), test.n)
			if f != nil {
				t.Errorf("%s: %v", test.name, f.err)
			}
			r = &got
		}
		if got := r.accepted(test.n); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: accepted lines %v, want %v", test.name, got, test.want)
		}
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := clientOf(t, &answers{list: []answer{status(503, "Retry-After", "3")}}, ClientOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r, err := c.Send(ctx, []byte("{}\n"), 1)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "503") {
			t.Errorf("Send = %v, want the end of the context and the last answer", err)
		}
		if r.accepted(1) != nil {
			t.Error("a record without an answer counts as accepted")
		}
	})
}

func TestASilentServerIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() }
		c, log := clientOf(t, &answers{list: []answer{silent, accept}}, ClientOptions{Timeout: 5 * time.Second})
		if r, err := c.Send(t.Context(), []byte("{}\n"), 1); err != nil || r.Accepted != 1 {
			t.Errorf("Send = %+v, %v; want 1 accepted", r, err)
		}
		if !strings.Contains(log.String(), "no answer within 5s") {
			t.Errorf("log does not name the timeout: %s", log)
		}
	})
}

func TestCompression(t *testing.T) {
	lines := bytes.Repeat([]byte(`{"body":"the same again"}`+"\n"), 2000)
	for _, name := range []string{"", "gzip", "zstd"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var body io.Reader = r.Body
			var err error
			switch r.Header.Get("Content-Encoding") {
			case "gzip":
				body, err = gzip.NewReader(r.Body)
			case "zstd":
				body, err = zstd.NewReader(r.Body)
			}
			if err != nil {
				t.Error(err)
				return
			}
			got, err := io.ReadAll(body)
			if err != nil || !bytes.Equal(got, lines) {
				t.Errorf("%q: %d bytes arrived, %v; want %d", name, len(got), err, len(lines))
			}
			accept(w, r, 2000)
		}))
		c, err := NewClient(server.URL, ClientOptions{Compression: name})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if r, err := c.Send(t.Context(), lines, 2000); err != nil || r.Accepted != 2000 {
				t.Errorf("%q: Send = %+v, %v", name, r, err)
			}
		}
		if bytes := c.Stats().Bytes; name != "" && bytes > int64(len(lines)) {
			t.Errorf("%q: %d bytes for 3 times %d", name, bytes, len(lines))
		}
		c.Close()
		server.Close()
	}
}

// TestTheBodyIsLetGo answers before reading, over a socket; the race detector finds a transport that still reads lines
// after Send returned.
func TestTheBodyIsLetGo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status(http.StatusRequestEntityTooLarge)(w, r, 0)
	}))
	defer server.Close()
	c, err := NewClient(server.URL, ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, size := range []int{100 << 10, 900 << 10, 8 << 20} {
		line := bytes.Repeat([]byte("x"), size)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, err := c.Send(ctx, line, 1); !rejectsOnly(err) {
			t.Errorf("%d bytes: %v, want a refusal", size, err)
		}
		cancel()
		clear(line)
	}
}

func TestRealRefusedConnection(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	c, err := NewClient(url, ClientOptions{MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Send(ctx, []byte("{}\n"), 1); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Send = %v, want a refused connection named", err)
	}
	if s := c.Stats(); s.Retries == 0 || !s.Down {
		t.Errorf("Stats() = %+v, want retries and down", s)
	}
	if _, err := c.QueueDepth(t.Context()); err == nil {
		t.Error("QueueDepth of nobody is not an error")
	}
}

func TestQueueDepth(t *testing.T) {
	for _, test := range []struct {
		body string
		want int
		ok   bool
	}{
		{`{"depth": 51}`, 51, true},
		{`{"depth": 0}`, 0, true},
		{`{"accepted": 3}`, 0, false},
		{`{"depth": null}`, 0, false},
		{`hello`, 0, false},
	} {
		c, _ := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, test.body) }), ClientOptions{})
		if got, err := c.QueueDepth(t.Context()); got != test.want || (err == nil) != test.ok {
			t.Errorf("QueueDepth of %s = %d, %v; want %d", test.body, got, err, test.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, test := range []struct {
		try   int
		after time.Duration
		u     float64
		want  time.Duration
	}{
		{0, 0, 0, 50 * time.Millisecond},
		{0, 0, 0.5, 75 * time.Millisecond},
		{3, 0, 0, 400 * time.Millisecond},
		{1000, 0, 0, 5 * time.Second},
		{1000, time.Second, 0, time.Second},
		{0, time.Second, 0.5, 1050 * time.Millisecond},
		{0, time.Hour, 0.9, time.Minute},
	} {
		if got := backoff(test.try, test.after, 100*time.Millisecond, 10*time.Second, test.u); got != test.want {
			t.Errorf("backoff(%d, %v, u %v) = %v, want %v", test.try, test.after, test.u, got, test.want)
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"2":                             2 * time.Second,
		" 2 ":                           2 * time.Second,
		"0.5":                           500 * time.Millisecond,
		"0":                             0,
		"-3":                            0,
		"NaN":                           0,
		"Inf":                           time.Minute,
		"1e300":                         time.Minute,
		"soon":                          0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second,
		"Fri, 02 Jan 2026 03:03:15 GMT": 0,
		"Fri, 02 Jan 2099 03:03:15 GMT": time.Minute,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", header, got, want)
		}
	}
}
