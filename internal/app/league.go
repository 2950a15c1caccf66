package app

import (
	"context"
	"path/filepath"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/league"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/history"
	"github.com/sluicehq/sluice/internal/policies"
	"github.com/sluicehq/sluice/queue"
)

// openMeter makes what counts the arrivals, for those who want to know.
func (a *App) openMeter() error {
	c := a.o.Config
	m := &meter{slots: c.Analyzer.Slots}
	stats := func(ctx context.Context) (queue.Stats, error) { return a.queue.Stats(ctx) }
	if a.queue == nil {
		stats = a.remoteStats
	} else if c.HistoryDays > 0 {
		m.history = history.New(history.Options{Dir: filepath.Join(c.Queue.Dir, "history"), Days: c.HistoryDays, Logger: a.log})
	}
	m.accepted = func(ctx context.Context) (int64, error) {
		st, err := stats(ctx)
		return st.Accepted, err
	}
	if a.pool != nil && len(c.Policy.League) > 0 {
		var err error
		if a.league, err = league.New(a.leagueOptions(c)); err != nil {
			return err
		}
		m.league, m.pool, m.waits = a.league, a.pool.Stats, a.report
	}
	if m.history != nil || m.league != nil {
		a.meter = m
	}
	return nil
}

// leagueOptions let the policy in charge and those of the setting play. One that cannot be built with these settings is left out.
func (a *App) leagueOptions(c *config.Config) league.Options {
	o := league.Options{
		MinSize: c.Autoscale.MinSize, MaxSize: c.Autoscale.MaxSize,
		CheckInterval: c.Autoscale.CheckInterval, SLO: c.Policy.SLO,
	}
	from := c.PolicyOptions()
	from.SLO.SLO, from.SLO.CheckInterval = league.WholeSeconds(o.SLO), league.WholeSeconds(o.CheckInterval)
	for i, name := range append([]string{c.Policy.Name}, c.Policy.League...) {
		if i > 0 && name == c.Policy.Name {
			continue
		}
		p, err := policies.New(name, from)
		if err != nil {
			a.log.Warn("a policy cannot be compared with the one in charge", "policy", name, "error", err)
			continue
		}
		o.Contestants = append(o.Contestants, league.Contestant{Policy: autoscale.WithFloor(p), InCharge: i == 0})
	}
	return o
}
