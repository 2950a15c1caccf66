package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/words"
)

// View says how a frame is to look.
type View struct {
	Now     time.Time
	Width   int
	Height  int // rows; 0 takes as many as there is to say
	Color   bool
	Sort    int // index into the columns of the table
	Reverse bool
	Scroll  int           // rows of the table that are above the first one shown
	Span    time.Duration // of the charts; 0 follows what is known
	Depth   bool          // draw the depth, also where the oldest wait could be
	Why     bool          // show decisions instead of analyzers where there is no room for both
	Held    bool          // the picture stands still
	Help    bool          // what the keys do, instead of everything else
}

// Sizes from which on there is more to see.
const (
	wideColumns  = 140             // analyzers and decisions side by side
	tallRest     = 22              // rows for analyzers and decisions one above the other
	leastDecided = 3               // rows that few analyzers leave and that are worth filling with decisions
	leastRest    = 11              // rows below the figures for charts
	mostKnown    = 5 * time.Minute // what charts show unless somebody asks for more
	mostBars     = 20              // rows of the charts
)

// Frame draws what is known as lines of at most v.Width columns.
func (s *State) Frame(v View) string {
	p := painter{v.Color}
	v.Width = max(v.Width, 20)
	lines := []string{s.heading(p, v)}
	switch {
	case v.Help:
		lines = append(lines, helpLines(p)...)
	case s.last() == nil:
		lines = append(lines, "")
		lines = append(lines, s.away(p, v)...)
	default:
		lines = append(lines, s.body(p, v)...)
	}
	if v.Height > 0 {
		lines = lines[:min(len(lines), v.Height-1)]
		for len(lines) < v.Height-1 {
			lines = append(lines, "")
		}
		lines = append(lines, keyLine(p, v))
	}
	for i, l := range lines {
		lines[i] = strings.TrimRight(cut(l, v.Width), " ")
	}
	return strings.Join(lines, "\n")
}

func (s *State) heading(p painter, v View) string {
	parts := []string{"sluice top"}
	if l := s.last(); l != nil {
		parts = append(parts, l.Stats.Role, clean(l.Stats.Version), "up "+span(l.Stats.Uptime))
	}
	parts = append(parts, clean(s.address))
	clock := " " + v.Now.Format("15:04:05 MST") + " "
	for len(parts) > 2 && width(strings.Join(parts, " · "))+1 > v.Width-width(clock) {
		parts = append(parts[:len(parts)-2], parts[len(parts)-1]) // the address matters more
	}
	return p.paint(bar, left(" "+strings.Join(parts, " · "), v.Width-width(clock))+clock)
}

// body is everything below the heading.
func (s *State) body(p painter, v View) []string {
	live := s.live()
	lines := s.verdict(p, v, live)
	lines = append(lines, figures(p, v.Width, live)...)
	lines = append(lines, s.why(p, v)...)
	if v.Height == 0 {
		return append(lines, s.unbounded(p, v)...)
	}
	rest := v.Height - 2 - len(lines) // the heading and the keys
	if rest >= leastRest {
		bars := min(max(rest/2-2, rest-s.listRows()-4, 3), mostBars, v.Width/8)
		lines = append(lines, s.charts(p, v, bars)...)
		rest -= bars + 2
	}
	return append(lines, s.lists(p, v, rest)...)
}

// listRows is how many rows the lists would fill, but for old decisions.
func (s *State) listRows() int {
	return max(len(s.rows())+1, min(len(s.decisions), 12))
}

// unbounded is the lower part with as many rows as there are.
func (s *State) unbounded(p painter, v View) []string {
	lines := s.charts(p, v, 8)
	lines = append(lines, "")
	lines = append(lines, s.table(p, v, v.Width, 0)...)
	if len(s.decisions) > 0 {
		lines = append(lines, "")
		lines = append(lines, s.decisionLines(p, v.Width, 11)...)
	}
	return lines
}

// lists are the analyzers and the decisions, in as many rows as are left.
func (s *State) lists(p painter, v View, rest int) []string {
	switch {
	case rest < 2:
		return nil
	case v.Width >= wideColumns:
		w := v.Width*11/20 - 2
		return beside(s.table(p, v, w, rest), s.decisionLines(p, v.Width-w-3, rest), w, p.paint(faint, " │ "), rest)
	case v.Why:
		return s.decisionLines(p, v.Width, rest)
	case len(s.decisions) > 0 && rest-max(len(s.rows()), 1)-2 >= leastDecided, rest >= tallRest:
		above := min(max(len(s.rows()), 1)+1, rest*2/3)
		lines := append(s.table(p, v, v.Width, above), "")
		return append(lines, s.decisionLines(p, v.Width, rest-above-1)...)
	}
	return s.table(p, v, v.Width, rest)
}

// beside puts blocks next to each other.
func beside(a, b []string, w int, between string, height int) []string {
	lines := make([]string, height)
	for i := range lines {
		var l, r string
		if i < len(a) {
			l = a[i]
		}
		if i < len(b) {
			r = b[i]
		}
		lines[i] = left(l, w) + between + r
	}
	return lines
}

var verdictStyle = map[string]style{"idle": good, "keeping_up": good, "behind": caution, "stalled": alarm, "unknown": alarm}

// verdict answers the first question, and says what is wrong.
func (s *State) verdict(p painter, v View, live api.Live) []string {
	if s.err != nil {
		return append(s.away(p, v), p.paint(faint, "  below: what was last seen, at "+s.last().Time.Format(time.TimeOnly)))
	}
	name := strings.ToUpper(strings.ReplaceAll(live.KeepingUp.State, "_", " "))
	text := clean(live.KeepingUp.Text)
	if _, after, found := strings.Cut(text, "; "); found && width(name)+width(text)+4 > v.Width {
		text = after // the rates stand below
	}
	lines := wrap(p, p.paint(verdictStyle[live.KeepingUp.State], "● "+name)+"  ", plain, text, v.Width, 2)
	reasons := reasons(live)
	most := len(reasons)
	if v.Height > 0 {
		most = min(most, 1+(v.Height-24)/6) // room for them grows with the screen
		most = max(most, min(1, len(reasons)))
	}
	for i, r := range reasons[:most] {
		look := reasonLooks[r.State]
		more := ""
		if n := len(reasons) - most; i == most-1 && n > 0 {
			more = fmt.Sprintf(" (and %d more)", n)
		}
		lines = append(lines, wrap(p, p.paint(look.style, look.mark+" "), look.style, clean(r.Text)+more, v.Width, 2)...)
		last := lines[len(lines)-1]
		if do := " → " + clean(r.Do); r.Do != "" && width(last)+width(do) <= v.Width {
			lines[len(lines)-1] += p.paint(faint, do)
		}
	}
	if len(reasons) == 0 {
		other := ""
		if verdictStyle[live.KeepingUp.State] != good {
			other = "else "
		}
		lines = append(lines, p.paint(faint, "  nothing "+other+"to do"))
	}
	return append(lines, sloLine(p, live)...)
}

// reasonLooks is how reasons look, by their state.
var reasonLooks = map[string]struct {
	mark  string
	style style
}{
	api.StateProblem: {"✖", alarm}, api.StateUnknown: {"?", alarm}, api.StateWarning: {"!", yellow}, api.StateOK: {"·", faint},
}

// reasons are those of the verdict, without the one that the first line has said already.
func reasons(live api.Live) (all []api.Reason) {
	for _, r := range live.Verdict.Reasons {
		if !strings.HasSuffix(r.Text, live.KeepingUp.Text) {
			all = append(all, r)
		}
	}
	return all
}

// sloLine says how many of the records were late. It is empty if nothing is measured.
func sloLine(p painter, live api.Live) []string {
	if live.Waits == nil {
		return nil
	}
	return []string{p.paint(faint, "late ") + clean(live.Waits.InWords())}
}

// away says that nobody answers, for how long, and why.
func (s *State) away(p painter, v View) []string {
	if s.err == nil {
		return []string{p.paint(faint, "looking at "+clean(s.address)+" ...")}
	}
	why := s.err.Error()
	if _, after, found := strings.Cut(why, s.address+": "); found { // the address stands above
		why = after
	}
	return []string{
		p.paint(alert, " AWAY ") + " no answer for " + span(v.Now.Sub(s.since).Seconds()) + ", trying again",
		"  " + clean(why),
	}
}

// figure is a number with its name.
type figure struct {
	name, value string
	style       style
	more        string // where there is room
}

// figures are the numbers in four columns: what flows, what waits, who works, what is safe.
func figures(p painter, columns int, live api.Live) []string {
	groups := [4][4]figure{flowFigures(live), backlogFigures(live), poolFigures(live), diskFigures(live)}
	w := columns / 4
	lines := make([]string, 4)
	for i := range lines {
		for _, g := range groups {
			f := g[i]
			text := p.paint(faint, left(f.name, 10)) + p.paint(f.style, f.value)
			if w >= 28 && f.more != "" && 11+width(f.value)+width(f.more) < w {
				text += p.paint(faint, "  "+f.more)
			}
			lines[i] += left(text, w-1) + " "
		}
	}
	return lines
}

func flowFigures(live api.Live) [4]figure {
	r := live.Rates
	g := [4]figure{
		{name: "in", value: "-"},
		{name: "done", value: words.Rate(r.Out), style: bold, more: words.Bytes(r.OutBytes) + "/s"},
		{name: "pushback", value: "-"},
		{name: "failing", value: words.Rate(r.Failed), style: unlessZero(r.Failed, yellow)},
	}
	if live.Ingest != nil {
		g[0] = figure{"in", words.Rate(r.In), bold, words.Bytes(r.InBytes) + "/s"}
		g[2] = figure{"pushback", words.Rate(r.PushedBack), unlessZero(r.PushedBack, yellow), words.Thousands(live.Ingest.PushedBack) + " in all"}
	}
	return g
}

func backlogFigures(live api.Live) [4]figure {
	g := [4]figure{{name: "waiting", value: "-"}, {name: "in flight", value: "-"}, {name: "oldest", value: "-"}, {name: "clears in", value: "-"}}
	q := live.QueueStats
	if q == nil {
		if a := live.Autoscaler; a != nil && a.LastDecision != nil && a.LastDecision.DepthKnown {
			d := a.LastDecision
			g[0].value = words.Compact(d.Depth, 9)
			if d.Saw != nil {
				g[1].value = words.Compact(d.Saw.InFlight, 9)
				g[2] = oldest(d.Saw.OldestWaitSeconds, live.SLO)
			}
		}
		return g
	}
	g[0] = figure{"waiting", words.Compact(q.Depth, 9), bold, "in " + words.Thousands(q.Batches) + " batches"}
	g[1].value = words.Compact(q.InFlight, 9)
	g[2] = oldest(q.OldestWait, live.SLO)
	switch c := clears(q, live.Rates); {
	case c < 0 && live.Rates.In == live.Rates.Out:
		g[3] = figure{name: "backlog", value: "stands"}
	case c < 0:
		g[3] = figure{"backlog", "grows", plain, "by " + perSecond(live.Rates.In-live.Rates.Out)}
		if live.KeepingUp.State != "keeping_up" {
			g[3].style = yellow
		}
	case c == 0:
		g[3] = figure{"backlog", "none", faint, ""}
	default:
		g[3].value = span(c)
	}
	return g
}

func oldest(wait, slo float64) figure {
	f := figure{name: "oldest", value: span(wait)}
	if slo > 0 {
		f.value, f.more = span(wait)+"/"+span(slo), fmt.Sprintf("%.0f %% of the SLO", 100*wait/slo)
		switch {
		case wait > slo:
			f.style = alarm
		case wait > 0.8*slo:
			f.style = yellow
		default:
			f.style = green
		}
	}
	return f
}

func poolFigures(live api.Live) [4]figure {
	g := [4]figure{{name: "analyzers", value: "-"}, {name: "busy", value: "-"}, {name: "wanted", value: "-"}, {name: "policy", value: "-"}}
	if p := live.Pool; p != nil {
		g[0] = figure{"analyzers", words.Thousands(p.Size), bold, fmt.Sprintf("%d starting, %d draining", p.Starting, p.Draining)}
		g[1].value = words.Thousands(p.Busy)
		if p.Stuck > 0 {
			g[1].value, g[1].style, g[1].more = fmt.Sprintf("%d stuck", p.Stuck), alarm, fmt.Sprintf("of %d", p.Busy)
		}
	} else if live.RemoteCount != nil {
		g[0] = figure{"analyzers", words.Thousands(*live.RemoteCount), bold, "in other processes"}
	}
	a := live.Autoscaler
	if a == nil {
		return g
	}
	g[0].value += fmt.Sprintf(" of %d", a.MaxSize)
	if a.CurrentSize >= a.MaxSize {
		g[0].style = caution
	}
	if d := a.LastDecision; d != nil {
		g[2].value = words.Thousands(d.NamedSize)
		if d.NamedSize != d.NewSize {
			g[2].style = yellow
		}
		g[2].more = clampNames(d.Clamps)
	}
	g[3] = figure{"policy", a.Policy, plain, fmt.Sprintf("%d up, %d down", a.TotalScaleUps, a.TotalScaleDowns)}
	switch {
	case a.Paused:
		g[3].value, g[3].style = "paused", caution
	case !a.ForcedUntil.IsZero():
		g[3].value, g[3].style, g[3].more = fmt.Sprintf("forced %d", a.ForcedSize), caution, "until "+a.ForcedUntil.Local().Format(time.TimeOnly)
	case a.DryRun:
		g[3].value, g[3].style = "dry run", caution
	case a.InCooldown:
		g[3].more = "cooldown " + span(a.CooldownRemaining.Seconds())
	}
	return g
}

func clampNames(clamps []autoscale.Clamp) string {
	var names []string
	for _, c := range clamps {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

func diskFigures(live api.Live) [4]figure {
	g := [4]figure{{name: "lost", value: "-"}, {name: "dead", value: "-"}, {name: "stored", value: "-"}, {name: "disk free", value: "-"}}
	q := live.QueueStats
	if q == nil {
		return g
	}
	g[0] = figure{"lost", words.Thousands(q.Lost), good, fmt.Sprintf("%s accepted", words.Thousands(q.Accepted))}
	if q.Lost != 0 {
		g[0].style = alarm
	}
	g[1] = figure{"dead", words.Compact(q.Dead, 9), unlessZero(float64(q.Dead), yellow), ""}
	g[2] = figure{"stored", words.Bytes(q.Bytes), plain, "durability " + q.Durability}
	if q.LimitBytes > 0 {
		share := float64(q.Bytes) / float64(q.LimitBytes)
		g[2].more = fmt.Sprintf("%.0f %% of %s", 100*share, words.Bytes(q.LimitBytes))
		if share > 0.8 {
			g[2].style = caution
		}
	}
	if q.FreeBytes >= 0 {
		g[3] = figure{"disk free", words.Bytes(q.FreeBytes), plain, "durability " + q.Durability}
		if q.FreeBytes < 4*q.MinFree {
			g[3].style = caution
		}
	}
	return g
}

func unlessZero(x float64, s style) style {
	if x == 0 {
		return faint
	}
	return s
}

// why says in words why the pool has the size it has, and where there is room, why not another.
func (s *State) why(p painter, v View) []string {
	e := s.last().Why
	if e.Text == "" {
		return nil
	}
	lines := wrap(p, p.paint(bold, "why  "), plain, clean(e.Text), v.Width, 5)
	if v.Height == 0 || v.Height >= 32 {
		for _, more := range [][2]string{{"not more", e.WhyNotMore}, {"not fewer", e.WhyNotFewer}} {
			if more[1] != "" {
				lines = append(lines, wrap(p, "     ", faint, more[0]+": "+clean(more[1]), v.Width, 7)...)
			}
		}
	}
	return lines
}

// charts are two, side by side: what waits, and who works.
func (s *State) charts(p painter, v View, bars int) []string {
	l := s.last()
	if v.Span == 0 {
		v.Span = s.known(v.Now)
	}
	spanText := fmt.Sprintf("%d min", int(v.Span.Minutes()))
	w := (v.Width - 1) / 2
	marks := s.marks()
	waits := chart{title: "oldest wait, " + spanText, width: w, height: bars, now: v.Now, span: v.Span, format: span, fill: green, over: red,
		value: func(pt point) float64 { return pt.wait }, line: l.Stats.SLO, least: l.Stats.SLO * 1.25}
	if l.Stats.SLO > 0 {
		waits.title += " ┈ SLO " + span(l.Stats.SLO)
	}
	if v.Depth || l.Stats.SLO == 0 {
		waits.title, waits.format, waits.fill, waits.over = "waiting, "+spanText, words.Short, blue, plain
		waits.value, waits.line, waits.least = func(pt point) float64 { return pt.depth }, float64(l.Settings.ScaleUpThreshold), 10
		if waits.line > 0 {
			waits.title += " ┈ grows at " + words.Short(waits.line)
		}
	}
	if l.Stats.Autoscaler == nil && l.Stats.Pool == nil { // a distributor: nobody works here
		waits.width = v.Width
		return waits.draw(p, s.points, nil)
	}
	sizes := chart{title: "pool", width: v.Width - w - 1, height: bars, now: v.Now, span: v.Span, format: words.Short, fill: green,
		value:  func(pt point) float64 { return float64(pt.size) },
		strong: func(pt point) (float64, bool) { return float64(pt.busy), pt.hasBusy },
		wanted: func(pt point) float64 { return float64(pt.named) }}
	if p.color {
		sizes.title += " ─ wanted"
	} else {
		sizes.title += " ▒ idle ─ wanted"
	}
	if a := l.Stats.Autoscaler; a != nil {
		if a.MaxSize <= 24 {
			sizes.least = float64(a.MaxSize)
		}
		sizes.line = float64(a.MaxSize)
		sizes.title += fmt.Sprintf(" ┈ max %d", a.MaxSize)
	}
	return beside(waits.draw(p, s.points, marks), sizes.draw(p, s.points, marks), w, " ", bars+2)
}

// known is the shortest time of the charts that shows all that is known, and five minutes at most.
func (s *State) known(now time.Time) time.Duration {
	for _, d := range spans {
		if len(s.points) == 0 || d >= mostKnown || now.Sub(s.points[0].at) <= d {
			return d
		}
	}
	return mostKnown
}

// marks are the moments at which the size changed.
func (s *State) marks() (all []mark) {
	for _, d := range s.decisions {
		if d.Action != autoscale.ActionHold {
			all = append(all, mark{d.Time.Add(s.shift), d.Action == autoscale.ActionUp})
		}
	}
	return all
}

// keyLine says what the keys do.
func keyLine(p painter, v View) string {
	state := ""
	if v.Held {
		state = p.paint(alert, " HELD ") + " "
	}
	sorted := strings.ToLower(fields[v.Sort%len(fields)].name)
	return state + p.paint(faint, "q quit  s sort:"+sorted+"  r reverse  z zoom  w depth  d decisions  ␣ hold  ? help")
}

func helpLines(p painter) []string {
	lines := []string{""}
	for _, k := range [][2]string{
		{"q, Ctrl-C", "leave"},
		{"s, S", "sort the analyzers by the next column, the one before"},
		{"r", "turn the order around"},
		{"↑ ↓ PgUp PgDn Home", "scroll the analyzers"},
		{"z, Z", "charts over more time, over less: 1 to 60 minutes"},
		{"w", "chart of the oldest wait, or of what waits"},
		{"tab, d", "decisions or analyzers, where there is no room for both"},
		{"space", "hold the picture; looking goes on"},
		{"?", "this, and back"},
	} {
		lines = append(lines, "  "+p.paint(bold, left(k[0], 22))+k[1])
	}
	return append(lines, "",
		"  ▲ ▼ under the charts: the pool was made larger, smaller.",
		"  FOR: time in this state. HAND: batches in hand, of slots.",
		"  P50, P99: how long batches take. REC/S: over 15 seconds; other rates: 5.",
		"",
		"  For programs: sluice top --once --json. In full: sluice decisions --explain.")
}
