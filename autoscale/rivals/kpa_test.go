package rivals

import (
	"testing"
	"time"
)

// atSecond checks a KPA with all that is held waiting, nobody at work.
func atSecond(t *testing.T, k *KPA, second, held, size int) int {
	t.Helper()
	o := seen(second, held, size)
	if held >= size {
		o.Depth = held - size // the others are in work
	} else {
		o.Depth, o.BusySeconds = 0, float64(held)*2 // checks are two seconds apart
	}
	return decided(t, k, o)
}

func TestKPAStableSize(t *testing.T) {
	k := must(NewKPA(KPAOptions{Concurrency: 10}))(t)
	size := 1
	for second := 0; second <= 300; second += 2 {
		size = atSecond(t, k, second, 69, size)
	}
	// 69 held at seven per worker.
	if size != 10 {
		t.Errorf("%d workers for 69 records at 7 each, want 10", size)
	}
}

func TestKPAPanic(t *testing.T) {
	k := must(NewKPA(KPAOptions{Concurrency: 10}))(t)
	size := 1
	step := func(second, held int) {
		size = atSecond(t, k, second, held, size)
	}
	for second := 0; second < 100; second += 2 {
		step(second, 21) // three workers
	}
	if size != 3 || k.panicking {
		t.Fatalf("%d workers, panic %v, want 3 in calm", size, k.panicking)
	}
	// Entry: 42 are twice what three workers should hold. The six seconds' mean is there at the third look.
	entered := -1
	for second := 100; second < 110; second += 2 {
		step(second, 50)
		if k.panicking && entered < 0 {
			entered = second
		}
	}
	if entered < 102 || entered > 106 || size != 8 {
		t.Fatalf("panic since second %d, %d workers, want within the six seconds, and 8", entered, size)
	}
	// Hold: the load is gone, but within a panic nobody is. It ends a stable window after it was last over the threshold.
	over := k.panicSince
	for second := 110; k.panicking && second < 300; second += 2 {
		step(second, 0)
		if k.panicking && size != 8 {
			t.Fatalf("second %d: %d workers in panic, want 8", second, size)
		}
		if !k.panicking {
			if gone := time.Unix(1000+int64(second), 0).Sub(over); gone != 62*time.Second {
				t.Errorf("calm %v after the last look over the threshold, want the first look after 60s", gone)
			}
		}
	}
	// Exit: half of the workers go at each look, the windows being empty.
	if k.panicking || size != 4 {
		t.Errorf("after the panic: %d workers, want half of 8", size)
	}
	step(400, 0)
	if size != 2 {
		t.Errorf("one look later: %d workers, want 2", size)
	}
}

func TestKPAStartsInPanicWithWorkers(t *testing.T) {
	k := must(NewKPA(KPAOptions{Concurrency: 10}))(t)
	for second := 0; second <= 60; second += 2 {
		if got := decided(t, k, seen(second, 0, 12)); got != 12 {
			t.Fatalf("second %d after its restart: %d workers, want the 12 that it found", second, got)
		}
	}
	if got := decided(t, k, seen(62, 0, 12)); got != 6 {
		t.Errorf("a minute later: %d workers, want half", got)
	}
}

func TestKPAGapsCountAsZero(t *testing.T) {
	b := newBuckets(10)
	b.record(100, 8)
	if got := b.mean(100, 10); got != 8 {
		t.Errorf("mean %v over the only second, want 8", got)
	}
	b.miss(104) // no reading for four seconds
	b.record(105, 8)
	if got, want := b.mean(105, 6), 16.0/6; got != want {
		t.Errorf("mean %v, want %v: two readings over six seconds", got, want)
	}
	b.record(200, 5)
	if got := b.mean(200, 10); got != 5 {
		t.Errorf("mean %v, want 5: the time between two checks is what the later one saw", got)
	}
}

func TestKPALastWorkerStaysForTheGrace(t *testing.T) {
	k := must(NewKPA(KPAOptions{Concurrency: 10}))(t)
	size, zeroAt := 1, -1
	for second := 0; second < 300 && zeroAt < 0; second += 2 {
		o := seen(second, 0, size)
		o.MinSize = 0
		if second == 0 {
			o.Depth = 1
		}
		if size = decided(t, k, o); size == 0 {
			zeroAt = second
		}
	}
	if zeroAt != 60+30 {
		t.Errorf("empty at second %d, want the stable window and the grace, 90", zeroAt)
	}
}

func TestKPADownDelay(t *testing.T) {
	k := must(NewKPA(KPAOptions{Concurrency: 10, DownDelay: 5 * time.Minute}))(t)
	size := 1
	for second := 0; second < 100; second += 2 {
		size = atSecond(t, k, second, 35, size)
	}
	for second := 100; second < 380; second += 2 {
		if size = atSecond(t, k, second, 0, size); size < 5 {
			t.Fatalf("second %d: %d workers, want 5 until the delay is over", second, size)
		}
	}
}
