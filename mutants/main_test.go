package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryMutantFitsTheSource(t *testing.T) {
	t.Chdir("..")
	all, err := readLists("mutants")
	if err != nil {
		t.Fatal(err)
	}
	if err := fit(all); err != nil {
		t.Error(err)
	}
	if len(all) < 40 {
		t.Errorf("%d mutants, want 40 or more", len(all))
	}
}

// module writes a small module and makes it the working folder.
func module(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":      "module small\n\ngo 1.26\n",
		"sum.go":      "package small\n\nfunc Sum(a, b int) int {\n\tif a == 77 {\n\t\treturn 0\n\t}\n\treturn a + b\n}\n",
		"sum_test.go": "package small\n\nimport \"testing\"\n\nfunc TestSum(t *testing.T) {\n\tif Sum(2, 3) != 5 {\n\t\tt.Error(\"wrong\")\n\t}\n}\n\nfunc TestSick(t *testing.T) { t.Error(\"always\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("GOFLAGS", "-mod=mod")
}

func TestWhatBecomesOfAMutant(t *testing.T) {
	module(t)
	before, err := os.ReadFile("sum.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, test, want string }{
		{"a + b", "a - b", ". -run TestSum", died},
		{"a == 77", "a == 78", ". -run TestSum", survived},
		{"a + b", "a + c", ". -run TestSum", broken},
		{"a + b", "a - b", ". -run TestNothing", broken},
		{"a + b", "a - b", ". -run TestSick", sick},
	} {
		got, out := try(t.Context(), mutant{file: "sum.go", old: c.old, new: c.new, test: strings.Fields(c.test)}, map[string]bool{})
		if got != c.want {
			t.Errorf("%q instead of %q, go test %s: %s, want %s\n%s", c.new, c.old, c.test, got, c.want, out)
		}
	}
	if after, err := os.ReadFile("sum.go"); err != nil || string(after) != string(before) {
		t.Errorf("the source was changed: %s, %v", after, err)
	}
}

func TestMistakesInAListAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"# x\nfile a.go\nold b\ntest ./c\nfiel d\n": `list.txt:5: a line begins with #, file, old, new or test, not with "fiel"`,
		"# x\nfile a.go\nold b\n":                   "list.txt:1: want # and what is broken, then file, old, test and another new",
		"# x\nfile a.go\nold b\nnew b\ntest ./c\n":  "list.txt:1: want # and what is broken, then file, old, test and another new",
	} {
		if _, err := parse("list.txt", text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
