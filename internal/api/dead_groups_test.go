package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/internal/tap"
	"github.com/sluicehq/sluice/queue"
)

// bury makes a dead letter of each reason.
func bury(t *testing.T, url string, q *testQueue, reasons ...string) {
	t.Helper()
	for i, reason := range reasons {
		call(t, "POST", url+"/v1/records", "application/json", fmt.Sprintf(`{"body":"record %d"}`, i))
		leases, err := q.Lease(t.Context(), queue.Request{Analyzer: "a", Max: 1, Wait: time.Second})
		if err != nil || len(leases) != 1 {
			t.Fatalf("%d leases, %v", len(leases), err)
		}
		if err := q.Nack(t.Context(), leases[0].Token, queue.Failure{Reason: reason, Discard: true}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, same := range [][]string{
		{"timeout after 3.5s", "timeout after 12s", "timeout after 700ms"},
		{`user "bob" not found`, `user "alice o'hara" not found`},
		{"dial 10.0.0.1:5432: refused", "dial 10.0.0.2:5433: refused"},
		{"row 6c7fc6c7c2a1 is gone", "row 91ab00ffe1c3 is gone"},
		{"at 0xc000123", "at 0xdeadbeef"},
	} {
		for _, reason := range same[1:] {
			if kindOf(reason) != kindOf(same[0]) {
				t.Errorf("%q is %q, but %q is %q: want the same", same[0], kindOf(same[0]), reason, kindOf(reason))
			}
		}
	}
	if kind := kindOf(strings.Repeat(`"x"`, 100)); !utf8.ValidString(kind) || len(kind) > mostKind {
		t.Errorf("a kind that was cut is %q", kind)
	}
	if a, b := kindOf("no text"), kindOf("no severity"); a == b {
		t.Errorf("both are %q", a)
	}
}

func TestDeadLettersByKind(t *testing.T) {
	url, q, _ := start(t, distributor.Options{})
	bury(t, url, q, "timeout after 3s", "no text", "timeout after 9s", "timeout after 4s")
	_, body, _ := call(t, "GET", url+"/v1/dead/groups", "", "")
	var a struct {
		Groups    []DeadGroup
		Truncated bool
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if len(a.Groups) != 2 || a.Groups[0].Letters != 3 || a.Groups[0].Reason != "timeout after 4s" || a.Groups[1].Records != 1 || a.Truncated {
		t.Fatalf("groups are %s, want three of timeout, the newest first, and one of no text", body)
	}
	kind := "kind=" + strings.ReplaceAll(strings.ReplaceAll(a.Groups[0].Kind, "#", "%23"), " ", "+")
	if _, body, _ := call(t, "GET", url+"/v1/dead?limit=2&"+kind, "", ""); strings.Count(body, "timeout") != 2 || strings.Contains(body, "no text") {
		t.Errorf("a page of the kind: %s", body)
	}
	status, body, h := call(t, "GET", url+"/v1/dead/export?"+kind, "", "")
	if status != 200 || strings.Count(body, "\n") != 2 || strings.Contains(body, "record 1") || !strings.Contains(h.Get("Content-Disposition"), "attachment") {
		t.Errorf("the export of the kind: %d %q", status, body)
	}
	if _, body, _ := call(t, "POST", url+"/v1/dead/retry?"+kind, "", ""); !strings.Contains(body, `"count":3`) {
		t.Errorf("retry of the kind: %s", body)
	}
	if _, body, _ := call(t, "GET", url+"/v1/dead", "", ""); strings.Contains(body, "timeout") || !strings.Contains(body, "no text") {
		t.Errorf("left is %s, want no text alone", body)
	}
	if _, body, _ := call(t, "DELETE", url+"/v1/dead?kind=nothing", "", ""); !strings.Contains(body, `"count":0`) {
		t.Errorf("drop of a kind that is not there: %s", body)
	}
	if _, body, _ := call(t, "DELETE", url+"/v1/dead?kind=no+text", "", ""); !strings.Contains(body, `"count":1`) {
		t.Errorf("drop of the kind: %s", body)
	}
}

func TestTail(t *testing.T) {
	url, q, s := start(t, distributor.Options{})
	rooms := s.Rooms
	rooms.Tap = &tap.Tap{}
	rooms.Distributor.Stored = func(b *sluice.Batch) { rooms.Tap.Show(tap.In, b) }
	s.Rooms = rooms
	s.mux.HandleFunc("GET /tail", s.getTail)
	for _, bad := range []string{"edge=out", "rate=5000", "rate=many", "recent=2001", "after=x", "level=loud", "q=/(/", "q=status:%3E%3Dmany"} {
		if status, body, _ := call(t, "GET", url+"/tail?"+bad, "", ""); status != 400 {
			t.Errorf("%s: %d %s, want 400", bad, status, body)
		}
	}
	resp, err := http.Get(url + "/tail?q=DISK&severity=error,warn")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	in.ReadString('\n') // it listens from here on
	call(t, "POST", url+"/v1/records", "application/json",
		`[{"severity":"INFO","body":"disk ok"},{"severity":"ERROR","body":"net down"},{"severity":"error","body":"disk <b>full</b>","service":"db"}]`)
	name, data := nextEvent(t, in)
	var r tap.Record
	if err := json.Unmarshal(data, &r); err != nil || name != "record" || r.Body != "disk <b>full</b>" || r.Service != "db" || r.Edge != "in" {
		t.Errorf("%s %s, %v; want the one record that matches", name, data, err)
	}

	dead, err := http.Get(url + "/tail?edge=dead")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Body.Close()
	in = bufio.NewReader(dead.Body)
	in.ReadString('\n')
	for leases := 1; leases > 0; { // what was posted above is in the way
		l, err := q.Lease(t.Context(), queue.Request{Analyzer: "a", Max: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range l {
			q.Ack(t.Context(), l.Token)
		}
		leases = len(l)
	}
	done := make(chan []byte)
	go func() {
		_, data := nextEvent(t, in)
		done <- data
	}()
	for i := 0; ; i++ { // the first ones may come before it looks
		bury(t, url, q, fmt.Sprint("no text ", i))
		select {
		case data := <-done:
			if !strings.Contains(string(data), `"body":"record 0"`) {
				t.Errorf("a dead letter: %s", data)
			}
			return
		case <-time.After(300 * time.Millisecond):
			if i > 50 {
				t.Fatal("no dead letter was seen")
			}
		}
	}
}

func TestFlow(t *testing.T) {
	problem := &QueueStats{Depth: 5, OldestWait: 3, Problem: "no space", Dead: 2}
	f := flow(Stats{QueueStats: problem, Ingest: &IngestStats{}, Pool: &analyzer.Stats{Size: 2, Busy: 1}}, Rates{In: 4, Out: 3, Failed: 1, PushedBack: 1})
	states := map[string]string{}
	for _, n := range f.Nodes {
		states[n.ID] = n.State
	}
	want := map[string]string{"http": "warning", "queue": "critical", "analyzers": "ok", "sink": "ok", "dead": "warning"}
	for id, state := range want {
		if states[id] != state {
			t.Errorf("%s is %q, want %q", id, states[id], state)
		}
	}
	for _, e := range f.Edges {
		if states[e.From] == "" || states[e.To] == "" {
			t.Errorf("the edge %+v leads nowhere", e)
		}
		if e.To == "analyzers" && (e.Lag != 3 || e.Records != 3 || e.Errors != 1) {
			t.Errorf("the edge to the analyzers is %+v", e)
		}
	}
	if f := flow(Stats{QueueStats: &QueueStats{}, Remote: &[]remoteAnalyzer{}}, Rates{}); len(f.Edges) != 1 {
		t.Errorf("nobody works: %+v, want only the way to the dead letters", f.Edges)
	}
}

func TestOneAnalyzerIsTold(t *testing.T) {
	url, _, _ := start(t, distributor.Options{})
	if status, body, _ := call(t, "POST", url+"/v1/analyzers/a-77/drain", "", ""); status != 404 || !strings.Contains(body, "a-77") {
		t.Errorf("one that is not there: %d %s", status, body)
	}
}
