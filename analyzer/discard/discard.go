// Package discard is the handler that does nothing. It shows what the rest of the house costs, in benchmarks, and
// empties a queue.
package discard

import (
	"context"

	"github.com/sluicehq/sluice"
)

// Handler says of every batch that it is done. It does not even unpack it.
type Handler struct{}

// Handle returns nil.
func (Handler) Handle(context.Context, *sluice.Batch) error { return nil }
