package tune

import (
	"cmp"
	"context"
	"math"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// Score is what a policy did on a stretch of a trace.
type Score struct {
	Cost  int     `json:"cost"`           // worker-seconds
	Ratio float64 `json:"cost_ratio"`     // cost over the worker-seconds that the records need at least
	Late  float64 `json:"slo_violations"` // share of the records that waited longer than the SLO, 0 to 1
}

// Compare orders by what is better, as tuning sees it: fewer late records as long as they are more than allowed, and then a
// lower cost. It is negative where the first one is better.
func Compare(late, cost, otherLate, otherCost, allowed float64) int {
	return cmp.Or(cmp.Compare(max(late, allowed), max(otherLate, allowed)), cmp.Compare(cost, otherCost))
}

// compare orders by what is better.
func (s Score) compare(other Score, allowed float64) int {
	return Compare(s.Late, float64(s.Cost), other.Late, float64(other.Cost), allowed)
}

// overtime is how many seconds a run goes on after the trace for the queue to empty, as in [simulate.Run].
const overtime = 3600

// often is how many seconds are played between two looks at the context.
const often = 4096

// play is [simulate.Run], with an ear for the context. It also tells how things stood before second mark; 0 means never.
func play(ctx context.Context, trace *simulate.Trace, policy autoscale.Policy, o simulate.Options, mark int) (atMark, whole simulate.Result, err error) {
	s, err := simulate.NewStepper(autoscale.WithFloor(policy), o) // as the controller has it
	if err != nil {
		return atMark, whole, err
	}
	var at simulate.Second
	for t, n := range trace.Arrivals() {
		if t > 0 && t == mark {
			atMark = s.Result()
		}
		if t%often == 0 && ctx.Err() != nil {
			return atMark, whole, ctx.Err()
		}
		at = s.Step(n)
	}
	for t := 0; t < overtime && at.Depth > 0; t++ {
		at = s.Step(0)
	}
	return atMark, s.Finish(), nil
}

func scoreOf(r simulate.Result) Score { return Score{r.Cost, r.CostRatio, r.SLOViolations} }

// since is the score of what came after an earlier result of the same run.
func since(before, whole simulate.Result) Score {
	s := Score{Cost: whole.Cost - before.Cost}
	if useful := whole.Useful - before.Useful; useful > 0 {
		s.Ratio = float64(s.Cost) / useful
	}
	if n := whole.Records - before.Records; n > 0 {
		late := math.Round(whole.SLOViolations*float64(whole.Records)) - math.Round(before.SLOViolations*float64(before.Records))
		s.Late = late / float64(n)
	}
	return s
}
