package rivals

import (
	"slices"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale/simulate"
)

// TestDS2ConvergesInOneStep is the claim of its paper: from any size, the first decision is the right one.
func TestDS2ConvergesInOneStep(t *testing.T) {
	for _, start := range []int{1, 3, 40} {
		arrivals := make([]int, 3*3600)
		for i := range arrivals {
			arrivals[i] = 70
		}
		trace, err := simulate.NewTrace(arrivals...)
		if err != nil {
			t.Fatal(err)
		}
		var sizes []int
		policy := must(NewDS2(DS2Options{CatchUp: -1, DownInterval: -1, MaxDown: 1, Boundary: -1}))(t)
		_, err = simulate.Run(trace, policy, simulate.Options{
			Rate: 10, MinSize: 1, MaxSize: 200, InitialSize: start, CheckInterval: 10 * time.Second, SLO: time.Hour,
			Timeline: func(r simulate.Row) {
				if r.Second < 3*3600 {
					sizes = append(sizes, r.Size)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		// 70/s at ten per worker and 70 % utilization.
		if got, want := slices.Compact(sizes), []int{start, 10}; !slices.Equal(got, want) {
			t.Errorf("sizes from %d: %v, want %v", start, got, want)
		}
	}
}

func TestDS2WaitsBeforeItMeasures(t *testing.T) {
	d := must(NewDS2(DS2Options{}))(t)
	for second := 0; ; second += 10 {
		o := seen(second, 100*second, 2)
		o.Completed, o.BusySeconds = 200, 20
		if got := decided(t, d, o); got != 2 {
			// Five minutes to stabilize, fifteen for the window.
			if second != 1200 {
				t.Errorf("first decision at second %d, want 1200", second)
			}
			break
		}
		if second > 5000 {
			t.Fatal("no decision at all")
		}
	}
}

func TestDS2WaitsAnHourBeforeItShrinks(t *testing.T) {
	d := must(NewDS2(DS2Options{}))(t)
	size, first := 20, -1
	for second := 0; second < 3*3600 && first < 0; second += 10 {
		o := seen(second, 0, size)
		o.Completed, o.BusySeconds = 200, 20 // two workers' worth
		if second > 2400 && second < 2700 {
			o.Completed, o.BusySeconds = 600, 60
		}
		if got := decided(t, d, o); got != size {
			size, first = got, second
		}
	}
	if first != 1200+3600 {
		t.Errorf("shrinks at second %d, want an hour after it first wanted to at 1200", first)
	}
	// 60 % at most go at once; the largest size wanted meanwhile was a bit more.
	if size < 8 || size > 10 {
		t.Errorf("down to %d from 20, want 8 or what the peak within the hour wanted", size)
	}
}

func TestDS2LeavesTheBoundaryAlone(t *testing.T) {
	d := must(NewDS2(DS2Options{}))(t)
	for second := 0; second < 3*3600; second += 10 {
		o := seen(second, 0, 10)
		o.Completed, o.BusySeconds = 800, 80 // utilization 0.8, between 0.4 and 1
		if got := decided(t, d, o); got != 10 {
			t.Fatalf("second %d: %d workers, want 10", second, got)
		}
	}
}

func TestBacklogAlarmPeriods(t *testing.T) {
	b := must(NewBacklog(BacklogOptions{Target: 10}))(t)
	// Out: three points in a row above the target; a point at the target in between starts the count anew.
	got := follow(t, b, 2, 60, 60, 60, 20, 60, 60, 60)
	if want := []int{2, 2, 2, 2, 2, 6}; !slices.Equal(got, want) {
		t.Errorf("sizes %v, want %v", got, want)
	}
}

func TestBacklogShrinksAfterFifteenPoints(t *testing.T) {
	b := must(NewBacklog(BacklogOptions{Target: 10}))(t)
	got := follow(t, b, 20, 60, repeated(31, 0)...)
	for minute, size := range got {
		// The fifteenth point, and then a step of a tenth every five minutes.
		want := 20
		for m := 14; m <= minute; m += 5 {
			want -= max(1, want/10)
		}
		if size != want {
			t.Errorf("minute %d: %d workers, want %d (all: %v)", minute, size, want, got)
			break
		}
	}
}

func TestBacklogCooldownLetsALargerGrowthPass(t *testing.T) {
	b := must(NewBacklog(BacklogOptions{Target: 10}))(t)
	o := func(minute, depth, ready, size int) int {
		seen := seen(60*minute, depth, size)
		seen.Ready = ready
		return decided(t, b, seen)
	}
	o(0, 80, 2, 2)
	o(1, 80, 2, 2)
	if got := o(2, 80, 2, 2); got != 8 {
		t.Fatalf("%d workers, want 8", got)
	}
	if got := o(3, 80, 2, 8); got != 8 {
		t.Errorf("%d workers while the new ones warm up, want 8", got)
	}
	if got := o(4, 120, 2, 8); got != 12 {
		t.Errorf("%d workers for more backlog within the cooldown, want 12", got)
	}
}

func TestBacklogWithoutDataIsNoAlarm(t *testing.T) {
	b := must(NewBacklog(BacklogOptions{Target: 10}))(t)
	for minute := range 12 {
		o := seen(60*minute, 100, 2)
		if minute%3 == 2 {
			o.Unknown = "no data"
		}
		if got := decided(t, b, o); got != 2 {
			t.Fatalf("minute %d: %d workers, want 2: never three points in a row", minute, got)
		}
	}
}

func TestCeleryKeepsAlive(t *testing.T) {
	c := must(NewCelery(CeleryOptions{}))(t)
	size := 2
	check := func(second, depth, busy int) int {
		o := seen(second, depth, size)
		o.BusySeconds = float64(busy)
		size = decided(t, c, o)
		return size
	}
	// It never shrinks what it has not grown.
	if got := check(0, 0, 0); got != 2 {
		t.Errorf("%d processes at the start, want the 2 that it found", got)
	}
	// Growth is at once, to what the node holds: four per process.
	if got := check(1, 100, 2); got != 8 {
		t.Errorf("%d processes, want 4 * 2", got)
	}
	if got := check(2, 17, 8); got != 25 {
		t.Errorf("%d processes for 17 waiting and 8 in work, want 25", got)
	}
	for second := 3; second <= 32; second++ {
		if got := check(second, 0, 5); got != 25 {
			t.Fatalf("second %d: %d processes, want 25 for 30 s", second, got)
		}
	}
	if got := check(33, 0, 5); got != 5 {
		t.Errorf("%d processes after the keepalive, want the 5 at work, all others at once", got)
	}
}

func TestNomadSlamsToTheMaximum(t *testing.T) {
	n := must(NewNomad(NomadOptions{}))(t)
	o := seen(0, 1000, 5)
	o.MaxSize = 50
	p := n.Decide(o)
	if got := p.Size; got != 500 {
		t.Errorf("named %d, want a hundred times the pool", got)
	}
	// The cooldown holds it there although nothing waits any more.
	for second := 10; second < 300; second += 10 {
		if got := decided(t, n, seen(second, 0, 50)); got != 50 {
			t.Fatalf("second %d: %d workers, want 50 in the cooldown", second, got)
		}
	}
	if got := decided(t, n, seen(300, 0, 50)); got != 1 {
		t.Errorf("after the cooldown: %d workers, want all but one gone", got)
	}
}

func TestNomadThreshold(t *testing.T) {
	for depth, want := range map[int]int{1000: 10, 1009: 10, 991: 10, 1011: 11, 985: 10, 900: 9, 500: 5} {
		n := must(NewNomad(NomadOptions{Target: 100, PerWorker: true}))(t)
		if got := decided(t, n, seen(0, depth, 10)); got != want {
			t.Errorf("depth %d: %d workers, want %d", depth, got, want)
		}
	}
}
