package doctor

import (
	"fmt"
	"io"
	"strings"

	"github.com/sluicehq/sluice/internal/words"
)

// Print writes a report for people, in lines of at most width columns.
func Print(w io.Writer, r Report, width int) error {
	const state, topic = 9, 15
	room := max(width-state-topic, 30)
	var b strings.Builder
	for _, f := range r.Findings {
		head := fmt.Sprintf("%-*s%-*s", state, f.State, topic, f.Topic)
		for _, line := range wrap(f.Text, room) {
			fmt.Fprintf(&b, "%s%s\n", head, line)
			head = strings.Repeat(" ", state+topic)
		}
		if f.Do == "" {
			continue
		}
		for i, line := range wrap(f.Do, room-4) {
			arrow := "    "
			if i == 0 {
				arrow = "do: "
			}
			fmt.Fprintf(&b, "%s%s%s\n", head, arrow, line)
		}
	}
	switch {
	case r.Problems+r.Warnings == 0:
		b.WriteString("\nall is well\n")
	default:
		fmt.Fprintf(&b, "\n%s, %s\n", words.Plural(r.Problems, "problem", "problems"), words.Plural(r.Warnings, "warning", "warnings"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wrap breaks a text at spaces.
func wrap(text string, columns int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > columns {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
