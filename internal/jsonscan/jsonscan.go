// Package jsonscan checks JSON without decoding it.
//
// Taking logs in needs one question answered very fast, for every byte that arrives: is this a well-formed JSON object,
// and where does it end? Decoding is left to whoever needs the fields. The grammar is RFC 8259. Text is taken to be valid
// UTF-8; callers check that once for a whole body, which costs far less than checking it string by string.
package jsonscan

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
)

// MaxDepth is how deeply arrays and objects may nest. It bounds the stack that a hostile body can claim.
const MaxDepth = 256

// SyntaxError says where a text stops being JSON.
type SyntaxError struct {
	Offset int    // index of the offending byte
	Reason string // for people: "expected ':' after the key"
	Short  bool   // the text ends there; more of it may be good JSON
}

// wrong is a SyntaxError at b[i], or at the end of b where i is that.
func wrong(b []byte, i int, reason string) error {
	return &SyntaxError{Offset: i, Reason: reason, Short: i >= len(b)}
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset+1, e.Reason)
}

// Object checks that b is exactly one JSON object, with nothing but white space around it.
func Object(b []byte) error {
	i := SkipSpace(b, 0)
	if i == len(b) {
		return wrong(b, i, "nothing here, want an object")
	}
	if b[i] != '{' {
		if _, err := Value(b, i); err != nil {
			return err
		}
		return wrong(b, i, "a record must be an object")
	}
	i, err := object(b, i, 1)
	if err != nil {
		return err
	}
	if i = SkipSpace(b, i); i != len(b) {
		return wrong(b, i, "unexpected text after the object")
	}
	return nil
}

// Value checks the JSON value that starts at b[i] and returns the index after its last byte.
func Value(b []byte, i int) (int, error) { return value(b, i, 0) }

// SkipSpace returns the index of the first byte at or after i that is not JSON white space, or len(b).
func SkipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

func value(b []byte, i, depth int) (int, error) {
	if i >= len(b) {
		return i, wrong(b, i, "the text ends where a value should be")
	}
	switch c := b[i]; c {
	case '"':
		return str(b, i)
	case '{':
		return object(b, i, depth+1)
	case '[':
		return array(b, i, depth+1)
	case 't':
		return literal(b, i, "true")
	case 'f':
		return literal(b, i, "false")
	case 'n':
		return literal(b, i, "null")
	default:
		if c == '-' || c-'0' <= 9 {
			return number(b, i)
		}
		return i, wrong(b, i, "expected a value")
	}
}

func object(b []byte, i, depth int) (int, error) {
	if depth > MaxDepth {
		return i, wrong(b, i, fmt.Sprintf("nested more than %d deep", MaxDepth))
	}
	if i = space(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return i, wrong(b, i, "expected a key in double quotes")
		}
		var err error
		if i, err = str(b, i); err != nil {
			return i, err
		}
		if i = space(b, i); i >= len(b) || b[i] != ':' {
			return i, wrong(b, i, "expected ':' after the key")
		}
		i = space(b, i+1)
		if i < len(b) && b[i] == '"' { // most values are strings: skip the switch
			i, err = str(b, i)
		} else {
			i, err = value(b, i, depth)
		}
		if err != nil {
			return i, err
		}
		if i = space(b, i); i >= len(b) {
			return i, wrong(b, i, "the object is not closed")
		}
		switch b[i] {
		case ',':
			i = space(b, i+1)
		case '}':
			return i + 1, nil
		default:
			return i, wrong(b, i, "expected ',' or '}'")
		}
	}
}

func array(b []byte, i, depth int) (int, error) {
	if depth > MaxDepth {
		return i, wrong(b, i, fmt.Sprintf("nested more than %d deep", MaxDepth))
	}
	if i = space(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1, nil
	}
	for {
		var err error
		if i, err = value(b, i, depth); err != nil {
			return i, err
		}
		if i = space(b, i); i >= len(b) {
			return i, wrong(b, i, "the array is not closed")
		}
		switch b[i] {
		case ',':
			i = space(b, i+1)
		case ']':
			return i + 1, nil
		default:
			return i, wrong(b, i, "expected ',' or ']'")
		}
	}
}

// space is SkipSpace with the common case, no white space at all, small enough to be inlined.
func space(b []byte, i int) int {
	if i < len(b) && b[i] > ' ' {
		return i
	}
	return SkipSpace(b, i)
}

const (
	ones   = 0x0101010101010101
	highs  = 0x8080808080808080
	quotes = ones * '"'
	slants = ones * '\\'
	blanks = ones * ' '
)

// special marks the bytes of w that a string can't simply contain: quote, backslash and control characters. Each has its high bit
// set in the result, though bytes behind the first may be marked wrongly. It is the zero-byte test of Mycroft (Bit Twiddling
// Hacks, "determine if a word has a zero byte"), applied three times.
func special(w uint64) uint64 {
	q, s := w^quotes, w^slants
	return ((q-ones)&^q | (s-ones)&^s | (w-blanks)&^w) & highs
}

// str checks the string that opens at b[i], eight bytes at a time.
func str(b []byte, i int) (int, error) {
	start := i
	i++
	for {
		for i+8 <= len(b) {
			if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
			i++
		}
		if i >= len(b) {
			return i, &SyntaxError{start, "the string is not closed", true}
		}
		switch b[i] {
		case '"':
			return i + 1, nil
		case '\\':
			var err error
			if i, err = escape(b, i); err != nil {
				return i, err
			}
		default:
			return i, wrong(b, i, fmt.Sprintf("control character 0x%02x inside a string", b[i]))
		}
	}
}

func escape(b []byte, i int) (int, error) {
	if i+1 >= len(b) {
		return i, &SyntaxError{i, "the text ends inside an escape", true}
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, nil
	case 'u':
		for _, c := range b[i+2 : min(i+6, len(b))] {
			if c-'0' > 9 && c|0x20-'a' > 5 {
				return i, wrong(b, i, `\u needs four hexadecimal digits`)
			}
		}
		if i+6 > len(b) {
			return i, &SyntaxError{i, `\u needs four hexadecimal digits`, true}
		}
		return i + 6, nil
	}
	return i, wrong(b, i, "unknown escape")
}

func literal(b []byte, i int, want string) (int, error) {
	if len(b)-i < len(want) || string(b[i:i+len(want)]) != want {
		return i, &SyntaxError{i, "expected " + want, strings.HasPrefix(want, string(b[i:]))}
	}
	return i + len(want), nil
}

func number(b []byte, i int) (int, error) {
	start := i
	if b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case i < len(b) && b[i]-'1' <= 8:
		i = digits(b, i)
	default:
		return start, &SyntaxError{start, "malformed number", i >= len(b)}
	}
	if i < len(b) && b[i] == '.' {
		end := digits(b, i+1)
		if end == i+1 {
			return start, &SyntaxError{start, "malformed number", end >= len(b)}
		}
		i = end
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		end := digits(b, i)
		if end == i {
			return start, &SyntaxError{start, "malformed number", end >= len(b)}
		}
		i = end
	}
	return i, nil
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}
