package analyzer

import "time"

// The states of an analyzer.
const (
	StateStarting = "starting" // has not asked for work yet
	StateIdle     = "idle"     // waits for work
	StateBusy     = "busy"     // has a batch in hand
	StateStuck    = "stuck"    // has had a batch in hand for far longer than is usual
	StateDraining = "draining" // finishes what it has in hand, then leaves
)

// Stats is a snapshot of a pool.
type Stats struct {
	Size       int    `json:"size"`                  // Ready + Starting
	Ready      int    `json:"ready"`                 // idle, busy or stuck
	Stuck      int    `json:"stuck"`                 // the part of Ready that is
	Starting   int    `json:"starting"`              // about to ask for work
	Draining   int    `json:"draining"`              // on their way out, not part of Size
	Busy       int    `json:"busy"`                  // with a batch in hand, those that drain included
	InHand     int    `json:"records_in_hand"`       // of all batches in hand
	LeaseError string `json:"lease_error,omitempty"` // why asking for work fails at present; empty while it works
	// Abandoned is how many calls of the handler still run although the pool let go of their batch.
	Abandoned int   `json:"abandoned"`
	Totals          // of all analyzers, those that left included
	Analyzers []Row `json:"analyzers"` // who is there, the oldest first
}

// Totals add up since the pool was made and never go backwards. Every batch that was leased and is not in hand any more
// is counted once, under Batches, FailedBatches, HandedBack or Late.
type Totals struct {
	Batches       int64 `json:"batches"`        // acknowledged, perhaps but for some records
	Records       int64 `json:"records"`        // done
	Bytes         int64 `json:"bytes"`          // of the batches acknowledged
	FailedBatches int64 `json:"failed_batches"` // handed back as failed; each attempt counts
	FailedRecords int64 `json:"failed_records"` // of failed batches, and those that failed alone; each attempt counts
	HandedBack    int64 `json:"handed_back_batches"`
	// Late is how many batches the pool lost: the lease ended before the queue could be told how it went. Some of them
	// may be done all the same, where only the queue's answer was lost.
	Late   int64 `json:"late_batches"`
	Panics int64 `json:"panics"` // of the handler
	// BusySeconds is the time that batches spent in hand, added up over all slots, present ones up to now.
	BusySeconds float64 `json:"busy_seconds"`
	// ServiceSeconds is the part of it that the acknowledged batches took, so that Records / ServiceSeconds is the rate of
	// a slot.
	ServiceSeconds float64 `json:"service_seconds"`
}

// Row is one analyzer that is present.
type Row struct {
	ID          string    `json:"id"`
	State       string    `json:"state"`
	Slots       int       `json:"slots"`
	InHand      int       `json:"in_hand"`         // batches
	Batches     int64     `json:"batches"`         // acknowledged
	Records     int64     `json:"records"`         // done
	Failed      int64     `json:"failed_batches"`  // handed back as failed
	BusySeconds float64   `json:"busy_seconds"`    // as in Totals
	Service     float64   `json:"service_seconds"` // as in Totals
	StateSince  time.Time `json:"state_since"`     // since when it is in its state; busy and stuck: since it got the oldest batch in hand
	Since       time.Time `json:"since"`           // when it was started
	P50         float64   `json:"p50_seconds"`     // half of its last batches took no longer; 0 before the first
	P99         float64   `json:"p99_seconds"`     // and 99 % of them
	Restarts    int64     `json:"restarts"`        // times that its handler panicked and it went on
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_time,omitzero"`
}

// add counts a batch that is not in hand any more, but for its time.
func (t *Totals) add(o Totals) {
	t.Batches += o.Batches
	t.Records += o.Records
	t.Bytes += o.Bytes
	t.FailedBatches += o.FailedBatches
	t.FailedRecords += o.FailedRecords
	t.HandedBack += o.HandedBack
	t.Late += o.Late
	t.Panics += o.Panics
	t.ServiceSeconds += o.ServiceSeconds
}

// Stats returns a snapshot.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	s := Stats{Size: p.size, LeaseError: p.leaseError, Abandoned: p.abandoned, Totals: p.totals, Analyzers: []Row{}}
	if p.state == poolNew {
		s.Starting = p.size
	}
	busy := p.busy
	for _, w := range p.workers {
		for h := range w.hands {
			s.InHand += h.lease.Batch.Len()
		}
		row := p.row(w, now)
		s.Analyzers = append(s.Analyzers, row)
		busy += w.busyUntil(now) - w.busy
		switch row.State {
		case StateDraining:
			s.Draining++
		case StateStarting:
			s.Starting++
		case StateStuck:
			s.Stuck++
			s.Ready++
		default:
			s.Ready++
		}
		if row.InHand > 0 {
			s.Busy++
		}
	}
	s.BusySeconds = busy.Seconds()
	return s
}

func (p *Pool) row(w *worker, now time.Time) Row {
	row := Row{
		ID: w.id, State: StateIdle, Slots: p.o.Slots, InHand: len(w.hands),
		Batches: w.totals.Batches, Records: w.totals.Records, Failed: w.totals.FailedBatches,
		BusySeconds: w.busyUntil(now).Seconds(), Service: w.totals.ServiceSeconds, Since: w.since,
		Restarts: w.totals.Panics, LastError: w.lastError, LastErrorAt: w.lastErrorAt,
	}
	row.P50, row.P99 = w.took.quantiles(now)
	switch {
	case w.draining:
		row.State = StateDraining
	case p.isStuck(w, now):
		row.State = StateStuck
	case len(w.hands) > 0:
		row.State = StateBusy
	case !w.ready:
		row.State = StateStarting
	}
	row.StateSince = w.changed
	if row.State == StateBusy || row.State == StateStuck {
		row.StateSince = now
		for h := range w.hands {
			if h.since.Before(row.StateSince) {
				row.StateSince = h.since
			}
		}
	}
	return row
}

// Resumed says that the process stood still for so long, up to about now: stopped, or on a machine that was suspended. Batches that
// are in hand did not take that time.
func (p *Pool) Resumed(stood time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, w := range p.workers {
		for h := range w.hands {
			if h.since = h.since.Add(max(stood, 0)); h.since.After(now) {
				h.since = now
			}
		}
	}
}

// busyUntil is the time that batches spent in hand, those in hand now included.
func (w *worker) busyUntil(now time.Time) time.Duration {
	busy := w.busy
	for h := range w.hands {
		busy += now.Sub(h.since)
	}
	return busy
}
