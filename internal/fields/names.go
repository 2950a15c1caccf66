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
// Names are in small letters, without underscores and hyphens: that is how they are compared. A dot stands for an object within an
// object as well as for itself.
var (
	timeNames = []string{
		"timeunixnano", "timestamp", "@timestamp", "time", "@t", "ts", "t", "datetime", "date", "eventtime", "eventtimestamp",
		"asctime", "isodate", "sourcerealtimetimestamp", "realtimetimestamp",
		"timestamp.$date", "time.$date", "t.$date", "ts.$date", "date.$date", "timestamp.seconds", "timestampseconds",
		"instant.epochsecond", "time.timestamp", "timemillis", "timestampms", "epochmillis", "epoch", "unixtime", "dt",
		"timecreated", "timecreated.systemtime", "systemtime", "utctime", "timereported", "timegenerated",
		"timeiso8601", "timelocal", "msec", "starttime", "startutc", "startlocal", "logtime", "logtimestamp", "logdate",
		"created", "event.created", "creationtime", "createdat", "published", "requestreceivedtimestamp", "lasttimestamp",
		"receivetimestamp", "observedtimeunixnano", "observedtimestamp",
	}
	severityNames = []string{
		"severitynumber", "severity", "severitytext", "level", "loglevel", "log.level", "lvl", "levelname", "level.name", "@l", "@level",
		"severitylabel", "log.severity", "logseverity", "errorseverity", "leveldisplayname", "sev", "body.severity", "body.level",
		"log.syslog.severity.name", "syslogseveritytext", "syslog.severity.name", "syslog.severitylabel",
		"PRIORITY", "priority", "prio", "syslogseverity", "syslogseveritycode", "syslog.severity", "syslog.severity.code", "log.syslog.severity.code", "pri",
		"levelno", "level.no", "levelvalue", "severitylevel", "messagetype", "label", "s", "at", "status", "type",
	}
	serviceNames = []string{
		"resource.service.name", "resource.service", "attributes.service.name", "attributes.service", "service.name", "service", "servicename",
		"dd.service", "servicecontext.service",
		"resource.labels.servicename", "resource.labels.configurationname", "resource.labels.functionname", "resource.labels.moduleid",
		"resource.labels.containername",
		"kubernetes.labels.app.kubernetes.io/name", "kubernetes.labels.appkubernetesio/name", "kubernetes.labels.app", "kubernetes.labels.k8sapp",
		"labels.app.kubernetes.io/name", "labels.service", "labels.app", "labels.k8spod/app",
		"kubernetes.containername", "kubernetes.container.name", "resource.k8s.container.name", "resource.k8s.deployment.name",
		"attributes.k8s.container.name",
		"app", "app.name", "appname", "application", "application.name", "applicationname", "component",
		"containername", "container.name", "attrs.tag",
		"syslogidentifier", "syslog.identifier", "syslog.appname", "log.syslog.appname", "programname", "program", "ident", "syslogtag",
		"systemdunit", "systemd.unit", "systemduserunit", "comm", "process.name",
		"providername", "provider.name", "sourcename", "eventsource", "tag",
		"name", "logger", "loggername", "log.logger", "@module", "target",
	}
	textNames = []string{
		"body.stringvalue", "body", "message", "msg", "@m", "renderedmessage", "@message", "@mt", "messagetemplate", "log",
		"textpayload", "eventmessage", "shortmessage", "fullmessage", "text", "event", "body.message", "body.msg",
		"event.original", "log.original", "output", "note", "line", "error.message",
	}
	statusNames = []string{ // "status" is among the severities
		"statuscode", "http.response.statuscode", "http.statuscode", "responsecode", "downstreamstatus", "originstatus",
		"httprequest.status", "res.statuscode", "response.status", "response.statuscode", "response", "httpstatus", "httpstatuscode", "scstatus",
		"attributes.http.response.statuscode", "attributes.http.statuscode",
	}
	// requestNames say that a record is about an HTTP request.
	requestNames = []string{
		"method", "requestmethod", "http.request.method", "http.method", "httpmethod", "httprequest.requestmethod", "req.method",
		"request.method", "csmethod", "verb", "request", "requesturi", "requestpath", "request.uri", "url", "uri", "path", "url.path",
		"url.original", "attributes.http.request.method", "attributes.http.method", "attributes.url.path",
	}
	otherNames = []string{"timestamp.nanos", "timestampnanos", "instant.nanoofsecond", "eventid", "attributes.sluice.emitter", "attributes.sluice.seq"}
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
	"kubernetes": "kubernetes", "kubernetes.labels": "kubernetes.labels", "kubernetes.container": "kubernetes.container",
	"labels": "labels", "tags": "labels", "container": "container", "attrs": "attrs", "process": "process", "provider": "provider",
	"level": "level", "time": "time", "timestamp": "timestamp", "instant": "instant", "t": "t", "ts": "ts", "date": "date",
	"timecreated": "timecreated", "error": "error", "url": "url",
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
		if _, twice := slotOf[name]; twice || len(nameOf) == mostSlots {
			panic("too many names, or twice " + name) // a mistake in this package
		}
		slotOf[name] = slot(len(nameOf))
		nameOf = append(nameOf, name)
	}
	s.to = slot(len(nameOf))
	return s
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
