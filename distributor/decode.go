package distributor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/sluicehq/sluice/internal/jsonscan"
)

// Format is how the records of a body are written.
type Format int

// The formats of the native API.
const (
	NDJSON Format = iota // one JSON object a line
	JSON                 // an array of objects, one object, or objects one after the other
	Text                 // one record a line, its body
	Sniff                // NDJSON or JSON where it starts like one, else Text
)

// ErrFormat says that a Content-Type is none of those that the native API takes.
var ErrFormat = errors.New("unsupported content type")

// FormatOf reads a Content-Type. A body without one, or with the one that curl -d sets, is looked at.
func FormatOf(contentType string) (Format, error) {
	switch contentType { // what nearly all senders write needs no parsing
	case "":
		return Sniff, nil
	case "application/x-ndjson":
		return NDJSON, nil
	case "application/json":
		return JSON, nil
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		mediaType = strings.TrimSpace(strings.ToLower(contentType))
	}
	switch mediaType {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/stream+json":
		return NDJSON, nil
	case "application/json", "text/json":
		return JSON, nil
	case "text/plain":
		return Text, nil
	case "application/x-www-form-urlencoded", "application/octet-stream":
		return Sniff, nil
	}
	return 0, fmt.Errorf("%w %q: send application/x-ndjson, application/json or text/plain", ErrFormat, mediaType)
}

// Rejection says which record of a body was refused, and why.
type Rejection struct {
	Line   int    `json:"line"`   // from 1; for a JSON array, the element's number
	Reason string `json:"reason"` // for people
}

// maxRejections is how many rejections an answer names.
const maxRejections = 20

// Decoder takes one body apart into records, piece by piece, while the body arrives. It does not fail: a body in which
// nothing is good yields no lines.
//
// Lines of a body are decoded as soon as they are complete. An array, or an object over several lines, is decoded once the
// body is complete, because only its end shows that it was one.
type Decoder struct {
	Rejected int
	TooLarge int         // the part of Rejected that was over the limit for one record
	Errors   []Rejection // the first 20 of Rejected

	format    Format
	maxRecord int
	begun     bool   // a byte order mark was looked for
	decided   bool   // format is NDJSON or Text, or JSON that is no lines of objects
	next      int    // number of the next line or element, from 1
	out       []byte // lines that are not in the body as they are; used again from call to call

	// Of the memory for out.
	ctx    context.Context // for claims
	claim  *claim          // asked before out takes more; nil asks nobody
	held   int             // bytes of out that were claimed
	noRoom error           // the claim was refused, and Next did not use all it could

	// Of a JSON body that is no lines of objects.
	started bool
	inArray bool
	ended   bool
	valid   bool // all of it is UTF-8
	done    int  // bytes of it that were used by earlier calls
}

// NewDecoder makes a decoder for one body. Records longer than maxRecord bytes are rejected.
func NewDecoder(f Format, maxRecord int) *Decoder {
	d := &Decoder{}
	d.reset(f, maxRecord)
	return d
}

// reset makes a decoder ready for another body.
func (d *Decoder) reset(f Format, maxRecord int) {
	*d = Decoder{format: f, maxRecord: maxRecord, next: 1, out: d.out[:0]}
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
			return nil, 0, len(byteOrderMark)
		}
	}
	if !d.decided {
		if d.decided = d.decide(b, last); !d.decided {
			return nil, 0, 0
		}
	}
	switch {
	case d.format == NDJSON:
		return d.nextLines(b, last)
	case d.format == Text:
		return d.nextText(b, last)
	case last && !d.ended:
		return d.nextValues(b)
	}
	return nil, 0, 0
}

// decide finds out what a body is whose format leaves that open, and says whether b is enough to tell.
func (d *Decoder) decide(b []byte, last bool) bool {
	if d.format != JSON && d.format != Sniff {
		return true
	}
	at := jsonscan.SkipSpace(b, 0)
	if at == len(b) && !last {
		return false
	}
	if d.format == Sniff && (at == len(b) || b[at] != '{' && b[at] != '[') {
		d.format = Text
		return true
	}
	if at < len(b) && b[at] == '{' {
		switch end := bytes.IndexByte(b[at:], '\n'); {
		case end < 0 && !last:
			return false
		case end >= 0 && jsonscan.Object(b[at:at+end]) == nil:
			d.format = NDJSON
			return true
		}
	}
	d.format = JSON
	return true
}

// reject counts a record as refused. The reason is put into words only where it will be read: a body may have millions.
func (d *Decoder) reject(number int, reason error) {
	d.Rejected++
	if len(d.Errors) < maxRejections {
		d.Errors = append(d.Errors, Rejection{number, reason.Error()})
	}
}

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

// byteOrderMark is what some programs write before UTF-8; it is no part of the first record.
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

func isBlank(b []byte) bool { return jsonscan.SkipSpace(b, 0) == len(b) }

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

// nextValues reads values one after the other. An array stands for its elements. After a syntax error nothing says where
// the next value starts, so the rest counts as one rejected record.
func (d *Decoder) nextValues(b []byte) (lines []byte, count, used int) {
	at := 0
	if !d.started {
		if at = d.start(b); d.ended {
			return nil, 0, len(b)
		}
	}
	scanner := scanners.Get().(*jsonscan.Scanner)
	defer scanners.Put(scanner)
	d.out = d.out[:0]
	for ; at < len(b); d.next++ {
		if len(d.out) >= maxOut {
			d.done += at
			return d.out, count, at
		}
		end, err := jsonscan.Value(b, at)
		if err != nil {
			if syntax, ok := errors.AsType[*jsonscan.SyntaxError](err); ok {
				syntax.Offset += d.done
			}
			return d.end(b, count, d.next, err)
		}
		if !d.room(min(end-at, d.maxRecord) + 1) {
			return nil, 0, 0
		}
		if d.add(b[at:end], checkRecord(scanner, b[at:end], d.valid)) {
			count++
		}
		at = jsonscan.SkipSpace(b, end)
		if !d.inArray {
			continue
		}
		switch {
		case at < len(b) && b[at] == ',':
			at = jsonscan.SkipSpace(b, at+1)
		case at < len(b) && b[at] == ']':
			var reason error
			if rest := jsonscan.SkipSpace(b, at+1); rest < len(b) {
				reason = fmt.Errorf("unexpected text after the array, at byte %d", d.done+rest+1)
			}
			return d.end(b, count, d.next+1, reason)
		default:
			return d.end(b, count, d.next+1, fmt.Errorf("the array is broken after element %d, at byte %d", d.next, d.done+at+1))
		}
	}
	var reason error
	if d.inArray {
		reason = errors.New("the array is not closed")
	}
	return d.end(b, count, d.next, reason)
}

// start looks at how a body of values begins, and returns where the first value is.
func (d *Decoder) start(b []byte) int {
	d.started, d.valid = true, utf8.Valid(b)
	at := jsonscan.SkipSpace(b, 0)
	if at == len(b) {
		d.end(b, 0, 1, errors.New("the body is empty, want a JSON object or an array of objects"))
		return at
	}
	if d.inArray = b[at] == '['; d.inArray {
		at = jsonscan.SkipSpace(b, at+1)
		d.ended = at < len(b) && b[at] == ']'
	}
	return at
}

// end is what nextValues returns last, after a rejection where there is a reason.
func (d *Decoder) end(b []byte, count, number int, reason error) ([]byte, int, int) {
	d.ended = true
	if reason != nil {
		d.reject(number, reason)
	}
	return d.out, count, len(b)
}

// add takes one value of a JSON body, or rejects it for a reason or its size. It says whether it took it. It may change text.
func (d *Decoder) add(text []byte, reason error) bool {
	if reason != nil {
		d.reject(d.next, reason)
		return false
	}
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 { // a record is stored as one line
		text = compact(text)
	}
	if len(text) > d.maxRecord {
		d.rejectLarge(d.next, len(text))
		return false
	}
	d.out = append(append(d.out, text...), '\n')
	return true
}

// compact takes the space out of a JSON value that was checked. It needs no memory, for it does so in place.
func compact(text []byte) []byte {
	out, quoted := text[:0], false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case !quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		case c == '"':
			quoted = !quoted
		case c == '\\': // only in a string; what follows does not end it
			out = append(out, c)
			i++
			c = text[i]
		}
		out = append(out, c)
	}
	return out
}

// nextText makes a record of each line that is not empty. Bytes that are not UTF-8 are replaced by U+FFFD: a log line in
// an old encoding is still worth keeping.
func (d *Decoder) nextText(b []byte, last bool) (lines []byte, count, used int) {
	d.out = d.out[:0]
	at := 0
	for ; at < len(b) && len(d.out) < maxOut; d.next++ {
		end := bytes.IndexByte(b[at:], '\n')
		next := at + end + 1
		if end < 0 {
			if !last {
				break
			}
			end, next = len(b)-at, len(b)
		}
		text := bytes.TrimSuffix(b[at:at+end], []byte{'\r'})
		most := 6*len(text) + textFrame // a byte becomes six at most
		if most > d.maxRecord && len(text) > 0 {
			if most = stringSize(text) + textFrame; most > d.maxRecord {
				d.rejectLarge(d.next, most)
				at = next
				continue
			}
		}
		if !d.room(most + 1) {
			return nil, 0, 0
		}
		at = next
		if len(text) == 0 {
			continue
		}
		d.out = append(d.out, `{"body":`...)
		d.out = appendString(d.out, text)
		d.out = append(d.out, "}\n"...)
		count++
	}
	return d.out, count, at
}

// textFrame is how many bytes a text line gets around it to be a record: {"body":""}
const textFrame = 11

// stringSize is how many bytes appendString appends, without the quotes.
func stringSize(text []byte) int {
	n := 0
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\' || c == '\t' || c == '\r':
			n += 2
		case c < ' ' || c == 0x7f:
			n += 6
		case c < utf8.RuneSelf:
			n++
		default:
			r, size := utf8.DecodeRune(text[i:])
			n += utf8.RuneLen(r)
			i += size
			continue
		}
		i++
	}
	return n
}

const hex = "0123456789abcdef"

// appendString appends text as a JSON string.
func appendString(out, text []byte) []byte {
	out = append(out, '"')
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\t':
			out = append(out, '\\', 't')
		case c == '\r':
			out = append(out, '\\', 'r')
		case c < ' ' || c == 0x7f:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			out = append(out, c)
		default:
			r, n := utf8.DecodeRune(text[i:])
			out = utf8.AppendRune(out, r)
			i += n
			continue
		}
		i++
	}
	return append(out, '"')
}
