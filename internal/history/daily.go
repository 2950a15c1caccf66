package history

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/atomicfile"
)

// mostDaily bounds a day's file. What would go beyond is left out, and told once.
const mostDaily = 64 << 20

// daily is lines in a file per UTC day. A line is written when it is added: a process that is killed loses none, and half a line, which a
// power cut can leave, is cut off before the next one.
type daily struct {
	dir, ext string
	header   string // first line of each file; empty for none
	days     int    // kept besides today
	valid    func(line []byte) bool
	log      *slog.Logger

	day     time.Time
	file    *os.File
	size    int64
	failing bool
}

// add writes one line, which must not contain a line break.
func (d *daily) add(at time.Time, line []byte) {
	if d.file != nil && changed(d.file, d.path(d.day), d.size) {
		d.log.Warn("file of the history was removed, replaced or changed by another program; it goes on in what is there", "path", d.path(d.day))
		d.close()
	}
	err := d.turn(dayOf(at))
	if err == nil && d.size+int64(len(line))+1 > mostDaily {
		err = errors.New("the file of the day is full")
	}
	if err == nil {
		if _, err = d.file.WriteAt(append(line, '\n'), d.size); err != nil {
			err = errors.Join(err, d.file.Truncate(d.size)) // half a line would be taken for a change by others
		} else {
			d.size += int64(len(line)) + 1
		}
	}
	switch {
	case err == nil && d.failing:
		d.failing = false
		d.log.Info("the history is kept again", "folder", d.dir)
	case err != nil && !d.failing:
		d.failing = true
		d.log.Warn("the history is not kept", "folder", d.dir, "error", err)
	}
}

// turn opens the file of a day, and deletes those that are too old.
func (d *daily) turn(day time.Time) error {
	if d.file != nil && day.Equal(d.day) {
		return nil
	}
	d.close()
	for _, dir := range []string{filepath.Dir(d.dir), d.dir} {
		if err := makeDir(dir, d.log); err != nil {
			return err
		}
	}
	if _, err := d.load(day); err != nil { // puts right what is there
		return err
	}
	f, err := openFile(d.path(day), d.log)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	size := int64(0)
	if err == nil {
		size = info.Size()
	}
	if err == nil && size == 0 && d.header != "" {
		_, err = f.WriteAt([]byte(d.header+"\n"), 0)
		size = int64(len(d.header)) + 1
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	d.file, d.day, d.size = f, day, size
	d.tidy(day)
	return nil
}

// load reads the lines of a day. What is at the end without being a whole line is cut off, and a file with other lines is
// set aside: its good lines go on in a new one.
func (d *daily) load(day time.Time) (good [][]byte, err error) {
	path := d.path(day)
	data, err := atomicfile.Read(path, mostDaily)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, setAside(d.log, path, err.Error())
	}
	bad, end := 0, 0
	for line := range bytes.Lines(data) {
		text, whole := bytes.CutSuffix(line, []byte("\n"))
		switch {
		case !whole:
			if !d.torn(text) {
				bad++
			}
			continue
		case end == 0 && d.header != "" && string(text) == d.header:
		case d.valid(text):
			good = append(good, text)
		default:
			bad++
		}
		end += len(line)
	}
	if bad == 0 {
		if end < len(data) {
			err = os.Truncate(path, int64(end))
		}
		return good, err
	}
	if err := setAside(d.log, path, fmt.Sprintf("%d lines are of another kind; %d are used", bad, len(good))); err != nil || len(good) == 0 {
		return good, err
	}
	lines := append(bytes.Join(good, []byte("\n")), '\n')
	if d.header != "" {
		lines = append([]byte(d.header+"\n"), lines...)
	}
	return good, atomicfile.Write(path, lines, 0o644)
}

// torn reports whether a line without its end may be what a power cut left: the beginning of a line, zeros, or both.
func (d *daily) torn(line []byte) bool {
	line = bytes.TrimRight(line, "\x00")
	if d.header == "" {
		return len(line) == 0 || line[0] == '{' && !bytes.ContainsRune(line, 0)
	}
	return bytes.HasPrefix([]byte(d.header), line) || len(bytes.Trim(line, "0123456789.,-")) == 0
}

// tidy deletes the files of days that are too long ago, and no others.
func (d *daily) tidy(today time.Time) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), badMark)
		day, err := time.Parse(time.DateOnly+d.ext, name)
		if err == nil && day.Before(today.AddDate(0, 0, -d.days)) {
			os.Remove(filepath.Join(d.dir, e.Name()))
		}
	}
}

// each hands over the lines since the day of from, the oldest first. A day that cannot be read has none.
func (d *daily) each(from, to time.Time, use func(line []byte)) {
	if err := atomicfile.CleanUp(d.dir, func(name string) bool { _, err := time.Parse(time.DateOnly+d.ext, name); return err == nil }); err != nil && !missing(err) {
		d.log.Warn("unfinished files of the history not removed", "path", d.dir, "error", err)
	}
	for day := dayOf(from); !day.After(dayOf(to)); day = day.AddDate(0, 0, 1) {
		lines, err := d.load(day)
		if err != nil {
			d.log.Warn("file of the history cannot be put right", "path", d.path(day), "error", err)
		}
		for _, line := range lines {
			use(line)
		}
	}
}

func (d *daily) path(day time.Time) string {
	return filepath.Join(d.dir, day.Format(time.DateOnly)+d.ext)
}

func (d *daily) close() {
	if d.file != nil {
		d.file.Close()
		d.file = nil
	}
}
