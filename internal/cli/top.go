package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/top"
)

func topCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "top", Short: "Watch it in the terminal: is it keeping up, what is wrong, how many analyzers and why", Args: noArgs}
	cmd.Long = cmd.Short + `.

Keys: q leaves, s sorts, z zooms, ? shows all. A distributor that is away is looked for until it is back. NO_COLOR is respected.`
	once := cmd.Flags().Bool("once", false, "print one frame as plain text, or with --json what is in it, and end")
	interval := cmd.Flags().Duration("interval", time.Second, "time between two looks")
	return settings(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		if *interval < 100*time.Millisecond {
			return usageError{nil, fmt.Errorf("--interval is %v, want at least 100ms", *interval)}
		}
		if c.JSON && !*once {
			return usageError{nil, errors.New("--json wants --once: a screen is for people")}
		}
		cl, err := client(c)
		if err != nil {
			return err
		}
		defer cl.Close()
		o := top.Options{Address: c.Server, Interval: *interval, Color: os.Getenv("NO_COLOR") == ""}
		if !*once {
			if !isTerminal(cmd.OutOrStdout()) {
				return usageError{nil, errors.New("top draws on a terminal, and this is none; --once prints one frame, --once --json for programs")}
			}
			return top.Run(cmd.Context(), cl, o, cmd.InOrStdin(), raw(cmd.OutOrStdout()))
		}
		s, err := top.Once(cmd.Context(), cl, o)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(cmd.OutOrStdout(), s.Summary())
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), s.Frame(top.View{Now: time.Now(), Width: columns(cmd.OutOrStdout())}))
		return err
	}, config.Client, config.Ask)
}
