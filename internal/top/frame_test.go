package top

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/golden"
	"github.com/sluicehq/sluice/internal/slo"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // frames show times of day
	os.Exit(m.Run())
}

var start = time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)

// scene is a made-up hour: a wave comes, the pool grows late, the backlog is worked off.
type scene struct {
	state *State
	now   time.Time
}

// play feeds a state with one look a second.
func play(seconds int, change func(i int, l *Look)) scene {
	s := NewState("http://127.0.0.1:8000")
	var now time.Time
	var accepted, completed int64
	size := 2
	var decisions []autoscale.Decision
	for i := range seconds {
		now = start.Add(time.Duration(i) * time.Second)
		in := int64(500)
		if i >= 40 && i < 90 {
			in = 4000
		}
		accepted += in
		completed += min(int64(size)*500, accepted-completed)
		wait := float64(accepted-completed) / float64(size*500)
		d := autoscale.Decision{Time: now, Depth: int(accepted - completed), DepthKnown: true, Size: size, NamedSize: size, NewSize: size,
			Action: autoscale.ActionHold, Reason: "all deadlines met with 2.0s to spare", Policy: "slo"}
		if i%10 == 5 && wait > 5 && size < 10 {
			d.NamedSize, d.NewSize, d.Action, d.Reason = size+3, size+2, autoscale.ActionUp, "deadline of 5895 records in 9.7s needs 3 more"
			d.Clamps = []autoscale.Clamp{{Name: "step", Before: size + 3, After: size + 2}}
			size += 2
		}
		if i%20 == 19 && wait < 1 && size > 2 {
			d.NamedSize, d.NewSize, d.Action, d.Reason = size-1, size-1, autoscale.ActionDown, "one fewer meets all deadlines"
			size--
		}
		decisions = append(decisions, d)
		l := Look{Time: now, Decisions: decisions[max(0, len(decisions)-20):], Settings: api.ScalerSettings{Policy: "slo", CheckInterval: 1}}
		l.Why = api.Explained{Text: fmt.Sprintf("%d analyzers: %s", size, d.Reason), WhyNotMore: "all deadlines are met as it is", WhyNotFewer: "one fewer once less than 2944 records are unfinished"}
		l.Stats = statsAt(now, i, size, accepted, completed, wait, d)
		if change != nil {
			change(i, &l)
		}
		s.Add(l)
	}
	return scene{s, now}
}

func statsAt(now time.Time, i, size int, accepted, completed int64, wait float64, d autoscale.Decision) api.Stats {
	depth := accepted - completed
	flight := min(depth, int64(size)*50)
	pool := &analyzer.Stats{Size: size, Ready: size, Busy: min(size, int(depth/50)), Totals: analyzer.Totals{Records: completed, Bytes: completed * 230}}
	for n := range size {
		r := analyzer.Row{ID: fmt.Sprintf("web-1-%d", n+1), State: analyzer.StateIdle, Slots: 1, StateSince: now.Add(-time.Duration(n+1) * 400 * time.Millisecond),
			Records: completed / int64(size), Batches: completed / int64(size) / 50, P50: 0.1, P99: 0.25}
		if n < pool.Busy {
			r.State, r.InHand = analyzer.StateBusy, 1
		}
		pool.Analyzers = append(pool.Analyzers, r)
	}
	return api.Stats{Role: "run", Version: "v1.2.3", Uptime: float64(i), SLO: 10,
		QueueStats: &api.QueueStats{Accepted: accepted, Completed: completed, Depth: depth - flight, InFlight: flight, Batches: depth / 50, Bytes: depth * 29,
			LimitBytes: 10 << 30, FreeBytes: 75 << 30, MinFree: 256 << 20, OldestWait: wait, Durability: "disk"},
		Ingest:     &api.IngestStats{Requests: int64(i), Accepted: accepted, Bytes: accepted * 230},
		Pool:       pool,
		Autoscaler: &autoscale.Stats{Policy: "slo", CurrentSize: size, MinSize: 2, MaxSize: 10, TotalScaleUps: 3, TotalScaleDowns: 1, LastDecision: &d},
	}
}

// trouble is a night on which much goes wrong at once.
func trouble(i int, l *Look) {
	q := l.Stats.QueueStats
	q.Accepted += 120
	q.Dead, q.FreeBytes, q.Bytes = 120, 600<<20, q.LimitBytes*9/10
	l.Stats.Ingest.PushedBack = int64(i) * 3
	l.Stats.Pool.Stuck, l.Stats.Pool.Analyzers[1].State = 1, analyzer.StateStuck
	l.Stats.Pool.Analyzers[0].LastError, l.Stats.Pool.Analyzers[0].Failed = "connect to the database: refused", 17
	l.Stats.Pool.FailedRecords = int64(i) * 50
	l.Stats.Autoscaler.Paused = true
	waits := slo.New(0.999, start)
	waits.SetSLO(10 * time.Second)
	waits.Done(l.Time.Add(-12*time.Second), l.Time, 1200)
	waits.Done(l.Time.Add(-2*time.Second), l.Time, 98_800)
	l.Stats.Waits = new(waits.Report(l.Time))
}

func (s scene) frame(v View) string {
	v.Now = s.now
	return s.state.Frame(v)
}

func TestFrames(t *testing.T) {
	wave := play(100, nil)
	night := play(100, trouble)
	behind := play(75, func(_ int, l *Look) { l.Stats.Autoscaler.MaxSize = l.Stats.Autoscaler.CurrentSize })
	away := play(100, nil)
	away.state.Fail(errors.New("distributor http://127.0.0.1:8000: connection refused"), away.now.Add(-12*time.Second))
	elsewhere := play(100, func(_ int, l *Look) { // a distributor: no pool, no autoscaler
		l.Stats.Role, l.Stats.Pool, l.Stats.Autoscaler, l.Stats.SLO, l.Decisions, l.Settings, l.Why = "distributor", nil, nil, 0, nil, api.ScalerSettings{}, api.Explained{}
	})
	pool := play(100, func(_ int, l *Look) { // an analyze process: no queue
		l.Stats.Role, l.Stats.QueueStats, l.Stats.Ingest = "analyze", nil, nil
	})
	never := scene{NewState("http://10.0.0.7:8000"), start}
	never.state.Fail(errors.New("distributor http://10.0.0.7:8000: no route to host"), start.Add(-3*time.Second))
	for _, tt := range []struct {
		name  string
		scene scene
		view  View
	}{
		{"wave-80x24", wave, View{Width: 80, Height: 24}},
		{"wave-200x60", wave, View{Width: 200, Height: 60}},
		{"wave-80x60", wave, View{Width: 80, Height: 60}},
		{"wave-once", wave, View{Width: 100}},
		{"depth-80x24", wave, View{Width: 80, Height: 24, Depth: true, Why: true, Span: 5 * time.Minute}},
		{"sorted-80x24", wave, View{Width: 80, Height: 24, Sort: 1, Reverse: true, Held: true}},
		{"trouble-80x24", night, View{Width: 80, Height: 24}},
		{"trouble-200x60", night, View{Width: 200, Height: 60}},
		{"behind-80x24", behind, View{Width: 80, Height: 24}},
		{"away-80x24", away, View{Width: 80, Height: 24}},
		{"never-80x24", never, View{Width: 80, Height: 24}},
		{"distributor-80x24", elsewhere, View{Width: 80, Height: 24}},
		{"analyze-80x24", pool, View{Width: 80, Height: 24}},
		{"help-80x24", wave, View{Width: 80, Height: 24, Help: true}},
		{"small-60x12", wave, View{Width: 60, Height: 12}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.scene.frame(tt.view) + "\n"
			golden.Equal(t, filepath.Join("testdata", tt.name+".txt"), got)
		})
	}
}

// TestTheVerdictIsThatOfTheProcess: what the process says is shown, and not judged again.
func TestTheVerdictIsThatOfTheProcess(t *testing.T) {
	s := play(50, func(_ int, l *Look) {
		l.KeepingUp = api.Pace{State: "keeping_up", Text: "as told"}
		l.Verdict = api.Verdict{State: api.StateProblem, Text: "the sky falls", Reasons: []api.Reason{
			{Check: "sky", State: api.StateProblem, Text: "the sky falls", Do: "take cover"}, {Check: "note", State: api.StateOK, Text: "it was blue"}}}
	})
	frame := s.frame(View{Width: 80})
	for _, want := range []string{"KEEPING UP  as told", "✖ the sky falls → take cover", "· it was blue"} {
		if !strings.Contains(frame, want) {
			t.Errorf("the frame lacks %q:\n%s", want, frame)
		}
	}
}

// TestFramesFitEverySize: a frame is never wider or higher than the terminal, whatever that is.
func TestFramesFitEverySize(t *testing.T) {
	scenes := []scene{play(100, nil), play(100, trouble), {NewState("http://10.0.0.7:8000"), start}}
	for w := 1; w <= 230; w += 7 {
		for h := 1; h <= 70; h += 3 {
			for i, s := range scenes {
				for _, help := range []bool{false, true} {
					frame := s.frame(View{Width: w, Height: h, Color: w%2 == 0, Help: help, Scroll: h})
					lines := strings.Split(frame, "\n")
					if len(lines) != h {
						t.Fatalf("scene %d at %dx%d has %d lines", i, w, h, len(lines))
					}
					for _, l := range lines {
						if got := ansi.StringWidth(l); got > max(w, 20) {
							t.Fatalf("scene %d at %dx%d has a line of %d columns: %q", i, w, h, got, l)
						}
					}
				}
			}
		}
	}
}

// TestNothingInAFrameMovesTheCursor: names, reasons and errors come from elsewhere.
func TestNothingInAFrameMovesTheCursor(t *testing.T) {
	const hostile = "\x1b[2J\x1b]0;gotcha\a\r\n\u009b31m\x00 end"
	s := play(50, func(_ int, l *Look) {
		l.Stats.Version, l.Why.Text = hostile, hostile
		l.Stats.Pool.LeaseError, l.Stats.QueueStats.Problem = hostile, hostile
		for i := range l.Stats.Pool.Analyzers {
			l.Stats.Pool.Analyzers[i].ID, l.Stats.Pool.Analyzers[i].LastError = hostile, hostile
		}
		for i := range l.Decisions {
			l.Decisions[i].Reason = hostile
		}
	})
	check := func(frame string) {
		t.Helper()
		for _, r := range frame {
			if r != '\n' && unicode.IsControl(r) {
				t.Fatalf("the frame holds %U:\n%q", r, frame)
			}
		}
		if !strings.Contains(frame, "end") {
			t.Error("the hostile text is not in the frame at all")
		}
	}
	check(s.frame(View{Width: 200, Height: 60}))
	check(s.frame(View{Width: 80, Height: 24, Why: true}))
	s.state.Fail(errors.New(hostile), s.now)
	check(s.frame(View{Width: 200, Height: 60}))
}

func TestWithoutColorThereAreNoEscapes(t *testing.T) {
	s := play(100, trouble)
	if strings.Contains(s.frame(View{Width: 200, Height: 60}), "\x1b") {
		t.Error("there are escape sequences although nobody wants colours")
	}
	if !strings.Contains(s.frame(View{Width: 200, Height: 60, Color: true}), "\x1b[") {
		t.Error("there are no colours although somebody wants them")
	}
}

// TestTheEndOfASentenceIsThere: what matters often stands last, and 80 columns do not cut it off.
func TestTheEndOfASentenceIsThere(t *testing.T) {
	s := play(100, trouble)
	s.state.last().Why.Text = "9 analyzers: deadline of 22658 records in 5.7s needs 102 more, but the pool may have 9 at most; THE END of why"
	for i := range s.state.decisions {
		s.state.decisions[i].Reason = "deadline of 22658 records in 5.7s needs 102 more, but the pool may have 9 at most; THE END of a decision"
	}
	for _, end := range []string{"THE END of why", "THE END of a decision"} {
		text := strings.Join(strings.Fields(s.frame(View{Width: 80, Height: 24, Why: true})), " ")
		if !strings.Contains(text, end) {
			t.Errorf("80 columns do not show %q:\n%s", end, text)
		}
	}
}
