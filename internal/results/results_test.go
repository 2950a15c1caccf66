package results

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/internal/ranges"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("RESULTS_TEST_WRITE_TO"); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

func open(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// result is one record of emitter e with number n.
func result(n uint64) count.Result {
	var numbers ranges.Set
	numbers.Add(n, n)
	return count.Result{
		Batch: fmt.Sprint("batch-", n), Time: time.Unix(int64(n), 0).UTC(), Records: 1, Bytes: 10,
		BySeverity: map[string]count.Tally{"INFO": {Records: 1, Bytes: 10}},
		ByService:  map[string]count.Tally{"api": {Records: 1, Bytes: 10}},
		Emitters:   map[string]*ranges.Set{"e": &numbers},
	}
}

func write(t *testing.T, s *Store, numbers ...uint64) {
	t.Helper()
	for _, n := range numbers {
		if err := s.Write(t.Context(), result(n)); err != nil {
			t.Fatalf("write %d: %v", n, err)
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTotalsSurviveReopening(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	s := open(t, dir, Options{})
	write(t, s, 1, 2, 5)
	again := result(2) // a record that was sent twice
	again.Batch = "another"
	if err := s.Write(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	want := text(t, s.Totals())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), result(6)); !errors.Is(err, ErrClosed) {
		t.Errorf("Write after Close = %v, want ErrClosed", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close = %v, want nil", err)
	}

	s = open(t, dir, Options{})
	got := s.Totals()
	if text(t, got) != want {
		t.Errorf("totals after reopening: %s, want %s", text(t, got), want)
	}
	if e := got.Emitters["e"]; e.Analyzed != 3 || e.Twice != 1 {
		t.Errorf("%d analyzed, %d twice; want 3, 1", e.Analyzed, e.Twice)
	}
	got.Add(result(9)) // a copy
	if text(t, s.Totals()) != want {
		t.Error("a change of the copy changed the store")
	}
}

// TestAResultIsOnDiskBeforeWriteReturns looks at what the file has when it is synced.
func TestAResultIsOnDiskBeforeWriteReturns(t *testing.T) {
	dir := t.TempDir()
	for _, wanted := range []bool{true, false} {
		s := open(t, dir, Options{Sync: wanted})
		var durable atomic.Int64
		s.sync = func(f *os.File) error {
			info, err := f.Stat()
			if err == nil {
				durable.Store(info.Size())
			}
			return err
		}
		for n := range uint64(3) {
			write(t, s, n)
			info, err := os.Stat(filepath.Join(dir, FileName))
			if err != nil {
				t.Fatal(err)
			}
			if got := durable.Load(); wanted && got != info.Size() || !wanted && got != 0 {
				t.Errorf("Sync %v: Write returned with %d of %d bytes durable", wanted, got, info.Size())
			}
		}
		s.Close()
	}
}

func TestATornLineIsDropped(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	write(t, s, 1, 2)
	s.Close()
	path := filepath.Join(dir, FileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(whole) - 1; cut > len(whole)-150; cut -= 37 {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, Options{})
		if n := s.Totals().Records; n != 1 || s.Damaged() != 0 {
			t.Errorf("cut at %d of %d: %d records, %d damaged; want 1, 0", cut, len(whole), n, s.Damaged())
		}
		write(t, s, 2)
		s.Close()
		if got, _ := os.ReadFile(path); !bytes.Equal(got, whole) {
			t.Errorf("cut at %d: after writing the line again, the file is not what it was", cut)
		}
	}
}

func TestTheFileIsReplacedWhenItIsLong(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{MaxBytes: 2000})
	for n := range uint64(100) {
		write(t, s, n+1)
		for _, name := range []string{FileName, OldFileName} {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Size() > 3000+16*int64(n+1) {
				t.Fatalf("%s has %d bytes after %d results, want about 2000, a line of totals, and 16 for each batch", name, info.Size(), n+1)
			}
		}
	}
	want := text(t, s.Totals())
	s.Close()
	if names := fileNames(t, dir); names != "results.1.ndjson results.ndjson" {
		t.Errorf("files %s, want the present and the old one", names)
	}
	s = open(t, dir, Options{})
	if got := text(t, s.Totals()); got != want || s.Totals().Records != 100 {
		t.Errorf("totals after reopening: %s, want %s", got, want)
	}
}

func fileNames(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestACrashWhileTheFileIsReplaced stops after each step of the replacement and opens the folder again.
func TestACrashWhileTheFileIsReplaced(t *testing.T) {
	for name, crash := range map[string]func(s *Store) error{
		"the new file is torn": func(s *Store) error {
			return os.WriteFile(s.path("."+FileName+"123"), []byte(`{"totals":{"rec`), 0o644)
		},
		"the old file is moved": func(s *Store) error { return os.Rename(s.path(FileName), s.path(OldFileName)) },
		"all is done":           func(s *Store) error { return s.begin("", "") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, Options{})
			write(t, s, 1, 2, 3)
			want := text(t, s.Totals())
			if err := crash(s); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, Options{})
			if got := text(t, s.Totals()); got != want {
				t.Errorf("totals %s, want %s", got, want)
			}
			write(t, s, 4)
			if names := fileNames(t, dir); strings.Contains(names, "123") {
				t.Errorf("files %s, want no unfinished one left", names)
			}
		})
	}
}

func TestConcurrentWritersShareTheirWayToTheDisk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{Sync: true, MaxBytes: 100_000})
	s.commit.Lock() // the disk is busy, so a group gathers
	var writers sync.WaitGroup
	const n = 500
	for i := range uint64(n) {
		writers.Go(func() {
			if err := s.Write(t.Context(), result(i+1)); err != nil {
				t.Errorf("write %d: %v", i+1, err)
			}
			s.Totals()
		})
	}
	for { // until all have joined
		s.mu.Lock()
		joined := len(s.next.results)
		s.mu.Unlock()
		if joined == n {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, result(n+1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Write with a context that has ended = %v, want its error", err)
	}
	s.commit.Unlock()
	writers.Wait()
	s.Close()
	s = open(t, dir, Options{})
	if e := s.Totals().Emitters["e"]; e.Analyzed != n || e.Twice != 0 {
		t.Errorf("%d analyzed, %d twice; want %d, 0", e.Analyzed, e.Twice, n)
	}
}

func TestAWriterThatGivesUpDoesNotTakeOthersAlong(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	s.commit.Lock()
	ctx, cancel := context.WithCancel(t.Context())
	var leader, follower error
	var writers sync.WaitGroup
	writers.Go(func() { leader = s.Write(ctx, result(1)) })
	waitFor(s, 1)
	writers.Go(func() { follower = s.Write(t.Context(), result(2)) })
	waitFor(s, 2)
	cancel()
	s.commit.Unlock()
	writers.Wait()
	if !errors.Is(leader, context.Canceled) || follower != nil || s.Totals().Records != 2 {
		t.Errorf("errors %v and %v, %d records; want both counted and only the first to have given up", leader, follower, s.Totals().Records)
	}
}

func waitFor(s *Store, joined int) {
	for {
		s.mu.Lock()
		n := len(s.next.results)
		s.mu.Unlock()
		if n == joined {
			return
		}
	}
}

func TestOpenRefusesBadOptionsAlone(t *testing.T) {
	if _, err := Open(t.TempDir(), Options{MaxBytes: -1}); err == nil {
		t.Error("MaxBytes -1 = nil, want an error")
	}
}

// writeUntilKilled is the other process of the next test: it writes and says how far it got.
func writeUntilKilled(dir string) {
	s, err := Open(dir, Options{MaxBytes: 5000})
	for n := uint64(1); err == nil; n++ {
		if err = s.Write(context.Background(), result(n)); err == nil {
			fmt.Println(n)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func TestWhatWasWrittenSurvivesSIGKILL(t *testing.T) {
	for _, after := range []int{1, 50, 333} {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "RESULTS_TEST_WRITE_TO="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range after {
			lines.Scan()
		}
		cmd.Process.Kill()
		last := lines.Text()
		for lines.Scan() {
			last = lines.Text()
		}
		io.Copy(io.Discard, out)
		cmd.Wait()
		acknowledged, err := strconv.Atoi(last)
		if err != nil || acknowledged < after {
			t.Fatalf("the last line is %q, %v; want at least %d", last, err, after)
		}
		s := open(t, dir, Options{})
		if e := s.Totals().Emitters["e"]; e == nil || int(e.Analyzed) < acknowledged || e.Twice != 0 {
			t.Errorf("%d were written, totals hold %+v", acknowledged, e)
		}
	}
}
