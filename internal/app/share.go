package app

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/queue/remote"
)

// leaveTime is how long telling the distributor that the pool leaves may take.
const leaveTime = 2 * time.Second

// recentMoves is how many of the newest decisions are looked through for those that changed the size, of which maxMoves are told.
const (
	recentMoves = 256
	maxMoves    = 5
)

// share tells the distributor about the pool and returns the part of the backlog that is this pool's. While the distributor does not
// answer, the last answer stands. One that knows nothing of pools leaves all of it to each.
func (a *App) share(ctx context.Context) remote.PoolShare {
	share, err := a.remote.Report(ctx, a.describe())
	if status, ok := errors.AsType[*remote.StatusError](err); ok && (status.Status == http.StatusNotFound || status.Status == http.StatusMethodNotAllowed) {
		share, err = remote.Whole, nil
	}
	if err == nil {
		a.lastShare = share
	}
	return a.lastShare
}

// describe says what the pool is.
func (a *App) describe() remote.PoolReport {
	p, s := a.pool.Stats(), a.scaler.Stats()
	r := remote.PoolReport{
		Name: a.pool.Name(), Instance: a.instance, Listen: a.Address(), TLS: a.tls != nil, Interval: a.scaler.Options().CheckInterval.Seconds(),
		Size: a.pool.Size(), MinSize: s.MinSize, MaxSize: s.MaxSize, Fixed: s.Paused || s.DryRun || !s.ForcedUntil.IsZero(),
		Ready: p.Ready, Busy: p.Busy, Draining: p.Draining, Policy: s.Policy, SLO: a.slo().Seconds(),
	}
	if d := s.LastDecision; d != nil {
		last := told(*d)
		r.Decision = &last
	}
	for _, d := range a.scaler.Decisions(recentMoves) {
		if d.Action != autoscale.ActionHold {
			r.Moves = append(r.Moves, told(d))
		}
	}
	r.Moves = r.Moves[max(0, len(r.Moves)-maxMoves):]
	return r
}

func told(d autoscale.Decision) remote.PoolDecision {
	return remote.PoolDecision{Time: d.Time, Size: d.Size, NewSize: d.NewSize, Action: string(d.Action), Reason: d.Reason}
}

// leave tells the distributor that the pool takes no more work, so that others take its share at once.
func (a *App) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	r := a.describe()
	r.Leaving = true
	if _, err := a.remote.Report(ctx, r); err != nil {
		a.log.Debug("distributor not told that the pool leaves", "error", err)
	}
}
