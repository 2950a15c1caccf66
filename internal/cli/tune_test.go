package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/cli"
)

// What is printed for pasting is a configuration that works.
func TestTunePrintsAGoodConfiguration(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := []string{"tune", "--trace=-", "--rate=2", "--max-size=30", "--policy=all", "--max-late=50", "--json"}
	if code := cli.Main(args, strings.NewReader(simulateTrace), &stdout, &stderr); code != 0 {
		t.Fatalf("sluice %s ended with %d: %s", strings.Join(args, " "), code, &stderr)
	}
	var got struct {
		Policies []struct {
			Policy, YAML string
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil || len(got.Policies) != 8 {
		t.Fatalf("%d policies, error %v, want 8 in\n%s", len(got.Policies), err, &stdout)
	}
	for _, p := range got.Policies {
		file := filepath.Join(t.TempDir(), "sluice.yaml")
		if err := os.WriteFile(file, []byte(p.YAML), 0o600); err != nil {
			t.Fatal(err)
		}
		stderr.Reset()
		code := cli.Main([]string{"config", "validate", "--config", file}, nil, &stdout, &stderr)
		if code != 0 || !strings.Contains(p.YAML, "policy: "+p.Policy+"\n") {
			t.Errorf("%s: validated with %d, %s:\n%s", p.Policy, code, &stderr, p.YAML)
		}
	}
}
