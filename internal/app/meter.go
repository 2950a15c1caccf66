package app

import (
	"context"
	"sync"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale/league"
	"github.com/sluicehq/sluice/internal/history"
	"github.com/sluicehq/sluice/internal/slo"
)

const (
	beat       = time.Second     // between two looks
	lookTime   = 2 * time.Second // the most that one may take
	flushEvery = 5 * time.Second

	// mostMissed is how many seconds are made up for after the meter could not look. A longer gap is left out: nobody knows
	// when in it the records came.
	mostMissed = 60
)

// meter looks once a second at how many records the queue has accepted, and tells the history and the league. Where it looks
// late, what came since it looked last is spread evenly over the seconds since then.
type meter struct {
	accepted func(context.Context) (int64, error) // only ever grows
	history  *history.Recorder                    // nil for none
	league   *league.League                       // nil for none
	pool     func() analyzer.Stats                // for the league
	slots    int                                  // of each analyzer
	waits    func() *slo.Report                   // for the league; nil, and a nil report, mean unknown

	begun   time.Time // beats are counted from here
	beats   int       // told already
	looked  bool
	last    int64 // accepted
	totals  analyzer.Totals
	judged  int64 // records judged and late, as of the last look; -1 where it is not known
	late    int64
	flushed time.Time
}

// start counts what is accepted from now on. The function returned ends that; what was counted is on disk then.
func (m *meter) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	now := time.Now()
	m.begun = now.Add(-time.Duration(now.Nanosecond())) // looks come when a second of the clock is over
	if m.history != nil {                               // the queue is here and answers at once
		m.look(ctx, now)
		m.history.Flush(now)
	}
	var running sync.WaitGroup
	running.Go(func() { m.run(ctx) })
	return func() {
		cancel()
		running.Wait()
		m.finish(time.Now())
	}
}

func (m *meter) run(ctx context.Context) {
	timer := time.NewTimer(m.untilNext())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			m.look(ctx, time.Now())
			timer.Reset(m.untilNext())
		}
	}
}

// untilNext is the time to the next second that is over.
func (m *meter) untilNext() time.Duration { return beat - time.Since(m.begun)%beat }

// look asks and tells. Where nobody answers, the next look is for the seconds missed as well.
func (m *meter) look(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	accepted, err := m.accepted(ctx)
	if err != nil {
		return
	}
	m.tell(now, accepted)
}

// tell passes on what came in the seconds that are over.
func (m *meter) tell(now time.Time, accepted int64) {
	beats := int(now.Sub(m.begun) / beat)
	// A queue that was set back, by a fresh data folder for one, counts from the start again: then nobody knows.
	if !m.looked || accepted < m.last {
		m.looked, m.last, m.beats = true, accepted, beats
		if m.league != nil {
			m.totals = m.pool().Totals
			m.judged, m.late = m.verdicts()
		}
		return
	}
	missed := min(beats-m.beats, mostMissed)
	if missed <= 0 {
		return
	}
	arrived := int(accepted - m.last)
	m.last, m.beats = accepted, beats
	// The middle of the last second that is over tells which one it is, however little the clock is off.
	over := now.Add(-now.Sub(m.begun)%beat - beat/2)
	for i := range missed {
		n := arrived*(i+1)/missed - arrived*i/missed
		at := over.Add(time.Duration(i+1-missed) * beat)
		if m.history != nil {
			m.history.Add(at, n)
		}
		m.play(at, n, i == missed-1)
	}
	if m.history != nil && now.Sub(m.flushed) >= flushEvery {
		m.flushed = now
		m.history.Flush(now)
	}
}

// play tells the league. What the pool did is counted in the last of the seconds that are over.
func (m *meter) play(at time.Time, arrived int, last bool) {
	if m.league == nil {
		return
	}
	p := m.pool()
	s := league.Second{Time: at, Arrived: arrived, Workers: p.Ready + p.Starting + p.Draining}
	if last {
		s.Completed = int(p.Records - m.totals.Records)
		s.ServiceSeconds = (p.ServiceSeconds - m.totals.ServiceSeconds) / float64(m.slots)
		m.totals = p.Totals
		judged, late := m.verdicts()
		if m.judged >= 0 && judged >= m.judged && late >= m.late { // else the other process was started anew, or away
			s.Judged, s.Late = int(judged-m.judged), int(late-m.late)
		}
		m.judged, m.late = judged, late
	}
	m.league.Step(s)
}

// verdicts is how many records were judged by the SLO, and how many of them were late.
func (m *meter) verdicts() (judged, late int64) {
	var r *slo.Report
	if m.waits != nil {
		r = m.waits()
	}
	switch {
	case r == nil:
		return -1, -1
	case r.Late == nil:
		return r.Judged, 0
	}
	return r.Judged, *r.Late
}

// finish takes down what came in the second that is not over yet.
func (m *meter) finish(now time.Time) {
	if m.history == nil {
		return
	}
	defer m.history.Close()
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	accepted, err := m.accepted(ctx)
	if err != nil || !m.looked || accepted < m.last {
		return
	}
	m.tell(now, accepted)
	m.history.Add(now, int(accepted-m.last))
}
