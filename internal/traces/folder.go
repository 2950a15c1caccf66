package traces

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/words"
)

// dayFile is one day of recorded history.
type dayFile struct {
	name  string
	start int64 // second of its midnight
}

// readFolder joins the days of a folder.
func readFolder(ctx context.Context, folder string, p *Progress) (*Trace, error) {
	files, err := dayFiles(folder, p)
	if err != nil {
		return nil, err
	}
	if span := files[len(files)-1].start - files[0].start + day; span > mostSeconds {
		return nil, fmt.Errorf("the days %s to %s are %d days, want %d at most; copy those of interest to a folder of their own",
			files[0].name, files[len(files)-1].name, span/day, mostSeconds/day)
	}
	var c counts
	for i, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := c.readDay(filepath.Join(folder, f.name), f.start, i == len(files)-1, p); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if c.records == 0 {
		return nil, fmt.Errorf("no second in the folder has a record, want one at least (%s, %s to %s)",
			words.Plural(len(files), "day", "days"), files[0].name, files[len(files)-1].name)
	}
	t := &Trace{Form: formFolder, Files: len(files), Start: time.Unix(c.earliest.second, 0).UTC()}
	t.Trace, err = c.trace()
	return t, err
}

// dayFiles lists the days in order. Other files are none of its business.
func dayFiles(folder string, p *Progress) ([]dayFile, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	var files []dayFile
	total := int64(0)
	for _, e := range entries { // sorted by name, and so by day
		date, packed := strings.CutSuffix(e.Name(), ".csv.gz")
		if !packed {
			var plain bool
			if date, plain = strings.CutSuffix(e.Name(), ".csv"); !plain {
				continue
			}
		}
		start, err := time.Parse(time.DateOnly, date)
		if err != nil || e.IsDir() {
			continue
		}
		f := dayFile{e.Name(), start.Unix()}
		if n := len(files); n > 0 && files[n-1].start == f.start {
			return nil, fmt.Errorf("%s and %s are the same day, want one of them", files[n-1].name, f.name)
		}
		files = append(files, f)
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
	}
	if len(files) == 0 {
		return nil, errors.New("a folder without a file named like 2026-01-31.csv or 2026-01-31.csv.gz, want one for each day, " +
			"or the name of a trace or a log file")
	}
	p.Total.Store(total)
	return slices.Clip(files), nil
}

// readDay counts one file. The newest may be being written: its last line counts only once it is whole.
func (c *counts) readDay(path string, start int64, newest bool, p *Progress) error {
	file, err := os.Open(path)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer file.Close()
	r, err := unpacked(&meter{r: file, done: &p.Done})
	if err != nil {
		return err
	}
	for number := 1; ; number++ {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("line %d is longer than %d bytes, want %s", number, sampleBytes, csvHeader)
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("line %d: %w", number, readError(err))
		}
		ended := err != nil
		if err := c.readRow(string(trimmed(line)), start, number); err != nil && !(ended && (newest || len(line) == 0)) {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if ended {
			return nil
		}
	}
}

// readRow counts one line of a day.
func (c *counts) readRow(line string, start int64, number int) error {
	line = strings.TrimSpace(line)
	if number == 1 {
		if line != csvHeader {
			return fmt.Errorf("the header is %s, want %q", quoted([]byte(line)), csvHeader)
		}
		return nil
	}
	if line == "" {
		return nil
	}
	left, right, found := strings.Cut(line, ",")
	if !found || strings.Contains(right, ",") {
		return fmt.Errorf("%s, want two numbers: %s", quoted([]byte(line)), csvHeader)
	}
	second, err := strconv.Atoi(strings.TrimSpace(left))
	if err != nil || second < 0 || second >= day {
		return fmt.Errorf("second is %s, want a whole number from 0 to %d, a second of the day in UTC", quoted([]byte(left)), day-1)
	}
	records, err := strconv.ParseUint(strings.TrimSpace(right), 10, 32)
	if err != nil {
		return fmt.Errorf("records is %s, want a whole number from 0 to %d", quoted([]byte(right)), uint32(1<<32-1))
	}
	if records == 0 {
		return nil
	}
	return c.add(start+int64(second), uint32(records), number)
}
