package api

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// echoing starts a server that says which body it got, and returns its address.
func echoing(t *testing.T, conf *tls.Config) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ConnContext: FramedContext, DisableGeneralOptionsHandler: true, Handler: RefuseAmbiguous(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%s %s %q tls:%v", r.Method, r.URL.Path, b, r.TLS != nil)
	}))}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(Framed(&Listener{TCPListener: l.(*net.TCPListener)}, conf))
	}()
	t.Cleanup(func() { srv.Close(); <-done })
	return l.Addr().String()
}

// say sends bytes on a connection of their own, in parts, and returns the answers until the server closes it or the want last ones came.
func say(t *testing.T, c net.Conn, parts []string, want int) (answers []string, closed bool) {
	t.Helper()
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second)) // only a test that fails waits
	go func() {
		for _, p := range parts {
			io.WriteString(c, p)
		}
	}()
	b := bufio.NewReader(c)
	for len(answers) < want {
		r, err := http.ReadResponse(b, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", len(answers)+1, err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, fmt.Sprint(r.StatusCode, " ", string(body)))
		closed = r.Close
	}
	return answers, closed
}

const (
	goodPost    = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
	goodChunked = "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	goodGet     = "GET /c HTTP/1.1\r\nHost: x\r\n\r\n"
	smuggled    = "0\r\n\r\n" + goodGet
)

func head(lines ...string) string {
	return "POST /s HTTP/1.1\r\nHost: x\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func TestRequestsThatEndInTwoWaysAreRefused(t *testing.T) {
	const both = "both Content-Length and Transfer-Encoding"
	tests := []struct {
		name, text string
		before     int    // requests that are answered before
		why        string // empty where net/http refuses by itself
	}{
		{"both", head("Content-Length: 5", "Transfer-Encoding: chunked") + smuggled, 0, both},
		{"the other way round", head("Transfer-Encoding: chunked", "Content-Length: 30") + smuggled, 0, both},
		{"in capitals", head("CONTENT-LENGTH: 5", "transfer-ENCODING: Chunked") + smuggled, 0, both},
		{"a length of zero", head("Content-Length: 0", "Transfer-Encoding: chunked") + smuggled, 0, both},
		{"no space behind the colon", head("Content-Length:5", "Transfer-Encoding:chunked") + smuggled, 0, both},
		{"tabs", head("Content-Length:\t5\t", "Transfer-Encoding:\tchunked\t") + smuggled, 0, both},
		{"line feeds only", strings.ReplaceAll(head("Content-Length: 5", "Transfer-Encoding: chunked"), "\r\n", "\n") + smuggled, 0, both},
		{"much between them", head("Content-Length: 5", "X: "+strings.Repeat("x", 100_000), "Transfer-Encoding: chunked") + smuggled, 0, both},
		{"a length in two lines", head("Content-Length: 5", "Content-Length: 5", "Transfer-Encoding: chunked") + smuggled, 0, both},
		{"of a GET", "GET /s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled, 0, both},
		{"of OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled, 0, both},
		{"of HTTP/1.0", "POST /s HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled, 0, both},
		{"chunks of HTTP/1.0", "POST /s HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled, 0, whyOld},
		{"a folded length", head("Content-Length:", " 5", "Transfer-Encoding: chunked") + smuggled, 0, ""},
		{"a header in two lines", head("X: 1", "\tContent-Length: 5", "Transfer-Encoding: chunked") + smuggled, 0, whyFolded},
		{"behind a post", goodPost + head("Content-Length: 5", "Transfer-Encoding: chunked") + smuggled, 1, both},
		{"behind chunks", goodChunked + head("Content-Length: 5", "Transfer-Encoding: chunked") + smuggled, 1, both},
		{"behind many", strings.Repeat(goodGet+goodChunked+goodPost, 20) + head("Content-Length: 5", "Transfer-Encoding: chunked") + smuggled, 60, both},
		{"behind OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n" + head("Content-Length: 5", "Transfer-Encoding: chunked") + smuggled, 1, both},
		{"behind a post and empty lines", goodPost + "\r\n\r\n" + head("Content-Length: 5", "Transfer-Encoding: chunked") + smuggled, 1, both},
		{"behind a trailer", strings.Replace(goodChunked, "\r\n0\r\n\r\n", "\r\n0\r\nX: 1\r\n\r\n", 1) + head("Content-Length: 5", "Transfer-Encoding: chunked") + smuggled, 1, both},
		{"behind a chunk with a name", strings.Replace(goodChunked, "\r\n0\r\n", "\r\n0;a=\"b\"\r\n", 1) + head("Content-Length: 5", "Transfer-Encoding: chunked") + smuggled, 1, both},
		{"two lengths", head("Content-Length: 5", "Content-Length: 6") + "hello!", 0, ""},
		{"two lengths in one line", head("Content-Length: 5, 5") + "hello", 0, ""},
		{"a length that is none", head("Content-Length: five") + "hello", 0, ""},
		{"a length with a sign", head("Content-Length: +5") + "hello", 0, ""},
		{"a length below zero", head("Content-Length: -5") + "hello", 0, ""},
		{"a length in many spaces", head("Content-Length: "+strings.Repeat(" ", 100)+"5") + "hello", 0, whyLength},
	}
	address := echoing(t, nil)
	for _, tt := range tests {
		for name, parts := range map[string][]string{"at once": {tt.text}, "byte by byte": strings.Split(tt.text, "")} {
			if name == "byte by byte" && (len(tt.text) > 10_000 || tt.why == "") {
				continue // net/http closes what it refuses at once, and what comes then resets the connection
			}
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			answers, closed := say(t, c, parts, tt.before+1)
			for _, a := range answers[:tt.before] {
				if !strings.HasPrefix(a, "200") {
					t.Errorf("%s, %s: a good request was answered with %s", tt.name, name, a)
				}
			}
			if last := answers[tt.before]; !strings.HasPrefix(last, "400") || !strings.Contains(last, tt.why) || !closed {
				t.Errorf("%s, %s: %s, closed %v, want 400 with %q and the end of the connection", tt.name, name, last, closed, tt.why)
			}
		}
	}
}

func TestRequestsThatEndInOneWayAreAnswered(t *testing.T) {
	address := echoing(t, nil)
	tests := []struct {
		name, text string
		want       []string
	}{
		{"one of each, twice", goodPost + goodChunked + goodGet + goodPost + goodChunked + goodGet,
			[]string{`POST /a "hello"`, `POST /b "hello"`, `GET /c ""`, `POST /a "hello"`, `POST /b "hello"`, `GET /c ""`}},
		{"many chunks", strings.Replace(goodChunked, "5\r\nhello\r\n", strings.Repeat("2 \r\nhe\r\n3;x\r\nllo\r\n", 3), 1) + goodChunked, []string{`POST /b "hellohellohello"`, `POST /b "hello"`}},
		{"a body that looks like a request", head(fmt.Sprintf("Content-Length: %d", len(smuggled))) + smuggled + goodChunked, []string{fmt.Sprintf("POST /s %q", smuggled), `POST /b "hello"`}},
		{"the same length twice", head("Content-Length: 5", "Content-Length: 5") + "hello" + goodGet, []string{`POST /s "hello"`, `GET /c ""`}},
		{"names that begin alike", head("Content-Lengths: 9", "X-Content-Length: 9", "Transfer-Encoding: chunked", "Transfer-Encodings: x") + "0\r\n\r\n" + goodGet, []string{`POST /s ""`, `GET /c ""`}},
		{"empty lines behind a post", goodPost + "\r\n" + goodChunked + "\r\n" + goodGet, []string{`POST /a "hello"`, `POST /b "hello"`, `GET /c ""`}},
		{"a body of HTTP/1.0", "POST /s HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello" + goodGet, []string{`POST /s "hello"`, `GET /c ""`}},
	}
	for _, tt := range tests {
		for name, parts := range map[string][]string{"at once": {tt.text}, "byte by byte": strings.Split(tt.text, "")} {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			answers, _ := say(t, c, parts, len(tt.want))
			for i, want := range tt.want {
				if answers[i] != "200 "+want+" tls:false" {
					t.Errorf("%s, %s: answer %d is %s, want %s", tt.name, name, i+1, answers[i], want)
				}
			}
		}
	}
}

// selfSigned is a certificate for 127.0.0.1, and what trusts it.
func selfSigned(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	t.Cleanup(s.Close)
	return &tls.Config{Certificates: s.TLS.Certificates}, s.Client().Transport.(*http.Transport).TLSClientConfig
}

func TestFramingWithTLS(t *testing.T) {
	server, client := selfSigned(t)
	address := echoing(t, server)
	dial := func() net.Conn {
		c, err := tls.Dial("tcp", address, client)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	answers, _ := say(t, dial(), []string{goodPost, goodChunked, goodGet}, 3)
	for i, want := range []string{`POST /a "hello"`, `POST /b "hello"`, `GET /c ""`} {
		if answers[i] != "200 "+want+" tls:true" {
			t.Errorf("answer %d is %s, want %s", i+1, answers[i], want)
		}
	}
	bad := goodChunked + head("Content-Length: 5", "Transfer-Encoding: chunked") + smuggled
	answers, closed := say(t, dial(), []string{bad}, 2)
	if !strings.HasPrefix(answers[1], "400") || !strings.Contains(answers[1], whyBoth) || !closed {
		t.Errorf("both lengths over TLS: %s, closed %v", answers[1], closed)
	}

	// Who forgets TLS is told so.
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	answers, closed = say(t, c, []string{goodGet}, 1)
	if !strings.HasPrefix(answers[0], "400") || !strings.Contains(answers[0], "https://") || !closed {
		t.Errorf("plain HTTP where TLS is spoken: %s, closed %v", answers[0], closed)
	}
}

// FuzzFraming holds what is followed against net/http: a request that it reads is refused, or its head ends where net/http says.
func FuzzFraming(f *testing.F) {
	for _, seed := range []string{
		goodPost + goodChunked + goodGet, goodPost + "\r\n" + goodGet, head("Content-Length: 5", "Transfer-Encoding: chunked") + smuggled,
		"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n" + goodGet,
		head("Content-Length:", " 5") + "hello" + goodGet, head("Transfer-Encoding: chunked") + "5;x\r\nhello\r\n0\r\nA: b\r\n\r\n" + goodGet,
		head("Transfer-Encoding: chunked") + "00000000000000005\r\nhello\r\n0\r\n\r\n" + goodGet, "GET / HTTP/1.1\nHost: x\n\n" + goodGet,
		head("Transfer-Encoding: chunked") + "0\r\n\n" + goodGet, head("Transfer-Encoding: chunked") + "0\r\nA: b\r\n c\r\n\r\n" + goodGet,
		head("Content-Length: 0005") + "hello" + goodGet, head("Transfer-Encoding: chunked") + "5 \r\nhello\r\n0 \r\n\r\n" + goodGet,
	} {
		f.Add([]byte(seed), 7)
	}
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		var ours framing
		var ends []int // where heads end
		for i := range data {
			ours.follow(data[i : i+1])
			for int(ours.heads.Load()) > len(ends) {
				ends = append(ends, i+1)
			}
		}
		var parts framing // the same in larger parts
		for rest := data; len(rest) > 0; {
			n := min(max(step%1000, 1), len(rest))
			parts.follow(rest[:n])
			rest = rest[n:]
		}
		if parts.heads.Load() != ours.heads.Load() || parts.bad.Load() != ours.bad.Load() || parts.state != ours.state || parts.left != ours.left {
			t.Fatalf("in parts of %d it is %+v, byte by byte %+v", step, &parts, &ours)
		}

		source := bytes.NewReader(data)
		b := bufio.NewReaderSize(iotest.OneByteReader(source), 4096)
		at := func() int { return len(data) - source.Len() - b.Buffered() }
		last := ""
		for n := 1; ; n++ {
			if last == http.MethodPost { // as http.Server does
				peek, _ := b.Peek(4)
				lines := 0
				for lines < len(peek) && (peek[lines] == '\r' || peek[lines] == '\n') {
					lines++
				}
				b.Discard(lines)
			}
			r, err := http.ReadRequest(b)
			if err != nil || r.ProtoMajor != 1 {
				return
			}
			end := at()
			if ours.next() != "" {
				return // refused
			}
			if ends[n-1] != end {
				t.Fatalf("head %d ends at %d, net/http says %d", n, ends[n-1], end)
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil || r.Close {
				return
			}
			last = r.Method
		}
	})
}

func BenchmarkFraming(b *testing.B) {
	request := []byte("POST /v1/records HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 100000\r\n" +
		"Content-Type: application/x-ndjson\r\nAccept-Encoding: gzip\r\n\r\n" + strings.Repeat("x", 100_000))
	var f framing
	b.ReportAllocs()
	for b.Loop() {
		for rest := request; len(rest) > 0; {
			n := min(4096, len(rest))
			f.follow(rest[:n])
			rest = rest[n:]
		}
		if f.next() != "" {
			b.Fatal("refused")
		}
	}
}

// A head with many headers is cut before net/http keeps them; what came before it is answered.
func TestManyHeadersAreRefused(t *testing.T) {
	send := func(n int, before string) string {
		t.Helper()
		c, err := net.Dial("tcp", echoing(t, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprint(c, before+"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+strings.Repeat("A:\r\n", n-2)+"\r\n")
		answer, _ := io.ReadAll(c) // a reset behind the answer does not matter
		return string(answer)
	}
	if got := send(maxHeaders, ""); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("as many headers as there may be: %.200s", got)
	}
	for _, n := range []int{maxHeaders + 1, maxHeaders + 2, 1500} {
		if got := send(n, ""); !strings.HasPrefix(got, "HTTP/1.1 431") || strings.Count(got, "HTTP/1.1") != 1 {
			t.Errorf("%d headers: %.200s; want one answer, 431", n, got)
		}
	}
	got := send(1500, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200") || strings.Count(got, "HTTP/1.1 431") != 1 {
		t.Errorf("behind another request: %.300s; want 200, then 431", got)
	}
}
