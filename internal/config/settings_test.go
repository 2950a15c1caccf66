package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file in testdata.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (go test -update writes it anew): got\n%s", path, got)
	}
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrint(t *testing.T) {
	text, object := testdata(t, "print.txt"), testdata(t, "print.json")
	c := mustLoad(t, sources{
		file: "preset: production\nmax_bytes: 3000000\ndistributor: http://me:secret@logs.example/\n",
		env:  []string{"SLUICE_COOLDOWN=90", "SLUICE_DATA=/var/lib/sluice"},
		args: []string{"--min-size", "7", "--hold=0", "--faults"},
	})
	var b bytes.Buffer
	if err := Print(&b, c.Settings()); err != nil {
		t.Fatal(err)
	}
	golden(t, text, b.String())
	b.Reset()
	if err := PrintJSON(&b, c.Settings()[:6]); err != nil {
		t.Fatal(err)
	}
	golden(t, object, b.String())
	if c.Distributor != "http://me:secret@logs.example" {
		t.Errorf("distributor %q, want the password kept for use", c.Distributor)
	}

	settings, err := json.Marshal(c.Settings())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"key":"min_size","value":7,"source":"flag --min-size"`, `"key":"faults","value":true`, `"key":"cooldown","value":"1m30s"`} {
		if !strings.Contains(string(settings), want) {
			t.Errorf("JSON lacks %s", want)
		}
	}
}

func TestReference(t *testing.T) {
	golden(t, testdata(t, "reference.md"), Reference())
}

func TestUsage(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	NewLoader(Groups()...).AddFlags(flags)
	golden(t, testdata(t, "usage.txt"), flags.FlagUsages())
}
