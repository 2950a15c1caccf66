//go:build !race

// Computation alone, which takes ten times as long with the race detector: make test runs it without.

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

// dawn is the beginning of a day.
var dawn = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func newSeasonal(t testing.TB) *Seasonal {
	t.Helper()
	slo, err := NewSLO(SLOOptions{SLO: 30 * time.Second, Startup: 3 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSeasonal(slo)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// jobAt is a reading every five seconds to minutes, with more from 03:00 to 03:05.
func jobAt(at time.Time, since time.Duration, size int) Observation {
	perSecond := 10.0
	if at.Hour() == 3 && at.Minute() < 5 {
		perSecond = 60
	}
	n := int(perSecond * since.Seconds())
	return Observation{
		Time: at, Size: size, Ready: size, MinSize: 1, MaxSize: 100, Depth: 5, OldestWait: time.Second,
		Arrived: n, Completed: n, BusySeconds: float64(n) / 2,
	}
}

// live goes through time until the end, and returns the last proposal.
func live(s *Seasonal, from, until time.Time, each time.Duration) (p Proposal) {
	for at := from; at.Before(until); at = at.Add(each) {
		p = s.Decide(jobAt(at, each, 8))
	}
	return p
}

func TestSeasonalExpectsWhatCameOnBothDays(t *testing.T) {
	s := newSeasonal(t)
	live(s, dawn, dawn.AddDate(0, 0, 2), 20*time.Second)
	first := dawn.Unix() / 60
	for _, c := range []struct {
		minute int64
		want   float64
	}{{2*minutesPerDay + 60, 600}, {2*minutesPerDay + 181, 3600}, {2*minutesPerDay + 190, 600}} {
		got, known := s.days.expected(&s.minutes, first+c.minute)
		if !known || math.Abs(got-c.want) > 1 {
			t.Errorf("at minute %d it expects %v (known: %v), want %v", c.minute, got, known, c.want)
		}
	}
	if _, known := s.weeks.expected(&s.minutes, first+2*minutesPerDay+181); known {
		t.Error("after two days it claims to know what comes every week")
	}
	if _, known := s.days.expected(&s.minutes, first+3*minutesPerDay+181); known {
		t.Error("it claims to know a day that was not there yet")
	}
}

func TestSeasonalRaisesTheFloorBeforeTheJob(t *testing.T) {
	s := newSeasonal(t)
	live(s, dawn, dawn.AddDate(0, 0, 3).Add(2*time.Hour+58*time.Minute), 10*time.Second)
	at := dawn.AddDate(0, 0, 3).Add(2*time.Hour + 58*time.Minute)
	p := s.Decide(jobAt(at, 10*time.Second, 8))
	n := len(p.Clamps)
	if n == 0 || p.Clamps[n-1].Name != ClampSeasonal || p.Clamps[n-1].After < 30 {
		t.Fatalf("two minutes before the job it names %+v, want 30 or more; it believes: %v, %+v", p, s.days.believed, s.days.score)
	}
	if !strings.HasPrefix(p.Reason, "about ") || !strings.Contains(p.Reason, fmt.Sprintf(" are needed within 190s, as on the last days at this time; %d without that: ", p.Clamps[n-1].Before)) {
		t.Errorf("the reason is %q", p.Reason)
	}
	e := s.Explanation()
	var names []string
	for _, x := range e.Estimates {
		names = append(names, x.Name)
	}
	for _, want := range []string{"expected_workers", "daily_late_share_saved", "daily_extra_cost_share"} {
		if !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("the estimates %q have no %s", names, want)
		}
	}
	if e.Otherwise != fmt.Sprintf("%d if the days and weeks before had not had more at this time", p.Clamps[n-1].Before) {
		t.Errorf("otherwise %q", e.Otherwise)
	}
	// A reading that is lost changes nothing, and so does a pool at its maximum.
	o := jobAt(at.Add(10*time.Second), 10*time.Second, 8)
	o.Unknown = "gone"
	if p := s.Decide(o); settledSize(p) != 8 {
		t.Errorf("without a reading it names %d", settledSize(p))
	}
	o = jobAt(at.Add(20*time.Second), 20*time.Second, 8)
	o.MaxSize = 9
	if p := s.Decide(o); settledSize(p) > 9 {
		t.Errorf("it names %d of at most 9", settledSize(p))
	}
}

func TestSeasonalStopsBelievingWhatNoLongerComes(t *testing.T) {
	s := newSeasonal(t)
	end := dawn.AddDate(0, 0, 4)
	live(s, dawn, end, 20*time.Second)
	if !s.days.believed {
		t.Fatalf("a job at 03:00 of four days is not believed: %+v", s.days.score)
	}
	raised := 0
	for at := end; at.Before(end.AddDate(0, 0, 14)); at = at.Add(20 * time.Second) {
		o := jobAt(at, 20*time.Second, 8)
		o.Arrived, o.Completed, o.BusySeconds = 200, 200, 100 // as at any other time
		if s.Decide(o); s.raised.Name != "" {
			raised++
			if at.After(end.AddDate(0, 0, 2)) {
				t.Fatalf("%v after the last job it still has workers ready", at.Sub(end))
			}
		}
	}
	if raised == 0 {
		t.Error("it did not expect the job of the first day")
	}
}

// Whatever comes, it names no less than slo alone would, and nothing beyond the bounds.
func TestSeasonalNeverLowers(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 7))
		s, twin := newSeasonal(t), newSeasonal(t).inner
		at := dawn
		for range 10_000 {
			// As if it were always proven.
			for _, f := range []*seasonalForecast{&s.days, &s.weeks} {
				f.score = seasonalScore{seconds: 1e6, work: 1e6, plainLate: 1e6, plainCost: 1e6, aheadCost: 1e6}
			}
			since := time.Duration(random.IntN(300)) * time.Second
			if random.IntN(50) == 0 {
				since = time.Duration(random.IntN(3*24*3600)-3600) * time.Second
			}
			at = at.Add(since)
			size := random.IntN(30)
			o := Observation{
				Time: at, Size: size, Ready: random.IntN(size + 1), MinSize: random.IntN(3), MaxSize: 40, Depth: random.IntN(2000),
				OldestWait: time.Duration(random.IntN(60)) * time.Second, Arrived: random.IntN(3000), Completed: random.IntN(1000),
				BusySeconds: random.Float64() * 100,
			}
			if random.IntN(10) == 0 {
				o.Unknown = "gone"
			}
			p, want := s.Decide(o), settledSize(twin.Decide(o))
			if got := settledSize(p); got < want || got > want && got > o.MaxSize {
				t.Fatalf("seed %d: it names %d, slo alone %d, within %d to %d: %s", seed, got, want, o.MinSize, o.MaxSize, p.Reason)
			}
		}
	}
}

func TestSeasonalStaysSmallOverAYear(t *testing.T) {
	s := newSeasonal(t)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	at := dawn.AddDate(0, 0, 20)
	live(s, dawn, at, time.Minute)
	before := heap()
	live(s, at, dawn.AddDate(1, 0, 0), time.Minute)
	if after := heap(); after > before+64<<10 {
		t.Errorf("the heap went from %d to %d bytes in a year", before, after)
	}
	text, err := json.Marshal(s.State())
	if err != nil || len(text) > 200_000 {
		t.Errorf("the state is %d bytes, error %v, want at most 200,000", len(text), err)
	}
}

func TestSeasonalStateOutlivesARestart(t *testing.T) {
	s := newSeasonal(t)
	stop := dawn.AddDate(0, 0, 3).Add(2 * time.Hour)
	live(s, dawn, stop, 20*time.Second)
	text, err := json.Marshal(s.State())
	if err != nil {
		t.Fatal(err)
	}
	var state SeasonalState
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	again := newSeasonal(t)
	if err := again.Restore(state); err != nil {
		t.Fatal(err)
	}
	got := again.State()
	got.SavedAt = state.SavedAt
	if !reflect.DeepEqual(got, state) {
		t.Error("restored and taken down again it is another state")
	}
	for minute := range int64(3 * minutesPerDay) {
		a, known := s.minutes.at(dawn.Unix()/60 + minute)
		b, also := again.minutes.at(dawn.Unix()/60 + minute)
		if a != b || known != also {
			t.Fatalf("minute %d was %v (%v), and is %v (%v)", minute, a, known, b, also)
		}
	}
	if again.Decide(jobAt(stop, 20*time.Second, 8)); again.Restore(state) == nil {
		t.Error("it was restored after it had decided")
	}
	for name, spoil := range map[string]func(*SeasonalState){
		"version": func(x *SeasonalState) { x.Version++ },
		"minute":  func(x *SeasonalState) { x.Minute = -1 },
		"counts":  func(x *SeasonalState) { x.Counts = x.Counts[:100] },
		"score":   func(x *SeasonalState) { x.Days.Work = -1 },
	} {
		bad, fresh := state, newSeasonal(t)
		spoil(&bad)
		if err := fresh.Restore(bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a state with a bad %s is taken with %v", name, err)
		}
	}
}

func TestSeasonalWantsAPolicy(t *testing.T) {
	if _, err := NewSeasonal(nil); err == nil {
		t.Error("it wraps nil")
	}
}
