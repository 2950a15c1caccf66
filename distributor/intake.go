package distributor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// Intake puts records into a queue, many callers' at a time.
//
// Each committer takes whatever has come while it was busy, puts it as one batch, and answers everybody in it (group
// commit). So a lonely request waits for one commit and nothing else, and a thousand at once share a few commits.
type Intake struct {
	o   Options
	put Putter

	mu      sync.Mutex
	more    *sync.Cond    // something is pending, or the intake is closing
	room    chan struct{} // closed and replaced when pending shrinks
	pending []*part
	bytes   int // of pending
	count   int // of pending, in records
	busy    int // committers at work
	closing bool

	wg sync.WaitGroup
}

// Putter is where batches go. A [queue.Queue] is one.
type Putter interface {
	Put(ctx context.Context, batches ...*sluice.Batch) error
}

// part is records of one caller that go into one batch together.
type part struct {
	lines []byte
	count int
	done  chan error
}

// OverloadError says that records could not be stored now and should be sent again later.
type OverloadError struct {
	Err error // what keeps them out; a *queue.FullError where a limit does
}

func (e *OverloadError) Error() string { return "overloaded: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *OverloadError) Unwrap() error { return e.Err }

var errBacklog = errors.New("more requests than the disk can keep up with")

// NewIntake starts the committers. Close ends them.
func NewIntake(put Putter, o Options) *Intake {
	in := &Intake{o: o, put: put, room: make(chan struct{})}
	in.more = sync.NewCond(&in.mu)
	for range o.Committers {
		in.wg.Go(in.commitLoop)
	}
	return in
}

// Close waits until everything that was taken in is stored or refused. Later calls of Add are refused.
func (in *Intake) Close() {
	in.mu.Lock()
	in.closing = true
	in.more.Broadcast()
	in.mu.Unlock()
	in.wg.Wait()
}

// Add stores records (lines as in [Decoded]) and returns how many of them are stored when the call ends, counted from the
// first. While the queue is full it tries for Options.Hold, then returns an [OverloadError]. It keeps lines no longer than
// the call lasts.
//
// More records than fit into one batch are split over several, one after the other. Once the first of them is stored, Add
// is more patient, because a sender that does not look at the count will send all of them again.
func (in *Intake) Add(ctx context.Context, lines []byte, count int) (stored int, err error) {
	hold := time.NewTimer(in.o.Hold)
	defer hold.Stop()
	for i, p := range in.cut(lines, count) {
		if i == 1 {
			hold.Reset(morePatience * in.o.Hold)
		}
		if err := in.addPart(ctx, p, hold); err != nil {
			return stored, err
		}
		stored += p.count
	}
	return stored, nil
}

// morePatience is how many times Options.Hold a body may take that is stored in part. With the default of 1 s it stays below
// the timeouts that agents have for a request.
const morePatience = 20

func (in *Intake) addPart(ctx context.Context, p *part, hold *time.Timer) error {
	for {
		if err := in.submit(p, hold); err != nil {
			return refusal(err)
		}
		err := <-p.done
		if err == nil {
			return nil
		}
		full, ok := errors.AsType[*queue.FullError](err)
		if !ok {
			return refusal(err)
		}
		if !in.pause(ctx, hold) {
			return &OverloadError{full}
		}
	}
}

// refusal tells a cause that passes from one that does not.
func refusal(err error) error {
	if errors.Is(err, queue.ErrUnavailable) || errors.Is(err, errBacklog) || errors.Is(err, queue.ErrClosed) {
		return &OverloadError{err}
	}
	return err
}

// pause waits a moment before the next try, and says whether there is one.
func (in *Intake) pause(ctx context.Context, hold *time.Timer) bool {
	wait := time.NewTimer(max(in.o.Hold/20, time.Millisecond))
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-hold.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// cut splits lines into parts that fit into a batch.
func (in *Intake) cut(lines []byte, count int) []*part {
	if len(lines) <= in.o.MaxBatchBytes && count <= in.o.MaxBatchRecords {
		return []*part{{lines: lines, count: count}}
	}
	var parts []*part
	for len(lines) > 0 {
		end, n := 0, 0
		for end < len(lines) && n < in.o.MaxBatchRecords {
			next := end + bytes.IndexByte(lines[end:], '\n') + 1
			if n > 0 && next > in.o.MaxBatchBytes {
				break
			}
			end, n = next, n+1
		}
		parts = append(parts, &part{lines: lines[:end], count: n})
		lines = lines[end:]
	}
	return parts
}

// submit hands a part to the committers, waiting for room while there is none.
func (in *Intake) submit(p *part, hold *time.Timer) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.bytes > 0 && in.bytes+len(p.lines) > in.o.MaxPendingBytes && !in.closing {
		room := in.room
		in.mu.Unlock()
		var late bool
		select {
		case <-room:
		case <-hold.C:
			late = true
		}
		in.mu.Lock()
		if late {
			return errBacklog
		}
	}
	if in.closing {
		return queue.ErrClosed
	}
	p.done = make(chan error, 1)
	in.pending = append(in.pending, p)
	in.bytes += len(p.lines)
	in.count += p.count
	in.more.Signal()
	return nil
}

func (in *Intake) commitLoop() {
	var buf []byte
	for {
		parts := in.take()
		if parts == nil {
			return
		}
		count := 0
		lines := parts[0].lines
		if len(parts) > 1 {
			buf = buf[:0]
			for _, p := range parts {
				buf = append(buf, p.lines...)
			}
			lines = buf
		}
		for _, p := range parts {
			count += p.count
		}
		err := in.put.Put(context.Background(), sluice.NewBatch(lines, count, time.Now()))
		if err != nil {
			err = fmt.Errorf("store %d records: %w", count, err)
		}
		in.mu.Lock()
		in.busy--
		in.more.Signal()
		in.mu.Unlock()
		for _, p := range parts {
			p.done <- err
		}
	}
}

// worthwhile says whether to start a commit now. The first may start at once: nobody lingers for company. Another beside it pays
// only for a full batch, because several small ones at once slow each other down on the disk.
func (in *Intake) worthwhile() bool {
	return in.busy == 0 || in.bytes >= in.o.MaxBatchBytes || in.count >= in.o.MaxBatchRecords
}

// take waits for parts and returns as many as fit into a batch, or nil when the intake closes.
func (in *Intake) take() []*part {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.pending) == 0 || !in.worthwhile() {
		if in.closing && len(in.pending) == 0 {
			return nil
		}
		in.more.Wait()
	}
	n, size, count := 0, 0, 0
	for _, p := range in.pending {
		if n > 0 && (size+len(p.lines) > in.o.MaxBatchBytes || count+p.count > in.o.MaxBatchRecords) {
			break
		}
		n, size, count = n+1, size+len(p.lines), count+p.count
	}
	parts := append([]*part(nil), in.pending[:n]...)
	in.pending = append(in.pending[:0], in.pending[n:]...)
	in.bytes -= size
	in.count -= count
	in.busy++
	close(in.room)
	in.room = make(chan struct{})
	if len(in.pending) > 0 {
		in.more.Signal()
	}
	return parts
}
