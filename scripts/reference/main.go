// Command reference writes the reference of all settings into a Markdown file, between two marks.
package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"

	"github.com/sluicehq/sluice/internal/config"
)

const begin, end = "<!-- reference:begin -->\n", "<!-- reference:end -->"

func main() {
	if err := write(os.Args[len(os.Args)-1]); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func write(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(text, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return fmt.Errorf("%s does not have the marks %q and %q", path, begin, end)
	}
	// Not by appending to head: that is the front of text, and would write over tail.
	out := slices.Concat(head, []byte(begin), []byte(config.Reference()), []byte(end), tail)
	return os.WriteFile(path, out, 0o644)
}
