package autoscale

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakePool is a pool that obeys, unless told to fail or to wait.
type fakePool struct {
	mu      sync.Mutex
	size    int
	history []int // sizes asked for
	err     error
	block   chan struct{} // Resize waits until it is closed, whatever the context says
	panics  bool
}

func (p *fakePool) Size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

func (p *fakePool) Resize(_ context.Context, size int) error {
	p.mu.Lock()
	block := p.block
	p.mu.Unlock()
	if block != nil {
		<-block
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.panics {
		panic("no more room")
	}
	if p.err != nil {
		return p.err
	}
	p.size = size
	p.history = append(p.history, size)
	return nil
}

func (p *fakePool) set(change func(p *fakePool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// fakeQueue is a depth that tests set.
type fakeQueue struct {
	mu    sync.Mutex
	depth int
	err   error
	looks int
	block chan struct{} // Observe waits until it is closed, whatever the context says
	polite,
	panics bool // polite: waits for the context instead
}

func (q *fakeQueue) Observe(ctx context.Context) (Observation, error) {
	q.mu.Lock()
	q.looks++
	block, polite, panics := q.block, q.polite, q.panics
	q.mu.Unlock()
	switch {
	case panics:
		panic("lost my glasses")
	case polite:
		<-ctx.Done()
		return Observation{}, ctx.Err()
	case block != nil:
		<-block
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return Observation{Depth: q.depth}, q.err
}

func (q *fakeQueue) set(change func(q *fakeQueue)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change(q)
}

func (q *fakeQueue) lookCount() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.looks
}

func at(depth int) func(*fakeQueue) { return func(q *fakeQueue) { q.depth = depth } }

// lines collects log messages.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, strings.TrimSpace(string(b)))
	return len(b), nil
}

func (l *lines) containing(part string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, line := range l.all {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}

// rig is a running controller in a bubble.
type rig struct {
	*Controller
	pool  *fakePool
	queue *fakeQueue
	log   *lines
	stop  func() // ends Run and waits for it
}

// start runs a controller over a pool of the given size, in a bubble. Unless the options say otherwise they are the defaults.
func start(t *testing.T, size int, o Options) *rig {
	t.Helper()
	r := &rig{pool: &fakePool{size: size}, queue: &fakeQueue{depth: 30}, log: &lines{}}
	o.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	c, err := New(r.pool, r.queue, o)
	if err != nil {
		t.Fatal(err)
	}
	r.Controller = c
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v, want nil", err)
		}
	})
	t.Cleanup(r.stop)
	go func() { done <- c.Run(ctx) }()
	synctest.Wait()
	return r
}

// pass lets bubble time pass, and everything that happens in it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) last(t *testing.T) Decision {
	t.Helper()
	rows := r.Decisions(1)
	if len(rows) == 0 {
		t.Fatal("no decision yet")
	}
	return rows[0]
}

// expect compares the newest decision.
func (r *rig) expect(t *testing.T, action string, size int, reason string) {
	t.Helper()
	d := r.last(t)
	if d.Action != action || d.NewSize != size || d.Reason != reason {
		t.Errorf("last decision: %s to %d because %q, want %s to %d because %q", d.Action, d.NewSize, d.Reason, action, size, reason)
	}
}
