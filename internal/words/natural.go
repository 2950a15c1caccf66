package words

import (
	"cmp"
	"strings"
)

// Natural compares names as people count: node-9 comes before node-10, and web2-a before web10-a. It returns 0 for equal names only, and
// orders all names, so that lists sorted by it do not jump.
func Natural(a, b string) int {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		if !digit(a[i]) || !digit(b[j]) {
			if a[i] != b[j] {
				return cmp.Compare(a[i], b[j])
			}
			i, j = i+1, j+1
			continue
		}
		x, y := leadingDigits(a[i:]), leadingDigits(b[j:])
		i, j = i+len(x), j+len(y)
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(a)-i, len(b)-j), cmp.Compare(a, b)) // 7 and 007 count alike
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func leadingDigits(text string) string {
	return text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
}
