package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/queue/remote"
)

// Framed returns a listener whose connections follow where each request begins and ends, as net/http does, and speak TLS where conf is
// not nil.
//
// A request that has both Content-Length and Transfer-Encoding may be an attempt to smuggle another one past a proxy that believes the
// first while the server believes the second. RFC 9112, 6.1, lets a server refuse it; net/http believes the second and deletes the first,
// so that no handler can tell. What is refused here is any request of which two readers could think differently where it ends.
//
// Give the server of this listener [FramedContext] as ConnContext, and a handler made by [RefuseAmbiguous].
func Framed(l net.Listener, conf *tls.Config) net.Listener { return &framedListener{l, conf} }

type framedListener struct {
	net.Listener
	conf *tls.Config
}

// Accept waits for the next connection.
func (l *framedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.conf == nil {
		return &framedConn{Conn: c}, nil
	}
	return &secureConn{framedConn: framedConn{Conn: tls.Server(c, l.conf)}}, nil
}

// framedConn is a connection that follows what is read from it.
type framedConn struct {
	net.Conn
	framing framing
}

// Read is that of [net.Conn].
func (c *framedConn) Read(b []byte) (int, error) {
	if c.framing.cut && len(b) > 0 {
		c.framing.cut = false
		return copy(b, "\n"), nil
	}
	n, err := c.Conn.Read(b)
	return c.framing.follow(b[:n]), err
}

// CloseWrite tells the client that nothing more comes. net/http calls it so that the client gets its answer before the connection ends.
func (c *framedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close is that of [net.Conn]. Where a request was refused, more of it may be under way, and a connection that is closed before it came
// is reset, so that the client may never see the answer: it is read for a moment.
func (c *framedConn) Close() error {
	if c.framing.refused.CompareAndSwap(true, false) && c.CloseWrite() == nil {
		c.Conn.SetReadDeadline(time.Now().Add(lingerTime))
		io.CopyN(io.Discard, c.Conn, lingerBytes) // how it ends does not matter
	}
	return c.Conn.Close()
}

// What is read of a connection whose request was refused.
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// NetConn is the connection below.
func (c *framedConn) NetConn() net.Conn { return c.Conn }

func (c *framedConn) frames() *framing { return &c.framing }

// secureConn is a framedConn that speaks TLS. It is no [tls.Conn], so net/http does not shake hands for it.
type secureConn struct{ framedConn }

// handshakeTime is how long a handshake may take, as the head of a request may.
const handshakeTime = 10 * time.Second

// ConnectionState shakes hands. net/http calls it once, before the first request.
func (c *secureConn) ConnectionState() tls.ConnectionState {
	conn := c.Conn.(*tls.Conn) // as Accept made it
	conn.SetDeadline(time.Now().Add(handshakeTime))
	err := conn.Handshake() // an error comes again with the first Read, which ends the connection
	if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && plain.Conn != nil && looksLikeHTTP(plain.RecordHeader) {
		io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"+
			`{"error":"this port speaks TLS, and the request came without","hint":"use https:// in the place of http://"}`+"\n")
	}
	conn.SetDeadline(time.Time{})
	return conn.ConnectionState()
}

// looksLikeHTTP says whether what came instead of a handshake begins as a request does.
func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "DELET", "OPTIO":
		return true
	}
	return false
}

type framingKey struct{}

// FramedContext is for http.Server.ConnContext.
func FramedContext(ctx context.Context, c net.Conn) context.Context {
	if f, ok := c.(interface{ frames() *framing }); ok {
		return context.WithValue(ctx, framingKey{}, f.frames())
	}
	return ctx
}

// RefuseAmbiguous refuses requests of which two readers could think differently where they end, and closes the connection. It must see
// each request of a connection.
func RefuseAmbiguous(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f, ok := r.Context().Value(framingKey{}).(*framing); ok {
			if why := f.next(); why != "" {
				f.refused.Store(true)
				w.Header().Set("Connection", "close")
				if why == whyMany {
					fail(w, http.StatusRequestHeaderFieldsTooLarge, remote.Error{Message: why, Hint: "send fewer", Limit: map[string]int{"headers": maxHeaders}})
					return
				}
				fail(w, http.StatusBadRequest, remote.Error{Message: why, Hint: "send either Content-Length or Transfer-Encoding: chunked"})
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// framing follows the requests on a connection, as far as it takes to know where each ends. What net/http refuses it need not
// understand, for the connection ends there. What it does not understand itself is refused with the request behind it.
//
// One goroutine at a time follows; next is called by the one that answers. Following may be ahead by as much as net/http has read and not
// looked at.
type framing struct {
	state state
	left  uint64 // bytes of a body or chunk to come

	// The line so far.
	line       [64]byte // its beginning
	size       int      // its length, without the line feed
	last, prev byte     // the last two of its bytes

	// The head so far.
	old     bool // HTTP/1.0
	coded   bool // there is a Transfer-Encoding
	sized   bool // there is a Content-Length
	headers int  // that it has
	problem string
	cut     bool // the head was too long: an empty line has to come next, in place of the rest

	heads    atomic.Int64 // that have ended
	bad      atomic.Int64 // the first head to refuse, counted from 1; 0 for none
	why      string       // it is refused; set before bad
	answered int64        // by the goroutine that answers
	refused  atomic.Bool  // the answer was that it is refused, and the connection is about to be closed
}

// state is what is expected next.
type state uint8

const (
	atStart   state = iota // a request line, or empty lines before it
	inHead                 // a line of a head
	inBody                 // left bytes of a body
	atChunk                // the line with the size of a chunk
	inChunk                // left bytes of a chunk
	afterIt                // the end of the line behind a chunk
	inTrailer              // a line behind the last chunk
	lost                   // nothing is known any more
)

// The reasons to refuse.
const (
	whyBoth   = "the request has both Content-Length and Transfer-Encoding"
	whyOld    = "the request is HTTP/1.0 and has Transfer-Encoding"
	whyFolded = "a header of the request goes on in a second line"
	whyLength = "the Content-Length of the request is not a number"
	whyMany   = "the request has too many headers"
	whyLost   = "where this request begins cannot be told, because of the one before"
)

// maxHeaders is how many headers a request may have. net/http bounds their bytes alone, and keeps twenty times as many where they are short.
const maxHeaders = 200

// next says why the request that is to be answered now is refused; empty if it is not.
func (f *framing) next() string {
	f.answered++
	bad := f.bad.Load()
	switch {
	case bad != 0 && f.answered >= bad:
		return f.why
	case f.answered > f.heads.Load():
		return whyLost
	}
	return ""
}

// follow looks at the bytes that were read next, and returns how many of them net/http may see. Of a body of known length it looks at none.
func (f *framing) follow(b []byte) int {
	all := len(b)
	for len(b) > 0 {
		switch f.state {
		case lost:
			return all
		case inBody, inChunk:
			n := min(f.left, uint64(len(b)))
			b, f.left = b[n:], f.left-n
			if f.left == 0 && f.state == inBody {
				f.state = atStart
			} else if f.left == 0 {
				f.state = afterIt
			}
		default:
			part, rest, ended := bytes.Cut(b, []byte{'\n'})
			f.keep(part)
			b = rest
			if ended {
				f.endLine()
				f.size = 0
			}
			if f.cut {
				return all - len(b)
			}
		}
	}
	return all
}

func (f *framing) keep(part []byte) {
	if f.size < len(f.line) {
		copy(f.line[f.size:], part)
	}
	f.size += len(part)
	switch n := len(part); {
	case n == 1:
		f.prev, f.last = f.last, part[0]
	case n > 1:
		f.prev, f.last = part[n-2], part[n-1]
	}
}

// endLine acts on a whole line.
func (f *framing) endLine() {
	size, end := f.size, byte(0) // without the carriage return, and its last byte
	if size > 0 {
		end = f.last
	}
	returned := end == '\r'
	if returned {
		if size--; size > 0 {
			end = f.prev
		}
	}
	text := f.line[:min(size, len(f.line))]
	whole := size <= len(f.line)
	switch f.state {
	case atStart:
		if size > 0 { // net/http passes over empty lines behind a POST, and refuses them elsewhere
			f.state, f.old, f.coded, f.sized, f.headers, f.problem, f.left = inHead, end == '0', false, false, 0, "", 0
		}
	case inHead:
		if size > 0 {
			f.header(text, whole)
			if f.headers++; f.headers > maxHeaders {
				f.problem, f.cut = whyMany, true
				f.endHead()
			}
		} else {
			f.endHead()
		}
	case atChunk:
		f.chunk(text, whole, returned)
	case afterIt:
		f.state = atChunk
		if size > 0 || !returned {
			f.lose()
		}
	case inTrailer:
		switch {
		case !returned || size > 0 && (text[0] == ' ' || text[0] == '\t'):
			f.lose()
		case size == 0:
			f.state = atStart
		}
	}
}

func (f *framing) header(text []byte, whole bool) {
	if text[0] == ' ' || text[0] == '\t' {
		f.problem = whyFolded
		return
	}
	if text[0]|' ' != 'c' && text[0]|' ' != 't' { // most headers are neither
		return
	}
	name, value, _ := bytes.Cut(text, []byte{':'})
	switch {
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		f.coded = true
	case bytes.EqualFold(name, []byte("Content-Length")):
		f.sized = true
		n, err := strconv.ParseUint(string(bytes.Trim(value, " \t")), 10, 63)
		if err != nil || !whole {
			f.problem = whyLength
		}
		f.left = n
	}
}

func (f *framing) endHead() {
	switch {
	case f.cut:
	case f.coded && f.sized:
		f.problem = whyBoth
	case f.coded && f.old:
		f.problem = whyOld
	}
	if f.problem != "" {
		f.refuse(f.problem)
		f.heads.Add(1)
		f.state = lost
		return
	}
	f.heads.Add(1)
	switch {
	case f.coded:
		f.state = atChunk
	case f.left > 0:
		f.state = inBody
	default:
		f.state = atStart
	}
}

// chunk reads the size of a chunk, as net/http does.
func (f *framing) chunk(text []byte, whole, returned bool) {
	digits, _, extended := bytes.Cut(text, []byte{';'})
	if !extended {
		digits = bytes.TrimRight(digits, " \t")
	}
	n, err := strconv.ParseUint(string(digits), 16, 64)
	switch {
	case err != nil || len(digits) > 16 || !whole && !extended || !returned:
		f.lose()
	case n == 0:
		f.state = inTrailer
	default:
		f.state, f.left = inChunk, n
	}
}

// refuse refuses the head that has not ended yet, and all behind it.
func (f *framing) refuse(why string) {
	f.why = why
	f.bad.Store(f.heads.Load() + 1)
}

func (f *framing) lose() {
	f.refuse(whyLost)
	f.state = lost
}
