package discard_test

import (
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/analyzer/discard"
)

var _ analyzer.Handler = discard.Handler{}

func TestDoesNotUnpack(t *testing.T) {
	b, err := sluice.BatchOf(time.Now(), sluice.Record{Body: "text"})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	packed, err := sluice.DecodeBatch(stored)
	if err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(100, func() {
		if err := (discard.Handler{}).Handle(t.Context(), packed); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}
