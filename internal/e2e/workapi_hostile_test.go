package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/visible"
	"github.com/sluicehq/sluice/queue/remote"
)

// dialDeaf connects with a receive buffer so small that what is not read stays with the server.
func dialDeaf(t *testing.T, server *process) net.Conn {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	conn, err := d.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func askForLeases(conn net.Conn, body string) {
	fmt.Fprintf(conn, "POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// fill stores so many batches of a megabyte each.
func fill(t *testing.T, server *process, batches int) {
	t.Helper()
	body := lines(1000, 1000)
	for range batches {
		server.accept(t, body)
	}
}

// TestAnalyzersThatDoNotReadTakeLittleMemoryAndLockNobodyOut: two hundred ask for all they can get, again and again, and read nothing, while
// one analyzer works.
func TestAnalyzersThatDoNotReadTakeLittleMemoryAndLockNobodyOut(t *testing.T) {
	server := serveBinary(t, plain(t), "distributor", "--data", t.TempDir(), "--lease", "1h", "--max-bytes", "2GiB")
	const batches, deaf = 300, 200
	fill(t, server, batches)
	stop := make(chan struct{})
	var others sync.WaitGroup
	var cut atomic.Int64
	for i := range deaf {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				conn := dialDeaf(t, server)
				askForLeases(conn, fmt.Sprintf(`{"analyzer": "deaf-%d", "max_batches": 64, "wait_seconds": 60}`, i))
				hungUp := make(chan struct{})
				go func() {
					defer close(hungUp)
					pass(time.Second) // what it reads then is what the server has cut off
					r, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err == nil {
						_, err = io.Copy(io.Discard, io.LimitReader(r.Body, 1)) // slow as can be
					}
					if err == nil {
						<-stop
					}
				}()
				select {
				case <-hungUp:
					cut.Add(1)
				case <-stop:
				}
				conn.Close()
				<-hungUp
			}
		})
	}
	worst := time.Duration(0)
	for range 40 {
		asked := time.Now()
		var got remote.LeaseAnswer
		waitFor(t, "a batch for the analyzer that works", func() bool { // which asks again, as each must, when it was too slow on a busy machine
			r, err := send("POST", server.url+"/v1/leases", "application/json", strings.NewReader(`{"analyzer": "works", "wait_seconds": 30}`))
			if err != nil || r.status != 200 {
				return false
			}
			r.decode(t, &got)
			return len(got.Leases) == 1
		})
		if l := got.Leases[0]; l.Attempt != 1 {
			t.Fatalf("attempt %d, want 1: a lease that was not read costs none", l.Attempt)
		}
		worst = max(worst, time.Since(asked))
		done(t, server, got.Leases[0].Token, "ack", "")
	}
	close(stop)
	others.Wait()
	t.Logf("worst wait %v, %d cut, at most %d MiB resident", worst, cut.Load(), server.mostResident(t)>>20)
	if most := server.mostResident(t); most > mostMemory {
		t.Errorf("%d MiB resident at most, want at most %d", most>>20, mostMemory>>20)
	}
	waitFor(t, "all that was not read to be available again", func() bool { return server.stats(t).InFlight == 0 })
	if st := server.stats(t); st.Redelivers != 0 {
		t.Errorf("%d redelivered, want none", st.Redelivers)
	}
}

// TestBodiesOfAnalyzersThatStopMidwayHoldUpNobody: requests of the work API that announce megabytes and never end.
func TestBodiesOfAnalyzersThatStopMidwayHoldUpNobody(t *testing.T) {
	server := serveBinary(t, plain(t), "distributor", "--data", t.TempDir())
	server.accept(t, lines(1, 60))
	l := lease(t, server, `{"analyzer": "a"}`)[0]
	part := `{"reason": "` + strings.Repeat("x", 1<<20)
	for range 100 {
		conn := dialDeaf(t, server)
		go fmt.Fprintf(conn, "POST /v1/leases/%s/nack HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n%s", l.Token, part)
	}
	for range 20 {
		done(t, server, l.Token, "extend", "")
		if r := act(t, server, l.Token, "nack", part+part+part[:10]); r.status != 400 && r.status != 503 {
			t.Errorf("a long body that is no JSON: %s, want 400, or 503 while others have the memory", r)
		}
	}
	done(t, server, l.Token, "ack", "")
	if most := server.mostResident(t); most > mostMemory {
		t.Errorf("%d MiB resident at most, want at most %d", most>>20, mostMemory>>20)
	}
	server.settled(t)
}

// TestNamesAndReasonsOfAnalyzersTakeLittleMemory: and are nowhere printed as they are.
func TestNamesAndReasonsOfAnalyzersTakeLittleMemory(t *testing.T) {
	server := serveBinary(t, plain(t), "distributor", "--data", t.TempDir(), "--retry-delay", "10ms")
	long := strings.Repeat("n", 7<<20)
	for i := range 20 {
		for _, body := range []string{
			fmt.Sprintf(`{"analyzer": "%s%d"}`, long, i), fmt.Sprintf(`{"analyzers": ["%s%d"]}`, long, i),
			fmt.Sprintf(`{"analyzer": "\u001b[2J%d"}`, i), fmt.Sprintf(`{"analyzer": "%s%d"}`, long[:300], i),
		} {
			if r := ask(t, "POST", server.url+"/v1/leases", body); r.status != 400 && r.status != 413 {
				t.Fatalf("%.60s: %s, want 400 or 413", body, r)
			}
		}
		ask(t, "POST", server.url+"/v1/leases", fmt.Sprintf(`{"analyzer": "%s%d"}`, long[:250], i))
	}
	for i := range 3 {
		server.accept(t, lines(2, 60))
		l := lease(t, server, `{"analyzer": "a", "wait_seconds": 20}`)[0]
		reason := `\u001b[2J\u202e\n` + long
		if i == 0 {
			done(t, server, l.Token, "nack", `{"reason": "`+reason+`", "discard": true}`)
			continue
		}
		done(t, server, l.Token, "ack", `{"failed": [{"record": 1, "reason": "`+reason+`", "discard": true}]}`)
	}
	letters := server.deadLetters(t)
	for _, l := range letters {
		if !strings.HasPrefix(l.Reason, `\x1b[2J\u202e\nnnn`) || len(l.Reason) != 1000 {
			t.Errorf("reason %.60q of %d bytes, want one safe line of 1,000", l.Reason, len(l.Reason))
		}
	}
	if len(letters) != 3 {
		t.Errorf("%d dead letters, want 3", len(letters))
	}
	if n := len(ask(t, "GET", server.url+"/v1/stats", "").body); n > 20_000 {
		t.Errorf("statistics of %d bytes", n)
	}
	for _, line := range strings.Split(strings.TrimSpace(server.stderr.String()), "\n") {
		if len(line) > 8<<10 || !visible.Safe(line) {
			t.Errorf("a log line of %d bytes: %.200q", len(line), line)
		}
	}
	for _, command := range [][]string{{"stats"}, {"dead", "ls"}, {"dead", "ls", "--json"}, {"dead", "show", "1"}, {"top", "--once"}} {
		out := must(t, append(command, "--distributor", server.url)...)
		for _, line := range strings.Split(out, "\n") {
			if !visible.Safe(line) {
				t.Errorf("%v prints %.200q", command, line)
			}
		}
	}
	if most := server.mostResident(t); most > mostMemory {
		t.Errorf("%d MiB resident at most, want at most %d", most>>20, mostMemory>>20)
	}
}

// TestAResultThatIsPostedAgainCountsOnce: after a lost answer, and after a restart.
func TestAResultThatIsPostedAgainCountsOnce(t *testing.T) {
	server := serveBinary(t, plain(t), "distributor", "--data", t.TempDir())
	server.accept(t, lines(3, 60))
	l := lease(t, server, `{"analyzer": "a"}`)[0]
	result := fmt.Sprintf(`{"batch": %q, "analyzer": "a", "records": 3, "bytes": 180, "by_severity": {"INFO": {"records": 3, "bytes": 180}}}`, l.Batch)
	post := func() {
		t.Helper()
		if r := ask(t, "POST", server.url+"/v1/results", result); r.status != 200 {
			t.Fatalf("result: %s, want 200", r)
		}
	}
	once := func(when string) {
		t.Helper()
		var totals struct{ Batches, Records int64 }
		if ask(t, "GET", server.url+"/v1/results", "").decode(t, &totals); totals.Batches != 1 || totals.Records != 3 {
			t.Errorf("%s: %d batches, %d records, want 1 and 3", when, totals.Batches, totals.Records)
		}
	}
	post()
	post()
	once("posted twice")
	server.kill()
	server = server.again()
	post()
	once("after a crash")
	server.stop()
	server = server.again()
	post()
	once("after a restart")
}
