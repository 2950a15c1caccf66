package analyzer

import (
	"context"

	"github.com/sluicehq/sluice"
)

// Handler analyzes batches. The package comment says what its verdicts mean and what it must know.
type Handler interface {
	Handle(ctx context.Context, b *sluice.Batch) error
}

// HandlerFunc is a function that is a [Handler].
type HandlerFunc func(ctx context.Context, b *sluice.Batch) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, b *sluice.Batch) error { return f(ctx, b) }

type nameKey struct{}

// Name is the name of the analyzer that calls the handler with this context; empty in any other context.
func Name(ctx context.Context) string {
	name, _ := ctx.Value(nameKey{}).(string)
	return name
}
