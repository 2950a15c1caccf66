package analyzer_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/queue"
)

func TestShrinkTakesIdleOnesFirstThenTheLeastBusyThenTheYoungest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue()
		p := runPool(t, q, takes(time.Minute), analyzer.Options{Size: 1, Slots: 2})
		synctest.Wait()
		q.put(batchesOf(t, 2, 1)...) // a-1 takes both
		synctest.Wait()
		resize(t, p, 2)
		synctest.Wait()
		q.put(batchOf(t, 1)) // a-2 is the only one with a free slot
		synctest.Wait()
		resize(t, p, 4) // a-3 and a-4 stay idle
		synctest.Wait()
		want := []string{"a-1 busy", "a-2 busy", "a-3 idle", "a-4 idle"}
		if got := p.states(); !slices.Equal(got, want) {
			t.Fatalf("before: %q, want %q", got, want)
		}

		for _, step := range []struct {
			size int
			want []string
		}{
			{3, []string{"a-1 busy", "a-2 busy", "a-3 idle"}}, // an idle one is gone at once
			{2, []string{"a-1 busy", "a-2 busy"}},
			{1, []string{"a-1 busy", "a-2 draining"}},
			{0, []string{"a-1 draining", "a-2 draining"}},
		} {
			resize(t, p, step.size)
			synctest.Wait()
			if got := p.states(); !slices.Equal(got, step.want) {
				t.Errorf("at size %d: %q, want %q", step.size, got, step.want)
			}
			if p.Size() != step.size {
				t.Errorf("Size() = %d, want %d", p.Size(), step.size)
			}
		}
		p.end(t, q)
	})
}

func TestShrinkingWhileAllAreBusyLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		batches := batchesOf(t, 50, 10)
		q := newFakeQueue(batches...)
		var mu sync.Mutex
		handled := map[string]int{}
		p := runPool(t, q, func(ctx context.Context, b *sluice.Batch) error {
			mu.Lock()
			handled[b.ID]++
			mu.Unlock()
			return takes(10*time.Second)(ctx, b)
		}, analyzer.Options{Size: 10, Slots: 2})
		synctest.Wait()
		if s := p.Stats(); s.Busy != 10 || q.inFlight() != 20 {
			t.Fatalf("%d busy with %d batches, want 10 with 20", s.Busy, q.inFlight())
		}

		asked := time.Now()
		resize(t, p, 1)
		if d := time.Since(asked); d != 0 {
			t.Errorf("Resize took %v, want it not to wait for the drain", d)
		}
		synctest.Wait()
		s := p.Stats()
		if s.Size != 1 || s.Draining != 9 || s.Ready != 1 {
			t.Errorf("size %d, draining %d, ready %d; want 1, 9, 1", s.Size, s.Draining, s.Ready)
		}

		time.Sleep(10 * time.Second)
		synctest.Wait()
		s = p.Stats()
		if s.Draining != 0 || s.Batches != 20 || s.Records != 200 {
			t.Errorf("after the drain: %d draining, %d batches, %d records; want 0, 20, 200", s.Draining, s.Batches, s.Records)
		}
		time.Sleep(5 * time.Minute) // the one that stayed does the rest
		synctest.Wait()
		p.end(t, q)
		q.sawEachOnce(t, batches)
		for id, n := range handled {
			if n != 1 {
				t.Errorf("batch %s was handled %d times, want once", id, n)
			}
		}
	})
}

func TestLoadThatReturnsCallsDrainingAnalyzersBackFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		batches := batchesOf(t, 8, 1)
		q := newFakeQueue(batches...)
		p := runPool(t, q, takes(10*time.Second), analyzer.Options{Size: 4})
		synctest.Wait()
		resize(t, p, 1)
		synctest.Wait()
		want := []string{"a-1 busy", "a-2 draining", "a-3 draining", "a-4 draining"}
		if got := p.states(); !slices.Equal(got, want) {
			t.Fatalf("while draining: %q, want %q", got, want)
		}

		resize(t, p, 3)
		synctest.Wait()
		want = []string{"a-1 busy", "a-2 busy", "a-3 busy", "a-4 draining"}
		if got := p.states(); !slices.Equal(got, want) {
			t.Errorf("two called back: %q, want %q", got, want)
		}
		resize(t, p, 5)
		synctest.Wait()
		want = []string{"a-1 busy", "a-2 busy", "a-3 busy", "a-4 busy", "a-5 busy"}
		if got := p.states(); !slices.Equal(got, want) {
			t.Errorf("one more called back, then a new one: %q, want %q", got, want)
		}

		time.Sleep(time.Minute)
		synctest.Wait()
		if s := p.Stats(); s.Size != 5 || s.Ready != 5 {
			t.Errorf("size %d, ready %d; want those called back to stay: 5, 5", s.Size, s.Ready)
		}
		resize(t, p, 4) // a-5, the youngest of five idle ones
		synctest.Wait()
		resize(t, p, 5)
		synctest.Wait()
		if got := p.states(); !slices.Contains(got, "a-6 idle") || len(got) != 5 {
			t.Errorf("a new analyzer after a-5 left: %q, want a-6 and four others: names are not used again", got)
		}
		p.end(t, q)
		q.sawEachOnce(t, batches)
	})
}

func TestDeadlineHandsTheRestBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quick, slow := batchOf(t, 1), batchOf(t, 1)
		q := newFakeQueue(quick, slow)
		p := runPool(t, q, func(ctx context.Context, b *sluice.Batch) error {
			if b == slow {
				return takes(time.Hour)(ctx, b)
			}
			return takes(3*time.Second)(ctx, b)
		}, analyzer.Options{Size: 1, Slots: 2, DrainTimeout: 5 * time.Second})
		synctest.Wait()
		resize(t, p, 0)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		q.sawOnly(t, quick, "ack")
		q.sawOnly(t, slow)
		time.Sleep(time.Second)
		synctest.Wait()
		q.sawOnly(t, slow, "back")
		if s := p.end(t, q); s.HandedBack != 1 || s.Batches != 1 || s.FailedBatches != 0 {
			t.Errorf("%d handed back, %d done, %d failed; want 1, 1, 0", s.HandedBack, s.Batches, s.FailedBatches)
		}
	})
}

func TestAHandlerThatIgnoresItsContextHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batchOf(t, 1)
		q := newFakeQueue(b)
		release := make(chan struct{})
		p := runPool(t, q, func(context.Context, *sluice.Batch) error {
			<-release
			return nil
		}, analyzer.Options{Size: 1, DrainTimeout: 5 * time.Second})
		synctest.Wait()
		p.stop()
		stopped := time.Now()
		<-p.ended
		if d := time.Since(stopped); d < 5*time.Second || d > 6*time.Second {
			t.Errorf("Run returned after %v, want soon after the 5s to drain", d)
		}
		q.sawOnly(t, b, "back")
		if s := p.Stats(); s.Abandoned != 1 || s.HandedBack != 1 {
			t.Errorf("%d abandoned, %d handed back; want 1, 1", s.Abandoned, s.HandedBack)
		}
		close(release)
		synctest.Wait()
		if s := p.Stats(); s.Abandoned != 0 || s.Batches != 0 {
			t.Errorf("after the handler returned: %d abandoned, %d done; want its verdict ignored: 0, 0", s.Abandoned, s.Batches)
		}
		q.sawOnly(t, b, "back")
	})
}

func TestWorkThatIsDoneWhenTimeIsUpCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batchOf(t, 1)
		q := newFakeQueue(b)
		p := runPool(t, q, func(ctx context.Context, _ *sluice.Batch) error {
			<-ctx.Done()
			time.Sleep(100 * time.Millisecond) // finishes the last record
			return nil
		}, analyzer.Options{Size: 1, DrainTimeout: time.Second})
		synctest.Wait()
		p.end(t, q)
		q.sawOnly(t, b, "ack")
	})
}

func TestALeaseThatArrivesWhileDrainingIsNotLost(t *testing.T) {
	for name, recalled := range map[string]bool{"handed back": false, "worked on by an analyzer that was called back": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newFakeQueue()
				p := runPool(t, q, takes(time.Second), analyzer.Options{Size: 1})
				synctest.Wait()
				var once sync.Once
				q.mu.Lock()
				q.granted = func() { // the queue has granted, the pool does not know yet
					once.Do(func() {
						p.Resize(t.Context(), 0)
						if recalled {
							p.Resize(t.Context(), 1)
						}
					})
				}
				q.mu.Unlock()
				b := batchOf(t, 1)
				q.put(b)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				want := "back"
				if recalled {
					want = "ack"
				}
				q.sawOnly(t, b, want)
				if q.inFlight() != 0 {
					t.Errorf("%d batches in flight, want 0", q.inFlight())
				}
				p.end(t, q)
			})
		})
	}
}

func TestTotalsSurviveLeavingAndNeverGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue(batchesOf(t, 300, 3)...)
		p := runPool(t, q, takes(700*time.Millisecond), analyzer.Options{Slots: 2, DrainTimeout: time.Second})
		var last analyzer.Stats
		for i := range 60 {
			resize(t, p, []int{3, 9, 1, 6, 0}[i%5])
			time.Sleep(333 * time.Millisecond)
			s := p.Stats()
			if s.Batches < last.Batches || s.Records < last.Records || s.Bytes < last.Bytes || s.BusySeconds < last.BusySeconds {
				t.Fatalf("step %d: totals went back from %+v to %+v", i, last.Totals, s.Totals)
			}
			if s.Size != s.Ready+s.Starting || len(s.Analyzers) != s.Size+s.Draining {
				t.Fatalf("step %d: size %d, ready %d, starting %d, draining %d, %d rows do not add up",
					i, s.Size, s.Ready, s.Starting, s.Draining, len(s.Analyzers))
			}
			last = s
		}
		s := p.end(t, q)
		if s.Batches == 0 || s.Records != 3*s.Batches {
			t.Errorf("%d batches, %d records; want three records each, and some", s.Batches, s.Records)
		}
		if want := 0.7 * float64(s.Batches); s.BusySeconds < want-1e-6 {
			t.Errorf("%v busy seconds, want at least %v", s.BusySeconds, want)
		}
	})
}

func TestKillReturnsPromptly(t *testing.T) {
	type kill struct {
		handler analyzer.HandlerFunc
		down    bool // the queue can't be reached
		within  time.Duration
		told    []string
	}
	for name, k := range map[string]kill{
		"a handler that obeys":   {takes(time.Hour), false, 0, []string{"back"}},
		"the queue out of reach": {takes(time.Hour), true, 3 * time.Second, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := batchOf(t, 1)
				q := newFakeQueue(b)
				p := runPool(t, q, k.handler, analyzer.Options{Size: 3})
				synctest.Wait()
				if k.down {
					q.setDown(errDown)
				}
				p.stop() // the first Ctrl-C
				time.Sleep(time.Second)
				select {
				case <-p.ended:
					t.Fatal("Run returned before the batch in hand was finished")
				default:
				}
				killed := time.Now()
				p.Kill() // the second
				p.Kill()
				<-p.ended
				if d := time.Since(killed); d > k.within {
					t.Errorf("Run returned %v after Kill, want at most %v", d, k.within)
				}
				q.sawOnly(t, b, k.told...)
				p.end(t, q)
			})
		})
	}
}

// deaf never answers an acknowledgement.
type deaf struct{ *fakeQueue }

func (d deaf) Ack(ctx context.Context, _ string, _ ...queue.Failure) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestKillDoesNotWaitForAQueueThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := deaf{newFakeQueue(batchOf(t, 1))}
		p := runPool(t, q, takes(0), analyzer.Options{Size: 1})
		synctest.Wait()
		killed := time.Now()
		p.Kill()
		<-p.ended
		if d := time.Since(killed); d > 2*time.Second {
			t.Errorf("Run returned %v after Kill, want at most 2s", d)
		}
		if s := p.end(t, q.fakeQueue); s.Late != 1 {
			t.Errorf("%d late, want 1", s.Late)
		}
	})
}

func TestKillWithoutStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue(batchOf(t, 1))
		p := runPool(t, q, takes(time.Hour), analyzer.Options{Size: 2})
		synctest.Wait()
		p.Kill()
		<-p.ended
		if err := p.Resize(t.Context(), 3); !errors.Is(err, analyzer.ErrPoolEnded) {
			t.Errorf("Resize after Kill = %v, want ErrPoolEnded", err)
		}
		p.end(t, q)
	})
}

func TestKillBeforeRun(t *testing.T) {
	p, err := analyzer.NewPool(newFakeQueue(), takes(0), analyzer.Options{Size: 2})
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if err := p.Run(t.Context()); err != nil {
		t.Errorf("Run after Kill = %v, want nil", err)
	}
	if n := len(p.Stats().Analyzers); n != 0 {
		t.Errorf("%d analyzers were started, want none", n)
	}
}

func TestAnAnalyzerCalledBackGoesOnWithoutTheHandlerItGaveUp(t *testing.T) {
	for slots := range 2 {
		synctest.Test(t, func(t *testing.T) {
			stuck, next := batchOf(t, 1), batchOf(t, 1)
			q := newFakeQueue(stuck)
			release := make(chan struct{})
			var again atomic.Bool
			p := runPool(t, q, func(_ context.Context, b *sluice.Batch) error {
				if b == stuck && !again.Swap(true) {
					<-release
				}
				return nil
			}, analyzer.Options{Size: 1, Slots: slots + 1})
			synctest.Wait()
			if err := p.Dismiss("a-1", true); err != nil {
				t.Fatal(err)
			}
			resize(t, p, 1)
			q.put(next)
			time.Sleep(time.Second)
			synctest.Wait()
			q.sawOnly(t, next, "ack")
			if got := p.states(); !slices.Equal(got, []string{"a-1 idle"}) || p.Stats().Abandoned != 1 {
				t.Errorf("%q with %d handlers abandoned, want the same analyzer, idle, and one", got, p.Stats().Abandoned)
			}
			close(release)
			synctest.Wait()
			if s := p.end(t, q); s.Abandoned != 0 || s.HandedBack < 1 {
				t.Errorf("%d abandoned, %d handed back; want 0 and at least the stuck batch", s.Abandoned, s.HandedBack)
			}
		})
	}
}

func TestADeadlineOfADrainThatWasCalledOffCutsNothingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batchOf(t, 1)
		q := newFakeQueue(b)
		p := runPool(t, q, takes(20*time.Second), analyzer.Options{Size: 1, DrainTimeout: 5 * time.Second})
		synctest.Wait()
		resize(t, p, 0)
		time.Sleep(4 * time.Second)
		resize(t, p, 1) // called back with a second to go
		time.Sleep(2 * time.Second)
		resize(t, p, 0) // the time to drain is reset
		time.Sleep(4 * time.Second)
		resize(t, p, 1)
		time.Sleep(time.Minute)
		q.sawOnly(t, b, "ack")
		p.end(t, q)
	})
}
