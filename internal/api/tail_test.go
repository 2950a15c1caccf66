package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/internal/tap"
)

// TestTailOfWhatIsKept: who begins to look sees what has passed, can search it, and goes on behind a record without a gap.
func TestTailOfWhatIsKept(t *testing.T) {
	at, _, s := start(t, distributor.Options{})
	rooms := s.Rooms
	rooms.Tap = &tap.Tap{}
	rooms.Distributor.Stored = func(b *sluice.Batch) { rooms.Tap.Show(tap.In, b) }
	s.Rooms = rooms
	s.mux.HandleFunc("GET /tail", s.getTail)
	s.mux.HandleFunc("GET /recent", s.getTailRecent)
	call(t, "POST", at+"/v1/records", "application/json", `[{"severity":"INFO","body":"one"},{"severity":"ERROR","body":"two","status":500},{"severity":"WARN","body":"three"}]`)

	recent := func(query string) (r tap.Recent) {
		t.Helper()
		status, body, _ := call(t, "GET", at+"/recent?"+query, "", "")
		if err := json.Unmarshal([]byte(body), &r); err != nil || status != 200 {
			t.Fatalf("%s: %d %s", query, status, body)
		}
		return r
	}
	for query, want := range map[string]string{
		"": "one two three", "limit=2": "two three", "q=" + url.QueryEscape("severity:>=warn"): "two three", "q=status:500": "two", "level=info,warn": "one three", "edge=done": "",
	} {
		var got []string
		for _, r := range recent(query).Records {
			got = append(got, r.Body)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if status, body, _ := call(t, "GET", at+"/recent?q="+url.QueryEscape("/(/"), "", ""); status != 400 || !strings.Contains(body, "is no regular expression: missing closing )") {
		t.Errorf("a bad filter: %d %s", status, body)
	}

	first := recent("").Records[0].ID
	if around := recent(fmt.Sprintf("around=%d&limit=1", first)).Records; len(around) != 2 || around[1].Body != "two" {
		t.Errorf("around the first are %v, want it and the second", around)
	}
	if status, body, _ := call(t, "GET", at+"/recent?around=5", "", ""); status != 404 || !strings.Contains(body, "not kept") {
		t.Errorf("around a record that is not there: %d %s", status, body)
	}
	for query, want := range map[string]string{"": "one", "recent=1": "three", fmt.Sprintf("after=%d", first): "two"} {
		patient := &http.Client{Timeout: 20 * time.Second} // a stream without an event would have no end
		resp, err := patient.Get(at + "/tail?" + query)
		if err != nil {
			t.Fatal(err)
		}
		_, data := nextEvent(t, bufio.NewReader(resp.Body))
		resp.Body.Close()
		if !strings.Contains(string(data), fmt.Sprintf(`"body":%q`, want)) {
			t.Errorf("the tail with %q begins with %s, want %s", query, data, want)
		}
	}
}
