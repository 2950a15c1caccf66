package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/internal/access"
	"github.com/sluicehq/sluice/internal/tap"
)

// working are the routes that take in and work off, or only compute: those that read-only processes have too.
var working = map[string]bool{
	"POST /v1/records": true, "POST /v1/leases": true, "POST /v1/leases/{token}/extend": true, "POST /v1/leases/{token}/ack": true,
	"POST /v1/leases/{token}/nack": true, "POST /v1/results": true, "POST /v1/autoscaler/preview": true,
}

// noTuner changes nothing.
type noTuner struct{}

func (noTuner) Tuning() Tuning                                   { return Tuning{} }
func (noTuner) Info() TunerInfo                                  { return TunerInfo{} }
func (noTuner) Preview(context.Context, Tuning) (Preview, error) { return Preview{}, nil }
func (noTuner) Apply(Tuning) []Problem                           { return nil }

// TestEveryRouteAsksForAToken walks all routes behind a guard: with a token, and without.
func TestEveryRouteAsksForAToken(t *testing.T) {
	_, _, s := start(t, distributor.Options{})
	rooms := s.Rooms
	rooms.Tuner, rooms.Tap = noTuner{}, &tap.Tap{}
	rooms.Page = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	s = New(rooms, nil)
	const token = "0123456789-a-good-token"
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := access.ReadTokens(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	guard := &access.Guard{Tokens: tokens, Next: s}
	open := map[string]bool{"GET /healthz": true, "GET /readyz": true}
	streams := map[string]bool{"GET /v1/events": true, "GET /v1/tail": true}
	for _, pattern := range append(s.routed, "GET /metrics", "GET /nowhere") {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{id}", "1", "{token}", "x", "{$}", "").Replace(path)
		ask := func(token string) int {
			ctx, cancel := context.WithCancel(t.Context())
			if streams[pattern] {
				cancel() // it would not end
			}
			defer cancel()
			r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader("{}"))
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			w := httptest.NewRecorder()
			guard.ServeHTTP(w, r)
			return w.Code
		}
		if got := ask(""); got != http.StatusUnauthorized && !open[pattern] {
			t.Errorf("%s without a token: %d, want 401", pattern, got)
		}
		if got := ask("0123456789-another-token"); got != http.StatusUnauthorized && !open[pattern] {
			t.Errorf("%s with a wrong token: %d, want 401", pattern, got)
		}
		if got := ask(token); got == http.StatusUnauthorized {
			t.Errorf("%s with the token: %d", pattern, got)
		}
	}
}

// TestWhatSteersIsGuarded walks all routes, so that one which is added later is looked at too.
func TestWhatSteersIsGuarded(t *testing.T) {
	_, _, s := start(t, distributor.Options{})
	rooms := s.Rooms
	rooms.Tuner, rooms.Tap = noTuner{}, &tap.Tap{}
	s = New(rooms, nil)
	steering := 0
	for _, pattern := range s.routed {
		method, path, _ := strings.Cut(pattern, " ")
		if method == http.MethodGet || working[pattern] {
			continue
		}
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
			t.Errorf("%s is not there in a process that has everything", pattern)
			continue
		}
		steering++
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
	if steering < 10 {
		t.Errorf("only %d routes steer: this test looks at too few", steering)
	}
}
