package api

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice/queue/remote"
)

// Only as many answers are made at a time as a gate has room for; who waits too long is pushed back, and the next one is answered.
func TestAGateLetsFewThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{reading: newReading()}
		var now, most atomic.Int64
		h := s.gated(make(gate, 3), func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			answer(w, http.StatusOK, "made")
		})
		codes := make(chan int, 50)
		for range cap(codes) {
			go func() {
				w := httptest.NewRecorder()
				h(w, httptest.NewRequest("GET", "/", nil))
				codes <- w.Code
			}()
		}
		count := map[int]int{}
		for range cap(codes) {
			count[<-codes]++
		}
		if most.Load() != 3 || count[200] < 6 || count[200]+count[503] != cap(codes) {
			t.Errorf("%d at a time, want 3; answers %v, want at least 6 good ones, and 503 for the rest", most.Load(), count)
		}
		w := httptest.NewRecorder()
		if h(w, httptest.NewRequest("GET", "/", nil)); w.Code != 200 {
			t.Errorf("the next one gets %d", w.Code)
		}
	})
}

// Clients that do not read the long answers that they asked for hold little memory, and keep nobody else from an answer.
func TestLongAnswersThatAreNotRead(t *testing.T) {
	s := &Server{reading: newReading()}
	text := strings.Repeat("x", readMemory/3)
	srv := httptest.NewServer(s.gated(make(gate, 2), func(w http.ResponseWriter, r *http.Request) { answer(w, http.StatusOK, text) }))
	defer srv.Close()
	for range 8 {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	held := func() (bytes int64) {
		s.reading.memory.mu.Lock()
		defer s.reading.memory.mu.Unlock()
		for c := range s.reading.memory.held {
			bytes += c.bytes
		}
		return bytes
	}
	for deadline := time.Now().Add(time.Minute); held() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("answers that are not read claim nothing")
		}
	}
	for range 100 {
		if n := held(); n > readMemory {
			t.Fatalf("answers hold %d bytes, want at most %d", n, readMemory)
		}
		resp, err := http.Get(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode == http.StatusOK {
			if len(body) != len(text)+3 {
				t.Errorf("%d bytes, want %d", len(body), len(text)+3)
			}
			return
		}
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("%d, %v: want 200, or 503 for a while", resp.StatusCode, err)
		}
	}
	t.Error("no answer beside clients that do not read theirs")
}

// A handler that breaks off leaves its place to others.
func TestAGateIsLeftByWhoBreaksOff(t *testing.T) {
	s := &Server{reading: newReading()}
	g := make(gate, 1)
	h := s.gated(g, func(http.ResponseWriter, *http.Request) { panic(errors.New("broken")) })
	for range 3 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("want the panic of the handler")
				}
			}()
			h(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}()
	}
	if len(g) != 0 || len(s.reading.memory.held) != 0 {
		t.Errorf("%d places and %d claims are taken", len(g), len(s.reading.memory.held))
	}
}

// Status and headers of an answer that was kept arrive as they were set.
func TestAKeptAnswerArrivesAsItIs(t *testing.T) {
	s := &Server{reading: newReading()}
	srv := httptest.NewServer(s.gated(make(gate, 1), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			io.WriteString(w, strings.Repeat("y", 3*shortest))
			return
		}
		fail(w, http.StatusNotFound, remote.Error{Message: "nothing there"})
	}))
	defer srv.Close()
	status, body, h := call(t, "GET", srv.URL+"/short", "", "")
	if status != 404 || h.Get("Content-Type") != "application/json" || !strings.Contains(body, "nothing there") {
		t.Errorf("%d %v %s", status, h, body)
	}
	if _, body, _ := call(t, "GET", srv.URL+"/long", "", ""); body != strings.Repeat("y", 3*shortest) {
		t.Errorf("%d bytes, want %d", len(body), 3*shortest)
	}
	resp, err := http.Head(srv.URL + "/long")
	if err != nil || resp.ContentLength != 3*shortest {
		t.Errorf("HEAD: %v, %v", resp, err)
	}
}
