package distributor

import (
	"bytes"
	"context"

	"github.com/sluicehq/sluice"
)

const (
	// rawBytes is the most that a body's records may be, as lines, to be left unpacked. The records of several small bodies
	// are packed together when they are stored: that takes less time and less room than a block for each.
	rawBytes = 16 << 10

	// Sizes of the buffers for packed records: the first holds what a piece or two become, those after it several.
	firstPackedBytes = 128 << 10
	packedBytes      = 256 << 10
)

// unit is the records of one body. They are stored together or not at all.
type unit struct {
	o     *Options
	claim *claim

	parts   []part
	pieces  [][]byte  // packed records, of all parts
	buffers []*buffer // where pieces are
	used    int       // of the last buffer
	count   int       // records
	size    int       // bytes of them as lines
	held    int       // bytes that wait to be stored: packed where they are

	err error // what became of it
}

// part is records of one body that go into one batch together.
type part struct {
	raw      []byte // the lines; nil where they are packed
	from, to int    // in unit.pieces, where they are packed
	count    int
	size     int
}

// add takes records, as lines, and packs them at once, or keeps lines where keep is true. The parts that it makes fit into
// a batch; one record alone always does.
func (u *unit) add(ctx context.Context, lines []byte, count int, keep bool) error {
	for len(lines) > 0 {
		if len(u.parts) == 0 {
			u.parts = append(u.parts, part{})
		}
		p := &u.parts[len(u.parts)-1]
		now, n := lines, count
		if p.size+len(lines) > u.o.MaxBatchBytes || p.count+count > u.o.MaxBatchRecords {
			if now, n = prefix(lines, u.o.MaxBatchBytes-p.size, u.o.MaxBatchRecords-p.count, p.count == 0); n == 0 {
				if err := u.newPart(ctx); err != nil {
					return err
				}
				continue
			}
		}
		if keep {
			p.raw = now
			u.held += len(now)
		} else if err := u.pack(ctx, p, now); err != nil {
			return err
		}
		p.count += n
		p.size += len(now)
		u.count += n
		u.size += len(now)
		if lines, count = lines[len(now):], count-n; len(lines) > 0 {
			if err := u.newPart(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	// partBytes is about what a part takes beside its records: itself, its place among pieces, and the batch that is made
	// of it, which the queue also keeps a note of while it stores it.
	partBytes = 512

	// partsAtOnce is how many parts are claimed at once. The first of them are free: few bodies have more.
	partsAtOnce = 64

	// keepParts is how many parts, pieces or buffers a unit keeps room for when it is used again.
	keepParts = 4 * partsAtOnce
)

// newPart begins another part.
func (u *unit) newPart(ctx context.Context) error {
	if n := len(u.parts); n > 0 && n%partsAtOnce == 0 {
		if err := u.claim.grow(ctx, partsAtOnce*partBytes); err != nil {
			return err
		}
	}
	u.parts = append(u.parts, part{from: len(u.pieces), to: len(u.pieces)})
	return nil
}

// prefix returns as many of the lines as fit into size bytes and count records, and how many these are. At least one is
// returned where one is true.
func prefix(lines []byte, size, count int, one bool) ([]byte, int) {
	end, n := 0, 0
	for end < len(lines) && n < count {
		next := end + bytes.IndexByte(lines[end:], '\n') + 1
		if next > size && (n > 0 || !one) {
			break
		}
		end, n = next, n+1
	}
	return lines[:end], n
}

// pack packs lines into a block at the end of a part.
func (u *unit) pack(ctx context.Context, p *part, lines []byte) error {
	most := sluice.MaxBlockSize(len(lines))
	fresh := len(u.buffers) == 0 || len(u.buffers[len(u.buffers)-1].b)-u.used < most
	if fresh {
		size := firstPackedBytes
		if len(u.buffers) > 0 {
			size = packedBytes
		}
		size = bufferSize(max(size, most))
		if err := u.claim.grow(ctx, size); err != nil {
			return err
		}
		u.buffers, u.used = append(u.buffers, getBuffer(size)), 0
	}
	buf := u.buffers[len(u.buffers)-1].b
	out := sluice.AppendBlock(buf[:u.used], lines)
	block := out[u.used:]
	u.used = len(out)
	u.held += len(block)
	if last := len(u.pieces) - 1; !fresh && last >= p.from { // right behind the block before it
		u.pieces[last] = u.pieces[last][:len(u.pieces[last])+len(block)]
		return nil
	}
	u.pieces = append(u.pieces, block)
	p.to = len(u.pieces)
	return nil
}

// free gives the buffers back and makes the unit ready to use again. It leaves the claim to the caller.
func (u *unit) free() {
	for _, b := range u.buffers {
		b.free()
	}
	clear(u.buffers)
	clear(u.pieces)
	clear(u.parts)
	if cap(u.parts) > keepParts || cap(u.pieces) > keepParts || cap(u.buffers) > keepParts {
		u.parts, u.pieces, u.buffers = nil, nil, nil
	}
	*u = unit{o: u.o, claim: u.claim, parts: u.parts[:0], pieces: u.pieces[:0], buffers: u.buffers[:0]}
}
