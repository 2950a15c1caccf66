package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluicehq/sluice/queue"
)

// Durability is the kind of failure that a batch survives once Put has returned.
type Durability string

// The levels of durability.
const (
	Disk    Durability = "disk"    // a power cut: fsync before every answer
	Process Durability = "process" // the end of the process, not a power cut: the operating system writes when it likes
)

// Options are the settings of the queue.
type Options struct {
	Dir          string        // the data folder; made if missing; required
	Lease        time.Duration // how long a batch is leased unless extended; zero means 30s, at least 100ms
	MaxBytes     int64         // max stored bytes of batches that wait or are in flight; zero means 10 GiB, at least 1 MiB
	MinFreeBytes int64         // free space on the disk below which nothing is accepted; zero means 5 % of the disk but 8 to 256 MiB, negative means 0
	SegmentBytes int64         // length at which a segment file is followed by the next; zero means 64 MiB or an eighth of MaxBytes, whichever is less; at least 64 KiB
	Durability   Durability    // zero means Disk
	Retry        queue.Retry   // what becomes of failed batches
	Logger       *slog.Logger  // nil means slog.Default

	Observer queue.Observer // is told when records are done or dead; nil for none

	files fileSystem // nil means the real one
}

// WithDefaults replaces zero values, except for MinFreeBytes, which depends on the disk.
func (o Options) WithDefaults() Options {
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 10 << 30
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = min(64<<20, max(o.MaxBytes/8, 64<<10))
	}
	if o.Durability == "" {
		o.Durability = Disk
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.files == nil {
		o.files = osFiles{}
	}
	o.Retry = o.Retry.WithDefaults()
	return o
}

// Validate reports everything that is wrong, on options with defaults filled in.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("queue: "+format, args...)) }
	if o.Dir == "" {
		bad("Dir is empty, must be the path of the data folder")
	}
	if o.Lease < 100*time.Millisecond {
		bad("Lease is %v, must be at least 100ms", o.Lease)
	}
	if o.MaxBytes < 1<<20 {
		bad("MaxBytes is %d, must be at least 1048576 (1 MiB)", o.MaxBytes)
	}
	if o.SegmentBytes < 64<<10 {
		bad("SegmentBytes is %d, must be at least 65536 (64 KiB)", o.SegmentBytes)
	}
	if o.Durability != Disk && o.Durability != Process {
		bad("Durability is %q, must be %q or %q", o.Durability, Disk, Process)
	}
	return errors.Join(append(errs, o.Retry.Validate())...)
}

// MaxBatchBytes is the largest batch, unpacked, of which several surely fit below MaxBytes. Batches to be put should stay
// below it.
func (o Options) MaxBatchBytes() int { return int(min(1<<20, o.MaxBytes/3)) }

// minFree is MinFreeBytes for a disk of some size.
func (o Options) minFree(size int64) int64 {
	if o.MinFreeBytes != 0 || size < 0 {
		return max(o.MinFreeBytes, 0)
	}
	return min(max(size/20, 8<<20), 256<<20)
}
