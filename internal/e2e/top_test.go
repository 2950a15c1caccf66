package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTopInATerminal runs sluice top in tmux, on the small screen of every terminal and on a large one, beside a process under load, and
// compares what a person would see with what the process says.
func TestTopInATerminal(t *testing.T) {
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed; scripts/setup installs it")
	}
	server := serve(t, "run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "1ms", "--check-interval", "200ms", "--slo", "2s")
	load := emit(t, server, "--rate", "1000", "--duration", "120s")
	socket := filepath.Join(t.TempDir(), "tmux")
	tmux := func(args ...string) string {
		t.Helper()
		out, err := command("tmux", append([]string{"-u", "-S", socket, "-f", "/dev/null"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	t.Cleanup(func() { command("tmux", "-S", socket, "kill-server").Run() })
	line := fmt.Sprintf("%s=1 '%s' top --interval 200ms --distributor %s; echo left with $?; exec cat", childVariable, self(t), server.url)
	for i, size := range [][2]int{{80, 24}, {200, 60}} {
		name := fmt.Sprintf("%dx%d", size[0], size[1])
		create := []string{"new-session", "-d", "-s", name, "-x", fmt.Sprint(size[0]), "-y", fmt.Sprint(size[1]), line}
		tmux(create...)
		var screen string
		see := func(what string, wanted ...string) {
			t.Helper()
			waitFor(t, name+": "+what, func() bool {
				screen = tmux("capture-pane", "-p", "-t", name)
				for _, w := range wanted {
					if !strings.Contains(screen, w) {
						return false
					}
				}
				return true
			})
		}
		see("a verdict, and the past of the pool", "KEEPING UP", "lost       0 of ", "q quit", "█")
		rows := strings.Split(strings.TrimRight(screen, "\n"), "\n")
		if len(rows) != size[1] {
			t.Errorf("%s: %d lines:\n%s", name, len(rows), screen)
		}
		waitFor(t, name+": the size that the process says", func() bool {
			screen = tmux("capture-pane", "-p", "-t", name)
			st := server.stats(t)
			return strings.Contains(screen, fmt.Sprintf("analyzers  %d of %d..%d", st.Pool.Size, st.Autoscaler.MinSize, st.Autoscaler.MaxSize))
		})
		for _, r := range server.stats(t).Pool.Analyzers[:1] {
			if end := r.ID[len(r.ID)-4:]; !strings.Contains(screen, end) {
				t.Errorf("%s: analyzer %s has no row:\n%s", name, r.ID, screen)
			}
		}
		if size[0] > 130 && !strings.Contains(screen, "WHY") {
			t.Errorf("%s: the wide screen does not say why:\n%s", name, screen)
		}
		tmux("send-keys", "-t", name, "Right")
		see("another order", "sort: state")
		tmux("resize-window", "-t", name, "-x", "100", "-y", "30")
		see("the new size", "↑↓ scroll")
		tmux("send-keys", "-t", name, []string{"q", "C-c"}[i])
		see("the end, on the screen of before", "left with 0")
		if strings.Contains(screen, "sluice top  http") {
			t.Errorf("%s: the screen was not restored:\n%s", name, screen)
		}
	}
	load.kill()
}
