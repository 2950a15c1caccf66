package top

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// column is what one column of a chart stands for.
type column struct {
	known              bool
	wait, depth        float64 // the most in its time
	size, named        float64 // the last
	scaleUp, scaleDown bool    // a decision moved the pool
}

// columns spreads the points of the last span over a width. A time without a look has no column; a time between two looks takes the
// one before, for as long as looks are usually apart.
func columns(points []Point, acted []autoscale.Decision, now time.Time, span time.Duration, width int) []column {
	cols := make([]column, max(width, 0))
	if width <= 0 {
		return cols
	}
	step := span / time.Duration(width)
	at := func(t time.Time) int { return width - 1 - int(max(0, now.Sub(t))/step) }
	gap := int(15*time.Second/step) + 1 // the series has a point every ten seconds
	last := -1
	for _, p := range points {
		i := at(p.At)
		if i < 0 {
			continue
		}
		for j := last + 1; last >= 0 && j < i && j-last <= gap; j++ {
			cols[j] = cols[last]
		}
		c := &cols[i]
		c.known = true
		c.wait, c.depth = max(c.wait, p.Wait), max(c.depth, p.Depth)
		c.size, c.named = p.Size, p.Named
		last = i
	}
	for _, d := range acted {
		if i := at(d.Time); i >= 0 && d.NewSize > d.Size {
			cols[i].scaleUp = true
		} else if i >= 0 && d.NewSize < d.Size {
			cols[i].scaleDown = true
		}
	}
	return cols
}

var eighths = []rune(" ▁▂▃▄▅▆▇█")

// bars draws values from the floor up, with a scale at the left. A line, where above 0, is drawn through the empty cells, and what is above it
// is alarming. Dots mark a second value where it differs.
type bars struct {
	value, dot func(column) float64
	line       float64
	top        float64 // of the scale
	unit       func(float64) string
	colour     style
	height     int
}

const scaleWidth = 7 // columns left of the bars

func (b bars) draw(cols []column) []string {
	lines := make([]string, b.height)
	row := func(v float64) int { return b.height - 1 - int(min(float64(b.height)-0.01, v/b.top*float64(b.height))) }
	lineRow := -1
	if b.line > 0 && b.line <= b.top {
		lineRow = row(b.line)
	}
	for y := range lines {
		var out strings.Builder
		label := ""
		switch {
		case y == lineRow:
			label = b.unit(b.line)
		case y == 0:
			label = b.unit(b.top)
		case y == b.height-1:
			label = "0"
		}
		out.WriteString(dim.paint(fmt.Sprintf("%*s ", scaleWidth-1, label)))
		out.WriteString(b.cells(cols, y, lineRow, row))
		lines[y] = out.String()
	}
	return lines
}

// cells draws one row of all columns, with as few changes of colour as it takes.
func (b bars) cells(cols []column, y, lineRow int, row func(float64) int) string {
	var out, same strings.Builder
	var now style
	flush := func() { out.WriteString(now.paint(same.String())); same.Reset() }
	for _, c := range cols {
		r, s := ' ', plain
		v := b.value(c)
		fill := 0
		if c.known {
			total := int(math.Ceil(min(v/b.top, 1) * float64(b.height) * 8)) // what is more than nothing is seen
			fill = min(8, max(0, total-8*(b.height-1-y)))
		}
		switch {
		case fill > 0:
			r, s = eighths[fill], b.colour
			if b.line > 0 && v > b.line {
				s = red
			}
		case c.known && b.dot != nil && b.dot(c) != v && row(b.dot(c)) == y:
			r, s = '·', yellow
		case y == lineRow:
			r, s = '┄', dim
		}
		if s != now {
			flush()
			now = s
		}
		same.WriteRune(r)
	}
	flush()
	return out.String()
}

// roof is a round number that is not below any of the values.
func roof(values ...float64) float64 {
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	if most <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(most)))
	for _, f := range []float64{1, 1.5, 2, 3, 4, 5, 6, 8, 10} {
		if f*unit >= most {
			return f * unit
		}
	}
	return most
}

// axis is the line below the charts: when the pool was moved, and which time is shown.
func axis(cols []column, of time.Duration) string {
	marks := make([]string, len(cols))
	left := "-" + strings.TrimSuffix(strings.TrimSuffix(of.String(), "0s"), "0m")
	for i := range cols {
		switch {
		case cols[i].scaleUp:
			marks[i] = green.paint("▲")
		case cols[i].scaleDown:
			marks[i] = blue.paint("▼")
		case i < len(left):
			marks[i] = dim.paint(left[i : i+1])
		default:
			marks[i] = dim.paint("╌")
		}
	}
	return strings.Repeat(" ", scaleWidth) + strings.Join(marks, "")
}
