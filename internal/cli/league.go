package cli

import (
	"context"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/autoscale/league"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/words"
)

func leagueCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "league", Short: "Compare the policy in charge with others, on the traffic of this process", Args: noArgs}
	cmd.Long = cmd.Short + `.

While the pool works, other policies play along: each has a simulated pool that gets the records which really arrive, with
analyzers as fast as the real ones. The real pool is not touched. The setting league says who plays. When settings are
changed while it runs, the scores begin anew.`
	watch := cmd.Flags().BoolP("watch", "w", false, "show it again and again until interrupted")
	interval := cmd.Flags().Duration("interval", 2*time.Second, "time between two looks with --watch")
	return settings(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		cl, err := client(c)
		if err != nil {
			return err
		}
		show := func() error { return showLeague(cmd.Context(), cmd.OutOrStdout(), cl, c.JSON) }
		if !*watch {
			return show()
		}
		if *interval <= 0 {
			return usageError{nil, fmt.Errorf("--interval is %v, want more than 0", *interval)}
		}
		return watchLoop(cmd, *interval, show)
	}, config.Client, config.Ask)
}

func showLeague(ctx context.Context, w io.Writer, cl *server, asJSON bool) error {
	var st league.Standing
	if err := cl.Call(ctx, "GET", "/v1/league", nil, &st); err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, st)
	}
	return printLeague(w, st)
}

func printLeague(w io.Writer, st league.Standing) error {
	if st.Since == nil {
		_, err := fmt.Fprintf(w, "nothing to compare yet: waiting for %s\n", st.WaitingFor)
		return err
	}
	fmt.Fprintf(w, "since %s, SLO %s; an analyzer does %s records/s\n",
		st.Since.Local().Format(dateTimeZone), lasting(st.SLO), words.Number(st.Rate))
	if st.SinceWhy != "" {
		fmt.Fprint(w, wrapped("begun anew then, "+st.SinceWhy))
	}
	if st.LastHour.Seconds < st.Total.Seconds {
		printSpan(w, "last hour", st.LastHour, st, func(r league.Row) league.Score { return r.LastHour }, st.Real.LastHour)
	}
	printSpan(w, "all the time", st.Total, st, func(r league.Row) league.Score { return r.Total }, st.Real.Total)
	fmt.Fprintln(w)
	for _, sentence := range inWords(st) {
		fmt.Fprintln(w, sentence)
	}
	return nil
}

// realPool is the name of the row that is measured; all others are simulated.
const realPool = "  measured"

// printSpan is the table of one span.
func printSpan(w io.Writer, title string, span league.Span, st league.Standing, of func(league.Row) league.Score, real league.RealScore) {
	fmt.Fprintf(w, "\n%s, %s: %s records\n", title, lasting(float64(span.Seconds)), words.Thousands(span.Records))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	longest := len(realPool)
	for _, r := range st.Policies {
		longest = max(longest, len("  "+r.Policy))
	}
	left := func(name string) string { return fmt.Sprintf("%-*s", longest, name) }
	fmt.Fprintln(t, left("  policy")+"\tsize\tworker-hours\tratio\tlate %\twait p99\treversals\t")
	for _, r := range st.Policies {
		name, size, s := "  "+r.Policy, fmt.Sprint(r.Size), of(r)
		if r.InCharge {
			name = "* " + r.Policy
		}
		if r.DroppedOut != "" {
			size = "out"
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%.3f\t%.3f\t%ds\t%d\t\n", left(name), size, s.WorkerHours, s.CostRatio, 100*s.LateShare, s.WaitP99, s.Reversals)
	}
	late := "unknown"
	if real.LateShare != nil {
		late = words.Fixed(100**real.LateShare, 3)
	}
	fmt.Fprintf(t, "%s\t%d\t%.2f\t%.3f\t%s\t-\t-\t\n", left(realPool), st.Real.Size, real.WorkerHours, real.CostRatio, late)
	t.Flush()
}

// inWords says what the numbers mean, over all the time.
func inWords(st league.Standing) (sentences []string) {
	var own *league.Row
	for i := range st.Policies {
		if r := &st.Policies[i]; r.InCharge {
			own = r
		}
	}
	if own == nil || own.DroppedOut != "" || st.Total.Records == 0 {
		own = nil
	}
	for _, r := range st.Policies {
		switch {
		case r.DroppedOut != "":
			sentences = append(sentences, fmt.Sprintf("%s plays no more: %s.", r.Policy, r.DroppedOut))
		case own != nil && !r.InCharge:
			sentences = append(sentences, fmt.Sprintf("%s would have cost %s and made %s.",
				r.Policy, comparedCost(r.Total.WorkerHours, own.Total.WorkerHours), comparedLate(r.Total.LateShare, own.Total.LateShare)))
		}
	}
	if own != nil {
		sentences = append(sentences, fmt.Sprintf("* %s is in charge, by the model; its real pool cost %s.",
			own.Policy, comparedCost(st.Real.Total.WorkerHours, own.Total.WorkerHours)))
		late := "how many of its records were late is unknown"
		if s := st.Real.Total.LateShare; s != nil {
			late = share(*s) + " of its records were late"
		}
		sentences = append(sentences, fmt.Sprintf("measured is the real pool: %s.\nAll other rows are simulated.", late))
		if own.Total.CostRatio < 1 {
			sentences = append(sentences, "A ratio is worker-hours over what the records need; it is below 1 while much still waits.")
		}
	}
	return sentences
}

// lasting is a time in words that are short also for months.
func lasting(seconds float64) string {
	const day = 24 * 60 * 60
	if seconds >= 2*day {
		return fmt.Sprintf("%d days %d hours", int(seconds)/day, int(seconds)%day/3600)
	}
	return words.Seconds(seconds)
}

// comparedCost says what a cost is beside another one.
func comparedCost(cost, own float64) string {
	times := cost / own
	percent := math.Round(100 * math.Abs(times-1))
	switch {
	case own == 0 && cost == 0, percent == 0:
		return "as much"
	case own == 0:
		return "more"
	case times >= 1.5:
		return fmt.Sprintf("%.1f times as much", times)
	case times > 1:
		return fmt.Sprintf("%.0f %% more", percent)
	}
	return fmt.Sprintf("%.0f %% less", percent)
}

// comparedLate says which share was late, beside another one.
func comparedLate(late, own float64) string {
	text := share(late) + " late"
	if own > 0 {
		text += " instead of " + share(own)
	}
	return text
}

func share(late float64) string {
	switch {
	case late == 0:
		return "none"
	case late < 0.0005:
		return "less than 0.1 %"
	}
	return fmt.Sprintf("%.1f %%", 100*late)
}
