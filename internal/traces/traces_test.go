package traces_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/traces"
)

// perSecond is what a trace holds.
func perSecond(t *traces.Trace) []int {
	var all []int
	for _, n := range t.Arrivals() {
		all = append(all, n)
	}
	return all
}

func read(text, format string) (*traces.Trace, error) {
	return traces.Read(context.Background(), "-", strings.NewReader(text), traces.Options{TimeFormat: format})
}

// Each form has two lines in one second and one two seconds later.
func TestFormsAreToldApart(t *testing.T) {
	tests := []struct{ form, lines string }{
		{"Common Log Format", `127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif?at=2019-01-01T00:00:00Z HTTP/1.0" 200 2326
127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326 "http://x/" "Mozilla/4.08 [en]"
127.0.0.1 - - [10/Oct/2000:13:55:38 -0700] "GET / HTTP/1.0" 200 2326`},
		{"ISO 8601", `2026-01-31T23:59:59.999Z INFO one
2026-01-31T23:59:59Z INFO two
2026-02-01T00:00:01+00:00 INFO three`},
		{"ISO 8601", `INFO  [main] 2026-01-31 23:59:59,123 one
INFO  [main] 2026-01-31 23:59:59,9 two
INFO  [main] 2026-02-01 00:00:01,000 three`},
		{"ISO 8601", `I, [2026-01-31 23:59:59 +0100] one
I, [2026-01-31 22:59:59 UTC] two
I, [20260201T000001.5+0100] three`},
		{"syslog (RFC 5424)", `<34>1 2003-10-11T22:14:15.003Z host su - ID47 - one
<34>1 2003-10-11T22:14:15-00:00 host su - ID47 - two
<165>1 2003-10-11T15:14:17.000003-07:00 192.0.2.1 p 8710 - - three`},
		{"syslog (RFC 3164)", `<34>Oct  1 22:14:15 host su: one
<34>Oct  1 22:14:15 host su: two
<34>Oct  1 22:14:17 host su: three`},
		{"syslog (RFC 3164)", `Dec 31 23:59:59 host su[1]: one
Dec 31 23:59:59 host su[1]: two
Jan  1 00:00:01 host su[1]: three`},
		{"JSON lines", `{"level":"info","time":"2026-01-31T23:59:59Z","msg":"2019-01-01T00:00:00Z"}
{"time":"2026-01-31T23:59:59.5Z"}
{"msg":{"time":"x"},"time":"2026-02-01T00:00:01Z"}`},
		{"JSON lines", `{"@timestamp":1704067200.25}
{"@Timestamp":"1704067200123"}
{"a":[1,{"b":"}"}],"@timestamp":1704067202000000}`},
		{"JSON lines", `{"time":0.003,"ts":1.7040672e+09}
{"time":0.004,"ts":1704067200}
{"time":0.001,"ts":1704067202000000000}`},
		{"JSON lines", `{"date":"10/Oct/2000:13:55:36 -0700"}
{"date":"Tue, 10 Oct 2000 20:55:36 GMT"}
{"date":"10/Oct/2000:13:55:38 -0700"}`},
		{"seconds since 1970", `1286536309.586    921 192.168.0.68 TCP_MISS/200 GET http://x/
1286536309 two
[1286536311] three`},
		{"seconds since 1970", "1286536309586 one\n1286536309001 two\n1286536311000 three"},
		{"date with slashes", `2026/01/31 23:59:59 [error] 31#31: *1 open() failed
2026/01/31 23:59:59.123456 two
2026/02/01 00:00:01 [warn] three`},
	}
	for _, tt := range tests {
		got, err := read(tt.lines+"\n", "")
		if err != nil {
			t.Errorf("%s: %v", tt.form, err)
			continue
		}
		if got.Form != tt.form {
			t.Errorf("taken for %s, want %s:\n%s", got.Form, tt.form, tt.lines)
		}
		if want := []int{2, 0, 1}; !reflect.DeepEqual(perSecond(got), want) {
			t.Errorf("%s: %v, want %v:\n%s", tt.form, perSecond(got), want, tt.lines)
		}
	}
}

func TestForcedFormats(t *testing.T) {
	tests := []struct{ format, lines string }{
		{"02.01.2006 15:04:05", "a 31.12.2025 23:59:59 x\nb 31.12.2025 23:59:59,5 x\nc 01.01.2026 00:00:01 x\n"},
		{"%d.%m.%Y %H:%M:%S", "a 31.12.2025 23:59:59 x\nb 31.12.2025 23:59:59.5 x\nc 01.01.2026 00:00:01 x\n"},
		{"Mon Jan _2 15:04:05.000000 2006", "[Wed Oct 11 14:32:52.123456 2000] [core:error] x\n[Wed Oct 11 14:32:52 2000]\n[Wed Oct 11 14:32:54.0 2000]\n"},
		{"%a %b %e %T.%f %Y", "[Wed Oct  1 14:32:52.123456 2000] x\n[Wed Oct  1 14:32:52.1 2000]\n[Wed Oct  1 14:32:54.0 2000]\n"},
		{"1/2/06 3:04:05 PM", "1/2/26 9:59:59 PM x\n1/2/26 9:59:59 pm x\n1/2/26 10:00:01 PM x\n"},
		{"%I:%M:%S %p", "11:59:59 PM\n11:59:59 PM\n12:00:01 AM\n"},
		{"%y%j %H%M%S %z", "26365 235959 +0100\n26365 225959 Z\n27001 000001 +01:00\n"},
		{"%s", "x 1286536309 y\nx 1286536309.9 y\nx 1286536311 y\n"},
		{"January 2, 2006 15:04:05 MST", "on January 31, 2026 23:59:59 CET\non January 31, 2026 23:59:59 CET\non February 1, 2026 00:00:01 CET\n"},
	}
	for _, tt := range tests {
		got, err := read(tt.lines, tt.format)
		if err != nil {
			t.Errorf("%s: %v", tt.format, err)
		} else if want := []int{2, 0, 1}; !reflect.DeepEqual(perSecond(got), want) {
			t.Errorf("%s: %v, want %v", tt.format, perSecond(got), want)
		}
	}
}

func TestImpossibleFormatsSayWhatIsRight(t *testing.T) {
	for format, want := range map[string]string{
		"YYYY-MM-DD":  `"YYYY-MM-DD": there is no time in it, want a Go layout such as "2006-01-02 15:04:05"`,
		"%Y-%m-%d":    "hours, minutes or seconds are missing",
		"%Q":          "%Q is not known, want some of %Y",
		"%H:%M:%S%":   "ends within a directive",
		"03:04:05":    "hours go to 12 only, want %p",
		"%Y %H:%M:%S": "a year without a month",
		"%m %H:%M:%S": "a month without a day",
	} {
		if _, err := read("x\n", format); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", format, err, want)
		}
	}
}

func TestLinesWithoutATime(t *testing.T) {
	got, err := read(`2026-01-31 12:00:00 panic
java.lang.IllegalStateException: no
	at a.b.C (C.java:1) 2026-01-31 12:30:00
	at a.b.D (D.java:1)

2026-01-31 12:00:03 late
2026-01-31 12:00:01 out of order
`, "")
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{1, 1, 0, 1}; !reflect.DeepEqual(perSecond(got), want) {
		t.Errorf("%v, want %v", perSecond(got), want)
	}
	want := "ISO 8601, 7 lines, 2026-01-31 12:00:00 to 2026-01-31 12:00:03 UTC; 2 lines continue others; 1 line without a time left out"
	if got.Summary() != want {
		t.Errorf("summary\n%s, want\n%s", got.Summary(), want)
	}
}

// A day that no year has is taken out, one that has records stays.
func TestTheLeapDayOfLogsWithoutAYear(t *testing.T) {
	const header = "%s 23:59:59 h a: one\n"
	for days, want := range map[string]int{
		"Feb 28,Mar  1":               86_401,
		"Feb 28,Feb 29,Mar  1":        2*86_400 + 1,
		"Dec 31,Jan  1,Feb 28,Mar  1": 60*86_400 + 1,
		// The first of these years has the day, the second has not.
		"Feb 28,Feb 29,Mar  1,Jul  1,Nov  1,Feb 28,Mar  1": 367*86_400 + 1,
	} {
		var text strings.Builder
		for _, d := range strings.Split(days, ",") {
			fmt.Fprintf(&text, header, d)
		}
		got, err := read(text.String(), "")
		if err != nil {
			t.Errorf("%s: %v", days, err)
		} else if got.Seconds() != want {
			t.Errorf("%s: %d s (%.2f days), want %d", days, got.Seconds(), float64(got.Seconds()-1)/86_400, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct{ text, format, want string }{
		{"hello\nworld\n", "", `no line at its beginning has a time that is known here (line 1 is "hello"), want a CSV file with the header second,records`},
		{"seconds,records\n0,1\n", "", `header is "seconds,records", want "second,records"`},
		{"", "", "empty"},
		{"second,records\n0,1\n", "%H:%M:%S", "a time format is for log files"},
		{"12:00:00\nb\nc\n", "%H:%M:%S", `2 of 3 lines have no time in the form of the file (time format "%H:%M:%S"), the first is line 2: "b"`},
		{"b\nc\n", "%H:%M:%S", "2 of 2 lines have no time"},
		{"2026-01-31 12:00:00 a\n1970-01-01 00:00:00 b\n", "", "it goes from 1970-01-01 (line 2) to 2026-01-31 (line 1), want 370 days at most"},
		{"\x1f\x8b\x08x", "", "gzip"},
	} {
		if _, err := read(tt.text, tt.format); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
}

func packed(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return b.Bytes()
}

func TestGzip(t *testing.T) {
	log := strings.Repeat("2026-01-31 12:00:00 a\n", 5000)
	whole := packed(log)
	// Logs that were packed in parts are several packets in one file.
	got, err := traces.Read(context.Background(), "-", bytes.NewReader(append(whole, whole...)), traces.Options{})
	if err != nil || got.Records() != 10_000 {
		t.Errorf("%v records, error %v; want 10000", got, err)
	}
	_, err = traces.Read(context.Background(), "-", bytes.NewReader(whole[:len(whole)-9]), traces.Options{})
	if err == nil || !strings.Contains(err.Error(), "ends too early") {
		t.Errorf("cut off: %v", err)
	}
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	got, err := read("2026-01-31 12:00:00 "+long+"\n2026-01-31 12:00:01 b\n2026-01-31 12:00:02 "+long, "")
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{1, 1, 1}; !reflect.DeepEqual(perSecond(got), want) {
		t.Errorf("%v, want %v", perSecond(got), want)
	}
}

// folder writes files and returns where they are.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		data := []byte(text)
		if strings.HasSuffix(name, ".gz") {
			data = packed(text)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFolder(t *testing.T) {
	dir := folder(t, map[string]string{
		"2026-01-30.csv.gz": "second,records\n5,0\n86398,3\n86399,1\n",
		"2026-02-01.csv":    "second,records\r\n0,7\r\n2,1\r\n1,1\r\n2,1\n3,", // the newest, being written
		"notes.txt":         "hello",
		"2026-13-01.csv":    "what",
	})
	var p traces.Progress
	got, err := traces.Read(context.Background(), dir, nil, traces.Options{Progress: &p})
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 + 86_400 + 3; got.Seconds() != want || got.Records() != 14 {
		t.Errorf("%d s, %d records, want %d and 14", got.Seconds(), got.Records(), want)
	}
	if all := perSecond(got); !reflect.DeepEqual(all[:3], []int{3, 1, 0}) || !reflect.DeepEqual(all[len(all)-3:], []int{7, 1, 2}) {
		t.Errorf("begins with %v and ends with %v", all[:3], all[len(all)-3:])
	}
	if want := time.Date(2026, 1, 30, 23, 59, 58, 0, time.UTC); !got.Start.Equal(want) {
		t.Errorf("starts at %v, want %v", got.Start, want)
	}
	if want := "2 days, 2026-01-30 23:59:58 to 2026-02-01 00:00:02 UTC"; got.Summary() != want {
		t.Errorf("summary %q, want %q", got.Summary(), want)
	}
	if p.Done.Load() != p.Total.Load() || p.Total.Load() == 0 {
		t.Errorf("progress %d of %d bytes", p.Done.Load(), p.Total.Load())
	}
}

func TestFolderMistakes(t *testing.T) {
	const day, header = "2026-01-30.csv", "second,records\n"
	for _, tt := range []struct {
		files map[string]string
		want  string
	}{
		{nil, "a folder without a file named like 2026-01-31.csv"},
		{map[string]string{day: header, "2026-01-30.csv.gz": header}, "2026-01-30.csv and 2026-01-30.csv.gz are the same day, want one of them"},
		{map[string]string{day: "a,b\n"}, `2026-01-30.csv: line 1: the header is "a,b", want "second,records"`},
		{map[string]string{day: header + "86400,1\n"}, `2026-01-30.csv: line 2: second is "86400", want a whole number from 0 to 86399`},
		{map[string]string{day: header + "1,1\n2,-1\n"}, `2026-01-30.csv: line 3: records is "-1", want a whole number`},
		{map[string]string{day: header + "1;1\n"}, `2026-01-30.csv: line 2: "1;1", want two numbers: second,records`},
		{map[string]string{day: header + "1,", "2026-01-31.csv": header + "1,1\n"}, `2026-01-30.csv: line 2: records is ""`},
		{map[string]string{day: header}, "no second in the folder has a record"},
		{map[string]string{day: header, "2020-01-01.csv": header}, "the days 2020-01-01.csv to 2026-01-30.csv are 2222 days, want 370 at most"},
	} {
		if _, err := traces.Read(context.Background(), folder(t, tt.files), nil, traces.Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.files, err, tt.want)
		}
	}
}

func TestReadingEndsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	log := strings.Repeat("2026-01-31 12:00:00 a\n", 5000)
	if _, err := traces.Read(ctx, "-", strings.NewReader(log), traces.Options{}); err != context.Canceled {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// Whatever a file holds, it is read or refused; what is read keeps every record in its place.
func FuzzRead(f *testing.F) {
	f.Add([]byte("second,records\n0,1\n"), "")
	f.Add([]byte("127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /\"\n"), "")
	f.Add([]byte("<34>Oct  1 22:14:15 h a: b\n<34>Dec 31 22:14:15 h a: b\n<34>Feb 29 22:14:15 h a: b\n"), "")
	f.Add([]byte(`{"time":"2026-01-31T23:59:59Z","ts":1704067200}`), "")
	f.Add([]byte("1286536309.586 x\n 2026-01-31 23:59:59,1 +0100\n"), "")
	f.Add([]byte("26365 235959 +0100\n"), "%y%j %H%M%S %z")
	f.Add([]byte("1/2/26 9:59:59 PM x\n"), "1/2/06 3:04:05 PM")
	f.Add(packed("2026/01/31 23:59:59 x\n"), "")
	f.Fuzz(func(t *testing.T, data []byte, format string) {
		got, err := traces.Read(context.Background(), "-", bytes.NewReader(data), traces.Options{TimeFormat: format})
		if err != nil || got.Form == "CSV" || got.Seconds() > 1_000_000 {
			return
		}
		all := perSecond(got)
		sum := 0
		for _, n := range all {
			sum += n
		}
		if sum != got.Records() || sum > got.Lines || sum+got.Unknown+got.Continuation > got.Lines || got.Unknown > sum {
			t.Errorf("%d records in the seconds, %d in sum, of %d lines, %d unknown", sum, got.Records(), got.Lines, got.Unknown)
		}
		if all[0] == 0 || all[len(all)-1] == 0 {
			t.Errorf("a quiet second at the edge: %d ... %d", all[0], all[len(all)-1])
		}
	})
}
