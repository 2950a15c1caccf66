package distributor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"sync"
	"time"
)

// buffer is memory that is used again, of one of the sizes in pools where it is not larger than these.
type buffer struct{ b []byte }

// The sizes of pooled buffers are powers of two. What is larger, such as an array of many megabytes, is left to the
// garbage collector.
const (
	minBufferBits = 12 // 4 KiB
	maxBufferBits = 20 // 1 MiB
)

var pools [maxBufferBits - minBufferBits + 1]sync.Pool

// getBuffer returns a buffer of at least size bytes.
func getBuffer(size int) *buffer {
	class := max(bits.Len(uint(max(size, 1)-1)), minBufferBits)
	if class > maxBufferBits {
		return &buffer{make([]byte, size)}
	}
	if b, ok := pools[class-minBufferBits].Get().(*buffer); ok {
		return b
	}
	return &buffer{make([]byte, 1<<class)}
}

// bufferSize is the size of the buffer that getBuffer returns.
func bufferSize(size int) int {
	if size > 1<<maxBufferBits {
		return size
	}
	return 1 << max(bits.Len(uint(max(size, 1)-1)), minBufferBits)
}

func (b *buffer) free() {
	if size := len(b.b); size <= 1<<maxBufferBits {
		pools[bits.Len(uint(size-1))-minBufferBits].Put(b)
	}
}

// Interrupter is a body that can be given up while it is read: a Read that waits fails at once, and so does every later one.
// Interrupt is called at any time until Take returns, and must not block.
type Interrupter interface{ Interrupt() }

// memory is Options.MaxInFlightBytes, shared out to the bodies that are being read or stored.
//
// Each body claims what it takes before it takes it, so that a length that was only announced claims nothing. Where a claim
// finds no room it waits for Options.Hold, and meanwhile room is made: bodies whose senders are slow are given up, slowest
// first. So a sender can hold others up by as much as it sends, but not by being silent.
//
// A body that takes little goes first: large bodies leave a part of the memory to small ones, and a large one that waits for
// more is given up for them. Of large ones that wait, the one that has most goes first, because it gives back most, soonest.
type memory struct {
	limit int64
	small int64 // what a small body takes at most
	lane  int64 // what large bodies leave to small ones
	hold  time.Duration

	mu      sync.Mutex
	used    int64
	large   int64 // the part of used that large bodies have
	leaving int64 // the part of used that bodies have which were given up
	claims  []*claim
	waiting [2][]*claim // of small and of large bodies
	looked  time.Time   // when slow bodies were last looked for
	pushed  time.Time   // when one was last given up that was not below slowRate
}

const (
	// smallShare is the share of the memory that a small body takes at most: 1.25 MiB of 80 MiB, which is more than most senders put
	// into a body. laneShare is the share that is left to small bodies.
	smallShare = 64
	laneShare  = 8

	// lookEvery is how often slow bodies are looked for while somebody waits for memory.
	lookEvery = 50 * time.Millisecond

	// slowRate is the rate in bytes per second below which a body is given up when memory is short. It is what a phone on
	// a poor network sends, and far more than a sender needs that means to hold a place.
	slowRate = 64 << 10

	// Where all senders are faster than slowRate and a small body finds no room, one in pushEvery is given up: the slowest that
	// has at least pushShare times as much. There are not more, so that under an overload of honest senders most get through.
	pushEvery = 250 * time.Millisecond
	pushShare = 4
)

func newMemory(o Options) *memory {
	limit := int64(o.MaxInFlightBytes)
	return &memory{limit: limit, small: limit / smallShare, lane: limit / laneShare, hold: o.Hold}
}

// inUse is how many bytes are claimed.
func (m *memory) inUse() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// claim is the part of the memory that one body has.
type claim struct {
	m    *memory
	body Interrupter // nil where it cannot be given up
	pace pace

	// Guarded by memory.mu.
	held    int64
	at      int           // its place in memory.claims
	wanted  int64         // more that it waits for
	granted chan struct{} // closed when it has it, or never will; nil while it does not wait
	gone    bool          // given up
}

func (m *memory) isLarge(held int64) bool { return held > m.small }

// fits says whether a body may have more now. What a body has that is the only one is not bounded but by the limit.
func (m *memory) fits(c *claim, more int64) bool {
	if m.used+more > m.limit {
		return false
	}
	if !m.isLarge(c.held+more) || c.held == m.used {
		return true
	}
	large := m.large + more
	if !m.isLarge(c.held) {
		large += c.held
	}
	return large <= m.limit-m.lane
}

// set changes what a body has.
func (m *memory) set(c *claim, held int64) {
	if m.isLarge(c.held) {
		m.large -= c.held
	}
	if c.gone {
		m.leaving += held - c.held
	}
	m.used += held - c.held
	switch {
	case c.held == 0 && held > 0:
		c.at = len(m.claims)
		m.claims = append(m.claims, c)
	case c.held > 0 && held == 0:
		last := len(m.claims) - 1
		m.claims[c.at], m.claims[last].at = m.claims[last], c.at
		m.claims[last] = nil
		m.claims = m.claims[:last]
	}
	if c.held = held; m.isLarge(held) {
		m.large += held
	}
}

// grow claims more bytes. It waits for Options.Hold at most.
func (c *claim) grow(ctx context.Context, more int) error {
	m, n := c.m, int64(more)
	m.mu.Lock()
	switch {
	case c.gone:
		m.mu.Unlock()
		return errSlow
	case c.held+n > m.limit:
		m.mu.Unlock()
		return &TooLargeError{Limit: m.limit, Decoded: true}
	case len(m.waiting[0])+len(m.waiting[1]) == 0 && m.fits(c, n), !m.isLarge(c.held+n) && len(m.waiting[0]) == 0 && m.fits(c, n):
		m.set(c, c.held+n)
		m.mu.Unlock()
		return nil
	}
	granted := make(chan struct{})
	c.wanted, c.granted = n, granted
	kind := m.kind(c)
	m.waiting[kind] = append(m.waiting[kind], c)
	m.makeRoom(time.Now())
	m.mu.Unlock()
	return c.wait(ctx, granted)
}

// kind is the queue in which a body waits.
func (m *memory) kind(c *claim) int {
	if m.isLarge(c.held + c.wanted) {
		return 1
	}
	return 0
}

// wait waits until the body has what it wants, or will not get it.
func (c *claim) wait(ctx context.Context, granted <-chan struct{}) error {
	m := c.m
	over := time.NewTimer(m.hold)
	defer over.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		ended := false
		select {
		case <-granted:
		case <-look.C:
		case <-over.C:
			ended = true
		case <-ctx.Done():
			ended = true
		}
		m.mu.Lock()
		switch {
		case c.granted == nil && c.gone:
			m.mu.Unlock()
			return m.overload()
		case c.granted == nil:
			m.mu.Unlock()
			return nil
		case ended:
			m.stopWaiting(c)
			m.share() // for those behind it
			m.mu.Unlock()
			return m.overload()
		}
		m.makeRoom(time.Now())
		m.mu.Unlock()
	}
}

func (m *memory) overload() error {
	return &OverloadError{fmt.Errorf("the bodies of all requests together exceed %d bytes", m.limit)}
}

// errSlow is what becomes of a body that was given up.
var errSlow = &OverloadError{errors.New("memory for bodies is short, and others came faster than this one")}

func (m *memory) stopWaiting(c *claim) {
	kind := m.kind(c)
	m.waiting[kind] = slices.DeleteFunc(m.waiting[kind], func(w *claim) bool { return w == c })
	close(c.granted)
	c.granted, c.wanted = nil, 0
}

// share gives what is free to those who wait.
func (m *memory) share() {
	for len(m.waiting[0]) > 0 {
		c := m.smallest()
		if !m.fits(c, c.wanted) {
			return
		}
		m.grant(c)
	}
	for len(m.waiting[1]) > 0 {
		c := m.largest()
		if !m.fits(c, c.wanted) {
			return
		}
		m.grant(c)
	}
}

// smallest is the one that takes least, of the small bodies that wait.
func (m *memory) smallest() *claim {
	return slices.MinFunc(m.waiting[0], func(a, b *claim) int { return cmp.Compare(a.held+a.wanted, b.held+b.wanted) })
}

// largest is the one that has most, of the large bodies that wait.
func (m *memory) largest() *claim {
	return slices.MaxFunc(m.waiting[1], func(a, b *claim) int { return cmp.Compare(a.held, b.held) })
}

func (m *memory) grant(c *claim) {
	more := c.wanted
	m.stopWaiting(c)
	m.set(c, c.held+more)
}

// makeRoom gives bodies up for those that wait.
func (m *memory) makeRoom(now time.Time) {
	if m.share(); len(m.waiting[0])+len(m.waiting[1]) == 0 {
		return
	}
	for len(m.waiting[0]) > 0 && len(m.waiting[1]) > 0 && m.short(m.waiting[0]) > 0 {
		c := m.largest()
		m.stopWaiting(c)
		m.giveUp(c)
	}
	if now.Sub(m.looked) < lookEvery {
		return
	}
	m.looked = now
	found := m.slowest(now)
	for len(found) > 0 && found[0].rate < slowRate && m.short(m.waiting[0], m.waiting[1]) > 0 {
		m.giveUp(found[0].claim)
		found = found[1:]
	}
	if len(m.waiting[0]) == 0 || m.short(m.waiting[0]) <= 0 || now.Sub(m.pushed) < pushEvery {
		return
	}
	first := m.smallest()
	for _, s := range found {
		if s.claim.held >= pushShare*(first.held+first.wanted) {
			m.pushed = now
			m.giveUp(s.claim)
			return
		}
	}
}

// short is how many bytes are missing for all that wait, beyond what bodies have that were given up already.
func (m *memory) short(waiting ...[]*claim) int64 {
	n, lane := m.used-m.leaving-m.limit, int64(0)
	for _, w := range waiting {
		for _, c := range w {
			if n += c.wanted; m.isLarge(c.held + c.wanted) {
				lane = m.lane // which is not for it
			}
		}
	}
	return n + lane
}

// giveUp ends a body. Its memory comes back when its reader has noticed.
func (m *memory) giveUp(c *claim) {
	c.gone = true
	m.leaving += c.held
	if c.body != nil {
		c.body.Interrupt()
	}
}

// slow is a body that waits for its sender.
type slow struct {
	claim *claim
	rate  float64 // at which it came of late, in bytes per second
}

// slowest are the bodies that may be given up because they wait for their senders, slowest first.
func (m *memory) slowest(now time.Time) []slow {
	var found []slow
	for _, c := range m.claims {
		if c.gone || c.body == nil {
			continue
		}
		if rate, ok := c.pace.rate(now); ok {
			found = append(found, slow{c, rate})
		}
	}
	slices.SortFunc(found, func(a, b slow) int {
		return cmp.Or(cmp.Compare(a.rate, b.rate), cmp.Compare(b.claim.held, a.claim.held))
	})
	return found
}

// shrink gives bytes back.
func (c *claim) shrink(less int) {
	if less == 0 {
		return
	}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.m.set(c, c.held-int64(less))
	c.m.share()
}

// end gives everything back. Nothing interrupts the body after that.
func (c *claim) end() {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.m.set(c, 0)
	c.m.share()
	c.gone, c.body, c.pace = false, nil, pace{}
}

// givenUp says whether the body was given up.
func (c *claim) givenUp() bool {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	return c.gone
}

// read reads from the body's sender.
func (c *claim) read(body io.Reader, p []byte) (int, error) {
	c.pace.begin(time.Now())
	n, err := body.Read(p)
	c.pace.end(time.Now(), n)
	return n, err
}

// paceTime is how long a sender must have been waited for before its rate says something.
const paceTime = 500 * time.Millisecond

// pace measures how fast a sender is. Time in which nobody waits for it does not count.
type pace struct {
	mu     sync.Mutex
	since  time.Time     // when it began to be waited for; zero while it is not
	waited time.Duration // in this interval
	bytes  int           // in this interval
	last   float64       // rate of the interval before, in bytes per second
	known  bool          // there was one
}

func (p *pace) begin(now time.Time) {
	p.mu.Lock()
	p.since = now
	p.mu.Unlock()
}

func (p *pace) end(now time.Time, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waited += now.Sub(p.since)
	p.bytes += n
	p.since = time.Time{}
	if p.waited >= paceTime {
		p.last, p.known = float64(p.bytes)/p.waited.Seconds(), true
		p.waited, p.bytes = 0, 0
	}
}

// rate is the sender's rate of late in bytes per second, where it is being waited for and has been for long enough.
func (p *pace) rate(now time.Time) (float64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return 0, false
	}
	if waited := p.waited + now.Sub(p.since); waited >= paceTime {
		return float64(p.bytes) / waited.Seconds(), true
	}
	return p.last, p.known
}
