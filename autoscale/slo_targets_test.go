//go:build !race

// Computation alone, which takes ten times as long with the race detector: make test runs it without.

package autoscale_test

import (
	"cmp"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluicehq/sluice/autoscale/simulate"
)

// sloTarget is what the policy has to reach in a class, on average over scenarios and against the bound of each. The whole
// comparison (make compare) plays windows that are eight to sixteen times as long, of all traces, where all figures are
// better; this is a part of it that is quick.
type sloTarget struct {
	window    int     // seconds
	ratio     float64 // cost over the bound
	reversals float64 // per hour
}

var sloTargets = map[string]sloTarget{
	"in-process": {1800, 1.055, 150},
	"process":    {5400, 1.030, 25},
	"pod":        {3 * 3600, 1.060, 5},
}

const (
	sloLate       = 0.001 // share of the records, on average over the scenarios of a class
	sloLateWorst  = 0.005 // and in any single one
	sloLateHarder = 0.003 // on average, with something gone wrong
	sloRatioHard  = 1.10  // cost over the bound, with something gone wrong
	sloUnequal    = 1.42  // the same where the bound supposes that all workers are as fast as the fastest; who is lucky is chance
)

// sloLateOnce is for what goes wrong once, or a few times: who waits at that moment is late, and in a short window that is
// a larger share.
var sloLateOnce = map[string]float64{"pod/rate halves": 0.012, "pod/lost readings": 0.012}

// targetScenarios are recorded and made ones, in windows of the target's length.
func targetScenarios(t *testing.T, class simulate.Class) []simulate.Scenario {
	t.Helper()
	var scenarios []simulate.Scenario
	for file, bin := range map[string]int{"facebook_hadoop.csv": 1, "clarknet_http.csv": 60} {
		f, err := os.Open(filepath.Join("..", "traces", file))
		if err != nil {
			t.Fatal(err)
		}
		trace, err := simulate.ReadTrace(f, simulate.TraceOptions{BinWidth: bin})
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		windows, err := class.Windows(file, trace, 7)
		if err != nil {
			t.Fatal(err)
		}
		scenarios = append(scenarios, windows[0])
	}
	for _, kind := range []string{"bursts", "on-off", "random-walk"} {
		made, err := simulate.Synthetic(kind, class.Window, 7)
		if err != nil {
			t.Fatal(err)
		}
		scenarios = append(scenarios, made)
	}
	return scenarios
}

// sloScore is the figures of a class.
type sloScore struct{ ratio, late, worst, reversals float64 }

func scoreSLO(t *testing.T, class simulate.Class, scenarios []simulate.Scenario, v simulate.Variant) (score sloScore) {
	t.Helper()
	for _, s := range scenarios {
		o := class.Options(s.Rate)
		if v.Apply != nil {
			o = v.Apply(o, s.Trace.Seconds())
		}
		bound, err := simulate.Bound(s.Trace, o)
		if err != nil {
			t.Fatal(err)
		}
		r, err := simulate.Run(s.Trace, sloOf(t, class), o)
		if err != nil {
			t.Fatal(err)
		}
		share := 1 / float64(len(scenarios))
		late := max(0, r.SLOViolations-bound.Late) // what nobody can avoid does not count
		score.ratio += share * float64(r.Cost) / bound.Cost
		score.late += share * late
		score.worst = max(score.worst, late)
		score.reversals += share * float64(r.Reversals) * 3600 / float64(r.Seconds)
		if late > 0.001 {
			t.Logf("%s, %s: %.3f %% late", class.Name, s.Name, 100*late)
		}
	}
	return score
}

// TestSLOTargets: cheap, in time and calm, on traffic of all kinds.
func TestSLOTargets(t *testing.T) {
	for _, class := range simulate.Classes() {
		t.Run(class.Name, func(t *testing.T) {
			t.Parallel()
			target := sloTargets[class.Name]
			class.Window = target.window
			got := scoreSLO(t, class, targetScenarios(t, class), simulate.Variant{})
			t.Logf("ratio %.4f, %.4f %% late, %.3f %% in the worst, %.1f reversals per hour", got.ratio, 100*got.late, 100*got.worst, got.reversals)
			if got.ratio > target.ratio || got.late > sloLate || got.worst > sloLateWorst || got.reversals > target.reversals {
				t.Errorf("want at most %.3f, %.2f %%, %.2f %%, %.1f", target.ratio, 100*sloLate, 100*sloLateWorst, target.reversals)
			}
		})
	}
}

// TestSLOTargetsWhenWorkersFallShort is the same with something gone wrong that nobody tells the policy.
func TestSLOTargetsWhenWorkersFallShort(t *testing.T) {
	for _, class := range simulate.Classes() {
		class.Window = sloTargets[class.Name].window
		scenarios := targetScenarios(t, class)
		scenarios = scenarios[len(scenarios)-3:] // the made ones
		for _, v := range simulate.RobustnessVariants() {
			if v.Name == "slow starts" && 2*class.Startup >= class.SLO {
				continue // no start is in time for anything, so that cost has no limit
			}
			t.Run(class.Name+"/"+v.Name, func(t *testing.T) {
				t.Parallel()
				most := sloRatioHard
				if v.Name == "unequal workers" {
					most = sloUnequal
				}
				late := cmp.Or(sloLateOnce[class.Name+"/"+v.Name], sloLateHarder)
				got := scoreSLO(t, class, scenarios, v)
				t.Logf("ratio %.4f, %.4f %% late, %.1f reversals per hour", got.ratio, 100*got.late, got.reversals)
				if got.ratio > most || got.late > late {
					t.Errorf("want at most %.2f and %.2f %%", most, 100*late)
				}
			})
		}
	}
}
