package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/queue"
)

// fake is a distributor that has a batch for whoever asks, answers after a second, and keeps what it was asked.
type fake struct {
	requests []LeaseRequest
	nacked   []string // paths
	down     atomic.Bool
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := func(form string, body []byte) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {form}}, Body: io.NopCloser(bytes.NewReader(body))}, nil
	}
	if strings.HasSuffix(r.URL.Path, "/nack") {
		f.nacked = append(f.nacked, r.URL.Path)
		return answer("application/json", []byte("{}"))
	}
	var req LeaseRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return nil, err
	}
	f.requests = append(f.requests, req)
	select {
	case <-time.After(time.Second):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if f.down.Load() {
		return nil, errors.New("connection refused")
	}
	var outcomes []Outcome
	for _, token := range req.Acks {
		if o := (Outcome{Status: 200}); token != "late" {
			outcomes = append(outcomes, o)
		} else {
			outcomes = append(outcomes, Outcome{Status: 409, Message: "lease expired"})
		}
	}
	body := AppendOutcomes(nil, outcomes)
	for _, name := range req.Analyzers {
		b := sluice.NewBatch([]byte("{}\n"), 1, time.Now())
		body, _ = AppendLease(body, queue.Lease{Token: "t-" + name, Batch: b, Attempt: 1, Expires: time.Now().Add(time.Minute)}, time.Now())
	}
	return answer(StoredForm, body)
}

// shared runs a test with a client that shares requests with a fake distributor, and a caller whose request is under way.
func shared(t *testing.T, test func(t *testing.T, c *Client, f *fake)) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		c, err := NewClient("http://sluice.test")
		if err != nil {
			t.Fatal(err)
		}
		c.http.Transport = f
		c.stored.Store(true)
		go c.Ack(t.Context(), "under way")
		synctest.Wait()
		test(t, c, f)
		c.Close()
	})
}

func TestWhatComesMeanwhileSharesTheNextRequest(t *testing.T) {
	shared(t, func(t *testing.T, c *Client, f *fake) {
		for _, name := range []string{"a", "b"} {
			go func() {
				leases, err := c.Lease(t.Context(), queue.Request{Analyzer: name, Max: 2})
				if err != nil || len(leases) != 2 || leases[0].Token != "t-"+name || leases[1].Token != "t-"+name {
					t.Errorf("%s got %+v, %v; want two leases of its own", name, leases, err)
				}
			}()
		}
		for token, want := range map[string]error{"good": nil, "late": queue.ErrLeaseExpired} {
			go func() {
				if err := c.Ack(t.Context(), token); !errors.Is(err, want) {
					t.Errorf("ack of %q: %v, want %v", token, err, want)
				}
			}()
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if len(f.requests) != 2 || len(f.requests[1].Acks) != 2 || len(f.requests[1].Analyzers) != 4 {
			t.Errorf("requests %+v, want one more, with all that came", f.requests)
		}
	})
}

func TestALeaseForACallerThatLeftIsHandedBack(t *testing.T) {
	shared(t, func(t *testing.T, c *Client, f *fake) {
		ctx, leave := context.WithCancel(t.Context())
		for name, ctx := range map[string]context.Context{"leaves": ctx, "stays": t.Context()} {
			go func() {
				leases, err := c.Lease(ctx, queue.Request{Analyzer: name, Max: 1})
				if stays := name == "stays"; (len(leases) == 1) != stays || (err == nil) != stays {
					t.Errorf("%s got %d leases, %v", name, len(leases), err)
				}
			}()
		}
		time.Sleep(1500 * time.Millisecond) // their request is under way
		leave()
		time.Sleep(time.Second)
		synctest.Wait()
		if len(f.nacked) != 1 || (f.nacked[0] != "/v1/leases/t-leaves/nack" && f.nacked[0] != "/v1/leases/t-stays/nack") {
			t.Errorf("handed back: %q, want the one lease of the analyzer that left", f.nacked)
		}
	})
}

func TestARequestThatAllCallersLeftEnds(t *testing.T) {
	shared(t, func(t *testing.T, c *Client, f *fake) {
		time.Sleep(2 * time.Second)
		ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		begun := time.Now()
		if _, err := c.Lease(ctx, queue.Request{Analyzer: "a", Max: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the end of the context", err)
		}
		c.Close()
		if d := time.Since(begun); d != time.Millisecond || len(f.nacked) != 0 {
			t.Errorf("it ended after %v, with %q handed back; want it to be at once, with nothing", d, f.nacked)
		}
	})
}

func TestARequestThatFailsFailsForAllCallers(t *testing.T) {
	shared(t, func(t *testing.T, c *Client, f *fake) {
		f.down.Store(true)
		for range 3 {
			go func() {
				if err := c.Ack(t.Context(), "t"); !errors.Is(err, queue.ErrUnavailable) {
					t.Errorf("ack: %v, want ErrUnavailable", err)
				}
			}()
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if c.stored.Load() {
			t.Error("want the next request to be one of its own: another distributor may answer it")
		}
	})
}
