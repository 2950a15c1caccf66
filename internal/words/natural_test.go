package words

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestNatural(t *testing.T) {
	want := []string{"", "-1", "0", "007", "7", "10", "a", "a-1", "a-2", "a-2-1", "a-10", "a-10-1", "a-10-2", "a-10x", "b-1", "web2-a", "web10-a",
		"z18446744073709551615", "z18446744073709551616", "z100000000000000000000"}
	for i, a := range want {
		for j, b := range want {
			got, less := Natural(a, b), i < j
			if (got < 0) != less || (got == 0) != (i == j) {
				t.Errorf("Natural(%q, %q) is %d", a, b, got)
			}
		}
	}
}

func TestNaturalOrdersAllNames(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	name := func() string {
		text := make([]byte, random.IntN(6))
		for i := range text {
			text[i] = "01a-9\xff"[random.IntN(6)]
		}
		return string(text)
	}
	for range 20_000 {
		names := []string{name(), name(), name()}
		sorted := slices.SortedFunc(slices.Values(names), Natural)
		if Natural(sorted[0], sorted[1]) > 0 || Natural(sorted[1], sorted[2]) > 0 || Natural(sorted[0], sorted[2]) > 0 {
			t.Fatalf("%q are not in order", sorted)
		}
		if a, b := names[0], names[1]; Natural(a, b) != -Natural(b, a) || (Natural(a, b) == 0) != (a == b) {
			t.Fatalf("Natural(%q, %q) is %d, the other way %d", a, b, Natural(a, b), Natural(b, a))
		}
	}
}
