package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/emitter"
	"github.com/sluicehq/sluice/internal/api"
)

// web is what tests ask with: no test waits for an answer for ever.
var web = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64, ExpectContinueTimeout: patience}}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) String() string { return fmt.Sprintf("%d %.400s", r.status, r.body) }

// decode reads the JSON of an answer.
func (r reply) decode(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		t.Fatalf("answer %s: %v", r, err)
	}
}

// send asks without failing the test, for servers that may be away.
func send(method, url, contentType string, body io.Reader, headers ...string) (reply, error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return reply{}, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := web.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(text)}, err
}

// ask sends a request that has to be answered.
func ask(t *testing.T, method, url, body string, headers ...string) reply {
	t.Helper()
	contentType := ""
	if body != "" {
		contentType = "application/json"
	}
	r, err := send(method, url, contentType, strings.NewReader(body), headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return r
}

// post sends records as NDJSON.
func (p *process) post(t *testing.T, body string, headers ...string) reply {
	t.Helper()
	r, err := send("POST", p.url+"/v1/records", "application/x-ndjson", strings.NewReader(body), headers...)
	if err != nil {
		t.Fatalf("post records: %v", err)
	}
	return r
}

// accept posts records that must all be accepted.
func (p *process) accept(t *testing.T, body string) {
	t.Helper()
	want := fmt.Sprintf(`{"accepted":%d,"rejected":0,"errors":[]}`, strings.Count(body, "\n"))
	if r := p.post(t, body); r.status != 200 || strings.TrimSpace(r.body) != want {
		t.Fatalf("post of good records: %s, want 200 %s", r, want)
	}
}

// stats asks a server that has to answer.
func (p *process) stats(t *testing.T) api.Stats {
	t.Helper()
	var st api.Stats
	r := ask(t, "GET", p.url+"/v1/stats", "")
	if r.status != 200 {
		t.Fatalf("stats: %s", r)
	}
	r.decode(t, &st)
	return st
}

// tryStats asks a server that may be away.
func (p *process) tryStats() (st api.Stats, ok bool) {
	r, err := send("GET", p.url+"/v1/stats", "", nil)
	if err != nil || r.status != 200 || json.Unmarshal([]byte(r.body), &st) != nil {
		return st, false
	}
	return st, true
}

// decisions asks for the whole ledger.
func (p *process) decisions(t *testing.T) api.Decisions {
	t.Helper()
	var d api.Decisions
	ask(t, "GET", p.url+"/v1/decisions", "").decode(t, &d)
	return d
}

// force sets a size of the pool by hand.
func (p *process) force(t *testing.T, size int) {
	t.Helper()
	r := ask(t, "POST", p.url+"/v1/autoscaler/force", fmt.Sprintf(`{"size": %d, "seconds": 600}`, size))
	if r.status != 200 {
		t.Fatalf("force size %d: %s", size, r)
	}
}

// addsUp checks the account of a queue.
func addsUp(t *testing.T, when string, st api.Stats) {
	t.Helper()
	q := st.QueueStats
	if q == nil {
		t.Fatalf("%s: the statistics have no account of the queue", when)
	}
	if sum := q.Completed + q.Dead + q.Depth + q.InFlight; q.Accepted != sum || q.Completed < 0 || q.Depth < 0 || q.InFlight < 0 || q.Dead < 0 {
		t.Errorf("%s: accepted %d, but completed %d + dead %d + depth %d + in flight %d = %d",
			when, q.Accepted, q.Completed, q.Dead, q.Depth, q.InFlight, sum)
	}
}

// settled waits until a queue has nothing left to do, and checks that the account is closed.
func (p *process) settled(t *testing.T) api.Stats {
	t.Helper()
	var st api.Stats
	defer func() {
		if t.Failed() && st.QueueStats != nil {
			t.Logf("the account: %+v", *st.QueueStats)
		}
	}()
	waitLong(t, "the queue to be done", patience, func() bool {
		st = p.stats(t)
		return st.Depth == 0 && st.InFlight == 0
	})
	addsUp(t, "after the last record", st)
	if st.Accepted != st.Completed+st.Dead {
		t.Errorf("after the last record: accepted %d, want completed %d + dead %d", st.Accepted, st.Completed, st.Dead)
	}
	return st
}

// emit starts an emitter that verifies.
func emit(t *testing.T, server *process, args ...string) *process {
	t.Helper()
	return begin(t, plain(t), append([]string{"emit", "--verify", "--json", "--verify-timeout", "4m", "--distributor", server.url}, args...)...)
}

// account waits for an emitter's account and wants nothing to be lost.
func (p *process) account(t *testing.T) emitter.Account {
	t.Helper()
	code := p.waitUntil(5 * time.Minute)
	var a emitter.Account
	if err := json.Unmarshal([]byte(p.stdout.String()), &a); err != nil {
		t.Fatalf("emit ended with %d and no account (%v): %s%s", code, err, p.stdout.String(), tail(p.stderr.String(), 3000))
	}
	if code != 0 || !a.OK() || a.ByCounters || a.Acknowledged == 0 || a.Analyzed+a.Dead != a.Acknowledged {
		t.Errorf("emit ended with %d, want every acknowledged record analyzed or dead:\n%s", code, a)
	}
	return a
}

// lines makes records with numbered bodies of about so many bytes.
func lines(n, size int) string {
	var b bytes.Buffer
	filler := strings.Repeat("x", max(size-40, 0))
	for i := range n {
		fmt.Fprintf(&b, `{"severity":"INFO","body":"%08d %s"}`+"\n", i, filler)
	}
	return b.String()
}

// resident is the memory of a process in bytes.
func (p *process) resident(t *testing.T) int64 { return p.status(t, "VmRSS:") }

// mostResident is the most memory that a process ever had, in bytes.
func (p *process) mostResident(t *testing.T) int64 { return p.status(t, "VmHWM:") }

func (p *process) status(t *testing.T, row string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skipf("memory can't be measured here: %v", err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, row); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	t.Skipf("/proc tells no %s", row)
	return 0
}

// pushedBack checks that an answer asks to come again later, in full form.
func pushedBack(t *testing.T, r reply) {
	t.Helper()
	var e struct {
		Error string `json:"error"`
	}
	seconds, err := strconv.Atoi(r.header.Get("Retry-After"))
	if r.status != 503 || err != nil || seconds < 1 || json.Unmarshal([]byte(r.body), &e) != nil || e.Error == "" {
		t.Errorf("got %s with Retry-After %q, want 503, a whole number of seconds, and an error", r, r.header.Get("Retry-After"))
	}
}
