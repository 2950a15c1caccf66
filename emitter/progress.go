package emitter

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/words"
)

// Stats is how far a pool has come.
type Stats struct {
	Emitters       int     `json:"emitters"`
	Sent           int64   `json:"sent"`         // records posted at least once
	Acknowledged   int64   `json:"acknowledged"` // records that the distributor accepted
	Rejected       int64   `json:"rejected"`     // records that it refused for good
	PushedBack     int64   `json:"pushed_back"`  // posts answered with 503 or 429
	Retries        int64   `json:"retries"`      // posts that repeated an earlier one
	InFlight       int64   `json:"in_flight"`    // records posted and not answered yet
	RatePerSecond  float64 `json:"rate_per_second"`
	ElapsedSeconds float64 `json:"elapsed_seconds"`
	Down           bool    `json:"down"` // the distributor is out of reach
	Done           bool    `json:"done"` // Run returned
}

// Stats returns the pool's counters as they stand. RatePerSecond is that of acknowledged records over the last five seconds
// or so, of the whole run once it is done. Push-backs and retries are those of the client since the run began.
func (p *Pool) Stats() Stats {
	client := p.client.Stats()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{Emitters: len(p.emitters), Sent: p.sent, Acknowledged: p.acked, Rejected: p.rejected, InFlight: p.inFlight}
	if p.started.IsZero() {
		return s
	}
	s.Done = !p.ended.IsZero()
	elapsed := time.Since(p.started)
	s.RatePerSecond = p.meter.rate(elapsed, p.acked)
	if s.Done {
		elapsed, client = p.ended.Sub(p.started), p.after
		if elapsed > 0 {
			s.RatePerSecond = float64(p.acked) / elapsed.Seconds()
		}
	}
	s.ElapsedSeconds = elapsed.Seconds()
	s.PushedBack = client.PushedBack - p.before.PushedBack
	s.Retries = client.Retries - p.before.Retries
	s.Down = client.Down
	return s
}

// ProgressLine is one line of text about a run:
//
//	12.4s  sent 51,200  acked 50,000  4,100/s  pushed back 3  retries 1
//
// Rejected records and a distributor out of reach are named only where there are any.
func ProgressLine(s Stats) string {
	parts := []string{
		fmt.Sprintf("%.1fs", s.ElapsedSeconds),
		"sent " + words.Thousands(s.Sent),
		"acked " + words.Thousands(s.Acknowledged),
		words.Thousands(int64(s.RatePerSecond+0.5)) + "/s",
		"pushed back " + words.Thousands(s.PushedBack),
		"retries " + words.Thousands(s.Retries),
	}
	if s.Rejected > 0 {
		parts = append(parts, "rejected "+words.Thousands(s.Rejected))
	}
	if s.Down {
		parts = append(parts, "distributor out of reach")
	}
	return strings.Join(parts, "  ")
}

// meter measures a rate over the last seconds from a running total.
type meter struct {
	samples []sample // ascending in time
	newest  sample
}

type sample struct {
	at    time.Duration
	total int64
}

// The meter looks back this far, and keeps a sample this often.
const (
	meterWindow = 5 * time.Second
	meterEvery  = 250 * time.Millisecond
)

// add notes the total at a time.
func (m *meter) add(at time.Duration, total int64) {
	m.newest = sample{at, total}
	if k := len(m.samples); k > 0 && at < m.samples[k-1].at+meterEvery {
		return
	}
	m.samples = append(m.samples, m.newest)
	for len(m.samples) > 1 && m.samples[1].at <= at-meterWindow {
		m.samples = m.samples[1:]
	}
}

// rate is records per second from the newest sample that is a window old, or from the start, until now.
func (m *meter) rate(now time.Duration, total int64) float64 {
	var from sample
	for _, s := range m.samples {
		if s.at > now-meterWindow {
			break
		}
		from = s
	}
	if m.newest.at <= now-meterWindow {
		from = m.newest
	}
	if now <= from.at {
		return 0
	}
	return float64(total-from.total) / (now - from.at).Seconds()
}
