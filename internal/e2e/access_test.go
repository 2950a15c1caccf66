package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// signer signs certificates for this machine, into files of a folder.
type signer struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	ca   string // the file of its own certificate
}

func newSigner(t *testing.T, name string) *signer {
	t.Helper()
	s := &signer{t: t, dir: t.TempDir()}
	s.ca, _ = s.sign(name)
	return s
}

// sign writes a certificate and its key, and returns their files. The first is the signer's own.
func (s *signer) sign(name string) (cert, key string) {
	s.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: s.cert == nil, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"localhost"}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	parent, by := s.cert, s.key
	if parent == nil {
		parent, by = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, by)
	if err != nil {
		s.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.cert == nil {
		if s.cert, err = x509.ParseCertificate(der); err != nil {
			s.t.Fatal(err)
		}
		s.key = private
	}
	cert, key = filepath.Join(s.dir, name+".pem"), filepath.Join(s.dir, name+".key")
	s.write(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	s.write(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	return cert, key
}

func (s *signer) write(path string, b []byte) {
	s.t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *signer) copy(from, to string) {
	s.t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(to, b)
}

// TestEverythingOverTLS: a distributor and a pool that ask for certificates, and commands that show one.
func TestEverythingOverTLS(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ours")
	cert, key := s.sign("server")
	mine, myKey := s.sign("client")
	serving := []string{"--tls-cert", cert, "--tls-key", key, "--tls-client-ca", s.ca}
	showing := []string{"--tls-ca", s.ca, "--tls-client-cert", mine, "--tls-client-key", myKey}
	data := t.TempDir()
	server := serve(t, append([]string{"distributor", "--data", data}, serving...)...)
	server.url = strings.Replace(server.url, "http://", "https://", 1)
	pool := serve(t, append(append([]string{"analyze", "--distributor", server.url, "--check-interval", "100ms"}, serving...), showing...)...)
	pool.url = strings.Replace(pool.url, "http://", "https://", 1)
	with := func(url string, args ...string) []string {
		return append(append(args, "--distributor", url), showing...)
	}

	if out := must(t, with(server.url, "emit", "--records", "3000", "--emitters", "3", "--verify")...); !strings.Contains(out, "nothing lost") {
		t.Errorf("emit --verify: %s", out)
	}
	if out := must(t, with(server.url, "stats")...); !regexp.MustCompile(`completed +3,000`).MatchString(out) {
		t.Errorf("stats: %s", out)
	}
	must(t, with(pool.url, "decisions")...)
	must(t, with(pool.url, "top", "--once")...)
	must(t, with(pool.url, "scale", "pause")...)
	if out, _, _ := call(t, with(server.url, "doctor", "--data", data, "--listen", "127.0.0.1:0")...); !strings.Contains(out, server.url+" answers in") {
		t.Errorf("doctor: %s", out)
	}

	// Who shows no certificate, or trusts another authority, gets nothing.
	for name, args := range map[string][]string{
		"no certificate":                    {"stats", "--distributor", server.url, "--tls-ca", s.ca},
		"nobody trusted":                    {"stats", "--distributor", server.url},
		"one that others have signed":       append([]string{"stats", "--distributor", server.url, "--tls-ca", s.ca}, strangers(t)...),
		"plain HTTP where TLS is spoken":    {"stats", "--distributor", strings.Replace(server.url, "https://", "http://", 1)},
		"an authority that is not a server": {"stats", "--distributor", server.url, "--tls-ca", mine},
	} {
		if out, errs, code := call(t, args...); code == 0 {
			t.Errorf("%s: it ended with 0: %s%s", name, out, errs)
		} else if name == "plain HTTP where TLS is spoken" && !strings.Contains(errs, "https://") {
			t.Errorf("%s: %s, want it to say https://", name, errs)
		}
	}
	server.stop()
	pool.stop()
}

// strangers is a certificate that nobody knows, as flags.
func strangers(t *testing.T) []string {
	t.Helper()
	cert, key := newSigner(t, "others").sign("stranger")
	return []string{"--tls-client-cert", cert, "--tls-client-key", key}
}

// TestACertificateIsExchangedWithoutARestart: what is wrong changes nothing, and is in the log.
func TestACertificateIsExchangedWithoutARestart(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ours")
	cert, key := s.sign("server")
	server := serve(t, "run", "--data", t.TempDir(), "--handler", "discard", "--tls-cert", cert, "--tls-key", key)
	address := strings.TrimPrefix(server.url, "http://")
	roots := x509.NewCertPool()
	roots.AddCert(s.cert)
	shown := func() string {
		c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := shown(); got != "server" {
		t.Fatalf("the certificate is that of %s", got)
	}
	s.write(key, []byte("not a key"))
	waitFor(t, "the log to say what is wrong", func() bool {
		if got := shown(); got != "server" {
			t.Fatalf("the certificate is that of %s", got)
		}
		return strings.Contains(server.stderr.String(), `"level":"ERROR","msg":"certificate stays as it was"`)
	})
	next, nextKey := s.sign("next")
	s.copy(next, cert)
	s.copy(nextKey, key)
	waitFor(t, "the next certificate", func() bool { return shown() == "next" })
	server.stop()
}

// TestOnlyItsOwnPageAndProgramsAreAnswered asks a process without tokens as pages of other sites would, and wants nothing to have happened.
func TestOnlyItsOwnPageAndProgramsAreAnswered(t *testing.T) {
	t.Parallel()
	server := serve(t, "distributor", "--data", t.TempDir(), "--allowed-hosts", "logs.example")
	server.accept(t, lines(20, 100))
	before := server.stats(t)
	requests := []struct{ method, path, body string }{
		{"POST", "/v1/records", "a line\n"}, {"POST", "/v1/leases", `{"analyzer":"evil"}`}, {"POST", "/v1/results", `{}`},
		{"DELETE", "/v1/dead", ""}, {"GET", "/v1/stats", ""}, {"GET", "/v1/dead/export", ""}, {"GET", "/metrics", ""}, {"GET", "/", ""},
	}
	for _, r := range requests {
		for _, headers := range [][]string{
			{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Origin", "https://evil.example", "Content-Type", "text/plain"},
			{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "same-site"},
		} {
			if got := ask(t, r.method, server.url+r.path, r.body, headers...); got.status != http.StatusForbidden {
				t.Errorf("%s %s with %q: %s, want 403", r.method, r.path, headers, got)
			}
		}
		for host, want := range map[string]bool{"evil.example": false, "logs.example:8000": true, "localhost": true, "127.0.0.1.evil.example": false} {
			if want && r.method != "GET" {
				continue // it would change something
			}
			got := raw(t, server.url, r.method+" "+r.path+" HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 0\r\n\r\n")
			if answered := got != http.StatusMisdirectedRequest; answered != want {
				t.Errorf("%s %s to the host %s: %d, want it answered: %v", r.method, r.path, host, got, want)
			}
		}
	}
	after := server.stats(t)
	if after.Accepted != before.Accepted || after.InFlight != 0 || after.Dead != 0 {
		t.Errorf("accepted %d, in flight %d, dead %d; want %d, 0 and 0", after.Accepted, after.InFlight, after.Dead, before.Accepted)
	}
	if got := raw(t, server.url, "GET /healthz HTTP/1.1\r\nHost: lb.example\r\n\r\n"); got != http.StatusOK {
		t.Errorf("a probe under another name: %d, want 200", got)
	}
	both := "POST /v1/records HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nx\r\n\r\n0\r\n\r\n"
	if got := raw(t, server.url, both); got != http.StatusBadRequest {
		t.Errorf("a request with two lengths: %d, want 400", got)
	}
	server.stop()
}

// raw sends bytes on a connection of their own and returns the status of the answer.
func raw(t *testing.T, url, request string) int {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	return r.StatusCode
}
