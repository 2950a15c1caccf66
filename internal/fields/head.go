package fields

import (
	"bytes"
)

// head is what a line of text says at its beginning, before its message: a time, a level, the name of a program. It is found by rules that
// many programs keep, not by the format of each.
type head struct {
	stamp    Stamp
	form     string // of the time; empty where there is none
	severity Severity
	service  []byte

	nested []byte // a record within the text: a JSON object, or key=value pairs
	pairs  bool   // it is the latter
	tabbed bool   // the pairs are labels and values with a colon, and a tab between them (LTSV)
}

// Bounds of what is looked at in a line.
const (
	headBytes  = 400
	headTokens = 16
	longGroup  = 120 // bytes in brackets
	longTag    = 80
)

// reader reads the head of one line.
type reader struct {
	*head
	b      []byte // the beginning of the line
	i      int
	words  int  // plain words passed since the time: a message has begun where there are several
	tokens int  // passed in all
	tagged bool // the last word had a colon, as names of parts have: queries: info: text
	first  bool // nothing but times, groups and levels was passed since the line or its message began
}

// read reads the head of a text. The text may have several lines; the first one counts.
func (h *head) read(text []byte) {
	line, rest, _ := bytes.Cut(text, []byte{'\n'})
	r := reader{head: h, b: line[:min(len(line), headBytes)], first: true}
	if labelled(line) {
		h.nested, h.pairs, h.tabbed = text, true, true
		return
	}
	r.spaces()
	r.priority()
	r.tagFirst()
	r.spaces()
	if _, end, ok := number(r.b, r.i, 1, 7, false); ok && end < len(r.b) && r.b[end] == ':' { // Zabbix: 2345:20240131:100000.123
		if s, after, ok := pidFirst.match(r.b, end+1); ok {
			r.stamp, r.form, r.i = s, FormDay, after
			r.spaces()
		}
	}
	for r.tokens < headTokens && r.i < len(r.b) {
		if h.severity != Unknown && h.service == nil {
			r.programBehind()
		}
		if !r.token(text) {
			break
		}
		r.tokens++
		r.spaces()
	}
	if h.form == "" && len(r.b) > 0 && isDigit(r.b[0]) {
		r.interval()
	}
	if h.severity == Unknown {
		if h.severity = requestSeverity(line); h.severity == Unknown && len(rest) > 0 { // Java's own logging has the level on a second line
			word, _, found := bytes.Cut(rest[:min(len(rest), longestWord)], []byte{':'})
			if found && upper(word) {
				h.severity = levelWord(word)
			}
		}
	}
}

// labelled says whether a line consists of labels and values, as in time:[31/Jan/2024:10:00:00 +0100]<tab>status:200.
func labelled(line []byte) bool {
	for range 2 {
		field, rest, found := bytes.Cut(line, []byte{'\t'})
		label, value, colon := bytes.Cut(field, []byte{':'})
		if !found || !colon || len(value) == 0 || value[0] == ' ' || len(label) == 0 || label[0]-'a' > 'z'-'a' || bytes.ContainsAny(label, " []()/=\"") {
			return false
		}
		line = rest
	}
	return true
}

// interval reads the first of two times since 1970 that follow one another, where a line is a row of numbers and names: the beginning and the
// end of what it counts, as in the flow logs of AWS.
func (r *reader) interval() {
	var before Stamp
	for word := range bytes.FieldsSeq(r.b) {
		var s Stamp
		if end, ok := s.readEpoch(word, 0); ok && end == len(word) && end == len("1700000000") {
			if past := s.Epoch - before.Epoch; before.Written != 0 && past >= 0 && past <= 3600 {
				r.stamp, r.form = before, FormEpoch
				return
			}
		} else {
			s = Stamp{}
		}
		before = s
	}
}

func (r *reader) spaces() {
	for r.i < len(r.b) && (r.b[r.i] == ' ' || r.b[r.i] == '\t') {
		r.i++
	}
}

// priority reads what syslog begins a line with: <34>, and 1 for RFC 5424.
func (r *reader) priority() {
	end := afterPriority(r.b[r.i:])
	if end == 0 {
		return
	}
	n, _, _ := number(r.b, r.i+1, 1, 3, false)
	if n > 191 {
		return
	}
	r.severity = syslogSeverities[n&7]
	r.i += end
	if r.i+2 < len(r.b) && r.b[r.i] == '1' && r.b[r.i+1] == ' ' {
		r.rfc5424(r.i + 2)
		return
	}
	r.spaces()
	if r.time() {
		r.spaces()
		r.hostAndTag(true)
		return
	}
	r.hostAndTag(false) // a local program's: no time, no host
}

// afterPriority is where a syslog line goes on after its <34>, or 0.
func afterPriority(line []byte) int {
	if len(line) == 0 || line[0] != '<' {
		return 0
	}
	_, end, ok := number(line, 1, 1, 3, false)
	if !ok || end >= len(line) || line[end] != '>' {
		return 0
	}
	return end + 1
}

// rfc5424 reads TIMESTAMP HOSTNAME APP-NAME PROCID MSGID, and passes over the structured data.
func (r *reader) rfc5424(at int) {
	var parts [5][]byte
	i := at
	for n := range parts {
		end := bytes.IndexByte(r.b[i:], ' ')
		if end < 0 {
			if end = len(r.b) - i; n < len(parts)-1 {
				return
			}
		}
		parts[n] = r.b[i : i+end]
		i = min(i+end+1, len(r.b))
	}
	s, _, ok := isoAt(parts[0], 0)
	if !ok && string(parts[0]) != "-" {
		return
	}
	if ok {
		r.stamp, r.form = s, Form5424
	}
	if app := parts[2]; string(app) != "-" {
		r.service = app
	}
	for i < len(r.b) && r.b[i] == '[' { // structured data: [id name="value"], where \] is no end
		for i < len(r.b) && (r.b[i] != ']' || r.b[i-1] == '\\') {
			i++
		}
		i++
	}
	if i < len(r.b) && r.b[i] == '-' {
		i++
	}
	r.i = min(i, len(r.b))
	r.spaces()
	if bytes.HasPrefix(r.b[r.i:], []byte("\ufeff")) {
		r.i += len("\ufeff")
	}
}

// time reads a time at this place, if none was read yet.
func (r *reader) time() bool {
	if r.form != "" {
		return false
	}
	s, end, form, ok := timeAt(r.b, r.i)
	if !ok {
		return false
	}
	r.stamp, r.form, r.i = s, form, end
	return true
}

// token reads one token, and says whether the head goes on behind it.
func (r *reader) token(text []byte) bool {
	b := r.b
	switch c := b[r.i]; {
	case c == '{':
		return r.brace(text)
	case c == '"' || c == '\'':
		return r.quoted()
	case c == '[' || c == '(' || c == '<':
		return r.group()
	case c == '|' || c == '-' || c == '*' || c == '.' || c == '#' || c == ':' || c == '~' || c == ',' || c == ';' || c == '=' || c == '>' || c == '@':
		return r.mark()
	}
	if r.klog() {
		return true
	}
	if r.form == "" {
		from := r.i
		if r.time() {
			if r.first, r.words = true, 0; r.i+1 < len(r.b) && r.b[r.i] == ',' && r.b[r.i+1] > ' ' {
				r.columns()
			}
			r.afterTime(from)
			return true
		}
		if (r.i == 0 || r.first && r.tokens == 1) && r.bareTime() {
			if from == 0 && r.form == FormEpoch && r.i < len(r.b) && r.b[r.i] == ' ' { // journalctl -o short-unix
				r.isoTag(false)
			}
			return true
		}
	}
	return r.word(text)
}

// afterTime reads what stands right behind a time at the beginning of a line in some forms: the host and program of syslog and the
// journal, the stream of a container.
func (r *reader) afterTime(from int) {
	if r.form == Form3164 && from == 0 {
		r.spaces()
		r.hostAndTag(true)
		return
	}
	if from == len("Wed ") { // journalctl -o short-full
		if day, end := nameAt(r.b, 0, weekdayNames); day > 0 && end == from-1 {
			from = 0
		}
	}
	if r.form != FormISO || from != 0 || r.i >= len(r.b) || r.b[r.i] != ' ' {
		return
	}
	rest := r.b[r.i+1:]
	for _, stream := range [...]string{"stdout F ", "stderr F ", "stdout P ", "stderr P "} { // what container runtimes write
		if bytes.HasPrefix(rest, []byte(stream)) {
			r.i += 1 + len(stream)
			r.spaces()
			r.tagFirst()
			return
		}
	}
	r.isoTag(from+10 < len(r.b) && r.b[from+10] == 'T')
}

// hostAndTag reads "host program[pid]: " or "program: " behind the time of syslog, and leaves all where neither is there.
func (r *reader) hostAndTag(host bool) {
	at := r.i
	for range 2 {
		if name, end := tagAt(r.b, at); name != nil {
			if name[0] == '/' { // some have the path of their program
				name = name[bytes.LastIndexByte(name, '/')+1:]
			}
			r.service, r.i, r.first, r.words = name, end, true, 0
			return
		}
		end := bytes.IndexByte(r.b[at:], ' ')
		if end <= 0 || !host {
			return
		}
		host = false
		for at += end; at < len(r.b) && r.b[at] == ' '; at++ {
		}
	}
}

// isoTag reads host and program behind a time in ISO 8601, where it is sure that they are: there is a pid, or, behind a time
// with a T, the host is no word.
func (r *reader) isoTag(withT bool) {
	at := r.i + 1
	if name, end := tagAt(r.b, at); name != nil && r.b[end-2] == ']' {
		r.service, r.i = name, end
		return
	}
	end := bytes.IndexByte(r.b[at:], ' ')
	if end <= 0 {
		return
	}
	if r.b[at] == '-' {
		return
	}
	host := r.b[at : at+end]
	name, after := tagAt(r.b, at+end+1)
	if name == nil || severityOf(host, wordsOnly) != Unknown || bytes.IndexByte(host, '[') >= 0 || host[end-1] == ':' {
		return
	}
	if r.b[after-2] == ']' || withT && (bytes.ContainsAny(host, ".-0123456789") || string(name) == "kernel") {
		r.service, r.i = name, after
	}
}

// tagFirst reads a program with its pid, or the name that Docker Compose sets, at the beginning of a line.
func (r *reader) tagFirst() {
	if name, end := tagAt(r.b, r.i); name != nil && r.b[end-2] == ']' && severityOf(name, lettersToo) == Unknown {
		r.service, r.i = name, end
		return
	}
	name, rest, found := bytes.Cut(r.b[r.i:], []byte{' '})
	if found && len(rest) > 2 && rest[0] == '[' { // nginx: [emerg] text
		in, _, closed := bytes.Cut(rest[1:min(len(rest), longestWord)], []byte{']'})
		if tag, end := tagAt(r.b, r.i); tag != nil && closed && end == r.i+len(name) && severityOf(in, wordsOnly) != Unknown && severityOf(tag, lettersToo) == Unknown {
			r.service, r.i = tag, end
			return
		}
	}
	rest = bytes.TrimLeft(rest, " ")
	if !found || len(rest) < 2 || rest[0] != '|' || rest[1] != ' ' {
		return
	}
	if id, app, found := bytes.Cut(name, []byte{'|'}); found && len(app) > 0 && len(bytes.Trim(id, "0123456789")) == 0 { // pm2: 0|web  | text
		r.service = app
		r.i = len(r.b) - len(rest) + 1
		r.spaces()
		return
	}
	at := len(name)
	for at > 0 && isDigit(name[at-1]) {
		at--
	}
	if at > 1 && at < len(name) && (name[at-1] == '-' || name[at-1] == '_' || name[at-1] == '.') && isLetter(name[0]) {
		r.service = name[:at-1]
		r.i = len(r.b) - len(rest) + 1
		r.spaces()
	}
}

// inTag says whether the name of a program may have a byte.
func inTag(c byte) bool {
	switch c {
	case '-', '_', '.', '/', '@', '+', '\\':
		return true
	}
	return isLetter(c) || isDigit(c)
}

// tagAt reads "program: " or "program[pid]: " at i. It returns nil, or the name and where the message begins.
func tagAt(b []byte, i int) (name []byte, end int) {
	start := i
	for i < len(b) && i-start <= longTag && inTag(b[i]) {
		i++
	}
	if i >= len(b) || b[i] != ':' && b[i] != '[' && b[i] != '(' {
		return nil, 0
	}
	name = b[start:i]
	if len(bytes.Trim(name, "0123456789.")) == 0 {
		return nil, 0
	}
	if i < len(b) && b[i] == '(' { // pam: sshd(pam_unix)[123]:
		if closing := bytes.IndexByte(b[i:], ')'); closing > 0 {
			i += closing + 1
		}
	}
	if i < len(b) && b[i] == '[' {
		closing := bytes.IndexByte(b[i:], ']')
		if closing < 0 || closing > longTag {
			return nil, 0
		}
		if severityOf(b[i+1:i+closing], wordsOnly) != Unknown { // util.py[WARNING]:
			return nil, 0
		}
		if i += closing + 1; i < len(b) && b[i] == '(' { // Kerberos: krb5kdc[123](info):
			return name, i
		}
		if i+1 < len(b) && b[i] == ' ' && (b[i+1] == '(' || b[i+1] == '<') { // macOS: launchd[1] (com.apple.x[2]): and syslogd[3] <Notice>:
			return name, i + 1
		}
	}
	if i >= len(b) || b[i] != ':' || i+1 < len(b) && b[i+1] != ' ' && b[i+1] != '\t' {
		return nil, 0
	}
	return name, i + 1
}

// klog reads the head of Kubernetes' and Google's C++ logging: I0102 15:04:05.000000, E20240102 15:04:05.000000.
func (r *reader) klog() bool {
	b := r.b[r.i:]
	if r.i != 0 && !r.first || len(b) < 14 || bytes.IndexByte([]byte("IWEFD"), b[0]) < 0 || !isDigit(b[1]) {
		return false
	}
	for _, p := range [...]*Pattern{klogDate, klogYear, klogShort} {
		s, end, ok := p.match(b, 1)
		if !ok {
			continue
		}
		if r.form == "" { // the kubelet's lines have one of syslog in front
			r.stamp, r.form = s, FormKlog
		}
		r.i += end
		if r.severity == Unknown {
			r.severity = severityOf(b[:1], lettersToo)
		}
		return true
	}
	return false
}

var (
	klogDate  = mustCompile("%m%d %T")
	klogYear  = mustCompile("%Y%m%d %T")
	klogShort = mustCompile("%y%m%d %T") // CockroachDB
	pidFirst  = mustCompile("%Y%m%d:%H%M%S")
)

// bareTime reads what is taken for a time at the very beginning of a line only: seconds since 1970, or a clock without a date.
func (r *reader) bareTime() bool {
	if !isDigit(r.b[r.i]) {
		return false
	}
	var s Stamp
	end, ok := s.readEpoch(r.b, r.i)
	form := FormEpoch
	if !ok {
		if at := bytes.IndexByte(r.b[r.i:min(r.i+3, len(r.b))], ':'); at < 0 {
			return false
		}
		if s, end, ok = clock.match(r.b, r.i); !ok {
			s, end, ok = kitchen.match(r.b, r.i)
		}
		form = FormClock
	}
	if !ok || end < len(r.b) && bytes.IndexByte([]byte(" \t,;:|])"), r.b[end]) < 0 {
		return false
	}
	if form == FormEpoch && end-r.i <= 19 && end < len(r.b) && r.b[end] == ' ' && len(bytes.Trim(r.b[r.i:end], "0123456789")) == 0 {
		word, _, _ := bytes.Cut(r.b[end+1:], []byte{' '})
		if counted[string(word)] { // 1700000000000 bytes were read
			return false
		}
	}
	r.stamp, r.form, r.i, r.first = s, form, end, true
	if form == FormClock { // foreman: 10:00:00 web.1   | text
		r.spaces()
		r.tagFirst()
	}
	return true
}

// brace reads a JSON object, which is a record of its own, or passes over {words in braces}.
func (r *reader) brace(text []byte) bool {
	next := bytes.TrimLeft(r.b[r.i+1:], " \t")
	if len(next) > 0 && next[0] == '"' {
		r.nested = text[r.i:] // r.b begins where text does
		return false
	}
	end := bytes.IndexByte(r.b[r.i:], '}')
	if end < 0 || end > longGroup {
		return false
	}
	r.i += end + 1
	return true
}

// quoted passes over a quoted part, such as a request before its time.
func (r *reader) quoted() bool {
	end := bytes.IndexByte(r.b[r.i+1:], r.b[r.i])
	if end < 0 || r.form != "" {
		return false
	}
	r.i += end + 2
	return true
}

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

// counted are words behind a number that is no time.
var counted = map[string]bool{
	"bytes": true, "records": true, "rows": true, "lines": true, "items": true, "events": true, "messages": true, "requests": true,
	"files": true, "keys": true, "ms": true, "us": true, "ns": true, "seconds": true,
}
