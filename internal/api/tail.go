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
		go s.tapDead(ctx)
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

// tapDead offers new dead letters, which nobody else tells about. What it can't read now it asks for again.
func (s *Server) tapDead(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	after, known := uint64(0), false
	for {
		if !known {
			after, known = s.lastDead(ctx)
		} else if letters, err := s.Queue.Dead(ctx, after, maxDeadPage); err == nil {
			for _, l := range letters {
				after = l.ID
				if _, batch, err := s.Queue.DeadBatch(ctx, l.ID); err == nil {
					if lines, err := batch.Lines(); err == nil {
						s.Tap.Offer(tap.Dead, lines)
					}
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lastDead is the ID of the newest dead letter; 0 where there is none.
func (s *Server) lastDead(ctx context.Context) (id uint64, ok bool) {
	err := s.eachDead(ctx, "", func(l queue.DeadLetter) error { id = l.ID; return nil })
	return id, err == nil
}
