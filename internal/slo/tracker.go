package slo

import (
	"log/slog"
	"math"
	"sort"
	"sync"
	"time"
)

// window is a time that is reported, and the width of the slots that it is put together from.
type window struct {
	name   string
	length time.Duration
	width  time.Duration
}

// windows are those that are reported.
var windows = [...]window{
	{"1h", time.Hour, time.Minute},
	{"24h", 24 * time.Hour, 15 * time.Minute},
	{"7d", 7 * 24 * time.Hour, time.Hour},
}

// slots is how many there are: the one that is not over yet besides those that fill the window.
func (w window) slots() int64 { return int64(w.length/w.width) + 1 }

// number is that of the slot with a moment in it, counted from 1970.
func (w window) number(at time.Time) int64 {
	return max(0, at.Unix()) / int64(w.width/time.Second)
}

// Bounds are the upper bounds of the buckets of the histogram, in seconds.
var Bounds = [...]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200,
	1800, 3600, 7200, 14400, 43200, 86400}

// Tracker measures waits. Its methods may be called from several goroutines.
type Tracker struct {
	target, budget float64

	mu      sync.Mutex
	slo     time.Duration // 0 while unknown
	since   time.Time     // from when on the windows know everything
	total   tally         // since the start of the process
	buckets [len(Bounds) + 1]int64
	seconds float64 // the sum of all waits since the start
	slots   [len(windows)][]slot
	known   [len(windows)]quantiles
	dirty   bool // something changed since the file was written

	path    string // of the file; empty for none
	log     *slog.Logger
	failing bool // to write the file, and the log says so
}

// slot is what happened in a stretch of time.
type slot struct {
	number int64
	tally
	waits waits
}

// quantiles are those of a window, computed at most once a second: they go through all its waits, while acknowledgements wait.
type quantiles struct {
	second   int64 // since 1970; 0 before the first
	p50, p99 float64
}

// tally counts records.
type tally struct {
	done   int64
	judged int64 // done while the SLO was known
	late   int64 // of the judged
	dead   int64 // became dead letters
}

func (t *tally) add(o tally) {
	t.done, t.judged, t.late, t.dead = t.done+o.done, t.judged+o.judged, t.late+o.late, t.dead+o.dead
}

// New makes a tracker that keeps no file. Target is the share of the records that must be in time, more than 0 and less than 1.
func New(target float64, now time.Time) *Tracker {
	// Rounded, so that what is allowed is not a little less than that: 1-0.9999 is less than 0.0001, and 99.9/100 is more than 0.999.
	t := &Tracker{target: math.Round(target*1e9) / 1e9, budget: math.Round((1-target)*1e9) / 1e9, since: now}
	for i, w := range windows {
		t.slots[i] = make([]slot, w.slots())
	}
	return t
}

// SetSLO sets the SLO by which records are judged from now on; 0 means unknown.
func (t *Tracker) SetSLO(slo time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slo = slo
}

// Done counts records that were accepted at one moment and are done at another; see queue.Observer.
func (t *Tracker) Done(accepted, at time.Time, records int) {
	wait := max(0, at.Sub(accepted))
	seconds := wait.Seconds()
	n := int64(records)
	t.mu.Lock()
	defer t.mu.Unlock()
	one := tally{done: n}
	if t.slo > 0 {
		one.judged = n
		if wait > t.slo {
			one.late = n
		}
	}
	t.buckets[sort.SearchFloat64s(Bounds[:], seconds)] += n
	t.seconds += seconds * float64(n)
	t.count(at, one, place(wait))
}

// Dead counts records that became dead letters; see queue.Observer.
func (t *Tracker) Dead(at time.Time, records int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count(at, tally{dead: int64(records)}, 0)
}

// count adds to the totals and to the slots of a moment. The caller holds mu.
func (t *Tracker) count(at time.Time, one tally, place int) {
	t.dirty = true
	t.total.add(one)
	for i, w := range windows {
		s := t.slot(i, w, w.number(at))
		s.add(one)
		if one.done > 0 {
			s.waits.count(place, one.done)
		}
	}
}

// slot returns the slot with a number, which takes the place of an older one where it is new.
func (t *Tracker) slot(i int, w window, number int64) *slot {
	s := &t.slots[i][number%w.slots()]
	if s.number != number {
		*s = slot{number: number, waits: s.waits[:0]}
	}
	return s
}

// Report is what is known of the waits. Null stands for what nobody knows; it never means 0.
type Report struct {
	SLO     *float64  `json:"slo_seconds"` // by which records are judged now; null while unknown
	Target  float64   `json:"target"`      // the share of records that must be in time, 0 to 1
	Budget  float64   `json:"budget"`      // the share that may be late
	Since   time.Time `json:"measured_since"`
	Done    int64     `json:"done_records"`   // since the start of the process
	Judged  int64     `json:"judged_records"` // of these, while the SLO was known
	Late    *int64    `json:"late_records"`   // of the judged; null while none was
	Dead    int64     `json:"dead_records"`   // became dead letters since the start of the process
	Windows []Window  `json:"windows"`

	Histogram Histogram `json:"-"`
}

// Histogram is the waits since the start of the process.
type Histogram struct {
	Buckets [len(Bounds)]int64 // records that waited no longer than the bound with the same index
	Count   int64
	Sum     float64 // seconds
}

// Window is a time that ends now.
type Window struct {
	Name       string   `json:"window"` // 1h, 24h or 7d
	Seconds    int      `json:"seconds"`
	Done       int64    `json:"done_records"`
	Judged     int64    `json:"judged_records"`
	Late       *int64   `json:"late_records"` // of the judged; null if there was none
	LateShare  *float64 `json:"late_share"`   // 0 to 1
	BudgetUsed *float64 `json:"budget_used"`  // late records over those that the target allows: more than 1 means missed
	Dead       int64    `json:"dead_records"`
	P50        *float64 `json:"wait_p50_seconds"` // null if no record was done; rounded up, by a sixteenth at most
	P99        *float64 `json:"wait_p99_seconds"`
}

// Report returns what is known at a moment.
func (t *Tracker) Report(now time.Time) Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Report{Target: t.target, Budget: t.budget, Since: t.since.UTC(), Done: t.total.done, Judged: t.total.judged, Dead: t.total.dead}
	if t.slo > 0 {
		r.SLO = new(t.slo.Seconds())
	}
	if r.SLO != nil || t.total.judged > 0 {
		r.Late = new(t.total.late)
	}
	for i, n := range t.buckets {
		r.Histogram.Count += n
		if i < len(Bounds) {
			r.Histogram.Buckets[i] = r.Histogram.Count
		}
	}
	r.Histogram.Sum = t.seconds
	for i := range windows {
		r.Windows = append(r.Windows, t.window(i, now))
	}
	return r
}

// window adds up the slots of a window. Slots of the future, which a clock that was set back leaves, are not in it.
func (t *Tracker) window(i int, now time.Time) Window {
	w := windows[i]
	last := w.number(now)
	var sum tally
	slots := func(yield func(*slot)) {
		for k := range t.slots[i] {
			if s := &t.slots[i][k]; s.number <= last && s.number > last-w.slots() {
				yield(s)
			}
		}
	}
	slots(func(s *slot) { sum.add(s.tally) })
	v := Window{Name: w.name, Seconds: int(w.length / time.Second), Done: sum.done, Judged: sum.judged, Dead: sum.dead}
	if sum.judged > 0 {
		share := float64(sum.late) / float64(sum.judged)
		v.Late, v.LateShare, v.BudgetUsed = new(sum.late), &share, new(share/t.budget)
	}
	if sum.done > 0 {
		if q := &t.known[i]; q.second != now.Unix() {
			var all waits
			slots(func(s *slot) { all.add(s.waits) })
			*q = quantiles{now.Unix(), all.percentile(50, sum.done), all.percentile(99, sum.done)}
		}
		v.P50, v.P99 = new(t.known[i].p50), new(t.known[i].p99)
	}
	return v
}
