package autoscale

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// frozenPool stops the controller's loop where it asks for the size, as a process is stopped that gets SIGSTOP.
type frozenPool struct {
	fakePool
	once   sync.Once
	freeze time.Duration
	at     time.Time
}

func (p *frozenPool) Size() int {
	if p.freeze > 0 && !time.Now().Before(p.at) {
		p.once.Do(func() { time.Sleep(p.freeze) })
	}
	return p.fakePool.Size()
}

// counting is an observer whose counters grow by one record a second.
type counting struct {
	last    time.Time
	looks   []int // what arrived, by look
	resumed []time.Duration
}

func (c *counting) Observe(context.Context) (Observation, error) {
	now := time.Now()
	n := 0
	if !c.last.IsZero() {
		n = int(now.Sub(c.last).Seconds())
	}
	c.last = now
	c.looks = append(c.looks, n)
	return Observation{Depth: 100, Arrived: n, Completed: n, BusySeconds: float64(n)}, nil
}

func (c *counting) Resumed(stood time.Duration) { c.resumed = append(c.resumed, stood) }

// remembering keeps what it saw.
type remembering struct{ saw []Observation }

func (r *remembering) Name() string { return "remembering" }
func (r *remembering) Decide(o Observation) Proposal {
	r.saw = append(r.saw, o)
	if o.Unknown != "" {
		return Proposal{Size: o.Size, Reason: o.Unknown}
	}
	return Proposal{Size: 7, Reason: "seven"}
}

// TestAProcessThatStoodStillLooksBeforeItDecides stops the loop for 20 s. The next check does not decide on what was measured across
// that, the observer is told, and the check after it sees counters that begin behind it.
func TestAProcessThatStoodStillLooksBeforeItDecides(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
		t.Run(interval.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				observer, policy := &counting{}, &remembering{}
				pool := &frozenPool{freeze: 20 * time.Second, at: time.Now().Add(3 * interval)}
				pool.size = 5
				log := &lines{}
				c, err := New(pool, observer, Options{MaxSize: 9, CheckInterval: interval, Policy: policy, Logger: slog.New(slog.NewTextHandler(log, nil))})
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- c.Run(ctx) }()
				time.Sleep(6*interval + 21*time.Second)
				stop()
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(policy.saw, func(o Observation) bool { return o.StoodStill > 0 })
				if i < 0 || i+1 >= len(policy.saw) {
					t.Fatalf("no check disregards what was measured; the log is %q", log.all)
				}
				stale, next := policy.saw[i], policy.saw[i+1]
				if stale.StoodStill < 17*time.Second || stale.StoodStill > 20*time.Second || !strings.Contains(stale.Unknown, "stood still") || stale.Arrived != 0 {
					t.Errorf("the first reading after 20 s is %+v, want it unknown", stale)
				}
				if next.Unknown != "" || next.StoodStill != 0 || next.Arrived > int(interval.Seconds()) {
					t.Errorf("the next one tells of %d records in an interval of %v (%s), want those that came after the standstill", next.Arrived, interval, next.Unknown)
				}
				if d := c.Decisions(0)[i]; d.Action != ActionHold || d.DepthKnown || !strings.Contains(d.Reason, "stood still") {
					t.Errorf("decision %+v, want a hold that says why", d)
				}
				if len(observer.resumed) != 1 {
					t.Errorf("the observer was told of %v, want one standstill", observer.resumed)
				}
			})
		})
	}
}

// TestASlowCheckIsNoStandstill: an observer and a pool that take all the time they may are not taken for one.
func TestASlowCheckIsNoStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, 2, Options{CheckInterval: 5 * time.Second})
		r.queue.set(func(q *fakeQueue) { q.polite, q.depth = true, 90 })
		r.pool.set(func(p *fakePool) { p.block = make(chan struct{}) })
		pass(time.Minute)
		r.queue.set(func(q *fakeQueue) { q.polite = false })
		pass(time.Minute)
		close(r.pool.block)
		pass(time.Minute)
		r.stop()
		if said := r.log.containing("stood still"); len(said) > 0 {
			t.Errorf("%q, want nothing of the kind", said)
		}
	})
}

// TestPoliciesMeasureNothingAcrossAStandstill lets policies learn, stops the process for ten minutes, and wants them to believe what
// they believed before.
func TestPoliciesMeasureNothingAcrossAStandstill(t *testing.T) {
	slo := newSLO(t, SLOOptions{SLO: time.Minute, CheckInterval: 10 * time.Second})
	seasonal, err := NewSeasonal(slo)
	if err != nil {
		t.Fatal(err)
	}
	governor, err := NewGovernor(seasonal, GovernorOptions{CheckInterval: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	at := noon
	see := func(o Observation) Decision {
		o.Time, o.Size, o.Ready, o.MinSize, o.MaxSize = at, 4, 4, 1, 40
		at = at.Add(10 * time.Second)
		return Decide(governor, o)
	}
	usual := Observation{Depth: 40, Arrived: 400, Completed: 400, BusySeconds: 40}
	for range 60 {
		see(usual)
	}
	rate, level := slo.rate.value(), slo.beliefs.arrivals
	at = at.Add(10 * time.Minute)
	see(Observation{Unknown: "this process stood still", StoodStill: 10 * time.Minute})
	for range 3 {
		if d := see(usual); d.Action == ActionDown {
			t.Errorf("it shrinks after a standstill: %s", d.Reason)
		}
	}
	if got := slo.rate.value(); got < 0.95*rate || got > 1.05*rate {
		t.Errorf("a worker does %v records a second, want %v as before", got, rate)
	}
	if got := slo.beliefs.arrivals; got < 0.8*level {
		t.Errorf("%v records come in a second, want about %v as before", got, level)
	}
	if s := governor.meter.newest(governor.meter.count); s.seconds > 60 {
		t.Errorf("a span of %v s is measured, want none across the standstill", s.seconds)
	}
}
