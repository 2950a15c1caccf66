package api

import (
	"fmt"
	"net/http"
)

// Flow is the answer to GET /v1/flow: where records go, and how fast.
type Flow struct {
	Nodes []FlowNode `json:"nodes"`
	Edges []FlowEdge `json:"edges"`
}

// FlowNode is a place that records come to.
type FlowNode struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"` // source, queue, analyzers, sink or dead
	Label  string `json:"label"`
	State  string `json:"state"` // ok, warning, critical or idle
	Detail string `json:"detail"`
}

// FlowEdge is a way that records take.
type FlowEdge struct {
	From    string  `json:"from"`
	To      string  `json:"to"`
	Records float64 `json:"records_per_second"`
	Bytes   float64 `json:"bytes_per_second"`
	Lag     float64 `json:"lag_seconds"` // of the oldest record that waits before this way
	Errors  float64 `json:"errors_per_second"`
	Tap     string  `json:"tap,omitempty"` // edge of GET /v1/tail
}

func (s *Server) getFlow(w http.ResponseWriter, r *http.Request) {
	st, err := s.stats(r.Context())
	if err != nil {
		failFor(w, err)
		return
	}
	answer(w, http.StatusOK, flow(st, s.feed.latestRates()))
}

func flow(st Stats, rates Rates) Flow {
	f := Flow{Nodes: []FlowNode{}, Edges: []FlowEdge{}}
	busyOrIdle := func(rate float64) string {
		if rate > 0 {
			return "ok"
		}
		return "idle"
	}
	q := st.QueueStats
	if in := st.Ingest; in != nil {
		source := FlowNode{"http", "source", "HTTP records", busyOrIdle(rates.In), fmt.Sprintf("%d requests, %d records refused", in.Requests, in.Rejected)}
		if rates.PushedBack > 0 {
			source.State = "warning"
		}
		f.Nodes = append(f.Nodes, source)
	}
	lag := 0.0
	if q != nil {
		lag = q.OldestWait
		node := FlowNode{"queue", "queue", "Queue", busyOrIdle(float64(q.Depth + q.InFlight)), fmt.Sprintf("%d waiting, %d in flight", q.Depth, q.InFlight)}
		if q.Problem != "" {
			node.State, node.Detail = "critical", q.Problem
		}
		f.Nodes = append(f.Nodes, node)
		if st.Ingest != nil {
			f.Edges = append(f.Edges, FlowEdge{From: "http", To: "queue", Records: rates.In, Bytes: rates.InBytes, Errors: rates.PushedBack, Tap: "in"})
		}
	}
	worked := flowAnalyzers(&f, st)
	if worked {
		if q != nil {
			f.Edges = append(f.Edges, FlowEdge{From: "queue", To: "analyzers", Records: rates.Out, Bytes: rates.OutBytes, Lag: lag, Errors: rates.Failed})
		}
		f.Nodes = append(f.Nodes, FlowNode{"sink", "sink", "Results", busyOrIdle(rates.Out), "what the handler makes of records"})
		f.Edges = append(f.Edges, FlowEdge{From: "analyzers", To: "sink", Records: rates.Out, Bytes: rates.OutBytes, Tap: "done"})
	}
	if q != nil {
		node := FlowNode{"dead", "dead", "Dead letters", "idle", "none"}
		if q.Dead > 0 {
			node.State, node.Detail = "warning", fmt.Sprintf("%d records", q.Dead)
		}
		f.Nodes = append(f.Nodes, node)
		from := "queue"
		if worked {
			from = "analyzers"
		}
		f.Edges = append(f.Edges, FlowEdge{From: from, To: "dead", Tap: "dead"})
	}
	return f
}

// flowAnalyzers adds those who work, here or elsewhere, and says whether there are any.
func flowAnalyzers(f *Flow, st Stats) bool {
	node := FlowNode{ID: "analyzers", Kind: "analyzers", Label: "Analyzers", State: "idle"}
	switch {
	case st.Pool != nil:
		p := st.Pool
		node.Detail = fmt.Sprintf("%d, %d busy", p.Size, p.Busy)
		if p.Busy > 0 {
			node.State = "ok"
		}
		if p.Stuck > 0 {
			node.State, node.Detail = "warning", node.Detail+fmt.Sprintf(", %d stuck", p.Stuck)
		}
		if p.LeaseError != "" {
			node.State, node.Detail = "critical", p.LeaseError
		}
	case st.RemoteCount != nil && *st.RemoteCount > 0:
		node.State, node.Detail = "ok", fmt.Sprintf("%d elsewhere", *st.RemoteCount)
	default:
		return false
	}
	f.Nodes = append(f.Nodes, node)
	return true
}
