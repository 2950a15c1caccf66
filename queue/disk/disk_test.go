package disk

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/queuetest"
)

func open(dir string, s queuetest.Settings) (queue.Queue, error) {
	return Open(context.Background(), Options{Dir: dir, Lease: s.Lease, MaxBytes: s.MaxBytes, Retry: s.Retry, Observer: s.Observer, Logger: slog.New(slog.DiscardHandler)})
}

func TestQueue(t *testing.T)   { queuetest.Run(t, open) }
func TestDurable(t *testing.T) { queuetest.RunDurable(t, open) }

// TestALeaseIsSettledOnceAndInTime looks at the moments in which another call, or the loop, has not yet done its part.
func TestALeaseIsSettledOnceAndInTime(t *testing.T) {
	q := openLogged(t, t.TempDir())
	defer q.Close()
	if err := q.Put(t.Context(), sluice.NewBatch([]byte("{}\n"), 1, time.Now())); err != nil {
		t.Fatal(err)
	}
	leases, err := q.Lease(t.Context(), queue.Request{Analyzer: "a"})
	if err != nil || len(leases) != 1 {
		t.Fatalf("%d leases, %v; want one", len(leases), err)
	}
	refused := func(when string) {
		t.Helper()
		if err := q.Ack(t.Context(), leases[0].Token); !errors.Is(err, queue.ErrLeaseExpired) {
			t.Errorf("ack %s: %v, want ErrLeaseExpired", when, err)
		}
		if err := q.Nack(t.Context(), leases[0].Token, queue.Failure{}); !errors.Is(err, queue.ErrLeaseExpired) {
			t.Errorf("nack %s: %v, want ErrLeaseExpired", when, err)
		}
	}
	p, err := q.claim(leases[0].Token)
	if err != nil {
		t.Fatal(err)
	}
	refused("while another call settles the lease")
	q.unclaim(p)
	q.calls.Done()
	q.mu.Lock()
	expires := p.expires
	p.settling, p.expires = true, time.Now().Add(-time.Millisecond) // settling keeps the loop from taking it back
	q.mu.Unlock()
	refused("after the lease ran out")
	if _, err := q.Extend(t.Context(), leases[0].Token); !errors.Is(err, queue.ErrLeaseExpired) {
		t.Errorf("extend after the lease ran out: %v, want ErrLeaseExpired", err)
	}
	q.mu.Lock()
	p.settling, p.expires = false, expires
	q.mu.Unlock()
	if err := q.Ack(t.Context(), leases[0].Token); err != nil {
		t.Errorf("ack in time: %v", err)
	}
}
