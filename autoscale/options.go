package autoscale

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"
)

// Limits of the options, and what zero becomes.
const (
	minCheckInterval   = 10 * time.Millisecond
	maxCheckInterval   = 24 * time.Hour
	maxCooldown        = 30 * 24 * time.Hour
	maxForced          = 366 * 24 * time.Hour
	maxWorkers         = 1_000_000
	maxObserveTimeout  = 5 * time.Second // for the default only; a longer one can be asked for
	defaultLedgerSize  = 8640            // a day of checks at 10 s
	maxLedgerSize      = 1_000_000       // about 250 MB of decisions
	defaultPresetName  = "default"
	threeEditsAreATypo = 3
)

// None is zero for the fields of [Options] in which zero stands for the default: MinSize None lets the pool empty,
// ScaleDownThreshold None shrinks only on an empty queue, Cooldown None does not wait.
const None = -1

// Options says how a [Controller] behaves. A field that is left zero means its default, and [None] means zero where that is a
// value. Options that come complete, from [DefaultOptions], [Preset] or [Controller.Options], are taken as they stand: in them
// a field that is set to zero is zero.
type Options struct {
	// MinSize is the fewest workers, at most MaxSize. Defaults to 2, or MaxSize if that is less; None lets the pool empty.
	MinSize int
	// MaxSize is the most workers, at least 1. Defaults to 10, or MinSize if that is more.
	MaxSize int

	// ScaleUpThreshold is the depth in records at which the pool grows, at least 1. Defaults to 50, or five times
	// ScaleDownThreshold if that is more.
	ScaleUpThreshold int
	// ScaleDownThreshold is the depth in records at which the pool shrinks, less than ScaleUpThreshold. Defaults to 10, or a
	// fifth of ScaleUpThreshold if that is less; None shrinks only on an empty queue.
	ScaleDownThreshold int

	// CheckInterval is the time between two checks, 10ms to 24h. Defaults to 10s.
	CheckInterval time.Duration
	// Cooldown is the time without another action after an action, at most 30 days. Defaults to 30s; None does not wait.
	Cooldown time.Duration

	// ScaleUpCount is how many workers one action adds, 1 to 1,000,000. Defaults to 2.
	ScaleUpCount int
	// ScaleDownCount is how many workers one action removes, 1 to 1,000,000. Defaults to 1.
	ScaleDownCount int

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

	complete bool // zero is zero: everything was filled in before
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
		complete: true,
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

// withDefaults fills in what zero and None stand for, apart from Policy and Logger.
func (o Options) withDefaults() Options {
	if !o.complete {
		o.fillIn(DefaultOptions())
	}
	for _, n := range []*int{&o.MinSize, &o.ScaleDownThreshold} {
		if *n == None {
			*n = 0
		}
	}
	if o.Cooldown == None {
		o.Cooldown = 0
	}
	o.complete = true
	if o.ObserveTimeout == 0 {
		o.ObserveTimeout = min(o.CheckInterval, maxObserveTimeout)
	}
	if o.LedgerSize == 0 {
		o.LedgerSize = defaultLedgerSize
	}
	return o
}

// fillIn replaces what is zero. A default gives way to the bound that was given, so that a single field can be set.
func (o *Options) fillIn(d Options) {
	if o.MaxSize == 0 {
		o.MaxSize = max(d.MaxSize, o.MinSize)
	}
	if o.MinSize == 0 {
		o.MinSize = min(d.MinSize, max(0, o.MaxSize))
	}
	const ratio = 5 // between the two thresholds
	if o.ScaleUpThreshold == 0 {
		o.ScaleUpThreshold = max(d.ScaleUpThreshold, ratio*min(o.ScaleDownThreshold, math.MaxInt/ratio))
	}
	if o.ScaleDownThreshold == 0 {
		o.ScaleDownThreshold = min(d.ScaleDownThreshold, max(0, o.ScaleUpThreshold/ratio))
	}
	o.CheckInterval = cmp.Or(o.CheckInterval, d.CheckInterval)
	o.Cooldown = cmp.Or(o.Cooldown, d.Cooldown)
	o.ScaleUpCount = cmp.Or(o.ScaleUpCount, d.ScaleUpCount)
	o.ScaleDownCount = cmp.Or(o.ScaleDownCount, d.ScaleDownCount)
}

// problems collects everything wrong, in the order it was found.
type problems []error

func (p *problems) wantIf(wrong bool, field string, value any, rule string, args ...any) {
	if wrong {
		*p = append(*p, fmt.Errorf("autoscale: %s is %v, want %s", field, value, fmt.Sprintf(rule, args...)))
	}
}

// Validate returns nil, or one error that names every problem: the field, its value and the rule. The zero value is valid: all of
// it is the defaults.
func (o Options) Validate() error {
	o = o.withDefaults()
	var p problems
	p.wantIf(o.MinSize < 0, "MinSize", o.MinSize, "0 or more")
	p.wantIf(o.MaxSize < 1, "MaxSize", o.MaxSize, "1 or more")
	p.wantIf(o.MaxSize > maxWorkers, "MaxSize", o.MaxSize, "at most %d", maxWorkers)
	p.wantIf(o.MaxSize >= 1 && o.MinSize > o.MaxSize, "MinSize", o.MinSize, "at most MaxSize (%d)", o.MaxSize)
	p.wantIf(o.CheckInterval < minCheckInterval, "CheckInterval", o.CheckInterval, "at least %v", minCheckInterval)
	p.wantIf(o.CheckInterval > maxCheckInterval, "CheckInterval", o.CheckInterval, "at most %v", maxCheckInterval)
	p.wantIf(o.ObserveTimeout < 0, "ObserveTimeout", o.ObserveTimeout, "0 (for the default) or more")
	p.wantIf(o.CheckInterval >= minCheckInterval && o.ObserveTimeout > o.CheckInterval,
		"ObserveTimeout", o.ObserveTimeout, "at most CheckInterval (%v)", o.CheckInterval)
	p.wantIf(o.LedgerSize < 0, "LedgerSize", o.LedgerSize, "0 (for the default) or more")
	p.wantIf(o.LedgerSize > maxLedgerSize, "LedgerSize", o.LedgerSize, "at most %d", maxLedgerSize)
	p.wantIf(o.Cooldown < 0, "Cooldown", o.Cooldown, "0 or more")
	p.wantIf(o.Cooldown > maxCooldown, "Cooldown", o.Cooldown, "at most %v", maxCooldown)

	least := 1
	if o.Policy != nil {
		least = 0 // the other policy does not read them
	}
	p.wantIf(o.ScaleUpThreshold < least, "ScaleUpThreshold", o.ScaleUpThreshold, "%d or more", least)
	p.wantIf(o.ScaleDownThreshold < 0, "ScaleDownThreshold", o.ScaleDownThreshold, "0 or more")
	p.wantIf(o.Policy == nil && o.ScaleUpThreshold >= 1 && o.ScaleDownThreshold >= o.ScaleUpThreshold,
		"ScaleDownThreshold", o.ScaleDownThreshold, "less than ScaleUpThreshold (%d)", o.ScaleUpThreshold)
	for _, step := range []struct {
		field string
		count int
	}{{"ScaleUpCount", o.ScaleUpCount}, {"ScaleDownCount", o.ScaleDownCount}} {
		p.wantIf(step.count < least, step.field, step.count, "%d or more", least)
		p.wantIf(step.count > maxWorkers, step.field, step.count, "at most %d", maxWorkers)
	}
	return errors.Join(p...)
}
