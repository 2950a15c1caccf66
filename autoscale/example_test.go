package autoscale_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// client is anything that knows how much work waits.
type client struct{ depth int }

func (c *client) QueueDepth(context.Context) (int, error) { return c.depth, nil }

// machines is anything that can be made larger or smaller.
type machines struct {
	size    int
	changed func()
}

func (m *machines) Size() int { return m.size }

func (m *machines) Resize(_ context.Context, size int) error {
	m.size = size
	m.changed()
	return nil
}

// The options here are the defaults, so that autoscale.Options{} would do the same.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	pool := &machines{size: 2, changed: stop} // this example is over when the pool has changed
	client := &client{depth: 60}

	scaler, err := autoscale.New(pool, autoscale.DepthFunc(client.QueueDepth), autoscale.Options{
		MinSize: 2, MaxSize: 10,
		ScaleUpThreshold: 50, ScaleDownThreshold: 10,
		CheckInterval: 10 * time.Second, Cooldown: 30 * time.Second,
		ScaleUpCount: 2, ScaleDownCount: 1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = scaler.Run(ctx)   // until ctx ends
	stats := scaler.Stats() // CurrentSize, TotalScaleUps, TotalScaleDowns, InCooldown, CooldownRemaining, LastDecision, ...

	fmt.Println("run:", err)
	fmt.Println("size:", stats.CurrentSize, "ups:", stats.TotalScaleUps, "in cooldown:", stats.InCooldown)
	fmt.Println("because:", stats.LastDecision.Reason)
	// Output:
	// run: <nil>
	// size: 4 ups: 1 in cooldown: true
	// because: depth 60 >= 50: up by 2
}

// crew is a plain goroutine pool that never heard of autoscale.
type crew struct {
	jobs chan func()
	quit chan struct{} // one token sends one worker home
	wg   sync.WaitGroup
}

func (c *crew) hire() {
	c.wg.Go(func() {
		for {
			select {
			case job := <-c.jobs:
				job()
			case <-c.quit:
				return
			}
		}
	})
}

// scaled is all it takes to make the crew an [autoscale.Pool].
type scaled struct {
	crew *crew
	size atomic.Int64
	note func(from, to int)
}

func (s *scaled) Size() int { return int(s.size.Load()) }

func (s *scaled) Resize(_ context.Context, size int) error {
	from := s.Size()
	for range size - from {
		s.crew.hire()
	}
	for range from - size {
		s.crew.quit <- struct{}{} // buffered: the next worker to finish its job takes it, nobody waits for that
	}
	s.size.Store(int64(size))
	s.note(from, size)
	return nil
}

// A goroutine pool of somebody else's grows while jobs wait and shrinks when they are done.
func ExampleNew_goroutinePool() {
	ctx, stop := context.WithCancel(context.Background())
	somebodyElses := &crew{jobs: make(chan func(), 100), quit: make(chan struct{}, 100)}
	allHired := make(chan struct{})
	var done sync.WaitGroup
	for range 100 {
		done.Add(1)
		somebodyElses.jobs <- func() {
			<-allHired // long enough to see the pool grow
			done.Done()
		}
	}

	pool := &scaled{crew: somebodyElses, note: func(from, to int) {
		fmt.Println(from, "->", to)
		switch {
		case to == 4:
			close(allHired)
		case to == 0:
			stop()
		}
	}}
	scaler, err := autoscale.New(pool,
		autoscale.DepthFunc(func(context.Context) (int, error) { return len(somebodyElses.jobs), nil }),
		autoscale.Options{
			MinSize: autoscale.None, MaxSize: 4,
			ScaleUpThreshold: 20, ScaleDownThreshold: autoscale.None,
			CheckInterval: 10 * time.Millisecond, Cooldown: autoscale.None,
			ScaleUpCount: 2, ScaleDownCount: 2,
			Logger: slog.New(slog.DiscardHandler),
		})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := scaler.Run(ctx); err != nil {
		fmt.Println(err)
	}
	done.Wait()
	somebodyElses.wg.Wait()
	fmt.Println("all jobs done, everybody home")
	// Output:
	// 0 -> 2
	// 2 -> 4
	// 4 -> 2
	// 2 -> 0
	// all jobs done, everybody home
}

// A preset is a starting point; every value can be changed.
func ExamplePreset() {
	o, err := autoscale.Preset("bursty")
	if err != nil {
		fmt.Println(err)
		return
	}
	o.MaxSize = 40
	fmt.Println(o.MinSize, o.MaxSize, o.ScaleUpThreshold, o.Cooldown)

	_, err = autoscale.Preset("busty")
	fmt.Println(err)
	// Output:
	// 2 40 30 15s
	// autoscale: unknown preset "busty", did you mean "bursty"? (presets: default, bursty, steady, development, production, cost, throughput)
}

// Decide asks a policy without any loop: what would it do with 60 waiting and 9 workers?
func ExampleDecide() {
	d := autoscale.Decide(autoscale.DefaultOptions().Threshold(), autoscale.Observation{
		Time:  time.Date(2030, 5, 6, 12, 0, 0, 0, time.UTC),
		Depth: 60, Size: 9, MinSize: 2, MaxSize: 10,
	})
	fmt.Println(d.Action, "to", d.NewSize, "because", d.Reason)
	for _, c := range d.Clamps {
		fmt.Println(c.Name, "made", c.Before, "into", c.After)
	}
	// Output:
	// up to 10 because depth 60 >= 50: up by 1
	// max_size made 11 into 10
}
