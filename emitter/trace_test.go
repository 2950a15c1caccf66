package emitter

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

func TestTraceAgainstTheModel(t *testing.T) {
	const csv = "second,records\n0,7\n4,1\n12,100\n16,3\n" // bins of 4 s, 8..11 empty
	perSecond := make([]int64, 20)
	for second, r := range map[int]int64{0: 7, 4: 1, 12: 100, 16: 3} {
		for i := range int64(4) { // as SIMULATION.md spreads a bin
			perSecond[second+int(i)] = (i+1)*r/4 - i*r/4
		}
	}
	for _, scale := range []float64{1, 2, 0.5, 1.7} {
		trace, err := ReadTrace(strings.NewReader(csv), TraceOptions{Scale: scale})
		if err != nil {
			t.Fatal(err)
		}
		if trace.Duration() != 20*sec {
			t.Fatalf("Duration() = %v, want 20s", trace.Duration())
		}
		sum := int64(0)
		for second := range 20 {
			if got, want := trace.Due(time.Duration(second)*sec), int64(math.Floor(scale*float64(sum))); got != want {
				t.Errorf("scale %v: Due(%ds) = %d, want %d", scale, second, got, want)
			}
			sum += perSecond[second]
		}
		want := int64(math.Floor(scale * 111))
		for _, at := range []time.Duration{20 * sec, time.Hour, math.MaxInt64} {
			if got := trace.Due(at); got != want || trace.Records() != want {
				t.Errorf("scale %v: Due(%v) = %d of %d, want %d", scale, at, got, trace.Records(), want)
			}
		}
	}
}

func TestTraceTime(t *testing.T) {
	const csv = "second,records\r\n10,100\r\n\r\n"
	for _, test := range []struct {
		o    TraceOptions
		long time.Duration
		at   time.Duration
		want int64
	}{
		{TraceOptions{}, 11 * sec, 10 * sec, 0},
		{TraceOptions{}, 11 * sec, 10500 * time.Millisecond, 50},
		{TraceOptions{}, 11 * sec, 11 * sec, 100},
		{TraceOptions{Length: 60 * sec}, 60 * sec, 11 * sec, 100},
		{TraceOptions{Speedup: 10}, 1100 * time.Millisecond, 1050 * time.Millisecond, 50},
		{TraceOptions{Speedup: 3}, 3666666666, 3666666666, 100},
		{TraceOptions{Speedup: 0.5, Scale: 0.1}, 22 * sec, 21 * sec, 5},
	} {
		trace, err := ReadTrace(strings.NewReader(csv), test.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := trace.Due(test.at); got != test.want || trace.Duration() != test.long {
			t.Errorf("%+v: Due(%v) = %d of %v, want %d of %v", test.o, test.at, got, trace.Duration(), test.want, test.long)
		}
	}
}

func TestReadTraceNamesTheLine(t *testing.T) {
	const head = "second,records\n"
	for csv, want := range map[string]string{
		"":                                 "no rows",
		head:                               "no rows",
		"0,1\n":                            "line 1",
		"seconds,records\n0,1\n":           "line 1",
		head + "0,1\nx,2\n":                `line 3: second "x"`,
		head + "0,1\n1\n":                  "line 3",
		head + "0,1\n1,2,3\n":              `line 3: records "2,3"`,
		head + "0,-1\n":                    "line 2: records",
		head + "0,1.5\n":                   "line 2: records",
		head + "5,1\n5,1\n":                "line 3: second 5 after 5",
		head + "5,1\n\n4,1\n":              "line 4: second 4 after 5",
		head + "9999999999,1\n":            "line 2: second",
		head + "0,1000000000001":           "",
		head + "0,2000000000000000":        "line 2: records",
		head + "0,1000000000000000\n1,1\n": "line 3: more than",
		head + strings.Repeat("1", 5000):   "line 2",
	} {
		_, err := ReadTrace(strings.NewReader(csv), TraceOptions{})
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("ReadTrace(%.40q) = %v, want %q", csv, err, want)
		}
	}
	for _, o := range []TraceOptions{{Length: sec}, {Speedup: -1}, {Speedup: math.NaN()}, {Scale: 1e9}, {Scale: math.Inf(1)}, {Speedup: 1e-7}} {
		if _, err := ReadTrace(strings.NewReader(head+"0,1\n5,1\n"), o); err == nil {
			t.Errorf("ReadTrace with %+v: no error", o)
		}
	}
}

func TestOpenTraceUnpacks(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write([]byte("second,records\n0,10\n"))
	w.Close()
	dir := t.TempDir()
	for name, content := range map[string][]byte{"good.csv.gz": packed.Bytes(), "bad.csv.gz": []byte("second"), "cut.csv.gz": packed.Bytes()[:packed.Len()-9]} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		trace, err := OpenTrace(path, TraceOptions{})
		if name == "good.csv.gz" && (err != nil || trace.Records() != 10) {
			t.Errorf("OpenTrace(%s): %v", name, err)
		}
		if name != "good.csv.gz" && (err == nil || !strings.Contains(err.Error(), name)) {
			t.Errorf("OpenTrace(%s) = %v, want an error that names the file", name, err)
		}
	}
}

func FuzzReadTrace(f *testing.F) {
	f.Add("second,records\n0,3\n2,1\n7,12\n", 1.0, 1.0)
	f.Add("second,records\r\n60,3000000\r\n120,1\r\n", 60.0, 0.1)
	f.Add("second,records\n999999999,1000000000000000\n", 1e6, 1.0)
	f.Fuzz(func(t *testing.T, csv string, speedup, scale float64) {
		trace, err := ReadTrace(strings.NewReader(csv), TraceOptions{Speedup: speedup, Scale: scale})
		if err != nil {
			return
		}
		last, long := int64(0), trace.Duration()
		for i := range time.Duration(101) {
			due := trace.Due(long / 100 * i)
			if due < last || due > trace.Records() {
				t.Fatalf("Due at %d%% is %d after %d of %d", i, due, last, trace.Records())
			}
			last = due
		}
		if got := trace.Due(long); got != trace.Records() {
			t.Fatalf("Due at the end is %d of %d", got, trace.Records())
		}
	})
}
