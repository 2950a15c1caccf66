package top

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/api"
)

var update = flag.Bool("update", false, "write the golden frames anew")

var start = time.Date(2026, 11, 26, 3, 0, 0, 0, time.Local)

// watched is a process under load, looked at once a second for so many seconds.
func watched(seconds int) *Model {
	m := &Model{Address: "http://127.0.0.1:8000"}
	var past []Point
	for i := range 24 {
		past = append(past, Point{At: start.Add(time.Duration(i-24) * 10 * time.Second), Wait: float64(i % 12), Size: 4, Named: 4})
	}
	m.Seed(past)
	for i := range seconds {
		m.Add(lookAt(i))
	}
	return m
}

func lookAt(i int) Look {
	at := start.Add(time.Duration(i) * time.Second)
	n := int64(i)
	depth := 12000
	decision := autoscale.Decision{Time: start, Size: 4, NewSize: 7, NamedSize: 8, Action: autoscale.ActionUp, Reason: "deadline of 9479 records needs 3 more", DepthKnown: true, Depth: depth}
	rows := []analyzer.Row{
		{ID: "pool-10", State: analyzer.StateBusy, InHand: 1, Slots: 1, Records: 100 * n, P50: 0.083, P99: 0.22, StateSince: at.Add(-400 * time.Millisecond)},
		{ID: "pool-9", State: analyzer.StateStuck, InHand: 1, Slots: 1, Records: 7, P50: 0.083, P99: 95, Failed: 3, LastError: "timeout\x1b[2J of\nthe store", StateSince: at.Add(-95 * time.Second)},
		{ID: "pool-11", State: analyzer.StateIdle, Slots: 1, Records: 20 * n, P50: 0.001, P99: 0.004, StateSince: at.Add(-2 * time.Second)},
	}
	return Look{
		At: at,
		Stats: api.Stats{
			Role: "run", Version: "1.2.3", Uptime: 7980 + float64(i), SLO: 30,
			QueueStats: &api.QueueStats{Accepted: 2000*n + 12500, Completed: 2000*n + 300, Dead: 12, Depth: 12000, InFlight: 188, Batches: 40, Bytes: 3 << 20, LimitBytes: 10 << 30,
				FreeBytes: 50 << 30, MinFree: 256 << 20, OldestWait: 6.3, Durability: "disk"},
			Ingest:     &api.IngestStats{Bytes: 450000 * n},
			Pool:       &analyzer.Stats{Size: 7, Ready: 7, Stuck: 1, Busy: 2, Totals: analyzer.Totals{Bytes: 450000 * n}, Analyzers: rows},
			Autoscaler: &autoscale.Stats{Policy: "slo", CurrentSize: 7, MinSize: 2, MaxSize: 20, LastDecision: &decision},
		},
		Acted:   []autoscale.Decision{decision},
		Because: Explanation{Text: "7 analyzers: all deadlines met with 0.8s to spare", WhyNotMore: "no start is due", WhyNotFewer: "one fewer once less than 1430 are unfinished"},
	}
}

// TestFrames compares whole screens.
func TestFrames(t *testing.T) {
	behind := watched(10)
	late := lookAt(10)
	late.Stats.OldestWait = 64
	behind.Add(late)
	away := watched(10)
	away.Fail(start.Add(9*time.Second), errors.New("distributor http://127.0.0.1:8000: connection refused"))
	help := watched(10)
	help.Key("?")
	for _, c := range []struct {
		name          string
		m             *Model
		width, height int
	}{
		{"good", watched(10), 80, 24}, {"good", watched(10), 200, 60}, {"good", watched(10), 40, 12}, {"behind", behind, 80, 24},
		{"away", away, 80, 24}, {"help", help, 80, 24}, {"nothing", &Model{Address: "http://127.0.0.1:8000"}, 80, 24},
	} {
		name := fmt.Sprintf("%s_%dx%d.txt", c.name, c.width, c.height)
		t.Run(name, func(t *testing.T) {
			lines := c.m.Lines(start.Add(12*time.Second), c.width, c.height)
			var got strings.Builder
			for _, l := range lines {
				if w := ansi.StringWidth(l); w != c.width {
					t.Errorf("a line is %d wide, want %d: %q", w, c.width, l)
				}
				got.WriteString(Plain(l) + "\n")
			}
			path := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("the frame is\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

func TestEverySizeOfScreen(t *testing.T) {
	m := watched(10)
	for width := range 210 {
		for height := range 62 {
			lines := m.Lines(start.Add(12*time.Second), width, height)
			if len(lines) != height {
				t.Fatalf("%dx%d: %d lines", width, height, len(lines))
			}
			for _, l := range lines {
				if w := ansi.StringWidth(l); w != width {
					t.Fatalf("%dx%d: a line is %d wide: %q", width, height, w, l)
				}
			}
		}
	}
}

func TestRates(t *testing.T) {
	m := watched(1)
	if m.rated {
		t.Error("one look makes rates")
	}
	m = watched(10)
	if r := m.Live().Rates; r.In != 2000 || r.Out != 2000 || r.InBytes != 450000 || m.perID["pool-10"] != 100 {
		t.Errorf("rates are %+v, pool-10 %v; want 2000 records and 450000 bytes a second, 100", r, m.perID["pool-10"])
	}
	if got := m.Live().KeepingUp.State; got != "keeping_up" {
		t.Errorf("it is %s", got)
	}
	anew := lookAt(0)
	anew.Stats.Uptime = 1
	m.Add(anew)
	if m.rated {
		t.Error("rates over a restart")
	}
}

func TestSorting(t *testing.T) {
	m := watched(10)
	for _, c := range []struct{ by, want string }{
		{"id", "pool-9 pool-10 pool-11"}, {"state", "pool-9 pool-10 pool-11"}, {"for", "pool-9 pool-11 pool-10"}, {"rec/s", "pool-10 pool-11 pool-9"},
		{"records", "pool-10 pool-11 pool-9"}, {"p99", "pool-9 pool-10 pool-11"}, {"failed", "pool-9 pool-10 pool-11"},
	} {
		var ids []string
		for _, r := range m.sorted() {
			ids = append(ids, r.ID)
		}
		if got := strings.Join(ids, " "); got != c.want || orders[m.sort].name != c.by {
			t.Errorf("by %s: %s, want by %s: %s", orders[m.sort].name, got, c.by, c.want)
		}
		m.Key("right")
	}
	if m.sort != 0 {
		t.Error("sorting does not come round")
	}
	m.Key("r")
	if got := m.sorted()[0].ID; got != "pool-11" {
		t.Errorf("reversed, the first is %s", got)
	}
	if !m.Key("q") || !m.Key("ctrl+c") || m.Key("x") {
		t.Error("the wrong keys leave")
	}
}

// What a handler says can't steer the terminal.
func TestHostileText(t *testing.T) {
	m := watched(10)
	l := lookAt(10)
	l.Stats.Pool.Analyzers[0].ID = "a\x1b]0;title\x07\u202e\nb"
	m.Add(l)
	text := strings.Join(m.Lines(start.Add(12*time.Second), 200, 60), "")
	for _, bad := range []string{"\x1b]", "\x07", "\u202e", "\x1b[2J", "\n"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q reached the screen", bad)
		}
	}
}
