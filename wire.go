package sluice

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"
)

// MaxBatchBytes is the most that a batch may hold, unpacked. It bounds what a damaged or hostile stored form can make a
// reader allocate; distributors make batches of about 1 MiB.
const MaxBatchBytes = 64 << 20

// The stored form of a batch is a header and a payload:
//
//	offset  size
//	     0     1  'S'
//	     1     1  version, 1
//	     2    12  ID
//	    14     8  time of acceptance, nanoseconds since 1970, big endian
//	    22     4  number of records, big endian
//	    26     4  length of the lines, big endian
//	    30        the lines, as one S2 block
//
// S2 packs typical logs to a fifth at more than 2 GB/s, which is faster than any disk takes them unpacked.
const (
	wireMagic   = 'S'
	wireVersion = 1
	wireHeader  = 30
)

// ErrNotABatch says that bytes are not the stored form of a batch.
var ErrNotABatch = errors.New("not a stored batch")

// Encode returns the stored form of the batch.
func (b *Batch) Encode() ([]byte, error) { return b.AppendEncode(nil) }

// AppendEncode appends the stored form of the batch to out, whose spare room it uses.
func (b *Batch) AppendEncode(out []byte) ([]byte, error) {
	if b.size > MaxBatchBytes {
		return nil, fmt.Errorf("batch of %d bytes, want at most %d", b.size, MaxBatchBytes)
	}
	id, err := hex.DecodeString(b.ID)
	if err != nil || len(id) != 12 {
		return nil, fmt.Errorf("batch ID %q, want 24 hexadecimal digits", b.ID)
	}
	var head [wireHeader]byte
	head[0], head[1] = wireMagic, wireVersion
	copy(head[2:], id)
	binary.BigEndian.PutUint64(head[14:], uint64(b.Accepted.UnixNano()))
	binary.BigEndian.PutUint32(head[22:], uint32(b.count))
	binary.BigEndian.PutUint32(head[26:], uint32(b.size))
	if b.packed != nil {
		return append(append(out, head[:]...), b.packed...), nil
	}
	out = append(slices.Grow(out, wireHeader+s2.MaxEncodedLen(len(b.lines))), head[:]...)
	packed := s2.Encode(out[len(out):cap(out)], b.lines)
	return out[:len(out)+len(packed)], nil
}

// DecodeBatch reads the stored form. The batch keeps data. The payload is unpacked when it is first looked at, so that a
// batch which is only passed on costs nothing.
func DecodeBatch(data []byte) (*Batch, error) {
	if len(data) < wireHeader || data[0] != wireMagic {
		return nil, ErrNotABatch
	}
	if data[1] != wireVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads %d", ErrNotABatch, data[1], wireVersion)
	}
	b := &Batch{
		ID:       hex.EncodeToString(data[2:14]),
		Accepted: time.Unix(0, int64(binary.BigEndian.Uint64(data[14:]))).UTC(),
		count:    int(binary.BigEndian.Uint32(data[22:])),
		size:     int(binary.BigEndian.Uint32(data[26:])),
		packed:   data[wireHeader:],
	}
	if b.size > MaxBatchBytes || b.count > b.size {
		return nil, fmt.Errorf("%w: impossible header (%d records, %d bytes)", ErrNotABatch, b.count, b.size)
	}
	if n, err := s2.DecodedLen(b.packed); err != nil || n != b.size {
		return nil, fmt.Errorf("%w: the payload does not unpack to %d bytes", ErrNotABatch, b.size)
	}
	return b, nil
}

func unpack(packed []byte, size int) ([]byte, error) {
	lines, err := s2.Decode(make([]byte, size), packed)
	if err != nil {
		return nil, fmt.Errorf("%w: unpack: %v", ErrNotABatch, err)
	}
	if size > 0 && lines[size-1] != '\n' {
		return nil, fmt.Errorf("%w: the last line is not ended", ErrNotABatch)
	}
	return lines, nil
}
