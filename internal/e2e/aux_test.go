package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFilesThatOnlyHelpNeverStopAStart starts on a folder in which every file but the queue's own is of something else, and once
// more on one in which each is a folder.
func TestFilesThatOnlyHelpNeverStopAStart(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	server := serve(t, "run", "--data", data, "--handler", "count")
	server.accept(t, lines(300, 50))
	server.settled(t)
	server.stop()
	today := time.Now().UTC().Format(time.DateOnly)
	files := []string{"autoscaler.json", "results/results.ndjson", "results/results.1.ndjson",
		"history/" + today + ".csv", "history/series/" + today + ".csv", "history/decisions/" + today + ".jsonl", "slo.json"}
	for round, damage := range []func(path string) error{
		func(path string) error {
			return os.WriteFile(path, []byte("\x7fELF\x02\x01\n\x00\xff\n\n\x00end"), 0o644)
		},
		func(path string) error { os.Remove(path); return os.MkdirAll(filepath.Join(path, "x"), 0o755) },
	} {
		for _, file := range files {
			path := filepath.Join(data, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
		}
		server = server.again()
		server.accept(t, lines(200, 50))
		if st := server.settled(t); st.Completed != int64(300+200*(round+1)) || st.Dead != 0 {
			t.Errorf("round %d: %d records completed, %d dead; want %d, 0", round, st.Completed, st.Dead, 300+200*(round+1))
		}
		var totals struct{ Records int64 }
		ask(t, "GET", server.url+"/v1/results", "").decode(t, &totals)
		if totals.Records != 200 {
			t.Errorf("round %d: results have %d records, want the 200 since the damage", round, totals.Records)
		}
		waitFor(t, "the history to be written", func() bool {
			info, err := os.Stat(filepath.Join(data, files[3]))
			return err == nil && info.Mode().IsRegular() || time.Now().UTC().Format(time.DateOnly) != today
		})
		server.stop()
		log := server.stderr.String()
		for _, file := range files {
			if file == "results/results.1.ndjson" { // it is read where the other one cannot be, and replaced
				continue
			}
			bad := filepath.Join(data, file) + ".bad-" + string(rune('1'+round))
			if _, err := os.Stat(bad); err != nil || !strings.Contains(log, bad) {
				t.Errorf("round %d: %s: %v; named in the log: %v", round, bad, err, strings.Contains(log, bad))
			}
		}
		if strings.Contains(log, `"level":"ERROR"`) {
			t.Errorf("round %d: an error was logged: %s", round, log)
		}
	}
}
