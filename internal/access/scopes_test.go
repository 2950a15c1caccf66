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
	sender   = "sender-0123456789"
	worker   = "worker-0123456789"
	looker   = "looker-0123456789"
	operator = "operator-01234567"
)

const allLines = sender + " ingest\n" + worker + " work # the pool\n" + looker + " READ\n" + operator + " read, operate\n" + one + "\n"

func TestATokenHasTheScopesOfItsLine(t *testing.T) {
	tokens := tokensOf(t, allLines)
	for token, want := range map[string]Scope{sender: Ingest, worker: Work, looker: Read, operator: Read | Operate, one: Anything, two: 0, "": 0} {
		if got := tokens.Scopes(token); got != want {
			t.Errorf("%q may %q, want %q", token, got, want)
		}
	}
	for need, want := range map[Scope]string{Ingest: sender, Work: worker, Read: looker, Operate: operator, Read | Operate: operator, Ingest | Read: one} {
		if got := tokens.For(need)(); got != want {
			t.Errorf("for %q %q is sent, want %q", need, got, want)
		}
	}
	if got := tokensOf(t, sender+" ingest\n").For(Read)(); got != sender {
		t.Errorf("%q is sent where no token will do, want the first", got)
	}
}

func TestARouteIsForItsScopes(t *testing.T) {
	g := &Guard{Tokens: tokensOf(t, allLines), Next: Require(Read|Work, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "here") })}
	for token, want := range map[string]int{sender: 403, worker: 200, looker: 200, operator: 200, one: 200, two: 401} {
		r := httptest.NewRequest("GET", "/v1/stats", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d %s, want %d", token, w.Code, w.Body, want)
		}
		if want == 403 && !strings.Contains(w.Body.String(), "it has the scope ingest, and this needs work or read") {
			t.Errorf("%s: %s, want the scope it has and those it needs", token, w.Body)
		}
	}
}

func TestThePageWantsATokenThatMayRead(t *testing.T) {
	g := &Guard{Tokens: tokensOf(t, allLines), Next: http.NotFoundHandler(),
		SignIn: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "sign in") })}
	signIn := func(token string) (int, string) {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest("POST", "/ui/session", strings.NewReader(`{"token":"`+token+`"}`)))
		return w.Code, w.Body.String()
	}
	for token, want := range map[string]int{sender: 403, worker: 403, looker: 204, operator: 204, one: 204, two: 401} {
		if status, text := signIn(token); status != want {
			t.Errorf("signing in with %s: %d %s, want %d", token, status, text, want)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Cookie", cookieName+"="+sender)
	w := httptest.NewRecorder()
	if g.ServeHTTP(w, r); w.Code != 401 || !strings.Contains(w.Body.String(), "sign in") {
		t.Errorf("the page for a token that may not read: %d %s, want the sign-in", w.Code, w.Body)
	}
}

// TestAScopeThatIsTakenAwayEndsWhatTakesLong: the token stays good for other things.
func TestAScopeThatIsTakenAwayEndsWhatTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tokens")
		write(t, path, one)
		tokens, err := ReadTokens(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answered := false
		g := &Guard{Tokens: tokens, Next: Require(Read, func(w http.ResponseWriter, r *http.Request) {
			answered = true
			if !StillGood(r) {
				t.Error("the token is no good from the start")
			}
			write(t, path, one+" ingest,work,operate\n")
			time.Sleep(lookEvery)
			if StillGood(r) {
				t.Error("the scope was taken away and the request may go on")
			}
		})}
		r := httptest.NewRequest("GET", "/v1/events", nil)
		r.Header.Set("Authorization", "Bearer "+one)
		g.ServeHTTP(httptest.NewRecorder(), r)
		if !answered {
			t.Error("the request was not let through")
		}
	})
}

func TestAnExposedTokenFileIsReported(t *testing.T) {
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o700: false, 0o640: true, 0o604: true, 0o644: true, 0o602: true, 0o620: true} {
		var log bytes.Buffer
		path := filepath.Join(t.TempDir(), "tokens")
		write(t, path, one)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadTokens(path, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), "chmod 600 "+path); got != want {
			t.Errorf("mode %o: reported %v, want %v: %s", mode, got, want, log.String())
		}
		if _, got := ExposedTokens(path); got != want {
			t.Errorf("mode %o: exposed %v, want %v", mode, got, want)
		}
	}
	// What systemd hands over has the right of a group because of an access control list.
	path := filepath.Join(t.TempDir(), "tokens")
	write(t, path, one)
	if err := os.Chmod(path, 0o440); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(path)+"/")
	if mode, exposed := ExposedTokens(path); exposed {
		t.Errorf("a credential of systemd is exposed with mode %v", mode)
	}
}

// TestRightsThatAreGivenLaterAreReported: the file is the same, and others can read it from now on.
func TestRightsThatAreGivenLaterAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		path := filepath.Join(t.TempDir(), "tokens")
		write(t, path, one)
		tokens, err := ReadTokens(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		tokens.Scopes(one)
		if !strings.Contains(log.String(), "other users can read or change a secret") {
			t.Errorf("the log says %q", log.String())
		}
	})
}
