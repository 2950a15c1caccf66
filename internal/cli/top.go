package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/top"
)

func topCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "top", Short: "Show in the terminal whether it keeps up, how many analyzers there are and why", Args: noArgs}
	cmd.Long = cmd.Short + `.

Press ? for the keys. With --once it prints one picture without colours and ends; with --once --json the numbers behind it:
those of /v1/stats with rates over --interval, and the answers to "is it keeping up?" and "is it healthy?".`
	once := cmd.Flags().Bool("once", false, "print it once, as plain text, and end")
	interval := cmd.Flags().Duration("interval", time.Second, "time between two looks")
	return settings(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		if *interval <= 0 {
			return usageError{fmt.Errorf("--interval is %v, want more than 0", *interval)}
		}
		cl, err := client(c)
		if err != nil {
			return err
		}
		o := top.Options{Client: cl, Address: c.Distributor, Interval: *interval, In: cmd.InOrStdin(), Out: cmd.OutOrStdout()}
		switch {
		case *once:
			return topOnce(cmd, o, c.JSON)
		case c.JSON:
			return usageError{fmt.Errorf("--json is for --once")}
		case !isTerminal(o.Out):
			return usageError{fmt.Errorf("top needs a terminal to draw on; elsewhere use --once")}
		}
		return top.Run(cmd.Context(), o)
	}, config.Client)
}

// Size of what is printed where there is no terminal.
const onceWidth, onceHeight = 100, 40

func topOnce(cmd *cobra.Command, o top.Options, asJSON bool) error {
	m, err := top.Once(cmd.Context(), o)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), m.Live())
	}
	width, height := onceWidth, onceHeight
	if f, ok := o.Out.(interface{ Fd() uintptr }); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil {
			width, height = w, h
		}
	}
	lines := m.Lines(time.Now(), width, height)
	lines = lines[:len(lines)-1] // keys are of no use here
	for len(lines) > 0 && top.Plain(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	for _, l := range lines {
		fmt.Fprintln(o.Out, top.Plain(l))
	}
	return nil
}
