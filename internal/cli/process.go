package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/app"
	"github.com/sluicehq/sluice/internal/config"
)

func runCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "run", Short: "Run everything in one process: distributor, queue, analyzers and autoscaler", Args: noArgs}
	return settings(cmd, process(app.Run), config.Server, config.Queue, config.Intake, config.Analyzer, config.Autoscaler, config.Policy)
}

func distributorCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "distributor", Short: "Take records in and hand batches out to analyzers in other processes", Args: noArgs}
	return settings(cmd, process(app.Distributor), config.Server, config.Queue, config.Intake)
}

func analyzeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "analyze", Short: "Run a pool of analyzers, with its autoscaler, for a distributor in another process", Args: noArgs}
	cmd.Long = cmd.Short + `.

The pool has an address of its own for statistics, decisions and metrics: --listen, by default 127.0.0.1:8001, or any free
port where that one is taken.`
	settings(cmd, process(app.Analyze), config.Client, config.Server, config.Analyzer, config.Autoscaler, config.Policy)
	defaultsTo(cmd, "listen", analyzeListen)
	return cmd
}

// analyzeListen is where an analyze process answers unless told otherwise.
const analyzeListen = "127.0.0.1:8001"

// gcPercent lets the heap grow to five times what lives of it before it is collected, within the memory limit. A few MB live, and
// a batch is garbage as soon as it is analyzed: at 100 percent, collections take half of the time of an analyzer that does little.
const gcPercent = 400

// process runs an app of a role until it is interrupted.
func process(role app.Role) func(*cobra.Command, []string, *config.Config) error {
	return func(cmd *cobra.Command, _ []string, c *config.Config) error {
		o := app.Options{Role: role, Config: c, Version: version(), Log: logger(cmd.ErrOrStderr(), c)}
		if role == app.Analyze && isDefault(c, "listen") {
			c.Listen, o.AnyListen = analyzeListen, true
		}
		if c.MemoryLimit > 0 {
			debug.SetMemoryLimit(c.MemoryLimit)
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
		}
		if w := cmd.ErrOrStderr(); isTerminal(w) {
			o.Listening = func(address string) { welcome(w, role, address, c) }
		}
		a, err := app.New(cmd.Context(), o)
		if err != nil {
			return err
		}
		stop := cmd.Context().Done()
		go func() {
			<-stop
			if isTerminal(cmd.ErrOrStderr()) {
				fmt.Fprintln(cmd.ErrOrStderr(), "\nstopping: finishing what is in hand; Ctrl-C again leaves at once")
			}
		}()
		if err = a.Run(cmd.Context()); errors.Is(err, app.ErrNotClosed) {
			return errSilent // the log says so, and ends with "stopped"
		}
		return err
	}
}

// welcome says what to do next, to somebody at a terminal.
func welcome(w io.Writer, role app.Role, address string, c *config.Config) {
	_, port, _ := net.SplitHostPort(address)
	url := "http://localhost:" + port + c.BasePath
	if c.TLSCert != "" {
		url = "https://localhost:" + port + c.BasePath
	}
	if role != app.Analyze {
		fmt.Fprintf(w, "  send:  curl --data-binary @app.log %s/v1/records\n", url)
	}
	fmt.Fprintf(w, "  look:  %s/ in a browser, or sluice top --server %s\n  why:   sluice decisions --server %s\n  stop:  Ctrl-C\n", url, url, url)
}

// isDefault says whether nobody has set a setting.
func isDefault(c *config.Config, name string) bool {
	for _, s := range c.Settings() {
		if s.Name == name {
			return s.Source == "default"
		}
	}
	return false
}

func configCommand() *cobra.Command {
	print := &cobra.Command{Use: "print", Short: "Print every setting with its value and where it came from", Args: noArgs}
	settings(print, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		if c.JSON {
			return config.PrintJSON(cmd.OutOrStdout(), c.Settings())
		}
		return config.Print(cmd.OutOrStdout(), c.Settings())
	}, config.Groups()...)
	validate := &cobra.Command{Use: "validate", Short: "Check file, environment and flags, and name everything that is wrong", Args: noArgs}
	settings(validate, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		fmt.Fprintln(cmd.OutOrStdout(), "the configuration is good")
		return nil
	}, config.Groups()...)
	reference := &cobra.Command{Use: "reference", Short: "Print the reference of all settings as Markdown", Args: noArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), config.Reference())
			return err
		}}
	return group("config", "Look at the configuration", print, validate, reference)
}
