package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/analyzer/discard"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/queue"
	"github.com/sluicehq/sluice/queue/memory"
	"github.com/sluicehq/sluice/queue/remote"
)

// TestObserverCountsSinceItLooked lets two analyzers work off ten batches of ten records, a second each.
func TestObserverCountsSinceItLooked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, err := memory.New(memory.Options{})
		if err != nil {
			t.Fatal(err)
		}
		handler := analyzer.HandlerFunc(func(context.Context, *sluice.Batch) error { time.Sleep(time.Second); return nil })
		pool, err := analyzer.NewPool(q, handler, analyzer.Options{Name: "a", Size: 2, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); pool.Run(ctx) }()
		v := &observer{stats: q.Stats, pool: pool, slots: 1}
		look := func() autoscale.Observation {
			t.Helper()
			synctest.Wait()
			o, err := v.Observe(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		if o := look(); o.Arrived != 0 || o.Ready != 2 || len(o.Workers) != 2 || o.Workers[0].State != autoscale.WorkerIdle {
			t.Errorf("before anything came: %+v", o)
		}
		for range 10 {
			put(t, q, 10)
		}
		if o := look(); o.Arrived != 100 || o.Completed != 0 || o.Depth != 80 || o.InFlight != 20 {
			t.Errorf("after 100 came: %+v", o)
		}
		time.Sleep(2500 * time.Millisecond)
		o := look()
		if o.Arrived != 0 || o.Completed != 40 || o.BusySeconds != 4 || o.Depth != 40 || o.InFlight != 20 || o.OldestWait != 2500*time.Millisecond {
			t.Errorf("2.5 s later: %+v, want 40 done in 4 s of service", o)
		}
		w := o.Workers[1]
		if w.ID != "a-2" || w.State != autoscale.WorkerBusy || w.Completed != 20 || w.BusySeconds != 2 || time.Since(w.Since) != 500*time.Millisecond {
			t.Errorf("the second worker: %+v, want busy for half a second, 20 records in 2 s", w)
		}
		if o := look(); o.Completed != 0 || o.BusySeconds != 0 {
			t.Errorf("looked twice at once: %+v", o)
		}
		stop()
		<-ended
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Work that waits for long gets an analyzer here, even where another pool says that it is all its own, and takes none of it.
func TestAPartThatNobodyWorksOffIsNotLeftToOthers(t *testing.T) {
	q, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	pool, err := analyzer.NewPool(q, discard.Handler{}, analyzer.Options{Name: "a", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	st := queue.Stats{Waiting: 3, OldestWait: othersLate}
	v := &observer{
		stats: func(context.Context) (queue.Stats, error) { return st, nil }, pool: pool, slots: 1,
		share: func(context.Context) remote.PoolShare { return remote.PoolShare{Pools: 2, From: 0, To: 1e-9} },
	}
	for _, c := range []struct {
		waiting int64
		oldest  time.Duration
		want    int
	}{{3, othersLate, 0}, {3, othersLate + 1, 1}, {0, othersLate + 1, 0}} {
		st = queue.Stats{Waiting: c.waiting, OldestWait: c.oldest}
		if o, err := v.Observe(t.Context()); err != nil || o.Depth != c.want {
			t.Errorf("%d records, the oldest for %v: depth %d, %v; want %d", c.waiting, c.oldest, o.Depth, err, c.want)
		}
	}
}

func TestObserverDoesNotGuess(t *testing.T) {
	down := errors.New("no route")
	v := &observer{stats: func(context.Context) (queue.Stats, error) { return queue.Stats{}, down }}
	if _, err := v.Observe(t.Context()); !errors.Is(err, down) {
		t.Errorf("error %v, want that of the queue", err)
	}
}

func put(t *testing.T, q queue.Queue, records int) {
	t.Helper()
	lines := bytes.Repeat([]byte("{\"body\":\"x\"}\n"), records)
	if err := q.Put(t.Context(), sluice.NewBatch(lines, records, time.Now())); err != nil {
		t.Fatal(err)
	}
}

// asker is a policy that learns how often it was asked.
type asker struct{ asked int }

func (*asker) Name() string { return "asker" }

func (c *asker) Decide(o autoscale.Observation) autoscale.Proposal {
	c.asked++
	return autoscale.Proposal{Size: o.Size}
}

func TestMemoryOutlivesTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "autoscaler.json")
		c := &asker{}
		m := &keeper{Policy: c, path: path, log: slog.New(slog.DiscardHandler), size: func() int { return 7 },
			parts: []part{{"asker", func() any { return c.asked }}}, writes: make(chan memoryFile, 1)}
		stop := m.start(func() *keeper { return m })
		begin := time.Now()
		ask := func(after time.Duration, want string) {
			t.Helper()
			m.Decide(autoscale.Observation{Time: begin.Add(after), Size: 7})
			synctest.Wait()
			f, err := readMemory(path)
			if err != nil || f.Size != 7 || f.Policy != "asker" || string(f.Parts["asker"]) != want {
				t.Errorf("after %v: %+v, %v; want %s", after, f, err, want)
			}
		}
		ask(0, "1")
		ask(5*time.Second, "1") // not each time
		ask(12*time.Second, "3")
		m.Decide(autoscale.Observation{Time: begin.Add(12 * time.Second), Size: 7})
		m.Decide(autoscale.Observation{Time: begin.Add(13 * time.Second), Size: 8}) // a new size is taken down at once
		synctest.Wait()
		if f, _ := readMemory(path); string(f.Parts["asker"]) != "5" {
			t.Errorf("after a new size: %+v, want 5", f)
		}
		m.Decide(autoscale.Observation{Time: begin.Add(13 * time.Second)})
		stop()
		if f, err := readMemory(path); err != nil || string(f.Parts["asker"]) != "6" {
			t.Errorf("in the end: %+v, %v; want 6", f, err)
		}
		left, _ := filepath.Glob(path + ".*")
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestMemoryThatCannotBeUsed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "autoscaler.json")
	if f, err := readMemory(path); err != nil || f.Version != 0 {
		t.Errorf("no file: %+v, %v; want nothing", f, err)
	}
	now := time.Unix(1e9, 0)
	for _, c := range []struct {
		file memoryFile
		want int
	}{
		{memoryFile{}, 2},
		{memoryFile{Version: 1, SavedAt: now.Add(-time.Minute), Size: 7}, 7},
		{memoryFile{Version: 1, SavedAt: now.Add(-time.Minute), Size: 70}, 10},
		{memoryFile{Version: 1, SavedAt: now.Add(-time.Minute), Size: -1}, 2},
		{memoryFile{Version: 1, SavedAt: now.Add(-time.Hour), Size: 7}, 2},
		{memoryFile{Version: 1, SavedAt: now.Add(time.Minute), Size: 7}, 2},
	} {
		if got := c.file.sizeNow(now, 2, 10); got != c.want {
			t.Errorf("%+v: size %d, want %d", c.file, got, c.want)
		}
	}
}

// TestMemoryOfAFullDiskIsToldOnce writes where nothing can be written.
func TestMemoryOfAFullDiskIsToldOnce(t *testing.T) {
	var said strings.Builder
	m := &keeper{Policy: &asker{}, path: filepath.Join(t.TempDir(), "missing", "autoscaler.json"),
		log: slog.New(slog.NewTextHandler(&said, nil)), size: func() int { return 1 }}
	for range 3 {
		m.write(m.take())
	}
	if n := strings.Count(said.String(), "is not kept"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, said.String())
	}
}

// TestARestartKeepsAllThatWasLearned lets every part of a policy learn, and builds the policy of the next process from the file. A
// budget that forgets what was spent could be spent once more after each restart.
func TestARestartKeepsAllThatWasLearned(t *testing.T) {
	for name, parts := range map[string][]string{
		"slo":       {"slo", "seasonal", "governor", "budget"},
		"threshold": {"budget"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &config.Config{Autoscale: autoscale.DefaultOptions()}
			c.Policy.SLO = time.Minute
			c.Policy.Name, c.Policy.Seasonal, c.Policy.Governor, c.Policy.WorkerHours = name, true, true, 24
			c.Policy.State = filepath.Join(t.TempDir(), "autoscaler.json")
			var said bytes.Buffer
			next := func() (autoscale.Policy, *keeper) {
				t.Helper()
				a := &App{o: Options{Config: c}, log: slog.New(slog.NewTextHandler(&said, nil))}
				var err error
				if a.pool, err = analyzer.NewPool(noQueue{}, analyzer.HandlerFunc(func(context.Context, *sluice.Batch) error { return nil }), analyzer.Options{}); err != nil {
					t.Fatal(err)
				}
				p, err := a.policy(c, a.memoryPath(), recall(a.memoryPath(), a.log))
				if err != nil {
					t.Fatal(err)
				}
				return p, a.memory.Load()
			}
			p, m := next()
			at := time.Unix(1_700_000_000, 0).UTC()
			for range 100 {
				p.Decide(autoscale.Observation{Time: at, Depth: 50, Size: 4, Ready: 4, MinSize: 1, MaxSize: 40, Arrived: 400, Completed: 400, BusySeconds: 40})
				at = at.Add(10 * time.Second)
			}
			before := m.take()
			m.write(before)
			p, m = next()
			after := m.take()
			if len(before.Parts) != len(parts) {
				t.Errorf("%d parts learn, want %q", len(before.Parts), parts)
			}
			for _, part := range parts {
				got, want := savedAt.ReplaceAll(after.Parts[part], nil), savedAt.ReplaceAll(before.Parts[part], nil)
				if len(got) == 0 || !bytes.Equal(got, want) {
					t.Errorf("%s knows\n%.300s\nafter the restart, want\n%.300s", part, got, want)
				}
			}
			if p.Decide(autoscale.Observation{Time: at, Depth: 50, Size: 4, Ready: 4, MinSize: 1, MaxSize: 40}); said.Len() > 0 {
				t.Errorf("logged %s", &said)
			}
			for _, e := range p.(*keeper).Policy.(*autoscale.Budget).Explanation().Estimates {
				if spent := 24 - e.Value; e.Name == "worker_hours_left" && (spent < 1 || spent > 1.2) {
					t.Errorf("%v worker-hours are spent after the restart, want those of 1000 s with 4 workers", spent)
				}
			}
		})
	}
}

var savedAt = regexp.MustCompile(`"saved_at":"[^"]*",`)

// noQueue has no work.
type noQueue struct{ queue.Leaser }
