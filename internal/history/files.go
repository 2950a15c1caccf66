package history

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluicehq/sluice/internal/atomicfile"
)

// row is one second of a day.
type row struct{ second, records int }

const (
	header  = "second,records\n"
	plain   = ".csv"
	zipped  = ".gz"   // behind plain
	badMark = ".bad-" // behind the name of a file that was set aside, before a number

	secondsOfDay = 24 * 60 * 60
	mostBytes    = 8 << 20 // no day of ours is larger
)

// text is rows as they are in a file.
func text(rows []row, withHeader bool) []byte {
	var b []byte
	if withHeader {
		b = append(b, header...)
	}
	for _, r := range rows {
		b = strconv.AppendInt(b, int64(r.second), 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, int64(r.records), 10)
		b = append(b, '\n')
	}
	return b
}

// repair returns the rows of a file, and writes it anew where it has anything else. Half a row or zeros at the end, which a
// power cut leaves, and a file without a row go without a word; what else is none of ours is kept in a file that is set aside. A
// file that is not there has no rows.
func repair(path string, log *slog.Logger) ([]row, error) {
	old, err := atomicfile.Read(path, mostBytes)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, setAside(log, path, err.Error())
	}
	rows, bad := parse(old)
	good := text(rows, true)
	if bytes.Equal(good, old) {
		return rows, nil
	}
	if bad > 0 {
		if err := setAside(log, path, fmt.Sprintf("%d lines are not rows of this day; %d rows are used", bad, len(rows))); err != nil {
			return nil, err
		}
	}
	if len(rows) == 0 {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	return rows, atomicfile.Write(path, good, 0o644)
}

// missing reports whether there is no such file, or a file in the place of its folder, which writing sets aside.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// setAside renames a file that cannot be used.
func setAside(log *slog.Logger, path, why string) error {
	to, err := atomicfile.SetAside(path)
	if err != nil {
		return fmt.Errorf("%s cannot be used (%s): %w", path, why, err)
	}
	log.Warn("file of the history set aside", "path", path, "reason", why, "to", atomicfile.Aside(to))
	return nil
}

// openFile opens a file for reading and writing. One that may only be read is replaced by a copy.
func openFile(path string, log *slog.Logger) (*os.File, error) {
	const flag = os.O_RDWR | os.O_CREATE
	f, err := os.OpenFile(path, flag, 0o644)
	if !errors.Is(err, fs.ErrPermission) {
		return f, err
	}
	data, rerr := atomicfile.Read(path, mostDaily)
	if rerr == nil {
		rerr = atomicfile.Write(path, data, 0o644)
	}
	if rerr != nil {
		return nil, err
	}
	log.Warn("file of the history may not be written; replaced by a copy", "path", path)
	return os.OpenFile(path, flag, 0o644)
}

// makeDir makes the folder of a history.
func makeDir(dir string, log *slog.Logger) error {
	aside, err := atomicfile.MakeDir(dir)
	if aside != "" {
		log.Warn("file in the place of the history's folder set aside", "path", dir, "to", aside)
	}
	return err
}

// parse returns the good rows: whole, of this day and later than the one before. bad counts whole lines that are neither
// a row nor the header, and something at the end that is not the beginning of one.
func parse(data []byte) (rows []row, bad int) {
	last, first := -1, true
	for line := range bytes.Lines(data) {
		text, whole := strings.CutSuffix(string(line), "\n")
		left, right, _ := strings.Cut(text, ",")
		second, err := strconv.Atoi(left)
		records, err2 := strconv.Atoi(right)
		switch {
		case !whole:
			if rest := strings.TrimRight(text, "\x00"); strings.Trim(rest, "0123456789,") != "" && !strings.HasPrefix(header, rest) {
				bad++
			}
		case first && text+"\n" == header:
		case err != nil || err2 != nil || second <= last || second >= secondsOfDay || records < 0:
			bad++
		default:
			rows = append(rows, row{second, records})
			last = second
		}
		first = false
	}
	return rows, bad
}

// ours reports whether a file of this name is written as a whole.
func ours(name string) bool {
	_, err := time.Parse(time.DateOnly+plain, strings.TrimSuffix(name, zipped))
	return err == nil
}

// tidy compresses the days before today and deletes those that are more than so many days ago. Files with other names, and
// days that are yet to come by this clock, are left alone.
func tidy(dir string, today time.Time, days int, log *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if missing(err) {
		return nil
	}
	errs := []error{err, atomicfile.CleanUp(dir, ours)}
	for _, e := range entries {
		file := filepath.Join(dir, e.Name())
		name, _, isBad := strings.Cut(e.Name(), badMark)
		name, isZipped := strings.CutSuffix(name, zipped)
		day, err := time.Parse(time.DateOnly+plain, name)
		switch {
		case err != nil || !day.Before(today):
		case day.Before(today.AddDate(0, 0, -days)):
			errs = append(errs, os.Remove(file))
		case !isZipped && !isBad:
			errs = append(errs, compress(file, log))
		}
	}
	return errors.Join(errs...)
}

// compress puts a whole day into a file that ends with .gz.
func compress(file string, log *slog.Logger) error {
	rows, err := repair(file, log)
	if err != nil || len(rows) == 0 {
		return err
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(text(rows, true)); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := atomicfile.Write(file+zipped, b.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Remove(file)
}
