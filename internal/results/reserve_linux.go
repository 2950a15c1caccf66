package results

import (
	"os"
	"syscall"
)

const keepSize = 1 // FALLOC_FL_KEEP_SIZE

// allocate takes space from the disk behind the end of a file, which does not get longer.
func allocate(f *os.File, from, bytes int64) error {
	return syscall.Fallocate(int(f.Fd()), keepSize, from, bytes)
}
