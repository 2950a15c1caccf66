package count

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/fields"
	"github.com/sluicehq/sluice/internal/ranges"
)

// Totals is the sum of many results. It is not safe for concurrent use.
//
// It tells at most MaxNames severities and services apart. Of the emitters it keeps those seen last: beyond
// MaxEmitters, or beyond MaxRanges ranges of sequence numbers, it forgets a tenth, the least recently seen first, and
// counts them in Forgotten.
type Totals struct {
	Since      time.Time                 `json:"since"` // when counting began
	Batches    int64                     `json:"batches"`
	Records    int64                     `json:"records"`
	Bytes      int64                     `json:"bytes"`
	BySeverity map[string]Tally          `json:"by_severity"`
	ByService  map[string]Tally          `json:"by_service"`
	Emitters   map[string]*EmitterTotals `json:"emitters"`
	Forgotten  int64                     `json:"emitters_forgotten"`

	ranges int // held by all emitters
}

// EmitterTotals says which records of one emitter were analyzed. Analyzed + Twice is how many were counted.
type EmitterTotals struct {
	Analyzed uint64      `json:"analyzed"` // different records
	Twice    uint64      `json:"twice"`    // records that had been analyzed before and came again
	Ranges   *ranges.Set `json:"ranges"`   // their sequence numbers
	LastSeen time.Time   `json:"last_seen"`
}

// NewTotals returns empty totals that begin at since.
func NewTotals(since time.Time) *Totals {
	return &Totals{
		Since:      since,
		BySeverity: map[string]Tally{},
		ByService:  map[string]Tally{},
		Emitters:   map[string]*EmitterTotals{},
	}
}

// severityName is the one name under which a severity is summed up, whatever another analyzer, or an earlier version, calls it. A name that
// is not known stays.
func severityName(name string) string {
	if s := fields.ParseSeverity(name); s != fields.Unknown {
		return s.String()
	}
	if name == "" || name == "unset" { // the latter in results that were written earlier
		return UnknownSeverity
	}
	return name
}

// Add adds one result. It keeps nothing of r.
func (t *Totals) Add(r Result) {
	t.Batches++
	t.Records += r.Records
	t.Bytes += r.Bytes
	for _, name := range slices.Sorted(maps.Keys(r.BySeverity)) { // sorted: a replay must give the same totals
		add(t.BySeverity, severityName(name), r.BySeverity[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.ByService)) {
		add(t.ByService, name, r.ByService[name])
	}
	for id, numbers := range r.Emitters {
		if numbers != nil {
			t.addEmitter(id, numbers, r.Again[id], r.Time)
		}
	}
	t.forget(MaxEmitters, MaxRanges)
}

func (t *Totals) addEmitter(id string, numbers *ranges.Set, again uint64, at time.Time) {
	e := t.Emitters[id]
	if e == nil {
		e = &EmitterTotals{Ranges: &ranges.Set{}}
		t.Emitters[id] = e
	}
	before := len(e.Ranges.Ranges())
	known := e.Ranges.AddSet(numbers)
	t.ranges += len(e.Ranges.Ranges()) - before
	e.Analyzed += numbers.Len() - known
	e.Twice += known + again
	if at.After(e.LastSeen) {
		e.LastSeen = at
	}
}

// forget keeps the bounds. A tenth goes at once, so that a stream of new emitters does not cost a sort each.
func (t *Totals) forget(maxEmitters, maxRanges int) {
	if len(t.Emitters) <= maxEmitters && t.ranges <= maxRanges {
		return
	}
	ids := slices.SortedFunc(maps.Keys(t.Emitters), func(a, b string) int {
		return cmp.Or(t.Emitters[a].LastSeen.Compare(t.Emitters[b].LastSeen), cmp.Compare(a, b))
	})
	for _, id := range ids {
		if len(t.Emitters) <= maxEmitters-maxEmitters/10 && t.ranges <= maxRanges-maxRanges/10 {
			return
		}
		t.ranges -= len(t.Emitters[id].Ranges.Ranges())
		delete(t.Emitters, id)
		t.Forgotten++
	}
}

// Clone returns a copy that shares nothing with t.
func (t *Totals) Clone() *Totals {
	c := *t
	c.BySeverity, c.ByService = maps.Clone(t.BySeverity), maps.Clone(t.ByService)
	c.Emitters = make(map[string]*EmitterTotals, len(t.Emitters))
	for id, e := range t.Emitters {
		copied := *e
		copied.Ranges = &ranges.Set{}
		copied.Ranges.AddSet(e.Ranges)
		c.Emitters[id] = &copied
	}
	return &c
}

// UnmarshalJSON reads totals that were written as JSON, and makes them fit to be added to.
func (t *Totals) UnmarshalJSON(b []byte) error {
	type plain Totals // without this method
	read := plain(*NewTotals(time.Time{}))
	if err := json.Unmarshal(b, &read); err != nil {
		return err
	}
	for _, m := range []*map[string]Tally{&read.BySeverity, &read.ByService} {
		if *m == nil { // null
			*m = map[string]Tally{}
		}
	}
	for name, t := range read.BySeverity {
		if now := severityName(name); now != name {
			delete(read.BySeverity, name)
			add(read.BySeverity, now, t)
		}
	}
	if read.Emitters == nil {
		read.Emitters = map[string]*EmitterTotals{}
	}
	for id, e := range read.Emitters {
		if e == nil || e.Ranges == nil {
			delete(read.Emitters, id)
			continue
		}
		read.ranges += len(e.Ranges.Ranges())
	}
	*t = Totals(read)
	return nil
}
