package traces

import (
	"bytes"
	"fmt"

	"github.com/sluicehq/sluice/internal/fields"
)

// format is a form of log lines: it finds the time in one.
type format struct {
	name string
	find func(line []byte) (fields.Stamp, bool)
}

// formatOf is the format of the lines whose times have a form of package fields. In a file only these count: a number that another line
// begins with may be anything.
func formatOf(form string) *format {
	var view fields.View
	return &format{form, func(line []byte) (fields.Stamp, bool) {
		s, found, ok := view.FindTime(line)
		return s, ok && found == form
	}}
}

// compileFormat is the format that somebody asks for; nil for an empty text.
func compileFormat(text string) (*format, error) {
	if text == "" {
		return nil, nil
	}
	p, err := fields.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("time format %w", err)
	}
	return &format{fmt.Sprintf("time format %q", text), p.Find}, nil
}

// sampleLines is how many lines tell the format.
const sampleLines = 1000

// recognize tells the format of a log by its first lines: the one that most of them have. It is nil if none has any. The second result says
// whether the lines with times begin with white space.
func recognize(sample []byte) (_ *format, inside bool) {
	type seen struct {
		lines  int
		inside bool // the first of them begins with white space
	}
	var view fields.View
	forms := map[string]seen{}
	best, lines := "", 0
	for line := range bytes.Lines(sample) {
		if lines == sampleLines {
			break
		}
		line = trimmed(line)
		counted := len(line) > 0 && !indented(line)
		if counted {
			lines++
		}
		_, form, ok := view.FindTime(line)
		if !ok {
			continue
		}
		if n := forms[form]; counted || n.lines == 0 || n.inside {
			forms[form] = seen{n.lines + 1, n.inside || !counted && n.lines == 0}
		}
		if best == "" || forms[form].lines > forms[best].lines {
			best = form
		}
	}
	if best == "" {
		return nil, false
	}
	return formatOf(best), forms[best].inside
}

func trimmed(line []byte) []byte {
	line = bytes.TrimRight(line, "\r\n")
	return bytes.TrimPrefix(line, []byte("\ufeff"))
}

// indented is true for lines that continue the one before.
func indented(line []byte) bool { return len(line) > 0 && (line[0] == ' ' || line[0] == '\t') }
