package api

import (
	"context"
	"net"
	"syscall"
)

// connKey is the key of the connection in the context of its requests.
type connKey struct{}

// ConnContext is for [http.Server.ConnContext]. With it, leases are not handed to a client that has hung up.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// hungUp reports whether the client of a request has closed its connection. The context of the request says so only once a goroutine
// of net/http has run, which takes long on a busy machine, so the connection itself is asked as well.
func hungUp(ctx context.Context) bool {
	return ctx.Err() != nil || peek(ctx) != connOpen
}

// connState is what a connection says about the other side.
type connState int

const (
	connOpen   connState = iota // or unknown
	connClosed                  // the client sends nothing more
	connReset                   // the client did not read all that was sent to it
)

// peek looks at the connection of a request without reading from it, in one system call.
func peek(ctx context.Context) connState {
	state := connOpen
	if !onSocket(ctx, func(fd uintptr) { state = peekAt(fd) }) {
		return connReset
	}
	return state
}

// holdLittle keeps the system from taking much of an answer that its client does not read, so that a write which returns tells something.
func holdLittle(ctx context.Context) { onSocket(ctx, holdLittleAt) }

// onSocket calls do with the socket of a request if it is known, and reports whether the connection is open on this side.
func onSocket(ctx context.Context, do func(fd uintptr)) bool {
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	for t, ok := conn.(interface{ NetConn() net.Conn }); ok; t, ok = conn.(interface{ NetConn() net.Conn }) { // below TLS and framing
		conn = t.NetConn()
	}
	c, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := c.SyscallConn()
	return err == nil && raw.Control(do) == nil
}
