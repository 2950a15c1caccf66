package doctor

import "time"

// Facts are what was found. What could not be found out is zero, or has its Err.
type Facts struct {
	System  System
	Config  Configuration
	Data    Data
	Disk    Disk
	Sync    Sync
	Limits  Limits
	Clock   Clock
	Port    Port
	Access  Access
	Cert    Certificate
	Server  Server
	Service Needs
}

// System is the machine and the program.
type System struct {
	Version, Go, OS, Arch string
	CPUs                  int     // that the process may use
	CPUQuota              float64 // processors by cgroup; 0 is no quota
}

// Configuration is what became of file, environment and flags.
type Configuration struct {
	File string
	Err  string // everything that is wrong, one a line; empty when it is good
}

// Data is the data folder.
type Data struct {
	Dir        string
	Exists     bool
	IsDir      bool
	Measured   string // the folder that stands for it: itself, or the nearest above that exists
	Writable   bool   // of Measured
	Owner      int    // user id of Measured; -1 unknown
	User       int    // who asks
	Kind       string // of file system, "ext4"; empty unknown
	Locked     bool   // a Sluice works there
	LockedBy   int    // its process id; 0 unknown
	Earlier    string // a file or folder of a version whose queue this one does not read; empty for none
	WrongFiles string // the first file in it that this user may not write
	Err        string
}

// Disk is the space where the data folder is, in bytes.
type Disk struct {
	Free, Total             int64
	FreeInodes, TotalInodes int64 // TotalInodes 0 is a file system without a limit
	Err                     string
}

// Sync is how long the disk takes to write a little and say so.
type Sync struct {
	Count         int
	P50, P99, Max time.Duration
	Err           string
}

// Limits are what the operating system allows.
type Limits struct {
	Files       int64 // file descriptors; 0 unknown
	Memory      int64 // of the machine, bytes; 0 unknown
	Available   int64 // of it, now
	CgroupLimit int64 // bytes; 0 is none
	CgroupUsed  int64
}

// Clock is compared with that of a distributor, whose Date has whole seconds.
type Clock struct {
	Now       time.Time
	Compared  bool
	Ahead     time.Duration // of the distributor's
	Uncertain time.Duration // by so much
	Synced    bool          // the kernel says that something keeps it right
	SyncKnown bool
}

// Port is the address to listen on.
type Port struct {
	Address string
	Free    bool
	Sluice  string // role of the Sluice that answers there; empty if none does
	Err     string // why it cannot be listened on, where it is not that somebody has it
}

// Access is who can reach the address, and what they need.
type Access struct {
	Address   string
	Local     bool   // only this machine can reach it
	TokenFile string // empty where there are no tokens
	TokenErr  string // what is wrong with it
	TokenMode string // its rights, where others than its owner have some
	Certified bool   // clients need a certificate
}

// Certificate is the server's for TLS.
type Certificate struct {
	File    string // empty where there is no TLS
	Ends    time.Time
	Err     string
	Key     string
	KeyMode string // rights to the private key, where others have some
}

// Server is the distributor that was asked for.
type Server struct {
	URL           string // empty when none was named
	Role, Version string
	Took          time.Duration
	NotReady      string // what /readyz says; empty when it is ready
	Err           string
}

// Needs are what the configuration makes Sluice take.
type Needs struct {
	MaxBytes, MinFree int64 // of the queue; MinFree as it is for this disk
	Memory            int64 // the soft limit of the heap, bytes; 0 is none
	Connections       int   // that may be idle
	Syncs             bool  // durability: disk
}
