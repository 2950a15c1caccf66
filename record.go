package sluice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluicehq/sluice/internal/fields"
)

// Record is one log record. The names follow the OpenTelemetry log data model; every field may be missing.
type Record struct {
	Timestamp      time.Time      // when it happened; zero where the record does not say
	Severity       string         // TRACE, DEBUG, INFO, WARN, ERROR or FATAL once it was read; empty where the record does not say
	SeverityNumber int            // 1 to 24, as OpenTelemetry counts: four for each of these names; 0 where the record does not say
	Body           any            // mostly a string
	Resource       map[string]any // who said it, e.g. "service.name"
	Attributes     map[string]any // about this one event
	Extra          map[string]any // fields with other names, kept as they came
}

// Service names the program that wrote the record; empty where nothing says so. The names under which it is looked for, and their order, are in
// docs/fields.md.
func (r *Record) Service() string {
	line, err := r.MarshalJSON()
	if err != nil {
		return ""
	}
	var v fields.View
	if v.Scan(line) != nil {
		return ""
	}
	return string(v.Service())
}

// UnmarshalJSON reads one JSON object. Any well-formed object is a record. Time, severity and body are found under the names, and in the
// forms, of common programs: docs/fields.md lists them. A member from which one of the three was taken as a whole is not in Extra; a time or
// a severity that an object within the record or its text says is read too, and stays where it is. Numbers outside those fields are kept
// as json.Number, so that they lose no digit.
func (r *Record) UnmarshalJSON(b []byte) error { return r.read(b, time.Now()) }

// read reads one JSON object. A time without a year is the one nearest to now.
func (r *Record) read(b []byte, now time.Time) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	*r = Record{}
	if members == nil { // null
		return nil
	}
	var v fields.View
	if err := v.Scan(b); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if at, ok := v.Time(now); ok {
		r.Timestamp = at
		if key, whole := v.TimeKey(); whole {
			delete(members, key)
		}
	}
	if s := v.Severity(); s != fields.Unknown {
		r.Severity, r.SeverityNumber = s.String(), int(s)
		if key, whole := v.SeverityKey(); whole {
			delete(members, key)
		}
	}
	v.Text()
	if key, whole := v.TextKey(); whole {
		r.Body = members[key]
		delete(members, key)
	}
	take(members, "resource", &r.Resource)
	take(members, "attributes", &r.Attributes)
	if len(members) > 0 {
		r.Extra = members
	}
	return nil
}

// take moves a member that is an object out of the others.
func take(members map[string]any, name string, into *map[string]any) {
	if object, ok := members[name].(map[string]any); ok {
		*into = object
		delete(members, name)
	}
}

// MarshalJSON writes the record as one JSON object without line breaks. Empty fields are left out; a field of Extra never
// hides one of the named fields.
func (r Record) MarshalJSON() ([]byte, error) {
	members := make(map[string]any, len(r.Extra)+5)
	for name, v := range r.Extra {
		members[name] = v
	}
	if !r.Timestamp.IsZero() {
		members["timestamp"] = r.Timestamp.UTC().Format(time.RFC3339Nano)
	}
	if r.Severity != "" {
		members["severity"] = r.Severity
	}
	if r.SeverityNumber > 0 && r.SeverityNumber != int(fields.ParseSeverity(r.Severity)) {
		members["severity_number"] = r.SeverityNumber
	}
	if r.Body != nil {
		members["body"] = r.Body
	}
	if len(r.Resource) > 0 {
		members["resource"] = r.Resource
	}
	if len(r.Attributes) > 0 {
		members["attributes"] = r.Attributes
	}
	return json.Marshal(members)
}
