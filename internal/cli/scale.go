package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/access"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/config"
)

func scaleCommand() *cobra.Command {
	pause := scaleAct(&cobra.Command{Use: "pause", Short: "Keep the present size until resumed", Args: noArgs}, nil)
	resume := scaleAct(&cobra.Command{Use: "resume", Short: "End a pause or a forced size", Args: noArgs}, nil)

	force := &cobra.Command{Use: "force SIZE", Short: "Set a size for some time, whatever the policy says, even outside min_size..max_size", Args: exactly(1)}
	duration := force.Flags().String("for", "10m", "how long")
	scaleAct(force, func(args []string) (any, error) {
		size, err := strconv.Atoi(args[0])
		if err != nil || size < 0 {
			return nil, usageError{nil, fmt.Errorf("size %q, want a whole number of at least 0", args[0])}
		}
		d, err := config.ParseDuration(*duration)
		if err != nil || d <= 0 {
			return nil, usageError{nil, fmt.Errorf("--for %q, want a time like 10m", *duration)}
		}
		return api.ForceRequest{Size: size, Seconds: d.Seconds()}, nil
	})
	return group("scale", "Take the autoscaler by the hand", pause, resume, force)
}

// scaleAct makes a command that calls the autoscaler's path of its own name and says where the pool stands then.
func scaleAct(cmd *cobra.Command, body func(args []string) (any, error)) *cobra.Command {
	return settings(cmd, func(cmd *cobra.Command, args []string, c *config.Config) error {
		var in any
		if body != nil {
			var err error
			if in, err = body(args); err != nil {
				return err
			}
		}
		cl, err := clientFor(c, access.Operate)
		if err != nil {
			return err
		}
		var st autoscale.Stats
		if err := cl.Call(cmd.Context(), "POST", "/v1/autoscaler/"+cmd.Name(), in, &st); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(cmd.OutOrStdout(), st)
		}
		state, size := "running", strconv.Itoa(st.CurrentSize)
		switch {
		case !st.ForcedUntil.IsZero():
			size += " -> " + strconv.Itoa(st.ForcedSize)
			state = fmt.Sprintf("forced to %d until %s", st.ForcedSize, st.ForcedUntil.Local().Format(timeZone))
		case st.Paused:
			state = "paused"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "autoscaler %s; size %s in %d..%d\n", state, size, st.MinSize, st.MaxSize)
		return nil
	}, config.Client, config.Ask)
}
