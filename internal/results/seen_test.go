package results

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// counts wants each of n batches to be in the totals once.
func counts(t *testing.T, s *Store, n int64, when string) {
	t.Helper()
	if got := s.Totals(); got.Records != n || got.Batches != n || got.Emitters["e"].Twice != 0 {
		t.Errorf("%s: %d records in %d batches, %d twice; want %d in %[5]d, 0", when, got.Records, got.Batches, got.Emitters["e"].Twice, n)
	}
}

func TestABatchIsCountedOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{Sync: true, MaxBytes: 2000})
	var wg sync.WaitGroup
	for range 4 { // at once
		for n := range uint64(30) {
			wg.Go(func() {
				if err := s.Write(t.Context(), result(n+1)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	counts(t, s, 30, "four times at once")
	elsewhere := result(3)
	elsewhere.Analyzer, elsewhere.Time = "another", time.Now()
	if err := s.Write(t.Context(), elsewhere); err != nil {
		t.Error(err)
	}
	counts(t, s, 30, "by another analyzer")
	s.Close()
	for range 3 { // over restarts, and over files that are replaced meanwhile
		s = open(t, dir, Options{MaxBytes: 2000})
		write(t, s, 1, 15, 30)
		counts(t, s, 30, "after a restart")
		s.Close()
	}
	if err := os.Remove(filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	before := s.Totals().Records // those at the end of the file before
	write(t, s, 1, 2, 3)
	if n := s.Totals().Records; n != before || n == 0 {
		t.Errorf("%d records, want the %d of the file before", n, before)
	}
}

func TestABatchIsCountedOnceInMemoryToo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	write(t, s, 1)
	s.fallBehind(os.ErrPermission)
	write(t, s, 1, 2, 2)
	counts(t, s, 2, "in memory alone")
	s.catchUp()
	write(t, s, 2, 3)
	counts(t, s, 3, "in the file again")
	s.Close()
	s = open(t, dir, Options{})
	write(t, s, 1, 2, 3)
	counts(t, s, 3, "after a restart")
}

// TestAFileBegunMeanwhileDoesNotKnowWhatIsOnItsWay: a crash between the two would lose the result, since its batch comes again.
func TestAFileBegunMeanwhileDoesNotKnowWhatIsOnItsWay(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	s.commit.Lock()
	done := make(chan error)
	go func() { done <- s.Write(t.Context(), result(1)) }()
	for waiting := false; !waiting; {
		s.mu.Lock()
		waiting = len(s.pending) == 1
		s.mu.Unlock()
	}
	if err := s.begin("", ""); err != nil {
		t.Fatal(err)
	}
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s.commit.Unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	counts(t, s, 1, "without a crash")
	after := open(t, crashed, Options{})
	write(t, after, 1)
	counts(t, after, 1, "after a crash")
}

func TestResultsOfEarlierVersionsAreReadOnce(t *testing.T) {
	dir := t.TempDir()
	first, second, again := text(t, result(1)), text(t, result(2)), text(t, result(1))
	old := `{"totals":{"batches":0,"records":0},"version":1}` + "\n" + first + "\n" + second + "\n" + again + "\n"
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, Options{})
	write(t, s, 2)
	counts(t, s, 2, "of an earlier version")
}

func TestTheWindowMovesOn(t *testing.T) {
	var s seen
	for i := range window + 10 {
		if !s.add(fmt.Sprint(i)) {
			t.Fatalf("%d is known already", i)
		}
	}
	if !s.add("9") || s.add(fmt.Sprint(window)) || len(s.known) != window {
		t.Errorf("%d are remembered, want the last %d", len(s.known), window)
	}
	b, err := json.Marshal(&s)
	if err != nil {
		t.Fatal(err)
	}
	var back seen
	if err := json.Unmarshal(b, &back); err != nil || back.add(fmt.Sprint(window)) || len(back.known) != window || !back.add("one more") || !back.add("11") || back.add("13") {
		t.Errorf("%d are remembered after a restart, %v; the oldest must go first", len(back.known), err)
	}
	for _, wrong := range []string{`"x"`, `"AAAA"`, `7`} {
		if json.Unmarshal([]byte(wrong), &back) == nil {
			t.Errorf("%s was read", wrong)
		}
	}
	for range 2 {
		if !s.add("") {
			t.Error("results without a batch are one")
		}
	}
}
