package api

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/internal/visible"
	"github.com/sluicehq/sluice/internal/words"
)

// The states of a verdict and of its reasons.
const (
	StateOK      = "ok"
	StateWarning = "warning" // it works, and a person should look
	StateUnknown = "unknown" // the queue, or its depth, cannot be read
	StateProblem = "problem" // records are refused, or not processed
)

// States are all of them, from the best to the worst.
var States = []string{StateOK, StateWarning, StateUnknown, StateProblem}

// Verdict is the one answer to "is all well?": of the page, of top, of the command line, of the metrics and so of the alerts.
type Verdict struct {
	State   string   `json:"state"`   // that of the worst reason
	Text    string   `json:"text"`    // the worst reason, or that there is nothing to do
	Reasons []Reason `json:"reasons"` // the worst first; those with the state ok are notes, of what is over or wanted
}

// Reason is what one check has found.
type Reason struct {
	Check string `json:"check"` // its name, which does not change
	State string `json:"state"`
	Text  string `json:"text"`         // what is so
	Do    string `json:"do,omitempty"` // what a person can do about it
}

// nothingToDo is the text of a verdict without a reason.
const nothingToDo = "nothing to do"

// Judge fills in what follows from the statistics and the rates.
func (l *Live) Judge() {
	l.KeepingUp = keepingUp(*l, seconds.Nearest(l.SLO))
	l.Verdict = verdictOf(l)
}

// verdictOf asks all checks. Among reasons of one state the order is that of the checks.
func verdictOf(l *Live) Verdict {
	reasons := []Reason{}
	for _, c := range checks {
		if r := c.look(l); r.State != "" {
			r.Check, r.Text = c.name, visible.Cut(r.Text, maxReason)
			reasons = append(reasons, r)
		}
	}
	return verdictFor(reasons)
}

// maxReason is how long the text of a reason may be, in bytes: errors in it come from handlers and from other processes.
const maxReason = 500

func verdictFor(reasons []Reason) Verdict {
	slices.SortStableFunc(reasons, func(a, b Reason) int { return severity(b.State) - severity(a.State) })
	v := Verdict{State: StateOK, Text: nothingToDo, Reasons: reasons}
	if len(reasons) > 0 {
		v.State, v.Text = reasons[0].State, reasons[0].Text
	}
	return v
}

func severity(state string) int { return slices.Index(States, state) }

// Pace is an answer to "is it keeping up?".
type Pace struct {
	State string `json:"state"` // idle, keeping_up, behind, stalled or unknown
	Text  string `json:"text"`  // for people
}

// keepingUp judges by the oldest wait where there is an SLO, and by what comes and goes elsewhere.
func keepingUp(l Live, slo time.Duration) Pace {
	q := l.QueueStats
	if l.QueueError != "" {
		return Pace{"unknown", "the queue cannot be read: " + l.QueueError}
	}
	if q == nil {
		return keepingUpElsewhere(l, slo)
	}
	if q.Problem != "" {
		return Pace{"unknown", "the queue takes nothing now: " + q.Problem}
	}
	flow := fmt.Sprintf("%s/s in, %s/s done", words.Number(l.Rates.In), words.Number(l.Rates.Out))
	unfinished := q.Depth + q.InFlight
	switch {
	case unfinished == 0 && l.Rates.In == 0:
		return Pace{"idle", "nothing comes in, nothing waits"}
	case unfinished == 0:
		return Pace{"keeping_up", flow + ", nothing waits"}
	case l.Rates.Out == 0 && q.OldestWait > max(slo.Seconds(), 10):
		return Pace{"stalled", fmt.Sprintf("nothing is being done, and the oldest of %s records waits for %s", words.Thousands(unfinished), words.Seconds(q.OldestWait))}
	}
	waits := fmt.Sprintf("%s; the oldest of %s records waits for %s", flow, words.Thousands(unfinished), words.Seconds(q.OldestWait))
	switch {
	case slo > 0 && q.OldestWait > slo.Seconds():
		return Pace{"behind", waits + ", more than the SLO of " + words.Seconds(slo.Seconds())}
	case slo > 0:
		return Pace{"keeping_up", waits + " of " + words.Seconds(slo.Seconds())}
	case l.Rates.In > 1.1*l.Rates.Out && q.Depth > 0:
		return Pace{"behind", waits + ", and more comes than is done"}
	}
	return Pace{"keeping_up", waits}
}

// keepingUpElsewhere is for a pool whose queue is in another process.
func keepingUpElsewhere(l Live, slo time.Duration) Pace {
	if l.Pool != nil && l.Pool.LeaseError != "" {
		return Pace{"unknown", "no work can be had: " + l.Pool.LeaseError}
	}
	if l.Autoscaler == nil || l.Autoscaler.LastDecision == nil || !l.Autoscaler.LastDecision.DepthKnown {
		return Pace{"unknown", "nobody knows what waits"}
	}
	d := l.Autoscaler.LastDecision
	text := fmt.Sprintf("%s/s done here, %s records wait", words.Number(l.Rates.Out), words.Thousands(d.Depth))
	switch {
	case d.Depth == 0 && l.Rates.Out == 0:
		return Pace{"idle", "nothing waits"}
	case slo > 0 && d.Saw != nil && d.Saw.OldestWaitSeconds > slo.Seconds():
		return Pace{"behind", text + ", the oldest for " + words.Seconds(d.Saw.OldestWaitSeconds)}
	}
	return Pace{"keeping_up", text}
}
