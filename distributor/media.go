package distributor

import (
	"errors"
	"fmt"
	"mime"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
)

// Format is how the records of a body are written.
type Format int

// The formats of the native API.
const (
	NDJSON Format = iota // one JSON object a line
	JSON                 // arrays of objects, and objects, one after the other
	Text                 // one record a line, its body, with the lines that continue it
	Sniff                // as JSON where that is what is there, else as Text
)

// Media is what a sender says about a body. The zero Media is NDJSON in UTF-8, not compressed.
type Media struct {
	Format    Format
	Charset   string   // a label of the WHATWG Encoding Standard; empty is UTF-8, or what a byte order mark says
	Codings   []string // how it was compressed, in this order: gzip, zstd, deflate
	Multiline *bool    // whether the lines of a stack trace join the line before them; nil is what Options say
}

// Errors about what a sender says about a body. They are answered with 415 Unsupported Media Type.
var (
	ErrFormat   = errors.New("unsupported content type")
	ErrEncoding = errors.New("unsupported content encoding")
	ErrCharset  = errors.New("unsupported charset")
)

// maxCodings is how often a body may be compressed. Each layer costs memory and time of its own.
const maxCodings = 3

// ParseMedia reads the values of the headers Content-Type and Content-Encoding, the latter of all lines with that name.
func ParseMedia(contentType string, contentEncoding []string) (m Media, err error) {
	if m.Format, m.Charset, err = parseType(contentType); err != nil {
		return m, err
	}
	m.Codings, err = parseCodings(contentEncoding)
	return m, err
}

// parseType reads a Content-Type. For a body without one, or with one that says nothing, such as the one that curl -d sets, it
// returns Sniff.
func parseType(contentType string) (f Format, charset string, err error) {
	switch contentType { // what nearly all senders write needs no parsing
	case "":
		return Sniff, "", nil
	case "application/x-ndjson":
		return NDJSON, "", nil
	case "application/json":
		return JSON, "", nil
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil { // something is wrong behind the type, or it is there twice
		mediaType = strings.ToLower(strings.TrimSpace(contentType[:strings.IndexAny(contentType+";", ";,")]))
	}
	switch mediaType {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl", "application/jsonlines", "application/x-jsonlines",
		"application/json-lines", "application/x-json-stream", "application/stream+json", "text/x-ndjson", "text/ndjson":
		f = NDJSON
	case "application/json", "application/x-json", "text/json", "text/x-json":
		f = JSON
	case "text/plain", "text/x-log":
		f = Text
	case "", "application/x-www-form-urlencoded", "application/octet-stream", "binary/octet-stream", "application/x-gzip", "application/gzip", "application/zstd":
		f = Sniff
	default:
		if !strings.HasPrefix(mediaType, "application/") || !strings.HasSuffix(mediaType, "+json") { // RFC 6839
			return 0, "", fmt.Errorf("%w %q: send application/x-ndjson, application/json or text/plain", ErrFormat, mediaType)
		}
		f = JSON
	}
	charset = strings.ToLower(strings.TrimSpace(params["charset"]))
	switch charset {
	case "utf-8", "utf8", "us-ascii", "ascii": // UTF-8 is checked in any case, and ASCII is a part of it
		charset = ""
	}
	if charset != "" {
		if _, err := decoderOf(charset); err != nil {
			return 0, "", err
		}
	}
	return f, charset, nil
}

// decoderOf returns the encoding that a charset names.
func decoderOf(charset string) (encoding.Encoding, error) {
	e, err := htmlindex.Get(charset)
	if err != nil || e == encoding.Replacement { // the latter stands for encodings that no browser decodes
		return nil, fmt.Errorf("%w %q: send UTF-8, or one of the WHATWG Encoding Standard, such as utf-16le, iso-8859-1 or windows-1252", ErrCharset, charset)
	}
	return e, nil
}

// parseCodings reads the values of all Content-Encoding headers. Identity is left out.
func parseCodings(headers []string) (codings []string, err error) {
	if len(headers) == 0 {
		return nil, nil
	}
	for _, header := range headers {
		for coding := range strings.SplitSeq(header, ",") {
			switch coding = strings.ToLower(strings.TrimSpace(coding)); coding {
			case "", "identity":
			case "gzip", "x-gzip":
				codings = append(codings, "gzip")
			case "zstd", "deflate":
				codings = append(codings, coding)
			default:
				return nil, fmt.Errorf("%w %q: send gzip, zstd, deflate or identity", ErrEncoding, coding)
			}
			if len(codings) > maxCodings {
				return nil, fmt.Errorf("%w: more than %d one within another", ErrEncoding, maxCodings)
			}
		}
	}
	return codings, nil
}
