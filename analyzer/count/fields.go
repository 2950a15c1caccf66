package count

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/internal/jsonscan"
	"github.com/sluicehq/sluice/internal/visible"
)

// fields is what counting needs to know of a record. The texts are empty where it does not say.
type fields struct {
	severity, service, emitter []byte
	seq                        uint64 // 0 where the record has none
}

// look finds the fields of one record. The quick way reads only the values that matter, where they stand; it gives up
// where a key is written with escapes, and then, as for what it can't read, sluice.Record decides.
func look(line []byte) (fields, error) {
	if f, ok := quickLook(line); ok {
		return f, nil
	}
	var r sluice.Record
	if err := r.UnmarshalJSON(line); err != nil {
		return fields{}, err
	}
	f := fields{severity: []byte(r.Severity), service: []byte(r.Service())}
	if id, ok := r.Attributes[EmitterAttribute].(string); ok {
		f.emitter = []byte(id)
	}
	if n, ok := r.Attributes[SequenceAttribute].(json.Number); ok {
		f.seq = sequence([]byte(n))
	}
	return f, nil
}

// The names under which sluice.Record finds a severity, the first that holds a string winning.
var severityNames = [...]string{"severity", "severity_text", "level", "loglevel", "log.level"}

// rawRecord is where the values of a record stand in its line; nil where it has none.
type rawRecord struct {
	severities                        [len(severityNames)][]byte
	resource, attributes              []byte
	serviceName, service              []byte // at the top level
	resourceServiceName, resourceSvc  []byte
	attributeServiceName, attrService []byte
	emitter, seq                      []byte
}

func quickLook(line []byte) (f fields, ok bool) {
	var raw rawRecord
	if !each(line, raw.field) {
		return fields{}, false
	}
	if isObject(raw.resource) && !each(raw.resource, raw.resourceField) {
		return fields{}, false
	}
	if isObject(raw.attributes) && !each(raw.attributes, raw.attribute) {
		return fields{}, false
	}
	for _, v := range raw.severities {
		if isString(v) {
			f.severity = text(v)
			break
		}
	}
	for _, v := range [...][]byte{
		raw.resourceServiceName, raw.resourceSvc,
		raw.attributeServiceName, raw.attrService,
		raw.serviceName, raw.service,
	} {
		if isString(v) && len(v) > 2 { // not ""
			f.service = text(v)
			break
		}
	}
	if isString(raw.emitter) {
		f.emitter = text(raw.emitter)
	}
	f.seq = sequence(raw.seq)
	return f, true
}

func (raw *rawRecord) field(key, value []byte) {
	switch string(key) {
	case "resource":
		raw.resource = value
	case "attributes":
		raw.attributes = value
	case "service.name":
		raw.serviceName = value
	case "service":
		raw.service = value
	default:
		for i, name := range severityNames {
			if string(key) == name {
				raw.severities[i] = value
			}
		}
	}
}

func (raw *rawRecord) resourceField(key, value []byte) {
	switch string(key) {
	case "service.name":
		raw.resourceServiceName = value
	case "service":
		raw.resourceSvc = value
	}
}

func (raw *rawRecord) attribute(key, value []byte) {
	switch string(key) {
	case "service.name":
		raw.attributeServiceName = value
	case "service":
		raw.attrService = value
	case EmitterAttribute:
		raw.emitter = value
	case SequenceAttribute:
		raw.seq = value
	}
}

// each calls f with every key, without its quotes, and the raw text of its value. It returns false where object is not
// a JSON object or a key has escapes.
func each(object []byte, f func(key, value []byte)) bool {
	i := jsonscan.SkipSpace(object, 0)
	if i >= len(object) || object[i] != '{' {
		return false
	}
	i = jsonscan.SkipSpace(object, i+1)
	if i < len(object) && object[i] == '}' {
		return true
	}
	for i < len(object) && object[i] == '"' {
		end, err := jsonscan.Value(object, i)
		if err != nil {
			return false
		}
		key := object[i+1 : end-1]
		if i = jsonscan.SkipSpace(object, end); i >= len(object) || object[i] != ':' || bytes.IndexByte(key, '\\') >= 0 {
			return false
		}
		i = jsonscan.SkipSpace(object, i+1)
		if end, err = jsonscan.Value(object, i); err != nil {
			return false
		}
		f(key, object[i:end])
		i = jsonscan.SkipSpace(object, end)
		switch {
		case i < len(object) && object[i] == '}':
			return true
		case i < len(object) && object[i] == ',':
			i = jsonscan.SkipSpace(object, i+1)
		default:
			return false
		}
	}
	return false
}

func isString(v []byte) bool { return len(v) > 0 && v[0] == '"' }
func isObject(v []byte) bool { return len(v) > 0 && v[0] == '{' }

// text decodes a JSON string; in nearly all cases that means to leave out the quotes.
func text(v []byte) []byte {
	inner := v[1 : len(v)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return inner
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		return nil
	}
	return []byte(s)
}

// sequence reads a sequence number, or returns 0 where there is none. The upper half of the range is left out: no
// emitter gets there, and sums of numbers stay in range.
func sequence(v []byte) uint64 {
	n, err := strconv.ParseUint(string(v), 10, 63)
	if err != nil {
		return 0
	}
	return n
}

// name is text as a name to count under.
func name(text []byte, missing string) string {
	switch {
	case len(text) == 0:
		return missing
	case len(text) > MaxNameBytes || !visible.Safe(string(text)):
		return visible.Cut(string(text), MaxNameBytes)
	}
	return string(text)
}
