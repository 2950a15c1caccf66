package league

const (
	// fade makes service count half after a minute of work: a rate that drifts is followed, a slow batch is not.
	fade = 0.98851 // 2 to the power of -1/60

	// How much has to be seen before a rate is believed: so many records, or so much service.
	enoughRecords = 100
	enoughService = 1 // worker-seconds

	mostRate  = 1e6 // records per second, what the model takes
	leastRate = 1e-6
)

// rate learns what a worker of the real pool completes per second of service.
type rate struct {
	records, service float64
	known            bool
}

// learn takes what was completed in a second. Idle time says nothing and makes nobody forget.
func (r *rate) learn(completed int, service float64) {
	if !(service > 0 && service < 1e12) || completed <= 0 {
		return
	}
	if r.known {
		r.records, r.service = r.records*fade, r.service*fade
	}
	r.records += float64(completed)
	r.service += service
	r.known = r.known || r.records >= enoughRecords || r.service >= enoughService
}

// value is in records per second; 0 while it is not known.
func (r *rate) value() float64 {
	if !r.known {
		return 0
	}
	return min(max(r.records/r.service, leastRate), mostRate)
}
