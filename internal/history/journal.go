package history

import (
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// mostLines is how many lines of a journal are kept in memory.
const mostLines = 10000

// Journal keeps things that happened, as lines of JSON with their time: the newest in memory, and as many days as wanted on disk. It is safe
// for concurrent use.
type Journal struct {
	mu   sync.Mutex
	kept ring[Line]
	disk *daily
}

// Line is one thing that happened.
type Line struct {
	Time time.Time
	JSON []byte
}

// OpenJournal reads what is on disk below Options.Dir under a name. The time of each line is what timeOf reads of it; a line without one
// is set aside. With Options.Days 0 everything is in memory only.
func OpenJournal(o Options, name string, now time.Time, timeOf func(line []byte) (time.Time, bool)) *Journal {
	j := &Journal{kept: ring[Line]{most: mostLines}}
	if o.Days <= 0 {
		return j
	}
	j.disk = &daily{dir: filepath.Join(o.Dir, name), ext: ".jsonl", days: o.Days, log: o.Logger}
	j.disk.valid = func(line []byte) bool { _, ok := timeOf(line); return ok }
	j.disk.each(now.AddDate(0, 0, -o.Days), now, func(line []byte) {
		if at, ok := timeOf(line); ok {
			j.kept.add(Line{at, line})
		}
	})
	return j
}

// Add keeps a line, which must not contain a line break.
func (j *Journal) Add(l Line) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kept.add(l)
	if j.disk != nil {
		j.disk.add(l.Time, append([]byte(nil), l.JSON...))
	}
}

// Before returns the newest lines before a time, at most so many, the newest last.
func (j *Journal) Before(t time.Time, most int) (list []Line) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := j.kept.len() - 1; i >= 0 && len(list) < most; i-- {
		if l := j.kept.at(i); l.Time.Before(t) {
			list = append(list, l)
		}
	}
	slices.Reverse(list)
	return list
}

// Close lets go of the file.
func (j *Journal) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.disk != nil {
		j.disk.close()
	}
}
