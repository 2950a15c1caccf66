package simulate

import (
	"testing"

	"github.com/sluicehq/sluice/autoscale"
)

// TestBoundHoldsForSLO plays the policy that comes nearest to the bound on every synthetic kind in every class.
func TestBoundHoldsForSLO(t *testing.T) {
	inTime := 0
	for _, c := range Classes() {
		for _, kind := range SyntheticNames() {
			s, err := Synthetic(kind, 1800, 4)
			if err != nil {
				t.Fatal(err)
			}
			policy, err := autoscale.NewSLO(autoscale.SLOOptions{SLO: c.SLO, CheckInterval: c.CheckInterval})
			if err != nil {
				t.Fatal(err)
			}
			o := c.Options(s.Rate)
			r := run(t, s.Trace, policy, o)
			b, err := BoundLate(s.Trace, o, r.SLOViolations)
			if err != nil {
				t.Fatal(err)
			}
			if float64(r.Cost) < b.Cost {
				t.Errorf("%s, %s: a run costs %d with %v late, the bound is %v", c.Name, kind, r.Cost, r.SLOViolations, b.Cost)
			}
			if r.SLOViolations == 0 {
				inTime++
			}
		}
	}
	if inTime < 15 {
		t.Errorf("%d of 30 runs were in time, want 15 at least for the test to mean something", inTime)
	}
}
