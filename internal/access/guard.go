package access

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/sluicehq/sluice/internal/strictjson"
)

// Guard stands in front of all routes.
type Guard struct {
	Tokens *Tokens      // nil lets everybody in
	Hosts  []string     // names that it answers to besides localhost and IP addresses
	Base   string       // everything lies below this path, such as "/sluice"; empty for none
	SignIn http.Handler // the page that asks for a token; nil for none
	Next   http.Handler // what is guarded
}

// The paths that the guard knows.
const (
	assetsPath  = "/ui/"        // files of the page: without a token
	sessionPath = "/ui/session" // POST signs in, DELETE signs out
	cookieName  = "sluice_session"
)

// ServeHTTP lets a request through, or says what it lacks.
func (g *Guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if reading(r) { // a browser keeps what it fetches here from pages of others, whatever they take it for
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	}
	if g.probe(r) {
		if !g.hostGood(r.Host) || g.foreign(r) != nil {
			r = withGrant(r, &grant{})
		}
	} else if g.outside(w, r) {
		return
	}
	if g.Base != "" {
		path, below := strings.CutPrefix(r.URL.Path, g.Base)
		switch {
		case below && path == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
			http.Redirect(w, r, g.Base+"/", http.StatusPermanentRedirect)
			return
		case !below || path == "" || path[0] != '/':
			say(w, http.StatusNotFound, "no such path: "+r.Method+" "+r.URL.Path, "everything here lies below "+g.Base+"/")
			return
		}
		http.StripPrefix(g.Base, http.HandlerFunc(g.inside)).ServeHTTP(w, r)
		return
	}
	g.inside(w, r)
}

func (g *Guard) inside(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == sessionPath {
		g.session(w, r)
		return
	}
	if g.Tokens == nil {
		g.Next.ServeHTTP(w, r)
		return
	}
	token := tokenOf(r)
	scopes := g.Tokens.Scopes(token)
	switch {
	case reading(r) && r.URL.Path == "/" && scopes&Read == 0 && g.SignIn != nil && strings.Contains(r.Header.Get("Accept"), "text/html"):
		challenge(w)
		g.SignIn.ServeHTTP(&withStatus{ResponseWriter: w, status: http.StatusUnauthorized}, r)
	case scopes != 0 && !Stranger(r):
		g.Next.ServeHTTP(w, withGrant(r, &grant{tokens: g.Tokens, token: token, scopes: scopes, need: Anything}))
	case reading(r) && (isProbe(r.URL.Path) || strings.HasPrefix(r.URL.Path, assetsPath)):
		g.Next.ServeHTTP(w, withGrant(r, &grant{}))
	default:
		refuse(w, "missing or invalid bearer token")
	}
}

// tokenOf is the token that came with a request. A header counts more than a cookie.
func tokenOf(r *http.Request) string {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return ""
		}
		return strings.TrimSpace(token)
	}
	c, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return c.Value
}

// session signs in and out.
func (g *Guard) session(w http.ResponseWriter, r *http.Request) {
	cookie := http.Cookie{
		Name: cookieName, Path: g.Base + "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
	switch r.Method {
	case http.MethodDelete:
		cookie.MaxAge = -1
	case http.MethodPost:
		var in struct {
			Token string `json:"token" strict:"required"`
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4096))
		if err == nil {
			err = strictjson.Decode(body, &in)
		}
		if err != nil {
			say(w, http.StatusBadRequest, "the body is not the JSON that is wanted here: "+err.Error(), `for example {"token": "..."}`)
			return
		}
		if g.Tokens != nil {
			scopes := g.Tokens.Scopes(in.Token)
			if scopes == 0 {
				refuse(w, "this is not a good token")
				return
			}
			if scopes&Read == 0 {
				say(w, http.StatusForbidden, "this token may not read: it has the scope "+scopes.String(), "the page needs a token with the scope read")
				return
			}
		}
		cookie.Value = in.Token
	default:
		w.Header().Set("Allow", "POST, DELETE")
		say(w, http.StatusMethodNotAllowed, r.URL.Path+" does not take "+r.Method, "it takes POST and DELETE")
		return
	}
	if g.Tokens != nil {
		http.SetCookie(w, &cookie)
	}
	w.WriteHeader(http.StatusNoContent)
}

func challenge(w http.ResponseWriter) { w.Header().Set("WWW-Authenticate", `Bearer realm="sluice"`) }

func refuse(w http.ResponseWriter, what string) {
	challenge(w)
	say(w, http.StatusUnauthorized, what, "send the header Authorization: Bearer TOKEN with one of the tokens in the server's token file; sluice commands take --token-file")
}

// say answers in the form of all errors here.
func say(w http.ResponseWriter, status int, message, hint string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(map[string]string{"error": message, "hint": hint})
}

// withStatus answers with a status of its own in place of 200.
type withStatus struct {
	http.ResponseWriter
	status int
	wrote  bool
}

// WriteHeader puts the status in place of 200, once.
func (w *withStatus) WriteHeader(status int) {
	if status == http.StatusOK {
		status = w.status
	}
	w.wrote = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *withStatus) Write(b []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}
