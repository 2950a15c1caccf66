package jetstream

import (
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// keepDone makes acknowledged messages stay in their streams until the returned function is called, or the test ends.
func keepDone(t *testing.T, q *Queue) (deleteAgain func()) {
	for _, p := range q.parts {
		p.deleting.Lock()
	}
	deleteAgain = sync.OnceFunc(func() {
		for _, p := range q.parts {
			p.deleting.Unlock()
		}
	})
	t.Cleanup(deleteAgain)
	return deleteAgain
}

// doneMessages counts what is acknowledged and not deleted.
func doneMessages(q *Queue) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.parts {
		n += len(p.done)
	}
	return n
}

// storedMessages counts what lies in the streams.
func storedMessages(t *testing.T, e *embedded) (n int) {
	t.Helper()
	for p := range e.streams {
		state, err := e.state(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		n += int(state.Msgs)
	}
	return n
}

func putAll(t *testing.T, q *Queue, batches ...*sluice.Batch) {
	t.Helper()
	for _, b := range batches {
		if err := q.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func leaseAll(t *testing.T, q *Queue, n int) (leases []queue.Lease) {
	t.Helper()
	for len(leases) < n {
		got, err := q.Lease(t.Context(), queue.Request{Max: n - len(leases), Wait: 10 * time.Second})
		if err != nil || len(got) == 0 {
			t.Fatalf("after %d of %d leases: %d, %v", len(leases), n, len(got), err)
		}
		leases = append(leases, got...)
	}
	return leases
}

func ackAll(t *testing.T, q *Queue, leases []queue.Lease) {
	t.Helper()
	for _, l := range leases {
		if err := q.Ack(t.Context(), l.Token); err != nil {
			t.Fatal(err)
		}
	}
}

// expect compares the counts, and that nothing but what is waiting can be leased.
func expect(t *testing.T, q *Queue, completed, waiting, inFlight int64) {
	t.Helper()
	st, err := q.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Completed != completed || st.Waiting != waiting || st.InFlight != inFlight || st.Accepted != completed+waiting+inFlight {
		t.Errorf("%+v; want completed %d, waiting %d, in flight %d", st, completed, waiting, inFlight)
	}
	if empty := st.Batches == 0; empty != (st.Bytes == 0) || empty != (st.OldestWait == 0) {
		t.Errorf("%d batches with %d bytes, the oldest for %v", st.Batches, st.Bytes, st.OldestWait)
	}
	if waiting > 0 {
		return
	}
	if got, err := q.Lease(t.Context(), queue.Request{Max: 10, Wait: 50 * time.Millisecond}); err != nil || len(got) > 0 {
		t.Errorf("%d leases, %v; want none", len(got), err)
	}
}

const killedDir = "SLUICE_JETSTREAM_KILLED_DIR"

// TestKilledBeforeDeleting: what was acknowledged and not yet deleted when the process was killed is neither handed out nor
// counted again.
func TestKilledBeforeDeleting(t *testing.T) {
	if dir := os.Getenv(killedDir); dir != "" {
		q := openFor(t, Options{Dir: dir})
		keepDone(t, q)
		for i := range 20 {
			putAll(t, q, batch(1+i%3))
		}
		leases := leaseAll(t, q, 16)
		ackAll(t, q, leases[:8])
		ackAll(t, q, leases[12:])
		for _, l := range append(leases[:8:8], leases[12:]...) {
			io.WriteString(os.Stdout, "done "+l.Batch.ID+"\n")
		}
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Minute)
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestKilledBeforeDeleting$")
	child.Env = append(os.Environ(), killedDir+"="+dir)
	out, _ := child.Output()
	done := strings.Count(string(out), "done ")
	if done != 12 {
		t.Fatalf("the process to be killed said:\n%s", out)
	}
	q := openFor(t, Options{Dir: dir, Retry: queue.Retry{Delay: time.Millisecond, MaxDelay: time.Millisecond}})
	if n := storedMessages(t, q.e); n != 8 {
		t.Errorf("%d messages are stored after the start, want 8", n)
	}
	st, err := q.Stats(t.Context())
	if err != nil || st.Batches != 8 || st.Accepted != 39 || st.Accepted != st.Completed+st.Waiting {
		t.Errorf("%+v, %v; want 8 batches, and 39 records accepted", st, err)
	}
	for _, l := range leaseAll(t, q, 8) {
		if strings.Contains(string(out), l.Batch.ID) {
			t.Errorf("batch %s came back", l.Batch.ID)
		}
		ackAll(t, q, []queue.Lease{l})
	}
	expect(t, q, 39, 0, 0)
}

// TestCloseDeletes: a clean end leaves nothing to delete.
func TestCloseDeletes(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	q := openFor(t, o)
	putAll(t, q, batch(1), batch(2), batch(3), batch(4), batch(5))
	leases := leaseAll(t, q, 5)
	again := keepDone(t, q)
	ackAll(t, q, leases[:4])
	if n := doneMessages(q); n != 4 {
		t.Errorf("%d messages wait to be deleted, want 4", n)
	}
	again()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	j, _, traces, _, err := openJournal(filepath.Join(o.Dir, "journal"))
	if err != nil || len(traces) != 1 {
		t.Errorf("the journal remembers %+v, %v; want only the batch that was handed back", traces, err)
	}
	j.close()
	e, err := startEmbedded(t.Context(), Options{Dir: o.Dir, Logger: slog.New(slog.DiscardHandler)}.WithDefaults(), o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.stop(stopTimeout)
	if n := storedMessages(t, e); n != 1 {
		t.Errorf("%d messages are stored after the end, want 1", n)
	}
}

// TestQuietDeletes: a second after the last acknowledgement nothing is left to delete.
func TestQuietDeletes(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir()})
	putAll(t, q, batch(1), batch(2), batch(3), batch(4), batch(5))
	ackAll(t, q, leaseAll(t, q, 5))
	acked := time.Now()
	expect(t, q, 15, 0, 0)
	waitFor(t, "the messages to be deleted", func() bool { return storedMessages(t, q.e) == 0 && doneMessages(q) == 0 })
	if took := time.Since(acked); took > 2*time.Second {
		t.Errorf("it took %v until all was deleted", took)
	}
	expect(t, q, 15, 0, 0)
}

// TestJournalCannotBeWritten: then a batch is deleted before it counts as acknowledged.
func TestJournalCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	q := openFor(t, Options{Dir: dir})
	putAll(t, q, batch(1), batch(2), batch(3), batch(4))
	leases := leaseAll(t, q, 4)
	good := q.journal.f
	bad, err := os.Open(good.Name())
	if err != nil {
		t.Fatal(err)
	}
	q.journal.f = bad
	ackAll(t, q, leases[:2])
	if n := doneMessages(q); n != 0 {
		t.Errorf("%d messages wait to be deleted, though nothing on disk says so", n)
	}
	if n := storedMessages(t, q.e); n != 2 {
		t.Errorf("%d messages are stored, want 2", n)
	}
	records := int64(leases[0].Batch.Len() + leases[1].Batch.Len())
	expect(t, q, records, 0, 10-records)
	q.journal.f = good
	bad.Close()
	q.Close()
	q = openFor(t, Options{Dir: dir})
	expect(t, q, records, 10-records, 0)
	ackAll(t, q, leaseAll(t, q, 2))
	expect(t, q, 10, 0, 0)
}

// incompressible is a batch of one record that takes about so many bytes.
func incompressible(bytes int, seed uint64) *sluice.Batch {
	raw := make([]byte, bytes*3/4)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	return sluice.NewBatch([]byte(`{"body":"`+base64.StdEncoding.EncodeToString(raw)+"\"}\n"), 1, time.Now())
}

// TestFullOfDone: a queue that is full of acknowledged messages makes room by itself.
func TestFullOfDone(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir(), Partitions: 2, MaxBytes: 1 << 20})
	q.maxDone = 1 << 40 // so that acknowledging deletes nothing
	n := 0
	for ; ; n++ {
		err := q.Put(t.Context(), incompressible(40_000, uint64(n)))
		if full, ok := errors.AsType[*queue.FullError](err); ok {
			if full.Now < 900_000 || full.Now > 1<<20 {
				t.Errorf("full with %d bytes", full.Now)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	leases := leaseAll(t, q, n)
	again := keepDone(t, q)
	ackAll(t, q, leases)
	result := make(chan error, 1)
	go func() { result <- q.Put(t.Context(), incompressible(40_000, 99)) }()
	select {
	case err := <-result:
		t.Fatalf("Put = %v before anything was deleted", err)
	case <-time.After(100 * time.Millisecond):
	}
	again()
	if err := <-result; err != nil {
		t.Fatalf("Put = %v, though all was acknowledged", err)
	}
	expect(t, q, int64(n), 1, 0)
}

// TestLowDiskDeletesFirst: what is acknowledged is deleted before a batch is refused for want of space.
func TestLowDiskDeletesFirst(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir()})
	putAll(t, q, batch(1), batch(1), batch(1))
	leases := leaseAll(t, q, 3)
	again := keepDone(t, q)
	ackAll(t, q, leases)
	q.minFree = 1 << 60
	result := make(chan error, 1)
	go func() { result <- q.Put(t.Context(), batch(1)) }()
	again()
	if _, ok := errors.AsType[*queue.FullError](<-result); !ok || doneMessages(q) != 0 {
		t.Errorf("refused %v, with %d messages still to be deleted", ok, doneMessages(q))
	}
}

// TestManyDoneAreBounded: while the analyzers go on, no more than the bound waits to be deleted, with an old batch in the way too.
func TestManyDoneAreBounded(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir(), Partitions: 1})
	q.maxDone = 20_000
	putAll(t, q, batch(1))
	old := leaseAll(t, q, 1)
	for _, held := range []bool{true, false} {
		for i := range 200 {
			putAll(t, q, incompressible(1000, uint64(i)))
			ackAll(t, q, leaseAll(t, q, 1))
			q.mu.Lock()
			bytes := q.parts[0].doneBytes
			q.mu.Unlock()
			if bytes > 2*q.maxDone {
				t.Fatalf("%d bytes wait to be deleted, the bound is %d", bytes, 2*q.maxDone)
			}
		}
		if held {
			ackAll(t, q, old)
		}
	}
	expect(t, q, 401, 0, 0)
	if n := doneMessages(q); n > 40 {
		t.Errorf("%d messages wait to be deleted", n)
	}
}

// TestOldestWaitPassesDone: the age of the oldest batch is not that of one that is done.
func TestOldestWaitPassesDone(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir(), Partitions: 1})
	putAll(t, q, batch(1), batch(1), batch(1))
	leases := leaseAll(t, q, 3)
	keepDone(t, q)
	time.Sleep(200 * time.Millisecond)
	middle := time.Now()
	putAll(t, q, batch(1), batch(1))
	oldest := func() time.Time {
		st, err := q.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return time.Now().Add(-st.OldestWait)
	}
	ackAll(t, q, leases[:1])
	if at := oldest(); at.After(middle) {
		t.Error("an old batch is still leased, but the oldest counts as a new one")
	}
	ackAll(t, q, leases[1:])
	if at := oldest(); at.Before(middle.Add(-50 * time.Millisecond)) {
		t.Errorf("the oldest counts as stored %v before any that is left", middle.Sub(at))
	}
}

// TestServerReplacedWithDone: a new server deletes what the old one did not come to, and hands out none of it.
func TestServerReplacedWithDone(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir()})
	putAll(t, q, batch(1), batch(2), batch(3), batch(4))
	leases := leaseAll(t, q, 4)
	again := keepDone(t, q)
	ackAll(t, q, leases[1:])
	q.raise("a test wants a new server")
	waitFor(t, "the server to be replaced", func() bool { return q.Healthy() == nil })
	if n := doneMessages(q); n != 0 {
		t.Errorf("%d messages wait to be deleted, want none", n)
	}
	again()
	open := int64(leases[0].Batch.Len())
	expect(t, q, 10-open, 0, open)
	ackAll(t, q, leases[:1])
	expect(t, q, 10, 0, 0)
}

// TestCannotDelete: what can't be deleted at a start does not count and is not handed out.
func TestCannotDelete(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir()})
	putAll(t, q, batch(1), batch(2), batch(3), batch(4))
	leases := leaseAll(t, q, 4)
	keepDone(t, q)
	var delivered []*nats.Msg
	for _, h := range q.held {
		delivered = append(delivered, h.msg)
	}
	ackAll(t, q, leases[1:])
	admin, err := js.New(q.e.conns[2])
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range q.e.streams {
		c := s.CachedInfo().Config
		c.DenyDelete, c.DenyPurge = true, true
		if _, err := admin.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	q.life.Lock()
	err = q.recount(t.Context(), false)
	q.life.Unlock()
	if n := doneMessages(q); err != nil || n != 3 {
		t.Errorf("recount: %v, with %d messages still to be deleted, want 3", err, n)
	}
	open := int64(leases[0].Batch.Len())
	expect(t, q, 10-open, 0, open)
	for _, m := range delivered { // the server hands them out once more
		q.e.back(m)
	}
	q.mu.Lock()
	for _, p := range q.parts {
		p.ready = 4
	}
	q.mu.Unlock()
	expect(t, q, 10-open, 0, open)
}

// TestReturnedComesBackAtOnce: deleting its neighbours does not keep a returned batch from being handed out again.
func TestReturnedComesBackAtOnce(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir(), Partitions: 1})
	putAll(t, q, batch(1), batch(1), batch(1))
	leases := leaseAll(t, q, 3)
	back := leases[1].Batch.ID
	if err := q.Nack(t.Context(), leases[1].Token, queue.Failure{HandBack: true}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // the server takes it back a moment later
	ackAll(t, q, leases[:1])
	q.deleteNow(q.parts[0])
	for _, l := range leaseAll(t, q, 1) {
		if l.Batch.ID != back {
			t.Errorf("leased %s, want %s", l.Batch.ID, back)
		}
	}
	expect(t, q, 1, 0, 2)
}

// TestOutdatedDelivery: a message that the server sent again just before it was deleted is not taken for a new one.
func TestOutdatedDelivery(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir(), Partitions: 1})
	putAll(t, q, batch(1), batch(2))
	leases := leaseAll(t, q, 2)
	var again nats.Msg
	for _, h := range q.held {
		if h.batch.ID == leases[0].Batch.ID {
			again = nats.Msg{Subject: h.msg.Subject, Header: h.msg.Header, Data: h.msg.Data, Sub: h.msg.Sub}
			again.Reply = strings.Replace(h.msg.Reply, "."+cursorName+".1.", "."+cursorName+".2.", 1)
		}
	}
	ackAll(t, q, leases[:1])
	q.deleteNow(q.parts[0])
	if l, ok := q.deliver(q.parts[0], &again, queue.Request{}); ok {
		t.Errorf("leased again: %+v", l)
	}
	expect(t, q, 1, 0, 2)
}
