// Package results keeps what analyzers counted: each result as a line of JSON on disk, and their totals in memory.
//
// A [Store] is the sink of the count handler. Write returns once the line is in the file, and on disk with
// Options.Sync, so a batch is acknowledged only after its result is safe. Opening the folder again adds the lines up,
// so totals survive a process that was killed.
//
// # Files
//
//   - results.ndjson begins with a line {"totals": {...}}, everything that was counted before; each further line is one
//     result.
//   - results.1.ndjson is the file that was there before, whole.
//
// When results.ndjson has grown by Options.MaxBytes, it becomes results.1.ndjson, and a new one begins with the totals
// so far. A crash at any moment of that leaves the totals complete.
//
// # Damage
//
// A line that was torn by a crash at the end of the file is dropped with a warning; its batch was not acknowledged and
// comes again. A damaged line in the middle is skipped and counted in [Store.Damaged].
package results

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluicehq/sluice/analyzer/count"
)

// The names of the files in the folder.
const (
	FileName    = "results.ndjson"
	OldFileName = "results.1.ndjson"
	newFileName = "results.ndjson.new"
)

// ErrClosed is returned by Write after Close.
var ErrClosed = errors.New("results closed")

// Options of a [Store].
type Options struct {
	Sync     bool         // wait for the disk before Write returns; concurrent writers share one fsync
	MaxBytes int64        // of lines after which the file is replaced; zero means 64 MiB
	Logger   *slog.Logger // nil means slog.Default()
}

// Store keeps results. Its methods may be called from several goroutines.
type Store struct {
	dir string
	o   Options

	commit  sync.Mutex // held by the one who writes to the file; taken before mu
	file    *os.File
	size    int64 // of the file, without anything that failed to be written
	torn    bool  // something of a failed write may stand behind size
	replace int64 // the size at which to replace the file

	mu      sync.Mutex
	next    *group // of those who want to write, while another group is being written
	totals  *count.Totals
	damaged int64
	closed  bool
}

// group is some results that are written together.
type group struct {
	lines   []byte
	results []count.Result
	err     error
	done    chan struct{} // closed when err is set
}

var _ count.Sink = (*Store)(nil)

// Open opens the folder, creates it where it is missing, and adds up what was counted so far.
func Open(dir string, o Options) (*Store, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	if o.MaxBytes < 0 {
		return nil, fmt.Errorf("results: MaxBytes is %d, want more than 0", o.MaxBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Store{dir: dir, o: o, next: newGroup(), totals: count.NewTotals(time.Now().UTC())}
	if err := s.open(); err != nil {
		if s.file != nil {
			s.file.Close()
		}
		return nil, fmt.Errorf("open results: %w", err)
	}
	return s, nil
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// Write keeps one result; where it has no time, the present one. After an error, it is not kept; but when ctx ends
// while the disk is at work, it may be.
func (s *Store) Write(ctx context.Context, r count.Result) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.Time.IsZero() {
		r.Time = time.Now().UTC()
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	g := s.next
	first := len(g.results) == 0
	g.lines = append(append(g.lines, line...), '\n')
	g.results = append(g.results, r)
	s.mu.Unlock()

	if first { // the first of a group writes for all who joined until it is its turn
		s.write(g)
	}
	select {
	case <-g.done:
		return g.err
	default:
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write puts a group into the file, and into the totals once it is there.
func (s *Store) write(g *group) {
	defer close(g.done)
	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.Lock()
	s.next = newGroup()
	s.mu.Unlock()

	if g.err = s.append(g.lines); g.err != nil {
		return
	}
	s.mu.Lock()
	for _, r := range g.results {
		s.totals.Add(r)
	}
	s.mu.Unlock()
	if s.size < s.replace {
		return
	}
	if err := s.rotate(); err != nil { // the results are safe all the same, only the file is longer than it should be
		s.o.Logger.Warn("results file not replaced, it goes on growing", "path", s.path(FileName), "error", err)
		s.replace = s.size + s.o.MaxBytes/8
	}
}

// append adds lines to the file, all or nothing.
func (s *Store) append(lines []byte) error {
	if s.file == nil {
		return ErrClosed
	}
	if s.torn { // left by a failed write
		if err := s.file.Truncate(s.size); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
		s.torn = false
	}
	_, err := s.file.WriteAt(lines, s.size)
	if err == nil && s.o.Sync {
		err = s.file.Sync()
	}
	if err != nil {
		s.torn = s.file.Truncate(s.size) != nil
		return fmt.Errorf("write results: %w", err)
	}
	s.size += int64(len(lines))
	return nil
}

// Totals returns a copy of what was counted so far.
func (s *Store) Totals() *count.Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.totals.Clone()
}

// Damaged is how many lines were skipped when the folder was opened.
func (s *Store) Damaged() int64 { return s.damaged }

// Close waits for what is being written, and closes the file. Later calls of Write return [ErrClosed]; Totals goes on
// to answer.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.commit.Lock()
	defer s.commit.Unlock()
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.file.Sync(), s.file.Close())
	s.file = nil
	if err != nil {
		return fmt.Errorf("close results: %w", err)
	}
	return nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }
