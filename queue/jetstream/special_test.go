package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

func openFor(t *testing.T, o Options) *Queue {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	q, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func batch(records int) *sluice.Batch {
	return sluice.NewBatch([]byte(strings.Repeat("{}\n", records)), records, time.Now())
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	q := openFor(t, Options{Dir: dir})
	_, err := Open(t.Context(), Options{Dir: dir})
	locked, ok := errors.AsType[*LockedError](err)
	if !ok || locked.Dir != dir || locked.Owner != fmt.Sprint("process ", os.Getpid()) {
		t.Fatalf("second Open = %v, want a LockedError that names folder and owner", err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	openFor(t, Options{Dir: dir})
}

func TestOptionsNameAllProblems(t *testing.T) {
	_, err := Open(t.Context(), Options{Partitions: 99, Lease: time.Millisecond, MaxBytes: 5, Durability: "maybe", Retry: queue.Retry{MaxAttempts: -1}})
	for _, want := range []string{"Dir is empty", "Partitions is 99", "Lease is 1ms", "MaxBytes is 5", `Durability is "maybe"`, "MaxAttempts is -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

// TestFewerPartitionsLeaveNothingBehind: what lies in partitions beyond a smaller setting is still handed out.
func TestFewerPartitionsLeaveNothingBehind(t *testing.T) {
	dir := t.TempDir()
	q := openFor(t, Options{Dir: dir, Partitions: 6})
	for range 12 {
		if err := q.Put(t.Context(), batch(1)); err != nil {
			t.Fatal(err)
		}
	}
	q.Close()
	q = openFor(t, Options{Dir: dir, Partitions: 2})
	for n := 0; n < 12; {
		leases, err := q.Lease(t.Context(), queue.Request{Max: 12, Wait: 10 * time.Second})
		if err != nil || len(leases) == 0 {
			t.Fatalf("after %d batches: %d leases, %v", n, len(leases), err)
		}
		n += len(leases)
	}
}

// TestLowDiskPushesBack: below the reserve nothing is accepted, what is there can be worked off.
// TestTheOldestLeaveFirst fills one partition more than the others, which must not make its batches wait longer.
func TestTheOldestLeaveFirst(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir(), Durability: Process})
	leased := 0
	lease := func(n int) {
		t.Helper()
		for range n {
			got, err := q.Lease(t.Context(), queue.Request{Analyzer: "a", Max: 1, Wait: time.Second})
			if err != nil || len(got) != 1 {
				t.Fatalf("leased %d, %v; want one", len(got), err)
			}
			// Batches are as large as their place in the order. A partition is known by what was leased from it last, so
			// that a gap in one may put a few in another order.
			if at := got[0].Batch.Len(); at < leased-15 || at > leased+15 {
				t.Errorf("the batch put as number %d was leased as number %d", at, leased)
			}
			leased++
			if err := q.Ack(t.Context(), got[0].Token); err != nil {
				t.Fatal(err)
			}
		}
	}
	stored := 0
	put := func(busy bool) {
		t.Helper()
		if busy { // somebody is writing to all partitions but the first
			for _, p := range q.parts[1:] {
				p.put.Lock()
				defer p.put.Unlock()
			}
		}
		if err := q.Put(t.Context(), batch(stored+1)); err != nil {
			t.Fatal(err)
		}
		stored++
	}
	leased = 1
	for i := range 100 {
		put(i%3 != 0)
	}
	lease(50)
	for i := range 60 {
		put(i%2 == 0)
	}
	lease(110)
}

func TestLowDiskPushesBack(t *testing.T) {
	dir := t.TempDir()
	q := openFor(t, Options{Dir: dir})
	if err := q.Put(t.Context(), batch(3)); err != nil {
		t.Fatal(err)
	}
	q.minFree = 1 << 60
	full, ok := errors.AsType[*queue.FullError](q.Put(t.Context(), batch(1)))
	if !ok || full.Limit != "min_free_bytes" || !strings.Contains(full.Hint, dir) {
		t.Errorf("Put = %+v, want a FullError about min_free_bytes that names the folder", full)
	}
	leases, err := q.Lease(t.Context(), queue.Request{Wait: 10 * time.Second})
	if err != nil || len(leases) != 1 || q.Ack(t.Context(), leases[0].Token) != nil {
		t.Errorf("what is there can't be worked off: %d leases, %v", len(leases), err)
	}
}

// TestServerIsReplaced: when the embedded server gives up its storage, the queue starts it anew; leases go on.
func TestServerIsReplaced(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir()})
	for range 3 {
		if err := q.Put(t.Context(), batch(2)); err != nil {
			t.Fatal(err)
		}
	}
	leases, err := q.Lease(t.Context(), queue.Request{Wait: 10 * time.Second})
	if err != nil || len(leases) != 1 {
		t.Fatalf("%d leases, %v", len(leases), err)
	}
	q.life.RLock()
	err = q.e.srv.ShutdownJetStream() // what the server does to itself when a write fails
	q.life.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Put(t.Context(), batch(2)); err != nil && !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Put to a broken server = %v, want ErrUnavailable", err)
	}
	waitFor(t, "the server to be replaced", func() bool { return q.Put(t.Context(), batch(2)) == nil })
	waitFor(t, "the acknowledgement of an old lease", func() bool { return q.Ack(t.Context(), leases[0].Token) == nil })
	st, err := q.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Completed != 2 || st.Accepted != st.Completed+st.Waiting+st.InFlight || st.Accepted < 8 {
		t.Errorf("after the restart: %+v; want 2 completed of at least 8", st)
	}
	for st.Waiting > 0 {
		leases, err := q.Lease(t.Context(), queue.Request{Max: 5, Wait: 10 * time.Second})
		if err != nil || len(leases) == 0 {
			t.Fatalf("%d leases, %v with %d waiting", len(leases), err, st.Waiting)
		}
		for _, l := range leases {
			if err := q.Ack(t.Context(), l.Token); err != nil {
				t.Fatal(err)
			}
		}
		st, _ = q.Stats(t.Context())
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// TestLostJournal: without it the counts are taken from the streams, and nothing stored is lost.
func TestLostJournal(t *testing.T) {
	dir := t.TempDir()
	q := openFor(t, Options{Dir: dir})
	for range 5 {
		if err := q.Put(t.Context(), batch(2)); err != nil {
			t.Fatal(err)
		}
	}
	q.Close()
	if err := os.Remove(filepath.Join(dir, "journal")); err != nil {
		t.Fatal(err)
	}
	q = openFor(t, Options{Dir: dir})
	if st, err := q.Stats(t.Context()); err != nil || st.Accepted != 10 || st.Waiting != 10 || st.Completed != 0 {
		t.Errorf("%+v, %v; want 10 accepted and waiting", st, err)
	}
}

func TestDamagedJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(path, []byte(strings.Repeat("something else entirely ", 10)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, _, _, err := openJournal(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("openJournal = %v, want an error that names the file", err)
	}
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _, traces, fresh, err := openJournal(path)
	if err != nil || !fresh || len(traces) != 0 {
		t.Fatalf("new journal: fresh %v, %d traces, %v", fresh, len(traces), err)
	}
	want := trace{key: key{3, 4711}, attempts: 2, open: true, remote: true, done: true, nonce: 99, records: 5, bytes: 1234}
	a, b, c := j.slot(), j.slot(), j.slot()
	for slot, tr := range map[int]trace{a: {key: key{1, 1}}, b: want, c: {key: key{2, 2}}} {
		if err := j.set(slot, tr); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(j.clear(a), j.setAccepted(3, accepted{4711, 123456}), j.close()); err != nil {
		t.Fatal(err)
	}
	// A torn write: the checksum of c does not fit.
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte{0xff}, int64(c)*slotBytes+9)
	f.Close()
	j, parts, traces, fresh, err := openJournal(path)
	if err != nil || fresh {
		t.Fatalf("reopened: fresh %v, %v", fresh, err)
	}
	defer j.close()
	if len(traces) != 1 || traces[b] != want || parts[3] != (accepted{4711, 123456}) {
		t.Errorf("traces %+v, partition 3 %+v; want only %+v and 4711, 123456", traces, parts[3], want)
	}
	if s1, s2, s3 := j.slot(), j.slot(), j.slot(); s1 == b || s2 == b || s3 != c+1 {
		t.Errorf("free slots %d, %d, %d; want %d and %d in any order, then %d", s1, s2, s3, a, c, c+1)
	}
}

// TestCountsAgreeWithStreams: after much coming and going, the counts in memory are those of the files.
func TestCountsAgreeWithStreams(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir(), Retry: queue.Retry{MaxAttempts: 2, SplitAfter: 1, Delay: time.Millisecond, MaxDelay: time.Millisecond}})
	for i := range 30 {
		if err := q.Put(t.Context(), batch(1+i%5)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		leases, err := q.Lease(t.Context(), queue.Request{Max: 2, Wait: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range leases {
			switch i % 4 {
			case 0:
				err = q.Ack(t.Context(), l.Token)
			case 1:
				err = q.Ack(t.Context(), l.Token, queue.Failure{Record: 0, Reason: "no"})
			case 2:
				err = q.Nack(t.Context(), l.Token, queue.Failure{Reason: "no"})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	var stored, batches, bytes, dead int64
	for _, p := range q.parts {
		q.deleteNow(p)
	}
	for _, s := range q.e.streams {
		info, records, err := census(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		stored += records
		batches += int64(info.State.Msgs)
		bytes += int64(info.State.Bytes)
	}
	_, dead, err := census(t.Context(), q.e.dead)
	if err != nil {
		t.Fatal(err)
	}
	if q.n.stored != stored || q.n.batches != batches || q.n.bytes != bytes || q.n.dead != dead {
		t.Errorf("counts %+v, but the streams hold %d records in %d batches of %d bytes, and %d dead", q.n, stored, batches, bytes, dead)
	}
}

func TestNothingRunsAfterClose(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	q, err := Open(t.Context(), Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Put(t.Context(), batch(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Lease(t.Context(), queue.Request{Wait: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, ignore)
}
