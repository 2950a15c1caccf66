package api

import (
	"net/http"

	"github.com/sluicehq/sluice/queue/remote"
)

// dismiss makes a handler that tells one analyzer to leave.
func (s *Server) dismiss(now bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		if err := s.Pool.Dismiss(id, now); err != nil {
			fail(w, http.StatusNotFound, remote.Error{Message: err.Error(), Hint: "GET /v1/stats lists them under pool.analyzers"})
			return
		}
		s.Log.Info("analyzer told to leave", "analyzer", id, "at_once", now)
		for _, row := range s.Pool.Stats().Analyzers {
			if row.ID == id {
				answer(w, http.StatusOK, row)
				return
			}
		}
		answer(w, http.StatusOK, map[string]string{"id": id, "state": "gone"})
	}
}
