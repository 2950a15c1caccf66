// Package remote leases batches from a distributor over HTTP: the work API, seen from an analyzer in another process.
//
// [Client] is a [queue.Leaser], so a pool of analyzers works on it as on a queue of its own process. The JSON shapes below
// are the API itself; any language can speak it.
package remote

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/internal/visible"
	"github.com/sluicehq/sluice/queue"
)

// MaxName is how many bytes the name of an analyzer may have.
const MaxName = 256

// LeaseRequest is the body of POST /v1/leases.
type LeaseRequest struct {
	Analyzer    string  `json:"analyzer,omitempty"` // at most MaxName bytes that are safe to print
	MaxBatches  int     `json:"max_batches"`        // 1 to 64; missing means 1
	WaitSeconds float64 `json:"wait_seconds"`       // how long to wait for the first batch; at most 60

	// Analyzers share a request: at most one batch for each time a name is in it. Analyzer and MaxBatches do not count then.
	Analyzers []string `json:"analyzers,omitempty" strict:"max=64"`
	// Acks are tokens of batches that are done, all of their records. A request with some does not wait for batches, and
	// MaxBatches may be 0.
	Acks []string `json:"acks,omitempty" strict:"max=256"`
}

// LeaseAnswer is the answer to it.
type LeaseAnswer struct {
	Leases []Lease   `json:"leases"`
	Acks   []Outcome `json:"acks,omitempty"` // for each of the request's acks, in their order
}

// Outcome is what became of one of several things that were asked for.
type Outcome struct {
	Status  int    `json:"status"`          // of HTTP, as if asked for alone: 200, or 409 where the lease is over
	Message string `json:"error,omitempty"` // for people
}

// Lease is one leased batch.
type Lease struct {
	Token     string            `json:"token"`
	Batch     string            `json:"batch"`
	Attempt   int               `json:"attempt"`
	HandBacks int               `json:"hand_backs"` // times that it was handed back before
	Accepted  time.Time         `json:"accepted_at"`
	ExpiresAt time.Time         `json:"expires_at"`
	Seconds   float64           `json:"lease_seconds"` // until ExpiresAt, for clients whose clock differs
	Records   []json.RawMessage `json:"records"`
}

// ExtendAnswer is the answer to POST /v1/leases/{token}/extend.
type ExtendAnswer struct {
	ExpiresAt time.Time `json:"expires_at"`
	Seconds   float64   `json:"lease_seconds"`
}

// AckRequest is the body of POST /v1/leases/{token}/ack. It may be left out.
type AckRequest struct {
	Failed []FailedRecord `json:"failed,omitempty"` // records that were not analyzed; the others are done
}

// FailedRecord is a failed record of an ack.
type FailedRecord struct {
	Record       int     `json:"record" strict:"required"` // index in the batch, from 0
	Reason       string  `json:"reason,omitempty"`         // what queue.Reason leaves of it is kept
	DelaySeconds float64 `json:"delay_seconds,omitempty"`  // until the next attempt, at most a week; 0 leaves it to the queue
	Discard      bool    `json:"discard,omitempty"`        // make it a dead letter now
	HandBack     bool    `json:"hand_back,omitempty"`      // no attempt is counted; available after delay_seconds
}

// Failure is the body of POST /v1/leases/{token}/nack; see [FailedRecord]. Without HandBack it must have a reason.
type Failure struct {
	Reason       string  `json:"reason,omitempty"`
	DelaySeconds float64 `json:"delay_seconds,omitempty"`
	Discard      bool    `json:"discard,omitempty"`
	HandBack     bool    `json:"hand_back,omitempty"`
}

// Failure returns the failure in the queue's words.
func (f FailedRecord) Failure() queue.Failure {
	return queue.Failure{
		Record: f.Record, Reason: f.Reason, Delay: seconds.Nearest(f.DelaySeconds), Discard: f.Discard, HandBack: f.HandBack,
	}
}

// Failure returns the failure in the queue's words.
func (f Failure) Failure() queue.Failure {
	return queue.Failure{Reason: f.Reason, Delay: seconds.Nearest(f.DelaySeconds), Discard: f.Discard, HandBack: f.HandBack}
}

// maxDelay is the longest delay that a distributor accepts.
const maxDelay = 7 * 24 * time.Hour

func failedRecord(f queue.Failure) FailedRecord {
	return FailedRecord{
		Record: f.Record, Reason: f.Why(), DelaySeconds: min(max(f.Delay, 0), maxDelay).Seconds(), Discard: f.Discard, HandBack: f.HandBack,
	}
}

func failureOf(f queue.Failure) Failure {
	return Failure{Reason: f.Why(), DelaySeconds: min(max(f.Delay, 0), maxDelay).Seconds(), Discard: f.Discard, HandBack: f.HandBack}
}

// Error is the body of every answer that is not a success.
type Error struct {
	Message string `json:"error"`
	Limit   any    `json:"limit,omitempty"`
	Hint    string `json:"hint,omitempty"`
	At      string `json:"at,omitempty"` // URL of the process that has what this one does not, where that is known
}

// Client speaks to one distributor.
type Client struct {
	// Token says what to send as bearer token with each request. Nil sends none. It must be set before the first request.
	Token func() string

	// Follow makes Call ask the process that a refusal names, where this one does not have what was asked for. It must be set before the
	// first request.
	Follow bool

	base    string
	http    *http.Client
	stored  atomic.Bool // the last answer with leases was in the stored form
	sharing sharing
}

// NewClient makes a client for the distributor at an http or https URL.
func NewClient(base string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("distributor URL %q, want one like http://127.0.0.1:8000", base)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 256 // each waiting analyzer holds one
	transport.MaxIdleConns = 0
	transport.ReadBufferSize = 64 << 10 // most batches come with one read instead of three
	return &Client{base: strings.TrimRight(base, "/"), http: &http.Client{Transport: transport}}, nil
}

// UseTLS says how to speak TLS: whom to trust, and as whom. Nil leaves that to the system. It must be called before the first request.
func (c *Client) UseTLS(conf *tls.Config) {
	if t, ok := c.http.Transport.(*http.Transport); ok && conf != nil {
		t.TLSClientConfig = conf
	}
}

// Close waits for requests that calls have left behind, and lets go of idle connections. No call may be under way.
func (c *Client) Close() {
	c.sharing.ended.Wait()
	c.http.CloseIdleConnections()
}

// maxWait is how long a distributor lets a request wait.
const maxWait = 60 * time.Second

// slack is how much longer than it should take an answer is waited for.
const slack = 10 * time.Second

// Lease asks for batches; see [queue.Leaser].
func (c *Client) Lease(ctx context.Context, r queue.Request) ([]queue.Lease, error) {
	most := min(max(r.Max, 1), maxSharedLeases)
	r.Wait = min(max(r.Wait, 0), maxWait)
	r.Analyzer = visible.Cut(cmp.Or(r.Analyzer, "unnamed"), MaxName)
	if c.stored.Load() {
		p := &part{analyzer: r.Analyzer, max: most}
		if err := c.share(ctx, p); err != nil || len(p.leases) > 0 || r.Wait <= 0 {
			return p.leases, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.Wait+slack)
	defer cancel()
	var leases []queue.Lease
	req := LeaseRequest{Analyzer: r.Analyzer, MaxBatches: most, WaitSeconds: r.Wait.Seconds()}
	_, err := c.lease(ctx, req, nil, func(l queue.Lease) { leases = append(leases, l) })
	return leases, err
}

func batchOf(l Lease) *sluice.Batch {
	size := len(l.Records)
	for _, r := range l.Records {
		size += len(r)
	}
	lines := make([]byte, 0, size)
	for _, r := range l.Records {
		lines = append(append(lines, r...), '\n')
	}
	b := sluice.NewBatch(lines, len(l.Records), l.Accepted)
	b.ID = l.Batch
	return b
}

// Extend prolongs a lease; see [queue.Leaser].
func (c *Client) Extend(ctx context.Context, token string) (time.Time, error) {
	var answer ExtendAnswer
	err := c.short(ctx, token+"/extend", nil, &answer)
	return time.Now().Add(seconds.Nearest(answer.Seconds)), err
}

// Ack completes a batch; see [queue.Leaser].
func (c *Client) Ack(ctx context.Context, token string, failed ...queue.Failure) error {
	if len(failed) == 0 && token != "" && c.stored.Load() {
		return c.share(ctx, &part{token: token})
	}
	return c.ackAlone(ctx, token, failed...)
}

// maxReasons is how many bytes the reasons of one ack have in all, so that its body stays below what a distributor reads.
const maxReasons = 1 << 20

func (c *Client) ackAlone(ctx context.Context, token string, failed ...queue.Failure) error {
	var req AckRequest
	for _, f := range failed {
		f.Reason = visible.Cut(f.Reason, max(maxReasons/len(failed), 16))
		req.Failed = append(req.Failed, failedRecord(f))
	}
	return c.short(ctx, token+"/ack", req, nil)
}

// Nack returns a batch; see [queue.Leaser].
func (c *Client) Nack(ctx context.Context, token string, f queue.Failure) error {
	return c.short(ctx, token+"/nack", failureOf(f), nil)
}

func (c *Client) short(ctx context.Context, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, slack)
	defer cancel()
	return c.Call(ctx, http.MethodPost, "/v1/leases/"+path, in, out)
}

// Stats is the account of the distributor's queue, as far as the scaling of a pool needs it: Accepted, Completed, Dead,
// Waiting, InFlight, Lost, OldestWait.
func (c *Client) Stats(ctx context.Context) (queue.Stats, error) { return c.StatsInto(ctx, nil) }

// StatsInto is Stats, and decodes the same answer to GET /v1/stats into out as well, where that is not nil.
func (c *Client) StatsInto(ctx context.Context, out any) (queue.Stats, error) {
	var st struct {
		Accepted   int64   `json:"accepted"`
		Completed  int64   `json:"completed"`
		Dead       int64   `json:"dead"`
		Depth      *int64  `json:"depth"`
		InFlight   int64   `json:"in_flight"`
		Lost       int64   `json:"lost"`
		OldestWait float64 `json:"oldest_wait_seconds"`
	}
	var text json.RawMessage
	if err := c.Call(ctx, http.MethodGet, "/v1/stats", nil, &text); err != nil {
		return queue.Stats{}, err
	}
	err := json.Unmarshal(text, &st)
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		return queue.Stats{}, c.unread(err)
	}
	if st.Depth == nil {
		return queue.Stats{}, fmt.Errorf("%s/v1/stats says no depth: is it a distributor?", c.base)
	}
	return queue.Stats{
		Accepted: st.Accepted, Completed: st.Completed, Dead: st.Dead, Waiting: *st.Depth, InFlight: st.InFlight, Lost: st.Lost,
		OldestWait: seconds.Nearest(st.OldestWait),
	}, nil
}

// StatusError is an answer that is not a success.
type StatusError struct {
	Status int // of HTTP
	Body   Error
}

func (e *StatusError) Error() string {
	msg := e.Body.Message
	if msg == "" {
		msg = http.StatusText(e.Status)
	}
	if e.Body.Hint != "" {
		msg += " (" + e.Body.Hint + ")"
	}
	return msg
}

// Call sends in as JSON, where it is not nil, and reads the answer into out, where that is not nil. An answer that is not a
// success becomes a [*StatusError], wrapped in queue.ErrLeaseExpired, queue.ErrNotFound or queue.ErrUnavailable where it means
// that; so does a distributor that can't be reached.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = b
	}
	resp, err := c.do(ctx, method, path, body, "")
	if other := c.other(err); other != nil {
		return other.Call(ctx, method, path, in, out)
	}
	if err != nil {
		return err
	}
	defer done(resp)
	if out != nil {
		err = json.NewDecoder(resp.Body).Decode(out)
	}
	if err != nil {
		return c.unread(err)
	}
	return nil
}

// other is a client of the process that a refusal names; nil where it names none, or one that the token would reach in the clear.
func (c *Client) other(err error) *Client {
	e, refused := errors.AsType[*StatusError](err)
	if !c.Follow || !refused || e.Status != http.StatusNotFound || e.Body.At == "" {
		return nil
	}
	u, err := url.Parse(e.Body.At)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || strings.HasPrefix(c.base, "https:")) {
		return nil
	}
	return &Client{base: strings.TrimRight(e.Body.At, "/"), http: c.http, Token: c.Token}
}

// Where returns the URL of the process that answers for a path: that of the client, or the one that this process names in its place.
func (c *Client) Where(ctx context.Context, path string) string {
	resp, err := c.do(ctx, http.MethodGet, path, nil, "")
	if other := c.other(err); other != nil {
		return other.base
	}
	if err == nil {
		done(resp)
	}
	return c.base
}

// do makes a request, with a body of JSON where there is one, and returns an answer that is a success.
func (c *Client) do(ctx context.Context, method, path string, body []byte, accept string) (*http.Response, error) {
	var in io.Reader // not a nil *bytes.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, in)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if c.Token != nil {
		req.Header.Set("Authorization", "Bearer "+c.Token())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the method and the URL, which say nothing new
		}
		return nil, fmt.Errorf("%w: distributor %s: %w", queue.ErrUnavailable, c.base, err)
	}
	if resp.StatusCode/100 != 2 {
		defer done(resp)
		return nil, refusal(resp)
	}
	return resp, nil
}

func (c *Client) unread(err error) error {
	return fmt.Errorf("%w: distributor %s: reading the answer: %w", queue.ErrUnavailable, c.base, err)
}

// done lets go of an answer. A connection serves the next request only where the answer was read to its end.
func done(resp *http.Response) {
	io.CopyN(io.Discard, resp.Body, 64<<10)
	resp.Body.Close()
}

// notFoundError is an answer 404. Its text says already what was not found.
type notFoundError struct{ *StatusError }

// Is tells errors.Is that it means queue.ErrNotFound.
func (e *notFoundError) Is(target error) bool { return target == queue.ErrNotFound }

// Unwrap returns the answer.
func (e *notFoundError) Unwrap() error { return e.StatusError }

// maxMessage is how many bytes of an error and of its hint are kept. They are made safe to print: who answers may be another program.
const maxMessage = 2000

func refusal(resp *http.Response) error {
	e := &StatusError{Status: resp.StatusCode}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(text, &e.Body) != nil {
		e.Body = Error{Message: fmt.Sprintf("status %d: %s", resp.StatusCode, visible.Cut(string(text), 200))}
	}
	e.Body.Message, e.Body.Hint = visible.Cut(e.Body.Message, maxMessage), visible.Cut(e.Body.Hint, maxMessage)
	return errorOf(e)
}
