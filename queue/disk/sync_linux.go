package disk

import (
	"os"
	"syscall"
)

// datasync makes the content of a file durable, and its size, but not its time of change.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
