package history

import (
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Step is the time between two points of a series.
const Step = 10 * time.Second

// mostPoints is how many are kept in memory: three days of them, about 3 MB.
const mostPoints = int(3 * 24 * time.Hour / Step)

// Point is what a process was like at the end of a step. Records, bytes and failures are those of the step.
type Point struct {
	Time       int64 // seconds since 1970, a multiple of Step
	Depth      int64 // records waiting
	InFlight   int64
	OldestWait float64 // seconds; the longest of the step
	In         int64   // records accepted
	Out        int64   // records completed
	InBytes    int64
	Failed     int64 // records, each attempt
	Size       int64 // analyzers: ready and starting
	Named      int64 // that the policy named
	Ready      int64
	Draining   int64
	Busy       int64
	Dead       int64 // records in the dead letters
}

// Columns are the names of a point's values, in the order of [Point.Row].
var Columns = []string{"time", "depth", "in_flight", "oldest_wait_seconds", "in_records", "out_records", "in_bytes", "failed_records",
	"size", "named_size", "ready", "draining", "busy", "dead"}

// whole numbers of a point besides its oldest wait, in the order of Columns.
func (p *Point) fields() []*int64 {
	return []*int64{&p.Time, &p.Depth, &p.InFlight, nil, &p.In, &p.Out, &p.InBytes, &p.Failed,
		&p.Size, &p.Named, &p.Ready, &p.Draining, &p.Busy, &p.Dead}
}

// AppendRow appends the values with commas between them.
func (p *Point) AppendRow(b []byte) []byte {
	for i, f := range p.fields() {
		if i > 0 {
			b = append(b, ',')
		}
		if f == nil {
			b = strconv.AppendFloat(b, p.OldestWait, 'f', 3, 64)
			continue
		}
		b = strconv.AppendInt(b, *f, 10)
	}
	return b
}

// parsePoint reads what AppendRow wrote.
func parsePoint(line string) (p Point, ok bool) {
	values := strings.Split(line, ",")
	fields := p.fields()
	if len(values) != len(fields) {
		return p, false
	}
	for i, f := range fields {
		var err error
		if f == nil {
			p.OldestWait, err = strconv.ParseFloat(values[i], 64)
		} else {
			*f, err = strconv.ParseInt(values[i], 10, 64)
		}
		if err != nil {
			return p, false
		}
	}
	return p, true
}

// Series keeps points: the last three days in memory, and as many as wanted on disk. It is safe for concurrent use.
type Series struct {
	mu   sync.Mutex
	kept ring[Point]
	disk *daily // nil for memory only
}

// OpenSeries reads the points that are on disk. With Options.Days 0 they are kept in memory only.
func OpenSeries(o Options, now time.Time) *Series {
	s := &Series{kept: ring[Point]{most: mostPoints}}
	if o.Days <= 0 {
		return s
	}
	s.disk = &daily{dir: filepath.Join(o.Dir, "series"), ext: plain, header: strings.Join(Columns, ","), days: o.Days, log: o.Logger}
	s.disk.valid = func(line []byte) bool { _, ok := parsePoint(string(line)); return ok }
	from := now.Add(-time.Duration(mostPoints) * Step)
	s.disk.each(from, now, func(line []byte) {
		if p, ok := parsePoint(string(line)); ok && p.Time >= from.Unix() {
			s.forgetFrom(p.Time) // the clock was set back here
			s.kept.add(p)
		}
	})
	return s
}

// forgetFrom drops points at or after a time.
func (s *Series) forgetFrom(at int64) {
	if n := s.firstFrom(at); n < s.kept.len() {
		s.kept.cut(n)
	}
}

// firstFrom is where the points at or after a time begin.
func (s *Series) firstFrom(at int64) int {
	return sort.Search(s.kept.len(), func(i int) bool { return s.kept.at(i).Time >= at })
}

// Add keeps a point. Where it is not later than the last, because the clock was set back, the points that are yet to come by the new clock
// are forgotten; on disk they stay.
func (s *Series) Add(p Point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetFrom(p.Time)
	s.kept.add(p)
	if s.disk != nil {
		s.disk.add(time.Unix(p.Time, 0), p.AppendRow(nil))
	}
}

// Since returns the points after a time, the oldest first. Where there are more than most, as many as needed become one: records are added up,
// depth and oldest wait are the largest, and sizes are the last. The step is then that much longer. Most below 1 means all.
func (s *Series) Since(from time.Time, most int) (step time.Duration, points []Point) {
	s.mu.Lock()
	for i := s.firstFrom(from.Unix() + 1); i < s.kept.len(); i++ {
		points = append(points, s.kept.at(i))
	}
	s.mu.Unlock()
	if most < 1 || len(points) <= most {
		return Step, points
	}
	span := points[len(points)-1].Time - points[0].Time + int64(Step/time.Second)
	step = time.Duration((span+int64(most)-1)/int64(most)) * time.Second
	step = (step + Step - 1) / Step * Step
	return step, thin(points, int64(step/time.Second))
}

// thin makes one point of those that fall into one step.
func thin(points []Point, step int64) (out []Point) {
	for _, p := range points {
		slot := (p.Time - 1) / step
		if n := len(out); n > 0 && (out[n-1].Time-1)/step == slot {
			o := &out[n-1]
			p.Depth, p.OldestWait = max(p.Depth, o.Depth), max(p.OldestWait, o.OldestWait)
			p.In, p.Out, p.InBytes, p.Failed = p.In+o.In, p.Out+o.Out, p.InBytes+o.InBytes, p.Failed+o.Failed
			*o = p
			continue
		}
		out = append(out, p)
	}
	return out
}

// Close lets go of the file.
func (s *Series) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disk != nil {
		s.disk.close()
	}
}

// AppendJSON appends the values as a list.
func (p *Point) AppendJSON(b []byte) []byte {
	return append(p.AppendRow(append(b, '[')), ']')
}
