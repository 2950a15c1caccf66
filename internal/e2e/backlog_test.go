package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/emitter"
)

func TestALargeBacklogIsCountedExactlyHeldInLittleMemoryAndReadySoonAfterARestart(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	records := 500_000
	if variable("BIG") != "" {
		records = 5_000_000
	}
	dir := t.TempDir()
	server := serveBinary(t, plain(t), "distributor", "--data", dir)
	// No --verify: nobody analyzes here.
	begun := time.Now()
	e := begin(t, plain(t), "emit", "--records", fmt.Sprint(records), "--size", "200", "--batch", "2000", "--emitters", "4", "--json", "--distributor", server.url)
	if code := e.waitUntil(10 * time.Minute); code != 0 {
		t.Fatalf("emit ended with %d: %s", code, e.stderr.String())
	}
	var sent emitter.Stats
	if err := json.Unmarshal([]byte(e.stdout.String()), &sent); err != nil || sent.Acknowledged != int64(records) {
		t.Fatalf("emit: %v, acknowledged %d, want %d", err, sent.Acknowledged, records)
	}
	t.Logf("%d records, %d MB on disk, sent in %v", records, used(t, dir)>>20, time.Since(begun).Round(time.Millisecond))
	holds(t, "filled", server, records)

	for _, how := range []string{"SIGTERM", "SIGKILL"} {
		if how == "SIGTERM" {
			server.stop()
		} else {
			server.kill()
		}
		begun := time.Now()
		server = server.again()
		ready := time.Since(begun)
		if r := ask(t, "GET", server.url+"/readyz", ""); r.status != 200 {
			t.Errorf("after %s: %s, want ready", how, r)
		}
		t.Logf("ready %v after %s", ready.Round(time.Millisecond), how)
		if records == 5_000_000 && ready > 5*time.Second {
			t.Errorf("ready after %v, want at most 5s", ready)
		}
		holds(t, "after "+how, server, records)
	}

	// The backlog is worked off as well: all of it, where it is small.
	server.accept(t, lines(1, 200))
	pool := serveBinary(t, plain(t), "analyze", "--distributor", server.url, "--handler", "discard", "--min-size", "4", "--slots", "2")
	if records <= 500_000 {
		if st := server.settled(t); st.Completed != int64(records)+1 {
			t.Errorf("completed %d, want %d", st.Completed, records+1)
		}
	} else {
		waitFor(t, "some work to be done", func() bool { return server.stats(t).Completed > int64(records)/20 })
	}
	t.Logf("while analyzing: at most %d MB resident", server.mostResident(t)>>20)
	pool.stop()
	server.stop()
}

// holds checks what a server says and takes while it holds a backlog.
func holds(t *testing.T, when string, server *process, records int) {
	t.Helper()
	var took []time.Duration
	for range 100 {
		begun := time.Now()
		st := server.stats(t)
		took = append(took, time.Since(begun))
		if st.Depth != int64(records) || st.Accepted != int64(records) {
			t.Fatalf("%s: depth %d, accepted %d, want %d", when, st.Depth, st.Accepted, records)
		}
	}
	slices.Sort(took)
	now, most := server.resident(t), server.mostResident(t)
	t.Logf("%s: stats in %v (median) to %v, resident %d MB, at most %d MB", when,
		took[50].Round(10*time.Microsecond), took[98].Round(10*time.Microsecond), now>>20, most>>20)
	if now > mostMemory {
		t.Errorf("%s: %d MB resident, want at most %d MB", when, now>>20, int64(mostMemory)>>20)
	}
	if took[50] > 500*time.Millisecond { // milliseconds on a quiet machine
		t.Errorf("%s: stats take %v in the median, want milliseconds", when, took[50])
	}
	if !strings.Contains(must(t, "stats", "--distributor", server.url), "waiting") {
		t.Errorf("%s: sluice stats says nothing of what waits", when)
	}
}

// used is the size of all files in a folder.
func used(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				bytes += info.Size()
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
