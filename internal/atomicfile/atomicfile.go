// Package atomicfile replaces small files as a whole and sets unreadable ones aside. Every file of the data folder that is
// not the queue's own goes through it.
//
//	err := atomicfile.Write(path, data, 0o644)   // the old content or the new one, also after a power cut
//	data, err := atomicfile.Read(path, 1<<20)    // of a regular file, up to a size
//	to, err := atomicfile.SetAside(path)         // autoscaler.json becomes autoscaler.json.bad-1
//
// Write and Replace leave what was there as it was when they fail. A process that is killed while they work leaves a hidden
// file behind, which [CleanUp] removes. Devices, pipes and sockets are neither replaced nor set aside.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// MaxBad is how many unreadable files are kept for one path.
const MaxBad = 9

// Write replaces a file as a whole and makes content and name durable before it returns.
func Write(path string, data []byte, perm os.FileMode) error { return Replace(path, data, perm, "") }

// Replace is Write, but the file that was at path before is kept under the path keep, where keep is not empty. Between the
// two renames there is only the one under keep.
func Replace(path string, data []byte, perm os.FileMode, keep string) error {
	if info, err := os.Lstat(path); err == nil && !movable(info) || err == nil && info.IsDir() && keep == "" {
		return &fs.PathError{Op: "replace", Path: path, Err: errors.New("not a regular file")}
	}
	dir := filepath.Dir(path)
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithPermissions(perm))
	if err != nil {
		return err
	}
	defer f.Cleanup() // does nothing once the file has its name
	if _, err := f.Write(data); err != nil {
		return err
	}
	if keep == "" {
		if err := f.CloseAtomicallyReplace(); err != nil {
			return err
		}
		return SyncDir(dir)
	}
	if err := errors.Join(f.Sync(), SyncDir(dir)); err != nil {
		return err
	}
	if err := os.Rename(path, keep); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return errors.Join(err, os.Rename(keep, path))
	}
	return SyncDir(dir)
}

// Read reads a regular file of at most so many bytes.
func Read(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err == nil && info.Size() > most {
		err = fmt.Errorf("%d bytes, must be at most %d", info.Size(), most)
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// SetAside renames a file or folder that cannot be used to path.bad-1, or the next number that is free, and returns the new
// path. Where MaxBad are there, a file is deleted, and the path returned is empty; a folder is left and is an error.
func SetAside(path string) (to string, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	if !movable(info) {
		return "", &fs.PathError{Op: "set aside", Path: path, Err: errors.New("not a regular file")}
	}
	if to = BadName(path); to != "" {
		return to, os.Rename(path, to)
	}
	if info.IsDir() {
		return "", &fs.PathError{Op: "set aside", Path: path, Err: fmt.Errorf("%d are kept already: delete some", MaxBad)}
	}
	return "", os.Remove(path)
}

// BadName is the path to which SetAside would rename a file; empty where MaxBad are there.
func BadName(path string) string {
	for n := 1; n <= MaxBad; n++ {
		to := fmt.Sprintf("%s.bad-%d", path, n)
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return to
		}
	}
	return ""
}

func movable(info fs.FileInfo) bool {
	m := info.Mode()
	return m.IsRegular() || m.IsDir() || m&fs.ModeSymlink != 0
}

// Aside says in a log what became of a file that SetAside was asked for.
func Aside(to string) string {
	if to == "" {
		return fmt.Sprintf("deleted, since %d are kept already", MaxBad)
	}
	return to
}

// MakeDir makes a folder with its parents. What is in its place and is no folder is set aside; aside says where, and is
// empty otherwise.
func MakeDir(dir string) (aside string, err error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		to, err := SetAside(dir)
		if err != nil {
			return "", err
		}
		aside = Aside(to)
	}
	return aside, os.MkdirAll(dir, 0o755)
}

// CleanUp removes what a killed process left of files that it was about to write: those in dir for whose name ours is true.
func CleanUp(dir string, ours func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	var errs []error
	for _, e := range entries {
		name, hidden := strings.CutPrefix(e.Name(), ".")
		base := strings.TrimRight(name, "0123456789")
		if hidden && base != name && e.Type().IsRegular() && ours(base) {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
