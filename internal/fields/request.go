package fields

import (
	"bytes"
	"strconv"
)

// requestBytes is how much of a line is looked at for the status of a request: browsers' names and addresses are long.
const requestBytes = 8 << 10

// isMethod says whether a word is an HTTP method.
func isMethod(word []byte) bool {
	switch string(word) {
	case "GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "PROPFIND":
		return true
	}
	return false
}

// requestSeverity is the severity of a line of an access log, told by the status of the answer, where the line shows that it is one:
//
//	[31/Jan/2024:10:00:00 +0000] "-" 408   Common Log Format
//	"GET / HTTP/1.1" 200                   Envoy and most others
//	(HTTP/1.1 200)                         uWSGI
//	TCP_MISS/200 1507 GET                  Squid
//	10/0/30/69/109 200 2750                HAProxy
//	GET / - 80 - 10.0.0.1 curl 200 0 0 15  W3C extended, as IIS writes it
//	GET<tab>host<tab>/<tab>200             CloudFront
//	| 200 | 1.2ms | ::1 | GET              Gin
//	GET / 200 12.3 ms                      Morgan
//	Completed 404 Not Found in 12ms        Rails
//	200 200 34 366 "GET http://x/ HTTP/1.1" load balancers of AWS
func requestSeverity(line []byte) Severity {
	line = line[:min(len(line), requestBytes)]
	if at := bytes.Index(line, []byte(`] "`)); at >= 0 {
		end := closingQuote(line, at+2)
		if word, _, _ := bytes.Cut(bytes.TrimLeft(line[end:], " "), []byte{' '}); isStatus(word) {
			return statusSeverity(atoi(word))
		}
	}
	if at := bytes.Index(line, []byte("HTTP/")); at >= 0 {
		if s := aroundProtocol(line, at+len("HTTP/")); s != Unknown {
			return s
		}
	}
	var before [4][]byte // the last words
	var between []byte   // a status between bars
	words, method := 0, -1
	for word := range bytes.FieldsSeq(line) {
		if words > 64 {
			break
		}
		switch {
		case between != nil && isMethod(word): // Gin and Fiber
			return statusSeverity(atoi(between))
		case isMethod(bytes.TrimLeft(word, `"`)):
			if method = words; word[0] == '"' {
				return Unknown // its status was looked for above
			}
		case method >= 0 && words == method+2 && isStatus(word): // Morgan
			return statusSeverity(atoi(word))
		case method >= 0 && words == method+3 && isStatus(word) && bytes.Count(line, []byte{'\t'}) > words: // CloudFront
			return statusSeverity(atoi(word))
		}
		if at := bytes.IndexByte(word, '/'); at > 0 && upper(bytes.ReplaceAll(word[:at], []byte{'_'}, nil)) && bytes.IndexByte(word[:at], '_') > 0 && isStatus(word[at+1:]) { // Squid
			return statusSeverity(atoi(word[at+1:]))
		}
		if isStatus(word) && words > 0 {
			if last := before[(words-1)%4]; bytes.Count(last, []byte{'/'}) == 4 && bytes.Trim(last, "0123456789/+-") == nil { // HAProxy
				return statusSeverity(atoi(word))
			}
			if last := before[(words-1)%4]; string(last) == "|" {
				between = word
			}
		}
		before[words%4] = word
		words++
	}
	if method < 0 { // Rails
		return completed(line)
	}
	if method <= 6 {
		return trailingStatus(line)
	}
	return Unknown
}

// aroundProtocol reads the status behind a quoted or bracketed request, or before it.
func aroundProtocol(line []byte, i int) Severity {
	for i < len(line) && (isDigit(line[i]) || line[i] == '.') {
		i++
	}
	rest := line[i:]
	if len(rest) > 0 && (rest[0] == '"' || rest[0] == ')') {
		rest = rest[1:]
	}
	if from, ok := bytes.CutPrefix(rest, []byte(" from ")); ok { // chi: "GET / HTTP/1.1" from 192.0.2.1:80 - 200 12B
		_, rest, _ = bytes.Cut(from[:min(len(from), 80)], []byte(" - "))
	}
	for word := range bytes.FieldsSeq(rest[:min(len(rest), 40)]) {
		if word = bytes.TrimRight(word, `),;"`); isStatus(word) {
			return statusSeverity(atoi(word))
		}
		break
	}
	open := bytes.LastIndexByte(line[:i], '"')
	if open <= 0 {
		return Unknown
	}
	before := bytes.Fields(line[:open])
	if n := len(before); n >= 4 && isStatus(before[n-4]) && (isStatus(before[n-3]) || string(before[n-3]) == "-") { // load balancers of AWS
		return statusSeverity(atoi(before[n-4]))
	}
	return Unknown
}

// completed reads the status of an answer that took its time: Completed 404 Not Found in 12ms.
func completed(line []byte) Severity {
	word, rest, _ := bytes.Cut(line[:min(len(line), headBytes)], []byte{' '})
	status, rest, _ := bytes.Cut(rest, []byte{' '})
	if !isStatus(status) || !alphabetic(word) || len(rest) == 0 || rest[0]-'A' > 'Z'-'A' {
		return Unknown
	}
	_, took, _ := bytes.Cut(rest, []byte(" in "))
	if took, _, _ = bytes.Cut(took, []byte{' '}); !bytes.HasSuffix(took, []byte("ms")) || !isDuration(took) {
		return Unknown
	}
	return statusSeverity(atoi(status))
}

// trailingStatus reads the first of the numbers that end a line, where there are three at least.
func trailingStatus(line []byte) Severity {
	words := bytes.Fields(line)
	at := len(words)
	for at > 0 && len(bytes.Trim(words[at-1], "0123456789")) == 0 {
		at--
	}
	if len(words)-at < 3 || !isStatus(words[at]) {
		return Unknown
	}
	return statusSeverity(atoi(words[at]))
}

// isStatus says whether a word is a number from 100 to 599.
func isStatus(word []byte) bool {
	return len(word) == 3 && word[0] >= '1' && word[0] <= '5' && isDigit(word[1]) && isDigit(word[2])
}

func atoi(word []byte) int {
	n, err := strconv.Atoi(string(word))
	if err != nil {
		return 0
	}
	return n
}
