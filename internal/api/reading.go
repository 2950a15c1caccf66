package api

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/sluicehq/sluice/queue/remote"
)

// Answers to those who read are made whole before they are sent, and may have some MiB: all decisions that are kept, live records, totals.
// So only a few are made at a time, and those that are sent share a budget, in which clients that do not read what they asked for give way
// to others after a second. Answers of streams, and those that are short whatever happens, go without.
const (
	readMemory = 32 << 20        // bytes of answers that are being sent
	readWait   = 2 * time.Second // for those before, and again for memory
	shortest   = 64 << 10        // bytes up to which an answer claims nothing

	unpackedRoom = 2 * batchRoom // what an export claims for the batch that it sends, packed and unpacked
)

// reading is what answers to those who read may take. Each gate is for routes that take about as long as each other, so that stats wait
// for no search.
type reading struct {
	quick  gate // one snapshot: statistics and what follows from them
	long   gate // lists and totals
	search gate // up to seconds of looking into records
	memory *budget
}

// A gate lets only so many requests through at a time as it has room for.
type gate chan struct{}

func newReading() reading {
	return reading{quick: make(gate, 4), long: make(gate, 1), search: make(gate, 2), memory: newBudget(readMemory)}
}

// gated makes the answers of a handler in turn.
func (s *Server) gated(g gate, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		late := time.NewTimer(readWait)
		defer late.Stop()
		select {
		case g <- struct{}{}:
		case <-late.C:
			pushBack(w, remote.Error{Message: "too many requests like this one at a time", Hint: "send it again"})
			return
		case <-r.Context().Done():
			return
		}
		a := whole{header: http.Header{}, status: http.StatusOK}
		c := s.reading.memory.claim()
		defer c.release()
		err := func() error {
			defer func() { <-g }()
			h(&a, r)
			if a.body.Len() > shortest {
				return claimFor(r, c, int64(min(a.body.Cap(), readMemory)))
			}
			return nil
		}()
		if err != nil {
			pushBack(w, remote.Error{Message: "too many long answers are being sent", Hint: "send it again"})
			return
		}
		a.send(w, c)
	}
}

// claimFor claims memory for an answer, and waits for it for a while.
func claimFor(r *http.Request, c *claim, bytes int64) error {
	ctx, cancel := context.WithTimeout(r.Context(), readWait)
	defer cancel()
	return c.grow(ctx, bytes)
}

// readDue is when a client must have read the next piece of an answer that others do not wait for.
func readDue(_, now time.Time, _ int) time.Time { return now.Add(writePatience) }

// whole is an answer that is kept until it is complete.
type whole struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header is that of [http.ResponseWriter].
func (a *whole) Header() http.Header { return a.header }

// WriteHeader is that of [http.ResponseWriter].
func (a *whole) WriteHeader(status int) { a.status = status }

func (a *whole) Write(b []byte) (int, error) { return a.body.Write(b) }

// send sends the answer. A client that does not read it in time is hung up on.
func (a *whole) send(w http.ResponseWriter, c *claim) {
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
	w.WriteHeader(a.status)
	if a.body.Len() <= shortest {
		w.Write(a.body.Bytes()) // fails only when nobody reads any more
		return
	}
	if deliver(w, a.body.Bytes(), c, readDue) != nil {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
}
