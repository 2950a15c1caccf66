package disk

import (
	"container/heap"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/internal/ranges"
	"github.com/sluicehq/sluice/queue"
)

// entry is a stored batch that was leased at least once, or has dead letters.
type entry struct {
	header
	seg   *segment
	off   int64
	parts []*part // with the records that are not finished
	alive int     // parts that are not dead
}

func (e *entry) finished() bool { return len(e.parts) == 0 }

func (e *entry) batchID() string { return hex.EncodeToString(e.id[:]) }

// part is records of a batch that go through the queue together: at first all of them, later those that failed together.
type part struct {
	e         *entry
	runs      []ranges.Range // their numbers, ascending
	records   int
	attempts  int
	handBacks int // times that it was handed back, which is no attempt
	state     state

	due   time.Time // waiting: not leased before
	place int       // waiting: in Queue.due

	nonce    uint64 // leased
	remote   bool   // leased by another process, and may outlive this one
	analyzer string
	expires  time.Time
	settling bool // leased, and a call is finishing or returning it

	letter uint64 // dead: its ID
	at     int64  // dead: since when, nanoseconds since 1970
	bytes  int64  // dead: length of its lines
	reason string
}

type state byte

const (
	waiting state = iota
	leased
	dead
)

// whole reports whether the part is all of its batch.
func (p *part) whole() bool { return p.records == int(p.e.records) }

// numbers lists the numbers of the records.
func (p *part) numbers() []uint64 {
	out := make([]uint64, 0, p.records)
	for _, r := range p.runs {
		for n := r.First; n <= r.Last; n++ {
			out = append(out, n)
		}
	}
	return out
}

// dueParts is a heap: the part that is due first, of those due at once the oldest.
type dueParts []*part

func (d dueParts) Len() int { return len(d) }
func (d dueParts) Less(i, j int) bool {
	if !d[i].due.Equal(d[j].due) {
		return d[i].due.Before(d[j].due)
	}
	return d[i].runs[0].First < d[j].runs[0].First
}
func (d dueParts) Swap(i, j int) { d[i], d[j] = d[j], d[i]; d[i].place, d[j].place = i, j }
func (d *dueParts) Push(x any) {
	p := x.(*part)
	p.place = len(*d)
	*d = append(*d, p)
}
func (d *dueParts) Pop() any {
	old := *d
	p := old[len(old)-1]
	*d = old[:len(old)-1]
	return p
}

// The functions below move records from one state to another and are the only ones that change counts. The caller holds mu
// and notes what happened.

// link makes a part one of its entry's.
func (q *Queue) link(p *part) {
	e := p.e
	if e.finished() {
		q.entries[e.first] = e
	}
	e.parts = append(e.parts, p)
	if p.state != dead {
		q.enliven(p)
	}
}

// enliven counts a part as one that is not dead.
func (q *Queue) enliven(p *part) {
	e := p.e
	if e.alive++; e.alive == 1 {
		q.n.bytes += e.total()
	}
	q.n.batches++
	if p.handBacks >= queue.OftenHandedBack {
		q.n.returning++
	}
	if q.oldest != nil && e.accepted < q.oldest.e.accepted {
		q.oldest = p
	}
}

// quit takes a part out of its state.
func (q *Queue) quit(p *part) {
	switch p.state {
	case waiting:
		heap.Remove(&q.due, p.place)
		q.n.waiting -= int64(p.records)
	case leased:
		delete(q.leases, p.nonce)
		q.n.inFlight -= int64(p.records)
		p.settling = false
	case dead:
		q.n.dead -= int64(p.records)
		if q.gone++; 2*q.gone > len(q.dead) {
			q.dead, q.gone = slices.DeleteFunc(q.dead, func(l letter) bool { return l.p == p || !l.there() }), 0
		}
	}
}

// wait makes a part wait until it is due.
func (q *Queue) wait(p *part, due time.Time) {
	q.quit(p)
	if p.state == dead {
		q.enliven(p)
	}
	q.nowWaiting(p, due)
	q.note(facts(nil).part(p))
}

func (q *Queue) nowWaiting(p *part, due time.Time) {
	p.state, p.due = waiting, due
	heap.Push(&q.due, p)
	q.n.waiting += int64(p.records)
	if p.place == 0 {
		q.rouse()
	}
}

func (q *Queue) nowLeased(p *part) {
	p.state = leased
	q.leases[p.nonce] = p
	q.n.inFlight += int64(p.records)
}

// handBack makes a leased part wait, without an attempt counted, and reports one that keeps coming back.
func (q *Queue) handBack(p *part, due time.Time) {
	p.attempts--
	p.handBacks++
	if p.handBacks == queue.OftenHandedBack {
		q.n.returning++
	}
	q.countHandBack(p, p.analyzer)
	q.wait(p, due)
}

// countHandBack counts and reports a hand-back that the part knows of already.
func (q *Queue) countHandBack(p *part, analyzer string) {
	q.n.handBacks++
	if queue.ReportHandBack(p.handBacks) {
		q.log.Warn("batch handed back again and again", "batch", p.e.batchID(), "records", p.records,
			"hand_backs", p.handBacks, "analyzer", analyzer)
	}
}

// bury makes a part a dead letter.
func (q *Queue) bury(p *part, reason string, bytes int64) {
	q.quit(p)
	q.letters++
	p.letter, p.at, p.reason, p.bytes = q.letters, time.Now().UnixNano(), reason, bytes
	q.deaden(p)
	q.nowDead(p)
	if q.o.Observer != nil {
		q.o.Observer.Dead(time.Unix(0, p.at), p.records)
	}
	q.note(facts(nil).part(p))
	q.log.Warn("dead letter", "id", p.letter, "batch", p.e.batchID(), "records", p.records, "attempts", p.attempts, "reason", reason)
}

func (q *Queue) nowDead(p *part) {
	p.state = dead
	q.dead = append(q.dead, letter{p.letter, p})
	q.n.dead += int64(p.records)
}

// letter is a place in the list of dead letters.
type letter struct {
	id uint64
	p  *part
}

// there reports whether the letter was neither retried nor dropped.
func (l letter) there() bool { return l.p.state == dead && l.p.letter == l.id }

// deaden counts a part as one that is dead or finished.
func (q *Queue) deaden(p *part) {
	e := p.e
	if e.alive--; e.alive == 0 {
		q.n.bytes -= e.total()
	}
	q.n.batches--
	if p.handBacks >= queue.OftenHandedBack {
		q.n.returning--
	}
	if q.oldest == p {
		q.oldest = nil
	}
}

// drop takes a part out of the queue, whose records are accounted for elsewhere now.
func (q *Queue) drop(p *part) {
	q.quit(p)
	e := p.e
	if p.state != dead {
		q.deaden(p)
	}
	p.letter = 0
	e.parts = slices.DeleteFunc(e.parts, func(other *part) bool { return other == p })
	if e.finished() {
		delete(q.entries, e.first)
		q.n.live -= e.total()
		e.seg.live -= e.total()
		if e.seg.open--; e.seg.open == 0 {
			select {
			case q.kick <- struct{}{}:
			default:
			}
		}
	}
}

// complete takes a part out of the queue because its records are done with.
func (q *Queue) complete(p *part, runs []ranges.Range) {
	q.drop(p)
	q.n.completed += int64(count(runs))
	if len(runs) > 0 {
		q.note(facts(nil).done(p.e.first, runs...))
	}
}

// replace takes a part out of the queue and puts others in its place, which have all or some of its records.
func (q *Queue) replace(p *part, others []*part, done []ranges.Range, due []time.Time) {
	var f facts
	for i, other := range others { // before the old one leaves, so that the entry stays
		q.link(other)
		q.nowWaiting(other, due[i])
		f = f.part(other)
	}
	q.drop(p)
	q.n.completed += int64(count(done))
	if len(done) > 0 {
		f = f.done(p.e.first, done...)
	}
	q.note(f)
}

// damagedError reports that a stored batch is damaged.
type damagedError struct{ what string }

func (e *damagedError) Error() string { return "damaged on disk: " + e.what }

// Unwrap returns queue.ErrDamaged.
func (e *damagedError) Unwrap() error { return queue.ErrDamaged }

// readEntry reads the payload of a stored batch.
func (q *Queue) readEntry(e *entry) (data []byte, err error) {
	for try := 0; ; try++ {
		q.mu.Lock()
		s, off := e.seg, e.off
		q.mu.Unlock()
		data = make([]byte, e.length)
		if _, err = s.f.ReadAt(data, off+headerSize); err == nil {
			break
		}
		q.mu.Lock()
		moved := e.seg != s
		q.mu.Unlock()
		if !moved && try >= readTries {
			return nil, &damagedError{err.Error()}
		}
	}
	if crc32.Checksum(data, castagnoli) != e.sum {
		return nil, &damagedError{"checksum differs"}
	}
	return data, nil
}

// readTries is how often more a read is tried that failed.
const readTries = 2

// read returns a part as a batch.
func (q *Queue) read(p *part) (*sluice.Batch, error) {
	data, err := q.readEntry(p.e)
	if err != nil {
		return nil, err
	}
	b, err := sluice.DecodeBatch(data)
	if err == nil && b.Len() != int(p.e.records) {
		err = fmt.Errorf("%d records instead of %d", b.Len(), p.e.records)
	}
	if err == nil && !p.whole() {
		indexes := make([]int, 0, p.records)
		for _, n := range p.numbers() {
			indexes = append(indexes, int(n-p.e.first))
		}
		b, err = b.Sub(indexes)
	}
	if err != nil {
		return nil, &damagedError{err.Error()}
	}
	return b, nil
}

// size is the length of a part's lines in bytes.
func (q *Queue) size(p *part) int64 {
	if p.whole() {
		return int64(p.e.size)
	}
	if b, err := q.read(p); err == nil {
		return int64(b.Size())
	}
	return 0
}

// split returns the parts of a part that failed too often as a whole. They keep all attempts but one, so that one which
// fails once more is split again.
func (p *part) split() (out []*part) {
	numbers := p.numbers()
	for _, indexes := range queue.Parts(len(numbers)) {
		var runs []ranges.Range
		for _, i := range indexes {
			runs = joined(runs, numbers[i])
		}
		out = append(out, &part{e: p.e, runs: runs, records: len(indexes), attempts: p.attempts - 1, handBacks: p.handBacks})
	}
	return out
}

// fate is the next step for failed records of a batch; records with the same fate stay together in one part.
type fate struct {
	reason string        // of dead letters
	delay  time.Duration // of retries, as the handler wished
	free   bool          // the attempt does not count
	bury   bool
}

// fates groups the failed records of a part, as parts, and returns the numbers of the others.
func (q *Queue) fates(p *part, failed []queue.Failure) (order []fate, parts []*part, done []ranges.Range, err error) {
	numbers := p.numbers()
	of := make(map[uint64]queue.Failure, len(failed))
	for _, f := range failed {
		if f.Record < 0 || f.Record >= len(numbers) {
			return nil, nil, nil, fmt.Errorf("failed record %d: must be 0 to %d", f.Record, len(numbers)-1)
		}
		if _, twice := of[numbers[f.Record]]; twice {
			return nil, nil, nil, fmt.Errorf("failed record %d is named twice", f.Record)
		}
		of[numbers[f.Record]] = f
	}
	groups := map[fate]*part{}
	for _, n := range numbers {
		f, isFailed := of[n]
		if !isFailed {
			done = joined(done, n)
			continue
		}
		to := fate{delay: f.Delay, free: f.HandBack}
		if step, _ := q.o.Retry.After(f, p.attempts, 1); step == queue.Bury && !f.HandBack {
			to = fate{reason: f.Why(), bury: true}
		}
		if groups[to] == nil {
			groups[to] = &part{e: p.e, attempts: p.attempts, handBacks: p.handBacks}
			if to.free {
				groups[to].attempts--
				groups[to].handBacks++
			}
			order, parts = append(order, to), append(parts, groups[to])
		}
		groups[to].runs = joined(groups[to].runs, n)
		groups[to].records++
	}
	return order, parts, done, nil
}

// joined appends a number to ascending runs.
func joined(runs []ranges.Range, n uint64) []ranges.Range {
	if k := len(runs); k > 0 && runs[k-1].Last+1 == n {
		runs[k-1].Last = n
		return runs
	}
	return append(runs, ranges.Range{First: n, Last: n})
}
