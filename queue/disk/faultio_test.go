package disk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehq/sluice/queue"
)

// script is work of which any operation may fail.
type script struct {
	testing.TB
	m    *mount
	q    *Queue
	put  map[string]bool // records whose Put returned nil
	done map[string]bool // records that were acknowledged
}

func (s *script) putOne(r *rand.Rand) error {
	b := makeBatch(r, 2, 8000)
	err := s.q.Put(context.Background(), b)
	if err != nil {
		if full := (*queue.FullError)(nil); !errors.As(err, &full) && !errors.Is(err, queue.ErrUnavailable) {
			s.Fatalf("Put: %v, want a FullError or ErrUnavailable", err)
		}
		return err
	}
	for _, line := range lines(s, b) {
		s.put[line] = true
	}
	return nil
}

func (s *script) analyze(max int) {
	ctx := context.Background()
	leases, err := s.q.Lease(ctx, queue.Request{Max: max})
	if err != nil {
		s.Fatalf("Lease: %v", err)
	}
	for i, l := range leases {
		if i%4 == 3 {
			err = s.q.Nack(ctx, l.Token, queue.Failure{Reason: "no"})
		} else if err = s.q.Ack(ctx, l.Token); err == nil {
			for _, line := range lines(s, l.Batch) {
				s.done[line] = true
			}
		}
		if err != nil {
			s.Fatalf("Ack or Nack: %v", err)
		}
	}
	sound(s, s.q)
}

// work does a little of everything.
func (s *script) work(r *rand.Rand) {
	for range 14 {
		s.putOne(r)
	}
	s.analyze(6)
	s.q.syncNotes()
	for range 14 {
		s.putOne(r)
	}
	s.analyze(9)
	s.q.tidy()
	s.q.look()
	if segs := s.q.data.all(); len(segs) > 1 {
		s.q.move(segs[0])
	}
	s.q.tidy()
	s.putOne(r)
	s.analyze(3)
	s.q.mu.Lock()
	s.q.notesBroken, s.q.snapshotDue = true, true
	s.q.mu.Unlock()
	s.q.keep()
	s.putOne(r)
	s.analyze(3)
	s.q.look()
	s.q.syncNotes()
}

// check empties the queue and looks for what was put.
func (s *script) check(q *Queue, restarted bool) {
	found := drain(s, q)
	for line := range s.put {
		if n := found.delivered[line]; n > 1 || n == 0 && !s.done[line] {
			s.Fatalf("a record was delivered %d times: %.30s", n, line)
		}
	}
	for line := range s.done {
		if !restarted && found.delivered[line] > 0 {
			s.Fatalf("a record was acknowledged and delivered again: %.30s", line)
		}
	}
	if found.Lost != 0 || found.Dead != 0 {
		s.Fatalf("%+v, want nothing lost or dead", found.Stats)
	}
	for _, w := range s.m.wrong {
		s.Fatal(w)
	}
}

// run does the work on a disk on which some operations fail, and returns how many there were. A fault in Open may keep the
// queue from opening; then it must open as soon as there is none.
func runScript(t testing.TB, d *drive, fault func(n int, op, path string) error) int {
	m := &mount{drive: d, fault: fault}
	s := &script{TB: t, m: m, put: map[string]bool{}, done: map[string]bool{}}
	r := rand.New(rand.NewPCG(5, 5))
	q, err := openStill(m, nil)
	if err != nil {
		m.fault = nil
		if q, err = openStill(m, nil); err != nil {
			t.Fatalf("Open without faults: %v", err)
		}
	}
	s.q = q
	s.work(r)
	ops := m.ops
	m.fault = nil
	q.look()
	if s.putOne(r) != nil {
		t.Fatalf("Put fails although nothing else does any more")
	}
	if err := q.Healthy(); err != nil {
		t.Fatalf("Healthy: %v", err)
	}
	copied := &mount{drive: d.clone()} // killed now
	again, err := openStill(copied, nil)
	if err != nil {
		t.Fatalf("Open after a kill: %v", err)
	}
	s.check(again, true)
	again.Close()
	s.check(q, false)
	if err := q.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if q, err = openStill(&mount{drive: d}, nil); err != nil {
		t.Fatalf("Open after Close: %v", err)
	}
	if again := drain(t, q); len(again.delivered) > 0 || again.Lost > 0 {
		t.Fatalf("after Close of an empty queue %d records are delivered, %+v", len(again.delivered), again.Stats)
	}
	q.Close()
	return ops
}

// TestFaults lets each operation of the script fail, once and with those that follow.
func TestFaults(t *testing.T) {
	t.Parallel()
	step, _ := strconv.Atoi(os.Getenv("SLUICE_FAULT_STEP"))
	if step == 0 {
		step = 13
	}
	all := runScript(t, newDrive(model{sector: 512}), nil)
	writes := []string{"write", "create", "mkdir", "rename", "sync", "syncdir"}
	kinds := []struct {
		name string
		err  error
		ops  []string // nil for all
		long int
	}{
		{"EIO once", syscall.EIO, nil, 1},
		{"EIO for a while", syscall.EIO, nil, 8},
		{"EIO of syncs for a while", syscall.EIO, []string{"sync", "syncdir"}, 60},
		{"disk full once", syscall.ENOSPC, writes, 1},
		{"disk full for a while", syscall.ENOSPC, writes, 40},
		{"short write, disk full", torn{syscall.ENOSPC}, []string{"write"}, 12},
		{"short write, EIO", torn{syscall.EIO}, []string{"write"}, 3},
	}
	points := 0
	for i, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			for at := 1 + i%step; at <= all+5; at += step {
				points++
				d := newDrive(model{sector: 512})
				where := ""
				runScript(failer{t, func() string { return fmt.Sprintf("fault at %d of %d, %s: ", at, all, where) }}, d, func(n int, op, path string) error {
					if n < at || n >= at+k.long || k.ops != nil && !slices.Contains(k.ops, op) {
						return nil
					}
					where = op + " " + path
					return k.err
				})
			}
		})
	}
	t.Logf("%d operations, %d faults", all, points)
}

// failer says where a test failed.
type failer struct {
	testing.TB
	where func() string
}

func (f failer) Fatalf(format string, args ...any) {
	f.Helper()
	f.TB.Fatalf("%s"+format, append([]any{f.where()}, args...)...)
}

// TestFullDisk fills the disk, works on, and makes room.
func TestFullDisk(t *testing.T) {
	m := &mount{drive: newDrive(model{sector: 512})}
	s := &script{TB: t, m: m, put: map[string]bool{}, done: map[string]bool{}}
	r := rand.New(rand.NewPCG(5, 5))
	_, s.q = reopen(t, m)
	for range 60 {
		s.putOne(r)
	}
	full := func(n int, op, path string) error {
		if op == "create" || op == "write" && !strings.HasSuffix(path, noteEnding) {
			return syscall.ENOSPC
		}
		return nil
	}
	m.fault = full
	for range 3 {
		err := s.putOne(r)
		if f := (*queue.FullError)(nil); !errors.As(err, &f) {
			t.Fatalf("Put on a full disk: %v, want a FullError", err)
		}
	}
	s.analyze(10)
	if !s.q.syncNotes() {
		t.Fatal("notes are not written within their reserve")
	}
	m.fault = func(n int, op, path string) error { // no room in the notes, either
		if op == "write" {
			return syscall.ENOSPC
		}
		return full(n, op, path)
	}
	s.analyze(10)
	s.q.tidy()
	m.kill()
	m = &mount{drive: m.drive, fault: m.fault}
	q, err := openStill(m, nil)
	if err != nil {
		t.Fatalf("Open on a full disk: %v", err)
	}
	s.q, s.m = q, m
	s.done = map[string]bool{} // what could not be noted comes again
	s.analyze(10)
	if len(m.list(batchEnding)) > 20 || len(m.list(noteEnding)) > 3 {
		t.Fatalf("files pile up: %v %v", m.list(batchEnding), m.list(noteEnding))
	}
	m.fault = nil
	if err := s.putOne(r); err != nil {
		t.Fatalf("Put after room was made: %v", err)
	}
	found := drain(t, q)
	if found.Lost > 0 || found.Dead > 0 {
		t.Fatalf("%+v", found.Stats)
	}

	d := newDrive(model{sector: 512}) // nothing at all can be made
	if q, err := openStill(&mount{drive: d, fault: func(_ int, op, _ string) error {
		if op == "create" || op == "mkdir" || op == "write" {
			return syscall.ENOSPC
		}
		return nil
	}}, nil); err == nil {
		q.Close()
		t.Error("Open makes a queue on a full disk")
	} else if !strings.Contains(err.Error(), "data folder") {
		t.Errorf("Open on a full disk: %v, want the data folder named", err)
	}
}

// TestSlowSync lets a sync hang: others go on, and the Put returns when it does.
func TestSlowSync(t *testing.T) {
	m := &mount{drive: newDrive(model{sector: 512})}
	_, q := reopen(t, m)
	r := rand.New(rand.NewPCG(5, 5))
	putSome(t, q, r, 3)
	hangs, goOn := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	m.before = func(op, path string) {
		if op == "sync" && strings.HasSuffix(path, batchEnding) && once.CompareAndSwap(false, true) {
			close(hangs)
			<-goOn
		}
	}
	put := make(chan error, 2)
	go func() { put <- q.Put(context.Background(), makeBatch(r, 3, 100)) }()
	<-hangs
	other := makeBatch(rand.New(rand.NewPCG(6, 6)), 3, 100)
	go func() { put <- q.Put(context.Background(), other) }()
	if s := sound(t, q); s.Accepted != 9 {
		t.Errorf("%d accepted while a write hangs, want 9", s.Accepted)
	}
	leases, err := q.Lease(context.Background(), queue.Request{Max: 10})
	if err != nil || len(leases) != 3 {
		t.Fatalf("%d leases, %v; want 3", len(leases), err)
	}
	for _, l := range leases {
		if err := q.Ack(context.Background(), l.Token); err != nil {
			t.Fatal(err)
		}
	}
	close(goOn)
	for range 2 {
		select {
		case err := <-put:
			if err != nil {
				t.Errorf("Put: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("Put does not return")
		}
	}
	if found := drain(t, q); found.Completed != 15 {
		t.Errorf("%+v, want 15 completed", found.Stats)
	}
}
