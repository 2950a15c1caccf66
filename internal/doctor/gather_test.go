package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// small keeps measuring short.
func small(dir string) Options {
	return Options{Version: "v1.2.3", Dir: dir, Listen: "127.0.0.1:0", Syncs: 5, Needs: Needs{MinFree: -1}}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// TestNothingIsLeftBehind: neither a folder nor the file that the disk is measured with.
func TestNothingIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "not", "there")
	for _, where := range []string{dir, missing} {
		f := Gather(t.Context(), small(where))
		if f.Sync.Count != 5 || f.Sync.P50 <= 0 || f.Sync.P99 < f.Sync.P50 || f.Sync.Max < f.Sync.P99 {
			t.Errorf("%s: syncs are %+v", where, f.Sync)
		}
		if f.Disk.Total <= 0 || f.Disk.Err != "" || f.Limits.Files <= 0 || f.Service.MinFree < 8<<20 {
			t.Errorf("%s: %+v %+v %+v", where, f.Disk, f.Limits, f.Service)
		}
		if f.Data.Exists != (where == dir) || f.Data.Measured != dir || !f.Data.Writable {
			t.Errorf("%s: the folder is %+v", where, f.Data)
		}
	}
	if names := entries(t, dir); len(names) != 0 {
		t.Errorf("left behind are %v", names)
	}
}

func TestMeasuringEndsEarly(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s := measureSync(ctx, dir, Options{}); s.Count != 0 || s.Err != "" {
		t.Errorf("asked to stop, it measured %+v", s)
	}
	if s := measureSync(t.Context(), dir, Options{Syncs: 1 << 30, SyncTime: 30 * time.Millisecond}); s.Count == 0 || s.Max > 10*time.Second {
		t.Errorf("in 30 ms it measured %+v", s)
	}
	if names := entries(t, dir); len(names) != 0 {
		t.Errorf("left behind are %v", names)
	}
}

// TestTheLockIsOnlyAskedFor: who holds it is told, and keeps it; who wants it next gets it.
func TestTheLockIsOnlyAskedFor(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "LOCK")
	if held, _ := locked(path); held {
		t.Error("a lock that is not there is held")
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fmt.Fprintf(file, "%d\n", 4711)
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if d := lookAtFolder(dir); !d.Locked || d.LockedBy != 4711 {
		t.Errorf("process 4711 has the lock, and the folder is %+v", d)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if d := lookAtFolder(dir); d.Locked {
		t.Error("nobody has the lock, and it is held")
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("the lock was not let go of: %v", err)
	}
}

func TestFoldersThatAreNone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d := lookAtFolder(file); !d.Exists || d.IsDir {
		t.Errorf("a file is %+v", d)
	}
	if d := lookAtFolder(filepath.Join(file, "below")); d.Err == "" {
		t.Errorf("what is below a file is %+v", d)
	}
	f := Gather(t.Context(), small(file))
	if f.Sync.Count != 0 {
		t.Errorf("syncs were measured in a file: %+v", f.Sync)
	}
}

func TestPorts(t *testing.T) {
	stranger := httptest.NewServer(http.NotFoundHandler())
	defer stranger.Close()
	kin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"role":"run","version":"v1"}`) }))
	defer kin.Close()
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"a token is wanted","hint":"..."}`)
	}))
	defer guarded.Close()
	at := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
	for _, tt := range []struct {
		address, sluice string
		free, wrong     bool
	}{
		{address: "127.0.0.1:0", free: true},
		{address: at(stranger)},
		{address: at(kin), sluice: "run"},
		{address: at(guarded), sluice: "with a token"},
		{address: "nonsense", wrong: true},
	} {
		if p := lookAtPort(t.Context(), Options{Listen: tt.address}); p.Free != tt.free || p.Sluice != tt.sluice || (p.Err != "") != tt.wrong {
			t.Errorf("%s is %+v", tt.address, p)
		}
	}
}

func TestTheDistributorIsAskedForTheTime(t *testing.T) {
	late := 0 * time.Second
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Date", time.Now().Add(-late).UTC().Format(http.TimeFormat))
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"status":"not ready"}`)
			return
		}
		fmt.Fprint(w, `{"role":"distributor","version":"v1.0.0"}`)
	}))
	defer srv.Close()
	o := Options{Distributor: srv.URL, Token: func() string { return "secret" }}
	for _, late = range []time.Duration{0, time.Hour, -time.Minute} {
		s, c := lookAtServer(t.Context(), o, Clock{})
		if s.Err != "" || s.Role != "distributor" || s.Version != "v1.0.0" || !strings.Contains(s.NotReady, "not ready") {
			t.Errorf("the server is %+v", s)
		}
		if off := c.Ahead - late; !c.Compared || max(off, -off) > c.Uncertain+50*time.Millisecond {
			t.Errorf("%v late: the clock is %+v", late, c)
		}
	}
	o.Token = nil
	if s, _ := lookAtServer(t.Context(), o, Clock{}); !strings.Contains(s.Err, "401") {
		t.Errorf("without a token the server is %+v", s)
	}
	srv.Close()
	if s, c := lookAtServer(t.Context(), o, Clock{}); !strings.Contains(s.Err, "refused") || c.Compared {
		t.Errorf("without a server it is %+v", s)
	}
}

func TestConfigurationErrorsGoOn(t *testing.T) {
	o := small(t.TempDir())
	before := Examine(Gather(t.Context(), o))
	o.ConfigErr = errors.New("slots is 0")
	if r := Examine(Gather(t.Context(), o)); r.Problems != before.Problems+1 || len(r.Findings) != len(before.Findings) {
		t.Errorf("%d problems, want one more than %d, and the rest looked at: %+v", r.Problems, before.Problems, r.Findings)
	}
}
