// Package queue is the contract between those who put batches of records on disk and those who work them off.
//
// A batch that was put is leased by one analyzer at a time, which extends its lease while it works and then acknowledges.
// A batch whose lease ends without a word, or that is handed back as failed, is leased again later, and ends in the dead
// letters once it has failed too often. Delivery is at least once.
//
// # Promises of every implementation
//
//   - Put returns after the batch is stored as durably as Stats.Durability says.
//   - accepted = completed + dead + waiting + in flight + lost holds in every Stats, in records, and every term of it is
//     counted.
//   - A batch that keeps failing is split before it is given up, so that only the record that is to blame ends in the dead
//     letters; see [Retry].
//   - A full queue says so with [FullError]; it never drops.
//
// The package queuetest checks them; queue/disk and queue/memory pass.
package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/internal/visible"
)

// Queue is a durable work queue of batches. Its methods may be called from several goroutines.
type Queue interface {
	// Put stores batches, all of them or none. After nil, they survive what Durability promises. A [FullError] or
	// [ErrUnavailable] means try later; after any error but a FullError some batches may have been stored nevertheless.
	// The queue keeps nothing of the batches, whose memory may be reused.
	Put(ctx context.Context, batches ...*sluice.Batch) error
	Leaser
	Stats(ctx context.Context) (Stats, error)
	DeadLetters
	// Close lets go of the data. Leases still open are handed back. Later calls return ErrClosed.
	Close() error
}

// Leaser is the side of the queue that analyzers see, in this process or over HTTP.
type Leaser interface {
	// Lease waits until a batch is there or Request.Wait is over, then returns up to Request.Max leases, perhaps none.
	Lease(ctx context.Context, r Request) ([]Lease, error)
	// Extend makes a lease last for a full lease time from now and returns its new end.
	Extend(ctx context.Context, token string) (time.Time, error)
	// Ack completes a leased batch, but for the failed records, each of which is retried or becomes a dead letter.
	Ack(ctx context.Context, token string, failed ...Failure) error
	// Nack gives a leased batch back as a whole. Failure.Record is ignored.
	Nack(ctx context.Context, token string, f Failure) error
}

// DeadLetters is where batches and records that failed too often are kept until a person decides.
type DeadLetters interface {
	// Dead lists up to limit dead letters, the oldest first, with an ID greater than after.
	Dead(ctx context.Context, after uint64, limit int) ([]DeadLetter, error)
	// DeadBatch returns one dead letter with its records, or ErrNotFound.
	DeadBatch(ctx context.Context, id uint64) (DeadLetter, *sluice.Batch, error)
	// RetryDead puts a dead letter back into the queue with its attempts forgotten, or returns ErrNotFound.
	RetryDead(ctx context.Context, id uint64) error
	// DropDead deletes a dead letter for good, or returns ErrNotFound. Its records count as completed and as dropped.
	DropDead(ctx context.Context, id uint64) error
}

// Request asks for leases.
type Request struct {
	Analyzer string        // who asks; shown in statistics
	Max      int           // how many leases at most; less than 1 means 1
	Wait     time.Duration // how long to wait for the first one; zero asks once
	Remote   bool          // the analyzer lives in another process and may outlive this one
}

// Lease is the right to work on a batch until it expires.
type Lease struct {
	Token   string
	Batch   *sluice.Batch
	Attempt int // 1 for the first delivery
	// HandBacks is how often the batch was handed back before. None of these counts as an attempt, so only this number
	// tells that a batch never gets the time that it takes.
	HandBacks int
	Expires   time.Time // unless extended
}

// OftenHandedBack is the number of hand-backs from which on a batch is reported, and left to the analyzer that has it. A
// batch that was handed back less often than that only met an analyzer or two that had to leave.
const OftenHandedBack = 3

// ReportHandBack says whether so many hand-backs of a batch are to be logged: at [OftenHandedBack], and each time that they
// have doubled since.
func ReportHandBack(handBacks int) bool {
	n := handBacks / OftenHandedBack
	return handBacks%OftenHandedBack == 0 && n > 0 && n&(n-1) == 0
}

// Failure says that a batch or a record could not be analyzed.
type Failure struct {
	Record   int           // index in the batch, from 0
	Reason   string        // the error, for people; see Why
	Delay    time.Duration // how long to wait before the next attempt; zero leaves it to [Retry]
	Discard  bool          // hopeless: make it a dead letter now
	Vanished bool          // the analyzer gave no answer: the lease expired, or the process ended; set by engines
	HandBack bool          // not the batch's fault, or the analyzer is leaving: no attempt is counted; available after Delay, zero means at once
}

// MaxReason is how many bytes of a reason are kept.
const MaxReason = 1000

// Why is the reason in the one form that is kept, logged and shown: one line, at most MaxReason bytes, without anything that a terminal or a
// log viewer would obey. Handlers and analyzers of other people choose reasons, so every engine uses this form.
func (f Failure) Why() string { return Reason(f.Reason) }

// Reason is [Failure.Why] of a text.
func Reason(text string) string {
	if text == "" {
		return "no reason was given"
	}
	return visible.Cut(text, MaxReason)
}

// DeadLetter is a batch (or some records of one) that was given up.
type DeadLetter struct {
	ID       uint64    `json:"id"`
	Batch    string    `json:"batch"` // ID of the batch
	Time     time.Time `json:"time"`  // when it was given up
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	Records  int       `json:"records"`
	Bytes    int       `json:"bytes"` // of the records
}

// Stats is a snapshot. All counts are exact at some moment during the call.
type Stats struct {
	Accepted     int64         // records ever put
	Completed    int64         // records analyzed, or dropped from the dead letters by a person
	Dropped      int64         // the part of Completed that was dropped by a person since this process started
	Dead         int64         // records in the dead letters
	Waiting      int64         // records neither leased nor finished: the depth
	InFlight     int64         // records in leases
	Lost         int64         // records that damage to the files took, each reported when it was found
	Batches      int64         // batches waiting or in flight
	Bytes        int64         // stored bytes of these batches
	LimitBytes   int64         // the most that Bytes may be; 0 where there is no limit
	FreeBytes    int64         // free space of the disk that holds the queue; -1 where unknown
	MinFreeBytes int64         // free space below which nothing is accepted; 0 where nobody looks
	OldestWait   time.Duration // age of the oldest unfinished record; 0 when there is none
	Redelivers   int64         // leases handed out for a second or later attempt since this process started
	HandBacks    int64         // batches, or parts of one, that were handed back since this process started
	Returning    int64         // the part of Batches that was handed back [OftenHandedBack] times or more
	Durability   string        // "disk": after fsync; "process": survives the process, not a power cut; "memory"
}

// Observer is told when records leave the queue, so that it can measure how long they waited. An engine calls it with its
// own lock held, at the moment that its counts change: a method must return at once and must not call the queue.
type Observer interface {
	// Done reports records that an acknowledgement completed, all accepted at one moment. Records that a person dropped are
	// not reported.
	Done(accepted, at time.Time, records int)
	// Dead reports records that became dead letters.
	Dead(at time.Time, records int)
}

// The conditions that callers can tell apart with errors.Is.
var (
	ErrClosed       = errors.New("queue closed")
	ErrUnavailable  = errors.New("queue unavailable")
	ErrLeaseExpired = errors.New("lease expired or unknown") // somebody else may have the batch by now
	ErrNotFound     = errors.New("not found")
	ErrDamaged      = errors.New("damaged on disk") // the records of a dead letter can't be read any more
)

// FullError says which limit keeps a batch out. Nothing of it was stored.
type FullError struct {
	Limit string // "max_bytes" or "min_free_bytes"
	Bound int64  // the limit, in bytes
	Now   int64  // where the measured value stands, in bytes
	Hint  string // what a person can do
}

func (e *FullError) Error() string {
	return fmt.Sprintf("queue full: %s is %d bytes, now at %d", e.Limit, e.Bound, e.Now)
}
