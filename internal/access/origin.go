package access

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// cross finds requests that a web page of another origin made.
var cross = http.NewCrossOriginProtection()

// foreign says why a request comes from a web page of another origin; nil if it does not, or comes from no browser. Reading is judged as
// changing is, because the browser of somebody who can reach this process would read for a page that cannot. Only a link to the page
// itself may be followed from anywhere.
func (g *Guard) foreign(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		if r.Header["Sec-Fetch-Site"] == nil && r.Header["Origin"] == nil {
			return nil
		}
		if r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && (r.URL.Path == g.Base || r.URL.Path == g.Base+"/") {
			return nil
		}
		changing := *r // Check lets these methods through
		changing.Method = http.MethodPost
		r = &changing
	}
	if r.Header["Origin"] != nil && r.Header.Get("Sec-Fetch-Site") == "none" { // no page asks for it, and yet it names one
		named := *r
		named.Header = r.Header.Clone()
		named.Header.Del("Sec-Fetch-Site")
		r = &named
	}
	return cross.Check(r)
}

// hostGood says whether a process answers to the name in a request. A page whose name was pointed at this machine after it was loaded
// (DNS rebinding) has the same origin as this process, and only the name gives it away. An address cannot be pointed elsewhere, localhost
// neither. With tokens any name will do, unless there is a list: such a page has no token.
func (g *Guard) hostGood(host string) bool {
	if g.Tokens != nil && len(g.Hosts) == 0 {
		return true
	}
	name := hostName(host)
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || slices.ContainsFunc(g.Hosts, func(h string) bool { return hostName(h) == name && name != "" })
}

// hostName is a host without its port, brackets and final dot, in small letters.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// probe is a request of a load balancer or the like, which may come under any name, and is told only yes or no.
func (g *Guard) probe(r *http.Request) bool {
	path, below := strings.CutPrefix(r.URL.Path, g.Base)
	return below && isProbe(path) && reading(r)
}

func isProbe(path string) bool { return path == "/healthz" || path == "/readyz" }

func reading(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// outside answers requests that a web page of somebody else makes with a browser of ours. It returns false for those that it has not
// answered.
func (g *Guard) outside(w http.ResponseWriter, r *http.Request) bool {
	if !g.hostGood(r.Host) {
		say(w, http.StatusMisdirectedRequest, fmt.Sprintf("this server does not answer to the host %.100q", r.Host),
			"use its IP address or localhost, name the host in the server's setting allowed_hosts (--allowed-hosts), or give the server a token_file")
		return true
	}
	if err := g.foreign(r); err != nil {
		say(w, http.StatusForbidden, "a page of another site asks for this: "+err.Error(), "open the page of this server instead; programs that are no browser send neither Origin nor Sec-Fetch-Site")
		return true
	}
	return false
}
