package main

import (
	"fmt"
	"slices"
	"strings"
)

// row is one metric of a scenario, over all rounds.
type row struct {
	Scenario string    `json:"scenario"`
	Metric   string    `json:"metric"`
	Ours     []float64 `json:"ours"` // by round
	Base     []float64 `json:"base"`
	Ratio    float64   `json:"ratio"` // median of the rounds' ratios
	Lowest   float64   `json:"lowest_ratio"`
	Highest  float64   `json:"highest_ratio"`
	Best     float64   `json:"best_ratio"` // of each side's best round: other work on the machine only ever slows a round
	Wanted   string    `json:"wanted"`
	Met      bool      `json:"met"`
}

// rows compares the figures of all rounds, by the bounds of the scenario.
func (s scenario) rows(ours, base []figures) (rows []row) {
	for _, w := range s.bounds {
		r := row{Scenario: s.name, Metric: w.metric, Wanted: w.String()}
		over := w.over
		if over == "" {
			over = w.metric
		}
		var ratios []float64
		for i := range ours {
			r.Ours, r.Base = append(r.Ours, ours[i][w.metric]), append(r.Base, base[i][over])
			ratios = append(ratios, ratio(r.Ours[i], r.Base[i]))
		}
		r.Ratio, r.Lowest, r.Highest = median(ratios), slices.Min(ratios), slices.Max(ratios)
		best := slices.Min[[]float64]
		if strings.HasSuffix(w.metric, "records/s") {
			best = slices.Max[[]float64]
		}
		r.Best = ratio(best(r.Ours), best(r.Base))
		r.Met = r.Ratio >= w.min && (w.max == 0 || r.Ratio <= w.max)
		rows = append(rows, r)
	}
	return rows
}

// ratio is 0 if nothing was measured of the base: JSON has no NaN.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func (w bound) String() string {
	switch {
	case w.min > 0 && w.max > 0:
		return fmt.Sprintf("%.2f..%.2f", w.min, w.max)
	case w.min > 0:
		return fmt.Sprintf(">= %.2f", w.min)
	case w.max > 0:
		return fmt.Sprintf("<= %.2f", w.max)
	}
	return "-"
}

var heading = fmt.Sprintf("%-18s %10s %10s %7s %13s %6s  %s", "", "ours", "base", "ratio", "min..max", "best", "wanted")

func (r row) String() string {
	line := fmt.Sprintf("%-18s %10.4g %10.4g %7.2f %7.2f..%-5.2f%6.2f  %s", r.Metric,
		median(r.Ours), median(r.Base), r.Ratio, r.Lowest, r.Highest, r.Best, r.Wanted)
	if !r.Met {
		line += "  MISSED"
	}
	return line
}
