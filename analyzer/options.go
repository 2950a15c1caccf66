package analyzer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Options of a [Pool].
type Options struct {
	Name         string        // prefix of the analyzers' names; empty means host, process and some random digits
	Slots        int           // batches that one analyzer works on at once; zero means 1
	Size         int           // analyzers to start with; zero starts none until Resize
	DrainTimeout time.Duration // how long an analyzer that must go may go on with what it has in hand; zero means 30s
	LeaseWait    time.Duration // how long one request for leases waits at the queue; zero means 20s
	Remote       bool          // the queue belongs to another process; passed on in queue.Request
	Logger       *slog.Logger  // nil means slog.Default()
}

// WithDefaults fills in what was left zero.
func (o Options) WithDefaults() Options {
	if o.Name == "" {
		o.Name = uniqueName()
	}
	if o.Slots == 0 {
		o.Slots = 1
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 30 * time.Second
	}
	if o.LeaseWait == 0 {
		o.LeaseWait = 20 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Validate reports everything that is wrong, on options with defaults filled in.
func (o Options) Validate() error {
	var errs []error
	if o.Slots < 1 {
		errs = append(errs, fmt.Errorf("analyzer: Slots is %d, want at least 1", o.Slots))
	}
	if o.Size < 0 {
		errs = append(errs, fmt.Errorf("analyzer: Size is %d, want at least 0", o.Size))
	}
	if o.DrainTimeout < 0 {
		errs = append(errs, fmt.Errorf("analyzer: DrainTimeout is %v, want more than 0", o.DrainTimeout))
	}
	if o.LeaseWait < 0 {
		errs = append(errs, fmt.Errorf("analyzer: LeaseWait is %v, want more than 0", o.LeaseWait))
	}
	return errors.Join(errs...)
}

// uniqueName tells this pool from every other: containers may share host names and process ids, so some chance is
// added.
func uniqueName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "analyzer"
	}
	var digits [2]byte
	rand.Read(digits[:])
	return fmt.Sprintf("%s-%d-%x", host, os.Getpid(), digits)
}
