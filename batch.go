package sluice

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// Batch is the unit that is stored, leased and acknowledged: some records in the order of their arrival.
//
// A batch holds its records as they came, one JSON object a line, and decodes them only when asked. It does not change
// once made, so it may be read from several goroutines, with one exception: the first call that looks at a line of a batch
// from [DecodeBatch] unpacks it and must not race with another.
type Batch struct {
	ID       string    // 24 hexadecimal digits, drawn at random when the batch was made
	Accepted time.Time // when its records were accepted; the start of their wait

	count  int
	size   int
	lines  []byte   // each record's JSON, ended by '\n'; nil while only packed is known
	packed [][]byte // the lines as blocks of the stored form, see AppendBlock; pieces of one or more blocks each
	starts []int    // index into lines of each record, and the end; built when first asked for
}

// NewBatch makes a batch of lines: count JSON objects, each without a line break inside and ended by one. The batch keeps
// lines; the caller must not change them any more.
func NewBatch(lines []byte, count int, accepted time.Time) *Batch {
	return &Batch{ID: newID(), Accepted: accepted, count: count, size: len(lines), lines: lines}
}

// NewPackedBatch makes a batch of lines that are packed already: blocks made by [AppendBlock], with count records and size
// bytes of lines in all of them together. The batch keeps blocks; the caller must not change them any more.
func NewPackedBatch(blocks [][]byte, count, size int, accepted time.Time) *Batch {
	return &Batch{ID: newID(), Accepted: accepted, count: count, size: size, packed: blocks}
}

func newID() string {
	var id [12]byte
	rand.Read(id[:]) // never fails: crypto/rand documents that it crashes the program instead
	return hex.EncodeToString(id[:])
}

// BatchOf makes a batch of records. It fails where a record can't be written as JSON.
func BatchOf(accepted time.Time, records ...Record) (*Batch, error) {
	var lines []byte
	for i, r := range records {
		b, err := r.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
		lines = append(append(lines, b...), '\n')
	}
	return NewBatch(lines, len(records), accepted), nil
}

// Len is the number of records.
func (b *Batch) Len() int { return b.count }

// Size is the length of the records in bytes, as lines of JSON with their line ends.
func (b *Batch) Size() int { return b.size }

// Clone returns a batch of the same records that shares no memory with b.
func (b *Batch) Clone() *Batch {
	c := &Batch{ID: b.ID, Accepted: b.Accepted, count: b.count, size: b.size}
	if b.lines != nil {
		c.lines = bytes.Clone(b.lines)
	} else if b.packed != nil {
		c.packed = [][]byte{bytes.Join(b.packed, nil)}
	}
	return c
}

// Lines returns all records as newline-delimited JSON. The caller must not change it.
func (b *Batch) Lines() ([]byte, error) {
	if b.lines == nil && b.packed != nil {
		lines, err := unpack(b.packed, b.size)
		if err != nil {
			return nil, err
		}
		if n := bytes.Count(lines, []byte{'\n'}); n != b.count {
			return nil, fmt.Errorf("batch %s: %d lines, but its header says %d records", b.ID, n, b.count)
		}
		b.lines, b.packed = lines, nil
	}
	return b.lines, nil
}

// Line returns record i, counted from 0, as the JSON text that was accepted, without the line end. It panics where i is
// out of range, as a slice does.
func (b *Batch) Line(i int) ([]byte, error) {
	if _, err := b.Lines(); err != nil {
		return nil, err
	}
	if b.starts == nil {
		b.starts = make([]int, 1, b.count+1)
		for at := 0; at < len(b.lines); {
			at += bytes.IndexByte(b.lines[at:], '\n') + 1
			b.starts = append(b.starts, at)
		}
	}
	return b.lines[b.starts[i] : b.starts[i+1]-1], nil
}

// Records decodes all records. An error means that the batch is damaged: a distributor checks records before it accepts
// them.
func (b *Batch) Records() ([]Record, error) {
	records := make([]Record, b.count)
	for i := range records {
		line, err := b.Line(i)
		if err != nil {
			return nil, err
		}
		if err := records[i].read(line, b.Accepted); err != nil {
			return nil, fmt.Errorf("batch %s, record %d: %w", b.ID, i, err)
		}
	}
	return records, nil
}

// Sub makes a batch of some of b's records, by index from 0, in the order given. It keeps the time of acceptance. Its ID
// follows from b's and from the indexes, so that the same part of a batch has the same ID each time it is made.
func (b *Batch) Sub(indexes []int) (*Batch, error) {
	var lines []byte
	id := sha256.New()
	id.Write([]byte(b.ID))
	for _, i := range indexes {
		binary.Write(id, binary.BigEndian, uint32(i)) // a hash takes everything
		line, err := b.Line(i)
		if err != nil {
			return nil, err
		}
		lines = append(append(lines, line...), '\n')
	}
	sub := NewBatch(lines, len(indexes), b.Accepted)
	sub.ID = hex.EncodeToString(id.Sum(nil)[:12])
	return sub, nil
}
