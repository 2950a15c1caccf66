package autoscale

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// estimate is one of the numbers that the policy believed in, by its name.
func (d Decision) estimate(name string) (float64, bool) {
	if d.Explanation == nil {
		return 0, false
	}
	i := slices.IndexFunc(d.Explanation.Estimates, func(e Estimate) bool { return e.Name == name })
	if i < 0 {
		return 0, false
	}
	return d.Explanation.Estimates[i].Value, true
}

// needsMore tells whether a deadline asked for more workers, also where the policy named no more because there may be none.
func needsMore(d Decision) bool {
	more, ok := d.estimate("needed_workers")
	return ok && more > 0
}

// late is the seconds by which the oldest record that waited was late already; 0 when it was not, or nobody can tell.
func late(d Decision) float64 {
	slo, ok := d.estimate("slo_seconds")
	if !ok || d.Saw == nil {
		return 0
	}
	return max(0, d.Saw.OldestWaitSeconds-slo)
}

// tooLate finds checks at which records were late although the pool was not full.
func (d diagnosis) tooLate() cause {
	rows := d.filter(func(r Decision) bool { return late(r) > 0 && r.Size < d.o.MaxSize && !outsideLimit(r) })
	return cause{
		rows: rows,
		finding: func(n int) Finding {
			worst := slices.MaxFunc(rows, func(a, b Decision) int { return cmp.Compare(late(a), late(b)) })
			lead, _ := worst.estimate("lead_seconds")
			slo, _ := worst.estimate("slo_seconds")
			f := Finding{Answer: fmt.Sprintf("It was, but not in time: records were up to %s late in %d of %d checks; a worker takes %s from the decision until it works, and the slo is %s.",
				asSeconds(late(worst)), n, len(d.rows), asSeconds(lead), asSeconds(slo))}
			if lead*2 >= slo {
				f.Suggested = "workers that start faster, an slo of at least twice what starting takes, or a larger min_size to begin with"
			} else {
				f.Setting, f.Current, f.Suggested = "min_size", fmt.Sprint(d.o.MinSize), fmt.Sprint(max(d.o.MinSize+1, min(worst.Size, d.o.MaxSize)))
			}
			return f
		},
	}
}

// rateUnknown finds checks at which records waited and nobody knew what one worker completes. For less than an SLO that is
// how everything begins.
func (d diagnosis) rateUnknown() cause {
	rows := d.filter(func(r Decision) bool {
		_, isSLO := r.estimate("slo_seconds")
		_, known := r.estimate("rate_per_second")
		return isSLO && !known && r.DepthKnown && r.Depth > 0 && r.Size > 0 && r.Action == ActionHold
	})
	if n := len(rows); n > 0 {
		if slo, _ := rows[n-1].estimate("slo_seconds"); rows[n-1].Time.Sub(rows[0].Time).Seconds() < slo {
			rows = nil
		}
	}
	return cause{
		rows: rows,
		finding: func(n int) Finding {
			return Finding{
				Answer:    fmt.Sprintf("Records waited in %d of %d checks, and none was completed yet: nobody knows what a worker can do.", n, len(d.rows)),
				Suggested: "look at why the workers finish nothing: their last error, or a batch that takes very long",
			}
		},
	}
}

// asSeconds is a duration as people say it.
func asSeconds(s float64) string {
	return spanOf(s).Round(100 * time.Millisecond).String()
}
