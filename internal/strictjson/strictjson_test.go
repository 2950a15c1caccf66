package strictjson

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

type failure struct {
	Record int     `json:"record" strict:"required"`
	Reason string  `json:"reason"`
	Delay  float64 `json:"delay_seconds,omitempty"`
	Bury   bool    `json:"discard"`
}

type request struct {
	Failed []failure          `json:"failed" strict:"max=3"`
	Size   *int               `json:"size"`
	Counts map[string]int64   `json:"counts" strict:"max=2"`
	Time   time.Time          `json:"time"`
	Names  map[string]failure `json:"names"`
}

func TestDecode(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"nothing in it", `{}`, ""},
		{"all", ` {"failed": [{"record": 3, "reason": "x", "delay_seconds": 0.5, "discard": true}], "size": 0, "counts": {"a": 1}, "time": "2026-11-24T02:10:46Z"} `, ""},
		{"null is missing", `{"failed": null, "size": null}`, ""},
		{"empty", " \n", "the body is empty, must be a JSON object"},
		{"broken off", `{"failed": [`, "the body is not JSON: it ends too early"},
		{"no JSON", `nope`, "the body is not JSON: invalid character 'o' in literal null (expecting 'u'), at byte 2"},
		{"not a number", `{"size": NaN}`, "the body is not JSON: invalid character 'N' looking for beginning of value, at byte 10"},
		{"more after it", `{} {"failed": []}`, "the body goes on after the JSON, at byte 3"},
		{"not UTF-8", "{\"failed\": \"\xff\"}", "the body is not valid UTF-8"},
		{"a list", `[]`, "the body must be an object"},
		{"null", `null`, "the body must be an object"},
		{"another name", `{"failed": [{"index": 3}]}`, `failed[0].index is unknown; did you mean "record"?`},
		{"near a name", `{"failed": [{"record": 1, "raeson": ""}]}`, `failed[0].raeson is unknown; did you mean "reason"?`},
		{"another case", `{"Failed": []}`, `Failed is unknown; did you mean "failed"?`},
		{"no name is near", `{"xyzzy": 1}`, `xyzzy is unknown; known: failed, size, counts, time, names`},
		{"a name with an escape sequence", `{"\u001b[2J": 1}`, `\x1b[2J is unknown; known: failed, size, counts, time, names`},
		{"no name", `{"": 1}`, `"" is unknown; known: failed, size, counts, time, names`},
		{"missing", `{"failed": [{"record": 1}, {"reason": "x"}]}`, `failed[1].record is required`},
		{"missing as null", `{"failed": [{"record": null}]}`, `failed[0].record is required`},
		{"missing in a map", `{"names": {"a": {}}}`, `names.a.record is required`},
		{"twice", `{"failed": [], "failed": [{"record": 1}]}`, `failed is there twice`},
		{"twice in a map", `{"counts": {"a": 1, "a": 2}}`, `counts.a is there twice`},
		{"null in a list", `{"failed": [null]}`, `failed[0] must not be null`},
		{"null in a map", `{"counts": {"a": null}}`, `counts.a must not be null`},
		{"text for a number", `{"failed": [{"record": "3"}]}`, `failed[0].record must be a whole number of at most 64 bits`},
		{"a fraction", `{"failed": [{"record": 1.5}]}`, `failed[0].record must be a whole number of at most 64 bits`},
		{"a number without end", `{"counts": {"a": 9223372036854775808}}`, `counts.a must be a whole number of at most 64 bits`},
		{"a float without end", `{"failed": [{"record": 1, "delay_seconds": 1e999}]}`, `failed[0].delay_seconds must be a number, up to 1e308`},
		{"number for a text", `{"failed": [{"record": 1, "reason": 7}]}`, `failed[0].reason must be a text`},
		{"text for a switch", `{"failed": [{"record": 1, "discard": "yes"}]}`, `failed[0].discard must be true or false`},
		{"object for a list", `{"failed": {"record": 1}}`, `failed must be a list`},
		{"a wrong time", `{"time": "yesterday"}`, `time must be a time like 2026-11-24T02:10:46Z`},
		{"too many", `{"failed": [{"record": 1}, {"record": 2}, {"record": 3}, {"record": 4}]}`, `failed has more than 3 elements`},
		{"too many names", `{"counts": {"a": 1, "b": 1, "c": 1}}`, `counts has more than 2 names`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got request
			err := Decode([]byte(tt.body), &got)
			if tt.want == "" {
				var want request
				if json.Unmarshal([]byte(tt.body), &want); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%+v, %v, want %+v", got, err, want)
				}
				return
			}
			_, typed := errors.AsType[*Error](err)
			if err == nil || !typed || err.Error() != tt.want || !reflect.DeepEqual(got, request{}) {
				t.Errorf("%+v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// FuzzDecode: what is accepted is what encoding/json reads.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"failed":[{"record":1}]}`, `{"counts":{"a":1}}`, `{"failed":[null]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var got, want request
		if err := Decode([]byte(body), &got); err != nil {
			return
		}
		d := json.NewDecoder(strings.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&want); err != nil || !reflect.DeepEqual(got, want) || len(got.Failed) > 3 {
			t.Errorf("%s: %+v, encoding/json says %+v, %v", body, got, want, err)
		}
	})
}
