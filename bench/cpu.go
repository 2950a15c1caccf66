package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// microsPerTick converts the clock ticks of /proc. The kernel reports 100 ticks a second on every platform of Go.
const microsPerTick = 10_000

// cpuMicros is the user and system CPU that processes have used since they started, in microseconds of one core.
func cpuMicros(pids []int) (total float64, err error) {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		ticks, err := parseStat(stat)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		total += float64(ticks) * microsPerTick
	}
	return total, nil
}

// parseStat returns utime + stime, fields 14 and 15 of proc_pid_stat(5). The second field is the command in parentheses; it
// may contain spaces and parentheses itself.
func parseStat(stat []byte) (ticks uint64, err error) {
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("only %d fields after the command", len(fields))
	}
	for _, f := range fields[11:13] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return ticks, nil
}
