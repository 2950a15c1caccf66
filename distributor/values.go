package distributor

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"github.com/sluicehq/sluice/internal/jsonscan"
)

// runBytes is how much of a body run looks at in one call: if a byte at its end is not UTF-8, all of it is looked at again.
const runBytes = pieceBytes

// run returns how many bytes at the start of b are lines of one object each, which are records as they are, and how many these
// are. Nearly all JSON that arrives without a type has this form.
func (d *Decoder) run(b []byte) (n, count int) {
	scanner := scanners.Get().(*jsonscan.Scanner)
	defer scanners.Put(scanner)
	for n < min(len(b), runBytes) && b[n] == '{' {
		size := scanner.Line(b[n:])
		if size == 0 {
			end := bytes.IndexByte(b[n:], '\n')
			if end <= 0 || scanner.Object(b[n:n+end]) != nil {
				break
			}
			size = end + 1
		}
		if size-1 > d.maxRecord || b[n+size-2] != '}' { // space behind an object is not stored
			break
		}
		n += size
		count++
	}
	if !utf8.Valid(b[:n]) {
		return 0, 0
	}
	d.lineStart = d.done + int64(n)
	return n, count
}

// value is a step of nextOut for bodies of JSON values, over one line or several, and for bodies whose type was not given. What
// is no JSON there is text in the latter, and refused in the former.
func (d *Decoder) value(b []byte, at int, last bool) (int, bool) {
	start := skipBlank(b, at)
	if line := bytes.LastIndexByte(b[at:start], '\n') + 1; line > 0 {
		d.pass(b, at, at+line)
		return at + line, true
	}
	if start == len(b) {
		return start, last
	}
	if !last && len(b)-start < len(byteOrderMark) && bytes.HasPrefix(byteOrderMark, b[start:]) {
		return at, false
	}
	switch {
	case d.inArray:
		return d.arrayElement(b, start, last)
	case b[start] == '{':
		return d.object(b, at, start, last)
	case b[start] == '[':
		return d.array(b, at, start, last)
	}
	return d.other(b, at, start, last)
}

// pass notes that b[from:to] was decoded.
func (d *Decoder) pass(b []byte, from, to int) {
	if n := bytes.Count(b[from:to], []byte{'\n'}); n > 0 {
		d.next += n
		d.lineStart = d.done + int64(from+bytes.LastIndexByte(b[from:to], '\n')+1)
	}
}

// textLine makes a record of the line at b[at:], which is not JSON.
func (d *Decoder) textLine(b []byte, at int, last bool) (int, bool) {
	next, ok := d.text(b, at, last)
	if ok {
		d.lineStart = d.done + int64(next)
	}
	return next, ok
}

// other decodes a line that does not begin as an object or an array does.
func (d *Decoder) other(b []byte, at, start int, last bool) (int, bool) {
	if d.format == Sniff {
		return d.textLine(b, at, last)
	}
	line, next, ok := cut(b, start, last)
	if !ok {
		return at, false
	}
	reason := &jsonscan.SyntaxError{Offset: int(d.done) + start, Reason: "a record must be an object"}
	if _, err := jsonscan.Value(line, 0); err != nil {
		reason.Reason = "expected an object or an array of objects"
	}
	d.reject(d.next, reason)
	d.pass(b, start, next)
	return next, true
}

// parse checks the value at b[start:] and returns where it ends; ok is false if that has not arrived. What an earlier value
// covered that turned out to be none is tried line by line only: trying each of its lines to the end of the body could
// take forever.
func (d *Decoder) parse(b []byte, start int, last bool) (end int, broken *jsonscan.SyntaxError, ok bool) {
	text := b
	if at := d.done + int64(start); d.triedFrom < at && at < d.tried {
		eol := bytes.IndexByte(b[start:], '\n')
		if eol >= 0 {
			text = b[:start+eol]
		} else if !last {
			return 0, nil, false
		}
	}
	end, err := jsonscan.Value(text, start)
	broken, _ = errors.AsType[*jsonscan.SyntaxError](err)
	if !last && len(text) == len(b) && (broken == nil && end == len(b) || broken != nil && broken.Short) {
		return 0, nil, false
	}
	if broken != nil {
		reached := broken.Offset
		if broken.Short {
			reached = len(text)
		}
		if to := d.done + int64(reached); to > d.tried {
			d.tried, d.triedFrom = to, d.done+int64(start)
		}
		broken.Offset += int(d.done)
	}
	return end, broken, true
}

// object decodes what begins as an object at b[start:], in the line at b[at:].
func (d *Decoder) object(b []byte, at, start int, last bool) (int, bool) {
	end, broken, ok := d.parse(b, start, last)
	if !ok {
		return at, false
	}
	if broken != nil {
		if d.format == Sniff {
			return d.textLine(b, at, last)
		}
		return d.skipBroken(b, start, last, broken)
	}
	after := skipInLine(b, end)
	if after < len(b) && b[after] == ',' { // as the elements of an array have
		if next := skipInLine(b, after+1); next == len(b) || b[next] == '\n' || b[next] == '{' {
			after = next
		}
	}
	if after == len(b) && !last {
		return at, false
	}
	if d.format == Sniff {
		whole := after == len(b) || b[after] == '\n' || b[after] == '{' || bytes.IndexByte(b[start:end], '\n') >= 0
		if !whole || !utf8.Valid(b[start:end]) {
			return d.textLine(b, at, last)
		}
	}
	line := d.next
	d.pass(b, start, after)
	d.add(b[start:end], line, start)
	return after, true
}

// array decodes the opening of an array. Where the type is not given, many lines of text begin with a bracket: only what begins
// as an array of objects is one.
func (d *Decoder) array(b []byte, at, start int, last bool) (int, bool) {
	first := start + 1
	if d.format == Sniff {
		first = jsonscan.SkipSpace(b, first)
		if first == len(b) && !last {
			return at, false
		}
		if first < len(b) && b[first] == ']' {
			after := skipInLine(b, first+1)
			if after == len(b) && !last {
				return at, false
			}
			if after < len(b) && b[after] != '\n' {
				return d.textLine(b, at, last)
			}
		} else {
			if first == len(b) || b[first] != '{' {
				return d.textLine(b, at, last)
			}
			end, broken, ok := d.parse(b, first, last)
			after := jsonscan.SkipSpace(b, end)
			if !ok || broken == nil && after == len(b) && !last {
				return at, false
			}
			if broken != nil || after < len(b) && b[after] != ',' && b[after] != ']' && b[after] != '{' {
				return d.textLine(b, at, last)
			}
		}
	}
	d.inArray, d.element = true, 1
	d.pass(b, start, first)
	return first, true
}

// arrayElement decodes what is at b[start:], within an array.
func (d *Decoder) arrayElement(b []byte, start int, last bool) (int, bool) {
	switch b[start] {
	case ']': // behind a comma too, which says all there is to say
		d.inArray = false
		return start + 1, true
	case ',':
		d.reject(d.element, &jsonscan.SyntaxError{Offset: int(d.done) + start, Reason: "expected a value"})
		d.element++
		return start + 1, true
	}
	end, broken, ok := d.parse(b, start, last)
	if !ok {
		return start, false
	}
	if broken != nil {
		return d.skipBroken(b, start, last, broken)
	}
	after := skipBlank(b, end)
	if after == len(b) && !last {
		return start, false
	}
	if after < len(b) && b[after] == ',' {
		after++
	}
	d.pass(b, start, after)
	d.add(b[start:end], d.element, start)
	d.element++
	return after, true
}

// add takes a value, or rejects it. It may change text.
func (d *Decoder) add(text []byte, number, at int) {
	if text[0] != '{' {
		d.reject(number, &jsonscan.SyntaxError{Offset: int(d.done) + at, Reason: "a record must be an object"})
		return
	}
	if !utf8.Valid(text) {
		d.reject(number, utf8Error(int(d.done)+at+invalidUTF8(text)+1))
		return
	}
	if bytes.IndexByte(text, '\n') >= 0 { // a record is stored as one line
		text = compact(text)
	}
	if len(text) > d.maxRecord {
		d.rejectLarge(number, len(text))
		return
	}
	if !d.room(len(text) + 1) { // the body is given up
		return
	}
	d.out = append(append(d.out, text...), '\n')
	d.count++
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

// maxOpen is how many open brackets skipBroken tells apart. Those further in are only counted.
const maxOpen = 4 * jsonscan.MaxDepth

// skipBroken rejects the value at b[start:], which is none, and returns where decoding goes on: behind the closing bracket that
// ends it, or at the next line that begins another value and is indented no more than this one. A bracket that is missing is
// taken for closed by the next one around it; a line break in a string does not end the string, though JSON does not allow it.
func (d *Decoder) skipBroken(b []byte, start int, last bool, broken *jsonscan.SyntaxError) (int, bool) {
	wrong := broken.Offset - int(d.done) // all before it was good, so no other value begins there
	if broken.Short {
		wrong = start
	}
	indent := int(d.done + int64(start) - d.lineStart)
	var stack [maxOpen]byte
	open, deeper := stack[:0], 0
	quoted := false
	found, next := false, len(b)
scan:
	for i := start; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\n':
			value := skipBlank(b, i+1)
			if value == len(b) && !last {
				return start, false
			}
			if value >= wrong && value < len(b) && (b[value] == '{' || b[value] == '[' && !d.inArray) && value-bytes.LastIndexByte(b[:value], '\n')-1 <= indent {
				next = i + 1 + bytes.LastIndexByte(b[i+1:value], '\n') + 1
				break scan
			}
			i = value - 1
		case quoted && c == '\\' && i+1 < len(b) && b[i+1] != '\n':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case (c == '{' || c == '[') && len(open) == maxOpen:
			deeper++
		case c == '{' || c == '[':
			open = append(open, c)
		case (c == '}' || c == ']') && deeper > 0:
			deeper--
		case c == '}' || c == ']':
			outer := bytes.LastIndexByte(open, c-2) // '[' and '{' stand two before their counterparts in ASCII
			if outer < 0 && d.inArray && c == ']' {
				found, next = true, i
				break scan
			}
			open = open[:max(outer, 0)]
			if len(open) == 0 && !d.inArray {
				found, next = true, i+1
				break scan
			}
		case c == ',' && len(open) == 0 && d.inArray:
			found, next = true, i+1
			break scan
		}
	}
	if next == len(b) && !found && !last {
		return start, false
	}
	number, reason := d.next, error(broken)
	if d.inArray {
		number = d.element
		d.element++
	}
	switch {
	case next == len(b) && !found:
		if !broken.Short {
			reason = unreadError{broken, len(b) - start, true}
		}
		d.inArray = false
	case !found:
		reason = unreadError{broken, next - start, false}
	}
	d.reject(number, reason)
	d.pass(b, start, next)
	return next, true
}

// skipBlank returns the index of the first byte at or behind i that is neither white space nor a byte order mark.
func skipBlank(b []byte, i int) int {
	for {
		i = jsonscan.SkipSpace(b, i)
		if !bytes.HasPrefix(b[i:], byteOrderMark) {
			return i
		}
		i += len(byteOrderMark)
	}
}

// skipInLine returns the index of the first byte at or behind i that is not white space or ends the line.
func skipInLine(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}
