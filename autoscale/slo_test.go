package autoscale

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

func newSLO(t testing.TB, o SLOOptions) *SLO {
	t.Helper()
	s, err := NewSLO(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// seconds is a time so many seconds after noon.
func seconds(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }

// look is what a pool with so many ready workers, all busy, of one record per second each shows.
func sloLook(at float64, depth, ready, starting, arrived, completed int) Observation {
	return Observation{
		Time: seconds(at), Depth: depth, Size: ready + starting, Ready: ready, Starting: starting, MaxSize: 50,
		Arrived: arrived, Completed: completed, BusySeconds: float64(completed),
	}
}

func TestSLOOptionsNameEveryProblem(t *testing.T) {
	_, err := NewSLO(SLOOptions{SLO: time.Millisecond, CheckInterval: 48 * time.Hour, Startup: 25 * time.Hour, LateShare: math.NaN(), MaxReversals: 1})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"SLO is 1ms", "CheckInterval is 48h", "Startup is 25h", "LateShare is NaN", "MaxReversals is 1"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not say %q:\n%v", part, err)
		}
	}
	if _, err := NewSLO(SLOOptions{}); err == nil || !strings.Contains(err.Error(), "SLO is 0s") {
		t.Errorf("without an SLO: %v", err)
	}
}

// TestSLODeadlines is the arithmetic, worked by hand. A worker does one record per second, the SLO is 10 s, and a check is
// every second. With a lead of 5 s, 0.16 s are kept in reserve.
func TestSLODeadlines(t *testing.T) {
	type wave struct {
		from, to float64 // seconds; now is 0
		records  float64
	}
	tests := []struct {
		name   string
		ready  int
		lead   float64
		orders []sloOrder
		waits  []wave
		want   int
		reason string
	}{
		{"nothing waits", 2, 0, nil, nil, 1, "idle"}, // down by one: floor of MinSize 1
		{"exactly enough", 2, 0, nil, []wave{{0, 0, 20}}, 2, "met with 0.0s"},
		{"one record too many", 2, 0, nil, []wave{{0, 0, 21}}, 3, "deadline of 21 records in 10.0s needs 1 more"},
		{"the same with a lead of 5 s: 9.3 missing in 4.8 s", 2, 5, nil, []wave{{0, 0, 29}}, 4, "needs 2 more"},
		{"half of the time is gone", 2, 0, nil, []wave{{-5, -5, 20}}, 4, "deadline of 20 records in 5.0s needs 2 more"},
		{"the front binds", 2, 0, nil, []wave{{-8, -8, 10}, {0, 0, 1}}, 5, "deadline of 10 records in 2.0s needs 3 more"},
		{"the back binds", 2, 0, nil, []wave{{-8, -8, 1}, {0, 0, 49}}, 5, "deadline of 50 records in 10.0s needs 3 more"},
		{"an order is on its way: it works 5.8 of the 9.8 s", 2, 5, []sloOrder{{-1, 1}}, []wave{{0, 0, 25}}, 3, "met with 0.4s"},
		{"an order is not enough", 2, 5, []sloOrder{{-1, 1}}, []wave{{0, 0, 30}}, 4, "needs 1 more"},
		{"too late for a start: 40 records in 5 s of a new worker", 2, 9.5, nil, []wave{{-5, -5, 40}}, 5, "40 records will be up to 15.0s late: catching up needs 3 more"},
		{"all of it is late: done in half an SLO", 2, 0, nil, []wave{{-20, -20, 20}}, 4, "20 records will be up to 20.0s late: catching up needs 2 more"},
		{"most of a span is due before its end", 2, 0, nil, []wave{{-4, 0, 24}}, 3, "deadline of 24 records in 8.8s needs 1 more"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSLO(t, SLOOptions{SLO: 10 * time.Second, CheckInterval: time.Second})
			s.rate = sloRate{records: 100, busy: 100}
			s.lead = sloLead{believed: test.lead, learned: true}
			s.level.busyAt = -1000
			r := sloReading{ready: test.ready, size: test.ready, min: 1, max: 50}
			for _, o := range test.orders {
				s.orders.ask(o.asked, o.count)
				r.starting += o.count
				r.size += o.count
			}
			for _, w := range test.waits {
				s.queue.push(w.from, w.to, w.records, 0)
				r.depth += int(w.records)
			}
			p := s.plan(r)
			if p.Size != test.want || !strings.Contains(p.Reason, test.reason) {
				t.Errorf("size %d because %q, want %d with %q", p.Size, p.Reason, test.want, test.reason)
			}
		})
	}
}

func TestSLOCanStartFromNothing(t *testing.T) {
	s := newSLO(t, SLOOptions{SLO: 10 * time.Second, CheckInterval: time.Second})
	if p := s.Decide(sloLook(0, 0, 0, 0, 0, 0)); p.Size != 0 {
		t.Errorf("nothing to do: size %d (%s), want 0", p.Size, p.Reason)
	}
	if p := s.Decide(sloLook(1, 3, 0, 0, 3, 0)); p.Size != 1 {
		t.Errorf("work waits: size %d (%s), want 1", p.Size, p.Reason)
	}
	if p := s.Decide(sloLook(2, 3, 0, 1, 0, 0)); p.Size != 1 {
		t.Errorf("one is starting: size %d (%s), want 1", p.Size, p.Reason)
	}
	s.Decide(sloLook(3, 2, 1, 0, 0, 1))
	s.Decide(sloLook(4, 1, 1, 0, 0, 1))
	s.Decide(sloLook(5, 0, 1, 0, 0, 1))
	size := 1
	for at := 6.0; at < 60; at++ {
		size = s.Decide(sloLook(at, 0, size, 0, 0, 0)).Size
		if at < 12 && size != 1 {
			t.Fatalf("%v: the last worker left after %v s of quiet", at, at-5)
		}
	}
	if size != 0 {
		t.Errorf("after a minute of quiet: size %d, want 0", size)
	}
}

// TestSLOWithNothingButADepth is an observer that tells neither states nor counters: no rate can be learned.
func TestSLOWithNothingButADepth(t *testing.T) {
	s := newSLO(t, SLOOptions{SLO: 10 * time.Second, CheckInterval: time.Second})
	size := 1
	for at := range 5 {
		size = s.Decide(Observation{Time: seconds(float64(at)), Depth: 100, Size: size, MinSize: 1, MaxSize: 4}).Size
	}
	if size != 4 {
		t.Errorf("work waits: size %d, want 4", size)
	}
	for at := range 40 {
		size = s.Decide(Observation{Time: seconds(float64(at + 5)), Size: size, MinSize: 1, MaxSize: 4}).Size
	}
	if size != 1 {
		t.Errorf("quiet: size %d, want 1", size)
	}
}

func TestSLOLearnsTheRateAndFollowsIt(t *testing.T) {
	for _, to := range []int{20, 5} { // records per second: twice and half of 10
		s := newSLO(t, SLOOptions{SLO: 30 * time.Second, CheckInterval: time.Second})
		at := 0.0
		look := func(rate int) {
			o := sloLook(at, 1000, 4, 0, 4*rate, 4*rate)
			o.BusySeconds = 4
			s.Decide(o)
			at++
		}
		for range 300 {
			look(10)
		}
		if got := s.rate.value(); math.Abs(got-10) > 0.1 {
			t.Fatalf("rate %v, want 10", got)
		}
		for range 3 {
			look(to)
		}
		if got := s.rate.value(); math.Abs(got-float64(to)) > 0.5 {
			t.Errorf("3 s after a change to %d: rate %v", to, got)
		}
	}
}

// TestSLORateInBatches is the live pool: records complete ten at a time, and so does their busy time.
func TestSLORateInBatches(t *testing.T) {
	var m sloRate
	for i := range 500 {
		if i%5 == 0 {
			m.learn(10, 4.5+float64(i%3)*0.5)
		} else {
			m.learn(0, 0)
		}
	}
	if got := m.value(); math.Abs(got-2) > 0.1 {
		t.Errorf("rate %v, want 2", got)
	}
	m.learn(0, 1000) // a batch that does not come back
	if got := m.value(); math.Abs(got-2) > 0.1 {
		t.Errorf("rate %v after busy time without a record, want 2", got)
	}
}

func TestSLOMissesStuckWorkers(t *testing.T) {
	s := newSLO(t, SLOOptions{SLO: 30 * time.Second, CheckInterval: time.Second})
	for at := range 20 {
		s.Decide(sloLook(float64(at), 60, 5, 0, 5, 5))
	}
	if got := s.lack.missing; got != 0 {
		t.Fatalf("all work: %v missing", got)
	}
	for at := range 8 {
		s.Decide(sloLook(float64(at+20), 60+at, 5, 0, 4, 3))
	}
	if got := s.lack.missing; math.Abs(got-2) > 0.6 {
		t.Errorf("two of five are stuck: %v missing", got)
	}
	for at := range 30 {
		s.Decide(sloLook(float64(at+28), 60, 5, 0, 5, 5))
	}
	if got := s.lack.missing; got != 0 {
		t.Errorf("they work again: %v missing", got)
	}
}

func TestSLOHoldsOnReadingsThatCannotBe(t *testing.T) {
	tests := map[string]func(*Observation){
		"unknown":             func(o *Observation) { o.Unknown = "timeout" },
		"negative depth":      func(o *Observation) { o.Depth = -1 },
		"huge depth":          func(o *Observation) { o.Depth = math.MaxInt },
		"negative arrivals":   func(o *Observation) { o.Arrived = -5 },
		"negative completion": func(o *Observation) { o.Completed = -5 },
		"busy NaN":            func(o *Observation) { o.BusySeconds = math.NaN() },
		"busy infinite":       func(o *Observation) { o.BusySeconds = math.Inf(1) },
		"busy negative":       func(o *Observation) { o.BusySeconds = -1 },
		"from the past":       func(o *Observation) { o.Time = o.Time.Add(-20 * time.Second) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSLO(t, SLOOptions{SLO: 10 * time.Second, CheckInterval: time.Second})
			for at := range 30 {
				s.Decide(sloLook(float64(at), 20, 3, 0, 3, 3))
			}
			before := s.State()
			bad := sloLook(30, 0, 3, 0, 0, 0) // a pool that would be shrunk
			spoil(&bad)
			if p := s.Decide(bad); p.Size != 3 || p.Reason == "" {
				t.Errorf("size %d because %q, want 3", p.Size, p.Reason)
			}
			if after := s.State(); !reflect.DeepEqual(before, after) {
				t.Errorf("it learned from that:\n%+v\n%+v", before, after)
			}
			if s.beliefs.status != sloNoReading {
				t.Errorf("status %q", s.beliefs.status)
			}
			if p := s.Decide(sloLook(31, 20, 3, 0, 6, 6)); p.Size != 3 {
				t.Errorf("afterwards: size %d because %q, want 3", p.Size, p.Reason)
			}
		})
	}
}

func TestSLOTakesARepeatedReadingOnce(t *testing.T) {
	s := newSLO(t, SLOOptions{SLO: 10 * time.Second, CheckInterval: time.Second})
	for at := range 30 {
		o := sloLook(float64(at), 20, 3, 0, 3, 3)
		s.Decide(o)
		s.Decide(o)
	}
	if got := s.level.perSecond(); math.Abs(got-3) > 0.1 {
		t.Errorf("%v arrivals per second, want 3", got)
	}
}

func TestSLOClockSetBackIsFollowed(t *testing.T) {
	s := newSLO(t, SLOOptions{SLO: 10 * time.Second, CheckInterval: time.Second})
	for at := range 30 {
		s.Decide(sloLook(float64(at), 20, 3, 0, 3, 3))
	}
	var p Proposal
	for at := range 10 {
		p = s.Decide(sloLook(float64(at)-5000, 20, 3, 0, 3, 3))
	}
	if strings.Contains(p.Reason, "older") || s.beliefs.status == sloNoReading {
		t.Errorf("still not believed after 10 readings: %q", p.Reason)
	}
}

func TestSLOStateSurvivesARestart(t *testing.T) {
	o := SLOOptions{SLO: 30 * time.Second, CheckInterval: 5 * time.Second}
	old := newSLO(t, o)
	at := 0.0
	for ; at < 600; at += 5 {
		old.Decide(sloLook(at, 60, 8, 0, 40, 40))
	}
	old.Decide(sloLook(at, 900, 8, 0, 880, 40)) // orders some
	data, err := json.Marshal(old.State())
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 8192 {
		t.Errorf("%d bytes of state", len(data))
	}
	var state SLOState
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	s := newSLO(t, o)
	if err := s.Restore(state); err != nil {
		t.Fatal(err)
	}
	if again := s.State(); !reflect.DeepEqual(again, state) {
		t.Errorf("saved again before a reading:\n%+v, want\n%+v", again, state)
	}
	ordered := old.orders.total
	// The queue looks empty for a moment: that is no reason to shrink.
	if p := s.Decide(sloLook(at+10, 0, 8, ordered, 0, 0)); p.Size != 8+ordered {
		t.Errorf("size %d because %q, want %d", p.Size, p.Reason, 8+ordered)
	}
	if math.Abs(s.rate.value()-old.rate.value()) > 1e-9 || s.lead.value() < old.lead.value() || s.orders.total != ordered {
		t.Errorf("forgot something: rate %v, lead %v, %d ordered; was %v, %v, %d",
			s.rate.value(), s.lead.value(), s.orders.total, old.rate.value(), old.lead.value(), ordered)
	}
	if s.Restore(state) == nil {
		t.Error("restored in the middle of its life")
	}
}

func TestSLORestoreRefusesWhatIsDamaged(t *testing.T) {
	for name, spoil := range map[string]func(*SLOState){
		"another version": func(s *SLOState) { s.Version = 99 },
		"NaN":             func(s *SLOState) { s.RateBusy = math.NaN() },
		"negative":        func(s *SLOState) { s.LeadSeconds = -1 },
		"too many bins":   func(s *SLOState) { s.Excess = make([]float64, 1000) },
		"infinite bin":    func(s *SLOState) { s.Excess = []float64{math.Inf(1)} },
		"an order of -1":  func(s *SLOState) { s.Orders = []SLOOrder{{1, -1}} },
	} {
		s := newSLO(t, SLOOptions{SLO: time.Second})
		state := s.State()
		spoil(&state)
		if err := s.Restore(state); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSLOExplains(t *testing.T) {
	s := newSLO(t, SLOOptions{SLO: 10 * time.Second, CheckInterval: time.Second, Startup: -1})
	for at := range 60 {
		s.Decide(sloLook(float64(at), 20, 4, 0, 4, 4))
	}
	p := s.Decide(sloLook(60, 20, 4, 0, 4, 4))
	e := s.Explanation()
	got := map[string]float64{}
	for _, estimate := range e.Estimates {
		got[estimate.Name] = estimate.Value
	}
	// Within 11 s four workers do 44; 20 wait, so more than 24 in the next second are too many.
	for name, want := range map[string]float64{
		"slo_seconds": 10, "rate_per_second": 1, "arrivals_per_second": 4, "unfinished_worker_seconds": 20, "start_above_arrivals_per_second": 24,
	} {
		if math.Abs(got[name]-want) > 0.1 {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if _, ok := got["missing_workers"]; ok || p.Size != 4 {
		t.Errorf("size %d, %+v", p.Size, e)
	}
	if want := "no start: all deadlines met with"; !strings.HasPrefix(e.Otherwise, want) || !strings.Contains(e.Otherwise, "if arrivals exceed 24/s until the next check; one fewer once") {
		t.Errorf("otherwise %q", e.Otherwise)
	}
	if _, err := json.Marshal(e); err != nil {
		t.Error(err)
	}
	// 40 wait and 30 come: the four do 40 within the SLO.
	s.Decide(sloLook(61, 60, 4, 0, 44, 4))
	if e := s.Explanation(); e.Otherwise != "no start with 20 fewer records due in 10.0s" && !strings.Contains(e.Otherwise, "fewer records due in") {
		t.Errorf("otherwise %q after a start", e.Otherwise)
	}
}

// TestSLOCapOnReversals shrinks whenever it may and grows at once after it.
func TestSLOCapOnReversals(t *testing.T) {
	for _, perHour := range []float64{2, 20, 60} {
		m := sloCalm{}
		reversals, now := 0, 0.0
		for ; now < 3*3600; now++ {
			by := 1
			if m.up {
				if by = -1; !m.mayShrink(now, perHour) {
					continue
				}
			}
			if m.acted && now-m.changed <= sloReversal {
				reversals++
			}
			m.change(now, by)
		}
		// Growing cannot be refused: an up after a down that was none of its own is one every 5 minutes.
		if most := 3*max(perHour, 12) + perHour/6 + 2; float64(reversals) > most || float64(reversals) < perHour {
			t.Errorf("cap %v: %d reversals in three hours, want at most %v", perHour, reversals, most)
		}
	}
}

// TestSLONeedsNoMemoryForLongRuns: the state has a fixed size, and a decision allocates nothing but its reason.
func TestSLONeedsNoMemoryForLongRuns(t *testing.T) {
	s := newSLO(t, SLOOptions{SLO: 30 * time.Second, CheckInterval: time.Second})
	at := 0.0
	step := func() {
		s.Decide(sloLook(at, 100+int(at)%7, 10, 0, 10, 10))
		at += 0.1 // woken often: more cohorts than are kept
	}
	for range 20_000 {
		step()
	}
	if got := testing.AllocsPerRun(2000, step); got > 6 {
		t.Errorf("%v allocations per decision, want those of its reason only", got)
	}
	if s.queue.count > sloCohorts || s.orders.used > sloOrderSlots {
		t.Errorf("%d cohorts, %d orders", s.queue.count, s.orders.used)
	}
}

// TestSLONeedsNoMemoryForAYear: what is kept after a year, with a check each ten minutes and three new workers each hour that are
// never seen again, is no more than after a week.
func TestSLONeedsNoMemoryForAYear(t *testing.T) {
	s := newSLO(t, SLOOptions{SLO: time.Hour, CheckInterval: 10 * time.Minute})
	workers, ids := make([]Worker, 4), make([]string, 4)
	minute := 0
	until := func(end int) uint64 {
		for ; minute < end; minute += 10 {
			n := 2400 + minute%1440 + minute%70
			o := sloLook(float64(minute)*60, n, 4, 0, n, n)
			for i := range workers {
				if minute%60 == 0 {
					ids[i] = fmt.Sprint(minute*i, i)
				}
				workers[i] = Worker{ID: ids[i], State: WorkerBusy, Completed: n / 4, BusySeconds: float64(n) / 4}
			}
			o.Workers = workers
			s.Decide(o)
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	week, year := until(7*1440), until(365*1440)
	if year > week+64<<10 {
		t.Errorf("%d bytes after a year, %d after a week", year, week)
	}
}

// TestSLOKeepsToItsBounds: whatever is seen, the size stays within the bounds, and without a reading nobody leaves.
func TestSLOKeepsToItsBounds(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		s := newSLO(t, SLOOptions{SLO: time.Duration(1+r.IntN(100)) * time.Second, CheckInterval: time.Duration(1+r.IntN(20)) * time.Second})
		least := r.IntN(4)
		most := least + 1 + r.IntN(30)
		size, depth, at := least, 0, 0.0
		for range 400 {
			at += r.Float64() * 20
			arrived := r.IntN(1 + r.IntN(200))
			ready := r.IntN(size + 1)
			completed := min(depth+arrived, r.IntN(1+4*ready))
			depth += arrived - completed
			o := Observation{
				Time: seconds(at), Depth: depth, Size: size, Ready: ready, Starting: size - ready, MinSize: least, MaxSize: most,
				Arrived: arrived, Completed: completed, BusySeconds: float64(completed) * (0.5 + r.Float64()), OldestWait: time.Duration(r.IntN(1+depth)) * time.Second,
			}
			if r.IntN(4) == 0 {
				o = Observation{Time: o.Time, Size: size, Ready: ready, Starting: size - ready, MinSize: least, MaxSize: most, Unknown: "timeout"}
			}
			d := Decide(s, o)
			if d.NewSize < least || d.NewSize > most {
				t.Fatalf("seed %d: size %d, want %d to %d", seed, d.NewSize, least, most)
			}
			if o.Unknown != "" && d.NewSize != size {
				t.Fatalf("seed %d: from %d to %d without a reading (%s)", seed, size, d.NewSize, d.Reason)
			}
			size = d.NewSize
		}
	}
}

func FuzzSLODecide(f *testing.F) {
	f.Add(int64(1e9), 10, 3, 1, 5, 5, 5.0, int64(2e9), 1, 10)
	f.Add(int64(-1e9), -10, -3, -1, -5, -5, math.NaN(), int64(-2), -1, 0)
	f.Add(int64(math.MaxInt64), math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, math.Inf(1), int64(math.MaxInt64), math.MaxInt, math.MaxInt)
	f.Add(int64(0), 1<<50, 1_000_000, 1_000_000, 1<<50, 1, 1e-300, int64(1), 0, 1)
	f.Fuzz(func(t *testing.T, step int64, depth, size, ready, arrived, completed int, busy float64, oldest int64, least, most int) {
		s := newSLO(t, SLOOptions{SLO: 5 * time.Second, CheckInterval: time.Second})
		now := noon
		for i := range 40 {
			now = now.Add(time.Second)
			o := sloLook(0, 10+i, 2, i%3, 2+i, 2)
			if i%3 == 2 {
				now = now.Add(time.Duration(step))
				o = Observation{
					Depth: depth, Size: size, Ready: ready, Starting: size - ready, Draining: arrived, MinSize: least, MaxSize: most,
					Arrived: arrived, Completed: completed, BusySeconds: busy, OldestWait: time.Duration(oldest),
				}
			}
			o.Time = now
			p := s.Decide(o)
			if p.Size < 0 || p.Size > max(sloMost, o.Size) || p.Reason == "" {
				t.Fatalf("size %d because %q for %+v", p.Size, p.Reason, o)
			}
			if d := Decide(s, o); o.MinSize >= 0 && o.MaxSize >= max(1, o.MinSize) && o.Size >= 0 && (d.NewSize < o.MinSize || d.NewSize > o.MaxSize) {
				t.Fatalf("size %d out of bounds %d..%d", d.NewSize, o.MinSize, o.MaxSize)
			}
			e := s.Explanation()
			for _, x := range e.Estimates {
				if math.IsNaN(x.Value) || math.IsInf(x.Value, 0) || strings.Contains(e.Otherwise, "NaN") {
					t.Fatalf("%+v for %+v", e, o)
				}
			}
			if p.WakeAt < 0 {
				t.Fatalf("wake at %d for %+v", p.WakeAt, o)
			}
			if err := s.State().validate(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkSLODecide(b *testing.B) {
	s := newSLO(b, SLOOptions{SLO: 300 * time.Second, CheckInterval: time.Second})
	at := 0.0
	for b.Loop() {
		s.Decide(sloLook(at, 2500+int(at)%700, 10, 3, 10, 10))
		at++
	}
}
