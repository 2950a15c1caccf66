package simulate

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Class is a kind of worker with the goal and the rhythm that go with it.
type Class struct {
	Name          string
	Startup       time.Duration // from the decision until a worker takes work
	SLO           time.Duration // longest wait of a record
	CheckInterval time.Duration
	Window        int // seconds of a trace that are played
}

// Classes are the three that policies are compared on, the fastest workers first.
func Classes() []Class {
	return []Class{
		{"in-process", 0, 5 * time.Second, time.Second, 6 * 3600},
		{"process", 5 * time.Second, 30 * time.Second, 5 * time.Second, 24 * 3600},
		{"pod", 60 * time.Second, 120 * time.Second, 15 * time.Second, 24 * 3600},
	}
}

// The pool of every comparison. The peak leaves room above it for what a queue has to catch up.
const (
	scenarioMin = 1
	scenarioMax = 50
	peakWorkers = 30
)

// Options are those of a comparison with workers of the given rate.
func (c Class) Options(rate float64) Options {
	return Options{
		Rate: rate, Startup: c.Startup, MinSize: scenarioMin, MaxSize: scenarioMax,
		CheckInterval: c.CheckInterval, SLO: c.SLO,
	}
}

// Scenario is traffic to compare policies on, and workers that fit it.
type Scenario struct {
	Name  string
	Trace *Trace
	Rate  float64 // records per second of a worker, such that the peak needs 30 of them
}

// Windows cuts scenarios of the class out of a trace: on a grid of a quarter of the class's window, the window whose
// total is at the 75th percentile (the lower one where that falls between two) and, where the trace is four windows long or more, the busiest one too. A shorter
// trace is one scenario. Bins of a minute or more become Poisson arrivals second by second, drawn with the seed; narrower
// ones stay evenly spread. A trace without records gives an error.
func (c Class) Windows(name string, trace *Trace, seed uint64) ([]Scenario, error) {
	if trace == nil || trace.records == 0 {
		return nil, fmt.Errorf("simulate: %s: the trace has no records, want some to cut scenarios from", name)
	}
	length := min(c.Window, trace.seconds)
	type window struct{ from, records int }
	var windows []window
	for from := 0; from+length <= trace.seconds; from += max(1, c.Window/4) {
		windows = append(windows, window{from, trace.between(from, from+length)})
	}
	slices.SortStableFunc(windows, func(a, b window) int { return cmp.Compare(a.records, b.records) })
	chosen := []window{windows[3*(len(windows)-1)/4]}
	names := []string{name}
	if trace.seconds >= 4*c.Window {
		chosen = append(chosen, windows[len(windows)-1])
		names = append(names, name+" (busiest)")
	}
	var scenarios []Scenario
	for i, w := range chosen {
		if i > 0 && w == chosen[0] {
			continue
		}
		s, err := trace.cut(names[i], w.from, length, seed)
		if err != nil {
			return nil, err
		}
		scenarios = append(scenarios, s)
	}
	return scenarios, nil
}

// resampledWidth is the width of bins, in seconds, from which an even spread would be too smooth to be true.
const resampledWidth = 60

// cut makes a scenario of the seconds from on.
func (t *Trace) cut(name string, from, length int, seed uint64) (Scenario, error) {
	arrivals := make([]int, length)
	means := make([]float64, length)
	for _, b := range t.bins {
		for second := max(b.second, from); second < min(b.second+t.width, from+length); second++ {
			i := second - b.second
			arrivals[second-from] = spread(b.records, i+1, t.width) - spread(b.records, i, t.width)
			means[second-from] = float64(b.records) / float64(t.width)
		}
	}
	if t.width >= resampledWidth {
		random := seeded(name, seed)
		for i := range arrivals {
			arrivals[i] = poisson(random, means[i])
		}
	}
	return newScenario(name, arrivals, means)
}

// between counts the records of the seconds from, up to but without to.
func (t *Trace) between(from, to int) int {
	sum := 0
	for _, b := range t.bins {
		if first, last := max(b.second, from), min(b.second+t.width, to); first < last {
			sum += spread(b.records, last-b.second, t.width) - spread(b.records, first-b.second, t.width)
		}
	}
	return sum
}

// newScenario picks the rate from the means, which are the arrivals where a trace knows each second.
func newScenario(name string, arrivals []int, means []float64) (Scenario, error) {
	trace, err := NewTrace(arrivals...)
	if err != nil {
		return Scenario{}, err
	}
	rate := peakRate(means)
	if rate <= 0 {
		return Scenario{}, fmt.Errorf("simulate: %s: no records in the window", name)
	}
	return Scenario{Name: name, Trace: trace, Rate: rate}, nil
}

// PeakRate is the rate of a worker, to three significant digits, with which 30 of them are needed in the second at the
// 99.9th percentile of arrivals (nearest rank; the busiest second where that one is quiet). It is 0 for a trace without
// records.
func PeakRate(trace *Trace) float64 {
	means := make([]float64, 0, trace.seconds)
	for _, n := range trace.Arrivals() {
		means = append(means, float64(n))
	}
	return peakRate(means)
}

func peakRate(means []float64) float64 {
	if len(means) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(means))
	peak := sorted[(999*len(sorted)+999)/1000-1]
	if peak == 0 {
		peak = sorted[len(sorted)-1]
	}
	if peak == 0 {
		return 0
	}
	rate, err := strconv.ParseFloat(strconv.FormatFloat(peak/peakWorkers, 'g', 3, 64), 64)
	if err != nil {
		return 0
	}
	// The model counts in millionths of a record.
	return min(max(math.Round(rate*million), 1)/million, million)
}

// seeded is the source of chance of one scenario: the same for the same name and seed, on every machine.
func seeded(name string, seed uint64) *rand.Rand {
	hash := uint64(14695981039346656037) // FNV-1a
	for _, b := range []byte(name) {
		hash = (hash ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, hash))
}

// poisson draws a count with the given mean, by walking up the distribution in portions that do not underflow.
func poisson(random *rand.Rand, mean float64) int {
	const portion = 50
	total := 0
	for ; mean > 0; mean -= portion {
		m := min(mean, portion)
		u, p := random.Float64(), math.Exp(-m)
		for n := 1; u >= p && n < 10*portion; n++ {
			u -= p
			p *= m / float64(n)
			total++
		}
	}
	return total
}

// kinds are the synthetic scenarios: each returns the mean arrivals per second at every second. All have a typical level
// of 10 records per second, few enough for chance to show; the workers' rate follows the peak.
var kinds = []struct {
	name  string
	shape func(random *rand.Rand, seconds int) []float64
}{
	{"steady", steady},
	{"step", steps},
	{"ramp", ramp},
	{"diurnal", diurnal},
	{"bursts", bursts},
	{"spikes", spikes},
	{"on-off", onOff},
	{"quarter-hours", quarterHours},
	{"random-walk", randomWalk},
	{"pareto-batches", paretoBatches},
}

// SyntheticNames lists the synthetic kinds.
func SyntheticNames() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// Synthetic makes the scenario of a kind, of the given seconds, 1 to 32,000,000, from a seed. The arrivals are Poisson
// around the kind's shape. The error for an unknown kind lists those there are.
func Synthetic(kind string, seconds int, seed uint64) (Scenario, error) {
	if seconds < 1 || seconds > maxBoundSeconds {
		return Scenario{}, fmt.Errorf("simulate: the scenario is %d seconds long, want 1 to %d", seconds, maxBoundSeconds)
	}
	i := slices.Index(SyntheticNames(), kind)
	if i < 0 {
		return Scenario{}, fmt.Errorf("simulate: unknown scenario %q (scenarios: %s)", kind, strings.Join(SyntheticNames(), ", "))
	}
	random := seeded(kind, seed)
	arrivals, means := make([]int, seconds), make([]float64, seconds)
	for second, mean := range kinds[i].shape(random, seconds) {
		arrivals[second] = poisson(random, mean)
		means[second] = float64(arrivals[second])
	}
	return newScenario(kind, arrivals, means)
}

// Synthetics makes all synthetic scenarios of the class's length.
func (c Class) Synthetics(seed uint64) ([]Scenario, error) {
	var scenarios []Scenario
	for _, k := range kinds {
		s, err := Synthetic(k.name, c.Window, seed)
		if err != nil {
			return nil, err
		}
		scenarios = append(scenarios, s)
	}
	return scenarios, nil
}

const typical = 10 // records per second

// shaped fills the seconds from a function.
func shaped(seconds int, at func(second int) float64) []float64 {
	means := make([]float64, seconds)
	for i := range means {
		means[i] = max(0, at(i))
	}
	return means
}

// steady never changes, apart from chance.
func steady(_ *rand.Rand, seconds int) []float64 {
	return shaped(seconds, func(int) float64 { return typical })
}

// steps jump to another level about once an hour.
func steps(random *rand.Rand, seconds int) []float64 {
	level, left := float64(typical), 0
	return shaped(seconds, func(int) float64 {
		if left == 0 {
			level, left = typical*(0.2+1.8*random.Float64()), 1800+random.IntN(3600)
		}
		left--
		return level
	})
}

// ramp climbs to six times its level for two thirds of the time, and comes back twice as fast.
func ramp(_ *rand.Rand, seconds int) []float64 {
	return shaped(seconds, func(second int) float64 {
		x := float64(second) / float64(seconds)
		return typical * (0.3 + 1.5*min(1.5*x, 3*(1-x)))
	})
}

// diurnal is a day's wave with a smaller one of the half day on top.
func diurnal(random *rand.Rand, seconds int) []float64 {
	const day = 24 * 3600
	phase := 2 * math.Pi * random.Float64()
	return shaped(seconds, func(second int) float64 {
		x := 2*math.Pi*float64(second)/day + phase
		return typical * (1 + 0.65*math.Sin(x) + 0.2*math.Sin(2*x+1))
	})
}

// bursts change between a calm state of ten minutes and a busy one of one minute, both on average.
func bursts(random *rand.Rand, seconds int) []float64 {
	busy := false
	return shaped(seconds, func(int) float64 {
		mean := 600.0
		if busy {
			mean = 60
		}
		if random.Float64() < 1/mean {
			busy = !busy
		}
		if busy {
			return 4 * typical
		}
		return 0.6 * typical
	})
}

// spikes come out of nothing about every twenty minutes and decay within a few.
func spikes(random *rand.Rand, seconds int) []float64 {
	extra := 0.0
	return shaped(seconds, func(int) float64 {
		extra *= math.Exp(-1.0 / 120)
		if random.Float64() < 1.0/1200 {
			extra += typical * (2 + 6*random.Float64())
		}
		return 0.5*typical + extra
	})
}

// onOff works for some minutes and pauses for some.
func onOff(random *rand.Rand, seconds int) []float64 {
	on, left := false, 0
	return shaped(seconds, func(int) float64 {
		if left == 0 {
			on, left = !on, 120+random.IntN(780)
		}
		left--
		if on {
			return 2 * typical
		}
		return 0
	})
}

// quarterHours adds a batch at each quarter of an hour, all of it within ten seconds.
func quarterHours(_ *rand.Rand, seconds int) []float64 {
	return shaped(seconds, func(second int) float64 {
		if second%900 < 10 {
			return 12 * typical
		}
		return 0.4 * typical
	})
}

// randomWalk drifts by up to half within some ten minutes, and is turned back at a tenth and at four times its level.
func randomWalk(random *rand.Rand, seconds int) []float64 {
	x := 0.0
	low, high := math.Log(0.1), math.Log(4)
	return shaped(seconds, func(int) float64 {
		x += 0.02 * random.NormFloat64()
		if x > high {
			x = 2*high - x
		} else if x < low {
			x = 2*low - x
		}
		return typical * math.Exp(x)
	})
}

// paretoBatches come every half a minute; their sizes have no typical one.
func paretoBatches(random *rand.Rand, seconds int) []float64 {
	return shaped(seconds, func(int) float64 {
		extra := 0.0
		if random.Float64() < 1.0/30 {
			extra = min(5*typical/math.Pow(1-random.Float64(), 1/1.5), 200*typical)
		}
		return 0.5*typical + extra
	})
}
