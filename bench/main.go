// Command bench measures what Sluice promises about its speed, as ratios of two servers that are measured in turn in one run.
// On a noisy machine the ratios hold where absolute figures do not.
//
//   - batches: posts of 500 records over 16 connections, each answered after fsync, against a bare net/http server that
//     reads and discards the same bodies
//   - singles: posts of one record over 128 connections, against the same
//   - analyze: the batches again while a pool of analyzers discards them and acknowledges, until the last is done,
//     against taking them in alone
//
// Every server is a process of its own. The load comes from this process, by the client that emitters use; the bodies
// are generated before the clock starts.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluicehq/sluice/emitter"
)

func main() {
	sluice := flag.String("sluice", "./sluice", "the program to measure")
	rounds := flag.Int("rounds", 5, "how often each pair is measured; the median counts")
	span := flag.Duration("time", 2*time.Second, "how long each measurement takes")
	only := flag.String("only", "", "measure only this ratio")
	dir := flag.String("dir", "", "folder for data, on the disk to measure (default: a temporary one)")
	bare := flag.Bool("bare", false, "be the bare server (used by the program itself)")
	flag.Parse()
	if *bare {
		serveBare()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *sluice, *dir, *only, *rounds, *span); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// serveBare answers every post with an empty 200 once it has read the body.
func serveBare() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "{\"msg\":\"ready\",\"address\":%q}\n", l.Addr())
	http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"accepted":1,"rejected":0,"errors":[]}`)
	}))
}

// load is how records are sent.
type load struct{ records, connections int }

var (
	batches = load{500, 16}
	singles = load{1, 128}
)

// ratio is one promise: the rate of one server over the rate of another under the same load.
type ratio struct {
	name  string
	load  load
	ours  string   // what the first one is
	base  string   // what the second one is
	args  []string // of the first; sluice's
	args2 []string // of the second; nil for the bare server
	want  float64
}

var ratios = []ratio{
	{"batches", batches, "durable ingest", "bare net/http", []string{"distributor"}, nil, 0.5},
	{"singles", singles, "durable ingest", "bare net/http", []string{"distributor"}, nil, 0.4},
	{"analyze", batches, "ingest + analyze + ack", "ingest alone",
		[]string{"run", "--handler", "discard", "--min-size", "2", "--max-size", "2"}, []string{"distributor"}, 0.8},
}

func run(ctx context.Context, sluice, dir, only string, rounds int, span time.Duration) error {
	fmt.Printf("%d rounds of %v each, in turn; ratios are medians over the rounds\n\n", rounds, span)
	fmt.Printf("%-10s %-34s %12s %12s %8s %14s %7s\n", "ratio", "load", "ours /s", "base /s", "median", "min..max", "wanted")
	short := false
	for _, r := range ratios {
		if only != "" && only != r.name {
			continue
		}
		var all, ours, base []float64
		for range rounds {
			a, err := measure(ctx, sluice, r.args, dir, r.load, span)
			if err != nil {
				return fmt.Errorf("%s: %w", r.ours, err)
			}
			b, err := measure(ctx, sluice, r.args2, dir, r.load, span)
			if err != nil {
				return fmt.Errorf("%s: %w", r.base, err)
			}
			ours, base, all = append(ours, a), append(base, b), append(all, a/b)
		}
		m := median(all)
		fmt.Printf("%-10s %-34s %12.0f %12.0f %8.2f %7.2f..%.2f %7.2f\n", r.name,
			fmt.Sprintf("%d records x %d connections", r.load.records, r.load.connections),
			median(ours), median(base), m, slices.Min(all), slices.Max(all), r.want)
		fmt.Printf("%-10s %s against %s, records/s\n", "", r.ours, r.base)
		short = short || m < r.want
	}
	if short {
		fmt.Println("\nA ratio is below what is wanted: see whether something else is using this machine, and run it again.")
	}
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// server is a process that takes records.
type server struct {
	cmd *exec.Cmd
	url string
	dir string
}

// start runs sluice with some arguments, or the bare server where there are none.
func start(sluice string, args []string, dir string) (*server, error) {
	data, err := os.MkdirTemp(dir, "sluice-bench-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: data}
	if args == nil {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		s.cmd = exec.Command(self, "-bare")
	} else {
		s.cmd = exec.Command(sluice, append(slices.Clone(args), "--data", data, "--listen", "127.0.0.1:0", "--log-format", "json")...)
	}
	out, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	var said []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said = append(said, lines.Text())
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			s.url = "http://" + line.Address
			go io.Copy(io.Discard, out) // until the process ends
			return s, nil
		}
	}
	s.stop()
	return nil, fmt.Errorf("%s did not start: %s", s.cmd.Path, strings.Join(said, "\n"))
}

func (s *server) stop() {
	s.cmd.Process.Signal(os.Interrupt)
	s.cmd.Wait()
	os.RemoveAll(s.dir)
}

// measure starts a server, loads it, and returns the records per second, counted until the last one is analyzed where there
// are analyzers.
func measure(ctx context.Context, sluice string, args []string, dir string, l load, span time.Duration) (float64, error) {
	s, err := start(sluice, args, dir)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	client, err := emitter.NewClient(s.url, emitter.ClientOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	bodies, err := generate(l)
	if err != nil {
		return 0, err
	}
	if _, err := pour(ctx, client, bodies, l, span/4); err != nil { // warm up
		return 0, err
	}
	begin := time.Now()
	sent, err := pour(ctx, client, bodies, l, span)
	if err != nil {
		return 0, err
	}
	if len(args) > 0 && args[0] == "run" {
		if err := drained(ctx, client); err != nil {
			return 0, err
		}
	}
	return float64(sent) / time.Since(begin).Seconds(), nil
}

// generate makes enough bodies that none is sent twice in quick succession.
func generate(l load) ([][]byte, error) {
	g, err := emitter.NewGenerator(emitter.GeneratorOptions{Emitter: "bench-1", Seed: 1})
	if err != nil {
		return nil, err
	}
	bodies := make([][]byte, 8*l.connections)
	for i := range bodies {
		bodies[i] = g.Append(nil, l.records, time.Now())
	}
	return bodies, nil
}

// pour posts bodies over all connections until the time is over, and returns how many records were stored.
func pour(ctx context.Context, client *emitter.Client, bodies [][]byte, l load, span time.Duration) (int64, error) {
	var sent atomic.Int64
	var failed error
	var once sync.Once
	var wg sync.WaitGroup
	end := time.Now().Add(span)
	for c := range l.connections {
		wg.Go(func() {
			for i := c; time.Now().Before(end); i++ {
				if _, err := client.Send(ctx, bodies[i%len(bodies)], l.records); err != nil {
					once.Do(func() { failed = err })
					return
				}
				sent.Add(int64(l.records))
			}
		})
	}
	wg.Wait()
	return sent.Load(), failed
}

// drained waits until nothing waits and nothing is in flight.
func drained(ctx context.Context, client *emitter.Client) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := client.ServerStats(ctx)
		if err != nil {
			return err
		}
		if st.Depth+st.InFlight == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the analyzers did not catch up within a minute")
		}
	}
}
