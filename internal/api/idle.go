package api

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// IdleLimit closes the connections that have been silent longest when there are more of them than Max, so that ten
// thousand clients which connect and say nothing cost no more memory than Max of them. Busy connections are never closed.
type IdleLimit struct {
	Max int // silent connections that may stay; zero means no limit

	mu     sync.Mutex
	conns  map[net.Conn]*tracked // all that are open
	silent tracked               // ends of the list of silent ones: next is silent longest
	n      int                   // length of that list
}

// tracked is an open connection, in a ring with the other silent ones while it is silent. It lives as long as the
// connection, because its state changes twice with each request.
type tracked struct {
	conn       net.Conn
	since      time.Time // when it became silent
	prev, next *tracked  // nil while it is busy
}

// ConnState is for http.Server.ConnState.
func (l *IdleLimit) ConnState(c net.Conn, state http.ConnState) {
	if l.Max <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.conns[c]
	if t != nil {
		l.unlink(t)
	}
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(l.conns, c)
	case http.StateNew, http.StateIdle:
		if t == nil {
			t = l.track(c)
		}
		l.link(t)
		if l.n > l.Max {
			oldest := l.silent.next
			l.unlink(oldest)
			go oldest.conn.Close() // it calls back here
		}
	}
}

func (l *IdleLimit) track(c net.Conn) *tracked {
	if l.conns == nil {
		l.conns = map[net.Conn]*tracked{}
		l.silent.prev, l.silent.next = &l.silent, &l.silent
	}
	t := &tracked{conn: c}
	l.conns[c] = t
	return t
}

// leastSilence is how long a connection must have been silent to be closed for another: a new one may be about to speak.
const leastSilence = time.Second

// CloseOldest closes the connection that has been silent longest, and says whether there was one.
func (l *IdleLimit) CloseOldest(now time.Time) bool {
	l.mu.Lock()
	oldest := l.silent.next
	if l.n == 0 || now.Sub(oldest.since) < leastSilence {
		l.mu.Unlock()
		return false
	}
	l.unlink(oldest)
	l.mu.Unlock()
	oldest.conn.Close()
	return true
}

// link puts a connection at the end of the list.
func (l *IdleLimit) link(t *tracked) {
	t.prev, t.next = l.silent.prev, &l.silent
	t.prev.next, l.silent.prev = t, t
	t.since = time.Now()
	l.n++
}

func (l *IdleLimit) unlink(t *tracked) {
	if t.next == nil {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.prev, t.next = nil, nil
	l.n--
}
