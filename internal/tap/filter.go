package tap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluicehq/sluice/internal/fields"
)

// Bounds of a filter. A regular expression takes time in proportion to its instructions and to the text.
const (
	mostFilter       = 1000 // bytes
	mostTerms        = 20
	mostInstructions = 500
	mostSearched     = 16 << 10 // bytes of a record that a regular expression is matched against
)

// FilterError says what is wrong with a filter.
type FilterError struct {
	Term string // empty where it is about all of it
	Rule string // what would be right
}

func (e *FilterError) Error() string {
	if e.Term == "" {
		return "the filter " + e.Rule
	}
	return fmt.Sprintf("the filter has %s, which %s", strconv.Quote(e.Term), e.Rule)
}

// Filter says which records somebody wants to see: those that match all of its terms. The nil Filter matches every record.
type Filter struct {
	terms []term
}

// term is one condition.
type term struct {
	not    bool
	needle []byte // lines without it, in small letters, can't match; nil for none
	match  func(v *view, values func() map[string]any) bool
}

// ParseFilter reads a filter: terms with spaces between, each of which a record must match.
//
//	timeout                   the text is somewhere in the record, in any case
//	"connection refused"      the same, with spaces
//	/time.?out/i              a regular expression matches the text or the line; i for any case
//	severity:error            of this level, however the record writes it; severity:>=warn is warn and worse
//	service:checkout          the field is this, in any case; * stands for anything
//	http.status:>=500         the field is a number, and at least this; also >, <, <=
//	user:/^a.*z$/             the field matches
//	body:timeout              the text of the record, not the rest of it, has this in it
//	-health                   does not match the term behind the minus
//
// A field is found at the top of a record, in its attributes and in its resource; a.b is also the field b inside of a.
func ParseFilter(text string) (*Filter, error) {
	if len(text) > mostFilter {
		return nil, &FilterError{Rule: fmt.Sprintf("has %d bytes, and may have %d", len(text), mostFilter)}
	}
	if !utf8.ValidString(text) {
		return nil, &FilterError{Rule: "is not UTF-8"}
	}
	f := &Filter{}
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		if len(f.terms) == mostTerms {
			return nil, &FilterError{Rule: fmt.Sprintf("has more than %d terms", mostTerms)}
		}
		t, after, err := readTerm(rest)
		if err != nil {
			return nil, err
		}
		f.terms, rest = append(f.terms, t), after
	}
	if len(f.terms) == 0 {
		return nil, nil
	}
	return f, nil
}

// fieldName matches the name before a colon. What follows the colon of a URL is no value.
var fieldName = regexp.MustCompile(`^[\pL_@][\pL\pN_@.\-]*:`)

func readTerm(text string) (t term, after string, err error) {
	whole := text
	if rest, found := strings.CutPrefix(text, "-"); found && rest != "" && rest[0] != ' ' {
		t.not, text = true, rest
	}
	name := ""
	if at := fieldName.FindString(text); at != "" && !strings.HasPrefix(text[len(at):], "//") {
		name, text = at[:len(at)-1], text[len(at):]
	}
	op := ""
	if name != "" {
		for _, o := range []string{">=", "<=", ">", "<"} {
			if rest, found := strings.CutPrefix(text, o); found {
				op, text = o, rest
				break
			}
		}
	}
	v, after, err := readValue(text)
	if err != nil {
		return t, "", err
	}
	typed := whole[:len(whole)-len(after)]
	switch {
	case v.text == "" && v.expr == nil && name != "":
		return t, "", &FilterError{typed, "has no value; put it in quotes to search for it as text"}
	case op != "" && (v.expr != nil || v.quoted):
		return t, "", &FilterError{typed, "compares, and wants a number or a level behind " + op}
	case name == "":
		t.textTerm(v)
	case isName(name, "severity", "level"):
		err = t.levelTerm(typed, op, v)
	case op != "":
		err = t.numberTerm(typed, name, op, v)
	case isName(name, "body", "message", "msg", "text"):
		t.bodyTerm(v)
	case isName(name, "service"):
		is := v.matcher()
		t.match = func(v *view, _ func() map[string]any) bool { return is(v.service) }
	default:
		t.fieldTerm(name, v)
	}
	if t.not {
		t.needle = nil
	}
	return t, after, err
}

// value is what a term looks for.
type value struct {
	text   string
	quoted bool
	expr   *regexp.Regexp // instead of text
}

// readValue takes a value off the beginning of a text.
func readValue(text string) (v value, after string, err error) {
	switch {
	case strings.HasPrefix(text, `"`):
		inside, after, found := untilUnescaped(text[1:], '"')
		if !found {
			return v, "", &FilterError{text, "wants a second quote"}
		}
		return value{text: strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(inside), quoted: true}, after, nil
	case strings.HasPrefix(text, "/") && strings.Count(text, "/") > 1:
		inside, after, found := untilUnescaped(text[1:], '/')
		if !found || inside == "" {
			break
		}
		flags, after := cutWord(after)
		if flags != "" && flags != "i" {
			break // a path
		}
		expr, err := compile(inside, flags)
		if err != nil {
			return v, "", &FilterError{text[:len(text)-len(after)], err.Error()}
		}
		return value{expr: expr}, after, nil
	}
	v.text, after = cutWord(text)
	return v, after, nil
}

func cutWord(text string) (word, after string) {
	if i := strings.IndexAny(text, " \t\n\r"); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

func untilUnescaped(text string, end byte) (inside, after string, found bool) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case end:
			return text[:i], text[i+1:], true
		}
	}
	return "", "", false
}

func compile(text, flags string) (*regexp.Regexp, error) {
	if flags == "i" {
		text = "(?i)" + text
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		if e, ok := err.(*syntax.Error); ok { // its own words begin with "error parsing regexp"
			return nil, fmt.Errorf("is no regular expression: %s: %s", e.Code, strconv.Quote(e.Expr))
		}
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > mostInstructions {
		return nil, fmt.Errorf("is too large a regular expression: %d steps, at most %d", len(program.Inst), mostInstructions)
	}
	return regexp.Compile(text)
}

// matcher says whether a field is the value: in any case, with * for anything, or as the expression says.
func (v value) matcher() func(string) bool {
	switch {
	case v.expr != nil:
		return func(text string) bool { return v.expr.MatchString(beginning(text)) }
	case v.text == "*" && !v.quoted:
		return func(text string) bool { return text != "" }
	case strings.Contains(v.text, "*") && !v.quoted:
		parts := strings.Split(v.text, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		expr := regexp.MustCompile("(?is)^" + strings.Join(parts, ".*") + "$") // of at most mostFilter bytes
		return func(text string) bool { return expr.MatchString(beginning(text)) }
	}
	return func(text string) bool { return strings.EqualFold(text, v.text) }
}

func beginning(text string) string { return text[:min(len(text), mostSearched)] }

// textTerm matches what a record says, and the line that it came as.
func (t *term) textTerm(v value) {
	if v.expr != nil {
		t.match = func(seen *view, _ func() map[string]any) bool {
			return v.expr.MatchString(beginning(seen.text)) || v.expr.Match(seen.line[:min(len(seen.line), mostSearched)])
		}
		return
	}
	small := strings.ToLower(v.text)
	t.needle = needleOf(v.text)
	t.match = func(seen *view, _ func() map[string]any) bool {
		return strings.Contains(strings.ToLower(seen.text), small) || bytes.Contains(bytes.ToLower(seen.line), []byte(small))
	}
}

// bodyTerm matches what a record says, and nothing else of its line: the value is somewhere in there, or with * is all of it.
func (t *term) bodyTerm(v value) {
	is := v.matcher()
	if v.expr == nil && (v.quoted || !strings.Contains(v.text, "*")) {
		small := strings.ToLower(v.text)
		is = func(text string) bool { return strings.Contains(strings.ToLower(text), small) }
	}
	t.match = func(seen *view, _ func() map[string]any) bool { return is(seen.text) }
}

// plainText is what JSON never writes in another way.
var plainText = regexp.MustCompile(`^[A-Za-z0-9 ._:@,=-]+$`)

func needleOf(text string) []byte {
	if !plainText.MatchString(text) {
		return nil
	}
	return []byte(strings.ToLower(text))
}

// levelTerm compares levels, by their names here or as programs write them.
func (t *term) levelTerm(typed, op string, v value) error {
	at := slices.Index(Levels, strings.ToLower(v.text))
	number := fields.ParseSeverity(v.text)
	switch {
	case at < 0 && op != "" && number != fields.Unknown:
		at = slices.Index(Levels, levelOf(number))
	case at < 0 && op == "":
		is := v.matcher()
		t.match = func(seen *view, _ func() map[string]any) bool {
			return is(seen.severity()) || number != fields.Unknown && number.String() == seen.severity()
		}
		return nil
	}
	last := len(Levels) - 1 // LevelOther, which is neither more nor less than another
	if at < 0 || at == last && op != "" {
		return &FilterError{typed, "wants a level behind " + op + ": " + strings.Join(Levels[:last], ", ")}
	}
	t.match = func(seen *view, _ func() map[string]any) bool {
		n := slices.Index(Levels, seen.level)
		switch {
		case op == "":
			return n == at
		case n == last:
			return false
		}
		return compared(op, float64(at), float64(n)) // the worst has the smallest index
	}
	return nil
}

func compared(op string, a, b float64) bool {
	switch op {
	case ">=":
		return a >= b
	case "<=":
		return a <= b
	case ">":
		return a > b
	}
	return a < b
}

func (t *term) numberTerm(typed, name, op string, v value) error {
	bound, err := strconv.ParseFloat(v.text, 64)
	if err != nil {
		return &FilterError{typed, "wants a number behind " + op}
	}
	t.match = func(_ *view, values func() map[string]any) bool {
		return eachValue(values(), name, func(text string) bool {
			n, err := strconv.ParseFloat(text, 64)
			return err == nil && compared(op, n, bound)
		})
	}
	return nil
}

func (t *term) fieldTerm(name string, v value) {
	is := v.matcher()
	if v.expr == nil && (v.quoted || !strings.Contains(v.text, "*")) {
		t.needle = needleOf(v.text)
	}
	t.match = func(_ *view, values func() map[string]any) bool { return eachValue(values(), name, is) }
}

func isName(name string, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// eachValue says whether a field of a record, or one of its elements, is as wanted. Objects are no values.
func eachValue(record map[string]any, name string, is func(string) bool) bool {
	if has(record, name, is) {
		return true
	}
	for _, within := range []string{"attributes", "resource"} {
		if inner, ok := record[within].(map[string]any); ok && has(inner, name, is) {
			return true
		}
	}
	return false
}

func has(fields map[string]any, name string, is func(string) bool) bool {
	for key, v := range fields {
		if len(key) > len(name) || !strings.EqualFold(key, name[:len(key)]) {
			continue
		}
		if len(key) == len(name) {
			if valueIs(v, is) {
				return true
			}
		} else if inner, ok := v.(map[string]any); ok && name[len(key)] == '.' && has(inner, name[len(key)+1:], is) {
			return true
		}
	}
	return false
}

func valueIs(v any, is func(string) bool) bool {
	switch v := v.(type) {
	case string:
		return is(v)
	case json.Number:
		return is(v.String())
	case bool:
		return is(strconv.FormatBool(v))
	case nil:
		return is("null")
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return valueIs(e, is) })
	}
	return false
}

// matches says whether a line matches, and what it says then.
func (f *Filter) matches(line []byte, passed time.Time) (view, bool) {
	if f == nil {
		return look(line, passed), true
	}
	var small []byte
	for _, t := range f.terms {
		if t.needle == nil {
			continue
		}
		if small == nil {
			small = bytes.ToLower(line)
		}
		if !bytes.Contains(small, t.needle) {
			return view{}, false
		}
	}
	v := look(line, passed)
	var values map[string]any
	read := func() map[string]any {
		if values == nil {
			values = map[string]any{}
			d := json.NewDecoder(bytes.NewReader(line))
			d.UseNumber()
			d.Decode(&values) // what is no object has no fields
		}
		return values
	}
	for _, t := range f.terms {
		if t.match(&v, read) == t.not {
			return view{}, false
		}
	}
	return v, true
}
