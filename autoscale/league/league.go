package league

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// Options say who plays, and by which rules.
type Options struct {
	Contestants []Contestant // at least one, each name once

	MinSize int // bounds of every pool, in workers
	MaxSize int

	CheckInterval time.Duration // time between two checks; rounded up to whole seconds
	SLO           time.Duration // longest wait that a record may have; rounded up to whole seconds
	Startup       time.Duration // from asking for a worker until it works; rounded up to whole seconds unless zero
}

// Contestant is a policy that plays. It must be a fresh one that nobody else uses.
type Contestant struct {
	Policy   autoscale.Policy
	InCharge bool // the same policy sizes the real pool
}

// Second is what happened in one second.
type Second struct {
	Time           time.Time // when it ended
	Arrived        int       // records
	Completed      int       // records that the real pool finished
	ServiceSeconds float64   // worker-seconds that these took it
	Workers        int       // present in the real pool, those that start and drain included

	Judged int // records that were really completed while the SLO was known; 0 if nothing is measured
	Late   int // of these, those that waited longer than the SLO
}

// League is a comparison under way. All methods may be called from any goroutine; seconds come in order.
type League struct {
	mu      sync.Mutex
	o       Options
	rate    rate
	players []*player
	since   time.Time // zero before the first second is scored
	why     string    // it began anew; empty before the first change
	seconds int       // scored
	workers int       // of the real pool, at last
	total   traffic
	minutes [minutesOfHour]traffic
}

// Validate names everything wrong with the options.
func (o Options) Validate() error {
	var errs []error
	if len(o.Contestants) == 0 {
		errs = append(errs, errors.New("league: nobody plays, want at least one policy"))
	}
	seen := map[string]bool{}
	for i, c := range o.Contestants {
		if c.Policy == nil {
			errs = append(errs, fmt.Errorf("league: contestant %d has no policy", i+1))
			continue
		}
		name := c.Policy.Name()
		if seen[name] {
			errs = append(errs, fmt.Errorf("league: %s plays twice", name))
		}
		seen[name] = true
	}
	return errors.Join(errors.Join(errs...), o.rules(o.MinSize).Validate())
}

// New makes a league that has not begun. The error names everything wrong with the options.
func New(o Options) (*League, error) {
	l := &League{}
	return l, l.Change(o, "")
}

// Change begins anew with other rules and other contestants, who must be fresh as those of [New]. What was scored so far is forgotten,
// since scores by different rules cannot be added up; what was learned of the real pool is kept. Why is for [Standing]. The error names
// everything wrong with the options; then nothing changes.
func (l *League) Change(o Options, why string) error {
	if err := o.Validate(); err != nil {
		return err
	}
	players := make([]*player, len(o.Contestants))
	for i, c := range o.Contestants {
		players[i] = &player{name: c.Policy.Name(), inCharge: c.InCharge, policy: c.Policy}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o, l.players, l.why = o, players, why
	l.since, l.seconds, l.total, l.minutes = time.Time{}, 0, traffic{}, [minutesOfHour]traffic{}
	return nil
}

// WholeSeconds rounds up to what the model can tell apart: seconds, and one of them at least.
func WholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (d+time.Second-1)/time.Second*time.Second)
}

// rules are the options of every player's pool. The rate is set before each step.
func (o Options) rules(size int) simulate.Options {
	s := simulate.Options{
		Rate: 1, MinSize: o.MinSize, MaxSize: o.MaxSize, InitialSize: size,
		CheckInterval: WholeSeconds(o.CheckInterval), SLO: WholeSeconds(o.SLO), Endless: true,
	}
	if o.Startup > 0 {
		s.Startup = WholeSeconds(o.Startup)
	}
	return s
}

// Step plays one more second.
func (l *League) Step(s Second) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.workers = s.Workers
	l.rate.learn(s.Completed, s.ServiceSeconds)
	rate := l.rate.value()
	if rate == 0 {
		return
	}
	if l.since.IsZero() {
		l.begin(s)
	}
	arrived := max(0, s.Arrived)
	slot := l.seconds / 60 % minutesOfHour
	if l.seconds%60 == 0 {
		l.minutes[slot] = traffic{}
		for _, p := range l.players {
			p.minutes[slot].reset()
		}
	}
	for _, t := range []*traffic{&l.total, &l.minutes[slot]} {
		t.seconds++
		t.records += arrived
		t.useful += float64(arrived) / rate
		t.cost += max(0, s.Workers)
		t.judged += max(0, s.Judged)
		t.late += max(0, s.Late)
	}
	for _, p := range l.players {
		p.step(arrived, rate, slot, l.total)
	}
	l.seconds++
}

// begin is for the first second that is scored, from the start or since a change.
func (l *League) begin(s Second) {
	l.since = s.Time
	size := min(max(s.Workers, l.o.MinSize), l.o.MaxSize)
	for _, p := range l.players {
		p.begin(l.o.rules(size))
	}
}
