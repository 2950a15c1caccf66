package queue

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Retry says what becomes of a batch that failed. Every engine follows it.
//
// A batch is tried SplitAfter times as a whole. If it still fails, it is split, and the parts go on by themselves, split
// again while they fail, until the failing record is alone; that one is tried until it has had MaxAttempts in all. So one
// bad record, even one that kills the process which looks at it, takes none of its neighbours along.
//
// An attempt that ended without a word (the analyzer or its whole process vanished) says less about the batch than an
// error does: many batches were in hand, and one was to blame at most. Such a batch is split like any other, but given up
// only after three times as many attempts.
type Retry struct {
	MaxAttempts int           // attempts before a batch becomes a dead letter; zero means 5
	SplitAfter  int           // attempts before a batch of several records is split; zero means 2
	Delay       time.Duration // before the second attempt, doubling with each; zero means 1s
	MaxDelay    time.Duration // the doubling ends here; zero means 1m
}

// WithDefaults fills in what was left zero.
func (r Retry) WithDefaults() Retry {
	if r.MaxAttempts == 0 {
		r.MaxAttempts = 5
	}
	if r.SplitAfter == 0 {
		r.SplitAfter = min(2, r.MaxAttempts)
	}
	if r.Delay == 0 {
		r.Delay = time.Second
	}
	if r.MaxDelay == 0 {
		r.MaxDelay = max(time.Minute, r.Delay)
	}
	return r
}

// Validate reports everything that is wrong, on options with defaults filled in.
func (r Retry) Validate() error {
	var errs []error
	if r.MaxAttempts < 1 {
		errs = append(errs, fmt.Errorf("queue: MaxAttempts is %d, want at least 1", r.MaxAttempts))
	}
	if r.SplitAfter < 1 || r.SplitAfter > r.MaxAttempts {
		errs = append(errs, fmt.Errorf("queue: SplitAfter is %d, want 1..MaxAttempts (%d)", r.SplitAfter, r.MaxAttempts))
	}
	if r.Delay < 0 || r.MaxDelay < r.Delay {
		errs = append(errs, fmt.Errorf("queue: Delay is %v and MaxDelay %v, want 0 <= Delay <= MaxDelay", r.Delay, r.MaxDelay))
	}
	return errors.Join(errs...)
}

// Step is what to do with a failed batch.
type Step int

// The steps, from the mildest to the last.
const (
	Again Step = iota // keep it whole, lease it again after the delay
	Split             // replace it by parts, each with the attempts it had before less one, after the delay
	Bury              // make it a dead letter
)

// crashPatience is how many times MaxAttempts a batch may be in hand when its analyzer vanishes.
const crashPatience = 3

// splitInto is the largest number of parts. With 16, a batch of 4096 records is down to single ones after three splits.
const splitInto = 16

// After decides on a batch of so many records after its attempt-th attempt failed. The delay has up to 20 % of jitter, so
// that batches which failed together do not come back together.
func (r Retry) After(f Failure, attempt, records int) (Step, time.Duration) {
	delay := f.Delay
	if delay <= 0 {
		delay = min(r.Delay<<min(max(attempt-1, 0), 20), r.MaxDelay)
		if delay > 0 {
			delay += time.Duration(rand.Int64N(int64(delay)/5 + 1))
		}
	}
	limit := r.MaxAttempts
	if f.Vanished {
		limit *= crashPatience
	}
	switch {
	case f.Discard:
		return Bury, 0
	case records > 1 && attempt >= r.SplitAfter:
		return Split, delay
	case attempt >= limit:
		return Bury, 0
	}
	return Again, delay
}

// Parts cuts n records into the index ranges of a split: as equal as can be, at least two where n allows.
func Parts(n int) [][]int {
	parts := make([][]int, 0, splitInto)
	k := min(n, splitInto)
	for p := range k {
		var indexes []int
		for i := p * n / k; i < (p+1)*n/k; i++ {
			indexes = append(indexes, i)
		}
		parts = append(parts, indexes)
	}
	return parts
}
