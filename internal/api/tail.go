package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/tap"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/remote"
)

const (
	tailRate   = 50  // records a second that a tail shows unless asked for another number
	tailRecent = 100 // records that have passed already, which it begins with
	mostAround = 50  // records before one, and behind it
)

// getTail streams records: some that are kept, and then those that pass, until whoever looks leaves.
func (s *Server) getTail(w http.ResponseWriter, r *http.Request) {
	q, ok := tailQuery(w, r)
	if !ok {
		return
	}
	after, okAfter := number(w, r, "after", 0, 1<<62)
	if !okAfter {
		return
	}
	begin := uint64(tailRecent)
	if after > 0 {
		begin = 0 // it goes on where it was
	}
	recent, okRecent := number(w, r, "recent", begin, tap.MostRecent)
	if !okRecent {
		return
	}
	s.watchDead(r.Context(), q.Edge)
	reader := s.Tap.Read(q)
	if reader == nil {
		pushBack(w, remote.Error{Message: "too many are looking at live records already"})
		return
	}
	defer reader.Close()
	var first []tap.Record
	if recent > 0 {
		found := s.begin(r.Context(), reader, int(recent))
		first = found.Records
		after = uint64(max(found.Next-1, 0))
	}
	if after > 0 {
		reader.After(int64(after))
	}
	ctx, cancel := s.untilStop(r.Context())
	defer cancel()
	events := make(chan []byte, 1)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel()
	sending.Go(func() { sendTail(ctx, events, reader, first) })
	s.stream(w, r, events, reader.Gone())
}

// begin searches what a stream begins with, in turn with others who search; nothing where its turn does not come.
func (s *Server) begin(ctx context.Context, reader *tap.Reader, most int) tap.Recent {
	late := time.NewTimer(readWait)
	defer late.Stop()
	select {
	case s.reading.search <- struct{}{}:
		defer func() { <-s.reading.search }()
		return reader.Begin(ctx, most)
	case <-late.C:
	case <-ctx.Done():
	}
	return tap.Recent{}
}

// sendTail makes events of what a reader sees. Once a second it says how many records were left out.
func sendTail(ctx context.Context, events chan<- []byte, reader *tap.Reader, records []tap.Record) {
	send := func(name string, what any) bool {
		text, err := json.Marshal(what)
		if err != nil {
			return true
		}
		select {
		case events <- event(name, text):
			return true
		case <-ctx.Done():
			return false
		}
	}
	tick := time.NewTicker(tap.Tick)
	defer tick.Stop()
	var skipped int64
	told := time.Now()
	for {
		for _, r := range records {
			if !send("record", r) {
				return
			}
		}
		if now := time.Now(); skipped > 0 && now.Sub(told) >= time.Second {
			if !send("skipped", map[string]int64{"records": skipped}) {
				return
			}
			skipped, told = 0, now
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var n int64
		records, n = reader.Next(time.Now())
		skipped += n
	}
}

// getTailRecent answers with what is kept: the newest that a filter lets through, or what passed around a record.
func (s *Server) getTailRecent(w http.ResponseWriter, r *http.Request) {
	q, ok := tailQuery(w, r)
	if !ok {
		return
	}
	limit, okLimit := number(w, r, "limit", tailRecent, tap.MostRecent)
	around, okAround := number(w, r, "around", 0, 1<<62)
	if !okLimit || !okAround {
		return
	}
	s.watchDead(r.Context(), q.Edge)
	defer s.Tap.Look(q.Edge)()
	if around == 0 {
		answer(w, http.StatusOK, s.Tap.Recent(r.Context(), q, int(limit)))
		return
	}
	records, found := s.Tap.Around(q.Edge, int64(around), int(min(limit, mostAround)))
	if !found {
		fail(w, http.StatusNotFound, remote.Error{Message: fmt.Sprintf("record %d is not kept any more", around),
			Hint: "the newest 5,000 records or 8 MiB of each place are kept"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"records": records})
}

// tailQuery reads what somebody wants to see, or answers and returns false.
func tailQuery(w http.ResponseWriter, r *http.Request) (tap.Query, bool) {
	v := r.URL.Query()
	refuse := func(text string) (tap.Query, bool) {
		fail(w, http.StatusBadRequest, remote.Error{Message: text})
		return tap.Query{}, false
	}
	rate, ok := number(w, r, "rate", tailRate, tap.MostRate)
	if !ok {
		return tap.Query{}, false
	}
	q := tap.Query{Edge: v.Get("edge"), Rate: int(rate)}
	switch q.Edge {
	case "":
		q.Edge = tap.In
	case tap.In, tap.Done, tap.Dead:
	default:
		return refuse("edge must be in, done or dead")
	}
	filter, err := tap.ParseFilter(v.Get("q"))
	if err != nil {
		return refuse(err.Error())
	}
	q.Filter = filter
	for name := range strings.SplitSeq(v.Get("severity"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			q.Severities = append(q.Severities, name)
		}
	}
	for name := range strings.SplitSeq(v.Get("level"), ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name == "" {
			continue
		}
		if !slices.Contains(tap.Levels, name) {
			return refuse(fmt.Sprintf("level %.40q must be one of %s", name, strings.Join(tap.Levels, ", ")))
		}
		q.Levels = append(q.Levels, name)
	}
	return q, true
}

// mostLetters is how many of the dead letters that are there already are shown to who begins to look.
const mostLetters = 200

// watchDead shows new dead letters while anybody looks at them, which nobody else does, and first the newest that are there. It is one
// for all, so that each letter is shown once.
func (s *Server) watchDead(ctx context.Context, edge string) {
	if edge != tap.Dead || s.Queue == nil {
		return
	}
	s.deadShowing.Lock()
	defer s.deadShowing.Unlock()
	if s.deadWatched {
		return
	}
	s.deadWatched = true
	s.showDead(ctx)
	go func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
			}
			s.deadShowing.Lock()
			if !s.Tap.Listened(tap.Dead) {
				s.deadWatched = false
				s.deadShowing.Unlock()
				return
			}
			s.showDead(context.WithoutCancel(ctx))
			s.deadShowing.Unlock()
		}
	}()
}

// showDead shows the letters behind the last one that was shown, the newest of them. What can't be read now is tried again.
func (s *Server) showDead(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*beat)
	defer cancel()
	var ids []uint64
	err := s.eachDead(ctx, "", s.deadShown, func(l queue.DeadLetter) error {
		ids = append(ids, l.ID)
		ids = ids[max(0, len(ids)-mostLetters):]
		return nil
	})
	if err != nil {
		return
	}
	for _, id := range ids {
		s.deadShown = id
		if _, batch, err := s.Queue.DeadBatch(ctx, id); err == nil {
			s.Tap.Show(tap.Dead, batch)
		}
	}
}
