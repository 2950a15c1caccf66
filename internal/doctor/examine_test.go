package doctor

import (
	"strings"
	"testing"
	"time"
)

// healthy are the facts of a machine that nothing is wrong with.
func healthy() Facts {
	return Facts{
		System:  System{Version: "v1.2.3", Go: "go1.26.0", OS: "linux", Arch: "amd64", CPUs: 4},
		Data:    Data{Dir: "/var/lib/sluice", Exists: true, IsDir: true, Measured: "/var/lib/sluice", Writable: true, Owner: 998, User: 998, Kind: "ext4"},
		Disk:    Disk{Free: 100 << 30, Total: 200 << 30, FreeInodes: 5e6, TotalInodes: 1e7},
		Sync:    Sync{Count: 200, P50: time.Millisecond, P99: 4 * time.Millisecond, Max: 9 * time.Millisecond},
		Limits:  Limits{Files: 65536, Memory: 8 << 30, Available: 6 << 30},
		Clock:   Clock{Now: time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC), Synced: true, SyncKnown: true},
		Port:    Port{Address: ":8000", Free: true},
		Access:  Access{Address: ":8000", TokenFile: "/etc/sluice/tokens"},
		Cert:    Certificate{File: "/etc/sluice/cert.pem", Ends: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)},
		Service: Needs{MaxBytes: 10 << 30, MinFree: 256 << 20, Memory: 200e6, Connections: 2000, Syncs: true},
	}
}

func TestAHealthyMachineHasNothingToDo(t *testing.T) {
	r := Examine(healthy())
	if r.Problems != 0 || r.Warnings != 0 {
		t.Errorf("%d problems, %d warnings", r.Problems, r.Warnings)
	}
	topics := map[string]bool{}
	for _, f := range r.Findings {
		topics[f.Topic] = true
		if f.State != OK || f.Do != "" {
			t.Errorf("%+v", f)
		}
	}
	for _, want := range []string{"sluice", "configuration", "data folder", "file system", "disk space", "inodes", "disk sync", "file handles", "memory", "clock", "port", "access", "certificate"} {
		if !topics[want] {
			t.Errorf("nothing is said about %s", want)
		}
	}
}

// TestFindings makes a healthy machine ill in one way, and wants that one way to be told, with what to do.
func TestFindings(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ill   func(*Facts)
		topic string
		state State
		says  string
	}{
		{"another system", func(f *Facts) { f.System.OS = "plan9" }, "sluice", Problem, "not a system"},
		{"a tenth of a processor", func(f *Facts) { f.System.CPUQuota = 0.1 }, "sluice", Warning, "allows 0.1"},
		{"two processors of four", func(f *Facts) { f.System.CPUQuota = 2 }, "sluice", OK, "allows 2"},
		{"wrong settings", func(f *Facts) { f.Config.Err = "slots is 0, want at least 1" }, "configuration", Problem, "slots is 0"},
		{"a file for a folder", func(f *Facts) { f.Data.IsDir = false }, "data folder", Problem, "is a file"},
		{"a folder of somebody else", func(f *Facts) { f.Data.Writable, f.Data.Owner = false, 0 }, "data folder", Problem, "belongs to user 0"},
		{"a folder that can't be made", func(f *Facts) { f.Data.Exists, f.Data.Writable, f.Data.Measured = false, false, "/var/lib" }, "data folder", Problem, "may not make it in /var/lib"},
		{"a path through a file", func(f *Facts) { f.Data.Err = "/etc/passwd is a file" }, "data folder", Problem, "is a file"},
		{"files of root in it", func(f *Facts) { f.Data.WrongFiles = "/var/lib/sluice/journal" }, "data folder", Problem, "journal may not be written"},
		{"no folder yet", func(f *Facts) { f.Data.Exists = false }, "data folder", OK, "made at the start"},
		{"a Sluice in it", func(f *Facts) { f.Data.Locked, f.Data.LockedBy = true, 4711 }, "data folder", OK, "process 4711"},
		{"memory as a disk", func(f *Facts) { f.Data.Kind = "tmpfs" }, "file system", Problem, "gone after a restart"},
		{"a disk far away", func(f *Facts) { f.Data.Kind = "nfs" }, "file system", Warning, "fsync and locks"},
		{"a container's layer", func(f *Facts) { f.Data.Kind = "overlay" }, "file system", Warning, "deleted with the container"},
		{"a full disk", func(f *Facts) { f.Disk.Free = 100 << 20 }, "disk space", Problem, "pushed back at once"},
		{"a nearly full disk", func(f *Facts) { f.Disk.Free = 900 << 20 }, "disk space", Warning, "at 256.0 MiB"},
		{"a disk smaller than the queue", func(f *Facts) { f.Disk.Free = 15 << 30 }, "disk space", Warning, "full before the queue"},
		{"a disk that does not answer", func(f *Facts) { f.Disk.Err = "input/output error" }, "disk space", Warning, "input/output error"},
		{"no inodes", func(f *Facts) { f.Disk.FreeInodes = 3 }, "inodes", Problem, "3 are left"},
		{"few inodes", func(f *Facts) { f.Disk.FreeInodes = 3000 }, "inodes", Warning, "only 3000"},
		{"a slow disk", func(f *Facts) { f.Sync.P50 = 40 * time.Millisecond }, "disk sync", Warning, "at most 25 posts a second"},
		{"a very slow disk", func(f *Facts) { f.Sync.P50 = 400 * time.Millisecond }, "disk sync", Problem, "at most 2 posts a second"},
		{"a disk that stalls", func(f *Facts) { f.Sync.P99 = 900 * time.Millisecond }, "disk sync", Warning, "everybody waits"},
		{"a disk that lies", func(f *Facts) { f.Sync.P50 = 2 * time.Microsecond }, "disk sync", Warning, "faster than any disk"},
		{"a slow disk nobody waits for", func(f *Facts) { f.Sync.P50, f.Service.Syncs = time.Second, false }, "disk sync", OK, "nobody waits"},
		{"a disk that can't be measured", func(f *Facts) { f.Sync = Sync{Err: "read-only file system"} }, "disk sync", Warning, "read-only"},
		{"a queue of an earlier version", func(f *Facts) { f.Data.Earlier = "jetstream" }, "data folder", Problem, "jetstream of an earlier version"},
		{"few handles", func(f *Facts) { f.Limits.Files = 1024 }, "file handles", Warning, "may want 2424"},
		{"hardly any handles", func(f *Facts) { f.Limits.Files = 100 }, "file handles", Problem, "queue alone"},
		{"a tight cgroup", func(f *Facts) { f.Limits.CgroupLimit = 256 << 20 }, "memory", Problem, "will be killed"},
		{"a narrow cgroup", func(f *Facts) { f.Limits.CgroupLimit = 400 << 20 }, "memory", Warning, "the cgroup allows 400.0 MiB"},
		{"a wide cgroup", func(f *Facts) { f.Limits.CgroupLimit = 64 << 30 }, "memory", OK, "the machine has"},
		{"a crowded machine", func(f *Facts) { f.Limits.Available = 50 << 20 }, "memory", Warning, "50.0 MiB are available"},
		{"a clock at zero", func(f *Facts) { f.Clock.Now = time.Unix(0, 0) }, "clock", Problem, "1970-01-01"},
		{"a clock nobody keeps", func(f *Facts) { f.Clock.Synced = false }, "clock", Warning, "nothing tells the kernel"},
		{"a clock that is ahead", compared(10 * time.Second), "clock", Warning, "10s ahead of"},
		{"a clock that is behind", compared(-time.Hour), "clock", Problem, "1h behind"},
		{"a clock that is right", compared(300 * time.Millisecond), "clock", OK, "the same"},
		{"a port of a stranger", func(f *Facts) { f.Port.Free = false }, "port", Problem, "not a Sluice"},
		{"a port of another Sluice", func(f *Facts) { f.Port.Free, f.Port.Sluice = false, "run" }, "port", Problem, "another data folder"},
		{"a port of the Sluice that runs", func(f *Facts) { f.Port.Free, f.Port.Sluice, f.Data.Locked = false, "run", true }, "port", OK, "a running Sluice"},
		{"a port below 1024", func(f *Facts) { f.Port.Free, f.Port.Err = false, "permission denied" }, "port", Problem, "permission denied"},
		{"open to all", func(f *Facts) { f.Access.TokenFile = "" }, "access", Warning, "without a token"},
		{"open to this machine", func(f *Facts) { f.Access.TokenFile, f.Access.Local = "", true }, "access", OK, "only this machine"},
		{"open to those with a certificate", func(f *Facts) { f.Access.TokenFile, f.Access.Certified = "", true }, "access", OK, "need a certificate"},
		{"no tokens in the file", func(f *Facts) { f.Access.TokenErr = "it has no token" }, "access", Problem, "no token"},
		{"tokens for all to read", func(f *Facts) { f.Access.TokenMode = "-rw-r--r--" }, "access", Warning, "other users can read"},
		{"a certificate that ends soon", func(f *Facts) { f.Cert.Ends = f.Clock.Now.Add(48 * time.Hour) }, "certificate", Warning, "in 2d"},
		{"a certificate that is none", func(f *Facts) { f.Cert.Err = "not PEM" }, "certificate", Problem, "not PEM"},
		{"a key for all to read", func(f *Facts) { f.Cert.KeyMode = "-rw-r--r--" }, "certificate", Warning, "private key"},
		{"no TLS", func(f *Facts) { f.Cert = Certificate{Ends: f.Cert.Ends} }, "sluice", OK, "linux"},
		{"nobody there", func(f *Facts) { f.Server = Server{URL: "http://logs:8000", Err: "connection refused"} }, "distributor", Problem, "refused"},
		{"a pool there", func(f *Facts) { f.Server = Server{URL: "http://logs:8001", Role: "analyze"} }, "distributor", Warning, "a pool, not a distributor"},
		{"not ready there", func(f *Facts) { f.Server = Server{URL: "http://logs:8000", Role: "run", NotReady: "stopping"} }, "distributor", Warning, "stopping"},
		{"another version there", func(f *Facts) { f.Server = Server{URL: "http://logs:8000", Role: "run", Version: "v1.0.0"} }, "distributor", OK, "v1.0.0 there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
			tt.ill(&f)
			r := Examine(f)
			found := false
			for _, one := range r.Findings {
				if one.State != OK && one.Do == "" {
					t.Errorf("%s: nobody is told what to do", one.Text)
				}
				found = found || one.Topic == tt.topic && one.State == tt.state && strings.Contains(one.Text, tt.says)
				if one.State != OK && one.Topic != tt.topic {
					t.Errorf("%s is %s as well: %s", one.Topic, one.State, one.Text)
				}
			}
			if !found {
				t.Errorf("want %s %q with %q among %+v", tt.topic, tt.state, tt.says, r.Findings)
			}
			if want := map[State][2]int{OK: {0, 0}, Warning: {1, 0}, Problem: {0, 1}}[tt.state]; want != [2]int{r.Warnings, r.Problems} {
				t.Errorf("%d warnings and %d problems are counted, want %v", r.Warnings, r.Problems, want)
			}
		})
	}
}

func compared(ahead time.Duration) func(*Facts) {
	return func(f *Facts) {
		f.Clock.Compared, f.Clock.Ahead, f.Clock.Uncertain = true, ahead, 500*time.Millisecond
	}
}

func TestPrint(t *testing.T) {
	f := healthy()
	f.Data.Kind = "tmpfs"
	f.Config.Err = "one\ntwo"
	var out strings.Builder
	if err := Print(&out, Examine(f), 80); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(out.String(), "\n") {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	for _, want := range []string{"\nproblem  configuration  one\nproblem  configuration  two\n", "do: put the data folder on a disk\n", "\n3 problems, 0 warnings\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	out.Reset()
	Print(&out, Examine(healthy()), 80)
	if !strings.HasSuffix(out.String(), "\nall is well\n") {
		t.Errorf("a healthy machine gets\n%s", out.String())
	}
}
