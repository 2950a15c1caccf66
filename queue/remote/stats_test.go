package remote

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestStatisticsWithoutADepthAreNoEmptyQueue: what is not known must not look like nothing to do.
func TestStatisticsWithoutADepthAreNoEmptyQueue(t *testing.T) {
	for body, ok := range map[string]bool{
		`{"depth": 0}`:                     true,
		`{"depth": 7, "in_flight": 2}`:     true,
		`{}`:                               false,
		`{"depth": null}`:                  false,
		`{"accepted": 5, "completed": 5}`:  false,
		`{"depth": "7"}`:                   false,
		`<html>a page of something else`:   false,
		`{"error": "sluice has no queue"}`: false,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) }))
		c, err := NewClient(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		st, err := c.Stats(t.Context())
		if (err == nil) != ok {
			t.Errorf("%s: %+v, %v; want it to be understood: %v", body, st, err, ok)
		}
		c.Close()
		srv.Close()
	}
}
