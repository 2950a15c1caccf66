package api

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/queue"
)

func TestEachErrorHasItsStatus(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{queue.ErrLeaseExpired, 409},
		{queue.ErrDamaged, 410},
		{queue.ErrNotFound, 404},
		{&queue.FullError{Limit: "max_bytes"}, 503},
		{queue.ErrUnavailable, 503},
		{queue.ErrClosed, 503},
		{&distributor.OverloadError{Err: errors.New("full")}, 503},
		{errors.New("anything else"), 400},
	} {
		if got := statusOf(fmt.Errorf("wrapped: %w", c.err)); got != c.want {
			t.Errorf("%v: status %d, want %d", c.err, got, c.want)
		}
	}
}
