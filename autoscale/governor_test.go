package autoscale

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// wants is a policy that names whatever the test wants.
type wants struct{ size int }

func (w *wants) Name() string { return "wants" }

func (w *wants) Decide(Observation) Proposal {
	return Proposal{Size: w.size, Reason: "wanted", WakeAt: 100}
}

func (w *wants) Explanation() Explanation {
	return Explanation{Estimates: []Estimate{{"wanted_workers", float64(w.size)}}, Otherwise: "ask for something else"}
}

// plant is a pool that obeys at once, checked every second, with more work than it can do.
type plant struct {
	t     *testing.T
	g     *Governor
	inner *wants
	now   float64
	ready int
	batch int // records that a worker completes together; 0 means that they come evenly
	done  []float64

	carried Observation // the counters of readings that nobody could use

	perSecond func(ready int) float64 // what so many workers complete
	change    func(o *Observation)    // what happens to the reading
}

func newPlant(t *testing.T, ready int, perSecond func(int) float64) *plant {
	t.Helper()
	inner := &wants{ready}
	g, err := NewGovernor(inner, GovernorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &plant{t: t, g: g, inner: inner, ready: ready, perSecond: perSecond}
}

// atMost is workers that do ten records per second each, and a limit for all of them.
func atMost(limit float64) func(int) float64 {
	return func(ready int) float64 { return min(10*float64(ready), limit) }
}

// run lets seconds pass and returns the last proposal.
func (p *plant) run(seconds int) Proposal {
	p.t.Helper()
	var last Proposal
	for range seconds {
		p.now++
		o := Observation{
			Time: seconds0(p.now), Depth: 5000, Size: p.ready, Ready: p.ready, MaxSize: 50,
			Completed: int(p.perSecond(p.ready)), BusySeconds: float64(p.ready),
		}
		if p.batch > 0 {
			o.Completed = p.inBatches()
		}
		o.Completed, o.BusySeconds = o.Completed+p.carried.Completed, o.BusySeconds+p.carried.BusySeconds
		good := o
		if p.change != nil {
			p.change(&o)
		}
		p.carried = Observation{}
		if !plausible(o) || o.Time.Before(good.Time) {
			p.carried = good // the next reading tells of both
		}
		d := Decide(p.g, o)
		last = p.g.inner.Decide(o)
		last.Clamps, last.Reason = d.Clamps, d.Reason
		p.ready = d.NewSize
	}
	return last
}

func seconds0(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }

// inBatches is what workers complete in this second if each works 20 s on a batch, from when it was started.
func (p *plant) inBatches() int {
	completed := 0
	for len(p.done) < p.ready {
		p.done = append(p.done, p.now+20*float64(len(p.done)%2+1)/2)
	}
	p.done = p.done[:p.ready]
	for i, at := range p.done {
		if p.now >= at {
			completed += p.batch
			p.done[i] += 20
		}
	}
	return completed
}

func (p *plant) expectCap(want bool) {
	p.t.Helper()
	if got := p.g.cap.on; got != want {
		p.t.Errorf("second %v, %d workers: capped is %v, want %v", p.now, p.ready, got, want)
	}
}

func TestGovernorOptionsNameEveryProblem(t *testing.T) {
	_, err := NewGovernor(nil, GovernorOptions{CheckInterval: -1, ProbeAfter: time.Millisecond, ProbeMost: time.Microsecond})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"the policy to govern is nil", "CheckInterval is -1ns", "ProbeAfter is 1ms", "ProbeMost is 1µs"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not say %q:\n%v", part, err)
		}
	}
}

func TestGovernorGoesBackAndSaysSo(t *testing.T) {
	p := newPlant(t, 4, atMost(80))
	p.run(60)
	p.inner.size = 20
	last := p.run(5)
	if p.ready != 9 || last.Reason != "11 more would not help: throughput has stayed at 80/s since 8 workers; kept at 9" {
		t.Errorf("%d workers because %q", p.ready, last.Reason)
	}
	o := Observation{Time: seconds0(p.now + 1), Depth: 5000, Size: 9, Ready: 9, MaxSize: 50, Completed: 80, BusySeconds: 9}
	proposal := p.g.Decide(o)
	if proposal.WakeAt != 0 || proposal.Size != 20 || settledSize(proposal) != 9 {
		t.Errorf("%+v, want 20 named, 9 settled for, and no wake", proposal)
	}
	e := p.g.Explanation()
	if len(e.Estimates) != 3 || e.Estimates[0].Name != "wanted_workers" || math.Abs(e.Estimates[1].Value-8) > 0.01 || e.Estimates[1].Name != "effective_workers" ||
		e.Estimates[2] != (Estimate{"throughput_per_second", 80}) || !strings.Contains(e.Otherwise, "more than 9 would be kept if throughput rose above 85/s") {
		t.Errorf("explanation %+v", e)
	}
	o.Time, o.MinSize = o.Time.Add(time.Second), 12
	if got := settledSize(p.g.Decide(o)); got != 12 {
		t.Errorf("with MinSize 12: %d", got)
	}
	p.inner.size = 3
	if got := p.g.Decide(o); got.Size != 3 || len(got.Clamps) > 0 || got.WakeAt != 100 {
		t.Errorf("with less wanted than is kept: %+v, want it untouched", got)
	}
	if p.g.Name() != "wants" || p.g.Unwrap() != Policy(p.inner) {
		t.Error("the inner policy does not show through")
	}
}

// TestGovernorIsNotFooledBy is growth after which throughput is no higher than before, for reasons of another kind.
func TestGovernorIsNotFooledBy(t *testing.T) {
	slow := 1.0
	rate := func(ready int) float64 { return slow * 10 * float64(ready) }
	tests := map[string]func(p *plant){
		"workers of half the rate": func(p *plant) {
			slow = 0.5
			p.run(2)
			p.inner.size = 16
			p.run(30)
		},
		"a stuck worker": func(p *plant) {
			p.perSecond = func(ready int) float64 { return 10 * float64(ready-1) }
			p.inner.size = 9
			p.run(30)
			p.inner.size = 14
			p.run(30)
		},
		"the end of the backlog": func(p *plant) {
			p.inner.size = 20
			p.run(2)
			p.change = func(o *Observation) { o.Depth, o.Completed, o.BusySeconds = 0, 80, 8 }
			p.run(30)
		},
		"too few records to go round": func(p *plant) {
			p.inner.size = 20
			p.change = func(o *Observation) { o.Depth, o.Completed, o.BusySeconds = 3, 80, 8 }
			p.run(30)
		},
		"batches longer than a check": func(p *plant) {
			p.batch = 200
			p.run(120)
			p.inner.size = 30
			p.run(60)
		},
		"starting workers": func(p *plant) {
			p.inner.size = 30
			p.change = func(o *Observation) {
				o.Ready, o.Starting, o.Completed, o.BusySeconds = 8, o.Size-8, 80, 8
			}
			p.run(60)
		},
	}
	for name, story := range tests {
		t.Run(name, func(t *testing.T) {
			slow = 1
			p := newPlant(t, 8, rate)
			p.run(60)
			story(p)
			p.expectCap(false)
		})
	}
}

func TestGovernorWithoutBusySeconds(t *testing.T) {
	p := newPlant(t, 4, atMost(80))
	p.change = func(o *Observation) { o.BusySeconds, o.Ready = 0, 0 }
	p.run(60)
	p.inner.size = 20
	if p.run(5); p.ready != 9 {
		t.Errorf("%d workers, want 9", p.ready)
	}
}

// TestGovernorLooksAgain: the limit goes away. With a bit of room on top of what helped it shows at once; without, at the
// next try.
func TestGovernorLooksAgain(t *testing.T) {
	p := newPlant(t, 4, atMost(80))
	p.run(60)
	p.inner.size = 20
	p.run(10)
	p.expectCap(true)
	p.perSecond = atMost(1000)
	if p.run(10); p.ready != 20 {
		t.Errorf("10 s after the limit went away: %d workers", p.ready)
	}

	p = newPlant(t, 4, atMost(80))
	p.run(60)
	p.inner.size = 20
	p.run(10)
	tries, most := 0, 0
	p.change = func(o *Observation) {
		if o.Size > 9 {
			tries++
			most = max(most, o.Size)
		}
	}
	p.run(4 * 3600)
	// After 10, 20, 40 and then every 60 minutes.
	if tries < 10 || tries > 60 || most != 10 {
		t.Errorf("%d checks with more than are kept in 4 h, up to %d", tries, most)
	}
	p.expectCap(true)
}

// TestGovernorTakesBackAMistake: throughput falls when the pool goes back, so the cap was wrong.
func TestGovernorTakesBackAMistake(t *testing.T) {
	p := newPlant(t, 4, atMost(80))
	p.run(60)
	p.inner.size = 20
	p.run(5)
	p.expectCap(true)
	p.perSecond = func(ready int) float64 { return 4 * float64(ready) }
	p.run(5)
	p.expectCap(false)
	if p.ready != 20 || p.g.doubts != 1 {
		t.Errorf("%d workers with %d doubts, want 20 and 1", p.ready, p.g.doubts)
	}
	p.perSecond = atMost(80)
	p.inner.size = 40
	p.run(200)
	p.expectCap(false) // it does not believe so soon
}

// TestGovernorFollowsATighterLimit: what gets through halves, and so does what is kept.
func TestGovernorFollowsATighterLimit(t *testing.T) {
	p := newPlant(t, 4, atMost(200))
	p.run(60)
	p.inner.size = 40
	p.run(30)
	if p.ready != 21 {
		t.Fatalf("%d workers, want 21", p.ready)
	}
	p.perSecond = atMost(100)
	p.run(120)
	if p.ready < 10 || p.ready > 12 {
		t.Errorf("after the limit halved: %d workers, want 10 to 12", p.ready)
	}
}

// TestGovernorWithBadReadings: lost, repeated, late and impossible readings neither start a cap nor end one.
func TestGovernorWithBadReadings(t *testing.T) {
	bad := []func(o *Observation){
		func(o *Observation) { o.Unknown = "connection refused" },
		func(o *Observation) { o.Time = o.Time.Add(-time.Hour) },
		func(o *Observation) { o.Completed = -5 },
		func(o *Observation) { o.Completed = math.MaxInt },
		func(o *Observation) { o.BusySeconds = math.NaN() },
		func(o *Observation) { o.BusySeconds = math.Inf(1) },
		func(o *Observation) { o.Depth = -1 },
	}
	p := newPlant(t, 4, atMost(80))
	check := 0
	p.change = func(o *Observation) {
		if check++; check%3 == 0 {
			bad[check/3%len(bad)](o)
		}
	}
	p.run(90)
	p.expectCap(false)
	p.inner.size = 20
	p.run(12)
	p.expectCap(true)
	p.run(120)
	p.expectCap(true)

	p = newPlant(t, 4, atMost(80))
	p.run(60)
	first := Observation{Time: seconds0(p.now), Depth: 5000, Size: 20, Ready: 20, MaxSize: 50, Completed: 40, BusySeconds: 4}
	for range 50 {
		p.g.Decide(first) // the same one again and again
	}
	p.expectCap(false)
}

// TestGovernorWhenAPersonSetsTheSize: somebody holds the pool at 30, which changes nothing about what helps.
func TestGovernorWhenAPersonSetsTheSize(t *testing.T) {
	p := newPlant(t, 4, atMost(80))
	p.run(60)
	p.inner.size = 20
	p.run(10)
	p.change = func(o *Observation) { o.Size, o.Ready, o.BusySeconds, o.Completed = 30, 30, 30, 80 }
	p.run(60)
	p.change = nil
	if p.run(5); p.ready != 9 {
		t.Errorf("afterwards %d workers, want 9", p.ready)
	}
}

func TestGovernorState(t *testing.T) {
	p := newPlant(t, 4, atMost(80))
	p.run(60)
	p.inner.size = 20
	p.run(10)
	text, err := json.Marshal(p.g.State())
	if err != nil || len(text) > 400 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	var state GovernorState
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	old := p.g
	p.g, _ = NewGovernor(p.inner, GovernorOptions{})
	if err := p.g.Restore(state); err != nil {
		t.Fatal(err)
	}
	if p.g.State() != old.State() {
		t.Errorf("restored %+v, was %+v", p.g.State(), old.State())
	}
	if p.run(30); p.ready != 9 {
		t.Errorf("after a restart %d workers, want 9", p.ready)
	}
	if err := p.g.Restore(state); err == nil {
		t.Error("restored in the middle")
	}
	for name, damage := range map[string]func(*GovernorState){
		"version": func(s *GovernorState) { s.Version++ }, "doubts": func(s *GovernorState) { s.Doubts = -1 },
		"kept": func(s *GovernorState) { s.Kept = -1 }, "worker_rate": func(s *GovernorState) { s.WorkerRate = math.NaN() },
		"from": func(s *GovernorState) { s.From = 1 }, "probe_interval_seconds": func(s *GovernorState) { s.ProbeAfter = 0 },
	} {
		damaged := state
		damage(&damaged)
		fresh, _ := NewGovernor(p.inner, GovernorOptions{})
		if err := fresh.Restore(damaged); err == nil || !strings.Contains(err.Error(), name) || fresh.cap.on {
			t.Errorf("%s damaged: %v", name, err)
		}
	}
}

// TestGovernorSurvivesAnything feeds it nonsense.
func TestGovernorSurvivesAnything(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	numbers := []int{0, 1, 2, 5, 50, 1000, -1, math.MaxInt, math.MinInt}
	pick := func() int { return numbers[r.IntN(len(numbers))] }
	inner := &wants{}
	g, _ := NewGovernor(inner, GovernorOptions{ProbeAfter: time.Second})
	at := noon
	for range 50_000 {
		at = at.Add(time.Duration(r.IntN(5000)-500) * time.Millisecond)
		inner.size = r.IntN(60)
		o := Observation{
			Time: at, Depth: pick(), Size: r.IntN(60), Ready: pick(), Starting: pick(), Draining: pick(), MinSize: r.IntN(3), MaxSize: 50,
			Completed: pick(), Arrived: pick(), InFlight: pick(), BusySeconds: float64(pick()),
		}
		if d := Decide(g, o); d.NewSize < o.MinSize || d.NewSize > 50 && d.NewSize != o.Size {
			t.Fatalf("size %d from %+v", d.NewSize, o)
		}
		if e := g.Explanation().Estimates; math.IsNaN(e[1].Value) || math.IsNaN(e[2].Value) {
			t.Fatalf("estimates %+v", e)
		}
	}
}

func BenchmarkGovernor(b *testing.B) {
	inner := &wants{20}
	g, _ := NewGovernor(inner, GovernorOptions{})
	b.ReportAllocs()
	for i := range b.N {
		inner.size = 5 + i%11
		g.Decide(Observation{Time: seconds0(float64(i)), Depth: 500, Size: inner.size, Ready: inner.size, MaxSize: 50, Completed: 10 * inner.size, BusySeconds: float64(inner.size)})
	}
}
