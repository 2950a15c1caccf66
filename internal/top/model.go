package top

import (
	"cmp"
	"slices"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/api"
)

const (
	rateLooks  = 5     // looks over which rates are taken, as the page does
	mostPoints = 30000 // of the past; six hours at a look a second, and what the series told
)

// Look is what was seen at one time.
type Look struct {
	At      time.Time
	Stats   api.Stats
	Acted   []autoscale.Decision // the newest that moved the pool, the newest last
	Because Explanation
}

// Explanation is the newest decision in words, as GET /v1/explain has it.
type Explanation struct {
	Text        string `json:"text"`
	WhyNotMore  string `json:"why_not_more"`
	WhyNotFewer string `json:"why_not_fewer"`
}

// Point is one time of the charts.
type Point struct {
	At    time.Time
	Wait  float64 // of the oldest record, in seconds
	Depth float64
	Size  float64 // analyzers
	Named float64 // what the policy wanted
}

// Model is what is known and how it is to be shown. The zero value but for Address knows nothing yet.
type Model struct {
	Address string // of the process that is looked at

	live    api.Live
	rated   bool // there were two looks, so that there are rates
	acted   []autoscale.Decision
	because Explanation
	looks   []sample
	points  []Point
	perID   map[string]float64 // records per second of each analyzer

	trouble error // why the last look brought nothing; nil when it did
	since   time.Time

	sort    int // index of orders
	reverse bool
	scroll  int
	span    int // index of spans
	depth   bool
	help    bool
}

// sample is counters at a time.
type sample struct {
	at                                             time.Time
	in, inBytes, out, outBytes, failed, pushedBack int64
	done                                           map[string]int64
}

var spans = []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour}

// order is a way to sort the analyzers, largest or worst first.
type order struct {
	name string
	less func(m *Model, a, b analyzer.Row) int
}

var orders = []order{
	{"id", func(_ *Model, a, b analyzer.Row) int { return natural(a.ID, b.ID) }},
	{"state", func(_ *Model, a, b analyzer.Row) int { return cmp.Compare(rank[a.State], rank[b.State]) }},
	{"for", func(_ *Model, a, b analyzer.Row) int { return a.StateSince.Compare(b.StateSince) }},
	{"rec/s", func(m *Model, a, b analyzer.Row) int { return cmp.Compare(m.perID[b.ID], m.perID[a.ID]) }},
	{"records", func(_ *Model, a, b analyzer.Row) int { return cmp.Compare(b.Records, a.Records) }},
	{"p99", func(_ *Model, a, b analyzer.Row) int { return cmp.Compare(b.P99, a.P99) }},
	{"failed", func(_ *Model, a, b analyzer.Row) int { return cmp.Compare(b.Failed, a.Failed) }},
}

// rank has what needs a person first.
var rank = map[string]int{analyzer.StateStuck: 0, analyzer.StateDraining: 1, "starting": 2, analyzer.StateBusy: 3, analyzer.StateIdle: 4}

// natural compares names so that pool-9 is before pool-10.
func natural(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// Seed puts points before those that were seen here.
func (m *Model) Seed(past []Point) {
	if len(m.points) > 0 {
		first := m.points[0].At
		past = slices.DeleteFunc(slices.Clone(past), func(p Point) bool { return !p.At.Before(first) })
	}
	m.points = append(slices.Clone(past), m.points...)
}

// Add takes a look.
func (m *Model) Add(l Look) {
	s := sampleOf(l)
	if n := len(m.looks); n > 0 && (l.Stats.Uptime < m.live.Uptime || s.in < m.looks[n-1].in) {
		m.looks = nil // it was started anew
	}
	m.looks = append(m.looks, s)
	if n := len(m.looks) - rateLooks - 1; n > 0 {
		m.looks = slices.Delete(m.looks, 0, n)
	}
	m.trouble, m.since = nil, time.Time{}
	m.acted, m.because = l.Acted, l.Because
	m.live = api.Live{Stats: l.Stats, Time: l.At}
	m.rate()
	m.live.Judge()
	m.points = append(m.points, pointOf(l))
	if n := len(m.points) - mostPoints; n > 0 {
		m.points = slices.Delete(m.points, 0, n)
	}
}

// Fail takes a look that brought nothing.
func (m *Model) Fail(at time.Time, err error) {
	if m.trouble == nil {
		m.since = at
	}
	m.trouble = err
}

// Live is the newest look with what follows from it.
func (m *Model) Live() api.Live { return m.live }

func sampleOf(l Look) sample {
	s := sample{at: l.At, done: map[string]int64{}}
	if q := l.Stats.QueueStats; q != nil {
		s.in, s.out = q.Accepted, q.Completed
	}
	if in := l.Stats.Ingest; in != nil {
		s.inBytes, s.pushedBack = in.Bytes, in.PushedBack
	}
	if p := l.Stats.Pool; p != nil {
		s.outBytes, s.failed = p.Bytes, p.FailedRecords
		if l.Stats.QueueStats == nil {
			s.out = p.Records
		}
		for _, r := range p.Analyzers {
			s.done[r.ID] = r.Records
		}
	}
	return s
}

// rate takes the rates over the last few looks.
func (m *Model) rate() {
	first, last := m.looks[0], m.looks[len(m.looks)-1]
	span := last.at.Sub(first.at).Seconds()
	m.rated, m.perID = span > 0, map[string]float64{}
	if !m.rated {
		return
	}
	per := func(a, b int64) float64 { return float64(max(0, b-a)) / span }
	m.live.Rates = api.Rates{
		In: per(first.in, last.in), InBytes: per(first.inBytes, last.inBytes), Out: per(first.out, last.out), OutBytes: per(first.outBytes, last.outBytes),
		Failed: per(first.failed, last.failed), PushedBack: per(first.pushedBack, last.pushedBack), Window: span,
	}
	for id, n := range last.done {
		m.perID[id] = per(first.done[id], n) // one that is new had done nothing before
	}
}

func pointOf(l Look) Point {
	p := Point{At: l.At}
	if q := l.Stats.QueueStats; q != nil {
		p.Wait, p.Depth = q.OldestWait, float64(q.Depth)
	}
	if pool := l.Stats.Pool; pool != nil {
		p.Size, p.Named = float64(pool.Size), float64(pool.Size)
	}
	if a := l.Stats.Autoscaler; a != nil && a.LastDecision != nil {
		d := a.LastDecision
		p.Named = float64(d.NamedSize)
		if l.Stats.QueueStats == nil && d.DepthKnown { // the queue is elsewhere
			p.Depth = float64(d.Depth)
			if d.Saw != nil {
				p.Wait = d.Saw.OldestWaitSeconds
			}
		}
	}
	return p
}

// Key takes a key by its name and says whether it means to leave.
func (m *Model) Key(name string) (leave bool) {
	switch name {
	case "q", "ctrl+c", "Q":
		return true
	case "?", "h":
		m.help = !m.help
	case "esc":
		m.help = false
	case "right", ">", "s":
		m.sort, m.scroll = (m.sort+1)%len(orders), 0
	case "left", "<", "S":
		m.sort, m.scroll = (m.sort+len(orders)-1)%len(orders), 0
	case "r":
		m.reverse = !m.reverse
	case "t":
		m.span = (m.span + 1) % len(spans)
	case "d":
		m.depth = !m.depth
	case "down", "j":
		m.scroll++
	case "up", "k":
		m.scroll--
	case "pgdown", "space":
		m.scroll += 10
	case "pgup":
		m.scroll -= 10
	case "home", "g":
		m.scroll = 0
	}
	m.scroll = max(0, min(m.scroll, m.analyzers()-1))
	return false
}

// analyzers is how many have a row.
func (m *Model) analyzers() int {
	n := 0
	if m.live.Pool != nil {
		n = len(m.live.Pool.Analyzers)
	}
	if m.live.Remote != nil {
		n += len(*m.live.Remote)
	}
	return n
}

// sorted is the rows of the pool as they are to be shown.
func (m *Model) sorted() []analyzer.Row {
	if m.live.Pool == nil {
		return nil
	}
	rows := slices.Clone(m.live.Pool.Analyzers)
	o := orders[m.sort]
	slices.SortStableFunc(rows, func(a, b analyzer.Row) int { return cmp.Or(o.less(m, a, b), natural(a.ID, b.ID)) })
	if m.reverse {
		slices.Reverse(rows)
	}
	return rows
}
