package doctor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluicehq/sluice/internal/access"
)

// Options say what to look at.
type Options struct {
	Version     string
	File        string // of the configuration; empty if there is none
	ConfigErr   error  // what is wrong with it; nil when it is good
	Dir         string // data folder
	Listen      string // address
	Distributor string // URL; empty asks nobody
	Token       func() string
	ClientTLS   *tls.Config // how to speak to Distributor at https; nil for as usual
	TokenFile   string      // empty for none
	TLS         access.ServerFiles
	Needs       Needs // MinFree negative is the default for the disk

	Syncs    int           // most syncs to measure; zero means 200
	SyncTime time.Duration // most time for them; zero means 2s
}

// askTime is how long an answer may take.
const askTime = 5 * time.Second

// Gather looks at everything. It changes nothing, and takes some seconds at most.
func Gather(ctx context.Context, o Options) Facts {
	f := Facts{Service: o.Needs, Config: Configuration{File: o.File}}
	if o.ConfigErr != nil {
		f.Config.Err = o.ConfigErr.Error()
	}
	f.System = System{Version: o.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), CPUQuota: cpuQuota()}
	f.Data = lookAtFolder(o.Dir)
	f.Disk = lookAtDisk(f.Data.Measured)
	if f.Service.MinFree < 0 {
		f.Service.MinFree = min(max(f.Disk.Total/20, 8<<20), 256<<20)
	}
	if f.Data.Writable && f.Data.IsDir {
		f.Sync = measureSync(ctx, f.Data.Measured, o)
	}
	f.Limits = limits()
	f.Clock.Now = time.Now()
	f.Clock.Synced, f.Clock.SyncKnown = clockSynced()
	f.Port = lookAtPort(ctx, o)
	f.Access = lookAtAccess(o)
	f.Cert = lookAtCertificate(o.TLS)
	if o.Distributor != "" {
		f.Server, f.Clock = lookAtServer(ctx, o, f.Clock)
	}
	return f
}

// lookAtFolder finds the folder, or the nearest above it.
func lookAtFolder(dir string) Data {
	d := Data{Dir: dir, User: os.Getuid(), Owner: -1}
	abs, err := filepath.Abs(dir)
	if err != nil {
		d.Err = err.Error()
		return d
	}
	for d.Measured = abs; ; d.Measured = filepath.Dir(d.Measured) {
		info, err := os.Stat(d.Measured)
		if errors.Is(err, os.ErrNotExist) && d.Measured != filepath.Dir(d.Measured) {
			continue
		}
		if err != nil {
			d.Err = err.Error()
			return d
		}
		d.Exists, d.IsDir = d.Measured == abs, info.IsDir()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			d.Owner = int(st.Uid)
		}
		if !d.IsDir && !d.Exists {
			d.Err = d.Measured + " is a file, not a folder"
			return d
		}
		break
	}
	d.Writable = mayWrite(d.Measured, true)
	d.Kind = fileSystem(d.Measured)
	if d.Exists && d.IsDir {
		d.Locked, d.LockedBy = locked(filepath.Join(abs, "LOCK"))
		d.WrongFiles = unwritable(abs)
		for _, name := range []string{"jetstream", "journal"} {
			if _, err := os.Stat(filepath.Join(abs, name)); err == nil {
				d.Earlier = name
			}
		}
	}
	return d
}

const (
	mayW = 2 // of access(2)
	mayX = 1
)

func mayWrite(path string, folder bool) bool {
	mode := uint32(mayW)
	if folder {
		mode |= mayX
	}
	return syscall.Access(path, mode) == nil
}

// locked asks for the lock that a running Sluice holds, and lets go of it at once.
func locked(path string) (held bool, pid int) {
	file, err := os.Open(path)
	if err != nil {
		return false, 0
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
		return false, 0
	}
	text, _ := io.ReadAll(io.LimitReader(file, 32))
	pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	return true, pid
}

// unwritable is the first of the files at the top of the data folder that this user may not write.
func unwritable(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return dir
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); e.Name() != lostAndFound && !mayWrite(path, e.IsDir()) {
			return path
		}
	}
	return ""
}

// lostAndFound belongs to the file system, at the top of a disk of its own.
const lostAndFound = "lost+found"

func lookAtDisk(dir string) (d Disk) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		d.Err = err.Error()
		return d
	}
	size := int64(s.Bsize)
	return Disk{Free: int64(s.Bavail) * size, Total: int64(s.Blocks) * size, FreeInodes: int64(s.Ffree), TotalInodes: int64(s.Files)}
}

// syncBytes is what is written before each sync, about a small batch.
const syncBytes = 16 << 10

// measureSync appends to a file of its own and syncs it, again and again. The file is gone afterwards.
func measureSync(ctx context.Context, dir string, o Options) (s Sync) {
	most, limit := o.Syncs, o.SyncTime
	if most == 0 {
		most = 200
	}
	if limit == 0 {
		limit = 2 * time.Second
	}
	file, err := os.CreateTemp(dir, ".sluice-doctor-*")
	if err != nil {
		return Sync{Err: err.Error()}
	}
	defer os.Remove(file.Name())
	defer file.Close()
	block := make([]byte, syncBytes)
	for i := range block {
		block[i] = byte(i * 7) // not zeros, which some disks do not write
	}
	var took []time.Duration
	for end := time.Now().Add(limit); len(took) < most && time.Now().Before(end) && ctx.Err() == nil; {
		began := time.Now()
		if _, err = file.Write(block); err == nil {
			err = file.Sync()
		}
		if err != nil {
			return Sync{Err: fmt.Sprintf("after %d syncs: %v", len(took), err)}
		}
		took = append(took, time.Since(began))
	}
	if len(took) == 0 {
		return s
	}
	slices.Sort(took)
	at := func(share float64) time.Duration { return took[min(int(share*float64(len(took))), len(took)-1)] }
	return Sync{Count: len(took), P50: at(0.5), P99: at(0.99), Max: took[len(took)-1]}
}

// lookAtPort listens for a moment, and where it can't, asks whether it is a Sluice that has the port.
func lookAtPort(ctx context.Context, o Options) Port {
	address := o.Listen
	p := Port{Address: address}
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		l.Close()
		p.Free = true
	case !errors.Is(err, syscall.EADDRINUSE):
		p.Err = err.Error()
	default:
		host, port, _ := net.SplitHostPort(address)
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		p.Sluice = sluiceAt(ctx, net.JoinHostPort(host, port), o.TLS.Cert != "")
	}
	return p
}

// lookAtAccess finds out who can reach the address.
func lookAtAccess(o Options) Access {
	a := Access{Address: o.Listen, TokenFile: o.TokenFile, Certified: o.TLS.ClientCA != ""}
	host, _, _ := net.SplitHostPort(o.Listen)
	ip := net.ParseIP(host)
	a.Local = host == "localhost" || ip != nil && ip.IsLoopback()
	if a.TokenFile == "" {
		return a
	}
	if _, err := access.ReadTokens(a.TokenFile, nil); err != nil {
		a.TokenErr = err.Error()
	}
	if mode, exposed := access.ExposedTokens(a.TokenFile); exposed {
		a.TokenMode = mode.String()
	}
	return a
}

func lookAtCertificate(files access.ServerFiles) Certificate {
	c := Certificate{File: files.Cert, Key: files.Key}
	if files.Cert == "" {
		return c
	}
	conf, err := access.ServerTLS(files, nil)
	if err != nil {
		c.Err = err.Error()
		return c
	}
	if conf, err = conf.GetConfigForClient(nil); err == nil {
		c.Ends = conf.Certificates[0].Leaf.NotAfter
	}
	if mode, exposed := access.ExposedKey(files.Key); exposed {
		c.KeyMode = mode.String()
	}
	return c
}

// sluiceAt is the role of the Sluice at an address. One that asks for a token says of itself only that it is one.
func sluiceAt(ctx context.Context, address string, secure bool) string {
	url, conf := "http://"+address, (*tls.Config)(nil)
	if secure { // it is not told anything, so it need not show who it is
		url, conf = "https://"+address, &tls.Config{InsecureSkipVerify: true}
	}
	status, _, body, err := ask(ctx, url+"/v1/stats", nil, conf)
	var st struct{ Role string }
	if err == nil && json.Unmarshal(body, &st) == nil && st.Role != "" {
		return st.Role
	}
	var refused struct{ Error, Hint string }
	if status == http.StatusUnauthorized && json.Unmarshal(body, &refused) == nil && refused.Error != "" {
		return "with a token"
	}
	return ""
}

// lookAtServer asks the distributor for itself, whether it is ready, and for the time.
func lookAtServer(ctx context.Context, o Options, c Clock) (Server, Clock) {
	s := Server{URL: o.Distributor}
	began := time.Now()
	status, header, body, err := ask(ctx, s.URL+"/v1/stats", o.Token, o.ClientTLS)
	s.Took = time.Since(began)
	if err != nil {
		s.Err = err.Error()
		return s, c
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		middle := began.Add(s.Took / 2)
		// A Date of 12:00:00 was made at 12:00:00.5, give or take half a second.
		c.Compared, c.Ahead, c.Uncertain = true, middle.Sub(date.Add(time.Second/2)), time.Second/2+s.Took/2
	}
	var st struct{ Role, Version string }
	if status != http.StatusOK || json.Unmarshal(body, &st) != nil || st.Role == "" {
		s.Err = fmt.Sprintf("%s answers %d and not like a Sluice: %.120q", s.URL, status, body)
		return s, c
	}
	s.Role, s.Version = st.Role, st.Version
	if status, _, body, err := ask(ctx, s.URL+"/readyz", o.Token, o.ClientTLS); err == nil && status != http.StatusOK {
		s.NotReady = strings.TrimSpace(fmt.Sprintf("%.300s", body))
	}
	return s, c
}

func ask(ctx context.Context, url string, token func() string, conf *tls.Config) (int, http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, nil, err
	}
	if token != nil {
		r.Header.Set("Authorization", "Bearer "+token())
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	if conf != nil {
		transport.TLSClientConfig = conf
	}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return answer.StatusCode, answer.Header, body, err
}

// filesLimit is how many file descriptors a process may have. Go raises it to what is allowed, in Sluice as here.
func filesLimit() int64 {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0
	}
	return int64(min(uint64(r.Cur), 1<<62))
}
