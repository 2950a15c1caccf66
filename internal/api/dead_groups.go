package api

import (
	"cmp"
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// DeadGroup is dead letters that have the same to say.
type DeadGroup struct {
	Kind    string    `json:"kind"`   // their reason, without what differs from one to the other
	Reason  string    `json:"reason"` // of the newest
	Letters int       `json:"letters"`
	Records int       `json:"records"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Sample  uint64    `json:"sample_id"` // the newest
}

const (
	mostGroups  = 200
	mostKind    = 200    // bytes of a kind
	mostGrouped = 50_000 // letters looked at; each is read from disk
)

var (
	quotedPart = regexp.MustCompile(`"[^"]*"|'[^']*'`)
	variedPart = regexp.MustCompile(`0x[0-9a-fA-F]+|\b[0-9][\w.:]*|\b[0-9a-fA-F]{8,}\b`)
)

// kindOf is a reason without what differs from one letter to the next: numbers, identifiers and what is in quotes.
func kindOf(reason string) string {
	kind := quotedPart.ReplaceAllString(reason, `"…"`)
	kind = variedPart.ReplaceAllString(kind, "#")
	if len(kind) > mostKind {
		kind = strings.ToValidUTF8(kind[:mostKind], "") // a rune that was cut would not come back as it went
	}
	return kind
}

func (s *Server) getDeadGroups(w http.ResponseWriter, r *http.Request) {
	groups, truncated, err := s.deadGroups(r.Context())
	if err != nil {
		failFor(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"groups": groups, "truncated": truncated})
}

// deadGroups puts the dead letters into groups, the one with the newest letter first.
func (s *Server) deadGroups(ctx context.Context) (groups []DeadGroup, truncated bool, err error) {
	byKind := map[string]*DeadGroup{}
	looked := 0
	err = s.eachDead(ctx, "", 0, func(l queue.DeadLetter) error {
		if looked++; looked > mostGrouped {
			truncated = true
			return errEnough
		}
		kind := kindOf(l.Reason)
		g := byKind[kind]
		if g == nil {
			if len(byKind) >= mostGroups {
				truncated = true
				return nil
			}
			g = &DeadGroup{Kind: kind, First: l.Time}
			byKind[kind] = g
		}
		g.Letters++
		g.Records += l.Records
		g.Last, g.Reason, g.Sample = l.Time, l.Reason, l.ID
		return nil
	})
	groups = []DeadGroup{}
	for _, g := range byKind {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b DeadGroup) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Kind, b.Kind))
	})
	return groups, truncated, err
}

// getDeadExport answers with the records of dead letters, one a line, as they came: they can be sent again.
func (s *Server) getDeadExport(w http.ResponseWriter, r *http.Request) {
	if _, err := s.Queue.Dead(r.Context(), 0, 1); err != nil {
		failFor(w, err)
		return
	}
	c := s.reading.memory.claim()
	defer c.release()
	if err := claimFor(r, c, unpackedRoom); err != nil {
		pushBack(w, remote.Error{Message: "too many long answers are being sent", Hint: "send it again"})
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Content-Disposition", `attachment; filename="sluice-dead.ndjson"`)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	err := s.eachDead(r.Context(), r.URL.Query().Get("kind"), 0, func(l queue.DeadLetter) error {
		_, batch, err := s.Queue.DeadBatch(r.Context(), l.ID)
		if err != nil {
			return nil // taken meanwhile, or damaged: it can be looked at by itself
		}
		lines, err := batch.Lines()
		if err != nil {
			return nil
		}
		return deliver(w, lines, c, readDue)
	})
	if err != nil { // half a file must not look like a whole one
		s.Log.Warn("dead letters not exported to the end", "error", err)
		panic(http.ErrAbortHandler)
	}
}
