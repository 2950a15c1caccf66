package top

import (
	"context"
	"time"

	"github.com/sluicehq/sluice/internal/api"
)

// Summary is a frame for programs.
type Summary struct {
	Address string `json:"address"`
	api.Live
	ClearsIn  *float64       `json:"backlog_clears_seconds,omitempty"` // at the present rates; missing while the backlog does not shrink
	Explained *api.Explained `json:"explained,omitempty"`
}

// Once looks twice, an interval apart because rates are between two looks, and returns what is known then.
func Once(ctx context.Context, c Caller, o Options) (*State, error) {
	s := NewState(o.Address)
	decisions := firstDecisions
	for i := range 2 {
		l, err := look(ctx, c, decisions)
		if err != nil {
			return nil, err
		}
		s.Add(l)
		decisions = laterDecisions
		if i == 1 {
			break
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(o.Interval):
		}
	}
	return s, nil
}

// Summary returns what the newest look says. There must have been one.
func (s *State) Summary() Summary {
	sum := Summary{Address: s.address, Live: s.live()}
	if q := sum.QueueStats; q != nil {
		if c := clears(q, sum.Rates); c >= 0 {
			sum.ClearsIn = &c
		}
	}
	if e := s.last().Why; e.Text != "" {
		sum.Explained = &e
	}
	return sum
}
