// Package results keeps what analyzers counted: each result as a line of JSON on disk, and their totals in memory.
//
// A [Store] is the sink of the count handler. Write returns once the line is in the file, and on disk with
// Options.Sync, so a batch is acknowledged only after its result is safe. Opening the folder again adds the lines up,
// so totals survive a process that was killed.
//
// # Files
//
//   - results.ndjson begins with a line {"totals": {...}, "counted": "...", "version": 1}, everything that was counted before and of which
//     batches; each further line is one result.
//   - results.1.ndjson is the file that was there before, whole.
//
// When results.ndjson has grown by Options.MaxBytes, it becomes results.1.ndjson, and a new one begins with the totals
// so far. A crash at any moment of that leaves the totals complete: where results.ndjson or its first line is missing, they
// are those at the end of results.1.ndjson.
//
// # Once
//
// A batch is counted once: a result is dropped, as if it had been counted, if one of the same batch was among the last 200,000 results. So an
// analyzer may repeat a result that it got no answer to, and a batch that is delivered again, because its acknowledgement was lost or its lease
// ended, does not count again, also after a restart. The parts of a batch that was split have IDs of their own: what was counted of a batch
// before it was split, without being acknowledged, is counted again with its parts.
//
// # Damage
//
// A line that was torn by a crash at the end of the file is dropped with a warning; its batch was not acknowledged and
// comes again. A file with a damaged line elsewhere, of another version, or that may not be written is kept as
// results.ndjson.bad-1, with a warning, and a new file begins with the totals of all that can be read. So does a file that
// another program removed, replaced or changed while this one writes to it.
//
// # Trouble with the disk
//
// Results only help, so they never hold up analysis. While the file cannot be written, because the disk is full for one, or
// takes more than five seconds, results are counted in memory alone, with one warning; once it works again, a new file begins with
// them. A process that ends before that loses those counts, not the records. Space for some ten thousand results is taken
// from the disk ahead, so that a full one is noticed that much later.
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
)

const (
	patience     = 5 * time.Second // how long a Write waits for the disk
	retryEvery   = time.Second     // between two attempts to write the file again
	maxPending   = 4 << 20         // bytes of lines that wait for a slow disk
	reserveBytes = 2 << 20         // of disk space taken ahead
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
	dir  string
	o    Options
	sync func(*os.File) error // makes a file durable

	commit   sync.Mutex  // held by the one who writes to the file; taken before mu
	file     *os.File    // nil where there is none
	info     os.FileInfo // of file
	size     int64       // of the file, without anything that failed to be written
	torn     bool        // something of a failed write may stand behind size
	replace  int64       // the size at which to replace the file
	reserved int64       // up to here the disk has space, or is not asked again

	mu      sync.Mutex
	next    *group // of those who want to write, while another group is being written
	totals  *count.Totals
	counted seen             // batches in totals
	pending map[key]struct{} // batches on their way into totals
	behind  bool             // totals has results that are in no file
	retry   *time.Timer      // of catchUp; nil until there was trouble
	damaged int64
	closed  bool
	slow    sync.Once      // that the disk is slow was logged
	writers sync.WaitGroup // groups on their way
}

// group is some results that are written together.
type group struct {
	lines   []byte
	results []count.Result
	begun   bool          // a goroutine writes it
	done    chan struct{} // closed once the results are counted
}

var _ count.Sink = (*Store)(nil)

// Open opens the folder, creates it where it is missing, and adds up what was counted so far. Where that does not work, the
// store counts in memory and tries again; only bad options are an error.
func Open(dir string, o Options) (*Store, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	if o.MaxBytes < 0 {
		return nil, fmt.Errorf("results: MaxBytes is %d, must be more than 0", o.MaxBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Store{dir: dir, o: o, sync: (*os.File).Sync, next: newGroup(), totals: count.NewTotals(time.Now().UTC()), pending: map[key]struct{}{}}
	if err := s.open(); err != nil {
		if s.file != nil { // what cannot be made ready must not be written to
			s.file.Close()
			s.file = nil
		}
		s.fallBehind(err)
	}
	return s, nil
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// Write counts one result, unless its batch was counted already; where it has no time, at the present one. It returns once the result is in
// the file, or counted in memory alone while the file cannot be written or the disk is slow. When ctx ends meanwhile, the result may be counted.
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
	fresh := s.fresh(r.Batch)
	if s.behind {
		if fresh {
			s.count(r)
		}
		s.mu.Unlock()
		return nil
	}
	g := s.next
	if fresh && len(g.lines) > maxPending {
		s.count(r)
		s.mu.Unlock()
		s.fallBehind(errors.New("the disk is too slow"))
		return nil
	}
	if fresh { // else it waits like the first one, which may be on its way
		g.lines = append(append(g.lines, line...), '\n')
		g.results = append(g.results, r)
		if r.Batch != "" {
			s.pending[keyOf(r.Batch)] = struct{}{}
		}
	}
	if !g.begun { // the group gathers until it is its turn
		g.begun = true
		s.writers.Go(func() { s.write(g) })
	}
	s.mu.Unlock()

	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-g.done:
	case <-late.C:
		s.slow.Do(func() {
			s.o.Logger.Warn("results are counted before they are on disk, which is slow", "path", s.path(FileName), "waited_seconds", patience.Seconds())
		})
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// fresh reports whether a batch was not counted and is not on its way. The caller holds mu.
func (s *Store) fresh(batch string) bool {
	if batch == "" {
		return true
	}
	k := keyOf(batch)
	_, counted := s.counted.known[k]
	_, pending := s.pending[k]
	return !counted && !pending
}

// count adds a result to the totals, and remembers its batch: both or none are in what begins a file. The caller holds mu.
func (s *Store) count(r count.Result) {
	s.totals.Add(r)
	s.counted.add(r.Batch)
	delete(s.pending, keyOf(r.Batch))
}

// write puts a group into the file, and into the totals.
func (s *Store) write(g *group) {
	defer close(g.done)
	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.Lock()
	s.next = newGroup()
	behind := s.behind
	s.mu.Unlock()

	var err error
	if !behind && len(g.lines) > 0 {
		err = s.append(g.lines)
	}
	s.mu.Lock()
	for _, r := range g.results {
		s.count(r)
	}
	s.mu.Unlock()
	if err != nil {
		s.fallBehind(err)
		return
	}
	if behind || s.size < s.replace {
		return
	}
	if err := s.begin("", ""); err != nil { // the results are safe, only the file is longer than it should be
		s.o.Logger.Warn("results file not replaced, it goes on growing", "path", s.path(FileName), "error", err)
		s.replace = s.size + s.o.MaxBytes/8
	}
}

// fallBehind lets the totals go on in memory alone, until catchUp.
func (s *Store) fallBehind(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.behind {
		return
	}
	s.behind = true
	s.o.Logger.Warn("results are counted in memory alone; what is counted until the file can be written is gone should the process be killed",
		"path", s.path(FileName), "error", err)
	if s.retry == nil {
		s.retry = time.AfterFunc(retryEvery, s.catchUp)
		return
	}
	s.retry.Reset(retryEvery)
}

// catchUp tries to write what is in memory alone.
func (s *Store) catchUp() {
	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.behind || s.closed {
		return
	}
	s.behind = false // what is counted from now on has to be written, unless the attempt fails
	s.mu.Unlock()
	err := s.begin("", "")
	s.mu.Lock()
	if err != nil {
		s.behind = true
		s.retry.Reset(retryEvery)
		return
	}
	s.o.Logger.Info("results are in the file again", "path", s.path(FileName))
}

// append adds lines to the file, all or nothing.
func (s *Store) append(lines []byte) error {
	if why := s.strange(); why != "" {
		if err := s.begin("", ""); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	if s.torn { // left by a failed write
		if err := s.file.Truncate(s.size); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
		s.torn = false
	}
	_, err := s.file.WriteAt(lines, s.size)
	if err == nil && s.o.Sync {
		err = s.sync(s.file)
	}
	if err != nil {
		s.torn = s.file.Truncate(s.size) != nil
		return fmt.Errorf("write results: %w", err)
	}
	s.size += int64(len(lines))
	s.reserve()
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
	if s.retry != nil {
		s.retry.Stop()
	}
	s.mu.Unlock()
	s.writers.Wait()
	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.Lock()
	behind := s.behind
	s.behind = false
	s.mu.Unlock()
	var err error
	if behind {
		err = s.begin("", "")
	}
	if s.file != nil {
		err = errors.Join(err, s.file.Sync(), s.file.Close())
		s.file = nil
	}
	if err != nil {
		return fmt.Errorf("close results: %w", err)
	}
	return nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }
