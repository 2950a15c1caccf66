// Package app builds a process out of the rooms, joins them, and starts and stops them in order. It is the only room that
// knows everyone.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/analyzer/discard"
	"github.com/sluicehq/sluice/analyzer/sleep"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/league"
	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/internal/access"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/dashboard"
	"github.com/sluicehq/sluice/internal/history"
	"github.com/sluicehq/sluice/internal/results"
	"github.com/sluicehq/sluice/internal/tap"
	"github.com/sluicehq/sluice/queue/disk"
	"github.com/sluicehq/sluice/queue/remote"
)

// Role is what a process does.
type Role string

// The roles.
const (
	Run         Role = "run"         // everything in one process
	Distributor Role = "distributor" // takes records in and hands batches out
	Analyze     Role = "analyze"     // a pool of analyzers for a distributor elsewhere
)

// Options of a process beyond its configuration.
type Options struct {
	Role      Role
	Config    *config.Config
	Version   string
	Log       *slog.Logger
	AnyListen bool         // when the address is taken, listen on any free port instead of failing
	Listening func(string) // called with the address once requests are answered
}

// App is a process that is ready to run.
type App struct {
	o         Options
	log       *slog.Logger
	listener  api.Listener
	tokens    *access.Tokens // nil where everybody may ask
	queue     *disk.Queue
	results   *results.Store
	intake    *distributor.Distributor
	remote    *remote.Client
	instance  string           // tells this process from others, for the distributor
	lastShare remote.PoolShare // that the distributor answered; for the autoscaler's goroutine
	pool      *analyzer.Pool
	scaler    *autoscale.Controller
	memory    atomic.Pointer[keeper] // what the autoscaler learns; nil where nothing is kept
	tuner     *tuner                 // nil where there is no autoscaler
	league    *league.League         // nil where no policies are compared
	meter     *meter                 // nil where nobody wants to know the arrivals
	tap       tap.Tap
	series    *history.Series
	acted     *history.Journal
	api       *api.Server
	stopping  atomic.Bool
}

// stopGrace is how long requests that are being answered may take once the process is asked to stop.
const stopGrace = 10 * time.Second

// New opens everything a process of this role needs, or nothing.
func New(ctx context.Context, o Options) (*App, error) {
	a := &App{o: o, log: o.Log, instance: rand.Text(), lastShare: remote.Whole}
	if err := a.open(ctx); err != nil {
		a.close()
		return nil, err
	}
	a.api = api.New(a.rooms(), func() error {
		if a.stopping.Load() {
			return errors.New("stopping")
		}
		return nil
	})
	return a, nil
}

func (a *App) open(ctx context.Context) error {
	if err := a.listen(); err != nil {
		return err
	}
	if file := a.o.Config.TokenFile; file != "" {
		var err error
		if a.tokens, err = access.ReadTokens(file, a.log); err != nil {
			return err
		}
	}
	open := a.openLocal
	if a.o.Role == Analyze {
		open = a.openRemote
	}
	if err := open(ctx); err != nil {
		return err
	}
	if a.o.Role != Distributor {
		if err := a.openPool(); err != nil {
			return err
		}
	}
	a.openCharts()
	return a.openMeter()
}

// listen takes the address first, so that a port in use is told before anything else is touched.
func (a *App) listen() error {
	addr := a.o.Config.Listen
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		if !a.o.AnyListen {
			return fmt.Errorf("listen on %s: the port is in use; stop the process that has it, or choose another with --listen", addr)
		}
		host, _, _ := net.SplitHostPort(addr)
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w; want an address like :8000 or 127.0.0.1:8000", addr, err)
	}
	a.listener = api.Listener{TCPListener: l.(*net.TCPListener)} // listening on "tcp" makes no other
	return nil
}

func (a *App) openLocal(ctx context.Context) (err error) {
	c := a.o.Config
	qo := c.Queue
	qo.Logger = a.log
	if a.queue, err = disk.Open(ctx, qo); err != nil {
		return err
	}
	if a.results, err = results.Open(filepath.Join(qo.Dir, "results"), resultsOptions(qo)); err != nil {
		return err
	}
	if a.intake, err = distributor.New(a.queue, c.Intake); err != nil {
		return err
	}
	a.intake.Stored = func(b *sluice.Batch) { a.show(tap.In, b) }
	return nil
}

// resultsOptions makes results as durable as the records that they are of.
func resultsOptions(qo disk.Options) results.Options {
	return results.Options{Sync: qo.Durability == disk.Disk, Logger: qo.Logger}
}

func (a *App) openRemote(context.Context) (err error) {
	if a.remote, err = remote.NewClient(a.o.Config.Distributor); err == nil && a.tokens != nil {
		a.remote.Token = a.tokens.First
	}
	return err
}

// handler is what the analyzers do with a batch, and lets people look at what was done.
func (a *App) handler() analyzer.Handler {
	h := a.work()
	return analyzer.HandlerFunc(func(ctx context.Context, b *sluice.Batch) error {
		err := h.Handle(ctx, b)
		if err == nil {
			a.show(tap.Done, b)
		}
		return err
	})
}

// show offers a batch to those who look at live records. It is unpacked for that only where somebody does.
func (a *App) show(edge string, b *sluice.Batch) {
	if !a.tap.Listened(edge) {
		return
	}
	if lines, err := b.Lines(); err == nil {
		a.tap.Offer(edge, lines)
	}
}

// work builds the handler that is configured.
func (a *App) work() analyzer.Handler {
	h := a.o.Config.Handler
	if h.Name == config.HandlerDiscard {
		return discard.Handler{}
	}
	var sink count.Sink = a.results
	if a.remote != nil {
		sink = count.SinkFunc(func(ctx context.Context, r count.Result) error {
			return a.remote.Call(ctx, http.MethodPost, "/v1/results", r, nil)
		})
	}
	counting := count.Handler(sink)
	if h.Name == config.HandlerSleep {
		slow := sleep.New(h.SleepPerRecord, counting)
		slow.Faults = h.Faults
		return slow
	}
	return counting
}

func (a *App) rooms() api.Rooms {
	r := api.Rooms{
		Role: string(a.o.Role), Version: a.o.Version, Started: time.Now(), Log: a.log,
		ReadOnly: a.o.Config.ReadOnly, Auth: a.tokens != nil, Page: dashboard.Handler(), Series: a.series, Acted: a.acted, Tap: &a.tap, Distributor: a.intake, Pool: a.pool, Scaler: a.scaler, League: a.league,
	}
	if a.queue != nil { // an interface must not hold a nil pointer
		r.Queue, r.Results = a.queue, a.results
	}
	if a.tuner != nil {
		r.SLO, r.Tuner = a.tuner.slo, a.tuner
	}
	return r
}

// Address is where the process answers requests, with the port it really got.
func (a *App) Address() string { return a.listener.Addr().String() }

// Run works until ctx ends, then stops in order: no more records, the autoscaler, what the analyzers have in hand, requests,
// the queue. Until the end it answers how far it is. It returns nil when it was asked to stop.
func (a *App) Run(ctx context.Context) error {
	defer a.close()
	idle := &api.IdleLimit{Max: a.o.Config.MaxIdleConnections}
	srv := &http.Server{
		Handler:           &access.Guard{Tokens: a.tokens, Base: a.o.Config.BasePath, SignIn: dashboard.SignIn(), Next: a.api},
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ConnState:         idle.ConnState,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	watching := watch(a.api)
	defer watching()
	if a.meter != nil { // it looks before the first record and after the last
		defer a.meter.start()()
	}
	a.log.Info("ready", "role", a.o.Role, "address", a.Address(), "version", a.o.Version, "pid", os.Getpid())
	g, ctx := errgroup.WithContext(ctx)
	drained := make(chan struct{}) // the analyzers have ended
	g.Go(func() error {
		if err := srv.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		defer close(drained)
		if a.pool == nil {
			<-ctx.Done()
			return nil
		}
		return a.runPool(ctx)
	})
	g.Go(func() error {
		<-ctx.Done()
		a.log.Info("stopping", "role", a.o.Role)
		a.stopping.Store(true)
		a.api.Stop()
		<-drained
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil { // somebody is still talking
			srv.Close()
		}
		return nil
	})
	if a.o.Listening != nil {
		a.o.Listening(a.Address())
	}
	err := g.Wait()
	a.logStopped()
	return err
}

// logStopped says how the process ends, so that the log tells a clean stop from a sudden death.
func (a *App) logStopped() {
	args := []any{"role", a.o.Role}
	if a.pool != nil {
		st := a.pool.Stats()
		args = append(args, "analyzed_records", st.Records, "handed_back_batches", st.HandedBack)
	}
	if a.queue != nil {
		if st, err := a.queue.Stats(context.Background()); err == nil {
			args = append(args, "waiting_records", st.Waiting+st.InFlight, "dead_records", st.Dead)
		}
	}
	a.log.Info("stopped", args...)
}

// runPool runs the pool and the autoscaler beside it, which stops first.
func (a *App) runPool(ctx context.Context) error {
	poolCtx, stopPool := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPool()
	var g errgroup.Group
	g.Go(func() error { return a.pool.Run(poolCtx) })
	if a.remote != nil {
		g.Go(func() error {
			<-ctx.Done()
			a.leave()
			return nil
		})
	}
	g.Go(func() error {
		defer stopPool()
		if m := a.memory.Load(); m != nil {
			stopKeeping := m.start(a.memory.Load)
			defer stopKeeping()
		}
		return a.scaler.Run(ctx)
	})
	return g.Wait()
}

// close lets go of everything that New opened, what opened first last.
func (a *App) close() {
	if a.series != nil {
		a.series.Close()
		a.acted.Close()
	}
	if a.intake != nil {
		a.intake.Close()
	}
	if a.results != nil {
		if err := a.results.Close(); err != nil {
			a.log.Error("results not closed cleanly", "error", err)
		}
	}
	if a.queue != nil {
		if err := a.queue.Close(); err != nil {
			a.log.Error("queue not closed cleanly", "error", err)
		}
	}
	if a.remote != nil {
		a.remote.Close()
	}
	if a.listener.TCPListener != nil {
		a.listener.Close() // closed already after Run
	}
}
