package autoscale

import (
	"fmt"
	"time"
)

// sloService is how long a worker takes for what it takes at once, as far as that was measured. Where it is longer than the
// SLO, no size of the pool keeps the SLO.
type sloService struct {
	seconds float64 // 0 while unknown
	what    string  // "one record takes", say
}

// measure looks at the longest of what is known: a record by the rate, what workers lately took, and what they hold now.
func (v *sloService) measure(o Observation, rate float64) {
	*v = sloService{}
	longer := func(seconds float64, what string) {
		if seconds > v.seconds && seconds <= sloMostSeconds {
			*v = sloService{seconds, what}
		}
	}
	if rate > 0 {
		longer(1/rate, "one record takes")
	}
	if v.seconds < o.Service.Seconds() {
		longer(o.Service.Seconds(), "one batch takes")
	}
	for _, w := range o.Workers {
		if (w.State == WorkerBusy || w.State == WorkerStuck) && !w.Since.IsZero() {
			longer(o.Time.Sub(w.Since).Seconds(), "one batch has taken")
		}
	}
}

// tooLong says that a record or a batch takes longer than the SLO; empty where it does not.
func (v sloService) tooLong(slo float64) string {
	if v.seconds <= slo {
		return ""
	}
	return fmt.Sprintf("%s %s, longer than the slo of %s: no size of the pool keeps it", v.what, aboutSeconds(v.seconds), aboutSeconds(slo))
}

// aboutSeconds is a duration to a tenth of a second, or to a millisecond below a second.
func aboutSeconds(s float64) string {
	unit := 100 * time.Millisecond
	if s < 1 {
		unit = time.Millisecond
	}
	return spanOf(s).Round(unit).String()
}

// TooLong says, where the policy knew an SLO, that a record or a batch took longer than it: then no size of the pool can
// keep it. Otherwise it is empty.
func (d Decision) TooLong() string {
	slo, _ := d.estimate("slo_seconds")
	service, ok := d.estimate("service_seconds")
	if !ok || service <= slo {
		return ""
	}
	return sloService{service, "one record or batch takes"}.tooLong(slo)
}

// takesTooLong finds checks at which a record or a batch took longer than the SLO.
func (d diagnosis) takesTooLong() cause {
	rows := d.filter(func(r Decision) bool { return r.TooLong() != "" })
	return cause{
		rows: rows,
		finding: func(n int) Finding {
			last := rows[n-1]
			service, _ := last.estimate("service_seconds")
			return Finding{
				Answer:    fmt.Sprintf("It would not help: %s (%d of %d checks).", last.TooLong(), n, len(d.rows)),
				Suggested: fmt.Sprintf("an slo of more than %s, smaller batches (max_batch_records), or a faster handler", aboutSeconds(service)),
			}
		},
	}
}
