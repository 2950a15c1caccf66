package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/league"
	"github.com/sluicehq/sluice/internal/history"
	"github.com/sluicehq/sluice/internal/slo"
)

// counter is a queue's count of accepted records.
type counter struct {
	n    atomic.Int64
	away atomic.Bool
}

func (c *counter) accepted(context.Context) (int64, error) {
	if c.away.Load() {
		return 0, errors.New("nobody answers")
	}
	return c.n.Load(), nil
}

func newHistory(t *testing.T) (*history.Recorder, func() string) {
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return history.New(history.Options{Dir: dir, Days: 3, Logger: log}), func() string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, time.Now().UTC().Format(time.DateOnly)+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(strings.TrimPrefix(string(data), "second,records")), " ")
	}
}

// pass lets time pass in a bubble.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestMeterWritesDownWhatArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // midnight, to the second
		var c counter
		c.n.Store(1000) // those of an earlier process
		r, rows := newHistory(t)
		m := &meter{accepted: c.accepted, history: r}
		pass(300 * time.Millisecond)
		stop := m.start()
		c.n.Add(5)
		pass(500 * time.Millisecond)
		c.n.Add(2)
		pass(time.Second) // second 0 is over
		c.n.Add(10)
		pass(8 * time.Second) // nothing arrives, and the rows are flushed
		if got, want := rows(), "0,7 1,10"; got != want {
			t.Errorf("while it runs: rows %s, want %s", got, want)
		}
		c.n.Add(3)
		stop()
		if got, want := rows(), "0,7 1,10 9,3"; got != want {
			t.Errorf("after it was stopped in second 9: rows %s, want %s", got, want)
		}
	})
}

func TestMeterSpreadsWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counter
		r, rows := newHistory(t)
		m := &meter{accepted: c.accepted, history: r}
		stop := m.start()
		c.away.Store(true)
		pass(3500 * time.Millisecond)
		c.n.Add(10)
		c.away.Store(false)
		pass(time.Second)
		if m.last != 10 {
			t.Errorf("%d seen, want 10", m.last)
		}
		c.n.Store(4) // a fresh queue: nobody knows what came
		pass(time.Second)
		c.n.Add(6)
		pass(time.Second)
		stop()
		if got, want := rows(), "0,2 1,3 2,2 3,3 5,6"; got != want {
			t.Errorf("rows %s, want %s", got, want)
		}
	})
}

func TestMeterLeavesLongGapsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counter
		r, rows := newHistory(t)
		m := &meter{accepted: c.accepted, history: r}
		stop := m.start()
		c.away.Store(true)
		pass(1000 * time.Second)
		c.n.Add(120)
		c.away.Store(false)
		pass(1500 * time.Millisecond)
		stop()
		got := strings.Fields(rows())
		if len(got) != mostMissed || got[0] != "941,2" || got[len(got)-1] != "1000,2" {
			t.Errorf("rows %v, want the last minute only", got)
		}
	})
}

func TestMeterFeedsTheLeague(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := league.New(league.Options{
			Contestants: []league.Contestant{{Policy: autoscale.DefaultOptions().Threshold(), InCharge: true}},
			MinSize:     1, MaxSize: 5, CheckInterval: time.Second, SLO: time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		var c counter
		var done atomic.Int64
		m := &meter{accepted: c.accepted, league: l, slots: 2, pool: func() analyzer.Stats {
			n := done.Load()
			return analyzer.Stats{Ready: 2, Draining: 1, Totals: analyzer.Totals{Records: n, ServiceSeconds: float64(n) / 50}}
		}}
		waits := slo.New(0.999, time.Now())
		waits.SetSLO(time.Second)
		waits.Done(time.Now().Add(-time.Minute), time.Now(), 1e6) // before it begins
		m.waits = func() *slo.Report { return new(waits.Report(time.Now())) }
		done.Store(1e6) // by the time it begins
		stop := m.start()
		pass(1500 * time.Millisecond)
		for range 100 {
			c.n.Add(30)
			done.Add(30)
			waits.Done(time.Now().Add(-2*time.Second), time.Now(), 3)
			waits.Done(time.Now(), time.Now(), 27)
			pass(time.Second)
		}
		if late := l.Standing().Real.Total.LateShare; late == nil || *late != 0.1 {
			t.Errorf("late share of the real pool is %v, want the 3 of 30 that were measured", late)
		}
		waits = slo.New(0.999, time.Now()) // the distributor was started anew, and forgot its counts
		waits.SetSLO(time.Second)
		waits.Done(time.Now().Add(-time.Minute), time.Now(), 5)
		c.n.Add(30)
		pass(1100 * time.Millisecond)
		if late := l.Standing().Real.Total.LateShare; *late != 0.1 {
			t.Errorf("late share of the real pool is %v after a restart elsewhere, want 0.1 as before", *late)
		}
		stop()
		st := l.Standing()
		if st.Rate < 99.9 || st.Rate > 100.1 || st.Total.Seconds < 90 || st.Total.Records != 30*st.Total.Seconds || st.Real.Size != 3 {
			t.Errorf("standing %+v, want 100 records/s per analyzer of two slots, and 30 records a second", st)
		}
	})
}
