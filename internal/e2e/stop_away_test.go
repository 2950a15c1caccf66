package e2e

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
)

// lastLogged is the message of the last line that a process logged, and how many there are of it.
func (p *process) lastLogged(t *testing.T) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	var said struct{ Msg string }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &said); err != nil {
		t.Errorf("the last line is %q, want one of the log", lines[len(lines)-1])
	}
	return said.Msg
}

// TestAStopDoesNotWaitForADistributorThatIsAway stops a pool that holds work for a distributor which is frozen, or gone. The time
// to drain and the leases are so long that a stop which waited for them would not end within the test's patience.
func TestAStopDoesNotWaitForADistributorThatIsAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(*process){
		"frozen": func(p *process) { p.signal(syscall.SIGSTOP) },
		"gone":   (*process).kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, "distributor", "--data", t.TempDir(), "--lease", "1h")
			pool := serve(t, "analyze", "--distributor", server.url, "--handler", "sleep", "--sleep-per-record", "1s", "--drain-timeout", "1h")
			server.accept(t, lines(1, 100))
			waitFor(t, "the batch to be in hand", func() bool { return server.stats(t).InFlight == 1 })
			away(server)
			pool.stop()
			if last := pool.lastLogged(t); last != "stopped" {
				t.Errorf("the last thing logged is %q, want stopped", last)
			}
		})
	}
}
