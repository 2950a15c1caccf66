package history

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var midday = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func quiet(dir string) Options {
	return Options{Dir: dir, Days: 3, Logger: slog.New(slog.DiscardHandler)}
}

func point(i int) Point {
	return Point{Time: midday.Unix() + int64(i)*10, Depth: int64(i), InFlight: 1, OldestWait: float64(i) / 4, In: 2, Out: 1, InBytes: 100,
		Failed: 1, Size: int64(i), Named: int64(i), Ready: 1, Draining: 2, Busy: 3, Dead: 4}
}

func TestASeriesSurvivesItsProcess(t *testing.T) {
	o := quiet(t.TempDir())
	s := OpenSeries(o, midday)
	var want []Point
	for i := range 5000 { // 14 hours: over midnight
		want = append(want, point(i))
		s.Add(point(i))
	}
	end := time.Unix(want[len(want)-1].Time, 0)
	// No Close: the process was killed, and then the power failed in the middle of a line.
	today := filepath.Join(o.Dir, "series", "2026-11-25.csv")
	f, err := os.OpenFile(today, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("17640")
	f.Close()

	s = OpenSeries(o, end)
	step, got := s.Since(midday.Add(-time.Hour), 0)
	if step != Step || !slices.Equal(got, want) {
		t.Fatalf("after a restart there are %d points with step %v, want %d with %v", len(got), step, len(want), Step)
	}
	next := point(5000)
	s.Add(next)
	s.Close()
	text, err := os.ReadFile(today)
	if err != nil || !strings.HasSuffix(string(text), "\n"+string(next.AppendRow(nil))+"\n") || strings.Contains(string(text), "\n17640"+"17") {
		t.Errorf("the file ends with %q, %v; want the last point on a line of its own", text[max(0, len(text)-120):], err)
	}
	if _, got := s.Since(time.Unix(want[4990].Time, 0), 0); len(got) != 10 || got[0] != want[4991] {
		t.Errorf("since the point 4990 there are %d, want 10", len(got))
	}
}

func TestTheClockIsSetBack(t *testing.T) {
	o := quiet(t.TempDir())
	s := OpenSeries(o, midday)
	for i := range 100 {
		s.Add(point(i))
	}
	for _, i := range []int{40, 41, 42} {
		s.Add(point(i))
	}
	check := func(when string) {
		t.Helper()
		_, got := s.Since(midday.Add(-time.Hour), 0)
		if len(got) != 43 || !slices.IsSortedFunc(got, func(a, b Point) int { return int(a.Time - b.Time) }) {
			t.Errorf("%s there are %d points, want 0 to 42, ascending", when, len(got))
		}
	}
	check("after the clock was set back")
	s.Close()
	s = OpenSeries(o, midday.Add(time.Hour))
	check("after a restart")
}

func TestASeriesIsThinned(t *testing.T) {
	s := OpenSeries(Options{}, midday) // in memory only
	sum := int64(0)
	for i := range 3600 {
		s.Add(point(i))
		sum += 2
	}
	step, got := s.Since(midday.Add(-time.Second), 100)
	if len(got) > 101 || len(got) < 50 || step < 6*time.Minute || step%Step != 0 {
		t.Errorf("%d points with step %v, want about 100", len(got), step)
	}
	in, last := int64(0), got[len(got)-1]
	for _, p := range got {
		in += p.In
	}
	if in != sum || last.Depth != 3599 || last.Size != 3599 || last.Time != point(3599).Time {
		t.Errorf("%d records came in, the last point is %+v; want %d, and the last values", in, last, sum)
	}
}

func TestOldDaysAreDeletedAndOthersLeftAlone(t *testing.T) {
	o := quiet(t.TempDir())
	dir := filepath.Join(o.Dir, "series")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"2026-11-20.csv", "2026-11-21.csv.bad-1", "2026-11-20.csv.bad-3", "notes.txt", "2026-11-20.csv.bak"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := OpenSeries(o, midday)
	s.Add(point(0))
	s.Close()
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"2026-11-20.csv.bak", "2026-11-21.csv.bad-1", "2026-11-24.csv", "notes.txt"}; !slices.Equal(names, want) {
		t.Errorf("left are %q, want %q", names, want)
	}
}

func TestADiskThatTakesNothingIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	file := filepath.Join(t.TempDir(), "file")
	o := Options{Dir: filepath.Join(file, "history"), Days: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := OpenSeries(o, midday)
	log.Reset()
	for i := range 5 {
		s.Add(point(i))
	}
	if n := strings.Count(log.String(), "not kept"); n != 1 {
		t.Errorf("told %d times, want once: %s", n, log.String())
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	s.Add(point(5))
	if !strings.Contains(log.String(), "kept again") {
		t.Errorf("not told that it works again: %s", log.String())
	}
	if _, got := s.Since(midday.Add(-time.Second), 0); len(got) != 6 {
		t.Errorf("%d points in memory, want all 6", len(got))
	}
}

func TestAJournalSurvivesItsProcess(t *testing.T) {
	o := quiet(t.TempDir())
	timeOf := func(line []byte) (time.Time, bool) {
		at, err := time.Parse(time.RFC3339, string(line))
		return at, err == nil
	}
	j := OpenJournal(o, "decisions", midday, timeOf)
	for i := range 30 {
		at := midday.Add(time.Duration(i) * time.Hour)
		j.Add(Line{at, []byte(at.Format(time.RFC3339))})
	}
	now := midday.Add(30 * time.Hour)
	j = OpenJournal(o, "decisions", now, timeOf)
	got := j.Before(midday.Add(20*time.Hour), 3)
	if len(got) != 3 || !got[0].Time.Equal(midday.Add(17*time.Hour)) || !got[2].Time.Equal(midday.Add(19*time.Hour)) {
		t.Errorf("before 20 h: %v, want 17 h to 19 h", got)
	}
	if n := len(j.Before(now, 100)); n != 30 {
		t.Errorf("%d lines, want 30", n)
	}
	for i := range mostLines + 5 {
		j.Add(Line{now.Add(time.Duration(i)), []byte("x")})
	}
	if n := len(j.Before(now.Add(time.Hour), mostLines*2)); n != mostLines {
		t.Errorf("%d lines in memory, want at most %d", n, mostLines)
	}
	j.Close()
}
