package demo

import (
	"fmt"
	"strings"
	"testing"
)

// terminal shows what a screen would, for the few codes that a screen uses.
type terminal struct {
	lines []string
	row   int
	col   int
}

func (t *terminal) Write(p []byte) (int, error) {
	text := string(p)
	for len(text) > 0 {
		switch {
		case strings.HasPrefix(text, "\x1b[K"):
			t.lines[t.row] = t.lines[t.row][:t.col]
			text = text[3:]
		case strings.HasPrefix(text, "\x1b[J"):
			t.lines = append(t.lines[:t.row:t.row], t.lines[t.row][:t.col])
			text = text[3:]
		case strings.HasPrefix(text, "\x1b["):
			var up int
			fmt.Sscanf(text, "\x1b[%dA", &up)
			t.row -= up
			text = text[strings.IndexByte(text, 'A')+1:]
		default:
			t.put(text[0])
			text = text[1:]
		}
	}
	return len(p), nil
}

func (t *terminal) put(c byte) {
	switch c {
	case '\r':
		t.col = 0
	case '\n':
		t.row, t.col = t.row+1, 0
		if t.row == len(t.lines) {
			t.lines = append(t.lines, "")
		}
	default:
		line := t.lines[t.row]
		t.lines[t.row] = line[:t.col] + string(c) + line[min(t.col+1, len(line)):]
		t.col++
	}
}

func TestScreenDrawsInPlace(t *testing.T) {
	term := &terminal{lines: []string{""}}
	s := NewScreen(term, func() (int, int) { return 80, 24 })
	draw := func(lines ...string) { s.Draw(func(int, int) []string { return lines }) }
	check := func(when string, want ...string) {
		t.Helper()
		if got := strings.Join(term.lines, "|"); got != strings.Join(want, "|")+"|" {
			t.Errorf("%s: the terminal shows %q, want %q", when, got, want)
		}
	}
	s.Say("begin")
	check("said", "begin")
	draw("one", "two", "three")
	check("first frame", "begin", "one", "two", "three")
	draw("1", "2", "3")
	check("second frame", "begin", "1", "2", "3")
	s.Say("more")
	check("said above", "begin", "more", "1", "2", "3")
	draw("a")
	check("shorter frame", "begin", "more", "a")
	fmt.Fprint(s, "half a line")
	check("half a line of the log", "begin", "more", "a")
	fmt.Fprint(s, ", whole\n")
	check("whole line of the log", "begin", "more", "half a line, whole", "a")
	s.Leave()
	s.Say("end")
	check("left", "begin", "more", "half a line, whole", "a", "end")
}

func TestScreenElsewhere(t *testing.T) {
	var out strings.Builder
	s := NewScreen(&out, nil)
	s.Say("%d lines, however long: %s", 1, strings.Repeat("long ", 40))
	fmt.Fprintln(s, "logged")
	if got := out.String(); s.Live() || strings.Count(got, "\n") != 2 || strings.Contains(got, "\x1b") {
		t.Errorf("live %v, printed %q", s.Live(), got)
	}
}

func TestNarrowTerminal(t *testing.T) {
	for columns, want := range map[int]bool{0: false, 59: false, 60: true, 300: true} {
		if got := NewScreen(nil, func() (int, int) { return columns, 24 }).Live(); got != want {
			t.Errorf("%d columns: live is %v, want %v", columns, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", ""},
		{"short", "short"},
		{"exactly it", "exactly it"},
		{"one two three four", "one two|three four"},
		{"unbreakableword and more", "unbreakableword and more"},
		{"ä ö ü ß é è ê", "ä ö ü ß é|è ê"},
	} {
		if got := strings.ReplaceAll(wrap(test.in, 10), "\n", "|"); got != test.want {
			t.Errorf("%q: %q, want %q", test.in, got, test.want)
		}
	}
}
