package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/simulate"
	"github.com/sluicehq/sluice/autoscale/tune"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/traces"
)

// tuneFlags are those of simulate that describe trace, workers and goal, and what is looked for.
type tuneFlags struct {
	*simulateFlags
	maxLate, heldOut percent
}

// percent is a flag for a share, `0.1` or `0.1%` of a hundred.
type percent struct {
	share float64
	auto  bool
}

func (p *percent) String() string {
	if p.auto {
		return "auto"
	}
	return strconv.FormatFloat(100*p.share, 'f', -1, 64)
}
func (p *percent) Type() string { return "percent" }
func (p *percent) Set(text string) error {
	number, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "%")), 64)
	if err != nil || !(number >= 0 && number < 100) {
		return errors.New("want a percentage from 0 to less than 100, such as 0.1")
	}
	*p = percent{share: number / 100}
	return nil
}

func tuneCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "tune", Short: "Find good settings of a policy for a trace: how many late records for how much?", Args: noArgs}
	cmd.Long = cmd.Short + `

It replays the trace with many settings, shows how cost and late records trade for each other, marks the cheapest settings
that are in time, and prints what to paste into the configuration file. Settings are found on the first part of the trace
and judged on the rest, if it is long enough for both. The same input gives the same output. Ctrl-C prints the best so far.

Policies: ` + strings.Join(tune.Policies(), ", ") + `; or all. There is nothing to tune for slo; it is shown beside them.
--trace reads what simulate reads.`
	cmd.Example = `  sluice tune --trace trace.csv.gz --rate 12.5 --max-size 40 --slo 30s
  sluice tune --trace trace.csv --rate 12.5 --policy threshold,hpa,static --max-late 1 --svg curve.svg
  sluice tune --trace access.log.gz --rate 12.5 --check-interval 5s --json`
	f := &tuneFlags{simulateFlags: newSimulateFlags(), maxLate: percent{share: 0.001}, heldOut: percent{auto: true}}
	fl := cmd.Flags()
	fl.SortFlags = false
	addTraceFlags(fl, &f.trace, &f.timeFormat)
	fl.StringSliceVar(&f.policies, "policy", []string{"threshold"}, "`names` of the policies to tune; see above")
	f.addWorkerFlags(fl)
	fl.Var(&f.maxLate, "max-late", "most late records that may be recommended")
	fl.Var(&f.heldOut, "held-out", "how much of the trace, at its end, only judges; 0 for nothing, auto is a third where that is an hour and 10,000 records")
	fl.BoolVar(&f.json, "json", false, "print JSON instead of tables")
	fl.StringVar(&f.svg, "svg", "", "draw the curve of cost and late records into a `file`")
	fl.StringVar(&f.png, "png", "", "the same as PNG, 1200 by 800 pixels")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		t, err := f.tuning(cmd)
		if err != nil {
			return err
		}
		return t.run(cmd)
	}
	return cmd
}

// tuning is the flags, read and checked, and later what came of them.
type tuning struct {
	flags   *tuneFlags
	trace   *traces.Trace
	names   []string
	options tune.Options
	foundOn int // seconds

	results     []tune.Result
	slo         *tune.Point // nil where there was no time
	bound       *simulate.BoundResult
	interrupted bool
}

// tuning reads the flags and the trace; all mistakes are told at once.
func (f *tuneFlags) tuning(cmd *cobra.Command) (*tuning, error) {
	options, err := f.options(cmd.Flags().Changed)
	errs := []error{err}
	t := &tuning{flags: f, options: tune.Options{Simulate: options, MaxLate: orNone(f.maxLate), HeldOut: orNone(f.heldOut)}}
	for _, name := range f.policies {
		t.names = append(t.names, strings.TrimSpace(name))
	}
	if slices.Equal(t.names, []string{"all"}) {
		t.names = tune.Policies()
	}
	if len(t.names) == 0 {
		errs = append(errs, fmt.Errorf("--policy is empty, want some of %s", strings.Join(tune.Policies(), ", ")))
	}
	for i, name := range t.names {
		switch {
		case slices.Contains(t.names[:i], name):
			errs = append(errs, fmt.Errorf("--policy names %q twice", name))
		case name == "slo":
			errs = append(errs, errors.New("--policy names slo, which learns and has nothing to tune; it is shown beside the others"))
		case !slices.Contains(tune.Policies(), name):
			errs = append(errs, unknownPolicy(name, tune.Policies()))
		}
	}
	for _, file := range []string{f.svg, f.png} {
		if file != "" && sameFile(file, f.trace) {
			errs = append(errs, fmt.Errorf("%s is the trace itself, want another file to write to", file))
		}
	}
	if f.heldOut.share > 0.9 {
		errs = append(errs, fmt.Errorf("--held-out is %v, want at most 90", &f.heldOut))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usageError{nil, inFlagNames(err)}
	}
	if t.trace, err = readTrace(cmd, f.trace, f.timeFormat); err != nil {
		return nil, err
	}
	if t.trace.Records() == 0 {
		return nil, usageError{nil, fmt.Errorf("--trace %s has no records, want some to tune for", f.trace)}
	}
	t.foundOn, err = t.options.FoundOn(t.trace.Trace)
	return t, err
}

// orNone turns 0 into what the options call none.
func orNone(p percent) float64 {
	switch {
	case p.auto:
		return 0
	case p.share == 0:
		return -1
	}
	return p.share
}

// run searches, and prints.
func (t *tuning) run(cmd *cobra.Command) error {
	if err := t.search(cmd.Context(), newProgress(cmd.ErrOrStderr())); err != nil {
		return err
	}
	if t.interrupted {
		fmt.Fprintln(cmd.ErrOrStderr(), "sluice: interrupted; this is the best so far")
	}
	if t.flags.svg != "" || t.flags.png != "" {
		if err := writePictures(t.picture(), t.flags.svg, t.flags.png); err != nil {
			return err
		}
	}
	if t.flags.json {
		return printJSON(cmd.OutOrStdout(), t.summary())
	}
	_, err := io.WriteString(cmd.OutOrStdout(), t.report())
	return err
}

// search tunes one policy after the other, while bound and slo are found out beside them.
func (t *tuning) search(ctx context.Context, p *progress) error {
	defer p.clear()
	type beside struct {
		slo   tune.Point
		bound simulate.BoundResult
		err   error
	}
	ended := make(chan beside, 1) // has room: nobody waits for it after an interrupt
	go func() {
		var b beside
		b.slo, b.err = tune.Replay(ctx, t.trace.Trace, t.newSLO, t.options)
		if first, err := t.trace.First(t.foundOn); b.err == nil && err == nil {
			b.bound, b.err = simulate.Bound(first, t.options.Simulate)
		}
		ended <- b
	}()
	last := time.Now()
	for _, name := range t.names {
		options := t.options
		options.Progress = func(done, total int) {
			if now := time.Now(); p.terminal && now.Sub(last) > 200*time.Millisecond {
				last = now
				p.show(progressBar("tuning "+name, float64(done)/float64(total), fmt.Sprintf("%d of %d", done, total)))
			}
		}
		r, err := tune.Search(ctx, t.trace.Trace, name, options)
		if ctx.Err() != nil {
			t.interrupted = true
		}
		switch {
		case err == nil:
			t.results = append(t.results, r)
		case t.interrupted && len(t.results) == 0:
			return errInterrupted
		case t.interrupted:
		default:
			return inFlagNames(err)
		}
	}
	select {
	case b := <-ended:
		if b.err == nil {
			t.slo, t.bound = &b.slo, &b.bound
		} else if ctx.Err() == nil {
			return inFlagNames(b.err)
		}
	case <-ctx.Done():
		t.interrupted = true
	}
	return nil
}

func (t *tuning) newSLO() (autoscale.Policy, error) {
	return autoscale.NewSLO(autoscale.SLOOptions{SLO: t.options.Simulate.SLO, CheckInterval: t.options.Simulate.CheckInterval})
}

// heldOut is how many seconds only judge.
func (t *tuning) heldOut() int { return t.trace.Seconds() - t.foundOn }

// yaml is the part of a configuration file that stands for settings.
func (t *tuning) yaml(policy string, p tune.Point) string {
	o := t.options.Simulate
	var b strings.Builder
	fmt.Fprintf(&b, "policy: %s\nmin_size: %d\nmax_size: %d\ncheck_interval: %s\n",
		policy, o.MinSize, o.MaxSize, config.FormatDuration(o.CheckInterval))
	if policy == "threshold" {
		for _, key := range settingKeys(policy, p) {
			fmt.Fprintf(&b, "%s: %s\n", key, p.Settings[key])
		}
		return b.String()
	}
	var pairs []string
	for _, key := range settingKeys(policy, p) {
		pairs = append(pairs, key+"="+p.Settings[key])
	}
	fmt.Fprintf(&b, "policy_settings: %s\n", strings.Join(pairs, ","))
	return b.String()
}

// settingKeys are the settings of a point in the order that people know them in.
func settingKeys(policy string, p tune.Point) []string {
	known := settingNames(policy)
	if policy == "threshold" {
		known = []string{"scale_up_threshold", "scale_down_threshold", "scale_up_count", "scale_down_count", "cooldown"}
	}
	return slices.DeleteFunc(slices.Clone(known), func(key string) bool { _, has := p.Settings[key]; return !has })
}

// tuneSummary is what tune --json prints.
type tuneSummary struct {
	MaxLate        float64        `json:"max_late"`         // share
	FoundOnSeconds int            `json:"found_on_seconds"` // of the trace, from its beginning
	HeldOutSeconds int            `json:"held_out_seconds"` // the rest
	Policies       []tunedSummary `json:"policies"`
	SLO            *pointSummary  `json:"slo"`
	Bound          *boundSummary  `json:"bound"` // on the part that settings were found on
	Interrupted    bool           `json:"interrupted"`
}

type tunedSummary struct {
	Policy      string        `json:"policy"`
	Tried       int           `json:"tried"`
	Recommended *tune.Point   `json:"recommended"`
	YAML        string        `json:"yaml"` // empty without a recommendation
	PassedOver  int           `json:"passed_over"`
	Defaults    *pointSummary `json:"defaults"`
	Curve       []tune.Point  `json:"curve"`
}

// pointSummary is a policy without settings.
type pointSummary struct {
	Found   tune.Score  `json:"found_on"`
	HeldOut *tune.Score `json:"held_out"`
}

func withoutSettings(p *tune.Point) *pointSummary {
	if p == nil {
		return nil
	}
	return &pointSummary{p.Found, p.HeldOut}
}

func (t *tuning) summary() tuneSummary {
	s := tuneSummary{
		MaxLate: t.flags.maxLate.share, FoundOnSeconds: t.foundOn, HeldOutSeconds: t.heldOut(), Policies: []tunedSummary{},
		SLO: withoutSettings(t.slo), Interrupted: t.interrupted,
	}
	for _, r := range t.results {
		one := tunedSummary{
			Policy: r.Policy, Tried: len(r.Tried), Recommended: r.Recommended, PassedOver: r.Passed,
			Defaults: withoutSettings(r.Defaults), Curve: r.Curve,
		}
		if r.Recommended != nil {
			one.YAML = t.yaml(r.Policy, *r.Recommended)
		}
		s.Policies = append(s.Policies, one)
	}
	if t.bound != nil {
		s.Bound = &boundSummary{t.bound.Cost, t.bound.Ratio}
	}
	return s
}

// worth is a cost beside another one, in words.
func worth(ratio, other float64) string {
	switch more := math.Round(1000*(ratio/other-1)) / 10; {
	case more > 0:
		return fmt.Sprintf("%g %% more than", more)
	case more < 0:
		return fmt.Sprintf("%g %% less than", -more)
	}
	return "as much as"
}
