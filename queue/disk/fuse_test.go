//go:build linux

package disk

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	stdlog "log"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// posixDisk is a disk that the kernel mounts, and which promises no more than POSIX does: content that was not synced and
// names in a folder that was not synced may be gone after a power cut. The engine works on it with system calls like on any
// other, so what is tested is also that it makes the right ones.
type posixDisk struct {
	fuse.RawFileSystem // refuses what the engine does not need
	mu                 sync.Mutex
	inodes             map[uint64]*inode
	ids                uint64
	ops                []diskOp
	woken              chan struct{} // closed by the first word of a process
}

// inode is a file, or a folder if names is not nil.
type inode struct {
	id     uint64
	mode   uint32
	name   string // for the list of operations
	data   []byte
	synced []byte

	names   map[string]*inode
	stable  map[string]*inode // as of the last sync
	changes []nameChange      // since then
}

// nameChange is a change of names: from "" where a file was made, to "" where one was removed.
type nameChange struct {
	from, to string
	n        *inode
}

func (c nameChange) apply(names map[string]*inode) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.n
	}
}

// diskOp is something that was done to the disk, or the word of a process about itself.
type diskOp struct {
	what string // create, write, truncate, sync, sync names, remove, rename, or say
	id   uint64
	dir  uint64 // of create
	name string
}

func newPosixDisk() *posixDisk {
	root := &inode{id: fuse.FUSE_ROOT_ID, mode: syscall.S_IFDIR | 0o755, names: map[string]*inode{}, stable: map[string]*inode{}}
	return &posixDisk{RawFileSystem: fuse.NewDefaultRawFileSystem(), inodes: map[uint64]*inode{root.id: root}, ids: root.id, woken: make(chan struct{})}
}

// cut returns the disk as it is after a power cut: of what was not synced, this share survives.
func (d *posixDisk) cut(r *rand.Rand, keep float64) *posixDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := newPosixDisk()
	out.ids = d.ids
	clear(out.inodes)
	var survive func(*inode) *inode
	survive = func(n *inode) *inode {
		c := out.inodes[n.id]
		if c != nil {
			return c
		}
		c = &inode{id: n.id, mode: n.mode, name: n.name}
		out.inodes[n.id] = c
		if n.names == nil {
			c.data = n.survive(r, keep)
			c.synced = slices.Clone(c.data)
			return c
		}
		names := maps.Clone(n.stable)
		for _, change := range n.changes {
			if r.Float64() < keep {
				change.apply(names)
			}
		}
		c.names = map[string]*inode{}
		for name, child := range names {
			c.names[name] = survive(child)
		}
		c.stable = maps.Clone(c.names)
		return c
	}
	survive(d.inodes[fuse.FUSE_ROOT_ID])
	return out
}

// survive returns a file's content after a power cut.
func (n *inode) survive(r *rand.Rand, keep float64) []byte {
	const block = 4096
	b := slices.Clone(n.synced)
	if len(n.data) < len(b) && r.Float64() < keep {
		b = b[:len(n.data)]
	}
	for from := 0; from < len(n.data); from += block {
		if to := min(from+block, len(n.data)); r.Float64() < keep {
			b = sized(b, int64(max(len(b), to)))
			copy(b[from:to], n.data[from:to])
		}
	}
	return b
}

// on runs a call that is about an inode.
func (d *posixDisk) on(id uint64, f func(n *inode) fuse.Status) fuse.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.inodes[id]
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	return f(n)
}

func (d *posixDisk) did(what string, n *inode) {
	d.ops = append(d.ops, diskOp{what: what, id: n.id, name: n.name})
}

func (n *inode) attr(out *fuse.Attr) {
	*out = fuse.Attr{Ino: n.id, Mode: n.mode, Size: uint64(len(n.data)), Blocks: uint64(len(n.data)+511) / 512, Nlink: 1, Blksize: 4096}
}

func (n *inode) entry(out *fuse.EntryOut) fuse.Status { // which the kernel must not cache: it may be valid for 0 seconds
	out.NodeId = n.id
	n.attr(&out.Attr)
	return fuse.OK
}

func (d *posixDisk) String() string { return "posix" }

// Lookup finds a name. A process that looks for a name with a space says something about itself, for the list of operations.
func (d *posixDisk) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return d.on(h.NodeId, func(dir *inode) fuse.Status {
		if strings.Contains(name, " ") {
			d.ops = append(d.ops, diskOp{what: "say", name: name})
			select {
			case <-d.woken:
			default:
				close(d.woken)
			}
			return fuse.ENOENT
		}
		n := dir.names[name]
		if n == nil {
			return fuse.ENOENT
		}
		return n.entry(out)
	})
}

func (d *posixDisk) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return d.on(in.NodeId, func(n *inode) fuse.Status {
		n.attr(&out.Attr)
		return fuse.OK
	})
}

func (d *posixDisk) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return d.on(in.NodeId, func(n *inode) fuse.Status {
		if in.Valid&fuse.FATTR_SIZE != 0 {
			d.did("truncate", n)
			n.data = sized(n.data, int64(in.Size))
		}
		if in.Valid&fuse.FATTR_MODE != 0 {
			n.mode = n.mode&syscall.S_IFMT | in.Mode&0o7777
		}
		n.attr(&out.Attr)
		return fuse.OK
	})
}

func (d *posixDisk) add(dir *inode, name string, mode uint32, out *fuse.EntryOut) fuse.Status {
	if dir.names[name] != nil {
		return fuse.Status(syscall.EEXIST)
	}
	d.ids++
	n := &inode{id: d.ids, mode: mode, name: name}
	if mode&syscall.S_IFMT == syscall.S_IFDIR {
		n.names, n.stable = map[string]*inode{}, map[string]*inode{}
	}
	d.inodes[n.id] = n
	dir.change(nameChange{to: name, n: n})
	d.ops = append(d.ops, diskOp{what: "create", id: n.id, dir: dir.id, name: name})
	return n.entry(out)
}

func (n *inode) change(c nameChange) {
	c.apply(n.names)
	n.changes = append(n.changes, c)
}

func (d *posixDisk) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return d.on(in.NodeId, func(dir *inode) fuse.Status {
		return d.add(dir, name, syscall.S_IFDIR|in.Mode&0o7777, out)
	})
}

func (d *posixDisk) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return d.on(in.NodeId, func(dir *inode) fuse.Status {
		out.OpenFlags = fuse.FOPEN_DIRECT_IO
		return d.add(dir, name, syscall.S_IFREG|in.Mode&0o7777, &out.EntryOut)
	})
}

func (d *posixDisk) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return d.on(h.NodeId, func(dir *inode) fuse.Status {
		n := dir.names[name]
		if n == nil {
			return fuse.ENOENT
		}
		d.did("remove", n)
		dir.change(nameChange{from: name, n: n})
		return fuse.OK
	})
}

func (d *posixDisk) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	return d.on(in.NodeId, func(dir *inode) fuse.Status {
		n := dir.names[from]
		switch {
		case in.Newdir != in.NodeId || in.Flags != 0:
			return fuse.EINVAL
		case n == nil:
			return fuse.ENOENT
		}
		d.did("rename", n)
		n.name = to
		dir.change(nameChange{from: from, to: to, n: n})
		return fuse.OK
	})
}

func (d *posixDisk) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_DIRECT_IO
	return fuse.OK
}

func (d *posixDisk) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (result fuse.ReadResult, status fuse.Status) {
	status = d.on(in.NodeId, func(n *inode) fuse.Status {
		from := min(in.Offset, uint64(len(n.data)))
		result = fuse.ReadResultData(buf[:copy(buf[:min(int(in.Size), len(buf))], n.data[from:])])
		return fuse.OK
	})
	return result, status
}

func (d *posixDisk) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	return uint32(len(data)), d.on(in.NodeId, func(n *inode) fuse.Status {
		d.did("write", n)
		n.data = sized(n.data, max(int64(len(n.data)), int64(in.Offset)+int64(len(data))))
		copy(n.data[in.Offset:], data)
		return fuse.OK
	})
}

func (d *posixDisk) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return d.on(in.NodeId, func(n *inode) fuse.Status {
		d.did("sync", n)
		n.synced = slices.Clone(n.data)
		return fuse.OK
	})
}

func (d *posixDisk) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.OK }

func (d *posixDisk) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return d.on(in.NodeId, func(dir *inode) fuse.Status {
		names := slices.Sorted(maps.Keys(dir.names))
		for _, name := range names[min(int(in.Offset), len(names)):] {
			if n := dir.names[name]; !out.AddDirEntry(fuse.DirEntry{Name: name, Ino: n.id, Mode: n.mode}) {
				break
			}
		}
		return fuse.OK
	})
}

func (d *posixDisk) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return d.on(in.NodeId, func(dir *inode) fuse.Status {
		d.did("sync names", dir)
		dir.stable, dir.changes = maps.Clone(dir.names), nil
		return fuse.OK
	})
}

func (d *posixDisk) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	*out = fuse.StatfsOut{Blocks: 1 << 20, Bfree: 1 << 20, Bavail: 1 << 20, Bsize: 4096, Frsize: 4096, NameLen: 255}
	return fuse.OK
}

// mount attaches the disk to a folder. An error means that this machine does not allow that.
func (d *posixDisk) mount(dir string) (unmount func() error, err error) {
	fd, err := syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0) // go-fuse itself lets processes inherit it
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	how := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,default_permissions", fd, os.Getuid(), os.Getgid())
	if err := syscall.Mount("sluice-test", dir, "fuse.sluice-test", syscall.MS_NOSUID|syscall.MS_NODEV, how); err != nil {
		syscall.Close(fd)
		return nil, &os.PathError{Op: "mount", Path: dir, Err: err}
	}
	s, err := fuse.NewServer(d, fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{
		DisableXAttrs: true, DisableReadDirPlus: true, Logger: stdlog.New(io.Discard, "", 0)}) // it would log what it does not know
	if err != nil {
		syscall.Unmount(dir, syscall.MNT_DETACH)
		return nil, fmt.Errorf("serve %s: %w", dir, err)
	}
	go s.Serve()
	return sync.OnceValue(func() error {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			return &os.PathError{Op: "unmount", Path: dir, Err: err}
		}
		s.Wait()
		return nil
	}), nil
}

// The environment of a process that works on the disk.
const (
	fuseDir  = "SLUICE_FUSE_DIR"
	fuseWork = "SLUICE_FUSE_WORK" // "drain", or how the names of batches begin
	fusePuts = "SLUICE_FUSE_PUTS" // how many calls of Put there are at a time
)

// fuseBatch makes the batch of a name: its records follow from it.
func fuseBatch(name string) *sluice.Batch {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	var b strings.Builder
	records := 1 + r.IntN(5)
	for i := range records {
		fmt.Fprintf(&b, `{"body":"%s %d `, name, i)
		for range r.IntN(100) {
			fmt.Fprintf(&b, "%016x", r.Uint64())
		}
		b.WriteString("\"}\n")
	}
	return sluice.NewBatch([]byte(b.String()), records, time.Now())
}

// fuseName returns the name of a batch that was stored, and fails if it is not as it was made.
func fuseName(t *testing.T, b *sluice.Batch) string {
	t.Helper()
	got := lines(t, b)
	name, _, _ := strings.Cut(strings.TrimPrefix(got[0], `{"body":"`), " ")
	if want := lines(t, fuseBatch(name)); !slices.Equal(got, want) {
		t.Fatalf("batch %s is not as it was put: %.300q, want %.300q", name, got, want)
	}
	return name
}

// fuseVictim is the process that works on the disk, until it is killed or all is done. It says each step by looking for a
// name in dir.
func fuseVictim(t *testing.T, dir string) {
	ctx := t.Context()
	say := func(word string, what any) { os.Lstat(filepath.Join(dir, fmt.Sprint(word, " ", what))) }
	q, err := Open(ctx, Options{Dir: filepath.Join(dir, "data"), SegmentBytes: 64 << 10,
		Retry:  queue.Retry{MaxAttempts: 1000, SplitAfter: 1000, Delay: 1, MaxDelay: 1}, // parts of a batch would not be as they were put
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if s := sound(t, q); s.Lost > 0 || s.Dead > 0 {
		t.Fatalf("after the power cut: %+v, want none lost and no dead letters", s)
	}
	if os.Getenv(fuseWork) == "drain" {
		for s := sound(t, q); s.Waiting+s.InFlight > 0; s = sound(t, q) {
			leases, err := q.Lease(ctx, queue.Request{Max: 100, Wait: time.Second})
			if err != nil {
				t.Fatalf("Lease: %v", err)
			}
			for _, l := range leases {
				say("got", fuseName(t, l.Batch))
				if err := q.Ack(ctx, l.Token); err != nil {
					t.Fatalf("Ack: %v", err)
				}
			}
		}
		if s := sound(t, q); s.Completed != s.Accepted || s.Lost != 0 || s.Batches != 0 || s.Bytes != 0 {
			t.Fatalf("at the end: %+v, want all completed", s)
		}
		say("accepted", sound(t, q).Accepted)
		if err := q.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		return
	}
	die := func(what string, err error) {
		fmt.Fprintln(os.Stderr, what, err)
		os.Exit(1)
	}
	putters, _ := strconv.Atoi(os.Getenv(fusePuts))
	for p := range putters {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%s.%d.%d", os.Getenv(fuseWork), p, i)
				b := fuseBatch(name)
				say("begin", name)
				if err := q.Put(ctx, b); err != nil {
					die("Put:", err)
				}
				say("put", name)
			}
		}()
	}
	for i := 0; ; {
		leases, err := q.Lease(ctx, queue.Request{Max: 5, Wait: time.Second})
		if err != nil {
			die("Lease:", err)
		}
		for _, l := range leases {
			if i++; i%8 == 0 { // it stays leased, so that segments that are old hold something
				continue
			}
			name := fuseName(t, l.Batch)
			say("ack", name) // from here on it may be gone
			if err := q.Ack(ctx, l.Token); err != nil {
				die("Ack:", err)
			}
			say("done", name)
		}
	}
}

// fuseRun has a process work on the disk and returns what it logged. It is killed after a while if that is not zero; else
// it has to end by itself, with success.
func fuseRun(t *testing.T, d *posixDisk, dir, work string, puts int, killAfter time.Duration) string {
	t.Helper()
	unmount, err := d.mount(dir)
	if err != nil {
		t.Skip("no file system of its own for this test: ", err)
	}
	defer func() {
		if err := unmount(); err != nil {
			t.Error(err)
		}
	}()
	var out bytes.Buffer
	cmd := exec.Command(os.Args[0], "-test.run=^TestFUSE$")
	cmd.Env = append(os.Environ(), fuseDir+"="+dir, fuseWork+"="+work, fmt.Sprint(fusePuts, "=", puts))
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	limit := time.After(time.Minute)
	if killAfter > 0 {
		select {
		case <-d.woken: // it has come to work
		case err := <-ended:
			t.Fatalf("process ended by itself: %v\n%s", err, &out)
		case <-limit:
		}
		limit = time.After(killAfter)
	}
	select {
	case err = <-ended:
		if err != nil || killAfter > 0 {
			t.Fatalf("process ended by itself: %v\n%s", err, &out)
		}
	case <-limit:
		cmd.Process.Kill()
		if err := <-ended; killAfter == 0 {
			t.Fatalf("process did not end: %v\n%s", err, &out)
		}
	}
	return out.String()
}

// said returns what processes said with a word, in order.
func said(ops []diskOp, word string) (out []string) {
	for _, op := range ops {
		if w, what, _ := strings.Cut(op.name, " "); op.what == "say" && w == word {
			out = append(out, what)
		}
	}
	return out
}

// checkAnswers checks that whoever was told that a batch is stored was told so after the segment was synced, and the name
// of the segment if it was new.
func checkAnswers(t *testing.T, ops []diskOp) {
	t.Helper()
	begun := map[string]int{}
	created := map[uint64]int{}
	for i, op := range ops {
		word, name, _ := strings.Cut(op.name, " ")
		switch {
		case op.what == "create":
			created[op.id] = i
		case op.what == "say" && word == "begin":
			begun[name] = i
		case op.what == "say" && word == "put":
			if !durable(ops[:i], begun[name], created) {
				t.Fatalf("batch %s: Put returned before what it wrote was durable; what was done:%s", name, list(ops[begun[name]:i+1]))
			}
		}
	}
}

func list(ops []diskOp) string {
	var b strings.Builder
	for _, op := range ops {
		fmt.Fprintf(&b, "\n  %s %s", op.what, op.name)
	}
	return b.String()
}

// durable reports whether a segment was written and then synced since an operation, and its name, too.
func durable(ops []diskOp, since int, created map[uint64]int) bool {
	written := map[uint64]bool{}
	for _, op := range ops[since:] {
		switch {
		case op.what == "write" && strings.HasSuffix(op.name, batchEnding):
			written[op.id] = true
		case op.what == "sync" && written[op.id]:
			c, isNew := created[op.id]
			if !isNew || slices.ContainsFunc(ops[c:], func(o diskOp) bool { return o.what == "sync names" && o.id == ops[c].dir }) {
				return true
			}
		}
	}
	return false
}

// TestFUSE kills a process that works on a disk of which only what was synced survives, or some of the rest, and starts
// another on what is left. SLUICE_FUSE_ROUNDS sets how often.
func TestFUSE(t *testing.T) {
	if dir := os.Getenv(fuseDir); dir != "" {
		fuseVictim(t, dir)
		return
	}
	rounds, _ := strconv.Atoi(os.Getenv("SLUICE_FUSE_ROUNDS"))
	if rounds == 0 {
		rounds = 6
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	d := newPosixDisk()
	var ops []diskOp
	// Once some of what was not synced has survived, notes may have holes. Nobody syncs the folder after the old notes were
	// removed, so these may come back: beside a snapshot, where they do no harm but are called damaged.
	torn := false
	check := func(output string) {
		t.Helper()
		checkAnswers(t, d.ops)
		ops = append(ops, d.ops...)
		if strings.Contains(output, "level=ERROR") && !torn || strings.Contains(output, "damaged on disk") {
			t.Fatalf("a power cut looks like damage:\n%s", output)
		}
	}
	for round := range rounds {
		keep := 0.0
		if round >= rounds/2 {
			keep = []float64{0.5, 0.9, 0.2, 0}[round%4]
		}
		output := fuseRun(t, d, dir, fmt.Sprint("b", round), 1+2*(round/2%2), time.Duration(50+r.IntN(250))*time.Millisecond)
		t.Logf("round %d: %d of %d batches put, %d acknowledged; %v of what is not synced survives",
			round, len(said(d.ops, "put")), len(said(d.ops, "begin")), len(said(d.ops, "done")), keep)
		check(output)
		d, torn = d.cut(r, keep), torn || keep > 0
	}
	check(fuseRun(t, d, dir, "drain", 0, 0))
	known := map[string]bool{} // it was acknowledged, or delivered at last
	for _, name := range said(ops, "ack") {
		known[name] = true
	}
	got := said(d.ops, "got")
	for i, name := range got {
		if slices.Contains(got[:i], name) {
			t.Errorf("batch %s was delivered twice", name)
		}
		known[name] = true
	}
	var least, most int64 // records
	for _, name := range said(ops, "put") {
		if least += int64(fuseBatch(name).Len()); !known[name] {
			t.Errorf("batch %s was put and is gone, but nobody has acknowledged it", name)
		}
	}
	for _, name := range said(ops, "begin") {
		most += int64(fuseBatch(name).Len())
	}
	accepted, _ := strconv.ParseInt(strings.Join(said(d.ops, "accepted"), ""), 10, 64)
	if least == 0 || accepted < least || accepted > most {
		t.Errorf("%d records accepted, want %d to %d", accepted, least, most)
	}
	t.Logf("%d batches put, %d records accepted, %d batches left for the end", len(said(ops, "put")), accepted, len(got))

	d = d.cut(r, 0) // after Close everything is durable
	check(fuseRun(t, d, dir, "drain", 0, 0))
	if again := said(d.ops, "got"); len(again) > 0 {
		t.Errorf("%d batches came back after Close and a power cut", len(again))
	}
}
