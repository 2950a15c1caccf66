package autoscale

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Limits of the options, and what zero becomes.
const (
	minCheckInterval   = 10 * time.Millisecond
	maxObserveTimeout  = 5 * time.Second // for the default only; a longer one can be asked for
	defaultLedgerSize  = 8640            // a day of checks at 10 s
	maxLedgerSize      = 1_000_000       // about 250 MB of decisions
	defaultPresetName  = "default"
	threeEditsAreATypo = 3
)

// Options says how a [Controller] behaves.
//
// When all eight settings from MinSize to ScaleDownCount are zero, they mean those of [DefaultOptions]. As soon as one of
// them is set, all eight are taken literally, so that zero can be said: MinSize 0 lets the pool empty.
type Options struct {
	MinSize int // fewest workers; zero lets the pool empty; at most MaxSize
	MaxSize int // most workers; at least 1

	ScaleUpThreshold   int // depth in records at which the pool grows; at least 1
	ScaleDownThreshold int // depth in records at which the pool shrinks; zero shrinks only on an empty queue; below ScaleUpThreshold

	CheckInterval time.Duration // time between checks; at least 10ms
	Cooldown      time.Duration // time without another action after an action; zero means none

	ScaleUpCount   int // workers added by one action; at least 1
	ScaleDownCount int // workers removed by one action; at least 1

	// ObserveTimeout is how long a check waits for the observer before it holds. Zero means CheckInterval, at most 5s;
	// it may not exceed CheckInterval.
	ObserveTimeout time.Duration

	// LedgerSize is how many decisions are kept. Zero means 8640, a day of checks at 10 s; at most 1,000,000.
	LedgerSize int

	// Policy names the sizes. Nil means the threshold policy with the settings above. With another policy the
	// thresholds, the counts and the cooldown are not used and may stay zero; bounds and interval still hold.
	Policy Policy

	// Logger gets one line per change of the pool, and one when the depth becomes unknown or known again. Nil means
	// slog.Default(); slog.DiscardHandler keeps it quiet.
	Logger *slog.Logger

	// DryRun decides, explains and records, and moves nothing, not even into the bounds. Only a size that somebody forces
	// is obeyed.
	DryRun bool
}

// preset is a named row of settings.
type preset struct {
	name             string
	min, max         int
	up, down         int
	check, cooldown  time.Duration
	upStep, downStep int
}

// presets is in the order that people should read it.
var presets = []preset{
	{"default", 2, 10, 50, 10, 10 * time.Second, 30 * time.Second, 2, 1},
	{"bursty", 2, 10, 30, 5, 10 * time.Second, 15 * time.Second, 2, 1},
	{"steady", 2, 10, 100, 20, 10 * time.Second, 60 * time.Second, 1, 1},
	{"development", 1, 5, 50, 10, 10 * time.Second, 30 * time.Second, 1, 1},
	{"production", 5, 50, 50, 10, 10 * time.Second, 30 * time.Second, 3, 1},
	{"cost", 1, 5, 100, 10, 10 * time.Second, 120 * time.Second, 1, 1},
	{"throughput", 5, 50, 20, 5, 10 * time.Second, 15 * time.Second, 3, 1},
}

func (p preset) options() Options {
	return Options{
		MinSize: p.min, MaxSize: p.max,
		ScaleUpThreshold: p.up, ScaleDownThreshold: p.down,
		CheckInterval: p.check, Cooldown: p.cooldown,
		ScaleUpCount: p.upStep, ScaleDownCount: p.downStep,
	}
}

// DefaultOptions is the preset "default": 2 to 10 workers, up by 2 at a depth of 50, down by 1 at 10, a check every
// 10 s, a cooldown of 30 s.
func DefaultOptions() Options {
	o, err := Preset(defaultPresetName)
	if err != nil {
		panic(err) // the table above lost its first row
	}
	return o
}

// Preset returns the options of that name; each value may be changed before use. The error for an unknown name lists the
// names there are and suggests the nearest one.
func Preset(name string) (Options, error) {
	nearest, distance := "", threeEditsAreATypo
	for _, p := range presets {
		if p.name == name {
			return p.options(), nil
		}
		if d := edits(strings.ToLower(name), p.name); d < distance {
			nearest, distance = p.name, d
		}
	}
	hint := ""
	if nearest != "" {
		hint = fmt.Sprintf(", did you mean %q?", nearest)
	}
	return Options{}, fmt.Errorf("autoscale: unknown preset %q%s (presets: %s)", name, hint, strings.Join(PresetNames(), ", "))
}

// PresetNames lists the names that [Preset] knows, the default first.
func PresetNames() []string {
	names := make([]string, len(presets))
	for i, p := range presets {
		names[i] = p.name
	}
	return names
}

// edits counts the letters to insert, delete or replace to turn a into b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Threshold is the threshold policy with these settings, zero meaning what it means everywhere in Options.
func (o Options) Threshold() Threshold {
	o = o.withDefaults()
	return Threshold{
		ScaleUpThreshold:   o.ScaleUpThreshold,
		ScaleDownThreshold: o.ScaleDownThreshold,
		ScaleUpCount:       o.ScaleUpCount,
		ScaleDownCount:     o.ScaleDownCount,
		Cooldown:           o.Cooldown,
	}
}

// withDefaults fills in what zero stands for, apart from Policy and Logger.
func (o Options) withDefaults() Options {
	settings := o
	settings.ObserveTimeout, settings.LedgerSize, settings.Policy, settings.Logger, settings.DryRun = 0, 0, nil, nil, false
	if settings == (Options{}) {
		settings = DefaultOptions()
		settings.ObserveTimeout, settings.LedgerSize = o.ObserveTimeout, o.LedgerSize
		settings.Policy, settings.Logger, settings.DryRun = o.Policy, o.Logger, o.DryRun
		o = settings
	}
	if o.ObserveTimeout == 0 {
		o.ObserveTimeout = min(o.CheckInterval, maxObserveTimeout)
	}
	if o.LedgerSize == 0 {
		o.LedgerSize = defaultLedgerSize
	}
	return o
}

// problems collects everything wrong, in the order it was found.
type problems []error

func (p *problems) wantIf(wrong bool, field string, value any, rule string, args ...any) {
	if wrong {
		*p = append(*p, fmt.Errorf("autoscale: %s is %v, want %s", field, value, fmt.Sprintf(rule, args...)))
	}
}

// Validate returns nil, or one error that names every problem: the field, its value and the rule. Options that are
// entirely zero are valid, they are the defaults.
func (o Options) Validate() error {
	o = o.withDefaults()
	var p problems
	p.wantIf(o.MinSize < 0, "MinSize", o.MinSize, "0 or more")
	p.wantIf(o.MaxSize < 1, "MaxSize", o.MaxSize, "1 or more")
	p.wantIf(o.MaxSize >= 1 && o.MinSize > o.MaxSize, "MinSize", o.MinSize, "at most MaxSize (%d)", o.MaxSize)
	p.wantIf(o.CheckInterval < minCheckInterval, "CheckInterval", o.CheckInterval, "at least %v", minCheckInterval)
	p.wantIf(o.ObserveTimeout < 0, "ObserveTimeout", o.ObserveTimeout, "0 (for the default) or more")
	p.wantIf(o.CheckInterval >= minCheckInterval && o.ObserveTimeout > o.CheckInterval,
		"ObserveTimeout", o.ObserveTimeout, "at most CheckInterval (%v)", o.CheckInterval)
	p.wantIf(o.LedgerSize < 0, "LedgerSize", o.LedgerSize, "0 (for the default) or more")
	p.wantIf(o.LedgerSize > maxLedgerSize, "LedgerSize", o.LedgerSize, "at most %d", maxLedgerSize)
	p.wantIf(o.Cooldown < 0, "Cooldown", o.Cooldown, "0 or more")

	least := 1
	if o.Policy != nil {
		least = 0 // the other policy does not read them
	}
	p.wantIf(o.ScaleUpThreshold < least, "ScaleUpThreshold", o.ScaleUpThreshold, "%d or more", least)
	p.wantIf(o.ScaleDownThreshold < 0, "ScaleDownThreshold", o.ScaleDownThreshold, "0 or more")
	p.wantIf(o.Policy == nil && o.ScaleUpThreshold >= 1 && o.ScaleDownThreshold >= o.ScaleUpThreshold,
		"ScaleDownThreshold", o.ScaleDownThreshold, "less than ScaleUpThreshold (%d)", o.ScaleUpThreshold)
	p.wantIf(o.ScaleUpCount < least, "ScaleUpCount", o.ScaleUpCount, "%d or more", least)
	p.wantIf(o.ScaleDownCount < least, "ScaleDownCount", o.ScaleDownCount, "%d or more", least)
	return errors.Join(p...)
}
