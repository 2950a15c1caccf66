package main

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/autoscale/simulate"
	"github.com/sluicehq/sluice/internal/chart"
	"github.com/sluicehq/sluice/internal/words"
)

// pictureWidth is what a page of documentation has room for, in pixels.
const pictureWidth = 700

// picture writes one below docs/images.
func (w *workshop) picture(name string, c chart.Chart) error {
	folder := filepath.Join(w.out, "docs", "images")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(folder, name))
	if err != nil {
		return err
	}
	c.Width = pictureWidth
	err = c.WriteSVG(f)
	return cmp.Or(err, f.Close())
}

// explain draws the pictures of docs/slo.md and of the README, each from a simulation of its own.
func (w *workshop) explain() error {
	for _, p := range []struct {
		name string
		draw func(*stage) chart.Chart
	}{
		{"slo-slack.svg", slack},
		{"slo-deadline.svg", deadline},
		{"slo-orders.svg", orders},
		{"slo-idle.svg", idle},
		{"slo-rate.svg", rate},
		{"slo-stuck.svg", stuck},
		{"slo-blind.svg", blind},
		{"slo-forecast.svg", forecast},
		{"slo-calm.svg", calm},
	} {
		s := &stage{}
		c := p.draw(s)
		if s.err != nil {
			return fmt.Errorf("%s: %w", p.name, s.err)
		}
		if err := w.picture(p.name, c); err != nil {
			return err
		}
	}
	return w.hour()
}

// stage plays scenes for a picture, and keeps the first error.
type stage struct{ err error }

// scene is a short piece of traffic and its workers.
type scene struct {
	mean    func(second int) float64 // arrivals per second
	seconds int
	noise   bool // Poisson arrivals; otherwise even ones
	options simulate.Options
}

// film is what a policy did in a scene.
type film struct {
	name     string
	options  simulate.Options
	arrivals []int
	rows     []simulate.Row
	beliefs  []map[string]float64 // estimates after each row; nil for a policy that gives none
	result   simulate.Result
}

func (s *stage) arrivals(c scene) []int {
	random := rand.New(rand.NewPCG(seed, 2))
	list := make([]int, c.seconds)
	owed := 0.0
	for i := range list {
		if c.noise {
			for at := random.ExpFloat64(); at < c.mean(i); at += random.ExpFloat64() {
				list[i]++
			}
			continue
		}
		owed += c.mean(i)
		list[i] = int(owed)
		owed -= float64(list[i])
	}
	return list
}

// slo plays the scene with the slo policy.
func (s *stage) slo(c scene, reversals int) film {
	p, err := autoscale.NewSLO(autoscale.SLOOptions{SLO: c.options.SLO, CheckInterval: c.options.CheckInterval, MaxReversals: reversals})
	s.err = cmp.Or(s.err, err)
	if err != nil {
		return film{}
	}
	return s.play(c, p)
}

// rival plays it with another one, at its defaults.
func (s *stage) rival(c scene, name string) film {
	p, err := rivals.New(name, nil)
	s.err = cmp.Or(s.err, err)
	if err != nil {
		return film{}
	}
	return s.play(c, p)
}

func (s *stage) play(c scene, p autoscale.Policy) film {
	f := film{name: p.Name(), options: c.options, arrivals: s.arrivals(c)}
	trace, err := simulate.NewTrace(f.arrivals...)
	if err == nil {
		f, err = shoot(f, trace, p)
	}
	s.err = cmp.Or(s.err, err)
	return f
}

// shoot runs the policy and keeps every check.
func shoot(f film, trace *simulate.Trace, p autoscale.Policy) (film, error) {
	explainer, explains := p.(autoscale.Explainer)
	o := f.options
	o.Timeline = func(r simulate.Row) {
		f.rows = append(f.rows, r)
		var beliefs map[string]float64
		if explains {
			beliefs = map[string]float64{}
			for _, e := range explainer.Explanation().Estimates {
				beliefs[e.Name] = e.Value
			}
		}
		f.beliefs = append(f.beliefs, beliefs)
	}
	var err error
	f.result, err = simulate.Run(trace, p, o)
	return f, err
}

// over turns rows into points.
func (f film) over(value func(i int, r simulate.Row) (float64, bool)) []chart.Point {
	var points []chart.Point
	for i, r := range f.rows {
		if y, ok := value(i, r); ok && r.Second <= len(f.arrivals) {
			points = append(points, chart.Point{X: float64(r.Second), Y: y})
		}
	}
	return points
}

func (f film) sizes() []chart.Point {
	return f.over(func(_ int, r simulate.Row) (float64, bool) { return float64(r.Size), true })
}

func (f film) ready() []chart.Point {
	return f.over(func(_ int, r simulate.Row) (float64, bool) { return float64(r.Ready), true })
}

func (f film) waits() []chart.Point {
	return f.over(func(_ int, r simulate.Row) (float64, bool) {
		if r.OldestWait == nil {
			return 0, false
		}
		return float64(*r.OldestWait), true
	})
}

func (f film) believed(name string, unknown float64) []chart.Point {
	return f.over(func(i int, _ simulate.Row) (float64, bool) {
		if value, ok := f.beliefs[i][name]; ok {
			return value, true
		}
		return unknown, !math.IsNaN(unknown)
	})
}

// needed is the arrivals as the workers that they keep busy, averaged over some seconds.
func (f film) needed(over int) []chart.Point {
	var points []chart.Point
	for from := 0; from < len(f.arrivals); from += over {
		n := 0
		until := min(from+over, len(f.arrivals))
		for _, records := range f.arrivals[from:until] {
			n += records
		}
		points = append(points, chart.Point{X: float64(from), Y: float64(n) / float64(until-from) / f.options.Rate})
	}
	return append(points, chart.Point{X: float64(len(f.arrivals)), Y: points[len(points)-1].Y})
}

// account is what it cost and how late it was.
func (f film) account() string {
	return fmt.Sprintf("%s: cost %.2f times the work, %s %% late", f.name, f.result.CostRatio, percent(f.result.SLOViolations))
}

var (
	blue, red, green, pink, amber = chart.Palette[0], chart.Palette[1], chart.Palette[2], chart.Palette[3], chart.Palette[4]
	pale                          = color.RGBA{0xdc, 0xea, 0xf7, 0xff}

	workers = chart.Axis{Label: "analyzers"}
	waiting = chart.Axis{Label: "oldest wait (seconds)"}
)

func (f film) timeAxis() chart.Axis {
	end := float64(len(f.arrivals))
	return chart.Axis{Label: "time", Max: end, Ticks: chart.Seconds(0, 2*end)} // wide labels on a narrow picture
}

func (f film) sloLine() []chart.Line {
	return []chart.Line{{At: f.options.SLO.Seconds(), Label: "SLO " + words.Duration(f.options.SLO)}}
}

func steps(points []chart.Point, legend chart.Legend) chart.Series {
	return chart.Series{Color: legend.Color, Style: chart.Steps, Points: points, Width: 2}
}

func (f film) demand(over int) chart.Series {
	return chart.Series{Color: chart.Light, Style: chart.Area, Points: f.needed(over)}
}

// band marks a time.
func band(from, to, high float64) chart.Series {
	return chart.Series{Color: pale, Style: chart.Area, Points: []chart.Point{{X: from, Y: high}, {X: to, Y: high}, {X: to, Y: 0}}}
}

var arriving = chart.Legend{Color: chart.Light, Text: "what arrives, as analyzers that it keeps busy"}

// process is workers that take 5 s to start, with an SLO of 30 s.
func process(rate float64) simulate.Options {
	return simulate.Options{Rate: rate, Startup: 5 * time.Second, MinSize: 1, MaxSize: 50, CheckInterval: 5 * time.Second, SLO: 30 * time.Second}
}

// slack: bursts that are shorter than the SLO need hardly anybody.
func slack(s *stage) chart.Chart {
	c := scene{seconds: 900, noise: true, options: process(2), mean: func(t int) float64 {
		if t%150 < 15 {
			return 40
		}
		return 8
	}}
	c.options.InitialSize = 8
	own, other := s.slo(c, 0), s.rival(c, "kpa")
	names := []chart.Legend{{Color: blue, Text: own.account()}, {Color: red, Text: other.account()}, arriving}
	return chart.Chart{
		Title: "A queue with slack is free capacity", Height: 460, X: own.timeAxis(), Legend: names,
		Panels: []chart.Panel{
			{Y: workers, Height: 1.2, Series: []chart.Series{steps(own.sizes(), names[0]), steps(other.sizes(), names[1]), own.demand(5)}},
			{Y: waiting, Series: []chart.Series{steps(own.waits(), names[0]), steps(other.waits(), names[1])}, Lines: own.sloLine()},
		},
	}
}

// deadline is one check, seen from within: the work that is due, and what the pool can do until then.
func deadline(s *stage) chart.Chart {
	c := scene{seconds: 400, noise: true, options: process(2), mean: func(t int) float64 {
		if t >= 196 && t < 199 {
			return 140
		}
		return 9
	}}
	c.options.InitialSize = 5
	f := s.slo(c, 0)
	var at simulate.Row
	for _, r := range f.rows {
		if r.Second > 150 && r.Starting == 0 && r.Size >= r.Ready+2 {
			at = r
			break
		}
	}
	if at.Depth == nil {
		s.err = cmp.Or(s.err, fmt.Errorf("no check started anybody"))
		return chart.Chart{}
	}
	// What waits came last: the queue is first in, first out.
	left, first := *at.Depth, at.Second
	for ; left > f.arrivals[first] && first > 0; first-- {
		left -= f.arrivals[first]
	}
	slo := int(c.options.SLO.Seconds())
	due := []chart.Point{{X: 0, Y: 0}}
	sum := 0
	for second := first; second <= at.Second; second++ {
		n := f.arrivals[second]
		if second == first {
			n = left
		}
		sum += n
		due = append(due, chart.Point{X: float64(second + slo - at.Second), Y: float64(sum)})
	}
	end := float64(slo)
	now, more := float64(at.Ready)*c.options.Rate, float64(at.Size-at.Ready)*c.options.Rate
	start := c.options.Startup.Seconds() + 1
	names := []chart.Legend{
		{Color: red, Text: "records that must be done by then"},
		{Color: chart.Grey, Text: fmt.Sprintf("what the %d at work will have done", at.Ready)},
		{Color: blue, Text: fmt.Sprintf("with the %d asked for now, which start in 5 s", at.Size-at.Ready)},
	}
	return chart.Chart{
		Title: "The deadline that binds", Subtitle: fmt.Sprintf("One check, %d records waiting: %q", *at.Depth, at.Reason), Height: 400, Legend: names,
		X: chart.Axis{Label: "seconds from now", Max: end},
		Panels: []chart.Panel{{Y: chart.Axis{Label: "records"}, Series: []chart.Series{
			steps(append(due, chart.Point{X: end, Y: float64(sum)}), names[0]),
			{Color: blue, Width: 2, Points: []chart.Point{{X: 0, Y: 0}, {X: start, Y: now * start}, {X: end, Y: now*end + more*(end-start)}}},
			{Color: chart.Grey, Width: 2, Points: []chart.Point{{X: 0, Y: 0}, {X: end, Y: now * end}}},
		}}},
	}
}

// orders: pods take a minute to come, and are asked for once.
func orders(s *stage) chart.Chart {
	c := scene{seconds: 1200, noise: true, mean: func(t int) float64 {
		if t >= 300 {
			return 36
		}
		return 12
	}, options: simulate.Options{Rate: 2, Startup: time.Minute, MinSize: 1, MaxSize: 50, CheckInterval: 15 * time.Second, SLO: 2 * time.Minute, InitialSize: 6}}
	f := s.slo(c, 0)
	names := []chart.Legend{{Color: blue, Text: "ready and ordered"}, {Color: green, Text: "ready"}, arriving}
	return chart.Chart{
		Title: "What is ordered is not ordered again", Subtitle: "Three times the traffic from 5m on; an analyzer takes 60 s to start. " + f.account(),
		Height: 460, X: f.timeAxis(), Legend: names,
		Panels: []chart.Panel{
			{Y: workers, Height: 1.2, Series: []chart.Series{steps(f.ready(), names[1]), steps(f.sizes(), names[0]), f.demand(15)}},
			{Y: waiting, Series: []chart.Series{steps(f.waits(), names[0])}, Lines: f.sloLine()},
		},
	}
}

// idle: who has nothing to do leaves; nobody else does.
func idle(s *stage) chart.Chart {
	c := scene{seconds: 1500, noise: true, options: process(2), mean: func(t int) float64 {
		switch {
		case t < 400:
			return 32
		case t < 450:
			return 8
		case t < 800:
			return 30
		default:
			return 8
		}
	}}
	c.options.InitialSize = 16
	own, other := s.slo(c, 0), s.rival(c, "celery")
	names := []chart.Legend{{Color: blue, Text: own.account()}, {Color: red, Text: other.account()}, arriving}
	return chart.Chart{
		Title: "Only those leave who would be idle", Height: 460, X: own.timeAxis(), Legend: names,
		Panels: []chart.Panel{
			{Y: workers, Height: 1.2, Series: []chart.Series{steps(own.sizes(), names[0]), steps(other.sizes(), names[1]), own.demand(10)}},
			{Y: waiting, Series: []chart.Series{steps(own.waits(), names[0]), steps(other.waits(), names[1])}, Lines: own.sloLine()},
		},
	}
}

// rate: workers lose half of their speed in the middle.
func rate(s *stage) chart.Chart {
	c := scene{seconds: 1200, noise: true, options: process(2), mean: func(int) float64 { return 20 }}
	c.options.InitialSize = 10
	c.options.Variants = simulate.Variants{RateFactor: 0.5, RateFactorAt: 600}
	f := s.slo(c, 0)
	names := []chart.Legend{{Color: blue, Text: "analyzers"}, {Color: green, Text: "believed rate"}, {Color: chart.Grey, Text: "true rate"}, {Color: pink, Text: "oldest wait"}}
	truth := []chart.Point{{X: 0, Y: 2}, {X: 600, Y: 2}, {X: 600, Y: 1}, {X: 1200, Y: 1}}
	return chart.Chart{
		Title: "A rate is learned, and unlearned", Subtitle: fmt.Sprintf("From 10m on each analyzer is half as fast; %s %% of the records are late.", percent(f.result.SLOViolations)), Height: 520, X: f.timeAxis(), Legend: names,
		Panels: []chart.Panel{
			{Y: chart.Axis{Label: "records per analyzer and second"}, Series: []chart.Series{
				steps(f.believed("rate_per_second", math.NaN()), names[1]), {Color: chart.Grey, Width: 2, Points: truth}}},
			{Y: workers, Series: []chart.Series{steps(f.sizes(), names[0])}},
			{Y: waiting, Series: []chart.Series{steps(f.waits(), names[3])}, Lines: f.sloLine()},
		},
	}
}

// stuck: the oldest worker stops working and says nothing.
func stuck(s *stage) chart.Chart {
	c := scene{seconds: 1200, noise: true, options: process(2), mean: func(int) float64 { return 10 }}
	c.options.InitialSize = 5
	c.options.Variants = simulate.Variants{StuckAt: 400}
	f := s.slo(c, 0)
	names := []chart.Legend{{Color: blue, Text: "analyzers"}, {Color: red, Text: "of these believed missing"}, {Color: pink, Text: "oldest wait"}, arriving}
	return chart.Chart{
		Title: "A stuck analyzer is no capacity", Subtitle: fmt.Sprintf("From 6m40s on one of them completes nothing, and nobody says so; %s %% are late.", percent(f.result.SLOViolations)),
		Height: 460, X: f.timeAxis(), Legend: names,
		Panels: []chart.Panel{
			{Y: workers, Height: 1.2, Series: []chart.Series{steps(f.sizes(), names[0]), steps(f.believed("missing_workers", 0), names[1]), f.demand(30)}},
			{Y: waiting, Series: []chart.Series{steps(f.waits(), names[2])}, Lines: f.sloLine()},
		},
	}
}

// blind: ten minutes without a reading, while traffic rises.
func blind(s *stage) chart.Chart {
	c := scene{seconds: 1800, noise: true, options: process(2), mean: func(t int) float64 {
		if t >= 900 {
			return 18
		}
		return 16
	}}
	c.options.InitialSize = 8
	c.options.Missing = func(second int) bool { return second >= 600 && second < 1200 }
	f := s.slo(c, 0)
	names := []chart.Legend{{Color: blue, Text: "analyzers"}, {Color: pink, Text: "oldest wait, where it was seen"}, {Color: pale, Text: "no reading"}, arriving}
	seen, again := f.waits(), f.waits()
	seen = slices.DeleteFunc(seen, func(p chart.Point) bool { return p.X >= 600 })
	again = slices.DeleteFunc(again, func(p chart.Point) bool { return p.X < 1200 })
	waits := chart.Panel{Y: waiting, Series: []chart.Series{steps(seen, names[1]), steps(again, names[1])}, Lines: f.sloLine()}
	sizes := chart.Panel{Y: workers, Height: 1.2, Series: []chart.Series{steps(f.sizes(), names[0]), f.demand(30)}}
	waits.Series = append(waits.Series, band(600, 1200, waits.Top()))
	sizes.Series = append(sizes.Series, band(600, 1200, sizes.Top()))
	return chart.Chart{
		Title: "Unknown is not zero", Subtitle: "Ten minutes without a reading; in the middle of them traffic rises by an eighth.",
		Height: 460, X: f.timeAxis(), Legend: names, Panels: []chart.Panel{sizes, waits},
	}
}

// forecast: the same traffic with an SLO that leaves time to see what comes, and with one that does not.
func forecast(s *stage) chart.Chart {
	c := scene{seconds: 1800, noise: true, mean: func(t int) float64 { return 20 + 8*math.Sin(float64(t)/200) + 6*math.Sin(float64(t)/23) },
		options: simulate.Options{Rate: 2, Startup: 20 * time.Second, MinSize: 1, MaxSize: 50, CheckInterval: 5 * time.Second, SLO: 60 * time.Second, InitialSize: 10}}
	long := s.slo(c, 0)
	c.options.SLO = 20 * time.Second
	short := s.slo(c, 0)
	names := []chart.Legend{
		{Color: blue, Text: "SLO 60s: " + strings.TrimPrefix(long.account(), "slo: ")},
		{Color: red, Text: "SLO 20s: " + strings.TrimPrefix(short.account(), "slo: ")},
		{Color: amber, Text: "below this nobody leaves (SLO 20s)"}, arriving,
	}
	return chart.Chart{
		Title: "Ahead of the traffic only where waiting to see it is too late", Subtitle: "The same traffic twice; an analyzer takes 20 s to start.",
		Height: 400, X: long.timeAxis(), Legend: names,
		Panels: []chart.Panel{{Y: workers, Series: []chart.Series{
			steps(long.sizes(), names[0]), steps(short.sizes(), names[1]), steps(short.believed("unseen_floor_workers", math.NaN()), names[2]), long.demand(5)}}},
	}
}

// calm: what a cap on reversals costs.
func calm(s *stage) chart.Chart {
	c := scene{seconds: 1800, noise: true, mean: func(t int) float64 { return 20 + 10*math.Sin(float64(t)/90) },
		options: simulate.Options{Rate: 1, MinSize: 1, MaxSize: 50, CheckInterval: time.Second, SLO: 5 * time.Second, InitialSize: 20}}
	free, capped := s.slo(c, 0), s.slo(c, 6)
	text := func(f film, what string) string {
		return fmt.Sprintf("%s: %d reversals, cost %.2f times the work, %s %% late", what, f.result.Reversals, f.result.CostRatio, percent(f.result.SLOViolations))
	}
	names := []chart.Legend{{Color: blue, Text: text(free, "no cap")}, {Color: red, Text: text(capped, "at most 6 an hour")}, arriving}
	return chart.Chart{
		Title: "Calm can be bought", Subtitle: "Analyzers within the process, SLO 5s, a wave every ten minutes.", Height: 420, X: free.timeAxis(), Legend: names,
		Panels: []chart.Panel{{Y: workers, Series: []chart.Series{steps(free.sizes(), names[0]), steps(capped.sizes(), names[1]), free.demand(10)}}},
	}
}

// hour is the picture of the README: an hour of real requests.
func (w *workshop) hour() error {
	class := simulate.Classes()[1]
	for _, s := range w.traces {
		if s.name() != "azure_llm_code" {
			continue
		}
		scenarios, err := class.Windows(s.name(), s.trace, seed)
		if err != nil {
			return err
		}
		a := arena{class: class, scenario: scenarios[0], options: class.Options(scenarios[0].Rate)}
		var films []film
		for _, name := range []string{"slo", "hpa", "threshold"} {
			p, err := build(name, a)
			if err != nil {
				return err
			}
			f := film{name: name, options: a.options}
			for _, n := range a.scenario.Trace.Arrivals() {
				f.arrivals = append(f.arrivals, n)
			}
			if f, err = shoot(f, a.scenario.Trace, p); err != nil {
				return err
			}
			films = append(films, f)
		}
		return w.picture("hour.svg", hourOf(films))
	}
	return nil
}

func hourOf(films []film) chart.Chart {
	own := films[0]
	sizes := chart.Panel{Y: workers, Height: 1.2}
	waits := chart.Panel{Y: waiting, Lines: own.sloLine()}
	c := chart.Chart{Title: "An hour of requests to a language model", Height: 520, X: own.timeAxis()}
	for i, f := range films {
		l := chart.Legend{Color: chart.Palette[i], Text: f.account()}
		c.Legend = append(c.Legend, l)
		sizes.Series = append(sizes.Series, steps(f.sizes(), l))
		waits.Series = append(waits.Series, steps(f.waits(), l))
	}
	sizes.Series = append(sizes.Series, own.demand(10))
	c.Legend = append(c.Legend, arriving)
	c.Panels = []chart.Panel{sizes, waits}
	return c
}

// Places on the axes of costAndLate, which are logarithmic.
func costAt(above float64) float64 { return math.Log10(max(above, 0.005)) }              // share of the bound paid on top of it
func lateAt(share float64) float64 { return max(0, math.Log10(max(share, 1e-6)*100)+3) } // 0.001 % and less is 0

// costAndLate is a point for each policy, in a panel for each class.
func costAndLate(matches []match) chart.Chart {
	c := chart.Chart{
		Title: "What each policy costs, and how many records are late", Subtitle: "Means over all scenarios. Better is down and to the left.",
		Height: 860, X: chart.Axis{Label: "cost above the bound", Min: costAt(0.01), Max: costAt(20)},
		Legend: []chart.Legend{{Color: blue, Text: "slo", Dot: true}, {Color: red, Text: "at the defaults", Dot: true}, {Color: green, Text: "tuned on this traffic", Dot: true}},
	}
	for _, percent := range []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000} {
		c.X.Ticks = append(c.X.Ticks, chart.Tick{At: costAt(percent / 100), Label: fmt.Sprintf("%g %%", percent)})
	}
	late := chart.Axis{Max: 5}
	for i, text := range []string{"0", "0.01", "0.1", "1", "10", "100"} {
		late.Ticks = append(late.Ticks, chart.Tick{At: float64(i), Label: text})
	}
	for _, m := range matches {
		p := chart.Panel{Y: late}
		p.Y.Label = fmt.Sprintf("%s (start-up %s, SLO %s): late %%", m.class.Name, words.Duration(m.class.Startup), words.Duration(m.class.SLO))
		own, others, best := dots(blue), dots(red), dots(green)
		plot(&own, "slo", sum(m.results[0]))
		for i, name := range contestants[1:] {
			plot(&others, name, sum(m.results[i+1]))
		}
		for _, t := range m.tuned {
			plot(&best, t.name, sum(t.outcomes))
		}
		p.Series = []chart.Series{own, best, others}
		c.Panels = append(c.Panels, p)
	}
	return c
}

func dots(c color.RGBA) chart.Series { return chart.Series{Color: c, Style: chart.Dots, Width: 2.5} }

// plot adds a policy. Those in nearly the same place share a label.
func plot(s *chart.Series, name string, r summary) {
	at := chart.Point{X: costAt(r.ratio - 1), Y: lateAt(r.late)}
	for i, p := range s.Points {
		if s.Labels[i] != "" && math.Abs(p.X-at.X) < 0.25 && math.Abs(p.Y-at.Y) < 0.3 {
			s.Labels[i] += ", " + name
			name = ""
			break
		}
	}
	s.Points, s.Labels = append(s.Points, at), append(s.Labels, name)
}
