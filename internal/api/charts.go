package api

import (
	"net/http"
	"time"

	"github.com/sluicehq/sluice/internal/access"
	"github.com/sluicehq/sluice/internal/history"
	"github.com/sluicehq/sluice/queue/remote"
)

// UI is the answer to GET /v1/ui: what the page has to know before everything else.
type UI struct {
	Version    string   `json:"version"`
	Role       string   `json:"role"`
	ReadOnly   bool     `json:"read_only"`
	Why        string   `json:"read_only_reason,omitempty"` // where ReadOnly is true
	Auth       bool     `json:"auth"`                       // a token is asked for
	SignedIn   bool     `json:"signed_in"`                  // and was given
	Policy     string   `json:"policy,omitempty"`
	SLO        float64  `json:"slo_seconds,omitempty"` // where the policy has one
	Durability string   `json:"durability,omitempty"`
	History    float64  `json:"history_seconds"` // that GET /v1/series may be asked for
	Screens    []string `json:"screens"`
}

// slo is the longest wait that a record may have; 0 where the policy has none.
func (s *Server) slo() time.Duration {
	if s.SLO == nil {
		return 0
	}
	return s.SLO()
}

// mostHistory is how far back the series goes.
const mostHistory = 72 * time.Hour

func (s *Server) getUI(w http.ResponseWriter, r *http.Request) {
	ui := UI{
		Version: s.Version, Role: s.Role, ReadOnly: s.ReadOnly, Auth: s.Auth, SignedIn: s.Auth, SLO: s.slo().Seconds(),
		History: mostHistory.Seconds(), Screens: []string{"overview"},
	}
	if s.ReadOnly {
		ui.Why = "the setting read_only is on"
	} else if !access.May(r, access.Operate) {
		ui.ReadOnly, ui.Why = true, "your token does not have the scope operate"
	}
	if s.Scaler != nil {
		ui.Policy = s.Scaler.Stats().Policy
		ui.Screens = append(ui.Screens, "autoscaler")
	}
	if s.Queue != nil {
		if st, err := s.Queue.Stats(r.Context()); err == nil {
			ui.Durability = st.Durability
		}
		ui.Screens = append(ui.Screens, "flow", "tail", "dead")
	}
	if s.Queue != nil || s.Pool != nil {
		ui.Screens = append(ui.Screens, "analyzers")
	}
	answer(w, http.StatusOK, ui)
}

// seriesAnswer is the answer to GET /v1/series.
type seriesAnswer struct {
	Step    float64    `json:"step_seconds"`
	From    time.Time  `json:"from"`
	Columns []string   `json:"columns"`
	Rows    []chartRow `json:"rows"`
}

// chartRow is a point as a list of numbers.
type chartRow history.Point

// MarshalJSON writes the values in the order of history.Columns.
func (r chartRow) MarshalJSON() ([]byte, error) {
	p := history.Point(r)
	return p.AppendJSON(nil), nil
}

func (s *Server) getSeries(w http.ResponseWriter, r *http.Request) {
	span, okSpan := number(w, r, "seconds", 3600, uint64(mostHistory/time.Second))
	if !okSpan {
		return
	}
	most, okMost := number(w, r, "points", 600, 10000)
	if !okMost {
		return
	}
	if s.Series == nil {
		fail(w, http.StatusNotFound, remote.Error{Message: "this process keeps no series"})
		return
	}
	from := time.Now().Add(-time.Duration(span) * time.Second)
	step, points := s.Series.Since(from, int(most))
	a := seriesAnswer{Step: step.Seconds(), From: from.UTC(), Columns: history.Columns, Rows: make([]chartRow, len(points))}
	for i, p := range points {
		a.Rows[i] = chartRow(p)
	}
	answer(w, http.StatusOK, a)
}
