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
	"POST /v1/leases/{token}/nack": true, "POST /v1/results": true, "POST /v1/pools": true, "POST /v1/autoscaler/preview": true,
}

// noTuner changes nothing.
type noTuner struct{}

func (noTuner) Tuning() Tuning                                   { return Tuning{} }
func (noTuner) Info() TunerInfo                                  { return TunerInfo{} }
func (noTuner) Preview(context.Context, Tuning) (Preview, error) { return Preview{}, nil }
func (noTuner) Apply(Tuning) []Problem                           { return nil }

// allRooms is a process with all rooms, and so with all routes.
func allRooms(t *testing.T) *Server {
	t.Helper()
	_, _, s := start(t, distributor.Options{})
	rooms := s.Rooms
	rooms.Tuner, rooms.Tap = noTuner{}, &tap.Tap{}
	rooms.Page = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	return New(rooms, nil)
}

// streams do not end by themselves.
var streams = map[string]bool{"/v1/events": true, "/v1/tail": true}

// askGuard sends a request through a guard.
func askGuard(t *testing.T, g *access.Guard, method, path, host string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if streams[path] {
		cancel()
	}
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader("{}"))
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

func pathOf(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	return method, strings.NewReplacer("{id}", "1", "{token}", "x", "{$}", "").Replace(path)
}

var methods = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT"}

// TestEveryRouteAsksForItsScope walks all routes with all methods and a token of each scope. What is wanted follows from the method and
// the path, and not from the table, so that a new route is judged too.
func TestEveryRouteAsksForItsScope(t *testing.T) {
	s := allRooms(t)
	names := []string{"ingest", "work", "read", "operate"}
	var file strings.Builder
	for _, name := range names {
		file.WriteString(name + "-token-0123456789 " + name + "\n")
	}
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := access.ReadTokens(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	guard := &access.Guard{Tokens: tokens, Next: s}
	allowed := map[string]map[string]bool{"/nowhere": nil} // methods by path
	for _, pattern := range s.routed {
		_, path := pathOf(pattern)
		allowed[path] = map[string]bool{}
		for _, method := range methods {
			_, found := s.mux.Handler(httptest.NewRequest(method, path, nil))
			allowed[path][method] = found != "/" // "/v1/dead/retry" is also a dead letter with a strange ID
		}
	}
	if len(allowed) < 25 {
		t.Fatalf("only %d paths are looked at", len(allowed))
	}
	for path, takes := range allowed {
		for _, method := range methods {
			reads := method == "GET" || method == "HEAD"
			open := reads && (path == "/healthz" || path == "/readyz" || path == "/ui/")
			var want string
			switch {
			case open, !takes[method]:
				want = "ingest work read operate" // or rather, nothing to allow
			case reads && path == "/v1/stats":
				want = "read work"
			case reads:
				want = "read"
			case path == "/v1/records":
				want = "ingest"
			case strings.HasPrefix(path, "/v1/leases"), path == "/v1/results", path == "/v1/pools":
				want = "work"
			default:
				want = "operate"
			}
			for _, name := range names {
				w := askGuard(t, guard, method, path, "any.example", "Authorization", "Bearer "+name+"-token-0123456789")
				refused := w.Code == http.StatusForbidden
				if refused == strings.Contains(want, name) || w.Code == http.StatusUnauthorized {
					t.Errorf("%s %s with the scope %s: %d %s, want it for %q", method, path, name, w.Code, w.Body, want)
				}
				if !takes[method] && !open && w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound {
					t.Errorf("%s %s, which is no route: %d %s, want 405 or 404", method, path, w.Code, w.Body)
				}
			}
			for _, token := range []string{"", "Bearer another-token-0123456789"} {
				if w := askGuard(t, guard, method, path, "any.example", "Authorization", token); !open && w.Code != http.StatusUnauthorized {
					t.Errorf("%s %s with the token %q: %d, want 401", method, path, token, w.Code)
				}
			}
		}
	}
}

// TestTheTableOfScopesIsThatOfTheRoutes: nothing is left in it of routes that are gone.
func TestTheTableOfScopesIsThatOfTheRoutes(t *testing.T) {
	routed := map[string]bool{}
	for _, pattern := range allRooms(t).routed {
		routed[pattern] = true
	}
	for pattern := range scopes {
		if !routed[pattern] {
			t.Errorf("%s has a scope and is no route", pattern)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a route without a scope was made")
		}
	}()
	scoped("GET /v1/secrets", func(http.ResponseWriter, *http.Request) {})
}

// TestNoRouteIsForPagesOfOthers walks all routes with all methods, without tokens: as a page of another site asks, and under a name that
// was pointed at this machine.
func TestNoRouteIsForPagesOfOthers(t *testing.T) {
	s := allRooms(t)
	guard := &access.Guard{Next: s}
	for _, pattern := range append(s.routed, "GET /nowhere", "POST /ui/session") {
		_, path := pathOf(pattern)
		if path == "/healthz" || path == "/readyz" {
			continue
		}
		for _, method := range methods {
			for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
				if w := askGuard(t, guard, method, path, "127.0.0.1:8000", headers...); w.Code != http.StatusForbidden {
					t.Errorf("%s %s with %q: %d %s, want 403", method, path, headers, w.Code, w.Body)
				}
			}
			if w := askGuard(t, guard, method, path, "evil.example", "Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example"); w.Code != http.StatusMisdirectedRequest {
				t.Errorf("%s %s under another name: %d %s, want 421", method, path, w.Code, w.Body)
			}
		}
		if method, _, _ := strings.Cut(pattern, " "); path != "/nowhere" {
			for _, headers := range [][]string{nil, {"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:8000"}} {
				if w := askGuard(t, guard, method, path, "127.0.0.1:8000", headers...); w.Code == http.StatusForbidden || w.Code == http.StatusMisdirectedRequest {
					t.Errorf("%s %s with %q: %d %s", method, path, headers, w.Code, w.Body)
				}
			}
		}
	}
}

// TestWhatSteersIsGuarded walks all routes, so that one which is added later is looked at too.
func TestWhatSteersIsGuarded(t *testing.T) {
	s := allRooms(t)
	steering := 0
	for _, pattern := range s.routed {
		method, path, _ := strings.Cut(pattern, " ")
		if method == http.MethodGet || working[pattern] {
			continue
		}
		path = strings.NewReplacer("{id}", "1", "{token}", "x").Replace(path)
		ask := func(readOnly bool) *httptest.ResponseRecorder {
			s.ReadOnly = readOnly
			r := httptest.NewRequest(method, path, strings.NewReader("{}"))
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
	}
	if steering < 10 {
		t.Errorf("only %d routes steer: this test looks at too few", steering)
	}
}
