package top

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/words"
)

// row is one analyzer.
type row struct {
	name, state   string
	age           float64 // seconds in this state; of one elsewhere, since it asked for work
	slots, inHand int
	batches       int64
	records       int64
	rate          float64 // records per second lately
	p50, p99      float64 // seconds per batch
	failed        int64
	restarts      int64
	lastError     string
}

// stateElsewhere is that of an analyzer in another process.
const stateElsewhere = "elsewhere"

// stateOrder puts first what may need somebody.
var stateOrder = []string{analyzer.StateStuck, analyzer.StateDraining, analyzer.StateStarting, analyzer.StateBusy, analyzer.StateIdle, stateElsewhere}

var stateStyle = map[string]style{
	analyzer.StateStuck: alarm, analyzer.StateDraining: yellow, analyzer.StateStarting: cyan, analyzer.StateBusy: green, analyzer.StateIdle: faint, stateElsewhere: blue,
}

// rows are the analyzers of the newest look.
func (s *State) rows() (all []row) {
	a, b := s.window(rowWindow)
	seconds := b.Time.Sub(a.Time).Seconds()
	before := map[string]int64{}
	if p := a.Stats.Pool; p != nil {
		for _, r := range p.Analyzers {
			before[r.ID] = r.Records
		}
	}
	if a.Stats.Remote != nil {
		for _, r := range *a.Stats.Remote {
			before[r.ID] = r.Records
		}
	}
	rate := func(id string, records int64) float64 {
		if seconds <= 0 {
			return 0
		}
		return float64(max(0, records-before[id])) / seconds
	}
	if p := b.Stats.Pool; p != nil {
		for _, r := range p.Analyzers {
			all = append(all, row{
				name: clean(r.ID), state: r.State, age: b.Time.Sub(r.StateSince.Add(s.shift)).Seconds(), slots: r.Slots, inHand: r.InHand,
				batches: r.Batches, records: r.Records, rate: rate(r.ID, r.Records), p50: r.P50, p99: r.P99, failed: r.Failed,
				restarts: r.Restarts, lastError: clean(r.LastError),
			})
		}
	}
	if b.Stats.Remote != nil {
		for _, r := range *b.Stats.Remote {
			all = append(all, row{name: clean(r.ID), state: stateElsewhere, age: r.LastSeen, batches: r.Batches, records: r.Records, rate: rate(r.ID, r.Records)})
		}
	}
	return all
}

// field is a column of the table.
type field struct {
	name  string
	width int // 0 takes what is left
	from  int // columns of the table from which on it is shown
	text  func(row) string
	less  func(a, b row) int // the way a person wants to see it first
	left  bool
}

func down[T cmp.Ordered](get func(row) T) func(a, b row) int {
	return func(a, b row) int { return cmp.Compare(get(b), get(a)) }
}

// fields are all columns; the order is that of the sort key.
var fields = []field{
	{name: "STATE", width: 9, left: true, text: func(r row) string { return r.state },
		less: func(a, b row) int {
			return cmp.Compare(slices.Index(stateOrder, a.state), slices.Index(stateOrder, b.state))
		}},
	{name: "ANALYZER", left: true, text: func(r row) string { return r.name }, less: func(a, b row) int { return words.Natural(a.name, b.name) }},
	{name: "FOR", width: 6, text: func(r row) string { return span(r.age) }, less: down(func(r row) float64 { return r.age })},
	{name: "HAND", width: 5, from: 64, text: func(r row) string {
		if r.slots == 0 {
			return ""
		}
		return words.Thousands(r.inHand) + "/" + words.Thousands(r.slots)
	}, less: down(func(r row) int { return r.inHand })},
	{name: "BATCHES", width: 9, from: 96, text: func(r row) string { return words.Thousands(r.batches) }, less: down(func(r row) int64 { return r.batches })},
	{name: "RECORDS", width: 9, text: func(r row) string { return words.Compact(r.records, 9) }, less: down(func(r row) int64 { return r.records })},
	{name: "REC/S", width: 7, text: func(r row) string { return words.Short(r.rate) }, less: down(func(r row) float64 { return r.rate })},
	{name: "P50", width: 6, from: 76, text: func(r row) string { return orBlank(r.p50) }, less: down(func(r row) float64 { return r.p50 })},
	{name: "P99", width: 6, text: func(r row) string { return orBlank(r.p99) }, less: down(func(r row) float64 { return r.p99 })},
	{name: "FAILED", width: 6, from: 70, text: func(r row) string { return words.Short(float64(r.failed)) }, less: down(func(r row) int64 { return r.failed })},
	{name: "RESTARTS", width: 8, from: 96, text: func(r row) string { return words.Short(float64(r.restarts)) }, less: down(func(r row) int64 { return r.restarts })},
}

func orBlank(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return span(seconds)
}

// table draws the analyzers: a head, and as many rows as fit. The rest is counted in the last line.
func (s *State) table(p painter, v View, columns, height int) []string {
	rows := s.rows()
	sorted := fields[v.Sort%len(fields)]
	slices.SortStableFunc(rows, func(a, b row) int {
		c := sorted.less(a, b)
		if v.Reverse {
			c = -c
		}
		return cmp.Or(c, words.Natural(a.name, b.name))
	})
	shown := slices.DeleteFunc(slices.Clone(fields), func(f field) bool { return columns < f.from })
	free := columns
	for _, f := range shown {
		free -= f.width + 1
	}
	errors := 0 // columns for the last error
	if free > 50 {
		free, errors = 30, free-31
	}
	line := func(text func(field) (string, style)) string {
		var b strings.Builder
		for _, f := range shown {
			w := f.width
			if w == 0 {
				w = free
			}
			t, st := text(f)
			if f.left {
				t = left(t, w)
			} else {
				t = right(t, w)
			}
			b.WriteString(p.paint(st, t) + " ")
		}
		return b.String()
	}
	head := line(func(f field) (string, style) {
		if f.name == sorted.name {
			return map[bool]string{false: "▾", true: "▴"}[v.Reverse] + f.name, bold
		}
		return f.name, faint
	})
	if errors > 0 {
		head += p.paint(faint, "LAST ERROR")
	}
	lines := []string{head}
	if len(rows) == 0 {
		return append(lines, p.paint(faint, "no analyzers"))
	}
	first := max(0, min(v.Scroll, len(rows)-(height-1)))
	for i, r := range rows[first:] {
		if height > 0 && len(lines) == height-1 && first+i < len(rows)-1 {
			return append(lines, p.paint(faint, "… and "+words.Thousands(len(rows)-first-i)+" more (arrow keys)"))
		}
		text := line(func(f field) (string, style) {
			switch {
			case f.name == "STATE":
				return f.text(r), stateStyle[r.state]
			case f.name == "FAILED" && r.failed > 0, f.name == "RESTARTS" && r.restarts > 0:
				return f.text(r), yellow
			}
			return f.text(r), plain
		})
		if errors > 0 {
			text += p.paint(faint, cut(r.lastError, errors))
		}
		lines = append(lines, text)
	}
	return lines
}

// whyColumn is where the reasons of decisions begin.
const whyColumn = len("DECIDED  SIZE     ")

// decisionLines lists what was decided, the newest first. Checks in a row that changed nothing are one line, with the newest reason.
func (s *State) decisionLines(p painter, columns, height int) []string {
	lines := []string{p.paint(faint, left("DECIDED  SIZE     WHY", columns))}
	for i := len(s.decisions) - 1; i >= 0 && (height <= 0 || len(lines) < height); i-- {
		d := s.decisions[i]
		at := d.Time.Local().Format(time.TimeOnly)
		if d.Action != autoscale.ActionHold {
			st, arrow := green, "▲"
			if d.Action == autoscale.ActionDown {
				st, arrow = blue, "▼"
			}
			size := left(words.Thousands(d.Size)+" → "+words.Thousands(d.NewSize), 7)
			lines = append(lines, wrap(p, p.paint(faint, at)+" "+p.paint(st, arrow+size)+" ", plain, clean(d.Reason), columns, whyColumn)...)
			continue
		}
		held := 1
		for i > 0 && s.decisions[i-1].Action == autoscale.ActionHold {
			i--
			held++
		}
		text := clean(d.Reason)
		if held > 1 {
			text = "held " + words.Thousands(held) + " times: " + text
		}
		lines = append(lines, wrap(p, p.paint(faint, at+"  "+left(words.Thousands(d.Size), 7)+" "), faint, text, columns, whyColumn)...)
	}
	if len(lines) == 1 {
		lines = append(lines, p.paint(faint, "nothing was decided here"))
	}
	for i, l := range lines {
		lines[i] = cut(l, columns)
	}
	if height > 0 {
		lines = lines[:min(len(lines), height)]
	}
	return lines
}
