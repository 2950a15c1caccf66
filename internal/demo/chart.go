package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/words"
)

// Sample is what was seen at one moment.
type Sample struct {
	At     time.Duration // since the demo began
	In     int64         // records accepted so far
	Out    int64         // records analyzed so far
	Depth  int           // records waiting
	Size   int           // analyzers
	Busy   int           // analyzers with a batch in hand
	Reason string        // of the autoscaler's last decision
}

// ChartOptions say how a chart is drawn.
type ChartOptions struct {
	Width     int           // columns, at least 60
	DepthRows int           // rows of the upper panel
	SizeRows  int           // rows of the lower panel; zero leaves the panel out
	Span      time.Duration // what the time axis shows at least
	Up, Down  int           // depths at which the pool grows and shrinks; Up zero means unknown
	Min, Max  int           // bounds of the pool
	Color     bool
}

// The colours of the panels, and what ends them.
const (
	depthColor = "\x1b[33m"
	sizeColor  = "\x1b[32m"
	faint      = "\x1b[2m"
	plain      = "\x1b[0m"
)

// axisWidth is how many columns the numbers left of a panel take, with the axis.
const axisWidth = 9

// leastWidth is the narrowest chart.
const leastWidth = 60

// Chart draws the depth and the size of the pool over time, one above the other, as lines of text. No line is longer than
// o.Width.
func Chart(history []Sample, o ChartOptions) []string {
	o.Width = max(o.Width, leastWidth)
	span := max(o.Span, time.Second)
	if n := len(history); n > 0 {
		span = max(span, history[n-1].At)
	}
	depth, size := columns(history, span, o.Width-axisWidth)
	title := "depth in records"
	if o.Up > 0 {
		title = fmt.Sprintf("depth in records (grows at %s, shrinks at %s)", words.Thousands(o.Up), words.Thousands(o.Down))
	}
	lines := panel(cut(title, o.Width-axisWidth), depth, o.DepthRows, most(depth, max(o.Up, 10)), depthColor, o.Color)
	if o.SizeRows > 0 {
		title := fmt.Sprintf("analyzers (%d to %d)", o.Min, o.Max)
		lines = append(lines, panel(title, size, o.SizeRows, most(size, o.Max), sizeColor, o.Color)...)
	}
	return append(lines, timeAxis(span, o.Width-axisWidth))
}

// columns sorts the samples into columns of equal time. A column shows the greatest value in it; one without a sample repeats the
// one before. Columns of the future are left out.
func columns(history []Sample, span time.Duration, width int) (depth, size []int) {
	for _, s := range history {
		col := min(int(float64(s.At)/float64(span)*float64(width)), width-1)
		if len(depth) > col {
			depth[col], size[col] = max(depth[col], s.Depth), max(size[col], s.Size)
			continue
		}
		for len(depth) < col {
			if len(depth) == 0 { // nothing was seen yet
				depth, size = append(depth, 0), append(size, 0)
				continue
			}
			depth, size = append(depth, depth[len(depth)-1]), append(size, size[len(size)-1])
		}
		depth, size = append(depth, s.Depth), append(size, s.Size)
	}
	return depth, size
}

// most is the greatest value, at least the given one.
func most(values []int, least int) int {
	for _, v := range values {
		least = max(least, v)
	}
	return least
}

// panel draws values as bars over a title.
func panel(title string, values []int, rows, top int, color string, colored bool) []string {
	lines := []string{strings.Repeat(" ", axisWidth) + title}
	if colored {
		lines[0] = strings.Repeat(" ", axisWidth) + faint + title + plain
	}
	for i, bar := range bars(values, top, rows) {
		label := ""
		switch i {
		case 0:
			label = words.Compact(top, 6)
		case rows - 1:
			label = "0"
		}
		if colored {
			bar = color + bar + plain
		}
		lines = append(lines, fmt.Sprintf("%*s │%s", axisWidth-2, label, bar))
	}
	return lines
}

// eighths are the parts of a row that a bar can fill, from none to all.
var eighths = []rune(" ▁▂▃▄▅▆▇█")

// bars draws one column for each value, as high as its part of top; rows come from the top. Anything above zero is seen.
func bars(values []int, top, rows int) []string {
	lines := make([]string, rows)
	for row := range rows {
		var b strings.Builder
		below := (rows - 1 - row) * 8 // eighths under this row
		for _, v := range values {
			height := 0
			if v > 0 {
				height = max(v*rows*8/max(top, 1), 1)
			}
			b.WriteRune(eighths[min(max(height-below, 0), 8)])
		}
		lines[row] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// timeAxis writes the seconds under the panels.
func timeAxis(span time.Duration, width int) string {
	step := axisStep(span, width)
	line := []byte(strings.Repeat(" ", axisWidth+width))
	for at := time.Duration(0); at <= span; at += step {
		label := fmt.Sprintf("%ds", int(at.Seconds()))
		col := axisWidth + int(float64(at)/float64(span)*float64(width))
		if col+len(label) <= len(line) {
			copy(line[col:], label)
		}
	}
	return strings.TrimRight(string(line), " ")
}

// axisStep is the time between two labels, which should be ten columns apart or more.
func axisStep(span time.Duration, width int) time.Duration {
	for unit := time.Second; ; unit *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			if step := n * unit; float64(step)/float64(span)*float64(width) >= 10 {
				return step
			}
		}
	}
}

// Status is one line about the newest sample, no longer than width; a width of zero does not cut it.
func Status(history []Sample, pool bool, width int) string {
	if len(history) == 0 {
		return ""
	}
	s := history[len(history)-1]
	in, out := rates(history)
	line := fmt.Sprintf("%5.1fs  in %s/s  out %s/s  depth %s", s.At.Seconds(), words.Thousands(in), words.Thousands(out), words.Thousands(s.Depth))
	if pool {
		line += fmt.Sprintf("  size %d (%d busy)", s.Size, s.Busy)
	}
	return cut(line, width)
}

// rateWindow is how far back rates look.
const rateWindow = 2 * time.Second

// rates are the records in and out a second, over the last moments.
func rates(history []Sample) (in, out int64) {
	last := history[len(history)-1]
	first := last
	for i := len(history) - 1; i >= 0 && last.At-history[i].At <= rateWindow; i-- {
		first = history[i]
	}
	seconds := (last.At - first.At).Seconds()
	if seconds <= 0 {
		return 0, 0
	}
	return int64(float64(last.In-first.In)/seconds + 0.5), int64(float64(last.Out-first.Out)/seconds + 0.5)
}

// cut shortens a line to width columns, if width is not zero.
func cut(line string, width int) string {
	if runes := []rune(line); width > 0 && len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return line
}
