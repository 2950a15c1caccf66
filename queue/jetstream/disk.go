package jetstream

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockDir takes the data folder for this process, or says who has it. The operating system frees the lock when the process
// ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "LOCK")
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
		fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f, nil
}

// LockedError says that another process works on the data folder.
type LockedError struct {
	Dir   string
	Owner string // "process 4711"
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("data folder %s is in use by %s; stop it first, or choose another folder", e.Dir, e.Owner)
}

// space returns the free bytes that this user may write, and the size, of the disk that holds dir.
func space(dir string) (free, size int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return -1, -1, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), int64(s.Blocks) * int64(s.Bsize), nil
}

// reserve is the default of Options.MinFreeBytes for a disk of so many bytes.
func reserve(size int64) int64 {
	return min(max(size/20, 8<<20), 256<<20)
}
