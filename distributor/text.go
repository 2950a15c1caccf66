package distributor

import (
	"bytes"
	"unicode/utf8"

	"github.com/sluicehq/sluice/internal/jsonscan"
	"github.com/sluicehq/sluice/internal/multiline"
)

// cut returns the line at b[at:] without its end, and where the next one begins; false if its end has not arrived.
func cut(b []byte, at int, last bool) (line []byte, next int, ok bool) {
	end := bytes.IndexByte(b[at:], '\n')
	next = at + end + 1
	if end < 0 {
		if !last {
			return nil, at, false
		}
		end, next = len(b)-at, len(b)
	}
	line = bytes.TrimSuffix(b[at:at+end], []byte{'\r'})
	return bytes.TrimPrefix(line, byteOrderMark), next, true
}

// text is a step of nextOut that makes a record of the line at b[at:] and of the lines that continue it, unless the line is
// empty. Bytes that are not UTF-8 are replaced by U+FFFD: a log line in an old encoding is still worth keeping.
func (d *Decoder) text(b []byte, at int, last bool) (int, bool) {
	line, next, ok := cut(b, at, last)
	if !ok {
		return at, false
	}
	if isBlank(line) {
		d.next++
		return next, true
	}
	start := len(d.out)
	size := 6*len(line) + textFrame // a byte becomes six at most
	if size > d.maxRecord {
		size = escapedSize(line) + textFrame
	}
	if size > d.maxRecord {
		d.rejectLarge(d.next, size)
		d.next++
		return next, true
	}
	if !d.room(size + 1) {
		return at, false
	}
	d.out = append(d.out, `{"body":"`...)
	d.out = appendEscaped(d.out, line)
	lines := 1
	if !d.separate {
		d.joiner.Start(line)
		blank := 0
		for after := next; after < len(b) || !last; {
			line, end, ok := cut(b, after, last)
			if !ok {
				d.out = d.out[:start]
				return at, false
			}
			after = end
			if isBlank(line) {
				if blank++; blank > multiline.MaxBlank {
					break
				}
				continue
			}
			if d.format == Sniff && isObject(line) || !d.joiner.Continues(line, blank) {
				break
			}
			size := 2*(blank+1) + escapedSize(line)
			if len(d.out)-start+size+len(`"}`) > d.maxRecord { // the line begins another record
				break
			}
			if !d.room(size + len(`"}`) + 1) {
				d.out = d.out[:start]
				return at, false
			}
			for range blank + 1 {
				d.out = append(d.out, '\\', 'n')
			}
			d.out = appendEscaped(d.out, line)
			lines += blank + 1
			next, blank = end, 0
		}
	}
	d.out = append(d.out, "\"}\n"...)
	d.count++
	d.next += lines
	return next, true
}

// isObject says whether a line is a JSON object.
func isObject(line []byte) bool {
	at := jsonscan.SkipSpace(line, 0)
	return at < len(line) && line[at] == '{' && jsonscan.Object(line[at:]) == nil && utf8.Valid(line)
}

func isBlank(b []byte) bool { return jsonscan.SkipSpace(b, 0) == len(b) }

// textFrame is how many bytes a text gets around it to be a record: {"body":""}
const textFrame = 11

// escapedSize is how many bytes appendEscaped appends.
func escapedSize(text []byte) int {
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

// appendEscaped appends text as it is written within a JSON string.
func appendEscaped(out, text []byte) []byte {
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
	return out
}
