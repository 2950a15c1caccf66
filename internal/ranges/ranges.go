// Package ranges keeps sets of sequence numbers as the ranges they form.
//
// An emitter numbers its records from 1, so what was sent, acknowledged or analyzed is nearly always a few long ranges,
// whatever the count.
package ranges

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
)

// Range is the numbers from First to Last, both included.
type Range struct{ First, Last uint64 }

// Set is a set of numbers. The zero Set is empty and ready to use. It is not safe for concurrent use.
type Set struct {
	ranges []Range // ascending, with a gap of at least one number between neighbours
}

// Add puts first..last into the set and returns how many of these numbers were in it before.
func (s *Set) Add(first, last uint64) (known uint64) {
	if last < first {
		return 0
	}
	// i is the first range that touches first..last or lies behind it, j the first that lies behind it.
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].Last+1 >= first })
	j := i
	merged := Range{first, last}
	for ; j < len(s.ranges) && s.ranges[j].First <= last+1; j++ {
		r := s.ranges[j]
		if lo, hi := max(r.First, first), min(r.Last, last); lo <= hi {
			known += hi - lo + 1
		}
		merged = Range{min(merged.First, r.First), max(merged.Last, r.Last)}
	}
	s.ranges = slices.Replace(s.ranges, i, j, merged)
	return known
}

// AddSet puts all numbers of o into the set and returns how many of them were in it before.
func (s *Set) AddSet(o *Set) (known uint64) {
	for _, r := range o.ranges {
		known += s.Add(r.First, r.Last)
	}
	return known
}

// Len is how many numbers the set holds.
func (s *Set) Len() (n uint64) {
	for _, r := range s.ranges {
		n += r.Last - r.First + 1
	}
	return n
}

// Ranges returns the set as ascending ranges. The caller must not change it.
func (s *Set) Ranges() []Range { return s.ranges }

// Without returns the numbers of s that are not in o.
func (s *Set) Without(o *Set) *Set {
	out := &Set{}
	j := 0
	for _, r := range s.ranges {
		first, open := r.First, true
		for ; j < len(o.ranges) && o.ranges[j].Last < first; j++ {
		}
		for k := j; open && k < len(o.ranges) && o.ranges[k].First <= r.Last; k++ {
			if o.ranges[k].First > first {
				out.ranges = append(out.ranges, Range{first, o.ranges[k].First - 1})
			}
			first, open = o.ranges[k].Last+1, o.ranges[k].Last < r.Last
		}
		if open {
			out.ranges = append(out.ranges, Range{first, r.Last})
		}
	}
	return out
}

// MarshalJSON writes [[1,500],[502,502]].
func (s *Set) MarshalJSON() ([]byte, error) {
	pairs := make([][2]uint64, len(s.ranges))
	for i, r := range s.ranges {
		pairs[i] = [2]uint64{r.First, r.Last}
	}
	return json.Marshal(pairs)
}

// UnmarshalJSON reads what MarshalJSON writes, in any order.
func (s *Set) UnmarshalJSON(b []byte) error {
	var pairs [][2]uint64
	if err := json.Unmarshal(b, &pairs); err != nil {
		return err
	}
	*s = Set{}
	slices.SortFunc(pairs, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) }) // each is then added at the end
	for _, p := range pairs {
		if p[1] < p[0] {
			return fmt.Errorf("range [%d,%d] ends before it starts", p[0], p[1])
		}
		s.Add(p[0], p[1])
	}
	return nil
}

// Gaps returns the ranges of first..last that are not in the set, ascending.
func (s *Set) Gaps(first, last uint64) (out []Range) {
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].Last >= first })
	for ; first <= last && i < len(s.ranges) && s.ranges[i].First <= last; i++ {
		if r := s.ranges[i]; r.First > first {
			out = append(out, Range{first, r.First - 1})
		}
		first = s.ranges[i].Last + 1
	}
	if first <= last {
		out = append(out, Range{first, last})
	}
	return out
}
