package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/app"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/queue/remote"
)

// batchRecords is how many records the demos put into a batch: few, so that there are many to hand out.
const batchRecords = 20

// sleepPerRecord is how slow the analyzers of the demos are, so that the same happens on every machine.
const sleepPerRecord = 10 * time.Millisecond

// analyzerRate is how many records a second one slot works off.
const analyzerRate = float64(time.Second / sleepPerRecord)

// server is a process's worth of Sluice inside this process, with its data in a temporary folder.
type server struct {
	url    string
	dir    string
	cancel context.CancelFunc
	done   chan struct{}
	err    error // of the end; valid once done is closed
}

// startServer starts one on a free port. It lives until stop is called, whatever becomes of ctx; ended is called if it ends before.
func startServer(ctx context.Context, role app.Role, o Options, ended func(), change func(*config.Config)) (*server, error) {
	c, err := config.NewLoader(config.Groups()...).Load(nil)
	if err != nil {
		return nil, err
	}
	s := &server{done: make(chan struct{})}
	if s.dir, err = os.MkdirTemp("", "sluice-demo-"); err != nil {
		return nil, fmt.Errorf("temporary folder: %w", err)
	}
	c.Queue.Dir, c.Listen = s.dir, "127.0.0.1:0"
	c.TokenFile, c.BasePath, c.ReadOnly, c.AllowedHosts = "", "", false, nil
	c.TLSCert, c.TLSKey, c.TLSClientCA = "", "", ""
	c.Intake.MaxBatchRecords = batchRecords
	c.Handler = config.HandlerConfig{Name: config.HandlerSleep, SleepPerRecord: sleepPerRecord}
	change(c)
	a, err := app.New(ctx, app.Options{Role: role, Config: c, Version: o.Version, Log: o.Log})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	s.url = "http://" + a.Address()
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(s.done)
		s.err = a.Run(ctx)
		if ctx.Err() == nil {
			ended()
		}
	}()
	return s, nil
}

// stop ends the server and removes its folder. The error of a server that ended by itself is told here.
func (s *server) stop() error {
	s.cancel()
	<-s.done
	return errors.Join(s.err, os.RemoveAll(s.dir))
}

// lookTime is how long one look may take.
const lookTime = 2 * time.Second

// look asks a process for its statistics.
func look(ctx context.Context, c *remote.Client) (api.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var st api.Stats
	err := c.Call(ctx, "GET", "/v1/stats", nil, &st)
	if err == nil && st.QueueStats == nil {
		st.QueueStats = &api.QueueStats{}
	}
	return st, err
}

// sampleOf is the part of the statistics that is drawn.
func sampleOf(at time.Duration, st api.Stats) Sample {
	s := Sample{At: at, In: st.Accepted, Out: st.Completed, Depth: int(st.Depth)}
	if st.Pool != nil {
		s.Size, s.Busy = st.Pool.Size, st.Pool.Busy
	}
	if st.Autoscaler != nil && st.Autoscaler.LastDecision != nil {
		s.Reason = st.Autoscaler.LastDecision.Reason
	}
	return s
}
