package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/sluicehq/sluice/queue"
)

// Stats counts; see [queue.Queue].
func (q *Queue) Stats(ctx context.Context) (queue.Stats, error) {
	err := q.enter()
	up := err == nil
	if up {
		defer q.life.RUnlock()
	} else if !errors.Is(err, queue.ErrUnavailable) {
		return queue.Stats{}, err
	}
	st := queue.Stats{LimitBytes: q.o.MaxBytes, FreeBytes: q.disk.free(), MinFreeBytes: q.minFree, Durability: string(q.o.Durability)}
	var first time.Time
	if up {
		for _, p := range q.parts {
			t, err := q.oldest(ctx, p)
			if err != nil {
				return queue.Stats{}, fmt.Errorf("%w: %v", queue.ErrUnavailable, err)
			}
			first = earlier(first, t)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if up && q.down.Load() == nil {
		q.first = first
	} else { // as it was when last seen
		first = q.first
	}
	for _, h := range q.held { // batches that were moved are older than their place in the stream
		if h.batch != nil {
			first = earlier(first, h.batch.Accepted)
		}
	}
	n := q.n
	if !first.IsZero() && n.batches > 0 {
		st.OldestWait = max(time.Since(first), 0)
	}
	var movedOpen, movedWaiting int64 // records that are in two places
	for _, h := range q.held {
		if h.open {
			movedOpen += int64(h.moved)
		} else {
			movedWaiting += int64(h.moved)
		}
	}
	st.Accepted, st.Dead, st.Dropped = n.accepted, n.dead, n.dropped
	st.Completed = n.accepted - n.dead - n.stored + movedOpen + movedWaiting
	st.Waiting, st.InFlight = n.stored-n.inFlight-movedWaiting, n.inFlight-movedOpen
	st.Batches, st.Bytes, st.Redelivers = n.batches, n.bytes, n.again
	return st, nil
}

// earlier is the earlier of two times, of which one that is zero does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// oldest returns when the oldest unfinished batch of a partition was stored, or zero where there is none. The stream knows the
// time of its first message, but that one may be done with.
func (q *Queue) oldest(ctx context.Context, p *partition) (time.Time, error) {
	state, err := q.e.state(ctx, p.index)
	if err != nil {
		return time.Time{}, err
	}
	for seq := state.FirstSeq; ; seq++ {
		q.mu.Lock()
		seq = p.done.past(seq)
		h, none := q.held[key{p.index, seq}], p.batches == 0
		q.mu.Unlock()
		switch {
		case none || seq > state.LastSeq:
			return time.Time{}, nil
		case seq == state.FirstSeq:
			return state.FirstTime, nil
		case h != nil:
			return h.stored, nil
		}
		m, err := q.next(ctx, p, seq)
		if errors.Is(err, js.ErrMsgNotFound) {
			return time.Time{}, nil
		}
		if err != nil {
			return time.Time{}, err
		}
		q.mu.Lock()
		_, done := p.done[m.Sequence]
		q.mu.Unlock()
		if !done {
			return m.Time, nil
		}
		seq = m.Sequence
	}
}

// next reads the first message of a partition from a sequence on.
func (q *Queue) next(ctx context.Context, p *partition, seq uint64) (*js.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return q.e.streams[p.index].GetMsg(ctx, seq, js.WithGetMsgSubject(subjectOf(p.index, ">")))
}

// Unfinished is how many records wait or are in flight, from memory: it may be asked many times a second.
func (q *Queue) Unfinished() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n.stored
}
