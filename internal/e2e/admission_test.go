package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestNoBodyTakesMoreMemoryThanThereIs: what is small when it is sent and large when it is decoded, one and several at once.
func TestNoBodyTakesMoreMemoryThanThereIs(t *testing.T) {
	t.Parallel()
	const size = 31 << 20
	fill := func(s string) []byte { return bytes.Repeat([]byte(s), size/len(s)) }
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir())
	before := server.resident(t)
	for _, tt := range []struct {
		name, contentType, encoding string
		body                        []byte
	}{
		{"tiny lines", "text/plain", "", fill("a\n")},
		{"a line that grows sixfold", "text/plain", "", fill("\x01")},
		{"long lines that grow", "text/plain", "", fill(strings.Repeat("\x01", 170_000) + "\n")},
		{"array of empty objects", "application/json", "", append(append([]byte("[{}"), fill(",{}")...), ']')},
		{"an object over many lines", "application/json", "", append(append([]byte(`{"a":[1`), fill(",\n1")...), "]}"...)},
		{"bad lines", "application/x-ndjson", "", fill("x\n")},
		{"packed tiny lines", "text/plain", "gzip", gzipped(t, bytes.NewReader(fill("\x01\n")))},
		{"a frame that says it has 60 GB", "text/plain", "zstd", []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 15, 0, 0, 0, 0x43, 0x1f, 0, 'a'}},
	} {
		var posts sync.WaitGroup
		for range 4 {
			posts.Go(func() {
				r, err := send("POST", server.url+"/v1/records", tt.contentType, bytes.NewReader(tt.body), "Content-Encoding", tt.encoding)
				if err != nil || r.status != 200 && r.status != 400 && r.status != 413 && r.status != 503 {
					t.Errorf("%s: %v %s", tt.name, err, r)
				}
			})
		}
		posts.Wait()
		t.Logf("%s: %d MB at most", tt.name, server.mostResident(t)>>20)
	}
	flat(t, server, before)
	server.settled(t)
	server.stop()
}

// holdout is a client that holds what it can, again and again.
func holdout(server *process, head string, body []byte, stop <-chan struct{}, answers *atomic.Int64) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		conn, err := net.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
		if err != nil {
			return
		}
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil && resp.StatusCode >= 400 {
				answers.Add(1)
			}
		}()
		conn.SetDeadline(time.Now().Add(patience))
		_, err = io.WriteString(conn, "POST /v1/records HTTP/1.1\r\nHost: localhost\r\n"+head)
		if err == nil {
			_, err = conn.Write(body)
		}
		drip := time.NewTicker(4 * time.Second)
		for on := err == nil; on; {
			select {
			case <-drip.C:
				_, err := io.WriteString(conn, "a")
				on = err == nil
			case <-gone:
				on = false
			case <-stop:
				on = false
			}
		}
		drip.Stop()
		conn.Close()
		<-gone
		pass(200 * time.Millisecond)
	}
}

// TestSlowClientsKeepNobodyOut: 200 clients send 1 MB of an announced 31 MB and then a byte every four seconds.
func TestSlowClientsKeepNobodyOut(t *testing.T) {
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir())
	before := server.resident(t)
	const announced, sent = 31 << 20, 1 << 20
	noise := noise(sent/1000, 950)
	for _, tt := range []struct {
		name, head string
		body       []byte
	}{
		{"lines", fmt.Sprintf("Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n", announced), []byte(noise)},
		{"an array", fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n\r\n[", announced), []byte(strings.ReplaceAll(noise, "\n", ","))},
		{"packed", fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n\x1f\x8b", announced), []byte(noise)},
		{"no length", fmt.Sprintf("Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n[", announced), []byte(strings.ReplaceAll(noise, "\n", ","))},
		{"headers that do not end", "X-Slow: ", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			good := sendGood(t, server)
			good.goes(t, 100)
			stop := make(chan struct{})
			var refused atomic.Int64
			var all sync.WaitGroup
			for range 200 {
				all.Go(func() { holdout(server, tt.head, tt.body, stop, &refused) })
			}
			if tt.body != nil {
				waitFor(t, "slow clients to be refused", func() bool { return refused.Load() > 20 })
			}
			// Nothing is asserted about time but that it is not the whole of it: a sender that was kept out would get
			// nothing through while the others hold what they have.
			waits := good.waits.Load()
			good.goes(t, 2000)
			if late := good.waits.Load() - waits; late > 50 {
				t.Errorf("%d of %d good posts were pushed back, want few", late, 100+late)
			}
			close(stop)
			all.Wait()
			good.end()
			t.Logf("%d good records; %d posts pushed back; %d slow clients refused", good.accepted.Load(), good.waits.Load(), refused.Load())
		})
	}
	flat(t, server, before)
	server.settled(t)
	server.stop()
}

// TestARefusedBodyIsAnsweredToThoseWhoSendAllBeforeTheyListen: as the HTTP libraries of most languages do.
func TestARefusedBodyIsAnsweredToThoseWhoSendAllBeforeTheyListen(t *testing.T) {
	t.Parallel()
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir())
	const size = 30 << 20
	array := append(append([]byte("[{}"), bytes.Repeat([]byte(",{}"), size/3)...), ']')
	for _, tt := range []struct {
		name, path, contentType string
		body                    []byte
		statuses                string
	}{
		{"overload", "/v1/records", "application/json", array, "200 503"},
		{"too large", "/v1/records", "application/json", append(array, array...), "413"},
		{"no such type", "/v1/records", "image/png", array, "415"},
		{"no such path", "/v1/record", "application/json", array, "404"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var all sync.WaitGroup
			for range 32 {
				all.Go(func() {
					conn, err := net.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					conn.SetDeadline(time.Now().Add(2 * patience))
					fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", tt.path, tt.contentType, len(tt.body))
					if n, err := conn.Write(tt.body); err != nil {
						t.Errorf("after %d of %d bytes: %v", n, len(tt.body), err)
						return
					}
					resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil || !strings.Contains(tt.statuses, fmt.Sprint(resp.StatusCode)) {
						t.Errorf("%v, %v; want one of %s", resp, err, tt.statuses)
					}
				})
			}
			all.Wait()
		})
	}
	server.stop()
}

// TestFewFileHandles: clients beyond what the process can have open are answered, not left waiting; the others get through.
func TestFewFileHandles(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	script := t.TempDir() + "/few"
	if err := os.WriteFile(script, []byte("#!"+shell+"\nulimit -n 60\nexec \""+plain(t)+"\" \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	server := serveBinary(t, script, "run", "--data", t.TempDir())
	server.accept(t, lines(10, 100))
	var stalled []net.Conn
	for range 60 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		io.WriteString(conn, "POST /v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
		stalled = append(stalled, conn)
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	refused := 0
	for range 20 {
		resp, err := client.Post(server.url+"/v1/records", "application/x-ndjson", strings.NewReader(lines(1, 100)))
		if err != nil { // it was too slow to speak, on a busy machine; what counts is that it does not wait
			if errTimeout(err) != nil {
				t.Fatalf("a post while too many connections are open: %v; want an answer", err)
			}
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == 503 {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no post was refused while 60 connections were held with 60 files")
	}
	for _, conn := range stalled {
		conn.Close()
	}
	waitFor(t, "posts to be accepted again", func() bool { return server.post(t, lines(1, 100)).status == 200 })
	if n := strings.Count(server.stderr.String(), "too many connections"); n != 1 {
		t.Errorf("too many connections were logged %d times, want once", n)
	}
	server.settled(t)
	server.stop()
}
