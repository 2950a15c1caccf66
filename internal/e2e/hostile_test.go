package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
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

	"github.com/klauspost/compress/zstd"
)

// mostMemory is what a server may ever take, whatever is thrown at it. The collector leaves garbage lying up to the
// default memory limit of 200 MB; connections, stacks and mapped files come on top.
const mostMemory = 300 << 20

// goodSender posts good records all the time, beside whatever a test does. Each must be accepted in the end; it may be asked
// to come again.
type goodSender struct {
	accepted atomic.Int64
	waits    atomic.Int64 // posts that were pushed back
	stop     chan struct{}
	ended    sync.WaitGroup
}

func sendGood(t *testing.T, server *process) *goodSender {
	t.Helper()
	g := &goodSender{stop: make(chan struct{})}
	body := lines(20, 200)
	g.ended.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-g.stop:
				return
			case <-tick.C:
			}
			r, err := send("POST", server.url+"/v1/records", "application/x-ndjson", strings.NewReader(body))
			if err == nil && r.status == 503 {
				pushedBack(t, r)
				g.waits.Add(1)
				continue
			}
			if err != nil || r.status != 200 {
				t.Errorf("good records beside bad ones: %v %s, want 200", err, r)
				return
			}
			g.accepted.Add(20)
		}
	})
	t.Cleanup(g.end)
	return g
}

func (g *goodSender) end() {
	select {
	case <-g.stop:
	default:
		close(g.stop)
	}
	g.ended.Wait()
}

// goes waits until more good records have come through.
func (g *goodSender) goes(t *testing.T, more int64) {
	t.Helper()
	from := g.accepted.Load()
	waitFor(t, "good records to come through", func() bool { return g.accepted.Load() >= from+more || t.Failed() })
}

// zeros is an endless body of one letter without a line end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// bomb is 300 MB of one line, made of packed pieces one behind the other, as both formats allow.
func bomb(t *testing.T, encoding string) []byte {
	t.Helper()
	piece := io.LimitReader(zeros{}, 1<<20)
	if encoding == "gzip" {
		return bytes.Repeat(gzipped(t, piece), 300)
	}
	return bytes.Repeat(zstded(t, piece), 300)
}

// hugeWindow is a zstd frame that asks for a window of 64 MiB, with a block of one letter a thousand times.
var hugeWindow = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 16 << 3, 0x43, 0x1f, 0x00, 'a'}

func gzipped(t *testing.T, r io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.Copy(z, r); err != nil {
		t.Fatal(err)
	}
	z.Close()
	return b.Bytes()
}

func zstded(t *testing.T, r io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(z, r); err != nil {
		t.Fatal(err)
	}
	z.Close()
	return b.Bytes()
}

func TestWhatIsWrongWithABodyIsSaidByTheStatus(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir(), "--max-record-bytes", "64KiB")
	good := sendGood(t, server)
	truncated := gzipped(t, strings.NewReader(lines(1000, 300)))
	truncated = truncated[:len(truncated)/2]
	corrupt := gzipped(t, strings.NewReader(lines(1000, 300)))
	corrupt[len(corrupt)/2] ^= 0x55
	tests := []struct {
		name, contentType, encoding string
		body                        []byte
		status                      int
		says                        string
	}{
		{"nothing", "application/json", "", nil, 400, "no record"},
		{"only line ends", "application/x-ndjson", "", []byte("\n\n\r\n"), 400, "no record"},
		{"malformed JSON", "application/json", "", []byte(`{"body": `), 400, `"line":1`},
		{"a number", "application/json", "", []byte(`42`), 400, "object"},
		{"an array that is not closed", "application/json", "", []byte(`[{"body":"a"}`), 200, `"accepted":1`},
		{"one bad line among good ones", "application/x-ndjson", "", []byte("{\"body\":\"a\"}\n{\"body\":\n{\"body\":\"c\"}\n"), 200, `"line":2`},
		{"invalid UTF-8 in a line", "application/x-ndjson", "", []byte("{\"body\":\"a\"}\n{\"body\":\"\xff\xfe\"}\n"), 200, "invalid UTF-8"},
		{"nothing but invalid UTF-8", "application/json", "", []byte("{\"body\":\"\xff\"}"), 400, "invalid UTF-8"},
		{"text in an old encoding", "text/plain", "", []byte("caf\xe9\n"), 200, `"accepted":1`},
		{"deep nesting", "application/json", "", []byte(strings.Repeat(`{"a":`, 50_000) + "1" + strings.Repeat("}", 50_000)), 400, `"rejected":1`},
		{"deep arrays", "application/json", "", []byte(strings.Repeat(`[`, 500_000)), 400, `"rejected":1`},
		{"a record over the limit", "application/x-ndjson", "", []byte(lines(1, 100<<10)), 413, "limit is 65536"},
		{"truncated gzip", "application/x-ndjson", "gzip", truncated, 400, "gzip"},
		{"corrupt gzip", "application/x-ndjson", "gzip", corrupt, 400, "gzip"},
		{"not gzip at all", "application/x-ndjson", "gzip", []byte(lines(1, 100)), 400, "gzip"},
		{"not zstd at all", "application/x-ndjson", "zstd", []byte(lines(1, 100)), 400, "zstd"},
		{"gzip bomb", "application/x-ndjson", "gzip", bomb(t, "gzip"), 413, "max_body_bytes"},
		{"gzip bomb of many lines", "text/plain", "gzip", bytes.Repeat(gzipped(t, strings.NewReader(strings.Repeat("a\n", 1<<19))), 100), 413, "max_body_bytes"},
		{"zstd bomb", "application/x-ndjson", "zstd", bomb(t, "zstd"), 413, "max_body_bytes"},
		{"zstd with a huge window", "application/x-ndjson", "zstd", hugeWindow, 413, "zstd_window_bytes"},
		{"an unknown encoding", "application/x-ndjson", "br", []byte("x"), 415, "gzip, zstd"},
		{"an unknown type", "image/png", "", []byte("x"), 415, "application/x-ndjson"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := send("POST", server.url+"/v1/records", tt.contentType, bytes.NewReader(tt.body), "Content-Encoding", tt.encoding)
			if err != nil || r.status != tt.status || !strings.Contains(r.body, tt.says) {
				t.Errorf("%v %s, want %d and %q", err, r, tt.status, tt.says)
			}
		})
	}
	good.end()
	server.settled(t)
}

func TestManyBombsAtOnceTakeNoMoreMemoryThanOne(t *testing.T) {
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir())
	good := sendGood(t, server)
	good.goes(t, 200)
	before := server.resident(t)
	bombs := map[string][]byte{
		"gzip": bomb(t, "gzip"),
		"zstd": bomb(t, "zstd"),
	}
	var mu sync.Mutex
	answers := map[string]int{} // how many of a kind
	var posts sync.WaitGroup
	for i := range 12 {
		encoding := "gzip"
		if i%2 == 0 {
			encoding = "zstd"
		}
		posts.Go(func() {
			for range 3 {
				r, err := send("POST", server.url+"/v1/records", "application/x-ndjson", bytes.NewReader(bombs[encoding]), "Content-Encoding", encoding)
				if err == nil && r.status == 503 {
					pushedBack(t, r)
				}
				mu.Lock()
				answers[fmt.Sprintf("%v %d %.200s", err, r.status, r.body)]++
				mu.Unlock()
			}
		})
	}
	posts.Wait()
	for answer, n := range answers {
		t.Logf("%d bombs: %s", n, answer)
		if !strings.HasPrefix(answer, "<nil> 413 ") && !strings.HasPrefix(answer, "<nil> 503 ") {
			t.Errorf("%d bombs were answered %s, want 413, or 503 while others are inflated", n, answer)
		}
	}
	good.goes(t, 200)
	good.end()
	t.Logf("good posts that had to wait: %d", good.waits.Load())
	flat(t, server, before)
	server.settled(t)
}

func flat(t *testing.T, server *process, before int64) {
	t.Helper()
	most := server.mostResident(t)
	t.Logf("memory: %d MB before, %d MB at most", before>>20, most>>20)
	if most > mostMemory {
		t.Errorf("memory grew from %d MB to %d MB, want at most %d MB", before>>20, most>>20, int64(mostMemory)>>20)
	}
}

func TestALineOfAHundredMegabytesIsRefusedByItsLength(t *testing.T) {
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir())
	good := sendGood(t, server)
	good.goes(t, 200)
	before := server.resident(t)
	const size = 100 << 20
	for _, known := range []bool{true, false} {
		req, err := http.NewRequest("POST", server.url+"/v1/records", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "text/plain")
		req.ContentLength = -1
		if known { // a polite client asks first, and does not send a byte
			req.Header.Set("Expect", "100-continue")
			req.ContentLength = size
		}
		resp, err := web.Do(req)
		if err != nil {
			t.Errorf("100 MB (length known: %v): %v, want 413", known, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != 413 {
			t.Errorf("100 MB (length known: %v): status %d, want 413", known, resp.StatusCode)
		}
	}
	// A client that reads while it writes sees the answer in any case.
	status, err := chunkedUntilAnswered(server.url)
	if err != nil || status != 413 {
		t.Errorf("100 MB in chunks by a client that listens: %v, status %d, want 413", err, status)
	}
	good.end()
	flat(t, server, before)
	server.settled(t)
}

// chunkedUntilAnswered sends chunks for as long as nobody answers, 100 MB at most.
func chunkedUntilAnswered(url string) (status int, err error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	answers := make(chan error, 1)
	go func() {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil {
			status = resp.StatusCode
		}
		answers <- err
	}()
	fmt.Fprintf(conn, "POST /v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
	chunk := strings.Repeat("a", 64<<10)
	for range 1600 {
		if _, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", len(chunk), chunk); err != nil {
			break
		}
		select {
		case err := <-answers:
			return status, err
		default:
		}
	}
	return status, <-answers
}

func TestBodiesThatStopMidwayHoldUpNobody(t *testing.T) {
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir())
	before := server.resident(t)
	good := sendGood(t, server)
	// Senders announce a body, send a little, and fall silent. What they announce is far more than what all bodies together
	// may take, so a server that reserves it would push everybody else back for as long as they like. Later waves take
	// whatever room the earlier ones have left.
	for _, size := range []int{4_000_000, 0, 60_000, 4_000, 1_000} {
		for range 100 {
			conn, err := net.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			piece := lines(2, 100)
			head := fmt.Sprint("Content-Length: ", size)
			if size == 0 {
				head, piece = "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
			}
			if _, err := fmt.Fprintf(conn, "POST /v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n%s\r\n\r\n%s", head, piece); err != nil {
				t.Fatal(err)
			}
		}
		good.goes(t, 2000)
	}
	t.Logf("good posts that had to wait: %d", good.waits.Load())
	good.end()
	flat(t, server, before)
	st := server.settled(t)
	if st.Accepted != good.accepted.Load() {
		t.Errorf("accepted %d records, want the %d of whole bodies only", st.Accepted, good.accepted.Load())
	}
}

func TestABodyThatIsCutOffStoresNothing(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir())
	piece := lines(10, 100)
	for _, head := range []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", 2*len(piece), piece),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(piece), piece),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\nnonsense", len(piece), piece),
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(conn, "POST /v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n%s", head)
		conn.(*net.TCPConn).CloseWrite()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 400 {
			t.Errorf("body cut off: %v %v, want 400", resp, err)
		}
		conn.Close()
	}
	server.accept(t, piece)
	if st := server.settled(t); st.Accepted != 10 {
		t.Errorf("accepted %d records, want 10: nothing of a body that was cut off", st.Accepted)
	}
}

func TestTenThousandIdleConnectionsCostLittleAndHarmNobody(t *testing.T) {
	n := 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if most := int(limit.Cur) - 200; n > most {
		t.Logf("only %d files may be open: %d connections", limit.Cur, most)
		n = most
	}
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir())
	good := sendGood(t, server)
	good.goes(t, 200)
	before := server.resident(t)
	address := strings.TrimPrefix(server.url, "http://")
	conns := make([]net.Conn, n)
	var dials sync.WaitGroup
	for w := range 8 {
		dials.Go(func() {
			for i := w; i < n; i += 8 {
				c, err := net.DialTimeout("tcp", address, patience)
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
				conns[i] = c
				if i%3 == 0 { // some say half a word
					io.WriteString(c, "POST /v1/records HTTP/1.1\r\nHost: slu")
				}
			}
		})
	}
	dials.Wait()
	good.goes(t, 2000)
	good.end()
	flat(t, server, before)
	if st := server.stats(t); st.Accepted != good.accepted.Load() {
		t.Errorf("accepted %d, want %d", st.Accepted, good.accepted.Load())
	}
	// Those who stay silent are let go, the longest silent first; the newest may stay.
	gone := 0
	for _, c := range conns[:min(n, 1000)] {
		if c == nil {
			continue
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, errTimeout(err)) {
			gone++
		}
	}
	if n > 5000 && gone < 900 {
		t.Errorf("of the 1000 connections that were silent longest %d were closed, want nearly all", gone)
	}
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
}

// errTimeout returns err itself where it is a timeout, else nil.
func errTimeout(err error) error {
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return err
	}
	return nil
}
