package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/traces"
	"github.com/sluicehq/sluice/internal/visible"
)

var errTraceMissing = errors.New("--trace is missing, want a CSV file of second,records, a log file or a folder, such as --trace trace.csv")

// errInterrupted is for work that leaves nothing behind.
var errInterrupted = errors.New("interrupted; nothing was printed, and files are not whole")

func addTraceFlags(fl *pflag.FlagSet, trace, timeFormat *string) {
	fl.StringVar(trace, "trace", "", "arrivals: a CSV `file` of second,records, a log file, plain or gzip, or a folder of YYYY-MM-DD.csv; - is standard input")
	fl.StringVar(timeFormat, "time-format", "", "how a log file writes times where it is not recognized, as a Go `layout` or for strftime")
}

// readTrace reads what --trace names, with a bar on a terminal.
func readTrace(cmd *cobra.Command, name, timeFormat string) (*traces.Trace, error) {
	type answer struct {
		trace *traces.Trace
		err   error
	}
	var far traces.Progress
	read := make(chan answer, 1)
	go func() {
		t, err := traces.Read(cmd.Context(), name, cmd.InOrStdin(), traces.Options{TimeFormat: timeFormat, Progress: &far})
		read <- answer{t, err}
	}()
	p := newProgress(cmd.ErrOrStderr())
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	defer p.clear()
	for {
		select {
		case a := <-read:
			if errors.Is(a.err, context.Canceled) {
				return nil, errInterrupted
			}
			if a.err != nil {
				return nil, traceError(name, a.err)
			}
			return a.trace, nil
		case <-tick.C:
			if p.terminal {
				p.show(readingLine(name, &far))
			}
		case <-cmd.Context().Done():
			return nil, errInterrupted // a pipe may never answer
		}
	}
}

// checkTrace says what can be said of the trace without reading it.
func checkTrace(name string) error {
	if name == "" {
		return errTraceMissing
	}
	if name == "-" {
		return nil
	}
	_, err := os.Stat(name)
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("--trace %s: %w", name, path.Err)
	}
	return err
}

func checkTimeFormat(text string) error {
	if err := (traces.Options{TimeFormat: text}).Validate(); err != nil {
		return fmt.Errorf("--time-format is %s", strings.TrimPrefix(err.Error(), "time format "))
	}
	return nil
}

// traceError names the flag that is to blame.
func traceError(name string, err error) error {
	if about, ok := strings.CutPrefix(err.Error(), "a time format"); ok {
		return usageError{nil, errors.New("--time-format" + about)}
	}
	text := strings.TrimPrefix(err.Error(), "simulate: read trace: ")
	return usageError{nil, fmt.Errorf("--trace %s: %s", name, strings.TrimPrefix(text, "simulate: "))}
}

func readingLine(name string, p *traces.Progress) string {
	done, total := p.Done.Load(), p.Total.Load()
	if name == "-" {
		name = "standard input"
	}
	what := "reading " + visible.Line(filepath.Base(name))
	if total == 0 {
		return what + "  " + config.FormatSize(done&^(1<<20-1))
	}
	return progressBar(what, float64(done)/float64(total), "")
}
