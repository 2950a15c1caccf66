package app

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/history"
)

// openCharts reads what is kept for the charts: on disk where there is a data folder, else in memory only.
func (a *App) openCharts() {
	c, now := a.o.Config, time.Now()
	o := history.Options{Logger: a.log}
	if a.queue != nil && c.HistoryDays > 0 {
		o.Dir, o.Days = filepath.Join(c.Queue.Dir, "history"), c.HistoryDays
	}
	a.series = history.OpenSeries(o, now)
	a.acted = history.OpenJournal(o, "decisions", now, func(line []byte) (time.Time, bool) {
		var d struct{ Time time.Time }
		err := json.Unmarshal(line, &d)
		return d.Time, err == nil && !d.Time.IsZero()
	})
}

// watch looks at everything once a second, until the function returned is called.
func watch(s *api.Server) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Watch(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}
