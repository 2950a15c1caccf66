package simulate

import (
	"bytes"
	"compress/gzip"
	"slices"
	"strings"
	"testing"
)

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func perSecond(t *Trace) []int {
	var arrivals []int
	for _, n := range t.Arrivals() {
		arrivals = append(arrivals, n)
	}
	return arrivals
}

func TestReadTrace(t *testing.T) {
	tests := []struct {
		name string
		text string
		o    TraceOptions
		want []int
	}{
		{"one row is one second", "second,records\n0,20\n", TraceOptions{}, []int{20}},
		{"a late single row", "second,records\n2,20\n", TraceOptions{}, []int{0, 0, 20}},
		{"the width is the common divisor of the gaps", "second,records\n0,4\n4,2\n10,1\n", TraceOptions{}, []int{2, 2, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1}},
		{"bins are spread evenly", "second,records\n0,7\n3,1\n", TraceOptions{}, []int{2, 2, 3, 0, 0, 1}},
		{"a width given", "second,records\n0,3\n10,3\n", TraceOptions{BinWidth: 3}, []int{1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1}},
		{"cut within a bin", "second,records\n0,6\n3,9\n", TraceOptions{Seconds: 4}, []int{2, 2, 2, 3}},
		{"made longer", "second,records\n0,1\n1,1\n", TraceOptions{Seconds: 4}, []int{1, 1, 0, 0}},
		{"byte order mark, CRLF, spaces, empty lines", "\ufeffsecond,records\r\n0, 1\r\n\r\n 1,2\r\n", TraceOptions{}, []int{1, 2}},
		{"gzip", zipped(t, "second,records\n0,1\n1,2\n"), TraceOptions{}, []int{1, 2}},
		{"no newline at the end", "second,records\n0,5", TraceOptions{}, []int{5}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tr, err := ReadTrace(strings.NewReader(test.text), test.o)
			if err != nil {
				t.Fatal(err)
			}
			if got := perSecond(tr); !slices.Equal(got, test.want) || tr.Seconds() != len(test.want) {
				t.Errorf("arrivals %v in %d s, want %v", got, tr.Seconds(), test.want)
			}
			sum := 0
			for _, n := range test.want {
				sum += n
			}
			if tr.Records() != sum {
				t.Errorf("%d records, want %d", tr.Records(), sum)
			}
		})
	}
}

func TestReadTraceSaysWhatIsWrongAndWhere(t *testing.T) {
	long := "second,records\n0," + strings.Repeat("1", 5000)
	whole := zipped(t, "second,records\n0,1\n")
	tests := []struct {
		name, text string
		o          TraceOptions
		want       []string
	}{
		{"empty", "", TraceOptions{}, []string{"empty", `"second,records"`}},
		{"no header", "0,1\n1,2\n", TraceOptions{}, []string{"line 1", "header"}},
		{"only a header", "second,records\n", TraceOptions{}, []string{"no rows"}},
		{"a column too many", "second,records\n0,1\n1,2,3\n", TraceOptions{}, []string{"line 3", "3 fields"}},
		{"a word", "second,records\n0,many\n", TraceOptions{}, []string{"line 2", `records is "many"`}},
		{"half a record", "second,records\n0,1.5\n", TraceOptions{}, []string{"line 2", `"1.5"`}},
		{"before the start", "second,records\n-1,1\n", TraceOptions{}, []string{"line 2", `second is "-1"`}},
		{"descending", "second,records\n0,1\n\n5,1\n4,1\n", TraceOptions{}, []string{"line 5", "ascending"}},
		{"twice the same second", "second,records\n5,1\n5,1\n", TraceOptions{}, []string{"line 3", "ascending"}},
		{"overlapping bins", "second,records\n0,1\n30,1\n", TraceOptions{BinWidth: 60}, []string{"line 3", "60 s wide"}},
		{"too far away", "second,records\n9999999999,1\n", TraceOptions{}, []string{"line 2", "9999999999"}},
		{"a line without end", long, TraceOptions{}, []string{"line 2", "longer than"}},
		{"gzip cut short", whole[:len(whole)-4], TraceOptions{}, []string{"unexpected EOF"}},
		{"gzip with nothing after its mark", "\x1f\x8b", TraceOptions{}, []string{"gzip"}},
		{"too many records", "second,records\n0,900000000000000\n1,900000000000000\n", TraceOptions{}, []string{"more than 1000000000000000 records"}},
		{"a width below zero", "", TraceOptions{BinWidth: -1}, []string{"BinWidth is -1"}},
		{"a length below zero", "", TraceOptions{Seconds: -1}, []string{"Seconds is -1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ReadTrace(strings.NewReader(test.text), test.o)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func FuzzReadTrace(f *testing.F) {
	f.Add("second,records\n0,20\n", 0, 0)
	f.Add("second,records\n0,7\n60,8\n180,0\n", 0, 90)
	f.Add("second,records\n0,3\n10,3\n", 3, 0)
	f.Add("\ufeffsecond,records\r\n9,1\r\n", 0, 0)
	f.Add(zipped(f, "second,records\n0,1\n4,1\n"), 0, 0)
	f.Fuzz(func(t *testing.T, text string, width, seconds int) {
		tr, err := ReadTrace(strings.NewReader(text), TraceOptions{BinWidth: width, Seconds: seconds})
		if err != nil {
			return
		}
		if tr.Seconds() < 1 || tr.Records() < 0 {
			t.Fatalf("%d records in %d s", tr.Records(), tr.Seconds())
		}
		if tr.Seconds() > 100_000 {
			return // walking through it would take too long
		}
		sum := 0
		for second, n := range tr.Arrivals() {
			if n < 0 {
				t.Fatalf("second %d: %d arrivals", second, n)
			}
			sum += n
		}
		if sum != tr.Records() {
			t.Fatalf("the seconds add up to %d records, want %d", sum, tr.Records())
		}
	})
}
