package api

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// budget bounds the memory of the bodies and answers of the work API: those that are being read, built and sent. Who wants memory waits for
// it in turn. While some wait, those who hold memory and are slow give it up: the slowest first, none of them in its first second. So clients
// that do not send or do not read hold up the others for little longer than that second, however many they are, and a slow client is not
// disturbed while there is memory for all.
type budget struct {
	mu      sync.Mutex
	free    int64
	waiting []*want // in turn
	held    map[*claim]struct{}
}

// grace is how long a body or answer that is slow is left alone, and lookAgain how often those who wait look for one.
const (
	grace     = time.Second
	lookAgain = 100 * time.Millisecond
)

// errSlow says that a claim had to be given up.
var errSlow = errors.New("too slow while others wait")

// want is a claim that waits for more.
type want struct {
	bytes int64
	claim *claim
	got   chan struct{}
}

// claim is the part of a budget that one body or answer has. The zero bytes of a new one are its beginning. It is used by one goroutine; its
// budget's lock guards it against those who wait.
type claim struct {
	b     *budget
	bytes int64
	since time.Time // when it began to depend on its client; zero while it does not
	moved int64     // bytes that the client sent or read since
	stop  func()    // ends the read or write that goes on
	lost  chan struct{}
	cut   bool
}

func newBudget(bytes int64) *budget { return &budget{free: bytes, held: map[*claim]struct{}{}} }

// claim begins a claim of nothing.
func (b *budget) claim() *claim {
	c := &claim{b: b, lost: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held[c] = struct{}{}
	return c
}

// tryGrow takes more bytes if they are free and no one waits for them.
func (c *claim) tryGrow(bytes int64) bool {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if len(c.b.waiting) > 0 || c.b.free < bytes {
		return false
	}
	c.b.free -= bytes
	c.bytes += bytes
	return true
}

// grow takes more bytes, and waits for them until ctx ends or the claim is cut.
func (c *claim) grow(ctx context.Context, bytes int64) error {
	if c.tryGrow(bytes) {
		return nil
	}
	b := c.b
	w := &want{bytes, c, make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, w)
	b.serve()
	b.mu.Unlock()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-w.got:
			return nil
		case now := <-tick.C:
			b.cutSlow(now)
			continue
		case <-c.lost:
			err = errSlow
		case <-ctx.Done():
			err = ctx.Err()
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if i := slices.Index(b.waiting, w); i >= 0 {
			b.waiting = slices.Delete(b.waiting, i, i+1)
			b.serve()
		}
		return err // what was got meanwhile is given back with the claim
	}
}

// serve gives free bytes to those who wait, in turn. The caller holds mu.
func (b *budget) serve() {
	for len(b.waiting) > 0 && b.waiting[0].bytes <= b.free {
		w := b.waiting[0]
		b.waiting = b.waiting[1:]
		b.free -= w.bytes
		w.claim.bytes += w.bytes
		close(w.got)
	}
}

// settle makes the claim as large as what it is for has become, without waiting.
func (c *claim) settle(bytes int64) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.b.free += c.bytes - bytes
	c.bytes = bytes
	c.b.serve()
}

// release ends the claim.
func (c *claim) release() {
	c.settle(0)
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	delete(c.b.held, c)
}

// depend says that from now on the claim depends on its client, and how to stop waiting for it.
func (c *claim) depend(now time.Time, stop func()) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.since, c.moved, c.stop = now, 0, stop
}

// step notes what the client has sent or read. Unless the claim was cut, it calls next, which may extend a deadline; nil is for nothing.
func (c *claim) step(bytes int, next func()) error {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.moved += int64(bytes)
	if c.cut {
		return errSlow
	}
	if next != nil {
		next()
	}
	return nil
}

// cutSlow cuts as many claims as it takes to serve all who wait, the slowest first.
func (b *budget) cutSlow(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	need := -b.free
	wants := map[*claim]int64{} // who is cut waits for nothing
	for _, w := range b.waiting {
		if !w.claim.cut {
			need += w.bytes
			wants[w.claim] += w.bytes
		}
	}
	var slow []*claim
	for c := range b.held {
		switch {
		case c.cut:
			need -= c.bytes // on its way
		case c.bytes > 0 && !c.since.IsZero() && now.Sub(c.since) >= grace:
			slow = append(slow, c)
		}
	}
	rate := func(c *claim) float64 { return float64(c.moved) / now.Sub(c.since).Seconds() }
	slices.SortFunc(slow, func(x, y *claim) int { return cmp.Compare(rate(x), rate(y)) })
	for _, c := range slow {
		if need <= 0 {
			return
		}
		need -= c.bytes + wants[c]
		c.cut = true
		close(c.lost)
		c.stop()
	}
}
