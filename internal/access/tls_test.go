package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	_, _, a.cert, a.key = a.make(name, time.Now().Add(24*time.Hour), true)
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	return a
}

// make signs a certificate for localhost, and returns it and its key as files hold them.
func (a *authority) make(name string, end time.Time, ca bool) (cert, key []byte, parsed *x509.Certificate, private *ecdsa.PrivateKey) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: end.Add(-48 * time.Hour), NotAfter: end,
		DNSNames: []string{"localhost"}, IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := a.cert, a.key
	if ca {
		parent, signer = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if parsed, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), parsed, private
}

// put writes a certificate and its key.
func (a *authority) put(dir, name string) (cert, key string) {
	a.t.Helper()
	c, k, _, _ := a.make(name, time.Now().Add(12*time.Hour), false)
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	write(a.t, cert, string(c))
	write(a.t, key, string(k))
	return cert, key
}

func (a *authority) file(dir, name string) string {
	path := filepath.Join(dir, name)
	write(a.t, path, string(a.pem))
	return path
}

// shake lets a client and a server shake hands, and returns what each says and the name of the server's certificate.
func shake(t *testing.T, server, client *tls.Config) (name string, serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if client.ServerName == "" {
		client = client.Clone()
		client.ServerName = "localhost"
	}
	done := make(chan error, 1)
	go func() {
		s := tls.Server(a, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x")) // a client of TLS 1.3 learns only with the first read that it was refused
		}
		a.Close()
		done <- err
	}()
	c := tls.Client(b, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		name = c.ConnectionState().PeerCertificates[0].Subject.CommonName
		_, clientErr = c.Read(make([]byte, 1))
	}
	b.Close()
	return name, <-done, clientErr
}

func TestServerAndClientShakeHands(t *testing.T) {
	dir := t.TempDir()
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	ca, otherCA := ours.file(dir, "ca.pem"), others.file(dir, "other-ca.pem")
	cert, key := ours.put(dir, "server")
	clientCert, clientKey := ours.put(dir, "client")
	strangeCert, strangeKey := others.put(dir, "stranger")
	for _, tt := range []struct {
		name   string
		server ServerFiles
		client ClientFiles
		good   bool
	}{
		{"one that is trusted", ServerFiles{cert, key, ""}, ClientFiles{CA: ca}, true},
		{"one that is not", ServerFiles{cert, key, ""}, ClientFiles{CA: otherCA}, false},
		{"a client with a certificate", ServerFiles{cert, key, ca}, ClientFiles{ca, clientCert, clientKey}, true},
		{"a client without", ServerFiles{cert, key, ca}, ClientFiles{CA: ca}, false},
		{"a client with one of others", ServerFiles{cert, key, ca}, ClientFiles{ca, strangeCert, strangeKey}, false},
	} {
		server, err := ServerTLS(tt.server, nil)
		if err != nil {
			t.Fatal(err)
		}
		client, err := ClientTLS(tt.client, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, serverErr, clientErr := shake(t, server, client)
		if good := serverErr == nil && clientErr == nil; good != tt.good {
			t.Errorf("%s: server %v, client %v, want it good: %v", tt.name, serverErr, clientErr, tt.good)
		}
	}
	server, _ := ServerTLS(ServerFiles{cert, key, ""}, nil)
	client, _ := ClientTLS(ClientFiles{CA: ca}, nil)
	client.MaxVersion = tls.VersionTLS11
	client.MinVersion = tls.VersionTLS10
	if _, serverErr, _ := shake(t, server, client); serverErr == nil {
		t.Error("a client of TLS 1.1 was let in")
	}
}

func TestWrongFilesAreToldAtTheStart(t *testing.T) {
	dir := t.TempDir()
	ours := newAuthority(t, "ours")
	cert, key := ours.put(dir, "server")
	_, otherKey := ours.put(dir, "other")
	none, text := filepath.Join(dir, "none"), filepath.Join(dir, "text")
	write(t, text, "this is not PEM")
	old, oldKey, _, _ := ours.make("old", time.Now().Add(-time.Hour), false)
	early, earlyKey, _, _ := ours.make("early", time.Now().Add(49*time.Hour), false)
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		write(t, path, string(b))
		return path
	}
	for _, tt := range []struct {
		name  string
		files ServerFiles
		want  []string
	}{
		{"no file", ServerFiles{none, key, ""}, []string{none, "no such file"}},
		{"no key", ServerFiles{cert, none, ""}, []string{none, "no such file"}},
		{"no PEM", ServerFiles{text, key, ""}, []string{text, "PEM"}},
		{"a key of another", ServerFiles{cert, otherKey, ""}, []string{cert, otherKey, "does not match"}},
		{"the wrong way round", ServerFiles{key, cert, ""}, []string{key, "PEM"}},
		{"too old", ServerFiles{file("old.pem", old), file("old.key", oldKey), ""}, []string{"old.pem", "expired at "}},
		{"too new", ServerFiles{file("early.pem", early), file("early.key", earlyKey), ""}, []string{"early.pem", "not valid before "}},
		{"clients signed by nobody", ServerFiles{cert, key, text}, []string{text, "no certificate in PEM"}},
		{"clients signed by no file", ServerFiles{cert, key, none}, []string{none, "no such file"}},
	} {
		_, err := ServerTLS(tt.files, nil)
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want it to say %q", tt.name, err, want)
			}
		}
	}
	for _, files := range []ClientFiles{{CA: none}, {CA: text}, {Cert: none, Key: key}, {Cert: cert, Key: otherKey}} {
		if _, err := ClientTLS(files, nil); err == nil {
			t.Errorf("%+v: no error", files)
		}
	}
	if c, err := ClientTLS(ClientFiles{}, nil); c != nil || err != nil {
		t.Errorf("no files: %v, %v, want nothing", c, err)
	}
}

func TestCertificatesAreExchangedWithoutARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		dir := t.TempDir()
		first, second := newAuthority(t, "first"), newAuthority(t, "second")
		ca := first.file(dir, "ca.pem")
		cert, key := first.put(dir, "server")
		clientCert, clientKey := first.put(dir, "client")
		server, err := ServerTLS(ServerFiles{cert, key, ca}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		client, err := ClientTLS(ClientFiles{ca, clientCert, clientKey}, nil)
		if err != nil {
			t.Fatal(err)
		}
		look := func(step string, want string) {
			t.Helper()
			time.Sleep(lookEvery)
			name, serverErr, clientErr := shake(t, server, client)
			if want != "" && (serverErr != nil || clientErr != nil || name != want) {
				t.Errorf("%s: server %v, client %v, certificate %q, want %q", step, serverErr, clientErr, name, want)
			}
			if want == "" && serverErr == nil {
				t.Errorf("%s: the client was let in", step)
			}
		}
		put := func(a *authority, name string) {
			t.Helper()
			c, k, _, _ := a.make(name, time.Now().Add(12*time.Hour), false)
			write(t, cert, string(c))
			write(t, key, string(k))
		}
		look("at the start", "server")
		put(first, "server-2")
		look("another certificate", "server-2")
		if n := strings.Count(log.String(), "certificate read anew"); n != 1 {
			t.Errorf("the log says %d times that it was read: %s", n, log.String())
		}
		write(t, key, "half of a k")
		look("a key that is being written", "server-2")
		look("and is still", "server-2")
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d complaints, want one: %s", n, log.String())
		}
		put(first, "server-3")
		look("a good one again", "server-3")
		if err := os.Remove(cert); err != nil {
			t.Fatal(err)
		}
		look("no file", "server-3")
		old, oldKey, _, _ := first.make("old", time.Now().Add(-time.Hour), false)
		write(t, cert, string(old))
		write(t, key, string(oldKey))
		look("one that has expired", "server-3")
		put(first, "server-4")
		look("a good one in the end", "server-4")
		second.file(dir, "ca.pem")
		look("another authority for clients", "")

		// The client's own is exchanged as well.
		c, k, _, _ := second.make("client-2", time.Now().Add(12*time.Hour), false)
		write(t, clientCert, string(c))
		write(t, clientKey, string(k))
		look("a client with a certificate of that authority", "server-4")
	})
}
