package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/atomicfile"
)

const (
	memoryVersion  = 1
	memoryEvery    = 10 * time.Second // between two writings
	memorySizeGood = 10 * time.Minute // a size older than that says nothing any more
	memoryMost     = 1 << 20          // bytes; a larger file is not a state of the autoscaler
)

// keeper keeps what the autoscaler has learned, so that a restart neither shrinks the pool nor forgets. It is a policy around
// the one in charge, since only there the state may be read.
type keeper struct {
	autoscale.Policy
	path  string
	log   *slog.Logger
	size  func() int
	parts []part

	last    time.Time       // when it was taken down last
	was     int             // the pool's size then
	writes  chan memoryFile // holds the newest that is not written yet
	failing bool            // only of write
}

// part is something that learns.
type part struct {
	name  string
	state func() any
}

// memoryFile is the file's form.
type memoryFile struct {
	Version int                        `json:"version"`
	SavedAt time.Time                  `json:"saved_at"`
	Policy  string                     `json:"policy"`
	Size    int                        `json:"size"`
	Parts   map[string]json.RawMessage `json:"parts"`
}

// Unwrap returns the policy in charge.
func (m *keeper) Unwrap() autoscale.Policy { return m.Policy }

// Decide asks the policy in charge and takes down what it knows by then: now and then, and when the size has changed.
func (m *keeper) Decide(o autoscale.Observation) autoscale.Proposal {
	p := m.Policy.Decide(o)
	if d := o.Time.Sub(m.last); d >= memoryEvery || d < 0 || o.Size != m.was {
		m.last, m.was = o.Time, o.Size
		file := m.take()
		select { // one that is not written yet is out of date
		case <-m.writes:
		default:
		}
		m.writes <- file
	}
	return p
}

// take copies what is known. It may only be called where Decide is, or once nobody calls that any more.
func (m *keeper) take() memoryFile {
	f := memoryFile{Version: memoryVersion, SavedAt: time.Now().UTC().Round(time.Millisecond), Policy: m.Name(), Size: m.size(), Parts: map[string]json.RawMessage{}}
	for _, p := range m.parts {
		text, err := json.Marshal(p.state())
		if err != nil {
			m.log.Warn("what the autoscaler has learned cannot be kept", "part", p.name, "error", err)
			continue
		}
		f.Parts[p.name] = text
	}
	return f
}

// start keeps what is known from now on, by whoever is in charge. The function returned ends that, and writes for the last time what the
// latest knows; then nobody may call Decide any more.
func (m *keeper) start(latest func() *keeper) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case f := <-m.writes:
				m.write(f)
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
		m.write(latest().take())
	}
}

// write replaces the file as a whole. What was learned can be learned again, so a failure is logged once and no more.
func (m *keeper) write(f memoryFile) {
	text, err := json.MarshalIndent(f, "", "  ")
	if info, serr := os.Lstat(m.path); serr == nil && info.IsDir() {
		setAside(m.log, m.path, errors.New("a folder"), "")
	}
	if err == nil {
		err = atomicfile.Write(m.path, append(text, '\n'), 0o600)
	}
	switch {
	case err != nil && !m.failing:
		m.log.Warn("what the autoscaler has learned is not kept", "path", m.path, "error", err)
	case err == nil && m.failing:
		m.log.Info("what the autoscaler has learned is kept again", "path", m.path)
	}
	m.failing = err != nil
}

// versionError says that another version of Sluice wrote the file.
type versionError struct{ version int }

func (e *versionError) Error() string {
	return fmt.Sprintf("format version %d, this program reads version %d", e.version, memoryVersion)
}

// recall returns what an earlier process kept. A file that cannot be used is set aside: what it had learned only helps.
func recall(path string, log *slog.Logger) memoryFile {
	if path == "" {
		return memoryFile{}
	}
	if err := atomicfile.CleanUp(filepath.Dir(path), func(name string) bool { return name == filepath.Base(path) }); err != nil {
		log.Warn("unfinished file not removed", "path", path, "error", err)
	}
	f, err := readMemory(path)
	if err == nil {
		return f
	}
	hint := ""
	if v := (*versionError)(nil); errors.As(err, &v) {
		hint = "to go on with it, stop, put the file back and use the version of Sluice that wrote it"
	}
	setAside(log, path, err, hint)
	return memoryFile{}
}

// setAside renames a file that cannot be used.
func setAside(log *slog.Logger, path string, why error, hint string) {
	args := []any{"path", path, "reason", why.Error()}
	if hint != "" {
		args = append(args, "hint", hint)
	}
	to, err := atomicfile.SetAside(path)
	if err != nil {
		log.Warn("what the autoscaler had learned cannot be used, it learns anew", append(args, "error", err)...)
		return
	}
	log.Warn("what the autoscaler had learned cannot be used, it learns anew; the file is set aside", append(args, "to", atomicfile.Aside(to))...)
}

// readMemory reads the file; one that is not there has version 0.
func readMemory(path string) (f memoryFile, err error) {
	text, err := atomicfile.Read(path, memoryMost)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	var v struct{ Version int }
	if err := json.Unmarshal(text, &v); err == nil && v.Version > memoryVersion {
		return f, &versionError{v.Version} // whatever else is in it
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return memoryFile{}, err
	}
	if f.Version != memoryVersion {
		return memoryFile{}, &versionError{f.Version}
	}
	return f, nil
}

// sizeNow is the size the pool had, brought inside its bounds, while that still says something; otherwise the least.
func (f memoryFile) sizeNow(now time.Time, least, most int) int {
	age := now.Sub(f.SavedAt)
	if f.Version == 0 || age < 0 || age > memorySizeGood {
		return least
	}
	return min(max(f.Size, least), most)
}
