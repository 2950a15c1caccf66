package api

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// held makes a claim of some bytes whose client has moved some since a time before now.
func holding(t *testing.T, b *budget, bytes, moved int64, age time.Duration) (c *claim, stopped *bool) {
	t.Helper()
	c = b.claim()
	if err := c.grow(t.Context(), bytes); err != nil {
		t.Fatal(err)
	}
	stopped = new(bool)
	c.depend(time.Now().Add(-age), func() { *stopped = true })
	if c.step(int(moved), func() {}) != nil {
		t.Fatal("cut at once")
	}
	return c, stopped
}

func TestTheSlowestGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(300)
		fast, fastStopped := holding(t, b, 100, 1000, 2*time.Second)
		_, slowStopped := holding(t, b, 100, 10, 2*time.Second)
		_, freshStopped := holding(t, b, 100, 0, 0)
		served := make(chan error)
		ctx, leave := context.WithTimeout(t.Context(), time.Minute)
		defer leave()
		go func() { served <- b.claim().grow(ctx, 100) }()
		time.Sleep(lookAgain * 3 / 2)
		synctest.Wait()
		if !*slowStopped || *fastStopped || *freshStopped {
			t.Errorf("stopped: slow %v, fast %v, fresh %v; want the slow one alone", *slowStopped, *fastStopped, *freshStopped)
		}
		time.Sleep(5 * lookAgain) // no more than needed
		synctest.Wait()
		if *fastStopped || *freshStopped {
			t.Error("more were cut while the first is on its way")
		}
		for c := range b.held {
			if c.cut {
				if err := c.step(1, func() { t.Error("a deadline was extended after the cut") }); !errors.Is(err, errSlow) {
					t.Errorf("%v, want errSlow", err)
				}
				c.release()
			}
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		fast.release()
	})
}

func TestNobodyIsCutWhileThereIsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(300)
		_, stopped := holding(t, b, 100, 0, time.Hour)
		c := b.claim()
		if err := c.grow(t.Context(), 200); err != nil || c.tryGrow(1) {
			t.Errorf("%v, or more than there is", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if *stopped {
			t.Error("a client was cut though no one waits")
		}
	})
}

func TestMemoryIsGivenInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		first := b.claim()
		first.grow(t.Context(), 100)
		order := make(chan string, 3)
		ctx, leave := context.WithCancel(t.Context())
		for _, w := range []struct {
			name  string
			ctx   context.Context
			bytes int64
		}{{"leaves", ctx, 50}, {"large", t.Context(), 100}, {"small", t.Context(), 1}} {
			go func() {
				c := b.claim()
				defer c.release()
				if err := c.grow(w.ctx, w.bytes); (err != nil) != (w.name == "leaves") {
					t.Errorf("%s: %v", w.name, err)
				}
				order <- w.name
				time.Sleep(time.Millisecond)
			}()
			synctest.Wait()
		}
		late := b.claim()
		leave()
		synctest.Wait()
		first.settle(50) // enough for the third, whose turn it is not
		synctest.Wait()
		if late.tryGrow(1) {
			t.Error("who comes late passed those who wait")
		}
		first.release()
		time.Sleep(time.Second)
		for _, want := range []string{"leaves", "large", "small"} {
			if got := <-order; got != want {
				t.Errorf("%s was served, want %s", got, want)
			}
		}
		late.release()
		if b.free != 100 || len(b.held) != 0 || len(b.waiting) != 0 {
			t.Errorf("%d bytes free, %d held, %d waiting at the end", b.free, len(b.held), len(b.waiting))
		}
	})
}

// TestAClaimThatWaitsForMoreCanBeCut: bodies that all hold a part and all wait for the rest must not wait for ever.
func TestAClaimThatWaitsForMoreCanBeCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		results := make(chan error, 2)
		one, _ := holding(t, b, 50, 50, 0)
		two, _ := holding(t, b, 50, 50, 0)
		for _, c := range []*claim{one, two} {
			go func() {
				ctx, leave := context.WithTimeout(t.Context(), time.Minute)
				defer leave()
				err := c.grow(ctx, 50)
				c.release()
				results <- err
			}()
		}
		if a, b := <-results, <-results; (a == nil) == (b == nil) || errors.Is(errors.Join(a, b), context.DeadlineExceeded) {
			t.Errorf("%v and %v, want one to be cut and one to go on", a, b)
		}
	})
}
