package analyzer_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
)

// TestStuckAnalyzersAreToldAndLeaveBeforeBusyOnes has one analyzer that never comes back from a batch like all others. It holds
// work, and so those that hold none leave before it.
func TestStuckAnalyzersAreToldAndLeaveBeforeBusyOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		batches := batchesOf(t, 40, 10)
		hangs := batches[15].ID
		q := newFakeQueue(batches...)
		p := runPool(t, q, func(ctx context.Context, b *sluice.Batch) error {
			if b.ID == hangs {
				return takes(time.Hour)(ctx, b)
			}
			return takes(time.Second)(ctx, b)
		}, analyzer.Options{Size: 3, DrainTimeout: time.Minute})
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if s := p.Stats(); s.Stuck != 0 {
			t.Fatalf("%d stuck after less than 20 times the usual second, want none", s.Stuck)
		}
		time.Sleep(12 * time.Second)
		synctest.Wait()
		s := p.Stats()
		if s.Stuck != 1 || s.Ready != 3 || s.Size != 3 {
			t.Fatalf("%d stuck of %d ready, want 1 of 3", s.Stuck, s.Ready)
		}
		i := slices.IndexFunc(s.Analyzers, func(r analyzer.Row) bool { return r.State == analyzer.StateStuck })
		stuck := s.Analyzers[i]
		if held := time.Since(stuck.StateSince); held < 20*time.Second || stuck.InHand != 1 {
			t.Errorf("row %+v, want it to tell for how long", stuck)
		}

		resize(t, p, 2) // two are idle, and one of them goes
		synctest.Wait()
		if got := p.states(); !slices.Contains(got, stuck.ID+" stuck") || len(got) != 2 {
			t.Errorf("%q, want an idle one to leave and not %s", got, stuck.ID)
		}
		q.put(batchOf(t, 10))
		synctest.Wait()
		resize(t, p, 1) // now both hold work
		synctest.Wait()
		if got := p.states(); !slices.Contains(got, stuck.ID+" draining") || len(got) != 2 {
			t.Errorf("%q, want %s to leave", got, stuck.ID)
		}
		resize(t, p, 2) // it is no help, so that a new one starts
		synctest.Wait()
		if got := p.states(); !slices.Contains(got, stuck.ID+" draining") || len(got) != 3 {
			t.Errorf("%q, want a new analyzer, and %s still leaving", got, stuck.ID)
		}
		p.end(t, q)
	})
}

// TestSlowAnalyzersLeaveBeforeFastOnes has one that takes three times as long as the others.
func TestSlowAnalyzersLeaveBeforeFastOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue(batchesOf(t, 60, 10)...)
		p := runPool(t, q, func(ctx context.Context, b *sluice.Batch) error {
			if strings.HasSuffix(analyzer.Name(ctx), "-1") {
				return takes(3*time.Second)(ctx, b)
			}
			return takes(time.Second)(ctx, b)
		}, analyzer.Options{Size: 3})
		time.Sleep(time.Minute)
		synctest.Wait()
		resize(t, p, 2)
		synctest.Wait()
		if got, want := p.states(), []string{"a-2 idle", "a-3 idle"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		p.end(t, q)
	})
}
