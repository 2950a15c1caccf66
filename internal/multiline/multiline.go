// Package multiline joins the lines of a text that belong together: a log line and the stack trace behind it.
//
// A line continues the record before it if it shows one of these signs:
//
//   - it is indented, and the record's first line is not. Within a stack trace that is enough. Elsewhere a line that begins with
//     a digit does not count, so that columns of numbers aligned to the right stay apart, nor does one behind an empty line;
//   - it is a line of a stack trace as Java and its relatives, .NET, Python, Go, JavaScript, Ruby, PHP and Rust write them, such
//     as "at f(X.java:3)", "Caused by:", "... 23 more", "Traceback (most recent call last):" or "goroutine 1 [running]:";
//   - it names an exception where one must come: at the end of a Python traceback, below the source line that JavaScript shows,
//     or right behind a line that begins with a time stamp or level;
//   - it consists of closing brackets behind an indented line.
//
// A line that begins with a time stamp or a level, such as " WARN", always begins a record, indented or not. If the first line of
// a record is indented, only lines of a stack trace continue it: a list whose every line is indented stays a list of records.
package multiline

import (
	"bytes"
	"regexp"
)

// Bounds of one record. A line that would pass one begins another record, so no line is lost.
const (
	MaxLines = 2000      // a stack overflow in Java shows 1,024 frames, and as many for its cause
	MaxBytes = 256 << 10 // of all lines with their ends
	MaxBlank = 2         // empty lines in a row within a record; Go and Python write one
)

// Joiner says of each line whether it continues the record that began with [Joiner.Start]. It remembers nothing of earlier
// records, so a text can be read again from the first line of any record.
type Joiner struct {
	first       []byte // the first line without its indentation
	indented    bool   // the first line is
	lines, size int

	trace     bool // a line of a stack trace is in the record
	nested    bool // an indented line is in the record
	python    bool // the line that names the exception of a traceback must still come
	chained   bool // the last line said that another traceback follows
	goroutine bool // a stack trace of Go is in the record
	message   bool // the last line said that the message follows (Rust)
	pointer   bool // the last line was "^" below a source line (JavaScript, Python)
}

// Start begins a record with its first line. Lines have no line ends here. The line must not change before the next Start.
func (j *Joiner) Start(line []byte) {
	text, indented := trim(line)
	*j = Joiner{first: text, indented: indented, lines: 1, size: len(line) + 1}
	if len(text) == 0 {
		return
	}
	if text[0] == 't' && rustPanic.Match(text) {
		j.trace, j.message = true, bytes.HasSuffix(text, []byte(":"))
	}
	j.frame(text)
}

// Continues says whether the line, behind a number of empty ones, continues the record. If so, it is part of it from then on.
func (j *Joiner) Continues(line []byte, blank int) bool {
	size := blank + len(line) + 1
	if blank > MaxBlank || j.lines+blank+1 > MaxLines || j.size+size > MaxBytes {
		return false
	}
	text, indented := trim(line)
	if len(text) == 0 || !indented && text[0]-'0' <= 9 && !j.message { // nearly every line of most logs
		return false
	}
	next := *j
	next.chained, next.message, next.pointer = false, false, j.pointer && blank > 0
	if !next.joins(j, text, indented, blank > 0) {
		return false
	}
	*j = next
	j.lines += blank + 1
	j.size += size
	return true
}

// joins is Continues; before is the record as it was.
func (j *Joiner) joins(before *Joiner, text []byte, indented, afterBlank bool) bool {
	switch {
	case before.message && !afterBlank:
		return true
	case j.frame(text):
		// A traceback behind another is that of the next failure, unless a line between them says otherwise.
		return !j.python || before.python || before.chained || !before.trace || indented
	case indented:
		j.nested = true
		j.pointer = len(bytes.Trim(text, "^~ ")) == 0
		return (before.trace || !before.indented && !afterBlank && text[0]-'0' > 9) && !begins(text)
	case before.python && exceptionName.Match(text):
		j.python = false
		return !begins(text)
	case before.goroutine && goLine.Match(text):
		return true
	case before.pointer && isException(text):
		return true
	case before.lines == 1 && !before.trace && !afterBlank && isException(text):
		return begins(before.first)
	}
	return before.nested && !afterBlank && len(bytes.Trim(text, ")]},;")) == 0
}

// frame says whether the text is a line of a stack trace, and if so notes what may follow.
func (j *Joiner) frame(text []byte) bool {
	if !isFrame(text) {
		return false
	}
	j.trace = true
	switch text[0] {
	case 'T':
		j.chained = bytes.HasPrefix(text, []byte("The "))
		j.python = j.python || !j.chained
	case 'D':
		j.chained = true
	case 'g':
		j.goroutine = true
	}
	return true
}

// trim takes the space off both ends, and says whether there was some in front.
func trim(line []byte) (text []byte, indented bool) {
	text = bytes.TrimLeft(line, " \t")
	return bytes.TrimRight(text, " \t\r"), len(text) < len(line)
}

// frames are lines that occur within stack traces only, by how they begin. What stands behind the prefix must match, where
// something is given. The prefix comes first because it is what makes looking at each line of a log cheap.
var frames = []struct {
	prefix string
	rest   func([]byte) bool
}{
	{"at ", endsWithPlace}, // Java, .NET, JavaScript
	{"Caused by: ", nil}, {"Suppressed: ", nil}, {"Wrapped by: ", nil},
	{"... ", regexp.MustCompile(`^\d+ (?:more|common|frames|lines)`).Match},
	{"---", regexp.MustCompile(`^(?:> | End of )`).Match}, // .NET
	{"Traceback (most recent call last)", nil}, {"File \"", regexp.MustCompile(`^[^"]*", line \d+`).Match},
	{"During handling of the above exception", nil}, {"The above exception was the direct cause", nil},
	{"goroutine ", regexp.MustCompile(`^\d+ .*\[`).Match}, {"[signal SIG", nil}, {"...additional frames elided", nil},
	{"created by ", regexp.MustCompile(`^\S+\.\S+(?: in goroutine \d+)?$`).Match},
	{"from ", regexp.MustCompile(`^\S+:\d+:in `).Match},                                                                          // Ruby
	{"#", regexp.MustCompile(`^\d+ +(?:\S+\(|\{main\}|\[internal|/|0x|\S+ +(?:in|at|\())`).Match},                                // PHP, Dart, debuggers
	{"thrown in ", regexp.MustCompile(`^\S+ on line \d+`).Match}, {"[stacktrace]", nil}, {"\"}", regexp.MustCompile(`^$`).Match}, // PHP
	{"CallStack (from ", nil}, // Haskell
	{"note: ", regexp.MustCompile("^(?:run with `RUST_BACKTRACE|Some details are omitted)").Match},
	{"S", stackTitle}, {"s", stackTitle}, {"B", stackTitle}, {"b", stackTitle}, {"C", stackTitle}, {"c", stackTitle},
}

// stackTitle is the rest of "Stack trace:", "Call stack:" or "backtrace:".
var stackTitle = regexp.MustCompile(`^(?i:tack ?(?:back)?trace|acktrace|all ?stack):$`).Match

// endsWithPlace says whether the text ends as the line of a place in code does: "(App.java:5)", "index.js:3:9", ":line 5", "<anonymous>".
func endsWithPlace(text []byte) bool {
	before := bytes.TrimRight(text, "0123456789")
	if len(before) == len(text) {
		return bytes.HasSuffix(text, []byte(")")) || bytes.HasSuffix(text, []byte(">"))
	}
	return bytes.HasSuffix(before, []byte(":")) || bytes.HasSuffix(before, []byte("line "))
}

// framesBy is frames by their first byte.
var framesBy = func() (by [256][]int) {
	for i, f := range frames {
		by[f.prefix[0]] = append(by[f.prefix[0]], i)
	}
	return by
}()

// fileFrame is a frame that begins with the name of a file, of Ruby or Go.
var fileFrame = regexp.MustCompile(`^\S+\.(?:rb:\d+:in [^:]*$|go:\d+ \+0x)`)

func isFrame(text []byte) bool {
	if text[0]-'0' <= 9 { // nearly every line of most logs
		return false
	}
	for _, i := range framesBy[text[0]] {
		f := &frames[i]
		if bytes.HasPrefix(text, []byte(f.prefix)) && (f.rest == nil || f.rest(text[len(f.prefix):])) {
			return true
		}
	}
	return (bytes.Contains(text, []byte(".rb:")) || bytes.Contains(text, []byte(".go:"))) && fileFrame.Match(text)
}

var (
	rustPanic = regexp.MustCompile(`^thread '.*panicked at `)

	// goLine is what stands between the frames of a goroutine: calls, and the line of the go command at the end.
	goLine = regexp.MustCompile(`^(?:\S+\(.*\)|created by .*|runtime stack:|exit status \d+)$`)

	// exceptionName is a line that the place alone makes the name of an exception, and perhaps its message.
	exceptionName = regexp.MustCompile(`^[A-Za-z_][\w.]*(?:: |:?$)`)

	// exception is a name that says itself that it is one.
	exception = regexp.MustCompile(`^(?:[A-Za-z_$][\w$]*(?:\.|::|\\))*[\w$]*(?:Exception|Error|Throwable|Failure|Fault|Interrupt|Exit)$`)
)

// isException says whether the text begins with the name of an exception, with nothing or a colon behind it.
func isException(text []byte) bool {
	name := text
	if end := bytes.IndexAny(text, ": "); end >= 0 {
		for bytes.HasPrefix(text[end:], []byte("::")) { // Ruby
			next := bytes.IndexAny(text[end+2:], ": ")
			if next < 0 {
				return exception.Match(text)
			}
			end += 2 + next
		}
		if text[end] == ' ' {
			return false
		}
		name = text[:end]
	}
	return exception.Match(name)
}

// The beginnings of a log line behind any opening brackets and quotes: a time stamp, in digits or names, or a level.
var (
	startDigits = regexp.MustCompile(`^(?:\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.](?:\d\d?|[A-Z][a-z]{2})[-/.]\d{2,4}|\d{8}[T ]?\d{6}|\d\d?:\d\d:\d\d|` +
		`\d{10,19}(?:\.\d+)?(?:[^\w.]|$)|\d{1,3}>)`)
	startWord = regexp.MustCompile(`^(?:(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d|` +
		`(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d|[IWEF]\d{4} \d\d:|(?:time|ts|timestamp|level|lvl|severity)=|(?:` + levels + `)\b)`)
	bracketed = regexp.MustCompile(`^(?i:` + levels + `)[\])>]`)
)

const levels = "TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|FATAL|CRITICAL|CRIT|ALERT|EMERG|PANIC|SEVERE"

// begins says whether a text is the beginning of a log line.
func begins(text []byte) bool {
	rest := bytes.TrimLeft(text, `[("<`)
	switch {
	case len(rest) == 0:
		return false
	case rest[0]-'0' <= 9:
		return startDigits.Match(rest)
	}
	return startWord.Match(rest) || len(rest) < len(text) && bracketed.Match(rest)
}
