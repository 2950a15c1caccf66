package api

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/words"
	"github.com/sluicehq/sluice/queue/remote"
)

// Explained is the answer to GET /v1/explain: the newest decision in words.
type Explained struct {
	Time        time.Time          `json:"time"`
	Verdict     *Verdict           `json:"verdict,omitempty"` // that of GET /v1/stats
	Text        string             `json:"text"`              // why there are as many analyzers as there are
	WhyNotMore  string             `json:"why_not_more"`
	WhyNotFewer string             `json:"why_not_fewer"`
	Binding     string             `json:"binding"` // what decided: deadline, threshold, cooldown, policy, unknown, or the last clamp's name
	Facts       map[string]float64 `json:"facts"`   // what the policy believed; the unit is in the name
}

func (s *Server) getExplain(w http.ResponseWriter, r *http.Request) {
	st := s.Scaler.Stats()
	if st.LastDecision == nil {
		fail(w, http.StatusNotFound, remote.Error{Message: "nothing was decided yet", Hint: "the first check comes within check_interval"})
		return
	}
	e := explain(st, s.Scaler.Options())
	l, _ := s.live(r.Context(), time.Now()) // an error of the queue is a reason
	e.Verdict = &l.Verdict
	answer(w, http.StatusOK, e)
}

func explain(st autoscale.Stats, o autoscale.Options) Explained {
	d := *st.LastDecision
	e := Explained{Time: d.Time, Binding: binding(st, d), Facts: map[string]float64{}}
	e.Text = fmt.Sprintf("%s: %s", words.Plural(d.NewSize, "analyzer", "analyzers"), d.Reason)
	if d.Explanation != nil {
		for _, f := range d.Explanation.Estimates {
			e.Facts[f.Name] = f.Value
		}
	}
	e.WhyNotMore, e.WhyNotFewer = otherwise(st, d, o)
	return e
}

// binding names what the size hangs on.
func binding(st autoscale.Stats, d autoscale.Decision) string {
	switch n := len(d.Clamps); {
	case !d.DepthKnown:
		return "unknown"
	case n > 0:
		return d.Clamps[n-1].Name
	case st.InCooldown:
		return "cooldown"
	case d.Policy == "threshold":
		return "threshold"
	case d.Policy == "slo":
		return "deadline"
	}
	return "policy"
}

// otherwise says what would have to change for another size. What the policy itself says of it is taken apart; for the others it
// follows from their settings.
func otherwise(st autoscale.Stats, d autoscale.Decision, o autoscale.Options) (more, fewer string) {
	switch {
	case !st.ForcedUntil.IsZero():
		why := fmt.Sprintf("somebody forced the size to %d until %s", st.ForcedSize, st.ForcedUntil.Format(time.TimeOnly+" MST"))
		return why, why
	case st.Paused:
		why := "the autoscaler is paused; sluice scale resume lets it go on"
		return why, why
	case !d.DepthKnown:
		return d.Reason + "; the size stays until it is known", d.Reason + "; unknown is not zero, so nobody leaves"
	}
	if d.Explanation != nil {
		for part := range strings.SplitSeq(d.Explanation.Otherwise, "; ") {
			if aboutFewer(part) {
				fewer = join(fewer, part)
			} else {
				more = join(more, part)
			}
		}
	}
	if d.Policy == "threshold" {
		more, fewer = thresholdOtherwise(st, d, o)
	}
	if d.NewSize >= o.MaxSize && more == "" {
		more = fmt.Sprintf("never more than max size %d", o.MaxSize)
	}
	if d.NewSize <= o.MinSize && fewer == "" {
		fewer = fmt.Sprintf("never fewer than min size %d", o.MinSize)
	}
	if more == "" {
		more = "the policy asked for no more: " + d.Reason
	}
	if fewer == "" {
		fewer = "the policy asked for no fewer: " + d.Reason
	}
	return more, fewer
}

func aboutFewer(part string) bool {
	for _, start := range []string{"one fewer", "never fewer", "nobody leaves", "all stay"} {
		if strings.HasPrefix(part, start) {
			return true
		}
	}
	return false
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

func thresholdOtherwise(st autoscale.Stats, d autoscale.Decision, o autoscale.Options) (more, fewer string) {
	if st.InCooldown {
		why := fmt.Sprintf("cooldown: %s left after the last change", words.Seconds(st.CooldownRemaining.Seconds()))
		return why, why
	}
	if d.NewSize < o.MaxSize {
		more = fmt.Sprintf("%d more at a depth of %d; it is %d", min(o.ScaleUpCount, o.MaxSize-d.NewSize), o.ScaleUpThreshold, d.Depth)
	}
	if d.NewSize > o.MinSize {
		fewer = fmt.Sprintf("%d fewer at a depth of %d or less; it is %d", min(o.ScaleDownCount, d.NewSize-o.MinSize), o.ScaleDownThreshold, d.Depth)
	}
	return more, fewer
}
