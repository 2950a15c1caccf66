// Package remote leases batches from a distributor over HTTP: the work API, seen from an analyzer in another process.
//
// [Client] is a [queue.Leaser], so a pool of analyzers works on it as on a queue of its own process. The JSON shapes below
// are the API itself; any language can speak it.
package remote

import (
	"bytes"
	"context"
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
	"github.com/sluicehq/sluice/queue"
)

// LeaseRequest is the body of POST /v1/leases.
type LeaseRequest struct {
	Analyzer    string  `json:"analyzer"`
	MaxBatches  int     `json:"max_batches"`  // at least 1; missing means 1
	WaitSeconds float64 `json:"wait_seconds"` // how long to wait for the first batch; at most 60

	// Analyzers share a request: at most one batch for each time a name is in it. Analyzer and MaxBatches do not count then.
	Analyzers []string `json:"analyzers,omitempty"`
	// Acks are tokens of batches that are done, all of their records. A request with some does not wait for batches, and
	// MaxBatches may be 0.
	Acks []string `json:"acks,omitempty"`
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
	Failed []Failure `json:"failed,omitempty"` // records that were not analyzed; the others are done
}

// Failure is a failed record of an ack, or the body of POST /v1/leases/{token}/nack, where Record is not used.
type Failure struct {
	Record       int     `json:"record"` // index in the batch, from 0
	Reason       string  `json:"reason"`
	DelaySeconds float64 `json:"delay_seconds,omitempty"` // until the next attempt; 0 leaves it to the queue
	Discard      bool    `json:"discard,omitempty"`       // make it a dead letter now
	HandBack     bool    `json:"hand_back,omitempty"`     // no attempt is counted; available after delay_seconds
}

// Failure returns the failure in the queue's words.
func (f Failure) Failure() queue.Failure {
	return queue.Failure{
		Record: f.Record, Reason: f.Reason, Delay: seconds.Nearest(f.DelaySeconds), Discard: f.Discard, HandBack: f.HandBack,
	}
}

func failureOf(f queue.Failure) Failure {
	return Failure{
		Record: f.Record, Reason: f.Reason, DelaySeconds: f.Delay.Seconds(), Discard: f.Discard, HandBack: f.HandBack,
	}
}

// Error is the body of every answer that is not a success.
type Error struct {
	Message string `json:"error"`
	Limit   any    `json:"limit,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// Client speaks to one distributor.
type Client struct {
	// Token says what to send as bearer token with each request. Nil sends none. It must be set before the first request.
	Token func() string

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

// Close waits for requests that calls have left behind, and lets go of idle connections. No call may be under way.
func (c *Client) Close() {
	c.sharing.ended.Wait()
	c.http.CloseIdleConnections()
}

// slack is how much longer than it should take an answer is waited for.
const slack = 10 * time.Second

// Lease asks for batches; see [queue.Leaser].
func (c *Client) Lease(ctx context.Context, r queue.Request) ([]queue.Lease, error) {
	most := max(r.Max, 1)
	if c.stored.Load() && most <= maxSharedLeases {
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

func (c *Client) ackAlone(ctx context.Context, token string, failed ...queue.Failure) error {
	var req AckRequest
	for _, f := range failed {
		req.Failed = append(req.Failed, failureOf(f))
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
func (c *Client) Stats(ctx context.Context) (queue.Stats, error) {
	var st struct {
		Accepted   int64   `json:"accepted"`
		Completed  int64   `json:"completed"`
		Dead       int64   `json:"dead"`
		Depth      *int64  `json:"depth"`
		InFlight   int64   `json:"in_flight"`
		Lost       int64   `json:"lost"`
		OldestWait float64 `json:"oldest_wait_seconds"`
	}
	if err := c.Call(ctx, http.MethodGet, "/v1/stats", nil, &st); err != nil {
		return queue.Stats{}, err
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

func refusal(resp *http.Response) error {
	e := &StatusError{Status: resp.StatusCode}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(text, &e.Body) != nil {
		e.Body.Message = fmt.Sprintf("status %d: %.200s", resp.StatusCode, text)
	}
	return errorOf(e)
}
