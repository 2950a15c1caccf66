package app

import (
	"context"
	"slices"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// observer shows the autoscaler the queue and the pool. The counters of both only ever grow; it tells by how much since it
// looked last.
type observer struct {
	stats func(context.Context) (queue.Stats, error)
	pool  *analyzer.Pool
	slots int                                    // of each analyzer: one that has all of them filled is busy for a second each second
	share func(context.Context) remote.PoolShare // of the backlog that is this pool's; nil for all of it

	looked   bool
	accepted int64
	arrived  float64 // part of a record that was not told yet
	totals   analyzer.Totals
	workers  map[string]analyzer.Row
}

// othersLate is how long the oldest record may have waited before the others, whose part of the backlog it may be, are not relied on.
const othersLate = 15 * time.Second

// Observe looks at both. It is for one goroutine at a time, as the controller promises.
func (v *observer) Observe(ctx context.Context) (autoscale.Observation, error) {
	q, err := v.stats(ctx)
	if err != nil {
		return autoscale.Observation{}, err
	}
	share := remote.Whole
	if v.share != nil {
		share = v.share(ctx)
	}
	p := v.pool.Stats()
	inFlight := int(q.InFlight)
	if share.Pools > 1 { // what the others have in hand is theirs
		inFlight = p.InHand
	}
	o := autoscale.Observation{
		Depth: share.Of(q.Waiting), InFlight: inFlight, OldestWait: q.OldestWait,
		Ready: p.Ready, Starting: p.Starting, Draining: p.Draining,
		Workers: v.rows(p.Analyzers), Service: service(p.Analyzers),
	}
	if q.Waiting > 0 && q.OldestWait > othersLate { // a pool that takes no work may still have a part, or all of it
		o.Depth = max(o.Depth, 1)
	}
	if v.looked {
		// A queue that was set back, by a fresh data folder for one, counts from the start again: then nobody knows.
		v.arrived += float64(max(0, q.Accepted-v.accepted)) * (share.To - share.From)
		o.Arrived = int(v.arrived)
		v.arrived -= float64(o.Arrived)
		o.Completed = int(p.Records - v.totals.Records)
		o.BusySeconds = (p.ServiceSeconds - v.totals.ServiceSeconds) / float64(v.slots)
	}
	v.looked, v.accepted, v.totals = true, q.Accepted, p.Totals
	return o, nil
}

// service is how long a batch takes: the median over the analyzers that have finished some, of their medians.
func service(rows []analyzer.Row) time.Duration {
	var all []float64
	for _, r := range rows {
		if r.P50 > 0 {
			all = append(all, r.P50)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return seconds.Nearest(all[len(all)/2])
}

// Resumed takes a standstill of the process out of what batches in hand take.
func (v *observer) Resumed(stood time.Duration) { v.pool.Resumed(stood) }

// rows are the analyzers, each with what it did since the last look.
func (v *observer) rows(now []analyzer.Row) []autoscale.Worker {
	before := v.workers
	v.workers = make(map[string]analyzer.Row, len(now))
	workers := make([]autoscale.Worker, 0, len(now))
	for _, r := range now {
		workers = append(workers, autoscale.Worker{
			ID: r.ID, State: r.State, Since: r.StateSince,
			Completed:   int(r.Records - before[r.ID].Records),
			BusySeconds: (r.Service - before[r.ID].Service) / float64(r.Slots),
		})
		v.workers[r.ID] = r
	}
	return workers
}

// localObserver can also be asked between two looks, since its queue is in this process.
type localObserver struct {
	observer
	unfinished func() int64
}

// Peek is how many records are waiting or in flight.
func (v *localObserver) Peek() int { return int(v.unfinished()) }
