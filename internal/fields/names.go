package fields

import "slices"

// slot is a place for the value of one name. Slots of one question stand together, in the order in which they are asked.
type slot uint16

const (
	mostSlots      = 256
	noSlot    slot = mostSlots
)

// The questions that a record is asked. The order within each list is the order in which names are tried, and docs/fields.md lists it.
//
// Case, underscores and hyphens make no difference. A dot stands for an object within an object as well as for itself.
var (
	timeNames = []string{
		"timeUnixNano", "timestamp", "@timestamp", "time", "@t", "ts", "t", "datetime", "date", "eventTime", "event_timestamp",
		"asctime", "isodate", "_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP",
		"timestamp.$date", "time.$date", "t.$date", "ts.$date", "date.$date", "timestamp.seconds", "timestampSeconds",
		"instant.epochSecond", "time.timestamp", "timeMillis", "timestamp_ms", "epoch_millis", "epoch", "unix_time", "dt",
		"TimeCreated", "TimeCreated.SystemTime", "SystemTime", "UtcTime", "timereported", "timegenerated",
		"time_iso8601", "time_local", "msec", "start_time", "StartUTC", "StartLocal", "log_time", "log_timestamp", "log_date",
		"created", "event.created", "CreationTime", "created_at", "published", "requestReceivedTimestamp", "requestTime", "requestTimeEpoch", "lastTimestamp",
		"EdgeStartTimestamp", "attributes.timestamp", "event.timestamp", "receiveTimestamp", "observedTimeUnixNano", "observed_timestamp",
	}
	severityNames = []string{
		"severity_number", "severity", "severity_text", "level", "loglevel", "log.level", "lvl", "level_name", "level.name", "@l", "@level",
		"severity_label", "log.severity", "log_severity", "error_severity", "LevelDisplayName", "sev", "attributes.severity", "attributes.level", "body.severity", "body.level", "event.level",
		"log.syslog.severity.name", "syslogseverity-text", "syslog.severity.name", "syslog.severity_label",
		"PRIORITY", "priority", "label", "prio", "syslogseverity", "syslog_severity_code", "syslog.severity", "syslog.severity.code", "log.syslog.severity.code", "pri",
		"levelno", "level.no", "level_value", "severityLevel", "messageType", "s", "at", "status", "attributes.status", "type",
	}
	serviceNames = []string{
		"resource.service.name", "resource.service", "attributes.service.name", "attributes.service", "service.name", "service", "service_name", "event.service",
		"dd.service", "serviceContext.service",
		"resource.labels.service_name", "resource.labels.configuration_name", "resource.labels.function_name", "resource.labels.module_id",
		"resource.labels.container_name",
		"kubernetes.labels.app.kubernetes.io/name", "kubernetes.labels.app_kubernetes_io/name", "kubernetes.labels.app", "kubernetes.labels.k8s-app",
		"kubernetes.pod_labels.app.kubernetes.io/name", "kubernetes.pod_labels.app",
		"labels.app.kubernetes.io/name", "labels.service", "labels.app", "labels.k8s-pod/app",
		"kubernetes.container_name", "kubernetes.container.name", "resource.k8s.container.name", "resource.k8s.deployment.name",
		"attributes.k8s.container.name",
		"cloud_RoleName", "AppRoleName", "labels.ai.cloud.role", "app", "app.name", "app_name", "application", "application.name", "application_name", "component",
		"container_name", "container.name", "attrs.tag",
		"SYSLOG_IDENTIFIER", "syslog.identifier", "syslog.appname", "log.syslog.appname", "programname", "program", "ident", "syslogtag",
		"_SYSTEMD_UNIT", "systemd.unit", "_SYSTEMD_USER_UNIT", "_COMM", "process.name",
		"ProviderName", "provider.name", "SourceName", "eventSource", "tag",
		"name", "logger", "logger_name", "log.logger", "@module", "target",
	}
	textNames = []string{
		"body.stringValue", "body", "message", "msg", "@m", "RenderedMessage", "@message", "@mt", "MessageTemplate", "log",
		"textPayload", "eventMessage", "short_message", "full_message", "text", "event", "body.message", "body.msg",
		"event.message", "event.msg", "attributes.message", "event.original", "log.original", "output", "note", "line", "error.message",
	}
	statusNames = []string{ // "status" is among the severities
		"status_code", "http.response.status_code", "http.status_code", "response_code", "DownstreamStatus", "OriginStatus",
		"httpRequest.status", "res.statusCode", "response.status", "response.status_code", "response", "response_status", "http_status", "http_status_code", "sc-status", "EdgeResponseStatus",
		"attributes.http.response.status_code", "attributes.http.status_code",
	}
	// requestNames say that a record is about an HTTP request.
	requestNames = []string{
		"method", "request_method", "http.request.method", "http.method", "http_method", "httpRequest.requestMethod", "req.method",
		"request.method", "cs-method", "ClientRequestMethod", "verb", "request", "req", "request_uri", "request_path", "request.uri", "url", "uri", "path", "url.path",
		"url.original", "attributes.http.request.method", "attributes.http.method", "attributes.url.path",
	}
	otherNames = []string{"timestamp.nanos", "timestampNanos", "instant.nanoOfSecond", "EventID", "reqId", "srcIP", "dstIP", "id.orig_h", "id.resp_h", "attributes.sluice.emitter", "attributes.sluice.seq"}
)

// containers are the objects that are looked into, and the names under which their members are known: none for those that only wrap a
// record.
var containers = map[string]string{
	"resource": "resource", "resource.attributes": "resource", "resource.labels": "resource.labels", "attributes": "attributes",
	"resourcelogs": "", "scopelogs": "", "logrecords": "", "instrumentationlibrarylogs": "",
	"jsonpayload": "", "fields": "", "@fields": "", "record": "", "source": "", "winlog": "", "event.system": "", "properties": "",
	"body": "body", "event": "event", "system": "", "log": "log", "log.syslog": "log.syslog", "log.syslog.severity": "log.syslog.severity",
	"syslog": "syslog", "syslog.severity": "syslog.severity", "journald": "", "systemd": "systemd",
	"service": "service", "servicecontext": "servicecontext", "dd": "dd", "app": "app", "application": "application",
	"kubernetes": "kubernetes", "kubernetes.labels": "kubernetes.labels", "kubernetes.podlabels": "kubernetes.podlabels", "protopayload": "", "logevents": "", "records": "", "kubernetes.container": "kubernetes.container",
	"labels": "labels", "tags": "labels", "container": "container", "attrs": "attrs", "process": "process", "provider": "provider",
	"level": "level", "time": "time", "timestamp": "timestamp", "instant": "instant", "t": "t", "ts": "ts", "date": "date",
	"timecreated": "timecreated", "timecreated.#attributes": "timecreated", "provider.#attributes": "provider", "error": "error", "url": "url",
	"httprequest": "httprequest", "http": "http", "http.response": "http.response", "http.request": "http.request",
	"attributes.http": "attributes.http", "req": "req", "res": "res", "request": "request", "response": "response",
}

// span is the slots of one question.
type span struct{ from, to slot }

var (
	slotOf   = map[string]slot{}
	nameOf   []string
	inside   = map[string]int8{} // containers by their full names: index of the prefix of their members
	prefixes = []string{""}

	timeSlots     = add(timeNames)
	severitySlots = add(severityNames)
	serviceSlots  = add(serviceNames)
	textSlots     = add(textNames)
	statusSlots   = add(statusNames)
	requestSlots  = add(requestNames)
	_             = add(otherNames)
)

// add gives slots to the names of a question.
func add(names []string) span {
	s := span{from: slot(len(nameOf))}
	for _, name := range names {
		if name != slotPriorityName {
			name = string(normal(nil, []byte(name)))
		}
		if _, twice := slotOf[name]; twice || len(nameOf) == mostSlots {
			panic("too many names, or twice " + name) // a mistake in this package
		}
		slotOf[name] = slot(len(nameOf))
		nameOf = append(nameOf, name)
	}
	s.to = slot(len(nameOf))
	return s
}

// slotPriorityName is compared as it is: the journal's is a number, and priority elsewhere is mostly something else.
const slotPriorityName = "PRIORITY"

// normal appends a name in the form in which names are compared.
func normal(out, name []byte) []byte {
	for _, c := range name {
		switch {
		case c-'A' <= 'Z'-'A':
			out = append(out, c|0x20)
		case c != '_' && c != '-':
			out = append(out, c)
		}
	}
	return out
}

func slotNamed(name string) slot {
	s, ok := slotOf[name]
	if !ok {
		panic("no slot is named " + name) // a mistake in this package
	}
	return s
}

func init() {
	for name, members := range containers {
		if members != "" {
			members += "."
		}
		at := slices.Index(prefixes, members)
		if at < 0 {
			at = len(prefixes)
			prefixes = append(prefixes, members)
		}
		inside[name] = int8(at)
	}
}
