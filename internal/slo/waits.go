package slo

import (
	"math/bits"
	"time"
)

// waits counts records by how long they waited, in milliseconds rounded up: each has its place up to 32, and then there are 16 for
// each doubling. So there are fewer than 480 places at most, and only as many as were needed.
type waits []int64

const (
	exact     = 32
	perDouble = 16
	longWait  = 90 * 24 * time.Hour // longer waits have the last place
)

func (w *waits) count(place int, records int64) {
	for len(*w) <= place {
		*w = append(*w, 0)
	}
	(*w)[place] += records
}

func (w *waits) add(o waits) {
	for place, records := range o {
		if records > 0 {
			w.count(place, records)
		}
	}
}

// percentile is the wait in seconds that so many percent of all records did not exceed, rounded up to the end of its place.
func (w waits) percentile(percent, all int64) float64 {
	rank, seen := (all*percent+99)/100, int64(0)
	for place, records := range w {
		if seen += records; records > 0 && seen >= rank {
			return float64(longest(place)) / 1000
		}
	}
	return 0
}

// place is where a wait is counted.
func place(wait time.Duration) int {
	ms := int((min(wait, longWait) + time.Millisecond - 1) / time.Millisecond)
	if ms < exact {
		return ms
	}
	doubling := bits.Len(uint(ms)) - bits.Len(exact)
	return exact + doubling*perDouble + ms>>(doubling+1) - perDouble
}

// longest is the longest wait of a place, in milliseconds.
func longest(place int) int {
	if place < exact {
		return place
	}
	doubling, rest := (place-exact)/perDouble, (place-exact)%perDouble
	return (rest+perDouble+1)<<(doubling+1) - 1
}
