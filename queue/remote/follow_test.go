package remote

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sluicehq/sluice/queue"
)

// TestFollowing: what a process does not have is asked of the one that it names; once, and never so that the token goes in the clear.
func TestFollowing(t *testing.T) {
	asked := 0
	var there *httptest.Server
	there = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Error("the token did not come along")
		}
		if r.URL.Path == "/v1/nowhere" { // and it names itself
			w.WriteHeader(404)
			json.NewEncoder(w).Encode(Error{Message: "no", At: there.URL})
			return
		}
		w.Write([]byte(`{"count":3}`))
	}))
	defer there.Close()
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(404)
		json.NewEncoder(w).Encode(Error{Message: "it is elsewhere", At: there.URL})
	})
	plain, secure := httptest.NewServer(refuse), httptest.NewTLSServer(refuse)
	defer plain.Close()
	defer secure.Close()
	c, err := NewClient(plain.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.Token = func() string { return "secret" }
	var answer struct{ Count int }
	if err := c.Call(t.Context(), "GET", "/v1/dead", nil, &answer); !errors.Is(err, queue.ErrNotFound) || asked != 0 {
		t.Errorf("not told to follow: %v, %d requests there", err, asked)
	}
	c.Follow = true
	if err := c.Call(t.Context(), "GET", "/v1/dead", nil, &answer); err != nil || answer.Count != 3 {
		t.Errorf("followed: %v, %+v", err, answer)
	}
	if at := c.Where(t.Context(), "/v1/dead"); at != there.URL {
		t.Errorf("it is at %s, want %s", at, there.URL)
	}
	asked = 0
	if err := c.Call(t.Context(), "GET", "/v1/nowhere", nil, nil); !errors.Is(err, queue.ErrNotFound) || asked != 1 {
		t.Errorf("a circle: %v after %d requests, want one", err, asked)
	}
	tls := &Client{base: secure.URL, http: secure.Client(), Follow: true, Token: c.Token}
	asked = 0
	if err := tls.Call(t.Context(), "GET", "/v1/dead", nil, nil); !errors.Is(err, queue.ErrNotFound) || asked != 0 {
		t.Errorf("from https to http: %v, %d requests there", err, asked)
	}
}
