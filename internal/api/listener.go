package api

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// Listener accepts connections whose read deadlines cost little to set.
//
// With timeouts for headers, bodies and silence, net/http sets the read deadline of a connection eight times for each
// request, and each time changes a timer of the runtime. None of them ever passes on a connection that works. A
// connection of this listener only remembers a deadline that is later than the one in force, and when that one passes
// sets what is left.
type Listener struct{ *net.TCPListener }

// Accept waits for the next connection.
func (l Listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return &conn{TCPConn: c}, nil
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
