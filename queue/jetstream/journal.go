package jetstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// The journal is a file of 64-byte slots, each with a checksum and each written in place by one write call. Slot 0 names the
// format, then one slot for each possible partition counts what it accepted, and the rest describe batches that were leased
// at least once and are unfinished, or acknowledged but not yet deleted. A slot whose checksum is wrong counts as empty.
const (
	slotBytes    = 64
	journalMagic = 0x736c756963650001 // "sluice", version 1
	maxParts     = 64
	firstBatch   = 1 + maxParts // the first slot that describes a batch
)

// key names a stored batch.
type key struct {
	part int
	seq  uint64 // in the partition's stream
}

// accepted is what a partition has ever taken in.
type accepted struct {
	seq     uint64 // of the last message that the counts include
	records int64
}

// trace is what must be remembered of a batch that was leased.
type trace struct {
	key
	attempts int
	open     bool   // it is leased
	remote   bool   // by an analyzer of another process
	done     bool   // it was acknowledged, and its message has to be deleted
	nonce    uint64 // of the lease's token
	records  int    // of the batch
	bytes    int64  // that its message takes in the stream
}

type journal struct {
	f     *os.File
	dirty atomic.Bool

	mu   sync.Mutex
	free []int // slots below next that are not in use
	next int   // the first slot never used
}

// openJournal opens or makes the file at path and returns what it remembers.
func openJournal(path string) (j *journal, parts [maxParts]accepted, traces map[int]trace, fresh bool, err error) {
	fail := func(err error) (*journal, [maxParts]accepted, map[int]trace, bool, error) {
		return nil, parts, nil, false, fmt.Errorf("open journal: %w", err)
	}
	_, err = os.Stat(path)
	fresh = errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fail(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		f.Close()
		return fail(err)
	}
	j = &journal{f: f, next: firstBatch}
	if head, ok := readSlot(content, 0); !ok || binary.BigEndian.Uint64(head) != journalMagic {
		if len(content) >= slotBytes && !fresh {
			f.Close()
			return fail(fmt.Errorf("%s is not a journal of this version", path))
		}
		fresh = true
		var head [slotBytes]byte
		binary.BigEndian.PutUint64(head[:], journalMagic)
		if err := j.write(0, head); err != nil {
			f.Close()
			return fail(err)
		}
		return j, parts, nil, fresh, nil
	}
	for p := range parts {
		if s, ok := readSlot(content, 1+p); ok {
			parts[p] = accepted{binary.BigEndian.Uint64(s), int64(binary.BigEndian.Uint64(s[8:]))}
		}
	}
	traces = map[int]trace{}
	for slot := firstBatch; slot*slotBytes < len(content); slot++ {
		j.next = slot + 1
		s, ok := readSlot(content, slot)
		if !ok || s[0] == 0 {
			j.free = append(j.free, slot)
			continue
		}
		traces[slot] = trace{
			key:      key{int(binary.BigEndian.Uint16(s[2:])), binary.BigEndian.Uint64(s[8:])},
			attempts: int(binary.BigEndian.Uint32(s[4:])),
			open:     s[1]&1 != 0,
			remote:   s[1]&2 != 0,
			done:     s[1]&4 != 0,
			nonce:    binary.BigEndian.Uint64(s[16:]),
			records:  int(binary.BigEndian.Uint64(s[24:])),
			bytes:    int64(binary.BigEndian.Uint64(s[32:])),
		}
	}
	return j, parts, traces, false, nil
}

func readSlot(content []byte, slot int) ([]byte, bool) {
	at := slot * slotBytes
	if at+slotBytes > len(content) {
		return nil, false
	}
	s := content[at : at+slotBytes]
	return s, crc32.ChecksumIEEE(s[:slotBytes-4]) == binary.BigEndian.Uint32(s[slotBytes-4:])
}

func (j *journal) write(slot int, s [slotBytes]byte) error {
	binary.BigEndian.PutUint32(s[slotBytes-4:], crc32.ChecksumIEEE(s[:slotBytes-4]))
	j.dirty.Store(true)
	_, err := j.f.WriteAt(s[:], int64(slot)*slotBytes)
	return err
}

func (j *journal) setAccepted(part int, a accepted) error {
	var s [slotBytes]byte
	binary.BigEndian.PutUint64(s[:], a.seq)
	binary.BigEndian.PutUint64(s[8:], uint64(a.records))
	return j.write(1+part, s)
}

// slot reserves a slot for a batch.
func (j *journal) slot() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.free); n > 0 {
		slot := j.free[n-1]
		j.free = j.free[:n-1]
		return slot
	}
	j.next++
	return j.next - 1
}

func (j *journal) set(slot int, t trace) error {
	var s [slotBytes]byte
	s[0] = 1
	if t.open {
		s[1] |= 1
	}
	if t.remote {
		s[1] |= 2
	}
	if t.done {
		s[1] |= 4
	}
	binary.BigEndian.PutUint16(s[2:], uint16(t.part))
	binary.BigEndian.PutUint32(s[4:], uint32(t.attempts))
	binary.BigEndian.PutUint64(s[8:], t.seq)
	binary.BigEndian.PutUint64(s[16:], t.nonce)
	binary.BigEndian.PutUint64(s[24:], uint64(t.records))
	binary.BigEndian.PutUint64(s[32:], uint64(t.bytes))
	return j.write(slot, s)
}

// clear empties a batch's slot and gives it up.
func (j *journal) clear(slot int) error {
	err := j.write(slot, [slotBytes]byte{})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.free = append(j.free, slot)
	return err
}

// syncLoop brings the journal to disk once a second while it changes, until done closes.
func (j *journal) syncLoop(done <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if j.dirty.Swap(false) {
				j.f.Sync()
			}
		}
	}
}

func (j *journal) close() error {
	return errors.Join(j.f.Sync(), j.f.Close())
}
