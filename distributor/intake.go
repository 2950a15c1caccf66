package distributor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/internal/group"
	"github.com/sluicehq/sluice/queue"
)

// Putter is where batches go. A [queue.Queue] is one.
type Putter interface {
	Put(ctx context.Context, batches ...*sluice.Batch) error
}

// OverloadError says that records could not be stored now and should be sent again later.
type OverloadError struct {
	Err error // what keeps them out; a *queue.FullError where a limit does
}

func (e *OverloadError) Error() string { return "overloaded: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *OverloadError) Unwrap() error { return e.Err }

var errBacklog = errors.New("more requests than the disk can keep up with")

// intake puts units into a queue, all those together that wait for it (group commit, see [group.Committer]). So a lonely
// request waits for one commit and nothing else, and a thousand at once share a few commits.
type intake struct {
	o       Options
	put     Putter
	stored  func(b *sluice.Batch) // see Distributor.Stored
	commits group.Committer[*unit]
	batcher batcher // of the commit that runs

	mu      sync.Mutex
	pending int           // bytes that wait for a commit
	waiters int           // units that wait for room among these
	room    chan struct{} // closed and replaced when pending shrinks and somebody waits
	closing bool
	active  sync.WaitGroup // units that were let in and have no answer yet
}

func newIntake(put Putter, o Options) *intake {
	in := &intake{o: o, put: put, room: make(chan struct{}), batcher: batcher{o: o}}
	in.commits.Commit = in.commit
	return in
}

// close waits until everything that was let in is stored or refused. Later units are refused.
func (in *intake) close() {
	in.mu.Lock()
	in.closing = true
	close(in.room)
	in.room = make(chan struct{})
	in.mu.Unlock()
	in.active.Wait()
}

// store returns once the unit is stored as a whole. While the queue is full it tries for Options.Hold, then returns an
// [OverloadError].
func (in *intake) store(ctx context.Context, u *unit) error {
	var hold patience
	defer hold.end()
	for {
		if err := in.enter(ctx, u, &hold); err != nil {
			return refusal(err)
		}
		in.commits.Do(u)
		in.active.Done()
		if u.err == nil {
			return nil
		}
		full, ok := errors.AsType[*queue.FullError](u.err)
		if !ok {
			return refusal(u.err)
		}
		if !in.pause(ctx, &hold) {
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

// patience is a timer of Options.Hold that starts when it is first looked at. Most requests never do.
type patience struct{ timer *time.Timer }

func (p *patience) over(hold time.Duration) <-chan time.Time {
	if p.timer == nil {
		p.timer = time.NewTimer(hold)
	}
	return p.timer.C
}

func (p *patience) end() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// pause waits a moment before the next try, and says whether there is one.
func (in *intake) pause(ctx context.Context, hold *patience) bool {
	over := hold.over(in.o.Hold)
	wait := time.NewTimer(max(in.o.Hold/20, time.Millisecond))
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-over:
		return false
	case <-ctx.Done():
		return false
	}
}

// enter lets a unit in, waiting for room while there is none.
func (in *intake) enter(ctx context.Context, u *unit, hold *patience) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.pending > 0 && in.pending+u.held > in.o.MaxPendingBytes && !in.closing {
		room := in.room
		in.waiters++
		in.mu.Unlock()
		var err error
		select {
		case <-room:
		case <-hold.over(in.o.Hold):
			err = errBacklog
		case <-ctx.Done():
			err = errBacklog
		}
		in.mu.Lock()
		in.waiters--
		if err != nil {
			return err
		}
	}
	if in.closing {
		return queue.ErrClosed
	}
	in.pending += u.held
	in.active.Add(1)
	return nil
}

// leave takes units that are being stored off what waits.
func (in *intake) leave(units []*unit) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, u := range units {
		in.pending -= u.held
	}
	if in.waiters > 0 {
		close(in.room)
		in.room = make(chan struct{})
	}
}

// commit stores units with one Put. Where not all of them find room, each lot is tried by itself.
func (in *intake) commit(units []*unit) {
	in.leave(units)
	b := &in.batcher
	defer b.free()
	b.gather(units, time.Now())
	err := in.put.Put(context.Background(), b.batches...)
	if _, full := errors.AsType[*queue.FullError](err); !full || len(b.lots) == 1 {
		in.tell(b.batches, units, err)
		return
	}
	for _, l := range b.lots {
		batches := b.batches[l.fromBatch:l.toBatch]
		in.tell(batches, b.units[l.fromUnit:l.toUnit], in.put.Put(context.Background(), batches...))
	}
}

// tell says what became of units, and shows the batches that were stored.
func (in *intake) tell(batches []*sluice.Batch, units []*unit, err error) {
	count := 0
	for _, b := range batches {
		count += b.Len()
		if err == nil && in.stored != nil {
			in.stored(b)
		}
	}
	if err != nil {
		err = fmt.Errorf("store %d records: %w", count, err)
	}
	for _, u := range units {
		u.err = err
	}
}

// batcher makes batches of units. Its memory serves one commit after the other.
type batcher struct {
	o       Options
	batches []*sluice.Batch
	lots    []lot
	units   []*unit // in the order of lots

	now    time.Time
	shared []*unit  // that go into the next batch together
	count  int      // of shared
	size   int      // of shared
	pieces [][]byte // of all batches
	raw    []byte   // lines of several units in a row
	packed []byte   // lines that were packed here
}

// lot is batches that are stored together or not at all, because some unit is in all of them, and the units in them.
type lot struct{ fromBatch, toBatch, fromUnit, toUnit int }

// gather fills batches and lots. Units that fit into a batch share it with others; one that needs several batches has them
// for itself.
func (b *batcher) gather(units []*unit, now time.Time) {
	b.now = now
	for _, u := range units {
		if len(u.parts) > 1 {
			b.units = append(b.units, u)
			first := len(b.batches)
			for i := range u.parts {
				b.batches = append(b.batches, b.batch(u.parts[i].size, u.parts[i].count, u, &u.parts[i]))
			}
			b.lots = append(b.lots, lot{first, len(b.batches), len(b.units) - 1, len(b.units)})
			continue
		}
		if b.count > 0 && (b.size+u.size > b.o.MaxBatchBytes || b.count+u.count > b.o.MaxBatchRecords) {
			b.share()
		}
		b.shared = append(b.shared, u)
		b.count += u.count
		b.size += u.size
	}
	if b.count > 0 {
		b.share()
	}
}

// share makes a batch of the shared units.
func (b *batcher) share() {
	var batch *sluice.Batch
	if len(b.shared) == 1 {
		u := b.shared[0]
		batch = b.batch(u.size, u.count, u, &u.parts[0])
	} else {
		batch = b.sharedBatch()
	}
	b.batches = append(b.batches, batch)
	from := len(b.units)
	b.units = append(b.units, b.shared...)
	b.lots = append(b.lots, lot{len(b.batches) - 1, len(b.batches), from, len(b.units)})
	clear(b.shared)
	b.shared, b.count, b.size = b.shared[:0], 0, 0
}

// batch makes a batch of one part. Its lines, where they are not packed, are left to the queue to pack, which does that
// straight into the memory that it writes.
func (b *batcher) batch(size, count int, u *unit, p *part) *sluice.Batch {
	if p.raw != nil {
		return sluice.NewBatch(p.raw, count, b.now)
	}
	return sluice.NewPackedBatch(u.pieces[p.from:p.to], count, size, b.now)
}

// sharedBatch makes a batch of several units. The lines of those that are not packed come first, in one block.
func (b *batcher) sharedBatch() *sluice.Batch {
	raw, pieces := len(b.raw), len(b.pieces)
	for _, u := range b.shared {
		b.raw = append(b.raw, u.parts[0].raw...)
	}
	lines := b.raw[raw:]
	if len(lines) == b.size {
		return sluice.NewBatch(lines, b.count, b.now)
	}
	if len(lines) > 0 {
		start := len(b.packed)
		b.packed = sluice.AppendBlock(b.packed, lines)
		b.pieces = append(b.pieces, b.packed[start:])
	}
	for _, u := range b.shared {
		b.pieces = append(b.pieces, u.pieces...)
	}
	return sluice.NewPackedBatch(b.pieces[pieces:], b.count, b.size, b.now)
}

// keepBytes is how much memory for lines a batcher keeps from commit to commit, twice; keepBatches the number of batches that it
// keeps room for.
const (
	keepBytes   = 1 << 20
	keepBatches = 4096
)

func (b *batcher) free() {
	clear(b.batches)
	clear(b.units)
	clear(b.pieces)
	b.batches, b.units, b.pieces, b.lots = b.batches[:0], b.units[:0], b.pieces[:0], b.lots[:0]
	if cap(b.batches) > keepBatches || cap(b.pieces) > keepBatches {
		b.batches, b.pieces, b.lots = nil, nil, nil
	}
	if b.raw, b.packed = b.raw[:0], b.packed[:0]; cap(b.raw) > keepBytes || cap(b.packed) > keepBytes {
		b.raw, b.packed = nil, nil
	}
}
