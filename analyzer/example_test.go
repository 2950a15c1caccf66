package analyzer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/queue"
)

// alarms prints the records that matter. A record without a text is hopeless; the others of its batch are done all the
// same.
func alarms(_ context.Context, b *sluice.Batch) error {
	records, err := b.Records()
	if err != nil {
		return analyzer.Discard(err)
	}
	failed := map[int]error{}
	for i, r := range records {
		text, ok := r.Body.(string)
		switch {
		case !ok:
			failed[i] = analyzer.Discard(errors.New("no text"))
		case strings.Contains(text, "denied"):
			fmt.Println("alarm:", text)
		}
	}
	return analyzer.FailRecords(failed)
}

func ExampleHandlerFunc() {
	var h analyzer.Handler = analyzer.HandlerFunc(alarms)
	b, _ := sluice.BatchOf(time.Now(), sluice.Record{Body: "access denied for root"}, sluice.Record{})
	fmt.Println(h.Handle(context.Background(), b))
	// Output:
	// alarm: access denied for root
	// record 1: no text
}

func ExamplePool() {
	var batches []*sluice.Batch
	for range 3 {
		b, _ := sluice.BatchOf(time.Now(), sluice.Record{Body: "all well"}, sluice.Record{Body: "access denied for root"})
		batches = append(batches, b)
	}
	ctx, stop := context.WithCancel(context.Background())
	work := &errand{batches: batches, done: stop}

	pool, err := analyzer.NewPool(work, analyzer.HandlerFunc(alarms), analyzer.Options{Size: 1, Slots: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := pool.Run(ctx); err != nil { // until ctx ends and all that is in hand is finished
		fmt.Println(err)
	}
	stats := pool.Stats()
	fmt.Println(stats.Batches, "batches,", stats.Records, "records")
	// Output:
	// alarm: access denied for root
	// alarm: access denied for root
	// alarm: access denied for root
	// 3 batches, 6 records
}

// errand stands for a queue here: it hands out one batch after the other and says when the last is acknowledged.
type errand struct {
	batches []*sluice.Batch
	acked   int
	done    func()
}

func (e *errand) Lease(ctx context.Context, _ queue.Request) ([]queue.Lease, error) {
	if len(e.batches) == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	b := e.batches[0]
	e.batches = e.batches[1:]
	return []queue.Lease{{Token: b.ID, Batch: b, Attempt: 1, Expires: time.Now().Add(time.Minute)}}, nil
}

func (e *errand) Extend(context.Context, string) (time.Time, error) {
	return time.Now().Add(time.Minute), nil
}

func (e *errand) Ack(context.Context, string, ...queue.Failure) error {
	if e.acked++; e.acked == 3 {
		e.done()
	}
	return nil
}

func (e *errand) Nack(context.Context, string, queue.Failure) error { return nil }
