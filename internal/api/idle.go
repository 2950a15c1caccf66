package api

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// IdleLimit closes the connections that have been silent longest when there are more of them than Max, so that ten
// thousand clients which connect and say nothing cost no more memory than Max of them. Busy connections are never closed.
type IdleLimit struct {
	Max int // silent connections that may stay; zero means no limit

	mu    sync.Mutex
	order list.List // of net.Conn, the longest silent first
	where map[net.Conn]*list.Element
}

// ConnState is for http.Server.ConnState.
func (l *IdleLimit) ConnState(c net.Conn, state http.ConnState) {
	if l.Max <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.where[c]; e != nil {
		l.order.Remove(e)
		delete(l.where, c)
	}
	if state != http.StateNew && state != http.StateIdle {
		return
	}
	if l.where == nil {
		l.where = map[net.Conn]*list.Element{}
	}
	l.where[c] = l.order.PushBack(c)
	if l.order.Len() > l.Max {
		oldest := l.order.Remove(l.order.Front()).(net.Conn)
		delete(l.where, oldest)
		go oldest.Close() // it calls back here
	}
}
