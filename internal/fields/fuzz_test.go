package fields_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/fields"
	"github.com/sluicehq/sluice/internal/jsonscan"
)

// Whatever a record holds, its fields are read without a panic, what is no object is refused, and a view that saw other records before
// answers as a new one does.
func FuzzView(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(record(s.line)))
	}
	eachSample(func(_, _, _, _, line string) { f.Add([]byte(record(line))) })
	for _, line := range []string{
		`{}`, `[]`, `{"a":1}x`, `{"severity":`, `{"s\u0065verity":"INFO"}`, "{\"service\":\"\xff\"}", `{"service":"\ud800"}`, `{"":1}`,
		`{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"x"}},7]},"resourceLogs":[]}`,
		`{"attributes":{"sluice.emitter":"e","sluice.seq":12},"resource":[1]}`,
		`{"body":"00:00:00)"}`, `{"body":"A=\b\"s"}`, `{"body":"<34>1 "}`, `{"body":"[] () <> {} \"\" '' | - ="}`,
		`{"log":"{\"log\":\"{\\\"log\\\":\\\"{}\\\"}\"}"}`,
	} {
		f.Add([]byte(line))
	}
	var used fields.View
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		var fresh fields.View
		err := fresh.Scan(line)
		if want := jsonscan.Object(line); (err == nil) != (want == nil) {
			t.Fatalf("Scan(%q) = %v, want %v", line, err, want)
		}
		if used.Scan(line); err != nil {
			return
		}
		at, ok := fresh.Time(now)
		severity, service, text := fresh.Severity(), string(fresh.Service()), fresh.Text()
		if severity > 24 || ok && at.Year() < 1900 {
			t.Errorf("%q: severity %d, time %v", line, severity, at)
		}
		// In another order, by a view that is not new.
		if got := used.Text(); got != text {
			t.Errorf("%q: text %q, then %q", line, text, got)
		}
		if got := string(used.Service()); got != service {
			t.Errorf("%q: service %q, then %q", line, service, got)
		}
		if got := used.Severity(); got != severity {
			t.Errorf("%q: severity %v, then %v", line, severity, got)
		}
		if again, okAgain := used.Time(now); !again.Equal(at) || okAgain != ok {
			t.Errorf("%q: time %v, then %v", line, at, again)
		}
		if !bytes.Equal(line, before) {
			t.Errorf("%q became %q", before, line)
		}
	})
}

// A string is read as encoding/json reads it.
func FuzzText(f *testing.F) {
	for _, s := range []string{`"a"`, `"\u0041\n\t\/\\\""`, `"\ud83d\ude00"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\udc00"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, quoted []byte) {
		var want string
		if len(quoted) == 0 || quoted[0] != '"' || json.Unmarshal(quoted, &want) != nil || want == "" || bytes.ContainsAny([]byte(want), "{=") {
			return
		}
		line := append(append([]byte(`{"body":`), quoted...), '}')
		var v fields.View
		if err := v.Scan(line); err != nil {
			return // longer than JSON allows within objects
		}
		if got := v.Text(); got != want {
			t.Errorf("%s is %q, want %q", quoted, got, want)
		}
	})
}

// FuzzFindTime: whatever a line of a file holds, it is read without a panic.
func FuzzFindTime(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s.line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var v fields.View
		s, form, ok := v.FindTime(line)
		if ok == (form == "") {
			t.Errorf("%q: form %q, found %v", line, form, ok)
		}
		if at, ok := s.Time(now); ok && at.After(time.Date(10_000, 1, 2, 0, 0, 0, 0, time.UTC)) && s.Written != fields.HasEpoch {
			t.Errorf("%q: %v", line, at)
		}
	})
}
