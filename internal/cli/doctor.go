package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/doctor"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "doctor", Short: "Say whether this machine is fit for sluice, and what to do where it is not", Args: noArgs}
	cmd.Long = cmd.Short + `.

It reads the configuration, measures how fast the disk of the data folder syncs (with a small file that it deletes), and looks at
space, limits, port and, with --distributor, the other's clock. Exit code 1 when there is a problem.`
	return settings(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		w := doctor.Where{Dir: c.Queue.Dir, Listen: c.Listen}
		if !isDefault(c, "distributor") {
			w.Distributor = c.Distributor
		}
		found := []doctor.Finding{{About: "configuration", State: doctor.OK, Text: "sluice " + version() + ", the configuration is good"}}
		found = append(found, doctor.Check(doctor.Gather(cmd.Context(), w))...)
		bad := false
		t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		for _, f := range found {
			bad = bad || f.State == doctor.Problem
			fmt.Fprintf(t, "%s\t%s\t%s\n", f.State, f.About, f.Text)
			if f.Do != "" {
				fmt.Fprintf(t, "\t\t  do: %s\n", f.Do)
			}
		}
		if c.JSON {
			if err := printJSON(cmd.OutOrStdout(), found); err != nil {
				return err
			}
		} else if err := t.Flush(); err != nil {
			return err
		}
		if bad {
			return errSilent
		}
		return nil
	}, config.Groups()...)
}
