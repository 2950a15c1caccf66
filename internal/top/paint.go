package top

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/sluicehq/sluice/internal/visible"
)

// style is one of the sixteen colours that every terminal has in the shades that its owner likes, or a weight.
type style string

const (
	plain   style = ""
	bold    style = "1"
	faint   style = "2"
	red     style = "31"
	green   style = "32"
	yellow  style = "33"
	blue    style = "34"
	cyan    style = "36"
	alarm   style = "1;31"
	good    style = "1;32"
	caution style = "1;33"
	bar     style = "7" // reverse video, for lines that head others
	alert   style = "1;37;41"
)

// painter colours text, or leaves it alone.
type painter struct{ color bool }

func (p painter) paint(s style, text string) string {
	if !p.color || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

func width(text string) int { return ansi.StringWidth(text) }

// cut shortens a text that may hold colours, and says with … that it did.
func cut(text string, columns int) string {
	if columns <= 0 {
		return ""
	}
	return ansi.Truncate(text, columns, "…")
}

// mostWrapped is how many lines a sentence may take on a screen: the end of it is often what matters.
const mostWrapped = 3

// wrap writes a sentence behind what stands before it, on as many lines as it needs; all but the first are indented.
func wrap(p painter, before string, st style, text string, columns, indented int) []string {
	indent := strings.Repeat(" ", min(indented, columns/2))
	var lines []string
	begin, line := before, ""
	for _, word := range strings.Fields(text) {
		full := line != "" && width(begin)+width(line)+1+width(word) > columns
		switch {
		case full && len(lines) < mostWrapped-1:
			lines = append(lines, begin+p.paint(st, line))
			begin, line = indent, word
		case line == "":
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, begin+p.paint(st, line))
}

// left cuts or pads a text to a width.
func left(text string, columns int) string {
	text = cut(text, columns)
	return text + strings.Repeat(" ", max(0, columns-width(text)))
}

// right does so with the padding in front.
func right(text string, columns int) string {
	text = cut(text, columns)
	return strings.Repeat(" ", max(0, columns-width(text))) + text
}

// clean makes a text that somebody else wrote safe to draw.
func clean(text string) string { return visible.Line(text) }
