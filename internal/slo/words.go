package slo

import (
	"fmt"
	"strings"

	"github.com/sluicehq/sluice/internal/words"
)

// InWords says in one line which share of the records was late in each window, and how long those of the last hour waited.
func (r *Report) InWords() string {
	var parts []string
	judged := false
	for _, w := range r.Windows {
		share := "none done"
		switch {
		case w.LateShare != nil:
			share, judged = words.Percent(*w.LateShare), true
		case w.Done > 0:
			share = "unknown"
		}
		parts = append(parts, w.Name+" "+share)
	}
	text := strings.Join(parts, ", ")
	if r.SLO == nil && !judged {
		text = "unknown: no SLO is set"
	} else {
		text += "; budget " + words.Percent(r.Budget)
	}
	if w := r.Windows; len(w) > 0 && w[0].P50 != nil {
		text += fmt.Sprintf("; 1h p50 %s, p99 %s", words.Seconds(*w[0].P50), words.Seconds(*w[0].P99))
	}
	return text
}

// InWords says what is known of a window.
func (w *Window) InWords() string {
	text := "no record was done"
	switch {
	case w.LateShare != nil:
		used := words.Percent(*w.BudgetUsed) + " of"
		if *w.BudgetUsed > 2 {
			used = words.Number(*w.BudgetUsed) + " times"
		}
		text = fmt.Sprintf("%s of %s records late (%s), %s the error budget", words.Thousands(*w.Late), words.Thousands(w.Judged), words.Percent(*w.LateShare), used)
	case w.Done > 0:
		text = fmt.Sprintf("%s records done; how many were late is unknown", words.Thousands(w.Done))
	}
	if w.P50 != nil {
		text += fmt.Sprintf("; wait p50 %s, p99 %s", words.Seconds(*w.P50), words.Seconds(*w.P99))
	}
	if w.Dead > 0 {
		text += fmt.Sprintf("; %s became dead letters", words.Thousands(w.Dead))
	}
	return text
}
