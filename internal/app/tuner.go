package app

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/league"
	"github.com/sluicehq/sluice/autoscale/simulate"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/history"
	"github.com/sluicehq/sluice/internal/policies"
	"github.com/sluicehq/sluice/internal/seconds"
)

// tuner changes the autoscaler while it runs. What it changes is forgotten with the process: the configuration is what starts it.
type tuner struct {
	a *App

	mu      sync.Mutex
	c       config.Config // as it is in use
	changed bool
}

func newTuner(a *App) *tuner { return &tuner{a: a, c: *a.o.Config} }

// slo is the longest wait that a record may have; 0 while it is unknown.
func (t *tuner) slo() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return sloOf(&t.c)
}

// Tuning is what is in use.
func (t *tuner) Tuning() api.Tuning {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := settingsOf(t.c.Autoscale)
	s.SLO = new(t.c.Policy.SLO.Seconds())
	return api.Tuning{Policy: t.c.Policy.Name, Settings: s}
}

func settingsOf(o autoscale.Options) api.TuningSettings {
	return api.TuningSettings{
		MinSize: new(o.MinSize), MaxSize: new(o.MaxSize),
		ScaleUpThreshold: new(o.ScaleUpThreshold), ScaleDownThreshold: new(o.ScaleDownThreshold),
		CheckInterval: new(o.CheckInterval.Seconds()), Cooldown: new(o.Cooldown.Seconds()),
		ScaleUpCount: new(o.ScaleUpCount), ScaleDownCount: new(o.ScaleDownCount),
	}
}

// Info is what there is to choose from.
func (t *tuner) Info() api.TunerInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	info := api.TunerInfo{Policies: policies.Names(), Changed: t.changed}
	for _, name := range autoscale.PresetNames() {
		o, err := autoscale.Preset(name)
		if err == nil {
			info.Presets = append(info.Presets, api.NamedPreset{Name: name, TuningSettings: settingsOf(o)})
		}
	}
	return info
}

// with is the configuration with a tuning put over it, and what is wrong with that. The caller holds mu.
func (t *tuner) with(want api.Tuning) (config.Config, []api.Problem) {
	c := t.c
	if want.Policy != "" {
		c.Policy.Name = want.Policy
	}
	s := want.Settings
	var problems []api.Problem
	number := func(from, to *int) {
		if from != nil {
			*to = *from
		}
	}
	span := func(field string, from *float64, to *time.Duration) {
		if from == nil {
			return
		}
		d, err := seconds.Duration(*from, seconds.Longest)
		if err != nil {
			problems = append(problems, api.Problem{Field: field, Message: err.Error()})
			return
		}
		*to = d
	}
	number(s.MinSize, &c.Autoscale.MinSize)
	number(s.MaxSize, &c.Autoscale.MaxSize)
	number(s.ScaleUpThreshold, &c.Autoscale.ScaleUpThreshold)
	number(s.ScaleDownThreshold, &c.Autoscale.ScaleDownThreshold)
	number(s.ScaleUpCount, &c.Autoscale.ScaleUpCount)
	number(s.ScaleDownCount, &c.Autoscale.ScaleDownCount)
	span("check_interval_seconds", s.CheckInterval, &c.Autoscale.CheckInterval)
	span("cooldown_seconds", s.Cooldown, &c.Autoscale.Cooldown)
	span("slo_seconds", s.SLO, &c.Policy.SLO)
	if c.Autoscale.ObserveTimeout > c.Autoscale.CheckInterval {
		c.Autoscale.ObserveTimeout = 0
	}
	for _, err := range c.ScalerProblems() {
		problems = append(problems, problemOf(err))
	}
	return c, problems
}

// fieldWord is what a room calls an option.
var fieldWord = regexp.MustCompile(`^(?:autoscale: |simulate: )?([A-Z][A-Za-z]+) (.*)$`)

// problemOf puts a room's complaint into the words of settings.
func problemOf(err error) api.Problem {
	m := fieldWord.FindStringSubmatch(err.Error())
	if m == nil {
		return api.Problem{Message: err.Error()}
	}
	names := map[string]string{
		"SLO": "slo_seconds", "MinSize": "min_size", "MaxSize": "max_size", "ScaleUpThreshold": "scale_up_threshold",
		"ScaleDownThreshold": "scale_down_threshold", "CheckInterval": "check_interval_seconds", "Cooldown": "cooldown_seconds",
		"ScaleUpCount": "scale_up_count", "ScaleDownCount": "scale_down_count",
	}
	message := m[2]
	for from, to := range names {
		message = strings.ReplaceAll(message, from, to)
	}
	return api.Problem{Field: names[m[1]], Message: message}
}

// Apply puts a tuning to work, or says what is wrong with it. The league plays on by what is in use now.
func (t *tuner) Apply(want api.Tuning) []api.Problem {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, problems := t.with(want)
	if len(problems) > 0 {
		return problems
	}
	why := differences(t.c, c)
	follows := t.a.league != nil && why != noDifference // else its scores stay good
	var rules league.Options
	if follows {
		rules = t.a.leagueOptions(&c)
		if err := rules.Validate(); err != nil {
			return []api.Problem{problemOf(err)}
		}
	}
	if err := t.a.changePolicy(c, why); err != nil {
		return []api.Problem{problemOf(err)}
	}
	t.c, t.changed = c, true
	if t.a.waits != nil {
		t.a.waits.SetSLO(sloOf(&c))
	}
	if follows {
		if err := t.a.league.Change(rules, why); err != nil {
			t.a.log.Error("policies are still compared by the settings as they were", "error", err)
		}
	}
	return nil
}

const noDifference = "settings put in place again"

// differences says in words what is changed.
func differences(from, to config.Config) string {
	var said []string
	say := func(name string, a, b any) {
		if a != b {
			said = append(said, fmt.Sprintf("%s %v -> %v", name, a, b))
		}
	}
	a, b := from.Autoscale, to.Autoscale
	say("policy", from.Policy.Name, to.Policy.Name)
	say("slo", from.Policy.SLO, to.Policy.SLO)
	say("min_size", a.MinSize, b.MinSize)
	say("max_size", a.MaxSize, b.MaxSize)
	say("scale_up_threshold", a.ScaleUpThreshold, b.ScaleUpThreshold)
	say("scale_down_threshold", a.ScaleDownThreshold, b.ScaleDownThreshold)
	say("check_interval", a.CheckInterval, b.CheckInterval)
	say("cooldown", a.Cooldown, b.Cooldown)
	say("scale_up_count", a.ScaleUpCount, b.ScaleUpCount)
	say("scale_down_count", a.ScaleDownCount, b.ScaleDownCount)
	if len(said) == 0 {
		return noDifference
	}
	return "settings changed: " + strings.Join(said, ", ")
}

const (
	previewSpan = time.Hour
	leastReplay = time.Minute // of arrivals, below which a preview says nothing
)

// Preview replays the arrivals of the last hour through what is in use and what is proposed.
func (t *tuner) Preview(_ context.Context, want api.Tuning) (api.Preview, error) {
	t.mu.Lock()
	was := t.c
	c, problems := t.with(want)
	t.mu.Unlock()
	p := api.Preview{Problems: append([]api.Problem{}, problems...)}
	trace, err := t.lastHour()
	if err != nil {
		return p, err
	}
	rate, measured := t.rate()
	p.Hours, p.Records = float64(trace.Seconds())/3600, trace.Records()
	p.Note = fmt.Sprintf("The arrivals of the last %v, in steps of %v, with analyzers that each do %.4g records/s and start at once.",
		(time.Duration(trace.Seconds()) * time.Second).Round(time.Minute), history.Step, rate)
	if !measured {
		p.Note += " Nobody has worked yet, so that the rate is a guess."
	}
	slo := league.WholeSeconds(c.Policy.SLO)
	if p.Now, err = replay(trace, was, rate, slo); err != nil {
		return p, err
	}
	if len(problems) == 0 {
		if p.Then, err = replay(trace, c, rate, slo); err != nil {
			return p, err
		}
	}
	return p, nil
}

// lastHour is the recorded arrivals as a trace.
func (t *tuner) lastHour() (*simulate.Trace, error) {
	_, points := t.a.series.Since(time.Now().Add(-previewSpan), 0)
	step := int64(history.Step / time.Second)
	if len(points) == 0 || int64(len(points))*step < int64(leastReplay/time.Second) {
		return nil, fmt.Errorf("there is no minute of recorded arrivals yet")
	}
	first := points[0].Time - step
	seconds := make([]int, points[len(points)-1].Time-first)
	for _, p := range points {
		for i := range step { // evenly, as the simulation model has it
			seconds[p.Time-step-first+i] = int((i+1)*p.In/step - i*p.In/step)
		}
	}
	return simulate.NewTrace(seconds...)
}

// rate is the records per second that one analyzer does, as far as is known.
func (t *tuner) rate() (perSecond float64, measured bool) {
	round := func(x float64) float64 { return max(0.001, math.Round(min(x, 1e6)*1e3)/1e3) } // the model takes six digits
	if d := t.a.scaler.Stats().LastDecision; d != nil && d.Explanation != nil {
		for _, e := range d.Explanation.Estimates {
			if e.Name == "rate_per_second" && e.Value > 0 {
				return round(e.Value), true
			}
		}
	}
	if p := t.a.pool.Stats(); p.ServiceSeconds > 0 && p.Records > 0 {
		return round(float64(p.Records) / p.ServiceSeconds * float64(t.a.o.Config.Analyzer.Slots)), true
	}
	return 100, false
}

// replay plays a trace through a configuration.
func replay(trace *simulate.Trace, c config.Config, rate float64, slo time.Duration) (*api.PreviewSide, error) {
	from := c.PolicyOptions()
	from.SLO.SLO, from.SLO.CheckInterval = league.WholeSeconds(from.SLO.SLO), league.WholeSeconds(c.Autoscale.CheckInterval)
	policy, err := policies.New(c.Policy.Name, from)
	if err != nil {
		return nil, err
	}
	side := &api.PreviewSide{Policy: c.Policy.Name, Line: [][2]int{}}
	o := simulate.Options{
		Rate: rate, MinSize: c.Autoscale.MinSize, MaxSize: c.Autoscale.MaxSize, SLO: slo, CheckInterval: league.WholeSeconds(c.Autoscale.CheckInterval),
		Timeline: func(r simulate.Row) {
			if n := len(side.Line); n == 0 || side.Line[n-1][1] != r.Size {
				side.Line = append(side.Line, [2]int{r.Second, r.Size})
			}
			side.MaxSize = max(side.MaxSize, r.Size)
		},
	}
	res, err := simulate.Run(trace, autoscale.WithFloor(policy), o) // as the controller has it
	if err != nil {
		return nil, err
	}
	side.Cost, side.Late, side.WaitP99 = float64(res.Cost)/3600, res.SLOViolations, float64(res.WaitP99)
	side.ScaleUps, side.ScaleDowns = res.ScaleUps, res.ScaleDowns
	return side, nil
}
