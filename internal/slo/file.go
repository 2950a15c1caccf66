package slo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/sluicehq/sluice/internal/atomicfile"
)

const (
	fileVersion = 1
	fileMost    = 8 << 20 // bytes; no file of ours is larger

	// SaveEvery is how often the owner of a tracker should call Save: what a killed process forgets of the windows.
	SaveEvery = 5 * time.Second
)

// file is the form of the file.
type file struct {
	Version int                   `json:"version"`
	Since   time.Time             `json:"measured_since"`
	Windows map[string][]fileSlot `json:"windows"` // by name
}

// fileSlot is a slot in the file.
type fileSlot struct {
	Start  int64      `json:"start"` // seconds since 1970
	Done   int64      `json:"done"`
	Judged int64      `json:"judged"`
	Late   int64      `json:"late"`
	Dead   int64      `json:"dead,omitempty"`
	Waits  [][2]int64 `json:"waits"` // place and records
}

// versionError says that another version of Sluice wrote the file.
type versionError struct{ version int }

func (e *versionError) Error() string {
	return fmt.Sprintf("format version %d, this program reads version %d", e.version, fileVersion)
}

// Keep continues the windows with what is in a file, and keeps them there from now on. It must be called once at most, and before
// Save. A file that cannot be used is set aside: what is measured helps people only, and never keeps a process from starting.
func (t *Tracker) Keep(path string, now time.Time, log *slog.Logger) {
	t.path, t.log = path, log
	if err := atomicfile.CleanUp(filepath.Dir(path), func(name string) bool { return name == filepath.Base(path) }); err != nil {
		log.Warn("unfinished file not removed", "path", path, "error", err)
	}
	f, err := readFile(path)
	if err == nil {
		err = t.restore(f, now)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		t.setAside(err)
	}
}

// setAside renames a file that cannot be used.
func (t *Tracker) setAside(why error) {
	args := []any{"path", t.path, "reason", why.Error()}
	if _, ok := errors.AsType[*versionError](why); ok {
		args = append(args, "hint", "to continue with it, stop, put the file back and use the version of Sluice that wrote it")
	}
	to, err := atomicfile.SetAside(t.path)
	if err != nil {
		t.log.Warn("the waits measured before cannot be used, the windows start empty", append(args, "error", err)...)
		return
	}
	t.log.Warn("the waits measured before cannot be used, the windows start empty; the file is set aside", append(args, "to", atomicfile.Aside(to))...)
}

func readFile(path string) (f file, err error) {
	text, err := atomicfile.Read(path, fileMost)
	if err != nil {
		return f, err
	}
	var v struct{ Version int }
	if err := json.Unmarshal(text, &v); err == nil && v.Version != fileVersion {
		return f, &versionError{v.Version} // whatever else is in it
	}
	return f, json.Unmarshal(text, &f)
}

// restore takes over the slots of a file that are still in their windows, or refuses all of them.
func (t *Tracker) restore(f file, now time.Time) error {
	fresh := New(t.target, now)
	if !f.Since.IsZero() && f.Since.Before(now) {
		fresh.since = f.Since
	}
	for i, w := range windows {
		last := w.number(now)
		for _, k := range f.Windows[w.name] {
			s := slot{number: w.number(time.Unix(k.Start, 0)), tally: tally{k.Done, k.Judged, k.Late, k.Dead}}
			sum := int64(0)
			for _, p := range k.Waits {
				if p[0] < 0 || p[0] > int64(place(longWait)) || p[1] < 0 {
					return fmt.Errorf("window %s, slot %d: place %d with %d records", w.name, k.Start, p[0], p[1])
				}
				s.waits.count(int(p[0]), p[1])
				sum += p[1]
			}
			if k.Start < 0 || k.Late < 0 || k.Late > k.Judged || k.Judged > k.Done || k.Dead < 0 || sum != k.Done {
				return fmt.Errorf("window %s, slot %d: %d records late of %d judged of %d done of %d in all places", w.name, k.Start, k.Late, k.Judged, k.Done, sum)
			}
			if s.number <= last && s.number > last-w.slots() {
				fresh.slots[i][s.number%w.slots()] = s
			}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, w := range windows { // what the start of the queue has reported already
		for _, s := range t.slots[i] {
			if s.tally != (tally{}) {
				into := fresh.slot(i, w, s.number)
				into.add(s.tally)
				into.waits.add(s.waits)
			}
		}
	}
	t.since, t.slots = fresh.since, fresh.slots
	return nil
}

// Save writes the file where something changed. What cannot be written is told once in the log, and measured all the same.
func (t *Tracker) Save(now time.Time) {
	t.mu.Lock()
	if t.path == "" || !t.dirty {
		t.mu.Unlock()
		return
	}
	t.dirty = false
	f := t.file(now)
	t.mu.Unlock()
	if err := t.write(f); err != nil {
		t.mu.Lock()
		t.dirty = true
		t.mu.Unlock()
		if !t.failing {
			t.log.Warn("measured waits are not kept", "path", t.path, "error", err)
		}
		t.failing = true
		return
	}
	if t.failing {
		t.log.Info("measured waits are kept again", "path", t.path)
	}
	t.failing = false
}

// file copies what is to be kept. The caller holds mu.
func (t *Tracker) file(now time.Time) file {
	f := file{Version: fileVersion, Since: t.since.UTC(), Windows: map[string][]fileSlot{}}
	for i, w := range windows {
		last := w.number(now)
		for _, s := range t.slots[i] {
			if s.number > last || s.number <= last-w.slots() || s.tally == (tally{}) {
				continue
			}
			k := fileSlot{Start: s.number * int64(w.width/time.Second), Done: s.done, Judged: s.judged, Late: s.late, Dead: s.dead, Waits: [][2]int64{}}
			for place, records := range s.waits {
				if records > 0 {
					k.Waits = append(k.Waits, [2]int64{int64(place), records})
				}
			}
			f.Windows[w.name] = append(f.Windows[w.name], k)
		}
	}
	return f
}

func (t *Tracker) write(f file) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(t.path); err == nil && info.IsDir() {
		t.setAside(errors.New("a folder"))
	}
	return atomicfile.Write(t.path, append(text, '\n'), 0o600)
}
