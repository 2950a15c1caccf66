// Package visible makes text from outside safe to print: what a terminal or a log viewer would obey, hide or read in another direction
// is shown as an escape, such as \x1b, \u202e or \n.
//
// Whoever sends records, leases batches or answers requests chooses names, reasons and messages. An escape sequence in one of them could
// clear the screen of an operator, a line break could add a line to a log, and a bidirectional override could show a name as another one.
//
// Text that is one value, such as a name or an error, goes through [Line] or [Cut]. Everything that a command prints goes through [Writer]
// as well, so that a value which was forgotten does no harm.
package visible

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Line returns text with escapes for controls (line breaks and tabs too), format characters, separators of lines and paragraphs, blanks that
// take no room, and bytes that are not UTF-8. Text without any is returned as it is.
func Line(text string) string {
	if Safe(text) {
		return text
	}
	return string(appendVisible(nil, text, false))
}

// Safe reports whether [Line] would return the text as it is.
func Safe(text string) bool {
	for i := 0; i < len(text); i++ {
		if c := text[i]; c >= utf8.RuneSelf {
			return utf8.ValidString(text[i:]) && strings.IndexFunc(text[i:], hidden) < 0
		} else if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// cutMark ends a text that was cut.
const cutMark = "…"

// Cut is [Line] of the beginning of a text, at most so many bytes in all. A text that was cut ends with "…". It looks at no more of the
// text than it returns.
func Cut(text string, most int) string {
	cut := len(text) > most
	if cut {
		text = text[:most]
		for i := 1; i < utf8.UTFMax && i <= len(text); i++ { // a rune that was cut in two is not damage
			if tail := text[len(text)-i:]; utf8.RuneStart(tail[0]) {
				if !utf8.FullRuneInString(tail) {
					text = text[:len(text)-i]
				}
				break
			}
		}
	}
	text = Line(text)
	if !cut && len(text) <= most {
		return text
	}
	text = text[:min(len(text), max(most-len(cutMark), 0))]
	for len(text) > 0 {
		if r, size := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || size != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	return text + cutMark
}

// blank are letters and marks that show nothing.
var blank = map[rune]bool{'\u034f': true, '\u115f': true, '\u1160': true, '\u17b4': true, '\u17b5': true, '\u2800': true, '\u3164': true, '\uffa0': true}

// hidden reports whether a rune is not to be printed. Spaces of any width are.
func hidden(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f
	}
	return !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) || blank[r]
}

// appendVisible appends text with escapes. As a stream, line breaks and tabs stay, and runes are written as in JSON, where they are in strings
// only.
func appendVisible(out []byte, text string, stream bool) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			out = fmt.Appendf(out, `\x%02x`, text[0])
		case !hidden(r), stream && (r == '\n' || r == '\t'):
			out = append(out, text[:size]...)
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r < utf8.RuneSelf && !stream:
			out = fmt.Appendf(out, `\x%02x`, r)
		case r < 1<<16:
			out = fmt.Appendf(out, `\u%04x`, r)
		case stream:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\U%08x`, r)
		}
		text = text[size:]
	}
	return out
}

// Writer returns a writer that passes text on to w with escapes as [Line] makes them, but for line breaks and tabs. JSON remains the same
// JSON. It must not be used by several goroutines at once.
func Writer(w io.Writer) io.Writer { return &writer{w: w} }

type writer struct {
	w    io.Writer
	part []byte // beginning of a rune that a Write ended in
}

func (w *writer) Write(b []byte) (int, error) {
	text := string(append(w.part, b...))
	w.part = nil
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if tail := text[len(text)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRuneInString(tail) {
				w.part, text = []byte(tail), text[:len(text)-i]
			}
			break
		}
	}
	if _, err := w.w.Write(appendVisible(make([]byte, 0, len(text)), text, true)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// All replaces each string that v points to, at any depth, by its [Line], the keys of maps too. It leaves out what is not exported, and
// bytes.
func All(v any) { all(reflect.ValueOf(v)) }

func all(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(Line(v.String()))
		}
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return
		}
		if v.Kind() == reflect.Interface && v.CanSet() {
			held := reflect.New(v.Elem().Type()).Elem()
			held.Set(v.Elem())
			all(held)
			v.Set(held)
			return
		}
		all(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				all(f)
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				all(v.Index(i))
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			held := reflect.New(v.Type().Elem()).Elem()
			held.Set(v.MapIndex(key))
			all(held)
			if key.Kind() == reflect.String && !Safe(key.String()) {
				v.SetMapIndex(key, reflect.Value{})
				key = reflect.ValueOf(Line(key.String())).Convert(key.Type())
			}
			v.SetMapIndex(key, held)
		}
	}
}
