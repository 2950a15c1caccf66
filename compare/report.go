package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/autoscale/simulate"
	"github.com/sluicehq/sluice/internal/words"
)

// match is everything about one class.
type match struct {
	class   simulate.Class
	arenas  []arena
	results [][]outcome // by contestant, then arena
	tuned   []tuned
	tough   []entrant   // who is looked at in hardships
	calm    [][]outcome // of those, before anything goes wrong
	harder  []hardship
}

// hardship is a variant.
type hardship struct {
	name    string
	results [][]outcome // by entrant, then arena
}

// compare plays everything and writes the page and its picture.
func (w *workshop) compare() error {
	var matches []match
	for _, c := range w.classes() {
		m, err := w.match(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		matches = append(matches, m)
	}
	parts := map[string]string{"summary": summaryText(matches)}
	var variants, tuned, all strings.Builder
	for _, m := range matches {
		parts[m.class.Name] = m.table()
		fmt.Fprintf(&tuned, "%s:\n\n%s\n", capital(m.class.Name), m.tunedTable())
		fmt.Fprintf(&variants, "%s:\n\n%s\n", capital(m.class.Name), m.variantsTable())
		fmt.Fprintf(&all, "### All scenarios, %s\n\n%s\n", m.class.Name, m.matrix())
	}
	parts["tuned"], parts["variants"] = tuned.String(), variants.String()
	parts["scenarios"] = all.String() + matches[1].details()
	parts["bounds"] = boundsTable(matches)
	if err := w.picture("cost-and-late.svg", costAndLate(matches)); err != nil {
		return err
	}
	if err := w.fill("docs/comparison.md", parts); err != nil {
		return err
	}
	if w.quick {
		return nil // not all of them were read
	}
	return w.fill("traces/README.md", map[string]string{"figures": figures(w.traces)})
}

// match plays one class.
func (w *workshop) match(c simulate.Class) (m match, err error) {
	m.class = c
	if m.arenas, err = w.arenas(c); err != nil {
		return m, err
	}
	if err = w.bounds(c.Name+", bounds", m.arenas); err != nil {
		return m, err
	}
	if m.results, err = w.contest(c.Name, untuned(contestants), m.arenas); err != nil {
		return m, err
	}
	if m.tuned, err = w.tune(c.Name, m.arenas); err != nil {
		return m, err
	}
	m.choose()
	for _, v := range simulate.RobustnessVariants() {
		arenas := harder(m.arenas, v)
		if err = w.bounds(c.Name+", bounds, "+v.Name, arenas); err != nil {
			return m, err
		}
		results, err := w.contest(c.Name+", "+v.Name, m.tough, arenas)
		if err != nil {
			return m, err
		}
		m.harder = append(m.harder, hardship{v.Name, results})
	}
	return m, nil
}

const classHead = `| policy | ratio | worst | late % | worst | reversals/h | p99 wait / SLO |
|---|--:|--:|--:|--:|--:|--:|
`

func (s summary) row(name string) string {
	return fmt.Sprintf("| %s | %.3f | %.2f | %s | %s | %s | %.2f |\n", name, s.ratio, s.worstRatio, percent(s.late), percent(s.worstLate), few(s.reversals), s.wait)
}

// table is all policies over all scenarios.
func (m match) table() string {
	var b strings.Builder
	b.WriteString(classHead)
	for i, name := range contestants {
		b.WriteString(sum(m.results[i]).row("`" + name + "`"))
	}
	var late []float64
	for _, a := range m.arenas {
		late = append(late, a.bound.Late)
	}
	fmt.Fprintf(&b, "| bound | 1.000 | 1.00 | %s | %s | | |\n", percent(mean(late)), percent(greatest(late)))
	return b.String()
}

// tunedTable is slo as it is, beside everybody else at their best.
func (m match) tunedTable() string {
	var b strings.Builder
	b.WriteString("| policy | ratio | worst | late % | worst | reversals/h | settings tried | the best |\n|---|--:|--:|--:|--:|--:|--:|---|\n")
	row := func(name string, s summary, tried, best string) {
		fmt.Fprintf(&b, "| `%s` | %.3f | %.2f | %s | %s | %s | %s | %s |\n", name, s.ratio, s.worstRatio, percent(s.late), percent(s.worstLate), few(s.reversals), tried, best)
	}
	row("slo", sum(m.results[0]), "none", "")
	for _, t := range m.tuned {
		var settings []string
		for _, key := range slices.Sorted(maps.Keys(t.settings)) {
			if value := t.settings[key]; value != "-1s" {
				settings = append(settings, key+" "+value)
			}
		}
		row(t.name, sum(t.outcomes), fmt.Sprint(t.tried), strings.Join(settings, ", "))
	}
	return b.String()
}

// choose picks who is looked at when analyzers fall short.
func (m *match) choose() {
	m.tough = untuned(hardened)
	for _, e := range m.tough {
		m.calm = append(m.calm, m.results[slices.Index(contestants, e.name)])
	}
	for _, t := range m.inTime()[:min(hardenedTuned, len(m.inTime()))] {
		m.tough, m.calm = append(m.tough, t.entrant), append(m.calm, t.outcomes)
	}
}

// variantsTable has a row per variant, and ratio and late share per policy.
func (m match) variantsTable() string {
	var b strings.Builder
	b.WriteString("| |")
	for _, e := range m.tough {
		fmt.Fprintf(&b, " %s |", e.label())
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(m.tough)) + "\n")
	row := func(name string, results [][]outcome) {
		fmt.Fprintf(&b, "| %s |", name)
		for _, r := range results {
			s := sum(r)
			fmt.Fprintf(&b, " %.3f, %s %% (%s) |", s.ratio, percent(s.late), percent(s.worstLate))
		}
		b.WriteString("\n")
	}
	row("as modelled", m.calm)
	for _, h := range m.harder {
		row(h.name, h.results)
	}
	return b.String()
}

// matrix is all policies in all scenarios.
func (m match) matrix() string {
	var b strings.Builder
	b.WriteString("| scenario |")
	for _, name := range contestants {
		fmt.Fprintf(&b, " `%s` |", name)
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(contestants)) + "\n")
	for column, a := range m.arenas {
		fmt.Fprintf(&b, "| %s |", a.scenario.Name)
		for row := range contestants {
			o := m.results[row][column]
			fmt.Fprintf(&b, " %.3f, %s |", o.ratio(), percent(o.SLOViolations))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// details is a table for each trace.
func (m match) details() string {
	var b strings.Builder
	for column, a := range m.arenas {
		kind := "made"
		if a.real {
			kind = "recorded"
		}
		fmt.Fprintf(&b, "### %s\n\n%s, %s, %s records, %v records/s per worker; the bound is %s worker-seconds.\n\n", a.scenario.Name, capital(kind),
			span(a.scenario.Trace.Seconds()), words.Thousands(m.results[0][column].Records), a.scenario.Rate, words.Thousands(int(a.bound.Cost)))
		b.WriteString("| policy | cost | ratio | late % | wait p50 | p99 | longest | started | reversals/h |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
		for row, name := range contestants {
			o := m.results[row][column]
			fmt.Fprintf(&b, "| `%s` | %s | %.3f | %s | %ds | %ds | %ds | %s | %s |\n", name, words.Thousands(o.Cost), o.ratio(), percent(o.SLOViolations),
				o.WaitP50, o.WaitP99, o.WaitMax, words.Thousands(o.WorkersStarted), few(o.perHour(o.Reversals)))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// boundsTable says what the bound is over the work itself.
func boundsTable(matches []match) string {
	var b strings.Builder
	b.WriteString("| class | scenarios | bound over useful work, mean | highest | scenarios in which somebody must be late |\n|---|--:|--:|--:|--:|\n")
	for _, m := range matches {
		var ratios []float64
		late := 0
		for _, a := range m.arenas {
			ratios = append(ratios, a.bound.Ratio)
			if a.bound.Late > 0 {
				late++
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %.3f | %.3f | %d |\n", m.class.Name, len(m.arenas), mean(ratios), greatest(ratios), late)
	}
	return b.String()
}

// summaryText is the sentences with figures in them, so that no figure gets old.
func summaryText(matches []match) string {
	var b strings.Builder
	for _, m := range matches {
		own := sum(m.results[0])
		fmt.Fprintf(&b, "- **%s** (start-up %s, SLO %s, a check each %s): `slo` costs %.1f %% more than the bound with %s %% of the records late.",
			capital(m.class.Name), words.Duration(m.class.Startup), words.Duration(m.class.SLO), words.Duration(m.class.CheckInterval), 100*(own.ratio-1), percent(own.late))
		if name, s := m.next(); name != "" {
			fmt.Fprintf(&b, " Of the others at their defaults that keep 99.9 %% in time, the cheapest is `%s` with %.0f %% more.", name, 100*(s.ratio-1))
		} else {
			b.WriteString(" None of the others keeps 99.9 % in time at its defaults.")
		}
		if tuned := m.inTime(); len(tuned) > 0 {
			s := sum(tuned[0].outcomes)
			fmt.Fprintf(&b, " Tuned on this very traffic, `%s` comes closest: %.1f %% more than the bound, %s %% late, %s reversals an hour (`slo` %s).",
				tuned[0].name, 100*(s.ratio-1), percent(s.late), few(s.reversals), few(own.reversals))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// next is the cheapest of the others that is in time, a pool of fixed size aside: nobody knows the busiest second beforehand.
func (m match) next() (name string, best summary) {
	for i, n := range contestants[1:] {
		if s := sum(m.results[i+1]); n != "static" && s.late <= lateAllowed && (name == "" || s.ratio < best.ratio) {
			name, best = n, s
		}
	}
	return name, best
}

// inTime is those that tuning brought in time, the cheapest first.
func (m match) inTime() []tuned {
	list := slices.DeleteFunc(slices.Clone(m.tuned), func(t tuned) bool { return sum(t.outcomes).late > lateAllowed })
	slices.SortStableFunc(list, func(a, b tuned) int { return cmp.Compare(sum(a.outcomes).ratio, sum(b.outcomes).ratio) })
	return list
}

// percent is a share with as many digits as say something.
func percent(share float64) string {
	switch x := 100 * share; {
	case x == 0:
		return "0"
	case x < 0.0005:
		return "<0.001"
	case x < 1:
		return fmt.Sprintf("%.3f", x)
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	default:
		return fmt.Sprintf("%.1f", x)
	}
}

func few(x float64) string {
	if x < 10 {
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
