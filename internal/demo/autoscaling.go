package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/emitter"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/app"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/words"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// AutoscalingOptions say how [Autoscaling] goes.
type AutoscalingOptions struct {
	Options
	Distributor string        // URL of a distributor that runs already; empty starts one
	Token       func() string // the bearer token to send to it; nil for none
	TLS         *tls.Config   // how to speak to it at https; nil for as usual
	Duration    time.Duration // about how long it takes; zero means 60s
	Emitters    int           // zero means 10
	Rate        float64       // records a second of all emitters; zero means a little less than the largest pool can take

	// Scaler are the settings of the autoscaler, if the demo starts it. CheckInterval zero and Cooldown below zero mean times
	// that fit Duration.
	Scaler autoscale.Options
}

func (o AutoscalingOptions) withDefaults() AutoscalingOptions {
	if o.Duration == 0 {
		o.Duration = time.Minute
	}
	if o.Emitters == 0 {
		o.Emitters = 10
	}
	if o.Scaler.CheckInterval == 0 {
		o.Scaler.CheckInterval = max(o.Duration/60, 10*time.Millisecond)
	}
	if o.Scaler.Cooldown < 0 {
		o.Scaler.Cooldown = o.Duration / 20
	}
	return o
}

// Autoscaling begins with the smallest pool, applies load, stops it, and waits until the pool is small again. There is an account
// even if ctx ended early, and an error only if the demo could not be given.
func Autoscaling(ctx context.Context, o AutoscalingOptions) (_ *Account, err error) {
	o = o.withDefaults()
	ctx, end := context.WithCancel(ctx)
	defer end()
	url := o.Distributor
	if url == "" {
		s, err2 := startServer(ctx, app.Run, o.Options, end, func(c *config.Config) { c.Autoscale, c.Policy.Name = o.Scaler, "threshold" })
		if err2 != nil {
			return nil, err2
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		url = s.url
	}
	stats, err := remote.NewClient(url)
	if err != nil {
		return nil, err
	}
	defer stats.Close()
	stats.Token = o.Token
	stats.UseTLS(o.TLS)
	client, err := emitter.NewClient(url, emitter.ClientOptions{Logger: o.Log, Token: o.Token, TLS: o.TLS})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	d := &autoscaling{o: o, stats: stats, client: client, start: time.Now()}
	if err := d.meet(ctx); err != nil {
		return nil, err
	}
	return d.run(ctx)
}

// autoscaling is one run of the demo.
type autoscaling struct {
	o       AutoscalingOptions
	stats   *remote.Client
	client  *emitter.Client
	start   time.Time
	first   api.Stats         // before anything happened
	scaler  autoscale.Options // of the pool; meaningful only with hasPool
	hasPool bool              // the pool and its autoscaler can be seen
	plan    plan
	watch   *watch
}

// meet looks at what there is to work with, and plans.
func (d *autoscaling) meet(ctx context.Context) (err error) {
	if d.first, err = look(ctx, d.stats); err != nil {
		return fmt.Errorf("look at the distributor: %w", err)
	}
	if d.first.Ingest == nil {
		return fmt.Errorf("%s is a process of the kind %q, which takes no records; give the address of \"sluice run\" or \"sluice distributor\"",
			d.client.URL(), d.first.Role)
	}
	d.scaler = d.o.Scaler
	d.hasPool = d.first.Pool != nil && d.first.Autoscaler != nil
	size := d.scaler.MinSize
	if d.hasPool {
		answer, err := d.decisions(ctx)
		if err != nil {
			return fmt.Errorf("ask for the autoscaler's settings: %w", err)
		}
		d.scaler, size = answer.Settings.Options(), d.first.Pool.Size
	}
	if d.o.Rate == 0 {
		d.o.Rate = heavy(d.scaler.MaxSize)
	}
	d.plan = planFor(d.scaler, size, d.o.Duration)
	d.watch = newWatch(d.stats, d.start, d.show)
	return nil
}

// heavy is a load that a pool can just take at its largest: more than it has at first, so that a backlog grows, which is then
// worked off under load.
func heavy(maxSize int) float64 { return 0.85 * analyzerRate * float64(max(maxSize, 1)) }

func (d *autoscaling) decisions(ctx context.Context) (answer api.Decisions, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	err = d.stats.Call(ctx, "GET", "/v1/decisions", nil, &answer)
	return answer, err
}

// plan says how long each part of the demo takes.
type plan struct {
	calm   time.Duration // before the load
	load   time.Duration
	shrink time.Duration // from an empty queue to the smallest pool
}

// planFor makes the load last for half of the duration, or longer where the pool needs longer to grow.
func planFor(o autoscale.Options, size int, duration time.Duration) plan {
	check := max(o.CheckInterval, time.Millisecond)
	step := max((o.Cooldown+check-1)/check, 1) * check // checks stay on their grid
	up := time.Duration(steps(o.MaxSize-size, o.ScaleUpCount)) * step
	down := time.Duration(steps(o.MaxSize-o.MinSize, o.ScaleDownCount)) * step
	return plan{
		calm:   duration / 20,
		load:   max(duration/2, check+up+duration/10),
		shrink: check + down,
	}
}

// steps is how many steps of a size it takes to cover a distance.
func steps(distance, size int) int {
	return max(distance+size-1, 0) / max(size, 1)
}

func (p plan) total() time.Duration { return p.calm + p.load + p.shrink }

func (d *autoscaling) run(ctx context.Context) (*Account, error) {
	d.announce()
	stop := d.watch.begin(ctx)
	pause(ctx, d.plan.calm)
	load, loadErr := d.load(ctx)
	var verified emitter.Account
	verifyErr := loadErr
	if loadErr == nil {
		if ctx.Err() == nil {
			line := "The emitters stop. What still waits is worked off"
			if d.hasPool {
				line += fmt.Sprintf("; then the pool shrinks, %d at a time", d.scaler.ScaleDownCount)
			}
			d.o.Screen.Say("%s.", line)
		}
		verified, verifyErr = verify(ctx, d.client, load, d.before(), verifyTime+3*d.plan.load)
	}
	if verifyErr == nil {
		d.shrink(ctx)
	}
	interrupted := ctx.Err() != nil
	stop()
	d.o.Screen.Leave()
	if verifyErr != nil {
		return nil, verifyErr
	}
	a := newAccount("autoscaling", verified, interrupted, time.Since(d.start))
	if d.hasPool {
		a.Pool = d.story(context.WithoutCancel(ctx))
		d.tell(a.Pool, interrupted)
	}
	return a, nil
}

func (d *autoscaling) before() emitter.ServerStats {
	return emitter.ServerStats{Accepted: d.first.Accepted, Completed: d.first.Completed, Dead: d.first.Dead}
}

// announce says what is there at the beginning.
func (d *autoscaling) announce() {
	say := d.o.Screen.Say
	switch {
	case !d.hasPool:
		say("The distributor at %s has no pool in its process: analyzers elsewhere can't be seen from here, only the records that wait.", d.client.URL())
	case d.o.Distributor == "":
		say("A pool of %s, each good for %.0f records/s, and no load. It may grow to %d.",
			words.Plural(d.first.Pool.Size, "analyzer", "analyzers"), analyzerRate, d.scaler.MaxSize)
	default:
		say("The distributor at %s has a pool of %s and keeps between %d and %d.",
			d.client.URL(), words.Plural(d.first.Pool.Size, "analyzer", "analyzers"), d.scaler.MinSize, d.scaler.MaxSize)
	}
	if total := d.plan.total(); d.hasPool && total > d.o.Duration*5/4 {
		say("With its settings (a check each %v, a cooldown of %v) this takes about %v.", d.scaler.CheckInterval, d.scaler.Cooldown, total.Round(time.Second))
	}
}

// load sends records until it is time to stop. It returns when every post has its answer.
func (d *autoscaling) load(ctx context.Context) (*emitter.Pool, error) {
	load, err := emitter.NewPool(d.client, emitter.PoolOptions{
		Emitters: d.o.Emitters, Profile: emitter.Constant{Rate: d.o.Rate}, BatchSize: batchRecords, Duration: d.plan.load, Seed: 1,
	})
	if err != nil {
		return nil, err
	}
	if ctx.Err() == nil {
		line := fmt.Sprintf("%s send %s records/s now.", words.Plural(d.o.Emitters, "emitter", "emitters"), words.Thousands(int64(d.o.Rate)))
		if d.hasPool {
			line += fmt.Sprintf(" While %s or more wait, each action adds %d; between two actions lie %v.",
				words.Thousands(d.scaler.ScaleUpThreshold), d.scaler.ScaleUpCount, d.scaler.Cooldown)
		}
		d.o.Screen.Say("%s", line)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = load.Run(ctx)
	}()
	growing, stopWaiting := context.WithCancel(ctx)
	defer stopWaiting()
	herald := make(chan struct{})
	go func() {
		defer close(herald)
		if d.hasPool && d.watch.until(growing, d.plan.load, func(s Sample) bool { return s.Size >= d.scaler.MaxSize }) {
			d.o.Screen.Say("The pool has its maximum of %d analyzers.", d.scaler.MaxSize)
		}
	}()
	<-ended
	stopWaiting()
	<-herald
	return load, err
}

// shrink waits until the pool has its minimum again.
func (d *autoscaling) shrink(ctx context.Context) {
	if !d.hasPool || ctx.Err() != nil {
		return
	}
	small := func(s Sample) bool { return s.Size <= d.scaler.MinSize }
	switch {
	case d.watch.until(ctx, 2*d.plan.shrink+10*time.Second, small):
		d.o.Screen.Say("Every record is analyzed, and the pool is back at %d.", d.scaler.MinSize)
	case ctx.Err() == nil:
		history, _ := d.watch.seen()
		s := history[len(history)-1]
		d.o.Screen.Say("The pool is still at %d, and the time is over. Its last reason: %s", s.Size, s.Reason)
	}
}

// show draws the newest state.
func (d *autoscaling) show(w *watch, lineDue bool) {
	history, st := w.seen()
	if len(history) == 0 {
		return
	}
	reason := history[len(history)-1].Reason
	if w.down != nil && errors.Is(w.down, queue.ErrUnavailable) {
		reason = "the distributor does not answer"
	}
	if !d.o.Screen.Live() {
		if lineDue {
			line := Status(history, d.hasPool, 0)
			if d.hasPool {
				line += "  " + reason
			}
			d.o.Screen.Say("%s", line)
		}
		return
	}
	d.o.Screen.Draw(func(columns, rows int) []string {
		o := ChartOptions{Width: columns, Span: d.plan.total(), Color: d.o.Screen.Color}
		if d.hasPool {
			o.Up, o.Down, o.Min, o.Max = d.scaler.ScaleUpThreshold, d.scaler.ScaleDownThreshold, d.scaler.MinSize, d.scaler.MaxSize
		}
		o.DepthRows, o.SizeRows = panelRows(rows, d.hasPool && st.Pool != nil)
		lines := append(Chart(history, o), Status(history, d.hasPool, columns))
		if d.hasPool {
			lines = append(lines, cut("        last decision: "+reason, columns))
		}
		return lines
	})
}

// panelRows shares the rows of a terminal among the panels, and leaves a few for what is said above them.
func panelRows(rows int, pool bool) (depth, size int) {
	const others = 5 // titles, time, status, reason
	free := rows - others - 4
	if !pool {
		return min(max(free, 3), 12), 0
	}
	return min(max(free*3/5, 3), 10), min(max(free*2/5, 2), 6)
}

// story sums up what became of the pool.
func (d *autoscaling) story(ctx context.Context) *PoolStory {
	history, _ := d.watch.seen()
	p := &PoolStory{StartSize: d.first.Pool.Size, PeakSize: d.first.Pool.Size, EndSize: d.first.Pool.Size, Decisions: []autoscale.Decision{}}
	for _, s := range history {
		p.PeakSize, p.PeakDepth, p.EndSize = max(p.PeakSize, s.Size), max(p.PeakDepth, s.Depth), s.Size
	}
	if st, err := look(ctx, d.stats); err == nil && st.Pool != nil && st.Autoscaler != nil {
		p.EndSize = st.Pool.Size
		p.ScaleUps = st.Autoscaler.TotalScaleUps - d.first.Autoscaler.TotalScaleUps
		p.ScaleDowns = st.Autoscaler.TotalScaleDowns - d.first.Autoscaler.TotalScaleDowns
	}
	answer, err := d.decisions(ctx)
	if err != nil {
		return p
	}
	for _, made := range answer.Decisions {
		if last := d.first.Autoscaler.LastDecision; last != nil && !made.Time.After(last.Time) {
			continue // before the demo
		}
		p.PeakDepth = max(p.PeakDepth, made.Depth)
		if made.Action != autoscale.ActionHold {
			p.PeakSize = max(p.PeakSize, made.NewSize)
			p.Decisions = append(p.Decisions, made)
		}
	}
	return p
}

// tell prints the decisions that changed the size.
func (d *autoscaling) tell(p *PoolStory, interrupted bool) {
	if len(p.Decisions) == 0 {
		if interrupted {
			return
		}
		d.o.Screen.Say("\nThe pool did not change its size: a load of %s records/s was no backlog for it. Try a greater --rate.\n", words.Thousands(int64(d.o.Rate)))
		return
	}
	d.o.Screen.Say("\nThe decisions that changed the size:")
	for _, made := range p.Decisions {
		d.o.Screen.Say("  %s  %-8s  %s", made.Time.Local().Format(time.TimeOnly), fmt.Sprintf("%d → %d", made.Size, made.NewSize), made.Reason)
	}
	d.o.Screen.Say("")
}
