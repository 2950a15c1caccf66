package doctor

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestFindings(t *testing.T) {
	good := Facts{Go: "go1.26", Platform: "linux/amd64", Dir: "d", DirExists: true, FileSystem: "ext4", SyncP50: time.Millisecond, SyncP99: 3 * time.Millisecond,
		FreeBytes: 50 << 30, FreeInodes: 1 << 20, Files: 65536, MemoryMax: -1, Listen: ":8000"}
	for _, f := range Check(good) {
		if f.State != OK {
			t.Errorf("a good machine: %+v", f)
		}
	}
	for _, c := range []struct {
		name, state, text string
		change            func(*Facts)
	}{
		{"folder", Problem, "can't be used", func(f *Facts) { f.DirErr = errors.New("denied") }},
		{"lock", Warning, "in use by process 7", func(f *Facts) { f.LockedBy = "process 7" }},
		{"memory disk", Warning, "loses every record", func(f *Facts) { f.FileSystem = "tmpfs" }},
		{"network disk", Warning, "locks and syncs", func(f *Facts) { f.FileSystem = "nfs" }},
		{"slow disk", Warning, "at most 20 answers", func(f *Facts) { f.SyncP50 = 50 * time.Millisecond }},
		{"no sync", Warning, "was not measured", func(f *Facts) { f.SyncErr = errors.New("full") }},
		{"full", Warning, "0.0 GB free", func(f *Facts) { f.FreeBytes = 1 << 20 }},
		{"inodes", Warning, "9 inodes", func(f *Facts) { f.FreeInodes = 9 }},
		{"files", Warning, "1024 open files", func(f *Facts) { f.Files = 1024 }},
		{"memory", Warning, "100 MB", func(f *Facts) { f.MemoryMax = 100e6 }},
		{"port", Warning, "can't be had", func(f *Facts) { f.ListenErr = errors.New("taken") }},
		{"away", Problem, "does not answer", func(f *Facts) { f.ReachedErr = "refused" }},
		{"clock", Warning, "differs by 5s", func(f *Facts) { f.ClockKnown, f.ClockOff = true, 5*time.Second }},
	} {
		facts := good
		c.change(&facts)
		found := false
		for _, f := range Check(facts) {
			found = found || f.State == c.state && strings.Contains(f.Text, c.text) && f.Do != ""
		}
		if !found {
			t.Errorf("%s: no %s %q in %+v", c.name, c.state, c.text, Check(facts))
		}
	}
}

func TestGatherLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f := Gather(t.Context(), Where{Dir: dir, Listen: "127.0.0.1:0"})
	if f.SyncErr != nil || f.SyncP50 <= 0 || f.SyncP99 < f.SyncP50 || f.FreeBytes <= 0 || f.Files <= 0 {
		t.Errorf("facts are %+v", f)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if f = Gather(t.Context(), Where{Dir: dir + "/a/b", Listen: "127.0.0.1:0"}); f.DirExists || f.SyncP50 <= 0 {
		t.Errorf("facts of a folder that is yet to come are %+v", f)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
