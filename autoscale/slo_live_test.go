package autoscale

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// sloLive is a pool as it is live, in steps of 20 ms: workers take batches, hold them for as long as they take, may be
// slow or stuck, and batches may fail and wait for a retry. It looks at the policy on the interval and when it is woken.
type sloLive struct {
	policy   *SLO
	interval float64
	batch    int
	rate     float64                   // records per second of a worker
	arrivals func(now float64) float64 // records per second
	apart    bool                      // the pool tells its workers apart
	startup  float64
	max      int
	early    func(now float64) bool // more checks, between two

	now     float64
	waiting []sloLiveBatch // by arrival
	kept    int            // records in waiting and retry
	inHand  int
	retry   []sloLiveBatch
	workers []*sloLiveWorker
	born    int
	due     float64
	wakeAt  int
	credit  float64

	arrived, completed int
	busy               float64
	late, done, woken  int
	cost               float64
	sizes              []int // after each check on the interval
	changes            int
	poisoned           bool // one batch fails whenever it is tried
}

type sloLiveBatch struct {
	came    float64
	records int
	again   float64 // when it may be tried
	poison  bool
}

type sloLiveWorker struct {
	id        string
	speed     float64
	readyAt   float64
	batch     sloLiveBatch
	until     float64 // busy until then; +Inf when stuck
	since     float64
	busy      bool
	completed int
	seconds   float64
}

const sloStep = 0.02

func (l *sloLive) run(seconds float64) {
	for end := l.now + seconds; l.now < end; l.now += sloStep {
		l.credit += l.arrivals(l.now) * sloStep
		if n := int(l.credit); n > 0 {
			l.credit -= float64(n)
			l.arrived += n
			l.kept += n
			l.waiting = append(l.waiting, sloLiveBatch{came: l.now, records: n, poison: l.poisoned})
			l.poisoned = false
		}
		for _, w := range l.workers {
			l.work(w)
		}
		l.cost += float64(len(l.workers)) * sloStep
		regular := l.now >= l.due-1e-9
		if regular || l.wakeAt > 0 && l.kept+l.inHand >= l.wakeAt || l.early != nil && l.early(l.now) {
			if !regular {
				l.woken++
			}
			l.check(regular)
		}
	}
}

func (l *sloLive) work(w *sloLiveWorker) {
	if w.busy {
		w.seconds += sloStep
		l.busy += sloStep
		if l.now < w.until {
			return
		}
		w.busy, w.since = false, l.now
		if w.batch.poison {
			w.batch.again = l.now + 60
			l.retry = append(l.retry, w.batch)
			l.inHand -= w.batch.records
			l.kept += w.batch.records
		} else {
			w.completed += w.batch.records
			l.completed += w.batch.records
			l.done += w.batch.records
			l.inHand -= w.batch.records
		}
	}
	if l.now < w.readyAt || math.IsInf(w.until, 1) {
		return
	}
	if len(l.retry) > 0 && l.retry[0].again <= l.now {
		w.batch, l.retry = l.retry[0], l.retry[1:]
	} else if len(l.waiting) > 0 {
		w.batch = l.waiting[0]
		l.waiting = l.waiting[1:]
		if l.now-w.batch.came > l.policy.slo {
			l.late += w.batch.records
		}
		for w.batch.records < l.batch && len(l.waiting) > 0 && !w.batch.poison && !l.waiting[0].poison {
			take := min(l.batch-w.batch.records, l.waiting[0].records)
			w.batch.records += take
			if l.waiting[0].records -= take; l.waiting[0].records == 0 {
				l.waiting = l.waiting[1:]
			}
		}
	} else {
		return
	}
	l.inHand += w.batch.records
	l.kept -= w.batch.records
	w.busy, w.since, w.until = true, l.now, l.now+float64(w.batch.records)/l.rate/w.speed
}

func (l *sloLive) check(regular bool) {
	at := func(s float64) time.Time { return noon.Add(time.Duration(s * 1e9)) }
	o := Observation{Time: at(l.now), Size: len(l.workers), MinSize: 1, MaxSize: l.max}
	o.Depth, o.InFlight = l.kept, l.inHand
	for _, b := range [][]sloLiveBatch{l.waiting, l.retry} {
		if len(b) > 0 {
			o.OldestWait = max(o.OldestWait, time.Duration((l.now-b[0].came)*1e9))
		}
	}
	o.Arrived, o.Completed, o.BusySeconds = l.arrived, l.completed, l.busy
	for _, w := range l.workers {
		state := WorkerIdle
		switch {
		case l.now < w.readyAt:
			state = WorkerStarting
			o.Starting++
		case w.busy && l.now-w.since > 120:
			state = WorkerStuck
		case w.busy:
			state = WorkerBusy
		}
		if l.apart {
			o.Workers = append(o.Workers, Worker{ID: w.id, State: state, Since: at(w.since), Completed: w.completed, BusySeconds: w.seconds})
		}
		w.completed, w.seconds = 0, 0
	}
	o.Ready = o.Size - o.Starting
	l.arrived, l.completed, l.busy = 0, 0, 0
	d := l.policy.Decide(o)
	l.wakeAt = d.WakeAt
	if size := min(max(d.Size, 1), l.max); size != len(l.workers) {
		l.changes++
		l.resize(size)
	}
	if regular {
		l.due += l.interval
		l.sizes = append(l.sizes, len(l.workers))
	}
}

// resize starts workers, or lets go those that start, then the idle, then the stuck, then the slowest. What those had in hand waits again.
func (l *sloLive) resize(size int) {
	for len(l.workers) < size {
		l.born++
		l.workers = append(l.workers, &sloLiveWorker{id: fmt.Sprint("w", l.born), speed: 1, readyAt: l.now + l.startup})
	}
	rank := func(w *sloLiveWorker) float64 {
		switch {
		case l.now < w.readyAt:
			return -20
		case !w.busy:
			return w.speed - 10
		case w.busy && l.now-w.since > 120:
			return -1
		}
		return w.speed
	}
	slices.SortStableFunc(l.workers, func(a, b *sloLiveWorker) int { return int(1000 * (rank(b) - rank(a))) })
	for _, w := range l.workers[size:] {
		if w.busy {
			l.waiting = append([]sloLiveBatch{w.batch}, l.waiting...)
			l.inHand -= w.batch.records
			l.kept += w.batch.records
		}
	}
	l.workers = l.workers[:size]
}

func newSLOLive(t testing.TB, slo, interval time.Duration) *sloLive {
	l := &sloLive{
		policy: newSLO(t, SLOOptions{SLO: slo, CheckInterval: interval}), interval: interval.Seconds(),
		batch: 50, rate: 10, apart: true, max: 40, arrivals: func(float64) float64 { return 100 },
	}
	l.resize(1)
	return l
}

func (l *sloLive) ratio() float64 { return l.cost / (float64(l.done) / l.rate) }

// TestSLOLiveBatches: batches take longer than a check, and the busy time comes in lumps.
func TestSLOLiveBatches(t *testing.T) {
	for _, apart := range []bool{true, false} {
		for _, batch := range []int{1, 50, 300, 2000} {
			l := newSLOLive(t, 60*time.Second, 2*time.Second)
			l.apart, l.batch, l.rate = apart, batch, 100
			l.arrivals = func(now float64) float64 { return 1000 + 500*math.Sin(now/200) }
			l.run(1800)
			if share := float64(l.late) / float64(l.done); share > 0.02 || l.ratio() > 1.15 {
				t.Errorf("batches of %d, apart %v: %.2f %% late at ratio %.3f, %d changes", batch, apart, 100*share, l.ratio(), l.changes)
			}
		}
	}
}

// TestSLOLivePoison: a batch that fails again and again makes the oldest wait exceed the SLO for minutes. The pool
// follows the load all the same.
func TestSLOLivePoison(t *testing.T) {
	for _, apart := range []bool{true, false} {
		l := newSLOLive(t, 10*time.Second, time.Second)
		l.apart = apart
		l.arrivals = func(now float64) float64 {
			if now < 120 {
				return 200
			}
			return 30
		}
		l.run(100)
		if size := len(l.workers); size < 18 || size > 23 {
			t.Fatalf("%d workers for 20 workers' worth", size)
		}
		l.poisoned = true
		l.run(100)
		if size := len(l.workers); size > 5 {
			t.Errorf("apart %v: %d workers for 3 workers' worth and a poisoned batch", apart, size)
		}
	}
}

// TestSLOLiveRetriesWait: a large batch waits for its retry while workers are idle.
func TestSLOLiveRetriesWait(t *testing.T) {
	l := newSLOLive(t, 10*time.Second, time.Second)
	l.arrivals = func(float64) float64 { return 20 }
	l.run(60)
	l.retry = append(l.retry, sloLiveBatch{came: l.now, records: 5000, again: l.now + 300})
	l.arrived += 5000
	l.kept += 5000
	l.run(200)
	if most := slices.Max(l.sizes[len(l.sizes)-50:]); most > 6 {
		t.Errorf("up to %d workers for 2 workers' worth and 5000 records that wait for a retry", most)
	}
}

func TestSLOLiveStuckAndSlow(t *testing.T) {
	l := newSLOLive(t, 20*time.Second, time.Second)
	l.batch = 20
	l.run(120)
	l.workers[0].until = math.Inf(1) // it holds what it has for ever
	l.workers[1].speed, l.workers[2].speed = 0.3, 0.3
	l.run(240)
	if share := float64(l.late) / float64(l.done); share > 0.003 {
		t.Errorf("%d of %d records late", l.late, l.done)
	}
	if size := len(l.workers); size > 13 {
		t.Errorf("%d workers for 10 workers' worth", size)
	}
	if s := l.policy.crew; math.Abs(s.working-10) > 1.5 {
		t.Errorf("capacity of %.2f workers for 10 workers' worth", s.working)
	}
}

// TestSLOLiveWakes: a burst is answered at once, long before the next check.
func TestSLOLiveWakes(t *testing.T) {
	l := newSLOLive(t, 5*time.Second, 10*time.Second)
	l.batch = 5
	l.arrivals = func(now float64) float64 {
		if now > 303 && now < 304 {
			return 1000
		}
		return 20
	}
	l.run(303)
	before := len(l.workers)
	woken := l.woken
	l.run(1.2)
	if len(l.workers) < before+10 || l.woken == woken {
		t.Errorf("%d workers after a burst, were %d, %d checks woken", len(l.workers), before, l.woken-woken)
	}
	l.run(10)
	if l.late > 10 {
		t.Errorf("%d records late", l.late)
	}
	if l.woken-woken > 60 {
		t.Errorf("woken %d times for one burst", l.woken-woken)
	}
}

// TestSLOEarlyChecksAreHarmless compares a run with one that has many more checks, at odd times.
func TestSLOEarlyChecksAreHarmless(t *testing.T) {
	for _, apart := range []bool{true, false} {
		run := func(early func(float64) bool) *sloLive {
			l := newSLOLive(t, 20*time.Second, 4*time.Second)
			l.apart, l.batch, l.early = apart, 1, early
			l.arrivals = func(now float64) float64 { return 120 + 80*math.Sin(now/60) + 60*math.Sin(now/7) }
			l.run(1200)
			return l
		}
		plain := run(nil)
		state := uint32(1)
		often := run(func(float64) bool {
			state = state*1664525 + 1013904223
			return state>>28 == 0
		})
		if often.ratio() > plain.ratio()+0.005 || often.late > plain.late || often.changes > plain.changes*3/2 {
			t.Errorf("apart %v: ratio %.4f, %d late, %d changes with %d early checks; %.4f, %d, %d without",
				apart, often.ratio(), often.late, often.changes, often.woken, plain.ratio(), plain.late, plain.changes)
		}
	}
}

func TestSLOWakesForTheFirstAndNeverAtTheMaximum(t *testing.T) {
	s := newSLO(t, SLOOptions{SLO: 10 * time.Second, CheckInterval: time.Second})
	if p := s.Decide(sloLook(0, 0, 0, 0, 0, 0)); p.WakeAt != 1 {
		t.Errorf("nobody there: wake at %d, want 1", p.WakeAt)
	}
	for at := range 20 {
		s.Decide(sloLook(float64(at+1), 20, 3, 0, 3, 3))
	}
	// Three workers do 29 in 10 s less a reserve of 0.16 s: no start was seen yet, so it may take half of the SLO.
	if p := s.Decide(sloLook(21, 20, 3, 0, 3, 3)); p.WakeAt != 30 {
		t.Errorf("three workers: wake at %d, want 30", p.WakeAt)
	}
	full := sloLook(22, 20, 3, 0, 3, 3)
	full.MaxSize = 3
	if p := s.Decide(full); p.WakeAt != 0 {
		t.Errorf("at max size: wake at %d, want 0", p.WakeAt)
	}
}

// TestSLOForgetsTheOldestWorkers: a year of workers that come and go needs no more room than the table has.
func TestSLOForgetsTheOldestWorkers(t *testing.T) {
	s := newSLO(t, SLOOptions{SLO: 10 * time.Second, CheckInterval: time.Second})
	for at := range 3000 {
		o := sloLook(float64(at), 20, 3, 0, 3, 3)
		for i := range 3 {
			o.Workers = append(o.Workers, Worker{ID: fmt.Sprint(at+i, "-of-many"), State: WorkerBusy, Completed: 1, BusySeconds: 1})
		}
		s.Decide(o)
	}
	if n := len(s.crew.index); n != sloMostWorkers || s.crew.used != sloMostWorkers {
		t.Errorf("%d workers remembered, want %d", n, sloMostWorkers)
	}
}
