package history

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// row is one second of a day.
type row struct{ second, records int }

const (
	header = "second,records\n"
	plain  = ".csv"
	zipped = ".gz" // behind plain

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

// repair returns the rows of a file, and writes it anew where it has anything else: half a row, or what a power cut
// left. A file that is not there has no rows.
func repair(path string) ([]row, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && info.Size() > mostBytes {
		err = fmt.Errorf("%s has %d bytes, want at most %d", path, info.Size(), mostBytes)
	}
	if err != nil {
		return nil, err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rows := parse(old)
	if good := text(rows, true); !bytes.Equal(good, old) {
		if len(rows) == 0 {
			return nil, os.Remove(path)
		}
		err = replace(path, good)
	}
	return rows, err
}

// parse returns the good rows: whole, of this day and later than the one before.
func parse(data []byte) (rows []row) {
	last := -1
	for line := range bytes.Lines(data) {
		line, whole := strings.CutSuffix(string(line), "\n")
		left, right, _ := strings.Cut(line, ",")
		second, err := strconv.Atoi(left)
		records, err2 := strconv.Atoi(right)
		if !whole || err != nil || err2 != nil || second <= last || second >= secondsOfDay || records < 0 {
			continue
		}
		rows = append(rows, row{second, records})
		last = second
	}
	return rows
}

// replace writes a file as a whole or not at all.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// leftOver is what replace leaves when it is killed.
var leftOver = regexp.MustCompile(`^\.\d{4}-\d\d-\d\d\.csv(\.gz)?\.\d+$`)

// tidy compresses the days before today and deletes those that are more than so many days ago. Files with other names, and
// days that are yet to come by this clock, are left alone.
func tidy(dir string, today time.Time, days int) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		file := filepath.Join(dir, e.Name())
		name, isZipped := strings.CutSuffix(e.Name(), zipped)
		day, err := time.Parse(time.DateOnly+plain, name)
		switch {
		case leftOver.MatchString(e.Name()):
			errs = append(errs, os.Remove(file))
		case err != nil || !day.Before(today):
		case day.Before(today.AddDate(0, 0, -days)):
			errs = append(errs, os.Remove(file))
		case !isZipped:
			errs = append(errs, compress(file))
		}
	}
	return errors.Join(errs...)
}

// compress puts a whole day into a file that ends with .gz.
func compress(file string) error {
	rows, err := repair(file)
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
	if err := replace(file+zipped, b.Bytes()); err != nil {
		return err
	}
	return os.Remove(file)
}
