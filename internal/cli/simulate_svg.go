package cli

import (
	"fmt"
	"html"
	"math"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale/simulate"
)

// Measures of the drawing, in pixels.
const (
	plotLeft    = 70
	plotWidth   = 860
	plotRight   = 30
	stripHeight = 80
	stripGap    = 34
)

// plot is what one policy did, in at most one column per pixel: the longest wait and the largest size of each.
type plot struct {
	step  int // seconds per column
	waits []int
	sizes []int
}

func newPlot(seconds int, interval time.Duration) *plot {
	return &plot{step: plotStep(seconds, interval)}
}

func plotStep(seconds int, interval time.Duration) int {
	return max(int(interval/time.Second), (seconds+plotWidth-1)/plotWidth)
}

// add takes a check. A wait that was not seen counts as the one before.
func (p *plot) add(r simulate.Row) {
	column := r.Second / p.step
	for len(p.waits) <= column {
		p.waits, p.sizes = append(p.waits, 0), append(p.sizes, 0)
	}
	p.sizes[column] = max(p.sizes[column], r.Size)
	switch {
	case r.OldestWait != nil:
		p.waits[column] = max(p.waits[column], *r.OldestWait)
	case column > 0:
		p.waits[column] = max(p.waits[column], p.waits[column-1])
	}
}

// strip is one curve of the drawing.
type strip struct {
	title  string
	class  string
	values []float64
	line   float64 // a dashed one across; negative for none
}

// draw makes an SVG of what the simulation did. It brings its own colours for light and dark.
func (s *simulation) draw(plots []*plot) []byte {
	step := plots[0].step
	strips := []strip{{"arrivals per second", "arrivals", s.arrivals(step), -1}}
	columns := len(strips[0].values)
	slo := s.options.SLO.Seconds()
	for i, p := range plots {
		columns = max(columns, len(p.sizes))
		strips = append(strips,
			strip{fmt.Sprintf("%s: oldest wait in seconds, SLO %v", s.names[i], s.options.SLO), "wait", floats(p.waits), slo},
			strip{s.names[i] + ": analyzers", "size", floats(p.sizes), -1})
	}
	width, height := plotLeft+plotWidth+plotRight, len(strips)*(stripHeight+stripGap)+stripGap
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">
<title>sluice simulate: %s</title>
<style>
  svg { background: #fff; color: #222; font: 12px system-ui, sans-serif }
  text { fill: currentColor } .axis { stroke: currentColor; opacity: .3 } .limit { stroke: currentColor; stroke-dasharray: 4 4; opacity: .6 }
  path { stroke: none } .arrivals { fill: #6b7a90 } .wait { fill: #c4632b } .size { fill: #2a78c2 }
  @media (prefers-color-scheme: dark) {
    svg { background: #16181d; color: #ddd } .arrivals { fill: #8fa0b8 } .wait { fill: #e88a55 } .size { fill: #5aa7ee }
  }
</style>
`, width, height, width, height, html.EscapeString(strings.Join(s.names, ", ")))
	for i, st := range strips {
		st.draw(&b, stripGap+i*(stripHeight+stripGap), columns)
	}
	bottom := height - stripGap + 16
	end := time.Duration(columns*step) * time.Second
	fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\">0s</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%v</text>\n</svg>\n",
		plotLeft, bottom, plotLeft+plotWidth, bottom, end)
	return []byte(b.String())
}

// arrivals is the mean per second in each column.
func (s *simulation) arrivals(step int) []float64 {
	values := make([]float64, (s.trace.Seconds()+step-1)/step)
	for second, records := range s.trace.Arrivals() {
		values[second/step] += s.options.Scale * float64(records) / float64(step)
	}
	return values
}

func floats(numbers []int) []float64 {
	values := make([]float64, len(numbers))
	for i, n := range numbers {
		values[i] = float64(n)
	}
	return values
}

// draw puts the strip with its upper edge at top, as steps.
func (st strip) draw(b *strings.Builder, top, columns int) {
	highest := max(st.line, 1)
	for _, v := range st.values {
		highest = max(highest, v)
	}
	bottom := top + stripHeight
	x := func(column int) float64 { return plotLeft + plotWidth*float64(column)/float64(max(1, columns)) }
	y := func(v float64) float64 { return float64(bottom) - stripHeight*v/highest }
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\">%s</text>\n", plotLeft, top-6, html.EscapeString(st.title))
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%g</text>\n", plotLeft-6, top+10, math.Ceil(highest*10)/10)
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">0</text>\n", plotLeft-6, bottom)
	fmt.Fprintf(b, "<path class=\"%s\" d=\"M%d %d", st.class, plotLeft, bottom)
	for i, v := range st.values {
		if i == 0 || v != st.values[i-1] {
			fmt.Fprintf(b, "H%.1fV%.1f", x(i), y(v))
		}
	}
	fmt.Fprintf(b, "H%.1fV%dZ\"/>\n", x(len(st.values)), bottom)
	fmt.Fprintf(b, "<line class=\"axis\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", plotLeft, bottom, plotLeft+plotWidth, bottom)
	if st.line > 0 {
		fmt.Fprintf(b, "<line class=\"limit\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n", plotLeft, y(st.line), plotLeft+plotWidth, y(st.line))
	}
}
