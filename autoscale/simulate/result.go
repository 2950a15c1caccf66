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
	Unserved       int     `json:"unserved"`        // records that still wait at the end, an hour after the trace; late, all of them
}

// account is the running sums of a result.
type account struct {
	slo       time.Duration
	endless   bool    // waits are kept roughly beyond a quarter of an hour
	useful    float64 // worker-seconds of the records that came at earlier rates
	valued    int     // how many records that were
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
	a.waited(wait, count)
	if a.isLate(wait) {
		a.late += count
	}
}

// waited takes note of a wait.
func (a *account) waited(wait, count int) {
	if a.endless {
		wait = roughly(wait)
	}
	a.waits[wait] += count
}

// isLate says whether so long a wait, in seconds, is one.
func (a *account) isLate(wait int) bool { return time.Duration(wait)*time.Second > a.slo }

// result is what happened up to second end. What still waits is late if it has waited longer than the SLO already or,
// with closed books, in any case.
func (m *machine) result(end int, closed bool) Result {
	a := m.account
	a.waits = maps.Clone(a.waits)
	for arrived, count := range m.queue.all() {
		if closed || a.isLate(end-arrived) {
			a.waited(end-arrived, count)
			a.late += count
		}
	}
	r := Result{
		Policy: m.policy.Name(), Seconds: end + 1, Records: a.records,
		Cost: a.cost, Useful: a.useful + float64(a.records-a.valued)/m.options.Rate,
		MaxDepth: a.maxDepth, ScaleUps: a.ups, ScaleDowns: a.downs,
		WorkersStarted: a.started, WorkersStopped: a.stopped, Reversals: a.reversals, Unserved: m.queue.depth,
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
// records with a wait did not exceed.
func (a *account) quantiles(thousandths ...int) []int {
	result := make([]int, 0, len(thousandths))
	seen, all := 0, 0
	for _, count := range a.waits {
		all += count
	}
	for _, wait := range slices.Sorted(maps.Keys(a.waits)) {
		seen += a.waits[wait]
		for len(result) < len(thousandths) {
			// In whole numbers, since 0.999 * 1000 is not 999 in floats.
			rank := (all*thousandths[len(result)] + 999) / 1000
			if seen < rank {
				break
			}
			result = append(result, wait)
		}
	}
	for len(result) < len(thousandths) { // nobody has waited to the end yet
		result = append(result, 0)
	}
	return result
}
