package memory

import (
	"testing"

	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/queuetest"
)

func TestQueue(t *testing.T) {
	queuetest.Run(t, func(_ string, s queuetest.Settings) (queue.Queue, error) {
		return New(Options{Lease: s.Lease, MaxBytes: s.MaxBytes, Retry: s.Retry, Observer: s.Observer})
	})
}
