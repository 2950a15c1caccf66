package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/api"
)

// taught starts a server whose slo policy has seen how fast its analyzers are: 500 records a second each. It looks every ten
// seconds, so that whatever happens sooner was a wake.
func taught(t *testing.T, args ...string) *process {
	t.Helper()
	server := serve(t, append([]string{"run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "2ms",
		"--slo", "1s", "--max-batch-records", "100", "--min-size", "1", "--max-size", "20", "--check-interval", "3s"}, args...)...)
	for range 10 { // a few batches rather than one
		server.accept(t, lines(50, 100))
	}
	waitFor(t, "a check that has seen records done", func() bool {
		d := server.stats(t).Autoscaler.LastDecision
		return d != nil && d.Saw != nil && d.Saw.Completed > 0 && d.WakeAt > 0
	})
	return server
}

// A deadline in danger wakes it, and a new analyzer has its first lease soon after.
func TestADeadlineInDangerNeedNotWaitForTheInterval(t *testing.T) {
	t.Parallel()
	server := taught(t)
	waitFor(t, "the pool to be idle", func() bool { st := server.stats(t); return st.Pool.Busy == 0 && st.Depth+st.InFlight == 0 })
	before := server.stats(t)
	waitFor(t, "the middle between two checks", func() bool {
		return time.Since(before.Autoscaler.LastDecision.Time)%(3*time.Second) > time.Second
	})
	body := lines(5000, 100) // ten seconds of work for the one there is, to be done within one
	stored := time.Now()
	server.accept(t, body)
	var st api.Stats
	waitFor(t, "new analyzers at work", func() bool {
		st = server.stats(t)
		return st.Pool.Busy > before.Pool.Size
	})
	t.Logf("%d analyzers were at work %v after 5,000 records were sent, with a check every 3 s", st.Pool.Busy, time.Since(stored))
	rows := server.decisions(t).Decisions
	var up *autoscale.Decision
	for i := range rows {
		if rows[i].Action == autoscale.ActionUp && rows[i].Time.After(before.Autoscaler.LastDecision.Time) {
			up = &rows[i]
			break
		}
	}
	if up == nil {
		t.Fatal("no decision went up")
	}
	// Checks on the interval lie on a grid of 3 s from the first one on.
	off := up.Time.Sub(rows[0].Time) % (3 * time.Second)
	if off < 50*time.Millisecond || off > 2950*time.Millisecond {
		t.Errorf("the pool grew %v after a check was due on the interval, want it woken in between", off)
	}
	server.settled(t)
	server.stop()
}

// TestARestartNeitherShrinksThePoolNorForgets kills a server at work.
func TestARestartNeitherShrinksThePoolNorForgets(t *testing.T) {
	t.Parallel()
	server := taught(t, "--check-interval", "100ms")
	e := emit(t, server, "--rate", "4000", "--duration", "8s", "--batch", "100", "--run-id", "restart")
	size := 0
	waitFor(t, "a pool of at least five at rest", func() bool {
		st := server.stats(t)
		was := size
		size = st.Pool.Size
		return size >= 5 && size == was
	})
	pass(300 * time.Millisecond) // two checks, for the size to be kept
	size = server.stats(t).Pool.Size
	server.kill()
	server = server.again()
	st := server.stats(t)
	if st.Pool.Size < size-1 {
		t.Errorf("a pool of %d after the restart, want the %d it had", st.Pool.Size, size)
	}
	waitFor(t, "a decision", func() bool { return server.stats(t).Autoscaler.LastDecision != nil })
	first := server.decisions(t).Decisions[0]
	if first.Explanation == nil || first.Explanation.Estimates[1].Name != "rate_per_second" {
		t.Fatalf("the first decision explains %+v, want the rate second", first.Explanation)
	}
	if rate := first.Explanation.Estimates[1].Value; rate < 300 || rate > 550 {
		t.Errorf("the first decision believes in %.0f records/s, want about 500", rate)
	}
	e.account(t)
	server.settled(t)
	server.stop()
}

// TestDryRunOnlySpeaks lets the policy see a backlog and not act.
func TestDryRunOnlySpeaks(t *testing.T) {
	t.Parallel()
	server := taught(t, "--dry-run")
	for range 10 {
		server.accept(t, lines(500, 100))
	}
	var d *autoscale.Decision
	waitFor(t, "a decision to grow that was not carried out", func() bool {
		d = server.stats(t).Autoscaler.LastDecision
		return d.NamedSize > d.Size
	})
	if st := server.stats(t); d.Action != autoscale.ActionHold || st.Pool.Size != 1 || !st.Autoscaler.DryRun {
		t.Errorf("action %s, pool of %d, want a hold and 1: %s", d.Action, st.Pool.Size, d.Reason)
	}
	server.stop()
}

// TestALiveRunAndASimulationAgree plays the same traffic to a pool of real analyzers and to the simulator, with the rate that
// the real ones had. SLUICE_E2E_LIVE=60 plays a minute and wants them within 5 %, which takes a machine with nothing else to do.
func TestALiveRunAndASimulationAgree(t *testing.T) {
	seconds, tolerance := 15, 0.25
	if n := numberOf(t, "LIVE", 0); n > 0 {
		seconds, tolerance = n, 0.05
	} else {
		t.Parallel()
	}
	trace := filepath.Join(t.TempDir(), "trace.csv")
	var rows strings.Builder
	rows.WriteString("second,records\n")
	for s := range seconds {
		n := 900 + 600*math.Sin(float64(s)/5)
		if s%20 >= 10 && s%20 < 13 {
			n += 1500
		}
		fmt.Fprintf(&rows, "%d,%d\n", s, int(n))
	}
	if err := os.WriteFile(trace, []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	bounds := []string{"--min-size", "1", "--max-size", "30", "--check-interval", "1s", "--slo", "3s"}
	server := serve(t, append([]string{"run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "5ms",
		"--max-batch-records", "20", "--governor=false"}, bounds...)...)
	emit(t, server, "--trace", trace, "--batch", "20", "--run-id", "live").account(t)
	st := server.settled(t)
	live := workerSeconds(server.decisions(t).Decisions)
	server.stop()

	rate := float64(st.Pool.Records) / st.Pool.ServiceSeconds
	out := must(t, append([]string{"simulate", "--trace", trace, "--policy", "slo", "--rate", strconv.FormatFloat(rate, 'f', 3, 64),
		"--startup", "0s", "--drain", "0s", "--set", "slo.startup=0s", "--json"}, bounds...)...)
	var simulated struct{ Policies []struct{ Cost float64 } }
	if err := json.Unmarshal([]byte(out), &simulated); err != nil {
		t.Fatal(err)
	}
	ratio := live / simulated.Policies[0].Cost
	t.Logf("%.1f worker-seconds live, %.1f simulated with %.1f records/s: ratio %.3f", live, simulated.Policies[0].Cost, rate, ratio)
	if math.Abs(ratio-1) > tolerance {
		t.Errorf("ratio %.3f, want within %.0f %% of 1", ratio, 100*tolerance)
	}
}

// workerSeconds adds up the pool's size from the first check that saw a record to the last one that saw any unfinished.
func workerSeconds(rows []autoscale.Decision) (sum float64) {
	begun := false
	for i, d := range rows {
		busy := d.Depth > 0 || d.Saw != nil && (d.Saw.Arrived > 0 || d.Saw.InFlight > 0)
		begun = begun || busy
		if i > 0 && begun && busy {
			sum += float64(d.Size) * d.Time.Sub(rows[i-1].Time).Seconds()
		}
	}
	return sum
}
