package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehq/sluice/queue/remote"
)

func TestBatchesOfKilledAnalyzersAreAnalyzedByOthers(t *testing.T) {
	t.Parallel()
	random := dice(t)
	server := serve(t, "distributor", "--data", t.TempDir(), "--lease", "1s", "--retry-delay", "50ms")
	start := func(i int) *process {
		return serve(t, "analyze", "--distributor", server.url, "--name", fmt.Sprint("pool-", i), "--handler", "sleep", "--sleep-per-record", "15ms",
			"--min-size", "3", "--max-size", "3", "--slots", "2")
	}
	pools := []*process{start(0), start(1), start(2)}
	e := emit(t, server, "--records", "9000", "--batch", "100", "--rate", "300", "--emitters", "3", "--run-id", "remote")
	for k := range 4 {
		i := random.IntN(len(pools))
		waitFor(t, "the one to be killed to hold leases", func() bool { return pools[i].stats(t).Pool.Busy > 1 })
		pools[i].kill()
		pass(time.Duration(random.IntN(300)) * time.Millisecond)
		pools[i] = start(k + 3)
	}
	a := e.account(t)
	t.Logf("account:\n%s", a)
	st := server.settled(t)
	if st.Redelivers == 0 {
		t.Error("no batch was leased a second time, want those of the killed")
	}
	if st.Dead > 0 || a.Acknowledged != 9000 {
		t.Errorf("%d records are dead letters, and %d acknowledged, want 0 and 9000", st.Dead, a.Acknowledged)
	}
	for _, p := range pools {
		p.stop()
	}
	server.stop()
}

func TestALeaseOfAnotherProcessOutlivesTheDistributor(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir(), "--lease", "30s")
	server.accept(t, lines(3, 100))
	l := lease(t, server, `{"analyzer": "elsewhere"}`)[0]
	server.kill()
	server = server.again()
	if st := server.stats(t); st.InFlight != 3 || st.Depth != 0 {
		t.Errorf("after a restart: depth %d, in flight %d, want 0 and 3", st.Depth, st.InFlight)
	}
	if r := ask(t, "POST", server.url+"/v1/leases/"+l.Token+"/ack", ""); r.status != 200 {
		t.Errorf("ack of a lease from before: %s, want 200", r)
	}
	if st := server.settled(t); st.Completed != 3 {
		t.Errorf("completed %d, want 3", st.Completed)
	}
}

// lease asks for work once, and wants some.
func lease(t *testing.T, server *process, body string) []remote.Lease {
	t.Helper()
	var answer remote.LeaseAnswer
	r := ask(t, "POST", server.url+"/v1/leases", body)
	if r.decode(t, &answer); r.status != 200 || len(answer.Leases) == 0 {
		t.Fatalf("lease %s: %s, want at least one batch", body, r)
	}
	return answer.Leases
}

func TestAPoolKeepsItsSizeWhileTheDistributorIsAway(t *testing.T) {
	t.Parallel()
	outage := 3 * time.Second
	if text := variable("OUTAGE"); text != "" {
		var err error
		if outage, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	server := serve(t, "distributor", "--data", t.TempDir(), "--lease", "2s", "--retry-delay", "50ms")
	pool := serve(t, "analyze", "--distributor", server.url, "--handler", "sleep", "--sleep-per-record", "2ms", "--min-size", "1", "--max-size", "5",
		"--check-interval", "100ms", "--cooldown", "200ms", "--lease-wait", "1s")
	e := emit(t, server, "--rate", "2000", "--batch", "50", "--emitters", "2", "--run-id", "away", "--duration", "10m")
	waitFor(t, "the pool to grow", func() bool { return pool.stats(t).Pool.Size == 5 })

	unknown := func(why string) {
		t.Helper()
		// One check may still come from an answer of before.
		waitFor(t, "a decision without a depth", func() bool {
			d := pool.stats(t).Autoscaler.LastDecision
			return d != nil && !d.DepthKnown
		})
		since := time.Now()
		end := since.Add(outage)
		waitLong(t, "the outage to pass", outage+patience, func() bool {
			if size := pool.stats(t).Pool.Size; size != 5 {
				t.Fatalf("%s: the pool has %d analyzers, want it to keep 5", why, size)
			}
			return time.Now().After(end)
		})
		checks := 0
		for _, d := range pool.decisions(t).Decisions {
			if d.Time.Before(since) {
				continue
			}
			checks++
			if d.DepthKnown || d.Action != "hold" || d.NewSize != 5 || !strings.HasPrefix(d.Reason, "depth unknown: ") {
				t.Errorf("%s: decision %+v, want to hold 5 because the depth is unknown", why, d)
			}
		}
		if checks < 2 {
			t.Errorf("%s: %d checks in %v, want them to go on", why, checks, outage)
		}
	}
	known := func() {
		t.Helper()
		waitFor(t, "the depth to be known again", func() bool { d := pool.stats(t).Autoscaler.LastDecision; return d.DepthKnown })
	}

	server.signal(syscall.SIGSTOP)
	unknown("stopped")
	server.signal(syscall.SIGCONT)
	known()

	server.kill()
	unknown("killed")
	waitFor(t, "the pool to say that it can't have work", func() bool { return pool.stats(t).Pool.LeaseError != "" })
	out := must(t, "decisions", "--distributor", pool.url, "-n", "1")
	if !strings.Contains(out, "depth unknown: ") || !strings.Contains(out, "unknown  5") {
		t.Errorf("sluice decisions prints %s, want a row that says why the depth is unknown", out)
	}
	server = server.again()
	known()

	e.signal(syscall.SIGINT)
	t.Logf("account:\n%s", e.account(t))
	server.settled(t)
	waitFor(t, "the pool to shrink again", func() bool { return pool.stats(t).Pool.Size == 1 })
	if n := strings.Count(pool.stderr.String(), `"level":"WARN"`); n > 40 {
		t.Errorf("%d warnings for two outages, want each to be said once by whom it concerns", n)
	}
	pool.stop()
	server.stop()
}

func TestPoolsOnOneDistributorShareTheBacklog(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir())
	pool := func(name, most string) *process {
		return serve(t, "analyze", "--distributor", server.url, "--name", name, "--handler", "sleep", "--sleep-per-record", "1s",
			"--min-size", "1", "--max-size", most, "--check-interval", "200ms")
	}
	small, large := pool("small", "2"), pool("large", "6")
	shares := func(want map[string]float64) func() bool {
		return func() bool {
			rows := server.stats(t).Pools
			for _, r := range rows {
				if r.Share != want[r.Name] || r.Decision == nil || r.URL == "" {
					return false
				}
			}
			return len(rows) == len(want)
		}
	}
	waitFor(t, "both pools to have a share", shares(map[string]float64{"small": 0.25, "large": 0.75}))
	for range 100 { // a batch each
		server.accept(t, lines(1, 60))
	}
	seen := func(p *process) int {
		if d := p.stats(t).Autoscaler.LastDecision; d != nil {
			return d.Depth
		}
		return 0
	}
	waitFor(t, "each to see its part of the backlog", func() bool {
		a, b := seen(small), seen(large)
		return a > 10 && a <= 25 && b > 2*a && b <= 75
	})
	small.stop()
	waitFor(t, "the other to have all of it", shares(map[string]float64{"large": 1}))
	large.kill()
	server.stop()
}
