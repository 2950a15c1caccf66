package emitter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// The largest trace that is read. They bound memory and keep all sums within 63 bits.
const (
	maxTraceRows    = 10_000_000
	maxTraceSecond  = 1_000_000_000
	maxTraceRecords = 1_000_000_000_000_000
	maxTraceFactor  = 1e6
)

// TraceOptions says how to play a trace.
type TraceOptions struct {
	Speedup float64       // how many seconds of the trace pass in one; zero means 1, at most a million
	Scale   float64       // how many records are sent for each in the trace; zero means 1, at most a million
	Length  time.Duration // of the trace itself, in whole seconds; zero means to the end of its last bin
}

// Trace plays recorded arrivals: counts per bin of time. It is a [Profile].
//
// The records of a bin are spread evenly over its seconds in whole numbers, and evenly within each second; scaling rounds
// the running total down. At every whole second the total is the one that SIMULATION.md defines.
type Trace struct {
	name    string
	o       TraceOptions // without zeros
	bins    []bin
	width   int64 // seconds of a bin
	seconds int64 // length of the trace
}

type bin struct {
	second  int64 // where it starts
	records int64
	before  int64 // records of all earlier bins
}

// OpenTrace reads a trace from a CSV file; a name that ends in ".gz" is unpacked.
func OpenTrace(name string, o TraceOptions) (*Trace, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open trace: %s is not a file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		unpacked, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("open trace: %s: %w", name, err)
		}
		defer unpacked.Close()
		r = unpacked
	}
	t, err := ReadTrace(r, o)
	if err != nil {
		return nil, fmt.Errorf("read trace %s: %w", name, err)
	}
	t.name = name
	return t, nil
}

// ReadTrace reads a trace from CSV text: a header "second,records", then rows with whole seconds that ascend. Bins that are
// left out hold no records. The width of a bin is the greatest common divisor of the gaps between rows, 1s for a single
// row. Errors name the line.
func ReadTrace(r io.Reader, o TraceOptions) (*Trace, error) {
	t := &Trace{name: "trace", o: o}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4096)
	n := 0
	var total int64
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if n == 1 {
			if line != "second,records" {
				return nil, fmt.Errorf(`line 1: %.40q, want the header "second,records"`, line)
			}
			continue
		}
		if line == "" {
			continue
		}
		b, err := parseBin(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if k := len(t.bins); k > 0 && b.second <= t.bins[k-1].second {
			return nil, fmt.Errorf("line %d: second %d after %d, want ascending", n, b.second, t.bins[k-1].second)
		}
		b.before = total
		total += b.records
		if total > maxTraceRecords || len(t.bins) == maxTraceRows {
			return nil, fmt.Errorf("line %d: more than %d rows or %d records in all", n, maxTraceRows, int64(maxTraceRecords))
		}
		t.bins = append(t.bins, b)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	if len(t.bins) == 0 {
		return nil, errors.New("no rows, want a header and at least one row")
	}
	return t, t.fit()
}

func parseBin(line string) (bin, error) {
	second, records, ok := strings.Cut(line, ",")
	if !ok {
		return bin{}, fmt.Errorf("%.40q, want second,records", line)
	}
	var b bin
	var err error
	if b.second, err = parseCount(second, maxTraceSecond); err != nil {
		return bin{}, fmt.Errorf("second %w", err)
	}
	if b.records, err = parseCount(records, maxTraceRecords); err != nil {
		return bin{}, fmt.Errorf("records %w", err)
	}
	return b, nil
}

func parseCount(s string, most int64) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || int64(n) > most {
		return 0, fmt.Errorf("%.40q, want a whole number from 0 to %d", s, most)
	}
	return int64(n), nil
}

// fit derives width and length and checks the options.
func (t *Trace) fit() error {
	for i := 1; i < len(t.bins); i++ {
		t.width = gcd(t.width, t.bins[i].second-t.bins[i-1].second)
	}
	t.width = max(t.width, 1)
	end := t.bins[len(t.bins)-1].second + t.width
	t.seconds = int64(t.o.Length / time.Second)
	if t.o.Length == 0 {
		t.seconds = end
	}
	if t.o.Speedup == 0 {
		t.o.Speedup = 1
	}
	if t.o.Scale == 0 {
		t.o.Scale = 1
	}
	var errs []error
	if t.seconds < end {
		errs = append(errs, fmt.Errorf("emitter: Length is %v, but the last bin ends at %ds", t.o.Length, end))
	}
	if !(t.o.Speedup >= 1/maxTraceFactor && t.o.Speedup <= maxTraceFactor) {
		errs = append(errs, fmt.Errorf("emitter: Speedup is %v, want a millionth to a million", t.o.Speedup))
	}
	if !(t.o.Scale >= 1/maxTraceFactor && t.o.Scale <= maxTraceFactor) {
		errs = append(errs, fmt.Errorf("emitter: Scale is %v, want a millionth to a million", t.o.Scale))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if float64(t.total(t.seconds))*t.o.Scale > maxTraceRecords {
		return fmt.Errorf("scale %v makes more than %d records", t.o.Scale, int64(maxTraceRecords))
	}
	if float64(t.seconds)/t.o.Speedup > 1e8 {
		return fmt.Errorf("speed-up %v makes the trace last more than 3 years", t.o.Speedup)
	}
	return nil
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// total is how many records of the trace arrive before the given second.
func (t *Trace) total(second int64) int64 {
	i := sort.Search(len(t.bins), func(i int) bool { return t.bins[i].second >= second }) - 1
	if i < 0 {
		return 0
	}
	b := t.bins[i]
	in := second - b.second
	if in >= t.width {
		return b.before + b.records
	}
	hi, lo := bits.Mul64(uint64(in), uint64(b.records))
	part, _ := bits.Div64(hi, lo, uint64(t.width)) // in < width, so it fits
	return b.before + int64(part)
}

// scaled is total after scaling.
func (t *Trace) scaled(second int64) int64 {
	if t.o.Scale == 1 {
		return t.total(second)
	}
	return int64(float64(t.total(second)) * t.o.Scale)
}

// Due is the number of records that arrived in the trace by then.
func (t *Trace) Due(elapsed time.Duration) int64 {
	at := float64(max(elapsed, 0)) * t.o.Speedup / 1e9 // in seconds of the trace
	if elapsed >= t.Duration() {                       // Duration is rounded to nanoseconds
		return t.scaled(t.seconds)
	}
	second := min(int64(at), t.seconds)
	from, to := t.scaled(second), t.scaled(min(second+1, t.seconds))
	return from + int64(float64(to-from)*(at-float64(second)))
}

// Duration is the length of the trace at this speed.
func (t *Trace) Duration() time.Duration {
	return time.Duration(float64(t.seconds) * 1e9 / t.o.Speedup)
}

// Records is how many records the trace sends in all, scaled.
func (t *Trace) Records() int64 { return t.scaled(t.seconds) }

// String is the form that [ParseProfile] reads.
func (t *Trace) String() string {
	s := "trace:" + t.name
	if t.o.Speedup != 1 {
		s += ",speedup=" + decimal(t.o.Speedup)
	}
	if t.o.Scale != 1 {
		s += ",scale=" + decimal(t.o.Scale)
	}
	return s
}
