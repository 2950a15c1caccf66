package analyzer_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
)

func TestOneAnalyzerIsDismissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		batches := batchesOf(t, 3, 1)
		q := newFakeQueue(batches...)
		p := runPool(t, q, takes(10*time.Second), analyzer.Options{Size: 3})
		synctest.Wait()
		if err := p.Dismiss("a-2", false); err != nil {
			t.Fatal(err)
		}
		if err := p.Dismiss("a-2", false); err != nil { // it leaves already
			t.Error(err)
		}
		synctest.Wait()
		if got, want := p.states(), []string{"a-1 busy", "a-2 draining", "a-3 busy"}; !slices.Equal(got, want) || p.Size() != 2 {
			t.Errorf("%q at size %d, want %q at 2", got, p.Size(), want)
		}
		if err := p.Dismiss("a-3", true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got, want := p.states(), []string{"a-1 busy", "a-2 draining"}; !slices.Equal(got, want) || p.Size() != 1 {
			t.Errorf("%q at size %d, want %q at 1", got, p.Size(), want)
		}
		if s := p.Stats(); s.HandedBack != 1 {
			t.Errorf("%d batches handed back, want that of a-3", s.HandedBack)
		}
		if err := p.Dismiss("a-9", true); !errors.Is(err, analyzer.ErrNoAnalyzer) {
			t.Errorf("one that is not there: %v", err)
		}
		resize(t, p, 2) // who is leaving comes back
		synctest.Wait()
		if got, want := p.states(), []string{"a-1 busy", "a-2 busy"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		p.end(t, q)
	})
}

func TestRowsTellHowLongAndWhatWentWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		batches := batchesOf(t, 100, 1)
		q := newFakeQueue(batches...)
		n := 0
		p := runPool(t, q, func(ctx context.Context, b *sluice.Batch) error {
			n++
			time.Sleep(time.Duration(n) * time.Millisecond)
			switch n {
			case 50:
				return analyzer.Discard(errors.New("no text"))
			case 60:
				panic("boom")
			}
			return nil
		}, analyzer.Options{Size: 1})
		time.Sleep(time.Minute)
		synctest.Wait()
		row := p.Stats().Analyzers[0]
		if row.P50 < 0.045 || row.P50 > 0.055 || row.P99 < 0.098 || row.P99 > 0.1 {
			t.Errorf("p50 %v and p99 %v, want about 0.05 and 0.099", row.P50, row.P99)
		}
		if row.Restarts != 1 || row.LastError == "" || row.LastErrorAt.IsZero() {
			t.Errorf("%+v, want a restart and an error", row)
		}
		p.end(t, q)
	})
}
