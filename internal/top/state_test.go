package top

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/words"
)

// at is a look with little in it.
func at(second float64, accepted, completed int64) Look {
	return Look{Time: start.Add(time.Duration(second * float64(time.Second))), Stats: api.Stats{
		Uptime: second, QueueStats: &api.QueueStats{Accepted: accepted, Completed: completed, Depth: accepted - completed}, Ingest: &api.IngestStats{}}}
}

func TestRatesAreOverTheLastSeconds(t *testing.T) {
	s := NewState("")
	for i := range 10 {
		s.Add(at(float64(i), int64(i*i)*100, int64(i)*300))
	}
	r := s.rates() // from second 4 to second 9
	if want := float64(8100-1600) / 5; r.In != want || r.Out != 300 || r.Window != 5 {
		t.Errorf("rates are %+v, want %v in and 300 out over 5 s", r, want)
	}
}

func TestANewProcessBeginsAnew(t *testing.T) {
	s := NewState("")
	s.Add(at(100, 1_000_000, 1_000_000))
	s.Add(at(101, 1_000_100, 1_000_100))
	again := at(0.5, 1_000_100, 1_000_100)
	again.Time = start.Add(110 * time.Second)
	s.Add(again)
	if r := s.rates(); r != (api.Rates{}) {
		t.Errorf("one look at a new process gives rates: %+v", r)
	}
	again = at(1.5, 1_000_600, 1_000_100)
	again.Time = start.Add(111 * time.Second)
	s.Add(again)
	if r := s.rates(); r.In != 500 {
		t.Errorf("rate in is %v, want 500", r.In)
	}
	if len(s.points) != 4 {
		t.Errorf("the charts have %d points, want 4: they go on over a restart", len(s.points))
	}
}

func TestBacklogClears(t *testing.T) {
	for _, tt := range []struct {
		depth   int64
		in, out float64
		want    float64
	}{
		{0, 500, 500, 0},
		{1000, 0, 100, 10},
		{1000, 400, 500, 10},
		{1000, 500, 500, -1},
		{1000, 600, 500, -1},
	} {
		if got := clears(&api.QueueStats{Depth: tt.depth}, api.Rates{In: tt.in, Out: tt.out}); got != tt.want {
			t.Errorf("%d waiting, %v in, %v out: clears in %v, want %v", tt.depth, tt.in, tt.out, got, tt.want)
		}
	}
}

// TestWhatIsKeptIsBounded: a night of looks takes no more room than an hour.
func TestWhatIsKeptIsBounded(t *testing.T) {
	s := NewState("")
	for i := range 20_000 {
		l := at(float64(i), int64(i), int64(i))
		for j := range 20 {
			l.Decisions = append(l.Decisions, autoscale.Decision{Time: l.Time.Add(time.Duration(j) * 50 * time.Millisecond)})
		}
		s.Add(l)
	}
	if len(s.points) > mostPoints || len(s.decisions) > mostDecisions || len(s.looks) > 20 {
		t.Errorf("kept are %d points, %d decisions, %d looks", len(s.points), len(s.decisions), len(s.looks))
	}
}

// TestDecisionsFillTheCharts: who looks for the first time sees what happened before, and once only.
func TestDecisionsFillTheCharts(t *testing.T) {
	s := NewState("")
	l := at(60, 0, 0)
	l.Settings.CheckInterval = 1
	for i := range 60 {
		l.Decisions = append(l.Decisions, autoscale.Decision{Time: start.Add(time.Duration(i) * time.Second), DepthKnown: i != 7, Depth: i, Size: 2})
	}
	s.Add(l)
	l.Time = l.Time.Add(time.Second)
	s.Add(l)
	if len(s.points) != 59+2 || len(s.decisions) != 60 {
		t.Errorf("%d points and %d decisions, want 61 and 60", len(s.points), len(s.decisions))
	}
	if s.points[3].depth != 3 || !s.points[3].at.Equal(start.Add(3*time.Second)) {
		t.Errorf("the fourth point is %+v", s.points[3])
	}
}

// TestThePastComesFirst: what the process remembers is before what was decided, and neither is shown twice.
func TestThePastComesFirst(t *testing.T) {
	s := NewState("")
	l := at(600, 0, 0)
	l.Settings.CheckInterval = 1
	for i := range 60 {
		l.Past = append(l.Past, point{at: start.Add(time.Duration(10*i) * time.Second), depth: 7})
	}
	for i := range 100 {
		l.Decisions = append(l.Decisions, autoscale.Decision{Time: start.Add(time.Duration(500+i) * time.Second), DepthKnown: true, Depth: 9})
	}
	s.Add(l)
	if len(s.points) != 50+100+1 {
		t.Errorf("%d points, want 50 from the past, 100 decisions and the look", len(s.points))
	}
	for i, p := range s.points[1:] {
		if p.at.Before(s.points[i].at) {
			t.Fatalf("point %d is before the one in front of it", i+1)
		}
	}
}

// TestClocksMayDiffer: the distributor's is three hours behind, and the charts show its decisions all the same.
func TestClocksMayDiffer(t *testing.T) {
	s := NewState("")
	l := at(0, 0, 0)
	l.Settings.CheckInterval = 1
	behind := start.Add(-3 * time.Hour)
	l.Decisions = []autoscale.Decision{{Time: behind.Add(-time.Second), DepthKnown: true, Action: autoscale.ActionUp}, {Time: behind, DepthKnown: true}}
	l.Stats.Pool = &analyzer.Stats{Analyzers: []analyzer.Row{{ID: "a", StateSince: behind.Add(-20 * time.Second)}}}
	s.Add(l)
	if got := s.marks()[0].at; !got.Equal(start.Add(-time.Second)) {
		t.Errorf("the mark is at %v, want a second ago", got)
	}
	if got := s.rows()[0].age; got != 20 {
		t.Errorf("the analyzer is in its state for %v s, want 20", got)
	}
}

func TestColumnsOfAChart(t *testing.T) {
	c := chart{width: axisWidth + 6, height: 2, now: start, span: time.Minute, value: func(p point) float64 { return p.depth }, format: words.Short}
	ago := func(ago int, v float64) point {
		return point{at: start.Add(-time.Duration(ago) * time.Second), depth: v}
	}
	cols := c.columns([]point{ago(70, 9), ago(49, 3), ago(48, 5), ago(11, 7), ago(0, 1)})
	var got []float64
	for _, col := range cols {
		if col.there {
			got = append(got, col.value)
		} else {
			got = append(got, -1)
		}
	}
	// 10 s each, the newest just begun. The second and the fifth repeat what is not older than carry; before the fourth it is.
	want := []float64{5, 5, -1, 7, 7, 1}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("columns are %v, want %v", got, want)
		}
	}
}

func TestNiceTops(t *testing.T) {
	for x, want := range map[float64]float64{0: 1, 1: 1, 7: 8, 10: 10, 12.5: 15, 19282: 20000, 0.3: 0.3} {
		if got := nice(x); got < want*(1-1e-9) || got > want*(1+1e-9) {
			t.Errorf("nice(%v) is %v, want %v", x, got, want)
		}
	}
}

func TestTimesStayShort(t *testing.T) {
	for x, want := range map[float64]string{-3: "0s", 0.0004: "400µs", 0.045: "45ms", 2.14: "2.1s", 45: "45s", 192: "3m12s", 14820: "4h7m", 273600: "3d4h"} {
		if got := span(x); got != want || len(got) > 6 {
			t.Errorf("span(%v) is %q, want %q", x, got, want)
		}
	}
}

// TestAnalyzersElsewhereSortAsPeopleCount: in whatever order they are told, by name and where the sorted column is the same for all.
func TestAnalyzersElsewhereSortAsPeopleCount(t *testing.T) {
	names := []string{"a-2", "a-2-1", "a-10", "node2", "node10"}
	for _, told := range [][]int{{2, 4, 0, 3, 1}, {1, 3, 0, 4, 2}, {4, 3, 2, 1, 0}} {
		var rows []map[string]any
		for _, i := range told {
			rows = append(rows, map[string]any{"id": names[i], "leased_records": 7})
		}
		text, err := json.Marshal(map[string]any{"uptime_seconds": 1, "remote_analyzers": rows})
		if err != nil {
			t.Fatal(err)
		}
		l := Look{Time: start}
		if err := json.Unmarshal(text, &l.Stats); err != nil {
			t.Fatal(err)
		}
		s := NewState("")
		s.Add(l)
		for column, f := range fields {
			var got []string
			for _, line := range s.table(painter{}, View{Sort: column}, 80, 0)[1:] {
				got = append(got, strings.Fields(line)[1])
			}
			if !slices.Equal(got, names) {
				t.Errorf("told as %v and sorted by %s: %v, want %v", told, f.name, got, names)
			}
		}
	}
}
