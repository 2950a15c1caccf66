package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

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
		refuseBody(w, http.StatusUnsupportedMediaType, remote.Error{Message: err.Error()})
		return
	}
	if r.URL.RawQuery != "" {
		if media.Multiline, err = multiline(r.URL.Query()); err != nil {
			refuseBody(w, http.StatusBadRequest, remote.Error{Message: err.Error()})
			return
		}
	}
	// A sender that hangs up early must not leave a batch half stored, so the storing does not end with the request.
	res, err := s.Distributor.Take(context.Background(), media, r.ContentLength, r.Body)
	if err != nil {
		s.refuse(w, err)
		return
	}
	if res.Rejected == 0 && res.Accepted > 0 { // nearly always
		w.Header()["Content-Type"] = jsonType
		var b []byte
		if body, ok := r.Body.(*patientBody); ok {
			b = body.answer[:0]
		}
		b = append(b, `{"accepted":`...)
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

// refuseBody answers before the body was used to its end; the connection is closed after that.
func refuseBody(w http.ResponseWriter, status int, e remote.Error) {
	w.Header().Set("Connection", "close")
	fail(w, status, e)
}

func (s *Server) refuse(w http.ResponseWriter, err error) {
	if large, ok := errors.AsType[*distributor.TooLargeError](err); ok {
		limit := "max_body_bytes"
		if large.Decoded {
			limit = "max_in_flight_bytes"
		}
		refuseBody(w, http.StatusRequestEntityTooLarge, remote.Error{Message: err.Error(),
			Limit: map[string]int64{limit: large.Limit}, Hint: "send smaller bodies"})
		return
	}
	if over, ok := errors.AsType[*distributor.OverloadError](err); ok {
		failFor(w, over)
		return
	}
	if window, ok := errors.AsType[*distributor.WindowError](err); ok {
		refuseBody(w, http.StatusRequestEntityTooLarge, remote.Error{Message: err.Error(),
			Limit: map[string]int64{"zstd_window_bytes": window.Limit}, Hint: "compress without --long and --ultra"})
		return
	}
	if errors.Is(err, distributor.ErrEncoding) || errors.Is(err, distributor.ErrCharset) || errors.Is(err, distributor.ErrBinary) {
		refuseBody(w, http.StatusUnsupportedMediaType, remote.Error{Message: err.Error()})
		return
	}
	if slow, ok := errors.AsType[*slowError](err); ok {
		refuseBody(w, http.StatusRequestTimeout, remote.Error{Message: slow.Error(),
			Hint: "nothing of it was stored; send all of it again"})
		return
	}
	if _, ok := errors.AsType[*distributor.BodyError](err); ok {
		refuseBody(w, http.StatusBadRequest, remote.Error{Message: err.Error(), Hint: "nothing of it was stored; if it was whole when it left, send it again"})
		return
	}
	s.Log.Error("records not stored", "error", err)
	pushBackFor(w, err, remote.Error{Message: err.Error()})
}

// rawRecords is lines of JSON that become the elements of an array as they are.
type rawRecords []byte

// MarshalJSON writes the lines as an array.
func (lines rawRecords) MarshalJSON() ([]byte, error) {
	return lines.appendTo(make([]byte, 0, len(lines)+2)), nil
}

// appendTo is MarshalJSON with memory that is there.
func (lines rawRecords) appendTo(out []byte) []byte {
	out = append(out, '[')
	for i, c := range lines {
		switch {
		case c != '\n':
			out = append(out, c)
		case i < len(lines)-1:
			out = append(out, ',')
		}
	}
	return append(out, ']')
}

var _ json.Marshaler = rawRecords(nil)
