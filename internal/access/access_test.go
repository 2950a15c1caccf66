package access

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	one = "one-0123456789abcdef"
	two = "two-0123456789abcdef"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestATokenFileIsReadOrRefused(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"one", one + "\n", ""},
		{"several, with comments", "# ours\n\n" + two + "\r\n  " + one + "  \n", ""},
		{"empty", "", "it has no token"},
		{"comments only", "# nothing\n", "it has no token"},
		{"short", one + "\nsecret\n", "line 2 has a token of 6 characters, want at least 16"},
		{"scopes before the token", "read " + one + "\n", "line 1 has a token of 4 characters, want at least 16, and the token before its scopes"},
		{"with a quote", one + "\"\n", "line 1 has a character that a token may not have, at 21"},
		{"words behind it", one + " secret\n", "line 1 has something behind the token that is no scope; want some of ingest,work,read,operate"},
		{"scopes, and a comment", one + " ingest,work read,operate # secret\n", ""},
		{"twice the same", one + "\n" + one + "\n", ""},
		{"twice with other scopes", one + "\n" + one + " read\n", "line 2 has the token of line 1 with other scopes"},
		{"a comma alone", one + " ,\n", "no scope"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tokens")
			write(t, path, tt.text)
			tokens, err := ReadTokens(path, nil)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
					t.Errorf("the error is %v, want one with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tokens.Scopes(one) != Anything || tokens.Scopes("") != 0 || tokens.Scopes(one+"x") != 0 || tokens.Scopes("# ours") != 0 {
				t.Error("want the token of the file to be good for anything, and no other for something")
			}
		})
	}
	if _, err := ReadTokens(filepath.Join(t.TempDir(), "none"), nil); err == nil || !strings.Contains(err.Error(), "token file") {
		t.Errorf("a file that is missing: %v", err)
	}
}

func TestTokensAreExchangedWithoutARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		path := filepath.Join(t.TempDir(), "tokens")
		write(t, path, one)
		tokens, err := ReadTokens(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		look := func(step string, wantOne, wantTwo bool, first string) {
			t.Helper()
			time.Sleep(lookEvery)
			if got := tokens.For(Read)(); got != first {
				t.Errorf("%s: %q is sent, want %q", step, got, first)
			}
			if (tokens.Scopes(one) != 0) != wantOne || (tokens.Scopes(two) != 0) != wantTwo {
				t.Errorf("%s: one is good: %v, two: %v; want %v and %v", step, !wantOne, !wantTwo, wantOne, wantTwo)
			}
		}
		look("at the start", true, false, one)
		write(t, path, two+"\n"+one+"\n")
		look("both", true, true, two)
		write(t, path, two+"\n")
		look("the new one alone", false, true, two)
		write(t, path, "")
		look("a file that was emptied", false, true, two)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		look("no file", false, true, two)
		look("still no file", false, true, two)
		if n := strings.Count(log.String(), "tokens stay as they were"); n != 2 {
			t.Errorf("%d complaints, want one for each thing that was wrong:\n%s", n, log.String())
		}
		if strings.Contains(log.String(), one) || strings.Contains(log.String(), two) {
			t.Error("a token is in the log")
		}
		write(t, path, one+"\n")
		look("a file again", true, false, one)
	})
}

// guarded is a server behind a guard with the token one.
func guarded(t *testing.T, base string) *httptest.Server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	write(t, path, one)
	tokens, err := ReadTokens(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(&Guard{
		Tokens: tokens, Base: base,
		SignIn: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "who are you?") }),
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if Stranger(r) {
				io.WriteString(w, "little of ")
			}
			io.WriteString(w, r.URL.Path)
		}),
	})
	t.Cleanup(s.Close)
	return s
}

func ask(t *testing.T, method, url, body string, headers ...string) (status int, text string, h http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func TestTheGuard(t *testing.T) {
	for _, base := range []string{"", "/sluice", "/a/b"} {
		s := guarded(t, base)
		url := s.URL + base
		bearer := []string{"Authorization", "Bearer " + one}
		cookie := []string{"Cookie", "other=1; " + cookieName + "=" + one}
		html := []string{"Accept", "text/html,*/*"}
		tests := []struct {
			name, method, path string
			headers            []string
			status             int
			text               string
		}{
			{"with the token", "GET", "/v1/stats", bearer, 200, "/v1/stats"},
			{"the scheme in small letters", "GET", "/v1/stats", []string{"Authorization", "bearer " + one}, 200, "/v1/stats"},
			{"with the cookie", "POST", "/v1/records", cookie, 200, "/v1/records"},
			{"a wrong header beside a good cookie", "GET", "/", append([]string{"Authorization", "Bearer " + two}, cookie...), 401, "missing or invalid"},
			{"a wrong token", "GET", "/v1/stats", []string{"Authorization", "Bearer " + two}, 401, "missing or invalid"},
			{"another scheme", "GET", "/v1/stats", []string{"Authorization", "Basic " + one}, 401, "missing or invalid"},
			{"none", "GET", "/v1/stats", nil, 401, "missing or invalid"},
			{"none, to post", "POST", "/healthz", nil, 401, "missing or invalid"},
			{"none, metrics", "GET", "/metrics", nil, 401, "missing or invalid"},
			{"none, a path that looks like a file of the page", "GET", "/ui/../v1/stats", nil, 401, "missing or invalid"},
			{"alive", "GET", "/healthz", nil, 200, "little of /healthz"},
			{"ready", "GET", "/readyz", nil, 200, "little of /readyz"},
			{"a file of the page", "GET", "/ui/app.js", nil, 200, "little of /ui/app.js"},
			{"the page", "GET", "/", html, 401, "who are you?"},
			{"the index for programs", "GET", "/", nil, 401, "missing or invalid"},
			{"the page with a token", "GET", "/", append(html, bearer...), 200, "/"},
		}
		for _, tt := range tests {
			path := tt.path
			if strings.Contains(path, "..") {
				path = strings.ReplaceAll(path, "..", "%2e%2e")
			}
			status, text, h := ask(t, tt.method, url+path, "", tt.headers...)
			if strings.Contains(tt.path, "..") && status == 200 && strings.HasPrefix(text, "little of /ui/") {
				continue // it stays below the files of the page
			}
			if status != tt.status || !strings.Contains(text, tt.text) {
				t.Errorf("below %q, %s: %d %q, want %d with %q", base, tt.name, status, text, tt.status, tt.text)
			}
			if status == 401 && !strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("below %q, %s: WWW-Authenticate is %q", base, tt.name, h.Get("WWW-Authenticate"))
			}
		}
	}
}

func TestSigningInAndOut(t *testing.T) {
	s := guarded(t, "/sluice")
	url := s.URL + "/sluice/ui/session"
	if status, text, _ := ask(t, "POST", url, `{"token":"`+two+`"}`); status != 401 || !strings.Contains(text, "not a good token") {
		t.Errorf("a wrong token: %d %s", status, text)
	}
	if status, text, _ := ask(t, "POST", url, `token=`); status != 400 {
		t.Errorf("no JSON: %d %s", status, text)
	}
	if status, text, _ := ask(t, "GET", url, ""); status != 405 {
		t.Errorf("GET: %d %s", status, text)
	}
	status, _, h := ask(t, "POST", url, `{"token":"`+one+`"}`)
	set := h.Get("Set-Cookie")
	if status != 204 || !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "SameSite=Strict") || !strings.Contains(set, "Path=/sluice/") {
		t.Fatalf("signing in: %d, cookie %q", status, set)
	}
	cookie, _, _ := strings.Cut(set, ";")
	if status, text, _ := ask(t, "GET", s.URL+"/sluice/v1/stats", "", "Cookie", cookie); status != 200 {
		t.Errorf("signed in: %d %s", status, text)
	}
	if _, _, h := ask(t, "DELETE", url, "", "Cookie", cookie); !strings.Contains(h.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("signing out sets the cookie %q, want an end", h.Get("Set-Cookie"))
	}
	if _, _, h := ask(t, "POST", url, `{"token":"`+one+`"}`, "X-Forwarded-Proto", "https"); !strings.Contains(h.Get("Set-Cookie"), "Secure") {
		t.Errorf("behind a proxy with TLS the cookie is %q, want it Secure", h.Get("Set-Cookie"))
	}
}

func TestATokenThatIsTakenOutEndsWhatTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tokens")
		write(t, path, one)
		tokens, err := ReadTokens(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		g := &Guard{Tokens: tokens, Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !StillGood(r) {
				t.Error("the token is no good from the start")
			}
			write(t, path, two+"\n")
			time.Sleep(lookEvery)
			if StillGood(r) {
				t.Error("the token was taken out of the file and is still good")
			}
		})}
		r := httptest.NewRequest("GET", "/v1/events", nil)
		r.Header.Set("Authorization", "Bearer "+one)
		g.ServeHTTP(httptest.NewRecorder(), r)
		if !StillGood(httptest.NewRequest("GET", "/", nil)) {
			t.Error("without a guard everything is good")
		}
	})
}

func TestNothingLiesOutsideOfTheBasePath(t *testing.T) {
	s := guarded(t, "/sluice")
	for path, want := range map[string]int{"/": 404, "/v1/stats": 404, "/sluicex": 404, "/sluice": 308} {
		if status, text, _ := ask(t, "GET", s.URL+path, "", "Authorization", "Bearer "+one); status != want {
			t.Errorf("GET %s: %d %s, want %d", path, status, text, want)
		}
	}
}
