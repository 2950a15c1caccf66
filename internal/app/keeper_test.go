package app

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const kept = `{"version":1,"saved_at":"2026-11-24T12:00:00Z","policy":"slo","size":7,"parts":{"slo":{}}}`

// TestDamageOfWhatWasLearned: the process starts with nothing learned, keeps the file, and writes a new one.
func TestDamageOfWhatWasLearned(t *testing.T) {
	text := func(s string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(s), 0o600) }
	}
	folder := func(path string) error { os.Remove(path); return os.MkdirAll(filepath.Join(path, "x"), 0o755) }
	for _, c := range []struct {
		name   string
		damage func(path string) error
		size   int // as read
		say    string
	}{
		{"as it was", text(kept), 7, ""},
		{"missing", os.Remove, 0, ""},
		{"empty", text(""), 0, "unexpected end"},
		{"torn at the start", text(kept[:1]), 0, "unexpected end"},
		{"torn in the middle", text(kept[:50]), 0, "unexpected end"},
		{"torn at the end", text(kept[:len(kept)-1]), 0, "unexpected end"},
		{"zeros", text(strings.Repeat("\x00", 200)), 0, "invalid character"},
		{"foreign bytes", text("\x7fELF\x02\x01\x01"), 0, "invalid character"},
		{"foreign JSON", text(`[1, 2]`), 0, "cannot unmarshal"},
		{"other types", text(`{"version": 1, "size": "many"}`), 0, "cannot unmarshal"},
		{"too large", text(strings.Repeat(" ", memoryMost+1)), 0, "must be at most"},
		{"no version", text(`{}`), 0, "format version 0"},
		{"another version", text(`{"version": 2, "size": "many"}`), 0, "use the version of Sluice that wrote it"},
		{"read-only", func(p string) error { return os.Chmod(p, 0o400) }, 7, ""},
		{"a folder", folder, 0, "not a regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "autoscaler.json")
			if err := os.WriteFile(path, []byte(kept), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			var said bytes.Buffer
			log := slog.New(slog.NewTextHandler(&said, nil))
			if f := recall(path, log); f.Size != c.size {
				t.Errorf("size %d, want %d", f.Size, c.size)
			}
			if n := strings.Count(said.String(), "level=WARN"); (n == 0) != (c.say == "") || n > 1 || !strings.Contains(said.String(), c.say) {
				t.Errorf("logged %s, want one warning with %q", said.String(), c.say)
			}
			after, err := os.ReadFile(path + ".bad-1")
			if _, serr := os.Stat(path + ".bad-1"); (serr == nil) != (c.say != "") || err == nil && !bytes.Equal(before, after) {
				t.Errorf("set aside is %q, %v; want %q: %v", after, serr, before, c.say != "")
			}
			m := &keeper{Policy: &asker{}, path: path, log: log, size: func() int { return 3 }}
			for _, change := range []func(string) error{text(kept), os.Remove, folder, text("x")} { // while it runs
				m.write(m.take())
				if f, err := readMemory(path); err != nil || f.Size != 3 {
					t.Errorf("written is %+v, %v; want size 3", f, err)
				}
				if err := change(path); err != nil {
					t.Fatal(err)
				}
			}
			m.write(m.take())
			if f, err := readMemory(path); err != nil || f.Size != 3 {
				t.Errorf("written is %+v, %v; want size 3", f, err)
			}
		})
	}
}

// TestOthersThanFilesAreLeftAlone: somebody may name a device so that nothing is kept.
func TestOthersThanFilesAreLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	recall(path, log)
	m := &keeper{Policy: &asker{}, path: path, log: log, size: func() int { return 3 }}
	m.write(m.take())
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the pipe is %v, %v now", info, err)
	}
}
