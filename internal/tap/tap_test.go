package tap

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestASampleIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tap Tap
		l := tap.Listen(Query{Edge: In, Rate: 10})
		defer tap.Close(l)
		lines := []byte(strings.Repeat("{\"body\":\"x\"}\n", 100))
		tap.Offer(In, lines)
		tap.Offer(Done, lines)
		if got, skipped := len(l.Records), l.Skipped(); got != 10 || skipped != 90 {
			t.Errorf("%d passed on and %d skipped, want 10 and 90", got, skipped)
		}
		time.Sleep(time.Second)
		tap.Offer(In, lines) // nobody took the first ones
		if got, skipped := len(l.Records), l.Skipped(); got != 10 || skipped != 100 {
			t.Errorf("a second later %d wait and %d were skipped, want 10 and 100", got, skipped)
		}
	})
}

func TestListenersComeAndGo(t *testing.T) {
	var tap Tap
	var all []*Listener
	for range mostListeners {
		all = append(all, tap.Listen(Query{Edge: Done}))
	}
	if tap.Listen(Query{Edge: In}) != nil {
		t.Error("one too many was let in")
	}
	if !tap.Listened(Done) || tap.Listened(In) {
		t.Error("want somebody at done and nobody at in")
	}
	for _, l := range all {
		tap.Close(l)
		tap.Close(l) // once is enough
	}
	if tap.Listened(Done) || tap.Listen(Query{}) == nil {
		t.Error("want nobody, and room")
	}
	var none *Tap
	none.Offer(In, []byte("{}\n"))
	if none.Listened(In) {
		t.Error("somebody listens on nothing")
	}
}

func TestWhatIsPassedOn(t *testing.T) {
	long := strings.Repeat("ä", mostLine)
	tests := []struct{ line, body, severity, service string }{
		{`{"body":"disk full","severity":"ERROR","service":"db"}`, "disk full", "ERROR", "db"},
		{`{"message":"hello","level":"info"}`, "hello", "INFO", ""},
		{`{"MESSAGE":"no","PRIORITY":"3","SYSLOG_IDENTIFIER":"sshd","__REALTIME_TIMESTAMP":"1704103200000000"}`, "no", "ERROR", "sshd"},
		{`{"body":"<11>Jan  1 10:00:00 web1 app[12]: no"}`, "<11>Jan  1 10:00:00 web1 app[12]: no", "ERROR", "app"},
		{`{"body":{"a":1}}`, `{"a":1}`, "", ""},
		{`{"answer":42}`, `{"answer":42}`, "", ""},
		{`not JSON at all`, `not JSON at all`, "", ""},
		{fmt.Sprintf(`{"body":%q}`, long), long[:mostLine], "", ""},
	}
	for _, tt := range tests {
		var tap Tap
		l := tap.Listen(Query{Edge: In})
		tap.Offer(In, []byte(tt.line+"\n"))
		r := <-l.Records
		if r.Body != tt.body || r.Severity != tt.severity || r.Service != tt.service {
			t.Errorf("%.60s: %.60q %q %q, want %.60q %q %q", tt.line, r.Body, r.Severity, r.Service, tt.body, tt.severity, tt.service)
		}
		if cut := len(tt.line) > mostLine; r.Cut != cut || (r.Line == nil) != cut {
			t.Errorf("%.60s: cut %v with a line of %d bytes", tt.line, r.Cut, len(r.Line))
		}
	}
}

func TestFilters(t *testing.T) {
	var tap Tap
	l := tap.Listen(Query{Edge: In, Text: "DiSk", Severities: []string{"err"}, Rate: 50})
	tap.Offer(In, []byte("{\"body\":\"disk\"}\n{\"severity\":\"error\",\"body\":\"the DISK\"}\n{\"severity\":\"error\",\"body\":\"net\"}"))
	if len(l.Records) != 1 {
		t.Fatalf("%d records pass the filter, want one", len(l.Records))
	}
	if r := <-l.Records; r.Body != "the DISK" {
		t.Errorf("%+v passes the filter, want the disk", r)
	}
}

func TestRecordsWithoutASeverityCanBeAskedFor(t *testing.T) {
	var tap Tap
	l := tap.Listen(Query{Edge: In, Severities: []string{"Unknown", "notice", "no such"}, Rate: 50})
	tap.Offer(In, []byte("{\"body\":\"a\"}\n{\"level\":30,\"body\":\"b\"}\n{\"level\":40,\"body\":\"c\"}"))
	if len(l.Records) != 2 {
		t.Errorf("%d records, want the one without a severity and the one with that of a notice, INFO", len(l.Records))
	}
}

func TestTheTimeIsTheRecords(t *testing.T) {
	var tap Tap
	l := tap.Listen(Query{Edge: In, Rate: 50})
	before := time.Now()
	tap.Offer(In, []byte("{\"ts\":1704103200.5}\n{\"body\":\"no time\"}\n"))
	if len(l.Records) != 2 {
		t.Fatalf("%d records, want 2", len(l.Records))
	}
	if r := <-l.Records; !r.Time.Equal(time.Unix(1704103200, 5e8)) {
		t.Errorf("the time is %v, want that of the record", r.Time)
	}
	if r := <-l.Records; r.Time.Before(before) {
		t.Errorf("without one the time is %v, want that at which it passed", r.Time)
	}
}

// BenchmarkOfferToNobody is what every body of records costs while nobody looks.
func BenchmarkOfferToNobody(b *testing.B) {
	var tap Tap
	lines := []byte(strings.Repeat("{\"body\":\"x\"}\n", 500))
	for b.Loop() {
		tap.Offer(In, lines)
	}
}
