package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/emitter"
	"github.com/sluicehq/sluice/internal/access"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/words"
)

// emitFlags are what emit has beside the settings.
type emitFlags struct {
	profile, file, trace      string
	speedup, scale, rate      float64
	emitters, batch, size     int
	records                   int64
	duration, interval, limit string
	jitter                    float64
	compression, runID        string
	seed                      uint64
	verify, track, multiline  bool
}

func emitCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "emit", Short: "Send records: generated ones by a load profile, a trace, or a log file", Args: noArgs}
	cmd.Long = cmd.Short + `.

With --verify it waits until everything is analyzed, then says what was sent, acknowledged, analyzed, lost and analyzed
twice; it fails where something was lost.

Profiles:
  ` + indent(emitter.ProfileGrammar)
	cmd.Example = `  sluice emit --records 100000 --verify
  sluice emit --profile spike:100-5000@20s+10s --duration 60s
  sluice emit --trace trace.csv --speedup 60 --scale 10
  sluice emit --file /var/log/syslog --rate 1000
  journalctl -o json -f | sluice emit --file -`
	var f emitFlags
	fl := cmd.Flags()
	fl.StringVar(&f.profile, "profile", "", "how many records a second; see above (default: as fast as possible)")
	fl.Float64Var(&f.rate, "rate", 0, "records a second; short for --profile constant:RATE")
	fl.StringVar(&f.trace, "trace", "", "send arrivals as in a trace, a CSV file of second,records, perhaps .gz")
	fl.Float64Var(&f.speedup, "speedup", 1, "how many seconds of the trace pass in one")
	fl.Float64Var(&f.scale, "scale", 1, "how many records to send for each in the trace")
	fl.StringVar(&f.file, "file", "", "send the lines of a log file instead of generated records; - is standard input; gzip and zstd are inflated")
	fl.BoolVar(&f.multiline, "multiline", true, "make one record of a stack trace in --file and the line before it; false makes one of each line")
	fl.BoolVar(&f.track, "track", false, "number the lines of --file, as --verify does, so that they can be followed")
	fl.IntVar(&f.emitters, "emitters", 1, "emitters sending at once")
	fl.IntVar(&f.batch, "batch", 500, "most records in one post")
	fl.StringVar(&f.interval, "interval", "", "time between two posts of an emitter, in place of a profile")
	fl.Float64Var(&f.jitter, "jitter", 0, "how much an interval may differ, 0 to 1")
	fl.Int64Var(&f.records, "records", 0, "stop after so many records; 0 means no limit")
	fl.StringVar(&f.duration, "duration", "", "stop after this time, like 60s")
	fl.IntVar(&f.size, "size", 0, "least size of a generated record in bytes")
	fl.Uint64Var(&f.seed, "seed", 1, "of generated records")
	fl.StringVar(&f.compression, "compression", "", "gzip or zstd")
	fl.StringVar(&f.runID, "run-id", "", "the emitters' IDs are RUN-1, RUN-2, ... (default: random)")
	fl.BoolVar(&f.verify, "verify", false, "afterwards say what became of every record")
	fl.StringVar(&f.limit, "verify-timeout", "5m", "how long --verify waits for the last record")
	return settings(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error { return emit(cmd, c, f) }, config.Client, config.Ask)
}

func emit(cmd *cobra.Command, c *config.Config, f emitFlags) error {
	o, err := f.poolOptions()
	if err != nil {
		return usageError{nil, err}
	}
	limit, err := config.ParseDuration(f.limit)
	if err != nil {
		return usageError{nil, fmt.Errorf("--verify-timeout %q: %w", f.limit, err)}
	}
	if o.Replay != nil {
		defer o.Replay.Close()
	}
	log := logger(cmd.ErrOrStderr(), c)
	need := access.Ingest
	if f.verify {
		need |= access.Read
	}
	bearer, err := token(c, need)
	if err != nil {
		return err
	}
	conf, err := clientTLS(c)
	if err != nil {
		return err
	}
	to, err := whoIngests(cmd.Context(), c)
	if err != nil {
		return err
	}
	cl, err := emitter.NewClient(to, emitter.ClientOptions{Compression: f.compression, Logger: log, Token: bearer, TLS: conf})
	if err != nil {
		return usageError{nil, err}
	}
	defer cl.Close()
	before, beforeErr := cl.ServerStats(cmd.Context()) // of use only where records can't be followed
	pool, err := emitter.NewPool(cl, o)
	if err != nil {
		return usageError{nil, err}
	}
	progress := newProgress(cmd.ErrOrStderr())
	stop := progress.every(time.Second, func() string { return emitter.ProgressLine(pool.Stats()) })
	err = pool.Run(cmd.Context())
	stop()
	if err != nil {
		return err
	}
	if o.Replay != nil && o.Replay.Skipped() > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d lines were too long and were skipped\n", o.Replay.Skipped())
	}
	if !f.verify {
		st := pool.Stats()
		if c.JSON {
			if err := printJSON(cmd.OutOrStdout(), st); err != nil {
				return err
			}
		}
		if open := st.Sent - st.Acknowledged - st.Rejected; open > 0 {
			return fmt.Errorf("%s records were sent but not acknowledged; some of them may be stored all the same", words.Thousands(open))
		}
		return nil
	}
	vo := emitter.VerifyOptions{Timeout: limit, Before: before, Progress: func(p emitter.VerifyProgress) { progress.show(verifyLine(p)) }}
	// Ctrl-C ended the sending; a second one ends everything, so verifying goes on regardless of the first.
	told := context.AfterFunc(cmd.Context(), func() {
		fmt.Fprintln(cmd.ErrOrStderr(), "\nsending has ended; waiting until what was sent is analyzed. Ctrl-C again leaves at once, without an account")
	})
	defer told()
	account, err := emitter.Verify(context.WithoutCancel(cmd.Context()), cl, pool.Accounts(), vo)
	progress.done()
	if err != nil {
		return errors.Join(err, beforeErr)
	}
	if c.JSON {
		err = printJSON(cmd.OutOrStdout(), account)
	} else {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), account.String())
	}
	if err == nil && !account.OK() {
		err = errSilent
	}
	return err
}

// whoIngests is the URL of the distributor: the process that was named, or the one that it works for.
func whoIngests(ctx context.Context, c *config.Config) (string, error) {
	if !c.ServerNamed {
		return c.Server, nil
	}
	cl, err := client(c)
	if err != nil {
		return "", err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // one that does not answer now is waited for by who sends
	defer cancel()
	return cl.Where(ctx, "/v1/dead?limit=1"), nil
}

// poolOptions reads the flags; all mistakes are told at once.
func (f emitFlags) poolOptions() (emitter.PoolOptions, error) {
	var errs []error
	span := func(flag, text string) time.Duration {
		if text == "" {
			return 0
		}
		d, err := config.ParseDuration(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s %q: %w", flag, text, err))
		}
		return d
	}
	o := emitter.PoolOptions{
		Emitters: f.emitters, BatchSize: f.batch, Records: f.records, Size: f.size, Seed: f.seed, RunID: f.runID, Jitter: f.jitter,
		Duration: span("duration", f.duration), Interval: span("interval", f.interval),
	}
	if f.emitters < 1 || f.batch < 1 || f.records < 0 {
		errs = append(errs, errors.New("--emitters and --batch must be at least 1, --records at least 0"))
	}
	profile, err := f.pace()
	if err != nil {
		errs = append(errs, err)
	}
	o.Profile = profile
	if f.file != "" && len(errs) == 0 {
		if o.Replay, err = emitter.OpenReplay(f.file, emitter.ReplayOptions{Track: f.track || f.verify, SplitLines: !f.multiline}); err != nil {
			errs = append(errs, err)
		}
	}
	return o, errors.Join(errs...)
}

// pace returns the one profile that the flags describe, or nil for none.
func (f emitFlags) pace() (emitter.Profile, error) {
	n := 0
	for _, given := range []bool{f.profile != "", f.rate != 0, f.trace != ""} {
		if given {
			n++
		}
	}
	switch {
	case n > 1:
		return nil, errors.New("give one of --profile, --rate and --trace")
	case f.rate < 0:
		return nil, fmt.Errorf("--rate is %v, want more than 0", f.rate)
	case f.rate > 0:
		return emitter.Constant{Rate: f.rate}, nil
	case f.trace != "":
		t, err := emitter.OpenTrace(f.trace, emitter.TraceOptions{Speedup: f.speedup, Scale: f.scale})
		if err != nil {
			return nil, err
		}
		return t, nil
	case f.profile != "":
		return emitter.ParseProfile(f.profile)
	}
	return nil, nil
}

func verifyLine(p emitter.VerifyProgress) string {
	line := fmt.Sprintf("%.1fs  verifying  missing %s of %s  waiting %s  in flight %s", p.Elapsed.Seconds(),
		words.Thousands(p.Missing), words.Thousands(p.Acknowledged), words.Thousands(p.Depth), words.Thousands(p.InFlight))
	if p.Err != nil {
		line += "  (no answer, trying again)"
	}
	return line
}

func indent(s string) string {
	var out []byte
	for _, c := range []byte(s) {
		out = append(out, c)
		if c == '\n' {
			out = append(out, "  "...)
		}
	}
	return string(out)
}
