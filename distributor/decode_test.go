package distributor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/jsonscan"
)

// decoded is what a Decoder makes of a body.
type decoded struct {
	Lines    []byte
	Count    int
	Rejected int
	TooLarge int
	Errors   []Rejection
}

// decode decodes a body that arrives in pieces of the given sizes, the last of which repeats. Without sizes it arrives whole.
func decode(f Format, body []byte, maxRecord int, sizes ...int) (r decoded) {
	if len(sizes) == 0 {
		sizes = []int{len(body)}
	}
	d := NewDecoder(f, maxRecord)
	var waiting []byte
	rest := bytes.Clone(body)
	for last := false; !last; {
		size := min(sizes[0], len(rest))
		waiting = append(waiting, rest[:size]...)
		rest = rest[size:]
		if len(sizes) > 1 {
			sizes = sizes[1:]
		}
		last = len(rest) == 0
		for {
			lines, count, used := d.Next(waiting, last)
			r.Lines = append(r.Lines, lines...)
			r.Count += count
			if used == 0 {
				break
			}
			waiting = waiting[used:]
		}
	}
	r.Rejected, r.TooLarge, r.Errors = d.Rejected, d.TooLarge, d.Errors
	return r
}

func TestDecode(t *testing.T) {
	const limit = 60
	long := strings.Repeat("x", limit)
	tests := []struct {
		name     string
		format   Format
		body     string
		lines    string // good records, joined by |
		rejected []string
	}{
		{"ndjson", NDJSON, "{\"a\":1}\n{\"b\":2}\n", `{"a":1}|{"b":2}`, nil},
		{"ndjson without a last line end", NDJSON, "{\"a\":1}\n{\"b\":2}", `{"a":1}|{"b":2}`, nil},
		{"ndjson with blank lines and CRLF", NDJSON, "\n{\"a\":1}\r\n \n{\"b\":2}\n\n", "{\"a\":1}\r|{\"b\":2}", nil},
		{"ndjson with bad lines", NDJSON, "{\"a\":1}\n{\"a\":\n[1]\n{\"b\":2}\n", `{"a":1}|{"b":2}`, []string{"2: invalid JSON", "3: invalid JSON at byte 1: a record must be an object"}},
		{"ndjson with invalid UTF-8", NDJSON, "{\"a\":\"\xff\"}\n{\"b\":\"é\"}\n", `{"b":"é"}`, []string{"1: invalid UTF-8 at byte 7"}},
		{"ndjson with a long record", NDJSON, "{\"a\":1}\n{\"a\":\"" + long + "\"}\n", `{"a":1}`, []string{"2: record is 68 bytes, the limit is 60"}},
		{"ndjson with a long record of a shape seen before", NDJSON, "{\"a\":\"\"}\n{\"a\":\"" + long[8:] + "\"}\n{\"a\":\"" + long[7:] + "\"}\n", `{"a":""}|{"a":"` + long[8:] + `"}`, []string{"3: record is 61 bytes"}},
		{"ndjson with a bad line of a shape seen before", NDJSON, "{\"a\":1}\n{\"a\":01}\n{\"a\":2}", `{"a":1}|{"a":2}`, []string{"2: invalid JSON"}},
		{"nothing", NDJSON, "", "", nil},
		{"ndjson behind a byte order mark", NDJSON, "\xef\xbb\xbf{\"a\":1}\n{\"b\":2}\n", `{"a":1}|{"b":2}`, nil},
		{"array behind a byte order mark", JSON, "\xef\xbb\xbf[{\"a\":1}]", `{"a":1}`, nil},
		{"anything behind a byte order mark", Sniff, "\xef\xbb\xbf{\"a\":1}", `{"a":1}`, nil},

		{"one object", JSON, " {\"a\": {\"b\": 1}} ", `{"a": {"b": 1}}`, nil},
		{"one object over several lines", JSON, "{\n  \"a\": [1,\n 2]\n}\n", `{"a":[1,2]}`, nil},
		{"array", JSON, "[{\"a\":1},\n {\"b\":2} ]\n", `{"a":1}|{"b":2}`, nil},
		{"empty array", JSON, "[ ]", "", nil},
		{"objects with a line each", JSON, "{\"a\":1}\n{\"b\":\n{\"c\":3}\n", `{"a":1}|{"c":3}`, []string{"2: invalid JSON"}},
		{"objects side by side", JSON, `{"a":1}{"b":2}`, `{"a":1}|{"b":2}`, nil},
		{"array with bad elements", JSON, `[{"a":1},7,{"b":2}]`, `{"a":1}|{"b":2}`, []string{"2: invalid JSON at byte 10: a record must be an object"}},
		{"array that breaks off", JSON, `[{"a":1},{"b":`, `{"a":1}`, []string{"2: invalid JSON"}},
		{"array that is not closed", JSON, `[{"a":1},`, `{"a":1}`, []string{"2: the array is not closed"}},
		{"array without a comma", JSON, `[{"a":1} {"b":2}]`, `{"a":1}|{"b":2}`, nil},
		{"text after the array", JSON, `[{"a":1}] x`, `{"a":1}`, []string{"1: invalid JSON at byte 11: expected an object or an array"}},
		{"array with a long record", JSON, `[{"a":1},{"a":"` + long + `"}]`, `{"a":1}`, []string{"2: record is 68 bytes"}},
		{"empty JSON body", JSON, " \n", "", nil},
		{"not JSON at all", JSON, "hello", "", []string{"1: invalid JSON at byte 1"}},

		{"text", Text, "one\ntwo \"2\" \\ \t\r\n\nthree\x01", `{"body":"one"}|{"body":"two \"2\" \\ \t"}|{"body":"three\u0001"}`, nil},
		{"text that is not UTF-8", Text, "caf\xe9\n", "{\"body\":\"caf\uFFFD\"}", nil},
		{"text with a long line", Text, "a\n" + long + "\nb", `{"body":"a"}|{"body":"b"}`, []string{"2: record is 71 bytes"}},

		{"text with a stack trace", Text, "a: b\n\tat x\n\nCaused by: c\r\nd", `{"body":"a: b\n\tat x\n\nCaused by: c"}|{"body":"d"}`, nil},
		{"text that does not fit with its trace", Text, "one\n\tat " + long[20:] + "\n\tat x\n", `{"body":"one"}|{"body":"\tat ` + long[20:] + `"}|{"body":"\tat x"}`, nil},
		{"text files behind one another", Text, "a\n\xef\xbb\xbfb\n", `{"body":"a"}|{"body":"b"}`, nil},
		{"text of blank lines", Text, "\n \t\r\n\n", "", nil},

		{"values of several lines", JSON, "{\"b\":2}\n{\n \"c\":3\n}", `{"b":2}|{"c":3}`, nil},
		{"several arrays", JSON, "[{\"a\":1}]\n[\n {\"b\":2}\n]{\"c\":3}", `{"a":1}|{"b":2}|{"c":3}`, nil},
		{"files of values behind one another", JSON, "{\"a\":1}\n\xef\xbb\xbf{\"b\":2}\n\xef\xbb\xbf[{\"c\":3}]", `{"a":1}|{"b":2}|{"c":3}`, nil},
		{"values with commas between", JSON, "{\"a\":1},\n{\"b\":2},{\"c\":3}", `{"a":1}|{"b":2}|{"c":3}`, nil},
		{"bytes of a value stay", JSON, `[{ "b":1.0, "a":"\u00e9\/" },{"b":1}]`, `{ "b":1.0, "a":"\u00e9\/" }|{"b":1}`, nil},
		{"a broken line among values", JSON, "{\"a\":1}\n{\"b\":\"x}\n{\"c\":3}\n", `{"a":1}|{"c":3}`, []string{"2: invalid JSON at byte 17: control character 0x0a"}},
		{"a broken object of several lines", JSON, "{\n \"a\": x,\n \"b\": {\n  \"n\": 1\n }\n}\n{\"c\":3}", `{"c":3}`, []string{"1: invalid JSON at byte 9: expected a value"}},
		{"an object that is not closed", JSON, "{\n \"a\": {\n  \"n\": 1\n }\n{\"c\":3}\n{\"d\":4}", `{"c":3}|{"d":4}`, []string{"1: invalid JSON at byte 23: expected ',' or '}'; 22 bytes up to the next line"}},
		{"words among values", JSON, "hello\n{\"a\":1}\n7\nwords and words\n{\"b\":2} more", `{"a":1}|{"b":2}`,
			[]string{"1: invalid JSON at byte 1: expected an object", "3: invalid JSON at byte 15: a record must be", "4: invalid JSON at byte 17", "5: invalid JSON at byte 41"}},
		{"a broken element", JSON, `[{"a":1},{"b":x,"n":[{"i":1},{"i":2}]},{"c":3}]`, `{"a":1}|{"c":3}`, []string{"2: invalid JSON at byte 15: expected a value"}},
		{"broken elements of all kinds", JSON, `[{"a":1}, nope, {b:2}, {"c":3}, {"d":[1,2}, , {"e":5},]`, `{"a":1}|{"c":3}|{"e":5}`,
			[]string{"2: invalid JSON at byte 11", "3: invalid JSON at byte 18", "5: invalid JSON at byte 42", "6: invalid JSON at byte 45: expected a value"}},
		{"a deep broken element", JSON, "[" + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + `,{"c":3}]`, `{"c":3}`, []string{"1: invalid JSON at byte 258: nested more than 256 deep"}},
		{"a broken element of several lines", JSON, "[\n  {\n    \"a\": oops,\n    \"n\": [\n      {\"i\": 1}\n    ]\n  },\n  {\"c\": 3}\n]", `{"c": 3}`, []string{"1: invalid JSON at byte 16"}},
		{"a line break in a string", JSON, "[{\"a\":1},{\"m\":\"x\ny\"},{\"c\":3}]", `{"a":1}|{"c":3}`, []string{"2: invalid JSON at byte 17: control character 0x0a"}},
		{"a string that is not closed, in lines", JSON, "[\n{\"a\":1},\n{\"b\":\"x},\n{\"c\":3}\n]", `{"a":1}|{"c":3}`, []string{"2: invalid JSON at byte 21: control character 0x0a inside a string; 10 bytes up to the next line"}},
		{"a string that is not closed", JSON, `[{"a":1},{"b":"x},{"c":3},{"d":4}]`, `{"a":1}`, []string{"2: invalid JSON at byte 21: expected ',' or '}'; the rest of the body, 25 bytes, was not read"}},
		{"a bracket that is not closed", JSON, `[{"a":{"x":1},{"b":2}]{"c":3}`, `{"c":3}`, []string{"1: invalid JSON at byte 15: expected a key"}},
		{"an element that is not UTF-8", JSON, "[{\"a\":\"\xff\"},{\"b\":2}]", `{"b":2}`, []string{"1: invalid UTF-8 at byte 8"}},
		{"array that ends early", JSON, `[{"a":1}`, `{"a":1}`, []string{"2: the array is not closed"}},

		{"ndjson files behind one another", NDJSON, "{\"a\":1}\n\xef\xbb\xbf{\"b\":2}\n\xef\xbb\xbf\n\xef\xbb\xbfx\n", `{"a":1}|{"b":2}`, []string{"4: invalid JSON at byte 1"}},

		{"text that begins with a bracket", Sniff, "[2024-01-01 10:00:00] prod.INFO: one\n[info] started\n[1] x\n{x}\n[]x\n[{x}]\n[{\"a\":1}: y",
			`{"body":"[2024-01-01 10:00:00] prod.INFO: one"}|{"body":"[info] started"}|{"body":"[1] x"}|{"body":"{x}"}|{"body":"[]x"}|{"body":"[{x}]"}|{"body":"[{\"a\":1}: y"}`, nil},
		{"lines of JSON behind a banner", Sniff, "Starting v1.2\n\n{\"a\":1}\n{\"b\":2}\n", `{"body":"Starting v1.2"}|{"a":1}|{"b":2}`, nil},
		{"a stack trace behind JSON", Sniff, "{\"a\":1}\nx.Error: y\n\tat a.b(C:1)\n{\"b\":2}\n\tat c.d(E:2)\n", `{"a":1}|{"body":"x.Error: y\n\tat a.b(C:1)"}|{"b":2}|{"body":"\tat c.d(E:2)"}`, nil},
		{"an indented line of JSON behind text", Sniff, "x\n {\"a\":1}\n y\n", `{"body":"x"}|{"a":1}|{"body":" y"}`, nil},
		{"a bad line among lines", Sniff, "{\"a\":\n{\"b\":2}\n{\"c\":\"\xff\"}\n{\"d\":4} x\n", "{\"body\":\"{\\\"a\\\":\"}|{\"b\":2}|{\"body\":\"{\\\"c\\\":\\\"\uFFFD\\\"}\"}|{\"body\":\"{\\\"d\\\":4} x\"}", nil},
		{"values of several lines among text", Sniff, "x\n{\n \"a\":1\n}\n[\n {\"b\":2},\n 7\n]\ny", `{"body":"x"}|{"a":1}|{"b":2}|{"body":"y"}`, []string{"2: invalid JSON at byte 27"}},
		{"an object that is never closed", Sniff, "{\n  \"a\": 1,\n{\"b\":2}\n{\"c\":3}", `{"body":"{\n  \"a\": 1,"}|{"b":2}|{"c":3}`, nil},
		{"values that are no records", Sniff, "7\n\"x\"\nnull\n[1,2]\n[]\n", `{"body":"7"}|{"body":"\"x\""}|{"body":"null"}|{"body":"[1,2]"}`, nil},
		{"a long record among lines", Sniff, "x\n{\"a\":\"" + long + "\"}\n{\"b\":2}\n", `{"body":"x"}|{"b":2}`, []string{"2: record is 68 bytes"}},
		{"files of both kinds behind one another", Sniff, "x\n\xef\xbb\xbf{\"a\":1}\n\xef\xbb\xbfy\n", `{"body":"x"}|{"a":1}|{"body":"y"}`, nil},

		{"sniffed JSON", Sniff, " [{\"a\":1}]", `{"a":1}`, nil},
		{"sniffed NDJSON", Sniff, "{\"a\":1}\n{\"b\":2}\n", `{"a":1}|{"b":2}`, nil},
		{"sniffed text", Sniff, "plain words", `{"body":"plain words"}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := decode(tt.format, []byte(tt.body), limit)
			if pieces := decode(tt.format, []byte(tt.body), limit, 1); !reflect.DeepEqual(pieces, d) {
				t.Errorf("byte by byte: %+v, as a whole %+v", pieces, d)
			}
			if got := strings.ReplaceAll(strings.TrimSuffix(string(d.Lines), "\n"), "\n", "|"); got != tt.lines {
				t.Errorf("lines = %q, want %q", got, tt.lines)
			}
			if want := strings.Count(string(d.Lines), "\n"); d.Count != want {
				t.Errorf("count = %d, but there are %d lines", d.Count, want)
			}
			if d.Rejected != len(tt.rejected) || len(d.Errors) != len(tt.rejected) {
				t.Fatalf("rejected %d: %+v, want %q", d.Rejected, d.Errors, tt.rejected)
			}
			for i, want := range tt.rejected {
				if got := fmt.Sprintf("%d: %s", d.Errors[i].Line, d.Errors[i].Reason); !strings.HasPrefix(got, want) {
					t.Errorf("rejection %q, want %q", got, want)
				}
			}
		})
	}
}

// TestSplitLines: on demand, each line of text is a record by itself.
func TestSplitLines(t *testing.T) {
	for _, format := range []Format{Text, Sniff} {
		d := NewDecoder(format, 100)
		d.reset(format, 100, true)
		lines, count, _ := d.Next([]byte("a\n\tat b\n\nCaused by: c\n"), true)
		if want := "{\"body\":\"a\"}\n{\"body\":\"\\tat b\"}\n{\"body\":\"Caused by: c\"}\n"; count != 3 || string(lines) != want {
			t.Errorf("format %d: %d records, %q, want %q", format, count, lines, want)
		}
	}
}

// TestHostileBodiesAreReadOnce: no body makes the decoder look at its bytes again and again. If one did, this would take many minutes.
func TestHostileBodiesAreReadOnce(t *testing.T) {
	for name, line := range map[string]string{
		"objects that do not close":      "{\"a\":[" + strings.Repeat("1,\n", 3000),
		"objects one within another":     "{\"a\":\n",
		"elements that do not close":     "{\"a\":{\"b\":1},\n",
		"elements in a line":             "{\"a\":{\"b\":1},",
		"open strings":                   "{\"a\":\"\n",
		"open strings in a line":         "{\"a\":\", ",
		"brackets":                       "[[{\n",
		"empty elements":                 ",",
		"objects with commas":            "{\"a\":1},",
		"frames":                         "\tat a(b:1)\n",
		"blank lines":                    "x\n\n\n",
		"many blank lines in an element": "{\"a\":x" + strings.Repeat("\n", 100_000),
	} {
		for _, format := range []Format{JSON, Sniff} {
			for _, before := range []string{"", "[", "[{},", "{\"a\":"} {
				body := []byte(before + strings.Repeat(line, 256<<10/len(line)+1))
				d := NewDecoder(format, 1<<20)
				records := 0
				for used := 1; used > 0; body = body[used:] {
					var n int
					_, n, used = d.Next(body, true)
					records += n
				}
				if records+d.Rejected == 0 || len(body) > 0 {
					t.Errorf("%s behind %q, format %d: %d records, %d rejected, %d bytes not used", name, before, format, records, d.Rejected, len(body))
				}
			}
		}
	}
}

// TestDecodeKeepsToLines: that an object over several lines was seen in another body makes it no line.
func TestDecodeKeepsToLines(t *testing.T) {
	const object = "{\"a\":\n1}"
	for range 100 { // so that scanners are used again
		if d := decode(JSON, []byte(object), 100); string(d.Lines) != "{\"a\":1}\n" {
			t.Fatalf("as JSON: %q", d.Lines)
		}
		if d := decode(NDJSON, []byte(object+"\n"), 100); d.Count != 0 || d.Rejected != 2 {
			t.Fatalf("as lines: %d accepted, %d rejected, want 0 and 2", d.Count, d.Rejected)
		}
	}
}

func TestDecodeNamesTheFirstTwenty(t *testing.T) {
	d := decode(NDJSON, bytes.Repeat([]byte("x\n"), 50), 100)
	if d.Rejected != 50 || len(d.Errors) != 20 || d.Errors[19].Line != 20 {
		t.Errorf("rejected %d, named %d; want 50 and lines 1 to 20", d.Rejected, len(d.Errors))
	}
}

// FuzzDecode checks what the queue relies on, for all formats: as many lines as counted, each an object that fits. And that
// it does not matter in which pieces a body arrives.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{"{\"a\":1}\n", "[{\"a\":1},2]", "{\n\"a\":[\n1]}", "text\n\xff", "{\"a\":1}{}", "[[[[",
		"{\"a\":1}\n{\"a\":2}\n{\"a\":3}", "{\"a\":1}\n{\"a\":02}\n{\"a\":3}\n", "{\"a\":1}\n\n{\"a\":2}\r\n{\"a\":3}\n"} {
		for format := NDJSON; format <= Sniff; format++ {
			f.Add(int(format), []byte(body), uint64(3))
		}
	}
	f.Fuzz(func(t *testing.T, format int, body []byte, seed uint64) {
		const limit = 100
		d := decode(Format(uint(format)%4), body, limit)
		if n := bytes.Count(d.Lines, []byte{'\n'}); n != d.Count || d.Rejected < len(d.Errors) {
			t.Fatalf("%q: count %d with %d lines; rejected %d with %d named", body, d.Count, n, d.Rejected, len(d.Errors))
		}
		for line := range bytes.Lines(d.Lines) {
			if len(line)-1 > limit || jsonscan.Object(line) != nil || !json.Valid(line) || !bytes.HasSuffix(line, []byte{'\n'}) {
				t.Errorf("%q: line %q is not a record", body, line)
			}
		}
		random := rand.New(rand.NewPCG(seed, 0))
		sizes := make([]int, 1+random.IntN(20))
		for i := range sizes {
			sizes[i] = 1 + random.IntN(1+random.IntN(40))
		}
		if pieces := decode(Format(uint(format)%4), body, limit, sizes...); !reflect.DeepEqual(pieces, d) {
			t.Errorf("%q in pieces of %d bytes: %+v, as a whole %+v", body, sizes, pieces, d)
		}
	})
}

func BenchmarkDecodeNDJSON(b *testing.B) {
	benchmarkDecode(b, NDJSON, strings.Repeat(benchmarkLine+"\n", 500))
}

// BenchmarkDecodeSniff is the same body without a type.
func BenchmarkDecodeSniff(b *testing.B) {
	benchmarkDecode(b, Sniff, strings.Repeat(benchmarkLine+"\n", 500))
}

func BenchmarkDecodeArray(b *testing.B) {
	benchmarkDecode(b, JSON, "["+strings.Repeat(benchmarkLine+",", 499)+benchmarkLine+"]")
}

func BenchmarkDecodeText(b *testing.B) {
	benchmarkDecode(b, Text, strings.Repeat("2026-11-23T14:26:03.123456789Z INFO checkout GET /api/v1/items/48213 took 83 ms, sent 2114 bytes to 10.1.7.33\n", 500))
}

const benchmarkLine = `{"timestamp":"2026-11-23T14:26:03.123456789Z","severity":"INFO","body":"GET /api/v1/items/48213 took 83 ms",` +
	`"resource":{"service.name":"checkout"},"attributes":{"http.status":200,"emitter":"e-1","seq":481}}`

func benchmarkDecode(b *testing.B, f Format, text string) {
	body := []byte(text) // good records on single lines are not changed
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		d := NewDecoder(f, 1<<20)
		rest, records := body, 0
		for used := 1; used > 0; rest = rest[used:] {
			var n int
			_, n, used = d.Next(rest, true)
			records += n
		}
		if records != 500 {
			b.Fatal(records)
		}
	}
}

// TestDecodeInBoundedMemory: lines that are not in the body as they are come in portions, also those of an array.
func TestDecodeInBoundedMemory(t *testing.T) {
	for format, body := range map[Format]string{
		Text: strings.Repeat("x\n", 100_000),
		JSON: "[" + strings.Repeat(`{"a":1},`, 99_999) + `{"a":1}] x`,
	} {
		d := NewDecoder(format, 100)
		rest, records := []byte(body), 0
		for {
			lines, count, used := d.Next(rest, true)
			if len(lines) > maxOut+100 {
				t.Errorf("format %d: %d bytes of lines at once, want at most about %d", format, len(lines), maxOut)
			}
			if rest, records = rest[used:], records+count; used == 0 {
				break
			}
		}
		if records != 100_000 || format == JSON && (d.Errors[0] != Rejection{1, fmt.Sprintf("invalid JSON at byte %d: expected an object or an array of objects", len(body))}) {
			t.Errorf("format %d: %d records, errors %v", format, records, d.Errors)
		}
	}
	d := NewDecoder(JSON, 100)
	body := []byte("[" + strings.Repeat(`{"a":1},`, 20_000) + `{"a":x}]`)
	for used := 1; used > 0; body = body[used:] {
		_, _, used = d.Next(body, true)
	}
	if want := (Rejection{20_001, "invalid JSON at byte 160007: expected a value"}); len(d.Errors) != 1 || d.Errors[0] != want {
		t.Errorf("errors %v, want %v: the byte is counted from the start of the body", d.Errors, want)
	}
}
