package cli

import (
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sluicehq/sluice/internal/access"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/doctor"
	"github.com/sluicehq/sluice/queue/disk"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "doctor", Short: "Look at this machine and say what will hurt Sluice, and what to do", Args: noArgs}
	cmd.Long = cmd.Short + `.

It takes the flags, the environment and the file of sluice run, and looks at: the configuration, the data folder, its disk (space, inodes, how long a
sync takes), file handles, memory, the clock, the port, who can reach it, the certificate, and the process that --server names. It changes nothing. The exit code is 1
if there is a problem, and 0 with warnings.`
	l := config.NewLoader(config.Groups()...)
	l.AddFlags(cmd.Flags())
	cmd.Flags().SortFlags = false
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, wrong := l.Load(os.Environ())
		if wrong != nil {
			var err error
			if c, err = fallback(cmd); err != nil {
				return usageError{nil, wrong}
			}
		}
		o := doctor.Options{Version: version(), File: c.File, ConfigErr: wrong, Dir: c.Queue.Dir, Listen: c.Listen, Needs: needs(c),
			TokenFile: c.TokenFile, TLS: access.ServerFiles{Cert: c.TLSCert, Key: c.TLSKey, ClientCA: c.TLSClientCA}}
		if c.ServerNamed {
			o.Distributor = c.Server
			var err error
			if o.Token, err = token(c, access.Read); err != nil {
				return err
			}
			if o.ClientTLS, err = clientTLS(c); err != nil {
				return err
			}
		}
		r := doctor.Examine(doctor.Gather(cmd.Context(), o))
		var err error
		if c.JSON {
			err = printJSON(cmd.OutOrStdout(), r)
		} else {
			err = doctor.Print(cmd.OutOrStdout(), r, min(columns(cmd.OutOrStdout()), 160))
		}
		if err == nil && r.Problems > 0 {
			err = errSilent
		}
		return err
	}
	return cmd
}

// fallback is the defaults, with those of the flags that say what to look at: a mistake elsewhere does not keep the rest from being looked at.
func fallback(cmd *cobra.Command) (*config.Config, error) {
	l := config.NewLoader(config.Groups()...)
	flags := (&cobra.Command{}).Flags()
	l.AddFlags(flags)
	for _, name := range []string{"data", "listen", "server", "distributor", "json"} {
		if f := cmd.Flags().Lookup(name); f.Changed {
			if err := flags.Set(name, f.Value.String()); err != nil {
				return nil, err
			}
		}
	}
	return l.Load(nil)
}

// needs is what the configuration makes Sluice take.
func needs(c *config.Config) doctor.Needs {
	n := doctor.Needs{
		MaxBytes: c.Queue.MaxBytes, MinFree: c.Queue.MinFreeBytes, Memory: c.MemoryLimit, Connections: c.MaxIdleConnections,
		Syncs: c.Queue.Durability == disk.Disk,
	}
	switch { // in the queue's words 0 is its own choice, and less is none
	case n.MinFree == 0:
		n.MinFree = -1
	case n.MinFree < 0:
		n.MinFree = 0
	}
	return n
}

// columns is how wide a terminal is, or what COLUMNS says, or 100.
func columns(w io.Writer) int {
	if f, ok := raw(w).(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return 100
}
