package rivals

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// KPAOptions are the settings of Knative's pod autoscaler. Zero means the product's default; where 0 is a sensible value,
// a negative one means it.
type KPAOptions struct {
	// Concurrency is the records that one worker may hold. Zero means 1, which is what a worker takes; the product's own
	// default for containers without a limit is 100.
	Concurrency float64

	Utilization    float64       // share of Concurrency that it aims for; zero means 0.7
	Tick           time.Duration // time between evaluations; zero means 2s
	StableWindow   time.Duration // zero means 60s
	PanicWindow    float64       // share of the stable window; zero means 0.1
	PanicThreshold float64       // panic when the short window wants this many times the ready workers; zero means 2
	MaxUpRate      float64       // most growth per evaluation, as a factor of the ready workers; zero means 1000
	MaxDownRate    float64       // most shrinking per evaluation, as a divisor of them; zero means 2
	DownDelay      time.Duration // shrink only to the largest size wanted in this time; zero means none
	Grace          time.Duration // idle time, after the stable window, before the last worker goes; zero means 30s, negative none
}

func (o *KPAOptions) fields() []field {
	return []field{
		{"concurrency", &o.Concurrency}, {"utilization", &o.Utilization}, {"tick", &o.Tick}, {"stable_window", &o.StableWindow},
		{"panic_window", &o.PanicWindow}, {"panic_threshold", &o.PanicThreshold}, {"max_up_rate", &o.MaxUpRate},
		{"max_down_rate", &o.MaxDownRate}, {"down_delay", &o.DownDelay}, {"grace", &o.Grace},
	}
}

// KPA is Knative's pod autoscaler: the mean concurrency of a minute over what one worker should hold, and in a panic that
// of six seconds, during which it never shrinks.
type KPA struct {
	o      KPAOptions
	beat   rhythm
	busy   inFlight
	stable *buckets

	begun      bool
	panicking  bool
	panicSince time.Time // when it was last over the threshold
	panicSize  int       // the most wanted since the panic began
	wanted     []wanted  // within DownDelay
	idleSince  time.Time // since when it has wanted nobody; zero means that it wants somebody
}

// NewKPA returns an error that names everything wrong with the options.
func NewKPA(o KPAOptions) (*KPA, error) {
	o.Concurrency, o.Utilization = cmp.Or(o.Concurrency, 1), cmp.Or(o.Utilization, 0.7)
	o.Tick, o.StableWindow = cmp.Or(o.Tick, 2*time.Second), cmp.Or(o.StableWindow, time.Minute)
	o.PanicWindow, o.PanicThreshold = cmp.Or(o.PanicWindow, 0.1), cmp.Or(o.PanicThreshold, 2)
	o.MaxUpRate, o.MaxDownRate = cmp.Or(o.MaxUpRate, 1000), cmp.Or(o.MaxDownRate, 2)
	o.Grace = orDefault(o.Grace, 30*time.Second)
	p := problems{policy: "kpa"}
	p.positive("Concurrency", o.Concurrency)
	p.wantIf(!(o.Utilization > 0 && o.Utilization <= 1), "Utilization", o.Utilization, "more than 0, at most 1")
	p.beat("Tick", o.Tick)
	p.wantIf(o.StableWindow < 5*time.Second || o.StableWindow > time.Hour, "StableWindow", o.StableWindow, "5s to 1h")
	p.wantIf(!(o.PanicWindow >= 0.01 && o.PanicWindow <= 1), "PanicWindow", o.PanicWindow, "0.01 to 1")
	p.wantIf(!(o.PanicThreshold > 1), "PanicThreshold", o.PanicThreshold, "more than 1")
	p.wantIf(!(o.MaxUpRate > 1), "MaxUpRate", o.MaxUpRate, "more than 1")
	p.wantIf(!(o.MaxDownRate > 1), "MaxDownRate", o.MaxDownRate, "more than 1")
	p.wantIf(o.DownDelay < 0 || o.DownDelay > time.Hour, "DownDelay", o.DownDelay, "0 to 1h")
	p.pause("Grace", o.Grace)
	if err := p.err(); err != nil {
		return nil, err
	}
	return &KPA{o: o, beat: rhythm{every: o.Tick}, stable: newBuckets(int(o.StableWindow / time.Second))}, nil
}

// Name is "kpa".
func (*KPA) Name() string { return "kpa" }

// Decide notes the concurrency, and evaluates on its own grid.
func (k *KPA) Decide(o autoscale.Observation) autoscale.Proposal {
	second := o.Time.Unix()
	if !k.begun {
		k.begun = true
		// An autoscaler that finds workers starts in a panic, so that its own restart does not shrink the pool.
		if o.Ready > 1 {
			k.panicking, k.panicSince, k.panicSize = true, o.Time, o.Ready
		}
	}
	due := k.beat.due(o.Time)
	if o.Unknown != "" {
		k.stable.miss(second)
		return unknown(o)
	}
	k.stable.record(second, float64(o.Depth+k.busy.now(o)))
	if !due {
		return k.beat.wait(o, "next tick")
	}
	return k.evaluate(o)
}

func (k *KPA) evaluate(o autoscale.Observation) autoscale.Proposal {
	second := o.Time.Unix()
	short := max(1, int(math.Round(k.o.PanicWindow*k.o.StableWindow.Seconds())))
	ready := max(1, o.Ready)
	target := max(0.01, k.o.Concurrency*k.o.Utilization)
	most := up(k.o.MaxUpRate * float64(ready))
	least := int(float64(o.Ready) / k.o.MaxDownRate)
	stableMean, panicMean := k.stable.mean(second, k.stable.size()), k.stable.mean(second, short)
	inPanic := up(panicMean / target)
	want := min(max(up(stableMean/target), least), most)
	p := autoscale.Proposal{Reason: fmt.Sprintf("%.4g records held, target %.3g per worker: %d", stableMean, target, want)}

	if over := float64(inPanic)/float64(ready) >= k.o.PanicThreshold; over {
		if !k.panicking {
			k.panicSize = 0
		}
		k.panicking, k.panicSince = true, o.Time
	} else if k.panicking && k.panicSince.Add(k.o.StableWindow).Before(o.Time) {
		k.panicking, k.panicSize = false, 0
	}
	if k.panicking {
		k.panicSize = max(k.panicSize, want, min(max(inPanic, least), most))
		want = k.panicSize
		p.Reason = fmt.Sprintf("panic: %.4g records held for %ds, target %.3g per worker: no fewer than %d", panicMean, short, target, want)
	}
	p.Size = want
	limit(&p, ClampStabilization, k.delayed(o.Time, want))
	if size := last(p); size > 0 || o.Size == 0 || o.MinSize > 0 {
		k.idleSince = time.Time{}
		return p
	}
	// Nobody is wanted. The windows have been at zero for their whole length by now, so only the grace is left.
	if k.idleSince.IsZero() {
		k.idleSince = o.Time
	}
	if left := k.o.Grace - o.Time.Sub(k.idleSince); left > 0 {
		limit(&p, "grace", 1)
		p.Reason = fmt.Sprintf("nothing held, the last worker stays for another %v", left.Round(time.Millisecond))
	}
	return p
}

// delayed is the largest size wanted within DownDelay.
func (k *KPA) delayed(now time.Time, want int) int {
	if k.o.DownDelay <= 0 {
		return want
	}
	kept := k.wanted[:0]
	for _, w := range k.wanted {
		if now.Sub(w.at) < k.o.DownDelay {
			kept = append(kept, w)
		}
	}
	k.wanted = append(kept, wanted{now, want})
	for _, w := range k.wanted {
		want = max(want, w.size)
	}
	return want
}

// buckets are means per second over a window. Seconds without a reading count as zero, once there has been any.
type buckets struct {
	values []float64
	counts []int
	first  int64 // the first second noted
	last   int64 // the newest one
	begun  bool
}

func newBuckets(seconds int) *buckets {
	return &buckets{values: make([]float64, seconds), counts: make([]int, seconds)}
}

func (b *buckets) size() int { return len(b.values) }

// advance goes on to the second, giving those in between the value, or nothing.
func (b *buckets) advance(second int64, value float64, known bool) {
	if !b.begun {
		b.begun, b.first, b.last = true, second, second-1
	}
	n := int64(len(b.values))
	for s := max(b.last+1, second-n+1); s <= second; s++ {
		b.values[s%n], b.counts[s%n] = 0, 0
		if known && s < second {
			b.values[s%n], b.counts[s%n] = value, 1
		}
	}
	b.last = max(b.last, second)
}

func (b *buckets) miss(second int64) { b.advance(second, 0, false) }

func (b *buckets) record(second int64, value float64) {
	if b.begun && second < b.last {
		return // the clock went back
	}
	b.advance(second, value, true)
	i := second % int64(len(b.values))
	b.counts[i]++
	b.values[i] += (value - b.values[i]) / float64(b.counts[i])
}

// mean is over the last seconds, or those since the first if they are fewer.
func (b *buckets) mean(second int64, seconds int) float64 {
	n := int64(len(b.values))
	seen := min(int64(seconds), n, second-b.first+1)
	sum := 0.0
	for s := second - seen + 1; s <= second; s++ {
		sum += b.values[s%n]
	}
	return sum / float64(max(1, seen))
}
