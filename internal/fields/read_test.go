package fields_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/fields"
)

func view(t *testing.T, line string) *fields.View {
	t.Helper()
	var v fields.View
	if err := v.Scan([]byte(line)); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return &v
}

func TestEachSeverityHasOneMeaning(t *testing.T) {
	for want, values := range map[fields.Severity][]string{
		fields.Trace:     {`"trace"`, `"Verbose"`, `"FINEST"`, `10`, `"10"`, `"T"`},
		fields.Debug:     {`"debug"`, `"dbug"`, `20`, `"D"`, `7`, `100`, `"Fine"`},
		fields.Info:      {`"info"`, `"INFO"`, `"Information"`, `"I"`, `30`, `"30"`, `6`, `9`, `200`, `20000`, `"[info]"`},
		fields.Notice:    {`"notice"`, `5`, `"INFO2"`, `"INFO+1"`, `250`},
		fields.Warn:      {`"warn"`, `"Warning"`, `"WRN"`, `40`, `4`, `13`, `300`, `"W"`},
		fields.Error:     {`"error"`, `"ERROR"`, `"Err"`, `"E"`, `"eror"`, `50`, `"50"`, `3`, `"3"`, `"<3>"`, `17`, `400`, `"SEVERE"`, `" error "`, `40000`},
		fields.Error + 1: {`"dpanic"`, `"ERROR2"`, `18`},
		fields.Fatal:     {`"fatal"`, `"CRITICAL"`, `"crit"`, `"Alert"`, `"Emergency"`, `"emerg"`, `"panic"`, `60`, `0`, `2`, `21`, `"ERROR+4"`, `"F"`, `500`, `600`},
		fields.Unknown:   {`"banana"`, `""`, `null`, `true`, `{}`, `[]`, `-1`, `25`, `1e9`, `2.5`, `"errors were found"`, `"DEFAULT"`},
	} {
		for _, value := range values {
			for _, name := range []string{"level", "LogLevel", "log.level"} {
				if got := view(t, `{"`+name+`":`+value+`}`).Severity(); got != want {
					t.Errorf("%s %s is %d, want %d", name, value, got, want)
				}
			}
			if got := view(t, `{"log":{"level":`+value+`}}`).Severity(); got != want {
				t.Errorf("%s within log is %d, want %d", value, got, want)
			}
		}
	}
	for line, want := range map[string]fields.Severity{
		`{"severity_number":3,"level":"error"}`:   3,
		`{"severityNumber":0,"level":"error"}`:    fields.Error, // OpenTelemetry's "unspecified"
		`{"PRIORITY":"11"}`:                       fields.Error,
		`{"priority":1}`:                          fields.Unknown,
		`{"priority":"Warning"}`:                  fields.Warn,
		`{"levelno":40}`:                          fields.Error,
		`{"severity":500}`:                        fields.Error,
		`{"severity":0}`:                          fields.Fatal, // syslog's
		`{"severityLevel":0}`:                     fields.Trace,
		`{"level":"ok","lvl":"warn"}`:             fields.Warn,
		`{"status":"error"}`:                      fields.Error,
		`{"status":"success"}`:                    fields.Unknown,
		`{"status":500}`:                          fields.Unknown, // of what?
		`{"status":500,"method":"GET"}`:           fields.Error,
		`{"status":"302","url":"/"}`:              fields.Info,
		`{"status":500,"url":"/","level":"info"}`: fields.Info,
		`{"type":"error"}`:                        fields.Error,
		`{"type":"log"}`:                          fields.Unknown,
		`{"@t":"2024-01-01T10:00:00Z"}`:           fields.Info,
		`{"s":"E"}`:                               fields.Unknown,
	} {
		if got := view(t, line).Severity(); got != want {
			t.Errorf("%s is %d, want %d", line, got, want)
		}
	}
}

func TestFormsOfTimes(t *testing.T) {
	const whole = "2024-01-31T10:00:00Z"
	for want, values := range map[string][]string{
		whole: {
			`"2024-01-31T10:00:00Z"`, `"2024-01-31T10:00:00+00:00"`, `"2024-01-31 10:00:00"`, `"2024-01-31T11:00:00+0100"`, `"2024-01-31T11:00:00+01"`,
			`"2024-01-31 05:30:00 -0430"`, `"2024-01-31T10:00Z"`, `"20240131T100000Z"`, `"2024-01-31t10:00:00z"`, `"2024-01-31 10:00:00 UTC"`, `"2024-01-31 11:00:00 CET"`,
			`"31/Jan/2024:05:00:00 -0500"`, `"Wed, 31 Jan 2024 10:00:00 GMT"`, `"Wed, 31 Jan 2024 11:00:00 +0100"`, `"Wednesday, 31-Jan-24 10:00:00 GMT"`,
			`"Wed Jan 31 10:00:00 2024"`, `"Wed Jan 31 10:00:00 UTC 2024"`, `"Wed Jan 31 02:00:00 PST 2024"`, `"Jan 31, 2024 10:00:00 AM"`, `"31-Jan-2024 10:00:00"`,
			`"2024/01/31 10:00:00"`, `"31.01.2024 10:00:00"`, `"1/31/2024 10:00:00 AM"`, `"31/01/2024 10:00:00"`, `"Jan 31 10:00:00 2024"`,
			`1706695200`, `"1706695200"`, `1706695200000`, `1706695200000000`, `"1706695200000000000"`, `1.7066952e9`, `1706695200.0`, `"[2024-01-31 10:00:00]"`,
			`{"$date":"2024-01-31T10:00:00Z"}`, `{"$date":1706695200000}`, `{"seconds":1706695200}`,
		},
		"2024-01-31T10:00:00.123Z":       {`"2024-01-31 10:00:00,123"`, `1706695200.123`, `1706695200123`, `"31/Jan/2024:10:00:00.123 +0000"`, `"2024/01/31 10:00:00.123"`, `{"seconds":"1706695200","nanos":123000000}`},
		"2024-01-31T10:00:00.123456789Z": {`"2024-01-31T10:00:00.123456789Z"`, `1706695200123456789`, `"2024-01-31T10:00:00.123456789123Z"`},
		"":                               {`"yesterday"`, `""`, `0`, `5`, `0.25`, `-1706695200`, `"0001-01-01T00:00:00Z"`, `"2024-02-30T10:00:00Z"`, `"2024-01-31T25:00:00Z"`, `null`, `{}`, `true`, `123456789012345678901`},
	} {
		for _, value := range values {
			at, ok := view(t, `{"timestamp":`+value+`}`).Time(now)
			if got := at.Format(time.RFC3339Nano); ok != (want != "") || ok && got != want {
				t.Errorf("%s is %s (%v), want %q", value, got, ok, want)
			}
		}
	}
}

func TestTheYearIsTheLastOneThatMayBe(t *testing.T) {
	for _, tt := range []struct{ now, text, want string }{
		{"2024-01-01T00:05:00Z", "Dec 31 23:59:59", "2023-12-31T23:59:59Z"},
		{"2023-12-31T23:59:00Z", "Jan  1 00:00:01", "2024-01-01T00:00:01Z"},
		{"2025-03-01T00:00:00Z", "Feb 29 10:00:00", "2024-02-29T10:00:00Z"},
		{"2026-11-30T00:00:00Z", "May 14 10:00:00", "2026-05-14T10:00:00Z"},
		{"2026-11-30T00:00:00Z", "Jan  1 10:00:00", "2026-01-01T10:00:00Z"},
		{"2026-11-30T00:00:00Z", "Dec  5 10:00:00", "2025-12-05T10:00:00Z"},
		{"2026-11-30T23:00:00Z", "Dec  1 05:00:00", "2026-12-01T05:00:00Z"},
		{"2024-07-01T00:00:00Z", "Jul  1 00:00:00", "2024-07-01T00:00:00Z"},
		{"2024-01-02T00:05:00Z", "23:59:59 [info] x", "2024-01-01T23:59:59Z"},
	} {
		now, _ := time.Parse(time.RFC3339, tt.now)
		at, ok := view(t, `{"body":"`+tt.text+`"}`).Time(now)
		if got := at.Format(time.RFC3339); !ok || got != tt.want {
			t.Errorf("%s at %s is %s, want %s", tt.text, tt.now, got, tt.want)
		}
	}
}

func TestOrderOfNames(t *testing.T) {
	for line, want := range map[string]string{
		`{"resource":{"service.name":"a"},"service":"b"}`:                            "a",
		`{"service":{"name":"a","version":"1"},"name":"b","level":30}`:               "a",
		`{"fields":{"service":"inner"},"service":"outer"}`:                           "outer",
		`{"fields":{"service":"inner"}}`:                                             "inner",
		`{"service":"","app":"a"}`:                                                   "a",
		`{"SYSLOG_IDENTIFIER":"a","_SYSTEMD_UNIT":"b.service"}`:                      "a",
		`{"_SYSTEMD_UNIT":"b.service","_COMM":"c"}`:                                  "b",
		`{"container_name":"/web","SYSLOG_IDENTIFIER":"0123456789ab"}`:               "web",
		`{"logger":"com.acme.Shop"}`:                                                 "",
		`{"logger":"root"}`:                                                          "",
		`{"logger":"payments"}`:                                                      "payments",
		`{"name":"payments"}`:                                                        "",
		`{"name":"payments","level":30}`:                                             "payments",
		`{"target":"shop::http","level":"INFO"}`:                                     "shop",
		`{"kubernetes":{"labels":{"app":"a"},"container_name":"c"}}`:                 "a",
		`{"service":"a","body":"<11>Jan  1 10:00:00 h app: x"}`:                      "a",
		`{"resource":[{"key":"service.name","value":{"stringValue":"a"}}]}`:          "a",
		`{"resource":{"attributes":[{"key":"service.name","value":"a"},{"key":1}]}}`: "a",
		`{"service":7}`: "",
	} {
		if got := string(view(t, line).Service()); got != want {
			t.Errorf("%s is of %q, want %q", line, got, want)
		}
	}
}

func TestEmitter(t *testing.T) {
	v := view(t, `{"attributes":{"sluice.seq":12,"sluice.emitter":"e\u0031"}}`)
	if id, n := v.Emitter(); string(id) != "e1" || n != 12 {
		t.Errorf("emitter %q, number %d; want e1, 12", id, n)
	}
	for _, line := range []string{`{}`, `{"attributes":{"sluice.seq":"12","sluice.emitter":7}}`, `{"sluice.seq":12,"sluice.emitter":"e"}`, `{"attributes":{"sluice.seq":-1}}`, `{"attributes":{"sluice.seq":18446744073709551615}}`} {
		if id, n := view(t, line).Emitter(); len(id) > 0 || n != 0 {
			t.Errorf("%s: emitter %q, number %d; want none", line, id, n)
		}
	}
}

// Records within records within records are looked into so far and no further, and a long line costs no more than a short one.
func TestWhatIsReadIsBounded(t *testing.T) {
	line := `{"level":"error"}`
	for range 10 {
		line = fmt.Sprintf(`{"log":%q}`, line)
	}
	if got := view(t, line).Severity(); got != fields.Unknown {
		t.Errorf("ten records deep the severity is %v, want unknown", got)
	}
	v := view(t, `{"body":"`+strings.Repeat("x ", 500)+`[error] 2024-01-31 10:00:00"}`)
	if _, ok := v.Time(now); ok || v.Severity() != fields.Unknown {
		t.Error("a time or a severity far behind the beginning of the text was read")
	}
	deep := strings.Repeat(`{"fields":`, 200) + `{"level":"error"}` + strings.Repeat("}", 200)
	if got := view(t, deep).Severity(); got != fields.Unknown {
		t.Errorf("200 objects deep the severity is %v, want unknown", got)
	}
}
