package count_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/internal/ranges"
)

func batch(lines ...string) *sluice.Batch {
	return sluice.NewBatch([]byte(strings.Join(lines, "\n")+"\n"), len(lines), time.Now())
}

func TestCountsBySeverityAndService(t *testing.T) {
	for name, c := range map[string]struct{ line, severity, service string }{
		"plain":                       {`{"severity":"INFO","resource":{"service.name":"api"}}`, "INFO", "api"},
		"nothing":                     {`{}`, "unknown", "unknown"},
		"blanks":                      {` { "severity" : "INFO" , "service" : "api" } `, "INFO", "api"},
		"other names":                 {`{"level":"warning","service":"api"}`, "WARN", "api"},
		"a number":                    {`{"level":50,"name":"api","pid":1}`, "ERROR", "api"},
		"the first name wins":         {`{"level":"warn","severity_text":"ERROR","loglevel":"x"}`, "ERROR", "unknown"},
		"what is no severity is none": {`{"severity":"banana","level":"warn"}`, "WARN", "unknown"},
		"only other types":            {`{"severity":{"a":[1]},"resource":7,"attributes":null,"service":3}`, "unknown", "unknown"},
		"empty texts":                 {`{"severity":"","level":"","resource":{"service.name":""},"service":"api"}`, "unknown", "api"},
		"resource before attributes":  {`{"attributes":{"service.name":"b"},"resource":{"service":"a"},"service":"c"}`, "unknown", "a"},
		"attributes before record":    {`{"service.name":"c","attributes":{"service":"b"}}`, "unknown", "b"},
		"escapes in a value":          {`{"severity":"\u0049NFO","service":"a\"b"}`, "INFO", `a"b`},
		"escapes in a key":            {`{"s\u0065verity":"INFO"}`, "INFO", "unknown"},
		"the last of two keys":        {`{"severity":"error","severity":"warn"}`, "WARN", "unknown"},
		"a long name":                 {`{"service":"` + strings.Repeat("x", 127) + `é"}`, "unknown", strings.Repeat("x", 125) + "…"},
		"a name of controls":          {`{"severity":"\u001b[2J\n\u202e","service":"\u009b"}`, "unknown", `\u009b`},
		"a line of text":              {`{"body":"<11>Jan  1 10:00:00 web1 app[12]: cannot write"}`, "ERROR", "app"},
		"a record within the text":    {`{"log":"{\"level\":\"fatal\",\"service\":\"api\"}\n","stream":"stderr"}`, "FATAL", "api"},
	} {
		t.Run(name, func(t *testing.T) {
			r, unreadable, err := count.Count(batch(c.line))
			if err != nil || len(unreadable) > 0 {
				t.Fatalf("Count = %v, %v", unreadable, err)
			}
			want := count.Tally{Records: 1, Bytes: int64(len(c.line)) + 1}
			if r.BySeverity[c.severity] != want || len(r.BySeverity) != 1 {
				t.Errorf("by severity %v, want %q: %v", r.BySeverity, c.severity, want)
			}
			if r.ByService[c.service] != want || len(r.ByService) != 1 {
				t.Errorf("by service %v, want %q: %v", r.ByService, c.service, want)
			}
		})
	}
}

func numbered(emitter string, seq any) string {
	b, _ := json.Marshal(map[string]any{"attributes": map[string]any{"sluice.emitter": emitter, "sluice.seq": seq}})
	return string(b)
}

func TestTracksEmitters(t *testing.T) {
	b := batch(
		numbered("a", 1), numbered("a", 2), numbered("b", 7), numbered("a", 3), numbered("a", 2), numbered("a", 9),
		numbered("a", "10"), numbered("a", 1.5), numbered("a", -1), numbered("a", 0), numbered("", 4),
		numbered(strings.Repeat("x", 200), 1), `{"attributes":{"sluice.seq":18446744073709551615,"sluice.emitter":"a"}}`,
	)
	r, _, err := count.Count(b)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(r.Emitters)
	if want := `{"a":[[1,3],[9,9]],"b":[[7,7]]}`; string(got) != want {
		t.Errorf("emitters %s, want %s", got, want)
	}
	if want := map[string]uint64{"a": 1}; !maps.Equal(r.Again, want) {
		t.Errorf("again %v, want %v", r.Again, want)
	}
	if r.Records != 13 || r.Bytes != int64(b.Size()) {
		t.Errorf("%d records, %d bytes; want 13, %d", r.Records, r.Bytes, b.Size())
	}
}

func TestHandlerWaitsForTheSink(t *testing.T) {
	full := errors.New("disk full")
	h := count.Handler(count.SinkFunc(func(context.Context, count.Result) error { return full }))
	if err := h.Handle(t.Context(), batch(`{}`)); !errors.Is(err, full) {
		t.Errorf("Handle = %v, want %v", err, full)
	}
}

func TestAnUnreadableRecordIsDiscardedAlone(t *testing.T) {
	var written count.Result
	h := count.Handler(count.SinkFunc(func(_ context.Context, r count.Result) error { written = r; return nil }))
	err := h.Handle(t.Context(), batch(`{}`, `{"severity":`, `{}`))
	failed, ok := errors.AsType[analyzer.RecordErrors](err)
	if !ok || len(failed) != 1 || written.Records != 2 {
		t.Fatalf("Handle = %v with %d records counted, want record 1 to fail and 2 counted", err, written.Records)
	}
	if _, ok := errors.AsType[*analyzer.DiscardError](failed[1]); !ok {
		t.Errorf("record 1 fails with %v, want it to be discarded", failed[1])
	}
}

func result(t *testing.T, lines ...string) count.Result {
	t.Helper()
	r, _, err := count.Count(batch(lines...))
	if err != nil {
		t.Fatal(err)
	}
	r.Time = time.Now()
	return r
}

func TestTotalsTellWhatWasAnalyzedTwice(t *testing.T) {
	totals := count.NewTotals(time.Time{})
	totals.Add(result(t, numbered("a", 1), numbered("a", 2), numbered("a", 2)))
	totals.Add(result(t, numbered("a", 2), numbered("a", 3), numbered("b", 1)))
	for id, want := range map[string][2]uint64{"a": {3, 2}, "b": {1, 0}} {
		if e := totals.Emitters[id]; e.Analyzed != want[0] || e.Twice != want[1] {
			t.Errorf("emitter %s: %d analyzed, %d twice; want %v", id, e.Analyzed, e.Twice, want)
		}
	}
	if totals.Records != 6 || totals.Batches != 2 || totals.BySeverity["unknown"].Records != 6 {
		t.Errorf("totals %+v, want 6 records in 2 batches", totals)
	}
}

func TestTotalsAreBounded(t *testing.T) {
	totals := count.NewTotals(time.Time{})
	start := time.Now()
	n := count.MaxEmitters + count.MaxEmitters/2
	for i := range n {
		var numbers ranges.Set
		numbers.Add(1, 1)
		totals.Add(count.Result{
			Time: start.Add(time.Duration(i) * time.Second), Records: 1,
			BySeverity: map[string]count.Tally{fmt.Sprint(i): {Records: 1, Bytes: 2}},
			ByService:  map[string]count.Tally{fmt.Sprint(i): {Records: 1, Bytes: 2}},
			Emitters:   map[string]*ranges.Set{fmt.Sprint("e", i): &numbers},
		})
		if len(totals.Emitters) > count.MaxEmitters {
			t.Fatalf("%d emitters, want at most %d", len(totals.Emitters), count.MaxEmitters)
		}
	}
	if totals.Emitters["e0"] != nil || totals.Emitters[fmt.Sprint("e", n-1)] == nil {
		t.Error("the first emitter is still there or the last is gone, want the least recently seen to go")
	}
	if totals.Forgotten+int64(len(totals.Emitters)) != int64(n) {
		t.Errorf("%d forgotten and %d there, want %d together", totals.Forgotten, len(totals.Emitters), n)
	}
	want := count.Tally{Records: int64(n - count.MaxNames), Bytes: int64(2 * (n - count.MaxNames))}
	for name, m := range map[string]map[string]count.Tally{"severity": totals.BySeverity, "service": totals.ByService} {
		if len(m) != count.MaxNames+1 || m[count.OtherName] != want {
			t.Errorf("by %s: %d names, other %v; want %d, %v", name, len(m), m[count.OtherName], count.MaxNames+1, want)
		}
	}
}

func TestAnEmitterFullOfGapsIsForgotten(t *testing.T) {
	totals := count.NewTotals(time.Time{})
	var few, gaps ranges.Set
	few.Add(1, 10)
	for i := range uint64(count.MaxRanges + 1) {
		gaps.Add(2*i+1, 2*i+1)
	}
	totals.Add(count.Result{Time: time.Unix(2, 0), Emitters: map[string]*ranges.Set{"few": &few}})
	totals.Add(count.Result{Time: time.Unix(1, 0), Emitters: map[string]*ranges.Set{"gaps": &gaps}})
	if totals.Emitters["gaps"] != nil || totals.Emitters["few"] == nil || totals.Forgotten != 1 {
		t.Errorf("%d emitters, %d forgotten; want the one with the gaps gone", len(totals.Emitters), totals.Forgotten)
	}
}

func TestTotalsSurviveJSONAndClone(t *testing.T) {
	totals := count.NewTotals(time.Unix(5, 0).UTC())
	totals.Add(result(t, numbered("a", 1), numbered("a", 5)))
	text, err := json.Marshal(totals)
	if err != nil {
		t.Fatal(err)
	}
	var back count.Totals
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	clone := totals.Clone()
	more := result(t, numbered("a", 2), numbered("c", 5))
	back.Add(more)
	totals.Add(more)
	want, _ := json.Marshal(totals)
	if got, _ := json.Marshal(&back); string(got) != string(want) {
		t.Errorf("after JSON and another result: %s, want %s", got, want)
	}
	if got, _ := json.Marshal(clone); string(got) != string(text) {
		t.Errorf("the clone changed to %s, want %s", got, text)
	}
	if err := json.Unmarshal([]byte(`{"by_severity":null,"emitters":{"x":null,"y":{}}}`), &back); err != nil || len(back.Emitters) != 0 {
		t.Errorf("emitters without ranges: %v, %v; want none", back.Emitters, err)
	}
}

// Analyzers in other languages, and results that were written earlier, have other names for the same severity.
func TestTotalsHaveOneNameForEachSeverity(t *testing.T) {
	one := count.Tally{Records: 1, Bytes: 2}
	var totals count.Totals
	if err := json.Unmarshal([]byte(`{"by_severity":{"info":{"records":1,"bytes":2},"INFO":{"records":1,"bytes":2},"unset":{"records":1,"bytes":2}}}`), &totals); err != nil {
		t.Fatal(err)
	}
	totals.Add(count.Result{BySeverity: map[string]count.Tally{"Information": one, "AUDIT": one, "": one}})
	want := map[string]count.Tally{"INFO": {Records: 3, Bytes: 6}, "unknown": {Records: 2, Bytes: 4}, "AUDIT": one}
	if !maps.Equal(totals.BySeverity, want) {
		t.Errorf("by severity %v, want %v", totals.BySeverity, want)
	}
}

func ExampleHandler() {
	totals := count.NewTotals(time.Now())
	h := count.Handler(count.SinkFunc(func(_ context.Context, r count.Result) error {
		totals.Add(r) // a real sink keeps it, and locks
		return nil
	}))
	b, _ := sluice.BatchOf(time.Now(), sluice.Record{Severity: "INFO"}, sluice.Record{Severity: "INFO"}, sluice.Record{})
	if err := h.Handle(context.Background(), b); err != nil {
		fmt.Println(err)
	}
	fmt.Println(totals.BySeverity["INFO"].Records, totals.BySeverity[count.UnknownSeverity].Records)
	// Output: 2 1
}

func BenchmarkCount(b *testing.B) {
	var lines []string
	for i := range 500 {
		lines = append(lines, fmt.Sprintf(`{"timestamp":"2026-01-02T03:04:05.678Z","severity":"INFO","body":"GET /items/%d took 12ms, user 4711, cache miss","resource":{"service.name":"api"},"attributes":{"sluice.emitter":"e1","sluice.seq":%d}}`, i, i+1))
	}
	batch := batch(lines...)
	b.SetBytes(int64(batch.Size()))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := count.Count(batch); err != nil {
			b.Fatal(err)
		}
	}
}
