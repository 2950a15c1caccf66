package jsonscan

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestObject(t *testing.T) {
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	tests := []struct {
		name, text string
		reason     string // empty: well-formed
	}{
		{"empty object", `{}`, ""},
		{"white space everywhere", " { \"a\" :\t[ 1 , 2 ] ,\n\"b\" : { } }\r\n", ""},
		{"every kind of value", `{"a":"x","b":-1.5e+3,"c":true,"d":false,"e":null,"f":[],"g":{"h":[{}]}}`, ""},
		{"escapes", `{"a":"\"\\\/\b\f\n\r\t\u00eF and more text"}`, ""},
		{"text beyond ASCII", `{"größe":"日本語 text that is long enough"}`, ""},
		{"depth at the limit", deep(MaxDepth - 1), ""},
		{"depth past the limit", deep(MaxDepth), "nested"},
		{"nothing", ``, "nothing here"},
		{"only space", `   `, "nothing here"},
		{"array", `[1]`, "must be an object"},
		{"number", `12`, "must be an object"},
		{"broken array", `[1`, "not closed"},
		{"two objects", `{} {}`, "unexpected text after"},
		{"bare key", `{a:1}`, "key in double quotes"},
		{"trailing comma", `{"a":1,}`, "key in double quotes"},
		{"no colon", `{"a" 1}`, "expected ':'"},
		{"no value", `{"a":}`, "expected a value"},
		{"text ends at the value", `{"a":`, "ends where a value"},
		{"open object", `{"a":1`, "object is not closed"},
		{"open string", `{"a":"b`, "string is not closed"},
		{"open escape", `{"a":"\`, "ends inside an escape"},
		{"unknown escape", `{"a":"\x"}`, "unknown escape"},
		{"short unicode escape", `{"a":"\u12`, "four hexadecimal"},
		{"wrong unicode escape", `{"a":"\u12g4"}`, "four hexadecimal"},
		{"control character", "{\"a\":\"x\ty\"}", "control character 0x09"},
		{"control character far into a word", "{\"a\":\"0123456789abcdef\x01\"}", "control character 0x01"},
		{"leading zero", `{"a":01}`, "expected ',' or '}'"},
		{"lonely minus", `{"a":-}`, "malformed number"},
		{"fraction without digits", `{"a":1.}`, "malformed number"},
		{"exponent without digits", `{"a":1e+}`, "malformed number"},
		{"misspelt literal", `{"a":nul}`, "expected null"},
		{"array without comma", `{"a":[1 2]}`, "expected ',' or ']'"},
		{"open array", `{"a":[1`, "array is not closed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Object([]byte(tt.text))
			if tt.reason == "" {
				if err != nil {
					t.Fatalf("Object(%s) = %v, want no error", tt.text, err)
				}
				return
			}
			if _, ok := errors.AsType[*SyntaxError](err); !ok || !strings.Contains(err.Error(), tt.reason) {
				t.Fatalf("Object(%s) = %v, want a SyntaxError that says %q", tt.text, err, tt.reason)
			}
		})
	}
}

// FuzzObject compares with encoding/json, which is slower and right.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":"b\u0041","c":[1,2.5e3,{"d":null}]}`, `{"a":tru}`, "{\"a\":\"\x00\"}", `[1]`, `{"a":1}x`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !utf8.Valid(b) || bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) >= MaxDepth {
			return
		}
		trimmed := bytes.TrimLeft(b, " \t\r\n")
		want := json.Valid(b) && len(trimmed) > 0 && trimmed[0] == '{'
		if err := Object(b); (err == nil) != want {
			t.Errorf("Object(%q) = %v, but encoding/json says well-formed object: %v", b, err, want)
		}
	})
}

// TestShort: an error is Short exactly if more text could make it good.
func TestShort(t *testing.T) {
	const good = `{"a":[true,false,null,-1.5e+3,"x\u00e9\n",{"b":{}}],"c":1}`
	for i := range len(good) {
		_, err := Value([]byte(good[:i]), 0)
		if e, ok := errors.AsType[*SyntaxError](err); !ok || !e.Short {
			t.Errorf("Value(%s) = %v, want an error that is Short", good[:i], err)
		}
		_, err = Value([]byte(good[:i]+"\x01"), 0)
		if e, ok := errors.AsType[*SyntaxError](err); !ok || e.Short {
			t.Errorf("Value(%s) = %v, want an error that is not Short", good[:i]+"\x01", err)
		}
	}
}

// FuzzScanner checks that what a scanner has seen before does not change its verdict.
func FuzzScanner(f *testing.F) {
	f.Add([]byte(`{"a":"b","n":1}`), []byte(`{"a":"c","n":-2.5}`))
	f.Add([]byte(`{"a":{"b":[true,null]}}`), []byte(`{"a":{"b":[[],null]}}`))
	f.Add([]byte(`{"a":1}`), []byte(`{"a":01}`))
	f.Add([]byte(`{"a":"x"}`), []byte(`{"a":"x","b":"y"}`))
	f.Add([]byte(`{"a":1}`), []byte(`{"a":1}}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var s Scanner
		for _, b := range [][]byte{first, second, first, second} {
			if got, want := s.Object(b), Object(b); (got == nil) != (want == nil) {
				t.Errorf("after %q: Scanner.Object(%q) = %v, Object says %v", first, b, got, want)
			}
			text := append(append(bytes.Clone(b), '\n'), second...)
			if n := s.Line(text); n > 0 && (n-1 != bytes.IndexByte(text, '\n') || Object(text[:n-1]) != nil) {
				t.Errorf("after %q: Scanner.Line(%q) = %d, which is not a line with an object", first, text, n)
			}
		}
	})
}

func TestScannerLine(t *testing.T) {
	var s Scanner
	for _, seen := range []string{`{"a":"x","n":1}`, "{\"a\":\"x\",\n\"n\":1}"} {
		if err := s.Object([]byte(seen)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		text string
		want int
	}{
		{"{\"a\":\"other\",\"n\":-2.5}\n{\"a\"", 23},
		{"{\"a\":\"\\n\",\"n\":0}\n", 17},
		{`{"a":"x","n":1}`, 0},            // not ended
		{"{\"a\":\"x\",\"n\":1} \n", 0},   // more than the object
		{"{\"a\":\"x\",\"n\":1}}\n", 0},   //
		{"{\"a\":\"x\ny\",\"n\":1}\n", 0}, // a line break in a string
		{"{\"a\":\"x\",\n\"n\":1}\n", 0},  // and between values: an object that was seen, but no line
		{"{\"a\":\"x\",\"n\":01}\n", 0},
		{"{\"b\":\"x\",\"n\":1}\n", 0}, // another shape
		{"", 0},
	} {
		if got := s.Line([]byte(tt.text)); got != tt.want {
			t.Errorf("Line(%q) = %d, want %d", tt.text, got, tt.want)
		}
	}
}

// TestScannerForgets: more shapes than it remembers, each coming back.
func TestScannerForgets(t *testing.T) {
	var s Scanner
	for range 20 {
		for i := range 3 * maxShapes {
			good := []byte(`{"key ` + strings.Repeat("x", i) + `":"v","n":` + strings.Repeat("1", i+1) + `}`)
			if err := s.Object(good); err != nil {
				t.Fatalf("%s: %v", good, err)
			}
			bad := good[:len(good)-1]
			if err := s.Object(bad); err == nil {
				t.Fatalf("%s was taken for an object", bad)
			}
		}
	}
	if len(s.shapes) != maxShapes {
		t.Errorf("remembers %d shapes, want %d", len(s.shapes), maxShapes)
	}
}

var sample = []byte(`{"timestamp":"2026-11-23T14:26:03.123456789Z","severity":"INFO","body":"GET /api/v1/items/48213 took 83 ms",` +
	`"resource":{"service.name":"checkout"},"attributes":{"http.status":200,"emitter":"e-1","seq":481}}`)

func BenchmarkObject(b *testing.B) {
	b.SetBytes(int64(len(sample)))
	for b.Loop() {
		if err := Object(sample); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScanner(b *testing.B) {
	b.SetBytes(int64(len(sample)))
	var s Scanner
	for b.Loop() {
		if err := s.Object(sample); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodingJSONValid(b *testing.B) {
	b.SetBytes(int64(len(sample)))
	for b.Loop() {
		if !json.Valid(sample) {
			b.Fatal("not valid")
		}
	}
}
