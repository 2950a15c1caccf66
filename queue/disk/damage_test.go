package disk

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/internal/ranges"
	"github.com/sluicehq/sluice/queue"
)

// hoard is a stopped queue of which a test knows all.
type hoard struct {
	d        *drive
	accepted int64
	batches  map[uint64][]string // the records of each batch, by the number of its first
	done     map[string]bool
	dead     map[string]bool
	stored   []stored
}

// stored is an entry with a batch.
type stored struct {
	header
	path string
	off  int64
	b    []byte // the entry
}

// shape is how a queue is before it is damaged.
type shape struct {
	name    string
	batches int
	records int
	bytes   int
	move    bool // some batches are moved, and segments in the middle are gone
	killed  bool // else closed
}

var shapes = []shape{
	{"several segments", 40, 3, 4000, false, false},
	{"batches were moved", 48, 3, 4000, true, true},
	{"one segment", 14, 3, 200, false, true},
	{"single records", 14, 1, 200, false, false},
}

func build(t testing.TB, sh shape) *hoard {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(9, 9))
	h := &hoard{batches: map[uint64][]string{}, done: map[string]bool{}, dead: map[string]bool{}}
	m := &mount{drive: newDrive(model{sector: 512})}
	q, err := openStill(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	put := func(n int) {
		for i := 0; i < n; {
			k := min(1+r.IntN(3), n-i)
			group := make([]*putRequest, k)
			first := q.next
			for j := range group {
				b := makeBatch(r, sh.records, sh.bytes)
				h.batches[first] = lines(t, b)
				first += uint64(sh.records)
				group[j] = &putRequest{batches: []*sluice.Batch{b}}
			}
			q.commitPuts(group)
			i += k
		}
		h.accepted = int64(q.next - 1)
	}
	put(sh.batches)
	if sh.move { // finish the second third, then move what is left of the first
		leases, err := q.Lease(ctx, queue.Request{Max: 2 * sh.batches / 3})
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range leases {
			if i < sh.batches/3 && i%3 > 0 {
				q.Nack(ctx, l.Token, queue.Failure{HandBack: true})
				continue
			}
			q.Ack(ctx, l.Token)
			for _, line := range lines(t, l.Batch) {
				h.done[line] = true
			}
		}
		q.tidy()
		q.move(q.data.all()[0])
		q.tidy()
		put(sh.batches / 3)
	}
	leases, err := q.Lease(ctx, queue.Request{Max: 12, Remote: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range leases {
		of := lines(t, l.Batch)
		switch i % 6 {
		case 0, 1:
			q.Ack(ctx, l.Token)
			for _, line := range of {
				h.done[line] = true
			}
		case 2:
			q.Ack(ctx, l.Token, queue.Failure{Record: 0, Reason: "no", Discard: true})
			h.dead[of[0]] = true
			for _, line := range of[1:] {
				h.done[line] = true
			}
		case 3:
			q.Ack(ctx, l.Token, queue.Failure{Record: 0, Reason: "no"})
			for _, line := range of[1:] {
				h.done[line] = true
			}
		case 4:
			q.Nack(ctx, l.Token, queue.Failure{Reason: "no", Discard: true})
			for _, line := range of {
				h.dead[line] = true
			}
		} // else it stays leased
	}
	sound(t, q)
	if sh.killed {
		m.kill()
	} else if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	h.d = m.drive.clone()
	for _, path := range h.d.list(batchEnding) {
		data := h.d.names[path].data
		scan(bytes.NewReader(data), int64(len(data)), func(e *scanned) {
			if e.kind != kindStart {
				h.stored = append(h.stored, stored{e.header, path, e.off, data[e.off : e.off+e.total()]})
			}
		}, func(from, to int64) { t.Fatalf("%s is damaged from %d to %d", path, from, to) })
	}
	return h
}

// check opens a damaged disk and compares what is there with what must be.
func (h *hoard) check(t testing.TB, d *drive, notes bool) {
	t.Helper()
	whole, headers := map[uint64]bool{}, map[uint64]bool{}
	for path, n := range d.names {
		if !strings.HasSuffix(path, batchEnding) {
			continue
		}
		for _, e := range h.stored {
			headers[e.first] = headers[e.first] || bytes.Contains(n.data, e.b[:headerSize])
			whole[e.first] = whole[e.first] || headers[e.first] && bytes.Contains(n.data, e.b)
		}
	}
	var lost, spoiled int64
	want := map[string]bool{}
	for first, records := range h.batches {
		for _, line := range records {
			switch {
			case h.done[line]:
			case !headers[first]:
				lost++
			case !whole[first]:
				spoiled++
			default:
				want[line] = true
			}
		}
	}
	m := &mount{drive: d}
	var text strings.Builder
	o := func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&text, nil)) }
	q, err := openStill(m, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if s := sound(t, q); s.Accepted != h.accepted {
		t.Errorf("accepted %d, want %d", s.Accepted, h.accepted)
	}
	found := drain(t, q)
	for line := range want {
		if n := found.delivered[line] + found.dead[line]; n != 1 || !notes && h.dead[line] && found.dead[line] == 0 {
			t.Errorf("a record was found %d times, delivered %d times: %.30s", n, found.delivered[line], line)
		}
	}
	for line, n := range found.delivered {
		if n > 1 || h.done[line] && !notes {
			t.Errorf("a record was delivered %d times, although done: %v: %.30s", n, h.done[line], line)
		}
	}
	if found.Lost != lost || int64(found.unreadable) != spoiled {
		t.Errorf("%d lost and %d unreadable, want %d and %d", found.Lost, found.unreadable, lost, spoiled)
	}
	bad := m.list(badEnding)
	if err := q.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	text.Reset()
	if q, err = openStill(m, o); err != nil {
		t.Fatalf("second Open: %v", err)
	}
	again := drain(t, q)
	if again.Accepted != found.Accepted || again.Completed != found.Completed || again.Dead != found.Dead || again.Lost != found.Lost {
		t.Errorf("the second time %+v, the first time %+v", again.Stats, found.Stats)
	}
	if more := m.list(badEnding); !slices.Equal(more, bad) || strings.Contains(text.String(), "level=ERROR") {
		t.Errorf("the second time, more is reported: %v, before %v\n%s", more, bad, text.String())
	}
	q.Close()
}

// damages returns ways to damage a file of a disk.
func damages(d *drive, path string, r *rand.Rand) (names []string, ways []func(b []byte) []byte) {
	add := func(name string, way func(b []byte) []byte) {
		names, ways = append(names, name), append(ways, way)
	}
	data := d.names[path].data
	var entries []scanned
	scan(bytes.NewReader(data), int64(len(data)), func(e *scanned) { entries = append(entries, *e) }, func(from, to int64) {})
	some := entries
	if strings.HasSuffix(path, noteEnding) && len(some) > 12 {
		some = append(slices.Clone(some[:4]), some[len(some)-8:]...)
	}
	fields := []int64{0, 3, 4, 8, 9, 10, 12, 16, 23, 24, 31, 32, 35, 36, 40, 48, 59, 60, 63}
	for _, e := range some {
		at := fmt.Sprintf("%s at %d", [...]string{"", "start", "batch", "copy", "note"}[e.kind], e.off)
		for _, f := range fields {
			add(fmt.Sprintf("flip byte %d of %s", f, at), func(b []byte) []byte { b[e.off+f] ^= 1 << (f % 8); return b })
		}
		if e.length > 0 {
			for _, p := range []int64{headerSize, e.total() / 2, e.total() - 1} {
				add(fmt.Sprintf("flip payload byte %d of %s", p, at), func(b []byte) []byte { b[e.off+p] ^= 4; return b })
			}
		}
		add("zero the header of "+at, func(b []byte) []byte { clear(b[e.off : e.off+headerSize]); return b })
		add("zero "+at, func(b []byte) []byte { clear(b[e.off : e.off+e.total()]); return b })
		add("remove "+at, func(b []byte) []byte { return slices.Delete(b, int(e.off), int(e.off+e.total())) })
		add("repeat "+at, func(b []byte) []byte {
			return slices.Insert(b, int(e.off+e.total()), slices.Clone(b[e.off:e.off+e.total()])...)
		})
		add("put bytes before "+at, func(b []byte) []byte { return slices.Insert(b, int(e.off), []byte("some bytes\n")...) })
		add("put bytes into "+at, func(b []byte) []byte { return slices.Insert(b, int(e.off+e.total()/2), []byte("some bytes\n")...) })
		add("take bytes from "+at, func(b []byte) []byte {
			return slices.Delete(b, int(e.off+e.total()/2), int(min(e.off+e.total()/2+9, int64(len(b)))))
		})
		for _, cut := range []int64{e.off, e.off + 30, e.off + headerSize, e.off + e.total() - 1} {
			add(fmt.Sprintf("cut to %d", cut), func(b []byte) []byte { return b[:min(cut, int64(len(b)))] })
		}
	}
	for from := 0; from < len(data); from += 4096 {
		to := min(from+4096, len(data))
		if bytes.Count(data[from:to], []byte{0}) == to-from {
			break
		}
		add(fmt.Sprintf("zero the block at %d", from), func(b []byte) []byte { clear(b[from:to]); return b })
		add(fmt.Sprintf("noise in the block at %d", from), func(b []byte) []byte {
			for i := range b[from:to] {
				b[from+i] = byte(r.Uint32())
			}
			return b
		})
		if to+4096 <= len(data) {
			add(fmt.Sprintf("swap the blocks at %d and %d", from, to), func(b []byte) []byte {
				block := slices.Clone(b[from:to])
				copy(b[from:], b[to:to+4096])
				copy(b[to:], block)
				return b
			})
		}
	}
	for i := range entries[:max(len(entries)-2, 0)] { // whole entries in another order
		if a, b, c := entries[i], entries[i+1], entries[i+2].off+entries[i+2].total(); a.kind != kindNote {
			add(fmt.Sprintf("swap the entries after %d", a.off), func(f []byte) []byte {
				return slices.Concat(f[:b.off], f[entries[i+2].off:c], f[b.off:entries[i+2].off], f[c:])
			})
		}
	}
	add("empty", func(b []byte) []byte { return nil })
	add("half", func(b []byte) []byte { return b[:len(b)/2] })
	add("text", func(b []byte) []byte { return []byte(strings.Repeat("this is another file\n", 1000)) })
	add("zeros", func(b []byte) []byte { return make([]byte, len(b)) })
	add("deleted", nil)
	for _, other := range d.list(path[strings.LastIndex(path, "."):]) {
		if other != path {
			add("a copy of "+other, func([]byte) []byte { return slices.Clone(d.names[other].data) })
		}
	}
	return names, ways
}

// TestDamage damages a stopped queue in one place after another. SLUICE_DAMAGE=all takes all places.
func TestDamage(t *testing.T) {
	t.Parallel()
	step := 19
	if os.Getenv("SLUICE_DAMAGE") == "all" {
		step = 1
	}
	cases := 0
	for _, sh := range shapes {
		h := build(t, sh)
		for _, path := range append(h.d.list(batchEnding), h.d.list(noteEnding)...) {
			names, ways := damages(h.d, path, rand.New(rand.NewPCG(2, 2)))
			for i, way := range ways {
				if (i+len(path))%step != 0 && i < len(ways)-8 {
					continue
				}
				cases++
				t.Run(fmt.Sprintf("%s/%s/%s", sh.name, path, names[i]), func(t *testing.T) {
					d := h.d.clone()
					if way == nil {
						delete(d.names, path)
						delete(d.stable, path)
					} else {
						d.names[path].data = way(d.names[path].data)
					}
					h.check(t, d, strings.HasSuffix(path, noteEnding))
				})
			}
		}
		t.Run(sh.name+"/all notes deleted", func(t *testing.T) {
			d := h.d.clone()
			maps.DeleteFunc(d.names, func(path string, _ *node) bool { return strings.HasSuffix(path, noteEnding) })
			h.check(t, d, true)
		})
		t.Run(sh.name+"/nothing damaged", func(t *testing.T) { h.check(t, h.d.clone(), false) })
	}
	t.Logf("%d cases", cases)
}

// running opens a queue with some batches, of which the first waits to be tried again, and returns where they lie.
func running(t *testing.T) (m *mount, q *Queue, entries []stored) {
	m, q = reopen(t, &mount{drive: newDrive(model{sector: 512})})
	putSome(t, q, rand.New(rand.NewPCG(4, 4)), 60)
	leases, err := q.Lease(context.Background(), queue.Request{})
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	if err := q.Nack(context.Background(), leases[0].Token, queue.Failure{Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	for _, path := range m.list(batchEnding) {
		data := m.names[path].data
		scan(bytes.NewReader(data), int64(len(data)), func(e *scanned) {
			if e.kind == kindBatch {
				entries = append(entries, stored{e.header, path, e.off, data[e.off : e.off+e.total()]})
			}
		}, func(from, to int64) {})
	}
	return m, q, entries
}

// TestDamageWhileRunning damages files of a running queue.
func TestDamageWhileRunning(t *testing.T) {
	for _, c := range []struct {
		name           string
		damage         func(d *drive, e []stored)
		lost, unusable int64
	}{
		{"payloads", func(_ *drive, e []stored) {
			e[0].b[headerSize+5] ^= 1 // waits to be tried again
			e[20].b[headerSize+5] ^= 1
			e[59].b[headerSize+5] ^= 1
		}, 0, 9},
		{"headers", func(_ *drive, e []stored) {
			e[0].b[30] ^= 1 // is in memory
			e[20].b[30] ^= 1
			e[21].b[30] ^= 1
			e[59].b[30] ^= 1
		}, 9, 0},
		{"all of a segment", func(d *drive, e []stored) { clear(d.names[e[30].path].data) }, -1, 0},
		{"half of a segment cut off", func(d *drive, e []stored) {
			n := d.names[e[30].path]
			n.data = n.data[:len(n.data)/2]
		}, -1, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, q, e := running(t)
			c.damage(m.drive, e)
			found := drain(t, q)
			if c.lost >= 0 && found.Lost != c.lost || int64(found.unreadable) != c.unusable || found.Accepted != 180 {
				t.Errorf("%d lost, %d unreadable, want %d and %d; %+v", found.Lost, found.unreadable, c.lost, c.unusable, found.Stats)
			}
			putSome(t, q, rand.New(rand.NewPCG(5, 4)), 20)
			drain(t, q)
			q.tidy()
			before := sound(t, q)
			m.kill()
			_, q = reopen(t, &mount{drive: m.drive})
			s := drain(t, q).Stats
			wantAccount(t, s, before.Accepted, before.Completed, before.Lost)
		})
	}
}

// TestSegmentGone removes and replaces files of a running queue, whose batches it must write once more.
func TestSegmentGone(t *testing.T) {
	for _, which := range []int{0, 30, 59} {
		for _, replaced := range []bool{false, true} {
			for _, damaged := range []bool{false, true} {
				t.Run(fmt.Sprintf("batch %d, replaced %v, damaged %v", which, replaced, damaged), func(t *testing.T) {
					m, q, e := running(t)
					path := e[which].path
					n := m.names[path]
					delete(m.names, path)
					delete(m.stable, path)
					if replaced {
						m.ids++
						m.names[path] = &node{id: m.ids, data: slices.Clone(n.data)}
						m.stable[path] = m.names[path]
					}
					unusable := 0
					if damaged {
						e[which].b[headerSize+5] ^= 1
						unusable = 3
					}
					for range 3 {
						q.look()
						q.tidy()
					}
					sound(t, q)
					m.kill()
					_, q = reopen(t, &mount{drive: m.drive})
					found := drain(t, q)
					if len(found.delivered) < 180-unusable || found.Lost+int64(found.unreadable) > int64(unusable) {
						t.Errorf("%d records delivered, %d unreadable, %+v", len(found.delivered), found.unreadable, found.Stats)
					}
				})
			}
		}
	}
}

// FuzzScan reads hostile bytes: entries come in order and within the file, and what is neither entry nor zeros is reported.
func FuzzScan(f *testing.F) {
	var g group
	for i := range 3 {
		h := header{kind: kindBatch, first: uint64(i), records: 1}
		g.add(h, func(b []byte) ([]byte, error) { return append(b, strings.Repeat("x", 10*i)...), nil })
	}
	g.finish(7, true)
	f.Add(g.b, 0, byte(0))
	f.Add(g.b, 70, byte(1))
	f.Add(g.b[:130], 3, byte(9))
	f.Add(append(make([]byte, 100), g.b...), 10, byte(0))
	f.Fuzz(func(t *testing.T, b []byte, at int, x byte) {
		if at >= 0 && at < len(b) {
			b = slices.Clone(b)
			b[at] ^= x
		}
		last := int64(0)
		end := scan(bytes.NewReader(b), int64(len(b)), func(e *scanned) {
			if e.off < last || e.off+headerSize > int64(len(b)) || e.bad == "" && len(e.payload) != int(e.length) {
				t.Fatalf("entry at %d after %d of %d bytes: %+v", e.off, last, len(b), e.header)
			}
			if e.bad == "" {
				last = e.off + e.total()
			} else {
				last = e.off + headerSize
			}
		}, func(from, to int64) {
			if from < last || to <= from || to > int64(len(b)) {
				t.Fatalf("damage from %d to %d, after %d of %d bytes", from, to, last, len(b))
			}
			last = to
		})
		if end < 0 || end > int64(len(b)) {
			t.Fatalf("ends at %d of %d", end, len(b))
		}
	})
}

// FuzzEntry writes an entry and reads it back.
func FuzzEntry(f *testing.F) {
	f.Add(byte(1), true, uint64(5), uint32(6), int64(7), []byte("payload"))
	f.Fuzz(func(t *testing.T, kind byte, together bool, first uint64, records uint32, accepted int64, payload []byte) {
		var g group
		h := header{kind: kind, first: first, records: records, size: records, accepted: accepted}
		copy(h.id[:], payload)
		for range 2 {
			g.add(h, func(b []byte) ([]byte, error) { return append(b, payload...), nil })
		}
		g.finish(first, together)
		i := 0
		scan(bytes.NewReader(g.b), int64(len(g.b)), func(e *scanned) {
			want := g.entries[i].header
			if e.header != want || e.bad != "" || !bytes.Equal(e.payload, payload) || e.ordinal != first+uint64(i) {
				t.Fatalf("read %+v, wrote %+v", e, want)
			}
			i++
		}, func(from, to int64) { t.Fatalf("damaged from %d to %d", from, to) })
		if i != 2 {
			t.Fatalf("%d entries, want 2", i)
		}
	})
}

// FuzzNotes reads hostile notes, and reads once more what it understood.
func FuzzNotes(f *testing.F) {
	p := &part{e: &entry{header: header{first: 10}}, runs: []ranges.Range{{First: 10, Last: 12}, {First: 14, Last: 14}}, attempts: 2}
	f.Add([]byte(facts(nil).done(1, ranges.Range{First: 1, Last: 9})))
	f.Add([]byte(facts(nil).part(p)))
	f.Add([]byte(append(facts(nil), opAccepted).num(14)))
	f.Add([]byte(append(facts(nil), opLetters).num(3)))
	back := *p
	back.handBacks = 5
	f.Add([]byte(facts(nil).part(&back)))
	dead := *p
	dead.state, dead.letter, dead.reason = dead.state+2, 3, "no"
	f.Add([]byte(facts(nil).part(&dead)))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &recalled{parts: map[uint64][]*part{}}
		if m.apply(b) != nil {
			return
		}
		var f facts
		for first, parts := range m.parts {
			for _, p := range parts {
				p.e = &entry{header: header{first: first}}
				f = f.part(p)
			}
		}
		for _, r := range m.done.Ranges() {
			f = f.done(r.First, r)
		}
		again := &recalled{parts: map[uint64][]*part{}}
		if err := again.apply(f); err != nil {
			t.Fatalf("what was read can't be written and read: %v", err)
		}
		if again.done.Len() != m.done.Len() || len(again.parts) != len(m.parts) {
			t.Fatalf("read %+v, then %+v", m, again)
		}
		for first, parts := range m.parts {
			for i, p := range parts {
				if q := again.parts[first][i]; !slices.Equal(p.runs, q.runs) || p.state != q.state || p.attempts != q.attempts || p.handBacks != q.handBacks || p.reason != q.reason || !p.due.Equal(q.due) {
					t.Fatalf("wrote %+v, read %+v", p, q)
				}
			}
		}
		m.settle()
	})
}
