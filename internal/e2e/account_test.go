package e2e

import (
	"bufio"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/api"
)

func TestTheCountersAddUpAtAnyMoment(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "50us", "--faults", "--retry-delay", "20ms", "--max-attempts", "3",
		"--max-size", "6", "--check-interval", "50ms", "--cooldown", "100ms", "--slots", "2")
	e := emit(t, server, "--records", "60000", "--emitters", "4", "--batch", "100", "--rate", "15000", "--run-id", "sum")

	// Beside the emitter: records that fail, and people who retry and drop them.
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			requests := []struct{ method, path, body string }{
				{"POST", "/v1/records", faulty(40, []string{"error", "panic", "discard"}[i%3])},
				{"POST", "/v1/dead/retry", ""}, {"DELETE", "/v1/dead", ""},
			}
			q := requests[0]
			if i%7 == 5 {
				q = requests[1]
			} else if i%7 == 6 {
				q = requests[2]
			}
			r, err := send(q.method, server.url+q.path, "application/x-ndjson", strings.NewReader(q.body))
			if err != nil || r.status != 200 && r.status != 404 { // 404: the letter was taken meanwhile
				t.Errorf("%s %s: %v %s", q.method, q.path, err, r)
			}
		}
	})
	defer func() {
		select {
		case <-stop:
		default:
			close(stop)
		}
		others.Wait()
	}()

	var last api.Stats
	looks := 0
	waitLong(t, "the emitter to end", 3*patience, func() bool {
		st := server.stats(t)
		addsUp(t, fmt.Sprintf("at look %d", looks), st)
		if looks > 0 {
			if st.Accepted < last.Accepted {
				t.Errorf("accepted went from %d back to %d", last.Accepted, st.Accepted)
			}
			if st.Completed < last.Completed {
				t.Errorf("completed went from %d back to %d", last.Completed, st.Completed)
			}
			if st.Pool.Records < last.Pool.Records || st.Pool.Batches < last.Pool.Batches {
				t.Errorf("the pool's totals went from %d records back to %d", last.Pool.Records, st.Pool.Records)
			}
		}
		if looks%10 == 0 {
			metricsAgree(t, server, st)
		}
		last = st
		looks++
		select {
		case <-e.exited:
			return true
		default:
			return t.Failed()
		}
	})
	close(stop)
	others.Wait()
	t.Logf("%d looks; account:\n%s", looks, e.account(t))
	st := server.settled(t)
	m := metrics(t, server)
	if m["sluice_queue_accepted_records_total"] != float64(st.Accepted) || m["sluice_queue_dead_records"] != float64(st.Dead) {
		t.Errorf("metrics say accepted %v and dead %v, the statistics %d and %d",
			m["sluice_queue_accepted_records_total"], m["sluice_queue_dead_records"], st.Accepted, st.Dead)
	}
}

// metricsAgree checks that a scrape adds up by itself, and lies between two looks at the statistics.
func metricsAgree(t *testing.T, server *process, before api.Stats) {
	t.Helper()
	m := metrics(t, server)
	after := server.stats(t)
	get := func(name string) float64 {
		v, ok := m["sluice_queue_"+name]
		if !ok {
			t.Errorf("no metric sluice_queue_%s", name)
		}
		return v
	}
	accepted, completed := get("accepted_records_total"), get("completed_records_total")
	if sum := completed + get("dead_records") + get("depth_records") + get("in_flight_records"); accepted != sum {
		t.Errorf("the metrics have accepted %v, but a sum of %v", accepted, sum)
	}
	if accepted < float64(before.Accepted) || accepted > float64(after.Accepted) || completed < float64(before.Completed) || completed > float64(after.Completed) {
		t.Errorf("the metrics have accepted %v and completed %v, the statistics %d to %d and %d to %d",
			accepted, completed, before.Accepted, after.Accepted, before.Completed, after.Completed)
	}
}

var sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\.)*",?)*\})? (\S+)$`)

// metrics reads a scrape strictly: each sample is well-formed, has HELP and TYPE before it, and comes once.
func metrics(t *testing.T, server *process) map[string]float64 {
	t.Helper()
	r := ask(t, "GET", server.url+"/metrics", "")
	if r.status != 200 {
		t.Fatalf("metrics: %s", r)
	}
	kinds, helped, samples := map[string]string{}, map[string]bool{}, map[string]float64{}
	for s := bufio.NewScanner(strings.NewReader(r.body)); s.Scan(); {
		line := s.Text()
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, _, _ := strings.Cut(rest, " ")
			helped[name] = true
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			kinds[name] = kind
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not a line of metrics: %q", line)
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatalf("value of %q: %v", line, err)
		}
		if _, twice := samples[m[1]+m[2]]; twice {
			t.Errorf("%s%s comes twice", m[1], m[2])
		}
		samples[m[1]+m[2]] = v
		if strings.HasPrefix(m[1], "sluice_") {
			name := m[1]
			for _, part := range []string{"_bucket", "_sum", "_count"} { // of a histogram
				if whole := strings.TrimSuffix(m[1], part); kinds[whole] == "histogram" {
					name = whole
				}
			}
			if !helped[name] || kinds[name] == "" {
				t.Errorf("%s has no help or no type", m[1])
			}
			if total := strings.HasSuffix(m[1], "_total"); total != (kinds[m[1]] == "counter") {
				t.Errorf("%s is a %s, want the ending _total for counters and only for them", m[1], kinds[m[1]])
			}
		}
	}
	return samples
}
