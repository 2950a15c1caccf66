package emitter

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// DefaultURL is where a distributor listens if nobody says otherwise.
const DefaultURL = "http://127.0.0.1:8000"

// ClientOptions says how a client sends. The zero value is a good answer.
type ClientOptions struct {
	Compression string        // of bodies: "gzip", "zstd", or empty for none
	MinBackoff  time.Duration // wait after a first failure, doubling with each; zero means 100ms
	MaxBackoff  time.Duration // the doubling ends here; zero means 10s, at least MinBackoff
	Timeout     time.Duration // for one request and its answer; zero means 1m
	Token       func() string // says what to send as bearer token with each request; nil sends none
	TLS         *tls.Config   // whom to trust at https, and as whom to speak; nil means as the system says. Not used with HTTPClient
	HTTPClient  *http.Client  // nil means one of the client's own; redirects are reported, not followed, in either case
	Logger      *slog.Logger  // told once when the server is out of reach and once when it is back; nil means slog.Default()
}

func (o ClientOptions) withDefaults() ClientOptions {
	if o.MinBackoff == 0 {
		o.MinBackoff = 100 * time.Millisecond
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = max(10*time.Second, o.MinBackoff)
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Validate reports everything that is wrong with the options.
func (o ClientOptions) Validate() error {
	o = o.withDefaults()
	var errs []error
	if c := o.Compression; c != "" && c != "gzip" && c != "zstd" {
		errs = append(errs, fmt.Errorf("emitter: Compression is %q, want gzip, zstd or nothing", c))
	}
	if o.MinBackoff < time.Millisecond || o.MaxBackoff < o.MinBackoff {
		errs = append(errs, fmt.Errorf("emitter: MinBackoff is %v and MaxBackoff %v, want 1ms <= MinBackoff <= MaxBackoff", o.MinBackoff, o.MaxBackoff))
	}
	if o.Timeout < time.Millisecond {
		errs = append(errs, fmt.Errorf("emitter: Timeout is %v, want at least 1ms", o.Timeout))
	}
	return errors.Join(errs...)
}

// Client talks to one distributor. It is safe for concurrent use. Close it at the end.
type Client struct {
	url  string // without a slash at the end
	o    ClientOptions
	http *http.Client
	pack packer

	mu        sync.Mutex
	stats     ClientStats
	downSince time.Time // zero while the server answers
}

// ClientStats counts what a client did since it was made.
type ClientStats struct {
	Requests   int64 `json:"requests"`    // posts, repeated ones included
	Retries    int64 `json:"retries"`     // posts that repeated an earlier one, for whatever reason
	PushedBack int64 `json:"pushed_back"` // answers 503 or 429
	Sent       int64 `json:"sent"`        // records handed to Send, each counted once
	Accepted   int64 `json:"accepted"`    // records that the server says it stored
	Rejected   int64 `json:"rejected"`    // records that the server refused for good
	Bytes      int64 `json:"bytes"`       // bodies as posted, repeated and compressed ones as they were
	Down       bool  `json:"down"`        // the last post found no working server
}

// NewClient makes a client of the distributor at rawURL, e.g. [DefaultURL]. It does not connect yet.
func NewClient(rawURL string, o ClientOptions) (*Client, error) {
	if err := errors.Join(checkURL(rawURL), o.Validate()); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	c := &Client{url: strings.TrimRight(rawURL, "/"), o: o, pack: packer{name: o.Compression}}
	if o.HTTPClient != nil {
		own := *o.HTTPClient
		c.http = &own
	} else {
		t := &http.Transport{Proxy: http.ProxyFromEnvironment}
		if usual, ok := http.DefaultTransport.(*http.Transport); ok { // a program may have put its own in the place
			t = usual.Clone()
		}
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 4096 // every emitter of a pool keeps its connection
		t.DisableCompression = true
		if o.TLS != nil {
			t.TLSClientConfig = o.TLS
		}
		c.http = &http.Client{Transport: t}
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

func checkURL(raw string) error {
	bad := func(what string) error {
		return fmt.Errorf("emitter: distributor URL %q %s; write it like %s", raw, what, DefaultURL)
	}
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return bad("is empty")
	case err != nil && !strings.Contains(raw, "://"), err == nil && u.Scheme != "http" && u.Scheme != "https":
		return bad("does not begin with http:// or https://")
	case err != nil:
		return bad("can't be read (" + errors.Unwrap(err).Error() + ")")
	case u.Hostname() == "":
		return bad("names no host")
	case u.RawQuery != "" || u.Fragment != "":
		return bad("has a query or a fragment")
	}
	return nil
}

// URL is the address of the distributor, without a slash at the end.
func (c *Client) URL() string { return c.url }

// Close lets go of idle connections. Posts under way are not disturbed.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Stats returns the counters as they stand.
func (c *Client) Stats() ClientStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Down = !c.downSince.IsZero()
	return s
}

func (c *Client) count(change func(*ClientStats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

// Send posts n records: lines is newline-delimited JSON, one object a line. It returns when the distributor has answered
// for all of them. Until then it tries again as often as needed; it gives up when ctx ends, or on an answer that would be
// the same every time, which is a [*RefusedError]. A body that is too large for the server is sent in halves. The records
// of a refused half count as rejected; there is an error only if nothing at all was accepted.
//
// With an error too, Response says which part of the records is known to be accepted. Send does not change lines and does
// not keep them after it returned.
func (c *Client) Send(ctx context.Context, lines []byte, n int) (Response, error) {
	if n <= 0 || len(lines) == 0 {
		return Response{}, nil
	}
	c.count(func(s *ClientStats) { s.Sent += int64(n) })
	r, err := c.sendPart(ctx, lines, n)
	c.count(func(s *ClientStats) {
		s.Accepted += int64(r.Accepted)
		s.Rejected += int64(r.Rejected)
	})
	return r, err
}

// sendPart sends lines, in smaller parts where they are too large. Line numbers in the response count from 1.
func (c *Client) sendPart(ctx context.Context, lines []byte, n int) (Response, error) {
	r, err := c.repeat(ctx, lines, n)
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || refused.Status != http.StatusRequestEntityTooLarge || n < 2 {
		return r, err
	}
	middle, m := halve(lines)
	if middle == len(lines) { // n was wrong: this is a single line
		return r, err
	}
	a, errA := c.sendPart(ctx, lines[:middle], m)
	if errA != nil && !rejectsOnly(errA) {
		a.unsure = append(a.unsure, span{m + 1, n})
		return a, errA
	}
	b, errB := c.sendPart(ctx, lines[middle:], n-m)
	a.join(b, m)
	if errB != nil && !rejectsOnly(errB) {
		return a, errB
	}
	if a.Accepted > 0 {
		return a, nil
	}
	return a, errors.Join(errA, errB)
}

// halve finds a line end near the middle. It returns the length of the first half and its number of lines; a single line
// has no second half.
func halve(lines []byte) (middle, n int) {
	half := len(lines) / 2
	middle = bytes.LastIndexByte(lines[:half], '\n') + 1
	if middle == 0 {
		end := bytes.IndexByte(lines, '\n')
		if end < 0 {
			return len(lines), 1
		}
		middle = end + 1
	}
	return middle, bytes.Count(lines[:middle], []byte{'\n'})
}

// repeat posts one body until it gets an answer that counts.
func (c *Client) repeat(ctx context.Context, lines []byte, n int) (Response, error) {
	body, free, err := c.pack.pack(lines)
	if err != nil {
		return Response{unsure: []span{{1, n}}}, err
	}
	defer free()
	var last error // why the last try failed that our own end did not cut short
	for try := 0; ; try++ {
		r, f := c.post(ctx, body, n)
		c.note(ctx, f, try, len(body))
		switch {
		case f == nil:
			return r, nil
		case f.permanent:
			return r, f.err
		case last == nil || ctx.Err() == nil:
			last = f.err
		}
		wait := time.NewTimer(backoff(try, f.after, c.o.MinBackoff, c.o.MaxBackoff, rand.Float64()))
		select {
		case <-ctx.Done():
			wait.Stop()
			return Response{unsure: []span{{1, n}}}, fmt.Errorf("send %d records: %w (last try: %w)", n, context.Cause(ctx), last)
		case <-wait.C:
		}
		if f.stored > 0 {
			return c.repeatRest(ctx, lines, n, f.stored)
		}
	}
}

// repeatRest posts what follows the first k lines, which are stored.
func (c *Client) repeatRest(ctx context.Context, lines []byte, n, k int) (Response, error) {
	at := 0
	for range k {
		at += bytes.IndexByte(lines[at:], '\n') + 1
	}
	rest, err := c.repeat(ctx, lines[at:], n-k)
	whole := Response{Accepted: k}
	whole.join(rest, k)
	return whole, err
}

// note counts one post, and says so when the server went away or came back.
func (c *Client) note(ctx context.Context, f *failure, try, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Requests++
	c.stats.Bytes += int64(size)
	if try > 0 {
		c.stats.Retries++
	}
	if f != nil && f.pushBack {
		c.stats.PushedBack++
	}
	switch down := f != nil && f.down; {
	case down && ctx.Err() != nil: // it was our caller who gave up, not the server
	case down && c.downSince.IsZero():
		c.downSince = time.Now()
		c.o.Logger.Warn("distributor out of reach, trying again", "url", c.url, "error", f.err)
	case !down && !c.downSince.IsZero():
		c.o.Logger.Info("distributor is back", "url", c.url, "away_seconds", time.Since(c.downSince).Seconds())
		c.downSince = time.Time{}
	}
}
