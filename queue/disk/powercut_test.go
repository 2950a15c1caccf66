package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

func init() { noteReserve = 64 << 10 } // so that disks in memory stay small

// openStill opens a queue on a mount, without its loop: tests do what the loop does, when they want it.
func openStill(m *mount, change func(*Options)) (*Queue, error) {
	o := Options{Dir: "/data", Lease: time.Hour, SegmentBytes: 64 << 10, MinFreeBytes: -1,
		Retry:  queue.Retry{MaxAttempts: 4, SplitAfter: 2, Delay: 1, MaxDelay: 1},
		Logger: slog.New(slog.DiscardHandler), files: m}
	if change != nil {
		change(&o)
	}
	q, err := Open(context.Background(), o)
	if err == nil {
		close(q.stop)
		q.wg.Wait()
		q.stop = make(chan struct{}) // for Close
	}
	return q, err
}

// later is when leases have expired.
func later() time.Time { return time.Now().Add(3 * time.Hour) }

// expireAll takes back all leases.
func expireAll(q *Queue) bool {
	expired := q.expire(later())
	q.keep()
	return expired
}

// makeBatch makes a batch of records that are distinct from all others and hard to pack.
func makeBatch(r *rand.Rand, records, bytes int) *sluice.Batch {
	var b strings.Builder
	for range records {
		fmt.Fprintf(&b, `{"body":"%016x`, r.Uint64())
		for range r.IntN(bytes/16 + 1) {
			fmt.Fprintf(&b, "%016x", r.Uint64())
		}
		b.WriteString("\"}\n")
	}
	return sluice.NewBatch([]byte(b.String()), records, time.Now())
}

func lines(t testing.TB, b *sluice.Batch) []string {
	t.Helper()
	out := make([]string, b.Len())
	for i := range out {
		line, err := b.Line(i)
		if err != nil {
			t.Fatalf("batch %s, record %d: %v", b.ID, i, err)
		}
		out[i] = string(line)
	}
	return out
}

// sound checks a queue's account and returns it.
func sound(t testing.TB, q *Queue) queue.Stats {
	t.Helper()
	s, err := q.Stats(context.Background())
	if err != nil {
		t.Fatalf("Stats: %v", err)
	}
	if s.Accepted != s.Completed+s.Dead+s.Waiting+s.InFlight+s.Lost {
		t.Fatalf("the account does not close: %+v", s)
	}
	if min(s.Accepted, s.Completed, s.Dropped, s.Dead, s.Waiting, s.InFlight, s.Lost, s.Batches, s.Bytes) < 0 {
		t.Fatalf("a count is negative: %+v", s)
	}
	return s
}

// rest is what a queue holds: each record with the number of its deliveries, and those in the dead letters.
type rest struct {
	delivered  map[string]int
	dead       map[string]int
	unreadable int // records in dead letters that can't be read
	queue.Stats
}

// drain takes everything out of a queue.
func drain(t testing.TB, q *Queue) rest {
	t.Helper()
	ctx := context.Background()
	out := rest{delivered: map[string]int{}, dead: map[string]int{}}
	for {
		leases, err := q.Lease(ctx, queue.Request{Max: 100})
		if err != nil {
			t.Fatalf("Lease: %v", err)
		}
		if len(leases) == 0 && !expireAll(q) {
			break
		}
		for _, l := range leases {
			for _, line := range lines(t, l.Batch) {
				out.delivered[line]++
			}
			if err := q.Ack(ctx, l.Token); err != nil {
				t.Fatalf("Ack: %v", err)
			}
		}
		sound(t, q)
	}
	letters, err := q.Dead(ctx, 0, 1<<30)
	if err != nil {
		t.Fatalf("Dead: %v", err)
	}
	for _, l := range letters {
		_, b, err := q.DeadBatch(ctx, l.ID)
		if err != nil {
			out.unreadable += l.Records
			continue
		}
		for _, line := range lines(t, b) {
			out.dead[line]++
		}
	}
	out.Stats = sound(t, q)
	if s := out.Stats; s.Waiting != 0 || s.InFlight != 0 || s.Batches != 0 || s.Bytes != 0 || s.OldestWait != 0 {
		t.Fatalf("not empty after everything was acknowledged: %+v", s)
	}
	return out
}

// record is what a test knows of a record.
type record struct {
	acked    bool // Put returned nil
	finished bool // it may be done with: its last call was made
	surely   bool // it is done with, and that is durable
}

// life is a queue that power cuts and other ends befall, one after the other.
type life struct {
	*testing.T
	seed    uint64
	r       *rand.Rand
	level   Durability
	d       *drive
	m       *mount
	q       *Queue
	records map[string]*record
	held    []queue.Lease
	also    []*sluice.Batch // to be put in the commit that moves batches
	log     []string
	unsure  bool // notes were incomplete once: what is not there may be taken for finished
}

func (l *life) note(format string, args ...any) { l.log = append(l.log, fmt.Sprintf(format, args...)) }

// Fatalf fails the test and says how to repeat it.
func (l *life) Fatalf(format string, args ...any) {
	l.Helper()
	l.T.Fatalf("seed %d: %s\nwhat was done:\n  %s", l.seed, fmt.Sprintf(format, args...), strings.Join(l.log[max(len(l.log)-60, 0):], "\n  "))
}

// open opens the queue; power may be cut meanwhile.
func (l *life) open(cutAt int) bool {
	l.m = &mount{drive: l.d, cutAt: cutAt, half: l.r.IntN(2) == 0}
	l.held = nil
	q, err := openStill(l.m, func(o *Options) { o.Durability = l.level })
	l.note("open: %v", err)
	if err != nil {
		if !l.m.dead {
			l.Fatalf("Open: %v", err)
		}
		return false
	}
	l.q = q
	commit := q.puts.Commit
	q.puts.Commit = func(requests []*putRequest) { // batches that are put while others are moved
		if len(requests[0].copies) > 0 && len(l.also) > 0 {
			extra := &putRequest{batches: l.also}
			both := []*putRequest{extra, requests[0]}
			if l.r.IntN(2) == 0 {
				both = []*putRequest{requests[0], extra}
			}
			l.expect(l.also)
			commit(append(both, requests[1:]...))
			l.answered(l.also, extra.err)
			l.also = nil
			return
		}
		commit(requests)
	}
	return true
}

// call reports whether a call succeeded. It must, unless the power was cut.
func (l *life) call(what string, err error) bool {
	l.note("%s: %v", what, err)
	if err != nil && !l.m.dead && !errors.Is(err, queue.ErrLeaseExpired) {
		l.Fatalf("%s: %v", what, err)
	}
	return err == nil
}

func (l *life) expect(batches []*sluice.Batch) {
	for _, b := range batches {
		for _, line := range lines(l, b) {
			l.records[line] = &record{}
		}
	}
}

func (l *life) answered(batches []*sluice.Batch, err error) {
	if !l.call(fmt.Sprintf("put of %d batches", len(batches)), err) {
		return
	}
	for _, b := range batches {
		for _, line := range lines(l, b) {
			l.records[line].acked = true
		}
	}
}

func (l *life) batches() (out []*sluice.Batch) {
	for range 1 + l.r.IntN(5) {
		out = append(out, makeBatch(l.r, 1+l.r.IntN(6), 1+l.r.IntN(3000)))
	}
	return out
}

// step does one thing.
func (l *life) step() {
	ctx, q, r := context.Background(), l.q, l.r
	switch k := r.IntN(100); {
	case k < 30:
		b := l.batches()
		l.expect(b)
		l.answered(b, q.Put(ctx, b...))
	case k < 48:
		leases, err := q.Lease(ctx, queue.Request{Max: 1 + r.IntN(5), Remote: r.IntN(3) == 0})
		l.call(fmt.Sprintf("%d leases", len(leases)), err)
		l.held = append(l.held, leases...)
	case k < 75 && len(l.held) > 0:
		i := r.IntN(len(l.held))
		lease := l.held[i]
		l.held = slices.Delete(l.held, i, i+1)
		l.settle(lease.Token, lease.Batch)
	case k < 77 && len(l.held) > 0:
		_, err := q.Extend(ctx, l.held[0].Token)
		l.call("extend", err)
	case k < 79:
		l.note("expire")
		expireAll(q)
		l.held = nil
	case k < 84:
		l.letter()
	case k < 89:
		l.sync()
	case k < 93:
		l.note("tidy")
		q.tidy()
	case k < 97:
		if segs := q.data.all(); len(segs) > 1 {
			s := segs[r.IntN(len(segs)-1)]
			if r.IntN(2) == 0 {
				l.also = l.batches()
			}
			l.note("move segment %d: %v", s.number, q.move(s))
			l.also = nil
			if r.IntN(2) == 0 {
				q.tidy()
			}
		}
	case k < 98:
		l.note("snapshot of the notes")
		q.mu.Lock()
		q.notesBroken, q.snapshotDue = true, true
		q.mu.Unlock()
		q.keep()
	default:
		l.note("look")
		q.look()
	}
	if !l.m.dead {
		l.account()
	}
}

func (l *life) account() {
	s, err := l.q.Stats(context.Background())
	if err != nil || s.Accepted != s.Completed+s.Dead+s.Waiting+s.InFlight+s.Lost ||
		min(s.Accepted, s.Completed, s.Dropped, s.Dead, s.Waiting, s.InFlight, s.Lost, s.Batches, s.Bytes) < 0 {
		l.Fatalf("Stats: %v, %+v", err, s)
	}
}

// settle ends a lease in one way or another.
func (l *life) settle(token string, b *sluice.Batch) {
	ctx, r := context.Background(), l.r
	switch k := r.IntN(10); {
	case k == 0:
		l.call("hand back", l.q.Nack(ctx, token, queue.Failure{HandBack: true}))
	case k < 3:
		l.call("nack", l.q.Nack(ctx, token, queue.Failure{Reason: "no", Discard: r.IntN(4) == 0}))
	default:
		var failed []queue.Failure
		if k < 5 {
			for i := range b.Len() {
				if r.IntN(3) == 0 {
					failed = append(failed, queue.Failure{Record: i, Reason: "no", Discard: r.IntN(2) == 0})
				}
			}
		}
		for i, line := range lines(l, b) {
			if !slices.ContainsFunc(failed, func(f queue.Failure) bool { return f.Record == i }) {
				l.records[line].finished = true
			}
		}
		l.call(fmt.Sprintf("ack with %d of %d failed", len(failed), b.Len()), l.q.Ack(ctx, token, failed...))
	}
}

// letter retries or drops a dead letter.
func (l *life) letter() {
	ctx := context.Background()
	letters, err := l.q.Dead(ctx, 0, 100)
	if !l.call("dead", err) || len(letters) == 0 {
		return
	}
	id := letters[l.r.IntN(len(letters))].ID
	_, b, err := l.q.DeadBatch(ctx, id)
	if err != nil && l.level == Process { // may be cut short
		return
	}
	if !l.call("dead batch", err) {
		return
	}
	if l.r.IntN(2) == 0 {
		l.call("retry", l.q.RetryDead(ctx, id))
		return
	}
	for _, line := range lines(l, b) {
		l.records[line].finished = true
	}
	l.call("drop", l.q.DropDead(ctx, id))
}

// sync makes durable what was finished.
func (l *life) sync() {
	ok := l.q.syncNotes()
	l.note("notes synced: %v", ok)
	if !l.m.dead && !ok {
		l.Fatalf("syncNotes failed")
	}
	if ok {
		l.sure()
	}
}

func (l *life) sure() {
	for _, r := range l.records {
		r.surely = r.surely || r.finished
	}
}

// notesIncomplete reports whether notes are missing or may be.
func notesIncomplete(d *drive) bool {
	notes := log{fs: &mount{drive: d}, dir: "/data/queue", ending: noteEnding}
	if notes.list() != nil {
		return true // not even the folder is there
	}
	m := readNotes(&notes)
	incomplete := m.damaged || m.short || !m.found
	for _, path := range d.list(batchEnding) {
		data := d.names[path].data
		scan(bytes.NewReader(data), int64(len(data)), func(e *scanned) {
			incomplete = incomplete || e.kind == kindStart && e.notes() > notes.ordinal.Load()
		}, func(from, to int64) {})
	}
	return incomplete
}

// verify drains a copy of the disk and compares. What it finds holds, unless the end was not a power cut.
func (l *life) verify(durable bool) {
	m := &mount{drive: l.d.clone()}
	l.unsure = l.unsure || notesIncomplete(m.clone())
	var text strings.Builder
	q, err := openStill(m, func(o *Options) { o.Durability, o.Logger = l.level, slog.New(slog.NewTextHandler(&text, nil)) })
	if err != nil {
		l.Fatalf("Open of what is left: %v", err)
	}
	defer q.Close()
	before := sound(l, q)
	found := drain(l, q)
	var acked, unanswered, gone int64
	for line, r := range l.records {
		n := found.delivered[line] + found.dead[line]
		switch {
		case n > 1:
			l.Fatalf("a record is there %d times: %.40s", n, line)
		case n == 1 && r.surely:
			l.Fatalf("a record that was finished is there again: %.40s", line)
		case n == 0 && r.acked && !r.finished:
			gone++
		}
		if r.acked {
			acked++
		} else {
			unanswered++
		}
		if durable {
			r.finished = n == 0
			r.surely = n == 0
		}
	}
	for line := range maps.Keys(found.delivered) {
		if l.records[line] == nil {
			l.Fatalf("a record that was never put: %.40s", line)
		}
	}
	if l.level == Process {
		if !l.unsure && gone > found.Lost+int64(found.unreadable)+max(acked+unanswered-found.Accepted, 0) {
			l.Fatalf("%d records are gone, but %+v", gone, found.Stats)
		}
		return
	}
	if gone > 0 || found.Lost > 0 || found.unreadable > 0 || before.Accepted < acked || before.Accepted > acked+unanswered {
		l.Fatalf("%d records are gone of %d answered and %d others, %d can't be read; at first %+v, at last %+v",
			gone, acked, unanswered, found.unreadable, before, found.Stats)
	}
	if i := strings.Index(text.String(), "damaged on disk"); i >= 0 && durable {
		l.Fatalf("a power cut looks like damage: %.3000s", text.String()[i:])
	}
}

// run lives until so many cuts have happened.
func (l *life) run(cuts int) {
	for cuts > 0 {
		cutAt := 1 + l.r.IntN(30)
		if l.r.IntN(3) > 0 {
			cutAt = 1 + l.r.IntN(400)
		}
		end := 10 + l.r.IntN(150)
		if l.open(cutAt) {
			for range end {
				if l.step(); l.m.dead {
					break
				}
			}
		}
		switch {
		case l.m.dead || l.r.IntN(3) == 0:
			l.note("power cut at operation %d, cutAt %d", l.m.ops, cutAt)
			l.m.kill()
			l.d = l.d.cut(l.r)
			cuts--
			l.verify(true)
		case l.r.IntN(2) == 0:
			l.note("killed")
			l.m.kill()
			l.verify(false)
		default:
			if l.call("close", l.q.Close()) && !l.m.dead {
				l.sure()
			}
			if l.m.dead {
				l.d = l.d.cut(l.r)
				cuts--
			}
			l.verify(l.m.dead)
		}
		if len(l.records) > 4000 { // start afresh
			return
		}
	}
}

// TestPowerCut cuts the power at random operations of random work, also while the queue is opened, and checks after each
// cut what is left. SLUICE_CUTS sets how many cuts there are, SLUICE_SEED runs one seed alone.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	models := map[string]model{
		"posix, sectors of 512":   {sector: 512},
		"posix, sectors of 4096":  {sector: 4096},
		"ordered, blocks of 4096": {ordered: true, sector: 4096},
	}
	cuts, _ := strconv.Atoi(os.Getenv("SLUICE_CUTS"))
	if cuts == 0 {
		cuts = 300
	}
	only, _ := strconv.ParseUint(os.Getenv("SLUICE_SEED"), 10, 64)
	const each = 10 // cuts with one seed
	for name, m := range models {
		for _, level := range []Durability{Disk, Process} {
			t.Run(fmt.Sprintf("%s/%s", level, name), func(t *testing.T) {
				n := cuts / len(models) / each
				if level == Process {
					n = max(n/5, 1)
				}
				for seed := range uint64(n) {
					if only != 0 && seed != only-1 {
						continue
					}
					l := &life{T: t, seed: seed + 1, r: rand.New(rand.NewPCG(seed, 7)), level: level, d: newDrive(m), records: map[string]*record{}}
					l.run(each)
				}
			})
		}
	}
}

// cutNow ends a process by a power cut that undoes all it may, or nothing, and opens the queue again.
func cutNow(t *testing.T, m *mount, keep bool) (*mount, *Queue) {
	t.Helper()
	m.kill()
	d := m.drive.clone()
	if !keep {
		d = &drive{names: map[string]*node{}, stable: map[string]*node{}, ids: m.ids}
		for path, n := range m.stable {
			c := &node{id: n.id, dir: n.dir, data: n.synced()}
			d.names[path], d.stable[path] = c, c
		}
	}
	return reopen(t, &mount{drive: d})
}

func reopen(t *testing.T, m *mount) (*mount, *Queue) {
	t.Helper()
	q, err := openStill(m, nil)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return m, q
}

func putSome(t *testing.T, q *Queue, r *rand.Rand, n int) {
	t.Helper()
	for range n {
		if err := q.Put(context.Background(), makeBatch(r, 3, 2000)); err != nil {
			t.Fatalf("Put: %v", err)
		}
	}
}

func wantAccount(t *testing.T, s queue.Stats, accepted, completed, lost int64) {
	t.Helper()
	if s.Accepted != accepted || s.Completed != completed || s.Lost != lost {
		t.Fatalf("accepted %d, completed %d, lost %d; want %d, %d, %d", s.Accepted, s.Completed, s.Lost, accepted, completed, lost)
	}
}

// A segment may go only when it is durable that its batches are done, also where a killed process has noted that.
func TestPowerCutAfterKill(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	m, q := reopen(t, &mount{drive: newDrive(model{sector: 512})})
	putSome(t, q, r, 50)
	q.syncNotes()
	drain(t, q)
	m.kill()
	m, q = reopen(t, &mount{drive: m.drive})
	q.tidy()
	if n := len(m.list(batchEnding)); n != 1 {
		t.Fatalf("%d segments are left, want the last one", n)
	}
	if err := m.SyncDir("/data/queue"); err != nil {
		t.Fatal(err)
	}
	_, q = cutNow(t, m, false)
	wantAccount(t, drain(t, q).Stats, 150, 150, 0)
}

// Numbers of segments are not used twice: one that could not be deleted would void what is stored in others.
func TestSegmentNotDeleted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	m, q := reopen(t, &mount{drive: newDrive(model{sector: 512})})
	putSome(t, q, r, 60)
	segs := m.list(batchEnding)
	m.fault = func(_ int, op, path string) error {
		if op == "sync" && strings.HasSuffix(path, batchEnding) || op == "remove" && path == segs[len(segs)-1] {
			return syscall.EIO
		}
		return nil
	}
	q.Put(context.Background(), makeBatch(r, 3, 2000)) // seals the last segment
	drain(t, q)
	q.tidy()
	m.fault = nil
	putSome(t, q, r, 1)
	_, q = cutNow(t, m, true)
	if s := drain(t, q); len(s.delivered) != 3 || s.Lost != 0 {
		t.Fatalf("%d records delivered, %+v; want 3, none lost", len(s.delivered), s.Stats)
	}
}

// A group of which a power cut left a part may hold batches that were moved, beside others: none of it counts.
func TestPowerCutWhileMoving(t *testing.T) {
	t.Parallel()
	for cut := range 60 {
		r := rand.New(rand.NewPCG(uint64(cut), 1))
		m, q := reopen(t, &mount{drive: newDrive(model{sector: 512})})
		putSome(t, q, r, 30)
		var text strings.Builder
		q.move(q.data.all()[0])
		q.syncNotes()
		var open []*entry
		for _, e := range q.entries {
			open = append(open, e)
		}
		m.before = func(op, path string) {
			if op == "sync" && strings.HasSuffix(path, batchEnding) {
				m.before = nil
				m.kill()
			}
		}
		more := []*putRequest{{batches: []*sluice.Batch{makeBatch(r, 3, 2000), makeBatch(r, 3, 2000)}}, {copies: open[:3]}}
		if cut%2 == 0 {
			more[0], more[1] = more[1], more[0]
		}
		q.commitPuts(more)
		d := m.drive.cut(r)
		q, err := openStill(&mount{drive: d}, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&text, nil)) })
		if err != nil {
			t.Fatalf("cut %d: Open: %v", cut, err)
		}
		found := drain(t, q)
		if s := found.Stats; s.Lost != 0 || s.Dead != 0 || s.Completed != s.Accepted || s.Accepted != 90 && s.Accepted != 96 && s.Accepted != 93 {
			t.Fatalf("cut %d: %+v, want 90 to 96 accepted and completed", cut, s)
		}
		if i := strings.Index(text.String(), "damaged on disk"); i >= 0 {
			t.Fatalf("cut %d: a power cut looks like damage: %.300s", cut, text.String()[i:])
		}
	}
}
