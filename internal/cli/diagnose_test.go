package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/queue/remote"
)

// recordedServer has recorded so many seconds of arrivals, in which every other minute is busy.
func recordedServer(t *testing.T, length int) *remote.Client {
	t.Helper()
	const step = 5
	var rows [][]int64
	for at := int64(0); at < int64(length); at += step {
		n := int64(10)
		if at/60%2 == 1 {
			n = 400
		}
		rows = append(rows, []int64{1_700_000_000 + at, n})
	}
	answers := map[string]any{
		"/v1/series":              map[string]any{"step_seconds": step, "columns": []string{"time", "in_records"}, "rows": rows},
		"/v1/stats":               json.RawMessage(`{"pool":{"records":1000,"service_seconds":100,"analyzers":[{"slots":1}]}}`),
		"/v1/autoscaler/settings": json.RawMessage(`{"policy":"threshold","settings":{"slo_seconds":30}}`),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(answers[r.URL.Path])
	}))
	t.Cleanup(server.Close)
	cl, err := remote.NewClient(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// TestADiagnosisIsTunedOnWhatWasRecorded replaces the recommended change by what tune finds, where there is enough to go by.
func TestADiagnosisIsTunedOnWhatWasRecorded(t *testing.T) {
	settings := api.ScalerSettings{Policy: "threshold", MinSize: 1, MaxSize: 20, ScaleUpThreshold: 50, ScaleDownThreshold: 10,
		CheckInterval: 10, Cooldown: 30, ScaleUpCount: 2, ScaleDownCount: 1}
	finding := autoscale.Finding{Question: autoscale.QuestionNotUp, Problem: true, Setting: "scale_up_count", Current: "2", Suggested: "4"}
	other := autoscale.Finding{Question: autoscale.QuestionTooMuch, Problem: true}
	for name, test := range map[string]struct {
		length int
		policy string
		tuned  bool
	}{
		"half an hour": {1800, "threshold", true},
		"five minutes": {300, "threshold", false},
		"slo":          {1800, "slo", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings
			s.Policy = test.policy
			findings := []autoscale.Finding{other, finding}
			tuned(t.Context(), &server{recordedServer(t, test.length), false}, findings, s)
			got := findings[1]
			if !test.tuned {
				if fmt.Sprint(got) != fmt.Sprint(finding) {
					t.Errorf("%+v, want it as it was", got)
				}
				return
			}
			names, then := strings.Split(got.Setting, ", "), strings.Split(got.Suggested, ", ")
			if len(names) != 5 || len(then) != 5 || len(strings.Split(got.Current, ", ")) != 5 || len(got.Evidence) != 1 || !strings.Contains(got.Evidence[0], "tuned on the last 30m of arrivals") {
				t.Errorf("%+v, want all settings of threshold, tuned together", got)
			}
			if fmt.Sprint(findings[0]) != fmt.Sprint(other) {
				t.Errorf("%+v, want no second recommendation", findings[0])
			}
		})
	}
}
