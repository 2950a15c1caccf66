package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// fail does with a claimed batch what the retry rules say.
func (q *Queue) fail(h *held, f queue.Failure) {
	if f.HandBack {
		h.attempts--
		q.giveBack(h, 0)
		return
	}
	step, delay := q.retry.After(f, h.attempts, h.records)
	if step == queue.Again {
		q.giveBack(h, delay)
		return
	}
	ctx := context.Background()
	var err error
	if step == queue.Split {
		err = q.split(ctx, h, delay)
	} else {
		err = q.bury(ctx, h, h.batch, f.Reason)
	}
	if err == nil {
		err = q.settle(h)
	}
	if err != nil {
		q.log.Warn("failed batch stays in the queue", "batch", h.batchID(), "error", err)
		q.giveBack(h, max(delay, time.Second))
	}
}

// split stores the parts of a batch as batches of their own. They keep all attempts but one, so that a part which fails
// once more is split again.
func (q *Queue) split(ctx context.Context, h *held, delay time.Duration) error {
	for i, indexes := range queue.Parts(h.records) {
		part, err := h.batch.Sub(indexes)
		if err != nil {
			return err
		}
		id := fmt.Sprintf("%s.%d.%d", h.batch.ID, h.attempts, i)
		if err := q.move(ctx, h, part, id, h.attempts-1, delay); err != nil {
			return err
		}
	}
	return nil
}

// move stores some of a claimed batch's records as another batch.
func (q *Queue) move(ctx context.Context, h *held, part *sluice.Batch, id string, attempts int, delay time.Duration) error {
	data, err := part.Encode()
	if err != nil {
		return err
	}
	header := nats.Header{headerAttempts: {strconv.Itoa(attempts)}}
	if delay > 0 {
		header.Set(headerNotBefore, strconv.FormatInt(time.Now().Add(delay).UnixNano(), 10))
	}
	_, err = q.store(ctx, message{id: id, data: data, records: part.Len(), moved: true, from: h, header: header})
	return err
}

// bury stores records of a claimed batch as a dead letter.
func (q *Queue) bury(ctx context.Context, h *held, part *sluice.Batch, reason string) error {
	data := []byte(nil)
	records := h.records
	if part != nil {
		var err error
		if data, err = part.Encode(); err != nil {
			return err
		}
		records = part.Len()
	} else { // damaged: keep the bytes as they are
		data = h.msg.Data
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	msg := &nats.Msg{Subject: "sluice.dead." + strconv.Itoa(records), Data: data, Header: nats.Header{
		headerReason: {oneLine(reason)}, headerAttempts: {strconv.Itoa(h.attempts)},
	}}
	id := fmt.Sprintf("%d.%d.%d.%s", h.part, h.seq, h.attempts, oneLine(reason))
	if part != nil && part != h.batch {
		id = fmt.Sprintf("%s.%d.%s", h.batch.ID, h.attempts, oneLine(reason))
	}
	q.deadOps.RLock() // nobody takes it before it is counted
	defer q.deadOps.RUnlock()
	ack, err := q.e.publish.PublishMsg(ctx, msg, js.WithMsgID(id))
	if err != nil {
		return fmt.Errorf("store dead letter: %w", err)
	}
	if ack.Duplicate {
		return nil
	}
	q.log.Warn("dead letter", "id", ack.Sequence, "records", records, "attempts", h.attempts, "reason", reason)
	q.mu.Lock()
	defer q.mu.Unlock()
	h.moved += records
	q.n.dead += int64(records)
	return nil
}

// oneLine makes a reason fit for a header: no line breaks, at most 1000 bytes.
func oneLine(s string) string {
	out := []byte(s[:min(len(s), 1000)])
	for i, c := range out {
		if c < ' ' {
			out[i] = ' '
		}
	}
	return string(out)
}

// moveFailed takes the failed records out of a batch that is otherwise done: each is stored for another attempt or as a
// dead letter, together with those that share its fate.
func (q *Queue) moveFailed(ctx context.Context, h *held, failed []queue.Failure) error {
	type fate struct {
		reason string        // of dead letters
		delay  time.Duration // of retries; as the handler wished
		bury   bool
	}
	groups := map[fate][]int{}
	var order []fate // the map's keys as they came up
	seen := make(map[int]bool, len(failed))
	for _, f := range failed {
		if f.Record < 0 || f.Record >= h.records || seen[f.Record] {
			return fmt.Errorf("failed record %d: want each index once, from 0 to %d", f.Record, h.records-1)
		}
		seen[f.Record] = true
		to := fate{delay: f.Delay}
		if step, _ := q.retry.After(f, h.attempts, 1); step == queue.Bury {
			to = fate{reason: f.Reason, bury: true}
		}
		if groups[to] == nil {
			order = append(order, to)
		}
		groups[to] = append(groups[to], f.Record)
	}
	for i, to := range order {
		part, err := h.batch.Sub(groups[to])
		if err != nil {
			return err
		}
		if to.bury {
			err = q.bury(ctx, h, part, to.reason)
		} else {
			_, delay := q.retry.After(queue.Failure{Delay: to.delay}, h.attempts, 1)
			err = q.move(ctx, h, part, fmt.Sprintf("%s.%d.f%d", h.batch.ID, h.attempts, i), h.attempts, delay)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Dead lists dead letters; see [queue.DeadLetters].
func (q *Queue) Dead(ctx context.Context, after uint64, limit int) ([]queue.DeadLetter, error) {
	if err := q.enter(); err != nil {
		return nil, err
	}
	defer q.life.RUnlock()
	letters := []queue.DeadLetter{}
	for len(letters) < limit {
		m, err := q.e.dead.GetMsg(ctx, after+1, js.WithGetMsgSubject("sluice.dead.>"))
		if errors.Is(err, js.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: read dead letters: %v", queue.ErrUnavailable, err)
		}
		letter, _ := letterOf(m)
		letters = append(letters, letter)
		after = m.Sequence
	}
	return letters, nil
}

func letterOf(m *js.RawStreamMsg) (queue.DeadLetter, *sluice.Batch) {
	l := queue.DeadLetter{ID: m.Sequence, Time: m.Time, Reason: m.Header.Get(headerReason), Records: int(recordsOf(m.Subject))}
	l.Attempts, _ = strconv.Atoi(m.Header.Get(headerAttempts))
	batch, err := sluice.DecodeBatch(m.Data)
	if err != nil {
		return l, nil
	}
	l.Batch, l.Bytes = batch.ID, batch.Size()
	return l, batch
}

func (q *Queue) deadMsg(ctx context.Context, id uint64) (*js.RawStreamMsg, error) {
	m, err := q.e.dead.GetMsg(ctx, id)
	if errors.Is(err, js.ErrMsgNotFound) {
		return nil, fmt.Errorf("dead letter %d: %w", id, queue.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: read dead letter %d: %v", queue.ErrUnavailable, id, err)
	}
	return m, nil
}

// DeadBatch reads a dead letter; see [queue.DeadLetters].
func (q *Queue) DeadBatch(ctx context.Context, id uint64) (queue.DeadLetter, *sluice.Batch, error) {
	if err := q.enter(); err != nil {
		return queue.DeadLetter{}, nil, err
	}
	defer q.life.RUnlock()
	m, err := q.deadMsg(ctx, id)
	if err != nil {
		return queue.DeadLetter{}, nil, err
	}
	letter, batch := letterOf(m)
	if batch == nil {
		return letter, nil, fmt.Errorf("dead letter %d: %w", id, sluice.ErrNotABatch)
	}
	return letter, batch, nil
}

// RetryDead puts a dead letter back to work; see [queue.DeadLetters]. A crash between the two steps leaves it in both
// places: the batch is then analyzed, and can be retried again.
func (q *Queue) RetryDead(ctx context.Context, id uint64) error {
	return q.takeDead(ctx, id, func(m *js.RawStreamMsg) error {
		_, err := q.store(ctx, message{
			id: fmt.Sprintf("dead.%d.%d", id, m.Time.UnixNano()), data: m.Data, records: int(recordsOf(m.Subject)), moved: true, revived: true,
		})
		return err
	})
}

// DropDead deletes a dead letter; see [queue.DeadLetters].
func (q *Queue) DropDead(ctx context.Context, id uint64) error {
	return q.takeDead(ctx, id, nil)
}

// takeDead deletes a dead letter after revive, if any, has stored it in a partition.
func (q *Queue) takeDead(ctx context.Context, id uint64, revive func(*js.RawStreamMsg) error) error {
	if err := q.enter(); err != nil {
		return err
	}
	defer q.life.RUnlock()
	q.deadOps.Lock() // two people must not take the same one
	defer q.deadOps.Unlock()
	m, err := q.deadMsg(ctx, id)
	if err != nil {
		return err
	}
	if revive != nil {
		if err := revive(m); err != nil {
			return err
		}
	}
	if err := q.e.dead.DeleteMsg(ctx, id); err != nil {
		return fmt.Errorf("%w: delete dead letter %d: %v", queue.ErrUnavailable, id, err)
	}
	if revive == nil {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.n.dead -= recordsOf(m.Subject)
		q.n.dropped += recordsOf(m.Subject)
	}
	return nil
}
