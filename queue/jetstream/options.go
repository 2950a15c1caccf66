package jetstream

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluicehq/sluice/queue"
)

// Durability says what a Put that returned has survived.
type Durability string

// The levels of durability.
const (
	Disk    Durability = "disk"    // a power cut: fsync before every answer
	Process Durability = "process" // the end of the process, not a power cut: the operating system writes when it likes
)

// Options are the settings of the embedded queue.
type Options struct {
	Dir          string        // the data folder; made if missing; required
	Partitions   int           // streams to spread batches over; zero means 4, at most 64
	Lease        time.Duration // how long a batch is leased unless extended; zero means 30s, at least 100ms
	MaxBytes     int64         // most that waiting batches may take on disk; zero means 10 GiB, at least 1 MiB
	MinFreeBytes int64         // free space on the disk below which nothing is accepted; zero means 5 % of the disk but 8 to 256 MiB, negative means 0
	Durability   Durability    // zero means Disk
	Retry        queue.Retry   // what becomes of failed batches
	Logger       *slog.Logger  // nil means slog.Default
}

// WithDefaults fills in what was left zero, but for MinFreeBytes, which depends on the disk.
func (o Options) WithDefaults() Options {
	if o.Partitions == 0 {
		o.Partitions = 4
	}
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 10 << 30
	}
	if o.Durability == "" {
		o.Durability = Disk
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Retry = o.Retry.WithDefaults()
	return o
}

// Validate reports everything that is wrong, on options with defaults filled in.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("queue: "+format, args...)) }
	if o.Dir == "" {
		bad("Dir is empty, want the path of the data folder")
	}
	if o.Partitions < 1 || o.Partitions > 64 {
		bad("Partitions is %d, want 1..64", o.Partitions)
	}
	if o.Lease < 100*time.Millisecond {
		bad("Lease is %v, want at least 100ms", o.Lease)
	}
	if o.MaxBytes < 1<<20 {
		bad("MaxBytes is %d, want at least 1048576 (1 MiB)", o.MaxBytes)
	}
	if o.Durability != Disk && o.Durability != Process {
		bad("Durability is %q, want %q or %q", o.Durability, Disk, Process)
	}
	return errors.Join(append(errs, o.Retry.Validate())...)
}

// MaxBatchBytes is the largest batch, unpacked, that surely fits beside another one in each partition. Batches to be Put should
// stay below it.
func (o Options) MaxBatchBytes() int {
	return int(min(1<<20, o.MaxBytes/int64(o.Partitions)/3))
}
