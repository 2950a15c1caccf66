package top

import (
	"math"
	"strings"
	"time"
)

// chart draws one value over time as bars, the newest at the right.
type chart struct {
	title  string
	width  int // columns, axis and all
	height int // rows of bars; the title and the axis come on top
	now    time.Time
	span   time.Duration // what the bars show

	value  func(point) float64
	strong func(point) (float64, bool) // the part of the value that is drawn stronger; nil is all of it
	wanted func(point) float64         // drawn as a dash where it is more than the value; nil draws none
	line   float64                     // drawn across; 0 draws none
	least  float64                     // what the axis reaches at least
	format func(float64) string
	fill   style // of bars
	over   style // of bars that are above the line
}

// axisWidth is how many columns the numbers and the axis take.
const axisWidth = 7

// column is what a bar shows: the most within its time.
type column struct {
	there         bool
	value, wanted float64
	strong        float64
	hasStrong     bool
	measured      int64 // when the newest point in it was
}

// carry is how long a point stands for what came after it, where nothing else is known.
const carry = 12 * time.Second

// columns sorts points into bars. The borders between bars lie still as time goes on, so that a bar does not change once it is whole.
func (c chart) columns(points []point) []column {
	n := c.width - axisWidth
	out := make([]column, n)
	bin := max(int64(c.span)/int64(n), 1)
	newest := c.now.UnixNano() / bin
	for _, p := range points {
		at := p.at.UnixNano() / bin
		i := n - 1 - int(min(newest-at, int64(n)))
		if i < 0 || i >= n {
			continue
		}
		col := &out[i]
		v := c.value(p)
		if !col.there {
			*col = column{there: true, value: v, strong: math.Inf(-1)}
		}
		col.value, col.measured = max(col.value, v), p.at.UnixNano()
		if c.strong != nil {
			if s, ok := c.strong(p); ok {
				col.strong, col.hasStrong = max(col.strong, s), true
			}
		}
		if c.wanted != nil {
			col.wanted = c.wanted(p)
		}
	}
	for i := 1; i < n; i++ {
		end := (newest - int64(n-1-i)) * bin
		if !out[i].there && out[i-1].there && end-out[i-1].measured < int64(carry) {
			out[i] = out[i-1]
		}
	}
	return out
}

// draw returns the title, the bars and the axis, each as wide as the chart. Marks stand on the axis.
func (c chart) draw(p painter, points []point, marks []mark) []string {
	cols := c.columns(points)
	top := c.least
	for _, col := range cols {
		top = max(top, col.value, col.wanted)
	}
	top = nice(top)
	lines := []string{left(p.paint(faint, strings.Repeat(" ", axisWidth)+c.title), c.width)}
	lineRow := -1
	if c.line > 0 && c.line <= top {
		lineRow = min(int(c.line/top*float64(c.height)), c.height-1)
	}
	for row := c.height - 1; row >= 0; row-- {
		label := ""
		switch {
		case row == c.height-1:
			label = c.format(top)
		case row == lineRow:
			label = c.format(c.line)
		case row == 0:
			label = "0"
		}
		var b strings.Builder
		b.WriteString(p.paint(faint, right(label, axisWidth-2)+" │"))
		r := run{p: p}
		for _, col := range cols {
			s, glyph := c.cell(col, row, lineRow, top)
			r.add(s, glyph)
		}
		b.WriteString(r.end())
		lines = append(lines, b.String())
	}
	return append(lines, c.axis(p, marks))
}

var eighths = []rune(" ▁▂▃▄▅▆▇█")

// cell is one character of a bar.
func (c chart) cell(col column, row, lineRow int, top float64) (style, rune) {
	fill := c.fill
	if c.line > 0 && c.over != plain && col.value > c.line {
		fill = c.over
	}
	level := int(math.Ceil(col.value/top*float64(c.height*8) - 1e-9))
	glyph := eighths[min(max(level-row*8, 0), 8)]
	if glyph != ' ' {
		if c.strong != nil && col.hasStrong && float64(row)*top/float64(c.height) >= col.strong {
			if glyph == '█' {
				glyph = '▒'
			}
			return faint, glyph
		}
		return fill, glyph
	}
	if c.wanted != nil && col.there && col.wanted > col.value && row == min(int(col.wanted/top*float64(c.height)-1e-9), c.height-1) {
		return yellow, '─'
	}
	if row == lineRow {
		return red, '┈'
	}
	return plain, ' '
}

// mark is a moment worth seeing.
type mark struct {
	at time.Time
	up bool
}

func (c chart) axis(p painter, marks []mark) string {
	n := c.width - axisWidth
	kinds := make([]int, n) // 1 up, 2 down, 3 both
	bin := max(int64(c.span)/int64(n), 1)
	for _, m := range marks {
		i := n - 1 - int(min(c.now.UnixNano()/bin-m.at.UnixNano()/bin, int64(n)))
		if i < 0 || i >= n {
			continue
		}
		if m.up {
			kinds[i] |= 1
		} else {
			kinds[i] |= 2
		}
	}
	r := run{p: p}
	for _, k := range kinds {
		switch k {
		case 0:
			r.add(faint, '─')
		case 1:
			r.add(green, '▲')
		case 2:
			r.add(blue, '▼')
		default:
			r.add(yellow, '◆')
		}
	}
	return p.paint(faint, strings.Repeat(" ", axisWidth-1)+"└") + r.end()
}

// run puts characters of one style together, so that a row is not mostly escape sequences.
type run struct {
	p       painter
	out     strings.Builder
	pending []rune
	style   style
}

func (r *run) add(s style, glyph rune) {
	if s != r.style && len(r.pending) > 0 {
		r.out.WriteString(r.p.paint(r.style, string(r.pending)))
		r.pending = r.pending[:0]
	}
	r.style = s
	r.pending = append(r.pending, glyph)
}

func (r *run) end() string {
	r.out.WriteString(r.p.paint(r.style, string(r.pending)))
	return r.out.String()
}

// nice rounds up to a number that reads well at the top of an axis.
func nice(x float64) float64 {
	if x <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(x)))
	for _, step := range []float64{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10} {
		if x <= step*unit*(1+1e-9) {
			return step * unit
		}
	}
	return 10 * unit
}
