package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// log is a sequence of entries in segments: files whose names are a number and an ending. One goroutine at a time appends.
type log struct {
	fs      fileSystem
	dir     string
	ending  string
	limit   int64                // a segment that is this long is followed by another
	check   func(*segment) error // nil, or a condition for a write to count
	reserve int64                // zeros written ahead of the entries, so that a full disk leaves this much to write
	ordinal atomic.Uint64        // of the next entry

	mu      sync.Mutex
	segs    []*segment // ascending; entries are appended to the last one unless it is sealed
	newName bool       // the last segment's name is not durable yet
}

// segment is one file of a log. Number, path, f and identity don't change.
type segment struct {
	number   uint64
	path     string
	f        file
	identity uint64
	written  int64 // size and the zeros ahead; only for who appends

	size   atomic.Int64 // offset of the next entry; bytes behind it are void
	sealed bool         // never written again; guarded by log.mu

	// Of segments with batches, guarded by Queue.mu:
	open     int   // batches of which some record is not finished
	live     int64 // bytes of these
	damaged  bool
	unlinked bool // the name leads to another file, or nowhere

	first, end uint64 // numbers of its records, where known; end only as found at the start
}

// segmentName returns the name of a segment of a log.
func segmentName(number uint64, ending string) string { return fmt.Sprintf("%010d%s", number, ending) }

// list opens the segments that are there.
func (l *log) list() error {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, l.ending)
		number, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || name != segmentName(number, l.ending) {
			continue
		}
		s := &segment{number: number, path: filepath.Join(l.dir, name)}
		if s.identity, err = l.fs.Identity(s.path); err == nil {
			s.f, err = l.fs.Open(s.path, false)
		}
		if err == nil {
			s.written, err = s.f.Size()
		}
		if err != nil {
			return err
		}
		s.size.Store(s.written)
		l.segs = append(l.segs, s)
	}
	slices.SortFunc(l.segs, func(a, b *segment) int { return int(a.number) - int(b.number) })
	return nil
}

// all returns the segments.
func (l *log) all() []*segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.segs)
}

// tail returns the segment that is written to and its size, or nil.
func (l *log) tail() (s *segment, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.segs); n > 0 && !l.segs[n-1].sealed {
		return l.segs[n-1], l.segs[n-1].size.Load()
	}
	return nil, 0
}

// last returns the last segment, sealed or not, or nil.
func (l *log) last() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.segs); n > 0 {
		return l.segs[n-1]
	}
	return nil
}

// around returns the size of a segment and the one that follows it, or the first one where s is nil.
func (l *log) around(s *segment) (size int64, next *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.segs {
		if s == nil || other.number > s.number {
			next = other
			break
		}
	}
	if s != nil {
		size = s.size.Load()
	}
	return size, next
}

// append writes a group of entries, one write for all of them, and makes it durable if wanted. Should a new segment begin,
// start becomes its first entry. After an error nothing was appended.
func (l *log) append(g *group, start header, together, durable bool) (s *segment, off int64, err error) {
	if s, off = l.tail(); s == nil || off >= l.limit {
		if s, err = l.begin(start); err != nil {
			return nil, 0, err
		}
		off = headerSize
	}
	g.finish(l.ordinal.Load(), together)
	_, err = s.f.WriteAt(g.b, off)
	poisoned := err != nil && !noSpace(err)
	if err == nil && durable {
		err = l.sync(s)
	}
	if err == nil && l.check != nil {
		err = l.check(s)
		poisoned = err != nil
	}
	if err != nil { // cut back; if that fails too, the first ordinal of the next segment voids the rest
		if cut := s.f.Truncate(max(off, s.written)); cut != nil || poisoned {
			l.seal(s)
		}
		return nil, 0, err
	}
	end := off + int64(len(g.b))
	s.size.Store(end)
	l.ordinal.Add(uint64(len(g.entries)))
	s.written = max(s.written, end)
	if ahead := s.written - end; ahead < l.reserve/2 { // a precaution, which may fail
		n, _ := s.f.WriteAt(make([]byte, l.reserve-ahead), s.written)
		s.written += int64(n)
	}
	return s, off, nil
}

// sync makes a segment durable, and its name. A segment that could not be synced is sealed: the operating system may take
// pages for clean that the disk does not have.
func (l *log) sync(s *segment) error {
	l.mu.Lock()
	newName := l.newName
	l.mu.Unlock()
	err := s.f.Sync()
	if err == nil && newName {
		err = l.fs.SyncDir(l.dir)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.sealed = s.sealed || err != nil
	l.newName = l.newName && err != nil
	return err
}

// seal keeps a segment from being written again.
func (l *log) seal(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.sealed = true
}

// begin starts another segment.
func (l *log) begin(start header) (*segment, error) {
	s := &segment{number: 1}
	if segs := l.all(); len(segs) > 0 {
		s.number = segs[len(segs)-1].number + 1
	}
	var err error
	b := make([]byte, headerSize)
	start.kind, start.last, start.ordinal = kindStart, true, l.ordinal.Load()
	for ; ; s.number++ { // an earlier attempt may have left a name behind
		start.accepted = int64(s.number) // so that a copy of the file under another name is recognised
		start.encode(b)
		s.path = filepath.Join(l.dir, segmentName(s.number, l.ending))
		if s.f, err = l.fs.Open(s.path, true); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if s.identity, err = l.fs.Identity(s.path); err == nil {
		_, err = s.f.WriteAt(b, 0)
	}
	if err != nil {
		return nil, errors.Join(err, s.f.Close(), l.fs.Remove(s.path))
	}
	s.first = start.first
	s.size.Store(headerSize)
	s.written = headerSize
	l.ordinal.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.segs {
		other.sealed = true
	}
	l.segs, l.newName = append(l.segs, s), true
	return s, nil
}

// detach takes a segment out of the log.
func (l *log) detach(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segs = slices.DeleteFunc(l.segs, func(other *segment) bool { return other == s })
}

// remove deletes a segment.
func (l *log) remove(s *segment) error {
	l.detach(s)
	id, err := l.fs.Identity(s.path)
	if err == nil && id == s.identity { // else another file has this name now, which the operator may want to keep
		err = l.fs.Remove(s.path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(s.f.Close(), err)
}

// bytes is the length of all segments.
func (l *log) bytes() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segs {
		n += s.size.Load()
	}
	return n
}

func (l *log) close() error {
	var errs []error
	for _, s := range l.all() {
		errs = append(errs, s.f.Close())
	}
	return errors.Join(errs...)
}

// noSpace reports whether an error passes once there is space.
func noSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
