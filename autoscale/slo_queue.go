package autoscale

import "math"

// sloCohorts bounds the memory of the waiting records. With more than this, neighbours are merged: a deadline is then known
// to a hundredth of the SLO only.
const sloCohorts = 256

// sloCohort is records that came between two times, evenly.
type sloCohort struct {
	from, to float64
	began    float64 // from, before any of it was served
	records  float64
}

// sloQueue is what waits, by arrival, the oldest first.
type sloQueue struct {
	ring  [sloCohorts]sloCohort
	head  int
	count int
	total float64

	earliest sloEarliest
}

func (q *sloQueue) at(i int) *sloCohort { return &q.ring[(q.head+i)%sloCohorts] }

// update brings the queue to the reading's depth and returns how many records came. What the counters do not explain came,
// or left, since the last reading.
func (q *sloQueue) update(r sloReading, since, slo, check float64) int {
	arrived := r.arrived
	since = min(since, r.now)
	began, before := since, q.total
	if unexplained := r.depth + r.completed - int(before) - arrived; unexplained > 0 && r.arrived == 0 {
		arrived = unexplained
	}
	if arrived > r.depth { // what was there before is gone, and only the latest of the new are left
		q.count, q.total = 0, 0
		since = r.now - (r.now-since)*float64(r.depth)/float64(arrived)
		q.fill(since, r.now, float64(r.depth), slo, check)
	} else if arrived > 0 {
		q.fill(since, r.now, float64(arrived), slo, check)
	}
	q.pop(q.total - float64(r.depth))
	if short := float64(r.depth) - q.total; short > 0 {
		q.fill(since, r.now, short, slo, check)
	}
	q.total = float64(r.depth) // sums of floats drift
	q.sharpen(r, began)
	return arrived
}

// fill adds records that came evenly between two readings, in pieces of a check: after readings were lost, the span may
// be long.
func (q *sloQueue) fill(from, to, records, slo, check float64) {
	if records <= 0 {
		return
	}
	pieces := min(max(math.Round((to-from)/check), 1), 32)
	step := (to - from) / pieces
	for range int(pieces) {
		q.push(from, from+step, records/pieces, slo)
		from += step
	}
}

// push adds records that came between from and to. Neighbours closer than a hundredth of the SLO become one.
func (q *sloQueue) push(from, to, records, slo float64) {
	q.total += records
	if q.count > 0 {
		last := q.at(q.count - 1)
		if to-last.from <= slo/100 || q.count == sloCohorts {
			last.to = max(last.to, to)
			last.records += records
			return
		}
	}
	*q.at(q.count) = sloCohort{from: from, to: to, began: from, records: records}
	q.count++
}

// pop takes records from the front.
func (q *sloQueue) pop(records float64) {
	for records > 0 && q.count > 0 {
		front := q.at(0)
		if front.records > records {
			front.from += (front.to - front.from) * records / front.records
			front.records -= records
			q.total -= records
			return
		}
		records -= front.records
		q.total -= front.records
		q.head = (q.head + 1) % sloCohorts
		q.count--
	}
	if q.count == 0 {
		q.total = 0
	}
}

// sharpen uses the age of the oldest record: nothing in the queue came before it. What came last did after since.
func (q *sloQueue) sharpen(r sloReading, since float64) {
	if r.depth == 0 || q.count == 0 {
		return
	}
	arrival := r.now - r.oldest
	front := q.at(0)
	if arrival < min(front.began, since)-1e-6 {
		return // a record that was put back, for a retry, say; it says nothing about the others
	}
	if front.to > front.began {
		q.earliest.learn((arrival - front.began) / (front.to - front.began))
	}
	if r.oldest <= 0 {
		return // brand new, or the observer does not know
	}
	for i := range q.count {
		c := q.at(i)
		if c.from >= arrival {
			break
		}
		c.from, c.to = arrival, max(c.to, arrival)
	}
	q.at(0).from = min(q.at(0).from, arrival) // the front was not served as evenly as was thought
}

// sloEarliest is how early in a span between two readings records have come lately, as a share of the span. Where the
// source delivers once per check, say, they all come at its end, and are due later than the middle of the span suggests.
type sloEarliest struct {
	share float64
	count int
}

// earliestNeeds is how many looks the share needs before it is believed.
const earliestNeeds = 20

func (m *sloEarliest) learn(share float64) {
	share = min(max(share, 0), 1)
	if m.count == 0 || share < m.share {
		m.share = share
	} else {
		m.share += (share - m.share) / 500
	}
	m.count = min(m.count+1, earliestNeeds)
}

// value is the share; 0 while it is not known well.
func (m *sloEarliest) value() float64 {
	if m.count < earliestNeeds {
		return 0
	}
	return m.share
}

// sloOrder is workers asked for at one time that do not work yet.
type sloOrder struct {
	asked float64
	count int
}

// sloOrderSlots bounds the orders kept apart; more are added to the youngest.
const sloOrderSlots = 32

// sloOrders is what is outstanding, the oldest first.
type sloOrders struct {
	slots [sloOrderSlots]sloOrder
	used  int
	total int
}

// ask notes workers asked for.
func (m *sloOrders) ask(now float64, count int) {
	if count <= 0 {
		return
	}
	m.total += count
	if m.used > 0 && (m.used == sloOrderSlots || m.slots[m.used-1].asked == now) {
		m.slots[m.used-1].count += count
		return
	}
	m.slots[m.used] = sloOrder{now, count}
	m.used++
}

// cancel takes back the youngest and returns how many it found.
func (m *sloOrders) cancel(count int) int {
	cancelled := 0
	for cancelled < count && m.used > 0 {
		youngest := &m.slots[m.used-1]
		n := min(count-cancelled, youngest.count)
		cancelled += n
		if youngest.count -= n; youngest.count == 0 {
			m.used--
		}
	}
	m.total -= cancelled
	return cancelled
}

// settle makes the orders agree with the workers that are starting. Those no longer outstanding have joined if the pool
// has grown by them; each order that did is told to joined. Workers that somebody else started count as asked for at since.
func (m *sloOrders) settle(r sloReading, since float64, joined func(asked float64)) {
	gone := m.total - r.starting
	for gone > 0 && m.used > 0 {
		oldest := &m.slots[0]
		n := min(gone, oldest.count)
		joined(oldest.asked)
		gone -= n
		m.total -= n
		if oldest.count -= n; oldest.count == 0 {
			copy(m.slots[:], m.slots[1:m.used])
			m.used--
		}
	}
	m.ask(since, r.starting-m.total)
}

// oldest is the age of the oldest order; 0 without one.
func (m *sloOrders) oldest(now float64) float64 {
	if m.used == 0 {
		return 0
	}
	return now - m.slots[0].asked
}
