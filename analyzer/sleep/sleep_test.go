package sleep_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/analyzer/sleep"
)

// batch makes a batch with one record for each fault; "" is a record without one.
func batch(t *testing.T, faults ...string) *sluice.Batch {
	t.Helper()
	var records []sluice.Record
	for i, f := range faults {
		r := sluice.Record{Body: fmt.Sprint(i)}
		if f != "" {
			r.Attributes = map[string]any{sleep.FaultAttribute: f}
		}
		records = append(records, r)
	}
	b, err := sluice.BatchOf(time.Now(), records...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSleepsForEachRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var next int
		h := sleep.New(10*time.Millisecond, analyzer.HandlerFunc(func(context.Context, *sluice.Batch) error {
			next++
			return nil
		}))
		start := time.Now()
		if err := h.Handle(t.Context(), batch(t, "", "", "")); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 30*time.Millisecond || next != 1 {
			t.Errorf("three records took %v with %d calls of the next handler, want 30ms and 1", d, next)
		}
		if err := sleep.New(0, nil).Handle(t.Context(), batch(t, "error")); err != nil {
			t.Errorf("a fault without Faults: %v, want it ignored", err)
		}
	})
}

func TestObeysItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := sleep.New(time.Hour, nil).Handle(ctx, batch(t, ""))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Handle = %v after %v, want the context's error after 1s", err, time.Since(start))
		}
	})
}

func TestFaultsOfRecords(t *testing.T) {
	var seen []any
	h := &sleep.Handler{Faults: true, Next: analyzer.HandlerFunc(func(_ context.Context, b *sluice.Batch) error {
		records, err := b.Records()
		for _, r := range records {
			seen = append(seen, r.Body)
		}
		return errors.Join(err, analyzer.FailRecords(map[int]error{1: errors.New("next")}))
	})}
	err := h.Handle(t.Context(), batch(t, "", "error", "discard", "unheard of", ""))
	failed, _ := errors.AsType[analyzer.RecordErrors](err)
	got := map[int]string{}
	for i, err := range failed {
		got[i] = err.Error()
	}
	want := map[int]string{1: "the record asks to fail", 2: "the record asks to be discarded",
		3: "sluice.fault is unheard of, want error, discard, panic or exit", 4: "next"}
	if !maps.Equal(got, want) {
		t.Errorf("failed records %v, want %v", got, want)
	}
	if _, ok := errors.AsType[*analyzer.DiscardError](failed[2]); !ok {
		t.Errorf("record 2 fails with %#v, want it to be discarded", failed[2])
	}
	if fmt.Sprint(seen) != "[0 4]" {
		t.Errorf("the next handler saw %v, want the records that did not fail: 0 4", seen)
	}
}

func TestAnErrorOfTheNextHandlerFailsTheBatch(t *testing.T) {
	full := errors.New("sink full")
	h := &sleep.Handler{Faults: true, Next: analyzer.HandlerFunc(func(context.Context, *sluice.Batch) error { return full })}
	for _, faults := range [][]string{{"error", ""}, {"", ""}} {
		if err := h.Handle(t.Context(), batch(t, faults...)); !errors.Is(err, full) {
			t.Errorf("records %q: Handle = %v, want %v", faults, err, full)
		}
	}
	if _, ok := errors.AsType[analyzer.RecordErrors](h.Handle(t.Context(), batch(t, "error"))); !ok {
		t.Error("a batch of one fault was passed on, want only that record to fail")
	}
}

func TestFaultsOfTheProcess(t *testing.T) {
	code := 0
	h := &sleep.Handler{Faults: true, Exit: func(c int) { code = c }}
	if err := h.Handle(t.Context(), batch(t, "", "exit")); err != nil || code != 3 {
		t.Errorf("exit: code %d, error %v; want 3, nil", code, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("panic: the handler returned")
		}
	}()
	h.Handle(t.Context(), batch(t, "panic"))
}
