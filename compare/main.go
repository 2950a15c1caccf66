// Command compare runs all policies on all traffic that there is, and writes what came of it into the documentation: the
// tables of docs/comparison.md, the figures of traces/README.md and every picture below docs/images. The words around
// them are left alone, and so is whatever did not change: the same program writes the same files on every machine.
//
// With -quick it takes short pieces of few traces, and writes into another folder. That shows in seconds whether it still
// works; the figures mean nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	root := flag.String("root", ".", "folder of the source, with traces/ and docs/")
	out := flag.String("out", "", "folder to write to (default: root, or with -quick a temporary one)")
	quick := flag.Bool("quick", false, "only see whether it works")
	pictures := flag.Bool("pictures", false, "only the pictures of docs/slo.md and of the README")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *root, *out, *quick, *pictures, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// seed is the one chance that all scenarios are drawn with.
const seed = 1

func run(ctx context.Context, root, out string, quick, onlyPictures bool, progress io.Writer) error {
	began := time.Now()
	switch {
	case out == "" && quick:
		dir, err := os.MkdirTemp("", "sluice-compare-")
		if err != nil {
			return err
		}
		out = dir
	case out == "":
		out = root
	}
	w := &workshop{ctx: ctx, root: root, out: out, quick: quick, log: progress}
	if err := w.readTraces(); err != nil {
		return err
	}
	if err := w.explain(); err != nil {
		return err
	}
	if !onlyPictures {
		if err := w.compare(); err != nil {
			return err
		}
	}
	fmt.Fprintf(progress, "written to %s in %v\n", out, time.Since(began).Round(time.Second))
	return nil
}

// workshop is what all parts of a comparison share.
type workshop struct {
	ctx       context.Context
	root, out string
	quick     bool
	log       io.Writer
	traces    []source
}

// each calls do for 0 to n-1, as many at once as there are processors, and says now and then how far it is. It returns one of the
// errors that there were.
func (w *workshop) each(what string, n int, do func(i int) error) error {
	var next, done atomic.Int64
	var failed error
	var once sync.Once
	var wg sync.WaitGroup
	began, told := time.Now(), time.Now()
	var telling sync.Mutex
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || w.ctx.Err() != nil {
					return
				}
				if err := do(i); err != nil {
					once.Do(func() { failed = err })
					next.Store(int64(n))
					return
				}
				finished := done.Add(1)
				telling.Lock()
				if time.Since(told) > 10*time.Second {
					told = time.Now()
					fmt.Fprintf(w.log, "%s: %d of %d after %v\n", what, finished, n, time.Since(began).Round(time.Second))
				}
				telling.Unlock()
			}
		})
	}
	wg.Wait()
	if failed == nil {
		failed = w.ctx.Err()
	}
	fmt.Fprintf(w.log, "%s: %d of %d in %v\n", what, done.Load(), n, time.Since(began).Round(time.Second))
	return failed
}

// fill puts the text between the marks of a page, <!-- name:begin --> and <!-- name:end -->.
func (w *workshop) fill(page string, parts map[string]string) error {
	text, err := os.ReadFile(filepath.Join(w.root, page))
	if err != nil {
		return err
	}
	filled := string(text)
	for name, part := range parts {
		if filled, err = between(filled, name, part); err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
	}
	to := filepath.Join(w.out, page)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, []byte(filled), 0o644)
}

func between(text, name, part string) (string, error) {
	begin, end := "<!-- "+name+":begin -->\n", "<!-- "+name+":end -->"
	before, rest, found := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", fmt.Errorf("there is no place for %s, want %s and %s", name, strings.TrimSpace(begin), end)
	}
	return before + begin + part + end + after, nil
}
