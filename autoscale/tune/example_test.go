package tune_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sluicehq/sluice/autoscale/simulate"
	"github.com/sluicehq/sluice/autoscale/tune"
)

// A pool of a fixed size for traffic that is calm apart from one rush: how large must it be?
func ExampleSearch() {
	arrivals := make([]int, 1800)
	for i := range arrivals {
		arrivals[i] = 10
	}
	for i := 600; i < 660; i++ {
		arrivals[i] = 40
	}
	trace, err := simulate.NewTrace(arrivals...)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := tune.Search(context.Background(), trace, "static", tune.Options{
		Simulate: simulate.Options{Rate: 2, MinSize: 1, MaxSize: 20, SLO: 30 * time.Second},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range result.Curve {
		fmt.Printf("%2s workers: %5.2f %% late\n", p.Settings["size"], 100*p.Found.Late)
	}
	if best := result.Recommended; best != nil {
		fmt.Println("recommended:", best.Settings["size"])
	}
	// Output:
	// 14 workers:  0.00 % late
	// 10 workers:  8.94 % late
	//  7 workers: 23.10 % late
	//  1 workers: 99.62 % late
	// recommended: 14
}
