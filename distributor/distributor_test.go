package distributor

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
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
	room    int // for records; 0 for no limit
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
	records := len(s.lines)
	for _, b := range batches {
		records += b.Len()
	}
	if s.room > 0 && records > s.room {
		return &queue.FullError{Limit: "records"}
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

// codings is one encoding, or none.
func codings(encoding string) []string {
	if encoding == "" {
		return nil
	}
	return []string{encoding}
}

func take(d *Distributor, encoding string, body []byte) (Result, error) {
	return d.Take(context.Background(), Media{Codings: codings(encoding)}, int64(len(body)), bytes.NewReader(body))
}

// TestGroupCommit: while one commit is under way, everybody else's records gather in the next.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{delay: time.Second}
		d := newDistributor(t, s, Options{})
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
	d := newDistributor(t, s, Options{MaxBatchRecords: 40})
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

// TestWholeOrNotAtAll: a body of several batches is stored by one call of Put, which leaves nothing of it when it fails.
func TestWholeOrNotAtAll(t *testing.T) {
	full := &queue.FullError{Limit: "max_bytes"}
	body := []byte("{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n")
	for _, cause := range []error{fmt.Errorf("%w: disk gone", queue.ErrUnavailable), full} {
		synctest.Test(t, func(t *testing.T) {
			s := &store{fail: func(int) error { return cause }}
			d := newDistributor(t, s, Options{MaxBatchRecords: 1, Hold: time.Second})
			r, err := take(d, "", body)
			if _, ok := errors.AsType[*OverloadError](err); !ok || r.Accepted != 0 || len(s.lines) != 0 {
				t.Errorf("%v: %+v, %v, %d records stored; want none and an OverloadError", cause, r, err, len(s.lines))
			}
			calls := s.calls
			s.fail = nil
			if r, err := take(d, "", body); err != nil || r.Accepted != 3 || s.calls != calls+1 || fmt.Sprint(s.batches) != "[1 1 1]" {
				t.Errorf("%+v, %v, batches %v in %d calls; want all 3 in one call", r, err, s.batches, s.calls-calls)
			}
		})
	}
}

// TestOneCallForAllWhoWait: what gathers during a commit is stored by one call of Put, also where it needs several batches.
func TestOneCallForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{delay: time.Second}
		d := newDistributor(t, s, Options{MaxBatchRecords: 10})
		var wg sync.WaitGroup
		for i := range 21 {
			wg.Go(func() {
				if r, err := take(d, "", bytes.Repeat([]byte("{}\n"), 1+i%3)); err != nil || r.Accepted != 1+i%3 {
					t.Errorf("%+v, %v", r, err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if s.calls != 2 || fmt.Sprint(s.batches) != "[1 8 10 8 10 5]" {
			t.Errorf("batches %v in %d calls, want [1 8 10 8 10 5] in 2", s.batches, s.calls)
		}
	})
}

// TestWhatFitsIsStored: where the queue has no room for all who wait, each body that it has room for is stored, wholly.
func TestWhatFitsIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{delay: time.Second, room: 5}
		d := newDistributor(t, s, Options{MaxBatchRecords: 2, Hold: -1})
		sizes := []int{1, 2, 5, 2, 1} // records; the third needs three batches
		want := []bool{true, true, false, true, false}
		var wg sync.WaitGroup
		for i, n := range sizes {
			wg.Go(func() {
				r, err := take(d, "", bytes.Repeat([]byte("{}\n"), n))
				if stored := err == nil && r.Accepted == n; stored != want[i] || !stored && r.Accepted != 0 {
					t.Errorf("body %d of %d records: %+v, %v; want it stored: %v", i, n, r, err, want[i])
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if fmt.Sprint(s.batches) != "[1 2 2]" {
			t.Errorf("batches %v, want [1 2 2]", s.batches)
		}
	})
}

// TestBodiesShareBatches: what is packed by each sender and what is packed for all of them share a batch, and every record
// is in it once.
func TestBodiesShareBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{delay: time.Second}
		d := newDistributor(t, s, Options{})
		want := map[string]int{}
		var wg sync.WaitGroup
		for i := range 12 {
			var body bytes.Buffer
			for line := range []int{1, 300, 3000}[i%3] {
				text := fmt.Sprintf(`{"sender":%d,"line":%d,"text":"some words of a line"}`, i, line)
				want[text]++
				body.WriteString(text + "\n")
			}
			wg.Go(func() {
				if _, err := take(d, "", body.Bytes()); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		got := map[string]int{}
		for _, line := range s.lines {
			got[line]++
		}
		if !maps.Equal(got, want) {
			t.Errorf("%d different records stored, want %d, each once", len(got), len(want))
		}
		if s.calls != 2 || len(s.batches) != 5 {
			t.Errorf("batches %v in %d calls, want 5 in 2", s.batches, s.calls)
		}
	})
}

// TestPackedWhileItArrives: of a body in lines only one piece exists unpacked, and nothing is stored before its end.
func TestPackedWhileItArrives(t *testing.T) {
	line := []byte(`{"body":"` + strings.Repeat("x", 1000) + "\"}\n")
	lines := bytes.Repeat(line, 3000)
	for _, encoding := range []string{"", "gzip"} {
		for _, format := range []Format{NDJSON, JSON, Sniff} {
			s := &store{}
			d := newDistributor(t, s, Options{MaxBodyBytes: 8 << 20, MaxInFlightBytes: 16 << 20})
			body := lines
			if encoding != "" {
				body = gzipped(lines)
			}
			look := readerFunc(func(p []byte) (int, error) {
				if d.memory.inUse() > 1<<20 {
					t.Fatalf("more than 1 MiB held for a body of %d bytes that packs well, with %d bytes still to come", len(lines), len(body))
				}
				if s.calls > 0 {
					t.Error("something was stored before the end")
				}
				n := copy(p, body[:min(len(body), 10_000)])
				if body = body[n:]; n == 0 {
					return 0, io.EOF
				}
				return n, nil
			})
			r, err := d.Take(t.Context(), Media{Format: format, Codings: codings(encoding)}, -1, look)
			if err != nil || r.Accepted != 3000 || s.calls != 1 {
				t.Fatalf("%q, format %d: %+v, %v in %d calls", encoding, format, r, err, s.calls)
			}
		}
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestALateBreakStoresNothing: not even what was packed long ago.
func TestALateBreakStoresNothing(t *testing.T) {
	s := &store{}
	d := newDistributor(t, s, Options{})
	lines := bytes.Repeat([]byte("{\"a\":1}\n"), 200_000)
	for _, size := range []int64{int64(len(lines)) + 10, -1} {
		_, err := d.Take(t.Context(), Media{}, size, io.MultiReader(bytes.NewReader(lines), &broken{}))
		if _, ok := errors.AsType[*BodyError](err); !ok || s.calls != 0 {
			t.Errorf("size %d: err %v, %d batches stored; want a BodyError and none", size, err, s.calls)
		}
	}
	late := gzipped(lines)
	late[len(late)-5] ^= 1 // in the checksum, which is all that is behind the records
	_, err := take(d, "gzip", late)
	if _, ok := errors.AsType[*BodyError](err); !ok || s.calls != 0 {
		t.Errorf("gzip: err %v, %d batches stored; want a BodyError and none", err, s.calls)
	}
	if d.memory.inUse() > 0 {
		t.Error("memory was not given back")
	}
}

// TestStoredIsShown: each batch once, after it was stored, and none that was not.
func TestStoredIsShown(t *testing.T) {
	s := &store{}
	d := newDistributor(t, s, Options{MaxBatchRecords: 2})
	var shown []string
	d.Stored = func(b *sluice.Batch) {
		lines, err := b.Lines()
		if err != nil {
			t.Error(err)
		}
		shown = append(shown, strings.Split(strings.TrimSuffix(string(lines), "\n"), "\n")...)
		if len(shown) > len(s.lines) {
			t.Error("shown before it was stored")
		}
	}
	if _, err := take(d, "", []byte("{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n")); err != nil || !slices.Equal(shown, s.lines) || len(shown) != 3 {
		t.Errorf("%v; shown %q, stored %q", err, shown, s.lines)
	}
	s.fail = func(int) error { return queue.ErrUnavailable }
	take(d, "", []byte("{\"d\":4}\n"))
	if len(shown) != 3 {
		t.Errorf("shown %q, of which the last was not stored", shown)
	}
}

// TestBacklogIsBounded: when commits stall, requests are pushed back instead of gathering without end.
func TestBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{delay: time.Hour}
		d := newDistributor(t, s, Options{MaxPendingBytes: 1 << 10, MaxBatchRecords: 1, Hold: time.Second})
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
				r, err := d.Take(t.Context(), Media{Codings: codings(tt.encoding)}, size, bytes.NewReader(tt.body))
				switch {
				case tt.want == nil && (err != nil || r.Accepted != 2):
					t.Errorf("size %d: %+v, %v; want 2 accepted", size, r, err)
				case tt.want != nil && (!tt.want(err) || r.Accepted != 0):
					t.Errorf("size %d: %+v, %v", size, r, err)
				}
			}
			if d.memory.inUse() > 0 {
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
	if _, err := d.Take(t.Context(), Media{}, 100, body); err == nil || s.calls != 0 {
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
			go func() { _, err := d.Take(context.Background(), Media{}, 60<<10, r); results <- err }()
			synctest.Wait()
		}
		if _, ok := errors.AsType[*OverloadError](<-results); !ok {
			t.Error("the third body of 60 KiB found room under a bound of 128 KiB")
		}
		for _, w := range writers {
			w.CloseWithError(io.ErrUnexpectedEOF)
		}
		broken := 0
		for range 2 { // the second one is large, too, and may have waited in vain like the third
			err := <-results
			_, overload := errors.AsType[*OverloadError](err)
			_, body := errors.AsType[*BodyError](err)
			if body {
				broken++
			} else if !overload {
				t.Errorf("%v, want a BodyError for a body that breaks off, or an OverloadError", err)
			}
		}
		if broken == 0 {
			t.Error("no body of 60 KiB found room under a bound of 128 KiB")
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
	_, err := New(&store{}, Options{MaxBodyBytes: -1, MaxBatchRecords: -1})
	for _, want := range []string{"MaxBodyBytes is -1", "MaxBatchRecords is -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}
