package count

import (
	"fmt"
	"math"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/internal/ranges"
	"github.com/sluicehq/sluice/internal/visible"
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
	MaxEmitters  = 10_000  // tracked in Totals, and in one Result
	MaxRanges    = 500_000 // of sequence numbers in Totals, over all emitters; 16 bytes each
)

// Tally is a count of records and their bytes, as lines of JSON with their line ends.
type Tally struct {
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// Result is what was counted in one batch.
type Result struct {
	Batch      string           `json:"batch" strict:"required"` // its ID
	Analyzer   string           `json:"analyzer,omitempty"`      // who counted it
	Time       time.Time        `json:"time"`                    // when
	Records    int64            `json:"records" strict:"required"`
	Bytes      int64            `json:"bytes"`
	BySeverity map[string]Tally `json:"by_severity" strict:"max=1001"` // MaxNames and OtherName
	ByService  map[string]Tally `json:"by_service" strict:"max=1001"`
	// Emitters holds the sequence numbers of each emitter. Numbers that occur twice in the batch are counted in Again.
	Emitters map[string]*ranges.Set `json:"emitters,omitempty" strict:"max=10000"`
	Again    map[string]uint64      `json:"again,omitempty" strict:"max=10000"`
}

// Validate says what is wrong with a result that another program has made. One of [Count] is right.
func (r Result) Validate() error {
	if !isID(r.Batch) {
		return fmt.Errorf("batch is %q, must be the ID of a batch: %d hexadecimal digits", visible.Cut(r.Batch, 80), idDigits)
	}
	if len(r.Analyzer) > 2*MaxNameBytes || !visible.Safe(r.Analyzer) {
		return fmt.Errorf("analyzer is %q, must have at most %d bytes that are safe to print", visible.Cut(r.Analyzer, 80), 2*MaxNameBytes)
	}
	if r.Bytes < 0 || r.Bytes > sluice.MaxBatchBytes {
		return fmt.Errorf("bytes is %d, must be 0 to %d", r.Bytes, sluice.MaxBatchBytes)
	}
	if r.Records < 0 || r.Records > sluice.MaxBatchBytes { // a record has a byte at least
		return fmt.Errorf("records is %d, must be 0 to %d", r.Records, sluice.MaxBatchBytes)
	}
	if err := r.checkTallies("by_severity", r.BySeverity); err != nil {
		return err
	}
	if err := r.checkTallies("by_service", r.ByService); err != nil {
		return err
	}
	return r.checkEmitters()
}

// idDigits is the length of the ID of a batch.
const idDigits = 24

func isID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(id) == idDigits
}

func checkName(field, name string) error {
	if name == "" || len(name) > MaxNameBytes || !visible.Safe(name) {
		return fmt.Errorf("%s has the name %q, must be 1 to %d bytes that are safe to print", field, visible.Cut(name, 80), MaxNameBytes)
	}
	return nil
}

func (r Result) checkTallies(field string, m map[string]Tally) error {
	if len(m) > MaxNames+1 {
		return fmt.Errorf("%s has %d names, must have at most %d", field, len(m), MaxNames+1)
	}
	left := Tally{r.Records, r.Bytes}
	for name, t := range m {
		if err := checkName(field, name); err != nil {
			return err
		}
		if t.Records < 0 || t.Bytes < 0 || t.Records > left.Records || t.Bytes > left.Bytes {
			return fmt.Errorf("%s counts %d records and %d bytes as %q, must be 0 or more, and no more than records and bytes in all", field, t.Records, t.Bytes, name)
		}
		left = Tally{left.Records - t.Records, left.Bytes - t.Bytes}
	}
	return nil
}

func (r Result) checkEmitters() error {
	if len(r.Emitters) > MaxEmitters {
		return fmt.Errorf("emitters has %d names, must have at most %d", len(r.Emitters), MaxEmitters)
	}
	left := uint64(r.Records)
	take := func(field, name string, n uint64) error {
		if n > left {
			return fmt.Errorf("%s names more records of %q than the batch has, which are %d", field, name, r.Records)
		}
		left -= n
		return nil
	}
	for name, numbers := range r.Emitters {
		if err := checkName("emitters", name); err != nil {
			return err
		}
		if numbers == nil {
			return fmt.Errorf("emitters has nothing for %q", name)
		}
		for _, n := range numbers.Ranges() { // one by one, since a sum may overflow
			if n.First == 0 || n.Last > math.MaxInt64 {
				return fmt.Errorf("emitters has the numbers %d to %d of %q, must be 1 to %d", n.First, n.Last, name, int64(math.MaxInt64))
			}
			if err := take("emitters", name, n.Last-n.First+1); err != nil {
				return err
			}
		}
	}
	for name, n := range r.Again {
		if r.Emitters[name] == nil {
			return fmt.Errorf("again has %q, which is not among emitters", visible.Cut(name, 80))
		}
		if err := take("again", name, n); err != nil {
			return err
		}
	}
	return nil
}

// add counts into one name of a bounded map.
func add(m map[string]Tally, name string, t Tally) {
	if !visible.Safe(name) { // of a file, or of an earlier version
		name = visible.Cut(name, MaxNameBytes)
	}
	sum, ok := m[name]
	if !ok && len(m) >= MaxNames {
		name = OtherName
		sum = m[name]
	}
	m[name] = Tally{sum.Records + t.Records, sum.Bytes + t.Bytes}
}
