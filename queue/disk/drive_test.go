package disk

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// drive is a disk in memory that knows what of it would survive a power cut. A mount is how the engine sees it.
type drive struct {
	model
	mu     sync.Mutex
	names  map[string]*node // as programs see them
	stable map[string]*node // as they are after a power cut that undoes all it may
	undone []rename         // what leads from stable to names
	ids    uint64
}

// node is a file or a folder.
type node struct {
	id     uint64
	dir    bool
	data   []byte
	edits  []edit // since the last sync
	failed bool   // a sync failed: what was written before may never reach the disk, whatever later syncs say
}

// edit is a write, or a change of size where data is nil.
type edit struct {
	off  int64
	data []byte
	size int64  // afterwards
	was  []byte // what was there, from off on
	had  int64  // the size before
}

// rename is a change of names: from "" where a file was made, to "" where one was removed.
type rename struct {
	from, to string
	node     *node
}

func newDrive(m model) *drive {
	root := &node{dir: true}
	return &drive{model: m, names: map[string]*node{"/data": root}, stable: map[string]*node{"/data": root}}
}

func sized(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

func (n *node) edit(e edit) {
	e.had = int64(len(n.data))
	if e.data == nil {
		e.off = min(e.size, e.had)
		e.was = slices.Clone(n.data[e.off:])
		n.data = sized(n.data, e.size)
	} else {
		end := e.off + int64(len(e.data))
		e.size = max(e.had, end)
		e.data = slices.Clone(e.data)
		if e.off < e.had {
			e.was = slices.Clone(n.data[e.off:min(end, e.had)])
		}
		n.data = sized(n.data, e.size)
		copy(n.data[e.off:], e.data)
	}
	n.edits = append(n.edits, e)
}

// synced returns the content that is durable.
func (n *node) synced() []byte {
	b := slices.Clone(n.data)
	for _, e := range slices.Backward(n.edits) {
		b = sized(b, e.had)
		if e.off < int64(len(b)) {
			copy(b[e.off:], e.was)
		}
	}
	return b
}

// model is what a file system promises of what was not synced.
type model struct {
	ordered bool // names survive in the order of their changes, new data is on disk before the size covers it (ext4)
	sector  int64
}

// survive returns the content after a power cut.
func (n *node) survive(r *rand.Rand, m model) []byte {
	b := n.synced()
	old := int64(len(b))
	keep := []float64{0, 0.2, 0.5, 0.9, 1}[r.IntN(5)]
	full := false // the file grew no further
	for _, e := range n.edits {
		if e.data == nil {
			if r.Float64() < keep {
				b = sized(b, e.size)
				old = min(old, e.size)
			}
			continue
		}
		end := e.off + int64(len(e.data))
		for from := e.off; from < end; {
			to := min((from/m.sector+1)*m.sector, end)
			if there := r.Float64() < keep; m.ordered && to > old { // appended
				if full = full || !there; !full {
					b = sized(b, max(int64(len(b)), to))
					copy(b[from:to], e.data[from-e.off:])
				}
			} else if there {
				b = sized(b, max(int64(len(b)), to))
				copy(b[from:to], e.data[from-e.off:])
			}
			from = to
		}
		if !m.ordered && r.IntN(4) == 0 { // the size was written, the data was not
			b = sized(b, max(int64(len(b)), end))
		}
	}
	return b
}

// cut returns the disk as it is after a power cut.
func (d *drive) cut(r *rand.Rand) *drive {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.model
	names := maps.Clone(d.stable)
	keep := []float64{0, 0.3, 0.7, 1}[r.IntN(4)]
	for _, c := range d.undone {
		if there := r.Float64() < keep; there {
			c.apply(names)
		} else if m.ordered {
			break
		}
	}
	out := &drive{model: d.model, names: map[string]*node{}, stable: map[string]*node{}, ids: d.ids}
	copies := map[*node]*node{}
	for _, path := range slices.Sorted(maps.Keys(names)) {
		n := names[path]
		if path != "/data" && names[filepath.Dir(path)] == nil { // its folder did not survive
			continue
		}
		if copies[n] == nil {
			copies[n] = &node{id: n.id, dir: n.dir, data: n.survive(r, m)}
		}
		out.names[path], out.stable[path] = copies[n], copies[n]
	}
	return out
}

func (c rename) apply(names map[string]*node) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.node
	}
}

// clone returns a copy of the disk as programs see it, all of it durable.
func (d *drive) clone() *drive {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := &drive{model: d.model, names: map[string]*node{}, stable: map[string]*node{}, ids: d.ids}
	for path, n := range d.names {
		c := &node{id: n.id, dir: n.dir, data: slices.Clone(n.data)}
		out.names[path], out.stable[path] = c, c
	}
	return out
}

// list returns the paths with an ending, in order.
func (d *drive) list(ending string) (out []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path := range d.names {
		if strings.HasSuffix(path, ending) {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

// mount is a drive as one process sees it.
type mount struct {
	*drive
	before func(op, path string) // called without the lock, before an operation
	// fault is called for each operation but reading, by its number from 1, and returns an error to fail with. A write
	// that fails with a torn stores half of what it was given. A sync that fails has not synced.
	fault func(n int, op, path string) error
	ops   int
	dead  bool // the process ended, or the power was cut
	cutAt int  // the number of the operation during which power is cut; 0 for never
	half  bool // that operation is carried out before
	wrong []string
}

var errPower = errors.New("the power is off")

// torn is the error of a write that stored half of what it was given.
type torn struct{ error }

func (t torn) Unwrap() error { return t.error }

// do carries out one operation.
func (m *mount) do(op, path string, f func() error) error {
	if m.before != nil {
		m.before(op, path)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errPower
	}
	if m.ops++; m.ops == m.cutAt {
		m.dead = true
		if m.half {
			f()
		}
		return errPower
	}
	if m.fault != nil {
		if err := m.fault(m.ops, op, path); err != nil {
			if n := m.names[path]; op == "sync" && n != nil {
				n.failed = true
			}
			return &fs.PathError{Op: op, Path: path, Err: err}
		}
	}
	return f()
}

// kill ends the process without a power cut.
func (m *mount) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
}

func (m *mount) change(c rename) {
	c.apply(m.names)
	m.undone = append(m.undone, c)
}

func (m *mount) Open(path string, create bool) (out file, err error) {
	op := "open"
	if create {
		op = "create"
	}
	err = m.do(op, path, func() error {
		n := m.names[path]
		switch {
		case create && n != nil:
			return &fs.PathError{Op: op, Path: path, Err: fs.ErrExist}
		case create && m.names[filepath.Dir(path)] == nil, !create && n == nil:
			return &fs.PathError{Op: op, Path: path, Err: fs.ErrNotExist}
		case create:
			m.ids++
			n = &node{id: m.ids}
			m.change(rename{to: path, node: n})
		}
		out = &handle{m: m, n: n, path: path}
		return nil
	})
	return out, err
}

func (m *mount) List(dir string) (names []string, err error) {
	err = m.do("list", dir, func() error {
		for path := range m.names {
			if filepath.Dir(path) == dir {
				names = append(names, filepath.Base(path))
			}
		}
		return nil
	})
	return names, err
}

func (m *mount) MakeDir(dir string) error {
	return m.do("mkdir", dir, func() error {
		if m.names[dir] == nil {
			m.ids++
			m.change(rename{to: dir, node: &node{id: m.ids, dir: true}})
		}
		return nil
	})
}

func (m *mount) Remove(path string) error {
	return m.do("remove", path, func() error {
		if m.names[path] == nil {
			return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
		}
		m.change(rename{from: path})
		return nil
	})
}

func (m *mount) Rename(from, to string) error {
	return m.do("rename", from, func() error {
		n := m.names[from]
		if n == nil {
			return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
		}
		m.change(rename{from: from, to: to, node: n})
		return nil
	})
}

func (m *mount) SyncDir(dir string) error {
	return m.do("syncdir", dir, func() error {
		m.undone = slices.DeleteFunc(m.undone, func(c rename) bool {
			if filepath.Dir(cmp.Or(c.to, c.from)) != dir {
				return false
			}
			c.apply(m.stable)
			return true
		})
		return nil
	})
}

func (m *mount) Identity(path string) (id uint64, err error) {
	err = m.do("identity", path, func() error {
		n := m.names[path]
		if n == nil {
			return &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
		}
		id = n.id
		return nil
	})
	return id, err
}

func (m *mount) Writable(dir string) error {
	return m.do("writable", dir, func() error {
		if m.names[dir] == nil {
			return &fs.PathError{Op: "access", Path: dir, Err: fs.ErrNotExist}
		}
		return nil
	})
}

func (m *mount) Space(dir string) (free, size int64, err error) {
	if err := m.do("space", dir, func() error { return nil }); err != nil {
		return -1, -1, err
	}
	return 1 << 40, 1 << 41, nil
}

// handle is an open file of a mount.
type handle struct {
	m      *mount
	n      *node
	path   string
	closed bool
}

func (h *handle) do(op string, f func() error) error {
	return h.m.do(op, h.path, func() error {
		if h.closed {
			return &fs.PathError{Op: op, Path: h.path, Err: fs.ErrClosed}
		}
		return f()
	})
}

func (h *handle) ReadAt(b []byte, off int64) (n int, err error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	switch {
	case h.m.dead:
		return 0, errPower
	case h.closed:
		return 0, &fs.PathError{Op: "read", Path: h.path, Err: fs.ErrClosed}
	case off >= int64(len(h.n.data)):
		return 0, io.EOF
	}
	if n = copy(b, h.n.data[off:]); n < len(b) {
		err = io.EOF
	}
	return n, err
}

func (h *handle) WriteAt(b []byte, off int64) (n int, err error) {
	n = len(b)
	err = h.do("write", func() error {
		if h.n.failed {
			h.m.wrong = append(h.m.wrong, fmt.Sprintf("%s written at %d after a sync of it failed", h.path, off))
		}
		h.n.edit(edit{off: off, data: b})
		return nil
	})
	if err != nil {
		n = 0
	}
	if errors.As(err, new(torn)) {
		n = len(b) / 2
		h.m.mu.Lock()
		h.n.edit(edit{off: off, data: b[:n]})
		h.m.mu.Unlock()
	}
	return n, err
}

func (h *handle) Sync() error {
	return h.do("sync", func() error {
		h.n.edits = nil
		if h.m.ordered {
			for _, c := range h.m.undone {
				c.apply(h.m.stable)
			}
			h.m.undone = nil
		}
		return nil
	})
}

func (h *handle) Truncate(size int64) error {
	return h.do("truncate", func() error {
		if size != int64(len(h.n.data)) {
			h.n.edit(edit{size: size})
		}
		return nil
	})
}

func (h *handle) Size() (n int64, err error) {
	err = h.do("size", func() error { n = int64(len(h.n.data)); return nil })
	return n, err
}

func (h *handle) Close() error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	h.closed = true
	return nil
}
