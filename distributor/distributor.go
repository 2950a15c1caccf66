// Package distributor ingests records: it reads a body, checks, counts and packs its records while the body arrives, and
// once the body is complete stores them in a queue, together with those of other callers, before it answers. What it can't
// store now it pushes back; it never drops.
//
// Decoding ([Decoder]) is separate from storing, so that a new protocol only has to bring its own decoder.
//
// Memory is bounded: what a body takes, as it was sent, inflated, decoded and packed, is claimed of Options.MaxInFlightBytes
// before it is taken, and nothing is inflated past Options.MaxBodyBytes. Of a body in lines only one piece exists unpacked at a
// time. While memory is short, bodies that come slowly are given up for others; see memory.go.
package distributor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/text/transform"

	"github.com/sluicehq/sluice"
)

// Options are the settings of a distributor. All sizes are in bytes.
type Options struct {
	MaxBodyBytes     int           // of one request, inflated; zero means 32 MiB
	MaxRecordBytes   int           // of one record; zero means 1 MiB, and never above MaxBatchBytes
	MaxBatchBytes    int           // of one stored batch, before compression; zero means 1 MiB
	MaxBatchRecords  int           // in one stored batch; zero means 4096
	MaxInFlightBytes int           // of memory for all bodies being read or stored; zero means 80 MiB, and never below twice MaxBodyBytes
	MaxPendingBytes  int           // of records waiting for a commit, packed where they are; zero means 32 MiB
	SplitLines       bool          // each line of text is a record by itself; zero means that stack traces join the line before them
	Hold             time.Duration // how long an overloaded request waits before it is pushed back; zero means 1s, negative means not at all
}

// WithDefaults fills in what was left zero.
func (o Options) WithDefaults() Options {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&o.MaxBodyBytes, 32 << 20}, {&o.MaxBatchBytes, 1 << 20}, {&o.MaxBatchRecords, 4096},
		{&o.MaxPendingBytes, 32 << 20}, {&o.MaxRecordBytes, 1 << 20}, {&o.MaxInFlightBytes, 80 << 20},
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
		{"MaxBatchRecords", o.MaxBatchRecords, 1}, {"MaxPendingBytes", o.MaxPendingBytes, 1 << 10},
	} {
		if f.value < f.min {
			errs = append(errs, fmt.Errorf("distributor: %s is %d, want at least %d", f.name, f.value, f.min))
		}
	}
	return errors.Join(errs...)
}

// Distributor takes bodies in. Make one with [New].
type Distributor struct {
	// Stored is called with each batch that was stored, one at a time, and not before. It must keep nothing of the batch, whose memory is used
	// again, and must return quickly, because the next commit waits for it. Nil disables it. It must be set before the first Take.
	Stored func(b *sluice.Batch)

	o      Options
	intake *intake
	memory *memory
	bodies sync.Pool // of *upload
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
	d := &Distributor{o: o, intake: newIntake(put, o), memory: newMemory(o)}
	d.intake.stored = func(b *sluice.Batch) {
		if d.Stored != nil {
			d.Stored(b)
		}
	}
	return d, nil
}

// Close waits until everything taken in is stored or refused. The queue must be closed later.
func (d *Distributor) Close() { d.intake.close() }

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

// Take reads a body in one of the native formats and stores its records, all good ones or none. Size is the body's length, or -1
// where unknown. Nothing is stored before the body's end has been read.
//
// What the first bytes show counts more than what m says: a body of gzip or zstd is inflated, and one in UTF-16 or UTF-32 with a
// byte order mark is decoded, in any case.
//
// The errors are [*TooLargeError], [*WindowError], [*OverloadError], [ErrEncoding], [ErrCharset], [ErrBinary] and [*BodyError]. After
// one of them no record is stored, save that after an OverloadError which wraps [queue.ErrUnavailable] some or all may be on disk
// nevertheless.
func (d *Distributor) Take(ctx context.Context, m Media, size int64, body io.Reader) (Result, error) {
	d.n.requests.Add(1)
	r, err := d.take(ctx, m, size, body)
	d.n.accepted.Add(int64(r.Accepted))
	if r.Rejected > 0 {
		d.n.rejected.Add(int64(r.Rejected))
	}
	if err != nil {
		if _, ok := errors.AsType[*OverloadError](err); ok {
			d.n.pushedBack.Add(1)
		}
		if _, ok := errors.AsType[*TooLargeError](err); ok {
			d.n.tooLarge.Add(1)
		}
	}
	return r, err
}

func (d *Distributor) take(ctx context.Context, m Media, size int64, body io.Reader) (Result, error) {
	if size > int64(d.o.MaxBodyBytes) {
		return Result{}, &TooLargeError{Limit: int64(d.o.MaxBodyBytes)}
	}
	u, ok := d.bodies.Get().(*upload)
	if !ok {
		u = &upload{d: d}
		u.claim.m = d.memory
		u.unit.o, u.unit.claim = &d.o, &u.claim
	}
	defer u.free()
	separate := d.o.SplitLines
	if m.Multiline != nil {
		separate = !*m.Multiline
	}
	u.claim.body, _ = body.(Interrupter)
	u.decoder.reset(m.Format, d.o.MaxRecordBytes, separate)
	u.decoder.ctx, u.decoder.claim = ctx, &u.claim
	if err := u.read(ctx, m, size, body); err != nil {
		return Result{}, err
	}
	r := Result{Rejected: u.decoder.Rejected, TooLarge: u.decoder.TooLarge, Errors: u.decoder.Errors}
	if u.unit.count == 0 {
		return r, nil
	}
	if err := d.intake.store(ctx, &u.unit); err != nil {
		return r, err
	}
	r.Accepted = u.unit.count
	d.n.bytes.Add(int64(u.unit.size))
	return r, nil
}

// upload is a body that is being taken in.
type upload struct {
	d       *Distributor
	claim   claim
	window  window
	decoder Decoder
	unit    unit
}

func (u *upload) free() {
	u.window.free()
	u.unit.free()
	u.claim.end()
	if cap(u.decoder.out) > 2*maxOut {
		u.decoder.out = nil
	}
	u.decoder.ctx = nil
	u.d.bodies.Put(u)
}

// read reads a body to its end, and decodes and packs it meanwhile.
//
// A compressed body is read to its end before it is inflated, so that a slow sender holds up nobody who waits to inflate. So is
// each layer of a body that is compressed more than once.
func (u *upload) read(ctx context.Context, m Media, size int64, body io.Reader) error {
	limit := int64(u.d.o.MaxBodyBytes)
	u.window = window{claim: &u.claim, limit: limit, left: max(size, -1)}
	var packed window    // the layer that is being inflated
	release := func() {} // gives back what is needed for that
	defer func() { release() }()
	inflating := ""
	failed := func(err error) error {
		if bad, ok := errors.AsType[*BodyError](err); ok && inflating != "" {
			return &BodyError{inflateError(inflating, bad.Err)}
		}
		return err
	}
	for layer := 0; ; layer++ {
		last, err := u.window.fill(ctx, body)
		if err != nil {
			return failed(err)
		}
		coding := codingOf(u.window.bytes())
		if n := len(m.Codings) - 1 - layer; n >= 0 {
			coding = m.Codings[n]
		}
		if coding == "" {
			return failed(u.decodeText(ctx, m, body, last))
		}
		if layer == maxCodings {
			return fmt.Errorf("%w: more than %d one within another", ErrEncoding, maxCodings)
		}
		if !last {
			if err := u.window.readAll(ctx, body); err != nil {
				return failed(err)
			}
		}
		release()
		packed, inflating = u.window, coding
		u.window = window{claim: &u.claim, limit: limit, left: -1, inflated: true}
		r, done, err := inflater(ctx, &u.claim, coding, packed.bytes())
		release = func() {
			if done != nil {
				done()
			}
			if packed.buf != nil {
				u.claim.shrink(len(packed.buf.b))
				packed.free()
			}
			release = func() {}
		}
		if err != nil {
			return err
		}
		body = r
	}
}

// decodeText decodes a body that is not compressed, or not any more, and whose first piece is in the window. What is not UTF-8 is
// made so first.
func (u *upload) decodeText(ctx context.Context, m Media, body io.Reader, last bool) error {
	charset, err := m.charsetOf(u.window.bytes())
	if err != nil || charset == nil {
		if err == nil {
			err = u.decode(ctx, body, last)
		}
		return err
	}
	first := u.window
	if first.buf != nil {
		defer func() {
			u.claim.shrink(len(first.buf.b))
			first.free()
		}()
	}
	all := io.Reader(bytes.NewReader(first.bytes()))
	if !last {
		all = io.MultiReader(all, body)
	}
	u.window = window{claim: &u.claim, limit: first.limit, left: -1, inflated: first.inflated}
	body = transform.NewReader(all, charset.NewDecoder())
	if last, err = u.window.fill(ctx, body); err != nil {
		return err
	}
	return u.decode(ctx, body, last)
}

// decode decodes a body whose first piece is in the window, which may be the last.
func (u *upload) decode(ctx context.Context, body io.Reader, last bool) error {
	for {
		for {
			lines, count, used := u.decoder.Next(u.window.bytes(), last)
			u.window.from += used
			if err := u.decoder.noRoom; err != nil {
				return err
			}
			if count > 0 {
				small := last && u.unit.count == 0 && len(lines) <= rawBytes && u.window.from == u.window.to
				if err := u.unit.add(ctx, lines, count, small); err != nil {
					return err
				}
			}
			if used == 0 {
				break
			}
		}
		if last {
			break
		}
		var err error
		if last, err = u.window.fill(ctx, body); err != nil {
			return err
		}
	}
	if len(u.unit.buffers) > 0 && u.window.buf != nil { // everything is packed, and the wait for the disk may be long
		u.claim.shrink(len(u.window.buf.b))
		u.window.free()
	}
	return nil
}
