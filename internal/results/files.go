package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/sluicehq/sluice/analyzer/count"
)

// header is the first line of a file.
type header struct {
	Totals *count.Totals `json:"totals"`
}

// open makes the folder and its file ready, and replays what is there.
func (s *Store) open() error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if err := s.finishRotation(); err != nil {
		return err
	}
	file, err := os.OpenFile(s.path(FileName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return s.startFile()
	}
	if err != nil {
		return err
	}
	s.file = file
	if err := s.replay(); err != nil {
		return fmt.Errorf("read %s: %w", file.Name(), err)
	}
	s.replace = max(s.replace, s.o.MaxBytes)
	return nil
}

// finishRotation does the last step of a rotation that a crash cut short. The new file was complete before the old one
// was moved, and is of no use where the old one is still in its place.
func (s *Store) finishRotation() error {
	_, err := os.Stat(s.path(FileName))
	switch {
	case err == nil:
		err = os.Remove(s.path(newFileName))
	case errors.Is(err, fs.ErrNotExist):
		err = os.Rename(s.path(newFileName), s.path(FileName))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// replay reads the file into the totals and cuts off what a crash has torn.
func (s *Store) replay() error {
	r := bufio.NewReaderSize(s.file, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return s.dropTorn(len(line))
		}
		if err != nil {
			return err
		}
		s.size += int64(len(line))
		s.replayLine(line)
	}
}

func (s *Store) replayLine(line []byte) {
	if bytes.HasPrefix(line, []byte(`{"totals":`)) {
		var h header
		err := json.Unmarshal(line, &h)
		if err != nil || h.Totals == nil {
			s.skip(err)
			return
		}
		s.totals = h.Totals
		s.replace = s.size + s.o.MaxBytes
		return
	}
	var r count.Result
	if err := json.Unmarshal(line, &r); err != nil || r.Time.IsZero() {
		s.skip(err)
		return
	}
	if s.replace == 0 && r.Time.Before(s.totals.Since) { // a file without a line of totals
		s.totals.Since = r.Time
	}
	s.totals.Add(r)
}

func (s *Store) skip(err error) {
	s.damaged++
	s.o.Logger.Warn("damaged line in the results file skipped", "path", s.path(FileName), "ends_at_byte", s.size, "error", err)
}

func (s *Store) dropTorn(n int) error {
	if n == 0 {
		return nil
	}
	s.o.Logger.Warn("torn line at the end of the results file dropped", "path", s.path(FileName), "bytes", n)
	return s.file.Truncate(s.size)
}

// startFile begins a file with the totals so far, complete and on disk before it gets its name.
func (s *Store) startFile() error {
	file, size, err := s.makeNew()
	if err != nil {
		return err
	}
	return s.adopt(file, size)
}

// rotate keeps the present file under its old name and begins a new one. The caller holds commit. Until the new file
// has its name, an error leaves everything as it was, or is put right by open.
func (s *Store) rotate() error {
	file, size, err := s.makeNew()
	if err != nil {
		return err
	}
	if err := os.Rename(s.path(FileName), s.path(OldFileName)); err != nil {
		return errors.Join(err, file.Close(), os.Remove(s.path(newFileName)))
	}
	old := s.file
	if err := s.adopt(file, size); err != nil {
		return errors.Join(err, os.Rename(s.path(OldFileName), s.path(FileName)))
	}
	return old.Close()
}

// makeNew writes the file that is to become the present one.
func (s *Store) makeNew() (*os.File, int64, error) {
	line, err := json.Marshal(header{s.totals}) // only the holder of commit changes totals
	if err != nil {
		return nil, 0, err
	}
	line = append(line, '\n')
	file, err := os.OpenFile(s.path(newFileName), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, 0, err
	}
	_, err = file.Write(line)
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	return file, int64(len(line)), nil
}

// adopt makes the new file the present one.
func (s *Store) adopt(file *os.File, size int64) error {
	if err := os.Rename(s.path(newFileName), s.path(FileName)); err != nil {
		return errors.Join(err, file.Close())
	}
	s.file, s.size, s.torn, s.replace = file, size, false, size+s.o.MaxBytes
	if err := syncDir(s.dir); err != nil {
		s.o.Logger.Warn("folder of the results not synced", "path", s.dir, "error", err)
	}
	return nil
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
