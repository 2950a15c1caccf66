package autoscale

// What a check of the slo policy came to.
const (
	SLOGrow      = "grow"       // a deadline needs more workers
	SLOShrink    = "shrink"     // workers would be idle
	SLOHold      = "hold"       // all is well, or nothing can be done
	SLOLearning  = "learning"   // no record was completed yet, so the rate is unknown
	SLONoReading = "no_reading" // the reading was missing or could not be used; the numbers are from before
)

// SLOExplanation is what the slo policy believed at its last check, for the ledger.
type SLOExplanation struct {
	Status             string  `json:"status"`                 // one of the SLO constants
	Size               int     `json:"size"`                   // workers named
	Reason             string  `json:"reason"`                 // the line of the proposal
	SLOSeconds         float64 `json:"slo_seconds"`            // the goal
	RatePerSecond      float64 `json:"rate_per_second"`        // records that one worker completes per busy second; 0 while unknown
	LeadSeconds        float64 `json:"lead_seconds"`           // from asking for a worker to its first work
	ArrivalsPerSecond  float64 `json:"arrivals_per_second"`    // mean of about a minute
	LoadWorkerSeconds  float64 `json:"load_worker_seconds"`    // work that waits
	MissingWorkers     float64 `json:"missing_workers"`        // ready ones that do not show in what gets done: stuck or slow
	OrderedWorkers     int     `json:"ordered_workers"`        // asked for and not at work yet, before this check
	DeadlineInSeconds  float64 `json:"deadline_in_seconds"`    // the deadline that binds: the one that asks for most, or has least to spare
	DeadlineRecords    float64 `json:"deadline_records"`       // records that have to be done by then
	SlackSeconds       float64 `json:"slack_seconds"`          // least time to spare over all deadlines; negative when late
	StartIfArrivals    float64 `json:"start_if_arrivals_over"` // records per second until the next check above which a start is due then; 0 while unknown
	UnseenFloorWorkers float64 `json:"unseen_floor_workers"`   // workers kept for arrivals that could not wait to be seen; 0 when not needed
	BlindSeconds       float64 `json:"blind_seconds"`          // time since the last usable reading; 0 when this check had one
}

// Explain returns what the policy believed at its last check.
func (s *SLO) Explain() SLOExplanation { return s.explain }

// note writes the estimates of a check down.
func (s *SLO) note(v sloScene, need sloNeed) {
	s.explain = SLOExplanation{
		SLOSeconds: s.slo, RatePerSecond: v.rate, LeadSeconds: v.lead, ArrivalsPerSecond: s.level.perSecond(),
		LoadWorkerSeconds: v.load, MissingWorkers: s.lack.missing, OrderedWorkers: s.orders.total,
		DeadlineInSeconds: need.in, DeadlineRecords: need.records, SlackSeconds: need.slack,
		UnseenFloorWorkers: v.floor,
	}
	spare := s.capacity(v, s.check+s.slo) - v.load
	s.explain.StartIfArrivals = max(0, spare*v.rate/s.check)
}
