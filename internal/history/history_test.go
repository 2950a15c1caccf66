package history

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/autoscale/simulate"
)

// noon is a moment from which tests count.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func at(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }

// recorder is a fresh one on a folder, with what it logs.
func recorder(t *testing.T, dir string) (*Recorder, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	return New(Options{Dir: dir, Days: 14, Logger: slog.New(slog.NewTextHandler(log, nil))}), log
}

// today is what the file of the day holds.
func today(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "2026-11-24.csv"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// rowsOf is the good rows of the file of the day.
func rowsOf(t *testing.T, dir string) []row {
	rows, _ := parse([]byte(today(t, dir)))
	return rows
}

// wantRows compares the file of the day, as offsets from noon, with what is wanted.
func wantRows(t *testing.T, dir, want string) {
	t.Helper()
	var b strings.Builder
	for _, r := range rowsOf(t, dir) {
		fmt.Fprintf(&b, "%d:%d ", r.second-12*3600, r.records)
	}
	if got := strings.TrimSpace(b.String()); got != want {
		t.Errorf("rows %q, want %q", got, want)
	}
	if _, err := simulate.ReadTrace(strings.NewReader(today(t, dir)), simulate.TraceOptions{}); err != nil {
		t.Errorf("the file is no trace: %v", err)
	}
}

func TestRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "history")
	r, log := recorder(t, dir)
	r.Flush(at(0))
	if _, err := os.Stat(dir); err == nil {
		t.Error("a folder was made before there was anything to write")
	}
	r.Add(at(0), 0)
	r.Add(at(1), 5)
	r.Add(at(2), 6)
	r.Flush(at(3))
	wantRows(t, dir, "1:5 2:6")
	r.Add(at(2), 94) // a row that was written grows
	r.Add(at(10), 7)
	r.Flush(at(11))
	r.Flush(at(12))
	wantRows(t, dir, "1:5 2:100 10:7")
	r.Add(at(20), 8)
	r.Close()
	wantRows(t, dir, "1:5 2:100 10:7 20:8")
	if log.Len() > 0 {
		t.Errorf("logged %s, want nothing", log)
	}
}

// A trace takes the greatest common divisor of its gaps for the width of its rows.
func TestRowsStayOneSecondWide(t *testing.T) {
	dir := t.TempDir()
	r, _ := recorder(t, dir)
	r.Add(at(0), 1)
	r.Flush(at(1))
	r.Close()
	r, _ = recorder(t, dir)
	for s := 10; s < 60; s += 10 {
		r.Add(at(s), 100)
	}
	r.Close()
	wantRows(t, dir, "0:1 1:0 10:100 20:100 30:100 40:100 50:100")
	tr, err := simulate.ReadTrace(strings.NewReader(today(t, dir)), simulate.TraceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if last := 12*3600 + 51; tr.Seconds() != last || tr.Records() != 501 {
		t.Errorf("the trace has %d seconds and %d records, want %d and 501", tr.Seconds(), tr.Records(), last)
	}
}

func TestRestartWithinASecond(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		r, _ := recorder(t, dir)
		r.Add(at(1), 10)
		if i > 0 {
			r.Add(at(1+i), 1)
		}
		r.Close()
	}
	wantRows(t, dir, "1:20 2:1 3:1")
}

func TestRepairsWhatWasTorn(t *testing.T) {
	tests := []struct{ name, before, want string }{
		{"half a row", "second,records\n43201,5\n43202,6\n4320", "1:5 2:6 9:1"},
		{"a row without its end", "second,records\n43200,4\n43201,5\n43202,6", "0:4 1:5 9:1"},
		{"half a header", "second,rec", "9:1"},
		{"nothing", "", "9:1"},
		{"no header", "43201,5\n43202,6\n", "1:5 2:6 9:1"},
		{"zeros of a power cut", "second,records\n43201,5\n43202,6\n\x00\x00\x00\x00", "1:5 2:6 9:1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "2026-11-24.csv"), []byte(test.before), 0o644); err != nil {
				t.Fatal(err)
			}
			r, log := recorder(t, dir)
			r.Flush(at(8))
			if len(test.want) > len("9:1") {
				wantRows(t, dir, strings.TrimSuffix(test.want, " 9:1"))
			} else if _, err := os.Stat(filepath.Join(dir, "2026-11-24.csv")); err == nil {
				t.Error("a file without a row is left")
			}
			r.Add(at(9), 1)
			r.Flush(at(10))
			wantRows(t, dir, test.want)
			if log.Len() > 0 {
				t.Errorf("logged %s, want nothing", log)
			}
		})
	}
}

// TestKilledAnywhere cuts a file off after any number of bytes: what comes after is a trace again.
func TestKilledAnywhere(t *testing.T) {
	full := string(text([]row{{43201, 5}, {43202, 60}, {43210, 777}}, true))
	for n := range len(full) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "2026-11-24.csv"), []byte(full[:n]), 0o644); err != nil {
			t.Fatal(err)
		}
		r, _ := recorder(t, dir)
		r.Add(at(99), 1)
		r.Close()
		if rows := rowsOf(t, dir); rows[len(rows)-1] != (row{43299, 1}) || !strings.HasPrefix(today(t, dir), header) {
			t.Errorf("after %d bytes: %q, want the new row at the end of a trace", n, today(t, dir))
		}
	}
}

func TestClockSetBack(t *testing.T) {
	dir := t.TempDir()
	r, log := recorder(t, dir)
	r.Add(at(100), 1)
	r.Add(at(101), 2)
	r.Flush(at(102))
	for s := range 102 { // an hour is lived again
		r.Add(at(s), 50)
		if s%5 == 0 {
			r.Flush(at(s))
		}
	}
	r.Add(at(102), 3)
	r.Add(noon.Add(-24*time.Hour), 9) // another day
	r.Add(at(103), 4)
	r.Close()
	wantRows(t, dir, "100:1 101:52 102:3 103:4")
	if n := strings.Count(log.String(), "set back"); n != 2 {
		t.Errorf("told %d times that the clock was set back, want once each time: %s", n, log)
	}
}

func TestDayIsOver(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"2026-11-01.csv.gz", "2026-11-09.csv.gz", "2026-11-10.csv.gz", "2026-11-11.csv", "2030-01-01.csv", "notes.txt",
		".2026-11-11.csv.gz123", "2026-11-01.csv.bad-1", "2026-11-20.csv.bad-1", ".bashrc.csv"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("second,records\n5,5\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, log := recorder(t, dir)
	midnight := noon.Add(12 * time.Hour)
	r.Add(midnight.Add(-2*time.Second), 1)
	r.Add(midnight.Add(-time.Second), 2)
	r.Flush(midnight.Add(-time.Second))
	r.Add(midnight, 3)
	r.Flush(midnight.Add(time.Second))
	r.Add(midnight.Add(-time.Second), 4) // the clock goes back a little
	r.Add(midnight.Add(time.Second), 5)
	r.Close()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := ".bashrc.csv 2026-11-11.csv.gz 2026-11-20.csv.bad-1 2026-11-24.csv.gz 2026-11-25.csv 2030-01-01.csv notes.txt"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("files\n got %s\nwant %s", got, want)
	}
	if got := unzip(t, filepath.Join(dir, "2026-11-24.csv.gz")); got != "second,records\n86398,1\n86399,2\n" {
		t.Errorf("the day before holds %q", got)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "2026-11-25.csv")); string(got) != "second,records\n0,3\n1,5\n" {
		t.Errorf("the new day holds %q", got)
	}
	if strings.Contains(log.String(), "not kept") {
		t.Errorf("logged %s", log)
	}
}

func unzip(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestQuietMidnight(t *testing.T) {
	dir := t.TempDir()
	r, log := recorder(t, dir)
	r.Add(at(0), 1)
	r.Flush(at(1))
	r.Flush(at(0).AddDate(0, 0, 1))  // nothing has come since
	r.Add(at(1), 1)                  // the clock was wrong for a moment
	r.Add(at(0).AddDate(0, 0, 1), 7) // and is right again
	r.Close()
	if got := unzip(t, filepath.Join(dir, "2026-11-24.csv.gz")); got != "second,records\n43200,1\n" {
		t.Errorf("the day before holds %q", got)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "2026-11-25.csv")); string(got) != "second,records\n43200,7\n" {
		t.Errorf("the new day holds %q: %s", got, log)
	}
}

// What cannot be written is told once, and what is left in memory is bounded.
func TestNoRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "history")
	r, log := recorder(t, dir)
	r.Add(at(0), 1)
	r.Flush(at(1))
	r.file.Close() // every write fails from now on
	for s := 1; s < 2000; s++ {
		r.Add(at(s), s)
		r.Flush(at(s))
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || len(r.rows) > mostPending {
		t.Errorf("told %d times with %d rows in memory, want once and at most %d: %s", n, len(r.rows), mostPending, log)
	}
	r.file = nil
	r.Add(at(2000), 2000)
	r.Close()
	if rows := rowsOf(t, dir); len(rows) != mostPending || rows[0] != (row{43200, 1}) || rows[1] != (row{43201, 1}) || rows[len(rows)-1] != (row{45200, 2000}) {
		t.Errorf("%d rows, %v ... %v, want the first two and the newest", len(rows), rows[:2], rows[len(rows)-1])
	}
	for _, wrong := range []string{"/proc/1/nowhere", dir + "/2026-11-24.csv/x"} {
		r, log := recorder(t, wrong)
		for s := range 9 {
			r.Add(at(s), 1)
			r.Flush(at(s))
		}
		r.Close()
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%s: told %d times, want once: %s", wrong, n, log)
		}
	}
}

// TestAnyLifeMakesTraces restarts, kills and turns the clock at random.
func TestAnyLifeMakesTraces(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		r, _ := recorder(t, dir)
		now, sum, most := noon.Add(12*time.Hour-time.Duration(random.IntN(300))*time.Second), 0, 0
		for range 300 {
			now = now.Add(time.Second)
			switch n := random.IntN(50); n {
			case 0:
				now = now.Add(-time.Duration(random.IntN(90)) * time.Second)
			case 1:
				r.Close()
				r, _ = recorder(t, dir)
			case 2: // killed: what was not flushed is lost
				r, _ = recorder(t, dir)
			case 3:
				now = now.Add(time.Duration(random.IntN(90)) * time.Second)
			default:
				r.Add(now, n)
				sum += n
			}
			if random.IntN(5) == 0 {
				r.Flush(now)
			}
		}
		r.Close()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			f, err := os.Open(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			tr, err := simulate.ReadTrace(f, simulate.TraceOptions{})
			f.Close()
			if err != nil {
				t.Errorf("seed %d: %s is no trace: %v", seed, e.Name(), err)
				continue
			}
			most += tr.Records()
		}
		if most > sum || most == 0 {
			t.Errorf("seed %d: %d records in the files, want some and at most the %d that came", seed, most, sum)
		}
	}
}
