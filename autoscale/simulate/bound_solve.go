package simulate

import "math"

const (
	maxCells      = 700_000 // pieces of time that the search for prices tells apart: a week of seconds
	maxIterations = 80
	slack         = 1e-3 // workers or worker-seconds by which the search widens every bound, so that there is room inside
	goodEnough    = 2e-6 // relative gap at which the search ends
)

// The conditions of the linear program. The first four come once per cell, the others once per block.
const (
	enough   = iota // the workers of the cell are enough for the work done in it, but for what is given up
	notLate         // the work done so far is not behind what is due
	notEarly        // nor ahead of the arrivals
	givenUp         // what is given up is not negative
	atLeast         // workers are not fewer than the smallest pool
	atMost          // nor more than the largest
	noJoin          // the growth paid for is not negative
	grown           // nor less than the growth
	conditions
)

// solver finds prices with a primal-dual interior-point method (Mehrotra's predictor and corrector) on this program:
//
//	minimize   sum of workers + ceiling * work given up + (startup + drain) * growth
//	subject to due <= work done so far <= arrived, work in a cell <= its workers, smallest <= workers <= largest
//
// Time is cut into cells; the pool changes between blocks of cells, at the checks. The variables of a cell meet only those
// of its neighbours, so that a step of the method is one elimination forward and one substitution back, in linear time.
// The prices are the dual values of the first condition. Nothing here needs to be exact: see [Bound].
type solver struct {
	ceiling       float64
	cells, blocks int

	power  []float64 // per cell: what one worker does in it, its seconds but for variants
	idle   []float64 // what a stuck one fails to do
	due    []float64 // work that must be done by the end of it
	room   []float64 // arrived - due at the end of it
	block  []int     // its block
	first  []int     // per block: its first cell; one more at the end
	low    []float64 // fewest workers
	high   []float64 // most workers
	weight []float64 // what a worker costs in it: its seconds
	change []float64 // what a worker more than in the block before costs
	stop   []float64 // and one less; the former includes it, the weights take it back

	// Unknowns and, behind them, their present step. The work done by the end of a cell is due + work.
	work, given, workers, growth     []float64
	dWork, dGiven, dWorkers, dGrowth []float64

	s, y   [conditions][]float64 // slack and dual value of each condition
	ds, dy [conditions][]float64 // their step
	target [conditions][]float64 // what slack * dual should change by

	// The elimination: pivots and what they are coupled to.
	pivot, toNext, toWorkers []float64 // per cell
	blockPivot, toWork       []float64 // per block
	toNextBlock              []float64
	effEnough, effGrown      []float64 // weights once given and growth are eliminated
	rhsWork, rhsWorkers      []float64
}

// solve returns prices of at most about the ceiling.
func (b *bounding) solve(ceiling float64) prices {
	n := b.horizon + 1
	width := (n + maxCells - 1) / maxCells
	s := &solver{ceiling: ceiling}
	b.layOut(s, width)
	s.allocate()
	s.begin()
	s.iterate()

	z := make([]float64, (n+width-1)/width)
	for i := range z {
		z[i] = max(0, s.y[enough][i])
	}
	return prices{width, z}
}

// layOut cuts the time into cells of the given width, and into blocks between the moments at which the pool may change.
// Where cells and checks do not fit each other, blocks end with the cell: the certificate is exact, this need not be.
func (b *bounding) layOut(s *solver, width int) {
	for from := 0; from <= b.horizon; from += width {
		to := min(from+width-1, b.horizon)
		// A block begins with second 0, and where a check comes before a second of this cell: one that can stop workers,
		// or one whose workers are ready now.
		if b.changes(to)-b.changes(from-1) > 0 {
			s.first = append(s.first, s.cells)
			low, high := float64(b.minimum), float64(b.capacity(to))
			switch {
			case from == 0:
				low = float64(b.initial)
			case from > b.last:
				low = 0
			}
			s.low, s.high, s.weight = append(s.low, low-slack), append(s.high, high+slack), append(s.weight, 0)
			stop := 0.0
			if from > 0 {
				stop = float64(max(0, min(b.drain, b.last-(from-1))))
			}
			s.change, s.stop = append(s.change, float64(b.startup)+stop), append(s.stop, stop)
			s.blocks++
		}
		power, idle := 0.0, 0.0
		for t := from; t <= to; t++ {
			power += b.speed(t)
			idle += b.speed(t) * float64(b.stuck(t))
		}
		s.power, s.idle = append(s.power, power), append(s.idle, idle)
		s.due = append(s.due, b.due(to))
		s.room = append(s.room, b.latest(to)-b.due(to))
		s.block = append(s.block, s.blocks-1)
		s.weight[s.blocks-1] += float64(to - from + 1)
		s.cells++
	}
	s.first = append(s.first, s.cells)
	// A stop is a growth less the difference in workers: what it costs is paid with the growth and set off here.
	for j := range s.blocks {
		s.weight[j] -= s.stop[j]
		if j+1 < s.blocks {
			s.weight[j] += s.stop[j+1]
		}
	}
}

// changes counts the seconds up to t in which the pool may differ from the second before; second 0 counts.
func (b *bounding) changes(t int) int {
	if t < 0 {
		return 0
	}
	n := 1
	if t > 0 {
		n += (t-1)/b.interval + 1
	}
	if first := 1 + b.startup; b.startup%b.interval != 0 && t >= first {
		n += (t-first)/b.interval + 1
	}
	if t > b.last {
		n += t - b.last // the run may be over in any of these
	}
	return n
}

func (s *solver) allocate() {
	cell := func(v ...*[]float64) {
		for _, p := range v {
			*p = make([]float64, s.cells)
		}
	}
	block := func(v ...*[]float64) {
		for _, p := range v {
			*p = make([]float64, s.blocks)
		}
	}
	cell(&s.work, &s.given, &s.dWork, &s.dGiven, &s.pivot, &s.toNext, &s.toWorkers, &s.effEnough, &s.rhsWork)
	block(&s.workers, &s.growth, &s.dWorkers, &s.dGrowth, &s.blockPivot, &s.toWork, &s.toNextBlock, &s.effGrown, &s.rhsWorkers)
	for c := range conditions {
		if c <= givenUp {
			cell(&s.s[c], &s.y[c], &s.ds[c], &s.dy[c], &s.target[c])
		} else {
			block(&s.s[c], &s.y[c], &s.ds[c], &s.dy[c], &s.target[c])
		}
	}
}

// growing tells whether growth costs something: not where starts and stops are free, and not into the first block.
func (s *solver) growing(j int) bool { return j > 0 && s.change[j] > 0 }

// begin puts every unknown well inside its bounds, and so that the dual conditions hold from the start: all work has the
// same price, and a worker's gain or loss at it is made up for by the dual values of its bounds.
func (s *solver) begin() {
	for j := range s.blocks {
		s.workers[j] = (s.low[j] + s.high[j]) / 2
		s.growth[j] = 1
		if j > 0 {
			s.growth[j] += max(0, s.workers[j]-s.workers[j-1])
		}
	}
	for i := range s.cells {
		s.work[i] = s.room[i] / 2
	}
	for i := range s.cells {
		s.given[i] = 0
		s.given[i] = max(1, 1-s.spare(i))
	}
	s.slacks()
	const price, mu = 0.9, 10.0
	for i := range s.cells {
		s.y[enough][i], s.y[givenUp][i] = price, s.ceiling-price
		s.y[notLate][i], s.y[notEarly][i] = mu/s.s[notLate][i], mu/s.s[notLate][i]
	}
	s.y[notLate][s.cells-1] += price
	for j := range s.blocks {
		if s.growing(j) {
			s.y[noJoin][j], s.y[grown][j] = s.change[j]/2, s.change[j]/2
		}
	}
	for j := range s.blocks {
		loss := s.workersResidual(j)
		y := mu / s.s[atLeast][j]
		s.y[atLeast][j], s.y[atMost][j] = y+max(0, loss), y+max(0, -loss)
	}
}

// spare is the slack of the condition enough.
func (s *solver) spare(i int) float64 {
	before, dueBefore := 0.0, 0.0
	if i > 0 {
		before, dueBefore = s.work[i-1], s.due[i-1]
	}
	return s.power[i]*s.workers[s.block[i]] - s.idle[i] - (s.due[i] - dueBefore) - s.work[i] + before + s.given[i]
}

func (s *solver) used(c, i int) bool {
	return c < noJoin || s.growing(i)
}

func (s *solver) slacks() {
	for i := range s.cells {
		s.s[enough][i] = s.spare(i)
		s.s[notLate][i] = s.work[i] + slack
		s.s[notEarly][i] = s.room[i] + slack - s.work[i]
		s.s[givenUp][i] = s.given[i]
	}
	for j := range s.blocks {
		s.s[atLeast][j] = s.workers[j] - s.low[j]
		s.s[atMost][j] = s.high[j] - s.workers[j]
		if s.growing(j) {
			s.s[noJoin][j] = s.growth[j]
			s.s[grown][j] = s.growth[j] - s.workers[j] + s.workers[j-1]
		}
	}
}

// iterate walks toward the optimum until the gap is small or nothing moves any more.
func (s *solver) iterate() {
	pairs := 4*s.cells + 2*s.blocks
	for j := range s.blocks {
		if s.growing(j) {
			pairs += 2
		}
	}
	gap := s.gapAfter(0, 0)
	for range maxIterations {
		mu := gap / float64(pairs)
		if gap <= goodEnough*(1+math.Abs(s.cost())) && s.dualError() < 1e-6 {
			return
		}
		s.factor()
		s.aim(0, false)
		s.step()
		primal, dual := s.longest()
		after := s.gapAfter(min(1, primal), min(1, dual)) / float64(pairs)
		sigma := math.Pow(after/mu, 3)
		s.aim(sigma*mu, true)
		s.step()
		primal, dual = s.longest()
		primal, dual = min(1, 0.995*primal), min(1, 0.995*dual)
		gap = s.gapAfter(primal, dual)
		if !(primal > 1e-10 || dual > 1e-10) || math.IsNaN(gap) {
			return
		}
		s.move(primal, dual)
	}
}

// cost is the objective.
func (s *solver) cost() float64 {
	sum := 0.0
	for j := range s.blocks {
		sum += s.weight[j] * s.workers[j]
		if s.growing(j) {
			sum += s.change[j] * s.growth[j]
		}
	}
	for i := range s.cells {
		sum += s.ceiling * s.given[i]
	}
	return sum
}

// gapAfter is the gap once the present step is taken that far.
func (s *solver) gapAfter(primal, dual float64) float64 {
	sum := 0.0
	for c := range conditions {
		sc, yc, dsc, dyc := s.s[c], s.y[c], s.ds[c], s.dy[c]
		for i := range sc {
			sum += (sc[i] + primal*dsc[i]) * (yc[i] + dual*dyc[i])
		}
	}
	return sum
}

// The residuals of the dual conditions: what an unknown costs, minus what it is worth.

func (s *solver) workResidual(i int) float64 {
	r := s.y[enough][i] - s.y[notLate][i] + s.y[notEarly][i]
	if i+1 < s.cells {
		r -= s.y[enough][i+1]
	}
	return r
}

func (s *solver) givenResidual(i int) float64 {
	return s.ceiling - s.y[enough][i] - s.y[givenUp][i]
}

func (s *solver) workersResidual(j int) float64 {
	r := s.weight[j] - s.y[atLeast][j] + s.y[atMost][j]
	for i := s.first[j]; i < s.first[j+1]; i++ {
		r -= s.power[i] * s.y[enough][i]
	}
	if s.growing(j) {
		r += s.y[grown][j]
	}
	if j+1 < s.blocks && s.growing(j+1) {
		r -= s.y[grown][j+1]
	}
	return r
}

func (s *solver) growthResidual(j int) float64 { return s.change[j] - s.y[noJoin][j] - s.y[grown][j] }

func (s *solver) dualError() float64 {
	worst := 0.0
	for i := range s.cells {
		worst = max(worst, math.Abs(s.workResidual(i)))
	}
	for j := range s.blocks {
		worst = max(worst, math.Abs(s.workersResidual(j))/(1+s.weight[j]))
	}
	return worst
}

// factor eliminates forward. Each cell's work is coupled to the next cell's and to the workers of its own block; the
// workers of a block to the work at its end and to the next block's.
func (s *solver) factor() {
	weight := func(c, i int) float64 { return s.y[c][i] / s.s[c][i] }
	// Of the two unknowns that are pending: the last work (a), the block's workers (d), and between them (m).
	a, m, d := 0.0, 0.0, 0.0
	for j := range s.blocks {
		s.effGrown[j] = 0
		if s.growing(j) {
			join, grow := weight(noJoin, j), weight(grown, j)
			s.effGrown[j] = join * grow / (join + grow)
		}
		e := s.effGrown[j]
		if j > 0 {
			// The block before: its diagonal is complete with the growth into this one.
			p := d + e
			s.blockPivot[j-1], s.toWork[j-1], s.toNextBlock[j-1] = p, m, -e
			a, m, d = a-m*m/p, m*e/p, e-e*e/p
		} else {
			a, m, d = 0, 0, 0
		}
		d += weight(atLeast, j) + weight(atMost, j)
		for i := s.first[j]; i < s.first[j+1]; i++ {
			short, give := weight(enough, i), weight(givenUp, i)
			e := short * give / (short + give)
			s.effEnough[i] = e
			h := s.power[i]
			own := e + weight(notLate, i) + weight(notEarly, i)
			if i == 0 {
				a, m, d = own, -e*h, d+e*h*h
				continue
			}
			// Row of this condition: +1 for the work before, -1 for this one's, +h for the workers.
			p, toNext, toWorkers := a+e, -e, m+e*h
			s.pivot[i-1], s.toNext[i-1], s.toWorkers[i-1] = p, toNext, toWorkers
			a, m, d = own-toNext*toNext/p, -e*h-toNext*toWorkers/p, d+e*h*h-toWorkers*toWorkers/p
		}
	}
	last := s.cells - 1
	s.pivot[last], s.toNext[last], s.toWorkers[last] = a, 0, m
	s.blockPivot[s.blocks-1] = d - m*m/a
}

// aim sets what every product of slack and dual value should become. With second, it corrects for the step just found.
func (s *solver) aim(mu float64, second bool) {
	for c := range conditions {
		sc, yc, dsc, dyc, target := s.s[c], s.y[c], s.ds[c], s.dy[c], s.target[c]
		for i := range sc {
			target[i] = mu - sc[i]*yc[i]
			if second {
				target[i] -= dsc[i] * dyc[i]
			}
		}
	}
}

// step solves for the step with the factors at hand.
func (s *solver) step() {
	pull := func(c, i int) float64 { return s.target[c][i] / s.s[c][i] }
	weight := func(c, i int) float64 { return s.y[c][i] / s.s[c][i] }

	// The right side, with given and growth eliminated.
	for i := range s.cells {
		s.rhsWork[i] = -s.workResidual(i) + pull(notLate, i) - pull(notEarly, i)
	}
	for j := range s.blocks {
		s.rhsWorkers[j] = -s.workersResidual(j) + pull(atLeast, j) - pull(atMost, j)
	}
	for i := range s.cells {
		short, give := weight(enough, i), weight(givenUp, i)
		beta := pull(enough, i) + pull(givenUp, i) - s.givenResidual(i)
		g := pull(enough, i) - short*beta/(short+give)
		s.rhsWork[i] -= g
		if i > 0 {
			s.rhsWork[i-1] += g
		}
		s.rhsWorkers[s.block[i]] += s.power[i] * g
		s.dGiven[i] = beta // for later
	}
	for j := range s.blocks {
		if s.growing(j) {
			join, grow := weight(noJoin, j), weight(grown, j)
			beta := pull(noJoin, j) + pull(grown, j) - s.growthResidual(j)
			g := pull(grown, j) - grow*beta/(join+grow)
			s.rhsWorkers[j] -= g
			s.rhsWorkers[j-1] += g
			s.dGrowth[j] = beta
		}
	}
	s.substitute()

	for i := range s.cells {
		move := s.power[i]*s.dWorkers[s.block[i]] - s.dWork[i]
		if i > 0 {
			move += s.dWork[i-1]
		}
		short, give := weight(enough, i), weight(givenUp, i)
		s.dGiven[i] = (s.dGiven[i] - short*move) / (short + give)
		s.ds[enough][i] = move + s.dGiven[i]
		s.ds[notLate][i] = s.dWork[i]
		s.ds[notEarly][i] = -s.dWork[i]
		s.ds[givenUp][i] = s.dGiven[i]
	}
	for j := range s.blocks {
		s.ds[atLeast][j] = s.dWorkers[j]
		s.ds[atMost][j] = -s.dWorkers[j]
		if s.growing(j) {
			move := s.dWorkers[j-1] - s.dWorkers[j]
			join, grow := weight(noJoin, j), weight(grown, j)
			s.dGrowth[j] = (s.dGrowth[j] - grow*move) / (join + grow)
			s.ds[noJoin][j] = s.dGrowth[j]
			s.ds[grown][j] = s.dGrowth[j] + move
		}
	}
	for c := range conditions {
		sc, yc, dsc, dyc, target := s.s[c], s.y[c], s.ds[c], s.dy[c], s.target[c]
		for i := range sc {
			if s.used(c, i) {
				dyc[i] = (target[i] - yc[i]*dsc[i]) / sc[i]
			}
		}
	}
}

// substitute solves the eliminated system for the steps of work and workers.
func (s *solver) substitute() {
	for j := range s.blocks {
		if j > 0 {
			r := s.rhsWorkers[j-1] / s.blockPivot[j-1]
			s.rhsWork[s.first[j]-1] -= s.toWork[j-1] * r
			s.rhsWorkers[j] -= s.toNextBlock[j-1] * r
		}
		for i := s.first[j]; i < s.first[j+1]; i++ {
			if i == 0 {
				continue
			}
			r := s.rhsWork[i-1] / s.pivot[i-1]
			s.rhsWork[i] -= s.toNext[i-1] * r
			s.rhsWorkers[j] -= s.toWorkers[i-1] * r
		}
	}
	last := s.cells - 1
	s.rhsWorkers[s.blocks-1] -= s.toWorkers[last] * s.rhsWork[last] / s.pivot[last]
	s.dWorkers[s.blocks-1] = s.rhsWorkers[s.blocks-1] / s.blockPivot[s.blocks-1]
	s.dWork[last] = (s.rhsWork[last] - s.toWorkers[last]*s.dWorkers[s.blocks-1]) / s.pivot[last]
	for j := s.blocks - 1; j >= 0; j-- {
		for i := s.first[j+1] - 1; i >= s.first[j]; i-- {
			if i == 0 {
				return
			}
			s.dWork[i-1] = (s.rhsWork[i-1] - s.toNext[i-1]*s.dWork[i] - s.toWorkers[i-1]*s.dWorkers[j]) / s.pivot[i-1]
		}
		s.dWorkers[j-1] = (s.rhsWorkers[j-1] - s.toWork[j-1]*s.dWork[s.first[j]-1] - s.toNextBlock[j-1]*s.dWorkers[j]) / s.blockPivot[j-1]
	}
}

// longest is how far the step can go until a slack or a dual value becomes negative.
func (s *solver) longest() (primal, dual float64) {
	primal, dual = 1e3, 1e3
	for c := range conditions {
		sc, yc, dsc, dyc := s.s[c], s.y[c], s.ds[c], s.dy[c]
		for i := range sc {
			if dsc[i] < 0 {
				primal = min(primal, -sc[i]/dsc[i])
			}
			if dyc[i] < 0 {
				dual = min(dual, -yc[i]/dyc[i])
			}
		}
	}
	return primal, dual
}

func (s *solver) move(primal, dual float64) {
	for i := range s.cells {
		s.work[i] += primal * s.dWork[i]
		s.given[i] += primal * s.dGiven[i]
	}
	for j := range s.blocks {
		s.workers[j] += primal * s.dWorkers[j]
		s.growth[j] += primal * s.dGrowth[j]
	}
	for c := range conditions {
		sc, yc, dsc, dyc := s.s[c], s.y[c], s.ds[c], s.dy[c]
		for i := range sc {
			sc[i] += primal * dsc[i]
			yc[i] += dual * dyc[i]
		}
	}
}
