package rivals

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// HPAOptions are the settings of Kubernetes' HorizontalPodAutoscaler and of the KEDA object that feeds it. Zero means the
// product's default; where 0 is a sensible value, a negative one means it.
type HPAOptions struct {
	Target         float64       // records per worker that it aims for (KEDA's trigger threshold); zero means 10, as for Kafka and NATS
	CountInFlight  bool          // count the records in work too, as the scalers for NATS and SQS do
	Tolerance      float64       // relative distance from the target that is left alone; zero means 0.1, negative none
	Sync           time.Duration // time between evaluations; zero means 15s
	UpWindow       time.Duration // grow only to the smallest size wanted in this time; zero means none
	DownWindow     time.Duration // shrink only to the largest size wanted in this time; zero means 5m, negative none
	UpPercent      float64       // growth per UpPeriod, in percent; zero means 100, negative none
	UpWorkers      int           // growth per UpPeriod, in workers; the larger of the two counts; zero means 4, negative none
	UpPeriod       time.Duration // zero means 15s
	DownPercent    float64       // shrinking per DownPeriod, in percent; zero means 100
	DownPeriod     time.Duration // zero means 15s
	Polling        time.Duration // time between KEDA's looks at an empty pool; zero means 30s
	CooldownToZero time.Duration // idle time before the last worker goes, where the pool may be empty; zero means 5m, negative none
}

func (o *HPAOptions) fields() []field {
	return []field{
		{"target", &o.Target}, {"count_in_flight", &o.CountInFlight}, {"tolerance", &o.Tolerance}, {"sync", &o.Sync},
		{"up_window", &o.UpWindow}, {"down_window", &o.DownWindow},
		{"up_percent", &o.UpPercent}, {"up_workers", &o.UpWorkers}, {"up_period", &o.UpPeriod},
		{"down_percent", &o.DownPercent}, {"down_period", &o.DownPeriod},
		{"polling", &o.Polling}, {"cooldown_to_zero", &o.CooldownToZero},
	}
}

// Names of the clamps that [HPA] applies, besides the bounds.
const (
	ClampStabilization = "stabilization"   // another size was wanted a while ago
	ClampScaleUp       = "scale_up_rate"   // no faster growth
	ClampScaleDown     = "scale_down_rate" // no faster shrinking
)

// HPA is Kubernetes' HorizontalPodAutoscaler with KEDA's queue metric of type AverageValue: as many workers as share the
// queue in portions of the target. Growth is limited per period; shrinking waits until no larger size has been wanted for
// five minutes. KEDA itself only moves between no worker and one.
type HPA struct {
	o          HPAOptions
	sync, poll rhythm
	busy       inFlight
	wanted     []wanted // the newest last, one per evaluation within the longer window
	changes    []change // of its own making, within the longer period
	lastActive time.Time
}

type wanted struct {
	at   time.Time
	size int
}

type change struct {
	at time.Time
	by int
}

// NewHPA returns an error that names everything wrong with the options.
func NewHPA(o HPAOptions) (*HPA, error) {
	o.Target = cmp.Or(o.Target, 10)
	o.Tolerance = orDefault(o.Tolerance, 0.1)
	o.Sync = cmp.Or(o.Sync, 15*time.Second)
	o.DownWindow = orDefault(o.DownWindow, 5*time.Minute)
	o.UpPercent, o.UpWorkers, o.UpPeriod = orDefault(o.UpPercent, 100), orDefault(o.UpWorkers, 4), cmp.Or(o.UpPeriod, 15*time.Second)
	o.DownPercent, o.DownPeriod = cmp.Or(o.DownPercent, 100), cmp.Or(o.DownPeriod, 15*time.Second)
	o.Polling, o.CooldownToZero = cmp.Or(o.Polling, 30*time.Second), orDefault(o.CooldownToZero, 5*time.Minute)
	p := problems{policy: "hpa"}
	p.positive("Target", o.Target)
	p.wantIf(o.Tolerance >= 1, "Tolerance", o.Tolerance, "less than 1")
	p.beat("Sync", o.Sync)
	p.wantIf(o.UpWindow < 0 || o.UpWindow > time.Hour, "UpWindow", o.UpWindow, "0 to 1h")
	p.wantIf(o.DownWindow > time.Hour, "DownWindow", o.DownWindow, "at most 1h")
	p.wantIf(o.UpPercent == 0 && o.UpWorkers == 0, "UpPercent and UpWorkers", 0, "one of them above 0")
	p.positive("DownPercent", o.DownPercent)
	for name, d := range map[string]time.Duration{"UpPeriod": o.UpPeriod, "DownPeriod": o.DownPeriod} {
		p.wantIf(d < time.Second || d > 30*time.Minute, name, d, "1s to 30m")
	}
	p.beat("Polling", o.Polling)
	p.pause("CooldownToZero", o.CooldownToZero)
	if err := p.err(); err != nil {
		return nil, err
	}
	return &HPA{o: o, sync: rhythm{every: o.Sync}, poll: rhythm{every: o.Polling}}, nil
}

// Name is "hpa".
func (*HPA) Name() string { return "hpa" }

// Decide evaluates at every sync and holds in between.
func (h *HPA) Decide(o autoscale.Observation) autoscale.Proposal {
	if o.Unknown != "" {
		h.sync.due(o.Time) // an evaluation that fails is one that took place
		return unknown(o)
	}
	value := float64(o.Depth)
	if flight := h.busy.now(o); h.o.CountInFlight {
		value += float64(flight)
	}
	if value > 0 || h.lastActive.IsZero() {
		h.lastActive = o.Time
	}
	if p, decided := h.nearZero(o, value); decided {
		return p
	}
	if !h.sync.due(o.Time) {
		return h.sync.wait(o, "next sync")
	}
	return h.evaluate(o, value)
}

// nearZero is KEDA's part: from none to one worker, and back.
func (h *HPA) nearZero(o autoscale.Observation, value float64) (autoscale.Proposal, bool) {
	if o.Size == 0 {
		if !h.poll.due(o.Time) {
			return h.poll.wait(o, "next poll"), true
		}
		if value > 0 {
			return autoscale.Proposal{Size: max(1, o.MinSize), Reason: fmt.Sprintf("%g records wait and nobody works", value)}, true
		}
		return hold(o, "nothing waits"), true
	}
	if o.MinSize == 0 && value == 0 && o.Time.Sub(h.lastActive) > h.o.CooldownToZero && h.poll.due(o.Time) {
		return autoscale.Proposal{Size: 0, Reason: fmt.Sprintf("nothing waited for more than %v", h.o.CooldownToZero)}, true
	}
	return autoscale.Proposal{}, false
}

// evaluate is one round of the horizontal controller.
func (h *HPA) evaluate(o autoscale.Observation, value float64) autoscale.Proposal {
	size, reason := h.recommend(o.Size, value)
	// The bounds belong to the recommendation's way to the pool, not to the recommendation: what is remembered is not bounded.
	p := autoscale.Proposal{Size: size, Reason: reason}
	limit(&p, ClampStabilization, h.stabilized(o.Time, o.Size, size))
	now := last(p)
	if now > o.Size {
		limit(&p, ClampScaleUp, min(now, max(o.Size, h.upLimit(o))))
	} else if now < o.Size {
		limit(&p, ClampScaleDown, max(now, min(o.Size, h.downLimit(o))))
	}
	final := bounded(max(last(p), 1), o) // the controller never goes to zero
	if last(p) < 1 {
		limit(&p, autoscale.ClampMinSize, max(1, o.MinSize))
	}
	h.remember(o.Time, final-o.Size)
	return p
}

// last is what a proposal settles for.
func last(p autoscale.Proposal) int {
	if n := len(p.Clamps); n > 0 {
		return p.Clamps[n-1].After
	}
	return p.Size
}

// recommend is the formula: ceil(value / target), unless the average is near the target.
func (h *HPA) recommend(size int, value float64) (int, string) {
	ratio := value / (h.o.Target * float64(size))
	if math.Abs(1-ratio) <= h.o.Tolerance+1e-12 {
		return size, fmt.Sprintf("%.4g records per worker are near the target %g", value/float64(size), h.o.Target)
	}
	want := up(value / h.o.Target)
	return want, fmt.Sprintf("%g records at %g per worker: %d", value, h.o.Target, want)
}

// stabilized keeps the size between the smallest and the largest wanted within the windows. The size found at the first
// evaluation counts as wanted, so that a restart does not shrink the pool.
func (h *HPA) stabilized(now time.Time, size, want int) int {
	if len(h.wanted) == 0 {
		h.wanted = append(h.wanted, wanted{now, size})
	}
	low, high := want, want
	kept := h.wanted[:0]
	for _, w := range h.wanted {
		if age := now.Sub(w.at); age < max(h.o.UpWindow, h.o.DownWindow) {
			kept = append(kept, w)
			if age < h.o.UpWindow {
				low = min(low, w.size)
			}
			if age < h.o.DownWindow {
				high = max(high, w.size)
			}
		}
	}
	h.wanted = append(kept, wanted{now, want})
	return min(max(size, low), high)
}

// moved sums its own changes within a period, growth and shrinking apart.
func (h *HPA) moved(now time.Time, period time.Duration) (added, removed int) {
	for _, c := range h.changes {
		if now.Sub(c.at) < period {
			added += max(0, c.by)
			removed += max(0, -c.by)
		}
	}
	return added, removed
}

func (h *HPA) upLimit(o autoscale.Observation) int {
	added, removed := h.moved(o.Time, h.o.UpPeriod)
	start := o.Size - added + removed
	return max(start+h.o.UpWorkers, up(float64(start)*(1+h.o.UpPercent/100)))
}

func (h *HPA) downLimit(o autoscale.Observation) int {
	added, removed := h.moved(o.Time, h.o.DownPeriod)
	start := o.Size + removed - added
	return whole(math.Trunc(float64(start) * (1 - h.o.DownPercent/100)))
}

func (h *HPA) remember(now time.Time, by int) {
	kept := h.changes[:0]
	for _, c := range h.changes {
		if now.Sub(c.at) < max(h.o.UpPeriod, h.o.DownPeriod) {
			kept = append(kept, c)
		}
	}
	h.changes = kept
	if by != 0 {
		h.changes = append(h.changes, change{now, by})
	}
}
