package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/words"
)

// State says how bad it is.
type State string

// The states.
const (
	OK      State = "ok"
	Warning State = "warning" // it runs, and something will hurt
	Problem State = "problem" // it does not run, or loses what it promises
)

// Finding is one thing that was looked at.
type Finding struct {
	Topic string `json:"topic"`
	State State  `json:"state"`
	Text  string `json:"text"`
	Do    string `json:"do,omitempty"` // what to do; empty where it is ok
	// Values are the numbers behind the text; the unit is in the name.
	Values map[string]float64 `json:"values,omitempty"`
}

// Report is everything that was found.
type Report struct {
	Findings []Finding `json:"findings"`
	Warnings int       `json:"warnings"`
	Problems int       `json:"problems"`
}

// Examine turns facts into findings, in the order in which a person should read them.
func Examine(f Facts) Report {
	var r Report
	for _, look := range []func(Facts) []Finding{system, configuration, folder, space, inodes, syncSpeed, files, memory, clock, port, reach, certificate, server} {
		r.Findings = append(r.Findings, look(f)...)
	}
	for _, one := range r.Findings {
		switch one.State {
		case Warning:
			r.Warnings++
		case Problem:
			r.Problems++
		}
	}
	return r
}

func ok(topic, format string, args ...any) Finding {
	return Finding{Topic: topic, State: OK, Text: fmt.Sprintf(format, args...)}
}

func warn(topic, do, format string, args ...any) Finding {
	return Finding{Topic: topic, State: Warning, Text: fmt.Sprintf(format, args...), Do: do}
}

func bad(topic, do, format string, args ...any) Finding {
	return Finding{Topic: topic, State: Problem, Text: fmt.Sprintf(format, args...), Do: do}
}

// with adds numbers: name, value, name, value.
func (f Finding) with(pairs ...any) Finding {
	f.Values = map[string]float64{}
	for i := 0; i+1 < len(pairs); i += 2 {
		f.Values[pairs[i].(string)] = pairs[i+1].(float64)
	}
	return f
}

func system(f Facts) []Finding {
	s := f.System
	text := fmt.Sprintf("version %s, %s, %s/%s, %s", s.Version, s.Go, s.OS, s.Arch, words.Plural(s.CPUs, "processor", "processors"))
	switch {
	case s.OS != "linux" && s.OS != "darwin":
		return []Finding{bad("sluice", "run it on Linux or macOS", "%s: not a system that it is built for", text)}
	case s.CPUQuota > 0 && s.CPUQuota < 0.9:
		return []Finding{warn("sluice", "raise the processor quota of the cgroup to 1 at least", "%s, of which the cgroup allows %.2g: it will stand still for parts of each tenth of a second", text, s.CPUQuota).
			with("cpus", float64(s.CPUs), "cpu_quota", s.CPUQuota)}
	case s.CPUQuota > 0:
		text += fmt.Sprintf(", of which the cgroup allows %.2g", s.CPUQuota)
	}
	return []Finding{ok("sluice", "%s", text).with("cpus", float64(s.CPUs), "cpu_quota", s.CPUQuota)}
}

func configuration(f Facts) []Finding {
	from := "defaults, environment and flags"
	if f.Config.File != "" {
		from = f.Config.File
	}
	if f.Config.Err == "" {
		return []Finding{ok("configuration", "good (%s)", from)}
	}
	lines := strings.Split(f.Config.Err, "\n")
	out := make([]Finding, 0, len(lines))
	for _, l := range lines {
		out = append(out, bad("configuration", "", "%s", l))
	}
	out[len(out)-1].Do = "correct it; sluice config validate checks it again. What follows was looked at with the defaults"
	return out
}

// notLocal are file systems that lie about fsync or locks, or forget.
var (
	network  = []string{"nfs", "cifs", "smb2", "fuse", "9p", "ceph", "afs", "gfs2", "ocfs2", "lustre"}
	volatile = []string{"tmpfs", "ramfs"}
)

func folder(f Facts) []Finding {
	const topic = "data folder"
	d := f.Data
	switch {
	case d.Err != "":
		return []Finding{bad(topic, "name another with --data", "%s: %s", d.Dir, d.Err)}
	case d.Exists && !d.IsDir:
		return []Finding{bad(topic, "name a folder with --data", "%s is a file", d.Dir)}
	case !d.Writable && !d.Exists:
		return []Finding{bad(topic, fmt.Sprintf("make it and give it to user %d, or name another with --data", d.User), "%s does not exist, and user %d may not make it in %s", d.Dir, d.User, d.Measured)}
	case !d.Writable:
		return []Finding{bad(topic, fmt.Sprintf("chown -R %d %s, or run Sluice as user %d", d.User, d.Dir, d.Owner), "%s belongs to user %d, and user %d may not write there", d.Dir, d.Owner, d.User)}
	case d.Earlier != "":
		return []Finding{bad(topic, "let the earlier version analyze what is left and decide about its dead letters, or name another folder with --data",
			"%s has %s of an earlier version of Sluice, whose queue this version does not read", d.Dir, d.Earlier)}
	case d.WrongFiles != "":
		return []Finding{bad(topic, fmt.Sprintf("chown -R %d %s; it was run as another user before", d.User, d.Dir), "%s may not be written by user %d", d.WrongFiles, d.User)}
	}
	var out []Finding
	switch {
	case d.Locked:
		out = append(out, ok(topic, "%s is in use by a running Sluice%s", d.Dir, process(d.LockedBy)))
	case d.Exists:
		out = append(out, ok(topic, "%s is there, writable, and nobody works in it", d.Dir))
	default:
		out = append(out, ok(topic, "%s does not exist yet; it is made at the start", d.Dir))
	}
	switch {
	case slices.Contains(volatile, d.Kind):
		out = append(out, bad("file system", "put the data folder on a disk", "%s is memory: all of it is gone after a restart of the machine, whatever was acknowledged", d.Kind))
	case slices.Contains(network, d.Kind):
		out = append(out, warn("file system", "put the data folder on a local disk", "%s goes over a network or through another program: fsync and locks may not mean what they say there", d.Kind))
	case d.Kind == "overlay":
		out = append(out, warn("file system", "mount a volume at the data folder", "overlay is the layer of a container: it is deleted with the container"))
	case d.Kind != "":
		out = append(out, ok("file system", "%s", d.Kind))
	}
	return out
}

func process(pid int) string {
	if pid == 0 {
		return ""
	}
	return fmt.Sprintf(", process %d", pid)
}

func space(f Facts) []Finding {
	const topic = "disk space"
	d, n := f.Disk, f.Service
	if d.Err != "" {
		return []Finding{warn(topic, "look with df", "not known: %s", d.Err)}
	}
	values := func(one Finding) []Finding {
		return []Finding{one.with("free_bytes", float64(d.Free), "total_bytes", float64(d.Total), "max_bytes", float64(n.MaxBytes), "min_free_bytes", float64(n.MinFree))}
	}
	text := fmt.Sprintf("%s of %s are free", words.Bytes(d.Free), words.Bytes(d.Total))
	switch {
	case d.Free < n.MinFree:
		return values(bad(topic, "make room", "%s, less than min_free_bytes (%s): records are pushed back at once", text, words.Bytes(n.MinFree)))
	case d.Free < 4*n.MinFree:
		return values(warn(topic, "make room, or set max_bytes so that the queue is full before the disk is", "%s; at %s records are pushed back", text, words.Bytes(n.MinFree)))
	case d.Free < 2*n.MaxBytes+n.MinFree:
		return values(warn(topic, fmt.Sprintf("set max_bytes to %s, or make room", words.Bytes(max((d.Free-n.MinFree)/2, 0))),
			"%s; the files of the queue may take twice max_bytes (%s), and dead letters come on top, so that the disk may be full before the queue is", text, words.Bytes(n.MaxBytes)))
	}
	return values(ok(topic, "%s; max_bytes (%s) fits twice, which is what the files of the queue may take", text, words.Bytes(n.MaxBytes)))
}

func inodes(f Facts) []Finding {
	const topic, few, none = "inodes", 10_000, 200
	d := f.Disk
	if d.TotalInodes == 0 {
		return nil
	}
	values := func(one Finding) []Finding {
		return []Finding{one.with("free_inodes", float64(d.FreeInodes), "total_inodes", float64(d.TotalInodes))}
	}
	switch {
	case d.FreeInodes < none:
		return values(bad(topic, "delete small files, or use another disk", "%d are left: files can't be made although there is space", d.FreeInodes))
	case d.FreeInodes < few:
		return values(warn(topic, "delete small files", "only %d are left", d.FreeInodes))
	}
	return values(ok(topic, "%.1f million are free", float64(d.FreeInodes)/1e6))
}

// Bounds of what a sync may take, and what it can't take on a disk that keeps its word.
const (
	slowSync      = 20 * time.Millisecond
	verySlowSync  = 200 * time.Millisecond
	tooFastToTrue = 15 * time.Microsecond
)

func syncSpeed(f Facts) []Finding {
	const topic = "disk sync"
	s := f.Sync
	if s.Err != "" {
		return []Finding{warn(topic, "repair the data folder first, then look again", "not measured: %s", s.Err)}
	}
	if s.Count == 0 {
		return nil
	}
	values := func(one Finding) []Finding {
		return []Finding{one.with("p50_seconds", s.P50.Seconds(), "p99_seconds", s.P99.Seconds(), "max_seconds", s.Max.Seconds(), "count", float64(s.Count))}
	}
	perSecond := int64(time.Second / max(s.P50, time.Microsecond))
	text := fmt.Sprintf("half of %d syncs took up to %s, 99 %% up to %s", s.Count, words.Duration(s.P50), words.Duration(s.P99))
	means := fmt.Sprintf("a sender that waits for each answer gets at most %d posts a second; many senders at once share a sync", perSecond)
	if !f.Service.Syncs {
		return values(ok(topic, "%s; with durability: process nobody waits for it", text))
	}
	switch {
	case s.P50 < tooFastToTrue:
		return values(warn(topic, "find out whether the disk survives a power cut: sync=disabled, a hypervisor that ignores flushes, memory", "%s: faster than any disk that really writes", text))
	case s.P50 >= verySlowSync:
		return values(bad(topic, "use another disk, or set durability: process and lose some seconds at a power cut", "%s: %s, and stopping, starting and scaling wait for it as well", text, means))
	case s.P50 >= slowSync:
		return values(warn(topic, "post some hundred records at a time; a faster disk; durability: process if a power cut may cost some seconds", "%s: %s", text, means))
	case s.P99 >= 10*slowSync:
		return values(warn(topic, "look for who else writes to that disk", "%s: now and then everybody waits; %s", text, means))
	}
	return values(ok(topic, "%s: %s", text, means))
}

// segments is how many files the queue may hold open: of 64 MiB each, twice what is stored.
func segments(maxBytes int64) int64 { return 2*maxBytes>>26 + 4 }

func files(f Facts) []Finding {
	const topic = "file handles"
	have := f.Limits.Files
	if have == 0 {
		return nil
	}
	need := int64(f.Service.Connections) + segments(f.Service.MaxBytes) + 100
	values := func(one Finding) []Finding {
		return []Finding{one.with("limit", float64(have), "wanted", float64(need))}
	}
	do := fmt.Sprintf("ulimit -n %d, LimitNOFILE= in the unit, or a smaller max_idle_connections", max(8192, need))
	switch {
	case have < segments(f.Service.MaxBytes)+100:
		return values(bad(topic, do, "%d: too few for the queue alone", have))
	case have < need:
		return values(warn(topic, do, "%d, and max_idle_connections with the queue may want %d: the last connections are refused", have, need))
	}
	return values(ok(topic, "%d, at most about %d are wanted", have, need))
}

// overhead is what a process takes beside its heap: stacks, mapped files, what the collector has not given back yet.
const overhead = 100 << 20

func memory(f Facts) []Finding {
	const topic = "memory"
	l := f.Limits
	have, whose := l.Memory, "the machine has"
	if l.CgroupLimit > 0 && (have == 0 || l.CgroupLimit < have) {
		have, whose = l.CgroupLimit, "the cgroup allows"
	}
	if have == 0 {
		return nil
	}
	need := f.Service.Memory + overhead
	text := fmt.Sprintf("%s %s", whose, words.Bytes(have))
	if l.Available > 0 {
		text += fmt.Sprintf(", %s are available", words.Bytes(l.Available))
	}
	values := func(one Finding) []Finding {
		return []Finding{one.with("limit_bytes", float64(have), "available_bytes", float64(l.Available), "memory_limit", float64(f.Service.Memory))}
	}
	switch {
	case have < need:
		return values(bad(topic, fmt.Sprintf("allow %s at least, or lower memory_limit and the max_..._bytes settings", words.Bytes(need)),
			"%s, less than memory_limit (%s) and what a process takes besides: it will be killed under load", text, words.Bytes(f.Service.Memory)))
	case have < 2*need:
		return values(warn(topic, "leave twice as much for large bodies and for what the analyzers make of a batch", "%s; Sluice plans for %s", text, words.Bytes(need)))
	case l.Available > 0 && l.Available < need:
		return values(warn(topic, "end what takes the rest", "%s; Sluice plans for %s", text, words.Bytes(need)))
	}
	return values(ok(topic, "%s; Sluice plans for %s", text, words.Bytes(need)))
}

// Bounds of how far a clock may be off.
const (
	offABit = 2 * time.Second
	offALot = 5 * time.Minute
)

func clock(f Facts) []Finding {
	const topic = "clock"
	c := f.Clock
	var out []Finding
	if c.Now.Year() < 2025 {
		return []Finding{bad(topic, "set the clock", "it is %s here, which was before Sluice", c.Now.UTC().Format(time.DateOnly))}
	}
	if c.Compared {
		off := max(c.Ahead, -c.Ahead) - c.Uncertain
		word := "ahead of"
		if c.Ahead < 0 {
			word = "behind"
		}
		one := ok(topic, "the same as the distributor's, within %s", words.Duration(max(c.Uncertain, time.Second)))
		switch {
		case off > offALot:
			one = bad(topic, "let both machines keep their time by NTP", "%s %s the distributor's: waits, decisions and histories of the two cannot be compared", words.Duration(max(c.Ahead, -c.Ahead)), word)
		case off > offABit:
			one = warn(topic, "let both machines keep their time by NTP", "%s %s the distributor's; leases are safe, they count seconds; times in logs and charts are off", words.Duration(max(c.Ahead, -c.Ahead)), word)
		}
		out = append(out, one.with("ahead_seconds", c.Ahead.Seconds(), "uncertain_seconds", c.Uncertain.Seconds()))
	}
	switch {
	case c.SyncKnown && !c.Synced:
		out = append(out, warn(topic, "run an NTP client, such as chrony or systemd-timesyncd; in a virtual machine or container the host may do it", "nothing tells the kernel that it is kept right"))
	case c.SyncKnown && !c.Compared:
		out = append(out, ok(topic, "kept right, says the kernel"))
	}
	return out
}

func port(f Facts) []Finding {
	const topic = "port"
	p := f.Port
	switch {
	case p.Address == "":
		return nil
	case p.Err != "":
		return []Finding{bad(topic, "name an address of this machine, like :8000 or 127.0.0.1:8000, with --listen", "%s cannot be listened on: %s", p.Address, p.Err)}
	case p.Free:
		return []Finding{ok(topic, "%s is free", p.Address)}
	case p.Sluice != "" && f.Data.Locked:
		return []Finding{ok(topic, "%s is taken by a running Sluice (%s)", p.Address, p.Sluice)}
	case p.Sluice != "":
		return []Finding{bad(topic, "stop that one, or choose another port with --listen", "%s is taken by a Sluice (%s) with another data folder", p.Address, p.Sluice)}
	}
	return []Finding{bad(topic, "stop the process that has it (ss -ltnp shows which), or choose another with --listen", "%s is taken, and it is not a Sluice that answers there", p.Address)}
}

// reach says who can reach the address, and what they need.
func reach(f Facts) []Finding {
	const topic = "access"
	a := f.Access
	var out []Finding
	switch {
	case a.Address == "":
		return nil
	case a.TokenErr != "":
		out = append(out, bad(topic, "correct the file, or name another with --token-file", "%s", a.TokenErr))
	case a.TokenFile != "":
		out = append(out, ok(topic, "clients of %s need a token", a.Address))
	case a.Local:
		out = append(out, ok(topic, "only this machine can reach %s", a.Address))
	case a.Certified:
		out = append(out, ok(topic, "clients of %s need a certificate", a.Address))
	default:
		out = append(out, warn(topic, "set token_file, or listen on 127.0.0.1", "any client that reaches %s may send, lease and read records, drop dead letters and resize the pool, without a token", a.Address))
	}
	if a.TokenMode != "" {
		out = append(out, warn(topic, "chmod 600 "+a.TokenFile, "other users can read or change the tokens in %s (%s)", a.TokenFile, a.TokenMode))
	}
	return out
}

// renew is how long before its end a certificate should be replaced.
const renew = 14 * 24 * time.Hour

func certificate(f Facts) []Finding {
	const topic = "certificate"
	c := f.Cert
	if c.File == "" {
		return nil
	}
	var out []Finding
	switch left := c.Ends.Sub(f.Clock.Now); {
	case c.Err != "":
		return []Finding{bad(topic, "correct tls_cert, tls_key and tls_client_ca", "%s", c.Err)}
	case left < renew:
		out = append(out, warn(topic, "replace it; that takes no restart", "%s ends at %s, in %s", c.File, c.Ends.UTC().Format(time.RFC3339), words.Duration(left)))
	default:
		out = append(out, ok(topic, "%s is good until %s", c.File, c.Ends.UTC().Format(time.RFC3339)))
	}
	if c.KeyMode != "" {
		out = append(out, warn(topic, "chmod 600 "+c.Key, "other users can read or change the private key %s (%s)", c.Key, c.KeyMode))
	}
	return out
}

func server(f Facts) []Finding {
	const topic = "distributor"
	s := f.Server
	switch {
	case s.URL == "":
		return nil
	case s.Err != "":
		return []Finding{bad(topic, "is it running? is the address right? may this machine reach it? with token_file there: --token-file; with a certificate of your own there: --tls-ca", "%s", s.Err)}
	case s.NotReady != "":
		return []Finding{warn(topic, "see Readiness in docs/operations.md", "%s answers and is not ready: %s", s.URL, s.NotReady)}
	case s.Role != "run" && s.Role != "distributor":
		return []Finding{warn(topic, "name the distributor, by default http://127.0.0.1:8000", "%s is a sluice %s: a pool, not a distributor", s.URL, s.Role)}
	case s.Version != f.System.Version:
		return []Finding{ok(topic, "%s answers in %s; sluice %s, version %s there and %s here", s.URL, words.Duration(s.Took), s.Role, s.Version, f.System.Version)}
	}
	return []Finding{ok(topic, "%s answers in %s; sluice %s, version %s", s.URL, words.Duration(s.Took), s.Role, s.Version)}
}
