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
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/unicode"

	"github.com/sluicehq/sluice/internal/multiline"
)

// ReplayOptions says how lines of text become records.
type ReplayOptions struct {
	Track      bool // give each record the emitter's ID and a sequence number, so that it can be verified
	MaxLine    int  // bytes; longer lines are skipped and counted. Zero means 1 MiB less 4 KiB, at least 1
	SplitLines bool // each line is a record by itself; zero means that the lines of a stack trace join the line before them
}

// Replay reads records from a log file, one line each; a stack trace and the line before it are one record, as package multiline
// says.
//
// A line that is a JSON object is sent as it is. Any other line becomes {"body": line}; bytes that are not UTF-8 become
// U+FFFD. Empty lines are left out. Gzip and zstd are inflated, and UTF-16 with a byte order mark is decoded, whatever the name of
// the file.
//
// With Track, the two attributes are put in front of a JSON object's own fields. An object that may have attributes of its
// own (the text "attributes" or an escaped letter occurs in it) would hide them: it becomes the body of a new record, as
// text, like a plain line.
//
// Several emitters of a pool may share a Replay; each record goes to one of them. Lines are passed on as they come, so a pipe works
// too: the last line waits for joinWait, in case that its stack trace follows.
type Replay struct {
	o       ReplayOptions
	in      *bufio.Reader
	close   func() error
	skipped atomic.Int64

	chunks chan [][]byte // of records' lines; closed at the end of the input
	failed error         // why the input ended, if not by its end; valid once chunks is closed
	turn   chan struct{} // holds a token while somebody takes; guards left
	left   [][]byte      // records of a chunk that nobody took yet
}

// joinWait is how long the last line that was read waits for lines that continue it. Programs write a stack trace at once, but
// pipes and disks may split it.
const joinWait = 200 * time.Millisecond

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
	lines := make(chan [][]byte)
	var scanning sync.WaitGroup
	defer scanning.Wait()
	scanning.Go(func() {
		defer close(lines)
		r.failed = r.scan(ctx, lines)
	})
	records := joiner{split: r.o.SplitLines, max: r.o.MaxLine}
	hold := time.NewTimer(joinWait)
	defer hold.Stop()
	for {
		var held <-chan time.Time
		if records.last != nil {
			hold.Reset(joinWait)
			held = hold.C
		}
		more := true
		var chunk [][]byte
		select {
		case <-ctx.Done():
			return
		case <-held:
			chunk = records.end(nil)
		case chunk, more = <-lines:
			if chunk = records.join(chunk); !more {
				chunk = records.end(chunk)
			}
		}
		if len(chunk) > 0 {
			select {
			case r.chunks <- chunk:
			case <-ctx.Done():
				return
			}
		}
		if !more {
			return
		}
	}
}

// joiner joins lines to records. Empty lines are none.
type joiner struct {
	multiline.Joiner
	split bool
	max   int    // bytes of a record
	last  []byte // the record that may go on; nil if there is none
	blank int    // empty lines since
}

// join returns the records that are complete with lines.
func (j *joiner) join(lines [][]byte) [][]byte {
	records := make([][]byte, 0, len(lines)+1)
	for _, line := range lines {
		switch {
		case len(line) == 0:
			j.blank++
			continue
		case j.split || isObject(line):
			records = append(j.end(records), line)
		case j.last != nil && len(j.last)+j.blank+1+len(line) <= j.max && j.Continues(line, j.blank):
			for range j.blank + 1 {
				j.last = append(j.last, '\n')
			}
			j.last = append(j.last, line...)
		default:
			records = j.end(records)
			j.Start(line)
			j.last = slices.Clip(line) // Start keeps it, so what is joined goes elsewhere
		}
		j.blank = 0
	}
	return records
}

// end adds the record that might have gone on.
func (j *joiner) end(records [][]byte) [][]byte {
	if j.last != nil {
		records = append(records, j.last)
		j.last = nil
	}
	return records
}

// scan passes the lines of the input on, chunk by chunk, until it ends or ctx does. The error is why it ended too early.
func (r *Replay) scan(ctx context.Context, lines chan<- [][]byte) error {
	var err error
	if r.in, err = decoded(r.in, 0); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	var chunk [][]byte
	size := 0
	for {
		line, err := r.line()
		chunk = append(chunk, line)
		size += len(line)
		if len(chunk) >= chunkLines || size >= chunkBytes || !r.ready() || err != nil {
			select {
			case lines <- chunk:
			case <-ctx.Done():
				return nil
			}
			chunk, size = nil, 0
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// maxLayers is how often an input may be compressed; some files inflate to themselves.
const maxLayers = 3

// decoded inflates and decodes an input whose first bytes show that it is compressed or in UTF-16. It waits for its first byte, and
// for more only where that one can't be text.
func decoded(in *bufio.Reader, layer int) (*bufio.Reader, error) {
	first, err := in.Peek(1)
	if err != nil || first[0] != 0x1f && first[0] != 0x28 && first[0] < 0xfe {
		return in, nil // line says what is wrong
	}
	head, _ := in.Peek(4)
	var r io.Reader
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}) && layer < maxLayers:
		r, err = gzip.NewReader(in)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) && layer < maxLayers:
		r, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		r = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Reader(in)
		return bufio.NewReaderSize(r, 64<<10), nil
	default:
		return in, nil
	}
	if err != nil {
		return nil, err
	}
	return decoded(bufio.NewReaderSize(r, 64<<10), layer+1)
}

// ready is whether another line can be had without waiting.
func (r *Replay) ready() bool {
	b, _ := r.in.Peek(r.in.Buffered())
	return bytes.IndexByte(b, '\n') >= 0
}

// byteOrderMark is what some programs write before UTF-8, once for each file.
var byteOrderMark = []byte("\xef\xbb\xbf")

// line reads one line without its end. It is empty for lines that are skipped, or hold nothing but space.
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
		line = bytes.TrimPrefix(bytes.TrimRight(line, "\r\n"), byteOrderMark)
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

// isObject says whether a line is a JSON object that a distributor takes.
func isObject(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) > 0 && line[0] == '{' && utf8.Valid(line) && json.Valid(line)
}

// record appends the record that a line becomes.
func (r *Replay) record(dst, line []byte, emitter string, seq uint64) []byte {
	object := bytes.TrimSpace(line)
	isObject := isObject(object)
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
