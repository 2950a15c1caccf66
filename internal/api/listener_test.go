package api

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// pair returns both ends of a connection, the first of which a Listener accepted.
func pair(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := (&Listener{TCPListener: l.(*net.TCPListener)}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return server.(*conn), client
}

// TestDeadlinesAreKept: whatever was set before, a Read fails at the last deadline that was set and not before.
func TestDeadlinesAreKept(t *testing.T) {
	const short = 50 * time.Millisecond
	past := time.Unix(1, 0)
	tests := []struct {
		name   string
		before []time.Duration // set first, from now; 0 for none, negative for one that is over
		last   time.Duration
	}{
		{"the first", nil, short},
		{"an earlier one", []time.Duration{time.Hour}, short},
		{"a later one", []time.Duration{short / 2}, short},
		{"after none", []time.Duration{time.Hour, 0}, short},
		{"after one that is over", []time.Duration{-1}, short},
		{"after one that is over and none", []time.Duration{time.Hour, -1, 0}, short},
		{"one that is over", []time.Duration{time.Hour, 0}, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, _ := pair(t)
			start := time.Now()
			for _, d := range append(tt.before, tt.last) {
				at := start.Add(d)
				if d == 0 {
					at = time.Time{}
				} else if d < 0 {
					at = past
				}
				if err := server.SetReadDeadline(at); err != nil {
					t.Fatal(err)
				}
			}
			_, err := server.Read(make([]byte, 1))
			if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took < tt.last || took > tt.last+10*time.Second {
				t.Errorf("Read ended after %v with %v, want a timeout after %v", took, err, tt.last)
			}
		})
	}
}

// TestNoDeadlineMeansNone: a Read outlives a deadline that was taken back.
func TestNoDeadlineMeansNone(t *testing.T) {
	for _, before := range []time.Time{time.Unix(1, 0), time.Now().Add(20 * time.Millisecond)} {
		server, client := pair(t)
		server.SetReadDeadline(before)
		server.SetReadDeadline(time.Time{})
		timer := time.AfterFunc(60*time.Millisecond, func() { io.WriteString(client, "x") })
		defer timer.Stop()
		if n, err := server.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("%d bytes, %v; want the one that came", n, err)
		}
	}
}

// TestADeadlineEndsARead: one that is set while a Read waits, as net/http does to end it.
func TestADeadlineEndsARead(t *testing.T) {
	server, _ := pair(t)
	server.SetReadDeadline(time.Now().Add(time.Hour))
	timer := time.AfterFunc(20*time.Millisecond, func() { server.SetReadDeadline(time.Unix(1, 0)) })
	defer timer.Stop()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want a timeout", err)
	}
}

// TestDeadlinesWithinARequestAreRemembered: those that net/http sets for a request change the timer once.
func TestDeadlinesWithinARequestAreRemembered(t *testing.T) {
	server, _ := pair(t)
	server.SetReadDeadline(time.Now().Add(2 * time.Minute)) // silence
	first := server.inner
	for _, d := range []time.Duration{0, soon, 0, patience, 0} {
		at := time.Time{}
		if d > 0 {
			at = time.Now().Add(d)
		}
		server.SetReadDeadline(at)
	}
	if server.inner != first || first.IsZero() {
		t.Errorf("the deadline in force changed from %v to %v", first, server.inner)
	}
	server.SetReadDeadline(time.Unix(1, 0)) // ends the read that waits for the sender to hang up
	if !server.past {
		t.Error("a deadline that is over was only remembered")
	}
}

// A listener that is full makes room where next to nothing moves, and nowhere else.
func TestAStalledConnectionMakesRoom(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := &Listener{TCPListener: l.(*net.TCPListener), Max: 3}
	defer listener.Close()
	var clients []net.Conn
	var servers []*conn
	for range 3 {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		clients, servers = append(clients, client), append(servers, server.(*conn))
	}
	move := func(i, n int) {
		t.Helper()
		if _, err := clients[i].Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(servers[i], make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	if listener.makeRoom(now) {
		t.Fatal("room is made at once")
	}
	const second = 1 << 10 // bytes in one that are enough
	move(0, 5*second)
	move(1, second)
	move(2, second/2)
	if now = now.Add(stallTime - 1); listener.makeRoom(now) {
		t.Fatal("room is made before anybody can have moved much")
	}
	if now = now.Add(lookAgain); !listener.makeRoom(now) {
		t.Fatal("no room is made where one byte now and then comes")
	}
	if _, err := servers[2].Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the slowest is still open: %v", err)
	}
	move(1, 9*second) // the next one to go, had it not gone on
	if listener.makeRoom(now) || listener.makeRoom(now.Add(lookAgain)) {
		t.Error("one that is in use is closed")
	}
	if len(listener.conns) != 2 || listener.open() != 2 {
		t.Errorf("%d and %d connections are open, want 2", len(listener.conns), listener.open())
	}
}
