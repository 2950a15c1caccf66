package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/autoscale/simulate"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/traces"
)

// simulateFlags are all flags of simulate. They describe a pool that does not exist, so none of them comes from a
// configuration file or the environment.
type simulateFlags struct {
	trace, timeFormat  string
	timeline, svg, png string
	policies, set      []string
	preset, variant    string
	json               bool

	rate, scale            float64
	startup, drain, slo    span
	minSize, maxSize       int
	initialSize            int
	checkInterval          span
	upThreshold, upCount   int
	downThreshold, downOne int
	cooldown               span
}

// span is a flag for a duration, `10s` or plain seconds.
type span time.Duration

func (s *span) String() string { return time.Duration(*s).String() }
func (s *span) Type() string   { return "duration" }
func (s *span) Set(text string) error {
	d, err := config.ParseDuration(text)
	*s = span(d)
	return err
}

// ownPolicies are those of package autoscale; the rivals come after them.
var ownPolicies = []string{"slo", "threshold"}

func simulateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "simulate", Short: "Replay a trace through scaling policies: what would each have done, and what would it have cost?", Args: noArgs}
	cmd.Long = cmd.Short + `

The trace is a CSV file with the header second,records, a log file with a time on each line, or a folder of recorded
history, YYYY-MM-DD.csv; files may be packed with gzip. Nothing is started and no server is asked. The same input gives
the same output, on every machine. The last row, bound, is what nobody can beat: it knows the future.

Policies: ` + strings.Join(policyNames(), ", ") + `; or all.
` + rivalSettings()
	cmd.Example = `  sluice simulate --trace trace.csv --rate 12.5
  sluice simulate --trace trace.csv.gz --rate 12.5 --startup 5s --max-size 40 --slo 30s --policy slo,threshold,hpa
  sluice simulate --trace trace.csv --rate 12.5 --policy hpa --set hpa.target=100 --timeline hpa.csv
  sluice simulate --trace access.log.gz --rate 12.5
  sluice simulate --trace app.log --time-format '%d.%m.%Y %H:%M:%S' --rate 12.5
  sluice simulate --trace trace.csv --rate 12.5 --preset bursty --policy threshold --json`
	d := autoscale.DefaultOptions()
	f := newSimulateFlags()
	fl := cmd.Flags()
	fl.SortFlags = false
	addTraceFlags(fl, &f.trace, &f.timeFormat)
	fl.StringSliceVar(&f.policies, "policy", ownPolicies, "`names` of the policies to compare; see above")
	f.addWorkerFlags(fl)
	fl.StringVar(&f.preset, "preset", "", "`name`d values for the eight settings of threshold, bounds and interval among them: "+
		strings.Join(autoscale.PresetNames(), ", "))
	fl.IntVar(&f.upThreshold, "scale-up-threshold", d.ScaleUpThreshold, "threshold: waiting records at which the pool grows")
	fl.IntVar(&f.downThreshold, "scale-down-threshold", d.ScaleDownThreshold, "threshold: waiting records at which it shrinks")
	fl.Var(&f.cooldown, "cooldown", "threshold: time without another action after an action")
	fl.IntVar(&f.upCount, "scale-up-count", d.ScaleUpCount, "threshold: analyzers added by one action")
	fl.IntVar(&f.downOne, "scale-down-count", d.ScaleDownCount, "threshold: analyzers removed by one action")
	fl.StringArrayVar(&f.set, "set", nil, "a setting of another policy, as `policy.key=value`; may be repeated")
	fl.StringVar(&f.variant, "variant", "", "a `name`d way in which analyzers or readings fall short: "+strings.Join(variantNames(), ", "))
	fl.BoolVar(&f.json, "json", false, "print JSON instead of a table")
	fl.StringVar(&f.timeline, "timeline", "", "write one row per check to a `file`: .jsonl, .json (both JSON lines) or .csv")
	fl.StringVar(&f.svg, "svg", "", "draw arrivals, oldest wait and pool size over time into a `file`")
	fl.StringVar(&f.png, "png", "", "the same as PNG, 1200 by 800 pixels, higher for more than four policies")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := f.simulation(cmd)
		if err != nil {
			return err
		}
		return s.run(cmd)
	}
	return cmd
}

func newSimulateFlags() *simulateFlags {
	d := autoscale.DefaultOptions()
	return &simulateFlags{checkInterval: span(d.CheckInterval), cooldown: span(d.Cooldown), slo: span(30 * time.Second)}
}

// addWorkerFlags adds what describes the workers, the pool and the goal.
func (f *simulateFlags) addWorkerFlags(fl *pflag.FlagSet) {
	d := autoscale.DefaultOptions()
	fl.Float64Var(&f.rate, "rate", 0, "records a second that one busy analyzer completes; has to be given")
	fl.Var(&f.startup, "startup", "from the decision until an analyzer takes work, in whole seconds")
	fl.Var(&f.drain, "drain", "from the decision until a stopping analyzer is gone, in whole seconds")
	fl.IntVar(&f.minSize, "min-size", d.MinSize, "fewest analyzers")
	fl.IntVar(&f.maxSize, "max-size", d.MaxSize, "most analyzers")
	fl.IntVar(&f.initialSize, "initial-size", 0, "analyzers ready at second 0 (default min-size)")
	fl.Var(&f.checkInterval, "check-interval", "time between two checks, in whole seconds")
	fl.Var(&f.slo, "slo", "the longest wait that a record may have")
	fl.Float64Var(&f.scale, "scale", 1, "factor on the arrivals")
}

func policyNames() []string { return append(slices.Clone(ownPolicies), rivals.Names()...) }

// rivalSettings lists what --set knows.
func rivalSettings() string {
	var b strings.Builder
	b.WriteString("\nSettings for --set:\n")
	fmt.Fprintf(&b, "  slo       %s\n", strings.Join(sloSettings, ", "))
	for _, name := range rivals.Names() {
		fmt.Fprintf(&b, "  %-8s  %s\n", name, strings.Join(rivals.SettingNames(name), ", "))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func variantNames() []string {
	var names []string
	for _, v := range simulate.NamedVariants() {
		names = append(names, dashed(v.Name))
	}
	return names
}

func dashed(name string) string { return strings.ReplaceAll(name, " ", "-") }

// flagNames turns what the rooms call a setting into what the command line calls it.
var flagNames = strings.NewReplacer(
	"simulate: read trace: ", "", "simulate: ", "", "autoscale: ", "", "rivals: ", "",
	"ScaleUpThreshold", "--scale-up-threshold", "ScaleDownThreshold", "--scale-down-threshold",
	"ScaleUpCount", "--scale-up-count", "ScaleDownCount", "--scale-down-count", "Cooldown", "--cooldown",
	"CheckInterval", "--check-interval", "MinSize", "--min-size", "MaxSize", "--max-size", "InitialSize", "--initial-size",
	"SLO is", "--slo is", "Rate is", "--rate is", "Startup is", "--startup is", "Drain is", "--drain is", "Scale is", "--scale is",
	"LateShare", "--set slo.late_share", "MaxReversals", "--set slo.max_reversals",
)

func inFlagNames(err error) error { return errors.New(flagNames.Replace(err.Error())) }

// simulation is the flags, read and checked: everything is known to fit before anything is written.
type simulation struct {
	flags    *simulateFlags
	trace    *traces.Trace
	options  simulate.Options
	names    []string
	policies []autoscale.Policy // fresh ones, in the order of names
}

// simulation reads the flags and the trace; all mistakes are told at once.
func (f *simulateFlags) simulation(cmd *cobra.Command) (*simulation, error) {
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	note(f.applyPreset(cmd.Flags().Changed))
	options, err := f.options(cmd.Flags().Changed)
	note(err)
	s := &simulation{flags: f, options: options}
	note(s.choosePolicies())
	if f.timeline != "" && timelineFormat(f.timeline) == "" {
		note(fmt.Errorf("--timeline is %q, want a name that ends with .jsonl, .json or .csv", f.timeline))
	}
	for _, file := range []string{f.timeline, f.svg, f.png} {
		if file != "" && sameFile(file, f.trace) {
			note(fmt.Errorf("%s is the trace itself, want another file to write to", file))
		}
	}
	variant, err := f.findVariant()
	note(err)
	if len(errs) > 0 {
		// Without reading a trace that may be long, or come from a pipe.
		return nil, usageError{nil, inFlagNames(errors.Join(errs...))}
	}
	if s.trace, err = readTrace(cmd, f.trace, f.timeFormat); err != nil {
		return nil, err
	}
	s.options = variant(s.options, s.trace.Seconds())
	if err := s.options.Validate(); err != nil {
		return nil, usageError{nil, inFlagNames(err)}
	}
	return s, nil
}

// options checks the trace's name, the workers, the pool and the goal.
func (f *simulateFlags) options(changed func(string) bool) (simulate.Options, error) {
	errs := []error{checkTrace(f.trace), checkTimeFormat(f.timeFormat)}
	note := func(err error) { errs = append(errs, err) }
	if !changed("rate") {
		note(errors.New("--rate is missing, want the records a second that one busy analyzer completes, such as --rate 12.5"))
		f.rate = 1 // for the checks below
	}
	if f.scale == 0 {
		note(errors.New("--scale is 0, want more than 0"))
		f.scale = 1
	}
	if f.checkInterval == 0 {
		note(errors.New("--check-interval is 0s, want whole seconds, at least 1s"))
		f.checkInterval = span(time.Second)
	}
	if !changed("initial-size") {
		f.initialSize = f.minSize
	} else if f.initialSize == 0 && f.minSize > 0 {
		note(fmt.Errorf("--initial-size is 0, want --min-size to --max-size (%d to %d)", f.minSize, f.maxSize))
	}
	o := simulate.Options{
		Rate: f.rate, Startup: time.Duration(f.startup), Drain: time.Duration(f.drain),
		MinSize: f.minSize, MaxSize: f.maxSize, InitialSize: f.initialSize,
		CheckInterval: time.Duration(f.checkInterval), SLO: time.Duration(f.slo), Scale: f.scale,
	}
	note(o.Validate())
	return o, errors.Join(errs...)
}

// applyPreset gives the eight settings that were not given themselves the values of the preset.
func (f *simulateFlags) applyPreset(changed func(string) bool) error {
	if f.preset == "" {
		return nil
	}
	o, err := autoscale.Preset(f.preset)
	if err != nil {
		return fmt.Errorf("--preset: %w", err)
	}
	for _, s := range []struct {
		flag  string
		apply func()
	}{
		{"min-size", func() { f.minSize = o.MinSize }},
		{"max-size", func() { f.maxSize = o.MaxSize }},
		{"scale-up-threshold", func() { f.upThreshold = o.ScaleUpThreshold }},
		{"scale-down-threshold", func() { f.downThreshold = o.ScaleDownThreshold }},
		{"check-interval", func() { f.checkInterval = span(o.CheckInterval) }},
		{"cooldown", func() { f.cooldown = span(o.Cooldown) }},
		{"scale-up-count", func() { f.upCount = o.ScaleUpCount }},
		{"scale-down-count", func() { f.downOne = o.ScaleDownCount }},
	} {
		if !changed(s.flag) {
			s.apply()
		}
	}
	return nil
}

func (f *simulateFlags) findVariant() (func(simulate.Options, int) simulate.Options, error) {
	if f.variant == "" {
		return func(o simulate.Options, _ int) simulate.Options { return o }, nil
	}
	for _, v := range simulate.NamedVariants() {
		if dashed(v.Name) == dashed(f.variant) {
			return v.Apply, nil
		}
	}
	return nil, fmt.Errorf("unknown variant %q (variants: %s)%s", f.variant, strings.Join(variantNames(), ", "),
		config.DidYouMean(f.variant, variantNames()))
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// run plays the trace, and prints.
func (s *simulation) run(cmd *cobra.Command) error {
	var timeline *timeline
	if s.flags.timeline != "" {
		var err error
		if timeline, err = createTimeline(s.flags.timeline); err != nil {
			return fmt.Errorf("--timeline: %w", err)
		}
	}
	var plots []*plot
	if s.flags.svg != "" || s.flags.png != "" {
		for range s.names {
			plots = append(plots, newPlot(s.trace.Seconds(), s.options.CheckInterval))
		}
	}
	o, err := s.play(cmd.Context(), newProgress(cmd.ErrOrStderr()), timeline, plots)
	if err != nil {
		return err
	}
	if timeline != nil {
		if err := timeline.Close(); err != nil {
			return fmt.Errorf("--timeline: %w", err)
		}
	}
	if plots != nil {
		if err := writePictures(s.picture(plots, o), s.flags.svg, s.flags.png); err != nil {
			return err
		}
	}
	if s.flags.json {
		if s.trace.Unknown > 0 {
			fmt.Fprint(cmd.ErrOrStderr(), wrapped(s.trace.Summary()))
		}
		return printJSON(cmd.OutOrStdout(), o.summary())
	}
	_, err = io.WriteString(cmd.OutOrStdout(), s.table(o))
	return err
}

// outcome is what came of a simulation.
type outcome struct {
	results []simulate.Result // in the order that the policies were named
	bound   simulate.BoundResult
}

// play runs policies and bound at the same time. With a timeline the policies take turns, so that its rows are in order
// without being kept in memory.
func (s *simulation) play(ctx context.Context, p *progress, timeline *timeline, plots []*plot) (outcome, error) {
	o := outcome{results: make([]simulate.Result, len(s.names))}
	seconds := make([]atomic.Int64, len(s.names)) // how far each one is
	ended := make(chan error, len(s.names)+1)     // has room for all: nobody is held up when an interrupt ends the waiting
	one := func(i int) {
		options := s.options
		options.Timeline = func(r simulate.Row) {
			seconds[i].Store(int64(r.Second))
			if timeline != nil {
				timeline.write(s.names[i], r)
			}
			if plots != nil {
				plots[i].add(r)
			}
		}
		var err error
		o.results[i], err = simulate.Run(s.trace.Trace, autoscale.WithFloor(s.policies[i]), options) // as the controller has it
		ended <- err
	}
	go func() {
		var err error
		o.bound, err = simulate.Bound(s.trace.Trace, s.options)
		ended <- err
	}()
	if timeline != nil {
		go func() {
			for i := range s.names {
				one(i)
			}
		}()
	} else {
		for i := range s.names {
			go one(i)
		}
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer p.clear()
	var errs []error
	for left := len(s.names) + 1; left > 0; {
		select {
		case err := <-ended:
			left--
			if err != nil {
				errs = append(errs, err)
			}
		case <-tick.C:
			if p.terminal {
				tick.Reset(200 * time.Millisecond)
				p.show(s.progressLine(seconds))
			}
		case <-ctx.Done():
			// A run can't be interrupted; the process ends right after this, and the runs with it.
			return outcome{}, errInterrupted
		}
	}
	if err := errors.Join(errs...); err != nil {
		return outcome{}, inFlagNames(err)
	}
	return o, nil
}

// progressLine shows how far all policies are together, and whom it waits for.
func (s *simulation) progressLine(seconds []atomic.Int64) string {
	whole := int64(max(1, s.trace.Seconds()-int(s.options.CheckInterval/time.Second)))
	share := 0.0
	var left []string
	for i, name := range s.names {
		part := min(1, float64(seconds[i].Load())/float64(whole))
		if part < 1 {
			left = append(left, name)
		}
		share += part / float64(len(s.names))
	}
	return progressBar("simulating", share, strings.Join(append(left, "bound"), ", "))
}
