package emitter

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a server can make a client wait: a wrong clock behind an HTTP date must not stop a client for
// a day.
const maxRetryAfter = time.Minute

// backoff is the wait before the next try, after try+1 failures in a row. A server that named a time gets that time and up
// to a tenth more, so that the clients it turned away do not come back at one moment. Otherwise the wait doubles from
// least to most, and the actual one lies between half of it and all of it. u is a random number in [0, 1).
func backoff(try int, after, least, most time.Duration, u float64) time.Duration {
	if after > 0 {
		after = min(after, maxRetryAfter)
		return min(after+time.Duration(float64(after)*u/10), maxRetryAfter)
	}
	d := least
	for ; try > 0 && d < most; try-- {
		d *= 2
	}
	d = min(d, most)
	return d/2 + time.Duration(float64(d/2)*u)
}

// retryAfter reads a Retry-After header: seconds or an HTTP date. It is zero where the header is missing, unreadable or in
// the past.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(header, 64); err == nil {
		// Some servers send fractions. The comparison also turns NaN and negative numbers away.
		if !(seconds > 0) {
			return 0
		}
		return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
