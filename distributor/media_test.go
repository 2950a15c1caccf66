package distributor

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

func TestParseMedia(t *testing.T) {
	for _, tt := range []struct {
		contentType, charset string
		format               Format
	}{
		{"", "", Sniff}, {"application/x-www-form-urlencoded", "", Sniff}, {"Application/Octet-Stream", "", Sniff}, {"application/gzip", "", Sniff},
		{"application/json", "", JSON}, {"Application/JSON; charset=UTF-8", "", JSON}, {"application/problem+json", "", JSON},
		{"application/x-ndjson", "", NDJSON}, {"application/X-NDJSON;charset=\"utf8\"", "", NDJSON}, {"application/jsonl", "", NDJSON}, {"application/stream+json", "", NDJSON},
		{"text/plain", "", Text}, {"TEXT/PLAIN; format=flowed; Charset=ISO-8859-1", "iso-8859-1", Text}, {"text/plain; charset=us-ascii", "", Text},
		{"text/plain;charset=windows-1252", "windows-1252", Text}, {"application/json; charset=utf-16", "utf-16", JSON}, {"text/plain; charset=", "", Text},
		{"application/json;", "", JSON}, {"application/json; charset", "", JSON}, {"application/json, application/json", "", JSON}, {" text/plain ;x", "", Text},
	} {
		if m, err := ParseMedia(tt.contentType, nil); err != nil || m.Format != tt.format || m.Charset != tt.charset {
			t.Errorf("ParseMedia(%q) = %+v, %v; want format %d, charset %q", tt.contentType, m, err, tt.format, tt.charset)
		}
	}
	for contentType, want := range map[string]error{
		"image/png": ErrFormat, "application/xml": ErrFormat, "text/html": ErrFormat, "nonsense": ErrFormat, "+json": ErrFormat, "application/x-protobuf": ErrFormat,
		"text/plain; charset=utf-7": ErrCharset, "text/plain; charset=klingon": ErrCharset, "text/plain; charset=hz-gb-2312": ErrCharset,
	} {
		if _, err := ParseMedia(contentType, nil); !errors.Is(err, want) {
			t.Errorf("ParseMedia(%q) = %v, want %v", contentType, err, want)
		}
	}
	for headers, want := range map[string]string{
		"": "", "gzip": "gzip", "GZIP": "gzip", "x-GZip": "gzip", "gzip, identity": "gzip", "identity": "", " ,, ": "", "Zstd": "zstd", "deflate": "deflate",
		"gzip,zstd": "gzip zstd", "gzip|Identity , zstd": "gzip zstd", "|gzip|": "gzip", "gzip, gzip, gzip": "gzip gzip gzip",
	} {
		if m, err := ParseMedia("", strings.Split(headers, "|")); err != nil || strings.Join(m.Codings, " ") != want {
			t.Errorf("Content-Encoding %q: %q, %v; want %q", headers, m.Codings, err, want)
		}
	}
	for _, headers := range []string{"br", "gzip, br", "gzip;q=1", "gzip zstd", "gzip,gzip,gzip,gzip"} {
		if m, err := ParseMedia("", []string{headers}); !errors.Is(err, ErrEncoding) {
			t.Errorf("Content-Encoding %q: %+v, %v; want ErrEncoding", headers, m, err)
		}
	}
}

// wrote is what a writer of a compression writes for b.
func wrote(b []byte, open func(io.Writer) io.WriteCloser) []byte {
	var out bytes.Buffer
	w := open(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func deflated(b []byte) []byte {
	return wrote(b, func(w io.Writer) io.WriteCloser { z, _ := flate.NewWriter(w, 5); return z })
}

func zlibbed(b []byte) []byte {
	return wrote(b, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
}

// zstdWindow compresses with a window of the given size. The length is not announced, for that would bound the window.
func zstdWindow(b []byte, size int) []byte {
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithWindowSize(size))
	if err != nil {
		panic(err)
	}
	z.Write(b[:1])
	z.Flush()
	z.Write(b[1:])
	z.Close()
	return out.Bytes()
}

// TestWhatTheBytesShow: bodies that do not say what they are, or say it in another way than usual. All hold the records a and b.
func TestWhatTheBytesShow(t *testing.T) {
	plain := []byte("{\"a\":\"é\"}\n{\"b\":2}\n")
	encode := func(e interface{ Bytes([]byte) ([]byte, error) }) []byte {
		out, err := e.Bytes(plain)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	utf16le := encode(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder())
	utf16be := encode(unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder())
	latin1 := encode(charmap.ISO8859_1.NewEncoder())
	skippable := append([]byte{0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0}, "abc"...)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, tt := range []struct {
		name    string
		body    []byte
		charset string
		codings string
	}{
		{"gzip", gzipped(plain), "", ""},
		{"zstd", zstded(plain), "", ""},
		{"zstd behind a skippable frame", join(skippable, zstded(plain)), "", ""},
		{"zstd in frames", join(zstded(plain[:4]), skippable, zstded(plain[4:])), "", "zstd"},
		{"zstd with a window of 8 MiB", zstdWindow(plain, 8<<20), "", "zstd"},
		{"gzip behind zeros", join(gzipped(plain), make([]byte, 1000)), "", "gzip"},
		{"gzip behind few zeros", join(gzipped(plain), make([]byte, 3)), "", ""},
		{"gzip in members with zeros between", join(gzipped(plain[:4]), make([]byte, 512), gzipped(nil), gzipped(plain[4:]), make([]byte, 512)), "", "gzip"},
		{"zlib", zlibbed(plain), "", "deflate"},
		{"bare deflate", deflated(plain), "", "deflate"},
		{"zstd of gzip", zstded(gzipped(plain)), "", "gzip zstd"},
		{"zstd of gzip of which only one is named", zstded(gzipped(plain)), "", "zstd"},
		{"zstd of gzip of which none is named", zstded(gzipped(plain)), "", ""},
		{"three layers", gzipped(deflated(zstded(plain))), "", "zstd deflate gzip"},
		{"UTF-16LE", utf16le, "", ""},
		{"UTF-16BE", utf16be, "", ""},
		{"UTF-16LE, said wrongly", utf16le, "iso-8859-1", ""},
		{"UTF-16LE, said without an order", utf16le, "utf-16", ""},
		{"UTF-16BE without a mark", utf16be[2:], "utf-16be", ""},
		{"UTF-16BE without a mark and an order", utf16be[2:], "utf-16", ""},
		{"UTF-16LE without a mark and an order", utf16le[2:], "utf-16", ""},
		{"UTF-16LE of one file behind another", join(utf16le[:22], utf16le[:2], utf16le[22:]), "", ""},
		{"UTF-16LE in gzip", gzipped(utf16le), "", ""},
		{"UTF-32LE", encode(utf32.UTF32(utf32.LittleEndian, utf32.UseBOM).NewEncoder()), "", ""},
		{"UTF-8 with a mark, said wrongly", join(byteOrderMark, plain), "utf-16", ""},
		{"Latin 1", latin1, "iso-8859-1", ""},
		{"Windows", latin1, "windows-1252", ""},
		{"Latin 1 in gzip", gzipped(latin1), "latin1", "gzip"},
	} {
		for _, format := range []Format{NDJSON, JSON, Sniff} {
			for _, size := range []int64{int64(len(tt.body)), -1} {
				s := &store{}
				d := newDistributor(t, s, Options{MaxBodyBytes: 10 << 10})
				m := Media{Format: format, Charset: tt.charset, Codings: strings.Fields(tt.codings)}
				r, err := d.Take(t.Context(), m, size, bytes.NewReader(tt.body))
				if err != nil || r.Rejected > 0 || !slices.Equal(s.lines, []string{`{"a":"é"}`, `{"b":2}`}) {
					t.Errorf("%s, format %d: %+v, %v, stored %q", tt.name, format, r, err, s.lines)
				}
				if d.memory.inUse() > 0 {
					t.Errorf("%s: memory was not given back", tt.name)
				}
			}
		}
	}
}

// TestLargeBodiesAreDecoded: in pieces, from another charset and compressed twice.
func TestLargeBodiesAreDecoded(t *testing.T) {
	var want []string
	for i := range 30_000 {
		want = append(want, fmt.Sprintf(`{"body":"zeile %d für alle"}`, i))
	}
	var text strings.Builder
	for i := range want {
		fmt.Fprintf(&text, "zeile %d für alle\n", i)
	}
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().Bytes([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range [][]byte{utf16, gzipped(utf16), zstded(gzipped(utf16))} {
		s := &store{}
		d := newDistributor(t, s, Options{})
		if r, err := d.Take(t.Context(), Media{Format: Sniff}, -1, bytes.NewReader(body)); err != nil || !slices.Equal(s.lines, want) {
			t.Errorf("%d bytes: %+v, %v, %d records stored", len(body), r, err, len(s.lines))
		}
		if d.memory.inUse() > 0 {
			t.Error("memory was not given back")
		}
	}
}

func TestWhatIsNoTextIsRefused(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	noise := make([]byte, 5000)
	random.Read(noise)
	noise[0] = 'x'
	good := []byte("{\"a\":1}\n{\"b\":2}\n")
	utf16, _ := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder().Bytes(good)
	is := func(want error, text string) func(error) bool {
		return func(err error) bool { return errors.Is(err, want) && strings.Contains(err.Error(), text) }
	}
	isBody := func(err error) bool { _, ok := errors.AsType[*BodyError](err); return ok }
	for _, tt := range []struct {
		name string
		m    Media
		body []byte
		want func(error) bool
	}{
		{"UTF-16 without a mark", Media{Format: Text}, utf16, is(ErrBinary, "charset=utf-16be")},
		{"UTF-16 without a mark, as lines", Media{Format: NDJSON}, utf16, is(ErrBinary, "charset=utf-16be")},
		{"xz", Media{Format: Sniff}, []byte("\xfd7zXZ\x00\x00\x04"), is(ErrBinary, "xz: send gzip or zstd")},
		{"bzip2", Media{Format: Text}, []byte("BZh91AY&SY\x01"), is(ErrBinary, "bzip2")},
		{"a picture", Media{Format: Sniff}, []byte("\x89PNG\r\n\x1a\n"), is(ErrBinary, "a picture")},
		{"noise", Media{Format: Sniff}, noise, is(ErrBinary, "control characters")},
		{"noise in gzip", Media{Format: Text}, gzipped(noise), is(ErrBinary, "control characters")},
		{"a tar archive", Media{Format: Sniff}, []byte("a.log" + strings.Repeat("\x00", 252) + "ustar" + strings.Repeat("\x00", 250)), is(ErrBinary, "tar")},
		{"gzip four times", Media{Format: Sniff}, gzipped(gzipped(gzipped(gzipped(good)))), is(ErrEncoding, "3")},
		{"a large window", Media{Codings: []string{"zstd"}}, zstdWindow(good, 128<<20), func(err error) bool {
			w, ok := errors.AsType[*WindowError](err)
			return ok && w.Limit == maxWindow && strings.Contains(err.Error(), "window")
		}},
		{"text behind gzip", Media{}, append(gzipped(good), "\x00\x00more"...), isBody},
		{"gzip behind gzip, broken off", Media{}, append(gzipped(good), gzipped(good)[:7]...), isBody},
		{"text behind deflate", Media{Codings: []string{"deflate"}}, append(zlibbed(good), "more"...), isBody},
		{"text as deflate", Media{Codings: []string{"deflate"}}, []byte("\xff\xff\xff\xff"), isBody},
		{"nothing as deflate", Media{Codings: []string{"deflate"}}, nil, isBody},
		{"nothing as gzip of zstd", Media{Codings: []string{"zstd", "gzip"}}, gzipped(nil), nil},
		{"a bomb of two layers", Media{}, gzipped(gzipped(bytes.Repeat([]byte(" "), 1<<20))), func(err error) bool { _, ok := errors.AsType[*TooLargeError](err); return ok }},
		{"a bomb in the outer layer", Media{}, zstded(append(gzipped(good), make([]byte, 1<<20)...)), func(err error) bool { _, ok := errors.AsType[*TooLargeError](err); return ok }},
	} {
		s := &store{}
		d := newDistributor(t, s, Options{MaxBodyBytes: 10 << 10})
		r, err := d.Take(t.Context(), tt.m, int64(len(tt.body)), bytes.NewReader(tt.body))
		if s.calls > 0 || r.Accepted > 0 || tt.want != nil && !tt.want(err) {
			t.Errorf("%s: %+v, %v, stored %q", tt.name, r, err, s.lines)
		}
		if d.memory.inUse() > 0 {
			t.Errorf("%s: memory was not given back", tt.name)
		}
	}
}

// TestOddTextIsKept: what looks unusual and is text nevertheless.
func TestOddTextIsKept(t *testing.T) {
	shift, _ := japanese.ShiftJIS.NewEncoder().String("日本語のログ")
	for name, line := range map[string]string{
		"FIX":              "8=FIX.4.2\x019=65\x0135=A\x0149=S\x0156=T\x01",
		"zeros of a crash": strings.Repeat("\x00", 600),
		"colours":          "\x1b[31mERROR\x1b[0m it failed\a",
		"Latin 1":          "\xdcberl\xe4ufe \xe9\xe8",
		"Shift JIS":        shift,
		"Cyrillic":         "\xcf\xf0\xe8\xe2\xe5\xf2",
		"a magic word":     "BZhello", "PK": "PKI is broken", "BM": "BM started", "x": "x^2",
	} {
		s := &store{}
		d := newDistributor(t, s, Options{})
		r, err := d.Take(t.Context(), Media{Format: Sniff}, -1, strings.NewReader("first line of the log\n"+line+"\n"))
		if err != nil || r.Accepted != 2 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if r, err := d.Take(t.Context(), Media{Format: Text}, -1, strings.NewReader(line)); err != nil || r.Accepted != 1 {
			t.Errorf("%s alone: %+v, %v", name, r, err)
		}
	}
}

// FuzzTake: whatever a body is, what is counted is what is stored, and memory is given back.
func FuzzTake(f *testing.F) {
	plain := []byte("{\"a\":1}\nx\n\tat y\n[{\"b\":2}]")
	for _, body := range [][]byte{plain, gzipped(plain), zstded(plain), gzipped(zstded(plain)), []byte("\xff\xfea\x00\n\x00"), make([]byte, 300), append(gzipped(plain), 0, 0)} {
		f.Add(body, "", "text/plain")
		f.Add(body, "gzip, zstd", "")
	}
	f.Add(zlibbed(plain), "deflate", "application/json; charset=utf-16")
	f.Fuzz(func(t *testing.T, body []byte, contentEncoding, contentType string) {
		m, err := ParseMedia(contentType, []string{contentEncoding})
		if err != nil {
			return
		}
		s := &store{}
		d := newDistributor(t, s, Options{MaxBodyBytes: 4 << 10})
		r, err := d.Take(t.Context(), m, -1, bytes.NewReader(body))
		if r.Accepted != len(s.lines) || err != nil && r.Accepted > 0 {
			t.Errorf("%+v, %v, %d records stored", r, err, len(s.lines))
		}
		if d.memory.inUse() > 0 {
			t.Error("memory was not given back")
		}
	})
}
