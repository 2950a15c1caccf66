package atomicfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// files is the names in a folder with what they hold.
func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			text = []byte("?")
		}
		all = append(all, fmt.Sprintf("%s=%s", e.Name(), text))
	}
	return strings.Join(all, " ")
}

func TestWriteReplacesAsAWhole(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", "/nowhere") // the file next to the path is the only one that is made
	path := filepath.Join(dir, "a.json")
	for _, text := range []string{"first", "second"} {
		if err := Write(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := files(t, dir); got != "a.json="+text {
			t.Errorf("files %q, want a.json=%s", got, text)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("third"), 0o644, filepath.Join(dir, "old.json")); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); got != "a.json=third old.json=second" {
		t.Errorf("files %q, want the third and the second kept", got)
	}
}

func TestAFailedWriteLeavesEverythingAsItWas(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	put(t, path, "before")
	put(t, filepath.Join(dir, "file"), "x")
	pipe, folder := filepath.Join(dir, "pipe"), filepath.Join(dir, "sub")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"below a file":          Write(filepath.Join(dir, "file", "b"), nil, 0o600),
		"over a pipe":           Write(pipe, nil, 0o600),
		"over a folder":         Write(folder, nil, 0o600),
		"kept where it can't":   Replace(path, []byte("after"), 0o600, filepath.Join(dir, "missing", "old")),
		"kept over a folder":    Replace(path, []byte("after"), 0o600, folder),
		"a pipe is set aside":   second(SetAside(pipe)),
		"nothing set aside":     second(SetAside(filepath.Join(dir, "missing"))),
		"a folder below a file": second(MakeDir(filepath.Join(dir, "file", "sub"))),
	} {
		if err == nil {
			t.Errorf("%s: no error, want one", name)
		}
	}
	entries, _ := os.ReadDir(dir)
	if text, _ := os.ReadFile(path); string(text) != "before" || len(entries) != 4 {
		t.Errorf("the file holds %q and the folder %v, want all as before", text, entries)
	}
}

func second(_ string, err error) error { return err }

func TestSetAsideNeverOverwritesAndIsBounded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	put(t, path+".bad-2", "there before")
	for n := range MaxBad {
		put(t, path, fmt.Sprint("bad ", n))
		to, err := SetAside(path)
		if err != nil || (to == "") != (n == MaxBad-1) {
			t.Errorf("the %d. time: %q, %v", n+1, to, err)
		}
	}
	if text, _ := os.ReadFile(path + ".bad-2"); string(text) != "there before" {
		t.Errorf("what was there holds %q", text)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != MaxBad {
		t.Errorf("%d files, want %d", len(entries), MaxBad)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := SetAside(path); err == nil {
		t.Error("a folder for which there is no name left was deleted")
	}
}

func TestMakeDirSetsAsideWhatIsNoFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	for _, want := range []string{"", dir + ".bad-1"} {
		if want != "" {
			put(t, dir, "no folder")
		}
		if aside, err := MakeDir(dir); err != nil || aside != want {
			t.Errorf("aside %q, %v; want %q", aside, err, want)
		}
		if err := os.Remove(dir); err != nil {
			t.Errorf("no folder was made: %v", err)
		}
	}
}

func TestCleanUpRemovesOnlyWhatAWriteLeft(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".a.json123", ".a.json", "a.json123", ".b.json5", ".a.json12x"} {
		put(t, filepath.Join(dir, name), "")
	}
	if err := CleanUp(dir, func(name string) bool { return name == "a.json" }); err != nil {
		t.Error(err)
	}
	if got := files(t, dir); got != ".a.json= .a.json12x= .b.json5= a.json123=" {
		t.Errorf("files left: %s", got)
	}
	if err := CleanUp(filepath.Join(dir, "missing"), nil); err != nil {
		t.Errorf("a missing folder: %v", err)
	}
}
