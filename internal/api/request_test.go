package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// TestWhatIsMisspeltChangesNothing: each request would change something if the server took what it knows and forgot the rest.
func TestWhatIsMisspeltChangesNothing(t *testing.T) {
	url, q, _ := start(t, distributor.Options{})
	b, err := sluice.BatchOf(time.Now(), sluice.Record{Body: "a"}, sluice.Record{Body: "b"}, sluice.Record{Body: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := q.Put(t.Context(), sluice.NewBatch([]byte("{}\n"), 1, time.Now())); err != nil {
		t.Fatal(err)
	}
	c := client(t, url)
	l := lease(t, c, "a")
	gone := lease(t, c, "a")
	if err := c.Nack(t.Context(), gone.Token, queue.Failure{Reason: "no", Discard: true}); err != nil {
		t.Fatal(err)
	}
	put(t, q, 1)
	long := strings.Repeat("x", remote.MaxName+1)
	id := strings.Repeat("ab", 12)
	of := func(token, what string) string { return "/v1/leases/" + token + "/" + what }
	tests := []struct{ method, path, body, want string }{
		{"POST", "/v1/leases", ``, "is empty"},
		{"POST", "/v1/leases", `{}`, "analyzer is required"},
		{"POST", "/v1/leases", `{"analyzr": "a"}`, `did you mean "analyzer"`},
		{"POST", "/v1/leases", `{"analyzer": "a"} {}`, "goes on after"},
		{"POST", "/v1/leases", `{"analyzer": "a", "max": 1}`, "max is unknown"},
		{"POST", "/v1/leases", `{"analyzer": "a", "max_batches": 1.5}`, "max_batches must be a whole number"},
		{"POST", "/v1/leases", `{"analyzer": "a", "max_batches": 0}`, "max_batches is 0, must be 1 to 64"},
		{"POST", "/v1/leases", `{"analyzer": "a", "max_batches": -1}`, "max_batches is -1"},
		{"POST", "/v1/leases", `{"analyzer": "a", "max_batches": 65}`, "max_batches is 65"},
		{"POST", "/v1/leases", `{"analyzer": "a", "max_batches": 1e30}`, "max_batches must be a whole number"},
		{"POST", "/v1/leases", `{"analyzer": "a", "wait_seconds": -1}`, "wait_seconds is -1"},
		{"POST", "/v1/leases", `{"analyzer": "a", "wait_seconds": 61}`, "wait_seconds is 61, must be 0 to 60"},
		{"POST", "/v1/leases", `{"analyzer": "a", "wait_seconds": 1e300}`, "wait_seconds is 1e+300"},
		{"POST", "/v1/leases", `{"analyzer": "a", "wait_seconds": 1e999}`, "wait_seconds must be a number"},
		{"POST", "/v1/leases", `{"analyzer": "a", "wait_seconds": NaN}`, "not JSON"},
		{"POST", "/v1/leases", `{"analyzer": "` + long + `"}`, "analyzer has 257 bytes, must have at most 256"},
		{"POST", "/v1/leases", `{"analyzer": "\u001b[2J"}`, `not safe to print: \\x1b[2J`},
		{"POST", "/v1/leases", `{"analyzer": "a\nb"}`, `not safe to print`},
		{"POST", "/v1/leases", `{"analyzer": "\u202e"}`, `not safe to print`},
		{"POST", "/v1/leases", "{\"analyzer\": \"\xff\"}", "not valid UTF-8"},
		{"POST", "/v1/leases", `{"analyzers": ["a", ""]}`, "analyzers[1] is required"},
		{"POST", "/v1/leases", `{"analyzers": ["a", "\u009b"]}`, "analyzers[1] has characters"},
		{"POST", "/v1/leases", `{"analyzers": [` + strings.Repeat(`"a",`, 64) + `"a"]}`, "more than 64"},
		{"POST", "/v1/leases", `{"max_batches": 0, "acks": [` + strings.Repeat(`"t",`, 256) + `"t"]}`, "more than 256"},
		{"POST", "/v1/leases", `{"analyzer": "a", "pad": "` + strings.Repeat("x", maxLease) + `"}`, "larger than"},
		{"POST", "/v1/leases?wait_seconds=5", `{"analyzer": "a"}`, "the parameter wait_seconds is unknown"},
		{"POST", of(l.Token, "ack"), `{"failed": [{"index": 2}]}`, `failed[0].index is unknown; did you mean \"record\"?`},
		{"POST", of(l.Token, "ack"), `{"failed": [{"reason": "x"}]}`, "failed[0].record is required"},
		{"POST", of(l.Token, "ack"), `{"failed": [{"record": null}]}`, "failed[0].record is required"},
		{"POST", of(l.Token, "ack"), `{"failed": [null]}`, "must not be null"},
		{"POST", of(l.Token, "ack"), `{"failed": [{"record": "2"}]}`, "whole number"},
		{"POST", of(l.Token, "ack"), `{"failed": [{"record": 2, "record": 1}]}`, "record is there twice"},
		{"POST", of(l.Token, "ack"), `{"failed": [{"record": 3}]}`, "failed record 3"},
		{"POST", of(l.Token, "ack"), `{"failed": [{"record": -1}]}`, "failed record -1"},
		{"POST", of(l.Token, "ack"), `{"failed": [{"record": 2}, {"record": 2}]}`, "failed record 2"},
		{"POST", of(l.Token, "ack"), `{"failed": [{"record": 2, "delay_seconds": -1}]}`, "failed[0].delay_seconds is -1"},
		{"POST", of(l.Token, "ack"), `{"failed": [{"record": 2, "delay_seconds": 1e9}]}`, "a week"},
		{"POST", of(l.Token, "ack"), `{"fialed": [{"record": 2}]}`, `did you mean`},
		{"POST", of(l.Token, "ack"), `[{"record": 2}]`, "must be an object"},
		{"POST", of(l.Token, "ack"), `null`, "must be an object"},
		{"POST", of(l.Token, "ack"), `{"failed": []} trailing`, "goes on after"},
		{"POST", of(l.Token, "ack") + "?failed=2", ``, "the parameter failed is unknown"},
		{"POST", of(l.Token, "nack"), ``, "is empty"},
		{"POST", of(l.Token, "nack"), `{}`, "reason is required"},
		{"POST", of(l.Token, "nack"), `{"reason": "x", "discrad": true}`, `did you mean`},
		{"POST", of(l.Token, "nack"), `{"reason": "x", "record": 1}`, `record is unknown`},
		{"POST", of(l.Token, "nack"), `{"reason": "x", "discard": true, "hand_back": true}`, "one of them"},
		{"POST", of(l.Token, "nack"), `{"reason": "x", "delay_seconds": 604801}`, "a week"},
		{"POST", of(l.Token, "nack"), `{"reason": 7}`, "reason must be a text"},
		{"POST", of(l.Token, "extend"), `{"seconds": 60}`, "seconds is unknown"},
		{"POST", of(l.Token, "extend") + "?seconds=60", ``, "the parameter seconds is unknown"},
		{"POST", "/v1/results", ``, "is empty"},
		{"POST", "/v1/results", `{}`, "batch is required"},
		{"POST", "/v1/results", `{"batch": "` + id + `"}`, "records is required"},
		{"POST", "/v1/results", `{"batch": "b", "records": 1}`, "24 hexadecimal digits"},
		{"POST", "/v1/results", `{"batch": "` + id + `", "records": -1}`, "records is -1"},
		{"POST", "/v1/results", `{"batch": "` + id + `", "records": 9223372036854775807}`, "records is 9223372036854775807"},
		{"POST", "/v1/results", `{"batch": "` + id + `", "records": 1, "bytes": -1}`, "bytes is -1"},
		{"POST", "/v1/results", `{"batch": "` + id + `", "records": NaN}`, "not JSON"},
		{"POST", "/v1/results", `{"batch": "` + id + `", "records": 1, "by_severity": {"INFO": {"records": -1}}}`, "by_severity counts -1"},
		{"POST", "/v1/results", `{"batch": "` + id + `", "records": 1, "by_severity": {"INFO": {"records": 2}}}`, "no more than"},
		{"POST", "/v1/results", `{"batch": "` + id + `", "records": 1, "by_service": {"a\u001b": {"records": 1}}}`, "safe to print"},
		{"POST", "/v1/results", `{"batch": "` + id + `", "records": 1, "by_service": {"` + long + `": {"records": 1}}}`, "1 to 128 bytes"},
		{"POST", "/v1/results", `{"batch": "` + id + `", "records": 1, "emitters": {"e": [[1, 2]]}}`, "more records"},
		{"POST", "/v1/results", `{"batch": "` + id + `", "records": 1, "emitters": {"e": [[0, 18446744073709551615]]}}`, "numbers 0 to"},
		{"POST", "/v1/results", `{"batch": "` + id + `", "records": 1, "again": {"e": 1}}`, "not among emitters"},
		{"POST", "/v1/results", `{"batch": "` + id + `", "records": 1, "by_servcie": {}}`, "did you mean"},
		{"DELETE", "/v1/dead?kidn=x", ``, "the parameter kidn is unknown; known: kind"},
		{"DELETE", "/v1/dead?kind=", ``, "the parameter kind is empty"},
		{"DELETE", "/v1/dead?kind=a&kind=no", ``, "there twice"},
		{"DELETE", "/v1/dead?kind=%zz", ``, "cannot be read"},
		{"DELETE", "/v1/dead?kind=no;x", ``, "cannot be read"},
		{"DELETE", "/v1/dead", `{"kind": "x"}`, "kind is unknown"},
		{"POST", "/v1/dead/retry?id=7", ``, "the parameter id is unknown"},
		{"POST", "/v1/dead/retry", `{"ids": [7]}`, "ids is unknown"},
		{"DELETE", "/v1/dead/1?kind=x", ``, "the parameter kind is unknown"},
		{"DELETE", "/v1/dead/01x", ``, "whole number"},
		{"POST", "/v1/dead/1/retry", `{"delay_seconds": 60}`, "delay_seconds is unknown"},
		{"POST", "/v1/autoscaler/pause", `{"seconds": 60}`, "seconds is unknown"},
		{"POST", "/v1/autoscaler/pause?for=60", ``, "the parameter for is unknown"},
		{"POST", "/v1/autoscaler/resume", `{"in": 60}`, "in is unknown"},
		{"POST", "/v1/autoscaler/force", ``, "is empty"},
		{"POST", "/v1/autoscaler/force", `{"sise": 1, "seconds": 60}`, `did you mean`},
		{"POST", "/v1/autoscaler/force", `{"size": -1, "seconds": 60}`, "size is -1"},
		{"POST", "/v1/autoscaler/force", `{"size": 1, "seconds": 0}`, "seconds is 0"},
		{"POST", "/v1/autoscaler/force", `{"size": 1, "seconds": 1e12}`, "366 days"},
		{"POST", "/v1/autoscaler/force", `{"size": null, "seconds": 60}`, "size is required"},
		{"POST", "/v1/analyzers/x/drain", `{"after": 1}`, "after is unknown"},
		{"POST", "/v1/analyzers/x/kill?now=1", ``, "the parameter now is unknown"},
	}
	before := everything(t, url)
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %.40s %.60s", tt.method, tt.path, tt.body), func(t *testing.T) {
			status, body, _ := call(t, tt.method, url+tt.path, "application/json", tt.body)
			var e remote.Error
			want := http.StatusBadRequest
			if strings.Contains(tt.want, "larger") {
				want = http.StatusRequestEntityTooLarge
			}
			if json.Unmarshal([]byte(body), &e) != nil || status != want || !strings.Contains(body, tt.want) && !strings.Contains(e.Message, tt.want) || e.Hint == "" && want == 400 && !strings.Contains(tt.want, "failed record") {
				t.Errorf("%d %.300s, want %d with %s", status, body, want, tt.want)
			}
		})
	}
	if after := everything(t, url); after != before {
		t.Errorf("mistakes changed\n%s\nto\n%s", before, after)
	}
	// What is right still is.
	for _, tt := range []struct{ method, path, body string }{
		{"POST", of(l.Token, "extend"), ``}, {"POST", of(l.Token, "extend"), `{}`},
		{"POST", of(l.Token, "ack"), `{"failed": [{"record": 2, "reason": "x", "discard": true}]}`},
		{"POST", "/v1/dead/retry?kind=no", ``}, {"DELETE", "/v1/dead", `{}`},
	} {
		if status, body, _ := call(t, tt.method, url+tt.path, "application/json", tt.body); status != 200 {
			t.Errorf("%s %s %s: %d %s, want 200", tt.method, tt.path, tt.body, status, body)
		}
	}
}

// everything is what could be changed.
func everything(t *testing.T, url string) string {
	t.Helper()
	var all strings.Builder
	_, body, _ := call(t, "GET", url+"/v1/stats", "", "")
	var st Stats
	if err := json.Unmarshal([]byte(body), &st); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&all, st.Accepted, st.Completed, st.Dead, st.Depth, st.InFlight, st.Redelivers, st.Autoscaler.Paused, st.Autoscaler.ForcedSize, len(*st.Remote))
	for _, path := range []string{"/v1/dead", "/v1/results"} {
		_, body, _ := call(t, "GET", url+path, "", "")
		all.WriteString(body)
	}
	return all.String()
}
