package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// row is one metric of a scenario, over all rounds.
type row struct {
	Scenario string    `json:"scenario"`
	About    string    `json:"about"`
	Metric   string    `json:"metric"`
	Ours     []float64 `json:"ours"` // by round
	Base     []float64 `json:"base"`
	Ratio    float64   `json:"ratio"` // median
	Lowest   float64   `json:"lowest_ratio"`
	Highest  float64   `json:"highest_ratio"`
	AtLeast  float64   `json:"at_least,omitempty"` // bounds of the median
	AtMost   float64   `json:"at_most,omitempty"`
	Met      bool      `json:"met"`
}

// measure runs all rounds of a scenario.
func (b *bench) measure(ctx context.Context, s scenario, rounds int) (rows []row, err error) {
	var all, base []figures
	for round := range rounds {
		o, f, err := s.measure(ctx, b, round%2 == 1)
		if err != nil {
			return nil, err
		}
		all, base = append(all, o), append(base, f)
	}
	for _, w := range s.bounds {
		r := row{Scenario: s.name, About: fmt.Sprintf("%s: %s / %s", s.about, s.ours, s.base), Metric: w.metric, AtLeast: w.min, AtMost: w.max}
		var ratios []float64
		for i := range all {
			o, f := all[i][w.metric], base[i][w.metric]
			r.Ours, r.Base, ratios = append(r.Ours, o), append(r.Base, f), append(ratios, o/f)
		}
		r.Ratio, r.Lowest, r.Highest = median(ratios), slices.Min(ratios), slices.Max(ratios)
		r.Met = r.Ratio >= w.min && (w.max == 0 || r.Ratio <= w.max)
		rows = append(rows, r)
	}
	return rows, nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// wanted writes the bounds of a row.
func (r row) wanted() string {
	switch {
	case r.AtLeast > 0 && r.AtMost > 0:
		return fmt.Sprintf("%.2f..%.2f", r.AtLeast, r.AtMost)
	case r.AtLeast > 0:
		return fmt.Sprintf(">= %.2f", r.AtLeast)
	case r.AtMost > 0:
		return fmt.Sprintf("<= %.2f", r.AtMost)
	}
	return "-"
}

// report prints rows as they come, or all of them as JSON at the end.
type report struct {
	asJSON bool
	rows   []row
}

func newReport(asJSON bool, rounds int, warm time.Duration) *report {
	if !asJSON {
		fmt.Printf("%d rounds, each side in turn, warm windows of %v; figures and ratios are medians over the rounds\n", rounds, warm)
		fmt.Printf("\n%-10s %-18s %12s %12s %8s %14s  %s\n", "scenario", "metric", "ours", "base", "ratio", "min..max", "wanted")
	}
	return &report{asJSON: asJSON, rows: []row{}}
}

func (r *report) add(rows []row) {
	r.rows = append(r.rows, rows...)
	if r.asJSON {
		return
	}
	for i, row := range rows {
		if i == 0 {
			fmt.Println(row.About)
		}
		missed := ""
		if !row.Met {
			missed = "  MISSED"
		}
		fmt.Printf("%-10s %-18s %12.4g %12.4g %8.2f %7.2f..%-5.2f  %s%s\n", row.Scenario, row.Metric,
			median(row.Ours), median(row.Base), row.Ratio, row.Lowest, row.Highest, row.wanted(), missed)
	}
}

// end prints which bounds are missed. That is no failure: the machine may be busy.
func (r *report) end() error {
	if r.asJSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(r.rows)
	}
	missed := 0
	for _, row := range r.rows {
		if !row.Met {
			missed++
			fmt.Printf("\nMISSED: %s, %s: ratio %.2f, wanted %s", row.Scenario, row.Metric, row.Ratio, row.wanted())
		}
	}
	if missed > 0 {
		fmt.Printf("\n%d of %d bounds are missed: check whether something else is using this machine, and run it again.\n", missed, len(r.rows))
	}
	return nil
}
