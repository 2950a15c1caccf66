// Command bench measures what Sluice promises about its speed, as ratios of pairs that are measured in turn in one run. On a
// noisy machine the ratios hold where absolute figures do not.
//
// Most scenarios compare the durable ingest of Sluice with a floor: the least that a server can do which answers once the
// records are checked, packed and synced to disk. See the list in scenarios.go; -only selects from it.
//
// Servers are processes of their own, with a fresh data folder for each measurement. The load comes from one more process,
// which sends requests that were built before the clock starts and reads little more than the status of the answers. The
// first two seconds of a load are reported as cold, the rest as warm.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	b := bench{cold: 2 * time.Second}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.StringVar(&b.sluice, "sluice", "./sluice", "the `program` to measure")
	flags.StringVar(&b.dir, "dir", "", "`folder` for data, on the disk to measure (default: the one for temporary files)")
	flags.DurationVar(&b.warm, "time", 2*time.Second, "length of the warm window of each load, after 2s of cold")
	flags.Int64Var(&b.backlog, "backlog", 4_000_000, "`records` that are stored before draining is measured")
	rounds := flags.Int("rounds", 5, "how often each pair is measured; the median counts")
	only := flags.String("only", "", "measure only these scenarios, separated by commas: "+strings.Join(names(), ", "))
	asJSON := flags.Bool("json", false, "print JSON, with the figures of every round")
	role := flags.String("role", "", "floor: serve as the floor, with data in -dir; load: send the load that is described on stdin")
	flags.Parse(args)
	switch *role {
	case "":
	case "floor":
		return serveFloor(ctx, b.dir)
	case "load":
		// More threads would spin while they wait for answers, and take that time from the server.
		runtime.GOMAXPROCS(max(runtime.NumCPU()/2, 1))
		return generateLoad(ctx, os.Stdin, os.Stdout)
	default:
		return fmt.Errorf("no role %q; there are floor and load", *role)
	}
	if *rounds < 1 {
		return fmt.Errorf("-rounds is %d, must be at least 1", *rounds)
	}
	selected, err := choose(*only)
	if err != nil {
		return err
	}
	out := os.Stdout
	if *asJSON {
		out = os.Stderr // for people who wait for the JSON
	}
	fmt.Fprintf(out, "%d rounds, each side in turn, warm windows of %v; figures and ratios are medians over the rounds,\n"+
		"and best is the ratio of the best round of each side\n", *rounds, b.warm)
	var all, missed []row
	for _, s := range selected {
		var ours, base []figures
		for round := range *rounds {
			o, f, err := b.measure(ctx, s, round)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			ours, base = append(ours, o), append(base, f)
		}
		fmt.Fprintf(out, "\n%s: %s\n%s\n", s.name, s.about, heading)
		for _, r := range s.rows(ours, base) {
			fmt.Fprintln(out, r)
			all = append(all, r)
			if !r.Met {
				missed = append(missed, r)
			}
		}
	}
	if len(missed) > 0 { // no failure: the machine may be busy
		fmt.Fprintf(out, "\n%d bounds are missed. Check whether something else uses this machine, and measure again:\n", len(missed))
		for _, r := range missed {
			fmt.Fprintf(out, "  %s, %s: %.2f, wanted %s\n", r.Scenario, r.Metric, r.Ratio, r.Wanted)
		}
	}
	if *asJSON {
		return json.NewEncoder(os.Stdout).Encode(all)
	}
	return nil
}

func names() (all []string) {
	for _, s := range scenarios {
		all = append(all, s.name)
	}
	return all
}

// choose returns the named scenarios; without names, all but the control.
func choose(only string) (selected []scenario, err error) {
	if only == "" {
		return scenarios[1:], nil
	}
	for name := range strings.SplitSeq(only, ",") {
		i := slices.Index(names(), name)
		if i < 0 {
			return nil, fmt.Errorf("no scenario %q; there are %s", name, strings.Join(names(), ", "))
		}
		selected = append(selected, scenarios[i])
	}
	return selected, nil
}
