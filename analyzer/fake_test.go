package analyzer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/queue"
)

// fakeQueue is the analyzers' side of a queue, in memory. It keeps every word it was told about a batch.
type fakeQueue struct {
	leaseTime time.Duration

	mu       sync.Mutex
	waiting  []*sluice.Batch
	leased   map[string]*sluice.Batch // by token
	changed  chan struct{}            // closed and replaced at every change
	down     error                    // what every call returns while set
	tokens   int
	requests []queue.Request
	told     map[string][]string // by batch ID: "ack", "nack: reason", "back", "expired"
	failed   map[string][]queue.Failure
	extended int
	// granted, if set, is called before Lease returns leases: the moment in which a drain can begin.
	granted func()
}

func newFakeQueue(batches ...*sluice.Batch) *fakeQueue {
	return &fakeQueue{
		leaseTime: 30 * time.Second, waiting: batches, changed: make(chan struct{}),
		leased: map[string]*sluice.Batch{}, told: map[string][]string{}, failed: map[string][]queue.Failure{},
	}
}

func (q *fakeQueue) Lease(ctx context.Context, r queue.Request) ([]queue.Lease, error) {
	over := time.NewTimer(r.Wait)
	defer over.Stop()
	q.mu.Lock()
	q.requests = append(q.requests, r)
	for {
		if q.down != nil {
			defer q.mu.Unlock()
			return nil, q.down
		}
		if len(q.waiting) > 0 {
			leases := q.grant(r.Max)
			granted := q.granted
			q.mu.Unlock()
			if granted != nil {
				granted()
			}
			return leases, ctx.Err()
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-over.C:
			return nil, nil
		case <-changed:
		}
		q.mu.Lock()
	}
}

func (q *fakeQueue) grant(n int) (leases []queue.Lease) {
	for range min(n, len(q.waiting)) {
		b := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.tokens++
		token := fmt.Sprint("token-", q.tokens)
		q.leased[token] = b
		backs := 0
		for _, word := range q.told[b.ID] {
			if word == "back" {
				backs++
			}
		}
		leases = append(leases, queue.Lease{Token: token, Batch: b, Attempt: 1, HandBacks: backs, Expires: time.Now().Add(q.leaseTime)})
	}
	return leases
}

func (q *fakeQueue) Extend(_ context.Context, token string) (time.Time, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down != nil {
		return time.Time{}, q.down
	}
	if q.leased[token] == nil {
		return time.Time{}, queue.ErrLeaseExpired
	}
	q.extended++
	return time.Now().Add(q.leaseTime), nil
}

func (q *fakeQueue) Ack(ctx context.Context, token string, failed ...queue.Failure) error {
	return q.settle(ctx, token, "ack", func(b *sluice.Batch) { q.failed[b.ID] = failed })
}

func (q *fakeQueue) Nack(ctx context.Context, token string, f queue.Failure) error {
	word := "nack: " + f.Reason
	if f.HandBack {
		word = "back"
	}
	return q.settle(ctx, token, word, func(b *sluice.Batch) {
		if f.HandBack {
			q.waiting = append(q.waiting, b)
			return
		}
		q.failed[b.ID] = []queue.Failure{f}
	})
}

func (q *fakeQueue) settle(ctx context.Context, token, word string, then func(*sluice.Batch)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch b := q.leased[token]; {
	case ctx.Err() != nil:
		return ctx.Err()
	case q.down != nil:
		return q.down
	case b == nil:
		return queue.ErrLeaseExpired
	default:
		delete(q.leased, token)
		q.told[b.ID] = append(q.told[b.ID], word)
		then(b)
		q.wakeAll()
		return nil
	}
}

func (q *fakeQueue) wakeAll() {
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *fakeQueue) put(batches ...*sluice.Batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, batches...)
	q.wakeAll()
}

// expireAll ends all leases.
func (q *fakeQueue) expireAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for token, b := range q.leased {
		q.told[b.ID] = append(q.told[b.ID], "expired")
		delete(q.leased, token)
	}
}

func (q *fakeQueue) setDown(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.down = err
	q.wakeAll()
}

// words is what the queue was told about a batch, in order.
func (q *fakeQueue) words(b *sluice.Batch) []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.told[b.ID])
}

func (q *fakeQueue) failures(b *sluice.Batch) []queue.Failure {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.failed[b.ID])
}

func (q *fakeQueue) inFlight() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.leased)
}

// sawOnly checks that the queue was told exactly these words about b.
func (q *fakeQueue) sawOnly(t *testing.T, b *sluice.Batch, want ...string) {
	t.Helper()
	if got := q.words(b); !slices.Equal(got, want) {
		t.Errorf("batch %s: the queue was told %q, want %q", b.ID, got, want)
	}
}

// sawEachOnce checks that every batch was acknowledged once and nothing else was said about it.
func (q *fakeQueue) sawEachOnce(t *testing.T, batches []*sluice.Batch) {
	t.Helper()
	for _, b := range batches {
		q.sawOnly(t, b, "ack")
	}
}

var errDown = errors.New("connection refused")

func batchOf(t testing.TB, records int) *sluice.Batch {
	t.Helper()
	b, err := sluice.BatchOf(time.Now(), make([]sluice.Record, records)...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func batchesOf(t testing.TB, n, records int) (batches []*sluice.Batch) {
	t.Helper()
	for range n {
		batches = append(batches, batchOf(t, records))
	}
	return batches
}

// logBook keeps what was logged.
type logBook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logBook) Enabled(context.Context, slog.Level) bool { return true }
func (l *logBook) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logBook) WithGroup(string) slog.Handler            { return l }
func (l *logBook) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, r.Message)
	return nil
}

func (l *logBook) count(message string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if line == message {
			n++
		}
	}
	return n
}

// testPool is a pool that runs in a goroutine of its own.
type testPool struct {
	*analyzer.Pool
	logs  *logBook
	stop  context.CancelFunc
	ended chan struct{} // closed when Run has returned
}

func runPool(t *testing.T, q queue.Leaser, h analyzer.HandlerFunc, o analyzer.Options) *testPool {
	t.Helper()
	logs := &logBook{}
	o.Logger = slog.New(logs)
	if o.Name == "" {
		o.Name = "a"
	}
	pool, err := analyzer.NewPool(q, h, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	p := &testPool{Pool: pool, logs: logs, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		if err := pool.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	}()
	return p
}

// end stops the pool and checks that every batch it leased is in exactly one counter.
func (p *testPool) end(t *testing.T, q *fakeQueue) analyzer.Stats {
	t.Helper()
	p.stop()
	<-p.ended
	s := p.Stats()
	if leased := int64(q.tokens); s.Batches+s.FailedBatches+s.HandedBack+s.Late != leased {
		t.Errorf("%d leases, but the counters hold %d done, %d failed, %d handed back, %d late",
			leased, s.Batches, s.FailedBatches, s.HandedBack, s.Late)
	}
	if len(s.Analyzers) != 0 || s.Busy != 0 {
		t.Errorf("after Run: %d analyzers, %d busy, want none", len(s.Analyzers), s.Busy)
	}
	return s
}

// states lists the present analyzers as "a-1 busy".
func (p *testPool) states() (states []string) {
	for _, r := range p.Stats().Analyzers {
		states = append(states, r.ID+" "+r.State)
	}
	return states
}

func resize(t *testing.T, p *testPool, n int) {
	t.Helper()
	if err := p.Resize(t.Context(), n); err != nil {
		t.Fatalf("Resize(%d) = %v", n, err)
	}
}

// takes is a handler that needs d for a batch and obeys its context.
func takes(d time.Duration) analyzer.HandlerFunc {
	return func(ctx context.Context, _ *sluice.Batch) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
