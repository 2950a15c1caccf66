package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/slo"
)

// TestWaitsAreWrittenWhileItRuns: a process that is killed forgets a few seconds.
func TestWaitsAreWrittenWhileItRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slo.json")
	kept := func() int64 {
		if _, err := os.Stat(path); err != nil {
			return 0
		}
		k := slo.New(0.999, time.Now())
		k.Keep(path, time.Now(), slog.New(slog.NewTextHandler(t.Output(), nil)))
		return k.Report(time.Now()).Windows[0].Done
	}
	synctest.Test(t, func(t *testing.T) {
		a := &App{waits: slo.New(0.999, time.Now())}
		a.waits.Keep(path, time.Now(), slog.New(slog.DiscardHandler))
		stop := a.keepWaits()
		a.waits.Done(time.Now(), time.Now(), 3)
		pass(slo.SaveEvery)
		if got := kept(); got != 3 {
			t.Errorf("%d records are kept after %v, want 3", got, slo.SaveEvery)
		}
		a.waits.Done(time.Now(), time.Now(), 4)
		stop()
		if got := kept(); got != 7 {
			t.Errorf("%d records are kept at the end, want 7", got)
		}
	})
}

// TestWaitsOfADistributorThatIsAway: an old report is no report.
func TestWaitsOfADistributorThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &App{}
		if a.report() != nil {
			t.Error("something is known before the distributor was asked")
		}
		r := slo.New(0.999, time.Now()).Report(time.Now())
		a.far.last.Store(&farReport{&r, time.Now()})
		pass(farGood - time.Second)
		if a.report() != &r {
			t.Error("a report that is good is not used")
		}
		pass(2 * time.Second)
		if a.report() != nil {
			t.Error("a report that is too old is used")
		}
	})
}

func TestWhichSLOIsKnown(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy config.PolicyConfig
		want   time.Duration
	}{
		{"slo", config.PolicyConfig{Name: "slo", SLO: 30 * time.Second}, 30 * time.Second},
		{"another policy, nobody set it", config.PolicyConfig{Name: "threshold", SLO: 30 * time.Second}, 0},
		{"another policy, and it was set", config.PolicyConfig{Name: "hpa", SLO: 5 * time.Second, SLOGiven: true}, 5 * time.Second},
		{"a distributor", config.PolicyConfig{Name: "threshold"}, 0},
	} {
		if got := sloOf(&config.Config{Policy: c.policy}); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
