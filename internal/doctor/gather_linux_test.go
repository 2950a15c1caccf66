package doctor

import (
	"os"
	"path/filepath"
	"testing"
)

// tree writes files below a folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestCgroups: the tightest limit counts, of the group itself and of those above it, in both versions.
func TestCgroups(t *testing.T) {
	for _, tt := range []struct {
		name        string
		self        string
		files       map[string]string
		limit, used int64
		quota       float64
	}{
		{"none", "0::/\n", nil, 0, 0, 0},
		{"version 2", "0::/a/b\n", map[string]string{
			"a/memory.max": "536870912\n", "a/memory.current": "1000\n", "a/b/memory.max": "max\n", "a/b/memory.current": "10\n",
			"a/cpu.max": "max 100000\n", "a/b/cpu.max": "50000 100000\n"}, 536870912, 1000, 0.5},
		{"version 2, the inner one tighter", "0::/a/b\n", map[string]string{
			"a/memory.max": "536870912\n", "a/b/memory.max": "268435456\n", "a/b/memory.current": "7\n", "a/cpu.max": "200000 100000\n", "a/b/cpu.max": "300000 100000\n"},
			268435456, 7, 2},
		{"version 1", "5:cpu,cpuacct:/x\n4:memory:/x/y\n0::/\n", map[string]string{
			"memory/x/memory.limit_in_bytes": "1073741824\n", "memory/x/memory.usage_in_bytes": "5\n",
			"memory/x/y/memory.limit_in_bytes": "9223372036854771712\n", "cpu/x/cpu.cfs_quota_us": "-1\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, 1073741824, 5, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := tree(t, tt.files)
			self := filepath.Join(tree(t, map[string]string{"cgroup": tt.self}), "cgroup")
			if limit, used := cgroupMemory(root, self); limit != tt.limit || used != tt.used {
				t.Errorf("memory is %d, %d used, want %d and %d", limit, used, tt.limit, tt.used)
			}
			if got := cpuQuotaIn(root, self); got != tt.quota {
				t.Errorf("the quota is %v, want %v", got, tt.quota)
			}
		})
	}
}

func TestFileSystemsAreKnown(t *testing.T) {
	if got := fileSystem("/dev/shm"); got != "tmpfs" {
		t.Errorf("/dev/shm is %q, want tmpfs", got)
	}
	if l := limits(); l.Memory < 64<<20 || l.Available <= 0 || l.Available > l.Memory || l.Files <= 0 {
		t.Errorf("the limits are %+v", l)
	}
}
