package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/words"
	"github.com/sluicehq/sluice/queue"
)

func statsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "stats", Short: "Show the account of the queue, the pool and the autoscaler", Args: noArgs}
	watch := cmd.Flags().BoolP("watch", "w", false, "show it again and again until interrupted")
	interval := cmd.Flags().Duration("interval", 2*time.Second, "time between two looks with --watch")
	return settings(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		cl, err := client(c)
		if err != nil {
			return err
		}
		show := func() error { return showStats(cmd.Context(), cmd.OutOrStdout(), cl, c.JSON) }
		if !*watch {
			return show()
		}
		if *interval <= 0 {
			return usageError{nil, fmt.Errorf("--interval is %v, want more than 0", *interval)}
		}
		return watchLoop(cmd, *interval, show)
	}, config.Client, config.Ask)
}

// watchLoop shows something until interrupted. A distributor that is down is said once, and waited for.
func watchLoop(cmd *cobra.Command, interval time.Duration, show func() error) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	down := false
	for {
		if isTerminal(out) && !down {
			fmt.Fprint(raw(out), "\x1b[H\x1b[2J")
		}
		err := show()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			down = false
		case !errors.Is(err, queue.ErrUnavailable):
			return err
		case !down:
			down = true
			fmt.Fprintf(cmd.ErrOrStderr(), "sluice: %v; trying again\n", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(interval):
		}
	}
}

func showStats(ctx context.Context, w io.Writer, cl *server, asJSON bool) error {
	if asJSON {
		var raw map[string]any
		if err := cl.Call(ctx, "GET", "/v1/stats", nil, &raw); err != nil {
			return err
		}
		return printJSON(w, raw)
	}
	var st api.Live
	if err := cl.Call(ctx, "GET", "/v1/stats", nil, &st); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("process", "sluice %s, version %s, up %s", st.Role, st.Version, words.Seconds(st.Uptime))
	for i, line := range verdictLines(st.Verdict) {
		row([]string{"verdict", ""}[min(i, 1)], "%s", line)
	}
	if q := st.QueueStats; q != nil {
		row("accepted", "%s records", words.Thousands(q.Accepted))
		row("completed", "%s", words.Thousands(q.Completed))
		row("dead", "%s", words.Thousands(q.Dead))
		row("waiting", "%s in %s batches, the oldest for %s", words.Thousands(q.Depth), words.Thousands(q.Batches), words.Seconds(q.OldestWait))
		row("in flight", "%s", words.Thousands(q.InFlight))
		row("lost", "%s", words.Thousands(q.Lost))
		row("stored", "%s of %s, durability %s", words.Bytes(q.Bytes), words.Bytes(q.LimitBytes), q.Durability)
		if q.Problem != "" {
			row("problem", "%s", q.Problem)
		}
	}
	if st.Waits != nil {
		if st.Waits.SLO == nil {
			row("slo", "unknown")
		} else {
			row("slo", "%s of the records within %s", words.Percent(st.Waits.Target), words.Seconds(*st.Waits.SLO))
		}
		for _, w := range st.Waits.Windows {
			row("  last "+w.Name, "%s", w.InWords())
		}
	}
	if in := st.Ingest; in != nil {
		row("ingest", "%s requests, %s records rejected, %s pushed back", words.Thousands(in.Requests), words.Thousands(in.Rejected), words.Thousands(in.PushedBack))
	}
	if a := st.Autoscaler; a != nil {
		row("autoscaler", "%s", autoscalerLine(st.Stats))
	}
	if p := st.Pool; p != nil {
		row("pool", "%d analyzers: %d ready, %d starting, %d busy; %d more draining", p.Size, p.Ready, p.Starting, p.Busy, p.Draining)
		if p.LeaseError != "" {
			row("", "no work can be had: %s", p.LeaseError)
		}
		for _, r := range p.Analyzers {
			row("  "+r.ID, "%s, %d of %d slots, %s records in %s batches", r.State, r.InHand, r.Slots, words.Thousands(r.Records), words.Thousands(r.Batches))
		}
	}
	for _, p := range st.Pools {
		row("  "+p.Name, "pool elsewhere, %d analyzers (%d to %d), %d busy, %.0f %% of the backlog, policy %s", p.Size, p.MinSize, p.MaxSize, p.Busy, 100*p.Share, p.Policy)
		if d := p.Decision; d != nil {
			row("", "%s", d.Reason)
		}
	}
	if st.Remote != nil {
		for _, r := range *st.Remote {
			waits := ""
			if r.Waiting {
				waits = ", waits for work"
			}
			row("  "+r.ID, "elsewhere, asked %s ago%s, %s records leased so far", words.Seconds(r.LastSeen), waits, words.Thousands(r.Records))
		}
		if st.RemoteCount != nil && *st.RemoteCount > len(*st.Remote) {
			row("", "%s elsewhere", words.Plural(*st.RemoteCount-len(*st.Remote), "more analyzer", "more analyzers"))
		}
	}
	return t.Flush()
}

// verdictLines are the reasons of a verdict, each with what to do. A process of an earlier version has none.
func verdictLines(v api.Verdict) (lines []string) {
	if v.State == "" {
		return nil
	}
	if len(v.Reasons) == 0 {
		return []string{v.State + ": " + v.Text}
	}
	for _, r := range v.Reasons {
		line := r.State + ": " + r.Text
		if r.Do != "" {
			line += " (" + r.Do + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

func autoscalerLine(st api.Stats) string {
	a := st.Autoscaler
	line := fmt.Sprintf("size %d in %d..%d, %d up, %d down", a.CurrentSize, a.MinSize, a.MaxSize, a.TotalScaleUps, a.TotalScaleDowns)
	if a.Paused {
		line += ", paused"
	}
	if d := a.LastDecision; d != nil {
		line += "; last: " + d.Reason
	}
	return line
}
