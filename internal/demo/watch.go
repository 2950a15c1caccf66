package demo

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/queue/remote"
)

// Options are what all demos have in common.
type Options struct {
	Screen  *Screen      // where people watch; required
	Log     *slog.Logger // of what the demo starts; required
	Version string       // what the processes in this one call themselves
}

// The time between two looks, and between two lines where frames can't be drawn.
const (
	lookInterval = 250 * time.Millisecond
	lineInterval = time.Second
)

// watch looks at a distributor again and again, keeps what it saw, and shows it.
type watch struct {
	client *remote.Client
	start  time.Time
	show   func(w *watch, lineDue bool) // called after each look

	mu      sync.Mutex
	history []Sample
	last    api.Stats
	changed chan struct{} // closed and replaced after each look
	down    error         // why the last look failed
}

func newWatch(c *remote.Client, start time.Time, show func(w *watch, lineDue bool)) *watch {
	return &watch{client: c, start: start, show: show, changed: make(chan struct{})}
}

// begin looks until the returned function is called, which waits for the end of it, or ctx ends.
func (w *watch) begin(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var loop sync.WaitGroup
	loop.Go(func() {
		tick := time.NewTicker(lookInterval)
		defer tick.Stop()
		nextLine := time.Now()
		for ctx.Err() == nil {
			w.lookOnce(ctx)
			lineDue := !time.Now().Before(nextLine)
			if lineDue {
				nextLine = nextLine.Add(lineInterval)
			}
			if ctx.Err() == nil {
				w.show(w, lineDue)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return func() {
		cancel()
		loop.Wait()
	}
}

// lookOnce takes one sample. A look that fails leaves a gap.
func (w *watch) lookOnce(ctx context.Context) {
	st, err := look(ctx, w.client)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = err
	if err == nil {
		w.last = st
		w.history = append(w.history, sampleOf(time.Since(w.start), st))
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// seen returns what was seen so far; nobody changes it any more.
func (w *watch) seen() ([]Sample, api.Stats) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.history[:len(w.history):len(w.history)], w.last
}

// until waits for a sample that is what one waits for, at most for a time, and says whether it came.
func (w *watch) until(ctx context.Context, limit time.Duration, good func(Sample) bool) bool {
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		w.mu.Lock()
		n, changed := len(w.history), w.changed
		if n > 0 && good(w.history[n-1]) {
			w.mu.Unlock()
			return true
		}
		w.mu.Unlock()
		select {
		case <-changed:
		case <-over.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
