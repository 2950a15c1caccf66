package league

import (
	"fmt"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// minutesOfHour is how many minutes the scores of the last hour are put together from.
const minutesOfHour = 60

// player is a contestant with its pool and its scores.
type player struct {
	name     string
	inCharge bool
	policy   autoscale.Policy
	out      string  // why it dropped out; empty while it plays
	left     traffic // what it had to do until then

	run     *simulate.Stepper
	slo     time.Duration
	size    int
	total   tally
	minutes [minutesOfHour]tally
	now     *tally // this minute's
}

// begin gives the player a pool.
func (p *player) begin(o simulate.Options) {
	p.slo, p.size = o.SLO, o.InitialSize
	o.Served = func(wait, records int) {
		late := time.Duration(wait)*time.Second > p.slo
		p.total.count(wait, records, late)
		p.now.count(wait, records, late)
	}
	run, err := simulate.NewStepper(p.policy, o)
	if err != nil {
		p.out = err.Error()
		return
	}
	p.run = run
}

// step plays one second, of which total is the sum with those before. A policy that panics plays no more, and its scores stay
// what they are.
func (p *player) step(arrived int, rate float64, slot int, total traffic) {
	if p.out != "" {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			p.out, p.left = fmt.Sprintf("it panicked: %v", r), total
		}
	}()
	p.now = &p.minutes[slot]
	if err := p.run.SetRate(rate); err != nil {
		p.out, p.left = err.Error(), total
		return
	}
	s := p.run.Step(arrived)
	p.size = s.Size
	for _, t := range []*tally{&p.total, p.now} {
		t.cost += s.Cost
		if s.Reversal {
			t.reversals++
		}
	}
}

// scores adds up what a player has, with what waits too long already.
func (p *player) scores(total, hour traffic) (Score, Score) {
	var whole, last tally
	whole.add(&p.total)
	if p.out != "" {
		return whole.score(p.left), Score{}
	}
	for i := range p.minutes {
		last.add(&p.minutes[i])
	}
	if p.run != nil {
		for wait, records := range p.run.Overdue {
			whole.count(wait, records, true)
			last.count(wait, records, true)
		}
	}
	return whole.score(total), last.score(hour)
}
