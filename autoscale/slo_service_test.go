package autoscale

import (
	"strings"
	"testing"
	"time"
)

// TestSLONamesARecordThatTakesTooLong lets records or batches take longer than the SLO, by what the observer knows of them.
func TestSLONamesARecordThatTakesTooLong(t *testing.T) {
	for name, test := range map[string]struct {
		see  func(o *Observation)
		want string // empty for nothing
	}{
		"records take a second": {func(o *Observation) { o.Completed, o.BusySeconds = 10, 10 }, ""},
		"records take too long": {func(o *Observation) { o.Completed, o.BusySeconds = 1, 12 },
			"one record takes 12s, longer than the slo of 10s: no size of the pool keeps it"},
		"batches take too long": {func(o *Observation) { o.Completed, o.BusySeconds, o.Service = 100, 12, 12*time.Second },
			"one batch takes 12s, longer than the slo of 10s: no size of the pool keeps it"},
		"the first one takes too long": {func(o *Observation) {
			o.Workers = []Worker{{ID: "a", State: WorkerBusy, Since: o.Time.Add(-12 * time.Second)}}
		}, "one batch has taken 12s, longer than the slo of 10s: no size of the pool keeps it"},
		"one is idle for long": {func(o *Observation) {
			o.Completed, o.BusySeconds = 10, 10
			o.Workers = []Worker{{ID: "a", State: WorkerIdle, Since: o.Time.Add(-time.Hour), Completed: 10, BusySeconds: 10}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			slo := newSLO(t, SLOOptions{SLO: 10 * time.Second, CheckInterval: 10 * time.Second})
			var rows []Decision
			for i := range 5 {
				o := Observation{Time: noon.Add(time.Duration(i) * 10 * time.Second), Depth: 5, InFlight: 1, Size: 1, Ready: 1, MinSize: 1, MaxSize: 4}
				test.see(&o)
				d := Decide(slo, o)
				d.Explanation = explain(slo, o)
				rows = append(rows, d)
			}
			last := rows[4]
			if test.want == "" {
				if strings.Contains(last.Reason, "no size") || last.TooLong() != "" {
					t.Errorf("%s; %s", last.Reason, last.TooLong())
				}
				return
			}
			if !strings.HasSuffix(last.Reason, test.want) || !strings.Contains(last.TooLong(), "12s, longer than the slo of 10s") {
				t.Errorf("%q and %q, want them to end with %q", last.Reason, last.TooLong(), test.want)
			}
			f := Diagnose(rows, Options{MinSize: 1, MaxSize: 4, Policy: slo})[0]
			if !f.Problem || !strings.Contains(f.Answer, "12s, longer than the slo of 10s") || !strings.Contains(f.Suggested, "an slo of more than 12s") {
				t.Errorf("%+v, want the diagnosis to name it and what to do", f)
			}
		})
	}
}
