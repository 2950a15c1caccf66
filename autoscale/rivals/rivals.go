package rivals

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale"
)

// Settings are a rival's options by name, as people write them: "target": "10", "down_window": "5m". Durations may be
// plain numbers of seconds. What is not there has the product's default.
type Settings map[string]string

// table has a maker for each rival. It fills in the options from the settings, and builds the policy.
var table = map[string]func(Settings) (autoscale.Policy, error){
	"static":  maker(NewStatic, (*StaticOptions).fields),
	"hpa":     maker(NewHPA, (*HPAOptions).fields),
	"kpa":     maker(NewKPA, (*KPAOptions).fields),
	"ds2":     maker(NewDS2, (*DS2Options).fields),
	"backlog": maker(NewBacklog, (*BacklogOptions).fields),
	"celery":  maker(NewCelery, (*CeleryOptions).fields),
	"nomad":   maker(NewNomad, (*NomadOptions).fields),
}

// Names lists the rivals, in order of the alphabet.
func Names() []string { return slices.Sorted(maps.Keys(table)) }

// New builds a fresh rival by its name. The error names every setting that is unknown or wrong.
func New(name string, s Settings) (autoscale.Policy, error) {
	build, known := table[name]
	if !known {
		return nil, fmt.Errorf("rivals: unknown policy %q (rivals: %s)", name, strings.Join(Names(), ", "))
	}
	return build(s)
}

// SettingNames lists the settings of a rival, in the order of its options; nil for a name that is none.
func SettingNames(name string) []string {
	var names []string
	if build, known := table[name]; known {
		_, err := build(Settings{"": ""})
		if u, isUnknown := errors.AsType[*unknownSettingError](err); isUnknown {
			names = u.known
		}
	}
	return names
}

// unknownSettingError tells of a setting that a rival does not have.
type unknownSettingError struct {
	policy, name string
	known        []string
}

func (e *unknownSettingError) Error() string {
	return fmt.Sprintf("rivals: %s has no setting %q (settings: %s)", e.policy, e.name, strings.Join(e.known, ", "))
}

// field is one option, by the name that it has outside Go.
type field struct {
	name  string
	value any // pointer to an int, a float64, a bool or a duration
}

// maker joins a constructor with the fields of its options.
func maker[O any, P autoscale.Policy](build func(O) (P, error), fields func(*O) []field) func(Settings) (autoscale.Policy, error) {
	return func(s Settings) (autoscale.Policy, error) {
		var o O
		var unnamed P
		all := fields(&o)
		var errs []error
		for _, name := range slices.Sorted(maps.Keys(s)) {
			i := slices.IndexFunc(all, func(f field) bool { return f.name == name })
			if i < 0 {
				unknown := &unknownSettingError{policy: unnamed.Name(), name: name}
				for _, f := range all {
					unknown.known = append(unknown.known, f.name)
				}
				errs = append(errs, unknown)
			} else if err := all[i].set(s[name]); err != nil {
				errs = append(errs, fmt.Errorf("rivals: %s: %w", unnamed.Name(), err))
			}
		}
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		p, err := build(o)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
}

func (f field) set(text string) error {
	text = strings.TrimSpace(text)
	var err error
	var want string
	switch v := f.value.(type) {
	case *int:
		*v, err = strconv.Atoi(text)
		want = "a whole number"
	case *float64:
		*v, err = strconv.ParseFloat(text, 64)
		if math.IsNaN(*v) || math.IsInf(*v, 0) {
			err = strconv.ErrRange
		}
		want = "a number"
	case *bool:
		*v, err = strconv.ParseBool(text)
		want = "true or false"
	case *time.Duration:
		var seconds float64
		if seconds, err = strconv.ParseFloat(text, 64); err == nil && math.Abs(seconds) < 1e9 {
			*v = time.Duration(seconds * float64(time.Second))
		} else {
			*v, err = time.ParseDuration(text)
		}
		want = `a duration such as "15s"`
	}
	if err != nil {
		return fmt.Errorf("%s is %q, want %s", f.name, text, want)
	}
	return nil
}

// problems collects everything wrong with a rival's options.
type problems struct {
	policy string
	errs   []error
}

func (p *problems) wantIf(wrong bool, field string, value any, rule string) {
	if wrong {
		p.errs = append(p.errs, fmt.Errorf("rivals: %s: %s is %v, want %s", p.policy, field, value, rule))
	}
}

// positive is for what must be more than zero and finite.
func (p *problems) positive(field string, value float64) {
	p.wantIf(!(value > 0) || math.IsInf(value, 0), field, value, "more than 0")
}

// beat is for a rhythm or window: a second at least, so that state stays small, and a day at most.
func (p *problems) beat(field string, d time.Duration) {
	p.wantIf(d < time.Second || d > 24*time.Hour, field, d, "1s to 24h")
}

// pause is for a time to wait; none is fine.
func (p *problems) pause(field string, d time.Duration) {
	p.wantIf(d < 0 || d > 30*24*time.Hour, field, d, "0 to 720h")
}

func (p *problems) err() error { return errors.Join(p.errs...) }

// orDefault is the zero rule of most options: zero means the default, and a negative value means zero.
func orDefault[N int | float64 | time.Duration](value, standard N) N {
	switch {
	case value == 0:
		return standard
	case value < 0:
		return 0
	default:
		return value
	}
}

// rhythm is a product's own grid of evaluations, which begins with the first check.
type rhythm struct {
	every time.Duration
	next  time.Time
}

// due tells whether now is at or past the next point of the grid, and moves on if so.
func (r *rhythm) due(now time.Time) bool {
	if r.next.IsZero() {
		r.next = now
	}
	if now.Before(r.next) {
		return false
	}
	r.next = r.next.Add((now.Sub(r.next)/r.every + 1) * r.every)
	return true
}

// wait is the answer between two evaluations.
func (r *rhythm) wait(o autoscale.Observation, what string) autoscale.Proposal {
	return hold(o, "%s in %v", what, r.next.Sub(o.Time).Round(time.Millisecond))
}

// hold keeps the present size.
func hold(o autoscale.Observation, format string, args ...any) autoscale.Proposal {
	return autoscale.Proposal{Size: o.Size, Reason: fmt.Sprintf(format, args...)}
}

func unknown(o autoscale.Observation) autoscale.Proposal {
	return hold(o, "depth unknown: %s", o.Unknown)
}

// limit applies one of the rival's own clamps to the proposal.
func limit(p *autoscale.Proposal, name string, after int) {
	before := p.Size
	if n := len(p.Clamps); n > 0 {
		before = p.Clamps[n-1].After
	}
	if before != after {
		p.Clamps = append(p.Clamps, autoscale.Clamp{Name: name, Before: before, After: after})
	}
}

// bounded brings a size inside the pool's bounds. A pool without an upper bound has none.
func bounded(size int, o autoscale.Observation) int {
	if o.MaxSize > 0 {
		size = min(size, o.MaxSize)
	}
	return max(size, o.MinSize)
}

// whole is a number of workers from a float that may be beyond all bounds.
func whole(f float64) int {
	const most = 1 << 30
	if !(f < most) {
		return most
	}
	return int(max(f, 0))
}

// up is the ceiling of a quotient that floats may have left a hair above a whole number.
func up(f float64) int { return whole(math.Ceil(f - 1e-9)) }

// inFlight estimates how many workers are at work, from the readings.
type inFlight struct{ last time.Time }

// mean is the busy workers since the last reading, on average.
func (f *inFlight) mean(o autoscale.Observation) float64 {
	since := o.Time.Sub(f.last).Seconds()
	if f.last.IsZero() || since <= 0 {
		since = 1
	}
	f.last = o.Time
	return min(float64(o.Ready), o.BusySeconds/since)
}

// now is the busy workers at this moment: all that are ready while records wait, and otherwise the mean, rounded up.
func (f *inFlight) now(o autoscale.Observation) int {
	mean := f.mean(o)
	if o.Depth > 0 {
		return o.Ready
	}
	return min(o.Ready, up(mean))
}
