package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/analyzer/discard"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// endless hands out the same batch, read from its stored form, until it was acknowledged often enough.
type endless struct {
	Queue
	stored []byte
	leased atomic.Int64
	acked  atomic.Int64
	n      int64
	done   chan struct{}
}

func (q *endless) Lease(ctx context.Context, r queue.Request) (leases []queue.Lease, err error) {
	for len(leases) < max(r.Max, 1) && q.leased.Add(1) <= q.n {
		b, err := sluice.DecodeBatch(append([]byte(nil), q.stored...)) // as an engine reads it from its file
		if err != nil {
			return nil, err
		}
		leases = append(leases, queue.Lease{Token: "1-2345-aa706d9db1f94d98", Batch: b, Attempt: 1, Expires: time.Now().Add(30 * time.Second)})
	}
	if len(leases) == 0 && r.Wait > 0 {
		<-ctx.Done()
	}
	return leases, ctx.Err()
}

func (q *endless) Ack(context.Context, string, ...queue.Failure) error {
	if q.acked.Add(1) == q.n {
		close(q.done)
	}
	return nil
}

func (q *endless) Nack(context.Context, string, queue.Failure) error { return nil }

// BenchmarkWorkAPI measures a batch of 500 records from the lease to the acknowledgement, by a pool at the queue and by one
// over HTTP; cpu-us/op is of both sides.
func BenchmarkWorkAPI(b *testing.B) {
	var lines strings.Builder
	for i := range 500 {
		fmt.Fprintf(&lines, `{"time":"2026-11-24T01:%02d:%02d.%03dZ","severity":"INFO","service":"checkout","body":"order %d of customer %d placed in %d ms","trace":"%016x"}`+"\n",
			i/60%60, i%60, i*7%1000, i*7919, i*104729%99991, i*31%977, uint64(i)*0x9e3779b97f4a7c15)
	}
	stored, err := sluice.NewBatch([]byte(lines.String()), 500, time.Now()).Encode()
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	for _, over := range []string{"local", "http"} {
		for _, size := range []int{1, 2, 10, 50, 200} {
			b.Run(fmt.Sprintf("%s/%d", over, size), func(b *testing.B) {
				q := &endless{stored: stored, n: int64(b.N), done: make(chan struct{})}
				var source queue.Leaser = q
				var requests atomic.Int64
				if over == "http" {
					api := New(Rooms{Queue: q, Log: log}, nil)
					srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						requests.Add(1)
						api.ServeHTTP(w, r)
					}))
					defer srv.Close()
					client, err := remote.NewClient(srv.URL)
					if err != nil {
						b.Fatal(err)
					}
					defer client.Close()
					source = client
				}
				pool, err := analyzer.NewPool(source, discard.Handler{}, analyzer.Options{Size: size, Logger: log})
				if err != nil {
					b.Fatal(err)
				}
				ctx, stop := context.WithCancel(b.Context())
				ended := make(chan struct{})
				before := cpuTime()
				go func() { defer close(ended); pool.Run(ctx) }()
				<-q.done
				b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/1e3/float64(b.N), "cpu-us/op")
				b.ReportMetric(float64(requests.Load())/float64(b.N), "requests/op")
				stop()
				<-ended
			})
		}
	}
}

// cpuTime is what all threads of this process have used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
