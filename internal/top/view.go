package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
)

// wide is the width from which on things stand beside each other.
const wide = 130

// Lines draws everything, at the time now, for a screen of a width and height: exactly so many lines of exactly so many columns. Colours
// are escape sequences; Plain takes them away.
func (m *Model) Lines(now time.Time, width, height int) []string {
	if width < 20 || height < 5 {
		return frame([]string{"sluice top: the screen is too small"}, width, height)
	}
	lines := m.head(now, width)
	foot := m.foot(width)
	switch {
	case m.help:
		lines = append(lines, m.keys()...)
	case len(m.looks) > 0:
		lines = append(lines, m.body(now, width, height-len(lines)-1)...)
	}
	lines = frame(lines, width, height)
	lines[height-1] = fit(foot, width)
	return lines
}

// Plain is a line without escape sequences and without blanks at its end.
func Plain(line string) string { return strings.TrimRight(ansi.Strip(line), " ") }

// frame makes lines as many and as wide as the screen.
func frame(lines []string, width, height int) []string {
	out := make([]string, max(height, 0))
	for i := range out {
		if i < len(lines) {
			out[i] = fit(lines[i], width)
		} else {
			out[i] = strings.Repeat(" ", max(width, 0))
		}
	}
	return out
}

// head says whether all is well.
func (m *Model) head(now time.Time, width int) []string {
	title := bold.paint("sluice top") + "  " + m.Address
	if len(m.looks) > 0 {
		text := fmt.Sprintf("  %s %s, up %s", clean(m.live.Role), clean(m.live.Version), span(m.live.Uptime))
		if q := m.live.QueueStats; q != nil {
			text += ", durability " + q.Durability
		}
		title += dim.paint(text)
	}
	lines := []string{ends(title, " "+now.Format(time.TimeOnly), width)}
	if m.trouble != nil {
		last := "never seen; trying again"
		if len(m.looks) > 0 {
			last = fmt.Sprintf("all below is from %s, %s ago; trying again", m.live.Time.Local().Format(time.TimeOnly), span(now.Sub(m.live.Time).Seconds()))
		}
		return append(lines, alarm.paint("✖ NO ANSWER  ")+clean(m.trouble.Error()), dim.paint("  "+last))
	}
	if len(m.looks) == 0 {
		return append(lines, dim.paint("○ looking for it"))
	}
	lines = append(lines, m.verdict())
	reasons := m.live.Health.Reasons
	for i, r := range reasons {
		if strings.HasSuffix(r, m.live.KeepingUp.Text) {
			continue // the verdict has just said it
		}
		if len(lines) == 4 && i < len(reasons)-1 {
			return append(lines, dim.paint(fmt.Sprintf("  and %d more", len(reasons)-i)))
		}
		lines = append(lines, yellow.paint("! ")+clean(r))
	}
	return lines
}

var verdicts = map[string]struct {
	s    style
	text string
}{
	"idle": {green, "● IDLE"}, "keeping_up": {green, "● KEEPING UP"}, "behind": {alarm, "▲ BEHIND"}, "stalled": {alarm, "✖ STALLED"},
}

func (m *Model) verdict() string {
	if !m.rated {
		return dim.paint("○ a moment: rates need a second look")
	}
	v, ok := verdicts[m.live.KeepingUp.State]
	if !ok {
		v.s, v.text = yellow, "? UNKNOWN"
	}
	return v.s.paint(v.text) + "  " + clean(m.live.KeepingUp.Text)
}

// body has the figures, the charts and the analyzers, in as many lines as there are. Where lines are few, charts shrink and then go.
func (m *Model) body(now time.Time, width, height int) []string {
	lines := []string{""}
	if height < 16 {
		lines = nil
	}
	lines = append(lines, m.figures(width)...)
	if why := m.why(); why != "" && width < wide {
		lines = append(lines, cyan.paint("why ")+why)
	}
	rest := height - len(lines)
	tableLeast := min(m.analyzers(), 4) + 1
	chart := min((rest-tableLeast-3)/2, 4+max(0, rest-16)/6)
	if width >= wide {
		chart = min(rest-tableLeast-3, 4+rest/4)
	}
	if chart >= 2 {
		lines = append(lines, m.charts(now, width, chart)...)
	}
	rest = height - len(lines)
	if width < wide {
		return append(lines, m.table(now, width, rest)...)
	}
	left := width * 11 / 20
	right := width - left - 2
	return append(lines, beside(m.table(now, left, rest), left, m.reasons(right, rest), right)...)
}

// figure is a number with its name.
type figure struct {
	name, value string
	style       style
}

func (m *Model) figures(width int) []string {
	list := append(m.flowFigures(), m.stateFigures()...)
	across := 2
	switch {
	case width >= wide:
		across = 4
	case width < 64:
		across = 1
	}
	down := (len(list) + across - 1) / across
	lines := make([]string, down)
	each := (width - 2*(across-1)) / across
	for i, f := range list {
		cell := fit(dim.paint(fmt.Sprintf("%-11s", f.name))+f.style.paint(f.value), each)
		if i >= down { // not the first of its line
			cell = "  " + cell
		}
		lines[i%down] += cell
	}
	return lines
}

func (m *Model) flowFigures() []figure {
	r := m.live.Rates
	rate := func(records, size float64) string {
		if !m.rated {
			return "…"
		}
		return fmt.Sprintf("%s records/s  %s/s", perSecond(records), bytes(size))
	}
	in := figure{"in", rate(r.In, r.InBytes), bold}
	if m.live.Ingest == nil {
		in.value = "elsewhere"
	}
	list := []figure{in, {"out", rate(r.Out, r.OutBytes), bold}}
	failing := figure{"failing", perSecond(r.Failed) + " records/s", plain}
	if r.Failed > 0 {
		failing.style = yellow
	}
	if m.live.Ingest != nil {
		failing.value += ", " + perSecond(r.PushedBack) + " pushed back/s"
	}
	if r.PushedBack > 0 {
		failing.style = alarm
	}
	list = append(list, failing)
	if q := m.live.QueueStats; q != nil {
		oldest := figure{"oldest", span(q.OldestWait), green}
		if slo := m.live.SLO; slo > 0 {
			oldest.value += " of " + span(slo)
			if q.OldestWait > slo {
				oldest.style = alarm
			} else if q.OldestWait > slo/2 {
				oldest.style = yellow
			}
		}
		list = append(list, oldest,
			figure{"waiting", fmt.Sprintf("%s, %s more in flight", number(float64(q.Depth)), number(float64(q.InFlight))), bold})
	}
	return list
}

func (m *Model) stateFigures() []figure {
	var list []figure
	if p := m.live.Pool; p != nil {
		f := figure{"analyzers", fmt.Sprintf("%d", p.Size), bold}
		if a := m.live.Autoscaler; a != nil {
			f.value += fmt.Sprintf(" of %d..%d", a.MinSize, a.MaxSize)
			if p.Size >= a.MaxSize {
				f.style = yellow
			}
		}
		f.value += fmt.Sprintf(", %d busy", p.Busy)
		for _, x := range []struct {
			n    int
			text string
		}{{p.Stuck, "stuck"}, {p.Starting, "starting"}, {p.Draining, "draining"}} {
			if x.n > 0 {
				f.value += fmt.Sprintf(", %d %s", x.n, x.text)
			}
		}
		list = append(list, f)
	} else if r := m.live.Remote; r != nil {
		list = append(list, figure{"analyzers", fmt.Sprintf("%d elsewhere", len(*r)), bold})
	}
	q := m.live.QueueStats
	if q == nil {
		return list
	}
	dead := figure{"dead", number(float64(q.Dead)) + " records", plain}
	if q.Dead > 0 {
		dead.style = yellow
	}
	lost := q.Accepted - q.Completed - q.Dead - q.Depth - q.InFlight
	account := figure{"lost", fmt.Sprintf("%s of %s accepted", number(float64(lost)), number(float64(q.Accepted))), green}
	if lost != 0 {
		account.style = alarm
	}
	stored := figure{"stored", bytes(float64(q.Bytes)) + " of " + bytes(float64(q.LimitBytes)), plain}
	if q.LimitBytes > 0 && float64(q.Bytes) > 0.8*float64(q.LimitBytes) {
		stored.style = alarm
	}
	list = append(list, dead, account, stored)
	if q.FreeBytes < 0 {
		return list // nobody knows
	}
	disk := figure{"disk", bytes(float64(q.FreeBytes)) + " free", plain}
	if q.FreeBytes < 4*q.MinFree {
		disk.style = alarm
	}
	return append(list, disk)
}

// why is the newest decision in a line.
func (m *Model) why() string {
	if m.because.Text != "" {
		return m.mode() + clean(m.because.Text)
	}
	if a := m.live.Autoscaler; a != nil && a.LastDecision != nil {
		return m.mode() + clean(a.LastDecision.Reason)
	}
	return m.mode()
}

// mode says what a person has done to the autoscaler.
func (m *Model) mode() string {
	a := m.live.Autoscaler
	switch {
	case a == nil:
		return ""
	case a.Paused:
		return yellow.paint("PAUSED ")
	case !a.ForcedUntil.IsZero():
		return yellow.paint(fmt.Sprintf("FORCED to %d until %s ", a.ForcedSize, a.ForcedUntil.Local().Format(time.TimeOnly)))
	case a.DryRun:
		return yellow.paint("DRY RUN ")
	}
	return ""
}

// charts draws wait or depth, and the size, of so many rows each; one above the other, or side by side where there is room.
func (m *Model) charts(now time.Time, width, height int) []string {
	each := width
	if width >= wide {
		each = (width - 2) / 2
	}
	cols := columns(m.points, m.acted, now, spans[m.span], each-scaleWidth)
	upper := bars{value: func(c column) float64 { return c.wait }, line: m.live.SLO, unit: span, colour: cyan, height: height}
	name := bold.paint("oldest wait")
	if upper.line > 0 {
		name += dim.paint("  ┄ the SLO")
	}
	if m.depth {
		upper = bars{value: func(c column) float64 { return c.depth }, unit: short, colour: cyan, height: height}
		name = bold.paint("records waiting")
	}
	var values, sizes []float64
	for _, c := range cols {
		values, sizes = append(values, upper.value(c)), append(sizes, c.size, c.named)
	}
	upper.top = roof(append(values, upper.line*1.2)...)
	lower := bars{value: func(c column) float64 { return c.size }, dot: func(c column) float64 { return c.named }, unit: short,
		colour: green, height: height}
	lower.top = max(roof(sizes...), float64(min(height, 4)))
	title := bold.paint("analyzers") + dim.paint("  · wanted  ▲▼ moved")
	a := append([]string{name}, upper.draw(cols)...)
	b := append([]string{title}, lower.draw(cols)...)
	foot := axis(cols, spans[m.span])
	if width >= wide {
		return append([]string{""}, beside(append(a, foot), each, append(b, foot), each)...)
	}
	return append(append(a, b...), foot)
}

// states have a colour each.
var states = map[string]style{analyzer.StateStuck: alarm, analyzer.StateDraining: blue, "starting": yellow, analyzer.StateBusy: green, analyzer.StateIdle: dim}

// table lists the analyzers, in so many lines with the header.
func (m *Model) table(now time.Time, width, height int) []string {
	if height < 2 || m.analyzers() == 0 {
		return nil
	}
	rows := m.rows(now, width)
	name := fmt.Sprintf("%-*s", nameWidth(width), "ANALYZER")
	header := fmt.Sprintf("%s %-9s %7s %5s %7s %9s %7s %7s %6s  %s", name, "STATE", "FOR", "SLOTS", "REC/S", "RECORDS", "P50", "P99", "FAILED", "LAST ERROR")
	lines := []string{invert.paint(fit(header, width))}
	first := max(0, min(m.scroll, len(rows)-(height-1)))
	for i := first; i < len(rows) && len(lines) < height; i++ {
		if len(lines) == height-1 && i < len(rows)-1 {
			lines = append(lines, dim.paint(fmt.Sprintf("and %d more; ↓ scrolls", len(rows)-i)))
			break
		}
		lines = append(lines, rows[i])
	}
	return lines
}

func nameWidth(width int) int {
	return max(10, min(24, width-69))
}

func (m *Model) rows(now time.Time, width int) []string {
	var lines []string
	n := nameWidth(width)
	for _, r := range m.sorted() {
		failed := fit(fmt.Sprintf("%6s", short(float64(r.Failed))), 6)
		if r.Failed > 0 {
			failed = yellow.paint(failed)
		}
		lines = append(lines, fmt.Sprintf("%s %s %7s %5s %7s %9s %7s %7s %s  %s", ending(clean(r.ID), n), states[r.State].paint(fmt.Sprintf("%-9s", r.State)),
			span(max(0, now.Sub(r.StateSince).Seconds())), fmt.Sprintf("%d/%d", r.InHand, r.Slots), short(m.perID[r.ID]), short(float64(r.Records)),
			latency(r.P50), latency(r.P99), failed, clean(r.LastError)))
	}
	if m.live.Remote == nil {
		return lines
	}
	for _, r := range *m.live.Remote {
		lines = append(lines, fmt.Sprintf("%s %s %7s %5s %7s %9s  leased so far", ending(clean(r.ID), n), fit("elsewhere", 9), span(r.LastSeen), "", "", short(float64(r.Records))))
	}
	return lines
}

// reasons says why the pool has its size, and when it was moved.
func (m *Model) reasons(width, height int) []string {
	lines := []string{invert.paint(fit("WHY", width))}
	lines = append(lines, wrap(m.why(), width)...)
	for _, x := range []struct{ name, text string }{{"not more: ", m.because.WhyNotMore}, {"not fewer: ", m.because.WhyNotFewer}} {
		if x.text != "" {
			lines = append(lines, wrap(cyan.paint(x.name)+clean(x.text), width)...)
		}
	}
	lines = append(lines, "", invert.paint(fit("MOVED", width)))
	for i := len(m.acted) - 1; i >= 0 && len(lines) < height; i-- {
		lines = append(lines, moved(m.acted[i]))
	}
	return lines[:min(len(lines), max(height, 0))]
}

func moved(d autoscale.Decision) string {
	mark := green.paint("▲")
	if d.NewSize < d.Size {
		mark = blue.paint("▼")
	}
	return fmt.Sprintf("%s %s %2d → %-2d %s", dim.paint(d.Time.Local().Format(time.TimeOnly)), mark, d.Size, d.NewSize, clean(d.Reason))
}

func (m *Model) foot(width int) string {
	by := orders[m.sort].name
	if m.reverse {
		by += ", reversed"
	}
	keys := " q quit  ? keys  ←→ sort: " + by + "  r reverse  t " + strings.TrimSuffix(spans[m.span].String(), "0s") + "  d "
	if m.depth {
		keys += "wait"
	} else {
		keys += "depth"
	}
	return invert.paint(fit(keys+"  ↑↓ scroll", width))
}

// keys is the help.
func (m *Model) keys() []string {
	return []string{"",
		bold.paint("  q, Ctrl-C     ") + "leave", bold.paint("  ← →, s S      ") + "sort by the next column, the one before",
		bold.paint("  r             ") + "the other way round", bold.paint("  ↑ ↓, PgUp PgDn") + " scroll the analyzers; Home is the first",
		bold.paint("  t             ") + "charts over 5 minutes, 15, an hour, six hours", bold.paint("  d             ") + "chart of records waiting instead of the oldest wait",
		bold.paint("  ?             ") + "this page", "",
		"  " + green.paint("▲") + " " + blue.paint("▼") + "  the pool was made larger, smaller", "  " + yellow.paint("·") + "    the size that the policy wanted",
		"  FOR  how long an analyzer has been in its state; busy: with its oldest batch", "",
		"  sluice decisions    why, at each check        sluice scale force N    by hand",
		"  sluice dead ls      what failed for good      sluice doctor           the machine below",
	}
}
