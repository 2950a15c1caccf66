package app

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/policies"
	"github.com/sluicehq/sluice/queue"
)

// openPool makes the pool and the autoscaler beside it.
func (a *App) openPool() (err error) {
	c := a.o.Config
	path := a.memoryPath()
	kept := recall(path, a.log)
	po := c.Analyzer
	po.Logger, po.Remote = a.log, a.remote != nil
	po.Size = kept.sizeNow(time.Now(), c.Autoscale.MinSize, c.Autoscale.MaxSize)
	var source queue.Leaser = a.remote
	if a.queue != nil {
		source = a.queue
	}
	if a.pool, err = analyzer.NewPool(source, a.handler(), po); err != nil {
		return err
	}
	so := c.Autoscale
	so.Logger = a.log
	if so.Policy, err = a.policy(c, path, kept); err != nil {
		return err
	}
	if a.scaler, err = autoscale.New(a.pool, a.observer(), so); err != nil {
		return err
	}
	a.tuner = newTuner(a)
	return nil
}

// changePolicy puts the policy of another configuration in charge, while everything runs. It knows what the present one had learned when it
// was last kept.
func (a *App) changePolicy(c config.Config, why string) error {
	path := a.memoryPath()
	kept := recall(path, a.log)
	before := a.memory.Load()
	o := c.Autoscale
	var err error
	if o.Policy, err = a.policy(&c, path, kept); err == nil {
		err = a.scaler.Change(o, why)
	}
	if err != nil {
		a.memory.Store(before)
	}
	return err
}

// observer looks at the queue, wherever it is, and at the pool.
func (a *App) observer() autoscale.Observer {
	v := observer{pool: a.pool, slots: a.o.Config.Analyzer.Slots}
	if a.queue == nil {
		v.stats, v.share = a.remoteStats, a.share
		return &v
	}
	v.stats = a.queue.Stats
	return &localObserver{v, a.queue.Unfinished}
}

// memoryPath is the file for what is learned; empty for none.
func (a *App) memoryPath() string {
	c := a.o.Config
	switch {
	case c.Policy.State != "":
		return c.Policy.State
	case a.queue != nil:
		return filepath.Join(c.Queue.Dir, "autoscaler.json")
	}
	return ""
}

// policy builds the one in charge with what is wrapped around it, and gives them what an earlier process has learned.
func (a *App) policy(c *config.Config, path string, kept memoryFile) (autoscale.Policy, error) {
	p, err := policies.New(c.Policy.Name, c.PolicyOptions())
	if err != nil {
		return nil, err
	}
	m := &keeper{path: path, log: a.log, size: a.pool.Size, writes: make(chan memoryFile, 1)}
	if before := a.memory.Load(); before != nil {
		m.writes = before.writes
	}
	if slo, ok := p.(*autoscale.SLO); ok {
		m.parts = append(m.parts, part{"slo", func() any { return slo.State() }})
		restore(a, path, kept, "slo", slo.Restore)
		if c.Policy.Seasonal {
			seasonal, err := autoscale.NewSeasonal(slo)
			if err != nil {
				return nil, err
			}
			m.parts = append(m.parts, part{"seasonal", func() any { return seasonal.State() }})
			restore(a, path, kept, "seasonal", seasonal.Restore)
			p = seasonal
		}
	}
	if c.Policy.Governor && c.Policy.Name == "slo" {
		g, err := autoscale.NewGovernor(p, autoscale.GovernorOptions{CheckInterval: c.Autoscale.CheckInterval})
		if err != nil {
			return nil, err
		}
		m.parts = append(m.parts, part{"governor", func() any { return g.State() }})
		restore(a, path, kept, "governor", g.Restore)
		p = g
	}
	if hours := c.Policy.WorkerHours; hours > 0 {
		b, err := autoscale.NewBudget(p, autoscale.BudgetOptions{WorkerHours: float64(hours)})
		if err != nil {
			return nil, err
		}
		m.parts = append(m.parts, part{"budget", func() any { return b.State() }})
		restore(a, path, kept, "budget", b.Restore)
		p = b
	}
	m.Policy = p
	if path == "" {
		return p, nil
	}
	a.memory.Store(m)
	return m, nil
}

// restore gives a part back what it knew. Where it cannot use that, it learns anew, and the file is set aside.
func restore[S any](a *App, path string, kept memoryFile, name string, into func(S) error) {
	text, ok := kept.Parts[name]
	if !ok {
		return
	}
	var state S
	err := json.Unmarshal(text, &state)
	if err == nil {
		err = into(state)
	}
	if err != nil {
		setAside(a.log, path, fmt.Errorf("%s: %w", name, err), "")
	}
}
