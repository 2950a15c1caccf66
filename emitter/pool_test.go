package emitter

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	sluice "github.com/sluicehq/sluice"
)

func poolOf(t *testing.T, h http.Handler, o PoolOptions) *Pool {
	t.Helper()
	c, _ := clientOf(t, h, ClientOptions{})
	p, err := NewPool(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// once checks that the distributor has each number of each emitter exactly once, and total of them. Without a pace one
// emitter may have sent everything: 0 emitters are not checked.
func once(t *testing.T, d *distributor, emitters int, total int64) {
	t.Helper()
	if d.accepted != total || emitters > 0 && len(d.seen) != emitters {
		t.Errorf("%d records from %d emitters, want %d from %d", d.accepted, len(d.seen), total, emitters)
	}
	for id, seen := range d.seen {
		for n := uint64(1); n <= uint64(len(seen)); n++ {
			if seen[n] != 1 {
				t.Errorf("%s: record %d arrived %d times, want once", id, n, seen[n])
			}
		}
	}
}

func TestPoolSendsExactlyWhatItWasTold(t *testing.T) {
	for _, test := range []struct {
		name  string
		o     PoolOptions
		total int64
		took  time.Duration // at least, and 100 ms more at most
	}{
		{"a number of records", PoolOptions{Emitters: 7, Records: 12345, BatchSize: 100}, 12345, 0},
		{"fewer records than emitters", PoolOptions{Emitters: 3, Records: 3, BatchSize: 1}, 3, 0},
		{"a rate for a time", PoolOptions{Emitters: 3, Profile: Constant{777}, Duration: 10 * sec}, 7770, 10 * sec},
		{"a rate and a number", PoolOptions{Emitters: 3, Profile: Constant{100}, Records: 250}, 250, 2500 * time.Millisecond},
		{"both limits", PoolOptions{Emitters: 3, Profile: Constant{100}, Records: 250, Duration: sec}, 100, sec},
		{"a low rate", PoolOptions{Emitters: 3, Profile: Constant{0.5}, Duration: 60 * sec}, 30, 60 * sec},
		{"a spike above the batch size", PoolOptions{Emitters: 3, Profile: Spike{0, 3000, sec, sec}, BatchSize: 10, Duration: 3 * sec}, 3000, 3 * sec},
		{"intervals", PoolOptions{Emitters: 3, Interval: sec, BatchSize: 10, Records: 300}, 300, 9 * sec},
		{"intervals for a time", PoolOptions{Emitters: 3, Interval: sec, BatchSize: 10, Duration: 9500 * time.Millisecond}, 300, 9500 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDistributor()
				p := poolOf(t, d, test.o)
				start := time.Now()
				if err := p.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took < test.took || took > test.took+100*time.Millisecond {
					t.Errorf("it took %v, want %v", took, test.took)
				}
				emitters := test.o.Emitters
				if test.o.Profile == nil && test.o.Interval == 0 {
					emitters = 0
				}
				once(t, d, emitters, test.total)
				s := p.Stats()
				if s.Sent != test.total || s.Acknowledged != test.total || s.InFlight != 0 || !s.Done || s.Emitters != test.o.Emitters {
					t.Errorf("Stats() = %+v, want %d sent and acknowledged", s, test.total)
				}
				if err := p.Run(t.Context()); err == nil {
					t.Error("a second Run is not refused")
				}
			})
		})
	}
}

func TestPoolPlaysATraceToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trace, err := ReadTrace(strings.NewReader("second,records\n0,5\n60,500\n120,7\n"), TraceOptions{Speedup: 10, Scale: 2, Length: 300 * sec})
		if err != nil {
			t.Fatal(err)
		}
		d := newDistributor()
		p := poolOf(t, d, PoolOptions{Emitters: 4, Profile: trace})
		start := time.Now()
		if err := p.Run(t.Context()); err != nil || time.Since(start) < 30*sec || time.Since(start) > 31*sec {
			t.Errorf("Run = %v after %v, want 30s", err, time.Since(start))
		}
		if d.accepted != 1024 {
			t.Errorf("%d records, want 1024", d.accepted)
		}
	})
}

func TestPoolKeepsPaceDuringTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDistributor()
		p := poolOf(t, d, PoolOptions{Emitters: 10, Profile: Constant{1000}, Duration: 20 * sec})
		var run sync.WaitGroup
		run.Go(func() { p.Run(t.Context()) })
		time.Sleep(10*sec + time.Millisecond)
		synctest.Wait()
		s := p.Stats()
		if s.Acknowledged < 9900 || s.Acknowledged > 10010 || s.RatePerSecond < 950 || s.RatePerSecond > 1050 {
			t.Errorf("after 10s: %+v, want about 10,000 at about 1000/s", s)
		}
		d.mu.Lock()
		for id, seen := range d.seen {
			if len(seen) < 900 || len(seen) > 1100 {
				t.Errorf("%s sent %d, want about a tenth", id, len(seen))
			}
		}
		d.mu.Unlock()
		run.Wait()
		once(t, d, 10, 20000)
	})
}

func TestPoolJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		h := func(w http.ResponseWriter, r *http.Request, n int) {
			at = append(at, time.Since(start))
			accept(w, r, n)
		}
		p := poolOf(t, &answers{list: []answer{h}}, PoolOptions{Interval: sec, Jitter: 0.5, BatchSize: 1, Records: 50})
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		differ := false
		for i := 1; i < len(at); i++ {
			gap := at[i] - at[i-1]
			differ = differ || gap != sec
			if gap < sec/2 || gap > sec*3/2 {
				t.Errorf("gap %d is %v, want 0.5s to 1.5s", i, gap)
			}
		}
		if !differ {
			t.Error("all gaps are equal")
		}
	})
}

func TestPoolWaitsOutPushBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDistributor()
		full := true
		d.closing = func(int) int {
			if full {
				return 503
			}
			return 0
		}
		time.AfterFunc(20*sec, func() { d.mu.Lock(); full = false; d.mu.Unlock() })
		p := poolOf(t, d, PoolOptions{Emitters: 5, Records: 5000})
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		once(t, d, 0, 5000)
		if s := p.Stats(); s.PushedBack == 0 || s.Retries != s.PushedBack {
			t.Errorf("Stats() = %+v, want push-backs and as many retries", s)
		}
	})
}

func TestAStoppedPoolKnowsWhatItSent(t *testing.T) {
	for _, test := range []struct {
		name string
		slow time.Duration // how long the distributor takes for a post
		open uint64        // records of unknown fate
	}{
		{"posts end within the grace", 2 * sec, 0},
		{"posts take longer", time.Hour, 30},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := func(w http.ResponseWriter, r *http.Request, n int) {
					select {
					case <-time.After(test.slow):
					case <-r.Context().Done():
					}
					accept(w, r, n)
				}
				p := poolOf(t, &answers{list: []answer{h}}, PoolOptions{Emitters: 3, BatchSize: 10, RunID: "r"})
				ctx, cancel := context.WithTimeout(t.Context(), sec)
				defer cancel()
				start := time.Now()
				if err := p.Run(ctx); err != nil {
					t.Errorf("Run = %v, want nil when asked to stop", err)
				}
				if took := time.Since(start); took > 6*sec {
					t.Errorf("Run ended after %v, want the second and the grace of 5s", took)
				}
				var sent, acked uint64
				for i, a := range p.Accounts() {
					if want := "r-" + string(rune('1'+i)); a.Emitter != want || !a.Tracked {
						t.Errorf("account %d is of %q, want %q, tracked", i, a.Emitter, want)
					}
					sent += a.Sent.Len()
					acked += a.Acknowledged.Len()
				}
				s := p.Stats()
				if sent != 30 || sent-acked != test.open || s.Sent != 30 || s.Acknowledged != int64(acked) || s.InFlight != 0 {
					t.Errorf("%d sent, %d acknowledged, %+v; want 30 with %d open", sent, acked, s, test.open)
				}
			})
		})
	}
}

func TestPoolGivesUpOnAWrongAddress(t *testing.T) {
	p := poolOf(t, http.NotFoundHandler(), PoolOptions{Emitters: 4})
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("Run = %v, want the 404", err)
	}
}

func TestPoolOptionsNameAllMistakes(t *testing.T) {
	o := PoolOptions{Emitters: -1, Profile: Constant{-1}, Interval: 1, Jitter: 2, BatchSize: -1, Records: -1, Duration: -1, Size: -1}
	err := o.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 8 {
		t.Errorf("Validate() = %v, want nine mistakes", err)
	}
}

func TestReplayedLines(t *testing.T) {
	const input = "plain \"text\"\t\x01\xff\r\n\n   \n" + `{"body":"x","level":"INFO"}` + "\n{}\n" +
		`{"attributes":{"a":1}}` + "\n{broken\n[1]\n" + `{"` + "\\u0061ttributes" + `":{}}` + "\nlast without end"
	for _, test := range []struct {
		name  string
		track bool
		want  []string
	}{
		{"untouched", false, []string{
			`{"body":"plain \"text\"\t\u0001` + "\ufffd" + `"}`,
			`{"body":"x","level":"INFO"}`, `{}`, `{"attributes":{"a":1}}`, `{"body":"{broken"}`, `{"body":"[1]"}`, `{"` + "\\u0061ttributes" + `":{}}`,
			`{"body":"last without end"}`,
		}},
		{"tracked", true, []string{
			`{"attributes":{"sluice.emitter":"r-1","sluice.seq":1},"body":"plain \"text\"\t\u0001` + "\ufffd" + `"}`,
			`{"attributes":{"sluice.emitter":"r-1","sluice.seq":2},"body":"x","level":"INFO"}`,
			`{"attributes":{"sluice.emitter":"r-1","sluice.seq":3}}`,
			`{"attributes":{"sluice.emitter":"r-1","sluice.seq":4},"body":"{\"attributes\":{\"a\":1}}"}`,
			`{"attributes":{"sluice.emitter":"r-1","sluice.seq":5},"body":"{broken"}`,
			`{"attributes":{"sluice.emitter":"r-1","sluice.seq":6},"body":"[1]"}`,
			`{"attributes":{"sluice.emitter":"r-1","sluice.seq":7},"body":"{\"` + `\\u0061ttributes` + `\":{}}"}`,
			`{"attributes":{"sluice.emitter":"r-1","sluice.seq":8},"body":"last without end"}`,
		}},
	} {
		r, err := NewReplay(strings.NewReader(input), ReplayOptions{Track: test.track})
		if err != nil {
			t.Fatal(err)
		}
		h := &answers{list: []answer{accept}}
		p := poolOf(t, h, PoolOptions{Replay: r, RunID: "r", BatchSize: 3})
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := string(bytes.Join(h.bodies, nil))
		if want := strings.Join(test.want, "\n") + "\n"; got != want {
			t.Errorf("%s: sent\n%s\nwant\n%s", test.name, got, want)
		}
		for line := range strings.Lines(got) {
			var record sluice.Record
			if err := record.UnmarshalJSON([]byte(line)); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		if a := p.Accounts()[0]; a.Tracked != test.track || a.Acknowledged.Len() != 8 {
			t.Errorf("%s: account %+v with %d acknowledged, want 8", test.name, a, a.Acknowledged.Len())
		}
	}
}

func TestReplaySkipsLongLines(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	r, err := NewReplay(strings.NewReader("a\n"+long+"\nb\n"+long[:100_000]+"\r\n"+long[:100_001]), ReplayOptions{Track: true, MaxLine: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	d := newDistributor()
	if err := poolOf(t, d, PoolOptions{Replay: r}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	once(t, d, 1, 3)
	if r.Skipped() != 2 {
		t.Errorf("Skipped() = %d, want 2", r.Skipped())
	}
}

func TestReplaySharedByEmittersAtARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		for range 1000 {
			lines.WriteString("line\n")
		}
		name := filepath.Join(t.TempDir(), "app.log")
		if err := os.WriteFile(name, lines.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := OpenReplay(name, ReplayOptions{Track: true})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		d := newDistributor()
		start := time.Now()
		if err := poolOf(t, d, PoolOptions{Emitters: 4, Replay: r, Profile: Constant{100}}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 9900*time.Millisecond || took > 11*sec {
			t.Errorf("1000 lines at 100/s took %v", took)
		}
		once(t, d, 4, 1000)
	})
}

func TestReplayPassesLinesOnAsTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		r, err := NewReplay(in, ReplayOptions{})
		if err != nil {
			t.Fatal(err)
		}
		h := &answers{list: []answer{accept}}
		p := poolOf(t, h, PoolOptions{Emitters: 2, Replay: r})
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		for i := range 3 {
			io.WriteString(out, "hello\n")
			time.Sleep(sec)
			synctest.Wait()
			if got := len(h.sent()); got != i+1 {
				t.Errorf("%d posts after %d lines", got, i+1)
			}
		}
		cancel()
		run.Wait() // although nobody writes and nobody closes
		out.Close()
	})
}

// TestReplayJoinsStackTraces: also where the trace comes in pieces, and not with what comes later, or is JSON.
func TestReplayJoinsStackTraces(t *testing.T) {
	for _, split := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			in, out := io.Pipe()
			r, err := NewReplay(in, ReplayOptions{SplitLines: split})
			if err != nil {
				t.Fatal(err)
			}
			h := &answers{list: []answer{accept}}
			p := poolOf(t, h, PoolOptions{Replay: r})
			var run sync.WaitGroup
			run.Go(func() {
				if err := p.Run(t.Context()); err != nil {
					t.Error(err)
				}
			})
			for _, text := range []string{"failed\n", "\tat a.b(C:1)\n\nCaused", " by: d\n", "{\"a\":1}\n{\"a\":2}\nx\n", "\tat e.f(G:2)\n"} {
				io.WriteString(out, text)
				time.Sleep(joinWait / 2)
			}
			time.Sleep(2 * joinWait)
			io.WriteString(out, "\tat too.late(H:3)\n\xef\xbb\xbfend")
			out.Close()
			run.Wait()
			want := []string{`{"body":"failed\n\tat a.b(C:1)\n\nCaused by: d"}`, `{"a":1}`, `{"a":2}`, `{"body":"x\n\tat e.f(G:2)"}`, `{"body":"\tat too.late(H:3)"}`, `{"body":"end"}`}
			if split {
				want = []string{`{"body":"failed"}`, `{"body":"\tat a.b(C:1)"}`, `{"body":"Caused by: d"}`, `{"a":1}`, `{"a":2}`, `{"body":"x"}`, `{"body":"\tat e.f(G:2)"}`,
					`{"body":"\tat too.late(H:3)"}`, `{"body":"end"}`}
			}
			got := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(bytes.Join(h.bodies, nil)), `\u000a`, `\n`)), "\n")
			if !slices.Equal(got, want) {
				t.Errorf("split %v: sent\n%s\nwant\n%s", split, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// TestReplayLooksAtTheBytes, not at the name.
func TestReplayLooksAtTheBytes(t *testing.T) {
	pack := func(text string) string {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		z.Write([]byte(text))
		z.Close()
		return out.String()
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	utf16 := "\xff\xfea\x00\n\x00\xe9\x00\n\x00"
	for name, input := range map[string]string{
		"text": "a\né\n", "a mark": "\xef\xbb\xbfa\n\xef\xbb\xbfé", "gzip": pack("a\né\n"), "gzip in gzip": pack(pack("a\né\n")), "UTF-16": utf16,
		"UTF-16 in gzip": pack(utf16), "UTF-16, big endian": "\xfe\xff\x00a\x00\n\x00\xe9", "zstd": string(z.EncodeAll([]byte("a\né\n"), nil)),
	} {
		r, err := NewReplay(strings.NewReader(input), ReplayOptions{})
		if err != nil {
			t.Fatal(err)
		}
		h := &answers{list: []answer{accept}}
		if err := poolOf(t, h, PoolOptions{Replay: r}).Run(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := string(bytes.Join(h.bodies, nil)); got != "{\"body\":\"a\"}\n{\"body\":\"é\"}\n" {
			t.Errorf("%s: sent %q", name, got)
		}
	}
	r, _ := NewReplay(strings.NewReader(pack("hello")[:12]), ReplayOptions{})
	if err := poolOf(t, &answers{list: []answer{accept}}, PoolOptions{Replay: r}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "read log") {
		t.Errorf("a broken file: %v, want an error", err)
	}
}

func TestReplayReportsABrokenFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.gz")
	os.WriteFile(name, []byte("this is not gzip"), 0o600)
	for _, name := range []string{name, "/does/not/exist"} {
		if _, err := OpenReplay(name, ReplayOptions{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("OpenReplay = %v, want an error with the name", err)
		}
	}
	r, _ := NewReplay(io.MultiReader(strings.NewReader("good\nhalf"), broken{}), ReplayOptions{})
	h := &answers{list: []answer{accept}}
	if err := poolOf(t, h, PoolOptions{Replay: r}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Errorf("Run over a broken file = %v, want its error", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
