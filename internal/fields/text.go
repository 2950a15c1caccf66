package fields

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape appends the inside of a JSON string without its escapes, as encoding/json does it: half a surrogate pair becomes U+FFFD.
func unescape(out, inner []byte) []byte {
	for i := 0; i < len(inner); {
		plain := bytes.IndexByte(inner[i:], '\\')
		if plain < 0 || i+plain+1 >= len(inner) {
			return append(out, inner[i:]...)
		}
		out = append(out, inner[i:i+plain]...)
		i += plain + 2
		switch c := inner[i-1]; c {
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 'r':
			out = append(out, '\r')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'u':
			r := hex4(inner, i)
			i = min(i+4, len(inner))
			if utf16.IsSurrogate(r) {
				second := rune(utf8.RuneError)
				if i+1 < len(inner) && inner[i] == '\\' && inner[i+1] == 'u' {
					second = hex4(inner, i+2)
				}
				if r = utf16.DecodeRune(r, second); r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
	}
	return out
}

func hex4(b []byte, i int) (r rune) {
	if i+4 > len(b) {
		return utf8.RuneError
	}
	for _, c := range b[i : i+4] {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case c|0x20-'a' <= 5:
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return utf8.RuneError
		}
	}
	return r
}

// plain is a text without the escape sequences by which programs colour what they print. It changes nothing in b.
func plain(b []byte) []byte {
	if bytes.IndexByte(b, 0x1b) < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != 0x1b || i+1 >= len(b) || b[i+1] != '[' {
			out = append(out, b[i])
			continue
		}
		for i += 2; i < len(b) && (b[i] < '@' || b[i] > '~'); i++ { // parameters, up to the final byte
		}
	}
	return out
}
