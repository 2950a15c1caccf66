package cli

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluicehq/sluice/autoscale/simulate"
	"github.com/sluicehq/sluice/internal/words"
)

// simulateSummary is what simulate --json prints. Other programs rely on the names.
type simulateSummary struct {
	Policies []policySummary `json:"policies"`
	Bound    boundSummary    `json:"bound"`
}

type policySummary struct {
	Policy         string  `json:"policy"`
	Cost           int     `json:"cost"`   // worker-seconds
	Useful         float64 `json:"useful"` // worker-seconds
	CostRatio      float64 `json:"cost_ratio"`
	SLOViolations  float64 `json:"slo_violations"` // share of the records, 0 to 1
	WaitP50        int     `json:"wait_p50"`       // seconds, and so are the next
	WaitP90        int     `json:"wait_p90"`
	WaitP99        int     `json:"wait_p99"`
	WaitP999       int     `json:"wait_p999"`
	WaitMax        int     `json:"wait_max"`
	MaxDepth       int     `json:"max_depth"` // records
	ScaleUps       int     `json:"scale_ups"`
	ScaleDowns     int     `json:"scale_downs"`
	WorkersStarted int     `json:"workers_started"`
	WorkersStopped int     `json:"workers_stopped"`
	Reversals      int     `json:"reversals"`
}

type boundSummary struct {
	Cost      float64 `json:"cost"`
	CostRatio float64 `json:"cost_ratio"`
}

func (o outcome) summary() simulateSummary {
	s := simulateSummary{Policies: []policySummary{}, Bound: boundSummary{o.bound.Cost, o.bound.Ratio}}
	for _, r := range o.results {
		s.Policies = append(s.Policies, policySummary{
			Policy: r.Policy, Cost: r.Cost, Useful: r.Useful, CostRatio: r.CostRatio, SLOViolations: r.SLOViolations,
			WaitP50: r.WaitP50, WaitP90: r.WaitP90, WaitP99: r.WaitP99, WaitP999: r.WaitP999, WaitMax: r.WaitMax,
			MaxDepth: r.MaxDepth, ScaleUps: r.ScaleUps, ScaleDowns: r.ScaleDowns,
			WorkersStarted: r.WorkersStarted, WorkersStopped: r.WorkersStopped, Reversals: r.Reversals,
		})
	}
	return s
}

// table is the outcome for people.
func (s *simulation) table(o outcome) string {
	rows := [][]string{{"policy", "cost", "ratio", "late %", "p50", "p90", "p99", "max", "depth", "ups", "downs", "rev"}}
	for _, r := range o.results {
		rows = append(rows, []string{
			r.Policy, words.Thousands(r.Cost), fmt.Sprintf("%.3f", r.CostRatio), asPercent(r.SLOViolations),
			waitCell(r.WaitP50), waitCell(r.WaitP90), waitCell(r.WaitP99), waitCell(r.WaitMax), words.Thousands(r.MaxDepth),
			strconv.Itoa(r.ScaleUps), strconv.Itoa(r.ScaleDowns), strconv.Itoa(r.Reversals),
		})
	}
	rows = append(rows, []string{"bound", words.Thousands(int64(math.Floor(o.bound.Cost + 1e-6))), fmt.Sprintf("%.3f", o.bound.Ratio), asPercent(o.bound.Late)})

	var b strings.Builder
	first := o.results[0]
	fmt.Fprintf(&b, "%s records in %s s, SLO %v; useful %s worker-seconds\n",
		words.Thousands(first.Records), words.Thousands(s.trace.Seconds()), s.options.SLO, words.Thousands(int64(math.Round(first.Useful))))
	if summary := s.trace.Summary(); summary != "" {
		b.WriteString(wrapped(summary))
	}
	b.WriteString("\n")
	writeColumns(&b, rows)
	simulateNotes(&b, o)
	return b.String()
}

// notes say what the numbers alone would get somebody to misread.
func simulateNotes(b *strings.Builder, o outcome) {
	b.WriteString("\n" + wrapped("cost is in worker-seconds, ratio is cost over useful, p50 to max are waits, depth is the most records "+
		"waiting, rev counts reversals, bound is the least that a policy without a late record can pay."))
	note := func(format string, args ...any) { b.WriteString(wrapped(fmt.Sprintf(format, args...))) }
	for _, r := range o.results {
		if r.Unserved > 0 {
			note("%s left %s records waiting, an hour after the trace; they count as late.", r.Policy, words.Thousands(r.Unserved))
		}
		if float64(r.Cost) < o.bound.Cost-1e-6 {
			note("%s costs less than the bound only because it is late for %s %% of the records.", r.Policy, asPercent(r.SLOViolations))
		}
	}
	if o.bound.Late > 0 {
		note("With this max-size and startup at least %s %% are late whatever the policy; the bound allows for that.", asPercent(o.bound.Late))
	}
}

func asPercent(share float64) string { return fmt.Sprintf("%.3f", 100*share) }

func waitCell(n int) string { return words.Thousands(n) + "s" }

// wrapped is text in lines of at most 79 characters, each with its end.
func wrapped(text string) string {
	var b strings.Builder
	used := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case used == 0:
		case used+1+n > 79:
			b.WriteString("\n")
			used = 0
		default:
			b.WriteString(" ")
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String() + "\n"
}

// writeColumns writes a table: the first column stands at the left, numbers at the right.
func writeColumns(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		fmt.Fprintf(b, "%-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			fmt.Fprintf(b, "  %*s", widths[i+1], cell)
		}
		b.WriteString("\n")
	}
}

// timeline is the file that --timeline names.
type timeline struct {
	file   *os.File
	buffer *bufio.Writer
	csv    *csv.Writer   // one of the two
	json   *json.Encoder // is nil
	err    error         // the first
}

// timelineFormat is "csv" or "json" for a name, or empty for one that is neither.
func timelineFormat(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return "csv"
	case ".json", ".jsonl":
		return "json"
	}
	return ""
}

func createTimeline(name string) (*timeline, error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	t := &timeline{file: file, buffer: bufio.NewWriterSize(file, 1<<16)}
	if timelineFormat(name) == "csv" {
		t.csv = csv.NewWriter(t.buffer)
		t.keep(t.csv.Write([]string{"policy", "t", "depth", "oldest_wait", "ready", "starting", "draining", "arrived", "completed",
			"busy_seconds", "named_size", "size", "reason"}))
	} else {
		t.json = json.NewEncoder(t.buffer)
		t.json.SetEscapeHTML(false)
	}
	return t, nil
}

func (t *timeline) keep(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *timeline) write(policy string, r simulate.Row) {
	if t.json != nil {
		t.keep(t.json.Encode(struct {
			Policy string `json:"policy"`
			simulate.Row
		}{policy, r}))
		return
	}
	known := func(n *int) string {
		if n == nil {
			return "" // the reading was missing
		}
		return strconv.Itoa(*n)
	}
	t.keep(t.csv.Write([]string{
		policy, strconv.Itoa(r.Second), known(r.Depth), known(r.OldestWait), strconv.Itoa(r.Ready), strconv.Itoa(r.Starting),
		strconv.Itoa(r.Draining), strconv.Itoa(r.Arrived), strconv.Itoa(r.Completed),
		strconv.FormatFloat(r.BusySeconds, 'f', -1, 64), strconv.Itoa(r.NamedSize), strconv.Itoa(r.Size), r.Reason,
	}))
}

// Close writes what is left and returns the first error there was.
func (t *timeline) Close() error {
	if t.csv != nil {
		t.csv.Flush()
	}
	return errors.Join(t.err, t.buffer.Flush(), t.file.Close())
}
