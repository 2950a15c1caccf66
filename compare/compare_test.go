package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestQuick walks the whole way on short pieces of traffic, so that it still works when somebody needs it.
func TestQuick(t *testing.T) {
	out := t.TempDir()
	var log strings.Builder
	if err := run(t.Context(), "..", out, true, false, &log); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "docs", "comparison.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range append([]string{"### nginx_org\n", "| steady |", "| stuck worker |", "`, tuned |", "cost-and-late.svg"}, contestants...) {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page says nothing of %q", want)
		}
	}
	// The committed pictures are those that are drawn, no more and no fewer. Those of the dashboard come from elsewhere.
	drawn, committed := pictures(t, out), pictures(t, "..")
	if drawn != committed {
		t.Errorf("it draws %s, docs/images has %s", drawn, committed)
	}
}

func pictures(t *testing.T, root string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "docs", "images", "*.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v", f, err)
		}
		files[i] = filepath.Base(f)
	}
	return strings.Join(files, " ")
}

// TestFiguresOfTracesAreRight compares what traces/README.md says with the files beside it.
func TestFiguresOfTracesAreRight(t *testing.T) {
	w := &workshop{ctx: t.Context(), root: ".."}
	if err := w.readTraces(); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../traces/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range w.traces {
		if !strings.Contains(string(page), s.figures()) {
			t.Errorf("the row of %s should be\n%s", s.name(), s.figures())
		}
		if !strings.Contains(string(page), "`"+s.file+"`") {
			t.Errorf("the page does not say where %s comes from", s.file)
		}
	}
}

func TestBetweenKeepsTheWords(t *testing.T) {
	got, err := between("a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n", "x", "new\n")
	if want := "a\n<!-- x:begin -->\nnew\n<!-- x:end -->\nb\n"; got != want || err != nil {
		t.Errorf("got %q, error %v, want %q", got, err, want)
	}
	if _, err := between("a\n", "x", ""); err == nil {
		t.Error("a page without marks was filled")
	}
}

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{0: "0", 1e-7: "<0.001", 0.0005: "0.050", 0.0123: "1.23", 0.5: "50.0", 1: "100.0"} {
		if got := percent(share); got != want {
			t.Errorf("%v is %q, want %q", share, got, want)
		}
	}
}
