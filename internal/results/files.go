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
	"time"

	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/internal/atomicfile"
)

const (
	fileVersion = 1
	maxLine     = 64 << 20 // bytes; totals of the most emitters are below
)

// header is the first line of a file.
type header struct {
	Totals  *count.Totals   `json:"totals"`
	Counted json.RawMessage `json:"counted,omitempty"` // seen; missing in files of earlier versions
	Version int             `json:"version"`           // 0 is 1
}

// open makes the folder ready, adds up what is there, and opens the file for more lines or begins another one.
func (s *Store) open() error {
	aside, err := atomicfile.MakeDir(s.dir)
	if aside != "" {
		s.o.Logger.Warn("file in the place of the results folder set aside", "path", s.dir, "to", aside)
	}
	if err != nil {
		return err
	}
	if err := atomicfile.CleanUp(s.dir, func(name string) bool { return name == FileName }); err != nil {
		s.o.Logger.Warn("unfinished results file not removed", "path", s.dir, "error", err)
	}
	writable, err := s.openFile()
	if errors.Is(err, fs.ErrNotExist) {
		s.readOld("the results file is missing")
		return s.begin("", "")
	}
	if err != nil {
		s.readOld("the results file cannot be read")
		return s.begin(err.Error(), "")
	}
	in := s.read(s.file, FileName, s.totals, &s.counted)
	s.size, s.damaged = in.good, in.damaged
	switch {
	case in.version != 0:
		s.readOld("the results file is of another version")
		return s.begin(fmt.Sprintf("format version %d, this program reads version %d", in.version, fileVersion),
			"to go on with its totals, stop, put the file back and use the version of Sluice that wrote it")
	case in.err != nil:
		return s.begin(in.err.Error(), "")
	case in.good == 0: // a crash left nothing of it
		return s.begin(nothing, "")
	case in.damaged > 0:
		return s.begin(fmt.Sprintf("%d lines are not results, the first one at byte %d", in.damaged, in.firstBad), "")
	case !writable:
		return s.begin("it may not be written", "")
	case in.header == 0:
		return s.begin("", "")
	case in.torn > 0:
		s.o.Logger.Warn("torn line at the end of the results file dropped", "path", s.path(FileName), "bytes", in.torn)
		err = s.file.Truncate(s.size)
	}
	s.replace = in.header + s.o.MaxBytes
	return err
}

// nothing is the reason why a file need not be kept.
const nothing = "no whole line is in it"

// openFile opens the file, for reading alone where it may not be written.
func (s *Store) openFile() (writable bool, err error) {
	info, err := os.Stat(s.path(FileName))
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, errors.New("not a regular file")
	}
	writable = true
	s.file, err = os.OpenFile(s.path(FileName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		writable = false
		s.file, err = os.Open(s.path(FileName))
	}
	if err != nil {
		s.file = nil
		return false, err
	}
	s.info, err = s.file.Stat()
	return writable, err
}

// content is what was found in a file.
type content struct {
	good     int64 // bytes up to the end of the last whole line
	header   int64 // bytes of the first line, where that is one of totals
	torn     int   // bytes of a line without its end
	damaged  int64 // lines that are none of ours
	firstBad int64 // where the first of them begins
	version  int   // of a file of another version, else 0
	err      error // of reading
}

// read adds the lines of a file to totals, which the first line replaces, and their batches to those that were counted.
func (s *Store) read(file io.Reader, name string, totals *count.Totals, counted *seen) (in content) {
	r := bufio.NewReaderSize(file, 1<<20)
	bad := func(n int) {
		if in.damaged++; in.damaged == 1 {
			in.firstBad = in.good - int64(n)
		}
	}
	for {
		line, n, err := readLine(r)
		if errors.Is(err, io.EOF) {
			if in.good == 0 && name == FileName {
				s.readOld("the results file does not begin with totals")
			}
			if in.torn = n; n > 0 && !torn(line) {
				in.good += int64(n)
				bad(n)
			}
			return in
		}
		if err != nil {
			in.err = err
			return in
		}
		first := in.good == 0
		in.good += int64(n)
		var h header
		if first && json.Unmarshal(line, &h) == nil && (h.Totals != nil || h.Version > fileVersion) {
			if h.Version > fileVersion {
				return content{version: h.Version}
			}
			*totals = *h.Totals
			in.header = in.good
			if len(h.Counted) > 0 {
				if err := json.Unmarshal(h.Counted, counted); err != nil {
					s.o.Logger.Warn("it is not known of which batches results were counted; such a batch may count twice if it comes again", "path", s.path(name), "error", err)
				}
			}
			continue
		}
		if first && name == FileName {
			s.readOld("the results file does not begin with totals")
		}
		var result count.Result
		if json.Unmarshal(line, &result) != nil || result.Time.IsZero() {
			bad(n)
			continue
		}
		if in.header == 0 && result.Time.Before(totals.Since) {
			totals.Since = result.Time
		}
		if counted.add(result.Batch) {
			totals.Add(result)
		}
	}
}

// readLine reads up to the end of a line, of which it returns at most maxLine bytes. n is how many bytes were read.
func readLine(r *bufio.Reader) (line []byte, n int, err error) {
	for {
		piece, err := r.ReadSlice('\n')
		n += len(piece)
		if len(line)+len(piece) <= maxLine {
			line = append(line, piece...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, n, err
		}
	}
}

// torn reports whether a line without its end may be what a crash left of one of ours: its beginning, or zeros, or the
// one followed by the other.
func torn(line []byte) bool {
	line = bytes.TrimRight(line, "\x00")
	for _, begin := range []string{`{"batch":"`, `{"totals":{"`} {
		if n := min(len(begin), len(line)); string(line[:n]) == begin[:n] && bytes.IndexByte(line, 0) < 0 {
			return true
		}
	}
	return false
}

// readOld takes the totals from the file before, which ended with the totals that the present one began with.
func (s *Store) readOld(why string) {
	f, err := os.Open(s.path(OldFileName))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	totals := count.NewTotals(time.Now().UTC())
	var counted seen
	var in content
	if err == nil {
		in = s.read(f, OldFileName, totals, &counted)
		err = errors.Join(in.err, f.Close())
	}
	if err == nil && in.version == 0 && in.header > 0 {
		s.o.Logger.Warn("totals taken from the results file before", "path", s.path(OldFileName), "reason", why, "records", totals.Records, "damaged_lines", in.damaged)
		*s.totals, s.counted = *totals, counted
		return
	}
	s.o.Logger.Warn("totals restart: the results file before cannot be read either", "path", s.path(OldFileName), "reason", why, "error", err)
}

// begin puts a file with the totals so far into the place of the present one, which becomes the old one, or is set aside where
// there is a reason why it cannot be used, or where it is not as this process wrote it. After an error all is as it was before. The
// caller holds commit.
func (s *Store) begin(why, hint string) error {
	path, old, keep := s.path(FileName), s.path(OldFileName), ""
	if why == "" {
		why = s.strange()
	}
	_, err := os.Lstat(path)
	exists := err == nil
	if exists && why == "" {
		keep = old
		if info, err := os.Lstat(old); err == nil && info.IsDir() {
			to, err := atomicfile.SetAside(old)
			s.o.Logger.Warn("folder in the place of the old results set aside", "path", old, "to", atomicfile.Aside(to), "error", err)
		}
	} else if exists && why != nothing {
		keep = atomicfile.BadName(path)
	}
	aside, err := atomicfile.MakeDir(s.dir)
	if aside != "" {
		s.o.Logger.Warn("file in the place of the results folder set aside", "path", s.dir, "to", aside)
	}
	if err != nil {
		return err
	}
	line, err := s.header()
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if err := atomicfile.Replace(path, line, 0o644, keep); err != nil {
		if why != "" {
			err = fmt.Errorf("%s: %w", why, err)
		}
		return err
	}
	if exists && why != "" && why != nothing {
		args := []any{"path", path, "reason", why, "to", atomicfile.Aside(keep), "records_in_totals", s.Totals().Records}
		if hint != "" {
			args = append(args, "hint", hint)
		}
		s.o.Logger.Warn("results file set aside; another one begins with the totals that are known", args...)
	} else if s.file != nil && why != "" {
		s.o.Logger.Warn("results file begun again with the totals that are known", "path", path, "reason", why)
	}
	var info os.FileInfo
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		info, err = file.Stat()
	}
	if err != nil { // then lines must not go where nobody will look for them
		if keep != "" {
			err = errors.Join(err, os.Rename(keep, path))
		}
		return err
	}
	if s.file != nil {
		s.file.Close()
	}
	s.file, s.info, s.torn, s.reserved = file, info, false, 0
	s.size = int64(len(line))
	s.replace = s.size + s.o.MaxBytes
	s.reserve()
	return nil
}

// header is the first line of a file, without its end.
func (s *Store) header() ([]byte, error) {
	s.mu.Lock()
	h := header{Totals: s.totals.Clone(), Version: fileVersion}
	counted, err := json.Marshal(&s.counted)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	h.Counted = counted
	return json.Marshal(h)
}

// strange says why the file is not the one that lines were written to, or is empty.
func (s *Store) strange() string {
	if s.file == nil {
		return "it could not be used at the start"
	}
	info, err := os.Stat(s.path(FileName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it was removed"
	case err != nil:
		return err.Error()
	case !os.SameFile(info, s.info):
		return "it was replaced"
	case info.Size() != s.size && !s.torn:
		return fmt.Sprintf("it has %d bytes instead of %d", info.Size(), s.size)
	}
	return ""
}

// reserve takes space for more lines from the disk, so that results are kept for some time after it is full.
func (s *Store) reserve() {
	if s.size+reserveBytes/2 < s.reserved {
		return
	}
	s.reserved = s.size + reserveBytes
	if err := allocate(s.file, s.size, reserveBytes); err != nil { // a precaution, which is tried again a little later
		s.reserved = s.size + reserveBytes/2 + 64<<10
	}
}
