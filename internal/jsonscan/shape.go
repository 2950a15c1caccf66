package jsonscan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Scanner checks objects as [Object] does, and about twice as fast where they resemble each other: logs are the same few
// shapes again and again, the same keys in the same order with other values between them. A scanner remembers the text between the values of
// objects that were good; an object that matches such a shape needs only its values checked.
//
// The zero Scanner is ready to use. It is not safe for concurrent use.
type Scanner struct {
	shapes []shape // the most recently matched first
	misses int     // since a shape was last learned
}

// Bounds of what a scanner remembers, and how eager it is: once it knows maxShapes, only one miss in learnEvery is learned, because
// objects without a common shape would only cost time.
const (
	maxShapes   = 8
	maxSegments = 64
	maxText     = 4 << 10
	learnEvery  = 16
)

// shape is an object's text with its scalar values taken out.
type shape struct {
	segments []segment
	tail     string // after the last value
	broken   bool   // the text has line breaks, so that it is none of Line's
}

// segment is some fixed text and the value behind it.
type segment struct {
	text   string // ends with the opening quote where the value is a string
	quoted bool
}

// Object checks that b is exactly one JSON object, with nothing but white space around it.
func (s *Scanner) Object(b []byte) error {
	if s.known(b) == len(b) {
		return nil
	}
	if err := Object(b); err != nil {
		return err
	}
	s.misses++
	if len(s.shapes) < maxShapes || s.misses >= learnEvery {
		s.learn(b)
	}
	return nil
}

// Line returns the length of the line at the start of b, its line break included, if it is an object like one seen before.
// Otherwise it returns 0, and [Scanner.Object] has to say whether the line is good. Nobody has to look for the line's end before.
func (s *Scanner) Line(b []byte) int {
	n := s.known(b)
	if n < 0 || n == len(b) {
		return 0
	}
	return n + 1
}

// known returns where the object at the start of b ends, if it has a shape that is remembered and fills a line; else -1.
func (s *Scanner) known(b []byte) int {
	for i := range s.shapes {
		if n := s.shapes[i].match(b); n >= 0 && (n == len(b) || b[n] == '\n' && !s.shapes[i].broken) {
			if i > 0 {
				s.shapes[0], s.shapes[i] = s.shapes[i], s.shapes[0]
			}
			return n
		}
	}
	return -1
}

// match returns where the object at the start of b ends, if it has this shape; else -1, and it may still be good.
func (sh *shape) match(b []byte) int {
	i := 0
	for k := range sh.segments {
		seg := &sh.segments[k]
		n := len(seg.text)
		if len(b)-i <= n || string(b[i:i+n]) != seg.text {
			return -1
		}
		i += n
		if seg.quoted { // i comes to stand on the closing quote, which is part of the next text
			open := i - 1
			for i+8 <= len(b) {
				m := special(binary.LittleEndian.Uint64(b[i:]))
				if m != 0 {
					i += bits.TrailingZeros64(m) >> 3
					break
				}
				i += 8
			}
			if i < len(b) && b[i] == '"' {
				continue
			}
			end, err := str(b, open) // an escape, or the end of b is near
			if err != nil {
				return -1
			}
			i = end - 1
			continue
		}
		var err error
		if c := b[i]; c == '-' || c-'0' <= 9 {
			i, err = number(b, i)
		} else { // true, false or null: at this depth nothing may nest
			i, err = value(b, i, MaxDepth)
		}
		if err != nil {
			return -1
		}
	}
	if len(b)-i < len(sh.tail) || string(b[i:i+len(sh.tail)]) != sh.tail {
		return -1
	}
	return i + len(sh.tail)
}

// learn remembers the shape of a good object in place of the one that matched longest ago.
func (s *Scanner) learn(b []byte) {
	s.misses = 0
	if len(b) > maxText {
		return
	}
	var sh shape
	from := 0 // where the fixed text starts
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c == '"':
			end, _ := str(b, i)
			if next := SkipSpace(b, end); next < len(b) && b[next] == ':' { // a key
				i = end
				continue
			}
			sh.segments = append(sh.segments, segment{string(b[from : i+1]), true})
			from, i = end-1, end
		case c == '-' || c-'0' <= 9 || c == 't' || c == 'f' || c == 'n':
			end, _ := value(b, i, 0)
			sh.segments = append(sh.segments, segment{string(b[from:i]), false})
			from, i = end, end
		default:
			i++
		}
		if len(sh.segments) > maxSegments {
			return
		}
	}
	sh.tail = string(b[from:])
	sh.broken = bytes.IndexByte(b, '\n') >= 0
	if len(s.shapes) < maxShapes {
		s.shapes = append(s.shapes, shape{})
	}
	copy(s.shapes[1:], s.shapes)
	s.shapes[0] = sh
}
