package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// noise is records that can't be packed to less than half.
func noise(n, size int) string {
	var b strings.Builder
	raw := make([]byte, size/2)
	for range n {
		rand.Read(raw)
		fmt.Fprintf(&b, `{"body":"%s"}`+"\n", hex.EncodeToString(raw))
	}
	return b.String()
}

func TestAFullQueuePushesBackAndEverythingArrivesInTheEnd(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir(), "--max-bytes", "2MiB", "--hold", "100ms")
	body := noise(50, 1000)
	var refused reply
	waitFor(t, "the queue to be full", func() bool {
		refused = server.post(t, body)
		return refused.status != 200
	})
	pushedBack(t, refused)
	var why struct {
		Error string         `json:"error"`
		Limit map[string]int `json:"limit"`
		Hint  string         `json:"hint"`
	}
	refused.decode(t, &why)
	if why.Limit["max_bytes"] != 2<<20 || why.Hint == "" {
		t.Errorf("a full queue says %s, want the limit max_bytes of 2097152 and a hint", refused)
	}
	st := server.stats(t)
	addsUp(t, "while full", st)
	if st.Bytes > 2<<20 {
		t.Errorf("%d bytes are stored, want at most 2 MiB", st.Bytes)
	}

	e := emit(t, server, "--records", "20000", "--size", "400", "--emitters", "4", "--run-id", "late")
	before := st.Ingest.PushedBack
	waitFor(t, "the emitter to be pushed back", func() bool { return server.stats(t).Ingest.PushedBack >= before+4 })
	serve(t, "analyze", "--distributor", server.url, "--handler", "sleep", "--sleep-per-record", "50us", "--min-size", "2")
	// A post of which only a part had room is sent again as a whole, so some may come twice.
	if a := e.account(t); a.Acknowledged != 20000 {
		t.Errorf("want all 20000 records acknowledged:\n%s", a)
	}
	server.settled(t)
}

// smallDisk is a file system of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// filler is a file that takes away space.
type filler struct {
	t *testing.T
	f *os.File
}

func newFiller(t *testing.T, dir string) *filler {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &filler{t, f}
}

// grow takes up to n bytes and says whether any space is left.
func (f *filler) grow(n int) bool {
	f.t.Helper()
	for page := make([]byte, 4096); n > 0; n -= len(page) {
		if _, err := f.f.Write(page); errors.Is(err, syscall.ENOSPC) {
			return false
		} else if err != nil {
			f.t.Fatal(err)
		}
	}
	return true
}

// all takes all that is left.
func (f *filler) all() {
	f.t.Helper()
	for f.grow(64 << 20) {
	}
}

func (f *filler) remove() {
	f.t.Helper()
	f.f.Close()
	if err := os.Remove(f.f.Name()); err != nil {
		f.t.Fatal(err)
	}
}

// prober posts one record again and again and looks at each answer.
type prober struct {
	stop             chan struct{}
	ended            sync.WaitGroup
	yes, later, away atomic.Int64
}

// probe begins. While the server may be away, failing to reach it is no mistake.
func probe(t *testing.T, url string, mayBeAway bool) *prober {
	t.Helper()
	p := &prober{stop: make(chan struct{})}
	for range 3 {
		p.ended.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-p.stop:
					return
				case <-tick.C:
				}
				begun := time.Now()
				r, err := send("POST", url+"/v1/records", "application/json", strings.NewReader(`{"body":"probe"}`))
				switch {
				case err != nil && mayBeAway:
					p.away.Add(1)
				case err == nil && r.status == 200:
					p.yes.Add(1)
				case err == nil && r.status == 503:
					pushedBack(t, r)
					p.later.Add(1)
				default:
					t.Errorf("a post while the disk fills up: %v %s after %v, want 200 or 503", err, r, time.Since(begun))
				}
			}
		})
	}
	t.Cleanup(p.end)
	return p
}

func (p *prober) end() {
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.ended.Wait()
}

// refused waits until posts are pushed back, and goes on for a few more.
func (p *prober) refused(t *testing.T) {
	t.Helper()
	from := p.later.Load()
	waitFor(t, "posts to be pushed back", func() bool { return p.later.Load() > from+10 })
}

// taken waits until posts are accepted again.
func (p *prober) taken(t *testing.T) {
	t.Helper()
	from := p.yes.Load()
	waitFor(t, "posts to be accepted again", func() bool { return p.yes.Load() > from+10 })
}

func TestAFullDiskPushesBackAndRecoversByItself(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string // of the server
		emit []string
		fill func(f *filler, server *process, p *prober)
	}{
		{"below the reserve", nil, []string{"--rate", "2000"},
			func(f *filler, _ *process, _ *prober) { f.all() }},
		{"at once, without a reserve", []string{"--min-free-bytes", "0"}, []string{"--rate", "2000"},
			func(f *filler, _ *process, _ *prober) { f.all() }},
		{"slowly, without a reserve", []string{"--min-free-bytes", "0", "--sleep-per-record", "1ms", "--handler", "sleep", "--max-size", "2"}, []string{"--rate", "3000"},
			func(f *filler, _ *process, p *prober) {
				for f.grow(256 << 10) {
					from := p.yes.Load() + p.later.Load()
					waitFor(f.t, "posts between the steps", func() bool { return p.yes.Load()+p.later.Load() > from+2 })
				}
			}},
		{"under heavy ingest, nobody analyzing", []string{"--min-free-bytes", "0", "--handler", "sleep", "--sleep-per-record", "200us", "--max-size", "2"},
			[]string{"--emitters", "4", "--size", "1000"},
			func(f *filler, _ *process, _ *prober) { f.grow(32 << 20) }}, // the rest is filled by records
		{"again", []string{"--min-free-bytes", "0"}, []string{"--rate", "2000"},
			func(f *filler, _ *process, p *prober) {
				f.all()
				p.refused(f.t)
				if err := f.f.Truncate(0); err != nil {
					f.t.Fatal(err)
				}
				f.f.Seek(0, 0)
				p.taken(f.t)
				f.all()
			}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if i > 1 && testing.Short() {
				t.Skip("takes long")
			}
			dir := smallDisk(t, "48m")
			args := append([]string{"run", "--data", filepath.Join(dir, "data"), "--lease", "2s", "--retry-delay", "200ms"}, tt.args...)
			server := serve(t, args...)
			e := emit(t, server, append(tt.emit, "--run-id", "full", "--duration", "3m")...)
			p := probe(t, server.url, false)
			p.taken(t)
			f := newFiller(t, dir)
			tt.fill(f, server, p)
			p.refused(t)
			if st, ok := server.tryStats(); !ok {
				t.Error("no statistics while the disk is full")
			} else {
				addsUp(t, "while the disk is full", st)
			}
			f.remove()
			p.taken(t)
			p.end()
			e.signal(syscall.SIGINT)
			t.Logf("probes: %d accepted, %d pushed back; account:\n%s", p.yes.Load(), p.later.Load(), e.account(t))
			if st := server.settled(t); st.Dead > 0 {
				t.Errorf("%d records became dead letters because the disk was full, want none: %s", st.Dead, must(t, "dead", "ls", "--distributor", server.url))
			}
			server.stop()
		})
	}
}

// TestWorkGoesOnBelowTheReserve: what is stored is analyzed on a full disk, since that is what makes room; records are refused until the
// reserve is there.
func TestWorkGoesOnBelowTheReserve(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "64m")
	server := serve(t, "run", "--data", filepath.Join(dir, "data"), "--min-free-bytes", "32MiB", "--lease", "2s", "--retry-delay", "200ms",
		"--handler", "sleep", "--sleep-per-record", "2ms", "--policy", "static", "--min-size", "1", "--max-size", "1", "--max-batch-records", "50")
	for range 20 {
		server.post(t, noise(200, 200))
	}
	f := newFiller(t, dir)
	f.all()
	waitFor(t, "a post to be refused", func() bool { return server.post(t, noise(1, 100)).status == 503 }) // free space is measured now and then
	before := server.stats(t)
	if before.Depth == 0 {
		t.Fatalf("nothing was left to do when the disk was full: %+v", before.QueueStats)
	}
	if st := server.settled(t); st.Accepted != before.Accepted || st.Dead > 0 {
		t.Errorf("%+v, want all of %d analyzed and nothing else taken", st.QueueStats, before.Accepted)
	}
	f.remove()
	server.stop()
}

func TestAProcessKilledOnAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "48m")
	server := serve(t, "run", "--data", filepath.Join(dir, "data"), "--min-free-bytes", "0", "--lease", "2s", "--retry-delay", "200ms",
		"--handler", "sleep", "--sleep-per-record", "1ms")
	e := emit(t, server, "--rate", "3000", "--run-id", "killed", "--duration", "3m")
	waitFor(t, "the emitter to be at work", func() bool { return server.stats(t).Accepted > 500 })
	p := probe(t, server.url, true)
	p.taken(t)
	f := newFiller(t, dir)
	f.all()
	p.refused(t)
	server.kill()
	f.all() // whatever the end of the process gave back

	second := server.again()
	p.refused(t)
	second.kill()
	f.remove()
	third := server.again()
	p.taken(t)
	p.end()
	e.signal(syscall.SIGINT)
	t.Logf("probes: %d accepted, %d pushed back, %d not answered; account:\n%s", p.yes.Load(), p.later.Load(), p.away.Load(), e.account(t))
	third.settled(t)
	third.stop()
}

// TestAStartOnAFullDisk: the process answers, analyzes what is stored, pushes back what is sent, and accepts again by itself.
func TestAStartOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"with records", "in a new folder"} {
		t.Run(name, func(t *testing.T) {
			dir := smallDisk(t, "48m")
			data := filepath.Join(dir, "data")
			stored := int64(0)
			if name == "with records" {
				first := serve(t, "distributor", "--data", data)
				for range 100 {
					first.accept(t, lines(50, 60))
					stored += 50
				}
				first.stop()
			}
			f := newFiller(t, dir)
			f.all()
			server := serve(t, "run", "--data", data, "--min-free-bytes", "0", "--handler", "count", "--max-batch-records", "10", "--history-days", "3",
				"--lease", "2s", "--retry-delay", "100ms")
			pushedBack(t, server.post(t, noise(300, 4000)))
			if st := server.settled(t); st.Completed < stored || st.Dead > 0 {
				t.Errorf("on the full disk %d of %d records are analyzed and %d dead", st.Completed, stored, st.Dead)
			}
			f.remove()
			waitFor(t, "records to be accepted again", func() bool { return server.post(t, lines(10, 60)).status == 200 })
			st := server.settled(t)
			for _, file := range []string{"results/results.ndjson", "autoscaler.json"} {
				waitFor(t, file+" to be written again", func() bool {
					info, err := os.Stat(filepath.Join(data, file))
					return err == nil && info.Size() > 0
				})
			}
			server.stop()
			var totals struct{ Records int64 }
			server = server.again()
			ask(t, "GET", server.url+"/v1/results", "").decode(t, &totals)
			if totals.Records != st.Completed {
				t.Errorf("after another start, results have %d records, want all %d", totals.Records, st.Completed)
			}
			server.stop()
		})
	}
}
