package simulate

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"
)

// Limits of a trace. They keep every product below in 63 bits, and a running total exact in a float64.
const (
	maxSecond  = 1_000_000_000         // 31 years
	maxRecords = 1_000_000_000_000_000 // in the whole trace
	maxBins    = 1 << 25
	maxLine    = 4096 // bytes
)

// Trace is arrivals over time. The zero value has no second at all; [Run] refuses it.
type Trace struct {
	bins    []bin // ascending, not overlapping
	width   int   // seconds per bin
	seconds int   // length
	records int   // sum over the length
}

// bin holds the records that arrive in the width seconds from second on.
type bin struct{ second, records int }

// TraceOptions says how to read a trace where the file leaves it open.
type TraceOptions struct {
	// BinWidth is the seconds that one row stands for. Zero means the greatest common divisor of the gaps between the
	// rows, and 1 for a single row. Rows may not overlap.
	BinWidth int

	// Seconds is the length of the trace: what comes later is cut off, what is missing is quiet. Zero means up to the
	// end of the last bin; at most 1,000,000,000.
	Seconds int
}

// NewTrace makes a trace of the records that arrive in each second from 0 on; they must be 0 or more, and
// 1e15 at most in sum.
func NewTrace(perSecond ...int) (*Trace, error) {
	t := &Trace{width: 1}
	for second, records := range perSecond {
		if records < 0 || records > maxRecords {
			return nil, fmt.Errorf("simulate: second %d has %d records, want 0 to %d", second, records, maxRecords)
		}
		if records > 0 {
			t.bins = append(t.bins, bin{second, records})
		}
	}
	if err := t.setLength(len(perSecond)); err != nil {
		return nil, err
	}
	return t, nil
}

// ReadTrace reads CSV, plain or gzip, with the header "second,records" and one row per bin: the second at which it
// starts, an offset from 0 in ascending order, and how many records arrive in it. Bins not listed hold none. The records
// of a bin wider than a second are spread evenly over it. Errors name the line.
func ReadTrace(r io.Reader, o TraceOptions) (*Trace, error) {
	if o.BinWidth < 0 || o.BinWidth > maxSecond {
		return nil, fmt.Errorf("simulate: BinWidth is %d, want 0 to %d", o.BinWidth, maxSecond)
	}
	if o.Seconds < 0 || o.Seconds > maxSecond {
		return nil, fmt.Errorf("simulate: Seconds is %d, want 0 to %d", o.Seconds, maxSecond)
	}
	t := &Trace{}
	if err := t.read(r, o.BinWidth); err != nil {
		return nil, fmt.Errorf("simulate: read trace: %w", err)
	}
	last := t.bins[len(t.bins)-1].second + t.width
	if err := t.setLength(cmp.Or(o.Seconds, last)); err != nil {
		return nil, err
	}
	return t, nil
}

// Seconds is the length: the trace covers the seconds 0 to Seconds - 1.
func (t *Trace) Seconds() int { return t.seconds }

// Records is the sum of all arrivals.
func (t *Trace) Records() int { return t.records }

// Arrivals goes through all seconds in order, the quiet ones included, with the records that arrive in each.
func (t *Trace) Arrivals() iter.Seq2[int, int] {
	return func(yield func(second, records int) bool) {
		c := cursor{bins: t.bins, width: t.width}
		for second := range t.seconds {
			if !yield(second, c.at(second)) {
				return
			}
		}
	}
}

// First is the trace of the first seconds alone, 1 or more. More than there are is the whole trace.
func (t *Trace) First(seconds int) (*Trace, error) {
	if seconds < 1 {
		return nil, fmt.Errorf("simulate: the first %d seconds of a trace were asked for, want 1 or more", seconds)
	}
	first := &Trace{bins: t.bins, width: t.width}
	return first, first.setLength(min(seconds, t.seconds))
}

// setLength cuts or extends the trace and counts its records.
func (t *Trace) setLength(seconds int) error {
	t.seconds, t.records = seconds, 0
	for _, b := range t.bins {
		if b.second >= seconds {
			break
		}
		t.records += spread(b.records, min(t.width, seconds-b.second), t.width)
		if t.records > maxRecords {
			return fmt.Errorf("simulate: the trace has more than %d records", maxRecords)
		}
	}
	return nil
}

// spread is how many of a bin's records have arrived after the first i of its w seconds: floor(i*r/w), computed in
// parts so that it cannot overflow.
func spread(r, i, w int) int { return i*(r/w) + i*(r%w)/w }

// cursor reads arrivals second by second, in ascending order.
type cursor struct {
	bins  []bin
	width int
}

func (c *cursor) at(second int) int {
	for len(c.bins) > 0 && c.bins[0].second+c.width <= second {
		c.bins = c.bins[1:]
	}
	if len(c.bins) == 0 || second < c.bins[0].second {
		return 0
	}
	i := second - c.bins[0].second
	return spread(c.bins[0].records, i+1, c.width) - spread(c.bins[0].records, i, c.width)
}

// scaled multiplies arrivals by a factor, rounding the running total so that nothing gets lost.
type scaled struct {
	factor      float64
	total, done int // arrivals so far, before and after the factor
}

func (s *scaled) next(records int) int {
	if s.factor == 1 {
		return records
	}
	s.total += records
	before := s.done
	s.done = int(math.Floor(s.factor * float64(s.total)))
	return s.done - before
}

// read fills in bins and width.
func (t *Trace) read(r io.Reader, width int) error {
	buffered := bufio.NewReader(r)
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
		defer unzipped.Close()
		buffered = bufio.NewReader(unzipped)
	}
	lines := bufio.NewScanner(buffered)
	lines.Buffer(nil, maxLine)
	number, gaps := 0, 0
	for lines.Scan() {
		number++
		if err := t.readLine(number, lines.Text(), width, &gaps); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("longer than %d bytes", maxLine)
		}
		return fmt.Errorf("line %d: %w", number+1, err)
	}
	if number == 0 {
		return errors.New(`empty, want the header "second,records"`)
	}
	if len(t.bins) == 0 {
		return errors.New("no rows after the header")
	}
	t.width = cmp.Or(width, gaps, 1)
	if end := t.bins[len(t.bins)-1].second + t.width; end > maxSecond {
		return fmt.Errorf("it ends at second %d, want at most %d", end, maxSecond)
	}
	return nil
}

// readLine reads one line; gaps is the greatest common divisor of the gaps so far.
func (t *Trace) readLine(number int, line string, width int, gaps *int) error {
	if number == 1 {
		header := strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		if header != "second,records" {
			return fmt.Errorf(`header is %q, want "second,records"`, header)
		}
		return nil
	}
	if strings.TrimSpace(line) == "" {
		return nil
	}
	fields := strings.Split(line, ",")
	if len(fields) != 2 {
		return fmt.Errorf("%d fields, want 2: second,records", len(fields))
	}
	second, err := whole("second", fields[0], maxSecond)
	if err != nil {
		return err
	}
	records, err := whole("records", fields[1], maxRecords)
	if err != nil {
		return err
	}
	if n := len(t.bins); n > 0 {
		gap := second - t.bins[n-1].second
		if gap <= 0 {
			return fmt.Errorf("second %d comes after second %d, want ascending seconds", second, t.bins[n-1].second)
		}
		if width > gap {
			return fmt.Errorf("second %d lies within the bin of second %d, which is %d s wide", second, t.bins[n-1].second, width)
		}
		*gaps = gcd(*gaps, gap)
	}
	if len(t.bins) == maxBins {
		return fmt.Errorf("more than %d rows", maxBins)
	}
	t.bins = append(t.bins, bin{second, records})
	return nil
}

// whole reads a whole number from 0 to most.
func whole(name, text string, most int) (int, error) {
	text = strings.TrimSpace(text)
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%s is %q, want a whole number from 0 to %d", name, text, most)
	}
	return n, nil
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
