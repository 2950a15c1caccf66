package slo

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// open makes a tracker that keeps a file.
func open(path string, now time.Time, log *slog.Logger) *Tracker {
	t := New(0.999, now)
	t.Keep(path, now, log)
	return t
}

var quiet = slog.New(slog.DiscardHandler)

// kept writes a file with 100 late records of 400, and 3 dead.
func kept(t *testing.T, path string) {
	t.Helper()
	k := open(path, noon, quiet)
	k.SetSLO(10 * time.Second)
	k.Done(noon.Add(-20*time.Second), noon, 100)
	k.Done(noon.Add(-time.Second), noon, 300)
	k.Dead(noon, 3)
	k.Save(noon)
}

func TestWindowsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slo.json")
	kept(t, path)
	k := open(path, noon.Add(time.Minute), quiet)
	r := k.Report(noon.Add(time.Minute))
	if r.Done != 0 || r.Dead != 0 || r.Late != nil {
		t.Errorf("counts since the start are %+v, want none", r)
	}
	for _, w := range r.Windows {
		same(t, w.Name+" late", w.Late, 100)
		if w.Done != 400 || w.Judged != 400 || w.Dead != 3 || *w.P50 < 1 || *w.P50 > 1.07 || *w.P99 < 20 || *w.P99 > 21.3 {
			t.Errorf("%+v, want what was kept", w)
		}
	}
	if !r.Since.Equal(noon) {
		t.Errorf("measured since %v, want %v", r.Since, noon)
	}
	k.Done(noon, noon.Add(time.Minute), 5) // no SLO is known yet
	k.Save(noon.Add(time.Minute))
	again := open(path, noon.Add(2*time.Minute), quiet)
	if got, want := again.Report(noon.Add(2*time.Minute)).Windows, k.Report(noon.Add(2*time.Minute)).Windows; !reflect.DeepEqual(got, want) || got[0].Done != 405 || got[0].Judged != 400 {
		t.Errorf("windows are %+v, want %+v", got, want)
	}
	// What is older than its window is left out.
	old := open(path, noon.Add(2*time.Hour), quiet).Report(noon.Add(2 * time.Hour))
	if old.Windows[0].Done != 0 || old.Windows[1].Done != 405 || old.Windows[2].Done != 405 {
		t.Errorf("two hours later the windows are %+v", old.Windows)
	}
}

// TestWhatTheStartReports: a queue may give up records while it is opened, before the file is read.
func TestWhatTheStartReports(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slo.json")
	kept(t, path)
	k := New(0.999, noon)
	k.Dead(noon, 2)
	k.Done(noon, noon, 1)
	k.Keep(path, noon, quiet)
	if w := k.Report(noon).Windows[2]; w.Dead != 5 || w.Done != 401 || *w.P99 < 20 {
		t.Errorf("%+v, want what was kept and what was reported", w)
	}
}

// TestDamage: the process starts with empty windows, keeps the file, and writes a new one.
func TestDamage(t *testing.T) {
	good := filepath.Join(t.TempDir(), "slo.json")
	kept(t, good)
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(s), 0o600) }
	}
	change := func(from, to string) func(string) error {
		if !bytes.Contains(whole, []byte(from)) {
			t.Fatalf("the file has no %s: %s", from, whole)
		}
		return text(strings.Replace(string(whole), from, to, 1))
	}
	folder := func(path string) error { os.Remove(path); return os.MkdirAll(filepath.Join(path, "x"), 0o755) }
	for _, c := range []struct {
		name   string
		damage func(path string) error
		done   int64 // as read
		say    string
	}{
		{"as it was", text(string(whole)), 400, ""},
		{"missing", os.Remove, 0, ""},
		{"empty", text(""), 0, "unexpected end"},
		{"torn", text(string(whole[:len(whole)/2])), 0, "unexpected end"},
		{"zeros", text(strings.Repeat("\x00", 200)), 0, "invalid character"},
		{"foreign bytes", text("\x7fELF\x02\x01\x01"), 0, "invalid character"},
		{"foreign JSON", text(`[1, 2]`), 0, "cannot unmarshal"},
		{"other types", change(`"done":400`, `"done":"many"`), 0, "cannot unmarshal"},
		{"a digit changed in a count", change(`"done":400`, `"done":900`), 0, "900 done"},
		{"more late than judged", change(`"late":100`, `"late":401`), 0, "401 records late"},
		{"a count below zero", change(`"dead":3`, `"dead":-3`), 0, "400 done"},
		{"a place that is none", change(`"waits":[[`, `"waits":[[1234567,0],[`), 0, "place 1234567"},
		{"a place below zero", change(`"waits":[[`, `"waits":[[-1,0],[`), 0, "place -1"},
		{"too large", text(strings.Repeat(" ", fileMost+1)), 0, "must be at most"},
		{"no version", text(`{}`), 0, "format version 0"},
		{"another version", text(`{"version": 2, "windows": "many"}`), 0, "use the version of Sluice that wrote it"},
		{"read-only", func(p string) error { return os.Chmod(p, 0o400) }, 400, ""},
		{"a folder", folder, 0, "not a regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "slo.json")
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			var said bytes.Buffer
			k := open(path, noon, slog.New(slog.NewTextHandler(&said, nil)))
			for _, w := range k.Report(noon).Windows {
				if w.Done != c.done {
					t.Errorf("%s: %d records, want %d", w.Name, w.Done, c.done)
				}
			}
			if n := strings.Count(said.String(), "level=WARN"); (n == 0) != (c.say == "") || n > 1 || !strings.Contains(said.String(), c.say) {
				t.Errorf("logged %s, want one warning with %q", said.String(), c.say)
			}
			after, err := os.ReadFile(path + ".bad-1")
			if _, serr := os.Stat(path + ".bad-1"); (serr == nil) != (c.say != "") || err == nil && !bytes.Equal(before, after) {
				t.Errorf("set aside is %q, %v; want %q: %v", after, serr, before, c.say != "")
			}
			for i, change := range []func(string) error{text("x"), os.Remove, folder} { // while it runs
				k.Done(noon, noon, 1)
				k.Save(noon)
				if got := open(path, noon, quiet).Report(noon).Windows[0].Done; got != c.done+int64(i)+1 {
					t.Errorf("written are %d records, want %d", got, c.done+int64(i)+1)
				}
				if err := change(path); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestAFolderThatIsGoneIsToldOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(dir, "slo.json")
	var said bytes.Buffer
	k := open(path, noon, slog.New(slog.NewTextHandler(&said, nil)))
	for i := range 3 {
		k.Done(noon, noon, 1)
		k.Save(noon)
		if i == 1 {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	k.Save(noon) // nothing new
	if n := strings.Count(said.String(), "\n"); n != 2 || !strings.Contains(said.String(), "kept again") {
		t.Errorf("logged %s, want that it is not kept, and then that it is", said.String())
	}
	if got := open(path, noon, quiet).Report(noon).Windows[0].Done; got != 3 {
		t.Errorf("%d records were kept, want all 3", got)
	}
}

func TestOthersThanFilesAreLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	k := open(path, noon, quiet)
	k.Done(noon, noon, 1)
	k.Save(noon)
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the pipe is %v, %v now", info, err)
	}
}

// TestTheFileIsBounded fills all slots with all waits.
func TestTheFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slo.json")
	k := open(path, noon, quiet)
	end := noon.Add(8 * 24 * time.Hour)
	step := 15 * time.Minute
	for at := noon; at.Before(end); at = at.Add(step) {
		if end.Sub(at) <= 2*time.Hour {
			step = time.Minute
		}
		for wait := time.Millisecond; wait < longWait; wait += wait/perDouble + time.Millisecond {
			k.Done(at.Add(-wait), at, 1_000_003)
		}
	}
	k.Save(end)
	info, err := os.Stat(path)
	if err != nil || info.Size() > fileMost/2 {
		t.Errorf("the file is %v, %v; want at most half of what is read", info, err)
	}
	if got, want := fmt.Sprint(open(path, end, quiet).Report(end).Windows[2].Done), fmt.Sprint(k.Report(end).Windows[2].Done); got != want {
		t.Errorf("%s records were kept, want %s", got, want)
	}
}
