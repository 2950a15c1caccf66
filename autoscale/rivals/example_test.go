package rivals_test

import (
	"fmt"
	"time"

	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// Two rivals meet the same bursts; one of them is set up for a shorter queue than its default.
func Example() {
	traffic, err := simulate.Synthetic("bursts", 3*3600, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	options := simulate.Options{
		Rate: traffic.Rate, Startup: 5 * time.Second, MinSize: 1, MaxSize: 50, CheckInterval: 5 * time.Second, SLO: 30 * time.Second,
	}
	for _, name := range []string{"hpa", "kpa"} {
		settings := rivals.Settings{}
		if name == "hpa" {
			settings["target"] = "5"
		}
		policy, err := rivals.New(name, settings)
		if err != nil {
			fmt.Println(err)
			return
		}
		result, err := simulate.Run(traffic.Trace, policy, options)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %.1f times the useful cost, %.2f %% late\n", name, result.CostRatio, 100*result.SLOViolations)
	}
	// Output:
	// hpa: 4.1 times the useful cost, 0.00 % late
	// kpa: 2.8 times the useful cost, 0.00 % late
}
