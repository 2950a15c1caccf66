// Package doctor says in words whether a machine is fit for sluice, and what to do where it is not.
//
//	facts := doctor.Gather(ctx, doctor.Where{Dir: "./sluice-data", Listen: ":8000"})
//	for _, f := range doctor.Check(facts) { fmt.Println(f.State, f.Text) }
//
// [Gather] looks and measures; it changes nothing but for one probe file in the data folder, or beside where that would be, which it deletes. [Check] judges
// plain values, so each finding is tested without the machine that has it.
package doctor

import (
	"fmt"
	"time"
)

// States of a finding.
const (
	OK      = "ok"
	Warning = "warning"
	Problem = "problem"
)

// Finding is one thing that was looked at.
type Finding struct {
	About string `json:"about"` // disk, limits, clock, port, data, environment
	State string `json:"state"` // ok, warning or problem
	Text  string `json:"text"`
	Do    string `json:"do,omitempty"` // what to do about it
}

// Facts are what was found. What could not be found out has an error beside it, or is below zero.
type Facts struct {
	Go, Platform string

	Dir        string
	DirExists  bool
	DirErr     error  // why it can't be used
	LockedBy   string // process that works on it; empty for none
	FileSystem string // tmpfs, nfs, ext4; empty where unknown

	SyncP50, SyncP99 time.Duration // of a small write and fsync; zero where it was not measured
	SyncErr          error

	FreeBytes, FreeInodes   int64 // below zero where unknown; inodes 0 of 0 on file systems without a fixed number are unknown
	Files                   int64 // file descriptors that a process may have; below zero where unknown
	MemoryMax               int64 // of the cgroup; below zero where there is none
	Listen                  string
	ListenErr               error         // why the address can't be had
	ClockOff                time.Duration // the distributor's clock against this one, to the second
	ClockKnown              bool
	Distributor, ReachedErr string
}

// Bounds of the findings.
const (
	slowSync   = 20 * time.Millisecond
	leastFree  = 1 << 30
	leastNodes = 10000
	leastFiles = 4096
	leastRAM   = 300e6 // as docs/operations.md plans
	mostOff    = 2 * time.Second
)

// Check judges.
func Check(f Facts) []Finding {
	list := []Finding{{About: "environment", State: OK, Text: f.Go + " on " + f.Platform}}
	list = append(list, data(f)...)
	list = append(list, disk(f)...)
	list = append(list, limits(f)...)
	list = append(list, network(f)...)
	return list
}

func data(f Facts) (list []Finding) {
	switch {
	case f.DirErr != nil:
		list = append(list, Finding{"data", Problem, fmt.Sprintf("%s can't be used: %v", f.Dir, f.DirErr), "give it to the user who runs sluice, or choose another with --data"})
	case !f.DirExists:
		list = append(list, Finding{"data", OK, f.Dir + " is not there yet; sluice makes it", ""})
	case f.LockedBy != "":
		list = append(list, Finding{"data", Warning, fmt.Sprintf("%s is in use by %s", f.Dir, f.LockedBy), "nothing if that is your sluice; a second one needs a folder of its own"})
	default:
		list = append(list, Finding{"data", OK, f.Dir + " is there and free", ""})
	}
	switch f.FileSystem {
	case "tmpfs", "ramfs":
		list = append(list, Finding{"data", Warning, "it is on " + f.FileSystem + ": a restart of the machine loses every record", "choose a folder on a disk"})
	case "nfs", "smb", "cifs", "fuse":
		list = append(list, Finding{"data", Warning, "it is on " + f.FileSystem + ": locks and syncs may not do what they promise", "choose a folder on a local disk"})
	}
	return list
}

func disk(f Facts) (list []Finding) {
	switch {
	case f.SyncErr != nil:
		list = append(list, Finding{"disk", Warning, fmt.Sprintf("sync was not measured: %v", f.SyncErr), "run it as the user who runs sluice"})
	case f.SyncP50 > 0:
		text := fmt.Sprintf("a sync takes %s, 1 in 100 %s: one sender that waits for each answer gets at most %.0f answers a second; many at once share a sync",
			short(f.SyncP50), short(f.SyncP99), 1/f.SyncP50.Seconds())
		if f.SyncP50 > slowSync {
			list = append(list, Finding{"disk", Warning, text, "use a faster disk, post more records at a time, or accept durability: process"})
		} else {
			list = append(list, Finding{"disk", OK, text, ""})
		}
	}
	if f.FreeBytes >= 0 {
		list = append(list, least("disk", f.FreeBytes, leastFree, fmt.Sprintf("%.1f GB free", float64(f.FreeBytes)/1e9), "make room: records are pushed back before the disk is full"))
	}
	if f.FreeInodes >= 0 {
		list = append(list, least("disk", f.FreeInodes, leastNodes, fmt.Sprintf("%d inodes free", f.FreeInodes), "delete small files on that disk"))
	}
	return list
}

func limits(f Facts) (list []Finding) {
	if f.Files >= 0 {
		list = append(list, least("limits", f.Files, leastFiles, fmt.Sprintf("%d open files allowed", f.Files), "ulimit -n 65536, or LimitNOFILE in the unit"))
	}
	if f.MemoryMax >= 0 {
		list = append(list, least("limits", f.MemoryMax, leastRAM, fmt.Sprintf("%.0f MB of memory allowed", float64(f.MemoryMax)/1e6), "allow 300 MB, or lower --memory-limit and the limits of the intake"))
	}
	return list
}

func network(f Facts) (list []Finding) {
	if f.ListenErr != nil {
		list = append(list, Finding{"port", Warning, fmt.Sprintf("%s can't be had: %v", f.Listen, f.ListenErr), "nothing if that is your sluice; else stop who listens, or choose another with --listen"})
	} else if f.Listen != "" {
		list = append(list, Finding{"port", OK, f.Listen + " is free", ""})
	}
	if f.ReachedErr != "" {
		list = append(list, Finding{"clock", Problem, fmt.Sprintf("%s does not answer: %s", f.Distributor, f.ReachedErr), "start it, or check the address"})
	} else if f.ClockKnown {
		text := fmt.Sprintf("the clock of %s differs by %v", f.Distributor, f.ClockOff)
		if f.ClockOff.Abs() > mostOff {
			list = append(list, Finding{"clock", Warning, text, "let both take their time from NTP"})
		} else {
			list = append(list, Finding{"clock", OK, text, ""})
		}
	}
	return list
}

// least warns of what is less than it should be.
func least(about string, have, want int64, text, do string) Finding {
	if have < want {
		return Finding{about, Warning, text, do}
	}
	return Finding{about, OK, text, ""}
}

func short(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
