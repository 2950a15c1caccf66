package history

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// mostDaily bounds a day's file. What would go beyond is left out, and told once.
const mostDaily = 16 << 20

// daily is lines in a file per UTC day. A line is written when it is added: a process that is killed loses none, and half a line, which a
// power cut can leave, is cut off before the next one.
type daily struct {
	dir, ext string
	header   string // first line of each file; empty for none
	days     int    // kept besides today
	log      *slog.Logger

	day     time.Time
	file    *os.File
	size    int64
	failing bool
}

// add writes one line, which must not contain a line break.
func (d *daily) add(at time.Time, line []byte) {
	err := d.turn(dayOf(at))
	if err == nil && d.size+int64(len(line)) > mostDaily {
		err = errors.New("the file of the day is full")
	}
	if err == nil {
		_, err = d.file.WriteAt(append(line, '\n'), d.size)
		if err == nil {
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
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(d.path(day), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	size, err := whole(f)
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

// whole is the size of a file up to its last whole line, to which it is cut.
func whole(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size()
	tail := make([]byte, 64<<10)
	for size > 0 {
		n := min(size, int64(len(tail)))
		if _, err := f.ReadAt(tail[:n], size-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(tail[:n], '\n'); i >= 0 {
			size += int64(i) + 1 - n
			break
		}
		size -= n
	}
	if size == info.Size() {
		return size, nil
	}
	return size, f.Truncate(size)
}

// tidy deletes the files of days that are too long ago, and no others.
func (d *daily) tidy(today time.Time) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		day, err := time.Parse(time.DateOnly+d.ext, e.Name())
		if err == nil && day.Before(today.AddDate(0, 0, -d.days)) {
			os.Remove(filepath.Join(d.dir, e.Name()))
		}
	}
}

// each hands over the lines since the day of from, the oldest first. A day without a file has none; half a line at the end is left out.
func (d *daily) each(from, to time.Time, use func(line []byte)) error {
	for day := dayOf(from); !day.After(dayOf(to)); day = day.AddDate(0, 0, 1) {
		f, err := os.Open(d.path(day))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = lines(io.LimitReader(f, mostDaily+1), d.header, use)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func lines(r io.Reader, header string, use func([]byte)) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line = line[:len(line)-1]
		if header == "" || string(line) != header {
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
