package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale/league"
)

func TestLeagueInWords(t *testing.T) {
	row := func(name string, hours, late float64) league.Row {
		return league.Row{Policy: name, InCharge: name == "slo", Total: league.Score{WorkerHours: hours, LateShare: late}}
	}
	st := league.Standing{
		Total: league.Span{Records: 1000, Seconds: 60},
		Policies: []league.Row{
			row("slo", 10, 0), row("hpa", 18, 0.031), row("kpa", 10.02, 0), row("static", 11.2, 0.0001), row("celery", 8, 0.5),
			{Policy: "nomad", DroppedOut: "it panicked: help"},
		},
		Real: league.RealRow{Total: league.RealScore{WorkerHours: 10.3}},
	}
	st.Policies[0].Total.CostRatio = 1.02
	want := `hpa would have cost 1.8 times as much and made 3.1 % late.
kpa would have cost as much and made none late.
static would have cost 12 % more and made less than 0.1 % late.
celery would have cost 20 % less and made 50.0 % late.
nomad plays no more: it panicked: help.
* slo is in charge, by the model; its real pool cost 3 % more.
measured is the real pool: how many of its records were late is unknown.
All other rows are simulated.`
	if got := strings.Join(inWords(st), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	st.Real.Total.LateShare = new(0.0123)
	if got, want := inWords(st)[6], "measured is the real pool: 1.2 % of its records were late.\nAll other rows are simulated."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	st.Policies[0].Total.LateShare = 0.002
	if got, want := inWords(st)[0], "hpa would have cost 1.8 times as much and made 3.1 % late instead of 0.2 %."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	st.Policies[0].DroppedOut = "it panicked: me too"
	if got := inWords(st); len(got) != 2 {
		t.Errorf("with nobody in charge: %q, want only who plays no more", got)
	}
}

func TestLeagueFitsATerminal(t *testing.T) {
	since := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	score := league.Score{WorkerHours: 123456.78, CostRatio: 12.345, LateShare: 1, WaitP99: 86400, Reversals: 123456}
	st := league.Standing{
		Since: &since, SLO: 30, Rate: 123456.789,
		SinceWhy: "settings changed: policy threshold -> slo, slo 1m0s -> 30s, min_size 2 -> 4, max_size 10 -> 1000, check_interval 1s -> 2s",
		Total:    league.Span{Records: 1e12, Seconds: 1e7}, LastHour: league.Span{Records: 1e9, Seconds: 3600},
	}
	for _, name := range []string{"threshold", "slo"} {
		st.Policies = append(st.Policies, league.Row{Policy: name, InCharge: name == "slo", Size: 1000, Total: score, LastHour: score})
	}
	var b strings.Builder
	if err := printLeague(&b, st); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if line = strings.TrimSuffix(line, "\n"); len(line) > 80 || strings.HasSuffix(line, " ") {
			t.Errorf("%q is longer than 80 columns, or ends with a space", line)
		}
	}
	if !strings.Contains(b.String(), "\nbegun anew then, settings changed: policy threshold -> slo, ") {
		t.Errorf("it does not say why it began anew:\n%s", b.String())
	}
	t.Logf("\n%s", b.String())
}
