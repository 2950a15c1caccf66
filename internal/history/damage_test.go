package history

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asNobody runs a function whose file accesses are those of a user without rights.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Getuid() != 0 {
		do()
		return
	}
	runtime.LockOSThread() // the calls are for one thread
	defer runtime.UnlockOSThread()
	syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
	defer syscall.RawSyscall(syscall.SYS_SETFSUID, 0, 0, 0)
	if id, _, _ := syscall.RawSyscall(syscall.SYS_SETFSUID, ^uintptr(0), 0, 0); id != 65534 {
		t.Skip("the user of file accesses cannot be changed")
	}
	do()
}

// kind is one of the files of a history, which has three lines, one every ten seconds from noon on.
type kind struct {
	file string
	// use opens the file, adds the n-th line where n is not negative, runs during, adds the next one, and returns how many lines
	// there are after another start.
	use func(o Options, n int, during func()) int
}

var kinds = []kind{
	{"2026-11-24.csv", func(o Options, n int, during func()) int {
		r := New(o)
		for i, do := range []func(){during, func() {}} {
			if n >= 0 {
				r.Add(at(10*(n+i)), 1)
				r.Flush(at(10 * (n + i)))
				do()
			}
		}
		r.Close()
		data, _ := os.ReadFile(path(o.Dir, dayOf(noon)))
		rows, bad := parse(data)
		if bad > 0 {
			return -bad
		}
		sum := 0
		for _, r := range rows { // the second after the first row is there in any case
			sum += r.records
		}
		return sum
	}},
	{"series/2026-11-24.csv", func(o Options, n int, during func()) int {
		s := OpenSeries(o, at(100))
		for i, do := range []func(){during, func() {}} {
			if n >= 0 {
				s.Add(point(n + i))
				do()
			}
		}
		s.Close()
		_, points := OpenSeries(o, at(100)).Since(noon.Add(-time.Hour), 0)
		return len(points)
	}},
	{"decisions/2026-11-24.jsonl", func(o Options, n int, during func()) int {
		timeOf := func(line []byte) (at time.Time, ok bool) {
			at, err := time.Parse(`{"time":"`+time.RFC3339+`"}`, string(line))
			return at, err == nil
		}
		j := OpenJournal(o, "decisions", at(100), timeOf)
		for i, do := range []func(){during, func() {}} {
			if n >= 0 {
				j.Add(Line{at(n + i), []byte(at(n + i).Format(`{"time":"` + time.RFC3339 + `"}`))})
				do()
			}
		}
		j.Close()
		return len(OpenJournal(o, "decisions", at(100), timeOf).Before(at(1000), 1000))
	}},
}

const binary = "\x7fELF\x02\x01\n\x00\xff\xfe\n\n\x00end"

// TestDamage: no kind of damage keeps a history from going on, and what cannot be read is kept.
func TestDamage(t *testing.T) {
	put := func(change func(b []byte) []byte) func(string, []byte) error {
		return func(p string, b []byte) error { return os.WriteFile(p, change(bytes.Clone(b)), 0o644) }
	}
	cut := func(n int) func(string, []byte) error { return put(func(b []byte) []byte { return b[:len(b)-n] }) }
	for _, c := range []struct {
		name   string
		damage func(path string, whole []byte) error
		lost   int  // of four lines
		bad    bool // the file is set aside
		warn   bool
	}{
		{"as it was", put(func(b []byte) []byte { return b }), 0, false, false},
		{"missing", func(p string, _ []byte) error { return os.Remove(p) }, 4, false, false},
		{"empty", put(func([]byte) []byte { return nil }), 4, false, false},
		{"torn in the first line", put(func(b []byte) []byte { return b[:5] }), 4, false, false},
		{"torn in the last line", cut(3), 1, false, false},
		{"torn before the line's end", cut(1), 1, false, false},
		{"zeros at the end", put(func(b []byte) []byte { return append(b, make([]byte, 5000)...) }), 0, false, false},
		{"all zeros", put(func(b []byte) []byte { return make([]byte, len(b)) }), 4, false, false},
		{"foreign bytes", put(func([]byte) []byte { return []byte(binary) }), 4, true, true},
		{"foreign text without an end", put(func([]byte) []byte { return []byte("PK and so on") }), 4, true, true},
		{"a foreign line at the end", put(func(b []byte) []byte { return append(b, "no line\n"...) }), 0, true, true},
		{"another version", put(func([]byte) []byte { return []byte("v2,a,b\n1,2,x\n") }), 4, true, true},
		{"too large", func(p string, _ []byte) error { return os.Truncate(p, mostDaily+1) }, 4, true, true},
		{"read-only", func(p string, _ []byte) error { return os.Chmod(p, 0o444) }, 0, false, true},
		{"may not be read", func(p string, _ []byte) error { return os.Chmod(p, 0) }, 4, true, true},
		{"a folder", func(p string, _ []byte) error { os.Remove(p); return os.MkdirAll(filepath.Join(p, "x"), 0o755) }, 4, true, true},
	} {
		for _, k := range kinds {
			for _, running := range []bool{false, true} {
				if running && (c.name == "all zeros" || c.name == "may not be read") { // found at the next start
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/running=%v", k.file, c.name, running), func(t *testing.T) {
					root := t.TempDir()
					for _, dir := range []string{filepath.Dir(root), root} {
						if err := os.Chmod(dir, 0o777); err != nil {
							t.Fatal(err)
						}
					}
					var log bytes.Buffer
					o := Options{Dir: filepath.Join(root, "history"), Days: 3, Logger: slog.New(slog.NewTextHandler(&log, nil))}
					path := filepath.Join(o.Dir, k.file)
					asNobody(t, func() {
						if n := k.use(o, 0, func() {}); n != 2 {
							t.Fatalf("%d lines, want 2: %s", n, log.String())
						}
						var before []byte
						damage := func() {
							whole, err := os.ReadFile(path)
							if err == nil {
								err = c.damage(path, whole)
							}
							if err != nil {
								t.Fatal(err)
							}
							before, _ = os.ReadFile(path)
						}
						k.use(o, 2, func() {})
						if !running {
							damage()
						}
						want := 4 - c.lost + 2
						got := 0
						if running {
							got = k.use(o, 4, damage)
							if want = 5 - c.lost + 1; c.lost == 4 {
								want = 1
							}
							if k.file == kinds[0].file && c.lost > 0 { // the last row is pending, so it is written again
								want++
							}
						} else {
							got = k.use(o, 4, func() {})
						}
						if got != want {
							t.Errorf("%d lines, want %d", got, want)
						}
						kept, err := os.Stat(path + ".bad-1")
						if bad := err == nil; bad != c.bad {
							t.Errorf("set aside is %v, want %v", kept, c.bad)
						} else if bad && before != nil {
							if text, err := os.ReadFile(path + ".bad-1"); err == nil && !bytes.Equal(text, before) {
								t.Errorf("set aside is %.99q, want %.99q", text, before)
							}
						}
					})
					changed := running && c.name != "as it was" && c.name != "read-only"
					if warned := strings.Contains(log.String(), "level=WARN"); warned != (c.warn || changed) && !(running && c.name == "read-only") {
						t.Errorf("warned %v, want %v: %s", warned, c.warn || changed, log.String())
					}
				})
			}
		}
	}
}

func TestTheFolderIsAFile(t *testing.T) {
	for _, k := range kinds {
		o := quiet(filepath.Join(t.TempDir(), "history"))
		if err := os.WriteFile(o.Dir, []byte("no folder"), 0o644); err != nil {
			t.Fatal(err)
		}
		if n := k.use(o, 0, func() {}); n != 2 {
			t.Errorf("%s: %d lines, want 2", k.file, n)
		}
		if _, err := os.Stat(o.Dir + ".bad-1"); err != nil {
			t.Errorf("%s: %v", k.file, err)
		}
	}
}
