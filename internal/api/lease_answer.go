package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// leaseAnswer is an answer with leases. It is built in one piece of memory, which is claimed before batches are leased.
type leaseAnswer struct {
	claim    *claim
	stored   bool // the form is remote.StoredForm, else JSON: remote.LeaseAnswer
	body     []byte
	leases   []queue.Lease // those in the body, without their batches
	outcomes []remote.Outcome
}

// bodies keeps the memory of answers.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

const maxKept = 2 << 20 // bytes of an answer whose memory is kept for another

func answerFor(r *http.Request, c *claim, outcomes []remote.Outcome) *leaseAnswer {
	a := &leaseAnswer{claim: c, outcomes: outcomes, body: (*bodies.Get().(*[]byte))[:0]}
	if a.stored = strings.Contains(r.Header.Get("Accept"), remote.StoredForm); a.stored {
		a.body = remote.AppendOutcomes(a.body, outcomes)
	} else {
		a.body = append(a.body, `{"leases":[`...)
	}
	return a
}

// release ends the answer.
func (a *leaseAnswer) release() {
	if cap(a.body) <= maxKept {
		bodies.Put(&a.body)
	}
	a.claim.release()
}

func (a *leaseAnswer) size() int64 { return int64(len(a.body)) }

// room claims memory for up to n more batches, and says for how many. For the first it waits; later ones only use what is free.
func (a *leaseAnswer) room(ctx context.Context, n int) (int, error) {
	each, want := int64(batchRoom), int64(min(n, maxAnswer/batchRoom))*batchRoom
	if done := int64(len(a.leases)); done > 0 {
		each = min(2*a.size()/done+1024, batchRoom) // others may be longer
		want = min(int64(n)*each, maxAnswer-a.size())
	}
	free := a.claim.bytes - a.size()
	if free < want && a.claim.tryGrow(want-free) {
		free = want
	}
	if free < each {
		if len(a.leases) > 0 {
			return 0, nil
		}
		if err := a.claim.grow(ctx, each-free); err != nil {
			return 0, err
		}
		free = each
	}
	return int(min(int64(n), free/each)), nil
}

// leaseHead is remote.Lease without the records.
type leaseHead struct {
	Token     string    `json:"token"`
	Batch     string    `json:"batch"`
	Attempt   int       `json:"attempt"`
	HandBacks int       `json:"hand_backs"`
	Accepted  time.Time `json:"accepted_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Seconds   float64   `json:"lease_seconds"`
}

// add adds a lease. An error is about the batch.
func (a *leaseAnswer) add(l queue.Lease) (err error) {
	if a.stored {
		a.body, err = remote.AppendLease(a.body, l, time.Now())
	} else {
		a.body, err = a.appendJSON(l)
	}
	if err != nil {
		return err
	}
	a.leases = append(a.leases, queue.Lease{Token: l.Token})
	if size := int64(cap(a.body)); size > a.claim.bytes { // larger than batches mostly are
		a.claim.settle(size)
	}
	return nil
}

func (a *leaseAnswer) appendJSON(l queue.Lease) ([]byte, error) {
	lines, err := l.Batch.Lines()
	if err != nil {
		return a.body, err
	}
	head, err := json.Marshal(leaseHead{l.Token, l.Batch.ID, l.Attempt, l.HandBacks, l.Batch.Accepted, l.Expires, time.Until(l.Expires).Seconds()})
	if err != nil {
		return a.body, err
	}
	body := slices.Grow(a.body, len(head)+len(lines)+16)
	if len(a.leases) > 0 {
		body = append(body, ',')
	}
	body = append(body, head[:len(head)-1]...)
	body = append(body, `,"records":`...)
	return append(rawRecords(lines).appendTo(body), '}'), nil
}

// send sends the answer, piece by piece as the client reads, and returns why the client did not get all of it, if so.
func (a *leaseAnswer) send(w http.ResponseWriter, r *http.Request) string {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if a.stored {
		h.Set("Content-Type", remote.StoredForm)
	} else {
		a.body = append(a.body, ']')
		if len(a.outcomes) > 0 {
			outcomes, err := json.Marshal(a.outcomes)
			if err != nil { // can't be
				return err.Error()
			}
			a.body = append(append(a.body, `,"acks":`...), outcomes...)
		}
		a.body = append(a.body, '}', '\n')
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	a.claim.settle(int64(cap(a.body)))
	if hungUp(r.Context()) {
		return "the analyzer hung up"
	}
	if len(a.body) > piece {
		holdLittle(r.Context())
	}
	if err := deliver(w, a.body, a.claim, leaseDue); err != nil {
		return "the answer was not read: " + err.Error()
	}
	if peek(r.Context()) == connReset {
		return "the analyzer hung up"
	}
	return ""
}

// Bounds of what a client may take to read an answer with leases, which nobody else gets meanwhile. The deadline moves with what has passed.
const (
	slowest  = 64 << 10        // bytes a second over the whole
	readTime = 3 * time.Second // for a piece, and beyond what the slowest takes for the whole
	piece    = 64 << 10        // bytes after which the deadline moves
)

// leaseDue is when a client must have read up to some bytes of an answer that began at a time: after readTime, or earlier where the whole
// would be slower than the slowest that is allowed.
func leaseDue(begun, now time.Time, upTo int) time.Time {
	whole := begun.Add(readTime + time.Duration(upTo)*time.Second/slowest)
	if one := now.Add(readTime); one.Before(whole) {
		return one
	}
	return whole
}

// deliver writes a body to a client, whose time for it moves on with what it reads. The connection can't be used further after an error.
func deliver(w http.ResponseWriter, body []byte, c *claim, due func(begun, now time.Time, upTo int) time.Time) error {
	conn := http.NewResponseController(w)
	begun := time.Now()
	c.depend(begun, func() { conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer c.depend(time.Time{}, nil)
	for sent, last := 0, 0; sent < len(body); sent += last {
		next := min(len(body)-sent, piece)
		err := c.step(last, func() { conn.SetWriteDeadline(due(begun, time.Now(), sent+next)) }) // not supported only where a test has no connection
		if err != nil {
			return err
		}
		if last, err = w.Write(body[sent : sent+next]); err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	return c.step(0, func() { conn.SetWriteDeadline(time.Time{}) })
}
