package distributor

import (
	"bytes"
	"encoding/json"
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
	if contentType == "" {
		return Sniff, nil
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

// Decoded is a body taken apart into records.
type Decoded struct {
	Lines    []byte // the good records, one JSON object a line, each line ended; may share memory with the body
	Count    int    // how many
	Rejected int
	TooLarge int         // the part of Rejected that was over the limit for one record
	Errors   []Rejection // the first 20 of Rejected
}

func (d *Decoded) reject(line int, reason string) {
	d.Rejected++
	if len(d.Errors) < maxRejections {
		d.Errors = append(d.Errors, Rejection{line, reason})
	}
}

func (d *Decoded) rejectLarge(line, size, limit int) {
	d.TooLarge++
	d.reject(line, fmt.Sprintf("record is %d bytes, the limit is %d", size, limit))
}

// byteOrderMark is what some programs write before UTF-8; it is no part of the first record.
var byteOrderMark = []byte("\xef\xbb\xbf")

// Decode takes a body apart. Records longer than maxRecord bytes are rejected. It does not fail: a body in which nothing is
// good has Count 0.
func Decode(f Format, body []byte, maxRecord int) Decoded {
	body = bytes.TrimPrefix(body, byteOrderMark)
	if f == Sniff {
		switch start := bytes.TrimLeft(body, " \t\r\n"); {
		case len(start) > 0 && (start[0] == '{' || start[0] == '['):
			f = JSON
		default:
			f = Text
		}
	}
	switch f {
	case Text:
		return decodeText(body, maxRecord)
	case JSON:
		return decodeJSON(body, maxRecord)
	}
	return decodeNDJSON(body, maxRecord)
}

// decodeNDJSON returns the body itself where every line of it is good, which is nearly always.
func decodeNDJSON(body []byte, maxRecord int) (d Decoded) {
	scanner := scanners.Get().(*jsonscan.Scanner)
	defer scanners.Put(scanner)
	valid := utf8.Valid(body) // all at once is many times faster than line by line
	same := true              // so far the good records are body[:at]
	for at, line := 0, 1; at < len(body); line++ {
		if same && valid { // nearly always
			if n := scanner.Line(body[at:]); n > 0 && n-1 <= maxRecord {
				d.Count++
				at += n
				continue
			}
		}
		end := bytes.IndexByte(body[at:], '\n')
		next := at + end + 1
		if end < 0 {
			end, next = len(body)-at, len(body)
		}
		text := body[at : at+end]
		reason := checkRecord(scanner, text, valid)
		good := reason == "" && len(text) <= maxRecord
		switch {
		case isBlank(text):
			good = false
		case reason != "":
			d.reject(line, reason)
		case !good:
			d.rejectLarge(line, len(text), maxRecord)
		}
		if good && next > at+end && same {
			d.Count++
			at = next
			continue
		}
		if same { // from here on the good ones are copied
			same = false
			d.Lines = append(make([]byte, 0, len(body)+1), body[:at]...)
		}
		if good {
			d.Count++
			d.Lines = append(append(d.Lines, text...), '\n')
		}
		at = next
	}
	if same {
		d.Lines = body
	}
	return d
}

func isBlank(b []byte) bool { return jsonscan.SkipSpace(b, 0) == len(b) }

// scanners remember the shapes of records from body to body.
var scanners = sync.Pool{New: func() any { return new(jsonscan.Scanner) }}

// checkRecord says why a text is not a record; empty where it is one.
func checkRecord(scanner *jsonscan.Scanner, text []byte, validUTF8 bool) string {
	if !validUTF8 {
		if i := invalidUTF8(text); i >= 0 {
			return fmt.Sprintf("invalid UTF-8 at byte %d", i+1)
		}
	}
	if err := scanner.Object(text); err != nil {
		return err.Error()
	}
	return ""
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

// decodeJSON reads values one after the other. An array stands for its elements. After a syntax error nothing says where
// the next value starts, so the rest counts as one rejected record; but a body of objects with a line each is read by lines.
func decodeJSON(body []byte, maxRecord int) (d Decoded) {
	at := jsonscan.SkipSpace(body, 0)
	if at == len(body) {
		d.reject(1, "the body is empty, want a JSON object or an array of objects")
		return d
	}
	if body[at] == '{' {
		first, _, more := bytes.Cut(body[at:], []byte{'\n'})
		if more && jsonscan.Object(first) == nil {
			return decodeNDJSON(body, maxRecord)
		}
	}
	scanner := scanners.Get().(*jsonscan.Scanner)
	defer scanners.Put(scanner)
	valid := utf8.Valid(body)
	inArray := body[at] == '['
	if inArray {
		at = jsonscan.SkipSpace(body, at+1)
		if at < len(body) && body[at] == ']' {
			return d
		}
	}
	for n := 1; at < len(body); n++ {
		end, err := jsonscan.Value(body, at)
		if err != nil {
			d.reject(n, err.Error())
			return d
		}
		d.add(n, body[at:end], checkRecord(scanner, body[at:end], valid), maxRecord)
		at = jsonscan.SkipSpace(body, end)
		if !inArray {
			continue
		}
		switch {
		case at < len(body) && body[at] == ',':
			at = jsonscan.SkipSpace(body, at+1)
		case at < len(body) && body[at] == ']':
			if rest := jsonscan.SkipSpace(body, at+1); rest < len(body) {
				d.reject(n+1, fmt.Sprintf("unexpected text after the array, at byte %d", rest+1))
			}
			return d
		default:
			d.reject(n+1, fmt.Sprintf("the array is broken after element %d, at byte %d", n, at+1))
			return d
		}
	}
	if inArray {
		d.reject(d.Count+d.Rejected+1, "the array is not closed")
	}
	return d
}

// add takes one value of a JSON body, or rejects it for a reason or its size.
func (d *Decoded) add(n int, text []byte, reason string, maxRecord int) {
	if reason != "" {
		d.reject(n, reason)
		return
	}
	start := len(d.Lines)
	if bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0 {
		d.Lines = append(d.Lines, text...)
	} else { // a record is stored as one line
		var one bytes.Buffer
		if err := json.Compact(&one, text); err != nil { // can't be: the text was checked
			d.reject(n, err.Error())
			return
		}
		d.Lines = append(d.Lines, one.Bytes()...)
	}
	if size := len(d.Lines) - start; size > maxRecord {
		d.Lines = d.Lines[:start]
		d.rejectLarge(n, size, maxRecord)
		return
	}
	d.Lines = append(d.Lines, '\n')
	d.Count++
}

// decodeText makes a record of each line that is not empty. Bytes that are not UTF-8 are replaced by U+FFFD: a log line in
// an old encoding is still worth keeping.
func decodeText(body []byte, maxRecord int) (d Decoded) {
	d.Lines = make([]byte, 0, len(body)+len(body)/8)
	for n := 1; len(body) > 0; n++ {
		text, rest, _ := bytes.Cut(body, []byte{'\n'})
		body = rest
		text = bytes.TrimSuffix(text, []byte{'\r'})
		if len(text) == 0 {
			continue
		}
		start := len(d.Lines)
		d.Lines = append(d.Lines, `{"body":`...)
		d.Lines = appendString(d.Lines, text)
		d.Lines = append(d.Lines, '}')
		if size := len(d.Lines) - start; size > maxRecord {
			d.Lines = d.Lines[:start]
			d.rejectLarge(n, size, maxRecord)
			continue
		}
		d.Lines = append(d.Lines, '\n')
		d.Count++
	}
	return d
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
