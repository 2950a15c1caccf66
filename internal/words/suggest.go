package words

import "strings"

// DidYouMean is the end of a message about an unknown name, such as `; did you mean "slo"?`. It is empty if no known name
// is near. A prefix that all names share does not make them nearer.
func DidYouMean(word string, known []string, prefix string) string {
	if len(word) > 64 {
		return ""
	}
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	word = plain(word)
	// A third of the letters may be wrong, but three at most.
	best, fewest := "", min(3, len(strings.TrimPrefix(word, plain(prefix)))/3)+1
	for _, k := range known {
		if n := edits(word, plain(k)); n < fewest {
			best, fewest = k, n
		}
	}
	if best == "" {
		return ""
	}
	return `; did you mean "` + best + `"?`
}

// edits is the number of letters to insert, delete, change or swap with the next one on the way from a to b.
func edits(a, b string) int {
	above := make([]int, len(b)+1) // distances of the beginning of a so far to each beginning of b
	for j := range above {
		above[j] = j
	}
	var aboveThat []int // the same, of the beginning that is a letter shorter
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			row[j+1] = min(above[j+1], row[j]) + 1
			if change := above[j]; a[i] == b[j] {
				row[j+1] = min(row[j+1], change)
			} else {
				row[j+1] = min(row[j+1], change+1)
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], aboveThat[j-1]+1)
			}
		}
		aboveThat, above = above, row
	}
	return above[len(b)]
}
