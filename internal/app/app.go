// Package app builds a process out of the rooms, joins them, and starts and stops them in order. It is the only room that
// knows everyone.
package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
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
	"github.com/sluicehq/sluice/internal/slo"
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
	listener  *api.Listener  // nil where it could not listen
	tokens    *access.Tokens // nil where everybody may ask
	tls       *tls.Config    // nil for plain HTTP
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
	waits     *slo.Tracker           // of the queue here; nil where it is elsewhere
	poolsSLO  atomic.Int64           // the shortest of the pools elsewhere, in nanoseconds; 0 for none
	far       farWaits               // of the queue elsewhere
	tap       tap.Tap
	series    *history.Series
	acted     *history.Journal
	api       *api.Server
	stopping  atomic.Bool
}

// stopGrace is how long requests that are being answered may take once the process is asked to stop.
const stopGrace = 10 * time.Second

// resultTime is how long a distributor may take to store a result. The handler is told then, and its batch comes again.
const resultTime = 10 * time.Second

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
	if c := a.o.Config; c.TLSCert != "" {
		var err error
		if a.tls, err = access.ServerTLS(access.ServerFiles{Cert: c.TLSCert, Key: c.TLSKey, ClientCA: c.TLSClientCA}, a.log); err != nil {
			return err
		}
	}
	a.warnOpen()
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
	a.listener = &api.Listener{
		TCPListener: l.(*net.TCPListener), // listening on "tcp" makes no other
		Max:         a.maxConnections(),
		Idle:        &api.IdleLimit{Max: a.o.Config.MaxIdleConnections},
		Log:         a.log,
	}
	return nil
}

// maxConnections is how many connections the limit of open files leaves room for. The runtime has raised it to the hard limit.
func (a *App) maxConnections() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0
	}
	queue := int64(0)
	if a.o.Role != Analyze {
		c := a.o.Config.Queue.WithDefaults()
		queue = 2 * c.MaxBytes / c.SegmentBytes // it takes up to twice MaxBytes
	}
	return api.MaxConnections(uint64(files.Cur), queue)
}

// warnOpen says what any client may do where others than this machine can reach the process and need neither token nor certificate.
func (a *App) warnOpen() {
	c := a.o.Config
	addr, ok := a.listener.Addr().(*net.TCPAddr)
	if a.tokens != nil || c.TLSClientCA != "" || ok && addr.IP.IsLoopback() {
		return
	}
	may := access.Anything
	if a.o.Role == Analyze {
		may &^= access.Ingest | access.Work
	}
	if c.ReadOnly {
		may &^= access.Operate
	}
	a.log.Warn("any client that reaches this address needs no token", "address", a.Address(), "may", may.Describe(),
		"do", "set token_file, or listen on 127.0.0.1")
}

func (a *App) openLocal(ctx context.Context) (err error) {
	c := a.o.Config
	qo := c.Queue
	qo.Logger = a.log
	a.openWaits()
	qo.Observer = a.waits
	if a.queue, err = disk.Open(ctx, qo); err != nil {
		return err
	}
	a.waits.Keep(filepath.Join(qo.Dir, "slo.json"), time.Now(), a.log) // only now the folder is ours
	if a.results, err = results.Open(filepath.Join(qo.Dir, "results"), resultsOptions(qo)); err != nil {
		return err
	}
	if a.intake, err = distributor.New(a.queue, c.Intake); err != nil {
		return err
	}
	a.intake.Stored = func(b *sluice.Batch) { a.tap.Show(tap.In, b) }
	return nil
}

// resultsOptions makes results as durable as the records that they are of.
func resultsOptions(qo disk.Options) results.Options {
	return results.Options{Sync: qo.Durability == disk.Disk, Logger: qo.Logger}
}

func (a *App) openRemote(context.Context) (err error) {
	c := a.o.Config
	if a.remote, err = remote.NewClient(c.Distributor); err != nil {
		return err
	}
	if a.tokens != nil {
		a.remote.Token = a.tokens.For(access.Work)
	}
	conf, err := access.ClientTLS(access.ClientFiles{CA: c.TLSCA, Cert: c.TLSClientCert, Key: c.TLSClientKey}, a.log)
	a.remote.UseTLS(conf)
	return err
}

// handler is what the analyzers do with a batch, and lets people look at what was done.
func (a *App) handler() analyzer.Handler {
	h := a.work()
	return analyzer.HandlerFunc(func(ctx context.Context, b *sluice.Batch) error {
		err := h.Handle(ctx, b)
		if err == nil {
			a.tap.Show(tap.Done, b)
		}
		return err
	})
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
			ctx, cancel := context.WithTimeout(ctx, resultTime)
			defer cancel()
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
		r.Queue, r.Results, r.PoolsSLO = a.queue, a.results, a.judgeBy
	}
	r.SLO, r.Waits = a.slo, a.report
	if u, err := url.Parse(a.o.Config.Distributor); err == nil && a.remote != nil {
		u.User = nil // who may see it need not know that
		r.Upstream = u.String()
	}
	if a.tuner != nil {
		r.Tuner = a.tuner
	}
	return r
}

// Address is where the process answers requests, with the port it really got.
func (a *App) Address() string { return a.listener.Addr().String() }

// Run works until ctx ends, then stops in order: no more records, the autoscaler, what the analyzers have in hand, requests,
// the queue. Until the end it answers how far it is. It returns nil when it was asked to stop. Each step has its time: a queue or
// a disk that does not answer any more keeps no process alive.
func (a *App) Run(ctx context.Context) error {
	srv := &http.Server{
		Handler:           api.RefuseAmbiguous(api.Bodies{Next: a.guard(), Stopping: a.stopping.Load}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10, // net/http adds 4 KB; in memory they take up to twenty times as much
		ConnState:         a.listener.Idle.ConnState,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return api.ConnContext(api.FramedContext(ctx, c), c)
		},
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),

		DisableGeneralOptionsHandler: true, // every request has to come by the handler
	}
	stops := []func(){watch(a.api)}
	if a.waits != nil { // the last record is acknowledged before it ends
		stops = append(stops, a.keepWaits())
	}
	if a.meter != nil { // it looks before the first record and after the last
		stops = append(stops, a.meter.start())
	}
	a.log.Info("ready", "role", a.o.Role, "address", a.Address(), "version", a.o.Version, "pid", os.Getpid())
	g, ctx := errgroup.WithContext(ctx)
	drained := make(chan error, 1) // the analyzers have ended
	go func() {
		if a.pool == nil {
			drained <- nil
			return
		}
		drained <- a.runPool(ctx)
	}()
	g.Go(func() error {
		if err := srv.Serve(api.Framed(a.listener, a.tls)); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		a.log.Info("stopping", "role", a.o.Role)
		a.stopping.Store(true)
		a.api.Stop()
		err := a.awaitPool(drained)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil { // a request is still being answered
			srv.Close()
		}
		return err
	})
	if a.o.Listening != nil {
		a.o.Listening(a.Address())
	}
	err := g.Wait()
	return errors.Join(err, a.finish(stops))
}

// How long a stop waits for parts that do not answer.
const (
	poolGrace  = 5 * time.Second // for the pool, after its drain is over
	idleGrace  = 2 * time.Second // for a pool in which no analyzer holds work: only the queue can keep it
	closeGrace = 5 * time.Second // for files to be closed
)

// awaitPool waits for the analyzers to end, as long as that can be expected: they have the time to drain. Those that are left
// behind wait for a queue that does not answer; their batches come again when their leases end.
func (a *App) awaitPool(drained <-chan error) error {
	if a.pool == nil {
		return <-drained
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(a.o.Config.Analyzer.WithDefaults().DrainTimeout + poolGrace)
	worked := time.Now()
	for {
		select {
		case err := <-drained:
			return err
		case now := <-tick.C:
			busy := a.pool.Stats().Busy
			if busy > 0 {
				worked = now
			}
			if now.After(end) || now.Sub(worked) > idleGrace {
				a.log.Warn("stopping without the analyzers: the queue does not answer", "busy_analyzers", busy)
				return nil
			}
		}
	}
}

// ErrNotClosed says that a stop was not clean: a disk or a queue did not answer in time. The next start treats that like a crash.
var ErrNotClosed = errors.New("stopped without closing the files: the disk does not answer")

// finish ends what Run has started and closes what New has opened. Last, it says how the process ends, so that the log tells a
// clean stop from a sudden death.
func (a *App) finish(stops []func()) error {
	closed := make(chan []any, 1)
	go func() {
		for _, stop := range slices.Backward(stops) {
			stop()
		}
		account := a.account()
		a.close()
		closed <- account
	}()
	late := time.NewTimer(closeGrace)
	defer late.Stop()
	args, err := []any{"role", a.o.Role, "clean", false}, ErrNotClosed
	select {
	case account := <-closed:
		args, err = append([]any{"role", a.o.Role}, account...), nil
	case <-late.C:
		a.log.Error("files not closed: the disk does not answer", "duration_seconds", closeGrace.Seconds())
	}
	a.log.Info("stopped", args...)
	return err
}

// guard is what every request has to pass.
func (a *App) guard() *access.Guard {
	c := a.o.Config
	return &access.Guard{Tokens: a.tokens, Hosts: c.AllowedHosts, Base: c.BasePath, SignIn: dashboard.SignIn(), Next: a.api}
}

// account is what there is to say of the work at the end.
func (a *App) account() (args []any) {
	if a.pool != nil {
		st := a.pool.Stats()
		args = append(args, "analyzed_records", st.Records, "handed_back_batches", st.HandedBack)
	}
	if a.queue != nil {
		if st, err := a.queue.Stats(context.Background()); err == nil {
			args = append(args, "waiting_records", st.Waiting+st.InFlight, "dead_records", st.Dead)
		}
	}
	return args
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
	if a.listener != nil {
		a.listener.Close() // closed already after Run
	}
}
