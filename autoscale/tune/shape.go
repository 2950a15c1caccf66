package tune

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/autoscale/simulate"
)

// Shape is settings in which whatever counts records is a share of what one worker completes within the SLO, so that the same
// shape fits fast and slow workers. In threshold's, scale_down_threshold is a share of scale_up_threshold.
type Shape map[string]string

// none is how durations say "none, and not the default".
const none = "-1s"

// kind is what the numbers of an axis are.
type kind int

const (
	fixed    kind = iota // not a number, or one of which only the values of the grid are tried
	records              // a share of what one worker completes within the SLO
	fraction             // 0 to 1
	count                // a whole number of 1 or more
	pause                // a duration, or none
	portion              // of the pool's largest size
)

// axis is a setting and the values that the grid has.
type axis struct {
	name   string
	kind   kind
	values []string
}

// spaces are the axes of every policy that has something to tune, those that matter most.
var spaces = map[string][]axis{
	"threshold": {
		{"scale_up_threshold", records, []string{"0.5", "1", "2", "4", "8"}},
		{"scale_down_threshold", fraction, []string{"0.1", "0.3"}},
		{"cooldown", pause, []string{"0s", "10s"}},
		{"scale_up_count", count, []string{"1", "5"}},
		{"scale_down_count", count, []string{"1", "5"}},
	},
	"hpa": {
		{"target", records, shares},
		{"down_window", pause, []string{none, "30s", "2m", "5m"}},
		{"sync", fixed, []string{"1s"}},
		{"count_in_flight", fixed, []string{"false", "true"}},
		{"up_workers", fixed, []string{"50"}},
	},
	"kpa": {
		{"concurrency", records, shares},
		{"utilization", fixed, []string{"1"}},
		{"stable_window", fixed, []string{"5s", "15s", "60s"}},
	},
	"ds2": {
		{"utilization", fraction, []string{"0.7", "0.85", "1"}},
		{"boundary", fraction, []string{"0.05", "0.3"}},
		{"reconcile", fixed, []string{"5s"}},
		{"window", fixed, []string{"30s", "5m"}},
		{"stabilization", fixed, []string{none}},
		{"catch_up", pause, []string{"30s", "5m"}},
		{"restart", fixed, []string{none}},
		{"down_interval", pause, []string{none, "5m"}},
	},
	"backlog": {
		{"target", records, shares},
		{"period", fixed, []string{"1s"}},
		{"high_points", fixed, []string{"1"}},
		{"low_points", count, []string{"1", "3", "15"}},
		{"in_share", fraction, []string{"0.1", "1"}},
		{"out_cooldown", fixed, []string{none}},
		{"in_cooldown", fixed, []string{none}},
	},
	"celery": {
		{"prefetch", count, []string{"1", "2", "4", "16"}},
		{"keepalive", pause, []string{none, "30s", "5m"}},
	},
	"nomad": {
		{"target", records, shares},
		{"per_worker", fixed, []string{"true"}},
		{"evaluation", fixed, []string{"1s", "10s"}},
		{"cooldown", pause, []string{none, "30s"}},
	},
	"static": {
		{"size", portion, []string{"0.05", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1"}},
	},
}

var shares = []string{"0.05", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.8"}

// Policies lists the policies that have something to tune, threshold first and then in order of the alphabet. There is no slo: it
// learns.
func Policies() []string {
	rest := slices.DeleteFunc(slices.Sorted(maps.Keys(spaces)), func(name string) bool { return name == "threshold" })
	return append([]string{"threshold"}, rest...)
}

// Shapes is the grid of a policy: every combination of a few values for each setting that matters. It is nil for a policy that
// has nothing to tune.
func Shapes(policy string) []Shape {
	axes := spaces[policy]
	if axes == nil {
		return nil
	}
	all := []Shape{{}}
	for _, x := range axes {
		var longer []Shape
		for _, s := range all {
			for _, value := range x.values {
				longer = append(longer, s.with(x.name, value))
			}
		}
		all = longer
	}
	return all
}

func (s Shape) with(name, value string) Shape {
	s = maps.Clone(s)
	s[name] = value
	return s
}

func (s Shape) number(name string) float64 {
	x, _ := strconv.ParseFloat(s[name], 64)
	return x
}

// Settings turns the shares of a shape into numbers of records, for these workers and this SLO.
func (s Shape) Settings(policy string, o simulate.Options) rivals.Settings {
	settings := rivals.Settings(maps.Clone(s))
	for _, x := range spaces[policy] {
		if _, has := s[x.name]; !has {
			continue
		}
		switch x.kind {
		case records:
			settings[x.name] = tidy(max(0.01, s.number(x.name)*o.SLO.Seconds()*o.Rate))
		case portion:
			size := int(math.Round(s.number(x.name) * float64(o.MaxSize)))
			settings[x.name] = strconv.Itoa(min(max(size, o.MinSize, 1), o.MaxSize))
		}
	}
	if policy == "threshold" {
		up := math.Ceil(max(1, s.number("scale_up_threshold")*o.SLO.Seconds()*o.Rate) - 1e-9)
		settings["scale_up_threshold"] = strconv.Itoa(int(up))
		settings["scale_down_threshold"] = strconv.Itoa(min(int(s.number("scale_down_threshold")*up), int(up)-1))
	}
	return settings
}

// tidy writes a number without the noise of floats.
func tidy(x float64) string { return strconv.FormatFloat(rounded(x, 6), 'f', -1, 64) }

func rounded(x float64, digits int) float64 {
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', digits, 64), 64)
	return x
}

// Build makes a fresh policy. Settings are those of package rivals; threshold has scale_up_threshold and the like, and what is
// missing there has the default of [autoscale.DefaultOptions].
func Build(policy string, settings rivals.Settings) (autoscale.Policy, error) {
	if policy != "threshold" {
		return rivals.New(policy, settings)
	}
	o := autoscale.DefaultOptions()
	o.MinSize, o.MaxSize = 0, 0 // whatever there is
	for name, text := range settings {
		var err error
		switch name {
		case "scale_up_threshold":
			o.ScaleUpThreshold, err = strconv.Atoi(text)
		case "scale_down_threshold":
			o.ScaleDownThreshold, err = strconv.Atoi(text)
		case "scale_up_count":
			o.ScaleUpCount, err = strconv.Atoi(text)
		case "scale_down_count":
			o.ScaleDownCount, err = strconv.Atoi(text)
		case "cooldown":
			o.Cooldown, err = time.ParseDuration(text)
		default:
			err = fmt.Errorf("threshold has no such setting")
		}
		if err != nil {
			return nil, fmt.Errorf("tune: %s is %q: %w", name, text, err)
		}
	}
	return o.Threshold(), nil
}

// neighbours are shapes that differ in one setting, by about so large a factor.
func neighbours(policy string, s Shape, factor float64) []Shape {
	var near []Shape
	for _, x := range spaces[policy] {
		for _, value := range x.near(s[x.name], factor) {
			if value != s[x.name] {
				near = append(near, s.with(x.name, value))
			}
		}
	}
	return near
}

// near are the values on both sides of one.
func (x axis) near(value string, factor float64) []string {
	number, _ := strconv.ParseFloat(value, 64)
	short := func(n float64) string { return strconv.FormatFloat(rounded(n, 2), 'f', -1, 64) }
	switch x.kind {
	case records:
		return []string{short(number / factor), short(number * factor)}
	case fraction, portion:
		return []string{short(number / factor), short(min(1, number*factor))}
	case count:
		less, more := min(number-1, math.Floor(number/factor)), max(number+1, math.Ceil(number*factor))
		return []string{short(max(1, less)), short(more)}
	case pause:
		return nearPauses(value, factor, slices.Contains(x.values, none))
	}
	return x.values
}

// nearPauses also tries to do without, and with a little where there is none.
func nearPauses(value string, factor float64, asDefault bool) []string {
	without := "0s"
	if asDefault { // where zero means the default
		without = none
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return []string{"5s"}
	}
	short := func(seconds float64) string {
		return (time.Duration(max(1, math.Round(seconds))) * time.Second).String()
	}
	return []string{without, short(d.Seconds() / factor), short(d.Seconds() * factor)}
}
