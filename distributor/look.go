package distributor

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// ErrBinary says that the first bytes of a body are neither text nor JSON, nor a compression that is known. It is answered with 415
// Unsupported Media Type.
var ErrBinary = errors.New("the body is not text")

// codingOf returns the content coding that the first bytes of a body show, or nothing.
func codingOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}): // RFC 1952, 2.3.1
		return "gzip"
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878, 3.1.1
		return "zstd"
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}): // a skippable frame, 3.1.2
		return "zstd"
	}
	return ""
}

// marks are byte order marks other than that of UTF-8. That of UTF-32 begins like one of UTF-16.
var marks = []struct {
	mark     string
	encoding encoding.Encoding
}{
	{"\xff\xfe\x00\x00", utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)},
	{"\x00\x00\xfe\xff", utf32.UTF32(utf32.BigEndian, utf32.UseBOM)},
	{"\xff\xfe", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)},
	{"\xfe\xff", unicode.UTF16(unicode.BigEndian, unicode.UseBOM)},
}

// signatures are how files begin that are often sent by mistake.
var signatures = []struct {
	prefix, name string
	packed       bool
}{
	{"BZh", "bzip2", true}, {"\xfd7zXZ\x00", "xz", true}, {"\x04\x22\x4d\x18", "lz4", true}, {"\xff\x06\x00\x00sNaPpY", "snappy", true},
	{"\xff\x06\x00\x00S2sTwO", "S2", true}, {"PK\x03\x04", "zip", true}, {"7z\xbc\xaf\x27\x1c", "7z", true},
	{"PAR1", "a Parquet file", false}, {"Obj\x01", "an Avro file", false}, {"LPKSHHRH", "a journal of systemd", false}, {"%PDF-", "a PDF file", false},
	{"\x89PNG", "a picture", false}, {"\xff\xd8\xff", "a picture", false}, {"\x7fELF", "a program", false}, {"SQLite format 3\x00", "a database", false},
	{"\xd4\xc3\xb2\xa1", "a packet capture", false}, {"\x0a\x0d\x0d\x0a", "a packet capture", false},
}

// lookBytes is how much of a body is looked at to tell what it is.
const lookBytes = 4 << 10

// charsetOf returns what decodes a body with these first bytes; nil where it is UTF-8. A byte order mark counts more than the
// charset that was given.
func (m Media) charsetOf(head []byte) (encoding.Encoding, error) {
	if bytes.HasPrefix(head, byteOrderMark) {
		return nil, nil
	}
	for _, m := range marks {
		if bytes.HasPrefix(head, []byte(m.mark)) {
			return m.encoding, nil
		}
	}
	head = head[:min(len(head), lookBytes)]
	wide, order := wideText(head)
	switch {
	case m.Charset == "utf-16" && wide != nil: // the label alone leaves the order open
		return wide, nil
	case m.Charset != "":
		return decoderOf(m.Charset)
	case wide != nil:
		return nil, fmt.Errorf("%w in UTF-8, but seems to be UTF-16 without a byte order mark: set the charset in the Content-Type, such as text/plain; charset=%s", ErrBinary, order)
	case m.Format == NDJSON || m.Format == JSON: // each line that is binary is refused for itself
		return nil, nil
	}
	for _, s := range signatures {
		if !bytes.HasPrefix(head, []byte(s.prefix)) || s.name == "bzip2" && !bytes.HasPrefix(head[min(len(head), 4):], []byte("1AY&SY")) {
			continue
		}
		if s.packed {
			return nil, fmt.Errorf("%w but compressed by %s: send gzip or zstd, with the header Content-Encoding", ErrBinary, s.name)
		}
		return nil, fmt.Errorf("%w but %s", ErrBinary, s.name)
	}
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return nil, fmt.Errorf("%w but a tar archive: send the files in it", ErrBinary)
	}
	if isBinary(head) {
		return nil, fmt.Errorf("%w: it has many control characters. Send text or JSON in UTF-8, or name the charset in the Content-Type and the compression in the Content-Encoding", ErrBinary)
	}
	return nil, nil
}

// wideText guesses whether text is in UTF-16 without a byte order mark, and in which order. Of two bytes of such text, one is
// mostly zero, as long as it is in a language with Latin letters.
func wideText(head []byte) (e encoding.Encoding, name string) {
	pairs, even, odd := len(head)/2, 0, 0
	for i := 0; i+1 < len(head); i += 2 {
		if head[i] == 0 {
			even++
		}
		if head[i+1] == 0 {
			odd++
		}
	}
	switch {
	case pairs < 2:
	case odd*10 >= pairs*6 && even*20 <= pairs:
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), "utf-16le"
	case even*10 >= pairs*6 && odd*20 <= pairs:
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), "utf-16be"
	}
	return nil, ""
}

// isBinary says whether bytes can't be text in any charset: at least four different control characters that terminals and log
// formats do not use, and more than one in fifty bytes. Few of them may occur in text: a crash leaves zeros, and FIX separates
// fields by 0x01.
func isBinary(head []byte) bool {
	var seen [32]bool
	kinds, n := 0, 0
	for _, c := range head {
		if c >= ' ' || c >= '\a' && c <= '\r' || c == 0x1b {
			continue
		}
		n++
		if !seen[c] {
			seen[c] = true
			kinds++
		}
	}
	return kinds >= 4 && n*50 > len(head)
}
