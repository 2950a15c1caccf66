package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluicehq/sluice/internal/visible"
)

// progress is one line that changes in place on a terminal. Elsewhere it is printed now and then.
type progress struct {
	w        io.Writer
	terminal bool
	open     bool // a line stands without its end
	last     time.Time
}

func newProgress(w io.Writer) *progress { return &progress{w: raw(w), terminal: isTerminal(w)} }

// quietly is how often a progress line is printed where it can't change in place.
const quietly = 10 * time.Second

func (p *progress) show(line string) {
	line = visible.Line(line)
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.open = true
		return
	}
	if now := time.Now(); now.Sub(p.last) >= quietly {
		p.last = now
		fmt.Fprintln(p.w, line)
	}
}

func (p *progress) done() {
	if p.open {
		fmt.Fprintln(p.w)
		p.open = false
	}
}

// every shows a line again and again until the returned function is called, which shows it a last time.
func (p *progress) every(interval time.Duration, line func() string) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	p.last = time.Now()
	go func() {
		defer close(ended)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.show(line())
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
		p.last = time.Time{}
		p.show(line())
		p.done()
		p.last = time.Now()
	}
}

// clear takes the line away again, where there is one.
func (p *progress) clear() {
	if p.open {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.open = false
	}
}

// barWidth is the length of a full bar, in characters.
const barWidth = 24

// progressBar is a line of at most 79 characters: what is done, how much of it (0 to 1), and a word on what is left.
func progressBar(what string, share float64, rest string) string {
	full := int(barWidth * min(1, max(0, share)))
	line := fmt.Sprintf("%s  [%s%s] %3.0f %%  %s", what, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), 100*share, rest)
	const most = 79
	if utf8.RuneCountInString(line) > most {
		line = string([]rune(line)[:most-3]) + "..."
	}
	return strings.TrimRight(line, " ")
}
