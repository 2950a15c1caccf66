package api

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Listener accepts connections whose deadlines cost little, and no more of them than the process has room for.
//
// With timeouts for headers, bodies and silence, net/http sets the read deadline of a connection eight times for each
// request, and each time changes a timer of the runtime. None of them ever passes on a connection that works. A
// connection of this listener only remembers a deadline that is later than the one in force, and when that one passes
// sets what is left. A client that does not read what is written to it is hung up on, whatever the handler.
//
// A connection beyond Max takes the place of the one that has been silent longest, or else of one on which next to nothing has moved for
// some seconds: a client that sends its request or reads its answer byte by byte. If there is none either, it is answered 503 at once: where
// the process has no file handle left, clients would wait for an answer that does not come.
type Listener struct {
	*net.TCPListener
	Max  int          // open connections; zero means no limit
	Idle *IdleLimit   // knows the silent ones; nil where none is to be closed
	Log  *slog.Logger // nil for none

	mu      sync.Mutex
	conns   map[*conn]struct{} // those that are open
	slow    []*conn            // those that were stalled at looked, the slowest last
	looked  time.Time
	full    sync.Once // it is said once
	turning sync.WaitGroup
	slots   chan struct{} // taken by those
}

// Accept waits for the next connection. It must not be called twice at once.
func (l *Listener) Accept() (net.Conn, error) {
	if l.slots == nil {
		l.slots = make(chan struct{}, maxTurning)
		l.conns = map[*conn]struct{}{}
	}
	for {
		c, err := l.TCPListener.AcceptTCP()
		if err != nil {
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
				l.say("no file handle is left for another connection", "open_connections", l.open(), "error", err)
				if l.makeRoom(time.Now()) {
					continue
				}
			}
			return nil, err // net/http tries again
		}
		if l.Max > 0 && l.open() >= l.Max && !l.makeRoom(time.Now()) {
			l.say("too many connections: others are turned away", "max_connections", l.Max)
			select {
			case l.slots <- struct{}{}:
				l.turning.Go(func() {
					defer func() { <-l.slots }()
					turnAway(c, turnTime)
				})
			default:
				turnAway(c, turnHurry)
			}
			continue
		}
		return l.opened(c), nil
	}
}

func (l *Listener) opened(tcp *net.TCPConn) *conn {
	c := &conn{TCPConn: tcp}
	c.closed = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return c
}

// open is how many connections are open.
func (l *Listener) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// makeRoom closes a connection that can best be done without, and says whether there was one.
func (l *Listener) makeRoom(now time.Time) bool {
	if l.Idle != nil && l.Idle.CloseOldest(now) {
		return true
	}
	c := l.stalled(now)
	return c != nil && c.Close() == nil
}

// A connection is stalled on which less than stallBytes a second have moved for stallTime, since it was looked at first.
const (
	stallTime  = 2 * time.Second
	stallBytes = bodyRate
)

// stalled returns the connection on which least moves, or nil where all are in use or were not looked at for long enough.
func (l *Listener) stalled(now time.Time) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.slow) == 0 && now.Sub(l.looked) >= lookAgain {
		l.looked = now
		for c := range l.conns {
			if since := now.Sub(c.looked); c.looked.IsZero() || since >= stallTime && c.rate(now) >= stallBytes {
				c.looked, c.before = now, c.moved.Load()
			} else if since >= stallTime {
				l.slow = append(l.slow, c)
			}
		}
		rates := make(map[*conn]float64, len(l.slow))
		for _, c := range l.slow {
			rates[c] = c.rate(now)
		}
		slices.SortFunc(l.slow, func(a, b *conn) int { return cmp.Compare(rates[b], rates[a]) })
	}
	for n := len(l.slow) - 1; n >= 0; n-- {
		c := l.slow[n]
		l.slow = l.slow[:n]
		if _, open := l.conns[c]; open && c.rate(now) < stallBytes { // it may have gone on
			return c
		}
	}
	return nil
}

// rate is how many bytes a second have moved since they were counted.
func (c *conn) rate(now time.Time) float64 {
	return float64(c.moved.Load()-c.before) / now.Sub(c.looked).Seconds()
}

// Close stops listening, and waits for those that are being turned away.
func (l *Listener) Close() error {
	err := l.TCPListener.Close()
	l.turning.Wait()
	return err
}

func (l *Listener) say(message string, args ...any) {
	l.full.Do(func() {
		if l.Log != nil {
			l.Log.Warn(message, append(args, "hint", "raise the limit of open files (ulimit -n), or send over fewer connections")...)
		}
	})
}

const (
	maxTurning = 8                      // connections that are turned away with patience at once
	turnTime   = 500 * time.Millisecond // for the first word of one of these, and again for the rest of it
	turnHurry  = 5 * time.Millisecond   // for others, which hold up those behind them
)

// turnedAway is the answer to a connection that there is no room for.
var turnedAway = func() []byte {
	body := `{"error":"too many connections","hint":"send over fewer connections, or raise the server's limit of open files"}` + "\n"
	return fmt.Appendf(nil, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}()

// turnAway answers once the client has begun to speak, because some take an answer before that for a mistake. Then it reads some of
// the request, since an answer to a client that still sends is lost when the connection is closed.
func turnAway(c *net.TCPConn, most time.Duration) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(most))
	c.Read(make([]byte, 512))
	c.SetDeadline(time.Now().Add(most))
	if _, err := c.Write(turnedAway); err == nil && c.CloseWrite() == nil {
		io.Copy(io.Discard, c)
	}
}

// What is always open besides connections, and how many connections are of use at most: each takes some 20 KB.
const (
	ownFiles       = 32
	mostConnection = 10_000
)

// MaxConnections is how many connections a process may accept that may open so many files, of which its queue may want some.
// The queue gets half at most: it seldom wants as many as it may.
func MaxConnections(files uint64, queue int64) int {
	limit := int64(min(files, 1<<30))
	return int(max(1, min(limit-min(ownFiles+queue, limit/2), mostConnection)))
}

// soon is how far ahead a deadline is set at most while a connection is busy. It is no longer than any of the server's
// timeouts, so that the deadline in force is earlier than all that are set within a request.
const soon = 10 * time.Second

type conn struct {
	*net.TCPConn

	mu     sync.Mutex
	wanted time.Time // the deadline that was set; zero for none
	inner  time.Time // the deadline in force; zero for none
	past   bool      // inner was over when it was set: every Read fails until another is in force

	asked   bool      // a write deadline was asked for
	writeBy time.Time // the write deadline in force where none was asked for

	once   sync.Once
	closed func()

	moved  atomic.Int64 // bytes, either way
	looked time.Time    // when they were counted, under the listener's lock; zero for never
	before int64        // how many there were then
}

// Close is that of [net.Conn].
func (c *conn) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(c.closed)
	return err
}

const (
	// writePatience is how long a client may take to read writePiece bytes, less up to half of it: about 2 KB/s.
	writePatience = 30 * time.Second
	writePiece    = 64 << 10
)

// Write is that of [net.Conn]. Where no deadline was asked for, each piece has one.
func (c *conn) Write(b []byte) (n int, err error) {
	for {
		c.allowWrite()
		k, err := c.TCPConn.Write(b[:min(len(b), writePiece)])
		c.moved.Add(int64(k))
		n += k
		if b = b[k:]; err != nil || len(b) == 0 {
			return n, err
		}
	}
}

func (c *conn) allowWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); !c.asked && c.writeBy.Sub(now) < writePatience/2 {
		c.writeBy = now.Add(writePatience)
		c.TCPConn.SetWriteDeadline(c.writeBy)
	}
}

// ReadFrom is that of [io.ReaderFrom], by way of Write.
func (c *conn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{c}, r) }

// SetWriteDeadline is that of [net.Conn].
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.writeBy = !t.IsZero(), time.Time{}
	return c.TCPConn.SetWriteDeadline(t)
}

// SetReadDeadline is that of [net.Conn].
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = t
	switch {
	case t.IsZero(): // Read sees to it, if it is called before another is set
		return nil
	case !c.past && !c.inner.IsZero() && !t.Before(c.inner):
		return nil
	}
	now := time.Now()
	if limit := now.Add(soon); t.After(limit) {
		t = limit
	}
	return c.force(t, !t.After(now))
}

// SetDeadline is that of [net.Conn].
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) force(t time.Time, past bool) error {
	c.inner, c.past = t, past
	return c.TCPConn.SetReadDeadline(t)
}

// Read is that of [net.Conn].
func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.TCPConn.Read(b)
		c.moved.Add(int64(n))
		if err == nil || n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || c.over() {
			return n, err
		}
	}
}

// over says whether the deadline that was set is over, and if it is not puts it in force.
func (c *conn) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.wanted.IsZero() && !c.wanted.After(time.Now()) || c.force(c.wanted, false) != nil
}
