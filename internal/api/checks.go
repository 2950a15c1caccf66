package api

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/slo"
	"github.com/sluicehq/sluice/internal/words"
)

// checks are what a verdict is made of: one more is one more line. A check returns a Reason without a State where it has found
// nothing. What comes first stands first among reasons of the same state.
var checks = []struct {
	name string
	look func(l *Live) Reason
}{
	{"queue_unreadable", queueUnreadable},
	{"not_storing", notStoring},
	{"account_open", accountOpen},
	{"cut_off", cutOff},
	{"disk", disk},
	{"stalled", stalled},
	{"depth_unknown", depthUnknown},
	{"queue_full", queueFull},
	{"not_ready", notReady},
	{"empty_on_purpose", emptyPool},
	{"at_max_size", atMaxSize},
	{"behind", behind},
	{"no_analyzers", noAnalyzers},
	{"budget", workerHours},
	{"governor", governor},
	{"slo_missed", sloMissed},
	{"failing", failing},
	{"tried_again", triedAgain},
	{"too_long", tooLong},
	{"handed_back", handedBack},
	{"stuck", stuck},
	{"abandoned_calls", abandonedCalls},
	{"pushed_back", pushedBack},
	{"lost", recordsLost},
	{"dead_letters", deadLetters},
	{"dry_run", dryRun},
	{"paused", paused},
	{"forced", forced},
	{"error_budget", errorBudget},
}

const (
	nearlyFull = 0.8             // the part of max_bytes from which on it is reported
	lowDisk    = 4               // times min_free_bytes, below which it is reported
	recentFail = 5 * time.Minute // how long a failure of the handler is reported after it happened
)

// found makes a reason.
func found(state, do, format string, args ...any) Reason {
	return Reason{State: state, Text: fmt.Sprintf(format, args...), Do: do}
}

func queueUnreadable(l *Live) Reason {
	if l.QueueError == "" {
		return Reason{}
	}
	return found(StateUnknown, "read the log of the queue, and look at the disk", "the queue cannot be read: %s", l.QueueError)
}

func notStoring(l *Live) Reason {
	if l.QueueStats == nil || l.Problem == "" {
		return Reason{}
	}
	return found(StateProblem, "look at the disk and the rights of the data folder; it resumes by itself", "the queue takes nothing: %s", l.Problem)
}

func accountOpen(l *Live) Reason {
	q := l.QueueStats
	if q == nil {
		return Reason{}
	}
	open := q.Accepted - q.Completed - q.Dead - q.Depth - q.InFlight - q.Lost
	if open == 0 {
		return Reason{}
	}
	return found(StateProblem, "keep the log and the data folder, and report it", "the account is off by %s records", words.Thousands(open))
}

func cutOff(l *Live) Reason {
	if l.Pool == nil || l.Pool.LeaseError == "" {
		return Reason{}
	}
	return found(StateProblem, "look at the distributor and the way to it", "no work can be had: %s", l.Pool.LeaseError)
}

func disk(l *Live) Reason {
	q := l.QueueStats
	switch {
	case q == nil || q.FreeBytes < 0:
		return Reason{}
	case q.FreeBytes < max(q.MinFree, 1):
		return found(StateProblem, "make room on the disk", "%s are free on the disk, less than min_free_bytes (%s): records are pushed back",
			words.Bytes(q.FreeBytes), words.Bytes(q.MinFree))
	case q.FreeBytes < lowDisk*q.MinFree:
		return found(StateWarning, "make room on the disk", "%s are free on the disk; below %s records are pushed back",
			words.Bytes(q.FreeBytes), words.Bytes(q.MinFree))
	}
	return Reason{}
}

func stalled(l *Live) Reason {
	if l.KeepingUp.State != "stalled" {
		return Reason{}
	}
	return found(StateProblem, "look at the analyzers: are there any, and what does the handler wait for?", "%s", l.KeepingUp.Text)
}

func depthUnknown(l *Live) Reason {
	a := l.Autoscaler
	switch {
	case a == nil || a.LastDecision == nil:
		if a != nil && l.QueueStats == nil && l.QueueError == "" { // its queue is elsewhere
			return found(StateUnknown, "wait for the first check", "the depth is unknown: the autoscaler has not looked yet")
		}
		return Reason{}
	case a.LastDecision.DepthKnown:
		return Reason{}
	}
	return found(StateUnknown, "look at the queue or the distributor, and the way to it", "the depth is unknown, so the pool keeps its size: %s", a.LastDecision.Reason)
}

func queueFull(l *Live) Reason {
	q := l.QueueStats
	if q == nil || q.LimitBytes <= 0 || float64(q.Bytes) <= nearlyFull*float64(q.LimitBytes) {
		return Reason{}
	}
	return found(StateWarning, "let more analyzers work, or raise max_bytes", "the queue is %.0f %% full; at 100 %% records are pushed back",
		100*float64(q.Bytes)/float64(q.LimitBytes))
}

func notReady(l *Live) Reason {
	if l.NotReady == "" {
		return Reason{}
	}
	return found(StateWarning, "", "the process takes no records: %s", l.NotReady)
}

// held reports whether the newest decision wanted more analyzers than a limit lets it have.
func held(a *autoscale.Stats, clamp string) bool {
	d := a.LastDecision
	return d != nil && d.NamedSize > d.NewSize && slices.ContainsFunc(d.Clamps, func(c autoscale.Clamp) bool { return c.Name == clamp })
}

func atMaxSize(l *Live) Reason {
	a := l.Autoscaler
	if a == nil || a.LastDecision == nil || a.CurrentSize < a.MaxSize {
		return Reason{}
	}
	const do = "raise max_size, or find out what slows the handler down"
	switch more := missing(a.LastDecision, a.MaxSize); {
	case more > 0:
		return found(StateWarning, do, "the pool is at max_size (%d), and %d more would be needed", a.MaxSize, more)
	case l.KeepingUp.State == "behind" || l.KeepingUp.State == "stalled":
		return found(StateWarning, do, "the pool is at max_size (%d), and it does not keep up", a.MaxSize)
	}
	return Reason{}
}

// missing is how many analyzers more than the largest pool has a decision asked for. The policy slo names none beyond the bound, and has
// them in its estimates.
func missing(d *autoscale.Decision, most int) int {
	more := d.NamedSize - most
	if d.Explanation != nil {
		for _, e := range d.Explanation.Estimates {
			if e.Name == "needed_workers" {
				more = max(more, int(math.Ceil(min(e.Value, 1e6)))) // no pool is larger
			}
		}
	}
	return more
}

func behind(l *Live) Reason {
	if l.KeepingUp.State != "behind" {
		return Reason{}
	}
	return found(StateWarning, "read why there are not more analyzers: sluice decisions", "behind: %s", l.KeepingUp.Text)
}

func noAnalyzers(l *Live) Reason {
	if l.Pool != nil || l.QueueStats == nil || l.Remote == nil || len(*l.Remote) > 0 || l.Depth == 0 {
		return Reason{}
	}
	return found(StateWarning, "start analyzers: sluice analyze", "%s records wait, and no analyzer has asked for work lately", words.Thousands(l.Depth))
}

func workerHours(l *Live) Reason {
	if l.Autoscaler == nil || !held(l.Autoscaler, autoscale.ClampBudget) {
		return Reason{}
	}
	return found(StateWarning, "raise worker_hours", "the worker-hours allow %d analyzers, and %d are wanted", l.Autoscaler.LastDecision.NewSize, l.Autoscaler.LastDecision.NamedSize)
}

func governor(l *Live) Reason {
	if l.Autoscaler == nil || !held(l.Autoscaler, autoscale.ClampGovernor) {
		return Reason{}
	}
	return found(StateWarning, "look for what all analyzers share: a database, a lock, the processor",
		"more analyzers than %d bring no more throughput, and %d would be needed", l.Autoscaler.LastDecision.NewSize, l.Autoscaler.LastDecision.NamedSize)
}

// windowOf finds what was measured over a time; nil if it is unknown.
func windowOf(l *Live, name string) *slo.Window {
	if l.Waits == nil {
		return nil
	}
	i := slices.IndexFunc(l.Waits.Windows, func(w slo.Window) bool { return w.Name == name && w.LateShare != nil })
	if i < 0 {
		return nil
	}
	return &l.Waits.Windows[i]
}

// lateIn says how many records were late in a time.
func lateIn(l *Live, span string, w *slo.Window) string {
	return fmt.Sprintf("in the last %s %s of records were late: %s of %s (budget %s)", span, words.Percent(*w.LateShare),
		words.Thousands(*w.Late), words.Thousands(w.Judged), words.Percent(l.Waits.Budget))
}

// sloMissed is about the last hour: a warning while more was late than the target allows, and a note of what was late besides.
func sloMissed(l *Live) Reason {
	w := windowOf(l, "1h")
	switch {
	case w == nil || *w.Late == 0:
		return Reason{}
	case *w.BudgetUsed > 1:
		return found(StateWarning, whyNotMore(l), "%s", lateIn(l, "hour", w))
	}
	return found(StateOK, "", "%s", lateIn(l, "hour", w))
}

// whyNotMore names the command that gives the reason why there were not more analyzers. A distributor has no autoscaler of its own.
func whyNotMore(l *Live) string {
	switch {
	case l.Autoscaler != nil:
		return "read why there were not more analyzers: sluice decisions --diagnose"
	case len(l.Pools) == 0:
		return "start more analyzers: sluice analyze"
	}
	for _, p := range l.Pools {
		if p.URL != "" {
			return "read why a pool had not more analyzers: sluice decisions --diagnose --server " + p.URL
		}
	}
	return "read why a pool had not more analyzers: sluice decisions --diagnose --server with the address of the pool"
}

// errorBudget is a note of a day or a week in which more was late than the target allows.
func errorBudget(l *Live) Reason {
	lastHour := int64(0) // of which sloMissed speaks
	if w := windowOf(l, "1h"); w != nil {
		lastHour = *w.Late
	}
	for _, span := range [][2]string{{"24h", "24 hours"}, {"7d", "7 days"}} {
		if w := windowOf(l, span[0]); w != nil && *w.BudgetUsed > 1 && *w.Late > lastHour {
			return found(StateOK, "", "%s", lateIn(l, span[1], w))
		}
	}
	return Reason{}
}

func failing(l *Live) Reason {
	if l.Pool == nil {
		return Reason{}
	}
	const do = "read the error; it is in the log of the analyzers too"
	last := newestError(l.Pool.Analyzers)
	recent := last.LastError != "" && l.Time.Sub(last.LastErrorAt) < recentFail
	switch {
	case l.Rates.Failed > 0 && recent:
		return found(StateWarning, do, "%s records/s fail in the handler, the last with %.200q", words.Number(l.Rates.Failed), last.LastError)
	case l.Rates.Failed > 0:
		return found(StateWarning, do, "%s records/s fail in the handler", words.Number(l.Rates.Failed))
	case recent:
		return found(StateWarning, do, "the handler failed %s ago: %.200q", words.Seconds(max(0, l.Time.Sub(last.LastErrorAt).Seconds())), last.LastError)
	}
	return Reason{}
}

func newestError(rows []analyzer.Row) (newest analyzer.Row) {
	for _, r := range rows {
		if r.LastErrorAt.After(newest.LastErrorAt) {
			newest = r
		}
	}
	return newest
}

// triedAgain stands for failures of analyzers that are elsewhere.
func triedAgain(l *Live) Reason {
	if l.Pool != nil || l.Rates.TriedAgain <= 0 {
		return Reason{}
	}
	return found(StateWarning, "read the log of the analyzers", "%s batches/s are tried again: analyzers fail on them, or end", words.Number(l.Rates.TriedAgain))
}

func stuck(l *Live) Reason {
	if l.Pool == nil || l.Pool.Stuck == 0 {
		return Reason{}
	}
	verb := "have"
	if l.Pool.Stuck == 1 {
		verb = "has"
	}
	return found(StateWarning, "find out what the handler waits for", "%s %s been stuck on a batch for far longer than usual",
		words.Plural(l.Pool.Stuck, "analyzer", "analyzers"), verb)
}

func abandonedCalls(l *Live) Reason {
	if l.Pool == nil || l.Pool.Abandoned == 0 {
		return Reason{}
	}
	return found(StateWarning, "make the handler obey its context", "%s of the handler still run although the pool gave their batches up",
		words.Plural(l.Pool.Abandoned, "call", "calls"))
}

func pushedBack(l *Live) Reason {
	if l.Rates.PushedBack <= 0 {
		return Reason{}
	}
	return found(StateWarning, "the error that senders get names the limit", "%s requests/s are pushed back", words.Number(l.Rates.PushedBack))
}

func recordsLost(l *Live) Reason {
	if l.QueueStats == nil || l.Lost == 0 {
		return Reason{}
	}
	return found(StateWarning, "read in the log which they are, check the disk, and send them again",
		"%s records were lost since the data folder was made: files of the queue were damaged", words.Thousands(l.Lost))
}

func deadLetters(l *Live) Reason {
	if l.QueueStats == nil || l.Dead == 0 {
		return Reason{}
	}
	return found(StateWarning, "look at them, then retry or drop them: sluice dead ls", "%s wait in the dead letters for a decision",
		words.Plural(l.Dead, "record", "records"))
}

func dryRun(l *Live) Reason {
	if l.Autoscaler == nil || !l.Autoscaler.DryRun {
		return Reason{}
	}
	return found(StateWarning, "restart without dry_run", "dry run: the autoscaler decides and does not act")
}

func paused(l *Live) Reason {
	if l.Autoscaler == nil || !l.Autoscaler.Paused {
		return Reason{}
	}
	return found(StateWarning, "sluice scale resume", "the autoscaler is paused")
}

func forced(l *Live) Reason {
	if l.Autoscaler == nil || l.Autoscaler.ForcedUntil.IsZero() {
		return Reason{}
	}
	return found(StateOK, "", "the size is forced to %d until %s", l.Autoscaler.ForcedSize, l.Autoscaler.ForcedUntil.UTC().Format(time.TimeOnly+" MST"))
}

// emptyOnPurpose is why an operator keeps a pool as it is; empty where nobody does. Elsewhere work that waits gets an analyzer.
func emptyOnPurpose(a *autoscale.Stats) string {
	switch {
	case !a.ForcedUntil.IsZero():
		return fmt.Sprintf("the size is forced to %d until %s", a.ForcedSize, a.ForcedUntil.Format(time.TimeOnly+" MST"))
	case a.Paused:
		return "the autoscaler is paused"
	case a.DryRun:
		return "the autoscaler only decides (dry run)"
	}
	return ""
}

func emptyPool(l *Live) Reason {
	if l.Autoscaler == nil || l.Autoscaler.LastDecision == nil || l.Autoscaler.CurrentSize > 0 {
		return Reason{}
	}
	d, why := l.Autoscaler.LastDecision, emptyOnPurpose(l.Autoscaler)
	if !d.DepthKnown || d.Depth == 0 || why == "" {
		return Reason{}
	}
	return found(StateProblem, "end that, or give the pool a size: sluice scale resume",
		"%s and there is no analyzer: %s", words.Plural(d.Depth, "record waits", "records wait"), why)
}

func tooLong(l *Live) Reason {
	if l.Autoscaler == nil || l.Autoscaler.LastDecision == nil {
		return Reason{}
	}
	text := l.Autoscaler.LastDecision.TooLong()
	if text == "" {
		return Reason{}
	}
	return found(StateWarning, "make the handler faster or batches smaller, or allow a longer slo", "%s", text)
}

func handedBack(l *Live) Reason {
	if l.QueueStats == nil || l.Returning == 0 {
		return Reason{}
	}
	return found(StateWarning, "raise drain_timeout, or look at what the handler waits for",
		"%s handed back again and again: it takes longer than drain_timeout, or its handler says that it cannot work",
		words.Plural(l.Returning, "batch was", "batches were"))
}
