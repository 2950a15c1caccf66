package config

import (
	"math"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10s": 10 * time.Second, "10": 10 * time.Second, "2.5": 2500 * time.Millisecond, "1m30s": 90 * time.Second, " 5 ": 5 * time.Second,
		"0": 0, "0s": 0, "250ms": 250 * time.Millisecond, "1h": time.Hour, "0.001": time.Millisecond, ".5": 500 * time.Millisecond, "300us": 300 * time.Microsecond,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"87600h1s", "315360001", "9999999999999", "1e12", "1e300s", "2540400h"} {
		if got, err := ParseDuration(text); err != wantError(wantShorter) {
			t.Errorf("ParseDuration(%q) = %v, %v, want it to be too long", text, got, err)
		}
	}
	for _, text := range []string{"", " ", ".", "-1", "-1s", "-0", "1h30", "10 s", "1d", "soon", "1e3", "NaN", "inf", "9999999999999", "1.2.3", "1,5"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "65536": 65536, "64KB": 64000, "64KiB": 65536, "64kib": 65536, "4MB": 4e6, "4 MiB": 4 << 20, "10GiB": 10 << 30, "1GB": 1e9, "12B": 12, " 7 ": 7,
		"9223372036854775807": math.MaxInt64,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "-1", "+1", "1.5MB", "KB", "1k", "1TB", "1 2", "10000000000GiB", "9223372036854775808", "1KBB", "0x10", "1_000"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestFormat(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 10 * time.Second: "10s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h", time.Hour + time.Second: "1h0m1s",
		10 * time.Minute: "10m", 20 * time.Hour: "20h", 250 * time.Millisecond: "250ms",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%d) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 1: "1", 1000: "1KB", 1024: "1KiB", 1001: "1001", 200e6: "200MB", 10 << 30: "10GiB", 1 << 40: "1024GiB"} {
		if got := FormatSize(n); got != want {
			t.Errorf("FormatSize(%d) = %q, want %q", n, got, want)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, text := range []string{"10s", "2.5", "1m30s", "-1", "1h0m1s", "9223372036.854775807", "µs"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			return
		}
		if d < 0 {
			t.Errorf("ParseDuration(%q) = %v, below 0", text, d)
		}
		if again, err := ParseDuration(FormatDuration(d)); err != nil || again != d {
			t.Errorf("ParseDuration(%q) = %v, written %q and read as %v, %v", text, d, FormatDuration(d), again, err)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"10", "64KiB", "4 MB", "-1", "9223372036854775807", "9999999999GiB"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseSize(text)
		if err != nil {
			return
		}
		if n < 0 {
			t.Errorf("ParseSize(%q) = %d, below 0", text, n)
		}
		if again, err := ParseSize(FormatSize(n)); err != nil || again != n {
			t.Errorf("ParseSize(%q) = %d, written %q and read as %d, %v", text, n, FormatSize(n), again, err)
		}
	})
}
