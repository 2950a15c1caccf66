package api

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// leaseAnswer is an answer with leases in the form that the client accepts.
type leaseAnswer interface {
	// add adds a lease and returns by how many bytes the answer grew. An error is about the batch.
	add(l queue.Lease) (int, error)
	// write sends the answer. It is the last call.
	write(w http.ResponseWriter)
}

func answerFor(r *http.Request, outcomes []remote.Outcome) leaseAnswer {
	if !strings.Contains(r.Header.Get("Accept"), remote.StoredForm) {
		return &jsonAnswer{Leases: []leaseJSON{}, Acks: outcomes}
	}
	a := storedAnswers.Get().(*storedAnswer)
	a.body = remote.AppendOutcomes(a.body[:0], outcomes)
	return a
}

// jsonAnswer is remote.LeaseAnswer with records written as they are stored.
type jsonAnswer struct {
	Leases []leaseJSON      `json:"leases"`
	Acks   []remote.Outcome `json:"acks,omitempty"`
}

type leaseJSON struct {
	Token     string     `json:"token"`
	Batch     string     `json:"batch"`
	Attempt   int        `json:"attempt"`
	HandBacks int        `json:"hand_backs"`
	Accepted  time.Time  `json:"accepted_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	Seconds   float64    `json:"lease_seconds"`
	Records   rawRecords `json:"records"`
}

func (a *jsonAnswer) add(l queue.Lease) (int, error) {
	lines, err := l.Batch.Lines()
	if err != nil {
		return 0, err
	}
	a.Leases = append(a.Leases, leaseJSON{l.Token, l.Batch.ID, l.Attempt, l.HandBacks, l.Batch.Accepted, l.Expires, time.Until(l.Expires).Seconds(), lines})
	return len(lines), nil
}

func (a *jsonAnswer) write(w http.ResponseWriter) { answer(w, http.StatusOK, a) }

// storedAnswer is the stored form; see remote.StoredForm.
type storedAnswer struct{ body []byte }

// storedAnswers keeps the memory of answers.
var storedAnswers = sync.Pool{New: func() any { return &storedAnswer{} }}

func (a *storedAnswer) add(l queue.Lease) (int, error) {
	before := len(a.body)
	var err error
	a.body, err = remote.AppendLease(a.body, l, time.Now())
	return len(a.body) - before, err
}

func (a *storedAnswer) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", remote.StoredForm)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.Write(a.body) // fails only when nobody reads any more
	if cap(a.body) <= 2*maxAnswer {
		storedAnswers.Put(a)
	}
}
