package demo

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sluicehq/sluice/internal/golden"
)

// sameLines compares lines with a file in testdata.
func sameLines(t *testing.T, name string, lines []string) {
	t.Helper()
	golden.Equal(t, filepath.Join("testdata", name+".txt"), strings.Join(lines, "\n")+"\n")
}

// wave is a backlog that rises and falls, twice a second, with a pool that follows.
func wave() (history []Sample) {
	for i := range 81 { // 40 s
		at := time.Duration(i) * 500 * time.Millisecond
		s := Sample{At: at, Size: min(2+i/6*2, 10), In: int64(min(i, 60) * 425), Reason: "at max size 10"}
		switch {
		case i < 2:
		case i < 30:
			s.Depth = (i - 2) * 120
		default:
			s.Depth = max(28*120-(i-30)*100, 0)
		}
		if i > 66 {
			s.Size = max(10-(i-66)/2, 2)
		}
		s.Out = max(s.In-int64(s.Depth), 0)
		s.Busy = min(s.Size, s.Depth/10)
		history = append(history, s)
	}
	return history
}

func TestChart(t *testing.T) {
	standard := ChartOptions{Width: 79, DepthRows: 8, SizeRows: 5, Span: 50 * time.Second, Up: 50, Down: 10, Min: 2, Max: 10}
	narrow := standard
	narrow.Width, narrow.DepthRows, narrow.SizeRows = 60, 4, 2
	wide := standard
	wide.Width, wide.Span = 200, time.Second
	depthOnly := ChartOptions{Width: 79, DepthRows: 6, Span: 50 * time.Second}
	for name, test := range map[string]struct {
		history []Sample
		o       ChartOptions
	}{
		"empty":      {nil, standard},
		"half-way":   {wave()[:40], standard},
		"standard":   {wave(), standard},
		"narrow":     {wave(), narrow},
		"wide":       {wave(), wide},
		"depth-only": {wave(), depthOnly},
	} {
		t.Run(name, func(t *testing.T) {
			lines := Chart(test.history, test.o)
			sameLines(t, "chart-"+name, lines)
			for _, line := range lines {
				if n := utf8.RuneCountInString(line); n > test.o.Width {
					t.Errorf("a line has %d columns, want at most %d: %s", n, test.o.Width, line)
				}
			}
		})
	}
}

// codes are what colours a terminal.
var codes = regexp.MustCompile("\x1b\\[[0-9]*m")

func TestColorChangesNothingElse(t *testing.T) {
	o := ChartOptions{Width: 79, DepthRows: 8, SizeRows: 5, Up: 50, Down: 10, Min: 2, Max: 10}
	shares := []Share{{Analyzer: "slots-4", Slots: 4, Actual: 39}}
	bare := append(Chart(wave(), o), ShareTable(shares, 79, false)...)
	o.Color = true
	colored := append(Chart(wave(), o), ShareTable(shares, 79, true)...)
	for i, line := range colored {
		if got := codes.ReplaceAllString(line, ""); got != bare[i] {
			t.Errorf("without its colour, line %d is %q, want %q", i, got, bare[i])
		}
		if got, want := visible(line), utf8.RuneCountInString(bare[i]); got != want {
			t.Errorf("line %d takes %d columns, want %d", i, got, want)
		}
	}
	if strings.Join(colored, "") == strings.Join(bare, "") {
		t.Error("there is no colour at all")
	}
}

func TestBars(t *testing.T) {
	for _, test := range []struct {
		name      string
		values    []int
		top, rows int
		want      string
	}{
		{"nothing", nil, 10, 2, "/"},
		{"zero is empty", []int{0, 8}, 8, 1, " █"},
		{"eighths", []int{1, 2, 3, 4, 5, 6, 7, 8}, 8, 1, "▁▂▃▄▅▆▇█"},
		{"two rows", []int{4, 8, 12, 16}, 16, 2, "  ▄█/▄███"},
		{"little is seen", []int{1, 1000}, 1000, 2, " █/▁█"},
		{"more than the top", []int{20}, 10, 2, "█/█"},
		{"no top", []int{0}, 0, 1, ""},
	} {
		if got := strings.Join(bars(test.values, test.top, test.rows), "/"); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestAxisStep(t *testing.T) {
	for _, test := range []struct {
		span  time.Duration
		width int
		want  time.Duration
	}{
		{time.Second, 50, time.Second},
		{6 * time.Second, 70, time.Second},
		{time.Minute, 70, 10 * time.Second},
		{time.Minute, 190, 5 * time.Second},
		{10 * time.Minute, 70, 100 * time.Second},
		{24 * time.Hour, 50, 20000 * time.Second},
	} {
		if got := axisStep(test.span, test.width); got != test.want {
			t.Errorf("%v in %d columns: a label each %v, want %v", test.span, test.width, got, test.want)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, test := range []struct {
		name    string
		history []Sample
		pool    bool
		width   int
		want    string
	}{
		{"nothing", nil, true, 80, ""},
		{"first", wave()[:1], true, 0, "  0.0s  in 0/s  out 0/s  depth 0  size 2 (0 busy)"},
		{"under way", wave()[:21], true, 0, " 10.0s  in 850/s  out 610/s  depth 2,160  size 8 (8 busy)"},
		{"no pool", wave()[:21], false, 0, " 10.0s  in 850/s  out 610/s  depth 2,160"},
		{"cut", wave()[:21], true, 20, " 10.0s  in 850/s  o…"},
	} {
		if got := Status(test.history, test.pool, test.width); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestShareTable(t *testing.T) {
	sameLines(t, "shares", ShareTable([]Share{
		{"slots-4", 4, 5960, 40, 39.8}, {"slots-3", 3, 4515, 30, 30.1}, {"slots-2", 2, 3000, 20, 20}, {"slots-1", 1, 1500000, 10, 70},
	}, 79, false))
}
