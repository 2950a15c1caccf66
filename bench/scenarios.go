package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/sluicehq/sluice/emitter"
)

// bench is what all measurements share.
type bench struct {
	sluice     string
	dir        string
	cold, warm time.Duration
	backlog    int64
}

// figures are what one side of a pair measured, by metric.
type figures map[string]float64

// scenario compares two sides, ours and a base, by one or more metrics.
type scenario struct {
	name, about string
	ours, base  string
	// measure returns the figures of both sides. When swapped is set it measures the base first: what one side leaves
	// behind on the machine then troubles both alike.
	measure func(ctx context.Context, b *bench, swapped bool) (ours, base figures, err error)
	bounds  []bound
}

// bound is what is wanted of the median ratio of a metric, ours to base. Zero is no bound.
type bound struct {
	metric   string
	min, max float64
}

const (
	cold = "cold records/s"
	warm = "warm records/s"
	cpu  = "CPU us/record"
	p50  = "p50 us"
	p99  = "p99 us"
	rate = "records/s"
)

var (
	batches = load{Records: 500, Connections: 16}
	singles = load{Records: 1, Connections: 128}

	distributor = []string{"distributor"}
)

// pool is sluice with a pool of n analyzers in the process.
func pool(n int) []string { return append([]string{"run"}, analyzers(n)...) }

func analyzers(n int) []string {
	size := strconv.Itoa(n)
	return []string{"--handler", "discard", "--min-size", size, "--max-size", size}
}

const ours, theFloor = "durable ingest", "floor"

// scenarios are measured in this order. The first, the control, shows how much of a ratio is noise.
var scenarios = []scenario{
	{"control", "floor against itself, batches", theFloor, theFloor, ingest(nil, batches),
		[]bound{{cold, 0, 0}, {warm, 0.95, 1.05}, {cpu, 0.95, 1.05}, {p50, 0, 0}, {p99, 0, 0}}},
	{"batches", "500 records of 228 B, 16 connections", ours, theFloor, ingest(distributor, batches),
		[]bound{{cold, 0.8, 0}, {warm, 0.9, 0}, {cpu, 0, 1.2}}},
	{"singles", "1 record of 228 B, 128 connections", ours, theFloor, ingest(distributor, singles),
		[]bound{{cold, 0, 0}, {warm, 0.85, 0}, {cpu, 0, 1.2}}},
	{"2kb", "100 records of 2 KB, 16 connections", ours, theFloor,
		ingest(distributor, load{Records: 100, Size: 2000, Connections: 16}),
		[]bound{{cold, 0, 0}, {warm, 0.9, 0}, {cpu, 0, 1.2}}},
	{"5mb", "bodies of 5 MB, 4 connections", ours, theFloor, ingest(distributor, load{Records: 22_000, Connections: 4}),
		[]bound{{cold, 0, 0}, {warm, 0.7, 0}, {cpu, 0, 1.4}}},
	{"latency", "1 record, 1 connection", ours, theFloor, ingest(distributor, load{Records: 1, Connections: 1}), latencies},
	{"latency16", "1 record, 16 connections", ours, theFloor, ingest(distributor, load{Records: 1, Connections: 16}), latencies},
	{"latency128", "1 record, 128 connections", ours, theFloor, ingest(distributor, singles), latencies},
	{"analyze", "batches until all are analyzed, 2 analyzers", "ingest + analyze", "ingest alone", analyze,
		[]bound{{rate, 0.85, 0}}},
	{"analyzers", "CPU of draining a backlog, by analyzers", "so many analyzers", "mean of all", bySize,
		[]bound{{perSize(1), spread.min, spread.max}, {perSize(10), spread.min, spread.max},
			{perSize(50), spread.min, spread.max}, {perSize(200), spread.min, spread.max}}},
	{"workapi", "CPU of draining with 4 analyzers", "work API", "in the process", workAPI, []bound{{cpu, 0, 3}, {rate, 0, 0}}},
	{"drain", "draining a backlog, 2 analyzers", "drain", "ingest", drainRate, []bound{{rate, 0.5, 0}}},
}

var (
	latencies = []bound{{p50, 0, 1.3}, {p99, 0, 1.3}}
	spread    = bound{min: 0.93, max: 1.07} // of the mean: the dearest costs at most 15 % more than the cheapest
)

func perSize(n int) string { return fmt.Sprintf("%s, %d", cpu, n) }

// ingest compares a server with the floor under the same load.
func ingest(args []string, l load) func(context.Context, *bench, bool) (figures, figures, error) {
	return func(ctx context.Context, b *bench, swapped bool) (figures, figures, error) {
		return inTurn(swapped,
			func() (figures, error) { return b.ingest(ctx, args, l) },
			func() (figures, error) { return b.ingest(ctx, nil, l) })
	}
}

func inTurn(swapped bool, ours, base func() (figures, error)) (a, b figures, err error) {
	if swapped {
		b, a, err = inTurn(false, base, ours)
		return a, b, err
	}
	if a, err = ours(); err == nil {
		b, err = base()
	}
	return a, b, err
}

func (b *bench) ingest(ctx context.Context, args []string, l load) (figures, error) {
	data, remove, err := b.temp()
	if err != nil {
		return nil, err
	}
	defer remove()
	p, err := b.start(ctx, args, data)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	m, err := b.load(ctx, p, l)
	if err != nil {
		return nil, err
	}
	return figures{cold: m.Cold.rate(), warm: m.Warm.rate(), cpu: m.Warm.CPU, p50: m.Warm.P50, p99: m.Warm.P99,
		"generator us/record": m.GeneratorCPU}, nil
}

// load sends a load to a server for both windows.
func (b *bench) load(ctx context.Context, p *process, l load) (measured, error) {
	l.Address, l.PIDs, l.Cold, l.Warm = p.address, []int{p.pid}, b.cold, b.warm
	return b.send(ctx, l)
}

// analyze compares ingest with analysis, until the last record is acknowledged, with ingest alone.
func analyze(ctx context.Context, b *bench, swapped bool) (figures, figures, error) {
	measure := func(args []string, drains bool) (figures, error) {
		data, remove, err := b.temp()
		if err != nil {
			return nil, err
		}
		defer remove()
		p, err := b.start(ctx, args, data)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		m, err := b.load(ctx, p, batches)
		if err != nil {
			return nil, err
		}
		if drains {
			d, err := b.drained(ctx, p)
			if err != nil {
				return nil, err
			}
			m.End = d.end
		}
		return figures{rate: m.rate()}, nil
	}
	return inTurn(swapped,
		func() (figures, error) { return measure(pool(2), true) },
		func() (figures, error) { return measure(distributor, false) })
}

// bySize compares what a drained record costs with pools of different sizes.
func bySize(ctx context.Context, b *bench, swapped bool) (figures, figures, error) {
	sizes := []int{1, 10, 50, 200}
	all, mean := figures{}, figures{}
	sum := 0.0
	for i := range sizes {
		n := sizes[i]
		if swapped {
			n = sizes[len(sizes)-1-i]
		}
		d, err := b.drain(ctx, pool(n), nil)
		if err != nil {
			return nil, nil, fmt.Errorf("%d analyzers: %w", n, err)
		}
		all[perSize(n)] = d.cpu
		sum += d.cpu
	}
	for metric := range all {
		mean[metric] = sum / float64(len(sizes))
	}
	return all, mean, nil
}

// workAPI compares analyzers in another process with those in the same.
func workAPI(ctx context.Context, b *bench, swapped bool) (figures, figures, error) {
	measure := func(args, more []string) (figures, error) {
		d, err := b.drain(ctx, args, more)
		return figures{cpu: d.cpu, rate: d.rate}, err
	}
	return inTurn(swapped,
		func() (figures, error) { return measure(distributor, append([]string{"analyze"}, analyzers(4)...)) },
		func() (figures, error) { return measure(pool(4), nil) })
}

// drainRate compares the rate of draining a backlog with the rate of its ingest.
func drainRate(ctx context.Context, b *bench, _ bool) (figures, figures, error) {
	d, err := b.drain(ctx, pool(2), nil)
	return figures{rate: d.rate}, figures{rate: d.ingest}, err
}

// drainage is what working off a backlog took.
type drainage struct {
	ingest float64 // records per second while the backlog was stored
	rate   float64 // records per second while it was drained
	cpu    float64 // microseconds per record of all processes
	end    time.Time
}

// drain stores a backlog, restarts the server, and waits until the backlog is analyzed. With more arguments it starts
// analyzers in a process beside the server.
func (b *bench) drain(ctx context.Context, args, more []string) (d drainage, err error) {
	data, remove, err := b.temp()
	if err != nil {
		return d, err
	}
	defer remove()
	p, err := b.start(ctx, distributor, data)
	if err != nil {
		return d, err
	}
	l := batches
	l.Address, l.Cold, l.Warm, l.Limit = p.address, b.cold, time.Hour, b.backlog
	m, err := b.send(ctx, l)
	p.stop()
	if err != nil {
		return d, err
	}
	if p, err = b.start(ctx, args, data); err != nil {
		return d, err
	}
	defer p.stop()
	processes := []*process{p}
	if more != nil {
		a, err := b.start(ctx, append(more, "--distributor", "http://"+p.address), "")
		if err != nil {
			return d, err
		}
		defer a.stop()
		processes = append(processes, a)
	}
	d, err = b.drained(ctx, processes...)
	d.ingest = m.rate()
	return d, err
}

// drained waits until no record waits or is in flight at the first of some processes. It measures from the first look on: a
// process that has just started is done with that by then.
func (b *bench) drained(ctx context.Context, processes ...*process) (d drainage, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	client, err := emitter.NewClient("http://"+processes[0].address, emitter.ClientOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return d, err
	}
	defer client.Close()
	var pids []int
	for _, p := range processes {
		pids = append(pids, p.pid)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var began time.Time
	var records, before float64
	for {
		s, err := client.ServerStats(ctx)
		if err != nil {
			return d, err
		}
		d.end = time.Now()
		used, err := cpuMicros(pids)
		if err != nil {
			return d, err
		}
		left := float64(s.Depth + s.InFlight)
		if began.IsZero() {
			began, records, before = d.end, left, used
		}
		if left == 0 {
			d.rate = records / d.end.Sub(began).Seconds()
			d.cpu = (used - before) / records
			return d, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return d, errors.New("the analyzers did not drain the backlog within 5 minutes")
		}
	}
}
