package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// Bounds of a page of dead letters.
const (
	deadPage    = 100
	maxDeadPage = 1000
	walkPage    = 100 // of a walk over all: a client that does not read keeps as many
)

func (s *Server) getDead(w http.ResponseWriter, r *http.Request) {
	after, okAfter := number(w, r, "after", 0, 1<<62)
	limit, okLimit := number(w, r, "limit", deadPage, maxDeadPage)
	if !okAfter || !okLimit {
		return
	}
	letters, err := s.deadPage(r.Context(), r.URL.Query().Get("kind"), after, int(limit))
	if err != nil {
		failFor(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"dead": letters})
}

// deadPage lists dead letters behind an ID, those of a kind only unless it is empty.
func (s *Server) deadPage(ctx context.Context, kind string, after uint64, limit int) ([]queue.DeadLetter, error) {
	if kind == "" {
		return s.Queue.Dead(ctx, after, limit)
	}
	letters := []queue.DeadLetter{}
	err := s.eachDead(ctx, kind, after, func(l queue.DeadLetter) error {
		if len(letters) == limit {
			return errEnough
		}
		letters = append(letters, l)
		return nil
	})
	return letters, err
}

// number reads a query parameter, or answers and returns false.
func number(w http.ResponseWriter, r *http.Request, name string, missing, most uint64) (uint64, bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return missing, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		fail(w, http.StatusBadRequest, remote.Error{Message: name + " must be a whole number from 0 to " + strconv.FormatUint(most, 10)})
		return 0, false
	}
	return n, true
}

func deadID(w http.ResponseWriter, r *http.Request) (uint64, bool) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		fail(w, http.StatusBadRequest, remote.Error{Message: "the ID of a dead letter is a whole number", Hint: "GET /v1/dead lists them"})
	}
	return id, err == nil
}

func (s *Server) getDeadLetter(w http.ResponseWriter, r *http.Request) {
	id, ok := deadID(w, r)
	if !ok {
		return
	}
	letter, batch, err := s.Queue.DeadBatch(r.Context(), id)
	if err != nil {
		failFor(w, err)
		return
	}
	lines, err := batch.Lines()
	if err != nil {
		fail(w, http.StatusInternalServerError, remote.Error{Message: err.Error()})
		return
	}
	answer(w, http.StatusOK, struct {
		queue.DeadLetter
		Records rawRecords `json:"records"` // in place of their number
	}{letter, lines})
}

// oneDead makes a handler that does something to one dead letter.
func (s *Server) oneDead(do func(context.Context, uint64) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, ok := deadID(w, r)
		if !ok {
			return
		}
		if err := do(r.Context(), id); err != nil {
			failFor(w, err)
			return
		}
		answer(w, http.StatusOK, map[string]int{"count": 1})
	}
}

func (s *Server) retryAllDead(w http.ResponseWriter, r *http.Request) {
	s.allDead(w, r, s.Queue.RetryDead)
}
func (s *Server) deleteAllDead(w http.ResponseWriter, r *http.Request) {
	s.allDead(w, r, s.Queue.DropDead)
}

// allDead does something to all dead letters, or those of a kind, that are there at the start, so that one which dies again at once is
// not taken twice.
func (s *Server) allDead(w http.ResponseWriter, r *http.Request, do func(context.Context, uint64) error) {
	query, ok := params(w, r, "kind")
	if !ok || !s.noBody(w, r) {
		return
	}
	var ids []uint64
	err := s.eachDead(r.Context(), query.Get("kind"), 0, func(l queue.DeadLetter) error {
		ids = append(ids, l.ID)
		return nil
	})
	if err != nil {
		failFor(w, err)
		return
	}
	n := 0
	for _, id := range ids {
		switch err := do(r.Context(), id); {
		case err == nil:
			n++
		case errors.Is(err, queue.ErrNotFound): // somebody else was faster
		default:
			failFor(w, err)
			return
		}
	}
	answer(w, http.StatusOK, map[string]int{"count": n})
}

// errEnough ends a walk over the dead letters early; it is no failure.
var errEnough = errors.New("enough")

// eachDead hands over the dead letters behind an ID, those of a kind only unless it is empty, the oldest first. It returns the first error
// of use, but nil for errEnough.
func (s *Server) eachDead(ctx context.Context, kind string, after uint64, use func(queue.DeadLetter) error) error {
	for {
		page, err := s.Queue.Dead(ctx, after, walkPage)
		if err != nil {
			return err
		}
		for _, l := range page {
			if kind == "" || kindOf(l.Reason) == kind {
				if err := use(l); errors.Is(err, errEnough) {
					return nil
				} else if err != nil {
					return err
				}
			}
		}
		if len(page) < walkPage {
			return nil
		}
		after = page[len(page)-1].ID
	}
}
