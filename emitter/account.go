package emitter

import (
	"fmt"
	"strings"

	"github.com/sluicehq/sluice/internal/ranges"
	"github.com/sluicehq/sluice/internal/words"
)

// maxLostRanges bounds the list of lost ranges; the count of lost records is always complete.
const maxLostRanges = 100

// Account says what became of the records of a run. Acknowledged = Analyzed + Dead + Lost, as long as it is Complete.
type Account struct {
	Sent         int64 `json:"sent"`         // records posted at least once
	Acknowledged int64 `json:"acknowledged"` // of these, known to be accepted
	Analyzed     int64 `json:"analyzed"`     // of the acknowledged ones
	Dead         int64 `json:"dead"`         // acknowledged, not analyzed, kept as dead letters
	Lost         int64 `json:"lost"`         // acknowledged, and neither; 0 while not Complete
	Unfinished   int64 `json:"unfinished"`   // acknowledged, and neither, but the queue was not done yet; 0 if Complete

	Twice                  int64       `json:"twice"`                   // times that a record was analyzed again
	UnacknowledgedAnalyzed int64       `json:"unacknowledged_analyzed"` // sent, analyzed, but the answer never came
	LostRanges             []LostRange `json:"lost_ranges"`             // the first 100; empty if Lost is 0 or ByCounters

	Complete   bool   `json:"complete"`    // the distributor had finished with every acknowledged record
	ByCounters bool   `json:"by_counters"` // no single record could be followed: the handler keeps no emitters, or the records no numbers
	Note       string `json:"note"`        // what else to know; mostly empty
}

// LostRange is a run of lost records of one emitter.
type LostRange struct {
	Emitter string `json:"emitter"`
	First   uint64 `json:"first"` // sequence number
	Last    uint64 `json:"last"`  // sequence number, included
}

// OK is whether every acknowledged record is accounted for.
func (a Account) OK() bool { return a.Complete && a.Lost == 0 }

// Verdict is one line: "nothing lost", what was lost, or why it can't be told.
func (a Account) Verdict() string {
	switch {
	case a.Lost > 0:
		line := fmt.Sprintf("LOST %s records", words.Thousands(a.Lost))
		if len(a.LostRanges) > 0 {
			line += ": " + lostList(a.LostRanges)
		}
		return line
	case !a.Complete:
		return fmt.Sprintf("not finished: %s acknowledged records are neither analyzed nor dead yet", words.Thousands(a.Unfinished))
	}
	return "nothing lost"
}

// lostList names the first few ranges.
func lostList(lost []LostRange) string {
	const most = 8
	var parts []string
	for i, l := range lost {
		if i == most {
			parts = append(parts, "...")
			break
		}
		part := fmt.Sprintf("%s: %d-%d", l.Emitter, l.First, l.Last)
		if l.First == l.Last {
			part = fmt.Sprintf("%s: %d", l.Emitter, l.First)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// String is a small table for people, and the verdict as its last line.
func (a Account) String() string {
	rows := []struct {
		name string
		n    int64
		show bool
	}{
		{"sent", a.Sent, true},
		{"acknowledged", a.Acknowledged, true},
		{"analyzed", a.Analyzed, true},
		{"dead letters", a.Dead, true},
		{"unfinished", a.Unfinished, !a.Complete},
		{"lost", a.Lost, true},
		{"analyzed twice", a.Twice, !a.ByCounters},
		{"analyzed, not acknowledged", a.UnacknowledgedAnalyzed, !a.ByCounters},
	}
	wide := 0
	for _, r := range rows {
		wide = max(wide, len(words.Thousands(r.n)))
	}
	var b strings.Builder
	for _, r := range rows {
		if r.show {
			fmt.Fprintf(&b, "%-26s  %*s\n", r.name, wide, words.Thousands(r.n))
		}
	}
	if a.Note != "" {
		b.WriteString("note: " + a.Note + "\n")
	}
	return b.String() + a.Verdict()
}

// fates is what is known about the records of a run at some moment, by emitter ID.
type fates struct {
	emitters []EmitterAccount
	analyzed map[string]*ranges.Set
	dead     map[string]*ranges.Set
	twice    int64
}

// missing counts the acknowledged records that were neither analyzed nor became dead letters.
func (f *fates) missing() (n int64) {
	for _, e := range f.emitters {
		n += int64(f.lost(e).Len())
	}
	return n
}

// lost is missing for one emitter, as a set.
func (f *fates) lost(e EmitterAccount) *ranges.Set {
	return e.Acknowledged.Without(of(f.analyzed, e.Emitter)).Without(of(f.dead, e.Emitter))
}

// account classifies every record. What is missing counts as lost if the distributor has finished, else as unfinished.
func (f *fates) account(complete bool) Account {
	a := Account{Complete: complete, Twice: f.twice, LostRanges: []LostRange{}}
	for _, e := range f.emitters {
		analyzed, dead := of(f.analyzed, e.Emitter), of(f.dead, e.Emitter)
		a.Sent += int64(e.Sent.Len())
		a.Acknowledged += int64(e.Acknowledged.Len())
		left := e.Acknowledged.Without(analyzed)
		a.Analyzed += int64(e.Acknowledged.Len() - left.Len())
		lost := left.Without(dead)
		a.Dead += int64(left.Len() - lost.Len())
		open := e.Sent.Without(e.Acknowledged)
		a.UnacknowledgedAnalyzed += int64(open.Len() - open.Without(analyzed).Len())
		if !complete {
			a.Unfinished += int64(lost.Len())
			continue
		}
		a.Lost += int64(lost.Len())
		for _, r := range lost.Ranges() {
			if len(a.LostRanges) < maxLostRanges {
				a.LostRanges = append(a.LostRanges, LostRange{e.Emitter, r.First, r.Last})
			}
		}
	}
	return a
}

// of is the set of one emitter, which may be missing.
func of(sets map[string]*ranges.Set, emitter string) *ranges.Set {
	if s := sets[emitter]; s != nil {
		return s
	}
	return &ranges.Set{}
}

// byCounters is the account of a run whose records can't be followed one by one, from how the server's counters moved.
func (f *fates) byCounters(before, now ServerStats, finished bool) Account {
	a := Account{ByCounters: true, LostRanges: []LostRange{}}
	for _, e := range f.emitters {
		a.Sent += int64(e.Sent.Len())
		a.Acknowledged += int64(e.Acknowledged.Len())
	}
	a.Analyzed = min(max(now.Completed-before.Completed, 0), a.Acknowledged)
	a.Dead = min(max(now.Dead-before.Dead, 0), a.Acknowledged-a.Analyzed)
	left := a.Acknowledged - a.Analyzed - a.Dead
	a.Complete = finished || left == 0
	if a.Complete {
		a.Lost = left
	} else {
		a.Unfinished = left
	}
	a.Note = "the handler does not keep track of emitters, or the records carry no numbers; this account compares the counters of the distributor, which include records from others"
	return a
}
