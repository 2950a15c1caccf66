package jetstream

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// benchBatch is a batch of the usual size: 3000 records of 200 bytes.
func benchBatch() *sluice.Batch {
	line := []byte(`{"timestamp":"2026-11-23T14:26:03.123456789Z","severity":"INFO","body":"GET /api/v1/items/48213 took 83 ms",` +
		`"resource":{"service.name":"checkout"},"attributes":{"http.status":200,"emitter":"e-1","seq":481}}` + "\n")
	return sluice.NewBatch(bytes.Repeat(line, 3000), 3000, time.Now())
}

func benchQueue(b *testing.B, d Durability) *Queue {
	q, err := Open(context.Background(), Options{Dir: b.TempDir(), Durability: d, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { q.Close() })
	return q
}

func BenchmarkPut(b *testing.B) {
	for _, d := range []Durability{Disk, Process} {
		b.Run(string(d), func(b *testing.B) {
			q := benchQueue(b, d)
			batch := benchBatch()
			lines, _ := batch.Lines()
			b.SetBytes(int64(batch.Size()))
			for b.Loop() {
				if err := q.Put(b.Context(), sluice.NewBatch(lines, batch.Len(), time.Now())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLeaseAck(b *testing.B) {
	for _, d := range []Durability{Disk, Process} {
		b.Run(string(d), func(b *testing.B) {
			q := benchQueue(b, d)
			for range b.N {
				if err := q.Put(b.Context(), benchBatch()); err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			for done := 0; done < b.N; {
				leases, err := q.Lease(b.Context(), queue.Request{Max: 1, Wait: time.Minute})
				if err != nil {
					b.Fatal(err)
				}
				for _, l := range leases {
					if err := q.Ack(b.Context(), l.Token); err != nil {
						b.Fatal(err)
					}
					done++
				}
			}
		})
	}
}
