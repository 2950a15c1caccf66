package main

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts durations in buckets that are at most 1/64 of their value wide.
type histogram struct {
	buckets [(64 - subBits) << subBits]uint32
	count   uint64
}

const subBits = 6

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(uint64(max(d, 0)))]++
	h.count++
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.count += o.count
}

// quantile is the duration that a share q of all does not exceed; 0 without any.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.count)))
	var seen uint64
	for i, n := range h.buckets {
		if seen += uint64(n); seen >= rank && n > 0 {
			return middleOf(i)
		}
	}
	return 0
}

// bucketOf keeps the highest subBits+1 bits of v.
func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

func middleOf(bucket int) time.Duration {
	if bucket < 2<<subBits {
		return time.Duration(bucket)
	}
	shift := bucket>>subBits - 1
	low := (1<<subBits + bucket&(1<<subBits-1)) << shift
	return time.Duration(low + 1<<shift/2)
}
