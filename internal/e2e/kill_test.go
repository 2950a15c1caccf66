package e2e

import (
	"syscall"
	"testing"
	"time"
)

func TestKillingTheWholeProcessLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string // of the server
		emit []string
	}{
		{"counting, with fsync", []string{"--handler", "count"}, []string{"--rate", "4000", "--emitters", "4"}},
		{"sleeping, with much in flight", []string{"--handler", "sleep", "--sleep-per-record", "1ms", "--slots", "3", "--min-size", "3", "--max-size", "8",
			"--check-interval", "100ms", "--cooldown", "300ms"}, []string{"--rate", "4000", "--emitters", "8", "--batch", "100"}},
		{"counting, without fsync", []string{"--durability", "process"}, []string{"--emitters", "3", "--batch", "50", "--interval", "5ms", "--compression", "zstd"}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if i > 0 && testing.Short() {
				t.Skip("takes long")
			}
			random := dice(t)
			kills := numberOf(t, "KILLS", 6)
			server := serve(t, append([]string{"run", "--data", t.TempDir(), "--retry-delay", "50ms", "--max-retry-delay", "1s"}, tt.args...)...)
			e := emit(t, server, append([]string{"--duration", "10m", "--run-id", "kill"}, tt.emit...)...)
			started := time.Now()
			for k := range kills {
				if k%2 == 0 { // half of the times wait for work to be done, else perhaps not even for the first post
					waitFor(t, "records to come in", func() bool { st, ok := server.tryStats(); return ok && st.Accepted > 0 && st.Ingest.Accepted > 0 })
				}
				pass(time.Duration(random.IntN(700)) * time.Millisecond)
				if k == kills-1 { // the last time, sending is over and the rest is being worked off
					e.signal(syscall.SIGINT)
				}
				server.kill()
				server = server.again()
				if st, ok := server.tryStats(); ok {
					addsUp(t, "right after a start", st)
				}
			}
			a := e.account(t)
			t.Logf("%d kills in %v:\n%s", kills, time.Since(started).Round(time.Second), a)
			st := server.settled(t)
			if st.Accepted < a.Acknowledged {
				t.Errorf("accepted %d, want at least the %d that were acknowledged", st.Accepted, a.Acknowledged)
			}
			if st.Dead > 0 {
				t.Errorf("%d records became dead letters although none of them is to blame: %s", st.Dead, must(t, "dead", "ls", "--distributor", server.url))
			}
			server.stop()
		})
	}
}
