package words

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 1: "1", 12: "12", 999: "999", 1000: "1,000", 1001: "1,001", 99_999: "99,999", 100_000: "100,000", 999_999: "999,999", 1_000_000: "1,000,000",
		-1: "-1", -12: "-12", -999: "-999", -1000: "-1,000", -100_000: "-100,000", -1_234_567: "-1,234,567",
		math.MaxInt64: "9,223,372,036,854,775,807", math.MinInt64: "-9,223,372,036,854,775,808",
	} {
		if got := Thousands(n); got != want {
			t.Errorf("Thousands(%d) is %q, want %q", n, got, want)
		}
	}
	if got := Thousands(int(4096)); got != "4,096" {
		t.Errorf("Thousands of an int is %q", got)
	}
}

func TestCommasAreAllThatIsAdded(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		n := int64(random.Uint64()) >> random.IntN(64)
		text := Thousands(n)
		if again, err := strconv.ParseInt(strings.ReplaceAll(text, ",", ""), 10, 64); err != nil || again != n {
			t.Fatalf("Thousands(%d) is %q, without commas %d, %v", n, text, again, err)
		}
		for i, group := range strings.Split(strings.TrimPrefix(text, "-"), ",") {
			if len(group) > 3 || len(group) == 0 || i > 0 && len(group) < 3 {
				t.Fatalf("Thousands(%d) is %q", n, text)
			}
		}
	}
}

func TestFixed(t *testing.T) {
	for _, tt := range []struct {
		x      float64
		digits int
		want   string
	}{
		{0, 0, "0"}, {0, 2, "0.00"}, {0.25, 1, "0.2"}, {999.4, 0, "999"}, {999.5, 0, "1,000"}, {1234.5, 2, "1,234.50"}, {1000000, 1, "1,000,000.0"},
		{-999, 0, "-999"}, {-1234.5, 1, "-1,234.5"}, {-100000, 0, "-100,000"}, {1e18, 0, "1,000,000,000,000,000,000"},
		{math.Inf(1), 0, "+Inf"}, {math.Inf(-1), 2, "-Inf"}, {math.NaN(), 3, "NaN"},
	} {
		if got := Fixed(tt.x, tt.digits); got != tt.want {
			t.Errorf("Fixed(%v, %d) is %q, want %q", tt.x, tt.digits, got, tt.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 0.01234: "0.0123", 0.5: "0.5", 1: "1", 1.005: "1", 3.14159: "3.14", 12.345: "12.3", 99.94: "99.9", 99.96: "100", 100: "100", 100.5: "101",
		999.5: "1,000", 12345.6: "12,346", -0.5: "-0.5", -99.96: "-100", -12345.6: "-12,346", 1e20: "100,000,000,000,000,000,000", math.Inf(-1): "-Inf",
	} {
		if got := Number(x); got != want {
			t.Errorf("Number(%v) is %q, want %q", x, got, want)
		}
	}
	if got := Number(math.NaN()); got != "NaN" {
		t.Errorf("Number of none is %q", got)
	}
}

func TestShortStaysShort(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 0.001: "0", -0.001: "0", 0.25: "0.25", 7: "7", 9.96: "9.96", 9.996: "10", 99.96: "100", 950: "950", 999.4: "999", 999.5: "1k", 1000: "1k", 1250: "1.25k", 12_345: "12.3k", 99_949: "99.9k", 99_950: "100k",
		999_499: "999k", 999_999: "1M", 4.2e9: "4.2G", math.MaxInt64: "9.22E", -7: "-7", -999: "-999", -1000: "-1k", -123_456: "-123k", math.MinInt64: "-9.22E",
	} {
		if got := Short(x); got != want || len(strings.TrimPrefix(got, "-")) > 5 {
			t.Errorf("Short(%v) is %q, want %q", x, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	for x, want := range map[float64]string{0: "0/s", 0.5: "0.5/s", 1234.5: "1,235/s", 999_999: "999,999/s", 1_234_567: "1.23M/s"} {
		if got := Rate(x); got != want {
			t.Errorf("Rate(%v) is %q, want %q", x, got, want)
		}
	}
}

func TestCompact(t *testing.T) {
	for _, tt := range []struct {
		n       int64
		columns int
		want    string
	}{
		{0, 1, "0"}, {99_999, 6, "99,999"}, {100_000, 6, "100k"}, {100_000, 7, "100,000"}, {9_999_999, 9, "9,999,999"}, {10_000_000, 9, "10M"},
		{-1000, 6, "-1,000"}, {-10_000, 6, "-10k"}, {math.MinInt64, 9, "-9.22E"},
	} {
		if got := Compact(tt.n, tt.columns); got != tt.want {
			t.Errorf("Compact(%d, %d) is %q, want %q", tt.n, tt.columns, got, tt.want)
		}
	}
}

func TestPlural(t *testing.T) {
	for n, want := range map[int]string{0: "0 batches", 1: "1 batch", 2: "2 batches", 1000: "1,000 batches", -1: "-1 batches"} {
		if got := Plural(n, "batch", "batches"); got != want {
			t.Errorf("Plural(%d) is %q, want %q", n, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1: "1 B", 999: "999 B", 1000: "1,000 B", 1023: "1,023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 55_885_923: "53.3 MiB",
		1000 << 10: "1,000 KiB", 1023 << 10: "1,023 KiB", 1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB", 600 << 20: "600.0 MiB", 10 << 30: "10.0 GiB", 1 << 50: "1.0 PiB",
		math.MaxInt64: "8.0 EiB", -1: "-1 B", -1024: "-1.0 KiB", -55_885_923: "-53.3 MiB", math.MinInt64: "-8.0 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) is %q, want %q", n, got, want)
		}
	}
	for x, want := range map[float64]string{0.4: "0 B", 2.6: "3 B", 1023.4: "1,023 B", 1023.5: "1.0 KiB", 115_000.5: "112.3 KiB"} {
		if got := Bytes(x); got != want {
			t.Errorf("Bytes(%v) is %q, want %q", x, got, want)
		}
	}
	for n := int64(1); n < 1<<59; n += n/97 + 1 {
		if got := Bytes(n); len(got) > 9 {
			t.Fatalf("Bytes(%d) is %q, more than nine columns", n, got)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1: "0s", 1499: "1µs", 230_400: "230µs", 999_999: "1ms", 1_234_567: "1.2ms", 45_678_901: "46ms", 999_700_000: "1s", 2_149 * time.Millisecond: "2.1s",
		9_960 * time.Millisecond: "10s", 12_345 * time.Millisecond: "12s", 59_700 * time.Millisecond: "1m", time.Minute: "1m", 90 * time.Second: "1m30s",
		10 * time.Minute: "10m", 20 * time.Minute: "20m", time.Hour: "1h", time.Hour + 5*time.Second: "1h", 3_599_700 * time.Millisecond: "1h", 90*time.Minute + 31*time.Second: "1h31m", 47 * time.Hour: "47h", 48*time.Hour - time.Second: "2d", 50 * time.Hour: "2d2h", -50 * time.Hour: "-2d2h",
		-45_678_901: "-46ms", -time.Minute: "-1m", math.MaxInt64: "106751d23h", math.MinInt64: "-106751d23h",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d) is %q, want %q", d, got, want)
		}
	}
}

func TestSeconds(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0s", 0.00023: "230µs", 0.045: "45ms", 2.14: "2.1s", 45: "45s", 60: "1m", 3600: "1h", -1.5: "-1.5s", 1e300: "106751d23h", math.Inf(-1): "-106751d23h",
	} {
		if got := Seconds(x); got != want {
			t.Errorf("Seconds(%v) is %q, want %q", x, got, want)
		}
	}
	if got := Seconds(math.NaN()); got != "0s" {
		t.Errorf("Seconds of none is %q", got)
	}
}

func TestNothingIsNeverLessThanZero(t *testing.T) {
	minus := math.Copysign(0, -1)
	for name, text := range map[string]string{
		"Fixed": Fixed(-0.4, 0), "Fixed with digits": Fixed(-0.004, 2), "Number": Number(minus), "Short": Short(minus), "Bytes": Bytes(-0.4), "Seconds": Seconds(minus),
	} {
		if strings.HasPrefix(text, "-") {
			t.Errorf("%s writes nothing as %q", name, text)
		}
	}
}

func TestEveryNumberHasAText(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64} {
		for name, text := range map[string]string{"Number": Number(x), "Short": Short(x), "Bytes": Bytes(x), "Seconds": Seconds(x), "Fixed": Fixed(x, 1)} {
			if text == "" || !utf8.ValidString(text) {
				t.Errorf("%s(%v) is %q", name, x, text)
			}
		}
	}
}

func TestExactly(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 90 * time.Second: "1m30s", 2 * time.Minute: "2m", 3 * time.Hour: "3h", time.Hour + time.Second: "1h0m1s",
		1500 * time.Millisecond: "1.5s", 10 * time.Second: "10s", -time.Hour: "-1h",
	} {
		if got := Exactly(d); got != want {
			t.Errorf("Exactly(%d) is %q, want %q", d, got, want)
		}
	}
}
