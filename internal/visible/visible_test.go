package visible

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"plain", "disk full: 5 of 10", "disk full: 5 of 10"},
		{"other writing", "größe 日本語 עברית", "größe 日本語 עברית"},
		{"wide and thin spaces", "a\u00a0b\u202fc", "a\u00a0b\u202fc"},
		{"escape sequence", "\x1b[2Jgone", `\x1b[2Jgone`},
		{"line break", "one\r\ntwo\tthree", `one\r\ntwo\tthree`},
		{"delete and nul", "\x7f\x00", `\x7f\x00`},
		{"C1 control", "\u009b31m", `\u009b31m`},
		{"bidirectional override", "\u202eevil\u2066\u061c\u200f", `\u202eevil\u2066\u061c\u200f`},
		{"separators", "a\u2028b\u2029c", `a\u2028b\u2029c`},
		{"no room", "a\u200bb\ufeffc\u00add\u2060", `a\u200bb\ufeffc\u00add\u2060`},
		{"blank letters", "\u3164\u115f\u034f", `\u3164\u115f\u034f`},
		{"tags", "\U000e0041", `\U000e0041`},
		{"not UTF-8", "a\xff\xc3(", `a\xff\xc3(`},
		{"a true replacement character", "\ufffd", "\ufffd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Line(tt.text); got != tt.want || !Safe(got) || Safe(tt.text) != (tt.text == tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestCut(t *testing.T) {
	tests := []struct {
		text string
		most int
		want string
	}{
		{"short", 5, "short"},
		{"longer", 5, "lo…"},
		{"日本語", 9, "日本語"},
		{"日本語x", 9, "日本…"},
		{"日本語x", 8, "日…"},
		{"a\nb", 3, "…"}, // it is longer than it was
		{"a\nb", 4, `a\nb`},
		{strings.Repeat("\x00", 100), 10, `\x00\x0…`},
	}
	for _, tt := range tests {
		if got := Cut(tt.text, tt.most); got != tt.want || len(got) > tt.most || !utf8.ValidString(got) {
			t.Errorf("Cut(%q, %d) = %q, want %q", tt.text, tt.most, got, tt.want)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "a\x1bb", "\u202e\xff", "\U000e0001\n\t"} {
		f.Add(s, 7)
	}
	f.Fuzz(func(t *testing.T, s string, most int) {
		line := Line(s)
		if !Safe(line) || Line(line) != line {
			t.Errorf("Line(%q) = %q is not safe", s, line)
		}
		if most = max(most, 3) & 0xfff; most >= 3 {
			if c := Cut(s, most); !Safe(c) || len(c) > most || len(line) <= most && len(s) <= most && c != line {
				t.Errorf("Cut(%q, %d) = %q", s, most, c)
			}
		}
		var whole, single bytes.Buffer
		Writer(&whole).Write([]byte(s))
		w := Writer(&single)
		for i := range len(s) {
			w.Write([]byte{s[i]})
		}
		if whole.String() != single.String() {
			t.Errorf("%q byte by byte is %q, at once %q", s, single.String(), whole.String())
		}
		for _, out := range strings.FieldsFunc(whole.String(), func(r rune) bool { return r == '\n' || r == '\t' }) {
			if !Safe(out) {
				t.Errorf("the writer passes %q on", out)
			}
		}
	})
}

func TestJSONStaysTheSameThroughTheWriter(t *testing.T) {
	in := map[string]string{"a\u009b": "\x7f\u202e\U000e0041\u2028\x1b\n\ufeff ü"}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	Writer(&out).Write(text)
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || len(back) != 1 || back["a\u009b"] != in["a\u009b"] || !Safe(out.String()) {
		t.Errorf("%s became %v, %v", out.Bytes(), back, err)
	}
}

func TestAll(t *testing.T) {
	type inner struct {
		Text  string
		Bytes []byte
	}
	v := struct {
		A string
		B []inner
		C map[string]*inner
		D any
		E *string
		f string
	}{"\x1b", []inner{{"\u202e", []byte{27}}}, map[string]*inner{"k\n": {Text: "\n"}}, []any{"\x07", map[string]any{"x": "\x08"}}, nil, "\x1b"}
	v.E = &v.A
	All(&v)
	if v.A != `\x1b` || v.B[0].Text != `\u202e` || v.B[0].Bytes[0] != 27 || v.C[`k\n`].Text != `\n` || len(v.C) != 1 ||
		v.D.([]any)[0] != `\x07` || v.D.([]any)[1].(map[string]any)["x"] != `\x08` || v.f != "\x1b" {
		t.Errorf("%+v", v)
	}
}
