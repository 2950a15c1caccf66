package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/autoscale/simulate"
	"github.com/sluicehq/sluice/autoscale/tune"
	"github.com/sluicehq/sluice/internal/policies"
)

// contestants are the policies in the order of the tables.
var contestants = []string{"slo", "threshold", "static", "hpa", "kpa", "ds2", "backlog", "celery", "nomad"}

// hardened are those that are compared when analyzers fall short: ours, and the rivals that are in time at the defaults. The
// best of the tuned ones join them.
var hardened = []string{"slo", "threshold", "kpa", "celery"}

// hardenedTuned is how many of the tuned ones do.
const hardenedTuned = 2

// entrant is a policy with settings.
type entrant struct {
	name     string
	settings tune.Shape // nil for the defaults
}

// label is how tables call it.
func (e entrant) label() string {
	if e.settings != nil {
		return "`" + e.name + "`, tuned"
	}
	return "`" + e.name + "`"
}

func (e entrant) build(a arena) (autoscale.Policy, error) {
	if e.settings != nil {
		return buildTuned(e.name, a, e.settings)
	}
	return build(e.name, a)
}

// untuned are policies at their defaults.
func untuned(names []string) []entrant {
	var list []entrant
	for _, name := range names {
		list = append(list, entrant{name: name})
	}
	return list
}

// arena is a scenario in a class, perhaps with a variant: everything that a policy is put into.
type arena struct {
	class    simulate.Class
	scenario simulate.Scenario
	real     bool   // out of a trace
	variant  string // empty for none
	options  simulate.Options
	bound    simulate.BoundResult
}

// outcome is what a policy did in an arena.
type outcome struct {
	simulate.Result
	bound simulate.BoundResult
	slo   time.Duration
}

// ratio is the cost over the bound.
func (o outcome) ratio() float64 { return float64(o.Cost) / o.bound.Cost }

// perHour is a count over the length of the run.
func (o outcome) perHour(count int) float64 { return float64(count) * 3600 / float64(o.Seconds) }

// classes are those of the comparison; with -quick their windows are short.
func (w *workshop) classes() []simulate.Class {
	classes := simulate.Classes()
	if w.quick {
		for i := range classes {
			classes[i].Window = 600
		}
	}
	return classes
}

// arenas cuts and makes the scenarios of a class.
func (w *workshop) arenas(c simulate.Class) ([]arena, error) {
	var list []arena
	add := func(real bool, scenarios ...simulate.Scenario) {
		for _, s := range scenarios {
			list = append(list, arena{class: c, scenario: s, real: real, options: c.Options(s.Rate)})
		}
	}
	for _, s := range w.traces {
		scenarios, err := c.Windows(s.name(), s.trace, seed)
		if err != nil {
			return nil, err
		}
		add(true, scenarios...)
	}
	kinds := simulate.SyntheticNames()
	if w.quick {
		kinds = kinds[:2]
	}
	for _, kind := range kinds {
		s, err := simulate.Synthetic(kind, c.Window, seed)
		if err != nil {
			return nil, err
		}
		add(false, s)
	}
	return list, nil
}

// harder are the arenas with the variant on top.
func harder(arenas []arena, v simulate.Variant) []arena {
	list := slices.Clone(arenas)
	for i := range list {
		a := &list[i]
		a.variant, a.bound = v.Name, simulate.BoundResult{}
		a.options = v.Apply(a.options, a.scenario.Trace.Seconds())
	}
	return list
}

// build makes a fresh policy for an arena, at its defaults.
func build(name string, a arena) (autoscale.Policy, error) {
	o := policies.Options{
		Threshold: autoscale.DefaultOptions(),
		SLO:       autoscale.SLOOptions{SLO: a.class.SLO, CheckInterval: a.class.CheckInterval},
		Rivals:    map[string]rivals.Settings{},
	}
	o.Threshold.MinSize, o.Threshold.MaxSize = a.options.MinSize, a.options.MaxSize
	o.Threshold.CheckInterval = a.class.CheckInterval
	if name == "static" {
		o.Rivals[name] = rivals.Settings{"size": fmt.Sprint(busiest(a))}
	}
	return policies.New(name, o)
}

// busiest is the workers that the busiest second needs.
func busiest(a arena) int {
	most := 0
	for _, n := range a.scenario.Trace.Arrivals() {
		most = max(most, n)
	}
	return min(max(int(math.Ceil(float64(most)/a.scenario.Rate)), a.options.MinSize), a.options.MaxSize)
}

// play runs one policy.
func play(a arena, p autoscale.Policy) (simulate.Result, error) {
	return simulate.Run(a.scenario.Trace, p, a.options)
}

// bounds fills in the bound of each arena.
func (w *workshop) bounds(what string, arenas []arena) error {
	return w.each(what, len(arenas), func(i int) (err error) {
		a := &arenas[i]
		a.bound, err = simulate.Bound(a.scenario.Trace, a.options)
		return err
	})
}

// contest runs policies in arenas; the rows are the policies.
func (w *workshop) contest(what string, entrants []entrant, arenas []arena) ([][]outcome, error) {
	results := make([][]outcome, len(entrants))
	for i := range results {
		results[i] = make([]outcome, len(arenas))
	}
	err := w.each(what, len(entrants)*len(arenas), func(i int) error {
		row, column := i%len(entrants), i/len(entrants)
		a := arenas[column]
		p, err := entrants[row].build(a)
		if err != nil {
			return err
		}
		r, err := play(a, p)
		results[row][column] = outcome{r, a.bound, a.class.SLO}
		return err
	})
	return results, err
}

// summary is a policy over all scenarios of a class.
type summary struct {
	ratio, worstRatio float64
	late, worstLate   float64 // shares
	reversals         float64 // per hour
	wait              float64 // p99 over the SLO
}

func sum(outcomes []outcome) summary {
	pick := func(f func(outcome) float64) []float64 {
		values := make([]float64, len(outcomes))
		for i, o := range outcomes {
			values[i] = f(o)
		}
		return values
	}
	ratios, late := pick(outcome.ratio), pick(func(o outcome) float64 { return o.SLOViolations })
	return summary{
		ratio: mean(ratios), worstRatio: greatest(ratios), late: mean(late), worstLate: greatest(late),
		reversals: mean(pick(func(o outcome) float64 { return o.perHour(o.Reversals) })),
		wait:      mean(pick(func(o outcome) float64 { return float64(o.WaitP99) / o.slo.Seconds() })),
	}
}

// tuning is a policy with all the settings that are tried on it.
type tuning struct {
	policy string
	grid   []tune.Shape
}

// tunings are the policies that have settings, each with the grid that `sluice tune` begins with. A fixed pool is not among them:
// it is no autoscaler.
func tunings(quick bool) []tuning {
	var list []tuning
	for _, name := range contestants {
		grid := tune.Shapes(name)
		if grid == nil || name == "static" {
			continue
		}
		if quick {
			grid = grid[:2]
		}
		list = append(list, tuning{name, grid})
	}
	return list
}

// buildTuned turns shares of what a worker does within the SLO into records, and builds the policy.
func buildTuned(name string, a arena, s tune.Shape) (autoscale.Policy, error) {
	return tune.Build(name, s.Settings(name, a.options))
}

// tuned is the best settings found.
type tuned struct {
	entrant
	tried    int
	outcomes []outcome
}

// lateAllowed is the share of late records that tuning may not exceed, on average over the scenarios.
const lateAllowed = 0.001

// tune looks for the cheapest settings with at most lateAllowed, or for those with the fewest late records.
func (w *workshop) tune(class string, arenas []arena) ([]tuned, error) {
	list := tunings(w.quick)
	type candidate struct {
		tuning, setting int
		outcomes        []outcome
	}
	var all []candidate
	for t := range list {
		for s := range list[t].grid {
			all = append(all, candidate{t, s, make([]outcome, len(arenas))})
		}
	}
	err := w.each("tuning, "+class, len(all)*len(arenas), func(i int) error {
		c, a := all[i/len(arenas)], arenas[i%len(arenas)]
		p, err := buildTuned(list[c.tuning].policy, a, list[c.tuning].grid[c.setting])
		if err != nil {
			return err
		}
		r, err := play(a, p)
		c.outcomes[i%len(arenas)] = outcome{r, a.bound, a.class.SLO}
		return err
	})
	if err != nil {
		return nil, err
	}
	best := make([]tuned, len(list))
	for t := range list {
		of := slices.DeleteFunc(slices.Clone(all), func(c candidate) bool { return c.tuning != t })
		winner := slices.MinFunc(of, func(x, y candidate) int {
			p, q := sum(x.outcomes), sum(y.outcomes)
			return cmp.Or(tune.Compare(p.late, p.ratio, q.late, q.ratio, lateAllowed), cmp.Compare(x.setting, y.setting))
		})
		best[t] = tuned{entrant{list[t].policy, list[t].grid[winner.setting]}, len(of), winner.outcomes}
	}
	return best, nil
}
