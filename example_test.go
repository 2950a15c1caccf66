package sluice_test

import (
	"fmt"
	"time"

	"github.com/sluicehq/sluice"
)

func ExampleBatchOf() {
	b, err := sluice.BatchOf(time.Now(),
		sluice.Record{Severity: "INFO", Body: "user logged in", Resource: map[string]any{"service.name": "auth"}},
		sluice.Record{Severity: "ERROR", Body: "payment refused", Attributes: map[string]any{"order": 4711}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	line, err := b.Line(1)
	fmt.Println(b.Len(), string(line), err)
	// Output: 2 {"attributes":{"order":4711},"body":"payment refused","severity":"ERROR"} <nil>
}
