package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/analyzer/sleep"
	"github.com/sluicehq/sluice/emitter"
	"github.com/sluicehq/sluice/internal/app"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/words"
	"github.com/sluicehq/sluice/queue/remote"
)

// WeightsOptions say how [Weights] goes.
type WeightsOptions struct {
	Options
	Duration time.Duration // about how long the work takes; zero means 15s
}

// Share is what one analyzer took of the work.
type Share struct {
	Analyzer string  `json:"analyzer"`
	Slots    int     `json:"slots"`
	Records  int64   `json:"records"`
	Expected float64 `json:"expected_percent"` // its part of all slots
	Actual   float64 `json:"actual_percent"`   // its part of the records analyzed so far
}

// weights are the slots of the analyzers in the demo.
var weights = []int{4, 3, 2, 1}

// Weights lets analyzers with different numbers of slots work off one backlog of equal batches. There is an account even if ctx
// ended early, and an error only if the demo could not be given.
func Weights(ctx context.Context, o WeightsOptions) (_ *Account, err error) {
	if o.Duration == 0 {
		o.Duration = 15 * time.Second
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	s, err := startServer(ctx, app.Distributor, o.Options, end, func(*config.Config) {})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	client, err := emitter.NewClient(s.url, emitter.ClientOptions{Logger: o.Log})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	work, err := remote.NewClient(s.url)
	if err != nil {
		return nil, err
	}
	defer work.Close()
	d := &weighing{o: o, client: client, work: work, start: time.Now()}
	return d.run(ctx)
}

// weighing is one run of the demo.
type weighing struct {
	o      WeightsOptions
	client *emitter.Client
	work   *remote.Client
	start  time.Time
	pools  []*analyzer.Pool
}

func (d *weighing) run(ctx context.Context) (*Account, error) {
	slots := 0
	for _, n := range weights {
		slots += n
		p, err := d.pool(n)
		if err != nil {
			return nil, err
		}
		d.pools = append(d.pools, p)
	}
	batches := int64(max(float64(slots)*analyzerRate*d.o.Duration.Seconds()/batchRecords, 1))
	d.o.Screen.Say("A backlog of %s records in %s equal batches, for analyzers with 4, 3, 2 and 1 slots.",
		words.Thousands(batches*batchRecords), words.Thousands(batches))
	load, err := d.backlog(ctx, batches*batchRecords)
	if err != nil {
		return nil, err
	}
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	for _, p := range d.pools {
		all.Go(func() { p.Run(working) }) // can't fail: each runs once
	}
	stopWatch := newWatch(d.work, d.start, d.show).begin(ctx)
	verified, err := verify(ctx, d.client, load, emitter.ServerStats{}, verifyTime+2*d.o.Duration)
	interrupted := ctx.Err() != nil
	stopWatch()
	stopWorking()
	all.Wait()
	if err != nil {
		return nil, err
	}
	d.finish()
	a := newAccount("weights", verified, interrupted, time.Since(d.start))
	a.Weights = d.shares()
	return a, nil
}

// pool is one analyzer with some slots, as one in another process would be.
func (d *weighing) pool(slots int) (*analyzer.Pool, error) {
	sink := count.SinkFunc(func(ctx context.Context, r count.Result) error {
		return d.work.Call(ctx, http.MethodPost, "/v1/results", r, nil)
	})
	return analyzer.NewPool(d.work, sleep.New(sleepPerRecord, count.Handler(sink)), analyzer.Options{
		Name: fmt.Sprintf("slots-%d", slots), Slots: slots, Size: 1, Remote: true, Logger: d.o.Log,
	})
}

// backlog sends all records before anybody works on them.
func (d *weighing) backlog(ctx context.Context, records int64) (*emitter.Pool, error) {
	load, err := emitter.NewPool(d.client, emitter.PoolOptions{Emitters: 4, Records: records, BatchSize: 25 * batchRecords, Seed: 1})
	if err != nil {
		return nil, err
	}
	return load, load.Run(ctx)
}

// shares reads the pools' counters.
func (d *weighing) shares() []Share {
	var shares []Share
	var records int64
	slots := 0
	for i, p := range d.pools {
		s := Share{Analyzer: fmt.Sprintf("slots-%d", weights[i]), Slots: weights[i], Records: p.Stats().Records}
		shares = append(shares, s)
		records += s.Records
		slots += s.Slots
	}
	for i := range shares {
		shares[i].Expected = 100 * float64(shares[i].Slots) / float64(slots)
		if records > 0 {
			shares[i].Actual = 100 * float64(shares[i].Records) / float64(records)
		}
	}
	return shares
}

func (d *weighing) show(w *watch, lineDue bool) {
	history, _ := w.seen()
	if len(history) == 0 {
		return
	}
	if d.o.Screen.Live() {
		d.o.Screen.Draw(func(columns, _ int) []string {
			return append(ShareTable(d.shares(), columns, d.o.Screen.Color), "", Status(history, false, columns))
		})
	} else if lineDue {
		line := Status(history, false, 0) + "  shares"
		for _, s := range d.shares() {
			line += fmt.Sprintf(" %.1f", s.Actual)
		}
		d.o.Screen.Say("%s %%", line)
	}
}

// finish shows the table as it is in the end.
func (d *weighing) finish() {
	if d.o.Screen.Live() {
		d.o.Screen.Draw(func(columns, _ int) []string { return ShareTable(d.shares(), columns, d.o.Screen.Color) })
		d.o.Screen.Leave()
	} else {
		d.o.Screen.Say("%s", strings.Join(ShareTable(d.shares(), leastWidth, false), "\n"))
	}
	d.o.Screen.Say("")
}

// ShareTable draws who took how much of the work, as lines of text no longer than width, which should be 60 or more.
func ShareTable(shares []Share, width int, color bool) []string {
	const head = "analyzer   slots  expected    actual     records  "
	room := max(max(width, leastWidth)-len(head), 1)
	lines := []string{strings.TrimRight(head, " ")}
	for _, s := range shares {
		bar := wideBar(s.Actual/50, room) // half of the work fills the line
		if color {
			bar = sizeColor + bar + plain
		}
		lines = append(lines, fmt.Sprintf("%-10s %5d  %6.1f %%  %6.1f %%  %10s  %s", s.Analyzer, s.Slots, s.Expected, s.Actual, words.Thousands(s.Records), bar))
	}
	return lines
}

// parts are the eighths of a column that a bar can fill from the left, from none to all.
var parts = []rune(" ▏▎▍▌▋▊▉█")

// wideBar is a bar from the left that fills a part of some columns.
func wideBar(part float64, columns int) string {
	n := min(max(int(part*float64(columns)*8+0.5), 0), columns*8)
	bar := strings.Repeat("█", n/8)
	if n%8 > 0 {
		bar += string(parts[n%8])
	}
	return bar
}
