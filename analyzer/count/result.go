package count

import (
	"time"

	"github.com/sluicehq/sluice/internal/ranges"
)

// The attributes by which an emitter numbers its records.
const (
	EmitterAttribute  = "sluice.emitter" // string: which emitter
	SequenceAttribute = "sluice.seq"     // integer, from 1: which of its records
)

// Names for records that do not say, and for what is beyond MaxNames.
const (
	UnknownSeverity = "unknown"
	UnknownService  = "unknown"
	OtherName       = "other"
)

// Bounds of what a Result or Totals tells apart.
const (
	MaxNames     = 1000    // severities, and services; further ones are counted under OtherName
	MaxNameBytes = 128     // longer names are cut; an emitter with a longer name is not tracked
	MaxEmitters  = 10_000  // tracked in Totals
	MaxRanges    = 500_000 // of sequence numbers in Totals, over all emitters; 16 bytes each
)

// Tally is a count of records and their bytes, as lines of JSON with their line ends.
type Tally struct {
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// Result is what was counted in one batch.
type Result struct {
	Batch      string           `json:"batch"`              // its ID
	Analyzer   string           `json:"analyzer,omitempty"` // who counted it
	Time       time.Time        `json:"time"`               // when
	Records    int64            `json:"records"`
	Bytes      int64            `json:"bytes"`
	BySeverity map[string]Tally `json:"by_severity"`
	ByService  map[string]Tally `json:"by_service"`
	// Emitters holds the sequence numbers of each emitter. Numbers that occur twice in the batch are counted in Again.
	Emitters map[string]*ranges.Set `json:"emitters,omitempty"`
	Again    map[string]uint64      `json:"again,omitempty"`
}

// add counts into one name of a bounded map.
func add(m map[string]Tally, name string, t Tally) {
	sum, ok := m[name]
	if !ok && len(m) >= MaxNames {
		name = OtherName
		sum = m[name]
	}
	m[name] = Tally{sum.Records + t.Records, sum.Bytes + t.Bytes}
}
