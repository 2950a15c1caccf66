package access

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// ServerFiles are the files of a server that speaks TLS, in PEM.
type ServerFiles struct {
	Cert     string // its certificate, with those between it and the root behind it
	Key      string // the private key of Cert
	ClientCA string // certificates that have to have signed that of a client; empty asks clients for none
}

// ClientFiles are the files of a client that speaks TLS, in PEM. All may be empty.
type ClientFiles struct {
	CA        string // certificates that have to have signed that of the server; empty for those of the system
	Cert, Key string // the client's own certificate and its private key
}

// ServerTLS reads the files of a server. They are looked at again with handshakes, once a second at most: what changed is used from then
// on, and what is wrong changes nothing and is logged once. At the start it is an error.
func ServerTLS(files ServerFiles, log *slog.Logger) (*tls.Config, error) {
	w := &watched{log: log, what: "TLS of the server", cert: files.Cert, key: files.Key, ca: files.ClientCA}
	if err := w.open(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return w.config(), nil }}, nil
}

// ClientTLS reads the files of a client. Its certificate and key are looked at again as those of a server are; nil means that there are
// no files.
func ClientTLS(files ClientFiles, log *slog.Logger) (*tls.Config, error) {
	if files == (ClientFiles{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if files.CA != "" {
		pem, err := os.ReadFile(files.CA)
		if err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		if c.RootCAs, err = pool(files.CA, pem); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
	}
	if files.Cert != "" {
		w := &watched{log: log, what: "TLS of the client", cert: files.Cert, key: files.Key}
		if err := w.open(); err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &w.config().Certificates[0], nil }
	}
	return c, nil
}

// watched is what some files say, read again when they change.
type watched struct {
	log           *slog.Logger
	what          string // for errors and the log
	cert, key, ca string // paths; ca may be empty

	mu     sync.Mutex
	looked time.Time
	seen   [3][]byte // what the files held when they were last good
	failed string    // what was last complained about
	good   *tls.Config
}

func (w *watched) open() error {
	c, seen, err := w.read()
	if err != nil {
		return fmt.Errorf("%s: %w", w.what, err)
	}
	w.good, w.seen, w.looked = c, seen, time.Now()
	if w.log != nil {
		warnExposed(w.log, "private key", w.key, othersKey)
	}
	return nil
}

// config is the newest that is good.
func (w *watched) config() *tls.Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); now.Sub(w.looked) >= lookEvery {
		w.looked = now
		w.look()
	}
	return w.good
}

// look reads the files again. The caller holds mu.
func (w *watched) look() {
	c, seen, err := w.read()
	switch {
	case err != nil:
		if w.failed != err.Error() && w.log != nil {
			w.log.Error("certificate stays as it was", "what", w.what, "error", err)
		}
		w.failed = err.Error()
	case c != nil:
		w.good, w.seen, w.failed = c, seen, ""
		if w.log != nil {
			w.log.Info("certificate read anew", "what", w.what, "file", w.cert, "not_after", c.Certificates[0].Leaf.NotAfter)
		}
	default:
		w.failed = ""
	}
}

// read returns what the files say; nil if that is what they said before.
func (w *watched) read() (c *tls.Config, seen [3][]byte, err error) {
	for i, path := range []string{w.cert, w.key, w.ca} {
		if path == "" {
			continue
		}
		if seen[i], err = os.ReadFile(path); err != nil {
			return nil, seen, err
		}
	}
	if bytes.Equal(seen[0], w.seen[0]) && bytes.Equal(seen[1], w.seen[1]) && bytes.Equal(seen[2], w.seen[2]) {
		return nil, seen, nil
	}
	pair, err := tls.X509KeyPair(seen[0], seen[1])
	if err != nil {
		return nil, seen, fmt.Errorf("certificate %s with key %s: %w", w.cert, w.key, err)
	}
	if err := inForce(pair.Leaf, time.Now()); err != nil {
		return nil, seen, fmt.Errorf("certificate %s: %w", w.cert, err)
	}
	c = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if w.ca != "" {
		if c.ClientCAs, err = pool(w.ca, seen[2]); err != nil {
			return nil, seen, err
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.SessionTicketsDisabled = true // each connection is judged by the present certificates
	}
	return c, seen, nil
}

// inForce says whether a certificate is neither too old nor too new.
func inForce(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("it expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("it is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

var errNoCertificate = errors.New("it holds no certificate in PEM")

func pool(path string, pem []byte) (*x509.CertPool, error) {
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %w", path, errNoCertificate)
	}
	return p, nil
}
