package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/strictjson"
	"github.com/sluicehq/sluice/internal/visible"
	"github.com/sluicehq/sluice/queue/remote"
)

// Bounds of bodies that are not records.
const (
	maxSmall   = 64 << 10 // of what people send: settings, sizes
	maxLease   = 1 << 20  // of a request for leases
	maxCommand = 8 << 20  // of what names single records
)

// unclaimed is how long a body may be that claims no memory. Nearly all are shorter.
const unclaimed = 4 << 10

// readAll reads a body of at most so many bytes into memory that is claimed as it arrives, or answers and returns false.
func (s *Server) readAll(w http.ResponseWriter, r *http.Request, most int64) ([]byte, func(), bool) {
	c := s.work.claim()
	if patient, ok := r.Body.(*patientBody); ok {
		c.depend(time.Now(), patient.Interrupt)
	}
	var (
		body  bytes.Buffer
		err   error
		chunk = make([]byte, unclaimed)
	)
	for err == nil {
		var n int
		n, err = r.Body.Read(chunk)
		if err != nil && n == 0 {
			break
		}
		if int64(body.Len()+n) > most {
			err = &http.MaxBytesError{Limit: most}
			break
		}
		if need := 2 * int64(body.Len()+n); need > unclaimed && need > c.bytes { // twice: a buffer that grows is there twice
			if grown := c.grow(r.Context(), max(need-c.bytes, piece)); grown != nil {
				err = grown
				break
			}
		}
		body.Write(chunk[:n])
		if slow := c.step(n, nil); slow != nil {
			err = slow
		}
		if len(chunk) < piece && body.Len() >= len(chunk) {
			chunk = make([]byte, piece)
		}
	}
	c.depend(time.Time{}, nil)
	if err == nil || errors.Is(err, io.EOF) {
		return body.Bytes(), c.release, true
	}
	c.release()
	switch large, isLarge := errors.AsType[*http.MaxBytesError](err); {
	case isLarge:
		refuseBody(w, http.StatusRequestEntityTooLarge, remote.Error{Message: fmt.Sprintf("the body is larger than %d bytes", large.Limit), Limit: large.Limit})
	case errors.Is(err, errSlow):
		pushBack(w, remote.Error{Message: "the body came too slowly while others wait for memory", Hint: "send it again"})
	case errors.Is(err, os.ErrDeadlineExceeded):
		refuseBody(w, http.StatusRequestTimeout, remote.Error{Message: err.Error(), Hint: "nothing was changed; send all of it again"})
	default:
		refuseBody(w, http.StatusBadRequest, remote.Error{Message: "the body broke off", Hint: "nothing was changed; send all of it again"})
	}
	return nil, nil, false
}

// read reads a JSON object into v, which must fit in all it says, or answers and returns false. The query must be empty. Where the body may
// be left out, v stays as it is then.
func (s *Server) read(w http.ResponseWriter, r *http.Request, v any, most int64, mayBeEmpty bool) bool {
	if _, ok := params(w, r); !ok {
		return false
	}
	text, release, ok := s.readAll(w, r, most)
	if !ok {
		return false
	}
	defer release()
	err := strictjson.Decode(text, v)
	if err == nil || mayBeEmpty && errors.Is(err, strictjson.ErrEmpty) {
		return true
	}
	wrong(w, err.Error())
	return false
}

// wrong answers a request that does not say what it must.
func wrong(w http.ResponseWriter, message string) {
	fail(w, http.StatusBadRequest, remote.Error{Message: message, Hint: "nothing was changed"})
}

// noBody reads a request that has nothing to say, as no body or {}, or answers and returns false.
func (s *Server) noBody(w http.ResponseWriter, r *http.Request) bool {
	if r.Body == http.NoBody {
		return true
	}
	text, release, ok := s.readAll(w, r, maxSmall)
	if !ok {
		return false
	}
	defer release()
	if err := strictjson.Decode(text, &struct{}{}); err != nil && !errors.Is(err, strictjson.ErrEmpty) {
		wrong(w, err.Error())
		return false
	}
	return true
}

// bare refuses a body and a query where a request has nothing to say.
func (s *Server) bare(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, ok := params(w, r); ok && s.noBody(w, r) {
			h(w, r)
		}
	}
}

// params reads the query of a request that changes something: each of the known parameters at most once, with a value, and no other. It
// answers and returns false where that is not so.
func params(w http.ResponseWriter, r *http.Request, known ...string) (url.Values, bool) {
	if r.URL.RawQuery == "" && !r.URL.ForceQuery {
		return nil, true
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		wrong(w, "the query cannot be read: "+visible.Cut(err.Error(), 200))
		return nil, false
	}
	for name, list := range values {
		switch shown := visible.Cut(name, 80); {
		case !slices.Contains(known, name) && len(known) == 0:
			wrong(w, "the parameter "+shown+" is unknown; there is none here")
		case !slices.Contains(known, name):
			wrong(w, "the parameter "+shown+" is unknown; known: "+strings.Join(known, ", "))
		case len(list) > 1:
			wrong(w, "the parameter "+shown+" is there twice")
		case list[0] == "":
			wrong(w, "the parameter "+shown+" is empty; leave it out to mean all")
		default:
			continue
		}
		return nil, false
	}
	return values, true
}
