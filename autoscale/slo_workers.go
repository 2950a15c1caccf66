package autoscale

import (
	"math"
	"slices"
	"time"
)

// sloMostWorkers bounds the workers that are told apart. Those beyond count like any other.
const sloMostWorkers = 1024

const (
	takesWork = 200 * time.Millisecond // an idle worker takes what waits within less

	workerMemory = rateMemory // busy seconds that a worker's own speed reaches back
	workerPrior  = 10.0       // busy seconds, and as many records, that the belief in an average worker weighs
)

// sloWorker is what is remembered of one worker.
type sloWorker struct {
	id       uint64  // hash of its ID
	seen     float64 // when it was there last
	done     float64 // records, exponential memory
	expected float64 // records that an average worker would have done in the same busy time
	records  float64 // not counted above yet: busy time waits for the records that come of it
	busy     float64
	idle     bool // at the last reading
}

// speed is how fast it is, an average worker being 1.
func (w *sloWorker) speed(rate float64) float64 {
	prior := workerPrior * (rate + 1)
	return (w.done + prior) / (w.expected + prior)
}

// sloWorkers is the workers told apart, where the pool does that. It makes capacity of those that work, each with its
// own speed, and none of those that are stuck.
type sloWorkers struct {
	table [sloMostWorkers]sloWorker
	used  int
	index map[uint64]int // from ID to table

	speeds  []float64 // of the ready ones in the order in which they go: idle ones, stuck ones with 0, busy ones; of each the slowest first
	idle    int       // of them
	working float64   // sum of those
	stuck   int
	busy    int
	counted bool // the pool tells what each of them does
	resting int  // idle for a while, or at two readings
}

// find returns the memory of a worker; the one not seen for the longest gives way to a new one. It is nil when all of
// them were seen at this reading.
func (m *sloWorkers) find(id string, now float64) *sloWorker {
	hash := uint64(14695981039346656037) // FNV-1a: names of any length need no room
	for i := range len(id) {
		hash = (hash ^ uint64(id[i])) * 1099511628211
	}
	if i, ok := m.index[hash]; ok {
		return &m.table[i]
	}
	i := m.used
	if i < sloMostWorkers {
		m.used++
	} else {
		i = 0
		for k := range m.table {
			if m.table[k].seen < m.table[i].seen {
				i = k
			}
		}
		if m.table[i].seen >= now {
			return nil
		}
		delete(m.index, m.table[i].id)
	}
	m.table[i] = sloWorker{id: hash}
	m.index[hash] = i
	return &m.table[i]
}

// read takes the workers of an observation and returns the records done and the busy seconds they took, as an average
// worker would have needed: busy seconds of a faster one count for more.
func (m *sloWorkers) read(o Observation, now, rate float64) (records, busy float64) {
	if m.index == nil {
		m.index = make(map[uint64]int, sloMostWorkers)
	}
	m.speeds, m.working, m.idle, m.stuck, m.busy, m.resting = m.speeds[:0], 0, 0, 0, 0, 0
	for _, w := range o.Workers[:min(len(o.Workers), sloMostWorkers)] {
		if w.State == WorkerStarting {
			continue
		}
		known := m.find(w.ID, now)
		if known == nil {
			known = &sloWorker{}
		}
		if w.State == WorkerStuck {
			known.records, known.busy = 0, 0
		} else if r, b := known.learn(w, rate); r > 0 {
			records, busy = records+r, busy+b
		}
		m.counted = m.counted || w.Completed > 0 || w.BusySeconds > 0
		m.count(w, known, o.Time, rate)
		known.idle, known.seen = w.State == WorkerIdle, now
	}
	slices.Sort(m.speeds[:m.idle])
	slices.Sort(m.speeds[m.idle:])
	return records, busy
}

// count takes note of what a worker is good for now.
func (m *sloWorkers) count(w Worker, known *sloWorker, now time.Time, rate float64) {
	switch w.State {
	case WorkerStuck:
		m.stuck++
		m.speeds = append(m.speeds, 0)
		return
	case WorkerIdle:
		m.idle++
		if rested := now.Sub(w.Since); known.idle && w.Since.IsZero() || !w.Since.IsZero() && rested > takesWork {
			m.resting++
		}
	case WorkerBusy:
		m.busy++
	default:
		return // it leaves
	}
	speed := known.speed(rate)
	m.speeds = append(m.speeds, speed)
	if w.State == WorkerIdle { // to the end of the idle ones
		last := len(m.speeds) - 1
		m.speeds[m.idle-1], m.speeds[last] = m.speeds[last], m.speeds[m.idle-1]
	}
	m.working += speed
}

// learn takes the records and the busy seconds of a reading, and returns those that belong together.
func (w *sloWorker) learn(o Worker, rate float64) (records, busy float64) {
	if o.Completed < 0 || o.Completed > sloMostRecords || !(o.BusySeconds >= 0 && o.BusySeconds <= sloMostSeconds) {
		return 0, 0
	}
	w.records += float64(o.Completed)
	w.busy = min(w.busy+o.BusySeconds, sloMostSeconds)
	if o.Completed == 0 || w.busy <= 0 {
		return 0, 0
	}
	records, busy = w.records, w.busy*w.speed(rate)
	if rate > 0 {
		keep := math.Exp(-w.busy / workerMemory)
		w.done = w.done*keep + w.records
		w.expected = w.expected*keep + w.busy*rate
	}
	w.records, w.busy = 0, 0
	return records, busy
}

// leaving is how many can go so that what they are worth is at most spare. Starting ones, that go first and count 1 each,
// are for the caller.
func (m *sloWorkers) leaving(spare float64) int {
	n := 0
	for n < len(m.speeds) && m.speeds[n] <= spare+1e-9 {
		spare -= m.speeds[n]
		n++
	}
	return n
}

// worth is what the first so many to leave are worth.
func (m *sloWorkers) worth(count int) float64 {
	sum := 0.0
	for _, speed := range m.speeds[:min(count, len(m.speeds))] {
		sum += speed
	}
	return sum
}
