package analyzer_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/queue"
)

const drainWaits = "drain waits for a batch that was handed back again and again"

// TestABatchThatTakesLongerThanADrainIsLeftToFinish has a batch that takes three times as long as a drain, and a pool that
// takes its analyzer away each time. However the analyzer is told to leave, the batch comes to an end.
func TestABatchThatTakesLongerThanADrainIsLeftToFinish(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, p *testPool){
		"the pool shrinks":             func(t *testing.T, p *testPool) { resize(t, p, 0) },
		"a person drains the analyzer": func(t *testing.T, p *testPool) { dismiss(t, p, false) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				long := batchOf(t, 1)
				q := newFakeQueue(long)
				p := runPool(t, q, takes(90*time.Second), analyzer.Options{Size: 1, DrainTimeout: 30 * time.Second})
				for n := range queue.OftenHandedBack {
					synctest.Wait()
					leave(t, p)
					time.Sleep(31 * time.Second)
					synctest.Wait()
					if got := len(q.words(long)); got != n+1 {
						t.Fatalf("handed back %d times after %d drains, want once for each", got, n+1)
					}
					resize(t, p, 1)
				}
				synctest.Wait()
				leave(t, p)
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := p.states(); len(got) != 1 || p.Size() != 0 {
					t.Fatalf("%q at size %d after two times the drain timeout, want the analyzer to hold its batch and not to count", got, p.Size())
				}
				time.Sleep(31 * time.Second)
				synctest.Wait()
				q.sawOnly(t, long, "back", "back", "back", "ack")
				if n := p.logs.count(drainWaits); n != 1 {
					t.Errorf("the log says %d times that the drain waits, want once", n)
				}
				p.end(t, q)
			})
		})
	}
}

// TestNoBatchHoldsUpTheEndOfThePool: what holds for a pool that shrinks does not hold for one that ends, nor for a person who wants
// the batch back now, nor for a lease that was lost.
func TestNoBatchHoldsUpTheEndOfThePool(t *testing.T) {
	for name, step := range map[string]struct {
		act  func(t *testing.T, p *testPool, q *fakeQueue)
		told []string
	}{
		"the pool ends": {func(t *testing.T, p *testPool, _ *fakeQueue) { p.stop() }, []string{"back", "back", "back", "back"}},
		"the pool ends while it drains": {func(t *testing.T, p *testPool, _ *fakeQueue) {
			resize(t, p, 0)
			time.Sleep(45 * time.Second)
			p.stop()
		}, []string{"back", "back", "back", "back"}},
		"a person hands it back": {func(t *testing.T, p *testPool, _ *fakeQueue) { dismiss(t, p, true) }, []string{"back", "back", "back", "back"}},
		"its lease is lost": {func(t *testing.T, p *testPool, q *fakeQueue) {
			resize(t, p, 0)
			q.expireAll()
		}, []string{"back", "back", "back", "expired"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				long := batchOf(t, 1)
				q := newFakeQueue(long)
				q.told[long.ID] = slices.Repeat([]string{"back"}, queue.OftenHandedBack)
				p := runPool(t, q, takes(time.Hour), analyzer.Options{Size: 1, DrainTimeout: 30 * time.Second})
				synctest.Wait()
				step.act(t, p, q)
				time.Sleep(31 * time.Second)
				synctest.Wait()
				q.sawOnly(t, long, step.told...)
				if busy := p.Stats().Busy; busy != 0 {
					t.Errorf("%d busy after the drain timeout, want none", busy)
				}
				p.end(t, q)
			})
		})
	}
}

// TestAnalyzersThatHoldWorkAreTheLastToGo shrinks a pool of which one analyzer holds a batch that was handed back often, one a
// fresh batch, and two hold nothing.
func TestAnalyzersThatHoldWorkAreTheLastToGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		returning, fresh := batchOf(t, 1), batchOf(t, 1)
		q := newFakeQueue()
		p := runPool(t, q, takes(time.Hour), analyzer.Options{Size: 1, DrainTimeout: 30 * time.Second})
		synctest.Wait()
		q.put(fresh)
		synctest.Wait()
		resize(t, p, 2)
		synctest.Wait()
		q.told[returning.ID] = slices.Repeat([]string{"back"}, queue.OftenHandedBack)
		q.put(returning)
		synctest.Wait()
		resize(t, p, 4)
		synctest.Wait()
		for _, step := range []struct {
			size int
			want []string
		}{
			{3, []string{"a-1 busy", "a-2 busy", "a-3 idle"}},
			{2, []string{"a-1 busy", "a-2 busy"}},
			{1, []string{"a-1 draining", "a-2 busy"}}, // the older one, since the younger holds what was handed back
		} {
			resize(t, p, step.size)
			synctest.Wait()
			if got := p.states(); !slices.Equal(got, step.want) {
				t.Errorf("at size %d: %q, want %q", step.size, got, step.want)
			}
		}
		p.end(t, q)
	})
}

func dismiss(t *testing.T, p *testPool, now bool) {
	t.Helper()
	if err := p.Dismiss(p.Stats().Analyzers[0].ID, now); err != nil {
		t.Fatal(err)
	}
}

// TestAStandstillOfTheProcessIsNotWork: a batch in hand did not take the time in which the process was stopped.
func TestAStandstillOfTheProcessIsNotWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue(batchOf(t, 1))
		p := runPool(t, q, takes(25*time.Second), analyzer.Options{Size: 1})
		time.Sleep(20 * time.Second)
		p.Resumed(20 * time.Second)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if row := p.Stats().Analyzers[0]; row.BusySeconds != 4 || time.Since(row.StateSince) != 4*time.Second {
			t.Errorf("busy for %v s, want 4", row.BusySeconds)
		}
		p.Resumed(time.Hour) // more than the batch is old: it began at the end of the standstill
		time.Sleep(time.Second)
		synctest.Wait()
		if s := p.Stats(); s.ServiceSeconds != 1 || s.Batches != 1 {
			t.Errorf("%d batches took %v s, want one that took 1", s.Batches, s.ServiceSeconds)
		}
		p.end(t, q)
	})
}
