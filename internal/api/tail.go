package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/tap"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

// tailRate is how many records a second a tail shows unless asked for another number.
const tailRate = 50

// getTail streams live records until whoever looks leaves.
func (s *Server) getTail(w http.ResponseWriter, r *http.Request) {
	q, ok := tailQuery(w, r)
	if !ok {
		return
	}
	l := s.Tap.Listen(q)
	if l == nil {
		pushBack(w, remote.Error{Message: "too many are looking at live records already"})
		return
	}
	defer s.Tap.Close(l)
	ctx, cancel := s.untilStop(r.Context())
	defer cancel()
	events := make(chan []byte, 1)
	if q.Edge == tap.Dead && s.Queue != nil {
		s.watchDead(context.WithoutCancel(r.Context()))
	}
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			var name string
			var what any
			select {
			case <-ctx.Done():
				return
			case record := <-l.Records:
				name, what = "record", record
			case <-tick.C:
				n := l.Skipped()
				if n == 0 {
					continue
				}
				name, what = "skipped", map[string]int64{"records": n}
			}
			text, err := json.Marshal(what)
			if err != nil {
				continue
			}
			select {
			case events <- event(name, text):
			case <-ctx.Done():
				return
			}
		}
	}()
	s.stream(w, r, events)
}

func tailQuery(w http.ResponseWriter, r *http.Request) (tap.Query, bool) {
	v := r.URL.Query()
	rate, ok := number(w, r, "rate", tailRate, tap.MostRate)
	if !ok {
		return tap.Query{}, false
	}
	q := tap.Query{Edge: v.Get("edge"), Text: v.Get("q"), Rate: int(rate)}
	switch q.Edge {
	case "":
		q.Edge = tap.In
	case tap.In, tap.Done, tap.Dead:
	default:
		fail(w, http.StatusBadRequest, remote.Error{Message: "edge must be in, done or dead"})
		return q, false
	}
	for name := range strings.SplitSeq(v.Get("severity"), ",") {
		if name = strings.ToUpper(strings.TrimSpace(name)); name != "" {
			q.Severities = append(q.Severities, name)
		}
	}
	return q, true
}

// watchDead offers new dead letters while anybody looks at them, which nobody else does. It is one for all, so that each letter is shown once.
func (s *Server) watchDead(ctx context.Context) {
	if s.deadWatched.Swap(true) {
		return
	}
	go func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		after, known := s.lastDead(ctx)
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
			}
			switch {
			case !s.Tap.Listened(tap.Dead):
				s.deadWatched.Store(false)
				if !s.Tap.Listened(tap.Dead) || s.deadWatched.Swap(true) { // nobody has come meanwhile, or who came saw to it
					return
				}
			case !known:
				after, known = s.lastDead(ctx)
			default:
				after = s.offerDead(ctx, after)
			}
		}
	}()
}

// offerDead shows the dead letters behind an ID, and returns the last one's. What can't be read now is asked for again.
func (s *Server) offerDead(ctx context.Context, after uint64) uint64 {
	ctx, cancel := context.WithTimeout(ctx, 5*beat)
	defer cancel()
	letters, err := s.Queue.Dead(ctx, after, maxDeadPage)
	if err != nil {
		return after
	}
	for _, l := range letters {
		after = l.ID
		if _, batch, err := s.Queue.DeadBatch(ctx, l.ID); err == nil {
			if lines, err := batch.Lines(); err == nil {
				s.Tap.Offer(tap.Dead, lines)
			}
		}
	}
	return after
}

// lastDead is the ID of the newest dead letter; 0 where there is none.
func (s *Server) lastDead(ctx context.Context) (id uint64, ok bool) {
	err := s.eachDead(ctx, "", 0, func(l queue.DeadLetter) error { id = l.ID; return nil })
	return id, err == nil
}
