package access

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// through answers 200 to what a guard lets through, and says whether it came as a stranger.
func through(t *testing.T, g *Guard, method, path, host string, headers ...string) (status int, text string, h http.Header) {
	t.Helper()
	g.Next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if Stranger(r) {
			w.Write([]byte("stranger"))
		}
	})
	r := httptest.NewRequest(method, path, strings.NewReader("{}"))
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Code, w.Body.String(), w.Header()
}

func tokensOf(t *testing.T, text string) *Tokens {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	write(t, path, text)
	tokens, err := ReadTokens(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestWithoutTokensOnlyKnownHostsAreAnswered(t *testing.T) {
	open := &Guard{Hosts: []string{"Logs.example.", "sluice"}}
	for host, good := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:8000": true, "10.1.2.3:80": true, "[::1]:8000": true, "[::1]": true, "[fe80::1%25eth0]:8000": true,
		"[::ffff:127.0.0.1]:8000": true, "0.0.0.0:8000": true,
		"localhost": true, "LocalHost:8000": true, "localhost.": true, "localhost.:8000": true, "a.localhost:8000": true,
		"logs.example": true, "LOGS.example:8000": true, "logs.example.": true, "sluice:8000": true,
		"evil.example": false, "evil.example:8000": false, "evil.example:127.0.0.1": false, "127.0.0.1.evil.example": false,
		"127.0.0.1.nip.io:8000": false, "localhost.evil.example": false, "evillocalhost": false, "a.logs.example": false,
		"xsluice": false, "2130706433": false, "0x7f.1": false, "127.1:8000": false, "": false, ":8000": false, "[evil.example]:8000": false,
		"user@127.0.0.1": false, "127.0.0.1,evil.example": false,
	} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"} {
			status, text, _ := through(t, open, method, "/v1/stats", host)
			if good && status != http.StatusOK {
				t.Errorf("%s to the host %q: %d %s, want an answer", method, host, status, text)
			}
			if !good && (status != http.StatusMisdirectedRequest || !strings.Contains(text, "--allowed-hosts")) {
				t.Errorf("%s to the host %q: %d %s, want 421 that names the setting", method, host, status, text)
			}
		}
	}

	// With tokens any name will do, unless some are given.
	bearer := []string{"Authorization", "Bearer " + one}
	if status, text, _ := through(t, &Guard{Tokens: tokensOf(t, one)}, "GET", "/v1/stats", "logs.example", bearer...); status != http.StatusOK {
		t.Errorf("another host with a token: %d %s", status, text)
	}
	if status, _, _ := through(t, &Guard{Tokens: tokensOf(t, one), Hosts: []string{"sluice"}}, "GET", "/v1/stats", "logs.example", bearer...); status != http.StatusMisdirectedRequest {
		t.Errorf("another host with a token, where some are named: %d, want 421", status)
	}

	// The sign-in is no way around.
	if status, _, _ := through(t, &Guard{}, "POST", "/ui/session", "evil.example"); status != http.StatusMisdirectedRequest {
		t.Errorf("the sign-in under another host: %d, want 421", status)
	}
}

func TestPagesOfOtherSitesAreRefused(t *testing.T) {
	link := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site"}
	tests := []struct {
		name    string
		headers []string
		reads   bool // GET and the like are answered
		changes bool // POST and the like are
	}{
		{"no browser", nil, true, true},
		{"our own page", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:8000"}, true, true},
		{"our own page in an old browser", []string{"Origin", "http://127.0.0.1:8000"}, true, true},
		{"typed by a person", []string{"Sec-Fetch-Site", "none"}, true, true},
		{"typed by a person, says one who names a page", []string{"Sec-Fetch-Site", "none", "Origin", "https://evil.example"}, false, false},
		{"fetch without cors, a form, a beacon", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example", "Sec-Fetch-Mode", "no-cors"}, false, false},
		{"a page of another port", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:3000"}, false, false},
		{"an old browser", []string{"Origin", "https://evil.example"}, false, false},
		{"a page in a sandbox", []string{"Origin", "null"}, false, false},
		{"the same host at another port, in an old browser", []string{"Origin", "http://127.0.0.1:3000"}, false, false},
		{"an image or a script", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, false, false},
		{"in a frame", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, false, false},
		{"a link", append(link, "cross-site"), false, false},
		{"a word that nobody knows", []string{"Sec-Fetch-Site", "elsewhere"}, false, false},
	}
	tokens := tokensOf(t, one)
	for _, tt := range tests {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "QUERY"} {
			want := tt.changes
			if method == "GET" || method == "HEAD" || method == "OPTIONS" {
				want = tt.reads
			}
			for _, g := range []*Guard{{}, {Tokens: tokens}} {
				headers := append([]string{"Authorization", "Bearer " + one}, tt.headers...)
				status, text, h := through(t, g, method, "/v1/stats", "127.0.0.1:8000", headers...)
				if want && status != http.StatusOK || !want && (status != http.StatusForbidden || !strings.Contains(text, "another site")) {
					t.Errorf("%s, %s, tokens %v: %d %s, want it answered: %v", method, tt.name, g.Tokens != nil, status, text, want)
				}
				for name := range h {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("%s, %s: the header %s lets other pages read", method, tt.name, name)
					}
				}
			}
		}
	}

	// A link to the page may be anywhere, and to nothing else.
	for _, base := range []string{"", "/sluice"} {
		for path, want := range map[string]int{"/": 200, "/v1/stats": 403, "/v1/dead/export": 403, "/ui/main.js": 403} {
			if status, text, _ := through(t, &Guard{Base: base}, "GET", base+path, "127.0.0.1", append(link, "cross-site")...); status != want {
				t.Errorf("a link to %s%s: %d %s, want %d", base, path, status, text, want)
			}
		}
	}
	// The sign-in must not be used by others, who would sign somebody in as themselves.
	if status, _, _ := through(t, &Guard{Tokens: tokens}, "POST", "/ui/session", "127.0.0.1", "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("the sign-in by another page: %d, want 403", status)
	}
}

// TestProbesAreAnsweredUnderAnyName: a load balancer may use a name, and learns only yes or no.
func TestProbesAreAnsweredUnderAnyName(t *testing.T) {
	for _, base := range []string{"", "/sluice"} {
		for _, path := range []string{"/healthz", "/readyz"} {
			for _, headers := range [][]string{nil, {"Origin", "https://evil.example"}} {
				status, text, _ := through(t, &Guard{Base: base}, "GET", base+path, "lb.example", headers...)
				if status != http.StatusOK || text != "stranger" {
					t.Errorf("GET %s%s: %d %q, want it answered as to a stranger", base, path, status, text)
				}
			}
			if status, text, _ := through(t, &Guard{Base: base}, "GET", base+path, "127.0.0.1"); status != http.StatusOK || text != "" {
				t.Errorf("GET %s%s under a known name: %d %q, want it answered in full", base, path, status, text)
			}
			if status, _, _ := through(t, &Guard{Base: base}, "POST", base+path, "lb.example"); status != http.StatusMisdirectedRequest {
				t.Errorf("POST %s%s: %d, want 421", base, path, status)
			}
		}
	}
}

func TestWhatIsReadIsForThisOriginOnly(t *testing.T) {
	for _, path := range []string{"/", "/v1/stats", "/metrics", "/healthz"} {
		_, _, h := through(t, &Guard{}, "GET", path, "127.0.0.1")
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" {
			t.Errorf("GET %s: %v, want nosniff and same-origin", path, h)
		}
	}
}
