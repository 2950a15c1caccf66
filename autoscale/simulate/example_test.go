package simulate_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// A burst of twenty records meets one worker; the policy asks for two more, which need a second to start.
func Example() {
	trace, err := simulate.ReadTrace(strings.NewReader("second,records\n0,20\n"), simulate.TraceOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	policy := autoscale.Threshold{ScaleUpThreshold: 10, ScaleDownThreshold: 2, ScaleUpCount: 2, ScaleDownCount: 1}
	result, err := simulate.Run(trace, policy, simulate.Options{
		Rate: 2, Startup: time.Second,
		MinSize: 1, MaxSize: 3,
		CheckInterval: time.Second,
		SLO:           3 * time.Second,
		Timeline: func(r simulate.Row) {
			fmt.Printf("%ds: %2d waiting, %d -> %d: %s\n", r.Second, *r.Depth, r.Ready+r.Starting, r.Size, r.Reason)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("cost %d worker-seconds, %.1f times the useful ones; %.0f %% of the records were late\n",
		result.Cost, result.CostRatio, 100*result.SLOViolations)
	// Output:
	// 0s: 18 waiting, 1 -> 3: depth 18 >= 10: up by 2
	// 1s: 16 waiting, 3 -> 3: at max size 3
	// 2s: 10 waiting, 3 -> 3: at max size 3
	// 3s:  4 waiting, 3 -> 3: depth 4 is between 2 and 10
	// 4s:  0 waiting, 3 -> 2: depth 0 <= 2: down by 1
	// cost 13 worker-seconds, 1.3 times the useful ones; 20 % of the records were late
}
