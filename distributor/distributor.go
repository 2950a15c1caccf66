// Package distributor takes records in: it reads a body, checks and counts its records, gathers them with those of other
// callers, and stores them in a queue before it answers. What it can't store now it pushes back; it never drops.
//
// Decoding ([Decode]) is apart from admitting ([Intake]), so that a new protocol only has to bring its own decoder.
//
// Memory is bounded: bodies are read only while the total of Options.MaxInFlightBytes is not reached, and nothing is
// inflated past Options.MaxBodyBytes.
package distributor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// Options are the settings of a distributor. All sizes are in bytes.
type Options struct {
	MaxBodyBytes     int           // of one request, inflated; zero means 32 MiB
	MaxRecordBytes   int           // of one record; zero means 1 MiB, and never above MaxBatchBytes
	MaxBatchBytes    int           // of one stored batch, before compression; zero means 1 MiB
	MaxBatchRecords  int           // in one stored batch; zero means 4096
	MaxInFlightBytes int           // of all bodies being read or stored; zero means 80 MiB, and never below twice MaxBodyBytes
	MaxPendingBytes  int           // of records waiting for a commit; zero means 32 MiB
	Committers       int           // batches being stored at once; zero means 4, good for as many partitions
	Hold             time.Duration // how long an overloaded request waits before it is pushed back; zero means 1s, negative means not at all
}

// WithDefaults fills in what was left zero.
func (o Options) WithDefaults() Options {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&o.MaxBodyBytes, 32 << 20}, {&o.MaxBatchBytes, 1 << 20}, {&o.MaxBatchRecords, 4096},
		{&o.MaxPendingBytes, 32 << 20}, {&o.Committers, 4}, {&o.MaxRecordBytes, 1 << 20}, {&o.MaxInFlightBytes, 80 << 20},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	o.MaxRecordBytes = min(o.MaxRecordBytes, o.MaxBatchBytes)
	o.MaxInFlightBytes = max(o.MaxInFlightBytes, 2*o.MaxBodyBytes)
	switch {
	case o.Hold == 0:
		o.Hold = time.Second
	case o.Hold < 0:
		o.Hold = time.Nanosecond
	}
	return o
}

// Validate reports everything that is wrong, on options with defaults filled in.
func (o Options) Validate() error {
	var errs []error
	for _, f := range []struct {
		name       string
		value, min int
	}{
		{"MaxBodyBytes", o.MaxBodyBytes, 1 << 10}, {"MaxRecordBytes", o.MaxRecordBytes, 1 << 10}, {"MaxBatchBytes", o.MaxBatchBytes, 1 << 10},
		{"MaxBatchRecords", o.MaxBatchRecords, 1}, {"MaxPendingBytes", o.MaxPendingBytes, 1 << 10}, {"Committers", o.Committers, 1},
	} {
		if f.value < f.min {
			errs = append(errs, fmt.Errorf("distributor: %s is %d, want at least %d", f.name, f.value, f.min))
		}
	}
	return errors.Join(errs...)
}

// Distributor takes bodies in. Make one with [New].
type Distributor struct {
	// Stored is called with the records of each body that was stored, one JSON object a line. It must neither keep nor change them, and must
	// return quickly. Nil calls nobody. It must be set before the first Take.
	Stored func(lines []byte)

	o      Options
	intake *Intake
	memory *semaphore.Weighted
	n      counters
}

type counters struct {
	requests, accepted, rejected, bytes, pushedBack, tooLarge atomic.Int64
}

// Stats counts since the distributor was made.
type Stats struct {
	Requests   int64 // bodies offered
	Accepted   int64 // records stored
	Rejected   int64 // records refused for what they are
	Bytes      int64 // of accepted records
	PushedBack int64 // bodies refused for now, for want of room
	TooLarge   int64 // bodies refused for their size
}

// New makes a distributor that stores in put. Close ends it.
func New(put Putter, o Options) (*Distributor, error) {
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Distributor{o: o, intake: NewIntake(put, o), memory: semaphore.NewWeighted(int64(o.MaxInFlightBytes))}, nil
}

// Close waits until everything taken in is stored or refused. The queue must be closed later.
func (d *Distributor) Close() { d.intake.Close() }

// Stats returns the counts.
func (d *Distributor) Stats() Stats {
	n := &d.n
	return Stats{n.requests.Load(), n.accepted.Load(), n.rejected.Load(), n.bytes.Load(), n.pushedBack.Load(), n.tooLarge.Load()}
}

// Result is what became of a body.
type Result struct {
	Accepted int // records stored
	Rejected int // records refused for good
	TooLarge int // the part of Rejected that was over the limit for one record
	Errors   []Rejection
}

// Take reads a body in one of the native formats and stores its records. Size is the body's length, or -1 where unknown.
//
// The errors are [*TooLargeError], [*OverloadError], [ErrEncoding] and [*BodyError]. After an OverloadError some records may be stored all
// the same, as Result says; after the others none are.
func (d *Distributor) Take(ctx context.Context, f Format, encoding string, size int64, body io.Reader) (Result, error) {
	d.n.requests.Add(1)
	r, err := d.take(ctx, f, encoding, size, body)
	d.n.accepted.Add(int64(r.Accepted))
	d.n.rejected.Add(int64(r.Rejected))
	if _, ok := errors.AsType[*OverloadError](err); ok {
		d.n.pushedBack.Add(1)
	}
	if _, ok := errors.AsType[*TooLargeError](err); ok {
		d.n.tooLarge.Add(1)
	}
	return r, err
}

func (d *Distributor) take(ctx context.Context, f Format, encoding string, size int64, body io.Reader) (Result, error) {
	in, err := d.read(ctx, encoding, size, body)
	defer in.free()
	if err != nil {
		return Result{}, err
	}
	decoded := Decode(f, in.bytes(), d.o.MaxRecordBytes)
	r := Result{Rejected: decoded.Rejected, TooLarge: decoded.TooLarge, Errors: decoded.Errors}
	if decoded.Count == 0 {
		return r, nil
	}
	r.Accepted, err = d.intake.Add(ctx, decoded.Lines, decoded.Count)
	if r.Accepted == decoded.Count {
		if d.Stored != nil {
			d.Stored(decoded.Lines)
		}
		d.n.bytes.Add(int64(len(decoded.Lines)))
	}
	return r, err
}
