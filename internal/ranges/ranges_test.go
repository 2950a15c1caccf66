package ranges

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
)

// TestAgainstMap compares with a plain map of numbers, on random additions.
func TestAgainstMap(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var a, b Set
		am, bm := map[uint64]bool{}, map[uint64]bool{}
		for range 30 {
			s, m := &a, am
			if r.IntN(2) == 0 {
				s, m = &b, bm
			}
			first := 1 + r.Uint64N(60)
			last := first + r.Uint64N(6)
			var want uint64
			for n := first; n <= last; n++ {
				if m[n] {
					want++
				}
				m[n] = true
			}
			if got := s.Add(first, last); got != want {
				t.Fatalf("seed %d: Add(%d, %d) = %d known, want %d", seed, first, last, got, want)
			}
			if s.Len() != uint64(len(m)) {
				t.Fatalf("seed %d: Len() = %d, want %d", seed, s.Len(), len(m))
			}
		}
		want := 0
		for n := range am {
			if !bm[n] {
				want++
			}
		}
		diff := a.Without(&b)
		if diff.Len() != uint64(want) {
			t.Fatalf("seed %d: %v without %v = %v, want %d numbers", seed, a.ranges, b.ranges, diff.ranges, want)
		}
		for _, r := range diff.ranges {
			for n := r.First; n <= r.Last; n++ {
				if !am[n] || bm[n] {
					t.Fatalf("seed %d: %d is in the difference %v of %v and %v", seed, n, diff.ranges, a.ranges, b.ranges)
				}
			}
		}
	}
}

func TestJSON(t *testing.T) {
	var s Set
	s.Add(1, 3)
	s.Add(7, 7)
	b, err := json.Marshal(&s)
	if err != nil || string(b) != "[[1,3],[7,7]]" {
		t.Fatalf("Marshal = %s, %v; want [[1,3],[7,7]]", b, err)
	}
	var back Set
	if err := json.Unmarshal([]byte("[[7,7],[1,3]]"), &back); err != nil || back.Len() != 4 {
		t.Errorf("Unmarshal: %v, %d numbers; want 4", err, back.Len())
	}
	if err := json.Unmarshal([]byte("[[3,1]]"), &back); err == nil {
		t.Error("a range that ends before it starts was accepted")
	}
}
