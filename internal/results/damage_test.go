package results

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// logged makes a logger of warnings.
func logged() (*bytes.Buffer, Options) {
	b := new(bytes.Buffer)
	return b, Options{Logger: slog.New(slog.NewTextHandler(b, nil))}
}

// asNobody runs a function whose file accesses are those of a user without rights.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Getuid() != 0 {
		do()
		return
	}
	runtime.LockOSThread() // the calls are for one thread
	defer runtime.UnlockOSThread()
	const nobody = 65534
	if syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0); fsuid() != nobody {
		t.Skip("the user of file accesses cannot be changed")
	}
	defer syscall.RawSyscall(syscall.SYS_SETFSUID, 0, 0, 0)
	do()
}

func fsuid() uintptr {
	id, _, _ := syscall.RawSyscall(syscall.SYS_SETFSUID, ^uintptr(0), 0, 0)
	return id
}

func behind(s *Store) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behind
}

const binary = "\x7fELF\x02\x01\n\x00\xff\xfe\n\n\x00end"

// TestDamageAtTheStart opens a folder with three results in one file, of which the totals of two are in its first line, and
// a file before with these two.
func TestDamageAtTheStart(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(path string, whole []byte) error
		want   int64 // records in the totals
		bad    bool  // what was there is kept under another name
		say    string
	}{
		{"as it was", func(string, []byte) error { return nil }, 3, false, ""},
		{"missing", func(p string, _ []byte) error { return os.Remove(p) }, 2, false, "missing"},
		{"empty", func(p string, _ []byte) error { return os.WriteFile(p, nil, 0o644) }, 2, false, "does not begin with totals"},
		{"torn in the first line", func(p string, b []byte) error { return os.WriteFile(p, b[:20], 0o644) }, 2, false, "does not begin with totals"},
		{"foreign JSON without an end", func(p string, _ []byte) error { return os.WriteFile(p, []byte(`{"a":1}`), 0o644) }, 2, true, "1 lines are not results"},
		{"torn in the last line", func(p string, b []byte) error { return os.WriteFile(p, b[:len(b)-20], 0o644) }, 2, false, "torn line"},
		{"torn before the line's end", func(p string, b []byte) error { return os.WriteFile(p, b[:len(b)-1], 0o644) }, 2, false, "torn line"},
		{"zeros at the end", func(p string, b []byte) error { return os.WriteFile(p, append(b, make([]byte, 5000)...), 0o644) }, 3, false, "torn line"},
		{"half a line and zeros", func(p string, b []byte) error {
			return os.WriteFile(p, append(b[:len(b)-20], make([]byte, 5000)...), 0o644)
		}, 2, false, "torn line"},
		{"all zeros", func(p string, b []byte) error { return os.WriteFile(p, make([]byte, len(b)), 0o644) }, 2, false, "does not begin with totals"},
		{"foreign bytes", func(p string, _ []byte) error { return os.WriteFile(p, []byte(binary), 0o644) }, 2, true, "lines are not results"},
		{"foreign text without an end", func(p string, _ []byte) error { return os.WriteFile(p, []byte("PK and so on"), 0o644) }, 2, true, "lines are not results"},
		{"foreign JSON", func(p string, _ []byte) error { return os.WriteFile(p, []byte("{\"totals\":5}\n{}\n[]\n"), 0o644) }, 2, true, "3 lines are not results"},
		{"totals of nothing", func(p string, _ []byte) error {
			return os.WriteFile(p, []byte(`{"totals":{"emitters":null,"by_service":null,"by_severity":null}}`+"\n"), 0o644)
		}, 0, false, ""},
		{"a damaged line in the middle", func(p string, b []byte) error {
			first, rest, _ := bytes.Cut(b, []byte("\n"))
			return os.WriteFile(p, bytes.Join([][]byte{first, []byte("\x00\x00\x00"), rest}, []byte("\n")), 0o644)
		}, 3, true, "1 lines are not results"},
		{"a damaged first line", func(p string, b []byte) error {
			b[10] ^= 0x80
			return os.WriteFile(p, b, 0o644)
		}, 3, true, "does not begin with totals"},
		{"another version", func(p string, _ []byte) error {
			return os.WriteFile(p, []byte(`{"version":2,"sums":{}}`+"\n"+`{"x":1}`+"\n"), 0o644)
		}, 2, true, "put the file back"},
		{"read-only", func(p string, _ []byte) error { return os.Chmod(p, 0o444) }, 3, true, "may not be written"},
		{"may not be read", func(p string, _ []byte) error { return os.Chmod(p, 0) }, 2, true, "permission denied"},
		{"a folder", func(p string, _ []byte) error { return remade(p) }, 2, true, "not a regular file"},
		{"the folder of the results is a file", func(p string, _ []byte) error {
			if err := os.RemoveAll(filepath.Dir(p)); err != nil {
				return err
			}
			return os.WriteFile(filepath.Dir(p), []byte("file"), 0o644)
		}, 0, false, "in the place of the results folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, "results")
			free(t, filepath.Dir(root), root)
			log, o := logged()
			asNobody(t, func() {
				s := open(t, dir, Options{})
				write(t, s, 1, 2)
				s.commit.Lock()
				err := s.begin("", "")
				s.commit.Unlock()
				if err != nil {
					t.Fatal(err)
				}
				write(t, s, 3)
				s.Close()
				path := filepath.Join(dir, FileName)
				whole, err := os.ReadFile(path)
				if err == nil {
					err = c.damage(path, bytes.Clone(whole))
				}
				if err != nil {
					t.Fatal(err)
				}
				before, _ := os.ReadFile(path)

				s = open(t, dir, o)
				if n := s.Totals().Records; n != c.want || behind(s) {
					t.Errorf("%d records, behind %v; want %d: %s", n, behind(s), c.want, log)
				}
				write(t, s, 4, 5)
				s.Close()
				s = open(t, dir, o)
				if n := s.Totals().Records; n != c.want+2 || s.Damaged() != 0 {
					t.Errorf("after two more and another start: %d records, %d damaged; want %d, 0", n, s.Damaged(), c.want+2)
				}
				os.Chmod(path+".bad-1", 0o600)
				kept, err := os.ReadFile(path + ".bad-1")
				if info, _ := os.Stat(path + ".bad-1"); info == nil == c.bad || c.bad && !info.IsDir() && before != nil && !bytes.Equal(kept, before) {
					t.Errorf("set aside is %q, %v; want %v", kept, err, c.bad)
				}
			})
			if n := strings.Count(log.String(), "level=WARN"); (n == 0) != (c.say == "") || n > 2 || !strings.Contains(log.String(), c.say) {
				t.Errorf("%d warnings, want at most 2 with %q: %s", n, c.say, log)
			}
		})
	}
}

// free lets any user into folders that a test made.
func free(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
}

// remade makes a folder with a file in it out of a file.
func remade(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(path, "x"), nil, 0o644)
}

// TestTheFileBeforeIsDamaged: it matters only where the present one is missing.
func TestTheFileBeforeIsDamaged(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"missing":         os.Remove,
		"empty":           func(p string) error { return os.Truncate(p, 0) },
		"torn":            func(p string) error { return os.Truncate(p, 30) },
		"foreign":         func(p string) error { return os.WriteFile(p, []byte(binary), 0o644) },
		"another version": func(p string) error { return os.WriteFile(p, []byte("{\"version\":2}\n"), 0o644) },
		"read-only":       func(p string) error { return os.Chmod(p, 0o400) },
		"a folder":        remade,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, Options{MaxBytes: 1})
			write(t, s, 1, 2)
			s.Close()
			if err := damage(s.path(OldFileName)); err != nil {
				t.Fatal(err)
			}
			log, o := logged()
			o.MaxBytes = 1
			s = open(t, dir, o)
			write(t, s, 3) // which replaces the file
			s.Close()
			s = open(t, dir, Options{})
			if info, err := os.Stat(s.path(OldFileName)); s.Totals().Records != 3 || err != nil || !info.Mode().IsRegular() {
				t.Errorf("%d records, the old file is %v, %v; want 3: %s", s.Totals().Records, info, err, log)
			}
			s.Close()
			if err := damage(s.path(OldFileName)); err != nil {
				t.Fatal(err)
			}
			os.Remove(s.path(FileName))
			s = open(t, dir, o)
			write(t, s, 4)
			if n := s.Totals().Records; name != "read-only" && n != 1 {
				t.Errorf("with both gone: %d records, want the one written since", n)
			}
		})
	}
}

func TestTheFileIsChangedWhileItIsOpen(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"removed":             os.Remove,
		"its folder removed":  func(p string) error { return os.RemoveAll(filepath.Dir(p)) },
		"its folder replaced": func(p string) error { os.RemoveAll(filepath.Dir(p)); return os.WriteFile(filepath.Dir(p), nil, 0o644) },
		"replaced by a file": func(p string) error {
			os.Remove(p)
			return os.WriteFile(p, []byte(binary), 0o644)
		},
		"replaced by a folder": remade,
		"emptied":              func(p string) error { return os.Truncate(p, 0) },
		"cut":                  func(p string) error { return os.Truncate(p, 50) },
		"appended to": func(p string) error {
			f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				f.WriteString(binary)
				err = f.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "results")
			log, o := logged()
			s := open(t, dir, o)
			write(t, s, 1, 2)
			if err := change(s.path(FileName)); err != nil {
				t.Fatal(err)
			}
			write(t, s, 3)
			write(t, s, 4)
			s.Close()
			if n := strings.Count(log.String(), "level=WARN"); n < 1 || n > 2 {
				t.Errorf("%d warnings, want one: %s", n, log)
			}
			s = open(t, dir, o)
			if n := s.Totals().Records; n != 4 || s.Damaged() != 0 {
				t.Errorf("after a restart: %d records, want all 4: %s", n, log)
			}
		})
	}
}

// TestADiskThatTakesNothingHoldsUpNothing counts in memory while the folder can be neither made nor written.
func TestADiskThatTakesNothingHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent := filepath.Join(t.TempDir(), "parent")
		if err := os.WriteFile(parent, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		log, o := logged()
		s := open(t, filepath.Join(parent, "results"), o)
		begun := time.Now()
		write(t, s, 1, 2)
		if time.Since(begun) > 0 {
			t.Errorf("two results took %v", time.Since(begun))
		}
		time.Sleep(time.Minute)
		if err := os.Remove(parent); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * retryEvery) // by itself
		write(t, s, 3)
		good := s.file
		if s.file, _ = os.Open(s.path(FileName)); s.file == nil { // every write fails from now on
			t.Fatal("no file")
		}
		write(t, s, 4, 5)
		if n := s.Totals().Records; n != 5 || !behind(s) {
			t.Errorf("%d records, behind %v; want 5, true", n, behind(s))
		}
		good.Close()
		time.Sleep(2 * retryEvery)
		write(t, s, 6)
		if strings.Count(log.String(), "memory alone") != 2 || strings.Count(log.String(), "in the file again") != 2 {
			t.Errorf("logged %s, want two troubles that ended", log)
		}
		other := open(t, s.dir, Options{}) // as after a kill
		if n := other.Totals().Records; n != 6 {
			t.Errorf("the file has %d records, want 6", n)
		}
		other.Close()
		s.Close()
	})
}

func TestASlowDiskHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, o := logged()
		s := open(t, t.TempDir(), o)
		hang := make(chan struct{})
		go func() { // synctest counts waiting for a channel as idle, not for a mutex
			s.commit.Lock()
			<-hang
			s.commit.Unlock()
		}()
		synctest.Wait()
		begun := time.Now()
		s.mu.Lock()
		s.next.lines = make([]byte, maxPending+1) // as if many had come
		s.mu.Unlock()
		write(t, s, 1, 2, 3)
		if took := time.Since(begun); took > 0 || !behind(s) {
			t.Errorf("beyond what may wait, it took %v, behind %v", took, behind(s))
		}
		s.mu.Lock()
		s.next.lines, s.behind = nil, false
		s.mu.Unlock()
		close(hang)
		synctest.Wait()
		s.Close()
		if !strings.Contains(log.String(), "too slow") {
			t.Errorf("logged %s", log)
		}
	})
}

// FuzzOpen opens any bytes: nothing is lost, and results are counted afterwards.
func FuzzOpen(f *testing.F) {
	for _, seed := range []string{"", "{", binary, "{\"totals\":null}\n", "{\"totals\":{}}\n", "{\"totals\":{\"emitters\":{\"a\":{}}}}\n", "{\"version\":9}\n", "\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, FileName)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir, Options{})
		before := s.Totals().Records
		write(t, s, 1)
		s.Close()
		s = open(t, dir, Options{})
		if n := s.Totals().Records; n != before+1 || s.Damaged() != 0 {
			t.Errorf("%d records, %d damaged; want %d, 0", n, s.Damaged(), before+1)
		}
		s.Close()
	})
}
