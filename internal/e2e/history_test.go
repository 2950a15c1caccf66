package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale/league"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// recorded adds up what the history of a data folder holds; each file has to be a trace.
func recorded(t *testing.T, data string) (records int, files []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "history", "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if info, err := os.Stat(path); err == nil && info.Size() == 0 {
			continue // just made
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		trace, err := simulate.ReadTrace(f, simulate.TraceOptions{})
		f.Close()
		if err != nil {
			t.Fatalf("%s is no trace: %v", path, err)
		}
		records += trace.Records()
	}
	return records, files
}

func TestHistoryIsATraceAndSurvivesKills(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	server := serve(t, "run", "--data", data, "--handler", "count")
	sent := 0
	send := func(n int) {
		server.accept(t, lines(n, 50))
		sent += n
	}
	for kill := range 3 {
		least, _ := recorded(t, data)
		send(100 + kill)
		waitFor(t, "the history to be written", func() bool {
			records, _ := recorded(t, data)
			return records >= least+100
		})
		send(7) // perhaps not written yet
		server.kill()
		if kill == 1 { // and this time in the middle of a row
			_, files := recorded(t, data)
			f, err := os.OpenFile(files[len(files)-1], os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(f, "8639")
			f.Close()
		}
		server = server.again()
	}
	send(1000)
	server.settled(t)
	server.stop()
	records, files := recorded(t, data)
	if records > sent || records < sent-3*7 {
		t.Errorf("the history has %d records, want the %d sent, but for those just before a kill", records, sent)
	}
	if len(files) > 2 { // midnight may have been in between
		t.Fatalf("files %v, want one a day", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || !strings.HasPrefix(string(text), "second,records\n") {
		t.Errorf("the file begins with %.40q (%v)", text, err)
	}
	out := must(t, "simulate", "--trace", files[0], "--rate", "100", "--policy", "slo,hpa", "--json")
	var answer struct{ Policies []simulate.Result }
	if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer.Policies) != 2 || answer.Policies[0].Cost == 0 {
		t.Errorf("sluice simulate of the history says %s (%v)", out, err)
	}
}

func TestDistributorRecordsItsHistory(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	server := serve(t, "distributor", "--data", data)
	server.accept(t, lines(30, 50))
	server.stop()
	if records, _ := recorded(t, data); records != 30 {
		t.Errorf("the history has %d records, want 30", records)
	}
	off := t.TempDir()
	server = serve(t, "distributor", "--data", off, "--history-days", "0")
	server.accept(t, lines(30, 50))
	server.stop()
	if _, err := os.Stat(filepath.Join(off, "history")); err == nil {
		t.Error("there is a history although none was asked for")
	}
}

func TestLeagueMovesWithTheTraffic(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "2ms", "--slo", "2s", "--max-size", "20",
		"--max-batch-records", "50", "--league", "all")
	standing := func() (st league.Standing) {
		r := ask(t, "GET", server.url+"/v1/league", "")
		if r.decode(t, &st); r.status != 200 {
			t.Fatalf("GET /v1/league: %s", r)
		}
		return st
	}
	if st := standing(); st.WaitingFor == "" || len(st.Policies) != 9 || st.Policy != "slo" || !st.Policies[0].InCharge {
		t.Errorf("before any record: %+v, want nine policies that wait", st)
	}
	e := emit(t, server, "--rate", "2000", "--batch", "50", "--emitters", "2", "--duration", "10m")
	var before league.Standing
	waitFor(t, "a second to be scored", func() bool { before = standing(); return before.Total.Records > 0 })
	var after league.Standing
	waitFor(t, "the pools to grow", func() bool {
		after = standing()
		grown := 0
		for _, r := range after.Policies {
			if r.Size > 2 && r.Total.WorkerHours > 0 {
				grown++
			}
		}
		return grown >= 4 && after.Total.Seconds >= before.Total.Seconds+3
	})
	if after.Rate < 50 || after.Rate > 500 {
		t.Errorf("an analyzer does %v records/s, want somewhat less than 500", after.Rate)
	}
	if after.Real.Total.WorkerHours < float64(after.Total.Seconds)*2/3600*0.9 || after.Real.Size < 2 {
		t.Errorf("the real pool %+v after %d s, want two analyzers at least", after.Real, after.Total.Seconds)
	}
	for _, r := range after.Policies {
		if r.DroppedOut != "" {
			t.Errorf("%s dropped out: %s", r.Policy, r.DroppedOut)
		}
	}
	if out := must(t, "league", "--distributor", server.url); !strings.Contains(out, "* slo") || !strings.Contains(out, "hpa would have cost ") {
		t.Errorf("sluice league says\n%s", out)
	}
	e.kill()
	begun := time.Now()
	server.stop()
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it took %v to stop", took)
	}
}
