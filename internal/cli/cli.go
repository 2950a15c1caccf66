// Package cli is the command line: it parses, calls the rooms, and prints.
package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluicehq/sluice/internal/access"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/queue/remote"
)

// Version is what this program calls itself. Releases set it when they are linked.
var Version = "dev"

// Commit is what was built, where whoever linked it has set it; Go itself knows it only in a clone.
var Commit = ""

// Built is the date of the build, where whoever linked it has set it.
var Built = ""

// Exit codes.
const (
	exitOK      = 0
	exitFailed  = 1   // it was tried and did not work
	exitUsage   = 2   // it was asked for wrongly
	exitSignal2 = 130 // the second Ctrl-C
)

// errSilent makes Main return exitFailed without a further word.
var errSilent = errors.New("")

// usageError is a mistake in what was typed, for a command; nil is the one that ran.
type usageError struct {
	cmd *cobra.Command
	error
}

// Main runs one command and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	stdout, stderr = newScreen(stdout), newScreen(stderr)
	ctx, stop := untilInterrupted(stderr)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	switch mistake, usage := errors.AsType[usageError](err); {
	case err == nil:
		return exitOK
	case errors.Is(err, errSilent):
		return exitFailed
	case usage:
		if mistake.cmd != nil {
			cmd = mistake.cmd
		}
		fmt.Fprintf(stderr, "sluice: %v\n%s\n", err, seeHelp(cmd))
		return exitUsage
	default:
		fmt.Fprintf(stderr, "sluice: %v\n", err)
		return exitFailed
	}
}

// untilInterrupted returns a context that ends with the first SIGINT or SIGTERM. The second ends the process at once: what was
// acknowledged is on disk already.
func untilInterrupted(stderr io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for first := true; ; first = false {
			select {
			case <-signals:
			case <-done:
				return
			}
			if !first {
				fmt.Fprintln(stderr, "sluice: leaving at once; what was acknowledged is on disk")
				os.Exit(exitSignal2)
			}
			cancel()
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

func newRoot() *cobra.Command {
	cobra.EnableCommandSorting = false // what is needed first stands first
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Takes logs in, keeps them safe until they are analyzed, and runs as many analyzers as the backlog needs",
		Long: `Sluice takes logs in, keeps them safe on disk until they are analyzed, and runs exactly as
many analyzers as the backlog needs.`,
		Example: `  sluice run                                      everything in one process, on port 8000 of this machine
  curl --data-binary @app.log localhost:8000/v1/records
  sluice top                                      watch it
  sluice decisions                                why the pool has the size it has
  sluice demo autoscaling                         see it work, in a minute`,
		Version: version(),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{cmd, unknownCommand(cmd, args[0])}
			}
			return nil
		},
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{cmd, withSuggestion(cmd, err)} })
	root.SetUsageFunc(usage)
	root.SetVersionTemplate(about() + "\n")
	root.SetHelpCommand(helpCommand())
	root.AddGroup(commandGroups...)
	root.AddCommand(in(groupRun, runCommand(), emitCommand(), distributorCommand(), analyzeCommand())...)
	root.AddCommand(in(groupLook, topCommand(), statsCommand(), decisionsCommand(), leagueCommand(), doctorCommand(), configCommand())...)
	root.AddCommand(in(groupSteer, scaleCommand(), deadCommand())...)
	root.AddCommand(in(groupPlan, demoCommand(), simulateCommand(), tuneCommand())...)
	root.AddCommand(versionCommand())
	addExamples(root, "")

	return root
}

// withSuggestion adds the nearest flag where one is unknown.
func withSuggestion(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	suggestion := config.DidYouMean(unknown.GetSpecifiedName(), known)
	return fmt.Errorf("%w%s", err, strings.Replace(suggestion, `"`, `"--`, 1))
}

// noArgs and the like refuse wrong numbers of arguments as mistakes of usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usageError{cmd, err}
	}
	return nil
}

func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(n)(cmd, args); err != nil {
			return usageError{nil, fmt.Errorf("%s: %w", cmd.CommandPath(), err)}
		}
		return nil
	}
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{cmd, unknownCommand(cmd, args[0])}
		}
		return cmd.Help()
	}}
	cmd.AddCommand(commands...)
	return cmd
}

// load reads the configuration of a command.
func load(l *config.Loader) (*config.Config, error) {
	c, err := l.Load(os.Environ())
	if err != nil {
		return nil, usageError{nil, err}
	}
	return c, nil
}

// settings gives a command the settings of some groups, and run the configuration when it comes to that.
func settings(cmd *cobra.Command, run func(cmd *cobra.Command, args []string, c *config.Config) error, groups ...config.Group) *cobra.Command {
	l := config.NewLoader(groups...)
	l.AddFlags(cmd.Flags())
	cmd.Flags().SortFlags = false
	if slices.Contains(groups, config.Ask) && !slices.Contains(groups, config.Server) {
		cmd.Flags().MarkHidden("distributor") // says the same as --server, and is taken still
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := load(l)
		if err != nil {
			return err
		}
		return run(cmd, args, c)
	}
	return cmd
}

// defaultsTo says in the help of a command what a setting is there, where that is not the default of all.
func defaultsTo(cmd *cobra.Command, flag, text string) { cmd.Flags().Lookup(flag).DefValue = text }

// logger writes text to a terminal and JSON elsewhere, unless told otherwise.
func logger(w io.Writer, c *config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel, ReplaceAttr: bounded}
	if c.LogFormat == config.LogText || c.LogFormat == config.LogAuto && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// client looks at the process that the configuration names.
func client(c *config.Config) (*server, error) { return clientFor(c, access.Read) }

// clientFor does what needs some scopes at the process that the configuration names, or the one that an answer names in its place. A bad
// URL is a mistake of usage.
func clientFor(c *config.Config, need access.Scope) (*server, error) {
	cl, err := remote.NewClient(c.Server)
	if err != nil {
		return nil, usageError{nil, err}
	}
	cl.Follow = true
	if cl.Token, err = token(c, need); err != nil {
		return nil, err
	}
	conf, err := clientTLS(c)
	cl.UseTLS(conf)
	return &server{cl, c.JSON}, err
}

// clientTLS is how to speak to a distributor at https; nil where nothing is said about it.
func clientTLS(c *config.Config) (*tls.Config, error) {
	return access.ClientTLS(access.ClientFiles{CA: c.TLSCA, Cert: c.TLSClientCert, Key: c.TLSClientKey}, nil)
}

// token is what to send as bearer token with requests that need some scopes; nil where there is none.
func token(c *config.Config, need access.Scope) (func() string, error) {
	if c.TokenFile == "" {
		return nil, nil
	}
	t, err := access.ReadTokens(c.TokenFile, nil)
	if err != nil {
		return nil, err
	}
	return t.For(need), nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print the version, the commit and the Go that it was built with", Args: noArgs, Example: "  sluice version\n  sluice --version",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), about())
			return err
		}}
	return cmd
}

// about is the version with all that is known of the build, on one line.
func about() string {
	parts := []string{"sluice " + version()}
	info, ok := debug.ReadBuildInfo()
	if ok {
		set := map[string]string{}
		for _, s := range info.Settings {
			set[s.Key] = s.Value
		}
		if commit := cmp.Or(set["vcs.revision"], Commit); commit != "" {
			text := "commit " + commit[:min(12, len(commit))]
			if at, err := time.Parse(time.RFC3339, set["vcs.time"]); err == nil {
				text += " of " + at.UTC().Format(time.DateOnly)
			}
			if set["vcs.modified"] == "true" {
				text += " with changes"
			}
			parts = append(parts, text)
		} else {
			parts = append(parts, "commit unknown")
		}
	}
	if Built != "" {
		parts = append(parts, "built "+Built)
	}
	return strings.Join(append(parts, runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH), ", ")
}

func version() string {
	if Version == "dev" {
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, s := range info.Settings {
				if s.Key == "vcs.revision" {
					return "dev-" + s.Value[:min(12, len(s.Value))]
				}
			}
		}
	}
	return Version
}
