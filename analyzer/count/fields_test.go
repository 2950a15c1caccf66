package count

import (
	"encoding/json"
	"testing"

	"github.com/sluicehq/sluice"
)

// FuzzLook checks that the quick way sees what sluice.Record sees.
func FuzzLook(f *testing.F) {
	for _, line := range []string{
		`{}`, `{"severity":"INFO","level":5}`, `{"severity":5,"level":"warn"}`, `[]`, `{"a":1}x`,
		`{"resource":{"service.name":"api","x":{"service":1}},"service":"b"}`,
		`{"attributes":{"sluice.emitter":"e","sluice.seq":12},"resource":[1]}`,
		`{"s\u0065rvice":"x"}`, "{\"service\":\"\xff\"}", `{"service":"\ud800"}`, `{"a":{"b":[{"c":"}"}]},"service":"x"}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		quick, ok := quickLook(line)
		if !ok {
			return
		}
		var r sluice.Record
		if r.UnmarshalJSON(line) != nil {
			return // such a line is not let in
		}
		if string(quick.severity) != r.Severity || string(quick.service) != r.Service() {
			t.Errorf("%q: severity %q, service %q; want %q, %q", line, quick.severity, quick.service, r.Severity, r.Service())
		}
		emitter, _ := r.Attributes[EmitterAttribute].(string)
		number, _ := r.Attributes[SequenceAttribute].(json.Number)
		if string(quick.emitter) != emitter || quick.seq != sequence([]byte(number)) {
			t.Errorf("%q: emitter %q, number %d; want %q, %q", line, quick.emitter, quick.seq, emitter, number)
		}
	})
}
