package distributor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemoryOfAnyBody: what a body takes is bounded by what it may claim, whatever is in it.
func TestMemoryOfAnyBody(t *testing.T) {
	const size = 4 << 20
	fill := func(s string) []byte { return bytes.Repeat([]byte(s), size/len(s)) }
	array := func(b []byte) []byte { return append(append([]byte("["), b[:len(b)-1]...), ']') }
	tests := []struct {
		name, encoding string
		format         Format
		body           []byte
		o              Options
	}{
		{"tiny lines of text", "", Text, fill("a\n"), Options{}},
		{"tiny lines of text, each a batch", "", Text, fill("a\n"), Options{MaxBatchRecords: 1}},
		{"tiny records, each a batch", "", NDJSON, fill("{}\n"), Options{MaxBatchRecords: 1}},
		{"tiny lines that grow", "", Text, fill("\x01\n"), Options{}},
		{"a line that grows", "", Text, fill("\x01"), Options{}},
		{"long lines that grow", "", Text, fill(strings.Repeat("\x01", 170_000) + "\n"), Options{}},
		{"array of empty objects", "", JSON, array(fill("{},")), Options{}},
		{"array of bad elements", "", JSON, array(fill("1,")), Options{}},
		{"objects over lines", "", JSON, fill("{\n} "), Options{}},
		{"open arrays", "", JSON, fill("["), Options{}},
		{"packed", "gzip", Text, gzipped(fill("\x01\n")), Options{}},
		{"packed by zstd", "zstd", JSON, zstded(array(fill("{},"))), Options{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.MaxBodyBytes, tt.o.MaxInFlightBytes = size, 12<<20
			d := newDistributor(t, &store{fail: func(int) error { return errors.New("not stored") }}, tt.o)
			most := uint64(22 << 20) // what is claimed, and what the batches of one commit take beside it
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := d.Take(t.Context(), Media{Format: tt.format, Codings: codings(tt.encoding)}, int64(len(tt.body)), bytes.NewReader(tt.body))
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > most {
				t.Errorf("%d MB were allocated for a body of %d MB, want at most %d MB; %+v, %v", took>>20, len(tt.body)>>20, most>>20, r.Rejected, err)
			}
			if d.memory.inUse() != 0 || d.memory.large != 0 || d.memory.leaving != 0 || len(d.memory.claims) != 0 {
				t.Errorf("memory was not given back: %+v", d.memory)
			}
		})
	}
}

// TestEscapedSize: the size of a text is known before it is written.
func TestEscapedSize(t *testing.T) {
	for _, text := range []string{"", "plain", "a\"b\\c\td\re\nf\x00\x7f", "caf\xe9 \xff\xfe", "é世界😀\u2028"} {
		if got, want := escapedSize([]byte(text)), len(appendEscaped(nil, []byte(text))); got != want {
			t.Errorf("%q: %d bytes, want %d", text, got, want)
		}
	}
}

// TestABodyThatNeverFitsIsTooLarge: it is not asked to come again, for that would not help.
func TestABodyThatNeverFitsIsTooLarge(t *testing.T) {
	d := newDistributor(t, &store{}, Options{MaxBodyBytes: 1 << 20, MaxInFlightBytes: 2 << 20, MaxBatchRecords: 1, Hold: time.Hour})
	_, err := take(d, "", bytes.Repeat([]byte("{}\n"), 300_000))
	if large, ok := errors.AsType[*TooLargeError](err); !ok || !large.Decoded || large.Limit != 2<<20 {
		t.Errorf("%v, want a TooLargeError of max_in_flight_bytes", err)
	}
}

func TestZstdBytes(t *testing.T) {
	frame := func(window byte) []byte { // of one block: a letter, repeated
		return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window << 3, 0x43, 0x1f, 0, 'a'}
	}
	sized := func(n uint64) []byte {
		return append(binary.LittleEndian.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, n), 0x43, 0x1f, 0, 'a')
	}
	skipped := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}
	for _, tt := range []struct {
		name   string
		body   []byte
		window int64
	}{
		{"one frame", frame(10), 1 << 20},
		{"the largest counts, wherever it is", slices.Concat(frame(0), skipped, frame(13), frame(4)), 8 << 20},
		{"a content size", sized(3 << 20), 3 << 20},
		{"an absurd one", sized(60 << 30), 1<<31 - 1},
		{"real frames", append(zstded(bytes.Repeat([]byte("abc"), 100_000)), frame(12)...), 4 << 20},
		{"cut off", frame(10)[:5], 0}, {"none", []byte("none"), 0}, {"nothing", nil, 0},
	} {
		if got, most := zstdBytes(tt.body), tt.window+600<<10; got < tt.window || got > most {
			t.Errorf("%s: %d bytes, want %d to %d", tt.name, got, tt.window, most)
		}
	}
	few := newDistributor(t, &store{}, Options{MaxBodyBytes: 1 << 20, MaxInFlightBytes: 2 << 20})
	if large, ok := errors.AsType[*TooLargeError](second(take(few, "zstd", frame(13)))); !ok || !large.Decoded {
		t.Error("a window of 8 MiB was not claimed")
	}
	d := newDistributor(t, &store{}, Options{})
	if _, err := take(d, "zstd", sized(60<<30)); err == nil || d.memory.inUse() != 0 {
		t.Errorf("a frame that says it has 60 GB: %v, want it refused", err)
	} else if _, ok := errors.AsType[*WindowError](err); !ok {
		t.Errorf("a frame that says it has 60 GB: %v, want a WindowError", err)
	}
}

func second(_ Result, err error) error { return err }

// dripping is a body whose sender is as slow as a test wants it to be.
type dripping struct {
	first []byte // that comes at once
	more  int    // bytes each time
	every time.Duration
	cut   chan struct{}
	once  sync.Once
}

func (b *dripping) Interrupt() { b.once.Do(func() { close(b.cut) }) }

func (b *dripping) Read(p []byte) (int, error) {
	if n := copy(p, b.first); n > 0 {
		b.first = b.first[n:]
		return n, nil
	}
	select {
	case <-b.cut:
		return 0, errors.New("interrupted")
	case <-time.After(b.every):
		return copy(p, bytes.Repeat([]byte(" "), b.more)), nil
	}
}

// TestSlowBodiesGiveWay: senders that keep the memory full hold nobody up, however they are slow. A body that came before
// them at a good rate is not given up for them.
func TestSlowBodiesGiveWay(t *testing.T) {
	const body = 512 << 10
	tests := []struct {
		name  string
		first int // bytes
		more  int
		every time.Duration
	}{
		{"silent behind a large start", 50_000, 1, 4 * time.Second},
		{"silent from the start", 0, 1, 4 * time.Second},
		{"a byte now and then", 25_000, 1, 50 * time.Millisecond},
		{"as fast as is never slow", 20_000, slowRate / 8, 100 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, err := New(&store{}, Options{MaxBodyBytes: body, MaxInFlightBytes: 1 << 20, Hold: time.Second})
				if err != nil {
					t.Fatal(err)
				}
				stop := make(chan struct{})
				var all sync.WaitGroup
				for range 60 {
					all.Go(func() {
						for {
							b := &dripping{first: append([]byte("["), bytes.Repeat([]byte(" "), tt.first)...), more: tt.more, every: tt.every, cut: make(chan struct{})}
							time.AfterFunc(time.Minute, b.Interrupt)
							d.Take(context.Background(), Media{Format: JSON}, body, b)
							select {
							case <-stop:
								return
							case <-time.After(100 * time.Millisecond):
							}
						}
					})
				}
				good := []byte(strings.Repeat("{\"a\":1}\n", 1000))
				begun := time.Now()
				last := begun
				for time.Since(last) < 5*time.Second && time.Since(begun) < 10*time.Second {
					time.Sleep(100 * time.Millisecond)
					if r, err := take(d, "", good); err == nil && r.Accepted == 1000 {
						last = time.Now()
					}
				}
				if away := time.Since(last); away >= 5*time.Second {
					t.Errorf("an honest sender was kept out for %v; %+v", away, d.Stats())
				}
				close(stop)
				all.Wait()
				if d.memory.inUse() != 0 || d.memory.leaving != 0 {
					t.Errorf("memory was not given back: %d, %d leaving", d.memory.inUse(), d.memory.leaving)
				}
				d.Close()
			})
		})
	}
}

// TestLargeBodiesLeaveRoomForSmallOnes: those that hold the memory and are not slow at all.
func TestLargeBodiesLeaveRoomForSmallOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := New(&store{}, Options{MaxBodyBytes: 1 << 20, MaxInFlightBytes: 2 << 20, Hold: -1})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var writers []*io.PipeWriter
		for range 8 {
			r, w := io.Pipe()
			writers = append(writers, w)
			all.Go(func() { d.Take(context.Background(), Media{Format: JSON}, 1<<20, r) })
			all.Go(func() { w.Write(append([]byte("["), bytes.Repeat([]byte(" "), 900_000)...)) })
		}
		synctest.Wait()
		if d.memory.inUse() < 1<<20 {
			t.Fatalf("only %d bytes are held", d.memory.inUse())
		}
		for range 20 {
			if r, err := take(d, "", []byte(strings.Repeat("{}\n", 100))); err != nil || r.Accepted != 100 {
				t.Fatalf("%+v, %v; want 100 accepted beside large bodies", r, err)
			}
		}
		for _, w := range writers {
			w.CloseWithError(io.ErrUnexpectedEOF)
		}
		all.Wait()
		d.Close()
	})
}

// TestTheLargestWaitsLeast: of large bodies that wait for more, the one that has most gets it first.
func TestTheLargestWaitsLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(Options{MaxInFlightBytes: 6400, Hold: time.Minute}) // small is 100, the lane 800
		a, b, c := &claim{m: m}, &claim{m: m}, &claim{m: m}
		for _, x := range []struct {
			*claim
			n int
		}{{a, 1000}, {b, 2000}, {c, 2500}} {
			if err := x.grow(t.Context(), x.n); err != nil {
				t.Fatal(err)
			}
		}
		var order []string
		var all sync.WaitGroup
		for _, x := range []struct {
			*claim
			name string
		}{{a, "a"}, {b, "b"}} {
			all.Go(func() {
				if err := x.grow(t.Context(), 1500); err != nil {
					t.Error(err)
				}
				order = append(order, x.name)
				x.end()
			})
			synctest.Wait()
		}
		c.end()
		all.Wait()
		if fmt.Sprint(order) != "[b a]" {
			t.Errorf("order %v, want [b a]", order)
		}
	})
}

func TestPace(t *testing.T) {
	start := time.Unix(0, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	var p pace
	p.begin(at(0))
	if _, ok := p.rate(at(400)); ok {
		t.Error("a rate after less than half a second")
	}
	if rate, ok := p.rate(at(1000)); !ok || rate != 0 {
		t.Errorf("silent: %v, %v; want 0", rate, ok)
	}
	p.end(at(1000), 5000)
	if _, ok := p.rate(at(60_000)); ok {
		t.Error("a rate while nobody waits for the sender")
	}
	p.begin(at(60_000))
	if rate, ok := p.rate(at(60_100)); !ok || rate != 5000 {
		t.Errorf("%v, %v; want the 5000 bytes/s of the interval before", rate, ok)
	}
	if rate, ok := p.rate(at(62_000)); !ok || rate != 0 {
		t.Errorf("silent again: %v, %v; want 0, whatever came before", rate, ok)
	}
}

// TestADecoderClaimsFirst: where there is no memory for the lines that a body becomes, none is taken.
func TestADecoderClaimsFirst(t *testing.T) {
	m := newMemory(Options{MaxInFlightBytes: 1 << 20, Hold: -1})
	for _, body := range []string{strings.Repeat("\x01", 300_000) + "\n", "[{\"a\":\"" + strings.Repeat("a", 1_100_000) + "\"}]"} {
		c := &claim{m: m}
		d := NewDecoder(Sniff, 4<<20)
		d.ctx, d.claim = t.Context(), c
		d.Next([]byte(body), true)
		if _, ok := errors.AsType[*TooLargeError](d.noRoom); !ok || cap(d.out) > 0 {
			t.Errorf("%.5q: %v with %d bytes taken, want none and a TooLargeError", body, d.noRoom, cap(d.out))
		}
		c.end()
	}
}

// interrupted ends a claim when its body is interrupted, as the reader of the body does.
type interrupted struct{ cut chan struct{} }

func (i interrupted) Interrupt() { close(i.cut) }

// TestSlowBodiesGiveWayToLargeOnes: only as many as are needed, and none that comes well.
func TestSlowBodiesGiveWayToLargeOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(Options{MaxInFlightBytes: 6400, Hold: 5 * time.Second})
		var given atomic.Int64
		var all sync.WaitGroup
		done := make(chan struct{})
		for i := range 8 {
			body := interrupted{make(chan struct{})}
			c := &claim{m: m, body: body}
			if err := c.grow(t.Context(), 700); err != nil {
				t.Fatal(err)
			}
			if c.pace.begin(time.Now()); i == 0 {
				c.pace.bytes = 100 * slowRate
			}
			all.Go(func() {
				select {
				case <-body.cut:
					if given.Add(1); i == 0 {
						t.Error("a fast body was given up for a large one")
					}
				case <-done:
				}
				c.end()
			})
		}
		large := &claim{m: m}
		if err := large.grow(t.Context(), 2000); err != nil {
			t.Errorf("%v, want room made by slow bodies", err)
		}
		large.end()
		if n := given.Load(); n == 0 || n > 4 {
			t.Errorf("%d slow bodies were given up, want 3 or 4", n)
		}
		close(done)
		all.Wait()
	})
}

// TestLargeBodiesLeaveALane: what small bodies alone may have.
func TestLargeBodiesLeaveALane(t *testing.T) {
	m := newMemory(Options{MaxInFlightBytes: 6400, Hold: -1})
	large, small := &claim{m: m}, &claim{m: m}
	if err := large.grow(t.Context(), 5500); err != nil {
		t.Fatal(err)
	}
	if err := small.grow(t.Context(), 50); err != nil {
		t.Fatal(err)
	}
	if err := large.grow(t.Context(), 700); err == nil {
		t.Error("a large body got what is left to small ones")
	}
	if err := small.grow(t.Context(), 50); err != nil {
		t.Errorf("a small body: %v", err)
	}
	small.end()
	if err := large.grow(t.Context(), 700); err != nil {
		t.Errorf("the only body: %v, want all of the memory", err)
	}
}
