package disk

import (
	"context"
	"log/slog"
	"testing"

	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/queuetest"
)

func open(dir string, s queuetest.Settings) (queue.Queue, error) {
	return Open(context.Background(), Options{Dir: dir, Lease: s.Lease, MaxBytes: s.MaxBytes, Retry: s.Retry, Logger: slog.New(slog.DiscardHandler)})
}

func TestQueue(t *testing.T)   { queuetest.Run(t, open) }
func TestDurable(t *testing.T) { queuetest.RunDurable(t, open) }
