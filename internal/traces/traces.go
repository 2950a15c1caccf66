package traces

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/autoscale/simulate"
	"github.com/sluicehq/sluice/internal/words"
)

// Options says how to read where the file leaves it open.
type Options struct {
	// TimeFormat is how a log file writes times, as a Go layout ("2006-01-02 15:04:05") or with the directives of
	// strftime ("%Y-%m-%d %H:%M:%S"). Empty means that the first lines tell.
	TimeFormat string

	// Progress is told how far the reading is. Nil means that nobody looks.
	Progress *Progress
}

// Validate returns nil, or what is wrong with the time format.
func (o Options) Validate() error {
	_, err := compileFormat(o.TimeFormat)
	return err
}

// Progress is how far a reading is, to be looked at while it goes on.
type Progress struct {
	Done  atomic.Int64 // bytes read, as they are on disk
	Total atomic.Int64 // bytes there are; 0 when unknown
}

// Trace is a trace and where it comes from.
type Trace struct {
	*simulate.Trace

	Form  string    // "CSV", "folder", or the form of the times in a log file, such as "Common Log Format"
	Start time.Time // the first second; zero where the source does not tell it

	Files        int // read
	Lines        int // of a log file
	Continuation int // lines of a log file that continue the one before
	Unknown      int // lines of a log file without a time, left out
}

// Summary says in one line what was read. It is empty for a CSV file, which says everything itself.
func (t *Trace) Summary() string {
	when := ""
	if !t.Start.IsZero() {
		end := t.Start.Add(time.Duration(t.Seconds()-1) * time.Second)
		when = fmt.Sprintf(", %s to %s UTC", t.Start.Format(time.DateTime), end.Format(time.DateTime))
	}
	switch t.Form {
	case formCSV:
		return ""
	case formFolder:
		return words.Plural(t.Files, "day", "days") + when
	}
	left := ""
	if t.Continuation > 0 {
		left += fmt.Sprintf("; %s continue others", words.Plural(t.Continuation, "line", "lines"))
	}
	if t.Unknown > 0 {
		left += fmt.Sprintf("; %s without a time left out", words.Plural(t.Unknown, "line", "lines"))
	}
	return fmt.Sprintf("%s, %s%s%s", t.Form, words.Plural(t.Lines, "line", "lines"), when, left)
}

// Forms that are not forms of times.
const (
	formCSV    = "CSV"
	formFolder = "folder"
)

// Read reads the trace that a name stands for: a CSV file, a log file, a folder, or "-" for standard input. Errors name
// the line and, in a folder, the file. The context ends a long reading.
func Read(ctx context.Context, name string, stdin io.Reader, o Options) (*Trace, error) {
	forced, err := compileFormat(o.TimeFormat)
	if err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	if name == "-" {
		return readFile(ctx, "", stdin, forced, o.Progress)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, errors.Unwrap(err) // whoever called knows the name
	}
	if info.IsDir() {
		if forced != nil {
			return nil, errors.New("a time format is for log files, and this is a folder of CSV files")
		}
		return readFolder(ctx, name, o.Progress)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer file.Close()
	o.Progress.Total.Store(info.Size())
	return readFile(ctx, name, file, forced, o.Progress)
}

const csvHeader = "second,records"

// sampleBytes is how much of a file is looked at to tell its form.
const sampleBytes = 1 << 20

// readFile reads a CSV trace or a log, whichever it is.
func readFile(ctx context.Context, name string, r io.Reader, forced *format, p *Progress) (*Trace, error) {
	plain, err := unpacked(&meter{r: r, done: &p.Done})
	if err != nil {
		return nil, err
	}
	sample, err := plain.Peek(sampleBytes)
	if len(sample) == 0 && err != nil && !errors.Is(err, io.EOF) {
		return nil, readError(err)
	}
	first, _, _ := bytes.Cut(sample, []byte("\n"))
	header := strings.TrimSpace(strings.TrimPrefix(string(first[:min(len(first), 200)]), "\ufeff"))
	switch {
	case header == csvHeader && forced != nil:
		return nil, errors.New("a time format is for log files, and this is a CSV file of second,records")
	case header == csvHeader, len(sample) == 0:
		return readCSV(plain)
	case forced != nil:
		return readLog(ctx, plain, forced, indented(first))
	}
	form, inside := recognize(sample)
	if form == nil {
		if plainName := strings.TrimSuffix(name, ".gz"); strings.HasSuffix(plainName, ".csv") || strings.HasPrefix(header, "second") {
			return readCSV(plain) // says what is wrong with it
		}
		return nil, noTimeError(first)
	}
	return readLog(ctx, plain, form, inside)
}

func readCSV(r io.Reader) (*Trace, error) {
	t, err := simulate.ReadTrace(r, simulate.TraceOptions{})
	if err != nil {
		return nil, err
	}
	return &Trace{Trace: t, Form: formCSV, Files: 1}, nil
}

func noTimeError(first []byte) error {
	return fmt.Errorf("no line at its beginning has a time that is known here (line 1 is %s), "+
		"want a CSV file with the header %s, or a log file; --time-format says how its times are written, "+
		`such as "%%d.%%m.%%Y %%H:%%M:%%S"`, quoted(first), csvHeader)
}

// quoted shows enough of a line to find it.
func quoted(line []byte) string {
	const most = 60
	text := strings.ToValidUTF8(string(line[:min(len(line), most)]), "?")
	if len(line) > most {
		text += "..."
	}
	return strconv.Quote(strings.TrimRight(text, "\r"))
}

// unpacked reads through gzip where the first bytes say so.
func unpacked(r io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(r, sampleBytes)
	magic, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, readError(err)
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, readError(err)
	}
	return bufio.NewReaderSize(z, sampleBytes), nil
}

// readError says in plain words what a damaged file is.
func readError(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("gzip: the file ends too early, want a whole one")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return fmt.Errorf("%w, want an undamaged file", err)
	}
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err
	}
	return err
}

// meter counts what passes.
type meter struct {
	r    io.Reader
	done *atomic.Int64
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.done.Add(int64(n))
	return n, err
}
