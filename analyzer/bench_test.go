package analyzer_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/queue"
)

// endless hands out the same batch until it was acknowledged often enough. It costs next to nothing.
type endless struct {
	batch  *sluice.Batch
	leased atomic.Int64
	acked  atomic.Int64
	n      int64
	done   chan struct{}
}

func (q *endless) Lease(ctx context.Context, r queue.Request) ([]queue.Lease, error) {
	if q.leased.Add(1) > q.n {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []queue.Lease{{Token: "1-2345-aa706d9db1f94d98", Batch: q.batch, Attempt: 1, Expires: time.Now().Add(30 * time.Second)}}, nil
}

func (q *endless) Extend(context.Context, string) (time.Time, error) {
	return time.Now().Add(30 * time.Second), nil
}

func (q *endless) Ack(context.Context, string, ...queue.Failure) error {
	if q.acked.Add(1) == q.n {
		close(q.done)
	}
	return nil
}

func (q *endless) Nack(context.Context, string, queue.Failure) error { return nil }

// BenchmarkPool measures what the pool itself costs for a batch; cpu-ns/op is of all threads.
func BenchmarkPool(b *testing.B) {
	for _, size := range []int{1, 10, 50, 200} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			q := &endless{batch: batchOf(b, 1), n: int64(b.N), done: make(chan struct{})}
			pool, err := analyzer.NewPool(q, analyzer.HandlerFunc(func(context.Context, *sluice.Batch) error { return nil }),
				analyzer.Options{Size: size, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			ended := make(chan struct{})
			b.ReportAllocs()
			before := cpuTime()
			go func() { defer close(ended); pool.Run(ctx) }()
			<-q.done
			b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
			stop()
			<-ended
		})
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
