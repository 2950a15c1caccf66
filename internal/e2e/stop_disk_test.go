//go:build linux

package e2e

import (
	"io"
	"log"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// hangingDisk is a folder on a disk that stops answering: from then on nothing that is written or synced ends.
type hangingDisk struct {
	fuse.RawFileSystem
	mu    sync.Mutex
	hangs chan struct{} // closed when the disk answers again; nil while it does
}

func (d *hangingDisk) wait(cancel <-chan struct{}) fuse.Status {
	d.mu.Lock()
	hangs := d.hangs
	d.mu.Unlock()
	if hangs == nil {
		return fuse.OK
	}
	select {
	case <-hangs:
		return fuse.OK
	case <-cancel: // the process was killed, or has ended
		return fuse.EINTR
	}
}

func (d *hangingDisk) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	if s := d.wait(cancel); s != fuse.OK {
		return 0, s
	}
	return d.RawFileSystem.Write(cancel, in, data)
}

func (d *hangingDisk) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if s := d.wait(cancel); s != fuse.OK {
		return s
	}
	return d.RawFileSystem.Fsync(cancel, in)
}

// hang makes the disk stop answering until the function returned is called.
func (d *hangingDisk) hang() (answer func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hangs = make(chan struct{})
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		close(d.hangs)
		d.hangs = nil
	})
}

// mountHanging mounts such a disk, or skips the test where that is not allowed.
func mountHanging(t *testing.T) (dir string, d *hangingDisk) {
	t.Helper()
	root, err := fs.NewLoopbackRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0)
	d = &hangingDisk{RawFileSystem: fs.NewNodeFS(root, &fs.Options{Logger: quiet})}
	dir = t.TempDir()
	server, err := fuse.NewServer(d, dir, &fuse.MountOptions{DirectMount: true, Logger: quiet, FsName: "sluice-test", Name: "sluice-test"})
	if err != nil {
		t.Skip("no file system of its own for this test: ", err)
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		t.Skip("no file system of its own for this test: ", err)
	}
	t.Cleanup(func() {
		syscall.Unmount(dir, syscall.MNT_DETACH)
		server.Wait()
	})
	return dir, d
}

// TestAStopDoesNotWaitForADiskThatHangs stops a server whose disk does not answer any more. It leaves, says that it did not close
// everything, and the next start has every record.
func TestAStopDoesNotWaitForADiskThatHangs(t *testing.T) {
	t.Parallel()
	dir, disk := mountHanging(t)
	server := serve(t, "run", "--data", filepath.Join(dir, "data"), "--handler", "sleep", "--sleep-per-record", "20ms", "--drain-timeout", "1s")
	server.accept(t, lines(3, 100))
	server.settled(t)
	answer := disk.hang()
	defer answer()
	posted := make(chan struct{})
	go func() {
		defer close(posted)
		send("POST", server.url+"/v1/records", "application/x-ndjson", strings.NewReader(lines(1, 100))) // never answered
	}()
	waitFor(t, "the record to be on its way", func() bool { return server.stats(t).Ingest.Requests == 2 })
	server.signal(syscall.SIGTERM)
	if code := server.wait(); code != 1 {
		t.Errorf("exit code %d after a stop that was not clean, want 1", code)
	}
	<-posted
	if last := server.lastLogged(t); last != "stopped" {
		t.Errorf("the last thing logged is %q, want stopped", last)
	}
	answer()
	server = server.again()
	if st := server.settled(t); st.Completed < 3 || st.Lost != 0 {
		t.Errorf("after the restart %d completed and %d lost, want 3 or 4 and none", st.Completed, st.Lost)
	}
	server.stop()
}
