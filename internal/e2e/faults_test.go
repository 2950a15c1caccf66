package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/queue"
)

// faulty is n good records with one in the middle that asks for a fault.
func faulty(n int, fault string) string {
	good := strings.SplitAfter(lines(n, 60), "\n")
	bad := fmt.Sprintf(`{"body":"the culprit","attributes":{"sluice.fault":%q}}`+"\n", fault)
	return strings.Join(good[:n/2], "") + bad + strings.Join(good[n/2:], "")
}

func (p *process) deadLetters(t *testing.T) []queue.DeadLetter {
	t.Helper()
	var list struct {
		Dead []queue.DeadLetter `json:"dead"`
	}
	if err := json.Unmarshal([]byte(must(t, "dead", "ls", "--json", "--distributor", p.url)), &list); err != nil {
		t.Fatal(err)
	}
	return list.Dead
}

func TestARecordThatAlwaysFailsEndsInTheDeadLettersAndItsNeighboursAreDone(t *testing.T) {
	t.Parallel()
	for fault, reason := range map[string]string{
		"error":   "the record asks to fail",
		"panic":   "handler panicked: the record asks for a panic",
		"discard": "the record asks to be discarded",
	} {
		t.Run(fault, func(t *testing.T) {
			server := serve(t, "run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "0", "--faults", "--retry-delay", "20ms", "--max-attempts", "4")
			server.accept(t, faulty(300, fault))
			server.accept(t, lines(100, 60)) // the system goes on
			st := server.settled(t)
			if st.Completed != 400 || st.Dead != 1 {
				t.Errorf("completed %d, dead %d, want 400 and 1", st.Completed, st.Dead)
			}
			letters := server.deadLetters(t)
			if len(letters) != 1 {
				t.Fatalf("dead letters %+v, want one", letters)
			}
			l := letters[0]
			id := fmt.Sprint(l.ID)
			if l.Records != 1 || !strings.Contains(l.Reason, reason) || l.Attempts < 1 {
				t.Errorf("dead letter %+v, want 1 record and the reason %q", l, reason)
			}
			if out := must(t, "dead", "show", id, "--distributor", server.url); !strings.Contains(out, "the culprit") || !strings.Contains(out, reason) {
				t.Errorf("dead show prints %s, want the record and the reason", out)
			}

			if out := must(t, "dead", "retry", id, "--distributor", server.url); out != "1 dead letter back in the queue\n" {
				t.Errorf("dead retry prints %q", out)
			}
			// It fails again, and is a new letter then.
			waitFor(t, "the record to die again", func() bool {
				letters = server.deadLetters(t)
				return len(letters) == 1 && letters[0].ID != l.ID
			})
			if st := server.settled(t); st.Accepted != 401 || st.Dead != 1 {
				t.Errorf("after a retry: accepted %d, dead %d, want 401 and 1", st.Accepted, st.Dead)
			}
			must(t, "dead", "drop", "--all", "--yes", "--distributor", server.url)
			if st := server.settled(t); st.Accepted != 401 || st.Dead != 0 || st.Completed != 401 || st.Dropped != 1 {
				t.Errorf("after the drop: accepted %d, dead %d, completed %d, dropped %d, want 401, 0, 401 and 1", st.Accepted, st.Dead, st.Completed, st.Dropped)
			}
			server.stop()
		})
	}
}

func TestADeadLetterThatIsRetriedAfterARepairIsAnalyzed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := serve(t, "run", "--data", dir, "--handler", "sleep", "--sleep-per-record", "0", "--faults", "--retry-delay", "20ms", "--max-attempts", "2")
	server.accept(t, faulty(10, "error"))
	if st := server.settled(t); st.Dead != 1 {
		t.Fatalf("dead %d, want 1", st.Dead)
	}
	server.stop()
	repaired := serve(t, "run", "--data", dir, "--handler", "count")
	if st := repaired.settled(t); st.Dead != 1 {
		t.Errorf("dead %d after a restart, want 1", st.Dead)
	}
	must(t, "dead", "retry", "--all", "--distributor", repaired.url)
	if st := repaired.settled(t); st.Dead != 0 || st.Completed != 11 {
		t.Errorf("dead %d, completed %d after the repair, want 0 and 11", st.Dead, st.Completed)
	}
}

func TestARecordThatEndsItsProcessDoesNotStopTheSystem(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "0", "--faults",
		"--retry-delay", "20ms", "--max-retry-delay", "100ms", "--max-attempts", "2", "--min-size", "1", "--max-size", "1")
	r, err := send("POST", server.url+"/v1/records", "application/x-ndjson", strings.NewReader(faulty(60, "exit")))
	if err == nil && r.status != 200 { // the process may end before it can answer
		t.Fatalf("post: %s", r)
	}
	ends := 0
	waitLong(t, "the culprit to be found", 2*patience, func() bool {
		select {
		case <-server.exited:
			if code := server.cmd.ProcessState.ExitCode(); code != 3 {
				t.Fatalf("the process ended with %d, want 3 by the fault", code)
			}
			ends++
			server = server.again() // what a supervisor does
		default:
		}
		st, ok := server.tryStats()
		return ok && st.Dead == 1 && st.Depth == 0 && st.InFlight == 0
	})
	st := server.settled(t)
	t.Logf("the process ended %d times; accepted %d, completed %d, dead %d", ends, st.Accepted, st.Completed, st.Dead)
	if st.Accepted != 61 || st.Completed != 60 || st.Dead != 1 {
		t.Errorf("accepted %d, completed %d, dead %d, want 61, 60 and 1", st.Accepted, st.Completed, st.Dead)
	}
	letters := server.deadLetters(t)
	if len(letters) != 1 || letters[0].Records != 1 || !strings.Contains(letters[0].Reason, "process ended") {
		t.Errorf("dead letters %+v, want the one record, given up because the process ended", letters)
	}
	if out := must(t, "dead", "show", fmt.Sprint(letters[0].ID), "--distributor", server.url); !strings.Contains(out, "the culprit") {
		t.Errorf("dead show prints %s, want the culprit", out)
	}
	server.accept(t, lines(10, 60))
	server.settled(t)
	server.stop()
}

func TestARecordThatEndsRemoteAnalyzersIsFoundToo(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir(), "--lease", "300ms", "--retry-delay", "20ms", "--max-retry-delay", "100ms", "--max-attempts", "2")
	server.accept(t, faulty(60, "exit"))
	args := []string{"analyze", "--distributor", server.url, "--handler", "sleep", "--sleep-per-record", "0", "--faults", "--min-size", "1", "--max-size", "1"}
	pool := begin(t, self(t), withListen(args)...)
	waitLong(t, "the culprit to be found", 2*patience, func() bool {
		select {
		case <-pool.exited:
			pool = begin(t, self(t), withListen(args)...)
		default:
		}
		st := server.stats(t)
		return st.Dead == 1 && st.Depth == 0 && st.InFlight == 0
	})
	if st := server.settled(t); st.Completed != 60 || st.Dead != 1 {
		t.Errorf("completed %d, dead %d, want 60 and 1", st.Completed, st.Dead)
	}
	if l := server.deadLetters(t)[0]; !strings.Contains(l.Reason, "lease expired") {
		t.Errorf("dead letter %+v, want the reason to be the lease that expired", l)
	}
}
