package analyzer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluicehq/sluice/queue"
)

// ErrPoolEnded is returned by [Pool.Resize] once the pool was asked to stop, and by a second Run.
var ErrPoolEnded = errors.New("analyzer pool has ended")

// After Kill, or once the time to drain is over, calls to the queue that are under way get this long to come back.
const killGrace = 2 * time.Second

type poolState int

const (
	poolNew poolState = iota
	poolRunning
	poolEnding
)

// Pool is a number of analyzers that work on the same queue. Its methods may be called from several goroutines.
type Pool struct {
	source  queue.Leaser
	handler Handler
	o       Options

	wg     sync.WaitGroup  // counts the workers present, the batches in hand, and extensions of leases under way
	killed chan struct{}   // closed by Kill
	calls  context.Context // of calls to the queue, which must outlive a drain; ends with Run, or soon after Kill

	mu         sync.Mutex
	state      poolState
	ran        bool
	size       int       // wanted, and present without those that drain
	workers    []*worker // present, the oldest first
	started    int       // analyzers ever started; the number in the youngest's name
	totals     Totals    // of all analyzers, but for BusySeconds
	busy       time.Duration
	abandoned  int
	failing    int       // workers whose last request for leases failed
	failedAt   time.Time // when the first of them failed
	leaseError string
	heart      *time.Timer // calls heartbeats; nil before the first lease
	beatAt     time.Time   // when it does; zero while it is not set
}

// NewPool makes a pool that works off what source hands out. Nothing starts before Run.
func NewPool(source queue.Leaser, handler Handler, o Options) (*Pool, error) {
	o = o.WithDefaults()
	err := o.Validate()
	if source == nil {
		err = errors.Join(err, errors.New("analyzer: the pool has no source of work"))
	}
	if handler == nil {
		err = errors.Join(err, errors.New("analyzer: the pool has no handler"))
	}
	if err != nil {
		return nil, err
	}
	return &Pool{source: source, handler: handler, o: o, size: o.Size, killed: make(chan struct{})}, nil
}

// Run starts the analyzers and works until ctx ends, or [Pool.Kill] is called. Then idle analyzers stop at once, the
// others get DrainTimeout to finish what they have in hand, and what is left is handed back, whatever it is. Run returns nil when all
// of the pool's goroutines have ended. Only calls of a handler that does not obey its context may still run then; their
// number is Stats.Abandoned, and what they return is ignored.
//
// A queue that does not answer holds nothing up: calls to it are given up after 5 s while the pool ends, and all of them 2 s after
// the time to drain is over. A queue that ignores its context is waited for.
//
// A pool runs once.
func (p *Pool) Run(ctx context.Context) error {
	calls, stopCalls := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCalls()
	defer p.stopHeart()
	if err := p.begin(calls); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-p.killed:
	}
	p.mu.Lock()
	p.end()
	p.mu.Unlock()

	ended := make(chan struct{})
	go func() { defer close(ended); p.wg.Wait() }()
	over := time.NewTimer(p.o.DrainTimeout + cancelGrace)
	defer over.Stop()
	select {
	case <-ended:
		return nil
	case <-p.killed:
	case <-over.C: // everything is handed back now, if the queue answers
	}
	late := time.AfterFunc(killGrace, stopCalls)
	defer late.Stop()
	<-ended
	return nil
}

func (p *Pool) begin(calls context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ran:
		return ErrPoolEnded
	case p.state == poolNew: // and not killed before it ran
		p.state, p.calls = poolRunning, calls
		p.grow(p.size)
	}
	p.ran = true
	return nil
}

// end makes all analyzers leave. The caller holds p.mu.
func (p *Pool) end() {
	p.state, p.size = poolEnding, 0
	for _, w := range p.workers {
		p.drain(w)
	}
}

// Kill makes Run return as soon as it can: handlers are cancelled, and their batches are handed back, if the queue
// answers within a moment. Batches that can't be handed back come again when their lease ends. Kill itself returns at
// once; it may be called at any time and more than once.
func (p *Pool) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.killed:
		return
	default:
	}
	close(p.killed)
	p.end()
	for _, w := range p.workers {
		p.cutOff(w)
	}
}

// Name is the prefix of the analyzers' names.
func (p *Pool) Name() string { return p.o.Name }

// Size is how many analyzers there are, those that drain not counted. Before Run, it is how many Run will start.
func (p *Pool) Size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// Resize makes the pool larger or smaller and returns without waiting for analyzers that drain. One that drains hands back what
// it has not finished within DrainTimeout; but a batch that was handed back [queue.OftenHandedBack] times before is left to
// finish, since it would never end otherwise. Before Run, it sets the
// size to start with; once the pool was asked to stop, it returns [ErrPoolEnded].
func (p *Pool) Resize(ctx context.Context, size int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if size < 0 {
		return fmt.Errorf("analyzer: pool size %d, want at least 0", size)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == poolEnding {
		return ErrPoolEnded
	}
	from := p.size
	p.size = size
	if p.state == poolNew {
		return nil
	}
	if size > from {
		p.grow(size - from)
	} else {
		p.shrink(from - size)
	}
	return nil
}

// ErrNoAnalyzer says that no analyzer of that name is present.
var ErrNoAnalyzer = errors.New("no such analyzer")

// Dismiss makes one analyzer leave, so that the pool has one less: it finishes what it has in hand within DrainTimeout, or with now,
// hands it back at once.
// One that leaves already is only hurried. Whether another starts in its place is for whoever sizes the pool.
func (p *Pool) Dismiss(id string, now bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		if w.id != id {
			continue
		}
		if !w.draining {
			p.size--
			p.drain(w)
		}
		if now {
			p.cutOff(w)
		}
		return nil
	}
	return fmt.Errorf("%w: %q", ErrNoAnalyzer, id)
}

// grow adds n analyzers: those that drain come back first, the ones with the most in hand before others, since they are
// furthest from leaving; not those that are stuck. The caller holds p.mu, as for all methods below.
func (p *Pool) grow(n int) {
	now := time.Now()
	leaving := p.members(func(w *worker) bool { return w.draining && !p.isStuck(w, now) })
	slices.SortFunc(leaving, func(a, b *worker) int {
		return cmp.Or(cmp.Compare(len(b.hands), len(a.hands)), cmp.Compare(a.number, b.number))
	})
	back := min(n, len(leaving))
	for _, w := range leaving[:back] {
		p.recall(w)
	}
	for range n - back {
		p.start()
	}
}

// shrink makes n analyzers leave: the idle ones first, so that work in progress is the last to be disturbed. Of those that hold
// work, the ones whose batches were handed back often go last, and those that are stuck first, then those with the least in
// hand. Among equals the slow ones go, and then the youngest.
func (p *Pool) shrink(n int) {
	now := time.Now()
	staying := p.members(func(w *worker) bool { return !w.draining })
	last := func(keep bool) int { // false comes first
		if keep {
			return 1
		}
		return 0
	}
	slices.SortFunc(staying, func(a, b *worker) int {
		return cmp.Or(
			cmp.Compare(last(len(a.hands) > 0), last(len(b.hands) > 0)),
			cmp.Compare(last(a.returning() != nil), last(b.returning() != nil)),
			cmp.Compare(last(!p.isStuck(a, now)), last(!p.isStuck(b, now))),
			cmp.Compare(len(a.hands), len(b.hands)),
			cmp.Compare(last(!p.isSlow(a)), last(!p.isSlow(b))),
			cmp.Compare(b.number, a.number))
	})
	for _, w := range staying[:n] {
		p.drain(w)
	}
}

func (p *Pool) members(which func(*worker) bool) []*worker {
	var found []*worker
	for _, w := range p.workers {
		if which(w) {
			found = append(found, w)
		}
	}
	return found
}

func (p *Pool) start() {
	p.started++
	now := time.Now()
	w := &worker{
		id:     fmt.Sprintf("%s-%d", p.o.Name, p.started),
		number: p.started,
		since:  now, changed: now,
		hands: map[*hand]struct{}{},
	}
	w.handling = context.WithValue(context.WithoutCancel(p.calls), nameKey{}, w.id)
	w.stay(p.calls)
	p.workers = append(p.workers, w)
	p.wg.Add(1)
	w.serving = true
	go p.serve(w)
}

func (p *Pool) drain(w *worker) {
	if w.draining {
		return
	}
	w.draining, w.changed = true, time.Now()
	w.stopLeasing()
	p.setDeadline(w, p.o.DrainTimeout)
}

// setDeadline lets a drain end after so long.
func (p *Pool) setDeadline(w *worker, after time.Duration) {
	leasing := w.leasing
	w.deadline = time.AfterFunc(after, func() { p.drainEnded(w, leasing) })
}

func (p *Pool) recall(w *worker) {
	w.deadline.Stop()
	w.draining, w.changed = false, time.Now()
	w.stay(p.calls)
	if !w.serving && len(w.hands) < p.o.Slots {
		w.serving = true
		go p.serve(w)
	}
}

// leave removes a worker that drains and has nothing in hand.
func (p *Pool) leave(w *worker) {
	w.deadline.Stop()
	p.workers = slices.DeleteFunc(p.workers, func(o *worker) bool { return o == w })
	p.wg.Done()
	if w.failures > 0 {
		p.failing--
		if p.failing == 0 {
			p.leaseError = ""
		}
	}
}
