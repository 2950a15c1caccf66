package api

import (
	"cmp"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/internal/visible"
	"github.com/sluicehq/sluice/internal/words"
	"github.com/sluicehq/sluice/queue/remote"
)

// Bounds of what pools in other processes report.
const (
	maxPools        = 200
	maxPoolName     = 256
	maxPoolReason   = 300
	maxPoolMoves    = 5
	maxPoolSize     = 1_000_000
	shortestSilence = 15 * time.Second // a pool that says nothing for so long, and for three of its checks, is gone
	longestSilence  = time.Hour
)

// Pool is a pool in another process, as it last described itself.
type Pool struct {
	remote.PoolReport
	URL      string  `json:"url,omitempty"` // its own page, as seen from here; empty where it did not say
	Share    float64 `json:"share"`         // of the backlog
	LastSeen float64 `json:"last_seen_seconds"`

	seen time.Time
	part remote.PoolShare
}

// pools knows the pools that reported lately.
type pools struct {
	mu   sync.Mutex
	rows []*Pool // by name and instance
}

func order(a, b *Pool) int {
	return cmp.Or(words.Natural(a.Name, b.Name), cmp.Compare(a.Instance, b.Instance))
}

// weight is how much of the work a pool can take, next to others.
func (p *Pool) weight() float64 {
	if p.Fixed {
		return float64(p.Size)
	}
	return float64(p.MaxSize)
}

// silence is how long a pool may say nothing before it counts as gone.
func (p *Pool) silence() time.Duration {
	return min(max(time.Duration(3*p.Interval*float64(time.Second)), shortestSilence), longestSilence)
}

// forget drops the pools that are gone. The caller holds mu.
func (s *pools) forget(now time.Time) {
	s.rows = slices.DeleteFunc(s.rows, func(p *Pool) bool { return now.Sub(p.seen) > p.silence() })
}

// shares sets the share of each pool. The caller holds mu.
func (s *pools) shares() {
	sum := 0.0
	for _, p := range s.rows {
		sum += p.weight()
	}
	before := 0.0
	for i, p := range s.rows {
		p.part = remote.PoolShare{Pools: len(s.rows), From: before / sum, To: (before + p.weight()) / sum}
		before += p.weight()
		if sum == 0 {
			n := float64(len(s.rows))
			p.part.From, p.part.To = float64(i)/n, float64(i+1)/n
		}
		p.Share = p.part.To - p.part.From
	}
}

// report takes a report, and returns the pool's share of the backlog. It returns false where there are too many pools.
func (s *pools) report(p *Pool, now time.Time) (share remote.PoolShare, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	p.seen = now
	i, known := slices.BinarySearchFunc(s.rows, p, order)
	switch {
	case p.Leaving && known:
		s.rows = slices.Delete(s.rows, i, i+1)
		return share, true
	case p.Leaving:
		return share, true
	case known:
		s.rows[i] = p
	case len(s.rows) >= maxPools:
		return share, false
	default:
		s.rows = slices.Insert(s.rows, i, p)
	}
	s.shares()
	return p.part, true
}

// list returns the pools that reported lately.
func (s *pools) list(now time.Time) []Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	s.shares()
	out := make([]Pool, 0, len(s.rows))
	for _, p := range s.rows {
		row := *p
		row.LastSeen = now.Sub(p.seen).Seconds()
		out = append(out, row)
	}
	return out
}

// postPool answers a remote.PoolReport with a remote.PoolShare.
func (s *Server) postPool(w http.ResponseWriter, r *http.Request) {
	var p Pool
	if !s.read(w, r, &p.PoolReport, maxSmall, false) {
		return
	}
	if problem := check(&p.PoolReport); problem != "" {
		wrong(w, problem)
		return
	}
	p.URL = pageOf(&p.PoolReport, r)
	share, ok := s.pools.report(&p, time.Now())
	if !ok {
		pushBack(w, remote.Error{Message: "too many pools", Limit: map[string]int{"pools": maxPools}})
		return
	}
	if s.PoolsSLO != nil {
		s.PoolsSLO(s.pools.slo())
	}
	answer(w, http.StatusOK, share)
}

// slo is the shortest that a pool is sized by; 0 where none has one.
func (s *pools) slo() (shortest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.rows {
		if slo := seconds.Nearest(p.SLO); slo > 0 && (shortest == 0 || slo < shortest) {
			shortest = slo
		}
	}
	return shortest
}

// check says what is wrong with a report, and cuts what is too long to show.
func check(p *remote.PoolReport) string {
	switch {
	case p.Name == "" || len(p.Name) > maxPoolName || len(p.Instance) > maxPoolName || len(p.Listen) > maxPoolName || len(p.Policy) > maxPoolName:
		return "name is required, and name, instance, listen and policy may have 256 bytes each"
	case len(p.Moves) > maxPoolMoves:
		return "moves may have 5 decisions"
	case !(p.Interval >= 0) || math.IsInf(p.Interval, 0) || p.Interval > 86400:
		return "interval_seconds must be 0 to 86400"
	}
	if _, err := seconds.Duration(p.SLO, seconds.Longest); err != nil {
		return "slo_seconds " + err.Error()
	}
	for _, s := range []string{p.Name, p.Instance, p.Listen, p.Policy} {
		if !visible.Safe(s) {
			return "name, instance, listen and policy must be safe to print; one is " + visible.Line(s)
		}
	}
	for _, n := range []int{p.Size, p.MinSize, p.MaxSize, p.Ready, p.Busy, p.Draining} {
		if n < 0 || n > maxPoolSize {
			return "size, min_size, max_size, ready, busy and draining must be 0 to 1000000"
		}
	}
	decisions := make([]*remote.PoolDecision, 0, maxPoolMoves+1)
	for i := range p.Moves {
		decisions = append(decisions, &p.Moves[i])
	}
	if p.Decision != nil {
		decisions = append(decisions, p.Decision)
	}
	for _, d := range decisions {
		if len(d.Action) > maxPoolName || !visible.Safe(d.Action) {
			return "an action may have 256 bytes that are safe to print"
		}
		d.Reason = visible.Cut(d.Reason, maxPoolReason)
	}
	return ""
}

// pageOf is where the page of a pool is, by the address that it listens on and the one that it asks from.
func pageOf(p *remote.PoolReport, r *http.Request) string {
	host, port, err := net.SplitHostPort(p.Listen)
	if err != nil || port == "" {
		return ""
	}
	switch ip := net.ParseIP(host); {
	case host != "" && ip == nil: // a process listens on an address; a name could be anybody's
		return ""
	case host == "" || ip.IsUnspecified():
		if host, _, err = net.SplitHostPort(r.RemoteAddr); err != nil {
			return ""
		}
	}
	scheme := "http://"
	if p.TLS {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port) + "/"
}
