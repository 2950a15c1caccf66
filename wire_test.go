package sluice

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)

func lines(records ...string) []byte { return []byte(strings.Join(records, "\n") + "\n") }

func TestBatchSurvivesItsStoredForm(t *testing.T) {
	in := NewBatch(lines(`{"body":"one"}`, `{"body":"é"}`, `{}`), 3, noon)
	data, err := in.Encode()
	if err != nil {
		t.Fatal(err)
	}
	out, err := DecodeBatch(data)
	if err != nil {
		t.Fatal(err)
	}
	if out.ID != in.ID || !out.Accepted.Equal(noon) || out.Len() != 3 || out.Size() != in.Size() {
		t.Errorf("got %s, %v, %d records, %d bytes; want %s, %v, 3, %d", out.ID, out.Accepted, out.Len(), out.Size(), in.ID, noon, in.Size())
	}
	again, err := out.Encode() // before it was unpacked
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("encoding a batch that was never unpacked gives other bytes (%v)", err)
	}
	line, err := out.Line(1)
	if err != nil || string(line) != `{"body":"é"}` {
		t.Errorf("line 1 = %s, %v", line, err)
	}
	again, err = out.AppendEncode([]byte("prefix"))
	if err != nil || !bytes.Equal(again, append([]byte("prefix"), data...)) {
		t.Errorf("AppendEncode after unpacking gives other bytes (%v)", err)
	}
}

func TestPackedBatchIsTheSameAsOneOfLines(t *testing.T) {
	one, two := lines(`{"body":"one"}`), lines(`{"body":"é"}`, `{}`)
	all := append(bytes.Clone(one), two...)
	b := NewPackedBatch([][]byte{AppendBlock(nil, one), AppendBlock(AppendBlock(nil, two[:len(two)-3]), two[len(two)-3:])}, 3, len(all), noon)
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]func() (*Batch, error){
		"packed": func() (*Batch, error) { return b, nil }, "stored": func() (*Batch, error) { return DecodeBatch(data) },
	} {
		b, err := b()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := b.Lines(); err != nil || !bytes.Equal(got, all) || b.Len() != 3 || b.Size() != len(all) {
			t.Errorf("%s: lines %q, %d records, %d bytes, %v; want %q", name, got, b.Len(), b.Size(), err, all)
		}
	}
}

func TestSub(t *testing.T) {
	b := NewBatch(lines(`{"n":0}`, `{"n":1}`, `{"n":2}`), 3, noon)
	sub, err := b.Sub([]int{2, 0})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := sub.Lines(); string(got) != "{\"n\":2}\n{\"n\":0}\n" || sub.Len() != 2 || sub.ID == b.ID || !sub.Accepted.Equal(noon) {
		t.Errorf("sub = %q with %d records, ID %s, accepted %v", got, sub.Len(), sub.ID, sub.Accepted)
	}
}

func TestSubHasTheSameIDEachTime(t *testing.T) {
	b := NewBatch(lines(`{"n":0}`, `{"n":1}`, `{"n":2}`), 3, noon)
	ids := map[string]bool{b.ID: true}
	for _, indexes := range [][]int{{0}, {1}, {0, 1}, {1, 0}} {
		first, _ := b.Sub(indexes)
		second, err := b.Sub(indexes)
		if err != nil || first.ID != second.ID || ids[first.ID] || len(first.ID) != 24 {
			t.Errorf("part %v has ID %s and then %s, %v; want the same, of 24 digits, and no other part's", indexes, first.ID, second.ID, err)
		}
		ids[first.ID] = true
	}
}

func TestDecodeBatchRefuses(t *testing.T) {
	good, err := NewBatch(lines(`{"a":1}`, `{"b":2}`), 2, noon).Encode()
	if err != nil {
		t.Fatal(err)
	}
	with := func(at int, b ...byte) []byte {
		out := bytes.Clone(good)
		copy(out[at:], b)
		return out
	}
	for name, data := range map[string][]byte{
		"nothing":               nil,
		"a short header":        good[:20],
		"another magic":         with(0, 'X'),
		"another version":       with(1, 99),
		"more records than can": with(22, 0xff, 0xff, 0xff, 0xff),
		"a huge length":         with(26, 0xff, 0xff, 0xff, 0xff),
		"a wrong length":        with(26, 0, 0, 0, 9),
		"no payload":            good[:wireHeader],
	} {
		if _, err := DecodeBatch(data); !errors.Is(err, ErrNotABatch) {
			t.Errorf("%s: %v, want ErrNotABatch", name, err)
		}
	}
	if b, err := DecodeBatch(with(22, 0, 0, 0, 3)); err != nil {
		t.Errorf("a wrong count is found when unpacking, not before: %v", err)
	} else if _, err := b.Lines(); err == nil {
		t.Error("two lines were taken for three records")
	}
}

func FuzzDecodeBatch(f *testing.F) {
	good, err := NewBatch(lines(`{"a":1}`, `{"b":"`+strings.Repeat("x", 100)+`"}`), 2, noon).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBatch(data)
		if err != nil {
			return
		}
		all, err := b.Lines()
		if err != nil {
			return
		}
		if bytes.Count(all, []byte{'\n'}) != b.Len() || len(all) != b.Size() {
			t.Errorf("%d records and %d bytes, but the lines are %q", b.Len(), b.Size(), all)
		}
		for i := range b.Len() {
			if _, err := b.Line(i); err != nil {
				t.Errorf("line %d: %v", i, err)
			}
		}
	})
}

func TestRecord(t *testing.T) {
	at := time.Date(2026, 11, 23, 14, 26, 3, 0, time.UTC)
	tests := []struct {
		name, text string
		want       Record
		service    string
	}{
		{"the names of the data model", `{"timestamp":"2026-11-23T14:26:03Z","severity":"WARN","body":"b","resource":{"service.name":"s"},"attributes":{"k":"v"}}`,
			Record{Timestamp: at, Severity: "WARN", Body: "b", Resource: map[string]any{"service.name": "s"}, Attributes: map[string]any{"k": "v"}}, "s"},
		{"an agent's names", `{"@timestamp":"2026-11-23T14:26:03Z","level":"info","message":"m","service":"s"}`,
			Record{Timestamp: at, Severity: "INFO", Body: "m", Extra: map[string]any{"service": "s"}}, "s"},
		{"seconds since 1970", `{"date":1795443963}`, Record{Timestamp: at}, ""},
		{"seconds with a fraction", `{"date":1795443963.5}`, Record{Timestamp: at.Add(500 * time.Millisecond)}, ""},
		{"milliseconds", `{"ts":1795443963000}`, Record{Timestamp: at}, ""},
		{"nanoseconds", `{"time":1795443963000000000}`, Record{Timestamp: at}, ""},
		{"numbers of severities", `{"level":50,"time":1795443963000,"msg":"m"}`, Record{Timestamp: at, Severity: "ERROR", Body: "m"}, ""},
		{"a number within a range", `{"severity_number":10,"severity":"INFO"}`, Record{Severity: "INFO", SeverityNumber: 10}, ""},
		{"what the text says", `{"body":"2026-11-23 14:26:03 [error] no"}`, Record{Timestamp: at, Severity: "ERROR", Body: "2026-11-23 14:26:03 [error] no"}, ""},
		{"what an object within says", `{"log":{"level":"warn","x":1},"service":{"name":"s"}}`,
			Record{Severity: "WARN", Extra: map[string]any{"log": map[string]any{"level": "warn", "x": json.Number("1")}, "service": map[string]any{"name": "s"}}}, "s"},
		{"fields of unusual types", `{"timestamp":"yesterday","severity":[5],"resource":"r","body":null}`,
			Record{Extra: map[string]any{"timestamp": "yesterday", "severity": []any{json.Number("5")}, "resource": "r", "body": nil}}, ""},
		{"unknown fields", `{"x":{"y":[1]},"body":{"structured":true}}`,
			Record{Body: map[string]any{"structured": true}, Extra: map[string]any{"x": map[string]any{"y": []any{json.Number("1")}}}}, ""},
		{"nothing", `{}`, Record{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got Record
			if err := json.Unmarshal([]byte(tt.text), &got); err != nil {
				t.Fatal(err)
			}
			gotText, _ := json.Marshal(got)
			wantText, _ := json.Marshal(tt.want)
			if !bytes.Equal(gotText, wantText) || !got.Timestamp.Equal(tt.want.Timestamp) || got.Severity != tt.want.Severity || got.Service() != tt.service {
				t.Errorf("%s = %s, service %q; want %s, service %q", tt.text, gotText, got.Service(), wantText, tt.service)
			}
			var again Record
			if err := json.Unmarshal(gotText, &again); err != nil {
				t.Fatalf("%s does not read back: %v", gotText, err)
			}
			if back, _ := json.Marshal(again); !bytes.Equal(back, gotText) {
				t.Errorf("%s reads back as %s", gotText, back)
			}
		})
	}
	var r Record
	if err := r.UnmarshalJSON([]byte(`[1]`)); err == nil {
		t.Error("an array was taken for a record")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"timestamp":1e999,"severity":"x","body":[1],"resource":{},"attributes":{"a":1}}`))
	f.Add([]byte(`{"date":-1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r Record
		if r.UnmarshalJSON(text) != nil {
			return
		}
		b, err := r.MarshalJSON()
		if err != nil {
			return // a time before year 0 or after 9999
		}
		if err := r.UnmarshalJSON(b); err != nil {
			t.Errorf("%s became %s, which does not read back: %v", text, b, err)
		}
	})
}
