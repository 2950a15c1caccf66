// Package strictjson reads the JSON of requests that change something. It accepts what fits and nothing else, so that a misspelled field is
// an error and not a field that is missing.
//
// One JSON value is read, in UTF-8, with white space around it at most. Names must be those of the Go fields' json tags in the same case,
// each once in its object. The tag strict says more about a field: "required", and "max=100" for the number of elements of a list or map.
// A null counts as missing; in lists and maps it is an error.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluicehq/sluice/internal/visible"
	"github.com/sluicehq/sluice/internal/words"
)

// Error says what is wrong with which field.
type Error struct {
	Field string // such as failed[0].record; empty where it is about the body as a whole
	Rule  string // such as "is required"
}

func (e *Error) Error() string {
	if e.Field == "" {
		return "the body " + e.Rule
	}
	return e.Field + " " + e.Rule
}

// ErrEmpty is returned for a body of white space.
var ErrEmpty error = &Error{Rule: "is empty, must be a JSON object"}

// Decode reads data into v, which must be a pointer to a struct. Errors are *Error, and v is then not changed.
func Decode(data []byte, v any) error {
	if !utf8.Valid(data) {
		return &Error{Rule: "is not valid UTF-8"}
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return ErrEmpty
	}
	d := json.NewDecoder(bytes.NewReader(data))
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return broken(err)
	}
	if rest := bytes.TrimSpace(data[d.InputOffset():]); len(rest) > 0 {
		return &Error{Rule: fmt.Sprintf("goes on after the JSON, at byte %d", len(data)-len(rest))}
	}
	if err := check(raw, reflect.TypeOf(v).Elem(), "", 0); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return broken(err)
	}
	return nil
}

func broken(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{Rule: "is not JSON: it ends too early"}
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return &Error{Rule: fmt.Sprintf("is not JSON: %s, at byte %d", visible.Cut(syntax.Error(), 200), syntax.Offset)}
	}
	return &Error{Rule: "is not the JSON that belongs here: " + visible.Cut(err.Error(), 200)}
}

var (
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
	timeType    = reflect.TypeFor[time.Time]()
)

// check says what is wrong with a value of a type. Most is how many elements it may have; 0 means any number.
func check(raw json.RawMessage, t reflect.Type, path string, most int) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	own := t != timeType && reflect.PointerTo(t).Implements(unmarshaler)
	switch {
	case !own && t.Kind() == reflect.Struct && t != timeType:
		return checkStruct(raw, t, path)
	case !own && t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		return checkList(raw, t.Elem(), path, most)
	case !own && t.Kind() == reflect.Map:
		return eachField(raw, path, most, func(name string, value json.RawMessage) error {
			name = path + "." + visible.Cut(name, 80)
			if isNull(value) {
				return &Error{name, "must not be null"}
			}
			return check(value, t.Elem(), name, 0)
		})
	}
	if err := json.Unmarshal(raw, reflect.New(t).Interface()); err != nil {
		rule := wanted(t)
		if own {
			rule = "is wrong: " + visible.Cut(err.Error(), 200)
		}
		return &Error{path, rule}
	}
	return nil
}

// wanted says what a value of a type looks like.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "must be a whole number of at most " + strconv.Itoa(t.Bits()) + " bits"
	case reflect.Float32, reflect.Float64:
		return "must be a number, up to 1e308"
	case reflect.Bool:
		return "must be true or false"
	case reflect.String:
		return "must be a text"
	}
	if t == timeType {
		return "must be a time like 2026-11-24T02:10:46Z"
	}
	return "has the wrong form"
}

// maxUnknown is how many unknown fields of an object are looked at.
const maxUnknown = 100

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

func checkStruct(raw json.RawMessage, t reflect.Type, path string) error {
	known := map[string]reflect.StructField{}
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			known[name] = f
			names = append(names, name)
		}
	}
	given := map[string]bool{}
	var unknown []string
	err := eachField(raw, path, len(names)+maxUnknown, func(name string, value json.RawMessage) error {
		f, ok := known[name]
		if !ok {
			unknown = append(unknown, name)
			return nil // what is missing may tell what was meant
		}
		if isNull(value) {
			return nil
		}
		given[name] = true
		_, most, _ := strings.Cut(f.Tag.Get("strict"), "max=")
		n, _ := strconv.Atoi(most)
		return check(value, f.Type, join(path, name), n)
	})
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range names {
		if strings.HasPrefix(known[name].Tag.Get("strict"), "required") && !given[name] {
			missing = append(missing, name)
		}
	}
	switch {
	case len(unknown) > 0:
		suggestion := words.DidYouMean(unknown[0], names, "")
		if suggestion == "" && len(missing) == 1 {
			suggestion = fmt.Sprintf("; did you mean %q?", missing[0])
		}
		if suggestion == "" && len(names) > 0 {
			suggestion = "; known: " + strings.Join(names, ", ")
		}
		return &Error{join(path, visible.Cut(unknown[0], 80)), "is unknown" + suggestion}
	case len(missing) > 0:
		return &Error{join(path, missing[0]), "is required"}
	}
	return nil
}

func join(path, name string) string {
	if name == "" {
		name = `""`
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func checkList(raw json.RawMessage, elem reflect.Type, path string, most int) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return &Error{path, "must be a list"}
	}
	for i := 0; d.More(); i++ {
		if most > 0 && i == most {
			return &Error{path, fmt.Sprintf("has more than %d elements", most)}
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return broken(err)
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		if isNull(value) {
			return &Error{at, "must not be null"}
		}
		if err := check(value, elem, at, 0); err != nil {
			return err
		}
	}
	return nil
}

// eachField calls do for each field of an object, and says which is there twice.
func eachField(raw json.RawMessage, path string, most int, do func(name string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return &Error{path, "must be an object"}
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return broken(err)
		}
		name, _ := t.(string)
		if seen[name] {
			return &Error{join(path, visible.Cut(name, 80)), "is there twice"}
		}
		if seen[name] = true; most > 0 && len(seen) > most {
			return &Error{path, fmt.Sprintf("has more than %d names", most)}
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return broken(err)
		}
		if err := do(name, value); err != nil {
			return err
		}
	}
	return nil
}
