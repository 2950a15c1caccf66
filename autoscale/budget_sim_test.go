//go:build !race

// Computation alone, which takes ten times as long with the race detector: make test runs it without.

package autoscale_test

import (
	"fmt"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// Six worker-hours for each hour are spent on a burst first, and then as far as they go.
func ExampleBudget() {
	options := autoscale.DefaultOptions()
	options.MaxSize, options.Cooldown, options.ScaleUpCount = 50, 0, 10
	policy, err := autoscale.NewBudget(options.Threshold(), autoscale.BudgetOptions{WorkerHours: 6, Window: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	trace, _ := simulate.NewTrace(repeated(1800, 100)...)
	_, _ = simulate.Run(trace, policy, simulate.Options{
		Rate: 2, MinSize: 1, MaxSize: 50, CheckInterval: 10 * time.Second, SLO: time.Minute,
		Timeline: func(r simulate.Row) {
			switch r.Second {
			case 0, 10, 20, 600, 1790:
				fmt.Printf("%4ds: %d, %s\n", r.Second, r.Size, r.Reason)
			}
		},
	})
	// Output:
	//    0s: 11, depth 98 >= 50: up by 10
	//   10s: 21, depth 878 >= 50: up by 10
	//   20s: 23, the budget pays for 23 of the 31 asked for: 5.91 of 6 worker-hours are left until Jan 1 01:00
	//  600s: 6, the budget pays for 6 of the 16 asked for: 3.44 of 6 worker-hours are left until Jan 1 01:00
	// 1790s: 4, the budget pays for 4 of the 14 asked for: 2.06 of 6 worker-hours are left until Jan 1 01:00
}
