package cli

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/autoscale/tune"
	"github.com/sluicehq/sluice/internal/chart"
	"github.com/sluicehq/sluice/internal/words"
)

// report is the outcome for people.
func (t *tuning) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s records in %s s, SLO %v\n", words.Thousands(t.trace.Records()), words.Thousands(t.trace.Seconds()), t.options.Simulate.SLO)
	if summary := t.trace.Summary(); summary != "" {
		b.WriteString(wrapped(summary))
	}
	if t.heldOut() > 0 {
		fmt.Fprintf(&b, "found on the first %s s; held out, and only judging: the last %s s\n",
			words.Thousands(t.foundOn), words.Thousands(t.heldOut()))
	}
	for _, r := range t.results {
		fmt.Fprintf(&b, "\n%s: the cheapest of %d settings for each share of late records\n\n", r.Policy, len(r.Tried))
		writeColumns(&b, t.rows(r))
		b.WriteString("\n")
		for _, sentence := range t.verdict(r) {
			b.WriteString(wrapped(sentence))
		}
	}
	b.WriteString("\n" + wrapped(t.legend()))
	for _, r := range t.results {
		if r.Recommended != nil {
			fmt.Fprintf(&b, "\n# for the configuration file\n%s", t.yaml(r.Policy, *r.Recommended))
		}
	}
	return b.String()
}

// shortNames keep the table of threshold narrow.
var shortNames = map[string]string{
	"scale_up_threshold": "up at", "scale_down_threshold": "down at", "scale_up_count": "add", "scale_down_count": "remove",
}

// rows are the table of one policy. Settings that are the same everywhere are left to the YAML.
func (t *tuning) rows(r tune.Result) [][]string {
	var keys []string
	if len(r.Curve) > 0 {
		keys = slices.DeleteFunc(settingKeys(r.Policy, r.Curve[0]), func(key string) bool {
			first := r.Curve[0].Settings[key]
			return r.Policy != "threshold" && len(r.Curve) > 1 &&
				!slices.ContainsFunc(r.Curve, func(p tune.Point) bool { return p.Settings[key] != first })
		})
	}
	header := []string{""}
	for _, key := range keys {
		name := key
		if short := shortNames[key]; short != "" {
			name = short
		}
		header = append(header, name)
	}
	header = append(header, "ratio", "late %")
	if t.heldOut() > 0 {
		header = append(header, "held out", "late %")
	}
	rows := [][]string{header}
	add := func(name string, settings rivals.Settings, p tune.Point) {
		row := []string{name}
		for _, key := range keys {
			value := settings[key]
			if strings.HasPrefix(value, "-") {
				value = "none"
			}
			row = append(row, value)
		}
		rows = append(rows, append(row, t.scores(p)...))
	}
	for i, p := range r.Curve {
		mark := ""
		if r.Recommended == &r.Curve[i] {
			mark = "recommended"
		}
		add(mark, p.Settings, p)
	}
	if r.Defaults != nil {
		add("defaults", defaultSettings(r), *r.Defaults)
	}
	if t.slo != nil {
		add("slo", nil, *t.slo)
	}
	if t.bound != nil {
		row := append([]string{"bound"}, make([]string, len(keys))...)
		rows = append(rows, append(row, fmt.Sprintf("%.3f", t.bound.Ratio), asPercent(t.bound.Late)))
	}
	return rows
}

// defaultSettings are those of the policy as it comes, as far as they are ours.
func defaultSettings(r tune.Result) rivals.Settings {
	if r.Policy != "threshold" {
		return r.Defaults.Settings
	}
	o := autoscale.DefaultOptions()
	return rivals.Settings{
		"scale_up_threshold": fmt.Sprint(o.ScaleUpThreshold), "scale_down_threshold": fmt.Sprint(o.ScaleDownThreshold),
		"scale_up_count": fmt.Sprint(o.ScaleUpCount), "scale_down_count": fmt.Sprint(o.ScaleDownCount), "cooldown": o.Cooldown.String(),
	}
}

// scores are the cells of a point.
func (t *tuning) scores(p tune.Point) []string {
	cells := []string{fmt.Sprintf("%.3f", p.Found.Ratio), asPercent(p.Found.Late)}
	switch {
	case p.HeldOut != nil:
		cells = append(cells, fmt.Sprintf("%.3f", p.HeldOut.Ratio), asPercent(p.HeldOut.Late))
	case t.heldOut() > 0:
		cells = append(cells, "", "") // there was no time
	}
	return cells
}

// verdict says what the table comes to.
func (t *tuning) verdict(r tune.Result) (sentences []string) {
	say := func(format string, args ...any) { sentences = append(sentences, fmt.Sprintf(format, args...)) }
	allowed := t.flags.maxLate.String()
	best := r.Recommended
	if best == nil {
		late := 1.0
		for _, p := range r.Curve {
			late = min(late, p.Found.Late)
		}
		if r.Passed > 0 {
			say("Nothing is recommended: settings with at most %s %% late where they were found had more of them on the part held out, all of them. "+
				"Tune on a trace that has seen such traffic.", allowed)
		} else {
			say("Nothing is recommended: no settings that were tried had less than %s %% late, and %s %% are allowed.", asPercent(late), allowed)
		}
		if t.slo != nil {
			say("slo had %s %%.", asPercent(t.slo.Found.Late))
		}
		return sentences
	}
	text := fmt.Sprintf("Recommended are the cheapest settings with at most %s %% late", allowed)
	if t.heldOut() > 0 && best.HeldOut != nil {
		text += ", on both parts"
	}
	say("%s.", text)
	if r.Passed > 0 {
		say("%d cheaper ones were in time where they were found and not on the part held out, so they are passed over.", r.Passed)
	}
	if d := r.Defaults; d != nil {
		say("They cost %s the defaults, which have %s %% late.", worth(best.Found.Ratio, d.Found.Ratio), asPercent(d.Found.Late))
	}
	if t.slo != nil {
		say("They cost %s slo without any tuning, which has %s %% late.", worth(best.Found.Ratio, t.slo.Found.Ratio), asPercent(t.slo.Found.Late))
	}
	return sentences
}

// legend says what the numbers are.
func (t *tuning) legend() string {
	text := "ratio is cost in worker-seconds over those that the records need at least; bound is the least that a policy without a late record can pay."
	if t.heldOut() == 0 {
		return text + " Nothing was held out: whether these settings fit other traffic as well, this does not say."
	}
	return text + " The columns from held out on are about the last part of the trace, which had no part in the finding but to pass settings over."
}

// Places on the axis of late records, which is logarithmic from a thousandth of a percent up, and has 0 too.
func latePlace(share float64) float64 {
	if share <= 0 {
		return 0
	}
	return max(0.3, math.Log10(share)+6)
}

// picture shows cost against late records.
func (t *tuning) picture() chart.Chart {
	c := chart.Chart{
		Title:    "Cost against late records: " + traceName(t.flags.trace),
		Subtitle: t.pictureSubtitle(),
		X:        chart.Axis{Label: "late records (%)", Max: 6.1},
	}
	for i, text := range []string{"0", "0.001", "0.01", "0.1", "1", "10", "100"} {
		c.X.Ticks = append(c.X.Ticks, chart.Tick{At: float64(i), Label: text})
	}
	p := chart.Panel{Y: chart.Axis{Label: "cost over what the records need", Min: math.Inf(1)}}
	room := func(ratio float64) { p.Y.Min, p.Y.Max = min(p.Y.Min, ratio), max(p.Y.Max, ratio) }
	at := func(s tune.Score) chart.Point { return chart.Point{X: latePlace(s.Late), Y: s.Ratio} }
	dot := func(s tune.Score, c color.RGBA, label string) {
		room(s.Ratio)
		p.Series = append(p.Series, chart.Series{Color: c, Style: chart.Dots, Width: 3, Points: []chart.Point{at(s)}, Labels: []string{label}})
	}
	for i, r := range t.results {
		ink := chart.Palette[(i+1)%len(chart.Palette)]
		if r.Recommended != nil {
			dot(r.Recommended.Found, ink, r.Policy+", recommended")
		}
		if r.Defaults != nil {
			dot(r.Defaults.Found, ink, r.Policy+" at its defaults")
		}
		curve := chart.Series{Color: ink, Style: chart.Steps, Width: 2}
		for _, q := range r.Curve {
			room(q.Found.Ratio)
			curve.Points = append(curve.Points, at(q.Found))
		}
		if n := len(curve.Points); n > 0 { // nothing is cheaper beyond the last point
			curve.Points = append(curve.Points, chart.Point{X: 6, Y: curve.Points[n-1].Y})
		}
		p.Series = append(p.Series, curve)
		c.Legend = append(c.Legend, chart.Legend{Color: ink, Text: fmt.Sprintf("%s, the best of %d settings", r.Policy, len(r.Tried))})
	}
	if t.slo != nil {
		dot(t.slo.Found, chart.Palette[0], "slo")
		c.Legend = append(c.Legend, chart.Legend{Color: chart.Palette[0], Text: "slo", Dot: true})
	}
	if t.bound != nil {
		room(t.bound.Ratio)
		p.Lines = append(p.Lines, chart.Line{At: t.bound.Ratio, Label: fmt.Sprintf("bound %.3f", t.bound.Ratio)})
	}
	pad := max(0.01, 0.05*(p.Y.Max-p.Y.Min))
	p.Y.Min, p.Y.Max = p.Y.Min-pad, p.Y.Max+pad
	if t.flags.maxLate.share > 0 {
		x := latePlace(t.flags.maxLate.share)
		p.Series = append(p.Series, chart.Series{Color: chart.Grey, Points: []chart.Point{{X: x, Y: p.Y.Min}, {X: x, Y: p.Y.Max}}})
		c.Legend = append(c.Legend, chart.Legend{Color: chart.Grey, Text: "most that may be late: " + t.flags.maxLate.String() + " %"})
	}
	if len(t.results) == 1 { // everything that was tried, behind the rest
		tried := chart.Series{Color: chart.Light, Style: chart.Dots, Width: 1.2}
		for _, q := range t.results[0].Tried {
			if q.Found.Ratio <= p.Y.Max {
				tried.Points = append(tried.Points, at(q.Found))
			}
		}
		p.Series = append(p.Series, tried)
		c.Legend = append(c.Legend, chart.Legend{Color: chart.Light, Text: "settings tried", Dot: true})
	}
	c.Panels = []chart.Panel{p}
	return c
}

func (t *tuning) pictureSubtitle() string {
	o := t.options.Simulate
	text := fmt.Sprintf("SLO %v, %v records per analyzer and second, start-up %v, %d to %d analyzers, a check each %v. Better is down and to the left.",
		o.SLO, o.Rate, o.Startup, o.MinSize, o.MaxSize, o.CheckInterval)
	if t.heldOut() > 0 {
		text += fmt.Sprintf(" The first %s s.", words.Thousands(t.foundOn))
	}
	return text
}
