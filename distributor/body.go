package distributor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// TooLargeError says that a body is over a limit, as sent, inflated or decoded.
type TooLargeError struct {
	Limit    int64 // bytes
	Inflated bool  // it grew past the limit while it was inflated
	Decoded  bool  // the limit is Options.MaxInFlightBytes, and its records alone take more
}

func (e *TooLargeError) Error() string {
	what := "body"
	switch {
	case e.Inflated:
		what = "inflated body"
	case e.Decoded:
		what = "memory for the body"
	}
	return fmt.Sprintf("%s is larger than %d bytes", what, e.Limit)
}

// WindowError says that inflating a body of zstd would take more memory than it may.
type WindowError struct{ Limit int64 } // bytes

func (e *WindowError) Error() string {
	return fmt.Sprintf("zstd: the window of the body is larger than %d bytes", e.Limit)
}

// BodyError says that a body could not be read to its end. Nothing of it was stored, so it can be sent again.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "reading the body: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.Err }

const (
	// pieceBytes is how much of a body is read before it is decoded and packed. A piece of this size is still in the
	// processor's second-level cache when it is packed. Twice as much packs hardly better; half as much takes 5 to 7 % more disk.
	pieceBytes = 128 << 10

	// unknownBytes is the first buffer of a body whose length is not announced. Most fit.
	unknownBytes = 16 << 10
)

// window is the part of a body that is in memory: read, and not yet decoded.
type window struct {
	claim    *claim
	limit    int64 // of the body, in bytes
	inflated bool  // the body is what an inflater returns
	left     int64 // bytes that are still to come; -1 where unknown
	total    int64 // bytes read so far
	buf      *buffer
	from, to int // what is in buf
}

func (w *window) bytes() []byte {
	if w.buf == nil { // nothing was read, because the body is empty
		return nil
	}
	return w.buf.b[w.from:w.to]
}

// fill reads until the buffer is full or the body ends, and says which of the two it was. A buffer from whose content
// nothing could be used is replaced by a larger one, so that memory is claimed only as the body proves to be that long: a
// length that is only announced claims one piece at most.
func (w *window) fill(ctx context.Context, body io.Reader) (last bool, err error) {
	if w.left == 0 {
		return true, nil
	}
	if err := w.room(ctx); err != nil {
		return false, err
	}
	for w.to < len(w.buf.b) {
		free := w.buf.b[w.to:]
		most := w.limit + 1 - w.total
		if w.left >= 0 {
			most = w.left
		}
		n, err := w.read(body, free[:min(int64(len(free)), most)])
		w.to += n
		w.total += int64(n)
		if w.total > w.limit {
			return false, &TooLargeError{Limit: w.limit, Inflated: w.inflated}
		}
		if w.left >= 0 {
			if w.left -= int64(n); w.left == 0 { // spares another read just to see the end
				return true, nil
			}
		}
		if err == io.EOF {
			return true, nil
		}
		if errors.Is(err, zstd.ErrWindowSizeExceeded) {
			return false, &WindowError{Limit: maxWindow}
		}
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			return false, &TooLargeError{Limit: w.limit, Inflated: true}
		}
		if err != nil {
			if w.claim.givenUp() {
				return false, errSlow
			}
			return false, &BodyError{err}
		}
	}
	return false, nil
}

// read reads from the sender, or from what inflates.
func (w *window) read(body io.Reader, p []byte) (int, error) {
	if w.inflated {
		return body.Read(p)
	}
	return w.claim.read(body, p)
}

// room makes room for more of the body.
func (w *window) room(ctx context.Context) error {
	have := w.to - w.from
	if w.buf != nil && have < len(w.buf.b) {
		copy(w.buf.b, w.bytes()) // the start of a record, usually
		w.from, w.to = 0, have
		return nil
	}
	size := unknownBytes
	switch {
	case w.buf != nil:
		size = 2 * len(w.buf.b)
		size = max(size, min(pieceBytes, 4*len(w.buf.b)))
	case w.left > 0:
		size = int(min(w.left, pieceBytes))
	case w.inflated:
		size = pieceBytes
	}
	most := w.limit + 1
	if w.left >= 0 {
		most = int64(have) + w.left
	}
	size = bufferSize(int(min(int64(size), most)))
	if err := w.claim.grow(ctx, size); err != nil {
		return err
	}
	larger := getBuffer(size)
	if w.buf != nil { // both exist while one is copied into the other
		copy(larger.b, w.bytes())
		w.claim.shrink(len(w.buf.b))
		w.buf.free()
	}
	w.buf, w.from, w.to = larger, 0, have
	return nil
}

// free gives the buffer back, but not the claim.
func (w *window) free() {
	if w.buf != nil {
		w.buf.free()
		w.buf = nil
	}
}

// readAll reads a body to its end.
func (w *window) readAll(ctx context.Context, body io.Reader) error {
	for {
		if last, err := w.fill(ctx, body); last || err != nil {
			return err
		}
	}
}

// inflater returns a reader of an inflated body, and a function to call when it is done with. What the reader remembers is
// claimed.
func inflater(ctx context.Context, c *claim, coding string, packed []byte) (io.Reader, func(), error) {
	pool, size := inflatersOf[coding], int64(gzipBytes)
	if coding == "zstd" {
		if size = zstdBytes(packed); size > maxZstdBytes {
			return nil, nil, &WindowError{Limit: maxWindow}
		}
	}
	if err := c.grow(ctx, int(min(size, math.MaxInt32))); err != nil {
		return nil, nil, err
	}
	r := pool.Get().(resetReader)
	done := func() {
		if size <= pooledInflater { // else it would keep its window
			pool.Put(r)
		}
		c.shrink(int(size))
	}
	if err := r.Reset(bytes.NewReader(packed)); err != nil {
		done()
		return nil, nil, &BodyError{inflateError(coding, err)}
	}
	return r, done, nil
}

const (
	// gzipBytes is about what an inflater of gzip takes: a window of 32 KiB (RFC 1951) and tables.
	gzipBytes = 64 << 10

	// maxZstdBytes is zstdBytes of a body with the largest window that is allowed.
	maxZstdBytes = maxWindow + 4*128<<10 + 64<<10

	// pooledInflater is what an inflater may have taken to be used again. It has room for the window of 2 MiB that zstd uses unless told
	// otherwise.
	pooledInflater = 3 << 20
)

// zstdBytes is what it takes to inflate a body: the largest window of its frames (RFC 8878, 3.1.1), and some blocks.
func zstdBytes(packed []byte) int64 {
	const block = 128 << 10 // the most that a block becomes
	window := uint64(0)
	for len(packed) > 0 {
		var h zstd.Header
		rest, err := h.DecodeAndStrip(packed)
		if err != nil {
			break // the inflater says what is wrong
		}
		if h.Skippable {
			packed = rest[min(int(h.SkippableSize), len(rest)):]
			continue
		}
		if window = max(window, h.WindowSize); h.SingleSegment {
			window = max(window, h.FrameContentSize)
		}
		packed = skipFrame(rest, h.HasCheckSum)
	}
	window = min(window, math.MaxInt32) // more is never granted
	return int64(window + 4*min(window, block) + 64<<10)
}

// skipFrame returns what follows a frame whose header was read (RFC 8878, 3.1.1.2).
func skipFrame(b []byte, checksum bool) []byte {
	for len(b) >= 3 {
		head := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
		size, kind := head>>3, head>>1&3
		if kind == 1 { // one byte, repeated
			size = 1
		}
		if b = b[min(3+size, len(b)):]; head&1 == 0 {
			continue
		}
		if checksum {
			b = b[min(4, len(b)):]
		}
		return b
	}
	return nil
}

// inflateError names the coding, which the libraries' errors do mostly but not always.
func inflateError(coding string, err error) error {
	if strings.HasPrefix(err.Error(), coding) {
		return err
	}
	return fmt.Errorf("%s: %w", coding, err)
}

// resetReader is an inflater that can be used again.
type resetReader interface {
	io.Reader
	Reset(*bytes.Reader) error
}

// inflatersOf holds inflaters by the content coding.
var inflatersOf = map[string]*sync.Pool{
	"gzip":    {New: func() any { return new(gzipReader) }},
	"deflate": {New: func() any { return new(deflateReader) }},
	"zstd": {New: func() any {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil { // only options can be wrong, and these are not
			panic(err)
		}
		return zstdReader{z}
	}},
}

type zstdReader struct{ *zstd.Decoder }

func (r zstdReader) Reset(in *bytes.Reader) error { return r.Decoder.Reset(in) }

// gzipReader inflates members of gzip one after the other. Zeros behind a member are skipped, as gzip itself does: they are
// what fills up blocks of tapes and archives.
type gzipReader struct {
	z  gzip.Reader
	in *bytes.Reader
}

func (r *gzipReader) Reset(in *bytes.Reader) error {
	r.in = in
	if err := r.z.Reset(in); err != nil {
		if errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.EOF) {
			return errors.New("gzip: the body is not compressed by gzip, as its Content-Encoding says")
		}
		return err
	}
	r.z.Multistream(false)
	return nil
}

func (r *gzipReader) Read(p []byte) (int, error) {
	n, err := r.z.Read(p)
	if err != io.EOF {
		return n, err
	}
	for {
		switch c, err := r.in.ReadByte(); {
		case err != nil:
			return n, io.EOF
		case c == 0:
			continue
		}
		r.in.UnreadByte() // can't fail: a byte was read
		if err := r.z.Reset(r.in); err != nil {
			return n, fmt.Errorf("gzip: behind the compressed data: %w", noEOF(err))
		}
		r.z.Multistream(false)
		return n, nil
	}
}

// deflateReader inflates what HTTP calls deflate: zlib, or what some senders take it for, the bare form that zlib wraps
// (RFC 9110, 8.4.1.2).
type deflateReader struct {
	io.Reader
	in *bytes.Reader
}

func (r *deflateReader) Reset(in *bytes.Reader) error {
	r.in = in
	var head [2]byte
	if _, err := in.ReadAt(head[:], 0); err != nil {
		return errors.New("deflate: the body is not compressed by it, as its Content-Encoding says")
	}
	if head[0]&15 == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 { // RFC 1950, 2.2
		var err error
		r.Reader, err = zlib.NewReader(in)
		return err
	}
	r.Reader = flate.NewReader(in)
	return nil
}

func (r *deflateReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF && r.in.Len() > 0 {
		err = fmt.Errorf("deflate: %d bytes follow the compressed data", r.in.Len())
	}
	return n, err
}

// noEOF is for an end where something was begun.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// maxWindow bounds what inflating one zstd body may remember. It is the window that RFC 8878 asks decoders to support.
const maxWindow = 8 << 20
