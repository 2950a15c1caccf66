package top

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/api"
)

// Caller asks a Sluice over its HTTP API. *remote.Client is one.
type Caller interface {
	Call(ctx context.Context, method, path string, in, out any) error
}

// Look is what was seen at one moment.
type Look struct {
	Time      time.Time // when it was asked for
	Stats     api.Stats
	KeepingUp api.Pace             // as the process judges; empty where it says nothing of that
	Verdict   api.Verdict          // the same
	Decisions []autoscale.Decision // the newest last; empty where there is no autoscaler
	Settings  api.ScalerSettings
	Why       api.Explained
	Past      []point // what the process remembers of the last hour; only with the first look
}

// How many decisions are asked for: at first enough to fill the charts, then what may have been missed.
const (
	firstDecisions = 1000
	laterDecisions = 20
)

// lookTimeout is how long one look may take before the distributor counts as away.
const lookTimeout = 5 * time.Second

// look asks for everything. A process without an autoscaler has no decisions, which is no error.
func look(ctx context.Context, c Caller, decisions int) (Look, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	l := Look{Time: time.Now()}
	var live api.Live
	if err := c.Call(ctx, http.MethodGet, "/v1/stats", nil, &live); err != nil {
		return l, err
	}
	l.Stats, l.KeepingUp, l.Verdict = live.Stats, live.KeepingUp, live.Verdict
	if decisions == firstDecisions {
		l.Past = past(ctx, c)
	}
	if l.Stats.Autoscaler == nil {
		return l, nil
	}
	var d api.Decisions
	if err := c.Call(ctx, http.MethodGet, "/v1/decisions?limit="+strconv.Itoa(decisions), nil, &d); err != nil {
		return l, err
	}
	l.Decisions, l.Settings = d.Decisions, d.Settings
	if c.Call(ctx, http.MethodGet, "/v1/explain", nil, &l.Why) != nil {
		l.Why = api.Explained{} // nothing was decided yet
	}
	return l, nil
}

// past is what the process remembers for the charts, from before its start too. One that keeps no series has none, which is no error.
func past(ctx context.Context, c Caller) []point {
	var series struct {
		Columns []string
		Rows    [][]float64
	}
	if c.Call(ctx, http.MethodGet, "/v1/series?seconds=3600&points=3600", nil, &series) != nil {
		return nil
	}
	points := make([]point, 0, len(series.Rows))
	for _, row := range series.Rows {
		value := func(name string) float64 {
			if i := slices.Index(series.Columns, name); i >= 0 && i < len(row) {
				return row[i]
			}
			return 0
		}
		points = append(points, point{
			at: time.Unix(int64(value("time")), 0), wait: value("oldest_wait_seconds"), depth: value("depth"),
			size: int(value("size")), named: int(value("named_size")), busy: int(value("busy")), hasBusy: true,
		})
	}
	return points
}
