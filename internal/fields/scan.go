package fields

import (
	"bytes"
	"errors"
	"math/bits"

	"github.com/sluicehq/sluice/internal/jsonscan"
)

// View is one record, to be asked for its fields. A view may be used for one record after the other, which saves work where they resemble
// each other. The zero View is ready. It is not safe for concurrent use.
type View struct {
	line  []byte // JSON, or key=value pairs
	json  bool
	has   [mostSlots / 64]uint64
	at    [mostSlots]place
	used  [3]slot // by the answers about time, severity and text
	depth int     // views around this one

	// What the text of the record says itself, once somebody asked.
	derived   bool
	head      head
	nested    *View // of a record within the text, where inner is true
	inner     bool
	buffer    []byte // a value without its escapes
	unescaped []byte // the text without its escapes

	key   []byte
	count int // keys of this record so far
	memo  [32]remembered
}

// place is where a value stands in the line. The nearer to the top, the more it counts.
type place struct {
	from, to       int
	keyFrom, keyTo int // without quotes
	depth          uint8
}

// remembered is what the key at one place of the last record was found to be. Records mostly have the same keys in the same order.
type remembered struct {
	key    [30]byte
	length uint8
	found  found
	inside int8
}

// found is what a name means.
type found struct {
	slot slot
	into int8 // prefix of the members, if the value is an object; -1 for objects that are not looked into
}

const (
	mostDepth = 6   // objects within objects that are looked into
	mostViews = 3   // records within the text of records
	longName  = 100 // bytes; longer names are none of ours
)

// The index of what was used, see [View.TimeKey].
const (
	usedTime = iota
	usedSeverity
	usedText
)

// Scan makes the view one of a record: a JSON object. The view refers to the line until the next Scan.
func (v *View) Scan(line []byte) error {
	v.reset(line, true)
	at := jsonscan.SkipSpace(line, 0)
	if at < len(line) && line[at] == '{' {
		if end, ok := v.object(at, 0, 1); ok && jsonscan.SkipSpace(line, end) == len(line) {
			return nil
		}
	}
	if err := jsonscan.Object(line); err != nil {
		return err
	}
	return errors.New("a record that can't be read") // can't be: what is an object is read
}

func (v *View) reset(line []byte, json bool) {
	v.line, v.json, v.has, v.count = line, json, [len(v.has)]uint64{}, 0
	v.used = [len(v.used)]slot{noSlot, noSlot, noSlot}
	v.derived, v.inner, v.head = false, false, head{}
}

// object reads the members of the object at i.
func (v *View) object(i int, in int8, depth uint8) (end int, ok bool) {
	b := v.line
	if i = jsonscan.SkipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1, true
	}
	for i < len(b) && b[i] == '"' {
		keyEnd, err := jsonscan.Value(b, i)
		if err != nil {
			return i, false
		}
		p := place{keyFrom: i + 1, keyTo: keyEnd - 1, depth: depth}
		f := v.find(b[p.keyFrom:p.keyTo], in)
		if i = jsonscan.SkipSpace(b, keyEnd); i >= len(b) || b[i] != ':' {
			return i, false
		}
		p.from = jsonscan.SkipSpace(b, i+1)
		if p.to, ok = v.member(p.from, f, depth); !ok {
			return i, false
		}
		if f.slot != noSlot {
			v.set(f.slot, p)
		}
		i = jsonscan.SkipSpace(b, p.to)
		switch {
		case i < len(b) && b[i] == '}':
			return i + 1, true
		case i < len(b) && b[i] == ',':
			i = jsonscan.SkipSpace(b, i+1)
		default:
			return i, false
		}
	}
	return i, false
}

// member passes over the value of a member, and looks into it where it holds fields.
func (v *View) member(i int, f found, depth uint8) (end int, ok bool) {
	if f.into >= 0 && depth < mostDepth && i < len(v.line) {
		switch v.line[i] {
		case '{':
			return v.object(i, f.into, depth+1)
		case '[':
			return v.array(i, f.into, depth+1)
		}
	}
	end, err := jsonscan.Value(v.line, i)
	return end, err == nil
}

// array reads the first object of an array, such as the log records of an OTLP request, or all of them where they are attributes: objects
// with a key and a value.
func (v *View) array(start int, in int8, depth uint8) (end int, ok bool) {
	end, err := jsonscan.Value(v.line, start)
	if err != nil {
		return start, false
	}
	for i := jsonscan.SkipSpace(v.line, start+1); i < end && v.line[i] == '{'; {
		if prefixes[in] == "" {
			if _, ok := v.object(i, in, depth); !ok {
				return i, false
			}
			break
		}
		var key, value place
		after, ok := each(v.line, i, func(p place) {
			switch string(v.line[p.keyFrom:p.keyTo]) {
			case "key", "Key":
				key = p
			case "value", "Value":
				value = p
			}
		})
		if !ok {
			return i, false
		}
		if key.to > key.from+1 && v.line[key.from] == '"' && value.to > value.from {
			if v.line[value.from] == '{' { // the value is in an object that names its type
				each(v.line, value.from, func(p place) {
					switch string(v.line[p.keyFrom:p.keyTo]) {
					case "stringValue", "string_value", "intValue", "int_value", "Value":
						value.from, value.to = p.from, p.to
					}
				})
			}
			if f := v.lookup(v.line[key.from+1:key.to-1], in); f.slot != noSlot {
				v.set(f.slot, place{from: value.from, to: value.to, depth: depth})
			}
		}
		if i = jsonscan.SkipSpace(v.line, after); i < end && v.line[i] == ',' {
			i = jsonscan.SkipSpace(v.line, i+1)
		}
	}
	return end, true
}

// each calls f with the members of the object at i. It is the walk of object over again: with one for both, records of ours took half as
// long again to read.
func each(b []byte, i int, f func(place)) (end int, ok bool) {
	if i = jsonscan.SkipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1, true
	}
	for i < len(b) && b[i] == '"' {
		keyEnd, err := jsonscan.Value(b, i)
		if err != nil {
			return i, false
		}
		p := place{keyFrom: i + 1, keyTo: keyEnd - 1}
		if i = jsonscan.SkipSpace(b, keyEnd); i >= len(b) || b[i] != ':' {
			return i, false
		}
		p.from = jsonscan.SkipSpace(b, i+1)
		if p.to, err = jsonscan.Value(b, p.from); err != nil {
			return i, false
		}
		f(p)
		i = jsonscan.SkipSpace(b, p.to)
		switch {
		case i < len(b) && b[i] == '}':
			return i + 1, true
		case i < len(b) && b[i] == ',':
			i = jsonscan.SkipSpace(b, i+1)
		default:
			return i, false
		}
	}
	return i, false
}

// find says what a key means, quickly where the last record had the same one at this place.
func (v *View) find(key []byte, in int8) found {
	n := v.count
	v.count++
	if n >= len(v.memo) || len(key) > len(v.memo[0].key) {
		return v.lookup(key, in)
	}
	m := &v.memo[n]
	if int(m.length) == len(key) && m.inside == in && m.length > 0 && string(m.key[:m.length]) == string(key) {
		return m.found
	}
	f := v.lookup(key, in)
	m.length, m.inside, m.found = uint8(copy(m.key[:], key)), in, f
	return f
}

// lookup says what a key means. Its case, underscores and hyphens do not matter.
func (v *View) lookup(key []byte, in int8) found {
	none := found{noSlot, -1}
	if bytes.IndexByte(key, '\\') >= 0 {
		v.key = unescape(v.key[:0], key)
		key = bytes.Clone(v.key)
	}
	if len(key) > longName {
		return none
	}
	if in == 0 && string(key) == slotPriorityName {
		return found{slotOf[slotPriorityName], -1}
	}
	v.key = normal(append(v.key[:0], prefixes[in]...), key)
	name := v.key
	f := none
	if s, ok := slotOf[string(name)]; ok {
		f.slot = s
	}
	if into, ok := inside[string(name)]; ok {
		f.into = into
	}
	return f
}

// set notes a value. Of two, that nearer to the top counts, and of those in one object the last.
func (v *View) set(s slot, p place) {
	if v.is(s) && v.at[s].depth < p.depth {
		return
	}
	v.has[s/64] |= 1 << (s % 64)
	v.at[s] = p
}

func (v *View) is(s slot) bool { return v.has[s/64]&(1<<(s%64)) != 0 }

// each calls f with the slots of a question that have values, in order, until it returns true.
func (v *View) each(of span, f func(slot) bool) bool {
	for s := of.from; s < of.to; {
		word := v.has[s/64] >> (s % 64)
		if word == 0 {
			s = (s/64 + 1) * 64
			continue
		}
		if s += slot(bits.TrailingZeros64(word)); s >= of.to {
			return false
		}
		if f(s) {
			return true
		}
		s++
	}
	return false
}

// raw is the value in a slot as it stands in the line; nil where there is none.
func (v *View) raw(s slot) []byte {
	if !v.is(s) {
		return nil
	}
	return v.line[v.at[s].from:v.at[s].to]
}

// scalar is the value in a slot as text: a string without its quotes, or a number or word as it is. It is empty for null, objects and
// arrays. What it returns is good until the next call.
func (v *View) scalar(s slot) []byte {
	raw := v.raw(s)
	if len(raw) == 0 {
		return nil
	}
	switch raw[0] {
	case '"':
		return v.text(raw)
	case '{', '[':
		if v.json {
			return nil
		}
	case 'n':
		if v.json {
			return nil
		}
	}
	return raw
}

// isString says whether the value in a slot is a string, as opposed to a number; pairs do not tell them apart.
func (v *View) isString(s slot) bool {
	raw := v.raw(s)
	return len(raw) > 0 && (raw[0] == '"' || !v.json)
}

// text is a string without its quotes and escapes.
func (v *View) text(quoted []byte) []byte {
	if len(quoted) < 2 || quoted[len(quoted)-1] != '"' {
		return quoted
	}
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	v.buffer = unescape(v.buffer[:0], inner)
	return v.buffer
}

// TimeKey is the name of the member of the record from which the last answer about the time was taken as a whole. It is false where the
// answer comes from elsewhere, such as an object within the record, or its text.
func (v *View) TimeKey() (string, bool) { return v.keyOf(usedTime) }

// SeverityKey is like [View.TimeKey].
func (v *View) SeverityKey() (string, bool) { return v.keyOf(usedSeverity) }

// TextKey is like [View.TimeKey].
func (v *View) TextKey() (string, bool) { return v.keyOf(usedText) }

func (v *View) keyOf(question int) (string, bool) {
	s := v.used[question]
	if s == noSlot || v.at[s].depth != 1 {
		return "", false
	}
	return string(unescape(nil, v.line[v.at[s].keyFrom:v.at[s].keyTo])), true
}
