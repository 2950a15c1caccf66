package config

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/internal/words"
)

// ParseDuration reads `10s`, `1m30s`, `250ms`, or plain seconds such as `10` and `2.5`. Negative ones are refused, and those of
// more than ten years: what is computed with them would overflow.
func ParseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if strings.Trim(text, "0123456789.") == "" {
		text += "s" // plain seconds
	}
	d, err := time.ParseDuration(text)
	plain, notPlain := strconv.ParseFloat(strings.TrimSuffix(text, "s"), 64)
	switch {
	case notPlain == nil && plain > seconds.Longest.Seconds(), err == nil && d > seconds.Longest:
		return 0, wantError(wantShorter)
	case err != nil || strings.HasPrefix(text, "-"):
		return 0, wantError(wantDuration)
	}
	return d, nil
}

// ParseSize reads a number of bytes: `65536`, or a whole number with a unit. KB, MB and GB are powers of 1000; KiB, MiB and
// GiB are powers of 1024; B is one byte. Upper and lower case are the same, and a space may stand before the unit.
func ParseSize(text string) (int64, error) {
	text = strings.TrimSpace(text)
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	unit, known := int64(1), digits == len(text)
	for _, u := range units {
		if strings.EqualFold(strings.TrimLeft(text[digits:], " "), u.name) {
			unit, known = u.bytes, true
		}
	}
	n, err := strconv.ParseInt(text[:digits], 10, 64)
	if err != nil || !known || n > math.MaxInt64/unit {
		return 0, wantError(wantSize)
	}
	return n * unit, nil
}

// FormatDuration is the shortest text that [ParseDuration] reads as d: `2m` and not `2m0s`.
func FormatDuration(d time.Duration) string { return words.Exactly(d) }

// FormatSize is n in the unit that makes the smallest whole number of it: `64KiB`, `200MB`, `1001`.
func FormatSize(n int64) string {
	best, name := n, ""
	for _, u := range units {
		if n%u.bytes == 0 && n/u.bytes < best {
			best, name = n/u.bytes, u.name
		}
	}
	return strconv.FormatInt(best, 10) + name
}

var units = []struct {
	name  string
	bytes int64
}{
	{"B", 1}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
}

const (
	wantDuration = "a duration such as 10s, 1m30s or plain seconds"
	wantShorter  = "a duration of at most 87600h (ten years)"
	wantSize     = "a size such as 65536, 64KiB or 4MB"
	wantWhole    = "a whole number"
)

// wantError says what was expected in place of what was written.
type wantError string

func (w wantError) Error() string { return "want " + string(w) }
