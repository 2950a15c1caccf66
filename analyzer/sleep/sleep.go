// Package sleep is a handler that takes a given time for each record, for demos and tests: a pool of them is as slow as
// one likes, on any machine. It can also misbehave on request; see [Handler].
package sleep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
)

// FaultAttribute is the attribute by which a record asks for a fault.
const FaultAttribute = "sluice.fault"

// The faults that a record can ask for. Any other value is ignored.
const (
	FaultError   = "error"   // the record fails, each time it comes; its neighbours are done
	FaultDiscard = "discard" // the record is hopeless and becomes a dead letter; its neighbours are done
	FaultPanic   = "panic"   // the handler panics; the queue splits the batch until the record is alone
	FaultExit    = "exit"    // the process ends with code 3, without a word; the queue splits the batch here too
)

// Handler sleeps, then passes the batch on. The fields must not change once it is in use.
type Handler struct {
	PerRecord time.Duration    // for each record of a batch; zero or less does not sleep
	Next      analyzer.Handler // what to do after the sleep; nil does nothing

	// Faults makes the handler obey the attribute sluice.fault of each record. Whoever can send records can then end
	// this process, so it is meant for demos and tests.
	Faults bool
	Exit   func(code int) // in place of os.Exit; nil means os.Exit
}

// New returns a handler that sleeps perRecord for each record of a batch and then calls next, which may be nil.
func New(perRecord time.Duration, next analyzer.Handler) *Handler {
	return &Handler{PerRecord: perRecord, Next: next}
}

// Handle implements [analyzer.Handler]. Next does not see the records that fail by a fault.
func (h *Handler) Handle(ctx context.Context, b *sluice.Batch) error {
	all := time.Duration(math.MaxInt64)
	if n := time.Duration(b.Len()); n == 0 || h.PerRecord <= all/n {
		all = h.PerRecord * n // which does not overflow
	}
	if err := wait(ctx, all); err != nil {
		return err
	}
	if !h.Faults {
		return h.next(ctx, b)
	}
	failed, err := h.faults(b)
	if err != nil {
		return err
	}
	if len(failed) == 0 {
		return h.next(ctx, b)
	}
	return h.nextButFor(ctx, b, failed)
}

func (h *Handler) next(ctx context.Context, b *sluice.Batch) error {
	if h.Next == nil {
		return nil
	}
	return h.Next.Handle(ctx, b)
}

// nextButFor passes the records that did not fail on, and joins the verdicts.
func (h *Handler) nextButFor(ctx context.Context, b *sluice.Batch, failed map[int]error) error {
	var good []int
	for i := range b.Len() {
		if failed[i] == nil {
			good = append(good, i)
		}
	}
	if h.Next == nil || len(good) == 0 {
		return analyzer.FailRecords(failed)
	}
	rest, err := b.Sub(good)
	if err != nil {
		return err
	}
	err = h.Next.Handle(ctx, rest)
	if records, ok := analyzer.FailedRecords(err); ok {
		for i, err := range records {
			if i < 0 || i >= len(good) {
				return fmt.Errorf("the next handler names record %d of a batch of %d: %w", i, len(good), err)
			}
			failed[good[i]] = err
		}
		return analyzer.FailRecords(failed)
	}
	if err != nil {
		return err // the batch comes again, and the faults with it
	}
	return analyzer.FailRecords(failed)
}

// faults does what the records ask for and returns the errors of those that are to fail.
func (h *Handler) faults(b *sluice.Batch) (map[int]error, error) {
	lines, err := b.Lines()
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(lines, []byte(FaultAttribute)) {
		return nil, nil
	}
	records, err := b.Records()
	if err != nil {
		return nil, err
	}
	failed := map[int]error{}
	for i, r := range records {
		switch fault := r.Attributes[FaultAttribute]; fault {
		case nil:
		case FaultError:
			failed[i] = errors.New("the record asks to fail")
		case FaultDiscard:
			failed[i] = analyzer.Discard(errors.New("the record asks to be discarded"))
		case FaultPanic:
			panic("the record asks for a panic")
		case FaultExit:
			h.exit()
		default:
			failed[i] = analyzer.Discard(fmt.Errorf("%s is %v, want %s, %s, %s or %s", FaultAttribute, fault, FaultError, FaultDiscard, FaultPanic, FaultExit))
		}
	}
	return failed, nil
}

func (h *Handler) exit() {
	if h.Exit == nil {
		os.Exit(3)
	}
	h.Exit(3)
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
