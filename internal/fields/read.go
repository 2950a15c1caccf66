package fields

import (
	"bytes"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Slots that are asked for by themselves.
var (
	slotNumber        = slotNamed("severitynumber")
	slotPriority      = slotNamed("PRIORITY")
	slotWordPriority  = slotNamed("priority")
	slotSeverity      = slotNamed("severity")
	slotCLEFTime      = slotNamed("@t")
	slotMongoLevel    = slotNamed("s")
	slotMongoTime     = slotNamed("t.$date")
	slotStatus        = slotNamed("status")
	slotType          = slotNamed("type")
	slotLabel         = slotNamed("label")
	slotPrio          = slotNamed("prio")
	slotRequestID     = slotNamed("reqid")
	slotAttrStatus    = slotNamed("attributes.status")
	slotAt            = slotNamed("at")
	slotEventID       = slotNamed("eventid")
	slotProvider      = slotNamed("providername")
	slotProviderName  = slotNamed("provider.name")
	slotName          = slotNamed("name")
	slotProcessName   = slotNamed("process.name")
	slotLevelName     = slotNamed("leveldisplayname")
	slotTimeCreated   = slotNamed("timecreated")
	slotService       = slotNamed("service")
	slotSourceIP      = slotNamed("srcip")
	slotTargetIP      = slotNamed("dstip")
	slotOrigin        = slotNamed("id.origh")
	slotResponder     = slotNamed("id.resph")
	slotUnit          = slotNamed("systemdunit")
	slotUserUnit      = slotNamed("systemduserunit")
	slotTarget        = slotNamed("target")
	slotBody          = slotNamed("body")
	slotMessage       = slotNamed("message")
	slotSeconds       = slotNamed("timestamp.seconds")
	slotNanos         = slotNamed("timestamp.nanos")
	slotPlainSeconds  = slotNamed("timestampseconds")
	slotPlainNanos    = slotNamed("timestampnanos")
	slotInstant       = slotNamed("instant.epochsecond")
	slotInstantNanos  = slotNamed("instant.nanoofsecond")
	slotTime          = slotNamed("time")
	slotDate          = slotNamed("date")
	slotEmitter       = slotNamed("attributes.sluice.emitter")
	slotSequence      = slotNamed("attributes.sluice.seq")
	slotComponent     = slotNamed("component")
	slotContainerName = slotNamed("containername")
	slotTag           = slotNamed("tag")
	slotSyslogTag     = slotNamed("syslogtag")
	slotString        = slotNamed("body.stringvalue")
	slotMsg           = slotNamed("msg")

	nanosOf = map[slot]slot{slotSeconds: slotNanos, slotPlainSeconds: slotPlainNanos, slotInstant: slotInstantNanos}

	// scales are the names whose numbers mean one thing only.
	scales = map[slot]scale{
		slotNumber: otelScale, slotPriority: syslogScale, slotNamed("syslogseverity"): syslogScale, slotNamed("syslogseveritycode"): syslogScale,
		slotNamed("syslog.severity"): syslogScale, slotNamed("syslog.severity.code"): syslogScale, slotNamed("log.syslog.severity.code"): syslogScale,
		slotNamed("pri"): syslogScale, slotNamed("levelno"): pythonScale, slotNamed("level.no"): pythonScale, slotNamed("severitylevel"): azureScale,
	}
)

// derive reads what the text of the record says itself.
func (v *View) derive() {
	if v.derived {
		return
	}
	v.derived = true
	text := v.content()
	if len(text) == 0 || v.depth >= mostViews || !v.json {
		return
	}
	text = plain(text)
	v.head.read(text)
	if len(v.head.nested) == 0 {
		return
	}
	if v.nested == nil {
		v.nested = &View{depth: v.depth + 1}
	}
	if v.head.pairs {
		v.nested.scanPairs(v.head.nested, v.head.tabbed)
		v.inner = true
		return
	}
	v.inner = v.nested.Scan(v.head.nested) == nil
}

// content is the text of the record without its escapes, in memory that later answers leave alone.
func (v *View) content() (text []byte) {
	v.each(textSlots, func(s slot) bool {
		raw := v.raw(s)
		if len(raw) <= 2 || raw[0] != '"' {
			return false
		}
		if text = raw[1 : len(raw)-1]; bytes.IndexByte(text, '\\') >= 0 {
			v.unescaped = unescape(v.unescaped[:0], text)
			text = v.unescaped
		}
		return true
	})
	return text
}

// Severity is how severe the record is: told by its fields, else by its text, else by the status of the HTTP request that it is about.
func (v *View) Severity() Severity {
	s, at := v.severity()
	v.used[usedSeverity] = at
	return s
}

func (v *View) severity() (found Severity, at slot) {
	at = noSlot
	v.each(severitySlots, func(s slot) bool {
		found, at = v.severityIn(s), s
		return found != Unknown
	})
	if found != Unknown {
		return found, at
	}
	at = noSlot
	if v.is(slotCLEFTime) && v.json { // the compact format of Serilog leaves @l out where it is Information
		return Info, noSlot
	}
	v.derive()
	if v.head.severity != Unknown {
		return v.head.severity, noSlot
	}
	if v.inner {
		if s := v.nested.Severity(); s != Unknown {
			return s, noSlot
		}
		if v.head.pairs && !v.head.tabbed {
			if s := levelBehindPairs(v.head.nested); s != Unknown {
				return s, noSlot
			}
		}
	}
	return v.requestSeverity(), noSlot
}

// severityIn reads the value of one name.
func (v *View) severityIn(s slot) Severity {
	text := v.scalar(s)
	if len(text) == 0 {
		return Unknown
	}
	if !isDigit(text[0]) && text[0] != '<' {
		switch s {
		case slotLabel:
			if v.is(slotPrio) { // MySQL: System is a level there
				return severityOf(text, wordsOnly)
			}
			return severityOf(text, fullWords)
		case slotStatus, slotType, slotAt, slotAttrStatus:
			return severityOf(text, fullWords)
		case slotMongoLevel:
			if !v.is(slotMongoTime) {
				return Unknown
			}
			text = text[:1] // D2 is one of five steps
		}
		return severityOf(bytes.Trim(text, "[]<>"), lettersToo)
	}
	text = bytes.Trim(text, "<>")
	by, ok := scales[s]
	switch {
	case s == slotStatus, s == slotType, s == slotLabel, s == slotAt, s == slotAttrStatus, s == slotMongoLevel:
		return Unknown
	case s == slotWordPriority && !v.isString(s): // of a task, mostly
		return Unknown
	case ok:
	case len(text) == 1 && (v.is(slotEventID) || v.is(slotProvider) || v.is(slotProviderName)):
		by = windowsScale
	case s == slotSeverity && len(text) == 3:
		by = gcpScale
	case len(text) == 1 && v.is(slotRequestID) && text[0] < '5':
		by = nextcloudScale
	}
	return severityNumber(text, by)
}

// requestSeverity is the severity by the status of an HTTP request, where the record names one.
func (v *View) requestSeverity() (found Severity) {
	if !v.each(requestSlots, func(slot) bool { return true }) {
		return Unknown
	}
	read := func(s slot) bool {
		if text := v.scalar(s); isStatus(text) {
			found = statusSeverity(atoi(text))
		}
		return found != Unknown
	}
	if !v.is(slotStatus) || !read(slotStatus) {
		v.each(statusSlots, read)
	}
	return found
}

// Service is the name of the program that wrote the record; empty where nothing tells it. What it returns is good until the next call.
func (v *View) Service() (name []byte) {
	v.each(serviceSlots, func(s slot) bool {
		name = v.serviceIn(s)
		return len(name) > 0
	})
	if len(name) > 0 {
		return name
	}
	v.derive()
	if v.inner {
		if name = v.nested.Service(); len(name) > 0 {
			return name
		}
	}
	return v.head.service
}

// serviceIn reads the value of one name.
func (v *View) serviceIn(s slot) []byte {
	if !v.isString(s) {
		return nil
	}
	if s == slotName { // of anything, unless it stands beside a level
		if _, at := v.severity(); at == noSlot {
			return nil
		}
	}
	name := bytes.TrimSpace(v.scalar(s))
	switch {
	case len(name) == 0:
	case isDuration(name): // service=18ms of a router
		return nil
	case s == slotService && (v.is(slotSourceIP) && v.is(slotTargetIP) || v.is(slotOrigin) && v.is(slotResponder)): // of a connection: its protocol
		return nil
	case s == slotProvider && !v.is(slotEventID) && !v.is(slotLevelName) && !v.is(slotTimeCreated): // of anything but an event of Windows
		return nil
	case s == slotUnit, s == slotUserUnit:
		name = bytes.TrimSuffix(name, []byte(".service"))
	case s == slotContainerName:
		name = bytes.TrimPrefix(name, []byte{'/'})
	case s == slotTarget: // the path of a module in Rust begins with its program
		name, _, _ = bytes.Cut(name, []byte("::"))
	case s == slotTag || s == slotSyslogTag:
		if tag, _ := tagAt(append(bytes.Clone(name), ':'), 0); tag != nil {
			name = tag
		} else if tag, _ := tagAt(name, 0); tag != nil {
			name = tag
		}
	}
	if s >= slotName || s == slotComponent || s == slotProcessName {
		if isClass(name) {
			return nil
		}
	}
	return name
}

// isDuration says whether a value is a number, maybe with the unit of a duration.
func isDuration(value []byte) bool {
	unit := bytes.TrimLeft(value, "0123456789.")
	switch string(unit) {
	case "", "s", "ms", "us", "µs", "ns", "m", "h":
		return len(unit) < len(value)
	}
	return false
}

// isClass says whether the name of a logger is that of a class, a file or a function, or the one that every program has: these name a
// part of a program.
func isClass(name []byte) bool {
	switch string(name) {
	case "root", "main", "__main__", "default", "MainProcess":
		return true
	}
	if bytes.ContainsAny(name, "/$:( ") {
		return true
	}
	at := bytes.LastIndexByte(name, '.')
	return at >= 0 && at+1 < len(name) && name[at+1]-'A' <= 'Z'-'A'
}

// Time is when what the record reports happened; false where the record does not say. Now tells what a time leaves out: the year, or
// the day.
func (v *View) Time(now time.Time) (time.Time, bool) {
	s, _, at, ok := v.stamp()
	v.used[usedTime] = at
	if !ok {
		return time.Time{}, false
	}
	return s.Time(now)
}

// Stamp is the time as it is written, and the name of its form.
func (v *View) Stamp() (s Stamp, form string, ok bool) {
	s, form, _, ok = v.stamp()
	return s, form, ok
}

func (v *View) stamp() (found Stamp, form string, at slot, ok bool) {
	form, at = FormJSON, noSlot
	if !v.json {
		form = FormPairs
	}
	if v.each(timeSlots, func(s slot) bool {
		found, ok = v.stampIn(s)
		at = s
		return ok
	}) {
		return found, form, at, true
	}
	if audit := v.scalar(slotMsg); !v.json && bytes.HasPrefix(audit, []byte("audit(")) { // the kernel's: msg=audit(1364481363.243:24287):
		if _, ok = found.readEpoch(audit, len("audit(")); ok {
			return found, form, noSlot, true
		}
	}
	v.derive()
	if v.head.form != "" {
		return v.head.stamp, v.head.form, noSlot, true
	}
	if v.inner {
		if found, form, _, ok = v.nested.stamp(); ok {
			return found, form, noSlot, true
		}
	}
	return Stamp{}, "", noSlot, false
}

// stampIn reads the value of one name.
func (v *View) stampIn(s slot) (found Stamp, ok bool) {
	text := v.scalar(s)
	if len(text) == 0 {
		return Stamp{}, false
	}
	if nanos, ok := nanosOf[s]; ok { // seconds, and apart from them what is left
		if found, ok = stampOf(text); ok && found.Written == HasEpoch && found.Nano == 0 && v.is(nanos) {
			if n := atoi(v.scalar(nanos)); n > 0 && n < 1e9 {
				found.Nano = n
			}
		}
		return found, ok
	}
	if found, ok = stampOf(text); ok {
		return found, true
	}
	if s == slotTime && len(text) >= 8 && len(text) <= 20 && v.is(slotDate) { // apart, as in logs of the web: date and time
		both := append([]byte(nil), text...)
		if date := v.scalar(slotDate); len(date) <= 10 {
			return stampOf(append(append(bytes.Clone(date), ' '), both...))
		}
	}
	return Stamp{}, false
}

// stampOf reads a value that is a time: one of the forms of dates, or a number since 1970.
func stampOf(text []byte) (s Stamp, ok bool) {
	text = bytes.Trim(text, " []")
	if millis, ok := bytes.CutPrefix(text, []byte("/Date(")); ok { // PowerShell and old .NET
		text = bytes.TrimSuffix(millis, []byte(")/"))
	}
	if len(text) == 0 {
		return s, false
	}
	if s, _, _, ok = timeAt(text, 0); ok {
		return s, true
	}
	if end, ok := s.readEpoch(text, 0); ok && end == len(text) {
		return s, true
	}
	if bytes.IndexAny(text, "eE") > 0 { // 1.7040672e+09
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil || f < 1e8 || f > math.MaxInt64 {
			return Stamp{}, false
		}
		digits := strconv.AppendFloat(nil, f, 'f', -1, 64)
		end, ok := s.readEpoch(digits, 0)
		return s, ok && end == len(digits)
	}
	return Stamp{}, false
}

// FindTime reads the time of one line of a log file, whatever its form, and names the form. It is false where there is none.
func (v *View) FindTime(line []byte) (s Stamp, form string, ok bool) {
	if at := bytes.TrimLeft(line, " \t"); len(at) > 0 && at[0] == '{' {
		if v.Scan(line) == nil {
			return v.Stamp()
		}
	}
	v.reset(nil, true)
	v.derived = true
	v.head.read(plain(line))
	if v.head.form == "" && v.head.pairs {
		v.scanPairs(v.head.nested, v.head.tabbed)
		v.derived = true
		return v.Stamp()
	}
	if v.head.form == "" { // where lines are known to have times, they may stand further behind
		for i := 0; i+15 <= len(line); i++ {
			if !isDigit(line[i]) || i > 0 && isDigit(line[i-1]) {
				continue
			}
			if s, _, ok := isoAt(line, i); ok {
				return s, FormISO, true
			}
		}
	}
	return v.head.stamp, v.head.form, v.head.form != ""
}

// Text is what the record says: its message, or the whole line where it has none. A message that is a record of its own gives the message
// of that.
func (v *View) Text() string {
	text, at := v.message()
	v.used[usedText] = at
	if at == noSlot && len(text) == 0 {
		return string(v.line)
	}
	if !utf8.Valid(text) {
		return string([]rune(string(text))) // U+FFFD for each byte that is none
	}
	return string(text)
}

// message finds the text, and the slot of the value that it is as a whole.
func (v *View) message() (text []byte, at slot) {
	at = noSlot
	found := v.each(textSlots, func(s slot) bool {
		raw := v.raw(s)
		if len(raw) == 0 {
			return false
		}
		switch raw[0] {
		case '"':
			text, at = v.text(raw), s
		case '[':
			if text = byteArray(raw); text == nil && s != slotBody {
				return false
			}
			if at = noSlot; text == nil {
				text, at = raw, s
			}
		default:
			if v.json && (s != slotBody && s != slotMessage || string(raw) == "null") || raw[0] == '{' && v.is(slotString) {
				return false
			}
			text, at = raw, s
		}
		return len(text) > 0
	})
	if !found {
		return nil, noSlot
	}
	if v.derive(); v.inner && !v.head.pairs {
		if inner, _ := v.nested.message(); len(inner) > 0 {
			return inner, noSlot
		}
	}
	return text, at
}

// byteArray reads a text that is written as an array of its bytes, as the journal does where it is not UTF-8; nil where raw is none.
func byteArray(raw []byte) []byte {
	var out []byte
	for part := range bytes.SplitSeq(bytes.Trim(raw, "[]"), []byte{','}) {
		n, err := strconv.ParseUint(string(bytes.TrimSpace(part)), 10, 8)
		if err != nil {
			return nil
		}
		out = append(out, byte(n))
	}
	return out
}

// Emitter is who numbered the record, and its number; empty and 0 where the record has none. The emitters of Sluice set them, as
// attributes.
func (v *View) Emitter() (id []byte, sequence uint64) {
	if v.isString(slotEmitter) {
		id = v.scalar(slotEmitter)
	}
	// The upper half of the range is left out: no emitter gets there, and sums of numbers stay in range.
	if n, err := strconv.ParseUint(string(v.raw(slotSequence)), 10, 63); err == nil {
		sequence = n
	}
	return id, sequence
}
