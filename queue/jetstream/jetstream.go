package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// The headers of stored messages.
const (
	headerMoved     = "Sluice-Moved"      // present: these records were accepted before, under another sequence
	headerAttempts  = "Sluice-Attempts"   // attempts that a moved batch had before
	headerNotBefore = "Sluice-Not-Before" // nanoseconds since 1970 before which a moved batch is not leased
	headerReason    = "Sluice-Reason"     // of a dead letter
)

// Queue is a durable queue in a folder. Make one with [Open].
type Queue struct {
	o       Options
	log     *slog.Logger
	minFree int64
	maxDone int64 // bytes of acknowledged messages that may stay in each partition
	lock    *os.File
	journal *journal
	retry   queue.Retry

	down    atomic.Pointer[string] // why nothing can be stored for now; nil when all is well
	suspect chan struct{}          // a call got no answer: look at the server
	disk    diskGauge

	life     sync.RWMutex // held for reading by every call, for writing while the server starts or stops
	e        *embedded    // guarded by life, as the next
	home     string       // the folder with the server's files
	stopped  bool         // e is stopped, and another one could not be started yet
	stopWait time.Duration

	parts []*partition
	turn  atomic.Uint64 // which partition is tried first for storing

	deadOps sync.RWMutex // held while a dead letter is retried or dropped; for reading, while one is stored and counted

	mu      sync.Mutex // guards all below and the partitions' counts
	closed  bool
	n       counts
	held    map[key]*held
	first   time.Time // when the oldest unfinished batch came, as Stats last saw it
	waiters []chan struct{}

	done chan struct{} // closed by Close; ends the loops
	wg   sync.WaitGroup
}

// counts are in records, but for batches and bytes. A batch that is acknowledged is in none of them any more, whether its
// message is deleted yet or not.
type counts struct {
	accepted int64
	stored   int64 // in the partitions' streams
	inFlight int64 // the part of stored that is leased
	dead     int64
	dropped  int64
	again    int64 // leases for a second or later attempt
	batches  int64
	bytes    int64 // of stored, as the server counts them
}

// partition is one stream.
type partition struct {
	index int

	put     sync.Mutex // held while publishing, so that sequences are counted in their order
	counted accepted   // guarded by put

	ready   int       // batches that a fetch is likely to find; guarded by Queue.mu
	batches int64     // stored; guarded by Queue.mu
	front   time.Time // when about the next batch to be leased came; guarded by Queue.mu

	deleting  sync.Mutex // held while acknowledged messages are deleted; may be taken while put is held
	done      doneSet    // acknowledged and not yet deleted; guarded by Queue.mu, as the next
	doneBytes int64      // that they take
	acks      uint64     // how many there ever were

	deletions atomic.Uint64 // how often there was room made by deleting
}

// Open takes the data folder for this process and starts the queue in it. A folder that another process uses gives a
// [LockedError].
func Open(ctx context.Context, o Options) (*Queue, error) {
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	q := &Queue{
		o: o, log: o.Logger, retry: o.Retry, minFree: max(o.MinFreeBytes, 0),
		suspect: make(chan struct{}, 1), held: map[key]*held{}, done: make(chan struct{}),
		home: o.Dir, stopWait: stopTimeout,
	}
	q.disk.dir = o.Dir
	if o.MinFreeBytes == 0 {
		if _, size, err := space(o.Dir); err == nil {
			q.minFree = reserve(size)
		}
	}
	var err error
	if q.lock, err = lockDir(o.Dir); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := q.start(ctx); err != nil {
		q.release()
		return nil, err
	}
	for _, loop := range []func(){q.sweepLoop, q.deleteLoop, q.guardLoop, func() { q.journal.syncLoop(q.done) }} {
		q.wg.Go(loop)
	}
	return q, nil
}

// start reads what the folder holds.
func (q *Queue) start(ctx context.Context) error {
	j, counted, traces, fresh, err := openJournal(filepath.Join(q.o.Dir, "journal"))
	if err != nil {
		return err
	}
	q.journal = j
	if err := homeFiles(q.o.Dir); err != nil {
		return err
	}
	if q.e, err = startEmbedded(ctx, q.o, q.home); err != nil {
		return err
	}
	for p := range q.e.streams {
		q.parts = append(q.parts, &partition{index: p, counted: counted[p], done: doneSet{}})
	}
	q.maxDone = min(doneBytes, q.o.MaxBytes/int64(len(q.parts))/8)
	q.recallDone(traces)
	if err := q.recount(ctx, fresh); err != nil {
		return err
	}
	return q.recall(ctx, traces)
}

// recount takes the counts from the streams, and completes what the journal missed of the last moments. Batches that were
// acknowledged are deleted before; those that can't be are left out.
func (q *Queue) recount(ctx context.Context, fresh bool) error {
	var n counts
	for _, p := range q.parts {
		left, err := q.deleteAtStart(ctx, p)
		if err != nil {
			return err
		}
		info, records, err := census(ctx, q.e.streams[p.index])
		if err != nil {
			return err
		}
		if !fresh {
			if err := q.catchUp(ctx, p, info.State.LastSeq); err != nil {
				return err
			}
		}
		p.counted.seq = info.State.LastSeq
		p.batches = int64(info.State.Msgs) - left.batches
		p.ready = int(p.batches)
		n.stored += records - left.stored
		n.batches += p.batches
		n.bytes += int64(info.State.Bytes) - left.bytes
		n.accepted += p.counted.records
	}
	_, dead, err := census(ctx, q.e.dead)
	if err != nil {
		return err
	}
	n.dead = dead
	twice := int64(0) // records that are in two places, because their batch is being taken apart
	q.mu.Lock()
	for _, h := range q.held {
		twice += int64(h.moved)
	}
	q.mu.Unlock()
	if missing := n.stored + n.dead - twice - n.accepted; missing > 0 {
		// The journal is new, or lost its last second in a power cut: at least what is stored was accepted.
		q.parts[0].counted.records += missing
		n.accepted += missing
		if !fresh {
			q.log.Warn("accepted records recounted from the streams", "records", missing)
		}
	}
	for _, p := range q.parts {
		if err := q.journal.setAccepted(p.index, p.counted); err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
	}
	gone, err := q.gone(ctx)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	n.dropped, n.again = q.n.dropped, q.n.again
	for _, h := range gone {
		delete(q.held, h.key)
		if err := q.journal.clear(h.slot); err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
	}
	for _, h := range q.held {
		if h.open {
			n.inFlight += int64(h.records)
		}
	}
	q.n = n
	return nil
}

// gone lists the batches in hand whose message left its stream although nobody heard of it: the answer was lost.
func (q *Queue) gone(ctx context.Context) (list []*held, err error) {
	q.mu.Lock()
	all := slices.Collect(maps.Values(q.held))
	q.mu.Unlock()
	for _, h := range all {
		_, err := q.e.streams[h.part].GetMsg(ctx, h.seq)
		if errors.Is(err, js.ErrMsgNotFound) {
			list = append(list, h)
		} else if err != nil {
			return nil, fmt.Errorf("read message %d of partition %d: %w", h.seq, h.part, err)
		}
	}
	return list, nil
}

// catchUp counts the messages that were stored but not yet noted in the journal when the last process ended: at most one
// for each Put that was under way.
func (q *Queue) catchUp(ctx context.Context, p *partition, last uint64) error {
	for seq := p.counted.seq + 1; seq <= last; seq++ {
		m, err := q.e.streams[p.index].GetMsg(ctx, seq)
		if errors.Is(err, js.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read message %d of partition %d: %w", seq, p.index, err)
		}
		if m.Header.Get(headerMoved) == "" {
			p.counted.records += recordsOf(m.Subject)
		}
	}
	return nil
}

// Put stores a batch; see [queue.Queue].
func (q *Queue) Put(ctx context.Context, batches ...*sluice.Batch) error {
	b := batches[0] // this engine goes with the next commits
	buf := encodeBuffers.Get().(*[]byte)
	defer encodeBuffers.Put(buf)
	data, err := b.AppendEncode((*buf)[:0])
	if err != nil {
		return err
	}
	*buf = data[:0]
	if err := q.enter(); err != nil {
		return err
	}
	defer q.life.RUnlock()
	if free := q.freeOfDone(); free >= 0 && free < q.minFree {
		return &queue.FullError{Limit: "min_free_bytes", Bound: q.minFree, Now: free, Hint: "make room on the disk of " + q.o.Dir}
	}
	_, err = q.store(ctx, message{id: b.ID, data: data, records: b.Len()})
	return err
}

// encodeBuffers are used again because what a batch may grow to while it is packed is much more than it ends up with.
var encodeBuffers = sync.Pool{New: func() any { return new([]byte) }}

// enter takes life for reading, or says why calls make no sense now: nobody has to wait for a server to be replaced.
func (q *Queue) enter() error {
	if !q.life.TryRLock() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.closed {
			return queue.ErrClosed
		}
		return fmt.Errorf("%w: its server is being started again", queue.ErrUnavailable)
	}
	err := q.usable()
	if err != nil {
		q.life.RUnlock()
	}
	return err
}

// usable says whether calls make sense now. The caller holds life.
func (q *Queue) usable() error {
	if why := q.down.Load(); why != nil {
		return fmt.Errorf("%w: %s", queue.ErrUnavailable, *why)
	}
	if q.e == nil {
		return queue.ErrClosed
	}
	return nil
}

// message is a batch on its way into a partition.
type message struct {
	id      string // by which the server knows a second try
	data    []byte
	records int
	moved   bool  // its records were accepted before
	from    *held // whose records they are; nil unless moved out of a batch
	revived bool  // it comes from the dead letters
	header  nats.Header
}

// store puts a message into the first partition that is free and has room. It returns false where the message was there already.
func (q *Queue) store(ctx context.Context, m message) (added bool, err error) {
	first := int(q.turn.Add(1))
	n := len(q.parts)
	for i := range n { // a partition nobody is writing to
		p := q.parts[(first+i)%n]
		if p.put.TryLock() {
			added, err = q.storeIn(ctx, p, m)
			if !isStreamFull(err) {
				return added, err
			}
			first += i
			break
		}
	}
	for i := range n {
		p := q.parts[(first+i)%n]
		p.put.Lock()
		added, err = q.storeIn(ctx, p, m)
		if !isStreamFull(err) {
			return added, err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return false, &queue.FullError{Limit: "max_bytes", Bound: q.o.MaxBytes, Now: q.n.bytes,
		Hint: "wait until analyzers have caught up, or raise max_bytes"}
}

// storeIn publishes and counts. It is called with p.put locked and unlocks it.
func (q *Queue) storeIn(ctx context.Context, p *partition, m message) (bool, error) {
	defer p.put.Unlock()
	msg := &nats.Msg{Subject: subjectOf(p.index, strconv.Itoa(m.records)), Data: m.data, Header: nats.Header{}}
	for name, v := range m.header {
		msg.Header[name] = v
	}
	if m.moved {
		msg.Header.Set(headerMoved, "1")
	}
	// Whoever asks may leave, but a message half given away would be an open question: it is always seen through.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	before := p.deletions.Load()
	ack, err := q.e.publish.PublishMsg(ctx, msg, js.WithMsgID(m.id))
	if isStreamFull(err) && (q.deleteNow(p) || p.deletions.Load() != before) { // it was full of what is done with
		ack, err = q.e.publish.PublishMsg(ctx, msg, js.WithMsgID(m.id))
	}
	if err != nil {
		if api, ok := errors.AsType[*js.APIError](err); ok {
			return false, api
		}
		q.raise("storing got no answer: " + err.Error())
		return false, fmt.Errorf("%w: %v", queue.ErrUnavailable, err)
	}
	if ack.Duplicate && m.moved {
		return false, nil
	}
	p.counted.seq = max(p.counted.seq, ack.Sequence)
	if !m.moved {
		p.counted.records += int64(m.records)
	}
	if err := q.journal.setAccepted(p.index, p.counted); err != nil {
		q.log.Error("journal not written", "error", err)
	}
	q.mu.Lock()
	q.n.stored += int64(m.records)
	q.n.batches++
	q.n.bytes += storedBytes(msg.Subject, msg.Header, msg.Data)
	switch {
	case m.revived:
		q.n.dead -= int64(m.records)
	case m.moved:
		m.from.moved += m.records
	default:
		q.n.accepted += int64(m.records)
	}
	p.batches++
	if p.ready == 0 {
		p.front = time.Now()
	}
	p.ready++
	q.wake(1)
	q.mu.Unlock()
	return true, nil
}

// isStreamFull recognises the server's refusal of a message beyond a stream's MaxBytes.
func isStreamFull(err error) bool {
	api, ok := errors.AsType[*js.APIError](err)
	return ok && (api.ErrorCode == 10077 || api.ErrorCode == 10047 || api.ErrorCode == 10023)
}

// wake lets up to k waiting Lease calls look again. The caller holds mu.
func (q *Queue) wake(k int) {
	for ; k > 0 && len(q.waiters) > 0; k-- {
		close(q.waiters[0])
		q.waiters = q.waiters[1:]
	}
}

// Healthy says why the queue can't take batches now, or nil.
func (q *Queue) Healthy() error {
	if err := q.enter(); err != nil {
		return err
	}
	q.life.RUnlock()
	return nil
}

// Close hands back the leases of this process and lets go of the folder. Leases of other processes live on: their tokens
// are still good when the queue opens again.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return queue.ErrClosed
	}
	q.closed = true
	q.wake(len(q.waiters))
	q.mu.Unlock()
	close(q.done)
	q.wg.Wait()
	q.life.Lock()
	defer q.life.Unlock()
	for _, p := range q.parts {
		q.deleteNow(p)
	}
	for _, h := range q.held {
		if h.open && !h.remote {
			h.open, h.attempts = false, h.attempts-1
			q.journal.set(h.slot, h.trace)
		}
	}
	return q.release()
}

// release lets go of whatever Open has taken.
func (q *Queue) release() error {
	var errs []error
	if q.e != nil {
		if !q.stopped && !q.e.stop(q.stopWait) {
			errs = append(errs, errors.New("the queue server did not stop; what it has stored is safe"))
		}
		q.e = nil
	}
	if q.journal != nil {
		errs = append(errs, q.journal.close())
	}
	return errors.Join(append(errs, q.lock.Close())...)
}
