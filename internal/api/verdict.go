package api

import (
	"fmt"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/internal/words"
)

// Verdict is an answer to "is it keeping up?".
type Verdict struct {
	State string `json:"state"` // idle, keeping_up, behind, stalled or unknown
	Text  string `json:"text"`  // for people
}

// Health is an answer to "is it healthy?".
type Health struct {
	State   string   `json:"state"`   // ok, warning or critical
	Reasons []string `json:"reasons"` // for people, the worst first; empty where all is well
}

// Judge fills in what follows from the statistics and the rates.
func (l *Live) Judge() {
	l.KeepingUp = keepingUp(*l, seconds.Nearest(l.SLO))
	l.Health = healthOf(*l)
}

// keepingUp judges by the oldest wait where there is an SLO, and by what comes and goes elsewhere.
func keepingUp(l Live, slo time.Duration) Verdict {
	q := l.QueueStats
	if q == nil {
		return keepingUpElsewhere(l, slo)
	}
	if q.Problem != "" {
		return Verdict{"unknown", "the queue takes nothing now: " + q.Problem}
	}
	flow := fmt.Sprintf("%s/s in, %s/s done", words.Number(l.Rates.In), words.Number(l.Rates.Out))
	unfinished := q.Depth + q.InFlight
	switch {
	case unfinished == 0 && l.Rates.In == 0:
		return Verdict{"idle", "nothing comes in, nothing waits"}
	case unfinished == 0:
		return Verdict{"keeping_up", flow + ", nothing waits"}
	case l.Rates.Out == 0 && q.OldestWait > max(slo.Seconds(), 10):
		return Verdict{"stalled", fmt.Sprintf("nothing is being done, and the oldest of %s records waits for %s", words.Thousands(unfinished), words.Seconds(q.OldestWait))}
	}
	waits := fmt.Sprintf("%s; the oldest of %s records waits for %s", flow, words.Thousands(unfinished), words.Seconds(q.OldestWait))
	switch {
	case slo > 0 && q.OldestWait > slo.Seconds():
		return Verdict{"behind", waits + ", more than the SLO of " + words.Seconds(slo.Seconds())}
	case slo > 0:
		return Verdict{"keeping_up", waits + " of " + words.Seconds(slo.Seconds())}
	case l.Rates.In > 1.1*l.Rates.Out && q.Depth > 0:
		return Verdict{"behind", waits + ", and more comes than is done"}
	}
	return Verdict{"keeping_up", waits}
}

// keepingUpElsewhere is for a pool whose queue is in another process.
func keepingUpElsewhere(l Live, slo time.Duration) Verdict {
	if l.Pool != nil && l.Pool.LeaseError != "" {
		return Verdict{"unknown", "no work can be had: " + l.Pool.LeaseError}
	}
	if l.Autoscaler == nil || l.Autoscaler.LastDecision == nil || !l.Autoscaler.LastDecision.DepthKnown {
		return Verdict{"unknown", "nobody knows what waits"}
	}
	d := l.Autoscaler.LastDecision
	text := fmt.Sprintf("%s/s done here, %s records wait", words.Number(l.Rates.Out), words.Thousands(d.Depth))
	switch {
	case d.Depth == 0 && l.Rates.Out == 0:
		return Verdict{"idle", "nothing waits"}
	case slo > 0 && d.Saw != nil && d.Saw.OldestWaitSeconds > slo.Seconds():
		return Verdict{"behind", text + ", the oldest for " + words.Seconds(d.Saw.OldestWaitSeconds)}
	}
	return Verdict{"keeping_up", text}
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

// nearlyFull is the part of the queue's limit from which on it is told.
const nearlyFull = 0.8

func healthOf(l Live) Health {
	h := Health{"ok", []string{}}
	say := func(state, format string, args ...any) {
		if state == "critical" || h.State == "ok" {
			h.State = state
		}
		h.Reasons = append(h.Reasons, fmt.Sprintf(format, args...))
	}
	if q := l.QueueStats; q != nil {
		if q.Problem != "" {
			say("critical", "the queue takes nothing: %s", q.Problem)
		}
		if q.Lost > 0 {
			say("warning", "%s records were lost since the data folder was made: files of the queue were damaged; the log says which", words.Thousands(q.Lost))
		}
		if l.KeepingUp.State == "stalled" {
			say("critical", "%s", l.KeepingUp.Text)
		}
		if q.LimitBytes > 0 && float64(q.Bytes) > nearlyFull*float64(q.LimitBytes) {
			say("warning", "the queue is %.0f %% full; at 100 %% records are pushed back", 100*float64(q.Bytes)/float64(q.LimitBytes))
		}
		if l.KeepingUp.State == "behind" {
			say("warning", "behind: %s", l.KeepingUp.Text)
		}
		if q.Returning > 0 {
			say("warning", "%s handed back again and again: it takes longer than drain_timeout, or its handler says that it cannot work", words.Plural(q.Returning, "batch was", "batches were"))
		}
		if q.Dead > 0 {
			say("warning", "%s records in the dead letters wait for somebody to decide", words.Thousands(q.Dead))
		}
	}
	if l.Rates.PushedBack > 0 {
		say("warning", "%s requests/s are pushed back", words.Number(l.Rates.PushedBack))
	}
	if p := l.Pool; p != nil {
		if p.LeaseError != "" {
			say("critical", "no work can be had: %s", p.LeaseError)
		}
		if p.Stuck > 0 {
			say("warning", "%s stuck on a batch", words.Plural(p.Stuck, "analyzer", "analyzers"))
		}
	}
	if a := l.Autoscaler; a != nil {
		if a.Paused {
			say("warning", "the autoscaler is paused")
		}
		d := a.LastDecision
		if d != nil && !d.DepthKnown {
			say("warning", "%s", d.Reason)
		}
		if d != nil && d.TooLong() != "" {
			say("warning", "%s", d.TooLong())
		}
		if why := emptyOnPurpose(a); d != nil && d.DepthKnown && d.Depth > 0 && a.CurrentSize == 0 && why != "" {
			say("critical", "%s wait and there is no analyzer: %s", words.Plural(d.Depth, "record", "records"), why)
		}
	}
	return h
}
