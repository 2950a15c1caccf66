package results_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/internal/results"
)

func ExampleStore() {
	dir, err := os.MkdirTemp("", "results")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	for range 2 { // the second time, the store finds what the first one kept
		store, err := results.Open(dir, results.Options{Sync: true})
		if err != nil {
			fmt.Println(err)
			return
		}
		b, _ := sluice.BatchOf(time.Now(), sluice.Record{Severity: "INFO"}, sluice.Record{Severity: "WARN"})
		if err := count.Handler(store).Handle(context.Background(), b); err != nil { // a pool does this
			fmt.Println(err)
		}
		fmt.Println(store.Totals().Records, "records")
		store.Close()
	}
	// Output:
	// 2 records
	// 4 records
}
