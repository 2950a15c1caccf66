package fields_test

import (
	_ "embed"
	"strings"
	"testing"
	"time"
)

// moreSamples are lines and records of many programs: a line of ### with program, time in UTC, severity and service (- stands for none),
// then the record as it is sent.
//
//go:embed testdata/samples.txt
var moreSamples string

// eachSample calls f with the samples of the file.
func eachSample(f func(program, at, severity, service, line string)) {
	for block := range strings.SplitSeq(strings.TrimPrefix(moreSamples, "### "), "\n### ") {
		head, line, _ := strings.Cut(strings.TrimSuffix(block, "\n"), "\n")
		parts := strings.Split(head, " | ")
		f(parts[0], parts[1], parts[2], parts[3], line)
	}
}

func TestMoreSamples(t *testing.T) {
	now := time.Date(2025, 5, 14, 12, 0, 0, 0, time.UTC)
	orNone := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	count := 0
	eachSample(func(program, at, severity, service, line string) {
		count++
		t.Run(program, func(t *testing.T) {
			v := view(t, record(line))
			got := "-"
			if at, ok := v.Time(now); ok {
				got = at.UTC().Format(time.RFC3339Nano)
			}
			if got != at {
				t.Errorf("time %s, want %s: %s", got, at, line)
			}
			if got := v.Severity().String(); got != severity {
				t.Errorf("severity %s, want %s: %s", got, severity, line)
			}
			if got := orNone(string(v.Service())); got != service {
				t.Errorf("service %s, want %s: %s", got, service, line)
			}
		})
	})
	if count < 500 {
		t.Errorf("%d samples were found, want all of the file", count)
	}
}

// A zone that the IANA names is applied, in summer and in winter; what is none of them is left alone.
func TestZonesOfTheIANA(t *testing.T) {
	for text, want := range map[string]string{
		"2024-01-31 10:00:00 Europe/Berlin":                  "2024-01-31T09:00:00Z",
		"2024-07-31 10:00:00 Europe/Berlin":                  "2024-07-31T08:00:00Z",
		"2024-07-31 10:00:00 America/Argentina/Buenos_Aires": "2024-07-31T13:00:00Z",
		"2024-07-31 10:00:00 Europe/Nowhere":                 "2024-07-31T10:00:00Z",
		"2024-07-31 10:00:00 Europe/../../etc/passwd":        "2024-07-31T10:00:00Z",
		"2024-07-31 10:00:00 shop/cart":                      "2024-07-31T10:00:00Z",
	} {
		at, ok := view(t, record(text)).Time(now)
		if got := at.Format(time.RFC3339); !ok || got != want {
			t.Errorf("%s is %s (%v), want %s", text, got, ok, want)
		}
	}
}
