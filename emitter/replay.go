package emitter

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// ReplayOptions says how lines of text become records.
type ReplayOptions struct {
	Track   bool // give each record the emitter's ID and a sequence number, so that it can be verified
	MaxLine int  // bytes; longer lines are skipped and counted. Zero means 1 MiB less 4 KiB, at least 1
}

// Replay reads records from a log file, one line each.
//
// A line that is a JSON object is sent as it is. Any other line becomes {"body": line}; bytes that are not UTF-8 become
// U+FFFD. Empty lines are left out.
//
// With Track, the two attributes are put in front of a JSON object's own fields. An object that may have attributes of its
// own (the text "attributes" or an escaped letter occurs in it) would hide them: it becomes the body of a new record, as
// text, like a plain line.
//
// Several emitters of a pool may share a Replay; each line goes to one of them. Lines are passed on as soon as they are
// there, so a pipe that somebody types into works too.
type Replay struct {
	o       ReplayOptions
	in      *bufio.Reader
	close   func() error
	skipped atomic.Int64

	chunks chan [][]byte // of lines; closed at the end of the input
	failed error         // why the input ended, if not by its end; valid once chunks is closed
	turn   chan struct{} // holds a token while somebody takes; guards left
	left   [][]byte      // lines of a chunk that nobody took yet
}

// chunkLines is the most lines that are read ahead in one step; chunkBytes the most of their bytes.
const (
	chunkLines = 500
	chunkBytes = 256 << 10
)

// NewReplay makes a replay of what r holds.
func NewReplay(r io.Reader, o ReplayOptions) (*Replay, error) {
	if o.MaxLine == 0 {
		o.MaxLine = 1<<20 - 4<<10
	}
	if o.MaxLine < 1 {
		return nil, fmt.Errorf("emitter: MaxLine is %d, want at least 1", o.MaxLine)
	}
	return &Replay{
		o: o, in: bufio.NewReaderSize(r, 64<<10), close: func() error { return nil },
		chunks: make(chan [][]byte, 4), turn: make(chan struct{}, 1),
	}, nil
}

// OpenReplay makes a replay of a file, which ".gz" or ".zst" at the end of its name unpacks; "-" is the standard input.
func OpenReplay(name string, o ReplayOptions) (*Replay, error) {
	if name == "-" {
		return NewReplay(os.Stdin, o)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	var r io.Reader = f
	closeAll := f.Close
	switch {
	case strings.HasSuffix(name, ".gz"):
		r, err = gzip.NewReader(f)
	case strings.HasSuffix(name, ".zst"):
		var d *zstd.Decoder
		if d, err = zstd.NewReader(f, zstd.WithDecoderConcurrency(1)); err == nil {
			r, closeAll = d, func() error { d.Close(); return f.Close() }
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open log file %s: %w", name, err)
	}
	replay, err := NewReplay(r, o)
	if err != nil {
		closeAll()
		return nil, err
	}
	replay.close = closeAll
	return replay, nil
}

// Close closes the file that OpenReplay opened. Call it after the pool's Run returned.
func (r *Replay) Close() error { return r.close() }

// Skipped is how many lines were too long.
func (r *Replay) Skipped() int64 { return r.skipped.Load() }

// read passes the input on, chunk by chunk, until it ends or ctx does.
func (r *Replay) read(ctx context.Context) {
	defer close(r.chunks)
	var chunk [][]byte
	size := 0
	for {
		line, err := r.line()
		if len(line) > 0 {
			chunk = append(chunk, line)
			size += len(line)
		}
		waiting := len(chunk) > 0 && !r.ready()
		if len(chunk) >= chunkLines || size >= chunkBytes || waiting || err != nil && len(chunk) > 0 {
			select {
			case r.chunks <- chunk:
			case <-ctx.Done():
				return
			}
			chunk, size = nil, 0
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			r.failed = fmt.Errorf("read log: %w", err)
			return
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// ready is whether another line can be had without waiting.
func (r *Replay) ready() bool {
	b, _ := r.in.Peek(r.in.Buffered())
	return bytes.IndexByte(b, '\n') >= 0
}

// line reads one line without its end. It is empty for lines that are skipped.
func (r *Replay) line() ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.in.ReadSlice('\n')
		if long = long || len(line)+len(part) > r.o.MaxLine+2; !long {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		line = bytes.TrimRight(line, "\r\n")
		if long || len(line) > r.o.MaxLine {
			r.skipped.Add(1)
			line = nil
		}
		if len(bytes.TrimSpace(line)) == 0 {
			line = nil
		}
		return line, err
	}
}

// take appends at least one record and at most n to dst, numbered from seq. It waits for the first; io.EOF says that there
// is no more.
func (r *Replay) take(ctx context.Context, dst []byte, emitter string, seq uint64, n int) ([]byte, int, error) {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return dst, 0, context.Cause(ctx)
	}
	defer func() { <-r.turn }()
	taken := 0
	for taken < n {
		if err := r.more(ctx, taken == 0); err != nil {
			return dst, 0, err
		}
		if len(r.left) == 0 {
			break
		}
		k := min(n-taken, len(r.left))
		for i, line := range r.left[:k] {
			dst = r.record(dst, line, emitter, seq+uint64(taken+i))
		}
		r.left = r.left[k:]
		taken += k
	}
	return dst, taken, nil
}

// more gets a chunk if there is none, and waits for it if asked to; it is the caller's turn. Without waiting it never fails.
func (r *Replay) more(ctx context.Context, wait bool) error {
	if len(r.left) > 0 {
		return nil
	}
	if !wait {
		select {
		case r.left = <-r.chunks: // nil at the end of the input
		default:
		}
		return nil
	}
	select {
	case chunk, ok := <-r.chunks:
		if !ok {
			return io.EOF
		}
		r.left = chunk
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// record appends the record that a line becomes.
func (r *Replay) record(dst, line []byte, emitter string, seq uint64) []byte {
	object := bytes.TrimSpace(line)
	isObject := object[0] == '{' && json.Valid(object)
	if isObject && !r.o.Track {
		return append(append(dst, object...), '\n')
	}
	dst = append(dst, '{')
	if r.o.Track {
		dst = append(dst, `"attributes":{"`+AttributeEmitter+`":`...)
		dst = appendText(dst, []byte(emitter))
		dst = append(dst, `,"`+AttributeSeq+`":`...)
		dst = strconv.AppendUint(dst, seq, 10)
		dst = append(dst, '}')
		own := bytes.TrimSpace(object[1:])
		switch {
		case isObject && own[0] == '}':
			return append(dst, '}', '\n')
		case isObject && !bytes.Contains(object, []byte(`"attributes"`)) && !bytes.Contains(object, []byte(`\u`)):
			dst = append(dst, ',')
			return append(append(dst, own...), '\n')
		}
		dst = append(dst, ',')
	}
	dst = append(dst, `"body":`...)
	dst = appendText(dst, line)
	return append(dst, '}', '\n')
}

// end waits for the reader, unless it is stuck in its input, and returns what went wrong with it.
func (r *Replay) end(reading <-chan struct{}) error {
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-reading:
		return r.failed
	case <-t.C:
		return nil
	}
}
