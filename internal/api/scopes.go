package api

import (
	"net/http"

	"github.com/sluicehq/sluice/internal/access"
)

// scopes says for each route which scopes a token may have to use it: one of them is enough. A route that is not here cannot be made.
var scopes = map[string]access.Scope{
	"POST " + recordsPath: access.Ingest,

	"POST /v1/leases":                access.Work,
	"POST /v1/leases/{token}/extend": access.Work,
	"POST /v1/leases/{token}/ack":    access.Work,
	"POST /v1/leases/{token}/nack":   access.Work,
	"POST /v1/results":               access.Work,

	"GET /v1/stats":               access.Read | access.Work, // a pool is scaled by the depth
	"GET /v1/results":             access.Read,
	"POST /v1/pools":              access.Work,
	"GET /v1/dead":                access.Read,
	"GET /v1/dead/{id}":           access.Read,
	"GET /v1/dead/groups":         access.Read,
	"GET /v1/dead/export":         access.Read,
	"GET /v1/tail":                access.Read,
	"GET /v1/tail/recent":         access.Read,
	"GET /v1/flow":                access.Read,
	"GET /v1/decisions":           access.Read,
	"GET /v1/league":              access.Read,
	"GET /v1/explain":             access.Read,
	"GET /v1/series":              access.Read,
	"GET /v1/events":              access.Read,
	"GET /v1/ui":                  access.Read,
	"GET /v1/autoscaler/settings": access.Read,
	"GET /metrics":                access.Read,
	"GET /{$}":                    access.Read,

	"DELETE /v1/dead":               access.Operate,
	"DELETE /v1/dead/{id}":          access.Operate,
	"POST /v1/dead/retry":           access.Operate,
	"POST /v1/dead/{id}/retry":      access.Operate,
	"POST /v1/analyzers/{id}/drain": access.Operate,
	"POST /v1/analyzers/{id}/kill":  access.Operate,
	"POST /v1/autoscaler/pause":     access.Operate,
	"POST /v1/autoscaler/resume":    access.Operate,
	"POST /v1/autoscaler/force":     access.Operate,
	"PUT /v1/autoscaler/settings":   access.Operate,
	"POST /v1/autoscaler/preview":   access.Operate, // it changes nothing, and computes for as long as a change deserves

	"GET /ui/":     access.Open, // files that hold no data
	"GET /healthz": access.Open,
	"GET /readyz":  access.Open,
}

// scoped lets requests through to a route that have one of its scopes.
func scoped(pattern string, h http.HandlerFunc) http.HandlerFunc {
	need, ok := scopes[pattern]
	if !ok {
		panic("api: the route " + pattern + " has no scope")
	}
	return access.Require(need, h)
}
