package cli

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/league"
	"github.com/sluicehq/sluice/autoscale/simulate"
	"github.com/sluicehq/sluice/autoscale/tune"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/internal/words"
)

const (
	tuneSpan  = 6 * time.Hour    // of recorded arrivals that a recommendation is tuned on
	leastTune = 10 * time.Minute // of them, below which the recommendation is the ledger's
	tuneTime  = 20 * time.Second // that the search may take; what it has found by then counts
)

// recorded is a server's arrivals, and what is known of its workers.
type recorded struct {
	trace *simulate.Trace
	rate  float64 // records per second of one analyzer
	slo   time.Duration
}

// tuned replaces a recommended setting by what tune finds for the recorded arrivals, where there are enough of them. Settings are
// judged together then, and not one by one.
func tuned(ctx context.Context, cl *server, findings []autoscale.Finding, s api.ScalerSettings) {
	i := slices.IndexFunc(findings, func(f autoscale.Finding) bool { return f.Setting != "" })
	if i < 0 || !slices.Contains(tune.Policies(), s.Policy) {
		return
	}
	r, ok := history(ctx, cl)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tuneTime)
	defer cancel()
	best, err := tune.Search(ctx, r.trace, s.Policy, tune.Options{Simulate: simulate.Options{
		Rate: r.rate, SLO: r.slo, MinSize: s.MinSize, MaxSize: s.MaxSize, CheckInterval: league.WholeSeconds(seconds.Nearest(s.CheckInterval)),
	}})
	if err != nil || best.Recommended == nil {
		return
	}
	var names, now, then []string
	known := map[string]string{
		"scale_up_threshold": fmt.Sprint(s.ScaleUpThreshold), "scale_down_threshold": fmt.Sprint(s.ScaleDownThreshold),
		"scale_up_count": fmt.Sprint(s.ScaleUpCount), "scale_down_count": fmt.Sprint(s.ScaleDownCount), "cooldown": seconds.Nearest(s.Cooldown).String(),
	}
	for _, key := range settingKeys(s.Policy, *best.Recommended) {
		names, then = append(names, key), append(then, best.Recommended.Settings[key])
		if value, ok := known[key]; ok {
			now = append(now, value)
		}
	}
	f := &findings[i]
	f.Setting, f.Current, f.Suggested = strings.Join(names, ", "), strings.Join(now, ", "), strings.Join(then, ", ")
	score := best.Recommended.Found
	f.Evidence = append(f.Evidence, fmt.Sprintf("tuned on the last %s of arrivals: with these settings %.3g %% of the records are later than %s, for %.3g times the least cost",
		words.Duration(time.Duration(r.trace.Seconds())*time.Second), 100*score.Late, words.Duration(r.slo), score.Ratio))
}

// history asks a server for what it has recorded; false where that is not enough.
func history(ctx context.Context, cl *server) (r recorded, ok bool) {
	var st api.Stats
	var settings api.Tuning
	var series struct {
		Step    float64     `json:"step_seconds"`
		Columns []string    `json:"columns"`
		Rows    [][]float64 `json:"rows"`
	}
	path := fmt.Sprintf("/v1/series?seconds=%.0f&points=10000", tuneSpan.Seconds())
	for path, into := range map[string]any{"/v1/stats": &st, "/v1/autoscaler/settings": &settings, path: &series} {
		if err := cl.Call(ctx, "GET", path, nil, into); err != nil {
			return r, false
		}
	}
	at, in := slices.Index(series.Columns, "time"), slices.Index(series.Columns, "in_records")
	step := int(series.Step)
	if at < 0 || in < 0 || step < 1 || len(series.Rows)*step < int(leastTune/time.Second) || settings.Settings.SLO == nil {
		return r, false
	}
	if p := st.Pool; p != nil && p.ServiceSeconds > 0 && p.Records > 0 && len(p.Analyzers) > 0 {
		r.rate = float64(p.Records) / p.ServiceSeconds * float64(p.Analyzers[0].Slots)
		r.rate = max(0.001, math.Round(min(r.rate, 1e6)*1e3)/1e3) // the model takes six digits
	}
	first := int64(series.Rows[0][at])
	length := int64(series.Rows[len(series.Rows)-1][at]) - first + int64(step)
	if r.rate == 0 || length < 1 || length > int64(2*tuneSpan/time.Second) {
		return r, false
	}
	arrivals, records := make([]int, length), 0
	for _, row := range series.Rows {
		n, from := int(row[in]), int(int64(row[at])-first)
		for i := range step { // evenly, as the simulation model has it
			if from+i < len(arrivals) {
				arrivals[from+i] = (i+1)*n/step - i*n/step
			}
		}
		records += n
	}
	r.slo = league.WholeSeconds(seconds.Nearest(*settings.Settings.SLO))
	trace, err := simulate.NewTrace(arrivals...)
	r.trace = trace
	return r, err == nil && records > 0
}
