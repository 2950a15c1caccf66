package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sluicehq/sluice/internal/access"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/demo"
)

func demoCommand() *cobra.Command {
	return group("demo", "See it work", demoAutoscalingCommand(), demoFailureCommand(), demoWeightsCommand())
}

func demoAutoscalingCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "autoscaling", Short: "Watch a pool grow under load and shrink after it", Args: noArgs}
	cmd.Long = cmd.Short + `.

It starts what it needs in this process and in a temporary folder. With --server, it uses one that runs already,
with the analyzers and the autoscaler that it has; then the settings of the autoscaler below are not used.

So that a minute shows everything, checks are a 60th of the duration apart and the cooldown is a 20th of it, unless they or a
preset are given.

It ends with an account of every record, and fails if that does not add up.`
	cmd.Example = `  sluice demo autoscaling
  sluice demo autoscaling --duration 20s --max-size 6
  sluice demo autoscaling --server http://127.0.0.1:8000`
	var o demo.AutoscalingOptions
	duration := demoDuration(cmd, "60s", "about how long it takes; longer where the autoscaler's settings need it")
	cmd.Flags().IntVar(&o.Emitters, "emitters", 10, "emitters sending at once")
	cmd.Flags().Float64Var(&o.Rate, "rate", 0, "records a second of all emitters; 0 is a little less than the largest pool can take")
	settings(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) (err error) {
		if o.Duration, err = duration(); err != nil {
			return err
		}
		if o.Emitters < 1 || o.Emitters > 10000 || !(o.Rate >= 0) {
			return usageError{nil, fmt.Errorf("--emitters is %d, want 1 to 10000, and --rate is %v, want at least 0", o.Emitters, o.Rate)}
		}
		if c.ServerNamed {
			o.Distributor = c.Server
			if o.Token, err = token(c, access.Ingest|access.Read); err != nil {
				return err
			}
			if o.TLS, err = clientTLS(c); err != nil {
				return err
			}
		}
		o.Scaler = c.Autoscale
		if isDefault(c, "preset") { // the default times would make a demo of minutes
			if fromPreset(c, "check-interval") {
				o.Scaler.CheckInterval = 0
			}
			if fromPreset(c, "cooldown") {
				o.Scaler.Cooldown = -1
			}
		}
		o.Options = demoOptions(cmd, c, c.JSON)
		return accounted(cmd, c.JSON)(demo.Autoscaling(cmd.Context(), o))
	}, config.Client, config.Ask, config.Autoscaler)
	defaultsTo(cmd, "check-interval", "a 60th of --duration")
	defaultsTo(cmd, "cooldown", "a 20th of --duration")
	defaultsTo(cmd, "server", "one of its own")
	return cmd
}

func demoFailureCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "failure", Short: "Watch analyzer processes being killed while nothing is lost", Args: noArgs}
	cmd.Long = cmd.Short + `.

It starts a distributor in this process and analyzers in others, kills these at random with SIGKILL and replaces them, while
emitters send. It ends with an account of every record, and fails if that does not add up.`
	var o demo.FailureOptions
	duration := demoDuration(cmd, "30s", "how long the emitters send and processes are killed")
	every := cmd.Flags().String("kill-every", "1.5s", "average time between two kills")
	lease := cmd.Flags().String("lease", "3s", "how long what a killed process had in hand waits for it")
	cmd.Flags().IntVar(&o.Processes, "processes", 4, "analyzer processes at once")
	asJSON := cmd.Flags().Bool("json", false, "print the account as JSON, and all else to the standard error")
	return settings(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) (err error) {
		var errs [3]error
		o.Duration, errs[0] = duration()
		o.KillEvery, errs[1] = positive("kill-every", *every, 10*time.Millisecond)
		o.Lease, errs[2] = positive("lease", *lease, 100*time.Millisecond)
		if err := errors.Join(errs[:]...); err != nil {
			return usageError{nil, err}
		}
		if o.Processes < 1 || o.Processes > 100 {
			return usageError{nil, fmt.Errorf("--processes is %d, want 1 to 100", o.Processes)}
		}
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
		o.Command = func(ctx context.Context, args ...string) *exec.Cmd { return exec.CommandContext(ctx, self, args...) }
		o.Options = demoOptions(cmd, c, *asJSON)
		return accounted(cmd, *asJSON)(demo.Failure(cmd.Context(), o))
	})
}

func demoWeightsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "weights", Short: "Watch analyzers with 4, 3, 2 and 1 slots share the work", Args: noArgs}
	cmd.Long = cmd.Short + `.

All of them work off the same backlog; each should take a part of it in proportion to its slots. It ends with an account of
every record, and fails if that does not add up.`
	var o demo.WeightsOptions
	duration := demoDuration(cmd, "15s", "about how long the work takes")
	asJSON := cmd.Flags().Bool("json", false, "print the account as JSON, and all else to the standard error")
	return settings(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) (err error) {
		if o.Duration, err = duration(); err != nil {
			return err
		}
		o.Options = demoOptions(cmd, c, *asJSON)
		return accounted(cmd, *asJSON)(demo.Weights(cmd.Context(), o))
	})
}

// demoDuration is the flag --duration; the function reads it.
func demoDuration(cmd *cobra.Command, value, doc string) func() (time.Duration, error) {
	text := cmd.Flags().String("duration", value, doc)
	return func() (time.Duration, error) {
		d, err := positive("duration", *text, time.Second)
		if err != nil {
			return 0, usageError{nil, err}
		}
		return d, nil
	}
}

// positive reads a duration from a flag.
func positive(flag, text string, least time.Duration) (time.Duration, error) {
	d, err := config.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("--%s %q: %w", flag, text, err)
	}
	if d < least {
		return 0, fmt.Errorf("--%s is %v, want at least %v", flag, d, least)
	}
	return d, nil
}

// fromPreset says whether nobody has set a value that presets have.
func fromPreset(c *config.Config, name string) bool {
	for _, s := range c.Settings() {
		if s.Name == name {
			return strings.HasPrefix(s.Source, "preset ")
		}
	}
	return false
}

// demoOptions lets people watch on the standard output, or on the standard error where that is for JSON.
func demoOptions(cmd *cobra.Command, c *config.Config, asJSON bool) demo.Options {
	out := cmd.OutOrStdout()
	if asJSON {
		out = cmd.ErrOrStderr()
	}
	if isTerminal(out) {
		out = raw(out)
	}
	screen := demo.NewScreen(out, terminalSize(out))
	screen.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	logged := *c
	if isDefault(c, "log-level") {
		logged.LogLevel = slog.LevelError // what goes wrong on purpose is told by the demo itself
	}
	log := cmd.ErrOrStderr()
	if screen.Live() && isTerminal(log) { // one would overwrite the other
		log = screen
		if logged.LogFormat == config.LogAuto {
			logged.LogFormat = config.LogText
		}
	}
	return demo.Options{Screen: screen, Log: logger(log, &logged), Version: version()}
}

// terminalSize asks a terminal for its size; nil means that w is none, or one that can't move its cursor.
func terminalSize(w io.Writer) func() (columns, rows int) {
	f, ok := raw(w).(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return func() (int, int) {
		columns, rows, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0, 0 // too narrow to draw on
		}
		return columns, rows
	}
}

// accounted prints how a demo ended.
func accounted(cmd *cobra.Command, asJSON bool) func(*demo.Account, error) error {
	return func(a *demo.Account, err error) error {
		if a == nil {
			return err
		}
		if asJSON {
			err = errors.Join(err, printJSON(cmd.OutOrStdout(), a))
		} else {
			fmt.Fprintln(cmd.OutOrStdout(), a)
		}
		if err == nil && a.Failed() {
			return errSilent
		}
		return err
	}
}
