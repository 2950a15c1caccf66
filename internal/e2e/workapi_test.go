package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/queue/remote"
)

// act asks for something to be done with a lease.
func act(t *testing.T, server *process, token, what, body string) reply {
	t.Helper()
	return ask(t, "POST", server.url+"/v1/leases/"+token+"/"+what, body)
}

// done wants an action to succeed.
func done(t *testing.T, server *process, token, what, body string) reply {
	t.Helper()
	r := act(t, server, token, what, body)
	if r.status != 200 {
		t.Errorf("%s %s: %s, want 200", what, body, r)
	}
	return r
}

// stale wants an action on a lease that is over to be refused as a conflict.
func stale(t *testing.T, server *process, token, what string) {
	t.Helper()
	body := ""
	if what == "nack" {
		body = `{"reason":"late"}`
	}
	r := act(t, server, token, what, body)
	var e remote.Error
	if json.Unmarshal([]byte(r.body), &e) != nil || r.status != 409 || e.Message == "" || e.Hint == "" {
		t.Errorf("%s with token %q: %s, want 409 with an error and a hint", what, token, r)
	}
}

func TestAClientInAnotherLanguageWorksBatchesOff(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir(), "--retry-delay", "20ms", "--max-attempts", "2")
	server.accept(t, `{"body":"a","unknown":{"kept":[1,2.50,"x"]}}`+"\n"+`{"body":"b"}`+"\n"+`{"body":"c"}`+"\n")

	var answer struct {
		Leases []struct {
			Token     string            `json:"token"`
			Batch     string            `json:"batch"`
			Attempt   int               `json:"attempt"`
			ExpiresAt time.Time         `json:"expires_at"`
			Seconds   float64           `json:"lease_seconds"`
			Records   []json.RawMessage `json:"records"`
		} `json:"leases"`
	}
	r := ask(t, "POST", server.url+"/v1/leases", `{"analyzer": "a-1", "max_batches": 2, "wait_seconds": 20}`)
	r.decode(t, &answer)
	if r.status != 200 || len(answer.Leases) != 1 {
		t.Fatalf("lease: %s, want one", r)
	}
	l := answer.Leases[0]
	if l.Token == "" || l.Batch == "" || l.Attempt != 1 || len(l.Records) != 3 || l.Seconds <= 0 || !l.ExpiresAt.After(time.Now()) {
		t.Errorf("lease %s, want a token, a batch, attempt 1, an end in the future and 3 records", r)
	}
	if string(l.Records[0]) != `{"body":"a","unknown":{"kept":[1,2.50,"x"]}}` {
		t.Errorf("record %s, want it as it was sent", l.Records[0])
	}

	var extended remote.ExtendAnswer
	done(t, server, l.Token, "extend", "").decode(t, &extended)
	if extended.ExpiresAt.Before(l.ExpiresAt) {
		t.Errorf("extended to %v, want no earlier than %v", extended.ExpiresAt, l.ExpiresAt)
	}
	if st := server.stats(t); st.InFlight != 3 || st.Depth != 0 || len(*st.Remote) != 1 || (*st.Remote)[0].ID != "a-1" {
		t.Errorf("in flight %d, depth %d, analyzers %+v, want 3, 0 and a-1", st.InFlight, st.Depth, *st.Remote)
	}

	// The middle record fails; the others are done.
	done(t, server, l.Token, "ack", `{"failed": [{"record": 1, "reason": "too odd"}]}`)
	stale(t, server, l.Token, "ack")
	stale(t, server, l.Token, "nack")
	stale(t, server, l.Token, "extend")
	again := lease(t, server, `{"analyzer": "a-1", "wait_seconds": 20}`)[0]
	if len(again.Records) != 1 || string(again.Records[0]) != `{"body":"b"}` || again.Attempt != 2 {
		t.Errorf("second lease %+v, want record b in attempt 2", again)
	}
	done(t, server, again.Token, "ack", `{"failed": [{"record": 0, "reason": "still too odd"}]}`)
	st := server.settled(t)
	if st.Completed != 2 || st.Dead != 1 {
		t.Errorf("completed %d, dead %d, want 2 and 1", st.Completed, st.Dead)
	}
	if l := server.deadLetters(t)[0]; l.Reason != "still too odd" || l.Attempts != 2 {
		t.Errorf("dead letter %+v, want the last reason and 2 attempts", l)
	}
}

func TestABatchThatIsGivenBackComesAgainInItsTime(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir(), "--retry-delay", "10ms", "--max-attempts", "3", "--split-after", "3")
	server.accept(t, lines(2, 60))
	l := lease(t, server, `{"analyzer": "a"}`)[0]

	// Handed back: at once, and as if nothing had happened.
	done(t, server, l.Token, "nack", `{"hand_back": true}`)
	l = lease(t, server, `{"analyzer": "b", "wait_seconds": 20}`)[0]
	if l.Attempt != 1 {
		t.Errorf("attempt %d after a hand-back, want 1", l.Attempt)
	}

	// Failed, with a wish for when to try again.
	given := time.Now()
	done(t, server, l.Token, "nack", `{"reason": "not now", "delay_seconds": 1}`)
	if st := server.stats(t); st.Depth != 2 || st.InFlight != 0 {
		t.Errorf("while it waits: depth %d, in flight %d, want 2 and 0", st.Depth, st.InFlight)
	}
	var none remote.LeaseAnswer
	if ask(t, "POST", server.url+"/v1/leases", `{"analyzer": "b"}`).decode(t, &none); len(none.Leases) > 0 && time.Since(given) < time.Second {
		t.Error("the batch came before its time")
	}
	l = lease(t, server, `{"analyzer": "b", "wait_seconds": 20}`)[0]
	if waited := time.Since(given); l.Attempt != 2 || waited < 900*time.Millisecond {
		t.Errorf("attempt %d after %v, want 2 after a second", l.Attempt, waited)
	}

	// Hopeless: a dead letter at once.
	done(t, server, l.Token, "nack", `{"reason": "hopeless", "discard": true}`)
	if st := server.settled(t); st.Dead != 2 {
		t.Errorf("dead %d, want 2", st.Dead)
	}
	if l := server.deadLetters(t)[0]; l.Reason != "hopeless" || l.Records != 2 {
		t.Errorf("dead letter %+v, want both records and the reason", l)
	}
}

func TestALateAckIsAConflict(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir(), "--lease", "200ms", "--retry-delay", "10ms")
	server.accept(t, lines(5, 60))
	l := lease(t, server, `{"analyzer": "slow"}`)[0]
	waitFor(t, "the lease to end", func() bool { return server.stats(t).Depth == 5 })
	for _, what := range []string{"ack", "nack", "extend"} {
		stale(t, server, l.Token, what)
	}
	next := lease(t, server, `{"analyzer": "fast", "wait_seconds": 20}`)[0]
	stale(t, server, l.Token, "ack") // with the batch in other hands, too
	if next.Batch != l.Batch || next.Token == l.Token || next.Attempt != 2 {
		t.Errorf("second lease %+v, want the same batch with another token in attempt 2", next)
	}
	done(t, server, next.Token, "ack", "")
	if st := server.settled(t); st.Completed != 5 {
		t.Errorf("completed %d, want 5", st.Completed)
	}
}

func TestALeaseThatIsExtendedDoesNotEnd(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir(), "--lease", "1s")
	server.accept(t, lines(5, 60))
	l := lease(t, server, `{"analyzer": "steady"}`)[0]
	begun := time.Now()
	waitFor(t, "more than two lease times to pass", func() bool {
		if r := act(t, server, l.Token, "extend", ""); r.status != 200 {
			t.Fatalf("extend after %v: %s, want 200", time.Since(begun), r)
		}
		return time.Since(begun) > 2500*time.Millisecond
	})
	done(t, server, l.Token, "ack", "{}")
	if st := server.settled(t); st.Redelivers != 0 {
		t.Errorf("%d batches were leased again, want none", st.Redelivers)
	}
}

func TestMistakesInTheWorkAPIAreNamed(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir())
	server.accept(t, lines(2, 60))
	l := lease(t, server, `{"analyzer": "a"}`)[0]
	tests := []struct {
		name, path, body string
		status           int
	}{
		{"lease with bad JSON", "", `{"analyzer": `, 400},
		{"lease with a wrong type", "", `{"max_batches": "many"}`, 400},
		{"lease of no batches", "", `{"analyzer": "a", "max_batches": 0}`, 400},
		{"lease of fewer than no batches", "", `{"analyzer": "a", "max_batches": -1}`, 400},
		{"lease of too many batches", "", `{"analyzer": "a", "max_batches": 65}`, 400},
		{"lease with a wait in the past", "", `{"analyzer": "a", "wait_seconds": -1}`, 400},
		{"a token of another kind", "/nonsense/ack", ``, 409},
		{"a token that was never given", "/0-1-0000000000000000/ack", ``, 409},
		{"a token of another form", "/99-1-0000000000000000/extend", ``, 409},
		{"ack with bad JSON", "/" + l.Token + "/ack", `{"failed": [`, 400},
		{"ack with a record out of range", "/" + l.Token + "/ack", `{"failed": [{"record": 2, "reason": "x"}]}`, 400},
		{"ack with a negative record", "/" + l.Token + "/ack", `{"failed": [{"record": -1, "reason": "x"}]}`, 400},
		{"ack with a record twice", "/" + l.Token + "/ack", `{"failed": [{"record": 0}, {"record": 0}]}`, 400},
		{"nack with bad JSON", "/" + l.Token + "/nack", `nope`, 400},
		{"nack with a delay in the past", "/" + l.Token + "/nack", `{"reason": "x", "delay_seconds": -1}`, 400},
		{"nack with an endless delay", "/" + l.Token + "/nack", `{"reason": "x", "delay_seconds": 1e12}`, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := ask(t, "POST", server.url+"/v1/leases"+tt.path, tt.body)
			var e remote.Error
			if json.Unmarshal([]byte(r.body), &e) != nil || r.status != tt.status || e.Message == "" {
				t.Errorf("%s: %s, want %d and an error", tt.body, r, tt.status)
			}
			if st := server.stats(t); st.InFlight != 2 {
				t.Errorf("in flight %d after a mistake, want the lease to go on with 2", st.InFlight)
			}
		})
	}
	done(t, server, l.Token, "ack", "")
	server.settled(t)
}

func TestAnAckWithAnImpossibleDelayIsAMistakeAsInANack(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir())
	server.accept(t, lines(2, 60))
	l := lease(t, server, `{"analyzer": "a"}`)[0]
	for _, delay := range []string{"-5", "1e12"} {
		r := act(t, server, l.Token, "ack", `{"failed": [{"record": 0, "reason": "x", "delay_seconds": `+delay+`}]}`)
		if r.status != 400 {
			t.Errorf("ack with a delay of %s seconds: %s, want 400", delay, r)
		}
	}
}

func TestATokenIsGoodAsAWholeOnly(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir())
	server.accept(t, lines(2, 60))
	l := lease(t, server, `{"analyzer": "a"}`)[0]
	stale(t, server, l.Token+"x", "ack")
	stale(t, server, "0"+l.Token, "ack")
	done(t, server, l.Token, "ack", "")
}

func TestALongPollWaitsForWorkOrComesBackEmpty(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir())
	begun := time.Now()
	r := ask(t, "POST", server.url+"/v1/leases", `{"analyzer": "a", "wait_seconds": 0.5}`)
	if waited := time.Since(begun); r.status != 200 || strings.TrimSpace(r.body) != `{"leases":[]}` || waited < 400*time.Millisecond {
		t.Errorf("long poll at an empty queue: %s after %v, want an empty list after half a second", r, waited)
	}
	got := make(chan reply, 1)
	go func() {
		r, err := send("POST", server.url+"/v1/leases", "application/json", strings.NewReader(`{"analyzer": "b", "wait_seconds": 60}`))
		if err != nil {
			t.Error(err)
		}
		got <- r
	}()
	waitFor(t, "b to wait", func() bool {
		rows := *server.stats(t).Remote
		return len(rows) == 2 && rows[1].Waiting
	})
	server.accept(t, lines(1, 60))
	var answer remote.LeaseAnswer
	if (<-got).decode(t, &answer); len(answer.Leases) != 1 {
		t.Errorf("a long poll got %+v, want the batch that came meanwhile", answer)
	}
}

func TestALeaseForSomebodyWhoHungUpIsGivenBack(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir(), "--lease", "1h")
	var conns []net.Conn
	for i := range 20 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		body := fmt.Sprintf(`{"analyzer": "gone-%d", "wait_seconds": 60}`, i)
		fmt.Fprintf(conn, "POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	waiting := func() (n int) {
		for _, r := range *server.stats(t).Remote {
			if r.Waiting {
				n++
			}
		}
		return n
	}
	waitFor(t, "twenty to wait for work", func() bool { return waiting() == 20 })
	for _, c := range conns {
		c.Close()
	}
	waitFor(t, "the server to notice that all have hung up", func() bool { return waiting() == 0 })
	server.accept(t, lines(4, 60))
	l := lease(t, server, `{"analyzer": "here", "wait_seconds": 30}`)[0]
	if len(l.Records) != 4 || l.Attempt != 1 {
		t.Errorf("lease %+v, want all four records in attempt 1", l)
	}
	done(t, server, l.Token, "ack", "")
	server.settled(t)
}
