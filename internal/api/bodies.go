package api

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Bodies reads the bodies of all requests with patience that ends, and reads on what a handler left of one.
//
// A deadline for each read alone can be met for ever, by a byte now and then. So a sender has patience at first, and each
// byte that comes adds what it takes at bodyRate, up to patience again: silence ends the body after patience, and in any
// longer time it has to come at bodyRate. Time in which nobody reads does not count.
//
// Many senders do not listen before they have sent everything, and a connection that is closed meanwhile tells them nothing.
// So the answer goes out first, for those who listen, and then the rest of the body is read and thrown away, for a while.
type Bodies struct {
	Next     http.Handler
	Stopping func() bool // then it reads on for less long; nil for never
}

const (
	// patience is how long a body may keep silent, and how long it has before its rate counts.
	patience = 10 * time.Second

	// bodyRate is the least rate of a body in bytes per second. Other servers ask for 240 (Kestrel) to 500 (Apache,
	// mod_reqtimeout); at this rate the largest body takes nine hours, at which its sender has other troubles.
	bodyRate = 1 << 10

	// patienceStep is how much later than it should a deadline may be, so that not every read of a long body sets one.
	patienceStep = time.Second

	// Bounds of reading on: in all, for silence, and the least rate in bytes per second.
	readOnBytes    = 256 << 20
	readOnTime     = time.Minute
	readOnPatience = 10 * time.Second
	readOnRate     = 16 << 10

	// hurry is the patience in reading on where the body was too slow already, or the process is stopping.
	hurry = time.Second
)

// ServeHTTP is that of [http.Handler].
func (h Bodies) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		h.Next.ServeHTTP(w, r)
		return
	}
	b := patientBodies.Get().(*patientBody)
	b.begin(w, r)
	h.Next.ServeHTTP(w, r)
	if !b.ended && (b.got > 0 || r.Header.Get("Expect") == "") { // who asked first has not begun to send
		b.readOn(w, h.Stopping)
	}
	b.done()
	r.Body = http.NoBody
	patientBodies.Put(b)
}

var patientBodies = sync.Pool{New: func() any { return new(patientBody) }}

// connection is the part of [http.ResponseController] that is needed here, which the server's own writers have themselves.
type connection interface {
	SetReadDeadline(time.Time) error
	EnableFullDuplex() error
}

// patientBody is a body that waits for each piece, but not for ever. It serves one request after the other.
type patientBody struct {
	io.ReadCloser
	conn     connection
	patience time.Duration // at most
	rate     int           // bytes per second
	left     time.Duration // of patience
	set      time.Time     // the deadline that was set; zero for none
	got      int64         // bytes read
	ended    bool          // the body was read to its end
	cut      atomic.Bool   // every read fails
	answer   [64]byte      // room for the usual answer to records
}

func (b *patientBody) begin(w http.ResponseWriter, r *http.Request) {
	conn, ok := w.(connection)
	if !ok {
		conn = http.NewResponseController(w)
	}
	conn.EnableFullDuplex() // else nothing can be read after the answer; not supported only where a test has no connection
	b.ReadCloser, b.conn = r.Body, conn
	b.patience, b.rate, b.left = patience, bodyRate, patience
	b.set, b.got, b.ended = time.Time{}, 0, false
	b.cut.Store(false)
	r.Body = b
}

func (b *patientBody) done() {
	if !b.set.IsZero() || b.cut.Load() {
		b.conn.SetReadDeadline(time.Time{})
	}
	b.ReadCloser, b.conn = nil, nil
}

// Read is that of [io.Reader].
func (b *patientBody) Read(p []byte) (int, error) {
	now := time.Now()
	if b.left <= 0 {
		return 0, b.slow()
	}
	if want := now.Add(b.left); b.set.Before(want) || b.set.After(want.Add(2*patienceStep)) {
		b.set = want.Add(patienceStep)
		b.conn.SetReadDeadline(b.set)
	}
	if b.cut.Load() { // looked at after the deadline was set, which may have been in place of that of Interrupt
		return 0, os.ErrDeadlineExceeded
	}
	n, err := b.ReadCloser.Read(p)
	b.got += int64(n)
	b.left = remaining(b.left, time.Since(now), n, b.rate, b.patience)
	if err == io.EOF {
		b.ended = true
	} else if b.left <= 0 || os.IsTimeout(err) {
		return n, b.slow()
	}
	return n, err
}

// remaining is what is left of the patience with a sender from whom n bytes came after a wait.
func remaining(left, waited time.Duration, n, rate int, most time.Duration) time.Duration {
	return min(left-waited+time.Duration(n)*time.Second/time.Duration(rate), most)
}

// slow is the error of a body that comes too slowly.
func (b *patientBody) slow() error { return &slowError{got: b.got} }

// slowError says that a body came too slowly. It is an [os.ErrDeadlineExceeded].
type slowError struct{ got int64 }

func (e *slowError) Error() string {
	return fmt.Sprintf("the body came too slowly: %d bytes so far; after %v it must come at %d bytes/s", e.got, patience, bodyRate)
}

func (e *slowError) Is(err error) bool { return err == os.ErrDeadlineExceeded }

// Interrupt makes every Read fail, also one that waits.
func (b *patientBody) Interrupt() {
	b.cut.Store(true)
	b.conn.SetReadDeadline(time.Unix(1, 0))
}

// readOn reads the rest of a body that was answered before it ended.
func (b *patientBody) readOn(w http.ResponseWriter, stopping func() bool) {
	if http.NewResponseController(w).Flush() != nil {
		return
	}
	b.patience, b.rate, b.set = readOnPatience, readOnRate, time.Time{}
	if b.left <= 0 || b.cut.Load() {
		b.patience = hurry
	}
	b.left = b.patience
	b.cut.Store(false)
	until := time.Now().Add(readOnTime)
	io.Copy(io.Discard, readerFunc(func(p []byte) (int, error) {
		now := time.Now()
		if b.got > readOnBytes || now.After(until) {
			return 0, io.EOF
		}
		if stopping != nil && stopping() {
			b.patience, until = hurry, now.Add(hurry)
			stopping = nil
		}
		return b.Read(p)
	}))
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
