package analyzer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluicehq/sluice/queue"
)

// RetryError is the verdict of [RetryAfter] and of [Later].
type RetryError struct {
	Delay time.Duration
	Err   error // why; may be nil
	Free  bool  // it does not count as an attempt
}

func (e *RetryError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("asked to be tried again after %v", e.Delay)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *RetryError) Unwrap() error { return e.Err }

// RetryAfter is the verdict "not now": the batch or record is tried again once d has passed. It counts as an attempt.
// With d zero or less, the queue chooses the time.
func RetryAfter(d time.Duration, err error) error { return &RetryError{Delay: d, Err: err} }

// Later is the verdict "I cannot work now": what the handler needs, such as the disk or the service that it writes to, is
// not available, which says nothing about the batch or record. It is tried again once d has passed, and as often as it
// takes: this never counts as an attempt, so it never makes a dead letter.
func Later(d time.Duration, err error) error { return &RetryError{Delay: d, Err: err, Free: true} }

// DiscardError is the verdict of [Discard].
type DiscardError struct {
	Err error // why; may be nil
}

func (e *DiscardError) Error() string {
	if e.Err == nil {
		return "discarded by the handler"
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *DiscardError) Unwrap() error { return e.Err }

// Discard is the verdict "never": the batch or record becomes a dead letter without another attempt.
func Discard(err error) error { return &DiscardError{Err: err} }

// RecordErrors is the verdict of [FailRecords]: the error of each record that failed, by its index in the batch.
type RecordErrors map[int]error

func (e RecordErrors) Error() string {
	indexes := slices.Sorted(maps.Keys(e))
	if len(indexes) == 0 {
		return "no record failed"
	}
	first := fmt.Sprintf("record %d: %v", indexes[0], e[indexes[0]])
	if len(indexes) == 1 {
		return first
	}
	return fmt.Sprintf("%d records failed, the first is %s", len(indexes), first)
}

// FailRecords is the verdict "these failed, the others are done". The keys are indexes in the batch, from 0; a value
// may be a [RetryAfter] or a [Discard]. Records whose error is nil are done too, and where that leaves none, the
// verdict is nil.
//
// Verdicts of this kind that are joined with [errors.Join] add up. Joined with any other error, the whole batch fails,
// since nothing says which records that error is about.
func FailRecords(failed map[int]error) error {
	out := RecordErrors{}
	for i, err := range failed {
		if err != nil {
			out[i] = err
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// verdict is what RetryError, DiscardError and RecordErrors have in common: errors.AsType finds the outermost of them.
type verdict interface {
	error
	isVerdict()
}

func (*RetryError) isVerdict()   {}
func (*DiscardError) isVerdict() {}
func (RecordErrors) isVerdict()  {}

// judge says what to tell the queue about a batch of n records whose handler returned err: either that the batch
// failed as a whole, or that it is done but for some records.
func judge(err error, n int) (whole *queue.Failure, records []queue.Failure) {
	if err == nil {
		return nil, nil
	}
	failed, ok := FailedRecords(err)
	if !ok {
		f := failure(err)
		return &f, nil
	}
	for _, i := range slices.Sorted(maps.Keys(failed)) {
		if i < 0 || i >= n {
			f := failure(fmt.Errorf("the handler names record %d of a batch of %d: %w", i, n, failed[i]))
			return &f, nil
		}
		f := failure(failed[i])
		f.Record = i
		records = append(records, f)
	}
	return nil, records
}

// FailedRecords returns what [FailRecords] was given, out of a verdict that may be wrapped or joined, or false where
// the verdict is about the whole batch. It is for handlers that call other handlers.
func FailedRecords(err error) (RecordErrors, bool) {
	switch e := err.(type) {
	case RecordErrors:
		return e, true
	case *RetryError, *DiscardError:
		return nil, false
	case interface{ Unwrap() error }:
		return FailedRecords(e.Unwrap())
	case interface{ Unwrap() []error }:
		all := RecordErrors{}
		for _, part := range e.Unwrap() {
			failed, ok := FailedRecords(part)
			if !ok {
				return nil, false
			}
			for i, err := range failed {
				all[i] = join(all[i], err)
			}
		}
		return all, true
	}
	return nil, false
}

func join(a, b error) error {
	if a == nil {
		return b
	}
	return errors.Join(a, b)
}

func failure(err error) queue.Failure {
	f := queue.Failure{Reason: reason(err.Error())}
	v, _ := errors.AsType[verdict](err)
	switch v := v.(type) {
	case *RetryError:
		f.Delay, f.HandBack = max(v.Delay, 0), v.Free
	case *DiscardError:
		f.Discard = true
	}
	return f
}

func reason(text string) string {
	if text == "" {
		return "the handler failed without saying why"
	}
	return queue.Reason(text)
}
