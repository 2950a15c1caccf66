package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/emitter"
)

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		name        string
		account     emitter.Account
		interrupted bool
		ok, failed  bool
		verdict     string
	}{
		{"all is well", emitter.Account{Sent: 10, Acknowledged: 10, Analyzed: 10, Complete: true}, false, true, false,
			"nothing was lost, nothing was analyzed twice"},
		{"some twice", emitter.Account{Sent: 10, Acknowledged: 10, Analyzed: 10, Twice: 2, Complete: true}, false, true, false,
			"emitted = accepted = analyzed: nothing was lost. What was"},
		{"lost", emitter.Account{Sent: 10, Acknowledged: 10, Analyzed: 9, Lost: 1, Complete: true}, false, false, true,
			"does not add up: 1 accepted records are LOST"},
		{"dead", emitter.Account{Sent: 10, Acknowledged: 10, Analyzed: 8, Dead: 2, Complete: true}, false, false, true,
			"does not add up: 2 records are in the dead letters"},
		{"not accepted", emitter.Account{Sent: 10, Acknowledged: 9, Analyzed: 9, Complete: true}, false, false, true,
			"does not add up: of 10 emitted records 9 were accepted"},
		{"out of time", emitter.Account{Sent: 10, Acknowledged: 10, Analyzed: 4, Unfinished: 6}, false, false, true,
			"does not add up: 6 accepted records are neither"},
		{"interrupted", emitter.Account{Sent: 10, Acknowledged: 10, Analyzed: 4, Unfinished: 6}, true, false, false,
			"Interrupted. So far nothing was lost."},
		{"interrupted, and lost", emitter.Account{Sent: 10, Acknowledged: 10, Analyzed: 4, Lost: 6, Complete: true}, true, false, true,
			"6 accepted records are LOST"},
		{"interrupted before it began", emitter.Account{Complete: true}, true, true, false, "Nothing was emitted."},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAccount("test", test.account, test.interrupted, time.Second)
			if a.OK != test.ok || a.Failed() != test.failed {
				t.Errorf("OK is %v, Failed is %v, want %v and %v", a.OK, a.Failed(), test.ok, test.failed)
			}
			if got := a.Verdict(); !strings.Contains(got, test.verdict) {
				t.Errorf("verdict %q, want one with %q", got, test.verdict)
			}
		})
	}
}

func TestAccountText(t *testing.T) {
	a := newAccount("test", emitter.Account{Sent: 25500, Acknowledged: 25500, Analyzed: 25500, Twice: 3, Complete: true}, false, time.Minute)
	a.Pool = &PoolStory{StartSize: 2, PeakSize: 10, EndSize: 2, ScaleUps: 4, ScaleDowns: 1, PeakDepth: 2904}
	a.Failure = &FailureStory{Processes: 9, Kills: 5, Held: 10, Redelivered: 1}
	sameLines(t, "account", strings.Split(a.String(), "\n"))
}

func TestPlan(t *testing.T) {
	o := autoscale.DefaultOptions()
	o.CheckInterval, o.Cooldown = time.Second, 3*time.Second
	if got, want := planFor(o, 2, time.Minute), (plan{3 * time.Second, 30 * time.Second, 25 * time.Second}); got != want {
		t.Errorf("compressed settings: %v, want %v", got, want)
	}
	o.Cooldown = 2500 * time.Millisecond // acts at the next check all the same
	if got, want := planFor(o, 2, time.Minute), (plan{3 * time.Second, 30 * time.Second, 25 * time.Second}); got != want {
		t.Errorf("cooldown between two checks: %v, want %v", got, want)
	}
	// 4 steps up of 30s, 8 steps down.
	if got, want := planFor(autoscale.DefaultOptions(), 2, time.Minute), (plan{3 * time.Second, 136 * time.Second, 250 * time.Second}); got != want {
		t.Errorf("default settings: %v, want %v", got, want)
	}
	o.MaxSize = 2 // nowhere to go
	if got, want := planFor(o, 2, time.Minute), (plan{3 * time.Second, 30 * time.Second, time.Second}); got != want {
		t.Errorf("fixed pool: %v, want %v", got, want)
	}
}

func TestPanelRows(t *testing.T) {
	for _, rows := range []int{0, 10, 16, 23, 50, 500} {
		depth, size := panelRows(rows, true)
		if depth < 3 || size < 2 || rows >= 16 && depth+size+5 > rows {
			t.Errorf("%d rows: panels of %d and %d", rows, depth, size)
		}
	}
}
