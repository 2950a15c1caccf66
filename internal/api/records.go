package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/queue/remote"
)

// recordsAnswer is the answer to POST /v1/records.
type recordsAnswer struct {
	Accepted int                     `json:"accepted"`
	Rejected int                     `json:"rejected"`
	Errors   []distributor.Rejection `json:"errors"` // the first 20 of the rejected
	Error    string                  `json:"error,omitempty"`
	Limit    any                     `json:"limit,omitempty"`
	Hint     string                  `json:"hint,omitempty"`
}

func (s *Server) postRecords(w http.ResponseWriter, r *http.Request) {
	media, err := distributor.ParseMedia(r.Header.Get("Content-Type"), r.Header["Content-Encoding"])
	if err != nil {
		refuseBody(w, r, http.StatusUnsupportedMediaType, remote.Error{Message: err.Error()})
		return
	}
	if r.URL.RawQuery != "" {
		if media.Multiline, err = multiline(r.URL.Query()); err != nil {
			refuseBody(w, r, http.StatusBadRequest, remote.Error{Message: err.Error()})
			return
		}
	}
	body := patientBodies.Get().(*patientBody)
	defer patientBodies.Put(body)
	body.begin(w, r)
	// A sender that hangs up early must not leave a batch half stored, so the storing does not end with the request.
	res, err := s.Distributor.Take(context.Background(), media, r.ContentLength, body)
	body.done()
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	if res.Rejected == 0 && res.Accepted > 0 { // nearly always
		w.Header()["Content-Type"] = jsonType
		b := append(body.answer[:0], `{"accepted":`...)
		b = strconv.AppendInt(b, int64(res.Accepted), 10)
		w.Write(append(b, `,"rejected":0,"errors":[]}`+"\n"...))
		return
	}
	full := recordsAnswer{Accepted: res.Accepted, Rejected: res.Rejected, Errors: res.Errors}
	status := http.StatusOK
	if res.Accepted == 0 {
		status = http.StatusBadRequest
		full.Error, full.Hint = "no record of the body was good", "errors names what is wrong, by line"
		if res.Rejected == 0 {
			full.Error, full.Hint = "the body holds no record", "send at least one line or object"
		}
		if res.TooLarge > 0 && res.TooLarge == res.Rejected {
			status = http.StatusRequestEntityTooLarge
		}
	}
	if full.Errors == nil {
		full.Errors = []distributor.Rejection{}
	}
	answer(w, status, full)
}

// multiline reads the query parameter of that name, which says for one body what the setting says for all. It is nil where it is not
// there.
func multiline(q url.Values) (*bool, error) {
	text := q.Get("multiline")
	if text == "" {
		return nil, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return nil, fmt.Errorf("multiline is %q, must be true or false", text)
	}
	return &on, nil
}

var jsonType = []string{"application/json"}

// patience is how long a body may keep silent before the server gives it up.
const patience = 10 * time.Second

// patienceStep is how much less than patience a wait may be, so that not every read of a long body sets a deadline.
const patienceStep = time.Second

// patientBody is a body that waits for each piece, but not for ever. It serves one request after the other.
type patientBody struct {
	body   io.Reader
	conn   readDeadliner
	since  time.Time // when the deadline was set
	answer [64]byte  // room for the usual answer
}

var patientBodies = sync.Pool{New: func() any { return new(patientBody) }}

// readDeadliner is the part of [http.ResponseController] that is needed here, which the server's own writers have themselves.
type readDeadliner interface{ SetReadDeadline(time.Time) error }

func (b *patientBody) begin(w http.ResponseWriter, r *http.Request) {
	conn, ok := w.(readDeadliner)
	if !ok {
		conn = http.NewResponseController(w)
	}
	b.body, b.conn, b.since = r.Body, conn, time.Time{}
}

func (b *patientBody) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(b.since) > patienceStep {
		b.since = now
		b.conn.SetReadDeadline(now.Add(patience + patienceStep)) // not supported only where a test has no connection
	}
	return b.body.Read(p)
}

func (b *patientBody) done() {
	if !b.since.IsZero() {
		b.conn.SetReadDeadline(time.Time{})
	}
	b.body, b.conn = nil, nil
}

// Bounds of reading on, only to throw away, before a body is refused. Many senders do not listen before they have sent
// everything, and a connection that is closed meanwhile tells them nothing.
const (
	readOnBytes = 256 << 20
	readOnTime  = 3 * time.Second
)

// refuseBody answers before the body was used to its end; the connection is closed after that.
func refuseBody(w http.ResponseWriter, r *http.Request, status int, e remote.Error) {
	if r.Header.Get("Expect") == "" { // who asks first hears the answer anyway
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(readOnTime))
		io.CopyN(io.Discard, r.Body, readOnBytes)
	}
	w.Header().Set("Connection", "close")
	fail(w, status, e)
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if large, ok := errors.AsType[*distributor.TooLargeError](err); ok {
		refuseBody(w, r, http.StatusRequestEntityTooLarge, remote.Error{Message: err.Error(),
			Limit: map[string]int64{"max_body_bytes": large.Limit}, Hint: "send smaller bodies"})
		return
	}
	if over, ok := errors.AsType[*distributor.OverloadError](err); ok {
		failFor(w, over)
		return
	}
	if window, ok := errors.AsType[*distributor.WindowError](err); ok {
		refuseBody(w, r, http.StatusRequestEntityTooLarge, remote.Error{Message: err.Error(),
			Limit: map[string]int64{"zstd_window_bytes": window.Limit}, Hint: "compress without --long and --ultra"})
		return
	}
	if errors.Is(err, distributor.ErrEncoding) || errors.Is(err, distributor.ErrCharset) || errors.Is(err, distributor.ErrBinary) {
		refuseBody(w, r, http.StatusUnsupportedMediaType, remote.Error{Message: err.Error()})
		return
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.Header().Set("Connection", "close")
		fail(w, http.StatusRequestTimeout, remote.Error{Message: fmt.Sprintf("nothing of the body came for %v", patience),
			Hint: "nothing of it was stored; send all of it again"})
		return
	}
	if _, ok := errors.AsType[*distributor.BodyError](err); ok {
		refuseBody(w, r, http.StatusBadRequest, remote.Error{Message: err.Error(), Hint: "nothing of it was stored; if it was whole when it left, send it again"})
		return
	}
	s.Log.Error("records not stored", "error", err)
	pushBack(w, remote.Error{Message: err.Error()})
}

// rawRecords is lines of JSON that become the elements of an array as they are.
type rawRecords []byte

// MarshalJSON writes the lines as an array.
func (lines rawRecords) MarshalJSON() ([]byte, error) {
	out := append(make([]byte, 0, len(lines)+2), '[')
	for i, c := range lines {
		switch {
		case c != '\n':
			out = append(out, c)
		case i < len(lines)-1:
			out = append(out, ',')
		}
	}
	return append(out, ']'), nil
}

var _ json.Marshaler = rawRecords(nil)
