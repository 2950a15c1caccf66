package top

import (
	"fmt"
	"strconv"
	"time"

	"github.com/sluicehq/sluice/internal/seconds"
	"github.com/sluicehq/sluice/internal/words"
)

// perSecond is a rate of records.
func perSecond(x float64) string { return words.Number(x) + "/s" }

// span writes seconds in at most six columns: 45ms, 2.1s, 45s, 3m12s, 4h07m, 3d04h.
func span(s float64) string {
	d := seconds.Nearest(s)
	switch {
	case d <= 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", max(1, d.Milliseconds()))
	case d < 10*time.Second:
		return strconv.FormatFloat(s, 'f', 1, 64) + "s"
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", s)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
