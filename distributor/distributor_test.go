package distributor

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// store is a Putter that a test controls.
type store struct {
	mu      sync.Mutex
	batches []int // their numbers of records
	lines   []string
	delay   time.Duration
	fail    func(n int) error // by number of the call, from 1
	calls   int
}

func (s *store) Put(_ context.Context, batches ...*sluice.Batch) error {
	time.Sleep(s.delay) // bubble time
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail != nil {
		if err := s.fail(s.calls); err != nil {
			return err
		}
	}
	for _, b := range batches {
		s.batches = append(s.batches, b.Len())
		lines, err := b.Lines()
		if err != nil {
			return err
		}
		s.lines = append(s.lines, strings.Split(strings.TrimSuffix(string(lines), "\n"), "\n")...)
	}
	return nil
}

func newDistributor(t *testing.T, s *store, o Options) *Distributor {
	t.Helper()
	d, err := New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func take(d *Distributor, encoding string, body []byte) (Result, error) {
	return d.Take(context.Background(), NDJSON, encoding, int64(len(body)), bytes.NewReader(body))
}

// TestGroupCommit: while one commit is under way, everybody else's records gather in the next.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{delay: time.Second}
		d := newDistributor(t, s, Options{Committers: 1})
		var wg sync.WaitGroup
		send := func(i int) {
			defer wg.Done()
			if r, err := take(d, "", fmt.Appendf(nil, "{\"i\":%d}\n", i)); err != nil || r.Accepted != 1 {
				t.Errorf("request %d: %+v, %v", i, r, err)
			}
		}
		wg.Add(100)
		go send(0)
		synctest.Wait()
		for i := 1; i < 100; i++ {
			go send(i)
		}
		wg.Wait()
		if fmt.Sprint(s.batches) != "[1 99]" {
			t.Errorf("batches of %v records, want [1 99]: the first at once, the rest together", s.batches)
		}
	})
}

func TestLargeBodyIsSplit(t *testing.T) {
	s := &store{}
	d := newDistributor(t, s, Options{MaxBatchRecords: 40, Committers: 1})
	var body bytes.Buffer
	for i := range 100 {
		fmt.Fprintf(&body, "{\"i\":%d}\n", i)
	}
	r, err := take(d, "", body.Bytes())
	if err != nil || r.Accepted != 100 || fmt.Sprint(s.batches) != "[40 40 20]" {
		t.Fatalf("%+v, %v, batches %v; want 100 accepted in [40 40 20]", r, err, s.batches)
	}
	for i, line := range s.lines {
		if line != fmt.Sprintf("{\"i\":%d}", i) {
			t.Errorf("record %d is %s", i, line)
		}
	}
}

func TestFullQueueHoldsThenPushesBack(t *testing.T) {
	full := &queue.FullError{Limit: "max_bytes", Bound: 10, Now: 10, Hint: "wait"}
	synctest.Test(t, func(t *testing.T) {
		s := &store{fail: func(int) error { return full }}
		d := newDistributor(t, s, Options{Hold: time.Second})
		start := time.Now()
		_, err := take(d, "", []byte("{}\n"))
		over, ok := errors.AsType[*OverloadError](err)
		if !ok || !errors.Is(over.Err, full) {
			t.Errorf("full for good: %v, want an OverloadError that wraps the FullError", err)
		}
		if held := time.Since(start); held < time.Second || held > 1100*time.Millisecond {
			t.Errorf("held for %v, want about a second", held)
		}

		until := time.Now().Add(500 * time.Millisecond)
		s.fail = func(int) error {
			if time.Now().Before(until) {
				return full
			}
			return nil
		}
		if r, err := take(d, "", []byte("{}\n")); err != nil || r.Accepted != 1 {
			t.Errorf("full for half a second: %+v, %v; want 1 accepted", r, err)
		}
		if st := d.Stats(); st.PushedBack != 1 || st.Accepted != 1 || st.Requests != 2 {
			t.Errorf("stats %+v, want 2 requests, 1 pushed back, 1 accepted", st)
		}
	})
}

func TestPartlyStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{fail: func(n int) error {
			if n == 1 {
				return nil
			}
			return fmt.Errorf("%w: disk gone", queue.ErrUnavailable)
		}}
		d := newDistributor(t, s, Options{MaxBatchRecords: 1, Committers: 1})
		r, err := take(d, "", []byte("{}\n{}\n"))
		if _, ok := errors.AsType[*OverloadError](err); !ok || r.Accepted != 1 {
			t.Errorf("%+v, %v; want 1 accepted and an OverloadError", r, err)
		}
	})
}

// TestLargeBodyIsPatientOnceBegun: a body that is stored in part waits longer for room than one of which nothing is.
func TestLargeBodyIsPatientOnceBegun(t *testing.T) {
	full := &queue.FullError{Limit: "max_bytes"}
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(15 * time.Second)
		s := &store{fail: func(n int) error {
			if n > 1 && time.Now().Before(until) {
				return full
			}
			return nil
		}}
		d := newDistributor(t, s, Options{MaxBatchRecords: 1, Committers: 1, Hold: time.Second})
		if r, err := take(d, "", []byte("{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n")); err != nil || r.Accepted != 3 {
			t.Errorf("%+v, %v; want all 3 stored after a wait", r, err)
		}
		until = time.Now().Add(time.Hour)
		s.calls = 0
		r, err := take(d, "", []byte("{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n"))
		if _, ok := errors.AsType[*OverloadError](err); !ok || r.Accepted != 1 {
			t.Errorf("%+v, %v; want the first stored and an OverloadError", r, err)
		}
	})
}

// TestBacklogIsBounded: when commits stall, requests are pushed back instead of gathering without end.
func TestBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{delay: time.Hour}
		d := newDistributor(t, s, Options{MaxPendingBytes: 1 << 10, MaxBatchRecords: 1, Committers: 1, Hold: time.Second})
		body := []byte(`{"body":"` + strings.Repeat("x", 500) + "\"}\n")
		pushedBack := 0
		results := make(chan error)
		for range 20 {
			go func() { _, err := take(d, "", body); results <- err }()
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for range 17 { // one in hand, two pending
			if _, ok := errors.AsType[*OverloadError](<-results); ok {
				pushedBack++
			}
		}
		if pushedBack != 17 {
			t.Errorf("%d pushed back, want 17", pushedBack)
		}
		for range 3 {
			if err := <-results; err != nil {
				t.Errorf("one that was taken in: %v", err)
			}
		}
	})
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func zstded(b []byte) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return z.EncodeAll(b, nil)
}

func TestBodies(t *testing.T) {
	good := []byte("{\"a\":1}\n{\"b\":2}\n")
	bomb := bytes.Repeat([]byte(" "), 1<<20)
	isLarge := func(inflated bool) func(error) bool {
		return func(err error) bool {
			e, ok := errors.AsType[*TooLargeError](err)
			return ok && e.Inflated == inflated
		}
	}
	isBody := func(err error) bool { _, ok := errors.AsType[*BodyError](err); return ok }
	tests := []struct {
		name, encoding string
		body           []byte
		want           func(error) bool // nil: both records are stored
	}{
		{"plain", "", good, nil},
		{"gzip", "gzip", gzipped(good), nil},
		{"gzip in two members", "gzip", append(gzipped(good[:8]), gzipped(good[8:])...), nil},
		{"zstd", "zstd", zstded(good), nil},
		{"unknown encoding", "br", good, func(err error) bool { return errors.Is(err, ErrEncoding) }},
		{"too large", "", bytes.Repeat(good, 1000), isLarge(false)},
		{"gzip bomb", "gzip", gzipped(bomb), isLarge(true)},
		{"zstd bomb", "zstd", zstded(bomb), isLarge(true)},
		{"truncated gzip", "gzip", gzipped(good)[:20], isBody},
		{"truncated zstd", "zstd", zstded(good)[:12], isBody},
		{"not gzip at all", "gzip", good, isBody},
		{"not zstd at all", "zstd", good, isBody},
		{"empty gzip", "gzip", nil, isBody},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &store{}
			d := newDistributor(t, s, Options{MaxBodyBytes: 10 << 10})
			for _, size := range []int64{int64(len(tt.body)), -1} { // with a Content-Length, and chunked
				r, err := d.Take(t.Context(), NDJSON, tt.encoding, size, bytes.NewReader(tt.body))
				switch {
				case tt.want == nil && (err != nil || r.Accepted != 2):
					t.Errorf("size %d: %+v, %v; want 2 accepted", size, r, err)
				case tt.want != nil && (!tt.want(err) || r.Accepted != 0):
					t.Errorf("size %d: %+v, %v", size, r, err)
				}
			}
			if !d.memory.TryAcquire(int64(d.o.MaxInFlightBytes)) {
				t.Error("memory was not given back")
			}
		})
	}
}

// TestBodyThatStops: nothing of a body is stored that breaks off, so the sender may send it again.
func TestBodyThatStops(t *testing.T) {
	s := &store{}
	d := newDistributor(t, s, Options{})
	body := io.MultiReader(strings.NewReader("{\"a\":1}\n{\"b\":"), &broken{})
	if _, err := d.Take(t.Context(), NDJSON, "", 100, body); err == nil || s.calls != 0 {
		t.Errorf("err %v, %d batches stored; want an error and none", err, s.calls)
	}
}

type broken struct{}

func (*broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestMemoryIsBounded: bodies beyond the bound wait, then are pushed back; those inside go on.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		d := newDistributor(t, s, Options{MaxBodyBytes: 64 << 10, MaxInFlightBytes: 128 << 10, Hold: time.Second})
		slow := func() (io.Reader, *io.PipeWriter) { r, w := io.Pipe(); return r, w }
		var writers []*io.PipeWriter
		results := make(chan error, 3)
		for range 3 {
			r, w := slow()
			writers = append(writers, w)
			go func() { _, err := d.Take(context.Background(), NDJSON, "", 60<<10, r); results <- err }()
			synctest.Wait()
		}
		if _, ok := errors.AsType[*OverloadError](<-results); !ok {
			t.Error("the third body of 60 KiB found room under a bound of 128 KiB")
		}
		for _, w := range writers {
			w.CloseWithError(io.ErrUnexpectedEOF)
		}
		for range 2 {
			if _, ok := errors.AsType[*BodyError](<-results); !ok {
				t.Error("want a BodyError for a body that breaks off")
			}
		}
	})
}

// TestCloseFinishesWhatItTook: a request that was taken in gets its answer; a later one is refused.
func TestCloseFinishesWhatItTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{delay: time.Second}
		d, err := New(s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { _, err := take(d, "", []byte("{}\n")); done <- err }()
		synctest.Wait()
		go d.Close()
		if err := <-done; err != nil {
			t.Errorf("taken in before Close: %v", err)
		}
		synctest.Wait()
		if _, err := take(d, "", []byte("{}\n")); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("after Close: %v, want ErrClosed", err)
		}
	})
}

func TestOptionsNameAllProblems(t *testing.T) {
	_, err := New(&store{}, Options{MaxBodyBytes: -1, MaxBatchRecords: -1, Committers: -1})
	for _, want := range []string{"MaxBodyBytes is -1", "MaxBatchRecords is -1", "Committers is -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}
