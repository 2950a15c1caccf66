package queuetest

import (
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// observer adds up what an engine reports.
type observer struct {
	mu   sync.Mutex
	done map[int64]int       // records, by the time of acceptance in nanoseconds
	last map[int64]time.Time // when the newest of them were done
	dead int
}

func (o *observer) Done(accepted, at time.Time, records int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done == nil {
		o.done, o.last = map[int64]int{}, map[int64]time.Time{}
	}
	o.done[accepted.UnixNano()] += records
	o.last[accepted.UnixNano()] = at
}

func (o *observer) Dead(_ time.Time, records int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dead += records
}

// expect compares what was reported of the records accepted at one moment, and of dead letters.
func (o *observer) expect(t *testing.T, when string, b *sluice.Batch, done, dead int) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if got := o.done[b.Accepted.UnixNano()]; got != done || o.dead != dead {
		t.Errorf("%s: %d records reported as done, %d as dead; want %d and %d", when, got, o.dead, done, dead)
	}
}

// observed follows records through an ack, a retry, a split and the dead letters: each is reported once, with the moment of its
// acceptance, however often it was tried.
func observed(t *testing.T, q queue.Queue, told *observer) {
	first := batch("good", "bad", "hopeless", "fine")
	first.Accepted = time.Now().Add(-time.Hour)
	put(t, q, first)
	before := time.Now()
	l := lease(t, q)
	told.expect(t, "leased", first, 0, 0)
	ack(t, q, l, queue.Failure{Record: 1, Reason: "try again"}, queue.Failure{Record: 2, Reason: "broken", Discard: true})
	told.expect(t, "two of four acknowledged", first, 2, 1)
	if at := told.last[first.Accepted.UnixNano()]; at.Before(before) || at.After(time.Now()) {
		t.Errorf("they were done at %v, want the moment of the ack, after %v", at, before)
	}
	ack(t, q, lease(t, q))
	told.expect(t, "the retry acknowledged", first, 3, 1)

	letters, err := q.Dead(t.Context(), 0, 10)
	if err != nil || len(letters) != 1 {
		t.Fatalf("dead letters = %+v, %v; want one", letters, err)
	}
	if err := q.RetryDead(t.Context(), letters[0].ID); err != nil {
		t.Fatal(err)
	}
	ack(t, q, lease(t, q), queue.Failure{Record: 0, Reason: "still broken", Discard: true})
	told.expect(t, "dead again", first, 3, 2)
	letters, _ = q.Dead(t.Context(), 0, 10)
	if err := q.DropDead(t.Context(), letters[0].ID); err != nil {
		t.Fatal(err)
	}
	told.expect(t, "dropped by a person", first, 3, 2)

	second := batch(make([]string, 40)...)
	second.Accepted = time.Now().Add(-time.Minute)
	put(t, q, second)
	for range quick.Retry.SplitAfter {
		nack(t, q, lease(t, q), queue.Failure{Reason: "as a whole"})
	}
	told.expect(t, "split", second, 0, 2)
	for stats(t, q).Waiting > 0 {
		ack(t, q, lease(t, q))
	}
	told.expect(t, "all parts acknowledged", second, 40, 2)
	if st := stats(t, q); int(st.Completed-st.Dropped) != 43 {
		t.Errorf("the queue counts %d completed, %d of them dropped; want 43 more than these, as reported", st.Completed, st.Dropped)
	}
}

// waitsOver is for engines whose batches outlive the queue.
func waitsOver(t *testing.T, open Open) {
	dir := t.TempDir()
	q := start(t, open, dir, quick)
	b := batch("a", "b", "c")
	b.Accepted = time.Now().Add(-time.Hour)
	put(t, q, b)
	ack(t, q, lease(t, q), queue.Failure{Record: 1, Reason: "try again"})
	if err := q.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	s, told := quick, &observer{}
	s.Observer = told
	q = start(t, open, dir, s)
	told.expect(t, "after the restart", b, 0, 0)
	ack(t, q, lease(t, q))
	told.expect(t, "the rest acknowledged", b, 1, 0)
}
