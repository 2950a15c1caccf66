package cli_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"encoding/xml"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/cli"
)

const simulateTrace = "second,records\n0,300\n60,600\n120,1200\n180,800\n240,100\n300,0\n360,500\n"

func simulateOK(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := cli.Main(append([]string{"simulate"}, args...), strings.NewReader(stdin), &stdout, &stderr); code != 0 {
		t.Fatalf("sluice simulate %s ended with %d: %s", strings.Join(args, " "), code, &stderr)
	}
	if stderr.Len() > 0 {
		t.Errorf("sluice simulate %s said %q", strings.Join(args, " "), &stderr)
	}
	return stdout.String()
}

// Other programs rely on exactly these names.
func TestSimulateJSONNames(t *testing.T) {
	var got struct {
		Policies []map[string]any   `json:"policies"`
		Bound    map[string]float64 `json:"bound"`
	}
	d := json.NewDecoder(strings.NewReader(simulateOK(t, simulateTrace, "--trace=-", "--rate=2", "--json", "--policy=slo,threshold,hpa")))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(`cost cost_ratio max_depth policy reversals scale_downs scale_ups slo_violations useful
		wait_max wait_p50 wait_p90 wait_p99 wait_p999 workers_started workers_stopped`)
	for i, name := range []string{"slo", "threshold", "hpa"} {
		if names := slices.Sorted(maps.Keys(got.Policies[i])); !slices.Equal(names, want) {
			t.Errorf("policy %d has the names %q, want %q", i, names, want)
		}
		if got.Policies[i]["policy"] != name {
			t.Errorf("policy %d is %v, want %s", i, got.Policies[i]["policy"], name)
		}
		if cost := got.Policies[i]["cost"].(float64); got.Policies[i]["slo_violations"] == 0.0 && cost < got.Bound["cost"] {
			t.Errorf("%s costs %v without a late record, less than the bound of %v", name, cost, got.Bound["cost"])
		}
	}
	if names := slices.Sorted(maps.Keys(got.Bound)); !slices.Equal(names, []string{"cost", "cost_ratio"}) {
		t.Errorf("the bound has the names %q, want cost and cost_ratio", names)
	}
}

func TestSimulateReadsGzipFromStdin(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, simulateTrace)
	z.Close()
	args := []string{"--trace=-", "--rate=2", "--json"}
	if got, want := simulateOK(t, packed.String(), args...), simulateOK(t, simulateTrace, args...); got != want {
		t.Errorf("packed it prints\n%s\nand plain\n%s", got, want)
	}
}

func TestSimulateDrawsWellFormedSVG(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.svg")
	simulateOK(t, simulateTrace, "--trace=-", "--rate=2", "--svg="+file, "--variant=lost-readings")
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	paths := 0
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "path" {
			paths++
		}
	}
	if paths != 5 { // arrivals, and wait and size of two policies
		t.Errorf("%d curves, want 5", paths)
	}
}
