package sluice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Record is one log record. The names follow the OpenTelemetry log data model; every field may be missing.
type Record struct {
	Timestamp  time.Time      // when it happened; zero where the record does not say
	Severity   string         // as sent, e.g. "INFO"; empty where the record does not say
	Body       any            // mostly a string
	Resource   map[string]any // who said it, e.g. "service.name"
	Attributes map[string]any // about this one event
	Extra      map[string]any // fields with other names, kept as they came
}

// The aliases that well-known agents use for the fields above, in the order in which they are tried.
var (
	timestampNames = []string{"timestamp", "time", "@timestamp", "date", "ts"}
	severityNames  = []string{"severity", "severity_text", "level", "loglevel", "log.level"}
	bodyNames      = []string{"body", "message", "msg", "log"}
	serviceNames   = []string{"service.name", "service"}
)

// Service names who sent the record: service.name of the resource, else of the attributes or of the record itself; empty
// where nothing says so.
func (r *Record) Service() string {
	for _, fields := range []map[string]any{r.Resource, r.Attributes, r.Extra} {
		for _, name := range serviceNames {
			if s, ok := fields[name].(string); ok && s != "" {
				return s
			}
		}
	}
	return ""
}

// UnmarshalJSON reads one JSON object. Any well-formed object is a record: a field whose value is not of the usual type
// is kept under Extra, and timestamp, severity and body are also found under the names that common agents give them
// (time, level, message, ...). Numbers outside those fields are kept as json.Number, so that they lose no digit.
func (r *Record) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	*r = Record{}
	take(fields, timestampNames, func(v any) (ok bool) { r.Timestamp, ok = parseTime(v); return ok })
	take(fields, severityNames, func(v any) (ok bool) { r.Severity, ok = v.(string); return ok })
	take(fields, bodyNames, func(v any) bool { r.Body = v; return v != nil })
	take(fields, []string{"resource"}, func(v any) (ok bool) { r.Resource, ok = v.(map[string]any); return ok })
	take(fields, []string{"attributes"}, func(v any) (ok bool) { r.Attributes, ok = v.(map[string]any); return ok })
	if len(fields) > 0 {
		r.Extra = fields
	}
	return nil
}

// take hands the first present field that use accepts over and removes it from the rest.
func take(fields map[string]any, names []string, use func(any) bool) {
	for _, name := range names {
		if v, ok := fields[name]; ok && use(v) {
			delete(fields, name)
			return
		}
	}
}

// MarshalJSON writes the record as one JSON object without line breaks. Empty fields are left out; a field of Extra never
// hides one of the named fields.
func (r Record) MarshalJSON() ([]byte, error) {
	fields := make(map[string]any, len(r.Extra)+5)
	for name, v := range r.Extra {
		fields[name] = v
	}
	if !r.Timestamp.IsZero() {
		fields["timestamp"] = r.Timestamp.UTC().Format(time.RFC3339Nano)
	}
	if r.Severity != "" {
		fields["severity"] = r.Severity
	}
	if r.Body != nil {
		fields["body"] = r.Body
	}
	if len(r.Resource) > 0 {
		fields["resource"] = r.Resource
	}
	if len(r.Attributes) > 0 {
		fields["attributes"] = r.Attributes
	}
	return json.Marshal(fields)
}

// parseTime reads RFC 3339 text, or a count since 1970 whose unit follows from its size: seconds, milliseconds,
// microseconds or nanoseconds. The bounds between the units lie around the year 5138 of the smaller unit.
func parseTime(v any) (time.Time, bool) {
	switch v := v.(type) {
	case string:
		t, err := time.Parse(time.RFC3339Nano, v)
		return t, err == nil
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return epoch(n), true
		}
		f, err := v.Float64()
		if err != nil || f < 0 || f >= 1e11 { // only seconds are usual with a fraction
			return time.Time{}, false
		}
		return time.Unix(0, int64(f*1e9)).UTC(), true
	}
	return time.Time{}, false
}

func epoch(n int64) time.Time {
	switch {
	case n < 1e11:
		return time.Unix(n, 0).UTC()
	case n < 1e14:
		return time.UnixMilli(n).UTC()
	case n < 1e17:
		return time.UnixMicro(n).UTC()
	}
	return time.Unix(0, n).UTC()
}
