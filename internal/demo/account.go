package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/emitter"
	"github.com/sluicehq/sluice/internal/words"
)

// Account is how a demo ended: what became of every record, and what there was to see.
type Account struct {
	Demo        string  `json:"demo"`
	Emitted     int64   `json:"emitted"`        // records posted
	Accepted    int64   `json:"accepted"`       // of these, stored by the distributor
	Analyzed    int64   `json:"analyzed"`       // of these, analyzed
	Dead        int64   `json:"dead"`           // accepted, and in the dead letters
	Unfinished  int64   `json:"unfinished"`     // accepted, and not analyzed yet; only in a demo that was interrupted or ran out of time
	Lost        int64   `json:"lost"`           // accepted, and nowhere
	Twice       int64   `json:"analyzed_twice"` // times that a record was analyzed again
	OK          bool    `json:"ok"`             // emitted = accepted = analyzed
	Interrupted bool    `json:"interrupted"`
	Elapsed     float64 `json:"elapsed_seconds"`
	Note        string  `json:"note,omitempty"`

	Pool    *PoolStory    `json:"pool,omitempty"`
	Failure *FailureStory `json:"failure,omitempty"`
	Weights []Share       `json:"weights,omitempty"`
}

// PoolStory is what became of the size of a pool.
type PoolStory struct {
	StartSize  int                  `json:"start_size"`
	PeakSize   int                  `json:"peak_size"`
	EndSize    int                  `json:"end_size"`
	PeakDepth  int                  `json:"peak_depth"`
	ScaleUps   int                  `json:"scale_ups"`
	ScaleDowns int                  `json:"scale_downs"`
	Decisions  []autoscale.Decision `json:"decisions"` // those that changed the size, the newest last
}

// FailureStory is what was done to the analyzers and what came of it.
type FailureStory struct {
	Processes   int   `json:"processes"`           // that ran at any time
	Kills       int   `json:"kills"`               // of these, ended by SIGKILL
	Held        int   `json:"held_batches"`        // that the killed ones had in hand
	Redelivered int64 `json:"redelivered_batches"` // that were given to somebody else
}

// newAccount puts what was verified into a demo's words.
func newAccount(demo string, v emitter.Account, interrupted bool, elapsed time.Duration) *Account {
	a := &Account{
		Demo: demo, Emitted: v.Sent, Accepted: v.Acknowledged, Analyzed: v.Analyzed, Dead: v.Dead, Unfinished: v.Unfinished,
		Lost: v.Lost, Twice: v.Twice, Interrupted: interrupted, Elapsed: elapsed.Seconds(), Note: v.Note,
	}
	a.OK = v.Complete && a.Lost == 0 && a.Emitted == a.Accepted && a.Accepted == a.Analyzed
	return a
}

// Failed says whether the account does not add up. One of a demo that was interrupted may leave records unfinished.
func (a *Account) Failed() bool {
	if a.Interrupted {
		return a.Lost > 0
	}
	return !a.OK
}

// Verdict is one line.
func (a *Account) Verdict() string {
	if a.Interrupted {
		return "Interrupted. " + a.verdict()
	}
	return a.verdict()
}

func (a *Account) verdict() string {
	switch {
	case a.Lost > 0:
		return fmt.Sprintf("The account does not add up: %s accepted records are LOST.", words.Thousands(a.Lost))
	case a.OK && a.Emitted == 0:
		return "Nothing was emitted."
	case a.OK && a.Twice > 0:
		return "emitted = accepted = analyzed: nothing was lost. What was analyzed twice was in hand when its analyzer was stopped."
	case a.OK:
		return "emitted = accepted = analyzed: nothing was lost, nothing was analyzed twice."
	case a.Interrupted:
		return "So far nothing was lost."
	case a.Unfinished > 0:
		return fmt.Sprintf("The account does not add up: %s accepted records are neither analyzed nor dead letters yet.", words.Thousands(a.Unfinished))
	case a.Dead > 0:
		return fmt.Sprintf("The account does not add up: %s records are in the dead letters; see \"sluice dead ls\".", words.Thousands(a.Dead))
	}
	return fmt.Sprintf("The account does not add up: of %s emitted records %s were accepted.", words.Thousands(a.Emitted), words.Thousands(a.Accepted))
}

// String is a small table for people, with the verdict as its last line.
func (a *Account) String() string {
	var b strings.Builder
	b.WriteString("The account\n")
	row := func(name string, n int64) { fmt.Fprintf(&b, "  %-16s %12s\n", name, words.Thousands(n)) }
	row("emitted", a.Emitted)
	row("accepted", a.Accepted)
	row("analyzed", a.Analyzed)
	if a.Dead > 0 {
		row("dead letters", a.Dead)
	}
	if a.Unfinished > 0 {
		row("unfinished", a.Unfinished)
	}
	row("lost", a.Lost)
	row("analyzed twice", a.Twice)
	if p := a.Pool; p != nil {
		fmt.Fprintf(&b, "  %-16s %12s\n", "pool size", fmt.Sprintf("%d → %d → %d", p.StartSize, p.PeakSize, p.EndSize))
		row("scale ups", int64(p.ScaleUps))
		row("scale downs", int64(p.ScaleDowns))
		row("peak depth", int64(p.PeakDepth))
	}
	if f := a.Failure; f != nil {
		row("kills", int64(f.Kills))
		row("batches held", int64(f.Held))
		row("redelivered", f.Redelivered)
	}
	if a.Note != "" {
		b.WriteString("  note: " + a.Note + "\n")
	}
	return b.String() + a.Verdict()
}

// How long the account may take, after the load has ended and after an interrupt.
const (
	verifyTime      = 2 * time.Minute
	interruptedTime = time.Second
)

// verify says what became of the records of a load. Interrupted, it takes a look or two at how far things have come.
func verify(ctx context.Context, c *emitter.Client, load *emitter.Pool, before emitter.ServerStats, limit time.Duration) (emitter.Account, error) {
	o := emitter.VerifyOptions{Timeout: limit, Interval: 250 * time.Millisecond, Before: before}
	if ctx.Err() == nil {
		a, err := emitter.Verify(ctx, c, load.Accounts(), o)
		if err == nil || ctx.Err() == nil {
			return a, err
		}
	}
	o.Timeout = interruptedTime
	a, err := emitter.Verify(context.WithoutCancel(ctx), c, load.Accounts(), o)
	a.Note = "" // that the time is over is no news
	return a, err
}
