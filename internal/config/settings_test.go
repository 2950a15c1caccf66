package config

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/sluicehq/sluice/internal/golden"
)

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
	golden.Equal(t, text, b.String())
	b.Reset()
	if err := PrintJSON(&b, c.Settings()[:6]); err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, object, b.String())
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
	golden.Equal(t, testdata(t, "reference.md"), Reference())
}

func TestUsage(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	NewLoader(Groups()...).AddFlags(flags)
	golden.Equal(t, testdata(t, "usage.txt"), flags.FlagUsages())
}
