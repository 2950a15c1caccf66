package top

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// style is a rendition of text: codes between ESC[ and m. The sixteen colours of the terminal's own, so that they fit light and dark
// screens.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	blue   style = "34"
	cyan   style = "36"
	alarm  style = "1;31"
	invert style = "7"
)

func (s style) paint(text string) string {
	if s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[m"
}

// fit cuts or fills a line to a width.
func fit(line string, width int) string {
	if width <= 0 {
		return ""
	}
	w := ansi.StringWidth(line)
	if w > width {
		line = ansi.Truncate(line, width, "…")
		w = ansi.StringWidth(line)
	}
	return line + strings.Repeat(" ", max(0, width-w))
}

// ending is like fit, but keeps the end of what is too long: names differ there.
func ending(text string, width int) string {
	if w := ansi.StringWidth(text); w > width {
		text = ansi.TruncateLeft(text, w-width+1, "…")
	}
	return fit(text, width)
}

// ends puts two texts at the ends of a line; the left one gives way.
func ends(left, right string, width int) string {
	return fit(left, width-ansi.StringWidth(right)) + fit(right, min(width, ansi.StringWidth(right)))
}

// beside puts blocks of lines next to each other, each line fitted to its width.
func beside(a []string, widthA int, b []string, widthB int) []string {
	lines := make([]string, max(len(a), len(b)))
	for i := range lines {
		var left, right string
		if i < len(a) {
			left = a[i]
		}
		if i < len(b) {
			right = b[i]
		}
		lines[i] = fit(left, widthA) + "  " + fit(right, widthB)
	}
	return lines
}

// wrap breaks a text between words.
func wrap(text string, width int) []string {
	return strings.Split(ansi.Wrap(text, max(width, 8), ""), "\n")
}

// clean makes one line of text of whoever sent it, without anything that could steer a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// number writes 1234567 as 1,234,567.
func number(x float64) string {
	s := fmt.Sprintf("%.0f", math.Round(x))
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// perSecond is a rate as people read it.
func perSecond(x float64) string {
	if x >= 10 || x == 0 {
		return number(x)
	}
	return fmt.Sprintf("%.2g", x)
}

// short writes large numbers with a letter, so that columns stay narrow.
func short(x float64) string {
	switch {
	case x < 1e5:
		return number(x)
	case x < 1e7:
		return number(x/1e3) + "k"
	case x < 1e10:
		return number(x/1e6) + "M"
	}
	return number(x/1e9) + "G"
}

func bytes(n float64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%.0f B", n)
	}
	i := -1
	for n >= 1024 && i < len(units)-1 {
		n /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", n, units[i])
}

// span writes seconds with two units at most: 0.4s, 12s, 3m20s, 2h10m, 5d3h.
func span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	part := func(a time.Duration, unitA string, b time.Duration, unitB string) string {
		if rest := d % a / b; rest > 0 {
			return fmt.Sprintf("%d%s%d%s", d/a, unitA, rest, unitB)
		}
		return fmt.Sprintf("%d%s", d/a, unitA)
	}
	switch {
	case d <= 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%.2gs", d.Seconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Truncate(time.Second).Seconds())
	case d < time.Hour:
		return part(time.Minute, "m", time.Second, "s")
	case d < 24*time.Hour:
		return part(time.Hour, "h", time.Minute, "m")
	}
	return part(24*time.Hour, "d", time.Hour, "h")
}

// latency is a short time: 1.2ms, 340ms, 2.1s.
func latency(seconds float64) string {
	switch {
	case seconds == 0:
		return "–"
	case seconds < 0.01:
		return fmt.Sprintf("%.1fms", 1000*seconds)
	case seconds < 1:
		return fmt.Sprintf("%.0fms", 1000*seconds)
	}
	return span(seconds)
}
