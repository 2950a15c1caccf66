package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/queue/remote"
)

// outside is an analyzer in another process that keeps its own account of waits: by the time of acceptance that each lease tells, and
// by its own clock before it sends an acknowledgement and after it is answered. On one machine both clocks are the same.
type outside struct {
	slo              time.Duration
	done, late, dead int64
	unsure           int64 // acknowledged while their SLO ended; the server alone knows
	server           *process
}

func (o *outside) lease(t *testing.T, most int) []remote.Lease {
	t.Helper()
	var all []remote.Lease
	for len(all) < most {
		all = append(all, lease(t, o.server, fmt.Sprintf(`{"analyzer": "outside", "max_batches": %d, "wait_seconds": 20}`, most-len(all)))...)
	}
	return all
}

// ack completes a lease but for some records, of which those with discard become dead letters.
func (o *outside) ack(t *testing.T, l remote.Lease, failed ...remote.FailedRecord) {
	t.Helper()
	body, err := json.Marshal(remote.AckRequest{Failed: failed})
	if err != nil {
		t.Fatal(err)
	}
	sent := time.Now()
	done(t, o.server, l.Token, "ack", string(body))
	answered := time.Now()
	n := int64(len(l.Records) - len(failed))
	o.done += n
	switch {
	case sent.Sub(l.Accepted) > o.slo:
		o.late += n
	case answered.Sub(l.Accepted) > o.slo:
		o.unsure += n
	}
	for _, f := range failed {
		if f.Discard {
			o.dead++
		}
	}
}

// compare wants the counts of a window to be those of the account, to the record.
func (o *outside) compare(t *testing.T, when string, st api.Stats) (late int64) {
	t.Helper()
	if st.Waits == nil || len(st.Waits.Windows) != 3 {
		t.Fatalf("%s: waits are %+v, want three windows", when, st.Waits)
	}
	for _, w := range st.Waits.Windows {
		if w.Done != o.done || w.Judged != o.done || w.Dead != o.dead || w.Late == nil || *w.Late < o.late || *w.Late > o.late+o.unsure {
			t.Fatalf("%s, last %s: %+v with late %v; want %d done, %d late (%d more may be), %d dead", when, w.Name, w, w.Late, o.done, o.late, o.unsure, o.dead)
		}
		if want := float64(*w.Late) / float64(w.Judged); *w.LateShare != want {
			t.Errorf("%s, last %s: late share %v, want %v", when, w.Name, *w.LateShare, want)
		}
		late = *w.Late
	}
	return late
}

// metric reads a number from the metrics of a process.
func (p *process) metric(t *testing.T, name string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(ask(t, "GET", p.url+"/metrics", "").body)
	if m == nil {
		return -1
	}
	x, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestLateRecordsAreThoseOfAnOutsideAccount: at a distributor with an SLO, and in a process whose policy has one; with retries, splits, dead
// letters, a lease that runs out and a restart. Then the page, top, the command line and the metrics say the same, and one verdict.
func TestLateRecordsAreThoseOfAnOutsideAccount(t *testing.T) {
	t.Parallel()
	for role, args := range map[string][]string{
		"distributor": {"distributor", "--slo", "1s"},
		"run":         {"run", "--slo", "1s", "--min-size", "0", "--dry-run"}, // nobody works there but the test
	} {
		t.Run(role, func(t *testing.T) {
			server := serve(t, append(args, "--data", t.TempDir(), "--lease", "2s", "--retry-delay", "10ms", "--split-after", "1", "--max-attempts", "9", "--max-batch-records", "50")...)
			o := &outside{slo: time.Second, server: server}
			var leases []remote.Lease
			for i := range 12 {
				server.accept(t, lines(7+i, 60)) // a batch each
				leases = append(leases, o.lease(t, 1)...)
			}
			for _, l := range leases[:3] {
				o.ack(t, l)
			}
			o.ack(t, leases[3], remote.FailedRecord{Record: 2, Reason: "again"}, remote.FailedRecord{Record: 4, Reason: "never", Discard: true})
			done(t, server, leases[4].Token, "nack", `{"reason": "as a whole", "delay_seconds": 1.2}`) // comes again late, in parts
			for _, l := range leases[5:7] {
				done(t, server, l.Token, "extend", "")
			}
			pass(o.slo + 100*time.Millisecond)
			for _, l := range leases[5:9] {
				o.ack(t, l)
			}
			// The leases of the last three run out, and their records come again.
			for server.stats(t).Depth+server.stats(t).InFlight > 0 {
				for _, l := range o.lease(t, 1) {
					o.ack(t, l)
				}
			}
			st := server.settled(t)
			late := o.compare(t, "at the end", st)
			if o.late == 0 || o.late == o.done || o.dead != 1 || st.Completed != o.done {
				t.Fatalf("the account is %+v of %d completed; want late ones, others, and a dead one", o, st.Completed)
			}
			t.Logf("%d done, %d late (%d not known outside), %d dead", o.done, late, o.unsure, o.dead)
			if m := server.metric(t, "sluice_queue_late_records_total"); int64(m) != late {
				t.Errorf("the metrics count %v late records, want %d", m, late)
			}
			if c, inf := server.metric(t, "sluice_queue_wait_seconds_count"), server.metric(t, `sluice_queue_wait_seconds_bucket{le="1"}`); int64(c) != o.done || int64(c-inf) != late {
				t.Errorf("the histogram has %v records, %v in time; want %d, %d", c, inf, o.done, o.done-late)
			}

			server.stop()
			server = server.again()
			o.server = server
			o.compare(t, "after a restart", server.stats(t))
			server.accept(t, lines(5, 60))
			o.ack(t, o.lease(t, 1)[0])
			late = o.compare(t, "and one batch more", server.stats(t))
			oneVerdict(t, server, late, o.done)
			server.stop()
		})
	}
}

// oneVerdict wants page, top and command line to say which records were late, in the same words.
func oneVerdict(t *testing.T, server *process, late, all int64) {
	t.Helper()
	var live api.Live
	ask(t, "GET", server.url+"/v1/stats", "").decode(t, &live)
	want := fmt.Sprintf("of records were late: %d of %d (budget 0.1 %%)", late, all)
	var reason api.Reason
	for _, r := range live.Verdict.Reasons {
		if r.Check == "slo_missed" {
			reason = r
		}
	}
	if live.Verdict.State != api.StateWarning || reason.State != api.StateWarning || !strings.Contains(reason.Text, want) {
		t.Errorf("the verdict is %+v, want a warning with %q", live.Verdict, want)
	}
	if m := server.metric(t, `sluice_verdict{state="warning"}`); m != 1 {
		t.Errorf("the metrics say %v for the state warning", m)
	}
	for _, args := range [][]string{{"stats"}, {"top", "--once"}} {
		if out := must(t, append(args, "--distributor", server.url)...); !strings.Contains(out, reason.Text) {
			t.Errorf("sluice %s lacks %q:\n%s", strings.Join(args, " "), reason.Text, out)
		}
	}
	b := browse(t)
	b.visit(server.url, "overview")
	b.await("the verdict", `document.querySelector('.overview .reasons').innerText.toLowerCase().includes(`+strconv.Quote(strings.ToLower(reason.Text))+`)`)
	b.await("the late records", fmt.Sprintf(`document.querySelector('.overview .kept').innerText.includes('%d of %d')`, late, all))
	if got := b.text("#verdict"); !strings.HasPrefix(got, "Needs a look") {
		t.Errorf("the header says %q, want that it needs a look", got)
	}
	b.do("leave", navigate("about:blank")) // before the server stops
}

// TestWithoutAnSLOLateIsUnknown: nobody says 0.
func TestWithoutAnSLOLateIsUnknown(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir())
	server.accept(t, lines(5, 60))
	o := &outside{slo: time.Hour, server: server}
	o.ack(t, o.lease(t, 1)[0])
	st := server.stats(t)
	if w := st.Waits.Windows[0]; st.Waits.SLO != nil || st.Waits.Late != nil || w.Done != 5 || w.Late != nil || w.LateShare != nil || w.P99 == nil {
		t.Errorf("waits are %+v, want 5 records with a wait, and nothing about late ones", st.Waits)
	}
	if m := server.metric(t, "sluice_queue_late_records_total"); m != -1 {
		t.Errorf("the metrics count %v late records", m)
	}
	if out := must(t, "stats", "--distributor", server.url); !strings.Contains(out, "how many were late is unknown") {
		t.Errorf("sluice stats says\n%s", out)
	}

	pool := serve(t, "analyze", "--distributor", server.url, "--slo", "1s", "--min-size", "1", "--max-size", "1")
	waitFor(t, "the pool to know the waits of its distributor", func() bool { return pool.stats(t).Waits != nil })
	if w := pool.stats(t).Waits; w.Windows[0].Done != 5 {
		t.Errorf("the pool says %+v, want what its distributor says", w)
	}
	waitFor(t, "the distributor to judge by the SLO of its pool", func() bool { st := server.stats(t); return st.Waits.SLO != nil && st.SLO == 1 })
	server.accept(t, lines(5, 60))
	waitFor(t, "the pool's records to be judged", func() bool { w := server.stats(t).Waits.Windows[0]; return w.Done == 10 && w.Judged == 5 })
	pool.stop()
	server.stop()
}

// TestAtMaxSizeIsNotHealthy: a pool that may not grow although it has to says so, everywhere.
func TestAtMaxSizeIsNotHealthy(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir(), "--slo", "5s", "--handler", "sleep", "--sleep-per-record", "50ms", "--min-size", "1", "--max-size", "1", "--max-batch-records", "10")
	server.accept(t, lines(1000, 60))
	waitFor(t, "the verdict", func() bool {
		var live api.Live
		ask(t, "GET", server.url+"/v1/stats", "").decode(t, &live)
		return live.Verdict.State == api.StateWarning && strings.Contains(live.Verdict.Text, "at max_size (1)")
	})
	b := browse(t)
	b.visit(server.url, "overview")
	b.await("the verdict", `document.querySelector('.overview .reasons').innerText.includes('at max_size (1)') && document.querySelector('#verdict').innerText.startsWith('Needs a look')`)
	b.excuse("net::ERR_")
	server.kill()
	b.await("that nobody answers", `document.querySelector('#verdict').innerText === 'Unknown, no answer' && document.querySelector('.overview .reasons').innerText.includes('No answer since')`)
}
