package league

import "math/bits"

// traffic is what all players had to do in a time, and what the real pool cost meanwhile.
type traffic struct {
	seconds, records int
	useful           float64 // worker-seconds that the records need
	cost             int     // worker-seconds of the real pool
	judged, late     int     // records of the real pool, as measured
}

func (t *traffic) add(o traffic) {
	t.seconds += o.seconds
	t.records += o.records
	t.useful += o.useful
	t.cost += o.cost
	t.judged += o.judged
	t.late += o.late
}

// ratio is a cost over what is useful; 0 without records.
func (t traffic) ratio(cost int) float64 {
	if t.useful == 0 {
		return 0
	}
	return float64(cost) / t.useful
}

// tally is what one player did in a time.
type tally struct {
	cost      int // worker-seconds
	served    int // records
	late      int
	reversals int
	waits     waits
}

func (t *tally) count(wait, records int, late bool) {
	t.served += records
	if late {
		t.late += records
	}
	t.waits.count(wait, records)
}

func (t *tally) add(o *tally) {
	t.cost += o.cost
	t.served += o.served
	t.late += o.late
	t.reversals += o.reversals
	t.waits.add(o.waits)
}

// reset keeps the room for waits.
func (t *tally) reset() {
	clear(t.waits)
	*t = tally{waits: t.waits[:0]}
}

func (t *tally) score(all traffic) Score {
	s := Score{
		WorkerHours: float64(t.cost) / 3600, CostRatio: all.ratio(t.cost),
		WaitP99: t.waits.p99(t.served), Reversals: t.reversals,
	}
	if t.served > 0 {
		s.LateShare = float64(t.late) / float64(t.served)
	}
	return s
}

// waits counts records by the seconds that they waited: each second has its place up to a minute, and then there are 32 for
// each doubling. So it has a thousand places at most, and only as many as were needed.
type waits []int

const (
	exactWaits = 64
	perDouble  = 32
)

func (w *waits) count(wait, records int) {
	i := place(wait)
	for len(*w) <= i {
		*w = append(*w, 0)
	}
	(*w)[i] += records
}

func (w *waits) add(o waits) {
	for len(*w) < len(o) {
		*w = append(*w, 0)
	}
	for i, records := range o {
		(*w)[i] += records
	}
}

// p99 is the wait that 99 % of so many records did not exceed, rounded up to the end of its place.
func (w waits) p99(all int) int {
	rank, seen := (all*99+99)/100, 0
	for i, records := range w {
		if seen += records; records > 0 && seen >= rank {
			return longest(i)
		}
	}
	return 0
}

// place is where a wait is counted.
func place(wait int) int {
	wait = max(0, wait)
	if wait < exactWaits {
		return wait
	}
	doubling := bits.Len(uint(wait)) - bits.Len(exactWaits)
	return exactWaits + doubling*perDouble + wait>>(doubling+1) - perDouble
}

// longest is the longest wait of a place.
func longest(i int) int {
	if i < exactWaits {
		return i
	}
	doubling, rest := (i-exactWaits)/perDouble, (i-exactWaits)%perDouble
	return (rest+perDouble+1)<<(doubling+1) - 1
}
