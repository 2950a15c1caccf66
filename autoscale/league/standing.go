package league

import "time"

// Standing is how everybody has done so far. Waits and times are in seconds.
type Standing struct {
	Policy        string     `json:"policy"`                 // the one in charge; empty if it does not play
	SLO           float64    `json:"slo_seconds"`            // as the model has it
	CheckInterval float64    `json:"check_interval_seconds"` // as the model has it
	WaitingFor    string     `json:"waiting_for,omitempty"`  // why nothing is scored yet
	Since         *time.Time `json:"since"`                  // the first second that was scored; null while none was
	SinceWhy      string     `json:"since_why,omitempty"`    // why it began anew then; empty where that is the first time
	Rate          float64    `json:"rate_per_worker"`        // records per second that a busy worker completes; 0 while unknown
	Total         Span       `json:"total"`
	LastHour      Span       `json:"last_hour"`
	Policies      []Row      `json:"policies"` // in the order in which they were named
	Real          RealRow    `json:"real"`
}

// Span is a time that is scored, and what had to be done in it.
type Span struct {
	Seconds     int     `json:"seconds"`
	Records     int     `json:"records"`
	UsefulHours float64 `json:"useful_worker_hours"` // what the records need at least
}

// Row is one policy.
type Row struct {
	Policy     string `json:"policy"`
	InCharge   bool   `json:"in_charge"`
	Size       int    `json:"size"`                  // workers that it has now
	DroppedOut string `json:"dropped_out,omitempty"` // why it plays no more; then its total is up to there, and of the last hour it has nothing
	Total      Score  `json:"total"`
	LastHour   Score  `json:"last_hour"`
}

// Score is how a policy did in a span, by the model.
type Score struct {
	WorkerHours float64 `json:"worker_hours"`
	CostRatio   float64 `json:"cost_ratio"` // cost over what the records need; 0 without records
	LateShare   float64 `json:"late_share"` // of the records that were served or wait too long, 0 to 1
	WaitP99     int     `json:"wait_p99_seconds"`
	Reversals   int     `json:"reversals"` // changes of the pool against one at most 300 s before
}

// RealRow is the real pool, as it was measured.
type RealRow struct {
	Size     int       `json:"size"` // workers present, those that start and drain included
	Total    RealScore `json:"total"`
	LastHour RealScore `json:"last_hour"`
}

// RealScore is what the real pool cost in a span, and how late it was. It is measured, while a Score is simulated.
type RealScore struct {
	WorkerHours float64  `json:"worker_hours"`
	CostRatio   float64  `json:"cost_ratio"`
	LateShare   *float64 `json:"late_share"` // of the records that were completed while the SLO was known, 0 to 1; null if there was none
}

// Standing says how everybody has done up to now.
func (l *League) Standing() Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	var hour traffic
	for _, m := range l.minutes {
		hour.add(m)
	}
	st := Standing{
		SLO: WholeSeconds(l.o.SLO).Seconds(), CheckInterval: WholeSeconds(l.o.CheckInterval).Seconds(),
		Rate: l.rate.value(), Total: l.total.span(), LastHour: hour.span(),
		Real: RealRow{Size: l.workers, Total: l.total.real(), LastHour: hour.real()},
	}
	if l.since.IsZero() {
		st.WaitingFor = "the rate of a worker, which shows once some records are done"
		if st.Rate > 0 {
			st.WaitingFor = "the first second by the new settings"
		}
	} else {
		since := l.since.Truncate(time.Second).UTC()
		st.Since, st.SinceWhy = &since, l.why
	}
	for _, p := range l.players {
		r := Row{Policy: p.name, InCharge: p.inCharge, Size: p.size, DroppedOut: p.out}
		r.Total, r.LastHour = p.scores(l.total, hour)
		if p.inCharge {
			st.Policy = p.name
		}
		st.Policies = append(st.Policies, r)
	}
	return st
}

func (t traffic) span() Span {
	return Span{Seconds: t.seconds, Records: t.records, UsefulHours: t.useful / 3600}
}

func (t traffic) real() RealScore {
	r := RealScore{WorkerHours: float64(t.cost) / 3600, CostRatio: t.ratio(t.cost)}
	if t.judged > 0 {
		r.LateShare = new(float64(t.late) / float64(t.judged))
	}
	return r
}
