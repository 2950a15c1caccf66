package fields

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The documentation lists every name, in the order in which they are tried, and every word for a severity that it lists is read so.
func TestTheDocumentationListsTheNames(t *testing.T) {
	text, err := os.ReadFile("../../docs/fields.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	cells := func(line string) (first string, words []string) {
		first, rest, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, m := range quoted.FindAllStringSubmatch(rest, -1) {
			words = append(words, m[1])
		}
		return first, words
	}
	lists := map[string][]string{
		"time": timeNames, "severity": severityNames, "service": serviceNames, "text": textNames,
		"status of a request": append([]string{"status"}, statusNames...), "sign of a request": requestNames,
	}
	severities := 0
	for line := range strings.Lines(string(text)) {
		first, words := cells(line)
		if names, ok := lists[first]; ok {
			if !slices.Equal(words, names) {
				t.Errorf("the documentation has %q for %s, want %q", words, first, names)
			}
			delete(lists, first)
		}
		name := strings.Trim(first, "`")
		if number := map[string]Severity{"TRACE": Trace, "DEBUG": Debug, "INFO": Info, "WARN": Warn, "ERROR": Error, "FATAL": Fatal}[name]; number != 0 {
			severities++
			for _, word := range words {
				if got := ParseSeverity(word); got.String() != name {
					t.Errorf("%s is read as %v, the documentation says %s", word, got, name)
				}
			}
		}
	}
	if len(lists) > 0 || severities != 7 {
		t.Errorf("the documentation lacks %v, or has %d rows of severities, want 7", lists, severities)
	}
}
