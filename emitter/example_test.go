package emitter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	sluice "github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/emitter"
)

// standIn is a distributor that accepts everything and has analyzed it at once.
func standIn() *httptest.Server {
	accepted := 0
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/records":
			body, _ := io.ReadAll(r.Body)
			n := strings.Count(string(body), "\n")
			accepted += n
			fmt.Fprintf(w, `{"accepted": %d, "rejected": 0, "errors": []}`, n)
		case "/v1/stats":
			json.NewEncoder(w).Encode(map[string]int{"accepted": accepted, "completed": accepted, "dead": 0, "depth": 0, "in_flight": 0})
		case "/v1/results":
			fmt.Fprintf(w, `{"records": %d, "emitters": {"demo-1": {"analyzed": %d, "twice": 0, "ranges": [[1, %d]]}}}`, accepted, accepted, accepted)
		}
	}))
}

// An application sends its own records. The batcher posts many at a time, waits when the distributor pushes back, and tells
// at the end about records that were refused.
func ExampleBatcher() {
	server := standIn()
	defer server.Close()
	ctx := context.Background()

	client, err := emitter.NewClient(server.URL, emitter.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	batcher, err := client.NewBatcher(emitter.BatcherOptions{Interval: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 1200 {
		r := sluice.Record{Severity: "INFO", Body: fmt.Sprintf("user u-%d logged in", i)}
		if err := batcher.Add(ctx, r); err != nil {
			log.Fatal(err)
		}
	}
	if err := batcher.Close(ctx); err != nil {
		log.Fatal(err)
	}
	stats := client.Stats()
	fmt.Println(stats.Accepted, "accepted,", stats.Rejected, "rejected")
	// Output: 1200 accepted, 0 rejected
}

// A load test that ends with an account of every record.
func ExamplePool() {
	server := standIn()
	defer server.Close()
	ctx := context.Background()

	client, err := emitter.NewClient(server.URL, emitter.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	pool, err := emitter.NewPool(client, emitter.PoolOptions{Records: 5000, RunID: "demo"})
	if err != nil {
		log.Fatal(err)
	}
	if err := pool.Run(ctx); err != nil {
		log.Fatal(err)
	}
	account, err := emitter.Verify(ctx, client, pool.Accounts(), emitter.VerifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(account)
	// Output:
	// sent                        5,000
	// acknowledged                5,000
	// analyzed                    5,000
	// dead letters                    0
	// lost                            0
	// analyzed twice                  0
	// analyzed, not acknowledged      0
	// nothing lost
}

// A profile is a running total, so it can be looked at without waiting.
func ExampleParseProfile() {
	profile, err := emitter.ParseProfile("spike:100-5000@20s+10s")
	if err != nil {
		log.Fatal(err)
	}
	for _, at := range []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute} {
		fmt.Printf("%4v: %d records\n", at, profile.Due(at))
	}
	_, err = emitter.ParseProfile("ramp:0-2000")
	fmt.Println(err)
	// Output:
	//  10s: 1000 records
	//  20s: 2000 records
	//  30s: 52000 records
	// 1m0s: 55000 records
	// load profile "ramp:0-2000": a "/" is missing; write it like ramp:0-2000/60s
}

func ExampleGenerator() {
	g, err := emitter.NewGenerator(emitter.GeneratorOptions{Emitter: "demo-1", Seed: 3})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(g.Append(nil, 2, time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC))))
	// Output:
	// {"timestamp":"2026-01-31T12:00:00.000Z","severity":"INFO","body":"payment accepted order=o-5864127 amount=373.79 EUR","resource":{"service.name":"checkout","host.name":"checkout-2"},"attributes":{"sluice.emitter":"demo-1","sluice.seq":1}}
	// {"timestamp":"2026-01-31T12:00:00.000Z","severity":"INFO","body":"POST /login 201 15ms","resource":{"service.name":"gateway","host.name":"gateway-3"},"attributes":{"sluice.emitter":"demo-1","sluice.seq":2}}
}

func ExampleProgressLine() {
	fmt.Println(emitter.ProgressLine(emitter.Stats{
		ElapsedSeconds: 12.4, Sent: 51200, Acknowledged: 50000, RatePerSecond: 4100, PushedBack: 3, Retries: 1,
	}))
	// Output: 12.4s  sent 51,200  acked 50,000  4,100/s  pushed back 3  retries 1
}
