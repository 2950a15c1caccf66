package emitter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sluice "github.com/sluicehq/sluice"
)

func batcherOf(t *testing.T, h http.Handler, o BatcherOptions) *Batcher {
	t.Helper()
	c, _ := clientOf(t, h, ClientOptions{})
	b, err := c.NewBatcher(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func addN(t *testing.T, b *Batcher, n int) {
	t.Helper()
	for i := range n {
		if err := b.Add(t.Context(), sluice.Record{Body: fmt.Sprint("record ", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBatcherSendsByCountSizeAndTime(t *testing.T) {
	for _, test := range []struct {
		name string
		o    BatcherOptions
		add  int
		want []int // posts, before anything is flushed
	}{
		{"count", BatcherOptions{MaxRecords: 3, Interval: time.Hour}, 7, []int{3, 3}},
		{"size", BatcherOptions{MaxBytes: 50, Interval: time.Hour}, 5, []int{2, 2}}, // 20 bytes each
		{"each larger than the limit", BatcherOptions{MaxBytes: 1, Interval: time.Hour}, 2, []int{1, 1}},
		{"time", BatcherOptions{Interval: time.Second}, 5, []int{5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &answers{list: []answer{accept}}
				b := batcherOf(t, h, test.o)
				addN(t, b, test.add)
				synctest.Wait()
				if len(h.sent()) > 0 && test.o.Interval == time.Second {
					t.Errorf("posts %v before the interval", h.sent())
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if !reflect.DeepEqual(h.sent(), test.want) {
					t.Errorf("posts of %v records, want %v", h.sent(), test.want)
				}
				if err := b.Close(t.Context()); err != nil {
					t.Error(err)
				}
				sum := 0
				for _, n := range h.sent() {
					sum += n
				}
				if sum != test.add {
					t.Errorf("%d records arrived after Close, want %d", sum, test.add)
				}
			})
		})
	}
}

func TestBatcherFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &answers{list: []answer{status(503, "Retry-After", "5"), accept}}
		b := batcherOf(t, h, BatcherOptions{Interval: time.Hour})
		addN(t, b, 2)
		start := time.Now()
		if err := b.Flush(t.Context()); err != nil || time.Since(start) < 5*time.Second {
			t.Errorf("Flush = %v after %v, want nil once the answer came", err, time.Since(start))
		}
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := b.Add(t.Context(), sluice.Record{}); !errors.Is(err, ErrClosed) {
			t.Errorf("Add after Close = %v, want ErrClosed", err)
		}
	})
}

func TestBatcherHoldsItsCallersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcherOf(t, &answers{list: []answer{refuse}}, BatcherOptions{MaxRecords: 2})
		addN(t, b, 2)
		synctest.Wait() // the first two are under way
		addN(t, b, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if err := b.Add(ctx, sluice.Record{}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Add into a full batcher = %v, want the end of the context", err)
				}
			})
		}
		all.Wait()
		if err := b.Close(ctx); err == nil || !strings.Contains(err.Error(), "4 records were not accepted") {
			t.Errorf("Close = %v, want the 4 records it gave up", err)
		}
	})
}

func TestBatcherReportsRefusedRecords(t *testing.T) {
	c, _ := clientOf(t, tooLarge(1000), ClientOptions{})
	b, err := c.NewBatcher(BatcherOptions{Interval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	addN(t, b, 2)
	b.Add(t.Context(), sluice.Record{Body: "bad"})
	if err := b.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "1 records were not accepted: line 3") {
		t.Errorf("Flush = %v, want the refused record named", err)
	}
	if err := b.Flush(t.Context()); err != nil {
		t.Errorf("the second Flush reports it again: %v", err)
	}
	if err := b.Add(t.Context(), sluice.Record{Body: make(chan int)}); err == nil {
		t.Error("a record that is no JSON was taken")
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
