package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const unitFile = "systemd/sluice.service"

// directive is the value of a line of the unit.
func directive(t *testing.T, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(read(t, unitFile))
	if m == nil {
		t.Fatalf("%s has no %s", unitFile, name)
	}
	return m[1]
}

// onThisMachine writes the unit with programs and files that exist here, for tools that look.
func onThisMachine(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sluice.service")
	unit := strings.ReplaceAll(read(t, unitFile), "/usr/local/bin/sluice", self)
	if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSystemdUnderstandsTheUnit(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	unit := onThisMachine(t)
	if out := runTool(t, ".", analyze, "verify", "--man=no", unit); strings.Contains(out, unit) {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	// 20 stands for an exposure of 2.0 of 10; a unit without hardening has 9.6.
	runTool(t, ".", analyze, "security", "--offline=true", "--no-pager", "--threshold=20", unit)
}

// TestTheUnitFitsSluice holds what the unit says against what sluice does.
func TestTheUnitFitsSluice(t *testing.T) {
	if wait, err := time.ParseDuration(directive(t, "TimeoutStopSec")); err != nil || wait < stopTime() {
		t.Errorf("TimeoutStopSec is %v, want at least %v", wait, stopTime())
	}
	if got := directive(t, "KillSignal"); got != "SIGTERM" {
		t.Errorf("KillSignal is %s; sluice stops in order at SIGTERM", got)
	}
	start, check := strings.Fields(directive(t, "ExecStart")), strings.Fields(directive(t, "ExecStartPre"))
	if strings.Join(start[2:], " ") != strings.Join(check[3:], " ") {
		t.Errorf("what is checked (%q) is not what is started (%q)", check, start)
	}
	args := strings.Replace(strings.Join(start[1:], " "), "/etc/sluice/sluice.yaml", "systemd/sluice.yaml", 1)
	goodCommand(t, strings.Fields(args))
	if out, err := sluice(t, "config", "print", "--config", "systemd/sluice.yaml").Output(); err != nil || !strings.Contains(string(out), "/var/lib/"+directive(t, "StateDirectory")+" ") {
		t.Errorf("the data folder is not the StateDirectory: %v\n%s", err, out)
	}
}

// TestTheUnitAsksForATokenOnAllInterfaces: it listens where everybody can reach it, with the tokens that systemd hands over.
func TestTheUnitAsksForATokenOnAllInterfaces(t *testing.T) {
	name, _, _ := strings.Cut(directive(t, "LoadCredential"), ":")
	if start := directive(t, "ExecStart"); !strings.HasSuffix(start, " --token-file ${CREDENTIALS_DIRECTORY}/"+name) {
		t.Errorf("%s does not use the credential %s", start, name)
	}
	if !regexp.MustCompile(`(?m)^listen: ":8000"`).MatchString(read(t, "systemd/sluice.yaml")) {
		t.Error("systemd/sluice.yaml does not listen on all interfaces")
	}
}

// TestTheUnitRefusesBadConfigurations runs what ExecStartPre runs.
func TestTheUnitRefusesBadConfigurations(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("max_sise: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := sluice(t, "config", "validate", "--config", bad)
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "max_size") {
		t.Errorf("exit code %d, want 2, and a word about max_size: %s", cmd.ProcessState.ExitCode(), out)
	}
	if got := directive(t, "RestartPreventExitStatus"); got != "2" {
		t.Errorf("RestartPreventExitStatus is %s, want 2, which sluice exits with when it was asked for wrongly", got)
	}
}
