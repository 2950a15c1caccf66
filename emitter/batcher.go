package emitter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	sluice "github.com/sluicehq/sluice"
)

// ErrClosed says that a batcher takes no more records.
var ErrClosed = errors.New("batcher is closed")

// BatcherOptions says when a batcher sends what it holds: as soon as the first of these is reached.
type BatcherOptions struct {
	MaxRecords int           // records in one post; zero means 500, at least 1
	MaxBytes   int           // bytes of JSON in one post, unless a single record is larger; zero means 512 KiB, at least 1
	Interval   time.Duration // how long a record may wait for others; zero means 1s, at least 1ms
}

func (o BatcherOptions) withDefaults() BatcherOptions {
	if o.MaxRecords == 0 {
		o.MaxRecords = 500
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 512 << 10
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	return o
}

// Validate reports everything that is wrong with the options.
func (o BatcherOptions) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.MaxRecords < 1 {
		errs = append(errs, fmt.Errorf("emitter: MaxRecords is %d, want at least 1", o.MaxRecords))
	}
	if o.MaxBytes < 1 {
		errs = append(errs, fmt.Errorf("emitter: MaxBytes is %d, want at least 1", o.MaxBytes))
	}
	if o.Interval < time.Millisecond {
		errs = append(errs, fmt.Errorf("emitter: Interval is %v, want at least 1ms", o.Interval))
	}
	return errors.Join(errs...)
}

// Batcher collects records and sends them many at a time. One post is under way while the next fills; when both are full,
// Add waits: a distributor that pushes back slows the application down and costs it no memory and no record. It is safe for
// concurrent use.
type Batcher struct {
	client *Client
	o      BatcherOptions
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the loop has ended

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every change that somebody may wait for
	lines   []byte
	count   int
	first   time.Time // when the oldest record in lines came
	added   uint64    // records taken from callers
	sent    uint64    // of these, handed to Send
	settled uint64    // of these, answered
	flushTo uint64    // records up to this number must not wait for more
	closed  bool
	refused int   // records lost since the last report
	cause   error // of the first of them
}

// NewBatcher starts a batcher in front of the client. It owns a goroutine until Close.
func (c *Client) NewBatcher(o BatcherOptions) (*Batcher, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	b := &Batcher{client: c, o: o.withDefaults(), cancel: cancel, done: make(chan struct{}), changed: make(chan struct{})}
	go b.loop(ctx)
	return b, nil
}

// Add takes one record. It waits while there is no room, at most until ctx ends; an error of ctx, of encoding or
// [ErrClosed] means that this record was not taken. Records that the distributor refused are reported by a later Flush or
// Close, not here.
func (b *Batcher) Add(ctx context.Context, r sluice.Record) error {
	line, err := r.MarshalJSON()
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	for {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return ErrClosed
		}
		if b.count == 0 || b.count < b.o.MaxRecords && len(b.lines)+len(line) < b.o.MaxBytes {
			break
		}
		if b.flushTo < b.added { // only the first who waits says so: waking one another would never end
			b.flushTo = b.added
			b.change()
		}
		wait := b.changed
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-wait:
		}
	}
	defer b.mu.Unlock()
	if b.count == 0 {
		b.first = time.Now()
	}
	b.lines = append(append(b.lines, line...), '\n')
	b.count++
	b.added++
	if b.count == 1 || b.full() {
		b.change() // the loop has to start its timer, or to send
	}
	return nil
}

// Flush sends what is held without waiting for more, and returns when every record added before it has its answer, or ctx
// ends. Its error also reports records that were refused since the last report, background posts included.
func (b *Batcher) Flush(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	to := b.added
	b.flushTo = max(b.flushTo, to)
	b.change()
	for b.settled < to {
		wait := b.changed
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			b.mu.Lock()
			return fmt.Errorf("flush: %w (%d records still without an answer)", context.Cause(ctx), to-b.settled)
		case <-wait:
		}
		b.mu.Lock()
	}
	return b.report()
}

// Close takes no more records, sends what is held and ends the batcher. When ctx ends first, the records left are given up
// and the error says how many. Its error also reports refused records, as that of Flush.
func (b *Batcher) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.change()
	b.mu.Unlock()
	select {
	case <-b.done:
	case <-ctx.Done():
		b.cancel(context.Cause(ctx))
		<-b.done
	}
	b.cancel(nil)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.report()
}

func (b *Batcher) full() bool { return b.count >= b.o.MaxRecords || len(b.lines) >= b.o.MaxBytes }

// change wakes everybody who waits; b.mu is held.
func (b *Batcher) change() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// report returns and forgets what was refused; b.mu is held.
func (b *Batcher) report() error {
	if b.refused == 0 {
		return nil
	}
	err := fmt.Errorf("%d records were not accepted: %w", b.refused, b.cause)
	b.refused, b.cause = 0, nil
	return err
}

func (b *Batcher) loop(ctx context.Context) {
	defer close(b.done)
	var spare []byte
	for {
		b.mu.Lock()
		left := time.Until(b.first.Add(b.o.Interval))
		due := b.count > 0 && (b.full() || b.closed || b.sent < b.flushTo || left <= 0)
		if !due {
			if b.closed {
				b.mu.Unlock()
				return
			}
			wait, count := b.changed, b.count
			b.mu.Unlock()
			pause(wait, left, count > 0)
			continue
		}
		lines, n := b.lines, b.count
		b.lines, b.count = spare[:0], 0
		b.sent += uint64(n)
		b.change()
		b.mu.Unlock()

		r, err := b.client.Send(ctx, lines, n)
		spare = lines
		b.settle(n, r, err)
	}
}

// pause waits for a change, and no longer than left if timed is set.
func pause(changed <-chan struct{}, left time.Duration, timed bool) {
	if !timed {
		<-changed
		return
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	}
}

// settle books the answer for n records.
func (b *Batcher) settle(n int, r Response, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settled += uint64(n)
	if lost := n - r.Accepted; lost > 0 {
		b.refused += lost
		if err == nil && len(r.Errors) > 0 {
			err = fmt.Errorf("line %d of a post: %s", r.Errors[0].Line, r.Errors[0].Reason)
		}
		if err == nil {
			err = errors.New("the distributor did not say why")
		}
		if b.cause == nil {
			b.cause = err
		}
	}
	b.change()
}
