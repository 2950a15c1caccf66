package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/sluicehq/sluice/emitter"
)

// bench is what all measurements share.
type bench struct {
	sluice     string
	dir        string
	cold, warm time.Duration // windows of each load
	backlog    int64         // records
}

// figures are what one measurement found, by metric.
type figures map[string]float64

type measurement func(ctx context.Context, b *bench) (figures, error)

// scenario compares two measurements by one or more metrics.
type scenario struct {
	name, about string
	ours        measurement
	base        measurement // nil if ours measures both sides
	bounds      []bound
}

// bound limits the median ratio of a metric, ours to base. Zero is no limit.
type bound struct {
	metric   string
	min, max float64
	over     string // metric of the base, if it has another name
}

const (
	cold    = "cold records/s"
	warm    = "warm records/s"
	rate    = "records/s" // from the first request to the last answer or acknowledgement
	cpu     = "CPU us/record"
	p50     = "p50 us"
	p99     = "p99 us"
	loadCPU = "load us/record" // CPU of the process that sends the load, which the server lacks
	drain   = "drained records/s"
	mean    = "mean of all"
	found   = "records found" // by the first look at a backlog
)

var (
	batches     = load{Records: 500, Connections: 16}
	singles     = load{Records: 1, Connections: 128}
	bodies2KB   = load{Records: 100, Size: 2000, Connections: 16}
	bodies5MB   = load{Records: 22_000, Connections: 4}
	theFloor    []string // instead of the arguments of sluice
	distributor = []string{"distributor"}
)

func pool(n int) []string { return append([]string{"run"}, analyzers(n)...) }

func analyzers(n int) []string {
	size := strconv.Itoa(n)
	return []string{"--handler", "discard", "--min-size", size, "--max-size", size}
}

// per names a metric that is measured for several numbers of connections or analyzers.
func per(metric string, n int) string { return fmt.Sprintf("%s, %d", metric, n) }

// scenarios are measured in this order. The first, the control, shows how much of a ratio is noise.
var scenarios = []scenario{
	{"control", "batches, floor / floor", ingest(theFloor, batches), ingest(theFloor, batches), []bound{{metric: cold},
		{metric: warm, min: 0.95, max: 1.05}, {metric: cpu, min: 0.95, max: 1.05}, {metric: p50}, {metric: p99}, {metric: loadCPU}}},
	{"batches", "500 records of 228 B, 16 connections: ingest / floor",
		ingest(distributor, batches), ingest(theFloor, batches),
		[]bound{{metric: cold, min: 0.8}, {metric: warm, min: 0.9}, {metric: cpu, max: 1.2}}},
	{"singles", "1 record of 228 B, 128 connections: ingest / floor",
		ingest(distributor, singles), ingest(theFloor, singles),
		[]bound{{metric: cold}, {metric: warm, min: 0.85}, {metric: cpu, max: 1.2}}},
	{"2kb", "100 records of 2 KB, 16 connections: ingest / floor",
		ingest(distributor, bodies2KB), ingest(theFloor, bodies2KB),
		[]bound{{metric: cold}, {metric: warm, min: 0.9}, {metric: cpu, max: 1.2}}},
	{"5mb", "bodies of 5 MB, 4 connections: ingest / floor",
		ingest(distributor, bodies5MB), ingest(theFloor, bodies5MB),
		[]bound{{metric: cold}, {metric: warm, min: 0.7}, {metric: cpu, max: 1.4}}},
	{"latency", "1 record over 1, 16 and 128 connections: ingest / floor", latency(distributor), latency(theFloor),
		[]bound{{metric: per(p50, 1), max: 1.3}, {metric: per(p99, 1), max: 1.3}, {metric: per(p50, 16), max: 1.3},
			{metric: per(p99, 16), max: 1.3}, {metric: per(p50, 128), max: 1.3}, {metric: per(p99, 128), max: 1.3}}},
	{"analyze", "batches: until 2 analyzers have drained them / ingest alone",
		ingest(pool(2), batches), ingest(distributor, batches), []bound{{metric: rate, min: 0.85}}},
	// Within these bounds of the mean, the highest CPU per record is at most 15 % above the lowest.
	{"analyzers", "batches, analyzed meanwhile by 1, 10, 50 and 200 analyzers: each / mean of all", bySize(underLoad), nil,
		[]bound{{per(cpu, 1), 0.93, 1.07, mean}, {per(cpu, 10), 0.93, 1.07, mean},
			{per(cpu, 50), 0.93, 1.07, mean}, {per(cpu, 200), 0.93, 1.07, mean}}},
	// One analyzer keeps one processor busy and more of them keep all busy, which share caches and memory: CPU time then buys less.
	{"drainers", "draining with 1, 10, 50 and 200 analyzers: each / mean of all", bySize(draining), nil,
		[]bound{{metric: per(cpu, 1), over: mean}, {metric: per(cpu, 10), over: mean},
			{metric: per(cpu, 50), over: mean}, {metric: per(cpu, 200), over: mean}}},
	{"workapi", "draining with 4 analyzers: over the work API / in the process",
		backlog(distributor, append([]string{"analyze"}, analyzers(4)...)), backlog(pool(4), nil),
		[]bound{{metric: cpu, max: 3}, {metric: drain}}},
	{"drain", "draining with 2 analyzers / ingest of the same records", backlog(pool(2), nil), nil,
		[]bound{{metric: drain, min: 0.5, over: rate}}},
}

// measure runs both sides of a scenario. In every second round the base comes first: what one side leaves behind on the
// machine then troubles both alike.
func (b *bench) measure(ctx context.Context, s scenario, round int) (ours, base figures, err error) {
	if s.base == nil {
		ours, err = s.ours(ctx, b)
		return ours, ours, err
	}
	if round%2 == 1 {
		s.ours, s.base = s.base, s.ours
		defer func() { ours, base = base, ours }()
	}
	if ours, err = s.ours(ctx, b); err == nil {
		base, err = s.base(ctx, b)
	}
	return ours, base, err
}

// ingest measures a load on a fresh server. Where the server has analyzers, it ends when they have drained the queue.
func ingest(args []string, l load) measurement {
	return func(ctx context.Context, b *bench) (figures, error) {
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
		l.Address, l.PIDs, l.Cold, l.Warm = p.address, []int{p.pid}, b.cold, b.warm
		m, err := b.send(ctx, l)
		if err != nil {
			return nil, err
		}
		if len(args) > 0 && args[0] == "run" {
			if _, m.End, err = drained(ctx, p); err != nil {
				return nil, err
			}
		}
		return figures{cold: m.Cold.rate(), warm: m.Warm.rate(), cpu: m.Warm.CPU, p50: m.Warm.P50, p99: m.Warm.P99,
			rate: m.rate(), loadCPU: m.LoadCPU}, nil
	}
}

// latency measures single records over few and many connections.
func latency(args []string) measurement {
	return func(ctx context.Context, b *bench) (figures, error) {
		all := figures{}
		for _, n := range []int{1, 16, 128} {
			f, err := ingest(args, load{Records: 1, Connections: n})(ctx, b)
			if err != nil {
				return nil, err
			}
			all[per(p50, n)], all[per(p99, n)] = f[p50], f[p99]
		}
		return all, nil
	}
}

func underLoad(n int) measurement { return ingest(pool(n), batches) }

func draining(n int) measurement { return backlog(pool(n), nil) }

// bySize measures what a record costs with pools of different sizes.
func bySize(with func(analyzers int) measurement) measurement {
	return func(ctx context.Context, b *bench) (figures, error) {
		all := figures{}
		sizes := []int{1, 10, 50, 200}
		for _, n := range sizes {
			f, err := with(n)(ctx, b)
			if err != nil {
				return nil, fmt.Errorf("%d analyzers: %w", n, err)
			}
			all[per(cpu, n)] = f[cpu]
			all[mean] += f[cpu] / float64(len(sizes))
		}
		return all, nil
	}
}

// backlog measures how a server drains records that were stored before it started. With more arguments, analyzers in a
// process beside the server drain them.
func backlog(args, more []string) measurement {
	return func(ctx context.Context, b *bench) (figures, error) {
		data, remove, err := b.temp()
		if err != nil {
			return nil, err
		}
		defer remove()
		p, err := b.start(ctx, distributor, data)
		if err != nil {
			return nil, err
		}
		l := batches
		l.Address, l.Warm, l.Limit = p.address, time.Hour, b.backlog
		m, err := b.send(ctx, l)
		p.stop()
		if err != nil {
			return nil, err
		}
		if p, err = b.start(ctx, args, data); err != nil {
			return nil, err
		}
		defer p.stop()
		processes := []*process{p}
		if more != nil {
			a, err := b.start(ctx, append(slices.Clip(more), "--distributor", "http://"+p.address), "")
			if err != nil {
				return nil, err
			}
			defer a.stop()
			processes = append(processes, a)
		}
		f, _, err := drained(ctx, processes...)
		if err != nil {
			return nil, err
		}
		if f[found] < float64(b.backlog)/2 {
			return nil, fmt.Errorf("only %.0f of %d records were left at the first look; make the backlog larger", f[found], b.backlog)
		}
		f[rate] = m.rate()
		return f, nil
	}
}

// drained waits until no record waits or is in flight at the first of the processes, and returns when that was. The figures
// count from the first look on, so that they leave out the start of the processes.
func drained(ctx context.Context, processes ...*process) (f figures, end time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	client, err := emitter.NewClient("http://"+processes[0].address, emitter.ClientOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, end, err
	}
	defer client.Close()
	var pids []int
	for _, p := range processes {
		pids = append(pids, p.pid)
	}
	var began time.Time
	var records, before float64
	for {
		s, err := client.ServerStats(ctx)
		if err != nil {
			return nil, end, err
		}
		end = time.Now()
		used, err := cpuMicros(pids)
		if err != nil {
			return nil, end, err
		}
		left := float64(s.Depth + s.InFlight)
		if began.IsZero() {
			began, records, before = end, left, used
		}
		if left == 0 {
			return figures{drain: records / end.Sub(began).Seconds(), cpu: (used - before) / records, found: records}, end, nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, end, errors.New("the analyzers did not drain the queue within 5 minutes")
		}
	}
}
