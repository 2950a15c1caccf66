package analyzer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/queue"
)

func TestPoolLeasesAsManyAsThereAreFreeSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		batches := batchesOf(t, 5, 2)
		q := newFakeQueue(batches...)
		p := runPool(t, q, takes(time.Second), analyzer.Options{Size: 1, Slots: 3, Remote: true, LeaseWait: 7 * time.Second})
		synctest.Wait()
		if got := p.Stats().Analyzers[0]; got.InHand != 3 || got.Slots != 3 || got.State != analyzer.StateBusy {
			t.Errorf("%d of %d slots in use, %s; want 3 of 3, busy", got.InHand, got.Slots, got.State)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		p.end(t, q)
		q.sawEachOnce(t, batches)
		if r := q.requests[0]; r.Max != 3 || !r.Remote || r.Wait != 7*time.Second || r.Analyzer != "a-1" {
			t.Errorf("first request %+v, want Max 3, Wait 7s, Remote, from a-1", r)
		}
	})
}

func TestVerdicts(t *testing.T) {
	boom := errors.New("boom")
	wrap := func(err error) error { return fmt.Errorf("parse: %w", err) }
	for name, c := range map[string]struct {
		verdict error
		told    string
		failed  []queue.Failure
	}{
		"done":   {nil, "ack", nil},
		"failed": {boom, "nack: boom", []queue.Failure{{Reason: "boom"}}},
		"retry":  {wrap(analyzer.RetryAfter(time.Minute, boom)), "nack: parse: boom", []queue.Failure{{Reason: "parse: boom", Delay: time.Minute}}},
		"records for later": {
			analyzer.FailRecords(map[int]error{1: wrap(analyzer.Later(time.Minute, boom))}),
			"ack",
			[]queue.Failure{{Record: 1, Reason: "parse: boom", Delay: time.Minute, HandBack: true}},
		},
		"discard":               {wrap(analyzer.Discard(boom)), "nack: parse: boom", []queue.Failure{{Reason: "parse: boom", Discard: true}}},
		"the outermost counts":  {analyzer.Discard(wrap(analyzer.RetryAfter(time.Minute, boom))), "nack: parse: boom", []queue.Failure{{Reason: "parse: boom", Discard: true}}},
		"cancelled by itself":   {context.Canceled, "nack: context canceled", []queue.Failure{{Reason: "context canceled"}}},
		"no text":               {errors.New(""), "nack: the handler failed without saying why", []queue.Failure{{Reason: "the handler failed without saying why"}}},
		"discard for no reason": {analyzer.Discard(nil), "nack: discarded by the handler", []queue.Failure{{Reason: "discarded by the handler", Discard: true}}},
		"no record failed":      {analyzer.FailRecords(map[int]error{1: nil}), "ack", nil},
		"records": {
			wrap(analyzer.FailRecords(map[int]error{2: analyzer.Discard(boom), 0: wrap(analyzer.RetryAfter(time.Second, boom)), 1: nil})),
			"ack",
			[]queue.Failure{{Record: 0, Reason: "parse: boom", Delay: time.Second}, {Record: 2, Reason: "boom", Discard: true}},
		},
		"records joined": {
			errors.Join(analyzer.FailRecords(map[int]error{0: boom}), analyzer.FailRecords(map[int]error{1: boom})),
			"ack",
			[]queue.Failure{{Record: 0, Reason: "boom"}, {Record: 1, Reason: "boom"}},
		},
		"records joined with another error": {
			errors.Join(analyzer.FailRecords(map[int]error{0: boom}), boom),
			`nack: record 0: boom\nboom`,
			[]queue.Failure{{Reason: `record 0: boom\nboom`}},
		},
		"a discard of records is about the whole batch": {
			analyzer.Discard(analyzer.FailRecords(map[int]error{0: boom})),
			"nack: record 0: boom",
			[]queue.Failure{{Reason: "record 0: boom", Discard: true}},
		},
		"a record out of range": {
			analyzer.FailRecords(map[int]error{3: boom}),
			"nack: the handler names record 3 of a batch of 3: boom",
			[]queue.Failure{{Reason: "the handler names record 3 of a batch of 3: boom"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := batchOf(t, 3)
				q := newFakeQueue(b)
				p := runPool(t, q, func(context.Context, *sluice.Batch) error { return c.verdict }, analyzer.Options{Size: 1})
				synctest.Wait()
				q.sawOnly(t, b, c.told)
				if got := q.failures(b); !slices.Equal(got, c.failed) {
					t.Errorf("failures %+v, want %+v", got, c.failed)
				}
				s := p.end(t, q)
				want := analyzer.Totals{FailedBatches: 1, FailedRecords: 3}
				if c.told == "ack" {
					failed := int64(len(c.failed))
					want = analyzer.Totals{Batches: 1, Records: 3 - failed, Bytes: int64(b.Size()), FailedRecords: failed}
				}
				if s.Totals != want {
					t.Errorf("totals %+v, want %+v", s.Totals, want)
				}
			})
		})
	}
}

func TestAPanicFailsItsBatchOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		explicit, fault, exit, fine := batchOf(t, 1), batchOf(t, 1), batchOf(t, 1), batchOf(t, 1)
		q := newFakeQueue(explicit, fault, exit, fine)
		p := runPool(t, q, func(_ context.Context, b *sluice.Batch) error {
			switch b {
			case explicit:
				panic("no such table")
			case fault:
				var nothing *sluice.Batch
				return fmt.Errorf("%d", nothing.Len())
			case exit:
				runtime.Goexit()
			}
			return nil
		}, analyzer.Options{Size: 1})
		synctest.Wait()
		q.sawOnly(t, fine, "ack")
		for _, c := range []struct {
			b    *sluice.Batch
			want []string
		}{
			{explicit, []string{"handler panicked: no such table, in ", "pool_test.go:"}},
			{fault, []string{"handler panicked: ", "nil pointer", "(*Batch).Len"}},
			{exit, []string{"Goexit"}},
		} {
			got := strings.Join(q.words(c.b), "; ")
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("the queue was told %q, want it to hold %q", got, want)
				}
			}
		}
		if s := p.end(t, q); s.Panics != 2 || s.FailedBatches != 3 {
			t.Errorf("%d panics, %d failed; want 2, 3", s.Panics, s.FailedBatches)
		}
		if n := p.logs.count("handler panicked"); n != 2 {
			t.Errorf("%d panics logged, want each once: 2", n)
		}
	})
}

func TestHeartbeatsKeepALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batchOf(t, 1)
		q := newFakeQueue(b)
		p := runPool(t, q, takes(95*time.Second), analyzer.Options{Size: 1})
		time.Sleep(96 * time.Second)
		synctest.Wait()
		q.sawOnly(t, b, "ack")
		if q.extended != 9 {
			t.Errorf("%d heartbeats in 95s with a lease of 30s, want 9: one each 10s", q.extended)
		}
		p.end(t, q)
	})
}

func TestALostLeaseEndsTheHandlersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batchOf(t, 1)
		q := newFakeQueue(b)
		var cause atomic.Value
		p := runPool(t, q, func(ctx context.Context, _ *sluice.Batch) error {
			<-ctx.Done()
			cause.Store(context.Cause(ctx).Error())
			return nil // too late to matter
		}, analyzer.Options{Size: 1})
		synctest.Wait()
		q.expireAll()
		time.Sleep(10 * time.Second) // the next heartbeat learns it
		synctest.Wait()
		if got := cause.Load(); got != "the lease was lost" {
			t.Errorf("the context's cause is %v, want the lost lease", got)
		}
		q.sawOnly(t, b, "expired")
		if n := p.logs.count("lease lost before the batch was done"); n != 1 {
			t.Errorf("the lost lease was logged %d times, want once, and the queue not asked", n)
		}
		if s := p.end(t, q); s.Late != 1 || s.Batches != 0 {
			t.Errorf("%d late, %d done; want 1, 0", s.Late, s.Batches)
		}
	})
}

func TestALateAckIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batchOf(t, 1)
		q := newFakeQueue(b)
		p := runPool(t, q, func(context.Context, *sluice.Batch) error {
			q.expireAll()
			return nil
		}, analyzer.Options{Size: 1})
		synctest.Wait()
		if s := p.end(t, q); s.Late != 1 || s.Batches != 0 {
			t.Errorf("%d late, %d done; want 1, 0", s.Late, s.Batches)
		}
	})
}

func TestAnAckIsRepeatedWhileTheQueueIsDown(t *testing.T) {
	for name, c := range map[string]struct {
		away  time.Duration
		told  []string
		wants analyzer.Totals
	}{
		"back before the lease ends": {15 * time.Second, []string{"ack"}, analyzer.Totals{Batches: 1, Records: 1, Bytes: 3}},
		"back too late":              {time.Minute, nil, analyzer.Totals{Late: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := batchOf(t, 1)
				q := newFakeQueue(b)
				p := runPool(t, q, takes(time.Second), analyzer.Options{Size: 1})
				synctest.Wait()
				q.setDown(errDown)
				time.Sleep(c.away)
				q.setDown(nil)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				q.sawOnly(t, b, c.told...)
				s := p.end(t, q)
				if (s.ServiceSeconds > 0) != (s.Batches > 0) || s.ServiceSeconds > s.BusySeconds {
					t.Errorf("%v s of service in %v busy ones for %d batches", s.ServiceSeconds, s.BusySeconds, s.Batches)
				}
				s.BusySeconds, s.ServiceSeconds = 0, 0
				if s.Totals != c.wants {
					t.Errorf("totals %+v, want %+v", s.Totals, c.wants)
				}
			})
		})
	}
}

func TestAHandlerIsCancelledWhenItsLeaseCannotBeExtendedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue(batchOf(t, 1))
		p := runPool(t, q, takes(time.Hour), analyzer.Options{Size: 1})
		synctest.Wait()
		q.setDown(errDown)
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if s := p.Stats(); s.Late != 0 || s.Busy != 1 {
			t.Errorf("before the lease ends: %d late, %d busy; want 0, 1", s.Late, s.Busy)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := p.Stats(); s.Late != 1 || s.Busy != 0 {
			t.Errorf("after it: %d late, %d busy; want 1, 0", s.Late, s.Busy)
		}
		p.end(t, q)
	})
}

func TestAQueueThatIsDownIsAskedAgainAndLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue()
		p := runPool(t, q, takes(0), analyzer.Options{Size: 5})
		synctest.Wait()
		q.setDown(errDown)
		time.Sleep(time.Minute)
		synctest.Wait()
		s := p.Stats()
		if s.LeaseError != errDown.Error() || s.Size != 5 || s.Ready != 5 {
			t.Errorf("while down: error %q, size %d, ready %d; want %q, 5, 5", s.LeaseError, s.Size, s.Ready, errDown)
		}
		if n := len(q.requests); n > 5*40 {
			t.Errorf("%d requests in a minute from 5 analyzers, want them to back off", n)
		}
		b := batchOf(t, 1)
		q.setDown(nil)
		q.put(b)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		q.sawOnly(t, b, "ack")
		if s := p.end(t, q); s.LeaseError != "" {
			t.Errorf("after it: error %q, want none", s.LeaseError)
		}
		for _, message := range []string{"queue unavailable, trying again", "queue available again"} {
			if n := p.logs.count(message); n != 1 {
				t.Errorf("%q was logged %d times, want once", message, n)
			}
		}
	})
}

func TestAnalyzersThatLeaveTakeTheirLeaseErrorAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue()
		q.setDown(errDown)
		p := runPool(t, q, takes(0), analyzer.Options{Size: 3})
		time.Sleep(time.Minute)
		resize(t, p, 0)
		synctest.Wait()
		if s := p.Stats(); s.LeaseError != "" || len(s.Analyzers) != 0 {
			t.Errorf("error %q, %d analyzers; want none", s.LeaseError, len(s.Analyzers))
		}
		p.end(t, q)
	})
}

func TestAQueueThatDoesNotWaitIsNotAskedWithoutPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := hasty{newFakeQueue()}
		p := runPool(t, q, takes(0), analyzer.Options{Size: 1})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(q.requests); n > 200 {
			t.Errorf("%d requests in 10s, want a pause between them", n)
		}
		p.end(t, q.fakeQueue)
	})
}

// hasty answers at once, whatever the request says.
type hasty struct{ *fakeQueue }

func (h hasty) Lease(ctx context.Context, r queue.Request) ([]queue.Lease, error) {
	r.Wait = 0
	return h.fakeQueue.Lease(ctx, r)
}

func TestSizeBeforeAndAfterRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := analyzer.NewPool(newFakeQueue(), takes(0), analyzer.Options{Size: 2})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Resize(t.Context(), -1); err == nil {
			t.Error("Resize(-1) = nil, want an error")
		}
		if err := p.Resize(t.Context(), 3); err != nil {
			t.Errorf("Resize before Run = %v, want nil", err)
		}
		if s := p.Stats(); p.Size() != 3 || s.Starting != 3 || len(s.Analyzers) != 0 {
			t.Errorf("before Run: size %d, %d starting, %d rows; want 3, 3, 0", p.Size(), s.Starting, len(s.Analyzers))
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		if s := p.Stats(); s.Ready != 3 {
			t.Errorf("running: %d ready, want 3", s.Ready)
		}
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if err := p.Resize(t.Context(), 3); !errors.Is(err, analyzer.ErrPoolEnded) {
			t.Errorf("Resize after Run = %v, want ErrPoolEnded", err)
		}
		if err := p.Run(t.Context()); !errors.Is(err, analyzer.ErrPoolEnded) {
			t.Errorf("second Run = %v, want ErrPoolEnded", err)
		}
		if p.Size() != 0 {
			t.Errorf("size %d after Run, want 0", p.Size())
		}
	})
}

func TestOptions(t *testing.T) {
	_, err := analyzer.NewPool(nil, nil, analyzer.Options{Slots: -1, Size: -2, DrainTimeout: -3, LeaseWait: -4})
	for _, want := range []string{"Slots is -1", "Size is -2", "DrainTimeout is -3ns", "LeaseWait is -4ns", "no source", "no handler"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to name every problem, %q too", err, want)
		}
	}
	a, b := analyzer.Options{}.WithDefaults(), analyzer.Options{}.WithDefaults()
	if a.Name == b.Name || a.Slots != 1 || a.DrainTimeout != 30*time.Second || a.LeaseWait != 20*time.Second {
		t.Errorf("defaults %+v and %+v, want different names, 1 slot, 30s, 20s", a, b)
	}
}

func TestNameTellsTheHandlerWhoItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue(batchOf(t, 1))
		var name atomic.Value
		p := runPool(t, q, func(ctx context.Context, _ *sluice.Batch) error {
			name.Store(analyzer.Name(ctx))
			return nil
		}, analyzer.Options{Size: 1})
		synctest.Wait()
		if got := name.Load(); got != "a-1" || analyzer.Name(t.Context()) != "" {
			t.Errorf("Name = %v inside and %q outside, want a-1 and nothing", got, analyzer.Name(t.Context()))
		}
		p.end(t, q)
	})
}

func TestStatsJSON(t *testing.T) {
	p, err := analyzer.NewPool(newFakeQueue(), takes(0), analyzer.Options{Size: 2})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(p.Stats())
	want := `{"size":2,"ready":0,"stuck":0,"starting":2,"draining":0,"busy":0,"records_in_hand":0,"abandoned":0,"batches":0,"records":0,"bytes":0,` +
		`"failed_batches":0,"failed_records":0,"handed_back_batches":0,"late_batches":0,"panics":0,"busy_seconds":0,"service_seconds":0,"analyzers":[]}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}
