package disk

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
)

// Every file of the engine is a sequence of entries: a header of 64 bytes and a payload. Numbers are big endian.
//
//	offset  size
//	     0     4  magic: ff 53 51 and the version of the format, 1; ff is in no UTF-8 text, so no record contains it
//	     4     4  CRC-32C of the version and of the header from byte 8 on
//	     8     1  kind
//	     9     1  1 where the entry is the last one of its group
//	    10     2  place in its group, from 0
//	    12     4  length of the payload
//	    16     8  ordinal: entries of a log are numbered without gaps
//	    24     8  number of the first record: records are numbered without gaps, from 1, in the order of their acceptance
//	    32     4  records
//	    36     4  length of the records' lines, unpacked
//	    40     8  time of acceptance, nanoseconds since 1970
//	    48    12  ID of the batch
//	    60     4  CRC-32C of the payload
//
// A group is the entries of one write. The header has a checksum of its own and names batch and records, so a damaged
// payload leaves its batch known. If a header is damaged, the numbers of its neighbours show which records are missing.
const (
	headerSize    = 64
	formatVersion = 1
)

var magic = []byte{0xff, 'S', 'Q', formatVersion}

// The kinds of entries.
const (
	kindStart = 1 + iota // the first of each segment; its first record is the next to be accepted
	kindBatch            // a batch as it was put
	kindCopy             // a batch that was moved from an older segment; it keeps the numbers of its records
	kindNote             // changes of state, see notes.go
)

type header struct {
	kind     byte
	last     bool
	place    uint16
	length   uint32
	ordinal  uint64
	first    uint64
	records  uint32
	size     uint32
	accepted int64
	id       [12]byte
	sum      uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// end is the number after that of the last record.
func (h *header) end() uint64 { return h.first + uint64(h.records) }

// setID sets the ID of the batch.
func (h *header) setID(id string) error {
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != len(h.id) {
		return fmt.Errorf("batch ID %q, must be 24 hexadecimal digits", id)
	}
	copy(h.id[:], b)
	return nil
}

// setNotes records in the first entry of a segment how many notes existed when the segment began; notes reads it.
func (h *header) setNotes(n uint64) { binary.BigEndian.PutUint64(h.id[:], n) }

func (h *header) notes() uint64 { return binary.BigEndian.Uint64(h.id[:]) }

// total is the length of the entry with its header.
func (h *header) total() int64 { return headerSize + int64(h.length) }

func (h *header) encode(b []byte) {
	copy(b, magic)
	b[8], b[9] = h.kind, 0
	if h.last {
		b[9] = 1
	}
	binary.BigEndian.PutUint16(b[10:], h.place)
	binary.BigEndian.PutUint32(b[12:], h.length)
	binary.BigEndian.PutUint64(b[16:], h.ordinal)
	binary.BigEndian.PutUint64(b[24:], h.first)
	binary.BigEndian.PutUint32(b[32:], h.records)
	binary.BigEndian.PutUint32(b[36:], h.size)
	binary.BigEndian.PutUint64(b[40:], uint64(h.accepted))
	copy(b[48:], h.id[:])
	binary.BigEndian.PutUint32(b[60:], h.sum)
	binary.BigEndian.PutUint32(b[4:], headerSum(b))
}

func headerSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[3:4], castagnoli), castagnoli, b[8:headerSize])
}

// foreign returns the version of a header of another version. Every version has magic and checksum at the same offsets.
func foreign(b []byte) (version byte, ok bool) {
	return b[3], bytes.Equal(b[:3], magic[:3]) && b[3] != formatVersion && binary.BigEndian.Uint32(b[4:]) == headerSum(b)
}

// decode reads a header, or reports that there is none.
func (h *header) decode(b []byte) bool {
	if len(b) < headerSize || !bytes.Equal(b[:4], magic) || binary.BigEndian.Uint32(b[4:]) != headerSum(b) {
		return false
	}
	*h = header{
		kind: b[8], last: b[9] == 1, place: binary.BigEndian.Uint16(b[10:]), length: binary.BigEndian.Uint32(b[12:]),
		ordinal: binary.BigEndian.Uint64(b[16:]), first: binary.BigEndian.Uint64(b[24:]),
		records: binary.BigEndian.Uint32(b[32:]), size: binary.BigEndian.Uint32(b[36:]),
		accepted: int64(binary.BigEndian.Uint64(b[40:])), sum: binary.BigEndian.Uint32(b[60:]),
	}
	copy(h.id[:], b[48:])
	return true
}

// group is entries on their way into a log.
type group struct {
	b       []byte
	entries []pending
}

type pending struct {
	header
	at int // of the header in group.b
}

func (g *group) reset() {
	if cap(g.b) > keepGroup {
		g.b = nil
	}
	g.b, g.entries = g.b[:0], g.entries[:0]
}

// keepGroup is the largest buffer that is kept for the next group, in bytes.
const keepGroup = 8 << 20

// add appends an entry, whose payload is what the function appends. After an error the group is as it was before.
func (g *group) add(h header, payload func([]byte) ([]byte, error)) error {
	at := len(g.b)
	b, err := payload(append(g.b, make([]byte, headerSize)...))
	if err != nil {
		return err
	}
	g.b = b
	h.length, h.sum = uint32(len(b)-at-headerSize), crc32.Checksum(b[at+headerSize:], castagnoli)
	g.entries = append(g.entries, pending{h, at})
	return nil
}

// cut takes back the entries from the i-th on.
func (g *group) cut(i int) {
	if i < len(g.entries) {
		g.b, g.entries = g.b[:g.entries[i].at], g.entries[:i]
	}
}

// finish writes the headers. The entries form one group, or one each.
func (g *group) finish(ordinal uint64, together bool) {
	for i := range g.entries {
		e := &g.entries[i]
		e.ordinal, e.last, e.place = ordinal+uint64(i), true, 0
		if together {
			e.last, e.place = i == len(g.entries)-1, uint16(i)
		}
		e.encode(g.b[e.at:])
	}
}

// scanned is an entry as a scan finds it.
type scanned struct {
	header
	off     int64
	payload []byte // only until the next entry
	bad     string // the problem with the payload; empty if it is intact
}

// scan reads the entries of a file of some size. It skips damaged bytes up to the next intact header and reports each
// such stretch. It returns where the readable entries end; zeros behind that are no damage.
func scan(f io.ReaderAt, size int64, visit func(*scanned), damaged func(from, to int64)) (end int64) {
	w := window{f: f, size: size}
	var s scanned
	bad := int64(-1) // where the damage began that is being passed over
	for off := int64(0); off < size; {
		if !s.decode(w.read(off, headerSize)) {
			if bad < 0 {
				bad = off
			}
			off = w.find(off + 1)
			continue
		}
		if bad >= 0 {
			damaged(bad, off)
			bad = -1
		}
		s.off, s.bad = off, ""
		s.payload = w.read(off+headerSize, int(min(int64(s.length), size)))
		end = off + s.total()
		switch {
		case len(s.payload) < int(s.length):
			s.bad = "cut short"
		case crc32.Checksum(s.payload, castagnoli) != s.sum:
			s.bad = "checksum differs"
		}
		if s.bad != "" { // the length may lead astray where bytes were taken out or put in
			var next header
			if end = min(end, size); end < size && !next.decode(w.read(end, headerSize)) {
				end = w.find(off + headerSize)
			}
			s.payload = nil
		}
		visit(&s)
		if should := off + s.total(); end > should && !(end == size && w.zero(should)) { // and what follows is damaged, too
			bad = should
		}
		off = end
	}
	if bad >= 0 && !w.zero(bad) {
		damaged(bad, size)
	}
	return end
}

// window reads a file in large pieces. What can't be read counts as zeros.
type window struct {
	f    io.ReaderAt
	size int64
	buf  []byte // what the file has from at on
	at   int64
}

const windowSize = 1 << 20

// read returns n bytes from off on, fewer at the end of the file.
func (w *window) read(off int64, n int) []byte {
	n = int(max(min(int64(n), w.size-off), 0))
	if i := off - w.at; i >= 0 && i+int64(n) <= int64(len(w.buf)) {
		return w.buf[i : i+int64(n)]
	}
	k := int(min(int64(max(n, windowSize)), w.size-off))
	if cap(w.buf) < k {
		w.buf = make([]byte, k)
	}
	w.buf, w.at = w.buf[:k], off
	if got, err := w.f.ReadAt(w.buf, off); err != nil && got < k {
		const block = 4096 // what a disk can't read is lost in blocks of this size or a multiple
		for i := 0; i < k; i += block {
			piece := w.buf[i:min(i+block, k)]
			if got, err := w.f.ReadAt(piece, off+int64(i)); err != nil {
				clear(piece[got:])
			}
		}
	}
	return w.buf[:n]
}

// find returns where the next header begins from off on, or the size of the file.
func (w *window) find(off int64) int64 {
	var h header
	for off < w.size {
		b := w.read(off, windowSize)
		i := bytes.Index(b, magic)
		switch {
		case i >= 0 && h.decode(w.read(off+int64(i), headerSize)):
			return off + int64(i)
		case i >= 0:
			off += int64(i) + 1
		case len(b) < len(magic) || off+int64(len(b)) == w.size:
			return w.size
		default:
			off += int64(len(b) - len(magic) + 1)
		}
	}
	return w.size
}

// zero reports whether the file has nothing but zeros from off on.
func (w *window) zero(off int64) bool {
	for off < w.size {
		b := w.read(off, windowSize)
		for _, c := range b {
			if c != 0 {
				return false
			}
		}
		off += int64(len(b))
	}
	return true
}
