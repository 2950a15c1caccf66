package app

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/slo"
	"github.com/sluicehq/sluice/queue"
)

// sloOf is the longest wait that a record may have. Without a policy that aims at it, it is known only if an operator set it.
func sloOf(c *config.Config) time.Duration {
	if c.Policy.Name == "slo" || c.Policy.SLOGiven {
		return c.Policy.SLO
	}
	return 0
}

// slo is the same for what is in use now.
func (a *App) slo() time.Duration {
	if a.tuner != nil {
		return a.tuner.slo()
	}
	if slo := sloOf(a.o.Config); slo > 0 {
		return slo
	}
	return time.Duration(a.poolsSLO.Load())
}

// judgeBy makes records be judged by the SLO of the pools elsewhere, where this process has none. The last one known stays.
func (a *App) judgeBy(slo time.Duration) {
	if slo > 0 && a.waits != nil && sloOf(a.o.Config) == 0 {
		a.poolsSLO.Store(int64(slo))
		a.waits.SetSLO(slo)
	}
}

// openWaits makes what measures the waits of the queue here.
func (a *App) openWaits() {
	a.waits = slo.New(a.o.Config.Policy.SLOTarget/100, time.Now())
	a.waits.SetSLO(sloOf(a.o.Config))
}

// keepWaits writes now and then what was measured, until the function returned is called, and then for the last time.
func (a *App) keepWaits() (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(slo.SaveEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				a.waits.Save(time.Now())
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
		a.waits.Save(time.Now())
	}
}

// farWaits is what the distributor said last of the waits of its queue.
type farWaits struct {
	last atomic.Pointer[farReport]
}

type farReport struct {
	report *slo.Report
	at     time.Time
}

// farGood is how old the report of a distributor may be. What is older is unknown.
const farGood = 30 * time.Second

// remoteStats is the account of the distributor's queue. What it says of waits is kept.
func (a *App) remoteStats(ctx context.Context) (queue.Stats, error) {
	var said struct {
		Waits *slo.Report `json:"waits"`
	}
	st, err := a.remote.StatsInto(ctx, &said)
	if err == nil {
		a.far.last.Store(&farReport{said.Waits, time.Now()})
	}
	return st, err
}

// report is what is known of waits, here or at the distributor; nil if that is unknown.
func (a *App) report() *slo.Report {
	if a.waits != nil {
		return new(a.waits.Report(time.Now()))
	}
	if f := a.far.last.Load(); f != nil && time.Since(f.at) < farGood {
		return f.report
	}
	return nil
}
