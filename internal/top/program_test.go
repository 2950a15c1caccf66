package top

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/sluicehq/sluice/internal/api"
)

// fake is a Sluice that answers what it is told.
type fake struct {
	stats api.Stats
	err   error
	asked []string

	series string // answer to /v1/series; empty for none
}

func (f *fake) Call(_ context.Context, method, path string, _, out any) error {
	f.asked = append(f.asked, method+" "+path)
	if f.err != nil {
		return f.err
	}
	switch out := out.(type) {
	case *api.Live:
		out.Stats = f.stats
	case *api.Decisions:
		out.Settings.CheckInterval = 1
	default:
		if strings.HasPrefix(path, "/v1/series?") && f.series != "" {
			return json.Unmarshal([]byte(f.series), out)
		}
	}
	return nil
}

// press sends keys to a model.
func press(m *model, keys ...tea.KeyPressMsg) tea.Cmd {
	var cmd tea.Cmd
	for _, k := range keys {
		_, cmd = m.Update(k)
	}
	return cmd
}

func key(r rune) tea.KeyPressMsg { return tea.KeyPressMsg{Code: r, Text: string(r)} }

func TestKeys(t *testing.T) {
	s := play(100, nil)
	m := newModel(t.Context(), &fake{}, Options{Interval: time.Second})
	m.state = s.state
	press(m, key('s'), key('r'), key('w'), key('d'))
	if v := m.view; v.Sort != 1 || !v.Reverse || !v.Depth || !v.Why {
		t.Errorf("after s, r, w and d the view is %+v", v)
	}
	press(m, key('S'), key('S'))
	if m.view.Sort != len(fields)-1 {
		t.Errorf("before the first column comes %d, want the last", m.view.Sort)
	}
	press(m, key('z'))
	first := m.view.Span
	press(m, key('z'), key('Z'))
	if first == 0 || m.view.Span != first {
		t.Errorf("z, z, Z shows %v, want %v as after the first", m.view.Span, first)
	}
	for range 500 {
		press(m, tea.KeyPressMsg{Code: tea.KeyDown})
	}
	if rows := len(m.state.rows()); m.view.Scroll >= rows {
		t.Errorf("scrolled to %d of %d rows", m.view.Scroll, rows)
	}
	press(m, tea.KeyPressMsg{Code: tea.KeyHome})
	if m.view.Scroll != 0 {
		t.Error("home does not go to the first row")
	}
	for _, k := range []tea.KeyPressMsg{key('q'), {Code: 'c', Mod: tea.ModCtrl}} {
		cmd := press(m, k)
		if cmd == nil {
			t.Fatalf("%s does nothing", k)
		}
		if _, ok := cmd().(tea.QuitMsg); !ok {
			t.Errorf("%s does not leave", k)
		}
	}
}

func TestHeldPicturesStandStill(t *testing.T) {
	s := play(100, nil)
	m := newModel(t.Context(), &fake{}, Options{Interval: time.Second})
	m.state = s.state
	space := tea.KeyPressMsg{Code: tea.KeySpace, Text: " "}
	press(m, space)
	before := m.View().Content
	l := *s.state.last()
	l.Time, l.Stats.Uptime = l.Time.Add(time.Second), l.Stats.Uptime+1
	q := *l.Stats.QueueStats
	q.Depth, q.Accepted = q.Depth+777_777, q.Accepted+777_777
	l.Stats.QueueStats = &q
	m.Update(lookedMsg{look: l})
	if m.View().Content != before {
		t.Error("the picture is held, and moves")
	}
	if !strings.Contains(before, "HELD") {
		t.Error("nobody is told that the picture is held")
	}
	press(m, space)
	if after := m.View().Content; after == before || strings.Contains(after, "HELD") {
		t.Error("the picture does not go on")
	}
}

// TestLooksGoOnWhileNobodyAnswers: one look at a time, an interval apart, whatever comes of them.
func TestLooksGoOnWhileNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{err: errors.New("connection refused")}
		m := newModel(t.Context(), f, Options{Interval: 2 * time.Second, Address: "http://10.0.0.7:8000"})
		began := time.Now()
		cmd := m.Init()
		for range 5 {
			_, cmd = m.Update(cmd()) // a look
			_, cmd = m.Update(cmd()) // the wait
		}
		if got := time.Since(began); got != 10*time.Second || len(f.asked) != 5 {
			t.Errorf("5 looks took %v and asked %d times, want 10s and 5", got, len(f.asked))
		}
		if frame := m.View().Content; !strings.Contains(frame, "AWAY") || !strings.Contains(frame, "connection refused") {
			t.Errorf("nobody is told:\n%s", frame)
		}
		f.err = nil
		f.stats = statsAt(time.Now(), 5, 2, 100, 100, 0, *play(1, nil).state.last().Stats.Autoscaler.LastDecision)
		m.Update(cmd())
		if frame := m.View().Content; strings.Contains(frame, "AWAY") || !strings.Contains(frame, "IDLE") {
			t.Errorf("it is back, and the frame is\n%s", frame)
		}
	})
}

// TestTheSeriesIsRead, in the form in which the API answers.
func TestTheSeriesIsRead(t *testing.T) {
	f := &fake{stats: statsAt(start, 5, 2, 100, 100, 0, *play(1, nil).state.last().Stats.Autoscaler.LastDecision),
		series: `{"step_seconds":10,"columns":["time","depth","oldest_wait_seconds","size","named_size","busy"],"rows":[[1000,40,2.5,3,4,1],[1010,50]]}`}
	l, err := look(t.Context(), f, firstDecisions)
	if err != nil {
		t.Fatal(err)
	}
	want := point{at: time.Unix(1000, 0), depth: 40, wait: 2.5, size: 3, named: 4, busy: 1, hasBusy: true}
	if len(l.Past) != 2 || l.Past[0] != want || l.Past[1].depth != 50 {
		t.Errorf("the past is %+v, want first %+v", l.Past, want)
	}
	if l, _ = look(t.Context(), f, laterDecisions); l.Past != nil {
		t.Error("the past is asked for with every look")
	}
}
