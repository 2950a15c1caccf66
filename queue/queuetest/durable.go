package queuetest

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// noise is a batch of one record that does not compress.
func noise(bytes int, seed uint64) *sluice.Batch {
	raw := make([]byte, bytes*3/4)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	return batch(base64.StdEncoding.EncodeToString(raw))
}

// RunDurable checks that batches outlive the queue: a clean end, and the sudden death of the process. It runs the test
// binary again, so it must be called by a test that does nothing else, whatever the environment.
func RunDurable(t *testing.T, open Open) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(t, open, dir)
		return
	}
	t.Run("what was put is there after a clean end", func(t *testing.T) { cleanEnd(t, open) })
	t.Run("the wait of a record counts over a restart", func(t *testing.T) { waitsOver(t, open) })
	t.Run("leases of other processes survive a restart", func(t *testing.T) { remoteLease(t, open) })
	t.Run("attempts survive a restart", func(t *testing.T) { attempts(t, open) })
	t.Run("nothing is lost or done twice when the process is killed", func(t *testing.T) { killed(t, open) })
	t.Run("a batch that ends the process is isolated", func(t *testing.T) { endsProcess(t, open) })
}

func cleanEnd(t *testing.T, open Open) {
	dir := t.TempDir()
	q := start(t, open, dir, quick)
	for _, w := range []string{"a", "b", "c", "dead"} {
		put(t, q, batch(w, w))
	}
	for range 4 {
		l := lease(t, q)
		switch words(t, l.Batch)[0] {
		case "a":
			ack(t, q, l)
		case "dead":
			nack(t, q, l, queue.Failure{Reason: "no", Discard: true})
		} // b and c stay leased: Close hands them back
	}
	if err := q.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	q = start(t, open, dir, quick)
	expect(t, q, 8, 2, 2, 4, 0)
	for range 2 {
		l := lease(t, q)
		if w := words(t, l.Batch)[0]; l.Attempt != 1 || w != "b" && w != "c" {
			t.Errorf("attempt %d of %q after the restart, want attempt 1 of b or c", l.Attempt, w)
		}
		ack(t, q, l)
	}
	expect(t, q, 8, 6, 2, 0, 0)
	if letters, err := q.Dead(t.Context(), 0, 5); err != nil || len(letters) != 1 || letters[0].Reason != "no" {
		t.Errorf("dead letters after the restart = %+v, %v", letters, err)
	}
}

func remoteLease(t *testing.T, open Open) {
	s := quick
	s.Lease = patience
	dir := t.TempDir()
	q := start(t, open, dir, s)
	put(t, q, batch("a"))
	l := leaseAs(t, q, queue.Request{Analyzer: "elsewhere", Remote: true, Wait: patience})
	if err := q.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	q = start(t, open, dir, s)
	expect(t, q, 1, 0, 0, 0, 1)
	if got, err := q.Lease(t.Context(), queue.Request{Wait: 50 * time.Millisecond}); err != nil || len(got) != 0 {
		t.Errorf("Lease = %d leases, %v; want none while the old lease is good", len(got), err)
	}
	if _, err := q.Extend(t.Context(), l.Token); err != nil {
		t.Errorf("Extend after the restart: %v", err)
	}
	ack(t, q, l)
	expect(t, q, 1, 1, 0, 0, 0)
}

func attempts(t *testing.T, open Open) {
	dir := t.TempDir()
	q := start(t, open, dir, quick)
	put(t, q, batch("a"))
	nack(t, q, lease(t, q), queue.Failure{Reason: "first"})
	for range queue.OftenHandedBack - 1 {
		nack(t, q, lease(t, q), queue.Failure{Reason: "leaving", HandBack: true})
	}
	lease(t, q) // which the end of the queue hands back once more
	if err := q.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	q = start(t, open, dir, quick)
	if st := stats(t, q); st.Returning != 1 {
		t.Errorf("%d batches keep returning after the restart, want 1", st.Returning)
	}
	if l := lease(t, q); l.Attempt != 2 || l.HandBacks != queue.OftenHandedBack {
		t.Errorf("attempt %d and %d hand-backs after the restart, want 2 and %d", l.Attempt, l.HandBacks, queue.OftenHandedBack)
	}
}

// The environment of a victim: the process that is killed.
const (
	victimDir  = "SLUICE_QUEUETEST_DIR"
	victimWork = "SLUICE_QUEUETEST_WORK" // "any": work as an innocent would; "poison": end at the word poison
)

// victim puts and works off batches until it is killed, and prints each step once it is done.
func victim(t *testing.T, open Open, dir string) {
	poisoned := os.Getenv(victimWork) == "poison"
	s := quick
	if !poisoned {
		s.Retry.SplitAfter = s.Retry.MaxAttempts // parts of a split batch would have other names
	}
	q, err := open(dir, s)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	go func() {
		for i := 0; !poisoned; i++ {
			b := batch(fmt.Sprint("x", i), "y")
			if err := q.Put(context.Background(), b); err == nil {
				fmt.Println("put", b.ID)
			}
		}
	}()
	for {
		leases, err := q.Lease(context.Background(), queue.Request{Max: 3, Wait: time.Second})
		if err != nil {
			t.Fatalf("Lease: %v", err)
		}
		for _, l := range leases {
			if poisoned && strings.Contains(strings.Join(words(t, l.Batch), " "), "poison") {
				os.Exit(3)
			}
			fmt.Println("ack", l.Batch.ID) // before the ack: from here on it may be gone
			if q.Ack(context.Background(), l.Token) == nil {
				fmt.Println("done", l.Batch.ID) // from here on it must not come back
			}
		}
		if st, err := q.Stats(context.Background()); poisoned && err == nil && st.Waiting+st.InFlight == 0 {
			fmt.Println("finished")
			return
		}
	}
}

// run starts the test binary again as a victim and returns what it printed until it ended, by itself or killed.
func run(t *testing.T, dir, work string, killAfter time.Duration) (lines []string) {
	t.Helper()
	top, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command(os.Args[0], "-test.run=^"+top+"$")
	cmd.Env = append(os.Environ(), victimDir+"="+dir, victimWork+"="+work)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	limit := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer limit.Stop()
	armed := false
	for s := bufio.NewScanner(out); s.Scan(); {
		lines = append(lines, s.Text())
		if killAfter > 0 && !armed { // counted from its first word, so that it has come to work
			armed = true
			time.AfterFunc(killAfter, func() { cmd.Process.Kill() })
		}
	}
	return lines
}

func killed(t *testing.T, open Open) {
	dir := t.TempDir()
	put, acked, done := map[string]bool{}, map[string]bool{}, map[string]bool{}
	leased := func(id string) {
		acked[id] = true
		if done[id] {
			t.Errorf("batch %s was acknowledged, and came back", id)
		}
	}
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		for _, line := range run(t, dir, "any", time.Duration(rand.IntN(150)+1)*time.Millisecond) {
			switch word, id, _ := strings.Cut(line, " "); word {
			case "put":
				put[id] = true
			case "ack":
				leased(id)
			case "done":
				done[id] = true
			}
		}
	}
	q := start(t, open, dir, quick)
	st := stats(t, q)
	if len(put) == 0 || st.Accepted < 2*int64(len(put)) {
		t.Errorf("%d batches of 2 records were put, but only %d records count as accepted", len(put), st.Accepted)
	}
	if st.Completed < 2*int64(len(done)) || st.Accepted != st.Completed+st.Waiting+st.InFlight {
		t.Errorf("%d batches of 2 records were acknowledged, but the counts are %+v", len(done), st)
	}
	for st.Waiting+st.InFlight > 0 {
		l := lease(t, q)
		leased(l.Batch.ID)
		ack(t, q, l)
		st = stats(t, q)
	}
	for id := range put {
		if !acked[id] {
			t.Errorf("batch %s was put and is gone, but nobody has acknowledged it", id)
		}
	}
	if st.Completed != st.Accepted {
		t.Errorf("after the last one: %+v, want all completed", st)
	}
}

func endsProcess(t *testing.T, open Open) {
	dir := t.TempDir()
	q := start(t, open, dir, quick)
	put(t, q, batch("a", "b", "poison", "c"))
	if err := q.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	for range 60 {
		if lines := run(t, dir, "poison", 0); slices.Contains(lines, "finished") {
			q = start(t, open, dir, quick)
			expect(t, q, 4, 3, 1, 0, 0)
			return
		}
	}
	t.Error("the process still ends after 60 starts: the record was not isolated")
}
