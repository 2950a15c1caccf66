package access

import (
	"context"
	"net/http"
	"strings"
)

// Scope is a set of things that a request may need and a token may allow. Scopes do not contain each other: a token that steers and
// looks has both.
type Scope uint8

// The scopes.
const (
	Ingest  Scope = 1 << iota // send records
	Work                      // lease batches, answer for them, add results; and read the depth, by which a pool is scaled
	Read                      // statistics, decisions, metrics, dead letters, live records, and the page
	Operate                   // pause, force, settings, dead letters, analyzers
)

// Anything is every scope: what a token without scopes allows, and what anybody may do where there are no tokens.
const Anything = Ingest | Work | Read | Operate

// Open is the scope of a route that asks for no token. It tells a request without one no more than it must.
const Open Scope = 0

// scopeNames are in the order in which they are written.
var scopeNames = []struct {
	scope Scope
	name  string
	what  string
}{
	{Ingest, "ingest", "send records"},
	{Work, "work", "lease records, complete them, make dead letters of them, add results"},
	{Read, "read", "see records, dead letters, statistics and the page"},
	{Operate, "operate", "pause and resize the pool, change its settings, retry and drop dead letters"},
}

// String is the names with commas between them, as a token file has them.
func (s Scope) String() string { return strings.Join(s.names(), ",") }

func (s Scope) names() []string {
	var names []string
	for _, n := range scopeNames {
		if s&n.scope != 0 {
			names = append(names, n.name)
		}
	}
	return names
}

// Describe says in words what each of the scopes lets a client do.
func (s Scope) Describe() []string {
	var list []string
	for _, n := range scopeNames {
		if s&n.scope != 0 {
			list = append(list, n.name+": "+n.what)
		}
	}
	return list
}

// parseScopes reads names with commas or spaces between them. It does not say what is wrong with them: it may be a token.
func parseScopes(words []string) (s Scope, ok bool) {
	for _, word := range words {
		for name := range strings.SplitSeq(word, ",") {
			known := name == ""
			for _, n := range scopeNames {
				if strings.EqualFold(name, n.name) {
					s, known = s|n.scope, true
				}
			}
			if !known {
				return 0, false
			}
		}
	}
	return s, s != 0
}

// grant is what a request may do, by the token that it came with. A request without a grant came to a process without tokens.
type grant struct {
	tokens *Tokens
	token  string
	scopes Scope // none for a stranger, who was let through to what is open
	need   Scope // of the route that answers
}

type grantKey struct{}

func withGrant(r *http.Request, g *grant) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), grantKey{}, g))
}

func grantOf(r *http.Request) *grant {
	g, _ := r.Context().Value(grantKey{}).(*grant)
	return g
}

// May says whether a request may do what one of the scopes allows.
func May(r *http.Request, s Scope) bool {
	g := grantOf(r)
	return g == nil || g.scopes&s != 0
}

// Stranger says whether a request was let through without the token that others need, so that it should not be told much.
func Stranger(r *http.Request) bool {
	g := grantOf(r)
	return g != nil && g.scopes == 0
}

// StillGood says whether a request that takes long would be let through now: its token may have been taken out of the file meanwhile, or
// have lost the scope.
func StillGood(r *http.Request) bool {
	g := grantOf(r)
	return g == nil || g.tokens == nil || g.tokens.Scopes(g.token)&g.need != 0
}

// Require lets requests through to h that have one of the scopes in need.
func Require(need Scope, h http.HandlerFunc) http.HandlerFunc {
	if need == Open {
		return h
	}
	return func(w http.ResponseWriter, r *http.Request) {
		g := grantOf(r)
		switch {
		case g == nil:
		case g.scopes&need == 0:
			say(w, http.StatusForbidden, "this token may not "+r.Method+" "+r.URL.Path+": it has the scope "+g.scopes.String()+", and this needs "+strings.Join(need.names(), " or "),
				"use a token with that scope, or name it behind the token in the server's token file")
			return
		default:
			g.need = need
		}
		h(w, r)
	}
}
