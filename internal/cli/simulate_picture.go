package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale/simulate"
	"github.com/sluicehq/sluice/internal/chart"
	"github.com/sluicehq/sluice/internal/visible"
	"github.com/sluicehq/sluice/internal/words"
)

// plotColumns is how many moments a picture can tell apart, about one per pixel.
const plotColumns = 1080

// plot is what one policy did, in at most one column per pixel: the longest wait, and the range of sizes in each.
type plot struct {
	step        int   // seconds per column
	waits       []int // seconds
	most, least []int // analyzers
	known       int   // the last wait that was seen
}

func newPlot(seconds int, interval time.Duration) *plot {
	return &plot{step: plotStep(seconds, interval)}
}

func plotStep(seconds int, interval time.Duration) int {
	return max(int(interval/time.Second), (seconds+plotColumns-1)/plotColumns)
}

// add takes a check. A wait that was not seen counts as the one before.
func (p *plot) add(r simulate.Row) {
	column := r.Second / p.step
	for len(p.waits) <= column {
		p.waits = append(p.waits, 0)
		p.most, p.least = append(p.most, r.Size), append(p.least, r.Size)
	}
	if r.OldestWait != nil {
		p.known = *r.OldestWait
	}
	p.waits[column] = max(p.waits[column], p.known)
	p.most[column], p.least[column] = max(p.most[column], r.Size), min(p.least[column], r.Size)
}

// highest is the longest wait of all columns.
func (p *plot) highest() int {
	most := 0
	for _, w := range p.waits {
		most = max(most, w)
	}
	return most
}

// sizes goes to the largest and back to the smallest size of each column, so that a pool that never rests shows as a band.
func (p *plot) sizes() []chart.Point {
	var points []chart.Point
	for i := range p.most {
		x := float64(i * p.step)
		points = append(points, chart.Point{X: x, Y: float64(p.most[i])})
		if p.least[i] != p.most[i] {
			points = append(points, chart.Point{X: x, Y: float64(p.least[i])})
		}
	}
	return points
}

// Where a wait is more than waitsWhole times the SLO, the axis ends at waitsShown times: one policy that is late by an
// hour should not make all the others look alike.
const (
	waitsWhole = 6
	waitsShown = 4
)

// togetherAtMost is how many policies share their coordinates. More of them would hide each other, and get a row each.
const togetherAtMost = 4

// picture shows arrivals, waits and sizes over time.
func (s *simulation) picture(plots []*plot, o outcome) chart.Chart {
	waits, sizes, legend := s.curves(plots, o)
	end := float64(s.trace.Seconds())
	for _, p := range plots {
		end = max(end, float64(len(p.waits)*p.step))
	}
	c := chart.Chart{
		Title: "What each policy would have done: " + traceName(s.flags.trace),
		Subtitle: fmt.Sprintf("%s records, %v per analyzer and second, start-up %v, %d to %d analyzers, a check each %v; the bound has ratio %.3f",
			words.Thousands(o.results[0].Records), s.options.Rate, s.options.Startup, s.options.MinSize, s.options.MaxSize,
			s.options.CheckInterval, o.bound.Ratio),
		X:      chart.Axis{Label: s.timeLabel(), Max: end, Ticks: chart.Seconds(0, end)},
		Panels: []chart.Panel{s.arrivalsPanel(plots[0].step)},
	}
	if len(plots) <= togetherAtMost {
		c.Panels = append(c.Panels, waits, sizes)
		c.Legend = legend
	} else {
		c.Height = 230 + 130*len(plots)
		waits.Y.Max, sizes.Y.Max = waits.Top(), sizes.Top() // the same for all, for comparing
		for i := range plots {
			w, z := waits, sizes
			w.Y.Label, z.Y.Label = legend[i].Text+"; "+waits.Y.Label, sizes.Y.Label
			w.Series, z.Series = waits.Series[i:i+1], sizes.Series[i:i+1]
			w.Height, z.Height, z.Beside = 0, 0, true
			c.Panels = append(c.Panels, w, z)
		}
		c.X.Ticks = chart.Seconds(0, 2*end) // half of the room
	}
	c.Legend = append(c.Legend, chart.Legend{Color: chart.Grey, Text: "arrivals"}, chart.Legend{Color: chart.Light, Text: "busiest second"})
	return c
}

// curves are the waits and sizes of all policies, and their names.
func (s *simulation) curves(plots []*plot, o outcome) (waits, sizes chart.Panel, legend []chart.Legend) {
	slo := s.options.SLO.Seconds()
	waits = chart.Panel{
		Y:      chart.Axis{Label: "oldest wait (seconds)"},
		Lines:  []chart.Line{{At: slo, Label: fmt.Sprintf("SLO %v", s.options.SLO)}},
		Height: 1.3,
	}
	sizes = chart.Panel{Y: chart.Axis{Label: "pool size (analyzers, starting ones included)"}, Height: 1.3}
	var cut []string
	for i, p := range plots {
		color, width := chart.Palette[i%len(chart.Palette)], 1.3
		if i == 0 && len(plots) <= togetherAtMost {
			width = 2
		}
		wait := chart.Series{Color: color, Style: chart.Steps, Width: width}
		for column, w := range p.waits {
			wait.Points = append(wait.Points, chart.Point{X: float64(column * p.step), Y: float64(w)})
		}
		waits.Series = append(waits.Series, wait)
		sizes.Series = append(sizes.Series, chart.Series{Color: color, Style: chart.Steps, Width: width, Points: p.sizes()})
		name := fmt.Sprintf("%s  ratio %.3f, %s %% late", s.names[i], o.results[i].CostRatio, asPercent(o.results[i].SLOViolations))
		if most := p.highest(); float64(most) > waitsWhole*slo {
			cut = append(cut, fmt.Sprintf("%s up to %s", s.names[i], words.Thousands(most)))
			if len(plots) > togetherAtMost {
				name += fmt.Sprintf(", waits up to %ss", words.Thousands(most))
			}
		}
		legend = append(legend, chart.Legend{Color: color, Text: name})
	}
	if len(cut) > 0 {
		waits.Y.Max = waitsShown * slo
		if len(plots) <= togetherAtMost {
			waits.Y.Label += fmt.Sprintf(", cut at %g: %s", waits.Y.Max, strings.Join(cut, ", "))
		}
	}
	return waits, sizes, legend
}

func traceName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return visible.Line(filepath.Base(name))
}

func (s *simulation) timeLabel() string {
	if s.trace.Start.IsZero() {
		return "time since the start of the trace"
	}
	return "time since " + s.trace.Start.Format(time.DateTime) + " UTC"
}

// arrivalsPanel has the mean and the busiest second of each column.
func (s *simulation) arrivalsPanel(step int) chart.Panel {
	columns := (s.trace.Seconds() + step - 1) / step
	means, peaks := make([]chart.Point, columns+1), make([]chart.Point, columns+1)
	for i := range means {
		means[i].X, peaks[i].X = float64(i*step), float64(i*step)
	}
	for second, records := range s.trace.Arrivals() {
		n := s.options.Scale * float64(records)
		column := second / step
		width := min(step, s.trace.Seconds()-column*step)
		means[column].Y += n / float64(width)
		peaks[column].Y = max(peaks[column].Y, n)
	}
	return chart.Panel{
		Y: chart.Axis{Label: "arrivals (records per second)"},
		Series: []chart.Series{
			{Color: chart.Grey, Style: chart.Area, Points: means},
			{Color: chart.Light, Style: chart.Area, Points: peaks},
		},
	}
}

// writePictures writes the same picture in up to two forms. Empty names want none.
func writePictures(c chart.Chart, svg, png string) error {
	for _, p := range []struct {
		flag, name string
		write      func(*os.File) error
	}{
		{"--svg", svg, func(f *os.File) error { return c.WriteSVG(f) }},
		{"--png", png, func(f *os.File) error { return c.WritePNG(f) }},
	} {
		if p.name == "" {
			continue
		}
		f, err := os.Create(p.name)
		if err == nil {
			err = p.write(f)
			if e := f.Close(); err == nil {
				err = e
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.flag, err)
		}
	}
	return nil
}
