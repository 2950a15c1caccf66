package cli_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"image/png"
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

// TestSimulateBehindALimit: eight analyzers' worth gets through. As live, a governor sees that within five checks and keeps at
// most two on top.
func TestSimulateBehindALimit(t *testing.T) {
	for _, class := range []string{"0s 5s 1s", "5s 30s 5s", "60s 120s 15s"} {
		times := strings.Fields(class)
		timeline := filepath.Join(t.TempDir(), "timeline.jsonl")
		simulateOK(t, "second,records\n0,1800\n600,15600\n1200,15600\n1800,15600\n2400,0\n", "--trace=-", "--rate=2", "--policy=slo", "--variant=downstream-limit",
			"--min-size=1", "--max-size=50", "--startup="+times[0], "--slo="+times[1], "--check-interval="+times[2], "--timeline="+timeline)
		data, err := os.ReadFile(timeline)
		if err != nil {
			t.Fatal(err)
		}
		checks, told, most := 0, false, 0
		for line := range bytes.Lines(data) {
			var row struct {
				T, Ready, Size int
				Reason         string
			}
			if err := json.Unmarshal(line, &row); err != nil {
				t.Fatal(err)
			}
			told = told || strings.Contains(row.Reason, "more would not help")
			switch {
			case row.T >= 2400: // what piled up is done
			case told:
				most = max(most, row.Size)
			case checks > 0 || row.T >= 600 && row.Ready > 10:
				checks++
			}
		}
		if !told || checks > 5 || most > 10 {
			t.Errorf("%s: told %v, %d checks after there were more than ten; up to %d kept", class, told, checks, most)
		}
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

func TestSimulateDrawsTheSamePictureTwice(t *testing.T) {
	svg, file := filepath.Join(t.TempDir(), "out.svg"), filepath.Join(t.TempDir(), "out.png")
	simulateOK(t, simulateTrace, "--trace=-", "--rate=2", "--svg="+svg, "--png="+file, "--variant=lost-readings", "--slo=2")
	text, err := os.ReadFile(svg)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		">What each policy would have done: standard input<", ">slo  ratio ", ">threshold  ratio ", ">SLO 2s<",
		">arrivals (records per second)<", ">oldest wait (seconds), cut at 8: threshold up to 29<",
		">pool size (analyzers, starting ones included)<", ">time since the start of the trace<",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the picture does not say %q", want)
		}
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := png.DecodeConfig(f)
	if err != nil || c.Width != 1200 || c.Height != 800 {
		t.Errorf("the PNG is %d by %d, error %v; want 1200 by 800", c.Width, c.Height, err)
	}
}
