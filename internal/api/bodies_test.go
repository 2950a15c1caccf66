package api

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// TestABodyHasALeastRate: bytes buy time, but not more than there was at first.
func TestABodyHasALeastRate(t *testing.T) {
	tests := []struct {
		name  string
		first int           // bytes that come at once
		every time.Duration // then n bytes each time
		n     int
		want  time.Duration // until it is given up; zero for never
	}{
		{"silent", 0, time.Hour, 0, patience},
		{"silent behind a large start", 1 << 20, time.Hour, 0, patience},
		{"a byte every four seconds", 1 << 20, 4 * time.Second, 1, 12 * time.Second},
		{"half of the rate", 0, time.Second, bodyRate / 2, 20 * time.Second},
		{"the rate", 0, time.Second, bodyRate, 0},
		{"now and then", 0, 9 * time.Second, 9 * bodyRate, 0},
	}
	for _, tt := range tests {
		left := remaining(patience, 0, tt.first, bodyRate, patience)
		passed := time.Duration(0)
		for left > 0 && passed < time.Hour {
			wait := min(tt.every, left)
			passed += tt.every
			if wait < tt.every {
				passed += wait - tt.every
			}
			n := tt.n
			if wait < tt.every {
				n = 0
			}
			left = remaining(left, wait, n, bodyRate, patience)
		}
		if got := passed; tt.want == 0 && left <= 0 || tt.want > 0 && (left > 0 || got < tt.want-4*time.Second || got > tt.want+4*time.Second) {
			t.Errorf("%s: given up after %v (left %v), want %v", tt.name, got, left, tt.want)
		}
	}
}

// dial connects to a server of h, which reads on.
func dial(t *testing.T, h http.Handler) *net.TCPConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: Bodies{Next: h}, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	served := make(chan struct{})
	go func() { defer close(served); srv.Serve(&Listener{TCPListener: l.(*net.TCPListener)}) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); srv.Close(); <-served })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c.(*net.TCPConn)
}

// TestARefusedBodyIsReadOn: a client that sends all before it listens gets the answer; one that listens gets it at once.
func TestARefusedBodyIsReadOn(t *testing.T) {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusServiceUnavailable, remote.Error{Message: "no room"})
	})
	head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
	const size = 30 << 20

	c := dial(t, refuse)
	fmt.Fprintf(c, head, size)
	for range size >> 20 {
		if _, err := c.Write(make([]byte, 1<<20)); err != nil {
			t.Fatalf("a client that sends all before it listens: %v", err)
		}
	}
	in := bufio.NewReader(c)
	for range 2 { // and the connection is good for another
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != 503 {
			t.Fatalf("%v, %v; want 503", resp, err)
		}
		io.Copy(io.Discard, resp.Body)
		fmt.Fprintf(c, head, 1)
		io.WriteString(c, "x")
	}

	c = dial(t, refuse)
	fmt.Fprintf(c, head, size)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 503 {
		t.Fatalf("a client that listens first: %v, %v; want 503", resp, err)
	}
	if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), "no room") {
		t.Errorf("%q, %v; want the whole answer while the body is still read on", text, err)
	}
}

// TestAnInterruptedBodyFails: a Read that waits, and each later one. The connection can be answered on after that.
func TestAnInterruptedBodyFails(t *testing.T) {
	c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		timer := time.AfterFunc(20*time.Millisecond, r.Body.(distributor.Interrupter).Interrupt)
		defer timer.Stop()
		_, err := io.ReadAll(r.Body)
		_, again := r.Body.Read(make([]byte, 1))
		answer(w, http.StatusOK, errors.Is(err, os.ErrDeadlineExceeded) && errors.Is(again, os.ErrDeadlineExceeded))
	}))
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(resp.Body); string(text) != "true\n" {
		t.Errorf("%s, want both reads to have failed at their deadline", text)
	}
}

func TestRetryAfterFollowsTheReason(t *testing.T) {
	full := func(limit string) error { return &distributor.OverloadError{Err: &queue.FullError{Limit: limit}} }
	tests := []struct {
		name        string
		err         error
		least, most int
	}{
		{"a moment's overload", nil, 1, 2},
		{"memory", &distributor.OverloadError{Err: errors.New("memory")}, 1, 2},
		{"queue full", full("max_bytes"), 4, 8},
		{"disk full", full("min_free_bytes"), 15, 30},
		{"disk fails", &distributor.OverloadError{Err: fmt.Errorf("%w: disk gone", queue.ErrUnavailable)}, 2, 5},
		{"stopping", queue.ErrClosed, 2, 5},
	}
	for _, tt := range tests {
		low := retryAfter(tt.err, func(int) int { return 0 })
		high := retryAfter(tt.err, func(n int) int { return n - 1 })
		if low != tt.least || high != tt.most {
			t.Errorf("%s: %d to %d s, want %d to %d", tt.name, low, high, tt.least, tt.most)
		}
	}
}

func TestMaxConnections(t *testing.T) {
	for _, tt := range []struct {
		files uint64
		queue int64
		want  int
	}{{60, 320, 30}, {1024, 320, 672}, {20_000, 320, 10_000}, {1 << 62, 320, 10_000}, {0, 0, 1}, {100, 0, 68}} {
		if got := MaxConnections(tt.files, tt.queue); got != tt.want {
			t.Errorf("%d files, %d of the queue: %d connections, want %d", tt.files, tt.queue, got, tt.want)
		}
	}
}

// TestConnectionsAreLimited: those beyond the limit are answered at once, and the limit is said once; when one ends there is
// room for another.
func TestConnectionsAreLimited(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	l := &Listener{TCPListener: inner.(*net.TCPListener), Max: 2, Log: slog.New(slog.NewTextHandler(&log, nil))}
	accepted := make(chan net.Conn, 10)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
	dial()
	dial()
	first := <-accepted
	<-accepted
	for range 2 * maxTurning {
		c := dial()
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("one connection too many: %v, %v; want 503", resp, err)
		}
		c.Close()
	}
	first.Close()
	first.Close() // counts once
	dial()
	<-accepted
	l.Close()
	<-ended
	if n := strings.Count(log.String(), "too many connections"); n != 1 {
		t.Errorf("said %d times, want once: %s", n, log.String())
	}
}

// TestAClientThatDoesNotReadIsHungUpOn: whatever is written has a deadline, unless another was asked for.
func TestAClientThatDoesNotReadIsHungUpOn(t *testing.T) {
	server, _ := pair(t)
	for _, old := range []time.Duration{-time.Hour, writePatience/2 - time.Second} { // in force before
		server.writeBy = time.Now().Add(old)
		begun := time.Now()
		if _, err := server.ReadFrom(strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		if by := server.writeBy.Sub(begun); by < writePatience || by > writePatience+time.Since(begun) {
			t.Errorf("to be written within %v, want %v", by, writePatience)
		}
	}
	much := make([]byte, 64<<20)
	server.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := server.Write(much); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want the deadline that was asked for", err)
	}
	server.SetWriteDeadline(time.Time{})
	server.Write([]byte("x"))
	if server.writeBy.IsZero() {
		t.Error("no deadline after one that was asked for was taken back")
	}
}
