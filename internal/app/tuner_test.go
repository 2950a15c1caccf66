package app

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale/league"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/history"
)

// running is a whole process of Sluice in this one.
func running(t *testing.T) (*App, string) {
	t.Helper()
	loader := config.NewLoader(config.Groups()...)
	c, err := loader.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Queue.Dir, c.Listen = t.TempDir(), "127.0.0.1:0"
	c.Policy.Name, c.Policy.SLO = "slo", 10*time.Second
	c.Autoscale.CheckInterval = 100 * time.Millisecond
	a, err := New(t.Context(), Options{Role: Run, Config: c, Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a, "http://" + a.Address()
}

func ask(t *testing.T, method, url, body string, into any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%s %s: %v: %s", method, url, err, text)
		}
	}
	return resp.StatusCode
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		if done() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

func TestSettingsAreChangedWhileItRuns(t *testing.T) {
	a, url := running(t)
	settings := url + "/v1/autoscaler/settings"
	var got struct {
		api.Tuning
		Presets  []api.NamedPreset
		Policies []string
		Changed  bool
	}
	if status := ask(t, "GET", settings, "", &got); status != 200 || got.Policy != "slo" || *got.Settings.SLO != 10 || got.Changed || len(got.Presets) != 7 || len(got.Policies) < 8 {
		t.Fatalf("%d %+v", status, got)
	}

	var wrong struct {
		Error    string
		Problems []api.Problem
	}
	status := ask(t, "PUT", settings, `{"policy":"threshold","settings":{"min_size":20,"max_size":3,"scale_up_threshold":5,"scale_down_threshold":9,"cooldown_seconds":-1}}`, &wrong)
	fields := map[string]bool{}
	for _, p := range wrong.Problems {
		fields[p.Field] = p.Message != ""
	}
	if status != 400 || !fields["min_size"] || !fields["scale_down_threshold"] || !fields["cooldown_seconds"] {
		t.Errorf("impossible settings: %d %+v, want 400 with all that is wrong", status, wrong)
	}
	for _, body := range []string{`{"settings":{"min_sise":2}}`, `{"settings":{"min_size":"two"}}`, `[]`} {
		if status := ask(t, "PUT", settings, body, nil); status != 400 {
			t.Errorf("%s: %d, want 400", body, status)
		}
	}
	if status := ask(t, "PUT", settings, `{"policy":"guess"}`, &wrong); status != 400 || !strings.Contains(wrong.Problems[0].Message, "guess") {
		t.Errorf("a policy that is none: %d %+v", status, wrong)
	}

	if status := ask(t, "PUT", settings, `{"settings":{"min_size":4,"slo_seconds":7}}`, &got); status != 200 || *got.Settings.MinSize != 4 || *got.Settings.SLO != 7 || !got.Changed {
		t.Fatalf("%d %+v", status, got)
	}
	if r := a.report(); r.SLO == nil || *r.SLO != 7 {
		t.Errorf("records are judged by %v, want the SLO that was set", r.SLO)
	}
	eventually(t, "four analyzers", func() bool { return a.pool.Size() == 4 })
	eventually(t, "the decision that says so", func() bool {
		for _, d := range a.scaler.Decisions(0) {
			if strings.HasPrefix(d.Reason, "settings changed: slo 10s -> 7s, min_size 2 -> 4; ") {
				return true
			}
		}
		return false
	})
	if status := ask(t, "PUT", settings, `{"policy":"threshold","settings":{"scale_up_threshold":500}}`, &got); status != 200 || got.Policy != "threshold" {
		t.Errorf("%d %+v", status, got)
	}
	eventually(t, "threshold in charge", func() bool { return a.scaler.Stats().Policy == "threshold" })
	if a.tuner.slo() != 0 {
		t.Error("threshold has no SLO")
	}
	if r := a.report(); r.SLO != nil {
		t.Errorf("records are judged by %v although nobody knows an SLO", *r.SLO)
	}
}

// TestTheLeaguePlaysByTheSettingsInUse: bounds, interval, SLO, and who is in charge.
func TestTheLeaguePlaysByTheSettingsInUse(t *testing.T) {
	a, url := running(t)
	settings := url + "/v1/autoscaler/settings"
	standing := func() (st league.Standing) {
		t.Helper()
		if status := ask(t, "GET", url+"/v1/league", "", &st); status != 200 {
			t.Fatalf("GET /v1/league: %d", status)
		}
		return st
	}
	change := func(body string, want int) {
		t.Helper()
		var got struct{ Problems []api.Problem }
		if status := ask(t, "PUT", settings, body, &got); status != want {
			t.Fatalf("PUT %s: %d %+v, want %d", body, status, got.Problems, want)
		}
	}
	step := func() { // what the meter brings each second, with records done
		for range 3 {
			a.league.Step(league.Second{Time: time.Now(), Arrived: 500, Completed: 500, ServiceSeconds: 5, Workers: 2})
		}
	}
	step()
	if st := standing(); st.Policy != "slo" || st.SLO != 10 || st.CheckInterval != 1 || st.Total.Records < 1500 || st.SinceWhy != "" {
		t.Fatalf("before any change: %+v", st)
	}

	change(`{"settings":{"min_size":4,"max_size":6,"slo_seconds":7,"check_interval_seconds":3}}`, 200)
	if st := standing(); st.SLO != 7 || st.CheckInterval != 3 || st.Total.Records >= 500 || st.Rate < 50 {
		t.Errorf("after the change: %+v, want the new rules, nothing scored, and the rate of an analyzer", st)
	}
	step()
	st := standing()
	if want := "settings changed: slo 10s -> 7s, min_size 2 -> 4, max_size 10 -> 6, check_interval 100ms -> 3s"; st.SinceWhy != want || st.Since == nil {
		t.Errorf("since %v: %q, want %q", st.Since, st.SinceWhy, want)
	}
	for _, r := range st.Policies {
		if r.Size < 4 || r.Size > 6 || r.DroppedOut != "" {
			t.Errorf("%+v, want 4 to 6", r)
		}
	}

	change(`{"settings":{"max_size":6}}`, 200)
	change(`{"settings":{"min_size":60}}`, 400)
	if again := standing(); again.Total.Records < st.Total.Records || !again.Since.Equal(*st.Since) {
		t.Errorf("nothing was changed: %+v, was %+v", again.Total, st.Total)
	}

	change(`{"settings":{"max_size":2000000}}`, 400) // more than the model takes, and than a start would take
	if got := a.tuner.Tuning(); *got.Settings.MaxSize != 6 || a.scaler.Options().MaxSize == 2000000 {
		t.Errorf("what the league refused is in use: %+v", got)
	}

	change(`{"policy":"threshold","settings":{"scale_up_threshold":500}}`, 200)
	step()
	st = standing()
	names := map[string]bool{}
	for _, r := range st.Policies {
		names[r.Policy] = true
		if r.InCharge != (r.Policy == "threshold") {
			t.Errorf("%+v, want threshold in charge", r)
		}
	}
	if st.Policy != "threshold" || len(st.Policies) != 4 || !names["slo"] || !strings.HasPrefix(st.SinceWhy, "settings changed: policy slo -> threshold, scale_up_threshold ") {
		t.Errorf("another policy: %+v", st)
	}
}

func TestAPreviewReplaysWhatCame(t *testing.T) {
	a, url := running(t)
	preview := url + "/v1/autoscaler/preview"
	if status := ask(t, "POST", preview, `{"policy":"slo"}`, nil); status != 503 {
		t.Errorf("without arrivals: %d, want 503", status)
	}
	// An hour that needs up to 20 analyzers of 100 records/s, which is what they are taken for before the first record.
	now := time.Now().Unix() / 10 * 10
	for i := range int64(300) {
		in := int64(2000)
		if i%30 < 10 {
			in = 20000
		}
		a.series.Add(history.Point{Time: now - 3000 + i*10, In: in})
	}
	var p api.Preview
	if status := ask(t, "POST", preview, `{"settings":{"max_size":40,"slo_seconds":20}}`, &p); status != 200 {
		t.Fatalf("%d %+v", status, p)
	}
	if p.Now == nil || p.Then == nil || p.Records != 100*20000+200*2000 || p.Note == "" || len(p.Then.Line) < 3 {
		t.Fatalf("%+v", p)
	}
	if p.Now.MaxSize != 10 || p.Then.MaxSize <= 10 || p.Then.Late >= p.Now.Late || p.Then.Late > 0.01 {
		t.Errorf("now %+v\nthen %+v\nwant fewer late with more analyzers", *p.Now, *p.Then)
	}
	if a.pool.Size() > 2 {
		t.Error("a preview moved the pool")
	}
	p = api.Preview{}
	if status := ask(t, "POST", preview, `{"settings":{"max_size":1}}`, &p); status != 200 || len(p.Problems) != 1 || p.Then != nil || p.Now == nil {
		t.Errorf("impossible: %d %+v, want the problem and only now", status, p)
	}
}
