// Package queuetest is the suite that every queue must pass.
//
// An engine's test calls [Run], and [RunDurable] where batches outlive the queue that took them. The tests run in real
// time, with short leases, because a durable engine does real work; none sleeps: they wait in Lease, as analyzers do.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// Settings are what the suite wants to set on an engine.
type Settings struct {
	Lease    time.Duration
	MaxBytes int64 // zero: the engine's default
	Retry    queue.Retry
	Observer queue.Observer // nil: none
}

// Open opens an engine's queue. Engines without a folder ignore dir. The suite closes the queue.
type Open func(dir string, s Settings) (queue.Queue, error)

const patience = 20 * time.Second // for what surely comes; a test that waits so long has failed

var quick = Settings{
	Lease: 300 * time.Millisecond,
	Retry: queue.Retry{MaxAttempts: 4, SplitAfter: 2, Delay: 10 * time.Millisecond, MaxDelay: 40 * time.Millisecond},
}

// Run checks the contract.
func Run(t *testing.T, open Open) {
	tests := map[string]func(*testing.T, queue.Queue){
		"a batch comes out as it went in":            outAsIn,
		"counts follow a batch through":              countsFollow,
		"a failed batch comes back after its delay":  comesBack,
		"a lease that ends passes the batch on":      leaseEnds,
		"heartbeats keep a lease":                    heartbeats,
		"handing back costs no attempt":              handBack,
		"a failed record leaves its neighbours done": failedRecord,
		"a poisonous record is isolated":             poison,
		"dead letters are kept, retried and dropped": deadLetters,
		"reasons are bounded and safe to print":      reasons,
		"a waiting lease wakes when a batch comes":   wakes,
		"wrong tokens and indexes are refused":       refused,
		"many analyzers share without overlap":       share,
		"a closed queue says so":                     closedQueue,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, start(t, open, t.TempDir(), quick)) })
	}
	t.Run("a full queue pushes back and recovers", func(t *testing.T) {
		s := quick
		s.MaxBytes = 1 << 20
		full(t, start(t, open, t.TempDir(), s))
	})
	t.Run("an observer is told of each record that is done or dead", func(t *testing.T) {
		s, told := quick, &observer{}
		s.Observer = told
		observed(t, start(t, open, t.TempDir(), s), told)
	})
}

func start(t *testing.T, open Open, dir string, s Settings) queue.Queue {
	t.Helper()
	q, err := open(dir, s)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil && !errors.Is(err, queue.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return q
}

// batch makes a batch of records whose bodies are the given words.
func batch(words ...string) *sluice.Batch {
	var lines strings.Builder
	for _, w := range words {
		fmt.Fprintf(&lines, "{\"body\":%q}\n", w)
	}
	return sluice.NewBatch([]byte(lines.String()), len(words), time.Now())
}

func words(t *testing.T, b *sluice.Batch) (out []string) {
	t.Helper()
	records, err := b.Records()
	if err != nil {
		t.Fatalf("records: %v", err)
	}
	for _, r := range records {
		out = append(out, r.Body.(string))
	}
	return out
}

func put(t *testing.T, q queue.Queue, b *sluice.Batch) {
	t.Helper()
	if err := q.Put(t.Context(), b); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

// lease waits for one batch.
func lease(t *testing.T, q queue.Queue) queue.Lease {
	t.Helper()
	return leaseAs(t, q, queue.Request{Analyzer: "a-1", Max: 1, Wait: patience})
}

func leaseAs(t *testing.T, q queue.Queue, r queue.Request) queue.Lease {
	t.Helper()
	leases, err := q.Lease(t.Context(), r)
	if err != nil || len(leases) != 1 {
		t.Fatalf("Lease = %d leases, %v; want one", len(leases), err)
	}
	return leases[0]
}

func ack(t *testing.T, q queue.Queue, l queue.Lease, failed ...queue.Failure) {
	t.Helper()
	if err := q.Ack(t.Context(), l.Token, failed...); err != nil {
		t.Fatalf("Ack: %v", err)
	}
}

func nack(t *testing.T, q queue.Queue, l queue.Lease, f queue.Failure) {
	t.Helper()
	if err := q.Nack(t.Context(), l.Token, f); err != nil {
		t.Fatalf("Nack: %v", err)
	}
}

func stats(t *testing.T, q queue.Queue) queue.Stats {
	t.Helper()
	st, err := q.Stats(t.Context())
	if err != nil {
		t.Fatalf("Stats: %v", err)
	}
	if st.Accepted != st.Completed+st.Dead+st.Waiting+st.InFlight+st.Lost {
		t.Errorf("the account does not add up: %+v", st)
	}
	return st
}

// expect compares the counts that matter.
func expect(t *testing.T, q queue.Queue, accepted, completed, dead, waiting, inFlight int64) {
	t.Helper()
	st := stats(t, q)
	got := [5]int64{st.Accepted, st.Completed, st.Dead, st.Waiting, st.InFlight}
	if want := [5]int64{accepted, completed, dead, waiting, inFlight}; got != want {
		t.Errorf("accepted, completed, dead, waiting, in flight = %v, want %v", got, want)
	}
}

func outAsIn(t *testing.T, q queue.Queue) {
	in := sluice.NewBatch([]byte(`{"body":"é","unknown":{"n":1.50}}`+"\n{}\n"), 2, time.Now())
	put(t, q, in)
	l := lease(t, q)
	lines, err := l.Batch.Lines()
	want, _ := in.Lines()
	if err != nil || string(lines) != string(want) {
		t.Errorf("lines = %q, %v; want %q", lines, err, want)
	}
	if l.Batch.ID != in.ID || l.Batch.Len() != 2 || l.Attempt != 1 || !l.Batch.Accepted.Equal(in.Accepted) {
		t.Errorf("lease of %s with %d records, attempt %d, accepted %v; want %s, 2, 1, %v",
			l.Batch.ID, l.Batch.Len(), l.Attempt, l.Batch.Accepted, in.ID, in.Accepted)
	}
	if until := time.Until(l.Expires); until <= 0 || until > quick.Lease {
		t.Errorf("lease ends in %v, want within (0, %v]", until, quick.Lease)
	}
}

func countsFollow(t *testing.T, q queue.Queue) {
	expect(t, q, 0, 0, 0, 0, 0)
	put(t, q, batch("a", "b", "c"))
	put(t, q, batch("d"))
	expect(t, q, 4, 0, 0, 4, 0)
	if st := stats(t, q); st.Batches != 2 || st.Bytes <= 0 || st.OldestWait <= 0 {
		t.Errorf("batches %d, bytes %d, oldest wait %v; want 2 and both above 0", st.Batches, st.Bytes, st.OldestWait)
	}
	leases, err := q.Lease(t.Context(), queue.Request{Max: 5, Wait: patience})
	for err == nil && len(leases) < 2 {
		var more []queue.Lease
		more, err = q.Lease(t.Context(), queue.Request{Max: 5, Wait: patience})
		leases = append(leases, more...)
	}
	if err != nil {
		t.Fatal(err)
	}
	expect(t, q, 4, 0, 0, 0, 4)
	for _, l := range leases {
		ack(t, q, l)
	}
	expect(t, q, 4, 4, 0, 0, 0)
	if st := stats(t, q); st.Batches != 0 || st.OldestWait != 0 {
		t.Errorf("batches %d, oldest wait %v of an empty queue; want 0", st.Batches, st.OldestWait)
	}
}

func comesBack(t *testing.T, q queue.Queue) {
	put(t, q, batch("a"))
	const delay = 150 * time.Millisecond
	before := time.Now()
	nack(t, q, lease(t, q), queue.Failure{Reason: "not now", Delay: delay})
	expect(t, q, 1, 0, 0, 1, 0)
	l := lease(t, q)
	if waited := time.Since(before); waited < delay || l.Attempt != 2 {
		t.Errorf("attempt %d after %v, want attempt 2 after %v or more", l.Attempt, waited, delay)
	}
	ack(t, q, l)
}

func leaseEnds(t *testing.T, q queue.Queue) {
	put(t, q, batch("a"))
	first := lease(t, q)
	second := lease(t, q)
	if second.Attempt != 2 || second.Batch.ID != first.Batch.ID || second.Token == first.Token {
		t.Errorf("after the lease ended: attempt %d of %s, want attempt 2 of %s with another token", second.Attempt, second.Batch.ID, first.Batch.ID)
	}
	for name, err := range map[string]error{
		"Ack":  q.Ack(t.Context(), first.Token),
		"Nack": q.Nack(t.Context(), first.Token, queue.Failure{Reason: "late"}),
		"Extend": func() error {
			_, err := q.Extend(t.Context(), first.Token)
			return err
		}(),
	} {
		if !errors.Is(err, queue.ErrLeaseExpired) {
			t.Errorf("late %s = %v, want ErrLeaseExpired", name, err)
		}
	}
	expect(t, q, 1, 0, 0, 0, 1)
	ack(t, q, second)
	expect(t, q, 1, 1, 0, 0, 0)
}

func heartbeats(t *testing.T, q queue.Queue) {
	put(t, q, batch("a"))
	l := lease(t, q)
	for range 8 { // 8 waits of a fifth of the lease time each outlast the lease by far
		if got, err := q.Lease(t.Context(), queue.Request{Max: 1, Wait: quick.Lease / 5}); err != nil || len(got) != 0 {
			t.Fatalf("Lease = %d leases, %v, while a heartbeat keeps the only one", len(got), err)
		}
		if until, err := q.Extend(t.Context(), l.Token); err != nil || time.Until(until) < quick.Lease/2 {
			t.Fatalf("Extend = %v, %v", until, err)
		}
	}
	ack(t, q, l)
	expect(t, q, 1, 1, 0, 0, 0)
}

func handBack(t *testing.T, q queue.Queue) {
	put(t, q, batch("a"))
	for n := range 2 * quick.Retry.MaxAttempts {
		l := lease(t, q)
		if l.Attempt != 1 || l.HandBacks != n {
			t.Fatalf("attempt %d with %d hand-backs after %d, want attempt 1", l.Attempt, l.HandBacks, n)
		}
		if st, want := stats(t, q), min(n/queue.OftenHandedBack, 1); int(st.HandBacks) != n || int(st.Returning) != want {
			t.Fatalf("%d hand-backs and %d batches that keep returning after %d, want %d", st.HandBacks, st.Returning, n, want)
		}
		nack(t, q, l, queue.Failure{Reason: "leaving", HandBack: true})
	}
	before := time.Now()
	const delay = 100 * time.Millisecond
	nack(t, q, lease(t, q), queue.Failure{Reason: "the sink is away", HandBack: true, Delay: delay})
	l := lease(t, q)
	if waited := time.Since(before); waited < delay || l.Attempt != 1 {
		t.Errorf("attempt %d after %v, want attempt 1 after %v or more", l.Attempt, waited, delay)
	}
	ack(t, q, l)
	put(t, q, batch("done", "later"))
	for n := range 2 * quick.Retry.MaxAttempts { // one record handed back again and again
		l = lease(t, q)
		if got := words(t, l.Batch); l.Attempt != 1 || l.HandBacks != n || got[len(got)-1] != "later" {
			t.Fatalf("attempt %d and %d hand-backs of %q, want attempt 1 and %d with the record that was handed back", l.Attempt, l.HandBacks, got, n)
		}
		ack(t, q, l, queue.Failure{Record: l.Batch.Len() - 1, Reason: "the sink is away", HandBack: true})
	}
	ack(t, q, lease(t, q))
	expect(t, q, 3, 3, 0, 0, 0)
	if st := stats(t, q); int(st.HandBacks) != 4*quick.Retry.MaxAttempts+1 || st.Returning != 0 {
		t.Errorf("%d hand-backs in all and %d batches that keep returning, want %d and none", st.HandBacks, st.Returning, 4*quick.Retry.MaxAttempts+1)
	}
}

func failedRecord(t *testing.T, q queue.Queue) {
	put(t, q, batch("good", "bad", "hopeless", "fine"))
	ack(t, q, lease(t, q), queue.Failure{Record: 1, Reason: "try again"}, queue.Failure{Record: 2, Reason: "broken", Discard: true})
	expect(t, q, 4, 2, 1, 1, 0)
	for attempt := 2; attempt <= quick.Retry.MaxAttempts; attempt++ {
		l := lease(t, q)
		if got := words(t, l.Batch); !slices.Equal(got, []string{"bad"}) || l.Attempt != attempt {
			t.Fatalf("attempt %d of %q, want %d of [bad]", l.Attempt, got, attempt)
		}
		ack(t, q, l, queue.Failure{Record: 0, Reason: fmt.Sprintf("failure %d", attempt)})
	}
	expect(t, q, 4, 2, 2, 0, 0)
	letters, err := q.Dead(t.Context(), 0, 10)
	if err != nil || len(letters) != 2 || letters[0].Reason != "broken" || letters[1].Reason != "failure 4" || letters[1].Attempts != 4 {
		t.Errorf("dead letters = %+v, %v; want broken, then failure 4 after 4 attempts", letters, err)
	}
}

// poison fails every batch that holds one bad record among many, as a handler that panics on it would.
func poison(t *testing.T, q queue.Queue) {
	all := make([]string, 40)
	for i := range all {
		all[i] = fmt.Sprint("record ", i)
	}
	all[23] = "poison"
	put(t, q, batch(all...))
	done := 0
	for range 200 {
		l := lease(t, q)
		if slices.Contains(words(t, l.Batch), "poison") {
			nack(t, q, l, queue.Failure{Reason: "handler panicked"})
		} else {
			ack(t, q, l)
			done += l.Batch.Len()
		}
		if st := stats(t, q); st.Waiting+st.InFlight == 0 {
			break
		}
	}
	if done != 39 {
		t.Errorf("%d neighbours were completed, want 39", done)
	}
	expect(t, q, 40, 39, 1, 0, 0)
	letters, err := q.Dead(t.Context(), 0, 10)
	if err != nil || len(letters) != 1 || letters[0].Records != 1 {
		t.Fatalf("dead letters = %+v, %v; want one with one record", letters, err)
	}
	if _, b, err := q.DeadBatch(t.Context(), letters[0].ID); err != nil || words(t, b)[0] != "poison" {
		t.Errorf("the dead letter is not the poisonous record: %v", err)
	}
}

// reasons: whatever an analyzer says, a dead letter has it as one bounded line that is safe to print.
func reasons(t *testing.T, q queue.Queue) {
	hostile := "\x1b[2J\u202eone\ntwo\u009b\xff"
	for _, reason := range []string{hostile, strings.Repeat("7", 7<<20), ""} {
		put(t, q, batch("a", "b"))
		nack(t, q, lease(t, q), queue.Failure{Reason: reason, Discard: true})
		put(t, q, batch("a", "b"))
		ack(t, q, lease(t, q), queue.Failure{Record: 1, Reason: reason, Discard: true})
	}
	letters, err := q.Dead(t.Context(), 0, 10)
	if err != nil || len(letters) != 6 {
		t.Fatalf("%d dead letters, %v; want 6", len(letters), err)
	}
	for i, want := range []string{`\x1b[2J\u202eone\ntwo\u009b\xff`, strings.Repeat("7", queue.MaxReason-3) + "…", "no reason was given"} {
		for _, l := range letters[2*i : 2*i+2] {
			if l.Reason != want {
				t.Errorf("the reason of letter %d is %.200q (%d bytes), want %.200q", l.ID, l.Reason, len(l.Reason), want)
			}
		}
	}
}

func deadLetters(t *testing.T, q queue.Queue) {
	for _, w := range []string{"one", "two", "three"} {
		put(t, q, batch(w))
		nack(t, q, lease(t, q), queue.Failure{Reason: "no good: " + w, Discard: true})
	}
	expect(t, q, 3, 0, 3, 0, 0)
	letters, err := q.Dead(t.Context(), 0, 2)
	if err != nil || len(letters) != 2 || letters[0].Reason != "no good: one" || letters[0].Records != 1 || letters[0].Time.IsZero() {
		t.Fatalf("first page = %+v, %v; want one and two", letters, err)
	}
	rest, err := q.Dead(t.Context(), letters[1].ID, 2)
	if err != nil || len(rest) != 1 || rest[0].Reason != "no good: three" {
		t.Fatalf("second page = %+v, %v; want three", rest, err)
	}
	if err := q.RetryDead(t.Context(), letters[1].ID); err != nil {
		t.Fatalf("RetryDead: %v", err)
	}
	expect(t, q, 3, 0, 2, 1, 0)
	l := lease(t, q)
	if got := words(t, l.Batch)[0]; got != "two" || l.Attempt != 1 {
		t.Errorf("retried: attempt %d of %q, want attempt 1 of two", l.Attempt, got)
	}
	ack(t, q, l)
	if err := q.DropDead(t.Context(), letters[0].ID); err != nil {
		t.Fatalf("DropDead: %v", err)
	}
	expect(t, q, 3, 2, 1, 0, 0)
	if st := stats(t, q); st.Dropped != 1 {
		t.Errorf("dropped = %d, want 1", st.Dropped)
	}
	for name, err := range map[string]error{
		"RetryDead": q.RetryDead(t.Context(), letters[1].ID),
		"DropDead":  q.DropDead(t.Context(), letters[0].ID),
		"DeadBatch": func() error { _, _, err := q.DeadBatch(t.Context(), 4711); return err }(),
	} {
		if !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("%s of a letter that is gone = %v, want ErrNotFound", name, err)
		}
	}
}

func wakes(t *testing.T, q queue.Queue) {
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		leases, err := q.Lease(ctx, queue.Request{Max: 3, Wait: patience})
		if err == nil && len(leases) != 1 {
			err = fmt.Errorf("%d leases, want 1", len(leases))
		}
		got <- err
	}()
	if leases, err := q.Lease(t.Context(), queue.Request{Wait: 30 * time.Millisecond}); err != nil || leases != nil {
		t.Errorf("Lease of an empty queue = %v, %v; want nothing", leases, err)
	}
	put(t, q, batch("a"))
	if err := <-got; err != nil {
		t.Error(err)
	}
	cancel()
	if _, err := q.Lease(ctx, queue.Request{Wait: patience}); !errors.Is(err, context.Canceled) {
		t.Errorf("Lease with a cancelled context = %v, want context.Canceled", err)
	}
}

func refused(t *testing.T, q queue.Queue) {
	for _, token := range []string{"", "nonsense", "0-1-0000000000000000", "99999-1-00", "m-0"} {
		if err := q.Ack(t.Context(), token); !errors.Is(err, queue.ErrLeaseExpired) {
			t.Errorf("Ack of token %q = %v, want ErrLeaseExpired", token, err)
		}
	}
	put(t, q, batch("a", "b"))
	l := lease(t, q)
	for _, failed := range [][]queue.Failure{{{Record: 2}}, {{Record: -1}}, {{Record: 1}, {Record: 1}}} {
		if err := q.Ack(t.Context(), l.Token, failed...); err == nil || errors.Is(err, queue.ErrLeaseExpired) {
			t.Errorf("Ack with failed records %+v = %v, want a refusal", failed, err)
		}
	}
	expect(t, q, 2, 0, 0, 0, 2)
	ack(t, q, l)
}

// share lets producers and analyzers loose on the queue and checks each record is seen once, and the account at any moment.
func share(t *testing.T, q queue.Queue) {
	const producers, each, analyzers = 4, 25, 5
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for i := range each {
				if err := q.Put(ctx, batch(fmt.Sprintf("%d/%d/a", p, i), fmt.Sprintf("%d/%d/b", p, i))); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	for range analyzers {
		wg.Go(func() {
			for {
				leases, err := q.Lease(ctx, queue.Request{Max: 2, Wait: patience})
				if err != nil {
					return // the end of the test
				}
				for _, l := range leases {
					mu.Lock()
					for _, w := range words(t, l.Batch) {
						seen[w]++
					}
					mu.Unlock()
					if err := q.Ack(ctx, l.Token); err != nil {
						t.Errorf("Ack: %v", err)
					}
				}
			}
		})
	}
	var completed int64
	for deadline := time.Now().Add(patience); completed < 2*producers*each; {
		st := stats(t, q)
		if st.Completed < completed || st.Waiting < 0 || st.InFlight < 0 || time.Now().After(deadline) {
			t.Errorf("completed was %d, now %+v", completed, st)
			break
		}
		completed = st.Completed
	}
	cancel()
	wg.Wait()
	if len(seen) != 2*producers*each {
		t.Errorf("%d records were seen, want %d", len(seen), 2*producers*each)
	}
	for w, n := range seen {
		if n != 1 {
			t.Errorf("record %s was leased %d times", w, n)
		}
	}
}

func closedQueue(t *testing.T, q queue.Queue) {
	put(t, q, batch("a"))
	l := lease(t, q)
	waiting := make(chan error, 1)
	go func() {
		_, err := q.Lease(context.Background(), queue.Request{Wait: patience})
		waiting <- err
	}()
	if err := q.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := <-waiting; !errors.Is(err, queue.ErrClosed) {
		t.Errorf("a waiting Lease ended with %v, want ErrClosed", err)
	}
	_, statsErr := q.Stats(t.Context())
	for name, err := range map[string]error{
		"Put": q.Put(t.Context(), batch("b")), "Ack": q.Ack(t.Context(), l.Token), "Stats": statsErr, "Close": q.Close(),
	} {
		if !errors.Is(err, queue.ErrClosed) {
			t.Errorf("%s after Close = %v, want ErrClosed", name, err)
		}
	}
}

func full(t *testing.T, q queue.Queue) {
	var stored []string
	var full *queue.FullError
	for i := range 100 {
		b := noise(64<<10, uint64(i))
		err := q.Put(t.Context(), b)
		if errors.As(err, &full) {
			break
		}
		if err != nil {
			t.Fatalf("Put: %v", err)
		}
		stored = append(stored, b.ID)
	}
	if full == nil || full.Limit != "max_bytes" || full.Bound != 1<<20 || full.Now <= 0 || full.Hint == "" {
		t.Fatalf("after %d batches: %+v, want a FullError about max_bytes", len(stored), full)
	}
	expect(t, q, int64(len(stored)), 0, 0, int64(len(stored)), 0)
	for range stored {
		ack(t, q, lease(t, q))
	}
	put(t, q, noise(64<<10, 4711))
	ack(t, q, lease(t, q))
	expect(t, q, int64(len(stored))+1, int64(len(stored))+1, 0, 0, 0)
}
