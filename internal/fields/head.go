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

// counted are words behind a number that is no time.
var counted = map[string]bool{
	"bytes": true, "records": true, "rows": true, "lines": true, "items": true, "events": true, "messages": true, "requests": true,
	"files": true, "keys": true, "ms": true, "us": true, "ns": true, "seconds": true,
}
