package doctor

import (
	"bufio"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// kinds of file systems, by the numbers of statfs(2).
var kinds = map[int64]string{
	0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x2FC12FC1: "zfs", 0xF2F52010: "f2fs", 0xCA451A4E: "bcachefs",
	0x01021994: "tmpfs", 0x858458F6: "ramfs", 0x794C7630: "overlay", 0x6969: "nfs", 0xFF534D42: "cifs", 0xFE534D42: "smb2",
	0x65735546: "fuse", 0x01021997: "9p", 0x00C36400: "ceph", 0x5346414F: "afs", 0x01161970: "gfs2", 0x7461636F: "ocfs2", 0x0BD00BD0: "lustre",
	0x4D44: "vfat", 0x2011BAB0: "exfat", 0x5346544E: "ntfs",
}

// fileSystem is the kind of file system that a folder is on; empty if it is not known.
func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return ""
	}
	return kinds[int64(uint32(s.Type))]
}

func limits() Limits {
	l := Limits{Files: filesLimit()}
	if f, err := os.Open("/proc/meminfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			words := strings.Fields(lines.Text())
			if len(words) < 2 {
				continue
			}
			kib, _ := strconv.ParseInt(words[1], 10, 64)
			switch words[0] {
			case "MemTotal:":
				l.Memory = kib << 10
			case "MemAvailable:":
				l.Available = kib << 10
			}
		}
	}
	l.CgroupLimit, l.CgroupUsed = cgroupMemory("/sys/fs/cgroup", "/proc/self/cgroup")
	if l.CgroupLimit > 0 && l.CgroupUsed > 0 {
		l.Available = min(l.Available, l.CgroupLimit-l.CgroupUsed)
	}
	return l
}

// cgroupMemory is the tightest limit of the cgroup of this process and those above it, version 2 or 1, and what is used of it.
func cgroupMemory(root, self string) (limit, used int64) {
	for _, g := range cgroups(root, self, "memory") {
		most := number(filepath.Join(g, "memory.max"))
		now := number(filepath.Join(g, "memory.current"))
		if most == 0 {
			most, now = number(filepath.Join(g, "memory.limit_in_bytes")), number(filepath.Join(g, "memory.usage_in_bytes"))
		}
		if most > 0 && most < math.MaxInt64/2 && (limit == 0 || most < limit) {
			limit, used = most, now
		}
	}
	return limit, used
}

// cpuQuota is how many processors the cgroups allow; 0 is no limit.
func cpuQuota() float64 { return cpuQuotaIn("/sys/fs/cgroup", "/proc/self/cgroup") }

func cpuQuotaIn(root, self string) (quota float64) {
	for _, g := range cgroups(root, self, "cpu") {
		var most, period float64
		if text, err := os.ReadFile(filepath.Join(g, "cpu.max")); err == nil {
			if words := strings.Fields(string(text)); len(words) == 2 && words[0] != "max" {
				most, _ = strconv.ParseFloat(words[0], 64)
				period, _ = strconv.ParseFloat(words[1], 64)
			}
		} else {
			most, period = float64(number(filepath.Join(g, "cpu.cfs_quota_us"))), float64(number(filepath.Join(g, "cpu.cfs_period_us")))
		}
		if most > 0 && period > 0 && (quota == 0 || most/period < quota) {
			quota = most / period
		}
	}
	return quota
}

// cgroups are the folders of the cgroup of this process and those above it, for a controller.
func cgroups(root, self, controller string) (all []string) {
	text, err := os.ReadFile(self)
	if err != nil {
		return nil
	}
	for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		base := root
		if parts[0] != "0" { // version 1
			base = filepath.Join(root, controller)
			if !strings.Contains(","+parts[1]+",", ","+controller+",") {
				continue
			}
		}
		for path := filepath.Join("/", parts[2]); ; path = filepath.Dir(path) {
			all = append(all, filepath.Join(base, path))
			if path == "/" {
				break
			}
		}
	}
	return all
}

// number reads a file that holds one; 0 where it holds none.
func number(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// timeError is the answer of adjtimex(2) for a clock that nobody keeps right.
const timeError = 5

func clockSynced() (synced, known bool) {
	state, err := syscall.Adjtimex(&syscall.Timex{})
	return state != timeError, err == nil
}
