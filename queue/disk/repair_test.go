package disk

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// logged is a queue on real files with what it logged.
type logged struct {
	*Queue
	log *bytes.Buffer
}

func openLogged(t *testing.T, dir string) logged {
	t.Helper()
	var text bytes.Buffer
	q, err := Open(context.Background(), Options{Dir: dir, SegmentBytes: 64 << 10, MinFreeBytes: -1, Logger: slog.New(slog.NewTextHandler(&text, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return logged{q, &text}
}

// putNoise puts batches of records that hardly pack, about 9 kB each.
func (q logged) putNoise(t *testing.T, batches, records int, name string) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(len(name))))
	for i := range batches {
		var lines bytes.Buffer
		for n := range records {
			raw := make([]byte, 90*100/records)
			for k := range raw {
				raw[k] = byte(r.Uint32())
			}
			fmt.Fprintf(&lines, "{\"body\":%q}\n", fmt.Sprintf("%s-%d-%d %s", name, i, n, base64.StdEncoding.EncodeToString(raw)))
		}
		if err := q.Put(t.Context(), sluice.NewBatch(lines.Bytes(), records, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
}

// drainAll acknowledges everything and returns how many records were delivered.
func (q logged) drainAll(t *testing.T) (n int) {
	t.Helper()
	for {
		leases, err := q.Lease(t.Context(), queue.Request{Max: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(leases) == 0 {
			return n
		}
		for _, l := range leases {
			n += l.Batch.Len()
			if err := q.Ack(t.Context(), l.Token); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (q logged) closed(t *testing.T) queue.Stats {
	t.Helper()
	st, err := q.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Accepted != st.Completed+st.Dead+st.Waiting+st.InFlight+st.Lost {
		t.Errorf("the account does not add up: %+v", st)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	return st
}

// TestNothingIsStoredWithinADamagedEntry: a header that survives its payload claims a length, and what is appended later must
// not lie within it.
func TestNothingIsStoredWithinADamagedEntry(t *testing.T) {
	for _, cut := range []int64{1, 200, 1500, 8000} {
		dir := t.TempDir()
		q := openLogged(t, dir)
		q.putNoise(t, 1, 100, "first")
		q.drainAll(t)
		q.closed(t)
		path := filepath.Join(dir, queueName, segmentName(1, batchEnding))
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()-cut); err != nil {
			t.Fatal(err)
		}
		openLogged(t, dir).Close()
		q = openLogged(t, dir)
		for range 3 { // together shorter than what is missing
			if err := q.Put(t.Context(), sluice.NewBatch([]byte("{}\n"), 1, time.Now())); err != nil {
				t.Fatal(err)
			}
		}
		q.closed(t)
		q = openLogged(t, dir)
		n := q.drainAll(t)
		if st := q.closed(t); n != 3 || st.Lost != 0 || st.Completed != 103 {
			t.Errorf("%d bytes cut off: %d of 3 new records delivered, %+v", cut, n, st)
		}
	}
}

// TestSwappedNames: segments that have each other's names are all there.
func TestSwappedNames(t *testing.T) {
	dir := t.TempDir()
	q := openLogged(t, dir)
	q.putNoise(t, 40, 10, "x")
	q.closed(t)
	name := func(n uint64) string { return filepath.Join(dir, queueName, segmentName(n, batchEnding)) }
	for _, move := range [][2]string{{name(2), name(99)}, {name(4), name(2)}, {name(99), name(4)}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		q = openLogged(t, dir)
		if !strings.Contains(q.log.String(), "segment has the name of another one") {
			t.Errorf("the log does not name it: %s", q.log)
		}
		q.putNoise(t, 1, 10, "more")
		q.closed(t)
	}
	q = openLogged(t, dir)
	n := q.drainAll(t)
	if st := q.closed(t); n != 420 || st.Lost != 0 {
		t.Errorf("%d records delivered, %+v; want 420, none lost", n, st)
	}
}

// TestDamageOverSeveralEntries: everything that is damaged is reported and kept when the queue opens, and never again.
func TestDamageOverSeveralEntries(t *testing.T) {
	dir := t.TempDir()
	q := openLogged(t, dir)
	q.putNoise(t, 6, 100, "x")
	q.closed(t)
	path := filepath.Join(dir, queueName, segmentName(1, batchEnding))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	const from, length = 12_000, 25_000 // from within the payload of the second batch
	if _, err := f.WriteAt(make([]byte, length), from); err != nil {
		t.Fatal(err)
	}
	f.Close()
	q = openLogged(t, dir)
	st := q.closed(t)
	if st.Dead != 100 || st.Lost == 0 || st.Lost%100 != 0 {
		t.Errorf("%+v; want the batch whose header is whole dead, and others lost", st)
	}
	var kept int64
	bad, _ := filepath.Glob(filepath.Join(dir, queueName, "*"+badEnding))
	for _, name := range bad {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		kept += info.Size()
	}
	if kept < length {
		t.Errorf("%d bytes are kept in %v, want the %d that were damaged and their entries", kept, bad, length)
	}
	if text := q.log.String(); !strings.Contains(text, fmt.Sprintf("records=%d", st.Lost)) || !strings.Contains(text, "segment_or_after=") {
		t.Errorf("the log does not say how many were lost, and where: %s", text)
	}
	q = openLogged(t, dir)
	if strings.Contains(q.log.String(), "level=ERROR") {
		t.Errorf("reported again: %s", q.log)
	}
	n := q.drainAll(t)
	if st := q.closed(t); n != 600-int(st.Lost)-100 || st.Waiting != 0 {
		t.Errorf("%d records delivered, %+v", n, st)
	}
}

// TestAFileThatTookASegmentsNameIsLeftAlone: the operator may want to keep it.
func TestAFileThatTookASegmentsNameIsLeftAlone(t *testing.T) {
	q := openLogged(t, t.TempDir())
	defer q.Close()
	q.putNoise(t, 1, 1, "a")
	s := q.data.last()
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := q.data.remove(s); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(s.path); err != nil || string(text) != "something else" {
		t.Errorf("%q, %v; want the file as it was", text, err)
	}
}
