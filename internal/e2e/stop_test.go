package e2e

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStoppingFinishesWhatIsInHandAndLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"run", "--data", dir, "--handler", "sleep", "--sleep-per-record", "2ms", "--min-size", "4", "--max-batch-records", "200"}
	server := serve(t, args...)
	e := emit(t, server, "--records", "6000", "--batch", "100", "--emitters", "2", "--rate", "3000", "--run-id", "stop")
	for range 2 {
		waitFor(t, "all analyzers to be busy", func() bool { st := server.stats(t); return st.Pool.Busy >= 4 && st.Depth > 0 })
		server.stop()
		if _, err := net.DialTimeout("tcp", strings.TrimPrefix(server.url, "http://"), time.Second); err == nil {
			t.Error("somebody still answers at the address of a server that has ended")
		}
		server = server.again()
	}
	// What was in hand was finished, so nothing of it comes again.
	if a := e.account(t); a.Twice != 0 || a.Acknowledged != 6000 {
		t.Errorf("want 6000 acknowledged and none twice:\n%s", a)
	}
	if st := server.settled(t); st.Redelivers != 0 {
		t.Errorf("%d batches were leased again, want none", st.Redelivers)
	}
	server.stop()
}

func TestWhatCannotBeFinishedInTimeIsHandedBack(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "1h", "--drain-timeout", "100ms")
	server.accept(t, lines(10, 100))
	waitFor(t, "the batch to be in hand", func() bool { return server.stats(t).InFlight == 10 })
	server.stop()
	server = server.again()
	waitFor(t, "the batch to be in hand again", func() bool { return server.stats(t).InFlight == 10 })
	st := server.stats(t)
	addsUp(t, "after the restart", st)
	if st.Redelivers != 0 {
		t.Errorf("%d batches count as tried again, want none: handing back is no failure", st.Redelivers)
	}
	server.stop()
}

func TestTheSecondSignalLeavesAtOnce(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "1h", "--drain-timeout", "1h")
	server.accept(t, lines(10, 100))
	waitFor(t, "the batch to be in hand", func() bool { return server.stats(t).InFlight == 10 })
	server.signal(syscall.SIGINT)
	waitFor(t, "the server to say that it stops", func() bool {
		r, err := send("GET", server.url+"/readyz", "", nil)
		return err != nil || r.status == 503
	})
	server.signal(syscall.SIGINT)
	if code := server.wait(); code != 130 {
		t.Errorf("after the second signal: exit code %d, want 130", code)
	}
	server = server.again()
	if st := server.stats(t); st.Accepted != 10 || st.Completed != 0 {
		t.Errorf("after the restart: accepted %d, completed %d, want 10 and 0", st.Accepted, st.Completed)
	}
	server.kill()
}

func TestStoppingAnswersThoseWhoWait(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir())
	answers := make(chan reply, 1)
	go func() {
		r, err := send("POST", server.url+"/v1/leases", "application/json", strings.NewReader(`{"analyzer":"a","wait_seconds":60}`))
		if err != nil {
			t.Errorf("a lease request while the server stops: %v, want an answer", err)
		}
		answers <- r
	}()
	waitFor(t, "the analyzer to have asked", func() bool { st := server.stats(t); return st.Remote != nil && len(*st.Remote) == 1 })
	server.stop()
	if r := <-answers; r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Errorf("a lease request while the server stops: %s, want 503 with Retry-After", r)
	}
}

func TestAServerNobodyNeedsStopsSoon(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"run"}, {"distributor"}} {
		server := serve(t, append(args, "--data", t.TempDir())...)
		server.stop()
	}
	// An analyze process stops although its distributor is away.
	away := serve(t, "analyze", "--distributor", "http://127.0.0.1:1")
	away.stop()
}
