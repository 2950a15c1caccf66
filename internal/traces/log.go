package traces

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// restlessLines is after how many lines a reading looks whether it should end.
const restlessLines = 1 << 12

// readLog counts the lines of a log by their second. Where inside is false, lines that begin with white space are no
// records.
func readLog(ctx context.Context, r *bufio.Reader, form *format, inside bool) (*Trace, error) {
	t := &Trace{Form: form.name, Files: 1}
	var c counts
	var when calendar
	var stranger struct { // the first line that was not understood
		number int
		text   string
	}
	for {
		line, err := nextLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("after line %d: %w", t.Lines, readError(err))
		}
		if err != nil && len(line) == 0 {
			break
		}
		t.Lines++
		if t.Lines%restlessLines == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		line = trimmed(line)
		if len(line) == 0 {
			continue
		}
		if !inside && indented(line) {
			t.Continuation++
			continue
		}
		s, ok := form.find(line)
		if !ok {
			if t.Unknown++; t.Unknown == 1 {
				stranger.number, stranger.text = t.Lines, quoted(line)
			}
			continue
		}
		if err := c.add(when.second(s), 1, t.Lines); err != nil {
			return nil, fmt.Errorf("line %d: %w", t.Lines, err)
		}
	}
	if t.Unknown > c.records {
		return nil, fmt.Errorf("%d of %d lines have no time in the form of the file (%s), the first is line %d: %s; "+
			"want at most half of them; --time-format says how the times are written",
			t.Unknown, t.Unknown+c.records, form.name, stranger.number, stranger.text)
	}
	if c.records == 0 {
		return nil, errors.New("no line has a time, want a log file with one on each line")
	}
	if !when.undated {
		t.Start = time.Unix(c.earliest.second, 0).UTC()
	}
	c.skipDays(when.leapDays(c.earliest.second, c.latest.second))
	if err := c.tooLong(); err != nil {
		return nil, err
	}
	var err error
	t.Trace, err = c.trace()
	return t, err
}

// nextLine is the next line, or its beginning where it is longer than the buffer; the rest of it is skipped.
func nextLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	line = append([]byte(nil), line[:longestLine]...)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	return line, err
}

// longestLine is how much is looked at of a line that does not fit into the buffer.
const longestLine = 1 << 16
