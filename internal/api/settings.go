package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/sluicehq/sluice/queue/remote"
)

// Tuner changes how the autoscaler works while it runs.
type Tuner interface {
	Tuning() Tuning
	Info() TunerInfo
	Preview(ctx context.Context, t Tuning) (Preview, error)
	Apply(t Tuning) []Problem
}

// Tuning is which policy is in charge, with which settings.
type Tuning struct {
	Policy   string         `json:"policy"`
	Settings TuningSettings `json:"settings"`
}

// TuningSettings are those that can be changed while the autoscaler runs. What is missing stays as it is.
type TuningSettings struct {
	SLO                *float64 `json:"slo_seconds,omitempty"`
	MinSize            *int     `json:"min_size,omitempty"`
	MaxSize            *int     `json:"max_size,omitempty"`
	ScaleUpThreshold   *int     `json:"scale_up_threshold,omitempty"`
	ScaleDownThreshold *int     `json:"scale_down_threshold,omitempty"`
	CheckInterval      *float64 `json:"check_interval_seconds,omitempty"`
	Cooldown           *float64 `json:"cooldown_seconds,omitempty"`
	ScaleUpCount       *int     `json:"scale_up_count,omitempty"`
	ScaleDownCount     *int     `json:"scale_down_count,omitempty"`
}

// Problem is what is wrong with one setting.
type Problem struct {
	Field   string `json:"field"` // its name; empty where it is none of them
	Message string `json:"message"`
}

// NamedPreset is a preset of the threshold policy.
type NamedPreset struct {
	Name string `json:"name"`
	TuningSettings
}

// tuningAnswer is the answer to GET /v1/autoscaler/settings.
type tuningAnswer struct {
	Tuning
	Presets  []NamedPreset `json:"presets"`
	Policies []string      `json:"policies"`
	Changed  bool          `json:"changed"` // since the process started; a restart forgets it
}

// Preview is what a change would have done to the last hour, by the simulator.
type Preview struct {
	Problems []Problem    `json:"problems"`
	Hours    float64      `json:"hours"` // of arrivals that were replayed
	Records  int          `json:"records"`
	Now      *PreviewSide `json:"now,omitempty"`
	Then     *PreviewSide `json:"then,omitempty"` // missing where there are problems
	Note     string       `json:"note"`
}

// PreviewSide is one of the two that are compared.
type PreviewSide struct {
	Policy     string   `json:"policy"`
	Cost       float64  `json:"cost_worker_hours"`
	Late       float64  `json:"late_share"` // of the records, by the SLO that is proposed
	WaitP99    float64  `json:"wait_p99_seconds"`
	MaxSize    int      `json:"max_size_used"`
	ScaleUps   int      `json:"scale_ups"`
	ScaleDowns int      `json:"scale_downs"`
	Line       [][2]int `json:"line"` // second of the replay, size from there on
}

// TunerInfo is what GET /v1/autoscaler/settings says beside the tuning.
type TunerInfo struct {
	Presets  []NamedPreset
	Policies []string
	Changed  bool
}

func (s *Server) getSettings(w http.ResponseWriter, _ *http.Request) {
	info := s.Tuner.Info()
	answer(w, http.StatusOK, tuningAnswer{s.Tuner.Tuning(), info.Presets, info.Policies, info.Changed})
}

// readTuning reads the body of a change. What is left out stays as it is, but it must say something.
func (s *Server) readTuning(w http.ResponseWriter, r *http.Request) (Tuning, bool) {
	var t Tuning
	if !s.read(w, r, &t, maxSmall, false) {
		return t, false
	}
	if t == (Tuning{}) {
		wrong(w, "policy or settings is required")
		return t, false
	}
	if t.Policy == "" {
		t.Policy = s.Tuner.Tuning().Policy
	}
	return t, true
}

func (s *Server) postPreview(w http.ResponseWriter, r *http.Request) {
	t, ok := s.readTuning(w, r)
	if !ok {
		return
	}
	s.gated(s.reading.search, func(w http.ResponseWriter, r *http.Request) { // only now: a body may be slow
		p, err := s.Tuner.Preview(r.Context(), t)
		if err != nil {
			fail(w, http.StatusServiceUnavailable, remote.Error{Message: "no preview: " + err.Error()})
			return
		}
		answer(w, http.StatusOK, p)
	})(w, r)
}

func (s *Server) putSettings(w http.ResponseWriter, r *http.Request) {
	t, ok := s.readTuning(w, r)
	if !ok {
		return
	}
	if problems := s.Tuner.Apply(t); len(problems) > 0 {
		answer(w, http.StatusBadRequest, map[string]any{
			"error": fmt.Sprintf("%d settings are wrong; nothing was changed", len(problems)), "problems": problems, "hint": "POST /v1/autoscaler/preview checks and changes nothing",
		})
		return
	}
	s.getSettings(w, r)
}
