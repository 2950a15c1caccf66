package distributor

import (
	"context"
	"fmt"
	"math/bits"
	"sync"
)

// buffer is memory that is used again, of one of the sizes in pools where it is not larger than these.
type buffer struct{ b []byte }

// The sizes of pooled buffers are powers of two. What is larger, such as an array of many megabytes, is left to the
// garbage collector.
const (
	minBufferBits = 12 // 4 KiB
	maxBufferBits = 20 // 1 MiB
)

var pools [maxBufferBits - minBufferBits + 1]sync.Pool

// getBuffer returns a buffer of at least size bytes.
func getBuffer(size int) *buffer {
	class := max(bits.Len(uint(max(size, 1)-1)), minBufferBits)
	if class > maxBufferBits {
		return &buffer{make([]byte, size)}
	}
	if b, ok := pools[class-minBufferBits].Get().(*buffer); ok {
		return b
	}
	return &buffer{make([]byte, 1<<class)}
}

// bufferSize is the size of the buffer that getBuffer returns.
func bufferSize(size int) int {
	if size > 1<<maxBufferBits {
		return size
	}
	return 1 << max(bits.Len(uint(max(size, 1)-1)), minBufferBits)
}

func (b *buffer) free() {
	if size := len(b.b); size <= 1<<maxBufferBits {
		pools[bits.Len(uint(size-1))-minBufferBits].Put(b)
	}
}

// claim is the part of Options.MaxInFlightBytes that one body holds.
type claim struct {
	d    *Distributor
	held int64
}

// grow claims more bytes. It waits for Options.Hold at most.
func (c *claim) grow(ctx context.Context, more int) error {
	n := int64(more)
	if !c.d.memory.TryAcquire(n) {
		ctx, cancel := context.WithTimeout(ctx, c.d.o.Hold)
		defer cancel()
		if err := c.d.memory.Acquire(ctx, n); err != nil {
			return &OverloadError{fmt.Errorf("the bodies of all requests together exceed %d bytes", c.d.o.MaxInFlightBytes)}
		}
	}
	c.held += n
	return nil
}

// shrink gives bytes back.
func (c *claim) shrink(less int) {
	c.d.memory.Release(int64(less))
	c.held -= int64(less)
}

// end gives everything back.
func (c *claim) end() {
	if c.held > 0 {
		c.d.memory.Release(c.held)
		c.held = 0
	}
}
