package top

import "github.com/sluicehq/sluice/internal/words"

// perSecond is a rate of records.
func perSecond(x float64) string { return words.Number(x) + "/s" }

// span writes seconds in at most six columns: 45ms, 2.1s, 45s, 3m12s, 4h7m, 3d4h.
func span(seconds float64) string { return words.Seconds(max(0, seconds)) }
