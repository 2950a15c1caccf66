package history

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Options say where the history is and how long.
type Options struct {
	Dir    string // made when there is something to write
	Days   int    // days to keep besides today; at least 1
	Logger *slog.Logger
}

// mostPending bounds the rows in memory while they cannot be written: ten minutes of them.
const mostPending = 600

// Recorder writes the history. It is for one goroutine at a time.
type Recorder struct {
	o    Options
	day  time.Time // of the file; zero before the first row
	file *os.File  // of the day; nil until something is written
	end  int64     // of the file, with the pending row
	size int64     // of the file up to the first pending row
	rows []row     // pending; where there is a file, the first is its last row, which may still grow
	kept int       // rows of the file before these
	same bool      // the pending rows are what the file has

	tidied  time.Time // the day on which old files were looked after
	failing bool      // told already
	clock   bool      // told already that it was set back
}

// New makes a recorder. It touches nothing.
func New(o Options) *Recorder { return &Recorder{o: o} }

// Add takes down that so many records arrived in the second of at. Several calls for one second add up.
func (r *Recorder) Add(at time.Time, records int) {
	if records <= 0 {
		return
	}
	day := dayOf(at)
	switch {
	case day.Equal(r.day):
	case day.Before(r.day):
		r.tellClock(at)
		return
	default:
		r.leave()
		if err := r.enter(day); err != nil {
			r.day = time.Time{} // the next row tries again
			r.tell(err)
			return
		}
	}
	second := int(at.UTC().Sub(day) / time.Second)
	if last := len(r.rows) - 1; last >= 0 {
		switch gap := second - r.rows[last].second; {
		case gap < 0:
			r.tellClock(at)
			return
		case gap == 0:
			r.rows[last].records += records
			r.same = false
			return
		case gap > 1 && r.kept+last == 0:
			r.rows = append(r.rows, row{second: r.rows[last].second + 1})
		}
	}
	r.rows = append(r.rows, row{second, records})
	r.same, r.clock = false, false
	if n := len(r.rows) - mostPending; n > 0 { // nothing can be written: what is left out is what is oldest
		r.rows = append(r.rows[:2], r.rows[n+2:]...)
	}
}

// Flush writes what is new. The first one, and the first of each day, looks after the files that are there.
func (r *Recorder) Flush(now time.Time) {
	if !r.same && len(r.rows) > 0 {
		err := r.write()
		if err == nil && r.failing {
			r.failing = false
			r.o.Logger.Info("the history of arrivals is kept again", "folder", r.o.Dir)
		}
		r.tell(err)
	}
	if today := dayOf(now); !today.Equal(r.tidied) {
		if r.day.Before(today) {
			r.leave()
			r.day = time.Time{}
		}
		r.tidied = today
		if r.file == nil {
			_, err := repair(path(r.o.Dir, today), r.o.Logger)
			r.tell(err)
		}
		r.tell(tidy(r.o.Dir, today, r.o.Days, r.o.Logger))
	}
}

// Close writes what is new and lets go of the file.
func (r *Recorder) Close() {
	if !r.same && len(r.rows) > 0 {
		r.tell(r.write())
	}
	r.leave()
}

// enter begins with a day, which may have a file already.
func (r *Recorder) enter(day time.Time) error {
	if _, err := os.Stat(path(r.o.Dir, day) + zipped); err == nil {
		return fmt.Errorf("%s is there already: has the clock been set back?", path(r.o.Dir, day)+zipped)
	}
	rows, err := repair(path(r.o.Dir, day), r.o.Logger)
	if err != nil {
		return err
	}
	r.day, r.size, r.rows, r.kept, r.same = day, 0, nil, 0, true
	if n := len(rows); n > 0 {
		r.rows, r.kept = rows[n-1:n:n], n-1
		r.size = int64(len(text(rows[:n-1], true)))
	}
	return nil
}

// leave ends a day. What it still has to say is written first.
func (r *Recorder) leave() {
	if !r.same && len(r.rows) > 0 {
		r.tell(r.write())
	}
	if r.file != nil {
		r.tell(r.file.Close())
	}
	r.file, r.rows, r.same = nil, nil, true
}

// write puts the pending rows where the first of them belongs. The last one stays pending, since it may grow.
func (r *Recorder) write() error {
	if r.file != nil && changed(r.file, path(r.o.Dir, r.day), r.end) {
		if err := r.renew(); err != nil {
			return err
		}
	}
	if r.file == nil {
		if err := makeDir(r.o.Dir, r.o.Logger); err != nil {
			return err
		}
		f, err := openFile(path(r.o.Dir, r.day), r.o.Logger)
		if err != nil {
			return err
		}
		r.file = f
	}
	header := r.size == 0
	if _, err := r.file.WriteAt(text(r.rows, header), r.size); err != nil {
		return errors.Join(err, r.file.Truncate(r.size)) // half a row would make the file no trace
	}
	last := len(r.rows) - 1
	r.end = r.size + int64(len(text(r.rows, header)))
	r.size += int64(len(text(r.rows[:last], header)))
	r.kept += last
	r.rows = append(r.rows[:0], r.rows[last])
	r.same = true
	return nil
}

// renew goes on in what is now in the place of the file: another one, or nothing.
func (r *Recorder) renew() error {
	r.o.Logger.Warn("file of the history was removed, replaced or changed by another program; it goes on in what is there", "path", path(r.o.Dir, r.day))
	r.file.Close()
	r.file = nil
	rows, err := repair(path(r.o.Dir, r.day), r.o.Logger)
	if err != nil { // the pending rows begin a file of their own once there can be one
		r.size, r.kept = 0, 0
		return err
	}
	r.kept, r.size = max(len(rows)-1, 0), 0
	if n := len(rows); n > 0 {
		for len(r.rows) > 1 && r.rows[0].second <= rows[n-1].second {
			r.rows = r.rows[1:]
		}
		if r.rows[0].second <= rows[n-1].second { // it is there
			r.rows = nil
		}
		r.rows = append([]row{rows[n-1]}, r.rows...)
		r.size = int64(len(text(rows[:n-1], true)))
	}
	return nil
}

// changed reports whether a path leads to another file than the one that is open, or to one of another size.
func changed(f *os.File, path string, size int64) bool {
	mine, err := f.Stat()
	if err != nil {
		return false // writing will tell
	}
	there, err := os.Stat(path)
	return err != nil || !os.SameFile(mine, there) || there.Size() != size
}

// tell says once that something does not work.
func (r *Recorder) tell(err error) {
	if err != nil && !r.failing {
		r.failing = true
		r.o.Logger.Warn("the history of arrivals is not kept", "folder", r.o.Dir, "error", err)
	}
}

// tellClock says once that the clock was set back.
func (r *Recorder) tellClock(at time.Time) {
	if !r.clock {
		r.clock = true
		r.o.Logger.Warn("the clock was set back; the history of arrivals goes on where it ended", "clock", at.UTC().Format(time.RFC3339))
	}
}

func dayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func path(dir string, day time.Time) string {
	return filepath.Join(dir, day.Format(time.DateOnly)+plain)
}
