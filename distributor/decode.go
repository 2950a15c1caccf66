package distributor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/sluicehq/sluice/internal/jsonscan"
	"github.com/sluicehq/sluice/internal/multiline"
)

// Rejection says which record of a body was refused, and why.
type Rejection struct {
	Line   int    `json:"line"`   // where it begins, from 1; for the element of an array, its number in the array
	Reason string `json:"reason"` // for people
}

// maxRejections is how many rejections an answer names.
const maxRejections = 20

// Decoder takes one body apart into records, piece by piece, while the body arrives. It does not fail: a body in which
// nothing is good yields no lines.
//
// Of a body only what makes one record must be in memory at once: a line, the lines of a stack trace, an object over several
// lines or an element of an array.
type Decoder struct {
	Rejected int
	TooLarge int         // the part of Rejected that was over the limit for one record
	Errors   []Rejection // the first 20 of Rejected

	format    Format
	maxRecord int
	separate  bool   // each line of text is a record
	begun     bool   // a byte order mark was looked for
	next      int    // number of the next line, from 1
	out       []byte // lines that are not in the body as they are; used again from call to call
	count     int    // records in out
	joiner    multiline.Joiner

	// Of the memory for out.
	ctx    context.Context // for claims
	claim  *claim          // asked before out takes more; nil asks nobody
	held   int             // bytes of out that were claimed
	noRoom error           // the claim was refused, and Next did not use all it could

	// Of a body that may hold JSON over several lines.
	done      int64 // bytes of it that were used by earlier calls
	lineStart int64 // where the line begins in which decoding goes on
	triedFrom int64 // a value that begins here
	tried     int64 // was none at this byte
	inArray   bool
	element   int // number of the next element, from 1
}

// NewDecoder makes a decoder for one body. Records longer than maxRecord bytes are rejected.
func NewDecoder(f Format, maxRecord int) *Decoder {
	d := &Decoder{}
	d.reset(f, maxRecord, false)
	return d
}

// reset makes a decoder ready for another body.
func (d *Decoder) reset(f Format, maxRecord int, separate bool) {
	*d = Decoder{format: f, maxRecord: maxRecord, separate: separate, next: 1, out: d.out[:0]}
}

// room makes room for n more bytes in out, and says whether there is. It claims them first; while out is copied to a larger
// place, both places are claimed.
func (d *Decoder) room(n int) bool {
	need := len(d.out) + n
	if need <= d.held {
		return true
	}
	size := cap(d.out)
	if need > size {
		size = bufferSize(max(need, 2*size))
	}
	if d.claim != nil {
		if d.noRoom = d.claim.grow(d.ctx, size); d.noRoom != nil {
			return false
		}
		d.claim.shrink(d.held)
	}
	if d.held = size; size > cap(d.out) {
		d.out = append(make([]byte, 0, size), d.out...)
	}
	return true
}

// maxOut is how many bytes of lines one call of Next returns at most, unless a single record is longer, where the lines are
// not in the body as they are. It bounds the memory for them.
const maxOut = 64 << 10

// Next decodes what it can of b, the part of the body that was not used yet: it returns count good records as lines, one
// JSON object each, and how many bytes of b were used. It is called until it uses nothing; then with more of the body behind
// the rest of b, or, where last is true and nothing follows, no more.
//
// Next may change b and the memory between len(b) and cap(b). The lines are good until the next call or change of b.
func (d *Decoder) Next(b []byte, last bool) (lines []byte, count, used int) {
	if !d.begun {
		if len(b) < len(byteOrderMark) && !last {
			return nil, 0, 0
		}
		d.begun = true
		if bytes.HasPrefix(b, byteOrderMark) {
			d.done += int64(len(byteOrderMark))
			return nil, 0, len(byteOrderMark)
		}
	}
	switch d.format {
	case NDJSON:
		return d.nextLines(b, last)
	case Text:
		return d.nextOut(b, last, d.text)
	}
	if !d.inArray {
		if n, count := d.run(b); count > 0 {
			d.next += count
			d.done += int64(n)
			return b[:n], count, n
		}
	}
	return d.nextOut(b, last, d.value)
}

// nextOut decodes with step until enough records are in out. A step decodes what is at b[at:], a record or what is refused or
// empty, and returns where the next one begins; false if it needs more of the body for that.
func (d *Decoder) nextOut(b []byte, last bool, step func(b []byte, at int, last bool) (int, bool)) (lines []byte, count, used int) {
	d.out, d.count = d.out[:0], 0
	for used < len(b) && len(d.out) < maxOut {
		next, ok := step(b, used, last)
		if !ok {
			break
		}
		used = next
	}
	if used == len(b) && last && d.inArray {
		d.inArray = false
		d.reject(d.element, errNotClosed)
	}
	d.done += int64(used)
	return d.out, d.count, used
}

// reject counts a record as refused. The reason is put into words only where it will be read: a body may have millions.
func (d *Decoder) reject(number int, reason error) {
	d.Rejected++
	if len(d.Errors) < maxRejections {
		d.Errors = append(d.Errors, Rejection{number, reason.Error()})
	}
}

var errNotClosed = errors.New("the array is not closed")

func (d *Decoder) rejectLarge(number, size int) {
	d.TooLarge++
	d.reject(number, sizeError{size, d.maxRecord})
}

// sizeError says that a record is too large.
type sizeError struct{ size, limit int }

func (e sizeError) Error() string {
	return fmt.Sprintf("record is %d bytes, the limit is %d", e.size, e.limit)
}

// utf8Error says where a record is not UTF-8: at this byte, from 1.
type utf8Error int

func (e utf8Error) Error() string { return fmt.Sprintf("invalid UTF-8 at byte %d", int(e)) }

// unreadError says that bytes behind a broken value were not read, to the end of the body or to the next line that begins a value.
type unreadError struct {
	error
	bytes int
	rest  bool
}

func (e unreadError) Error() string {
	if e.rest {
		return fmt.Sprintf("%v; the rest of the body, %d bytes, was not read", e.error, e.bytes)
	}
	return fmt.Sprintf("%v; %d bytes up to the next line that begins a record were not read", e.error, e.bytes)
}

// byteOrderMark is what some programs write before UTF-8, and so before each of several files that were put behind one another.
// It is no part of a record.
var byteOrderMark = []byte("\xef\xbb\xbf")

// nextLines decodes the complete lines of b. Where all are good, which is nearly always, they are returned as they are; behind
// one that is not, the good ones are moved down in b.
func (d *Decoder) nextLines(b []byte, last bool) (lines []byte, count, used int) {
	if !last {
		b = b[:bytes.LastIndexByte(b, '\n')+1]
	}
	if len(b) == 0 {
		return nil, 0, 0
	}
	scanner := scanners.Get().(*jsonscan.Scanner)
	defer scanners.Put(scanner)
	valid := utf8.Valid(b) // all at once is many times faster than line by line
	kept := 0              // the good records are b[:kept]
	for at := 0; at < len(b); d.next++ {
		if valid { // nearly always
			if n := scanner.Line(b[at:]); n > 0 && n-1 <= d.maxRecord {
				if kept != at {
					copy(b[kept:], b[at:at+n])
				}
				count++
				at += n
				kept += n
				continue
			}
		}
		end := bytes.IndexByte(b[at:], '\n')
		next := at + end + 1
		if end < 0 {
			end, next = len(b)-at, len(b)
		}
		text := b[at : at+end]
		if bytes.HasPrefix(text, byteOrderMark) { // that of another file
			at += len(byteOrderMark)
			text = text[len(byteOrderMark):]
			end -= len(byteOrderMark)
		}
		reason := checkRecord(scanner, text, valid)
		switch {
		case isBlank(text):
		case reason != nil:
			d.reject(d.next, reason)
		case len(text) > d.maxRecord:
			d.rejectLarge(d.next, len(text))
		default:
			count++
			if next == at+end { // the last line is not ended
				b = append(append(b[:kept], text...), '\n')
				return b, count, next
			}
			kept += copy(b[kept:], b[at:next])
		}
		at = next
	}
	return b[:kept], count, len(b)
}

// scanners remember the shapes of records from body to body.
var scanners = sync.Pool{New: func() any { return new(jsonscan.Scanner) }}

// checkRecord says why a text is not a record; nil where it is one.
func checkRecord(scanner *jsonscan.Scanner, text []byte, validUTF8 bool) error {
	if !validUTF8 {
		if i := invalidUTF8(text); i >= 0 {
			return utf8Error(i + 1)
		}
	}
	return scanner.Object(text)
}

func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}
