package queue

import (
	"strings"
	"testing"
	"time"
)

func TestRetry(t *testing.T) {
	r := Retry{MaxAttempts: 4, SplitAfter: 2, Delay: time.Second, MaxDelay: 3 * time.Second}
	tests := []struct {
		name             string
		f                Failure
		attempt, records int
		want             Step
		delay            time.Duration // least; up to a fifth more
	}{
		{"the first failure of a batch", Failure{}, 1, 10, Again, time.Second},
		{"the second is split", Failure{}, 2, 10, Split, 2 * time.Second},
		{"a single record goes on", Failure{}, 2, 1, Again, 2 * time.Second},
		{"the delay ends doubling", Failure{}, 3, 1, Again, 3 * time.Second},
		{"a single record is given up", Failure{}, 4, 1, Bury, 0},
		{"hopeless at once", Failure{Discard: true}, 1, 10, Bury, 0},
		{"a wish for a delay", Failure{Delay: time.Minute}, 1, 10, Again, time.Minute},
		{"vanished: patience", Failure{Vanished: true}, 4, 1, Again, 3 * time.Second},
		{"vanished: split all the same", Failure{Vanished: true}, 2, 10, Split, 2 * time.Second},
		{"vanished: patience ends", Failure{Vanished: true}, 12, 1, Bury, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			step, delay := r.After(tt.f, tt.attempt, tt.records)
			if step != tt.want || delay < tt.delay || delay > tt.delay+tt.delay/5 {
				t.Errorf("After(%+v, attempt %d, %d records) = %v, %v; want %v, %v and up to a fifth more",
					tt.f, tt.attempt, tt.records, step, delay, tt.want, tt.delay)
			}
		})
	}
}

func TestParts(t *testing.T) {
	for _, n := range []int{2, 3, 16, 17, 100, 4096} {
		next, parts := 0, Parts(n)
		for _, part := range parts {
			if len(part) == 0 || len(part) > n/len(parts)+1 {
				t.Errorf("Parts(%d) has a part of %d", n, len(part))
			}
			for _, i := range part {
				if i != next {
					t.Fatalf("Parts(%d): index %d where %d should be", n, i, next)
				}
				next++
			}
		}
		if next != n || len(parts) < 2 {
			t.Errorf("Parts(%d) covers %d in %d parts", n, next, len(parts))
		}
	}
}

func TestRetryNamesAllProblems(t *testing.T) {
	err := Retry{MaxAttempts: -1, SplitAfter: -1, Delay: -1, MaxDelay: -2}.WithDefaults().Validate()
	for _, want := range []string{"MaxAttempts is -1", "SplitAfter is -1", "Delay is -1ns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if err := (Retry{}).WithDefaults().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
}

func TestZeroMeansTheDocumentedDefaults(t *testing.T) {
	if got, want := (Retry{}).WithDefaults(), (Retry{MaxAttempts: 5, SplitAfter: 2, Delay: time.Second, MaxDelay: time.Minute}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
