package simulate

import (
	"maps"
	"slices"
	"time"
)

// Result is what a policy did on a trace and what it cost.
type Result struct {
	Policy         string  `json:"policy"`          // the policy's name
	Seconds        int     `json:"seconds"`         // ticks until the end, overtime included
	Records        int     `json:"records"`         // arrivals, after scaling
	Cost           int     `json:"cost"`            // worker-seconds of every worker present
	Useful         float64 `json:"useful"`          // worker-seconds that the records need at least: records / rate
	CostRatio      float64 `json:"cost_ratio"`      // cost / useful; 0 without records
	SLOViolations  float64 `json:"slo_violations"`  // share of the records that waited longer than the SLO, 0 to 1
	WaitP50        int     `json:"wait_p50"`        // seconds that half of the records waited at most (nearest rank)
	WaitP90        int     `json:"wait_p90"`        // the same for 90 %
	WaitP99        int     `json:"wait_p99"`        // the same for 99 %
	WaitP999       int     `json:"wait_p999"`       // the same for 99.9 %
	WaitMax        int     `json:"wait_max"`        // seconds that the slowest record waited
	MaxDepth       int     `json:"max_depth"`       // most records left waiting at the end of a second
	ScaleUps       int     `json:"scale_ups"`       // actions that made the pool larger
	ScaleDowns     int     `json:"scale_downs"`     // actions that made it smaller
	WorkersStarted int     `json:"workers_started"` // workers asked for, those cancelled later included
	WorkersStopped int     `json:"workers_stopped"` // workers drained or cancelled
	Reversals      int     `json:"reversals"`       // actions against the direction of one at most 300 s before
	Unserved       int     `json:"unserved"`        // records still waiting an hour after the trace; late, all of them
}

// account is the running sums of a result.
type account struct {
	slo       time.Duration
	records   int
	cost      int
	late      int
	waits     map[int]int // records by the whole seconds they waited
	maxDepth  int
	ups       int
	downs     int
	started   int
	stopped   int
	reversals int
}

func (a *account) served(wait, count int) {
	a.waits[wait] += count
	if time.Duration(wait)*time.Second > a.slo {
		a.late += count
	}
}

// result closes the books after the tick of second end.
func (m *machine) result(end int) Result {
	a := &m.account
	unserved := m.queue.depth
	m.queue.pop(unserved, func(arrived, count int) {
		a.waits[end-arrived] += count
		a.late += count
	})
	r := Result{
		Policy: m.policy.Name(), Seconds: end + 1, Records: a.records,
		Cost: a.cost, Useful: float64(a.records) / m.options.Rate,
		MaxDepth: a.maxDepth, ScaleUps: a.ups, ScaleDowns: a.downs,
		WorkersStarted: a.started, WorkersStopped: a.stopped, Reversals: a.reversals, Unserved: unserved,
	}
	if a.records == 0 {
		return r
	}
	r.CostRatio = float64(r.Cost) / r.Useful
	r.SLOViolations = float64(a.late) / float64(a.records)
	quantiles := a.quantiles(500, 900, 990, 999, 1000)
	r.WaitP50, r.WaitP90, r.WaitP99, r.WaitP999, r.WaitMax =
		quantiles[0], quantiles[1], quantiles[2], quantiles[3], quantiles[4]
	return r
}

// quantiles returns for each share, in thousandths and ascending, the smallest wait that at least that share of the
// records did not exceed.
func (a *account) quantiles(thousandths ...int) []int {
	result := make([]int, 0, len(thousandths))
	seen := 0
	for _, wait := range slices.Sorted(maps.Keys(a.waits)) {
		seen += a.waits[wait]
		for len(result) < len(thousandths) {
			// In whole numbers, since 0.999 * 1000 is not 999 in floats.
			rank := (a.records*thousandths[len(result)] + 999) / 1000
			if seen < rank {
				break
			}
			result = append(result, wait)
		}
	}
	return result
}
