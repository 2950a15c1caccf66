package top

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// count writes 1234567 as 1,234,567.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short writes a number in at most five columns: 950, 12.3k, 4.2M.
func short(x float64) string {
	const units = " kMGTP"
	i := 0
	for math.Abs(x) >= 999.5 && i < len(units)-1 {
		x, i = x/1000, i+1
	}
	unit := units[i : i+1]
	if i == 0 {
		if x != 0 && math.Abs(x) < 9.95 && x != math.Trunc(x) {
			return strconv.FormatFloat(x, 'f', 1, 64)
		}
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	if math.Abs(x) < 99.95 {
		return strconv.FormatFloat(x, 'f', 1, 64) + unit
	}
	return strconv.FormatFloat(x, 'f', 0, 64) + unit
}

// perSecond is a rate of records.
func perSecond(x float64) string {
	if x >= 10 || x == 0 {
		return count(int64(math.Round(x))) + "/s"
	}
	return strconv.FormatFloat(x, 'f', 1, 64) + "/s"
}

// volume writes 55885923 as 53.3MiB.
func volume(x float64) string {
	const units = "KMGTPE"
	unit := ""
	for i := 0; x >= 1024 && i < len(units); i++ {
		x, unit = x/1024, units[i:i+1]+"i"
	}
	if unit == "" {
		return fmt.Sprintf("%.0fB", x)
	}
	return fmt.Sprintf("%.1f%sB", x, unit)
}

// span writes seconds in at most six columns: 45ms, 2.1s, 45s, 3m12s, 4h07m, 3d04h.
func span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d <= 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", max(1, d.Milliseconds()))
	case d < 10*time.Second:
		return strconv.FormatFloat(seconds, 'f', 1, 64) + "s"
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", seconds)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
