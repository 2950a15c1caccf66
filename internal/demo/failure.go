package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluicehq/sluice/emitter"
	"github.com/sluicehq/sluice/internal/app"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/words"
	"github.com/sluicehq/sluice/queue/remote"
)

// FailureOptions say how [Failure] goes.
type FailureOptions struct {
	Options
	Command   Command       // runs sluice; required
	Duration  time.Duration // of the load and the killing; zero means 30s
	Processes int           // analyzer processes; zero means 4
	KillEvery time.Duration // average time between two kills; zero means 1.5s
	Lease     time.Duration // how long the batches of a killed process are nobody else's; zero means 3s
}

func (o FailureOptions) withDefaults() FailureOptions {
	if o.Duration == 0 {
		o.Duration = 30 * time.Second
	}
	if o.Processes == 0 {
		o.Processes = 4
	}
	if o.KillEvery == 0 {
		o.KillEvery = 1500 * time.Millisecond
	}
	if o.Lease == 0 {
		o.Lease = 3 * time.Second
	}
	return o
}

// slotsPerProcess is how many batches a process of this demo has in hand.
const slotsPerProcess = 2

// Failure kills analyzer processes at random while records come in, and lets others take their place. There is an account even if
// ctx ended early, and an error only if the demo could not be given.
func Failure(ctx context.Context, o FailureOptions) (_ *Account, err error) {
	o = o.withDefaults()
	ctx, end := context.WithCancel(ctx)
	defer end()
	s, err := startServer(ctx, app.Distributor, o.Options, end, func(c *config.Config) {
		c.Queue.Lease = o.Lease
		// Batches are not to blame here. Splitting them to find out would blur the count of those redelivered.
		c.Queue.Retry.SplitAfter = c.Queue.Retry.MaxAttempts
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	client, err := emitter.NewClient(s.url, emitter.ClientOptions{Logger: o.Log})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	stats, err := remote.NewClient(s.url)
	if err != nil {
		return nil, err
	}
	defer stats.Close()
	d := &failure{o: o, client: client, stats: stats, start: time.Now(), end: end}
	d.crew = &crew{command: o.Command, say: o.Screen.Say, args: []string{
		"analyze", "--distributor", s.url, "--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "info",
		"--handler", config.HandlerSleep, "--sleep-per-record", sleepPerRecord.String(),
		"--slots", fmt.Sprint(slotsPerProcess), "--min-size", "1", "--max-size", "1",
	}}
	return d.run(ctx)
}

// failure is one run of the demo.
type failure struct {
	o      FailureOptions
	client *emitter.Client
	stats  *remote.Client
	start  time.Time
	end    func() // ends the demo early
	crew   *crew
}

func (d *failure) run(ctx context.Context) (*Account, error) {
	rate := 0.75 * analyzerRate * float64(slotsPerProcess*d.o.Processes)
	load, err := emitter.NewPool(d.client, emitter.PoolOptions{
		Emitters: 10, Profile: emitter.Constant{Rate: rate}, BatchSize: batchRecords, Duration: d.o.Duration, Seed: 1,
	})
	if err != nil {
		return nil, err
	}
	d.o.Screen.Say("%s work on %s records/s. About every %v one of them is killed with SIGKILL. What it had in hand",
		words.Plural(d.o.Processes, "analyzer process", "analyzer processes"), words.Thousands(int64(rate)), d.o.KillEvery)
	d.o.Screen.Say("belongs to it for %v more, then others get it.", d.o.Lease)
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()
	d.crew.begin(ctx, working, d.o.Processes, d.end)
	w := newWatch(d.stats, d.start, d.show)
	stopWatch := w.begin(ctx)

	err = d.loadAndKill(ctx, load)
	var verified emitter.Account
	if err == nil {
		if ctx.Err() == nil {
			d.o.Screen.Say("The emitters stop, and so does the killing. What is left is worked off.")
		}
		verified, err = verify(ctx, d.client, load, emitter.ServerStats{}, verifyTime+2*d.o.Duration)
	}
	interrupted := ctx.Err() != nil
	stopWatch()
	stopWorking()
	d.crew.wait()
	if err := errors.Join(d.crew.broken, err); err != nil {
		return nil, err
	}
	d.o.Screen.Say("")
	a := newAccount("failure", verified, interrupted, time.Since(d.start))
	f := &FailureStory{}
	f.Processes, _, f.Kills, f.Held = d.crew.counts()
	if st, err := look(context.WithoutCancel(ctx), d.stats); err == nil {
		f.Redelivered = st.Redelivers
	}
	a.Failure = f
	return a, nil
}

// loadAndKill sends for the duration of the demo, and kills meanwhile.
func (d *failure) loadAndKill(ctx context.Context, load *emitter.Pool) error {
	killing, stopKilling := context.WithCancel(ctx)
	var killer sync.WaitGroup
	killer.Go(func() {
		for {
			pause(killing, time.Duration((0.5+rand.Float64())*float64(d.o.KillEvery)))
			if killing.Err() != nil {
				return
			}
			d.crew.killOne(killing)
		}
	})
	err := load.Run(ctx)
	stopKilling()
	killer.Wait()
	return err
}

func (d *failure) show(w *watch, lineDue bool) {
	history, st := w.seen()
	if len(history) == 0 || !lineDue {
		return
	}
	_, ready, kills, _ := d.crew.counts()
	d.o.Screen.Say("%s  in flight %s  processes %d  kills %d  redelivered %d", Status(history, false, 0), words.Thousands(st.InFlight), ready, kills, st.Redelivers)
}
