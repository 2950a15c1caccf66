package dashboard_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/dashboard"
)

func ask(t *testing.T, method, path string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h := dashboard.Handler()
	if path == "/signin" {
		h = dashboard.SignIn()
	}
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryFileIsServedWithItsTypeAndThePolicy(t *testing.T) {
	for path, want := range map[string]string{
		"/": "text/html; charset=utf-8", "/signin": "text/html; charset=utf-8", "/ui/main.js": "text/javascript; charset=utf-8",
		"/ui/app.css": "text/css; charset=utf-8", "/ui/icon.svg": "image/svg+xml",
	} {
		r := ask(t, "GET", path)
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != want {
			t.Errorf("GET %s: %d %s, want 200 %s", path, r.StatusCode, r.Header.Get("Content-Type"), want)
		}
		csp := r.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; ") || strings.Contains(csp, "unsafe") || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s: headers %v, want a policy without exceptions, and nosniff", path, r.Header)
		}
	}
	for _, path := range []string{"/ui/", "/ui/nothing.js", "/ui/index.html", "/ui/signin.html", "/ui/../dashboard.go", "/else", "/ui/static/main.js", "/ui"} {
		if r := ask(t, "GET", path); r.StatusCode != 404 {
			t.Errorf("GET %s: %d, want 404", path, r.StatusCode)
		}
	}
	if r := ask(t, "POST", "/"); r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST /: %d, Allow %q, want 405", r.StatusCode, r.Header.Get("Allow"))
	}
}

func TestAFileIsSentOnce(t *testing.T) {
	first := ask(t, "GET", "/ui/main.js")
	tag := first.Header.Get("ETag")
	for given, want := range map[string]int{tag: 304, "W/" + tag: 304, `"other", ` + tag: 304, "*": 304, `"other"`: 200, "": 200} {
		if r := ask(t, "GET", "/ui/main.js", "If-None-Match", given); r.StatusCode != want {
			t.Errorf("If-None-Match %s: %d, want %d", given, r.StatusCode, want)
		}
	}
	if r := ask(t, "GET", "/signin"); r.Header.Get("ETag") != "" || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the sign-in may be kept: %v", r.Header)
	}
}

func TestGzipForThoseWhoTakeIt(t *testing.T) {
	plain := body(t, ask(t, "GET", "/ui/app.css").Body)
	for accept, want := range map[string]bool{"gzip": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "identity": false, "": false} {
		r := ask(t, "GET", "/ui/app.css", "Accept-Encoding", accept)
		got := r.Header.Get("Content-Encoding") == "gzip"
		if got != want {
			t.Errorf("Accept-Encoding %q: gzip %v, want %v", accept, got, want)
		}
		if !got {
			continue
		}
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		if body(t, z) != plain {
			t.Errorf("Accept-Encoding %q: the file is not the same", accept)
		}
	}
	if r := ask(t, "HEAD", "/"); r.StatusCode != 200 || body(t, r.Body) != "" || r.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD /: %d %v, want headers alone", r.StatusCode, r.Header)
	}
}

// What the policy forbids would silently not work, and what is not in the folder cannot be loaded offline.
func TestTheFilesKeepTheRules(t *testing.T) {
	paths, err := filepath.Glob("static/*")
	if err != nil || len(paths) < 15 {
		t.Fatalf("files: %d, %v", len(paths), err)
	}
	rules := []struct {
		in  string // names this goes for
		bad *regexp.Regexp
		why string
	}{
		{`\.html$`, regexp.MustCompile(`\sstyle=|\son[a-z]+=|<style|<script>|javascript:`), "the policy allows nothing inline"},
		{`\.js$`, regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|createContextualFragment|DOMParser|setHTML|srcdoc`), "content goes in as text"},
		{`\.js$`, regexp.MustCompile(`setAttribute\('style'|style: '|cssText`), "the policy allows no style attributes"},
		{`\.(js|css|html)$`, regexp.MustCompile(`https?://[^w]|//cdn|@import|url\(`), "everything comes from this server"},
		{`\.(js|html)$`, regexp.MustCompile(`['"]/(v1|ui)/`), "addresses are relative, for the base path"},
	}
	total := 0
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		total += len(text)
		for _, rule := range rules {
			if !regexp.MustCompile(rule.in).MatchString(p) {
				continue
			}
			if at := rule.bad.Find(text); at != nil {
				t.Errorf("%s has %q: %s", p, at, rule.why)
			}
		}
	}
	if total >= 200_000 {
		t.Errorf("all files together have %d bytes, want less than 200,000", total)
	}
}

// An import that leads nowhere would only be seen by who opens that screen.
func TestEveryImportIsThere(t *testing.T) {
	paths, _ := filepath.Glob("static/*.js")
	imports := regexp.MustCompile(`(?:from|import)\s*\(?'\./([a-z]+\.js)'`)
	preloads := regexp.MustCompile(`(?:src|href)="ui/([a-z.]+)"`)
	found := 0
	for _, p := range append(paths, "static/index.html", "static/signin.html") {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range append(imports.FindAllSubmatch(text, -1), preloads.FindAllSubmatch(text, -1)...) {
			found++
			if r := ask(t, "GET", "/ui/"+string(m[1])); r.StatusCode != 200 {
				t.Errorf("%s names %s, which is not there", p, m[1])
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d imports were looked at", found)
	}
}
