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
)

func decisionsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "decisions", Short: "Show what the autoscaler decided at each check, and why", Args: noArgs}
	cmd.Long = cmd.Short + `.

With --diagnose it answers from the ledger: why is it not scaling up, why is it scaling up too much, why is it oscillating;
with the setting to change.`
	diagnose := cmd.Flags().Bool("diagnose", false, "read the whole ledger and say what is wrong with the settings")
	limit := cmd.Flags().IntP("limit", "n", 30, "how many decisions to show, the newest last; 0 shows all")
	actions := cmd.Flags().Bool("actions", false, "only those that changed the size")
	return settings(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		if *limit < 0 {
			return usageError{fmt.Errorf("--limit is %d, want at least 0", *limit)}
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
			return printFindings(cmd.OutOrStdout(), autoscale.Diagnose(answer.Decisions, answer.Settings.Options()), c.JSON)
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
		return printDecisions(cmd.OutOrStdout(), rows)
	}, config.Client)
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

func printDecisions(w io.Writer, rows []autoscale.Decision) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "no decisions yet")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TIME\tDEPTH\tSIZE\tACTION\tREASON")
	for _, d := range rows {
		depth := "unknown"
		if d.DepthKnown {
			depth = thousands(int64(d.Depth))
		}
		size := strconv.Itoa(d.Size)
		if d.NewSize != d.Size {
			size += " -> " + strconv.Itoa(d.NewSize)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", d.Time.Local().Format(time.TimeOnly), depth, size, d.Action, d.Reason+clamped(d))
	}
	return t.Flush()
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
