// Package words writes numbers for people: with commas, in a unit that fits, with no more digits than say something.
//
// It is for what is read: reports, tables, sentences. What a program reads has its numbers in JSON, and settings have a form of their own
// that can be read back (package config). No function fails: each number has a text, also one that should never come. [Natural] sorts names
// that hold numbers.
package words

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/seconds"
)

// Thousands writes 1234567 as 1,234,567.
func Thousands[N int | int64](n N) string { return grouped(strconv.FormatInt(int64(n), 10)) }

// Fixed writes a number with so many digits after the point, and commas before it: 1,234.50.
func Fixed(x float64, digits int) string {
	text := strconv.FormatFloat(x, 'f', digits, 64)
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return text
	}
	return grouped(text)
}

// grouped puts a comma before each three digits of the whole part of a number.
func grouped(text string) string {
	whole, fraction, found := strings.Cut(text, ".")
	whole, negative := strings.CutPrefix(whole, "-")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if found {
		whole += "." + fraction
	}
	if negative && strings.Trim(whole, "0.") != "" { // and not -0
		whole = "-" + whole
	}
	return whole
}

// Number writes three digits of a number, or all before the point: 0.0123, 1.5, 12.3, 12,346.
func Number(x float64) string {
	if math.Abs(x) < 99.95 {
		return strconv.FormatFloat(x+0, 'g', 3, 64) // and not -0
	}
	return Fixed(math.Round(x), 0)
}

// Short writes a number in at most five columns, six below zero: 0.25, 950, 12.3k, 4.2M.
func Short(x float64) string {
	const units = " kMGTPE"
	x, i := x+0, 0 // and not -0
	for math.Abs(x) >= 999.5 && i < len(units)-1 {
		x, i = x/1000, i+1
	}
	if i == 0 && x == math.Trunc(x) {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return three(x) + strings.TrimSpace(units[i:i+1])
}

// three writes three digits of a number below a thousand, two after the point at most, and no zeros at the end.
func three(x float64) string {
	digits := 2
	switch size := math.Abs(x); {
	case size >= 99.95:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case size >= 9.995:
		digits = 1
	}
	text := strings.TrimRight(strings.TrimRight(strconv.FormatFloat(x, 'f', digits, 64), "0"), ".")
	if text == "" || text == "-" || text == "-0" {
		return "0"
	}
	return text
}

// Rate writes a number per second in at most nine columns: 2,195/s, 12.3M/s.
func Rate(perSecond float64) string {
	if text := Number(perSecond) + "/s"; len(text) <= 9 {
		return text
	}
	return Short(perSecond) + "/s"
}

// Compact writes a number in full where it has the columns for it, and else in short.
func Compact[N int | int64](n N, columns int) string {
	if text := Thousands(n); len(text) <= columns {
		return text
	}
	return Short(float64(n))
}

// Plural writes a number with its noun: 1 line, 1,234 lines.
func Plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Thousands(n) + " " + many
}

// Bytes writes 55885923 as 53.3 MiB. Less than an exbibyte takes nine columns at most.
func Bytes[N int | int64 | float64](n N) string {
	const units = "KMGTPE"
	x, unit := float64(n), ""
	for i := 0; math.Abs(x) >= 1023.5 && i < len(units); i++ {
		x, unit = x/1024, units[i:i+1]+"i"
	}
	if unit == "" || math.Abs(x) >= 999.95 {
		return Fixed(x, 0) + " " + unit + "B"
	}
	return Fixed(x, 1) + " " + unit + "B"
}

// Percent writes a share from 0 to 1 with three digits: 0 %, 0.1 %, 1.25 %, 100 %. Only none is 0 %, and only all is 100 %.
func Percent(share float64) string {
	switch p := 100 * share; {
	case p > 0 && p < 0.0001:
		return "less than 0.0001 %"
	case p > 99.9 && p < 100:
		return "more than 99.9 %"
	default:
		return Number(p) + " %"
	}
}

// Duration writes a time with the digits that a person wants to read, and without zeros at its end: 230µs, 45ms, 2.1s, 1m30s, 4h7m, 3d4h.
func Duration(d time.Duration) string {
	switch size := d.Abs(); {
	case size < time.Millisecond:
		d = d.Round(time.Microsecond)
	case size < 10*time.Millisecond:
		d = d.Round(100 * time.Microsecond)
	case size < time.Second:
		d = d.Round(time.Millisecond)
	case size < 10*time.Second:
		d = d.Round(100 * time.Millisecond)
	case size < time.Hour:
		d = d.Round(time.Second)
	default:
		return long(d)
	}
	return Exactly(d)
}

// long writes hours and minutes, or from two days on days and hours.
func long(d time.Duration) string {
	const day = 24 * time.Hour
	sign := ""
	if d < 0 {
		sign = "-"
	}
	size := d.Abs().Round(time.Minute)
	if size < 2*day {
		return sign + Exactly(size)
	}
	size = min(d.Abs(), math.MaxInt64-time.Hour).Round(time.Hour)
	text := strconv.FormatInt(int64(size/day), 10) + "d"
	if h := size % day / time.Hour; h > 0 {
		text += strconv.FormatInt(int64(h), 10) + "h"
	}
	return sign + text
}

// Exactly writes all of a time, without zeros at its end: 1m30.5s, 2h.
func Exactly(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Seconds is [Duration] for those who have a number of seconds.
func Seconds(s float64) string {
	return Duration(seconds.Nearest(s))
}
