package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/distributor"
)

// working are the routes that take in and work off, or only compute: those that read-only processes have too.
var working = map[string]bool{
	"POST /v1/records": true, "POST /v1/leases": true, "POST /v1/leases/{token}/extend": true, "POST /v1/leases/{token}/ack": true,
	"POST /v1/leases/{token}/nack": true, "POST /v1/results": true, "POST /v1/autoscaler/preview": true,
}

// TestWhatSteersIsGuarded walks all routes, so that one which is added later is looked at too.
func TestWhatSteersIsGuarded(t *testing.T) {
	_, _, s := start(t, distributor.Options{})
	steering := 0
	for _, pattern := range s.routed {
		method, path, _ := strings.Cut(pattern, " ")
		if method == http.MethodGet || working[pattern] {
			continue
		}
		steering++
		path = strings.NewReplacer("{id}", "1", "{token}", "x").Replace(path)
		ask := func(readOnly bool, headers ...string) *httptest.ResponseRecorder {
			s.ReadOnly = readOnly
			r := httptest.NewRequest(method, path, strings.NewReader("{}"))
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			return w
		}
		if strings.Contains(ask(false).Body.String(), "does not have") {
			continue // this process has no such thing
		}
		if w := ask(true); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "read_only") {
			t.Errorf("%s of a read-only process: %d %s, want 403 that names read_only", pattern, w.Code, w.Body)
		}
		for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
			if w := ask(false, headers...); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "another site") {
				t.Errorf("%s by a page of another site (%q): %d %s, want 403", pattern, headers, w.Code, w.Body)
			}
		}
		if w := ask(false, "Sec-Fetch-Site", "same-origin"); w.Code == http.StatusForbidden {
			t.Errorf("%s by our own page: %d %s", pattern, w.Code, w.Body)
		}
	}
	if steering < 4 {
		t.Errorf("only %d routes steer: this test looks at too few", steering)
	}
}
