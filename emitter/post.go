package emitter

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
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/visible"
)

// The most of an answer that is read, in bytes.
const (
	maxPostAnswer = 1 << 20
	maxGetAnswer  = 256 << 20 // the results of many emitters, or one dead letter with all its records
)

// expectFrom is the size from which a body is announced before it is sent (Expect: 100-continue), in bytes. A server that
// refuses it by its length can then say so; otherwise it may have to reset the connection, which looks like a failure
// worth repeating.
const expectFrom = 1 << 20

// Response is the distributor's answer for some records.
type Response struct {
	Accepted int         `json:"accepted"` // records that are stored
	Rejected int         `json:"rejected"` // records that are not and never will be
	Errors   []LineError `json:"errors"`   // why, for the first 20 rejected records of each body

	unsure []span // lines of which it is not known that they were accepted, besides those in Errors
}

// LineError says why one record was rejected.
type LineError struct {
	Line   int    `json:"line"`   // counted from 1
	Reason string `json:"reason"` // for people
}

// span is lines first to last, both included, counted from 1.
type span struct{ first, last int }

// join adds the answer for the lines behind the first n.
func (r *Response) join(o Response, n int) {
	r.Accepted += o.Accepted
	r.Rejected += o.Rejected
	for _, e := range o.Errors {
		r.Errors = append(r.Errors, LineError{Line: e.Line + n, Reason: e.Reason})
	}
	for _, s := range o.unsure {
		r.unsure = append(r.unsure, span{s.first + n, s.last + n})
	}
}

// accepted returns the lines, of n, that are known to be accepted. A distributor names the first 20 rejected lines only:
// if there were more, nothing is known about the lines behind the last one named.
func (r *Response) accepted(n int) []span {
	bad := make([]bool, n+2)
	for _, e := range r.Errors {
		if e.Line >= 1 && e.Line <= n {
			bad[e.Line] = true
		}
	}
	for _, s := range r.unsure {
		for i := max(s.first, 1); i <= min(s.last, n); i++ {
			bad[i] = true
		}
	}
	bad[n+1] = true
	var spans []span
	first := 1
	for i := 1; i <= n+1; i++ {
		if !bad[i] {
			continue
		}
		if first < i {
			spans = append(spans, span{first, i - 1})
		}
		first = i + 1
	}
	return spans
}

// RefusedError is an answer that would be the same every time.
type RefusedError struct {
	Status  int    // HTTP status
	Message string // what the server said
	Limit   string // the limit that was hit; empty where there is none
	Hint    string // what to do about it; may be empty
}

// maxText is how many bytes of what a server said are in an error. They are made safe to print, since it may be another program.
const maxText = 2000

// Error names the status, what the server said, the limit and the hint.
func (e *RefusedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "distributor answered %d %s", e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		b.WriteString(": " + visible.Cut(e.Message, maxText))
	}
	if e.Limit != "" {
		b.WriteString(" (limit " + visible.Cut(e.Limit, maxText) + ")")
	}
	if e.Hint != "" {
		b.WriteString("; " + visible.Cut(e.Hint, maxText))
	}
	return b.String()
}

// rejectsOnly is whether err is about the records alone, so that others may still be sent.
func rejectsOnly(err error) bool {
	r, ok := errors.AsType[*RefusedError](err)
	return ok && (r.Status == http.StatusBadRequest || r.Status == http.StatusRequestEntityTooLarge)
}

// failure is a post that did not end with 200.
type failure struct {
	err       error
	permanent bool          // no repetition helps
	pushBack  bool          // the server works and asks to come again later
	down      bool          // there is no working server
	after     time.Duration // when to come again, if the server said so
	stored    int           // lines from the front that are stored all the same; only the others need to come again
}

// post sends one body once.
func (c *Client) post(ctx context.Context, body []byte, n int) (Response, *failure) {
	unknown := Response{unsure: []span{{1, n}}}
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, fmt.Errorf("no answer within %v", c.o.Timeout))
	defer cancel()
	p := &payload{data: body}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/v1/records", p.open())
	if err != nil {
		p.users.Done() // nobody will close the one that was opened
		return unknown, &failure{err: err, permanent: true}
	}
	request.ContentLength = int64(len(body))
	request.GetBody = func() (io.ReadCloser, error) { return p.open(), nil }
	request.Header.Set("Content-Type", "application/x-ndjson")
	c.authorize(request)
	if c.o.Compression != "" {
		request.Header.Set("Content-Encoding", c.o.Compression)
	}
	if len(body) >= expectFrom {
		request.Header.Set("Expect", "100-continue")
	}
	defer p.users.Wait() // the transport may read on after an early answer, and the caller may change lines after ours
	answer, err := c.http.Do(request)
	if err != nil {
		return unknown, &failure{err: plain(ctx, err), down: true}
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxPostAnswer))
	if err != nil {
		return unknown, &failure{err: fmt.Errorf("read the answer: %w", plain(ctx, err)), down: true}
	}
	return judge(answer.StatusCode, answer.Header, text, n)
}

// judge says what an answer to n records means.
func judge(status int, header http.Header, text []byte, n int) (Response, *failure) {
	r := Response{unsure: []span{{1, n}}}
	switch {
	case status == http.StatusOK:
		r.unsure = nil
		if err := json.Unmarshal(text, &r); err != nil || r.Accepted+r.Rejected == 0 {
			hint := "is this the address of a distributor?"
			return Response{unsure: []span{{1, n}}}, &failure{permanent: true, err: &RefusedError{Status: status, Message: "the answer counts no records", Hint: hint}}
		}
		if r.Rejected > len(r.Errors) {
			known := 0
			for _, e := range r.Errors {
				known = max(known, e.Line)
			}
			r.unsure = []span{{known + 1, n}}
		}
		return r, nil
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		f := &failure{err: refusal(status, header, text), pushBack: true, after: retryAfter(header.Get("Retry-After"), time.Now())}
		var part Response // a body that is split over several batches may be stored in part
		if json.Unmarshal(text, &part) == nil && part.Rejected == 0 && part.Accepted > 0 && part.Accepted < n {
			f.stored = part.Accepted
		}
		return r, f
	case status >= 500 && status != http.StatusNotImplemented || status == http.StatusRequestTimeout:
		return r, &failure{err: refusal(status, header, text), down: true, after: retryAfter(header.Get("Retry-After"), time.Now())}
	case status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge:
		json.Unmarshal(text, &r) // best effort: the reasons, where the server gives them
		r.Accepted, r.Rejected = 0, n
		refused := refusal(status, header, text)
		if len(r.Errors) == 0 && n == 1 {
			r.Errors = []LineError{{Line: 1, Reason: refused.Error()}}
		}
		return r, &failure{err: refused, permanent: true}
	}
	return r, &failure{err: refusal(status, header, text), permanent: true}
}

// refusal makes an error of an answer other than 200.
func refusal(status int, header http.Header, text []byte) *RefusedError {
	e := &RefusedError{Status: status}
	var told struct {
		Error string          `json:"error"`
		Limit json.RawMessage `json:"limit"`
		Hint  string          `json:"hint"`
	}
	if err := json.Unmarshal(text, &told); err == nil {
		e.Message, e.Hint = told.Error, told.Hint
		if l := string(told.Limit); l != "null" {
			e.Limit = strings.Trim(l, `"`)
		}
	} else if line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n"); len(line) <= 200 {
		e.Message = line
	}
	if to := header.Get("Location"); status >= 300 && status < 400 && to != "" && e.Hint == "" {
		e.Hint = "it points to " + to + ": use that address"
	}
	return e
}

// plain takes the method and the URL out of an error of net/http, and puts our own timeout in the place of a general one.
func plain(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func (c *Client) authorize(r *http.Request) {
	if c.o.Token != nil {
		r.Header.Set("Authorization", "Bearer "+c.o.Token())
	}
}

// get reads one JSON answer, once.
func (c *Client) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, fmt.Errorf("no answer within %v", c.o.Timeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
	if err != nil {
		return err
	}
	c.authorize(request)
	answer, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, plain(ctx, err))
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxGetAnswer))
	if err != nil {
		return fmt.Errorf("GET %s: read the answer: %w", path, plain(ctx, err))
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %w", path, refusal(answer.StatusCode, answer.Header, text))
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("GET %s: the answer is not what a distributor says: %w", path, err)
	}
	return nil
}

// payload is a body that knows when the transport is done with it: a transport may close a body, and stop reading it, only
// after the answer came.
type payload struct {
	data  []byte
	users sync.WaitGroup
}

func (p *payload) open() io.ReadCloser {
	p.users.Add(1)
	return &payloadReader{Reader: *bytes.NewReader(p.data), done: sync.OnceFunc(p.users.Done)}
}

type payloadReader struct {
	bytes.Reader
	done func()
}

func (r *payloadReader) Close() error {
	r.done()
	return nil
}
