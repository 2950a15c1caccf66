// Package fields reads from one record what people ask of it: when it happened, how severe it is, which program wrote it, and what it says.
//
// A [View] is made of one line of JSON by [View.Scan], which notes where the values of known names stand and decodes nothing. Each answer is
// worked out when it is asked for:
//
//	var v fields.View
//	if err := v.Scan(line); err != nil { ... }
//	severity, service := v.Severity(), v.Service()
//
// Names are tried in a fixed order (names.go). What they do not give is looked for in the text of the record: its beginning (head.go), the
// key=value pairs or the JSON object in it, and the status of the HTTP request that it reports (request.go). The rules are general ones
// that many programs keep; there is no list of programs. docs/fields.md describes them.
//
// [View.FindTime] does the same for the time of a line of a log file, and [Pattern] for times in a form that a person names.
//
// The record is never changed, unknown is never taken for a value, and nothing panics or grows with a hostile record: how deep, how far and
// how often is looked has bounds.
package fields
