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
)

const (
	memoryVersion  = 1
	memoryEvery    = 10 * time.Second // between two writings
	memorySizeGood = 10 * time.Minute // a size older than that says nothing any more
	memoryMost     = 1 << 20          // bytes; a larger file is none of ours
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

// write replaces the file as a whole. What was learned can be learned again, so that a failure is told once and no more.
func (m *keeper) write(f memoryFile) {
	err := writeWhole(m.path, f)
	if err != nil && !m.failing {
		m.log.Warn("what the autoscaler has learned is not kept", "file", m.path, "error", err)
	}
	m.failing = err != nil
}

func writeWhole(path string, f memoryFile) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(text, '\n'))
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// readMemory returns what an earlier process kept, if there is such a file and it can be read.
func readMemory(path string) (f memoryFile, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil && info.Size() > memoryMost {
		err = fmt.Errorf("%d bytes, want at most %d", info.Size(), memoryMost)
	}
	if err != nil {
		return f, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return memoryFile{}, err
	}
	if f.Version != memoryVersion {
		return memoryFile{}, fmt.Errorf("version %d, want %d", f.Version, memoryVersion)
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
