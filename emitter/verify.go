package emitter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sluicehq/sluice/internal/ranges"
	"github.com/sluicehq/sluice/internal/words"
)

// VerifyOptions says how long and how often to ask.
type VerifyOptions struct {
	Timeout  time.Duration        // for everything; zero means 5m, negative means until ctx ends
	Interval time.Duration        // between looks; zero means 500ms, at least 1ms
	Progress func(VerifyProgress) // called after each look, from the goroutine of Verify; nil means nobody
	Before   ServerStats          // the counters before the run, only needed where no emitters are tracked; zero means a new server
}

// settled is how many looks in a row must find an empty queue and unchanged results before missing records count as lost.
// Analyzers in other processes may report their results a moment after they acknowledged.
const settled = 6

// VerifyProgress is what one look of [Verify] found.
type VerifyProgress struct {
	Elapsed      time.Duration
	Acknowledged int64 // records to account for
	Missing      int64 // of these, neither analyzed nor dead so far
	Depth        int64 // records waiting at the distributor
	InFlight     int64 // records leased
	Err          error // why this look failed; the counters are then those of the last one that did not
}

// Verify waits until the distributor is done with the records of a finished run, and says what became of them. It returns
// when every acknowledged record was analyzed or is a dead letter and the queue is empty, when the queue is empty and
// nothing changes any more, or when the time is over. A distributor that is out of reach (it may be restarting) is asked
// again until then.
//
// The account of an early end has Complete unset. There is an error only if ctx ended, or if the distributor could not be
// asked even once.
func Verify(ctx context.Context, c *Client, emitters []EmitterAccount, o VerifyOptions) (Account, error) {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Minute
	}
	if o.Interval == 0 {
		o.Interval = 500 * time.Millisecond
	}
	if o.Interval < time.Millisecond {
		return Account{}, fmt.Errorf("emitter: Interval is %v, want at least 1ms", o.Interval)
	}
	looking := ctx
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		looking, cancel = context.WithTimeoutCause(ctx, o.Timeout, errTime)
		defer cancel()
	}
	emitters = slices.Clone(emitters)
	for i, e := range emitters { // an account that was read from JSON may have left sets out
		emitters[i].Sent = cmp.Or(e.Sent, &ranges.Set{})
		emitters[i].Acknowledged = cmp.Or(e.Acknowledged, &ranges.Set{})
	}
	v := &verifier{client: c, before: o.Before, letters: map[string]bool{}, fates: fates{emitters: emitters,
		analyzed: map[string]*ranges.Set{}, dead: map[string]*ranges.Set{}}}
	for _, e := range emitters {
		v.acknowledged += int64(e.Acknowledged.Len())
		v.tracked = v.tracked || e.Tracked
	}
	err := v.wait(looking, o)
	switch {
	case !v.asked:
		return v.account(false), fmt.Errorf("verify: the distributor at %s could not be asked: %w", c.URL(), errors.Join(err, v.lastErr))
	case errors.Is(err, errTime):
		a := v.account(false)
		a.Note = join(a.Note, fmt.Sprintf("the time of %v is over; %s records wait at the distributor, %s are in flight",
			o.Timeout, words.Thousands(v.stats.Depth), words.Thousands(v.stats.InFlight)))
		if v.lastErr != nil {
			a.Note = join(a.Note, "the last look failed: "+v.lastErr.Error())
		}
		return a, nil
	case err != nil:
		return v.account(false), fmt.Errorf("verify: %w", err)
	}
	return v.account(true), nil
}

var errTime = errors.New("time is over")

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// verifier is the state of one Verify.
type verifier struct {
	fates
	client       *Client
	before       ServerStats
	acknowledged int64
	tracked      bool // the records carry numbers
	asked        bool // a look succeeded
	follows      bool // the handler has told about an emitter
	stats        ServerStats
	lastLetter   string
	letters      map[string]bool // dead letters that were read
	lastErr      error           // of the last look; nil if it succeeded
}

// byCount is whether only counters can tell.
func (v *verifier) byCount() bool { return !v.tracked || !v.follows }

func (v *verifier) account(finished bool) Account {
	if v.byCount() {
		return v.fates.byCounters(v.before, v.stats, finished)
	}
	return v.fates.account(finished)
}

// left is how many acknowledged records are not accounted for.
func (v *verifier) left() int64 {
	if v.byCount() {
		a := v.fates.byCounters(v.before, v.stats, false)
		return a.Unfinished
	}
	return v.missing()
}

// wait looks again and again. It returns nil when the account is final.
func (v *verifier) wait(ctx context.Context, o VerifyOptions) error {
	start := time.Now()
	tick := time.NewTicker(o.Interval)
	defer tick.Stop()
	calm := 0 // looks in a row that found nothing to do and nothing new
	type state struct{ missing, twice int64 }
	var last state
	for {
		err := v.look(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		v.lastErr = err
		missing := v.left()
		if o.Progress != nil {
			o.Progress(VerifyProgress{time.Since(start), v.acknowledged, missing, v.stats.Depth, v.stats.InFlight, err})
		}
		idle := err == nil && v.stats.Depth == 0 && v.stats.InFlight == 0
		now := state{missing, v.twice}
		switch {
		case idle && missing == 0 && !v.byCount():
			return nil
		case err == nil && now == last && (idle || missing == 0): // others may keep the queue busy for ever
			calm++
		default:
			calm = 0
		}
		if calm >= settled {
			return nil
		}
		last = now
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// look asks the distributor once for everything. The counters come first: what had left the queue then is in the results
// that come after.
func (v *verifier) look(ctx context.Context) error {
	stats, err := v.client.ServerStats(ctx)
	if err != nil {
		return err
	}
	results, err := v.client.Results(ctx)
	if err != nil {
		return err
	}
	v.stats, v.asked = stats, true
	v.follows = v.follows || len(results.Emitters) > 0
	var twice int64
	for _, e := range v.emitters {
		r, ok := results.Emitters[e.Emitter]
		if !ok {
			continue
		}
		twice += r.Twice
		if r.Ranges != nil { // kept from look to look: what was analyzed once stays analyzed
			add(v.analyzed, e.Emitter).AddSet(r.Ranges)
		}
	}
	v.twice = max(v.twice, twice)
	if stats.Dead > 0 && v.tracked && v.missing() > 0 {
		return v.readLetters(ctx)
	}
	return nil
}

// add is the set of one emitter, made if it is missing.
func add(sets map[string]*ranges.Set, emitter string) *ranges.Set {
	if sets[emitter] == nil {
		sets[emitter] = &ranges.Set{}
	}
	return sets[emitter]
}

// readLetters reads the dead letters that are new since the last time.
func (v *verifier) readLetters(ctx context.Context) error {
	const page = 200
	for {
		list, err := v.client.DeadLetters(ctx, v.lastLetter, page)
		if err != nil {
			return err
		}
		fresh := false
		for _, letter := range list {
			if v.letters[letter.ID] {
				continue
			}
			if err := v.readLetter(ctx, letter.ID); err != nil {
				return err
			}
			v.letters[letter.ID], v.lastLetter, fresh = true, letter.ID, true
		}
		if !fresh || len(list) < page {
			return nil
		}
	}
}

// readLetter books the records of one dead letter that belong to the run.
func (v *verifier) readLetter(ctx context.Context, id string) error {
	records, err := v.client.DeadRecords(ctx, id)
	if refused, ok := errors.AsType[*RefusedError](err); ok && refused.Status == http.StatusNotFound {
		return nil // somebody retried or dropped it meanwhile
	}
	if err != nil {
		return err
	}
	for _, r := range records {
		emitter, _ := r.Attributes[AttributeEmitter].(string)
		number, _ := r.Attributes[AttributeSeq].(json.Number)
		seq, err := strconv.ParseUint(number.String(), 10, 64)
		if err == nil && v.ours(emitter) {
			add(v.dead, emitter).Add(seq, seq)
		}
	}
	return nil
}

func (v *verifier) ours(emitter string) bool {
	return slices.ContainsFunc(v.emitters, func(e EmitterAccount) bool { return e.Emitter == emitter })
}
