package analyzer

import "time"

// What is usual is known once the pool has finished some batches. An analyzer is stuck with a batch that takes many times
// what as many records usually take, and slow if its records take clearly longer than those of all together.
const (
	paceBatches = 10               // batches that have to be finished before anything is called usual
	stuckFactor = 20               // times what is usual
	stuckLeast  = 10 * time.Second // and never before
	slowShare   = 0.7              // of the rate of all
	slowBusy    = 5 * time.Second  // of work before a rate is believed
)

// usual is the time that a record takes in this pool; zero while nobody knows. The caller holds p.mu, as for all below.
func (p *Pool) usual() time.Duration {
	n := p.totals.Records + p.totals.FailedRecords
	if p.totals.Batches+p.totals.FailedBatches < paceBatches || n == 0 {
		return 0
	}
	return p.busy / time.Duration(n)
}

// isStuck tells whether the analyzer has had a batch in hand for far too long.
func (p *Pool) isStuck(w *worker, now time.Time) bool {
	usual := p.usual()
	if usual == 0 {
		return false
	}
	for h := range w.hands {
		if now.Sub(h.since) > max(stuckLeast, stuckFactor*usual*time.Duration(h.lease.Batch.Len())) {
			return true
		}
	}
	return false
}

// isSlow tells whether the analyzer gets clearly less done than the others while it works.
func (p *Pool) isSlow(w *worker) bool {
	usual := p.usual()
	n := w.totals.Records + w.totals.FailedRecords
	if usual == 0 || w.busy < slowBusy || n == 0 {
		return false
	}
	return float64(usual) < slowShare*float64(w.busy/time.Duration(n))
}
