package api

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

func TestAnalyzersElsewhereAreListedAsPeopleCount(t *testing.T) {
	g := registry{seen: map[string]*leaser{}}
	want := []string{"node2", "node10", "web-1", "web-2", "web-9", "web-10", "web-10-1"}
	now := time.Now()
	g.asked(want, now)
	var got []string
	rows, _ := g.rows(now)
	for _, r := range rows {
		got = append(got, r.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// put stores batches of one record each.
func put(t *testing.T, q *testQueue, n int) {
	t.Helper()
	for i := range n {
		b := sluice.NewBatch(fmt.Appendf(nil, `{"body":"%d"}`+"\n", i), 1, time.Now())
		if err := q.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func client(t *testing.T, url string) *remote.Client {
	t.Helper()
	c, err := remote.NewClient(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// lease wants one lease.
func lease(t *testing.T, c *remote.Client, name string) queue.Lease {
	t.Helper()
	leases, err := c.Lease(t.Context(), queue.Request{Analyzer: name, Max: 1, Wait: 5 * time.Second})
	if err != nil || len(leases) != 1 {
		t.Fatalf("%d leases for %s, %v; want one", len(leases), name, err)
	}
	return leases[0]
}

// old answers as a distributor does that knows neither the stored form nor shared requests.
func old(s http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/leases" {
			var req struct {
				Analyzer    string  `json:"analyzer"`
				MaxBatches  int     `json:"max_batches"`
				WaitSeconds float64 `json:"wait_seconds"`
			}
			req.MaxBatches = 1
			json.NewDecoder(r.Body).Decode(&req)
			body, _ := json.Marshal(req)
			r = httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.Path, strings.NewReader(string(body)))
		}
		s.ServeHTTP(w, r)
	})
}

func TestAnalyzersShareRequestsWithAnyDistributor(t *testing.T) {
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"of today": func(s http.Handler) http.Handler { return s }, "that answers JSON": old,
	} {
		t.Run(name, func(t *testing.T) {
			_, q, s := start(t, distributor.Options{})
			const batches, analyzers = 200, 20
			put(t, q, batches)
			srv := httptest.NewServer(wrap(s))
			defer srv.Close()
			c := client(t, srv.URL)
			var wg sync.WaitGroup
			var mu sync.Mutex
			seen := map[string]int{}
			for i := range analyzers {
				wg.Go(func() {
					for range batches / analyzers {
						leases, err := c.Lease(t.Context(), queue.Request{Analyzer: fmt.Sprint("a-", i), Max: 1, Wait: 5 * time.Second})
						if err != nil || len(leases) != 1 {
							t.Errorf("%d leases, %v; want one", len(leases), err)
							return
						}
						line, err := leases[0].Batch.Line(0)
						if err != nil {
							t.Error(err)
						}
						mu.Lock()
						seen[string(line)]++
						mu.Unlock()
						if err := c.Ack(t.Context(), leases[0].Token); err != nil {
							t.Errorf("ack: %v", err)
						}
					}
				})
			}
			wg.Wait()
			if st, err := q.Stats(t.Context()); err != nil || st.Completed != batches || st.Redelivers != 0 || len(seen) != batches {
				t.Errorf("%d completed, %d redelivered, %d seen, %v; want %d, 0, %[5]d", st.Completed, st.Redelivers, len(seen), err, batches)
			}
			if rows, _ := s.leasing.rows(time.Now()); name == "of today" && len(rows) != analyzers {
				t.Errorf("%d analyzers are listed, want each of %d by its name", len(rows), analyzers)
			}
		})
	}
}

func TestALateAckIsRefusedAloneAmongOthers(t *testing.T) {
	url, q, s := start(t, distributor.Options{})
	put(t, q, 3)
	c := client(t, url)
	a, b, z := lease(t, c, "a"), lease(t, c, "b"), lease(t, c, "z")
	status, body, _ := call(t, "POST", url+"/v1/leases", "application/json",
		fmt.Sprintf(`{"max_batches":0,"acks":[%q,"m-99",%q,%[1]q]}`, a.Token, b.Token))
	var answer remote.LeaseAnswer
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 || len(answer.Acks) != 4 {
		t.Fatalf("%d %s, want 4 outcomes", status, body)
	}
	for i, want := range []int{200, 409, 200, 409} {
		if got := answer.Acks[i]; got.Status != want || errors.Is(got.Err(), queue.ErrLeaseExpired) != (want == 409) {
			t.Errorf("outcome %d is %+v, want status %d", i, got, want)
		}
	}
	if err := c.Ack(t.Context(), b.Token); !errors.Is(err, queue.ErrLeaseExpired) {
		t.Errorf("a late ack of the client: %v, want ErrLeaseExpired", err)
	}
	// A process that stops still takes what is done, and leases nothing.
	put(t, q, 1)
	s.Stop()
	if err := c.Ack(t.Context(), z.Token); err != nil {
		t.Errorf("ack while the process stops: %v", err)
	}
	if _, err := c.Lease(t.Context(), queue.Request{Analyzer: "a"}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("lease while the process stops: %v, want ErrUnavailable", err)
	}
	if st, _ := q.Stats(t.Context()); st.Completed != 3 || st.Waiting != 1 {
		t.Errorf("%d completed, %d waiting; want 3 and 1", st.Completed, st.Waiting)
	}
}

// TestAClientThatHungUpIsSeenAtOnce: on the connection, also before net/http has noticed, and while it waits to read the next request.
func TestAClientThatHungUpIsSeenAtOnce(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the state of a connection is looked at on Linux only")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, tt := range []struct {
		name  string
		leave func(*net.TCPConn)
		want  connState
	}{
		{"stays", func(*net.TCPConn) {}, connOpen},
		{"sends more", func(c *net.TCPConn) { c.Write([]byte("GET")) }, connOpen},
		{"closes", func(c *net.TCPConn) { c.Close() }, connClosed},
		{"resets", func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, connReset},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			c, err := (&Listener{TCPListener: ln.(*net.TCPListener)}).Accept()
			if err != nil {
				t.Fatal(err)
			}
			var read sync.WaitGroup
			defer read.Wait()
			defer c.Close()
			read.Go(func() { c.Read(make([]byte, 0)) })
			tt.leave(client.(*net.TCPConn))
			if got := peek(ConnContext(t.Context(), c)); got != tt.want {
				t.Errorf("state %d, want %d", got, tt.want)
			}
			if got := hungUp(ConnContext(t.Context(), c)); got != (tt.want != connOpen) {
				t.Errorf("hung up: %v", got)
			}
			if got := peek(ConnContext(t.Context(), tls.Server(c, nil))); got != tt.want {
				t.Errorf("state %d below TLS, want %d", got, tt.want)
			}
		})
	}
	if hungUp(t.Context()) {
		t.Error("a request whose connection is not known counts as hung up")
	}
}

func TestWhoWaitsForWorkIsListedAsWaiting(t *testing.T) {
	g := registry{seen: map[string]*leaser{}}
	now := time.Now()
	g.asked([]string{"a", "b"}, now)
	waiting := func() string {
		var names []string
		rows, _ := g.rows(now)
		for _, r := range rows {
			if r.Waiting {
				names = append(names, r.ID)
			}
		}
		return strings.Join(names, " ")
	}
	g.wait([]string{"a"}, 1)
	g.wait([]string{"a", "b"}, 1)
	if got := waiting(); got != "a b" {
		t.Errorf("%q wait, want a and b", got)
	}
	g.wait([]string{"a", "b"}, -1)
	now = now.Add(time.Hour) // whoever waits is not forgotten
	if got, rows := waiting(), len(g.seen); got != "a" || rows != 1 {
		t.Errorf("%q wait, want a alone", got)
	}
}

// TestManyNamesTakeBoundedMemory: no more are known than maxLeasers, and no more listed than maxRows, while real ones that come later are
// known again once the others were not seen for a while.
func TestManyNamesTakeBoundedMemory(t *testing.T) {
	g := registry{seen: map[string]*leaser{}}
	now := time.Now()
	for i := range 3 * maxLeasers {
		g.asked([]string{fmt.Sprint("made-up-", i)}, now.Add(time.Duration(i)))
	}
	rows, all := g.rows(now)
	if len(g.seen) != maxLeasers || all != maxLeasers || len(rows) != maxRows {
		t.Errorf("%d known, %d counted, %d listed; want %d, %[4]d, %d", len(g.seen), all, len(rows), maxLeasers, maxRows)
	}
	if rows[maxRows-1].ID != fmt.Sprint("made-up-", maxLeasers-1) {
		t.Errorf("the last row is %s, want that of the one seen last", rows[maxRows-1].ID)
	}
	later := now.Add(remembered + time.Second)
	g.asked([]string{"real"}, later)
	if rows, all := g.rows(later); all != 1 || rows[0].ID != "real" {
		t.Errorf("%d are known later, want the real one alone", all)
	}
}

// broken is a client that takes some bytes of an answer and then no more.
type broken struct {
	*httptest.ResponseRecorder
	left int
}

func (b *broken) Write(p []byte) (int, error) {
	if len(p) > b.left {
		return b.left, errors.New("broken pipe")
	}
	b.left -= len(p)
	return b.ResponseRecorder.Write(p)
}

// TestABatchWhoseAnswerWasNotReadIsThereAgainAtOnce: in either form, however much of it was read, and as if it had not been leased.
func TestABatchWhoseAnswerWasNotReadIsThereAgainAtOnce(t *testing.T) {
	_, q, s := start(t, distributor.Options{})
	var lines strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&lines, `{"body":"%x"}`+"\n", i*i*i*i*7919)
	}
	for range 3 {
		if err := q.Put(t.Context(), sluice.NewBatch([]byte(lines.String()), 1000, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	for _, form := range []string{"application/json", remote.StoredForm} {
		for _, read := range []int{0, 100, 5000} {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/leases", strings.NewReader(`{"analyzer":"a","max_batches":3}`))
			r.Header.Set("Accept", form)
			s.ServeHTTP(&broken{httptest.NewRecorder(), read}, r)
			if st, err := q.Stats(t.Context()); err != nil || st.Waiting != 3000 || st.InFlight != 0 {
				t.Errorf("%s, %d bytes read: %d waiting, %d in flight, %v; want all to wait", form, read, st.Waiting, st.InFlight, err)
			}
		}
	}
	leases, err := q.Lease(t.Context(), queue.Request{Analyzer: "b", Max: 3})
	if err != nil || len(leases) != 3 {
		t.Fatal(leases, err)
	}
	for _, l := range leases {
		if l.Attempt != 1 {
			t.Errorf("attempt %d, want 1", l.Attempt)
		}
	}
	if free := s.work.free; free != workMemory || len(s.work.held) != 0 {
		t.Errorf("%d bytes are free after all, want %d", free, workMemory)
	}
}
