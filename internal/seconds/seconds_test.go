package seconds_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/seconds"
)

func TestSecondsFromOutside(t *testing.T) {
	for _, test := range []struct {
		s    float64
		want time.Duration
		ok   bool
	}{
		{0, 0, true}, {2.5, 2500 * time.Millisecond, true}, {3600, time.Hour, true}, {0.1 + 0.2, 300 * time.Millisecond, true},
		{3600.001, 0, false}, {1e12, 0, false}, {1e300, 0, false}, {-1, 0, false}, {-1e300, 0, false},
		{math.NaN(), 0, false}, {math.Inf(1), 0, false}, {math.Inf(-1), 0, false},
	} {
		got, err := seconds.Duration(test.s, time.Hour)
		wrong, isRange := errors.AsType[*seconds.RangeError](err)
		if got != test.want || (err == nil) != test.ok || !test.ok && (!isRange || wrong.Most != time.Hour) {
			t.Errorf("%v is %v, %v; want %v", test.s, got, err, test.want)
		}
	}
	if _, err := seconds.Duration(1e12, time.Hour); err.Error() != "is 1e+12, must be a number of seconds from 0 to 3600" {
		t.Error(err)
	}
}

func TestNearest(t *testing.T) {
	for s, want := range map[float64]time.Duration{
		1.5: 1500 * time.Millisecond, -2: -2 * time.Second,
		1e300: math.MaxInt64 / time.Second * time.Second, math.Inf(-1): -math.MaxInt64 / time.Second * time.Second,
	} {
		if got := seconds.Nearest(s); (got - want).Abs() > time.Second {
			t.Errorf("%v is %v, want %v", s, got, want)
		}
	}
	if got := seconds.Nearest(math.NaN()); got != 0 {
		t.Errorf("NaN is %v, want 0", got)
	}
}
