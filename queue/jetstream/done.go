package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/sluicehq/sluice/queue"
)

// Acknowledging and deleting are two things. An acknowledgement is a mark in the journal, which survives the process. The
// message is deleted a little later, together with its neighbours: to the server, deleting one message means writing and syncing a
// tombstone, and deleting the only one means a new file.

// How much that is acknowledged may stay in a partition's stream.
const (
	doneBytes = 2 << 20          // this much (or an eighth of the partition's share of MaxBytes, if that is less) is deleted by whoever acknowledges
	doneCount = 512              // so is this many; at the next start they are looked up one by one
	doneTick  = time.Second / 4  // how often there is a look whether the analyzers are quiet: then everything is deleted
	doneAge   = 10 * time.Second // after which a message is deleted by itself where an older one is unfinished
	doneStep  = 16               // how many are deleted by themselves at a time, so that no acknowledgement takes long
	doneBack  = 32               // where more returned batches than this wait for being delivered again, all are deleted by themselves
)

// purgeSpace is the free space below which messages are deleted one by one, which takes next to none. Deleting many at one stroke
// may copy what remains of a file, 8 MB at most. And where the disk fills up during that, the server waits for a lock that it holds
// (nats-server 2.15.2, compactLocked to rebuildState), so that it has to be left behind.
const purgeSpace = 16 << 20

// doneMsg is a message that is acknowledged but not yet deleted.
type doneMsg struct {
	slot    int // in the journal
	records int
	bytes   int64
	at      time.Time // when it was acknowledged
}

// doneSet holds a partition's acknowledged messages by their sequence.
type doneSet map[uint64]doneMsg

func (s doneSet) sum() (c counts) {
	for _, m := range s {
		c.stored += int64(m.records)
		c.bytes += m.bytes
	}
	c.batches = int64(len(s))
	return c
}

// past returns the first sequence from seq on that is not in the set.
func (s doneSet) past(seq uint64) uint64 {
	for {
		if _, ok := s[seq]; !ok {
			return seq
		}
		seq++
	}
}

// settle completes a claimed batch. Once the journal says so, it is done, whatever becomes of its message.
func (q *Queue) settle(h *held) error {
	p := q.parts[h.part]
	if !q.markDone(p, h) { // nothing to remember it by: delete it at once
		if err := q.e.remove(h.part, h.seq); err != nil {
			q.raise("acknowledging got no answer: " + err.Error())
			return fmt.Errorf("%w: %v", queue.ErrUnavailable, err)
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		q.finish(p, h)
		q.clear(h.slot)
		return nil
	}
	if h.moved > 0 { // after a power cut its records would be in two places
		q.deleteOne(p, h.seq)
	} else {
		q.deleteSurplus(p)
	}
	return nil
}

// markDone notes in the journal that a claimed batch is done, and counts it so, or returns false.
func (q *Queue) markDone(p *partition, h *held) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := h.trace
	t.open, t.done = false, true
	if err := q.journal.set(h.slot, t); err != nil {
		q.log.Error("journal not written", "error", err)
		return false
	}
	q.finish(p, h)
	p.done[h.seq] = doneMsg{slot: h.slot, records: h.records, bytes: h.bytes, at: time.Now()}
	p.doneBytes += h.bytes
	p.acks++
	return true
}

// finish counts a batch as done. The caller holds mu.
func (q *Queue) finish(p *partition, h *held) {
	delete(q.held, h.key)
	q.n.stored -= int64(h.records)
	q.n.inFlight -= int64(h.records)
	q.n.bytes -= h.bytes
	q.n.batches--
	p.batches--
}

// clear gives up a slot of the journal.
func (q *Queue) clear(slot int) {
	if err := q.journal.clear(slot); err != nil {
		q.log.Error("journal not written", "error", err)
	}
}

// surplus says whether a partition has so many times more acknowledged messages than may stay. The caller holds mu.
func (q *Queue) surplus(p *partition, times int) bool {
	return p.doneBytes >= int64(times)*q.maxDone || len(p.done) >= times*doneCount
}

// deleteSurplus deletes acknowledged messages of a partition once they are too many. Somebody who is deleting already is only waited
// for where they are twice too many, which bounds them.
func (q *Queue) deleteSurplus(p *partition) {
	q.mu.Lock()
	once, twice := q.surplus(p, 1), q.surplus(p, 2)
	q.mu.Unlock()
	if !once || !twice && !p.deleting.TryLock() {
		return
	}
	if twice {
		p.deleting.Lock()
	}
	defer p.deleting.Unlock()
	q.tryDelete(p, false)
}

// deleteOne deletes one acknowledged message, and leaves its neighbours. If that fails, it is tried again with them.
func (q *Queue) deleteOne(p *partition, seq uint64) {
	p.deleting.Lock()
	defer p.deleting.Unlock()
	if err := q.e.remove(p.index, seq); err == nil {
		q.forget(p, func(s uint64) bool { return s == seq })
	}
}

// deleteNow deletes all acknowledged messages of a partition. It returns whether there were any and they are gone.
func (q *Queue) deleteNow(p *partition) bool {
	q.mu.Lock()
	some := len(p.done) > 0
	q.mu.Unlock()
	if !some {
		return false
	}
	p.deleting.Lock()
	defer p.deleting.Unlock()
	return q.tryDelete(p, true)
}

// tryDelete is deleteDone for those who can only ask for the server to be replaced if it fails.
func (q *Queue) tryDelete(p *partition, all bool) bool {
	if q.down.Load() != nil {
		return false
	}
	err := q.deleteDone(p, all)
	if err != nil {
		q.raise("deleting got no answer: " + err.Error())
	}
	return err == nil
}

// deleteDone deletes acknowledged messages of a partition. Those at the head of its stream go at one stroke; of the others, all
// if wanted, else a few of those that are old or too many. Unless all is wanted, the stream's last message stays, so that its file does. The
// caller holds life, at least for reading, and p.deleting.
func (q *Queue) deleteDone(p *partition, all bool) error {
	if err := q.deleteHead(p); err != nil {
		return err
	}
	for _, seq := range q.leftDone(p, all) {
		if err := q.e.remove(p.index, seq); err != nil {
			return err
		}
		q.forget(p, func(s uint64) bool { return s == seq })
	}
	return nil
}

// deleteHead deletes the acknowledged messages at the head of a partition's stream at one stroke, but for the stream's last one. It
// does nothing where that would not do.
func (q *Queue) deleteHead(p *partition) error {
	state, err := q.e.state(context.Background(), p.index)
	if err != nil {
		return err
	}
	q.mu.Lock()
	head := min(p.done.past(state.FirstSeq), state.LastSeq)
	back := len(q.returned(p))
	q.mu.Unlock()
	if free := q.disk.freeNow(); head <= state.FirstSeq || back > doneBack || free >= 0 && free < purgeSpace {
		return nil
	}
	err = q.e.removeBefore(p.index, head)
	if _, answered := errors.AsType[*js.APIError](err); answered {
		return nil // what is deleted one by one will tell
	}
	if err != nil {
		return err
	}
	q.forget(p, func(seq uint64) bool { return seq < head })
	// The server's cursor forgets in a purge what it was told to deliver again, and would come to it only after ackWait.
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, h := range q.returned(p) {
		q.e.back(h.msg)
	}
	return nil
}

// returned lists the batches that the server was told to deliver again, and that did not come yet. The caller holds mu.
func (q *Queue) returned(p *partition) (list []*held) {
	now := time.Now()
	for _, h := range q.held {
		if h.part == p.index && !h.open && !h.settling && h.msg != nil && !h.due.After(now) {
			list = append(list, h)
		}
	}
	return list
}

// leftDone lists what to delete one by one.
func (q *Queue) leftDone(p *partition, all bool) (seqs []uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	many, now := q.surplus(p, 1), time.Now()
	for seq, m := range p.done {
		if all || many || now.Sub(m.at) > doneAge {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	if !all {
		seqs = seqs[:min(len(seqs), doneStep)]
	}
	return seqs
}

// forget takes messages that are deleted off the set, and out of the journal.
func (q *Queue) forget(p *partition, deleted func(seq uint64) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for seq, m := range p.done {
		if deleted(seq) {
			delete(p.done, seq)
			p.doneBytes -= m.bytes
			q.clear(m.slot)
		}
	}
	p.deletions.Add(1)
}

// deleteLoop deletes what is acknowledged while the analyzers go on, and everything once they are quiet.
func (q *Queue) deleteLoop() {
	tick := time.NewTicker(doneTick)
	defer tick.Stop()
	seen := make([]uint64, len(q.parts)) // acknowledgements at the last look
	for {
		select {
		case <-q.done:
			return
		case <-tick.C:
		}
		for i, p := range q.parts {
			q.mu.Lock()
			some, quiet := len(p.done) > 0, p.acks == seen[i]
			seen[i] = p.acks
			q.mu.Unlock()
			if !some {
				continue
			}
			q.life.RLock()
			if p.deleting.TryLock() { // else somebody is at it
				q.tryDelete(p, quiet)
				p.deleting.Unlock()
			}
			q.life.RUnlock()
		}
	}
}

// freeOfDone returns the free bytes of the disk. Where they are too few it deletes what is acknowledged, and looks again.
func (q *Queue) freeOfDone() int64 {
	free := q.disk.free()
	if free < 0 || free >= q.minFree {
		return free
	}
	deleted := false
	for _, p := range q.parts {
		deleted = q.deleteNow(p) || deleted
	}
	if !deleted {
		return free
	}
	return q.disk.freeNow()
}

// recallDone takes up which messages the journal knows to be acknowledged.
func (q *Queue) recallDone(traces map[int]trace) {
	for slot, t := range traces {
		if t.done && t.part < len(q.parts) {
			p := q.parts[t.part]
			p.done[t.seq] = doneMsg{slot: slot, records: t.records, bytes: t.bytes}
			p.doneBytes += t.bytes
		}
	}
}

// deleteAtStart deletes what was acknowledged in the server's last life. It returns what can't be deleted now: it is still in the
// stream, and must not count.
func (q *Queue) deleteAtStart(ctx context.Context, p *partition) (left counts, err error) {
	if len(p.done) == 0 {
		return counts{}, nil
	}
	if err = q.deleteDone(p, true); err == nil {
		return counts{}, nil
	}
	q.log.Warn("acknowledged batches not deleted yet", "partition", p.index, "batches", len(p.done), "error", err)
	for seq := range p.done {
		_, err := q.e.streams[p.index].GetMsg(ctx, seq)
		if errors.Is(err, js.ErrMsgNotFound) {
			q.forget(p, func(s uint64) bool { return s == seq })
		} else if err != nil {
			return counts{}, fmt.Errorf("read message %d of partition %d: %w", seq, p.index, err)
		}
	}
	return p.done.sum(), nil
}
