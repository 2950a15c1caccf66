package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/internal/words"
)

func decisionsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "decisions", Short: "Show what the autoscaler decided at each check, and why", Args: noArgs}
	cmd.Long = cmd.Short + `.

With --diagnose it answers from the ledger: why is it not scaling up, why is it scaling up too much, why is it oscillating;
with one change to try: the one that most checks ask for. Where ten minutes of arrivals are recorded, it is what
sluice tune finds for them.

With --explain it shows with each decision what the autoscaler saw, what the policy believed, and what would have to change
for another outcome; without it, that of the newest.`
	diagnose := cmd.Flags().Bool("diagnose", false, "read the whole ledger and say what is wrong with the settings")
	explain := cmd.Flags().Bool("explain", false, "say with each decision what it was made on")
	limit := cmd.Flags().IntP("limit", "n", 30, "how many decisions to show, the newest last; 0 shows all")
	actions := cmd.Flags().Bool("actions", false, "only those that changed the size")
	return settings(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		if *limit < 0 {
			return usageError{nil, fmt.Errorf("--limit is %d, want at least 0", *limit)}
		}
		cl, err := client(c)
		if err != nil {
			return err
		}
		path := "/v1/decisions"
		if *limit > 0 && !*diagnose && !*actions {
			path += "?limit=" + strconv.Itoa(*limit)
		}
		var answer api.Decisions
		if err := cl.Call(cmd.Context(), "GET", path, nil, &answer); err != nil {
			return err
		}
		if *diagnose {
			if err := queueProblem(cmd, cl, c.JSON); err != nil {
				return err
			}
			findings := autoscale.Diagnose(answer.Decisions, answer.Settings.Options())
			tuned(cmd.Context(), cl, findings, answer.Settings)
			return printFindings(cmd.OutOrStdout(), findings, c.JSON)
		}
		rows := answer.Decisions
		if *actions {
			rows = onlyActions(rows)
		}
		if *limit > 0 && len(rows) > *limit {
			rows = rows[len(rows)-*limit:]
		}
		if c.JSON {
			return printJSON(cmd.OutOrStdout(), api.Decisions{Decisions: rows, Settings: answer.Settings})
		}
		if *actions && len(rows) == 0 && len(answer.Decisions) > 0 {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "none of the last %s decisions changed the size\n", words.Thousands(len(answer.Decisions)))
			return err
		}
		if *explain {
			var live api.Live
			if err := cl.Call(cmd.Context(), "GET", "/v1/stats", nil, &live); err != nil {
				return err
			}
			for _, line := range verdictLines(live.Verdict) {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			fmt.Fprintln(cmd.OutOrStdout())
		}
		return printDecisions(cmd.OutOrStdout(), rows, *explain)
	}, config.Client, config.Ask)
}

// queueProblem says before a diagnosis that the queue takes nothing: then the size is not what is wrong.
func queueProblem(cmd *cobra.Command, cl *server, asJSON bool) error {
	var st api.Stats
	if err := cl.Call(cmd.Context(), "GET", "/v1/stats", nil, &st); err != nil {
		return err
	}
	if asJSON || st.QueueStats == nil || st.Problem == "" {
		return nil
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "The queue takes nothing and hands nothing out at present: %s.\nNo size of the pool changes that. What follows is about the time before.\n\n", st.Problem)
	return err
}

func onlyActions(rows []autoscale.Decision) []autoscale.Decision {
	kept := []autoscale.Decision{}
	for _, d := range rows {
		if d.Action != autoscale.ActionHold {
			kept = append(kept, d)
		}
	}
	return kept
}

func printDecisions(w io.Writer, rows []autoscale.Decision, explain bool) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "no decisions yet")
		return err
	}
	var details []string
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "TIME (%s)\tDEPTH\tSIZE\tACTION\tREASON\n", zone(rows[0].Time))
	for i, d := range rows {
		depth := "unknown"
		if d.DepthKnown {
			depth = words.Thousands(d.Depth)
		}
		size := strconv.Itoa(d.Size)
		if d.NewSize != d.Size {
			size += " -> " + strconv.Itoa(d.NewSize)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", d.Time.Local().Format(time.TimeOnly), depth, size, d.Action, d.Reason+clamped(d))
		details = explained(d)
		if explain {
			for _, line := range details {
				fmt.Fprintf(t, "\t\t\t\t  %s\n", line)
			}
		} else if i == len(rows)-1 && len(details) > 0 {
			t.Flush()
			fmt.Fprintf(w, "\nThe newest, at %s:\n", d.Time.Local().Format(timeZone))
			for _, line := range details {
				fmt.Fprintf(w, "  %s\n", line)
			}
		}
	}
	return t.Flush()
}

// explained says on several lines what a decision was made on; none when nobody said.
func explained(d autoscale.Decision) (lines []string) {
	if s := d.Saw; s != nil {
		line := fmt.Sprintf("saw: %s in flight, the oldest for %s; %s came and %s were done in %ss of work; %d ready, %d starting, %d draining",
			words.Thousands(s.InFlight), config.FormatDuration(seconds.Nearest(s.OldestWaitSeconds).Truncate(time.Millisecond)),
			words.Thousands(s.Arrived), words.Thousands(s.Completed), words.Number(s.BusySeconds), s.Ready, s.Starting, s.Draining)
		if s.Stuck > 0 {
			line += fmt.Sprintf(", %d stuck", s.Stuck)
		}
		lines = append(lines, line)
	}
	if e := d.Explanation; e != nil {
		var parts []string
		for _, n := range e.Estimates {
			parts = append(parts, fmt.Sprintf("%s %s", strings.ReplaceAll(n.Name, "_", " "), words.Number(n.Value)))
		}
		if len(parts) > 0 {
			lines = append(lines, "believed: "+strings.Join(parts, ", "))
		}
		if e.Otherwise != "" {
			lines = append(lines, "otherwise: "+e.Otherwise)
		}
	}
	if d.WakeAt > 0 {
		lines = append(lines, fmt.Sprintf("looks again at once when %s are unfinished", words.Thousands(d.WakeAt)))
	}
	return lines
}

// clamped says which limits changed what the policy had named.
func clamped(d autoscale.Decision) string {
	var parts []string
	for _, c := range d.Clamps {
		parts = append(parts, fmt.Sprintf("%s %d -> %d", c.Name, c.Before, c.After))
	}
	if len(parts) == 0 {
		return ""
	}
	return " [" + strings.Join(parts, ", ") + "]"
}

func printFindings(w io.Writer, findings []autoscale.Finding, asJSON bool) error {
	if asJSON {
		return printJSON(w, findings)
	}
	for i, f := range findings {
		if i == 0 || f.Question != findings[i-1].Question {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintln(w, f.Question)
		}
		fmt.Fprintf(w, "  %s\n", f.Answer)
		switch {
		case f.Setting != "":
			fmt.Fprintf(w, "  change: %s, now %s, try %s\n", f.Setting, f.Current, f.Suggested)
		case f.Suggested != "":
			fmt.Fprintf(w, "  do: %s\n", f.Suggested)
		}
		for _, e := range f.Evidence {
			fmt.Fprintf(w, "    - %s\n", e)
		}
	}
	return nil
}
