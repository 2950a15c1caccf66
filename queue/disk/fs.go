package disk

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// fileSystem is what the engine asks of the operating system. Tests replace it by one that loses power, fails or damages.
type fileSystem interface {
	// Open opens a file for reading and writing; with create, the file must not exist yet.
	Open(path string, create bool) (file, error)
	// List returns the names in a folder, in no particular order.
	List(dir string) ([]string, error)
	MakeDir(dir string) error // with its parents; no error if it exists
	Remove(path string) error
	Rename(from, to string) error
	SyncDir(dir string) error // makes the names in a folder durable
	// Identity tells files apart that had the same path one after the other.
	Identity(path string) (uint64, error)
	Writable(dir string) error                      // nil where files can be made in a folder
	Space(dir string) (free, size int64, err error) // of the disk, in bytes; free is what this user may write
}

// file is an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error // makes the content durable
	Truncate(size int64) error
	Size() (int64, error)
}

// osFiles is the real file system.
type osFiles struct{}

func (osFiles) Open(path string, create bool) (file, error) {
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(path, flag, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFiles) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func (osFiles) MakeDir(dir string) error     { return os.MkdirAll(dir, 0o755) }
func (osFiles) Remove(path string) error     { return os.Remove(path) }
func (osFiles) Rename(from, to string) error { return os.Rename(from, to) }

func (osFiles) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (osFiles) Identity(path string) (uint64, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return uint64(st.Ino), nil
}

func (osFiles) Writable(dir string) error {
	if err := syscall.Access(dir, 0x2|0x1); err != nil { // W_OK and X_OK
		return &os.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}

func (osFiles) Space(dir string) (free, size int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return -1, -1, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), int64(s.Blocks) * int64(s.Bsize), nil
}

type osFile struct{ *os.File }

func (f osFile) Sync() error { return datasync(f.File) }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// lockDir takes the data folder for this process, or reports who has it. The operating system releases the lock when the
// process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(path)
		f.Close()
		who := "another process"
		if pid := strings.TrimSpace(string(owner)); pid != "" {
			who = "process " + pid
		}
		return nil, &LockedError{Dir: dir, Owner: who}
	}
	if err := f.Truncate(0); err == nil {
		fmt.Fprintf(f, "%d\n", os.Getpid()) // only for people; a full disk may refuse it
	}
	return f, nil
}

// LockedError reports that another process uses the data folder.
type LockedError struct {
	Dir   string
	Owner string // "process 4711"
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("data folder %s is in use by %s; stop it first, or choose another folder", e.Dir, e.Owner)
}

// FormatError reports that the data folder belongs to another version of Sluice.
type FormatError struct {
	Path string
	What string // the content that was found
	Hint string // the way out
}

func (e *FormatError) Error() string { return fmt.Sprintf("%s: %s; %s", e.Path, e.What, e.Hint) }
