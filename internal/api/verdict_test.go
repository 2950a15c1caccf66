package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/internal/slo"
	"github.com/sluicehq/sluice/queue/remote"
)

// healthy is a process that keeps up, with records in flight.
func healthy() Live {
	tracker := slo.New(0.999, time.Time{})
	tracker.SetSLO(10 * time.Second)
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	tracker.Done(now.Add(-time.Second), now, 100_000)
	report := tracker.Report(now)
	return Live{
		Time: now, Rates: Rates{In: 50, Out: 50, Window: 5},
		Stats: Stats{Role: "run", SLO: 10, Waits: &report,
			QueueStats: &QueueStats{Accepted: 1000, Completed: 900, Depth: 80, InFlight: 20, OldestWait: 2, Bytes: 10, LimitBytes: 1000, FreeBytes: 1 << 40, MinFree: 1 << 28},
			Pool:       &analyzer.Stats{Size: 2, Ready: 2, Busy: 2, Analyzers: []analyzer.Row{{ID: "a-1"}}},
			Autoscaler: &autoscale.Stats{Policy: "slo", CurrentSize: 2, MinSize: 1, MaxSize: 4,
				LastDecision: &autoscale.Decision{DepthKnown: true, Depth: 80, Size: 2, NamedSize: 2, NewSize: 2}}},
	}
}

// waits replaces what was measured.
func waits(l *Live, late, inTime int, age time.Duration) {
	tracker := slo.New(0.999, time.Time{})
	tracker.SetSLO(10 * time.Second)
	at := l.Time.Add(-age)
	tracker.Done(at.Add(-time.Minute), at, late)
	tracker.Done(at, at, inTime)
	report := tracker.Report(l.Time)
	l.Waits = &report
}

// distributorOnly takes away what a distributor does not have.
func distributorOnly(l *Live) {
	l.Role, l.Pool, l.Autoscaler, l.Remote = "distributor", nil, nil, &[]remoteAnalyzer{{ID: "a"}}
}

func TestVerdict(t *testing.T) {
	clamp := func(l *Live, size, named int, name string) {
		l.Autoscaler.CurrentSize, l.Autoscaler.LastDecision.NamedSize, l.Autoscaler.LastDecision.NewSize = size, named, size
		l.Autoscaler.LastDecision.Clamps = []autoscale.Clamp{{Name: name, Before: named, After: size}}
	}
	for _, c := range []struct {
		name   string
		change func(l *Live)
		state  string
		check  string // of the first reason; empty for none
		text   string // in it
	}{
		{"all is well", func(*Live) {}, StateOK, "", "nothing to do"},
		{"at max_size while more is wanted", func(l *Live) { clamp(l, 4, 7, autoscale.ClampMaxSize) }, StateWarning, "at_max_size", "at max_size (4), and 3 more would be needed"},
		{"at max_size and more wanted in a dry run", func(l *Live) { clamp(l, 4, 7, autoscale.ClampDryRun) }, StateWarning, "at_max_size", "3 more would be needed"},
		{"at max_size, and the policy slo estimates that more are needed", func(l *Live) {
			clamp(l, 4, 4, "")
			l.Autoscaler.LastDecision.Explanation = &autoscale.Explanation{Estimates: []autoscale.Estimate{{Name: "needed_workers", Value: 1.2}}}
		}, StateWarning, "at_max_size", "2 more would be needed"},
		{"at max_size and behind", func(l *Live) { l.Autoscaler.CurrentSize, l.OldestWait = 4, 11 }, StateWarning, "at_max_size", "does not keep up"},
		{"at max_size and enough", func(l *Live) { clamp(l, 4, 4, "") }, StateOK, "", "nothing to do"},
		{"below max_size, more on the way", func(l *Live) { clamp(l, 3, 4, autoscale.ClampCooldown) }, StateOK, "", "nothing to do"},
		{"the worker-hours hold it back", func(l *Live) { clamp(l, 2, 3, autoscale.ClampBudget) }, StateWarning, "budget", "allow 2 analyzers, and 3 are wanted"},
		{"more would not help", func(l *Live) { clamp(l, 2, 3, autoscale.ClampGovernor) }, StateWarning, "governor", "more analyzers than 2 bring no more"},
		{"behind", func(l *Live) { l.OldestWait = 11 }, StateWarning, "behind", "more than the SLO of 10s"},
		{"stalled", func(l *Live) { l.OldestWait, l.Rates.Out = 11, 0 }, StateProblem, "stalled", "nothing is being done"},
		{"the handler fails", func(l *Live) { l.Rates.Failed = 3 }, StateWarning, "failing", "3 records/s fail in the handler"},
		{"the handler failed a moment ago", func(l *Live) {
			l.Pool.Analyzers[0].LastError, l.Pool.Analyzers[0].LastErrorAt = "no \x1b[2Jdatabase", l.Time.Add(-40*time.Second)
		}, StateWarning, "failing", `the handler failed 40s ago: "no \x1b[2Jdatabase"`},
		{"the handler failed an hour ago", func(l *Live) {
			l.Pool.Analyzers[0].LastError, l.Pool.Analyzers[0].LastErrorAt = "no database", l.Time.Add(-time.Hour)
		}, StateOK, "", "nothing to do"},
		{"analyzers elsewhere fail", func(l *Live) { distributorOnly(l); l.Rates.TriedAgain = 0.2 }, StateWarning, "tried_again", "0.2 batches/s are tried again"},
		{"a distributor that does well", distributorOnly, StateOK, "", "nothing to do"},
		{"a distributor without analyzers", func(l *Live) { distributorOnly(l); l.Remote = &[]remoteAnalyzer{} }, StateWarning, "no_analyzers", "80 records wait, and no analyzer"},
		{"one dead letter", func(l *Live) { l.Dead, l.Depth = 1, 79 }, StateWarning, "dead_letters", "1 record wait"},
		{"many dead letters", func(l *Live) { l.Dead, l.Accepted = 12345, 13345 }, StateWarning, "dead_letters", "12,345 records wait"},
		{"lost records", func(l *Live) { l.Lost, l.Depth = 5, 75 }, StateWarning, "lost", "5 records were lost"},
		{"the account is open", func(l *Live) { l.Depth = 79 }, StateProblem, "account_open", "off by 1 records"},
		{"low disk", func(l *Live) { l.FreeBytes = 3 << 28 }, StateWarning, "disk", "768.0 MiB are free"},
		{"full disk", func(l *Live) { l.FreeBytes = 1<<28 - 1 }, StateProblem, "disk", "records are pushed back"},
		{"full disk where nobody looks", func(l *Live) { l.FreeBytes, l.MinFree = 0, 0 }, StateProblem, "disk", "0 B are free"},
		{"free space unknown", func(l *Live) { l.FreeBytes = -1 }, StateOK, "", "nothing to do"},
		{"nearly full queue", func(l *Live) { l.Bytes = 900 }, StateWarning, "queue_full", "90 % full"},
		{"pushing back", func(l *Live) { l.Rates.PushedBack = 1500.4 }, StateWarning, "pushed_back", "1,500 requests/s"},
		{"read-only folder", func(l *Live) { l.Problem = "storing failed: read-only file system" }, StateProblem, "not_storing", "read-only file system"},
		{"the queue cannot be read", func(l *Live) { l.QueueStats, l.QueueError = nil, "no answer" }, StateUnknown, "queue_unreadable", "no answer"},
		{"the depth is unknown", func(l *Live) { l.Autoscaler.LastDecision = &autoscale.Decision{Reason: "depth unknown: no answer"} }, StateUnknown, "depth_unknown", "no answer"},
		{"a pool that has not looked yet", func(l *Live) { l.QueueStats, l.Autoscaler.LastDecision = nil, nil }, StateUnknown, "depth_unknown", "not looked yet"},
		{"a pool without work", func(l *Live) { l.QueueStats, l.Pool.LeaseError = nil, "refused" }, StateProblem, "cut_off", "refused"},
		{"a hostile distributor", func(l *Live) {
			l.QueueStats, l.Pool.LeaseError = nil, "\x1b[2J\r\n\u009b31m\u202e\xff"+strings.Repeat("x", 1<<20)
		}, StateProblem, "cut_off", `no work can be had: \x1b[2J\r\n\u009b31m\u202e`},
		{"stuck", func(l *Live) { l.Pool.Stuck = 2 }, StateWarning, "stuck", "2 analyzers have been stuck"},
		{"one stuck", func(l *Live) { l.Pool.Stuck = 1 }, StateWarning, "stuck", "1 analyzer has been stuck"},
		{"abandoned calls", func(l *Live) { l.Pool.Abandoned = 1 }, StateWarning, "abandoned_calls", "1 call of the handler"},
		{"dry run", func(l *Live) { l.Autoscaler.DryRun = true }, StateWarning, "dry_run", "decides and does not act"},
		{"paused", func(l *Live) { l.Autoscaler.Paused = true }, StateWarning, "paused", "paused"},
		{"forced", func(l *Live) { l.Autoscaler.ForcedSize, l.Autoscaler.ForcedUntil = 7, l.Time }, StateOK, "forced", "forced to 7 until 12:00:00 UTC"},
		{"paused with an empty pool", func(l *Live) { l.Autoscaler.Paused, l.Autoscaler.CurrentSize = true, 0 }, StateProblem, "empty_on_purpose", "80 records wait and there is no analyzer: the autoscaler is paused"},
		{"a dry run with an empty pool", func(l *Live) { l.Autoscaler.DryRun, l.Autoscaler.CurrentSize = true, 0 }, StateProblem, "empty_on_purpose", "there is no analyzer: the autoscaler only decides"},
		{"an empty pool that will grow", func(l *Live) { l.Autoscaler.CurrentSize = 0 }, StateOK, "", "nothing to do"},
		{"a batch that takes too long", func(l *Live) {
			l.Autoscaler.LastDecision.Explanation = &autoscale.Explanation{Estimates: []autoscale.Estimate{{Name: "slo_seconds", Value: 10}, {Name: "service_seconds", Value: 12}}}
		}, StateWarning, "too_long", "takes 12s, longer than the slo of 10s: no size of the pool keeps it"},
		{"handed back again and again", func(l *Live) { l.Returning = 2 }, StateWarning, "handed_back", "2 batches were handed back again and again"},
		{"stopping", func(l *Live) { l.NotReady = "stopping" }, StateWarning, "not_ready", "takes no records: stopping"},
		{"the SLO was missed within the hour", func(l *Live) { waits(l, 12, 988, 50*time.Minute) }, StateWarning, "slo_missed",
			"in the last hour 1.2 % of records were late: 12 of 1,000 (budget 0.1 %)"},
		{"a few were late", func(l *Live) { waits(l, 1, 9999, 0) }, StateOK, "slo_missed", "0.01 % of records were late: 1 of 10,000"},
		{"exactly the budget", func(l *Live) { waits(l, 1, 999, 0) }, StateOK, "slo_missed", "0.1 % of records"},
		{"the SLO was missed today", func(l *Live) { waits(l, 12, 988, 5*time.Hour) }, StateOK, "error_budget", "in the last 24 hours 1.2 % of records"},
		{"the SLO was missed this week", func(l *Live) { waits(l, 12, 988, 50*time.Hour) }, StateOK, "error_budget", "in the last 7 days 1.2 % of records"},
		{"the SLO was missed within the hour alone", func(l *Live) { waits(l, 12, 988, 0); l.Autoscaler.Paused = true }, StateWarning, "slo_missed", "hour"},
		{"nobody knows the SLO", func(l *Live) { r := slo.New(0.999, l.Time).Report(l.Time); l.SLO, l.Waits = 0, &r }, StateOK, "", "nothing to do"},
		{"nobody measures", func(l *Live) { l.Waits = nil }, StateOK, "", "nothing to do"},

		{"a problem before a warning", func(l *Live) { l.Autoscaler.DryRun, l.FreeBytes = true, 1 }, StateProblem, "disk", "pushed back"},
		{"a problem before unknown", func(l *Live) {
			l.Problem, l.Autoscaler.LastDecision = "no space", &autoscale.Decision{Reason: "depth unknown"}
		}, StateProblem, "not_storing", "no space"},
		{"unknown before a warning", func(l *Live) {
			l.Dead, l.Depth, l.Autoscaler.LastDecision = 1, 79, &autoscale.Decision{Reason: "depth unknown"}
		}, StateUnknown, "depth_unknown", "unknown"},
		{"a warning before a note", func(l *Live) { waits(l, 1, 9999, 0); l.Autoscaler.Paused = true }, StateWarning, "paused", "paused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := healthy()
			c.change(&l)
			l.Judge()
			v := l.Verdict
			if v.State != c.state || !strings.Contains(v.Text, c.text) || (len(v.Reasons) == 0) != (c.check == "") {
				t.Fatalf("%+v, want %s with %q", v, c.state, c.text)
			}
			for i, r := range v.Reasons {
				if i > 0 && severity(r.State) > severity(v.Reasons[i-1].State) || severity(r.State) < 0 || r.Text == "" || len(r.Text) > 4*maxReason || strings.ContainsAny(r.Text, "\x1b\n") {
					t.Errorf("reason %d is %+v after %+v, want the worst first, and plain text", i, r, v.Reasons)
				}
				if r.State != StateOK && r.Check != "not_ready" && r.Do == "" {
					t.Errorf("%+v says nothing of what to do", r)
				}
			}
			if c.check != "" && (v.Reasons[0].Check != c.check || v.Reasons[0].Text != v.Text) {
				t.Errorf("the first reason is %+v, want that of %s", v.Reasons[0], c.check)
			}
		})
	}
}

// TestEveryCheckHasAName: names are labels of metrics.
func TestEveryCheckHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range checks {
		if c.name == "" || seen[c.name] || strings.ContainsAny(c.name, " -") {
			t.Errorf("check %q: want a name of its own", c.name)
		}
		seen[c.name] = true
	}
	l := healthy()
	l.Judge()
	if len(l.Verdict.Reasons) != 0 {
		t.Errorf("%+v of a healthy process, want no reason", l.Verdict)
	}
}

// TestOneVerdict: statistics, the stream, the explanation and the metrics say the same.
func TestOneVerdict(t *testing.T) {
	url, q, s := start(t, distributor.Options{})
	tracker := slo.New(0.999, time.Now())
	s.Waits = func() *slo.Report { return new(tracker.Report(time.Now())) }
	tracker.SetSLO(time.Second)
	tracker.Done(time.Now().Add(-time.Minute), time.Now(), 12)
	tracker.Done(time.Now(), time.Now(), 988)

	v := &viewer{events: make(chan []byte, 8)}
	s.feed.join(v, time.Now())
	compare := func(want string) {
		t.Helper()
		s.feed.look(t.Context(), time.Now())
		var told Live
		for told.Verdict.State == "" {
			event := string(<-v.events)
			if text, ok := strings.CutPrefix(event, "event: stats\ndata: "); ok {
				if err := json.Unmarshal([]byte(text), &told); err != nil {
					t.Fatal(err)
				}
			}
		}
		if told.Verdict.State != want {
			t.Errorf("the stream says %+v, want %s", told.Verdict, want)
		}
		status, body, _ := call(t, "GET", url+"/v1/stats", "", "")
		var asked Live
		if status == http.StatusOK {
			if err := json.Unmarshal([]byte(body), &asked); err != nil {
				t.Fatal(err)
			}
			if asked.Verdict.State != told.Verdict.State || asked.Verdict.Text != told.Verdict.Text || len(asked.Verdict.Reasons) != len(told.Verdict.Reasons) {
				t.Errorf("GET /v1/stats says %+v, the stream %+v", asked.Verdict, told.Verdict)
			}
		}
		_, metrics, _ := call(t, "GET", url+"/metrics", "", "")
		metrics += "\n" // call trims it
		for _, state := range States {
			line := `sluice_verdict{state="` + state + `"} 0`
			if state == want {
				line = `sluice_verdict{state="` + state + `"} 1`
			}
			if !strings.Contains(metrics, line+"\n") {
				t.Errorf("the metrics lack %s", line)
			}
		}
		for _, c := range checks {
			line := `sluice_verdict_reason{check="` + c.name + `"} 0`
			if slices.ContainsFunc(told.Verdict.Reasons, func(r Reason) bool { return r.Check == c.name && r.State != StateOK }) {
				line = `sluice_verdict_reason{check="` + c.name + `"} 1`
			}
			if !strings.Contains(metrics, line+"\n") {
				t.Errorf("the metrics lack %s", line)
			}
		}
	}
	compare(StateWarning)
	q.sick = errors.New("no answer")
	compare(StateUnknown)
	if status, body, _ := call(t, "GET", url+"/v1/stats", "", ""); status == http.StatusOK || !strings.Contains(body, "no answer") {
		t.Errorf("GET /v1/stats: %d %s, want an error", status, body)
	}
}

// TestMetricsOfWaits: late records to the record, and no count of them while the SLO is unknown.
func TestMetricsOfWaits(t *testing.T) {
	url, _, s := start(t, distributor.Options{})
	tracker := slo.New(0.999, time.Now())
	s.Waits = func() *slo.Report { return new(tracker.Report(time.Now())) }
	now := time.Now()
	tracker.Done(now.Add(-7*time.Second), now, 5)
	_, text, _ := call(t, "GET", url+"/metrics", "", "")
	if strings.Contains(text, "late_records") || strings.Contains(text, "sluice_queue_slo_seconds") || !strings.Contains(text, "sluice_queue_wait_seconds_count 5\n") {
		t.Errorf("without an SLO: %s; want 5 waits, and no late records", grep(text, "sluice_queue_"))
	}
	tracker.SetSLO(7 * time.Second)
	tracker.Done(now.Add(-7*time.Second), now, 300)
	tracker.Done(now.Add(-7*time.Second-1), now, 20)
	tracker.Dead(now, 4)
	_, text, _ = call(t, "GET", url+"/metrics", "", "")
	for _, want := range []string{"sluice_queue_late_records_total 20", "sluice_queue_judged_records_total 320", "sluice_queue_slo_seconds 7",
		"sluice_queue_slo_budget_ratio 0.001", "sluice_queue_dead_lettered_records_total 4", `sluice_queue_wait_seconds_bucket{le="5"} 0`,
		`sluice_queue_wait_seconds_bucket{le="10"} 325`, `sluice_queue_wait_seconds_bucket{le="+Inf"} 325`, "sluice_queue_wait_seconds_count 325"} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics lack %q: %s", want, grep(text, "sluice_queue_"))
		}
	}
}

func grep(text, what string) (lines []string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestStatsInto: a pool reads from the same answer what its distributor says of waits.
func TestStatsInto(t *testing.T) {
	url, _, s := start(t, distributor.Options{})
	tracker := slo.New(0.99, time.Now())
	tracker.SetSLO(time.Second)
	tracker.Done(time.Now().Add(-time.Minute), time.Now(), 12)
	s.Waits = func() *slo.Report { return new(tracker.Report(time.Now())) }
	c, err := remote.NewClient(url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var said struct {
		Waits *slo.Report `json:"waits"`
	}
	if _, err := c.StatsInto(context.Background(), &said); err != nil || said.Waits == nil || *said.Waits.Late != 12 || said.Waits.Target != 0.99 || *said.Waits.Windows[0].LateShare != 1 {
		t.Errorf("%+v, %v; want 12 late records, all of them", said.Waits, err)
	}
}
