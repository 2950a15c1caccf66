//go:build !race

// Computation alone, which takes ten times as long with the race detector: make test runs it without.

package autoscale_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// Workers take three minutes, records half of one: whatever begins suddenly is late before they are there.
var slowStart = simulate.Options{
	Rate: 2, Startup: 3 * time.Minute, MinSize: 1, MaxSize: 60, CheckInterval: 10 * time.Second, SLO: 30 * time.Second,
}

// days has calm traffic, and three minutes of something else that begin where job says, by day.
func days(count int, job func(day int) (minute int)) []int {
	random := rand.New(rand.NewPCG(1, 2))
	arrivals := make([]int, count*86400)
	for second := range arrivals {
		arrivals[second] = 8 + random.IntN(5)
		begin := job(second/86400) * 60
		if at := second % 86400; at >= begin && at < begin+180 {
			arrivals[second] += 40
		}
	}
	return arrivals
}

func seasonalRun(t testing.TB, arrivals []int, o simulate.Options, seasonal bool, rows *[]simulate.Row) simulate.Result {
	t.Helper()
	trace, err := simulate.NewTrace(arrivals...)
	if err != nil {
		t.Fatal(err)
	}
	slo, err := autoscale.NewSLO(autoscale.SLOOptions{SLO: o.SLO, CheckInterval: o.CheckInterval})
	if err != nil {
		t.Fatal(err)
	}
	var p autoscale.Policy = slo
	if seasonal {
		if p, err = autoscale.NewSeasonal(slo); err != nil {
			t.Fatal(err)
		}
	}
	if rows != nil {
		o.Timeline = func(r simulate.Row) { *rows = append(*rows, r) }
	}
	r, err := simulate.Run(trace, p, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// From the fourth day on the workers are there before the job begins.
func TestSeasonalIsReadyForWhatComesEveryDay(t *testing.T) {
	arrivals := days(7, func(int) int { return 180 })
	plain, ahead := seasonalRun(t, arrivals, slowStart, false, nil), seasonalRun(t, arrivals, slowStart, true, nil)
	if plain.SLOViolations < 0.001 {
		t.Fatalf("slo alone has %v late, so there is nothing to show", plain.SLOViolations)
	}
	if ahead.SLOViolations > 0.65*plain.SLOViolations {
		t.Errorf("%v late, and %v by slo alone; want a third less at least, three of seven days being spent on learning", ahead.SLOViolations, plain.SLOViolations)
	}
	if cost := float64(ahead.Cost) / float64(plain.Cost); cost < 1 || cost > 1.005 {
		t.Errorf("it costs %.4f times as much, want 1 to 1.005", cost)
	}
}

func TestSeasonalDoesNothingWhereNothingRepeats(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	at := make([]int, 7)
	for i := range at {
		at[i] = random.IntN(1400)
	}
	arrivals := days(7, func(day int) int { return at[day] })
	if plain, ahead := seasonalRun(t, arrivals, slowStart, false, nil), seasonalRun(t, arrivals, slowStart, true, nil); plain != ahead {
		t.Errorf("it came to\n%+v\nand slo alone to\n%+v", ahead, plain)
	}
}

// Where slo sees everything in time it is left alone, reasons and all.
func TestSeasonalDoesNothingWhereSLOIsInTime(t *testing.T) {
	arrivals := days(4, func(int) int { return 180 })
	o := slowStart
	o.SLO = 4 * time.Minute
	var plain, ahead []simulate.Row
	seasonalRun(t, arrivals, o, false, &plain)
	seasonalRun(t, arrivals, o, true, &ahead)
	for i := range plain {
		if a, b := plain[i], ahead[i]; a.Size != b.Size || a.Reason != b.Reason {
			t.Fatalf("at %d it is %d: %s; and slo alone %d: %s", a.Second, b.Size, b.Reason, a.Size, a.Reason)
		}
	}
}

// A job at 03:00 each night: it is expected from the fourth night on.
func ExampleSeasonal() {
	slo, err := autoscale.NewSLO(autoscale.SLOOptions{SLO: 30 * time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	policy, err := autoscale.NewSeasonal(slo)
	if err != nil {
		fmt.Println(err)
		return
	}
	trace, _ := simulate.NewTrace(days(5, func(int) int { return 180 })...)
	o := slowStart
	o.Timeline = func(r simulate.Row) {
		if r.Second%86400 == 3*3600-100 && r.Second > 2*86400 {
			fmt.Printf("%d s before the job of day %d: %d workers. %s\n", 100, r.Second/86400+1, r.Size, r.Reason)
		}
	}
	_, _ = simulate.Run(trace, policy, o)
	// Output:
	// 100 s before the job of day 3: 13 workers. all deadlines met with 30.0s to spare
	// 100 s before the job of day 4: 36 workers. about 36 are needed within 190s, as on the last days at this time; 12 without that: all deadlines met with 30.0s to spare, and 24 would be idle: down by 24
	// 100 s before the job of day 5: 36 workers. about 36 are needed within 190s, as on the last days at this time; 12 without that: all deadlines met with 30.0s to spare, and 24 would be idle: down by 24
}
