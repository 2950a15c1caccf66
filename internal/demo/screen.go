package demo

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// Screen is where people watch a demo. On a terminal a frame stays at the bottom and is drawn anew in place, with everything that
// is said above it. Elsewhere there are only lines. Its methods may be called from several goroutines.
type Screen struct {
	w    io.Writer
	size func() (columns, rows int)

	// Color says that frames may be coloured. It must not change once the screen is in use.
	Color bool

	mu    sync.Mutex
	frame []string // what stands at the bottom
	rest  []byte   // of a log line that has no end yet
}

// NewScreen makes a screen of w. The function size asks a terminal how large it is; nil means that w is none.
func NewScreen(w io.Writer, size func() (columns, rows int)) *Screen {
	return &Screen{w: w, size: size}
}

// Live says whether frames can be drawn: on a terminal that is not too narrow for them.
func (s *Screen) Live() bool {
	if s.size == nil {
		return false
	}
	columns, _ := s.size()
	return columns >= leastWidth
}

// Say prints a line, above the frame if there is one. On a terminal it becomes several lines where it is too long.
func (s *Screen) Say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size != nil {
		columns, _ := s.size()
		line = wrap(line, columns-1)
	}
	s.above(line + "\n")
}

// wrap breaks a line at spaces so that no part is longer than width, if its words let it.
func wrap(line string, width int) string {
	for from := 0; width > 0 && utf8.RuneCountInString(line[from:]) > width; {
		end := len(string([]rune(line[from:])[:width+1]))
		space := strings.LastIndexByte(line[from:from+end], ' ')
		if space <= 0 {
			break
		}
		line = line[:from+space] + "\n" + line[from+space+1:]
		from += space + 1
	}
	return line
}

// Write prints what a log has to say, as soon as its lines are complete. It is an [io.Writer].
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, p...)
	if end := bytes.LastIndexByte(s.rest, '\n') + 1; end > 0 {
		s.above(string(s.rest[:end]))
		s.rest = append(s.rest[:0], s.rest[end:]...)
	}
	return len(p), nil
}

// Draw replaces the frame. It calls draw with the size of the terminal; the lines must not be longer than it is wide.
func (s *Screen) Draw(draw func(columns, rows int) []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	columns, rows := s.size()
	next := draw(columns-1, rows-1) // a full last column may or may not wrap
	var b strings.Builder
	b.WriteString(s.back(columns))
	for _, line := range next {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	io.WriteString(s.w, b.String())
	s.frame = next
}

// Leave lets the frame stand as it is; what follows is printed below it.
func (s *Screen) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frame = nil
}

// above prints text where the frame begins, and the frame again after it.
func (s *Screen) above(text string) {
	if len(s.frame) == 0 {
		io.WriteString(s.w, text)
		return
	}
	columns, _ := s.size()
	io.WriteString(s.w, s.back(columns)+"\x1b[J"+text+strings.Join(s.frame, "\n")+"\n")
}

// back moves to the beginning of the frame. Where the terminal has become narrower, lines of the frame take several rows.
func (s *Screen) back(columns int) string {
	rows := 0
	for _, line := range s.frame {
		rows += max((visible(line)+columns-1)/max(columns, 1), 1)
	}
	if rows == 0 {
		return ""
	}
	return fmt.Sprintf("\r\x1b[%dA", rows)
}

// visible is how many columns a line takes, colours aside.
func visible(line string) int {
	n := utf8.RuneCountInString(line)
	for {
		_, after, found := strings.Cut(line, "\x1b[")
		if !found {
			return n
		}
		code, rest, _ := strings.Cut(after, "m")
		n -= len("\x1b[") + len(code) + len("m")
		line = rest
	}
}
