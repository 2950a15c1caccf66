package distributor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/semaphore"
)

// ErrEncoding says that a Content-Encoding is not known.
var ErrEncoding = errors.New("unsupported content encoding: send gzip, zstd or identity")

// TooLargeError says that a body is over a limit, as sent or inflated.
type TooLargeError struct {
	Limit    int64 // bytes
	Inflated bool  // it grew past the limit while it was inflated
}

func (e *TooLargeError) Error() string {
	what := "body"
	if e.Inflated {
		what = "inflated body"
	}
	return fmt.Sprintf("%s is larger than %d bytes", what, e.Limit)
}

// BodyError says that a body could not be read to its end. Nothing of it was stored, so it can be sent again.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "reading the body: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.Err }

// buffer holds a body, and the permit for the memory it takes.
type buffer struct {
	d      *Distributor
	permit int64
	b      *bytes.Buffer
}

// keep is the largest buffer that is kept for the next body.
const keep = 1 << 20

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (d *Distributor) newBuffer() *buffer { return &buffer{d: d, b: buffers.Get().(*bytes.Buffer)} }

func (in *buffer) bytes() []byte { return in.b.Bytes() }

func (in *buffer) free() {
	if in.b == nil {
		return
	}
	if in.b.Cap() <= keep {
		in.b.Reset()
		buffers.Put(in.b)
	}
	in.b = nil
	in.d.memory.Release(in.permit)
	in.permit = 0
}

// claim asks for the right to hold size bytes. It waits for Options.Hold at most.
func (in *buffer) claim(ctx context.Context, size int64) error {
	more := size - in.permit
	if more <= 0 {
		return nil
	}
	if !in.d.memory.TryAcquire(more) {
		ctx, cancel := context.WithTimeout(ctx, in.d.o.Hold)
		defer cancel()
		if err := in.d.memory.Acquire(ctx, more); err != nil {
			return &OverloadError{fmt.Errorf("the bodies of all requests together exceed %d bytes", in.d.o.MaxInFlightBytes)}
		}
	}
	in.permit = size
	return nil
}

// read takes a whole body in, inflated. The buffer must be freed, after an error too.
//
// The body is read to its end before it is inflated, so that a slow sender holds up nobody who waits to inflate.
func (d *Distributor) read(ctx context.Context, encoding string, size int64, body io.Reader) (*buffer, error) {
	in := d.newBuffer()
	limit := int64(d.o.MaxBodyBytes)
	if size > limit {
		return in, &TooLargeError{Limit: limit}
	}
	if err := in.fill(ctx, body, size, limit, false); err != nil {
		return in, err
	}
	var pool *sync.Pool
	switch encoding {
	case "", "identity":
		return in, nil
	case "gzip", "x-gzip":
		if !bytes.HasPrefix(in.bytes(), gzipMagic) {
			return in, &BodyError{errors.New("gzip: the body is not compressed by gzip, as its Content-Encoding says")}
		}
		pool = &gzipReaders
	case "zstd":
		pool = &zstdReaders
	default:
		return in, fmt.Errorf("%w (not %q)", ErrEncoding, encoding)
	}
	defer in.free()
	out := d.newBuffer()
	if err := inflaters.Acquire(ctx, 1); err != nil {
		return out, &BodyError{err}
	}
	defer inflaters.Release(1)
	r := pool.Get().(resetReader)
	defer pool.Put(r)
	if err := r.Reset(bytes.NewReader(in.bytes())); err != nil {
		return out, &BodyError{inflateError(encoding, err)}
	}
	err := out.fill(ctx, r, -1, limit, true)
	if bad, ok := errors.AsType[*BodyError](err); ok {
		err = &BodyError{inflateError(encoding, bad.Err)}
	}
	return out, err
}

// gzipMagic is how every gzip file begins (RFC 1952, 2.3.1).
var gzipMagic = []byte{0x1f, 0x8b}

// inflateError names the encoding, which the libraries' errors do mostly but not always.
func inflateError(encoding string, err error) error {
	if strings.HasPrefix(err.Error(), encoding) {
		return err
	}
	return fmt.Errorf("%s: %w", encoding, err)
}

// firstStep is how much memory a body claims before its first byte is there. Most bodies fit.
const firstStep = 128 << 10

// fill reads in steps, so that memory is claimed only as the body proves to be that long.
func (in *buffer) fill(ctx context.Context, body io.Reader, size, limit int64, inflated bool) error {
	for {
		// A length that is only announced claims nothing: the first step is small, each further one at most doubles.
		have := int64(in.b.Len())
		want := min(max(firstStep, have), limit+1-have)
		if size >= 0 {
			want = min(want, size-have)
		}
		if err := in.claim(ctx, have+want); err != nil {
			return err
		}
		in.b.Grow(int(want) + bytes.MinRead)
		n, err := io.CopyN(in.b, body, want)
		if have+n > limit {
			return &TooLargeError{Limit: limit, Inflated: inflated}
		}
		if err == io.EOF {
			return nil
		}
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
			return &TooLargeError{Limit: limit, Inflated: true}
		}
		if err != nil {
			return &BodyError{err}
		}
		if size >= 0 && have+n == size { // spares another read just to see the end
			return nil
		}
	}
}

// inflaters bounds how many bodies are inflated at once: more would not be faster, and each costs its window.
var inflaters = semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))

// resetReader is an inflater that can be used again.
type resetReader interface {
	io.Reader
	Reset(io.Reader) error
}

var (
	gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
	zstdReaders = sync.Pool{New: func() any {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil { // only options can be wrong, and these are not
			panic(err)
		}
		return z
	}}
)

// maxWindow bounds what inflating one zstd body may remember. It is the window that RFC 8878 asks decoders to support.
const maxWindow = 8 << 20
