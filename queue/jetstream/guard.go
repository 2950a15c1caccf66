package jetstream

import (
	"context"
	"sync"
	"time"
)

// diskGauge measures free space, at most a few times a second.
type diskGauge struct {
	dir string

	mu    sync.Mutex
	taken time.Time
	last  int64
}

// free returns the free bytes, or -1 where that can't be known.
func (g *diskGauge) free() int64 { return g.measure(200 * time.Millisecond) }

// freeNow is free, measured anew.
func (g *diskGauge) freeNow() int64 { return g.measure(0) }

func (g *diskGauge) measure(maxAge time.Duration) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.Sub(g.taken) > maxAge {
		g.last, _, _ = space(g.dir)
		g.taken = now
	}
	return g.last
}

// raise asks guardLoop to look at the server.
func (q *Queue) raise(why string) {
	if q.down.CompareAndSwap(nil, &why) {
		q.log.Error("queue stopped", "reason", why)
	}
	select {
	case q.suspect <- struct{}{}:
	default:
	}
}

// restartSpace is the free space with which the server is started anew. It is less than Options.MinFreeBytes on purpose: Put still refuses
// batches, but those that are stored can be worked off, and that is what makes room.
const restartSpace = 1 << 20

// guardLoop starts the server anew when it has stopped taking writes, which it does for good after the first failed one
// (most often: no space left), as soon as there is space again.
func (q *Queue) guardLoop() {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-q.done:
			return
		case <-q.suspect:
		case <-tick.C:
		}
		q.life.RLock()
		alive := q.e.srv.JetStreamEnabled()
		q.life.RUnlock()
		if !alive {
			q.raise("the queue server gave up its storage")
		}
		if q.down.Load() == nil {
			continue
		}
		if free, _, err := space(q.o.Dir); err == nil && free < restartSpace {
			continue // the next tick looks again
		}
		if err := q.restart(); err != nil {
			q.log.Error("queue not started again", "error", err)
		}
	}
}

// restart replaces the embedded server by a new one on the same files. Open leases stay: their batches keep their place,
// and what the new cursor delivers of them is recognised.
func (q *Queue) restart() error {
	q.life.Lock()
	defer q.life.Unlock()
	if !q.stopped {
		if !q.e.stop(q.stopWait) {
			home, err := moveFiles(q.o.Dir, q.home)
			if err != nil {
				return err
			}
			q.log.Error("queue server left behind: it does not stop", "files", home)
			q.home = home
		}
		q.stopped = true
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	e, err := startEmbedded(ctx, q.o, q.home)
	if err != nil {
		return err
	}
	q.stopped = false
	q.e = e
	q.mu.Lock()
	for _, h := range q.held {
		h.msg = nil
	}
	q.mu.Unlock()
	if err := q.recount(ctx, false); err != nil {
		return err
	}
	q.down.Store(nil)
	q.mu.Lock()
	q.wake(len(q.waiters))
	q.mu.Unlock()
	q.log.Info("queue started again")
	return nil
}
