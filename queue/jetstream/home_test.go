package jetstream

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehq/sluice/queue"
)

// wedge makes the queue's server wait for ever while it stops: the file that it wants to write is a pipe that nobody reads. The function
// returned lets it go on.
func wedge(t *testing.T, q *Queue) (release func()) {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skipf("no pipe can be made here: %v", err)
	}
	state := filepath.Join(q.home, filesName, "$G", "streams", streamPrefix+"0", "msgs", "index.db")
	if err := os.Link(pipe, state); err != nil {
		t.Fatal(err)
	}
	q.life.RLock()
	srv := q.e.srv
	q.life.RUnlock()
	var ended sync.WaitGroup
	ended.Go(srv.Shutdown)
	seen := 0 // in a row: other files are written too
	waitFor(t, "the server to get stuck", func() bool {
		stacks := make([]byte, 1<<20)
		if seen++; !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "os.WriteFile(") {
			seen = 0
		}
		return seen == 10
	})
	if err := os.Remove(state); err != nil { // the next server shall not get stuck too
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		f, err := os.Open(pipe)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		io.Copy(io.Discard, f)
		ended.Wait()
		srv.WaitForShutdown()
	})
	t.Cleanup(release)
	return release
}

// TestAServerThatDoesNotStopIsLeftBehind: it neither takes the queue along, nor does it harm when it goes on one day.
func TestAServerThatDoesNotStopIsLeftBehind(t *testing.T) {
	o := Options{Dir: t.TempDir(), Partitions: 1}
	q := openFor(t, o)
	q.stopWait = 200 * time.Millisecond
	putAll(t, q, batch(1), batch(2), batch(3))
	leases := leaseAll(t, q, 2)
	ackAll(t, q, leases[:1])
	release := wedge(t, q)

	q.raise("of a test")
	waitFor(t, "another server", func() bool { return q.Put(t.Context(), batch(4)) == nil })
	waitFor(t, "the acknowledgement of an old lease", func() bool { return q.Ack(t.Context(), leases[1].Token) == nil })
	release()
	expect(t, q, 3, 7, 0)
	if q.home == o.Dir {
		t.Error("the server was stopped after all: this test shows nothing")
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}

	q = openFor(t, o)
	expect(t, q, 3, 7, 0)
	if moved, _ := filepath.Glob(filepath.Join(o.Dir, movedName+"*")); len(moved) > 0 {
		t.Errorf("after a start there is still %q", moved)
	}
	ackAll(t, q, leaseAll(t, q, 2))
	expect(t, q, 10, 0, 0)
}

// TestCloseDoesNotWaitForEver: neither do those who ask meanwhile.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	o := Options{Dir: t.TempDir(), Partitions: 1}
	q := openFor(t, o)
	q.stopWait = 200 * time.Millisecond
	putAll(t, q, batch(1))
	release := wedge(t, q)
	if err := q.Close(); err == nil || !strings.Contains(err.Error(), "did not stop") {
		t.Errorf("Close says %v, want that the server did not stop", err)
	}
	release()
	q = openFor(t, o)
	expect(t, q, 0, 1, 0)
}

// TestNobodyWaitsForARestart: while the server is replaced, every call says so at once.
func TestNobodyWaitsForARestart(t *testing.T) {
	q := openFor(t, Options{Dir: t.TempDir()})
	putAll(t, q, batch(2), batch(1))
	leases := leaseAll(t, q, 1)
	q.life.Lock()
	calls := map[string]func() error{
		"Put":       func() error { return q.Put(t.Context(), batch(1)) },
		"Ack":       func() error { return q.Ack(t.Context(), leases[0].Token) },
		"Nack":      func() error { return q.Nack(t.Context(), leases[0].Token, queue.Failure{}) },
		"Dead":      func() error { _, err := q.Dead(t.Context(), 0, 1); return err },
		"DeadBatch": func() error { _, _, err := q.DeadBatch(t.Context(), 1); return err },
		"RetryDead": func() error { return q.RetryDead(t.Context(), 1) },
		"DropDead":  func() error { return q.DropDead(t.Context(), 1) },
		"Healthy":   q.Healthy,
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("%s says %v, want ErrUnavailable", name, err)
		}
	}
	if got, err := q.Lease(t.Context(), queue.Request{}); err != nil || len(got) > 0 {
		t.Errorf("Lease returns %v, %v; want nothing", got, err)
	}
	if st, err := q.Stats(t.Context()); err != nil || st.Accepted != 3 || st.InFlight+st.Waiting != 3 {
		t.Errorf("Stats says %+v, %v; want what was last known", st, err)
	}
	q.life.Unlock()
	ackAll(t, q, leases)
}

func TestFilesComeHome(t *testing.T) {
	dir := t.TempDir()
	if err := homeFiles(dir); err != nil {
		t.Errorf("a new folder: %v", err)
	}
	file := filepath.Join(dir, filesName, "file")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	at := dir
	for range 2 {
		to, err := moveFiles(dir, at)
		if err != nil {
			t.Fatal(err)
		}
		at = to
	}
	if err := homeFiles(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("moved twice and home again: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, movedName+"1", filesName), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := homeFiles(dir); err == nil || !strings.Contains(err.Error(), "both") {
		t.Errorf("files in two places: %v, want a refusal", err)
	}
}
