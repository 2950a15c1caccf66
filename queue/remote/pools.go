package remote

import (
	"context"
	"net/http"
	"time"
)

// PoolReport is the body of POST /v1/pools: what a pool in another process says of itself at each check of its size.
type PoolReport struct {
	Name     string  `json:"name"`     // required; at most 256 bytes
	Instance string  `json:"instance"` // tells two pools of one name apart; at most 256 bytes
	Listen   string  `json:"listen"`   // where its own statistics are, as host:port
	TLS      bool    `json:"tls"`      // they are at https
	Interval float64 `json:"interval_seconds"`
	Leaving  bool    `json:"leaving,omitempty"` // it takes no more work

	Size     int     `json:"size"`
	MinSize  int     `json:"min_size"`
	MaxSize  int     `json:"max_size"`
	Fixed    bool    `json:"fixed"` // paused, forced or a dry run: the size does not follow the backlog
	Ready    int     `json:"ready"`
	Busy     int     `json:"busy"`
	Draining int     `json:"draining"`
	Policy   string  `json:"policy"`
	SLO      float64 `json:"slo_seconds,omitempty"` // that it is sized by; 0 for none

	Decision *PoolDecision  `json:"last_decision,omitempty"`
	Moves    []PoolDecision `json:"moves,omitempty"` // the newest decisions that changed the size, the newest last; at most 5
}

// PoolDecision is what a pool's autoscaler decided.
type PoolDecision struct {
	Time    time.Time `json:"time"`
	Size    int       `json:"size"`
	NewSize int       `json:"new_size"`
	Action  string    `json:"action"`
	Reason  string    `json:"reason"` // cut after 300 bytes
}

// PoolShare is the answer: the part of the backlog that is this pool's to work off, From to To of 0 to 1. The parts of all
// pools that reported lately make the whole. They go by max_size, or by size where that is fixed.
type PoolShare struct {
	Pools int     `json:"pools"`
	From  float64 `json:"from"`
	To    float64 `json:"to"`
}

// Whole is the share of a pool that is alone.
var Whole = PoolShare{Pools: 1, To: 1}

// Of is the part of n records. The parts of all pools add up to n.
func (s PoolShare) Of(n int64) int {
	return int(int64(float64(n)*s.To) - int64(float64(n)*s.From))
}

// Report tells the distributor about a pool, and returns the pool's share of the backlog.
func (c *Client) Report(ctx context.Context, r PoolReport) (PoolShare, error) {
	ctx, cancel := context.WithTimeout(ctx, slack)
	defer cancel()
	var share PoolShare
	err := c.Call(ctx, http.MethodPost, "/v1/pools", r, &share)
	return share, err
}
