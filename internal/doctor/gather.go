package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Where says what to look at.
type Where struct {
	Dir         string // data folder
	Listen      string // address to serve on
	Distributor string // URL whose clock is compared; empty for none
}

const (
	probes     = 60              // syncs measured
	probeTime  = 2 * time.Second // that they may take together
	reachWait  = 5 * time.Second
	probeBytes = 4096
)

// Gather looks and measures. It takes a few seconds at most.
func Gather(ctx context.Context, w Where) Facts {
	f := Facts{Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Dir: w.Dir, Listen: w.Listen, Distributor: w.Distributor,
		FreeBytes: -1, FreeInodes: -1, Files: -1, MemoryMax: memoryMax()}
	f.folder()
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil {
		f.Files = int64(min(files.Cur, 1<<40))
	}
	if l, err := net.Listen("tcp", w.Listen); err != nil {
		f.ListenErr = err
	} else {
		l.Close()
	}
	if w.Distributor != "" {
		f.compareClocks(ctx)
	}
	return f
}

func (f *Facts) folder() {
	info, err := os.Stat(f.Dir)
	f.DirExists = err == nil
	switch {
	case err == nil && !info.IsDir():
		f.DirErr = errors.New("it is not a folder")
		return
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		f.DirErr = err
		return
	}
	there := f.Dir
	for !f.DirExists { // where it would be made
		parent := filepath.Dir(there)
		if _, err := os.Stat(parent); err == nil || parent == there {
			there = parent
			break
		}
		there = parent
	}
	f.lock()
	var s syscall.Statfs_t
	if syscall.Statfs(there, &s) == nil {
		f.FreeBytes = int64(s.Bavail) * int64(s.Bsize)
		if s.Files > 0 {
			f.FreeInodes = int64(s.Ffree)
		}
		f.FileSystem = kinds[int64(s.Type)]
	}
	f.SyncP50, f.SyncP99, f.SyncErr = syncTimes(there)
	if errors.Is(f.SyncErr, fs.ErrPermission) {
		f.DirErr = f.SyncErr
	}
}

// kinds are the numbers of statfs(2).
var kinds = map[int64]string{0x01021994: "tmpfs", 0x858458f6: "ramfs", 0x6969: "nfs", 0x517b: "smb", 0xff534d42: "cifs", 0x65735546: "fuse",
	0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs"}

// lock asks who has the folder, without taking it: a shared lock is had where nobody works on it, and given back at once.
func (f *Facts) lock() {
	path := filepath.Join(f.Dir, "LOCK")
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		pid, _ := os.ReadFile(path)
		f.LockedBy = strings.TrimSpace("process " + string(pid))
	}
}

func syncTimes(dir string) (p50, p99 time.Duration, err error) {
	file, err := os.CreateTemp(dir, ".sluice-doctor-*")
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	var took []time.Duration
	block := make([]byte, probeBytes)
	for begin := time.Now(); len(took) < probes && time.Since(begin) < probeTime; {
		t := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, 0, err
		}
		took = append(took, time.Since(t))
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100], nil
}

// memoryMax is the limit of the cgroup; -1 where there is none.
func memoryMax() int64 {
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(path); err == nil {
			n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err == nil && n < 1<<60 {
				return n
			}
		}
	}
	return -1
}

func (f *Facts) compareClocks(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reachWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", f.Distributor+"/healthz", nil)
	if err != nil {
		f.ReachedErr = err.Error()
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.ReachedErr = err.Error()
		return
	}
	resp.Body.Close()
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		f.ClockOff, f.ClockKnown = time.Until(at).Round(time.Second), true
	}
}
