package fields

import "bytes"

// The parts that a head is made of behind its time, host and tag: marks, groups in brackets, words, columns, and the level in any of them.

// mark passes over a sign between the parts of a head. One that stands alone behind a time is the level in Redis.
func (r *reader) mark() bool {
	c := r.b[r.i]
	alone := r.i+1 < len(r.b) && r.b[r.i+1] == ' '
	if alone && r.first && (r.form == FormDay || r.form == FormMonth) && r.severity == Unknown && (r.b[0] == '[' || bytes.IndexByte(r.b[:min(len(r.b), 9)], ':') > 0) {
		switch c {
		case '.':
			r.severity = Debug
		case '*':
			r.severity = Notice
		case '#':
			r.severity = Warn
		case '-':
			r.severity = Debug + 1
		}
		if r.severity != Unknown {
			return false
		}
	}
	r.i++
	return true
}

// group reads what is in brackets: a time, a level, or something else.
func (r *reader) group() bool {
	closing := byte(']')
	switch r.b[r.i] {
	case '(':
		closing = ')'
	case '<':
		closing = '>'
	}
	end := bytes.IndexByte(r.b[r.i:], closing)
	if end < 0 || end > longGroup {
		r.i++ // it is only a sign
		return r.form == ""
	}
	in := bytes.TrimSpace(r.b[r.i+1 : r.i+end])
	after := r.i + end + 1
	if r.severity == Unknown {
		r.severity = groupLevel(in)
	}
	if r.form == "" {
		if len(in) > 2 && in[1] == ' ' && isLetter(in[0]) { // [E 2024-01-01 10:00:00 web:1]
			if r.severity == Unknown {
				r.severity = severityOf(in[:1], lettersToo)
			}
			in = in[2:]
		}
		offset := 0
		if zone, rest, found := bytes.Cut(in, []byte{' '}); found && len(rest) > 0 && isLetter(rest[0]) { // [UTC Jan 31 10:00:00]
			if hours, known := zoneNames[string(zone)]; known {
				offset, in = hours*3600, rest
			}
		}
		s, at, form, ok := timeAt(in, 0)
		s.Offset += offset
		if !ok && r.tokens == 0 {
			bare := reader{head: &head{}, b: in}
			if len(in) > 0 && bare.bareTime() {
				s, at, form, ok = bare.stamp, bare.i, bare.form, true
			}
		}
		if ok {
			r.stamp, r.form, r.first, r.words = s, form, true, 0
			if r.severity == Unknown {
				letter, _, _ := bytes.Cut(bytes.TrimSpace(in[at:]), []byte{' '})
				if r.severity = groupLevel(in[at:]); r.severity == Unknown && len(letter) == 1 && upper(letter) { // [2024-01-31 10:00:00,123 W 12 34]
					r.severity = severityOf(letter, lettersToo)
				}
			}
		}
	}
	r.i = after
	return true
}

// groupLevel is the level in a pair of brackets: all of it in any case, the part behind a colon as in [core:error], or a word in capitals.
func groupLevel(in []byte) Severity {
	in = bytes.TrimSpace(in)
	if len(in) > longGroup {
		return Unknown
	}
	if s := severityOf(in, lettersToo); s != Unknown && (len(in) > 1 || upper(in)) {
		return s
	}
	if at := bytes.LastIndexByte(in, ':'); at > 0 && at < 20 {
		if s := severityOf(in[at+1:], fullWords); s != Unknown {
			return s
		}
	}
	for word := range bytes.FieldsFuncSeq(in, func(c rune) bool {
		return c == ' ' || c == ':' || c == '/' || c == ',' || c == '|' || c == ']' || c == '['
	}) {
		if upper(word) {
			if s := levelWord(word); s != Unknown {
				return s
			}
		}
	}
	return Unknown
}

// levelWord is the level that a word in the text names; words that often mean something else name none.
func levelWord(word []byte) Severity { return severityOf(word, sureWords) }

func upper(word []byte) bool {
	for _, c := range word {
		if c-'A' > 'Z'-'A' && !isDigit(c) && c != '+' && c != '-' {
			return false
		}
	}
	return len(word) > 0 && word[0]-'A' <= 'Z'-'A'
}

// word reads a token without brackets: a level, the beginning of key=value pairs, or a word, of which the head has few.
func (r *reader) word(text []byte) bool {
	end := r.i
	for end < len(r.b) && r.b[end] != ' ' && r.b[end] != '\t' && r.b[end] != '|' {
		end++
	}
	token := r.b[r.i:end]
	if pairAt(token) {
		r.nested, r.pairs = text[r.i:], true
		return false
	}
	if isMethod(token) && r.form != "" { // a request: what follows is no head
		return false
	}
	if r.first && r.form != "" && r.service == nil && r.programAhead(token, end) {
		return true
	}
	if r.words == 1 && r.tokens == 1 && isMethod(token) { // Rails: Started GET "/" for 192.0.2.1 at 2024-01-31 10:00:00 +0100
		if at := bytes.LastIndex(r.b, []byte(" at ")); at > r.i {
			if s, _, form, ok := timeAt(r.b, at+len(" at ")); ok {
				r.stamp, r.form = s, form
			}
		}
		return false
	}
	if r.severity == Unknown {
		if r.severity = r.level(token); r.severity != Unknown {
			if at := bytes.IndexByte(token, '['); at > 0 && r.form == "" { // logrus: INFO[2024-01-31T10:00:00Z]
				end = r.i + at
			}
			r.i = end
			return true
		}
	}
	if r.first && (string(token) == "PHP" || string(token) == "npm") {
		r.i = end
		r.spaces()
		until := byte(':') // PHP Deprecated: is a level here, and no word of a sentence
		if token[0] == 'n' {
			until = ' ' // npm warn
		}
		if word, _, found := bytes.Cut(r.b[r.i:], []byte{until}); found && r.severity == Unknown {
			r.severity = severityOf(word, wordsOnly)
		}
		return true
	}
	if r.tokens == 0 && r.severity == Unknown && r.ahead(token, end) {
		return true
	}
	if r.i == 0 && r.cells() {
		return true
	}
	r.first, r.tagged = false, token[len(token)-1] == ':'
	if r.i = end; !alphabetic(token) || upper(token) {
		return true
	}
	r.words++
	return r.words <= 1
}

// ahead reads a level that begins a line and has a time right behind it, as in "error [2024-01-31 10:00:00] ...", and what dmesg -x begins
// lines with: "kern  :err   : ".
func (r *reader) ahead(token []byte, end int) bool {
	rest := r.b[end:]
	for len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	if len(rest) == 0 || rest[0] != '[' && rest[0] != ':' && !isDigit(rest[0]) {
		return false
	}
	if rest[0] == ':' && isFacility(token) {
		if word, _, found := bytes.Cut(rest[1:], []byte{':'}); found {
			if r.severity = severityOf(word, wordsOnly); r.severity != Unknown {
				if r.i = len(r.b) - len(rest) + 1 + len(word); string(token) == "kern" {
					r.service = kernel
				}
				return true
			}
		}
	}
	if rest[0] == '[' {
		rest = rest[1:]
	}
	if len(rest) == 0 || !isDigit(rest[0]) {
		return false
	}
	level := levelWord(token)
	if len(token) == 1 && upper(token) {
		level = severityOf(token, lettersToo)
	}
	if _, _, _, ok := timeAt(rest, 0); !ok || level == Unknown {
		return false
	}
	r.severity, r.i = level, end
	return true
}

var kernel = []byte("kernel")

// columns reads a level from a line of comma-separated values that begins with a time: a cell in capitals.
func (r *reader) columns() {
	for n := 0; n < headTokens && r.i < len(r.b) && r.b[r.i] == ','; n++ {
		from := r.i + 1
		if from < len(r.b) && r.b[from] == '"' {
			for r.i = from + 1; r.i < len(r.b) && r.b[r.i] != '"'; r.i++ {
			}
			r.i = min(r.i+1, len(r.b))
			from++
		} else if next := bytes.IndexByte(r.b[from:], ','); next >= 0 {
			r.i = from + next
		} else {
			r.i = len(r.b)
		}
		if cell := bytes.TrimSuffix(r.b[from:r.i], []byte{'"'}); len(cell) > 1 && r.severity == Unknown && upper(cell) {
			if r.severity = levelWord(cell); string(cell) == "LOG" { // PostgreSQL
				r.severity = Info
			}
		}
	}
}

// programAhead reads a program that stands between the time and the level:
//
//	unbound[900:0] info: text
//	fail2ban.actions   [900]: NOTICE  text     the name in front of the first point
//	- billing - ERROR - text                   Python; names with a point are of modules
func (r *reader) programAhead(token []byte, end int) bool {
	if token[0]-'a' > 'z'-'a' {
		return false
	}
	rest := r.b[end:]
	name, pid, _ := bytes.Cut(token, []byte{'['})
	if len(pid) == 0 {
		padded := bytes.TrimLeft(rest, " ")
		if len(padded) > 0 && padded[0] == '[' {
			name, _, _ = bytes.Cut(name, []byte{'.'})
			pid, rest, _ = bytes.Cut(padded[1:], []byte{' '})
			pid = bytes.TrimSuffix(pid, []byte{':'})
		} else if after, ok := bytes.CutPrefix(rest, []byte(" - ")); ok && bytes.HasSuffix(r.b[:r.i], []byte("- ")) && bytes.IndexByte(name, '.') < 0 {
			if word, _, found := bytes.Cut(after[:min(len(after), longestWord)], []byte{' '}); !found || !upper(word) || levelWord(word) == Unknown {
				return false
			}
			pid, rest = []byte("0]"), after
		}
	}
	if len(name) == 0 || isClass(name) || len(pid) < 2 || pid[len(pid)-1] != ']' || len(bytes.Trim(pid, "0123456789:]")) > 0 {
		return false
	}
	rest = bytes.TrimLeft(rest, " ")
	word, _, _ := bytes.Cut(rest[:min(len(rest), longestWord)], []byte{' '})
	if core := bytes.TrimSuffix(word, []byte{':'}); levelWord(core) == Unknown || !upper(core) && len(core) == len(word) {
		return false
	}
	r.service, r.i = name, end
	if at := bytes.Index(r.b[end:], rest); len(rest) > 0 && at > 0 {
		r.i = end + at
	}
	return true
}

// programBehind reads the name of a program that some forms set right behind the level:
//
//	ERROR -- billing: text                      Ruby
//	INFO 2345 --- [orders] [           main]    Spring Boot: the name of a thread has 15 bytes
//	WARN [orders,5f3a2b1c,5f3a2b1c] 2345 ---    Spring Cloud: application, trace, span
//	INFO (billing/2345): text                   pino-pretty
func (r *reader) programBehind() {
	rest := r.b[r.i:]
	var name []byte
	switch {
	case bytes.HasPrefix(rest, []byte("-- ")):
		name, _ = tagAt(rest, len("-- "))
	case bytes.HasPrefix(rest, []byte("--- [")):
		app, after, _ := bytes.Cut(rest[len("--- ["):], []byte{']'})
		if len(after) > 17 && after[0] == ' ' && after[1] == '[' && after[17] == ']' {
			name = bytes.TrimSpace(app)
		}
	case rest[0] == '[':
		in, _, _ := bytes.Cut(rest[1:], []byte{']'})
		app, ids, found := bytes.Cut(in, []byte{','})
		if found && bytes.IndexByte(ids, ',') >= 0 && len(bytes.Trim(ids, ",-0123456789abcdef")) == 0 {
			name = app
		}
	case rest[0] == '(':
		in, after, _ := bytes.Cut(rest[1:], []byte{')'})
		app, pid, found := bytes.Cut(in, []byte{'/'})
		if found && len(pid) > 0 && len(bytes.Trim(pid, "0123456789")) == 0 && bytes.HasPrefix(after, []byte{':'}) {
			name = app
		}
	}
	if len(name) > 0 && !isClass(name) {
		r.service = name
	}
}

// levelBehindPairs is the level that stands behind the key=value pairs of a head: pid=2345 tid=ox7 INFO: text.
func levelBehindPairs(text []byte) Severity {
	line, _, _ := bytes.Cut(text[:min(len(text), headBytes)], []byte{'\n'})
	for n := 0; n < headTokens && len(line) > 0; n++ {
		token, rest, _ := bytes.Cut(line, []byte{' '})
		if pairAt(token) {
			if at := bytes.IndexByte(token, '"'); at > 0 {
				rest = line[closingQuote(line, at):]
			}
			line = bytes.TrimLeft(rest, " ")
			continue
		}
		if token[0] == '[' {
			in, _, found := bytes.Cut(line[1:min(len(line), longestWord)], []byte{']'})
			if found {
				return severityOf(in, wordsOnly)
			}
		}
		if word := bytes.TrimRight(token, ":"); upper(word) {
			if string(word) == "LOG" {
				return Info
			}
			return levelWord(word)
		}
		break
	}
	return Unknown
}

// level is the level that a token names where it stands.
func (r *reader) level(token []byte) Severity {
	core := bytes.TrimRight(token, ":,;])>!")
	if len(core) == 0 {
		return Unknown
	}
	colon := token[len(token)-1] == ':' || r.words == 0 && r.form != "" && bytes.HasPrefix(r.b[r.i+len(token):], []byte(" : ")) // also in error[E0425]:
	if at := bytes.LastIndexByte(core, ':'); at > 0 && colon && upper(core[at+1:]) {                                            // u@db:[123]:ERROR: in PostgreSQL on AWS
		if string(core[at+1:]) == "LOG" {
			return Info
		}
		if s := levelWord(core[at+1:]); s != Unknown {
			return s
		}
	}
	if name, in, found := bytes.Cut(token, []byte{'['}); found && len(name) > 0 && r.words == 0 && bytes.HasSuffix(in, []byte("]:")) { // util.py[WARNING]:
		if in, _, found = bytes.Cut(in, []byte{']'}); found && upper(in) && levelWord(in) != Unknown {
			return levelWord(in)
		}
	}
	if at := bytes.IndexAny(core, ":[/("); at > 0 { // WARNING:root:text, ERROR[123], E/Tag, ERROR][x
		if name, _, found := bytes.Cut(core[at+1:], []byte{':'}); (found || colon) && core[at] == ':' && r.i == 0 && upper(core[:at]) && levelWord(core[:at]) != Unknown && len(name) > 0 && !isClass(name) {
			r.service = name // of Python's logger
		}
		if at == 1 && core[at] == '/' && r.first && r.tokens <= 1 && upper(core[:1]) {
			return severityOf(core[:1], lettersToo)
		}
		colon = colon || core[at] == ':'
		core = core[:at]
	}
	if upper(core) {
		switch {
		case len(core) == 1 && r.tokens == 0 && string(token[1:]) == ",", // I, [2024-... in Ruby
			len(core) == 1 && r.form != "" && r.words == 0 && (len(token) == 1 && !(core[0] == 'A' && r.column(token)) || string(token[1:]) == "!"): // behind the time in MongoDB, Android, Telegraf
			return severityOf(core, lettersToo)
		case len(core) == 1 && len(token) == 1 && r.form != "" && r.column(token) && bytes.IndexByte([]byte("DIWEF"), core[0]) >= 0: // WebSphere
			return severityOf(core, lettersToo)
		case len(core) == 2 && core[0] == 'D' && isDigit(core[1]) && r.first && r.form != "": // D2 in MongoDB
			return Debug
		case string(core) == "LOG" && r.form != "" && (colon || r.first): // PostgreSQL, Nest
			return Info
		case r.first || r.form != "" || r.words == 0 && r.tokens > 0:
			return levelWord(core)
		}
		return Unknown
	}
	if bytes.HasPrefix(core, []byte{'%'}) { // %LINK-3-UPDOWN: of Cisco
		if parts := bytes.SplitN(core, []byte{'-'}, 4); len(parts) >= 3 && len(parts[1]) == 1 {
			return severityNumber(parts[1], syslogScale)
		}
	}
	if at := bytes.LastIndexByte(core, '.'); at > 0 {
		switch level := core[at+1:]; {
		case colon && upper(level): // prod.INFO: in Monolog
			return levelWord(level)
		case r.first && isFacility(core[:at]): // daemon.err in many syslog daemons
			return severityOf(level, wordsOnly)
		}
	}
	if colon && (r.first || r.tagged && r.words <= 1) {
		if string(core) == "fail" { // .NET
			return Error
		}
		return levelWord(core)
	}
	if r.form != "" && (r.first && r.apart(core) || r.words == 0 && r.column(token)) {
		if s := severityOf(core, fullWords); s != Unknown {
			return s
		}
	}
	if r.first && (string(core) == "Fatal" || string(core) == "fatal") && bytes.HasPrefix(r.b[r.i+len(core):], []byte(" error:")) { // PHP, Git
		return Fatal
	}
	return Unknown
}

// isFacility says whether a word is a facility of syslog.
func isFacility(word []byte) bool {
	switch string(word) {
	case "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp":
		return true
	}
	return len(word) == len("local0") && bytes.HasPrefix(word, []byte("local"))
}

// apart says whether the word at this place, behind the time, stands for itself and does not begin a sentence: it is in small letters, or
// set apart by a sign or by several spaces.
func (r *reader) apart(word []byte) bool {
	if word[0] >= 'a' {
		return true
	}
	after := r.b[r.i+len(word):]
	before := bytes.TrimRight(r.b[:r.i], " ")
	return bytes.HasPrefix(after, []byte("  ")) || len(after) > 0 && (after[0] == '\t' || after[0] == '|' || after[0] == ',') ||
		len(before) > 0 && (before[len(before)-1] == ',' || before[len(before)-1] == ':')
}

// column says whether a word is set apart on the left by several spaces, and on the right at least by one, as in a table.
func (r *reader) column(word []byte) bool {
	return bytes.HasSuffix(r.b[:r.i], []byte("  ")) && bytes.HasPrefix(r.b[r.i+len(word):], []byte{' '})
}

// cells reads the first three columns of the Windows event viewer, when it exports them: level, date and time, source.
func (r *reader) cells() bool {
	at := bytes.IndexAny(r.b, ",\t")
	if at <= 0 || at+1 >= len(r.b) {
		return false
	}
	level := severityOf(r.b[:at], fullWords)
	s, end, form, ok := timeAt(r.b, at+1)
	if level == Unknown || !ok || end >= len(r.b) || r.b[end] != r.b[at] {
		return false
	}
	r.severity, r.stamp, r.form, r.i = level, s, form, len(r.b)
	r.service, _, _ = bytes.Cut(r.b[end+1:], r.b[at:at+1])
	return true
}

// alphabetic says whether a token is a plain word, as messages are made of.
func alphabetic(token []byte) bool {
	for _, c := range bytes.TrimRight(token, ".,:;!?") {
		if !isLetter(c) && c < 0x80 && c != '\'' {
			return false
		}
	}
	return true
}

// pairAt says whether a token begins with a key and an equals sign.
func pairAt(token []byte) bool {
	at := bytes.IndexByte(token, '=')
	if at <= 0 || at > 40 || at+1 < len(token) && token[at+1] == '=' || !isLetter(token[0]) && token[0] != '_' && token[0] != '@' {
		return false
	}
	for _, c := range token[:at] {
		if !isLetter(c) && !isDigit(c) && c != '_' && c != '.' && c != '-' && c != '@' {
			return false
		}
	}
	return true
}
