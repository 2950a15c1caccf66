package fields_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/fields"
)

// now is when the samples are read. Times without a year are before it.
var now = time.Date(2024, 1, 2, 12, 0, 0, 0, time.UTC)

// samples are records and lines of other programs, in their documented formats. A line that is no JSON object is the body of a record, as it is
// where it comes in as text. An empty time stands for none, and an empty text for the whole line.
var samples = []struct {
	program, line string
	time          string
	severity      fields.Severity
	service, text string
}{
	// Objects.
	{"journald", `{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1704103200123456","_BOOT_ID":"b","PRIORITY":"3","SYSLOG_FACILITY":"10","SYSLOG_IDENTIFIER":"sshd","_SYSTEMD_UNIT":"ssh.service","_COMM":"sshd","_PID":"4711","_HOSTNAME":"web1","_TRANSPORT":"syslog","MESSAGE":"error: maximum authentication attempts exceeded"}`,
		"2024-01-01T10:00:00.123456Z", fields.Error, "sshd", "error: maximum authentication attempts exceeded"},
	{"journald, a unit", `{"_SOURCE_REALTIME_TIMESTAMP":"1704103200000001","__REALTIME_TIMESTAMP":"1704103200000099","PRIORITY":"6","_SYSTEMD_UNIT":"nginx.service","_COMM":"nginx","MESSAGE":"ready"}`,
		"2024-01-01T10:00:00.000001Z", fields.Info, "nginx", "ready"},
	{"journald, bytes", `{"__REALTIME_TIMESTAMP":"1704103200000000","PRIORITY":"4","_COMM":"app","MESSAGE":[104,105,32,255]}`,
		"2024-01-01T10:00:00Z", fields.Warn, "app", "hi \ufffd"},
	{"journald, nothing said", `{"__REALTIME_TIMESTAMP":"1704103200000000","_COMM":"app","MESSAGE":null}`, "2024-01-01T10:00:00Z", 0, "app", ""},
	{"pino", `{"level":50,"time":1704103200123,"pid":4711,"hostname":"web1","name":"checkout","msg":"payment failed"}`,
		"2024-01-01T10:00:00.123Z", fields.Error, "checkout", "payment failed"},
	{"bunyan", `{"name":"myapp","hostname":"banana.local","pid":40161,"level":30,"msg":"hi","time":"2013-01-04T18:46:23.851Z","v":0}`,
		"2013-01-04T18:46:23.851Z", fields.Info, "myapp", "hi"},
	{"bunyan, fatal", `{"name":"myapp","hostname":"h","pid":1,"level":60,"msg":"bye","time":"2024-01-01T10:00:00.000Z","v":0}`,
		"2024-01-01T10:00:00Z", fields.Fatal, "myapp", "bye"},
	{"docker, json-file", `{"log":"listening on 80\n","stream":"stdout","time":"2024-01-01T10:00:00.123456789Z"}`,
		"2024-01-01T10:00:00.123456789Z", 0, "", "listening on 80\n"},
	{"docker, an object within", `{"log":"{\"level\":\"error\",\"service\":\"api\",\"msg\":\"no\"}\n","stream":"stderr","time":"2024-01-01T10:00:00Z"}`,
		"2024-01-01T10:00:00Z", fields.Error, "api", "no"},
	{"fluent-bit in Kubernetes", `{"date":1704103200.123456,"log":"2024-01-01T10:00:00.123456789Z stderr F WARN disk is nearly full","kubernetes":{"pod_name":"api-7d9f","namespace_name":"shop","container_name":"server","labels":{"app.kubernetes.io/name":"api","pod-template-hash":"7d9f"}}}`,
		"2024-01-01T10:00:00.123456Z", fields.Warn, "api", "2024-01-01T10:00:00.123456789Z stderr F WARN disk is nearly full"},
	{"Kubernetes, container only", `{"message":"x","kubernetes":{"container":{"name":"sidecar"},"pod":{"name":"p"}},"@timestamp":"2024-01-01T10:00:00.000Z"}`,
		"2024-01-01T10:00:00Z", 0, "sidecar", "x"},
	{"zap", `{"level":"info","ts":1704103200.1234567,"logger":"payments","caller":"app/main.go:12","msg":"started"}`,
		"2024-01-01T10:00:00.1234567Z", fields.Info, "payments", "started"},
	{"zap, dpanic", `{"level":"dpanic","ts":"2024-01-01T10:00:00.000Z","msg":"odd"}`, "2024-01-01T10:00:00Z", fields.Error + 1, "", "odd"},
	{"zap, an exponent", `{"level":"warn","ts":1.7041032e+09,"msg":"m"}`, "2024-01-01T10:00:00Z", fields.Warn, "", "m"},
	{"logrus", `{"level":"warning","msg":"retrying","service":"mailer","time":"2024-01-01T10:00:00+01:00"}`,
		"2024-01-01T09:00:00Z", fields.Warn, "mailer", "retrying"},
	{"zerolog", `{"level":"fatal","time":1704103200,"message":"out of memory"}`, "2024-01-01T10:00:00Z", fields.Fatal, "", "out of memory"},
	{"slog", `{"time":"2024-01-01T10:00:00.5+01:00","level":"ERROR+4","msg":"x","service":{"name":"api"}}`,
		"2024-01-01T09:00:00.5Z", fields.Fatal, "api", "x"},
	{"log15", `{"lvl":"eror","msg":"failed","t":"2024-01-01T10:00:00.123456789+01:00","app":"wallet"}`,
		"2024-01-01T09:00:00.123456789Z", fields.Error, "wallet", "failed"},
	{"log15, crit", `{"lvl":"crit","msg":"m","t":"2024-01-01T10:00:00Z"}`, "2024-01-01T10:00:00Z", fields.Fatal, "", "m"},
	{"log15, dbug", `{"lvl":"dbug","msg":"m","t":"2024-01-01T10:00:00Z"}`, "2024-01-01T10:00:00Z", fields.Debug, "", "m"},
	{"hclog", `{"@level":"debug","@message":"starting","@module":"vault","@timestamp":"2024-01-01T10:00:00.000000Z"}`,
		"2024-01-01T10:00:00Z", fields.Debug, "vault", "starting"},
	{"ECS, nested", `{"@timestamp":"2024-01-01T10:00:00.123Z","log":{"level":"ERROR","logger":"com.acme.Shop"},"service":{"name":"shop"},"message":"no stock","ecs":{"version":"1.6.0"}}`,
		"2024-01-01T10:00:00.123Z", fields.Error, "shop", "no stock"},
	{"ECS, dotted", `{"@timestamp":"2024-01-01T10:00:00.123Z","log.level":"warn","service.name":"shop","message":"low stock","ecs.version":"1.2.0"}`,
		"2024-01-01T10:00:00.123Z", fields.Warn, "shop", "low stock"},
	{"Serilog", `{"Timestamp":"2024-01-01T10:00:00.1234567+01:00","Level":"Verbose","MessageTemplate":"Took {Ms}","RenderedMessage":"Took 3","Properties":{"Ms":3,"Application":"billing"}}`,
		"2024-01-01T09:00:00.1234567Z", fields.Trace, "billing", "Took 3"},
	{"CLEF", `{"@t":"2024-01-01T10:00:00.1234567Z","@mt":"Hello, {User}","User":"nblumhardt"}`, "2024-01-01T10:00:00.1234567Z", fields.Info, "", "Hello, {User}"},
	{"CLEF, error", `{"@t":"2024-01-01T10:00:00Z","@m":"it broke","@l":"Error","Application":"billing"}`, "2024-01-01T10:00:00Z", fields.Error, "billing", "it broke"},
	{"python-json-logger", `{"asctime":"2024-01-01 10:00:00,123","levelname":"CRITICAL","name":"worker","message":"gone"}`,
		"2024-01-01T10:00:00.123Z", fields.Fatal, "worker", "gone"},
	{"structlog", `{"event":"user_login","level":"info","timestamp":"2024-01-01T10:00:00.123456Z","logger":"auth"}`,
		"2024-01-01T10:00:00.123456Z", fields.Info, "auth", "user_login"},
	{"loguru", `{"text":"2024-01-01 | SUCCESS | hi\n","record":{"elapsed":{"seconds":1},"level":{"icon":"x","name":"WARNING","no":30},"message":"hi","name":"__main__","time":{"repr":"2024-01-01 10:00:00+00:00","timestamp":1704103200.25}}}`,
		"2024-01-01T10:00:00.25Z", fields.Warn, "", "hi"},
	{"GCP", `{"insertId":"a","textPayload":"boom","severity":"EMERGENCY","timestamp":"2024-01-01T10:00:00.123456789Z","resource":{"type":"k8s_container","labels":{"project_id":"p","container_name":"api"}},"logName":"projects/p/logs/stderr"}`,
		"2024-01-01T10:00:00.123456789Z", fields.Fatal, "api", "boom"},
	{"GCP, jsonPayload", `{"jsonPayload":{"message":"slow","serviceContext":{"service":"cart"}},"severity":"DEFAULT","timestamp":{"seconds":1704103200,"nanos":5000000}}`,
		"2024-01-01T10:00:00.005Z", 0, "cart", "slow"},
	{"GCP, a request", `{"httpRequest":{"requestMethod":"GET","requestUrl":"/x","status":503},"timestamp":"2024-01-01T10:00:00Z","resource":{"type":"cloud_run_revision","labels":{"service_name":"front"}}}`,
		"2024-01-01T10:00:00Z", fields.Error, "front", ""},
	{"OTLP, a record", `{"timeUnixNano":"1704103200123456789","observedTimeUnixNano":"1704103201000000000","severityNumber":17,"severityText":"Error","body":{"stringValue":"failed to charge"},"attributes":[{"key":"order","value":{"intValue":"5"}}],"resource":{"attributes":[{"key":"host.name","value":{"stringValue":"h"}},{"key":"service.name","value":{"stringValue":"pay"}}]}}`,
		"2024-01-01T10:00:00.123456789Z", fields.Error, "pay", "failed to charge"},
	{"OTLP, a request", `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"pay"}}]},"scopeLogs":[{"scope":{"name":"s"},"logRecords":[{"timeUnixNano":"1704103200000000000","severityNumber":10,"body":{"stringValue":"hello"}}]}]}]}`,
		"2024-01-01T10:00:00Z", fields.Notice, "pay", "hello"},
	{"OTLP, enum name", `{"timeUnixNano":1704103200000000000,"severityNumber":"SEVERITY_NUMBER_WARN2","body":{"stringValue":"x"}}`,
		"2024-01-01T10:00:00Z", fields.Warn + 1, "", "x"},
	{"OpenTelemetry's console exporter", `{"Timestamp":"2024-01-01T10:00:00Z","Severity":9,"SeverityText":"INFO","Body":{"Type":"String","Value":"hi"},"Resource":[{"Key":"service.name","Value":{"Type":"STRING","Value":"api"}}]}`,
		"2024-01-01T10:00:00Z", fields.Info, "api", `{"Type":"String","Value":"hi"}`},
	{"logstash-logback-encoder", `{"@timestamp":"2024-01-01T10:00:00.123+01:00","@version":"1","message":"done","logger_name":"com.acme.Main","thread_name":"main","level":"INFO","level_value":20000,"application":"ledger"}`,
		"2024-01-01T09:00:00.123Z", fields.Info, "ledger", "done"},
	{"log4j2 JsonLayout", `{"instant":{"epochSecond":1704103200,"nanoOfSecond":123000000},"thread":"main","level":"FATAL","loggerName":"com.acme.Main","message":"stop"}`,
		"2024-01-01T10:00:00.123Z", fields.Fatal, "", "stop"},
	{"Monolog", `{"message":"one","context":{},"level":400,"level_name":"ERROR","channel":"app","datetime":"2024-01-01T10:00:00.123456+00:00","extra":{}}`,
		"2024-01-01T10:00:00.123456Z", fields.Error, "", "one"},
	{"Winston", `{"level":"silly","message":"m","timestamp":"2024-01-01T10:00:00.000Z","service":"user-service"}`, "2024-01-01T10:00:00Z", fields.Trace, "user-service", "m"},
	{"MongoDB", `{"t":{"$date":"2024-01-01T10:00:00.123+01:00"},"s":"W","c":"NETWORK","id":12345,"ctx":"listener","msg":"Connection ended"}`,
		"2024-01-01T09:00:00.123Z", fields.Warn, "", "Connection ended"},
	{"GELF", `{"version":"1.1","host":"example.org","short_message":"A short message","timestamp":1704103200.307,"level":1,"_app":"shop"}`,
		"2024-01-01T10:00:00.307Z", fields.Fatal, "shop", "A short message"},
	{"Caddy", `{"level":"error","ts":1704103200.5,"logger":"http.log.access","msg":"handled request","request":{"method":"GET","uri":"/"},"status":500}`,
		"2024-01-01T10:00:00.5Z", fields.Error, "http.log.access", "handled request"},
	{"nginx as JSON", `{"time_iso8601":"2024-01-01T10:00:00+00:00","remote_addr":"1.2.3.4","request":"GET / HTTP/1.1","status":"404","request_time":"0.002"}`,
		"2024-01-01T10:00:00Z", fields.Warn, "", ""},
	{"Traefik as JSON", `{"ClientHost":"1.2.3.4","DownstreamStatus":502,"RequestMethod":"GET","StartUTC":"2024-01-01T10:00:00.123456789Z","msg":"","time":"2024-01-01T10:00:01Z"}`,
		"2024-01-01T10:00:01Z", fields.Error, "", ""},
	{"AWS CloudTrail", `{"eventVersion":"1.08","eventTime":"2024-01-01T10:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject"}`,
		"2024-01-01T10:00:00Z", 0, "s3.amazonaws.com", ""},
	{"Windows events", `{"EventTime":"2024-01-01 10:00:00","EventID":7036,"Level":2,"SourceName":"Service Control Manager","Message":"The service stopped"}`,
		"2024-01-01T10:00:00Z", fields.Error, "Service Control Manager", "The service stopped"},
	{"Winlogbeat", `{"@timestamp":"2024-01-01T10:00:00.000Z","log":{"level":"information"},"winlog":{"provider_name":"Microsoft-Windows-Security-Auditing","event_id":4624},"message":"An account was logged on"}`,
		"2024-01-01T10:00:00Z", fields.Info, "Microsoft-Windows-Security-Auditing", "An account was logged on"},
	{".NET's console", `{"EventId":0,"LogLevel":"Warning","Category":"Microsoft.Hosting.Lifetime","Message":"slow start","Timestamp":"2024-01-01T10:00:00.000Z"}`,
		"2024-01-01T10:00:00Z", fields.Warn, "", "slow start"},
	{"Datadog", `{"timestamp":1704103200000,"status":"error","dd":{"service":"web","env":"prod"},"message":"x"}`, "2024-01-01T10:00:00Z", fields.Error, "web", "x"},
	{"rsyslog as JSON", `{"timereported":"2024-01-01T10:00:00.000000+00:00","syslogseverity":"4","syslogtag":"sudo[12]:","msg":" pam: authentication failure"}`,
		"2024-01-01T10:00:00Z", fields.Warn, "sudo", " pam: authentication failure"},
	{"PostgreSQL's jsonlog", `{"timestamp":"2024-01-01 10:00:00.123 UTC","pid":1,"error_severity":"FATAL","message":"no such role","backend_type":"client backend"}`,
		"2024-01-01T10:00:00.123Z", fields.Fatal, "", "no such role"},
	{"Rust's tracing", `{"timestamp":"2024-01-01T10:00:00.123456Z","level":"INFO","fields":{"message":"listening"},"target":"shop::http"}`,
		"2024-01-01T10:00:00.123456Z", fields.Info, "shop", "listening"},
	{"Kubernetes events", `{"kind":"Event","type":"Warning","reason":"BackOff","message":"Back-off restarting","lastTimestamp":"2024-01-01T10:00:00Z"}`,
		"2024-01-01T10:00:00Z", fields.Warn, "", "Back-off restarting"},
	{"a record of ours", `{"timestamp":"2024-01-01T10:00:00Z","severity":"INFO","body":"hi","resource":{"service.name":"api"},"attributes":{"k":"v"}}`,
		"2024-01-01T10:00:00Z", fields.Info, "api", "hi"},
	{"data, no log", `{"name":"John","priority":1,"status":"success","order":4711,"time":0.25}`, "", 0, "", ""},

	// Lines.
	{"RFC 5424", `<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed for lonvick on /dev/pts/8`, "2003-10-11T22:14:15.003Z", fields.Fatal, "su", ""},
	{"RFC 5424, structured data", `<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - [x@1 a="b\]"] started`, "2003-08-24T12:14:15.000003Z", fields.Notice, "myproc", ""},
	{"RFC 3164", `<11>Dec 31 22:14:15 mymachine app[12]: cannot write`, "2023-12-31T22:14:15Z", fields.Error, "app", ""},
	{"RFC 3164, without a priority", `Jan  1 10:00:00 web1 sshd[4711]: Failed password for root from 192.0.2.1 port 4242 ssh2`, "2024-01-01T10:00:00Z", 0, "sshd", ""},
	{"RFC 3164, with a level", `Jan  1 10:00:00 web1 myapp: ERROR: no space left`, "2024-01-01T10:00:00Z", fields.Error, "myapp", ""},
	{"journalctl", `Jan 01 10:00:00 web1 systemd[1]: Started Daily apt upgrade and clean activities.`, "2024-01-01T10:00:00Z", 0, "systemd", ""},
	{"journalctl, short-iso", `2024-01-01T10:00:00+0100 web1 kernel: usb 1-1: new device`, "2024-01-01T09:00:00Z", 0, "kernel", ""},
	{"rsyslog", `2024-01-01T10:00:00.123456+01:00 web1 postfix/smtpd[99]: connect from unknown[192.0.2.1]`, "2024-01-01T09:00:00.123456Z", 0, "postfix/smtpd", ""},
	{"nginx, access", `192.0.2.1 - frank [01/Jan/2024:10:00:00 +0100] "GET /a?b=c HTTP/1.1" 500 2326 "http://x/" "Mozilla/5.0 (X11; Linux)"`, "2024-01-01T09:00:00Z", fields.Error, "", ""},
	{"nginx, error", `2024/01/01 10:00:00 [crit] 31#31: *1 open() "/x" failed (2: No such file), client: 192.0.2.1`, "2024-01-01T10:00:00Z", fields.Fatal, "", ""},
	{"Apache, access", `2001:db8::1 - - [01/Jan/2024:10:00:00 +0000] "POST /login HTTP/1.0" 403 12`, "2024-01-01T10:00:00Z", fields.Warn, "", ""},
	{"Apache, error", `[Mon Jan 01 10:00:00.123456 2024] [core:error] [pid 1:tid 2] [client 192.0.2.1:5] AH00124: too many redirects`, "2024-01-01T10:00:00.123456Z", fields.Error, "", ""},
	{"Apache 2.2, error", `[Mon Jan 01 10:00:00 2024] [warn] [client 192.0.2.1] mod_fcgid: stderr`, "2024-01-01T10:00:00Z", fields.Warn, "", ""},
	{"logfmt", `ts=2024-01-01T10:00:00.123Z caller=main.go:12 level=warn component=ingester msg="slow \"flush\"" took=3s`, "2024-01-01T10:00:00.123Z", fields.Warn, "ingester", ""},
	{"logrus, text", `time="2024-01-01T10:00:00+01:00" level=error msg="it failed" service=api`, "2024-01-01T09:00:00Z", fields.Error, "api", ""},
	{"slog, text", `time=2024-01-01T10:00:00.123+01:00 level=DEBUG msg=hello`, "2024-01-01T09:00:00.123Z", fields.Debug, "", ""},
	{"logrus, terminal", "\x1b[33mWARN\x1b[0m[0003] retrying service=api", "", fields.Warn, "api", ""},
	{"klog", `W0101 10:00:00.123456       1 reflector.go:324] failed to list`, "2024-01-01T10:00:00.123456Z", fields.Warn, "", ""},
	{"glog", `E20240101 10:00:00.123456 12345 db_impl.cc:12] corruption`, "2024-01-01T10:00:00.123456Z", fields.Error, "", ""},
	{"log4j", `2024-01-01 10:00:00,123 [main] ERROR com.acme.Main - it failed`, "2024-01-01T10:00:00.123Z", fields.Error, "", ""},
	{"Spring Boot", `2024-01-01T10:00:00.123+01:00  WARN 4711 --- [           main] c.a.shop.Main  : no cache`, "2024-01-01T09:00:00.123Z", fields.Warn, "", ""},
	{"a Java stack trace", "2024-01-01 10:00:00.123 ERROR [http-nio-1] c.a.Main - boom\njava.lang.IllegalStateException: no\n\tat a.b.C(C.java:1)", "2024-01-01T10:00:00.123Z", fields.Error, "", ""},
	{"java.util.logging", "Jan 01, 2024 10:00:00 AM com.acme.Main run\nSEVERE: it failed", "2024-01-01T10:00:00Z", fields.Error, "", ""},
	{"Tomcat", `01-Jan-2024 10:00:00.123 SEVERE [main] org.apache.catalina.core.StandardService.initInternal Failed`, "2024-01-01T10:00:00.123Z", fields.Error, "", ""},
	{"Elasticsearch", `[2024-01-01T10:00:00,123][INFO ][o.e.n.Node               ] [node-1] started`, "2024-01-01T10:00:00.123Z", fields.Info, "", ""},
	{"Kafka", `[2024-01-01 10:00:00,123] WARN [Broker id=1] shrinking ISR (kafka.cluster.Partition)`, "2024-01-01T10:00:00.123Z", fields.Warn, "", ""},
	{"ZooKeeper", `2024-01-01 10:00:00,123 [myid:1] - INFO  [main:QuorumPeerMain@127] - starting`, "2024-01-01T10:00:00.123Z", fields.Info, "", ""},
	{"HDFS", `081109 203615 148 INFO dfs.DataNode$PacketResponder: terminating`, "2008-11-09T20:36:15Z", fields.Info, "", ""},
	{"Python", `2024-01-01 10:00:00,123 - my.module - CRITICAL - gone`, "2024-01-01T10:00:00.123Z", fields.Fatal, "", ""},
	{"Python, basicConfig", `WARNING:root:be careful`, "", fields.Warn, "", ""},
	{"gunicorn", `[2024-01-01 10:00:00 +0100] [4711] [INFO] Booting worker with pid: 12`, "2024-01-01T09:00:00Z", fields.Info, "", ""},
	{"uvicorn", `INFO:     127.0.0.1:5000 - "GET / HTTP/1.1" 500 Internal Server Error`, "", fields.Info, "", ""},
	{"Celery", `[2024-01-01 10:00:00,123: ERROR/MainProcess] consumer: cannot connect`, "2024-01-01T10:00:00.123Z", fields.Error, "", ""},
	{"Laravel", `[2024-01-01 10:00:00] prod.INFO: one {"a":1} []`, "2024-01-01T10:00:00Z", fields.Info, "", ""},
	{"Symfony", `[2024-01-01T10:00:00.123456+01:00] request.CRITICAL: Uncaught PHP Exception`, "2024-01-01T09:00:00.123456Z", fields.Fatal, "", ""},
	{"PHP", `[01-Jan-2024 10:00:00 UTC] PHP Fatal error:  Uncaught Error in /x.php:3`, "2024-01-01T10:00:00Z", fields.Fatal, "", ""},
	{"PHP, warning", `[01-Jan-2024 10:00:00 Europe/Berlin] PHP Warning:  Undefined variable $x`, "2024-01-01T09:00:00Z", fields.Warn, "", ""},
	{"Ruby", `E, [2024-01-01T10:00:00.123456 #4711] ERROR -- : ActiveRecord failed`, "2024-01-01T10:00:00.123456Z", fields.Error, "", ""},
	{"PostgreSQL", `2024-01-01 10:00:00.123 UTC [4711] postgres@shop ERROR:  relation "x" does not exist at character 15`, "2024-01-01T10:00:00.123Z", fields.Error, "", ""},
	{"PostgreSQL, log", `2024-01-01 10:00:00.123 CET [4711] LOG:  database system is ready to accept connections`, "2024-01-01T09:00:00.123Z", fields.Info, "", ""},
	{"MySQL", `2024-01-01T10:00:00.123456Z 0 [Warning] [MY-010068] [Server] CA certificate is self signed.`, "2024-01-01T10:00:00.123456Z", fields.Warn, "", ""},
	{"MySQL, system", `2024-01-01T10:00:00.123456Z 0 [System] [MY-010116] [Server] mysqld starting`, "2024-01-01T10:00:00.123456Z", fields.Info, "", ""},
	{"MariaDB", `2024-01-01  9:00:00 0 [Note] InnoDB: 128 rollback segments are active.`, "2024-01-01T09:00:00Z", fields.Notice, "", ""},
	{"Redis", `12:M 01 Jan 2024 10:00:00.123 # WARNING overcommit_memory is set to 0!`, "2024-01-01T10:00:00.123Z", fields.Warn, "", ""},
	{"Redis, notice", `12:M 01 Jan 2024 10:00:00.123 * Ready to accept connections`, "2024-01-01T10:00:00.123Z", fields.Notice, "", ""},
	{"MongoDB 4.2", `2024-01-01T10:00:00.123+0100 E STORAGE  [conn1] WiredTiger error`, "2024-01-01T09:00:00.123Z", fields.Error, "", ""},
	{"RabbitMQ", `2024-01-01 10:00:00.123456+00:00 [warning] <0.222.0> closing AMQP connection`, "2024-01-01T10:00:00.123456Z", fields.Warn, "", ""},
	{"NATS", `[1] 2024/01/01 10:00:00.123456 [ERR] Unable to reserve`, "2024-01-01T10:00:00.123456Z", fields.Error, "", ""},
	{"Go's log", `2024/01/01 10:00:00 listening on :8080`, "2024-01-01T10:00:00Z", 0, "", ""},
	{"zap, console", "2024-01-01T10:00:00.123Z\tDEBUG\tapp/main.go:12\tstarting\t{\"port\": 80}", "2024-01-01T10:00:00.123Z", fields.Debug, "", ""},
	{"zerolog, console", `2024-01-01T10:00:00Z INF starting service=api`, "2024-01-01T10:00:00Z", fields.Info, "api", ""},
	{"Vault", `2024-01-01T10:00:00.123Z [INFO]  core: security barrier not initialized`, "2024-01-01T10:00:00.123Z", fields.Info, "", ""},
	{"CoreDNS", `[ERROR] plugin/errors: 2 example.org. A: read udp: i/o timeout`, "", fields.Error, "", ""},
	{"Rust's env_logger", `[2024-01-01T10:00:00Z WARN  my_crate] careful`, "2024-01-01T10:00:00Z", fields.Warn, "", ""},
	{"Rust's tracing, text", `2024-01-01T10:00:00.123456Z  INFO my_crate::http: listening`, "2024-01-01T10:00:00.123456Z", fields.Info, "", ""},
	{"Elixir", `10:00:00.123 [error] GenServer terminating`, "2024-01-02T10:00:00.123Z", fields.Error, "", ""},
	{"Serilog, console", `[10:00:00 WRN] slow query`, "2024-01-02T10:00:00Z", fields.Warn, "", ""},
	{".NET, console", `fail: Microsoft.AspNetCore.Server.Kestrel[13]`, "", fields.Error, "", ""},
	{"CRI", `2024-01-01T10:00:00.123456789Z stdout F {"level":"error","service":"api","msg":"one"}`, "2024-01-01T10:00:00.123456789Z", fields.Error, "api", "one"},
	{"CRI, text", `2024-01-01T10:00:00.123456789Z stderr P ERROR part of a line`, "2024-01-01T10:00:00.123456789Z", fields.Error, "", ""},
	{"Docker Compose", `web-1  | 2024-01-01 10:00:00,123 INFO started`, "2024-01-01T10:00:00.123Z", fields.Info, "web", ""},
	{"Heroku", `2024-01-01T10:00:00.123456+00:00 heroku[router]: at=error code=H12 method=GET path="/" status=503`, "2024-01-01T10:00:00.123456Z", fields.Error, "heroku", ""},
	{"IIS", `2024-01-01 10:00:00 192.0.2.1 GET /index.html - 443 - 192.0.2.9 Mozilla/5.0+(Windows) - 404 0 2 15`, "2024-01-01T10:00:00Z", fields.Warn, "", ""},
	{"HAProxy", `Jan  1 10:00:00 lb haproxy[14389]: 192.0.2.1:33317 [01/Jan/2024:10:00:00.655] http-in static/srv1 10/0/30/69/109 503 2750 - - ---- 1/1/1/1/0 0/0 "GET / HTTP/1.1"`, "2024-01-01T10:00:00Z", fields.Error, "haproxy", ""},
	{"Envoy", `[2024-01-01T10:00:00.310Z] "POST /api HTTP/2" 204 - 154 0 226 100 "192.0.2.1" "-" "x" "locations" "tcp://192.0.2.1:80"`, "2024-01-01T10:00:00.31Z", fields.Info, "", ""},
	{"Envoy, its own", `[2024-01-01 10:00:00.123][12][critical][main] [source/server/server.cc:249] exiting`, "2024-01-01T10:00:00.123Z", fields.Fatal, "", ""},
	{"uWSGI", `[pid: 123|app: 0|req: 1/1] 192.0.2.1 () {28 vars in 400 bytes} [Mon Jan  1 10:00:00 2024] GET /x => generated 12 bytes in 3 msecs (HTTP/1.1 404) 2 headers`, "2024-01-01T10:00:00Z", fields.Warn, "", ""},
	{"Squid", `1704103200.586    921 192.0.2.68 TCP_MISS/503 1507 GET http://x/ - NONE/- text/html`, "2024-01-01T10:00:00.586Z", fields.Error, "", ""},
	{"AWS load balancer", `http 2024-01-01T10:00:00.186641Z app/lb/50dc6c 192.0.2.1:2817 10.0.0.1:80 0.000 0.001 0.000 502 502 34 366 "GET http://x:80/ HTTP/1.1" "curl/7.46.0" - -`, "2024-01-01T10:00:00.186641Z", fields.Error, "", ""},
	{"Gin", `[GIN] 2024/01/01 - 10:00:00 | 404 |     1.2ms |       192.0.2.1 | GET      "/x"`, "2024-01-01T10:00:00Z", fields.Warn, "", ""},
	{"auditd", `type=SYSCALL msg=audit(1704103200.243:24287): arch=c000003e syscall=2 success=no exit=-13 comm="cat" exe="/bin/cat"`, "2024-01-01T10:00:00.243Z", 0, "cat", ""},
	{"dmesg", `[    0.000000] Linux version 6.1.0`, "", 0, "", ""},
	{"dmesg with a priority", `<3>[   12.345678] Buffer I/O error on dev sda1`, "", fields.Error, "", ""},
	{"dmesg -T", `[Mon Jan  1 10:00:00 2024] usb 1-1: new high-speed USB device`, "2024-01-01T10:00:00Z", 0, "", ""},
	{"logcat", `01-01 10:00:00.123  1234  1250 E ActivityManager: ANR in com.acme`, "2024-01-01T10:00:00.123Z", fields.Error, "", ""},
	{"fail2ban", `2024-01-01 10:00:00,123 fail2ban.filter         [123]: INFO    [sshd] Found 192.0.2.1`, "2024-01-01T10:00:00.123Z", fields.Info, "fail2ban", ""},
	{"Jupyter", `[W 2024-01-01 10:00:00.123 ServerApp] 404 GET /x`, "2024-01-01T10:00:00.123Z", fields.Warn, "", ""},
	{"Spark", `17/06/09 20:10:40 INFO executor.CoarseGrainedExecutorBackend: Registered signal handlers for [TERM, HUP, INT]`, "2017-06-09T20:10:40Z", fields.Info, "", ""},
	{"Windows, servicing", `2016-09-28 04:30:30, Info                  CBS    Loaded Servicing Stack v6.1.7601.23505`, "2016-09-28T04:30:30Z", fields.Info, "", ""},
	{"Windows, exported events", "Error,1/1/2024 10:00:00 AM,Application Error,1000,(100),x", "2024-01-01T10:00:00Z", fields.Error, "Application Error", ""},
	{"macOS", `Jul  1 09:00:55 calvisitor-10-105-160-95 com.apple.cts[258]: com.apple.suggestions: Finished`, "2023-07-01T09:00:55Z", 0, "com.apple.cts", ""},
	{"macOS, launchd", `Jan  1 10:00:00 mac com.apple.xpc.launchd[1] (com.apple.quicklook[123]): Service exited`, "2024-01-01T10:00:00Z", 0, "com.apple.xpc.launchd", ""},
	{"PAM", `Jan 01 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0`, "2024-01-01T15:16:01Z", 0, "sshd", ""},
	{"OpenStack", `nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi.server [req-1 - - -] 10.11.10.1 "GET /v2/x HTTP/1.1" status: 200`, "2017-05-16T00:00:00.008Z", fields.Info, "", ""},
	{"HealthApp", `20171223-22:15:29:606|Step_LSC|30002312|onStandStepChanged 3579`, "2017-12-23T22:15:29.606Z", 0, "", ""},
	{"Proxifier", `[10.30 16:49:06] chrome.exe - proxy:5070 open through proxy`, "2023-10-30T16:49:06Z", 0, "", ""},
	{"BIND", `01-Jan-2024 10:00:00.123 queries: info: client @0x7f 192.0.2.1#53: query: example.org IN A`, "2024-01-01T10:00:00.123Z", fields.Info, "", ""},
	{"Dovecot", `Jan 01 10:00:00 imap-login: Error: too many connections`, "2024-01-01T10:00:00Z", fields.Error, "imap-login", ""},
	{"Kerberos", `Jan 01 10:00:00 kdc krb5kdc[123](info): AS_REQ`, "2024-01-01T10:00:00Z", fields.Info, "krb5kdc", ""},
	{"Cisco", `<187>45: *Jan  1 10:00:00.123: %LINK-3-UPDOWN: Interface changed state to up`, "2024-01-01T10:00:00.123Z", fields.Error, "", ""},
	{"Cisco, without a priority", `Jan  1 10:00:00 192.0.2.1 45: %SYS-5-CONFIG_I: Configured from console`, "2024-01-01T10:00:00Z", fields.Notice, "", ""},
	{"Fortinet", `date=2024-01-01 time=10:00:00 devname="fw" level="warning" type="traffic" msg="denied"`, "2024-01-01T10:00:00Z", fields.Warn, "", ""},
	{"etcd", `2024-01-01 10:00:00.123456 W | etcdserver: apply took too long`, "2024-01-01T10:00:00.123456Z", fields.Warn, "", ""},
	{"CockroachDB", `I240101 10:00:00.123456 1 server/x.go:12 [n1] ready`, "2024-01-01T10:00:00.123456Z", fields.Info, "", ""},
	{"NLog", `2024-01-01 10:00:00.1234|ERROR|Acme.Program|it failed`, "2024-01-01T10:00:00.1234Z", fields.Error, "", ""},
	{"ActiveMQ", `2024-01-01 10:00:00,123 | INFO  | Apache ActiveMQ is starting | org.apache.X | main`, "2024-01-01T10:00:00.123Z", fields.Info, "", ""},
	{"ClickHouse", `2024.01.01 10:00:00.123456 [ 12 ] {c0ffee} <Error> executeQuery: Code: 60`, "2024-01-01T10:00:00.123456Z", fields.Error, "", ""},
	{"Airflow", `[2024-01-01, 10:00:00 UTC] {taskinstance.py:12} ERROR - Task failed`, "2024-01-01T10:00:00Z", fields.Error, "", ""},
	{"Django", `[01/Jan/2024 10:00:00] "GET /x HTTP/1.1" 404 12`, "2024-01-01T10:00:00Z", fields.Warn, "", ""},
	{"Cassandra", `INFO  [main] 2024-01-01 10:00:00,123 StorageService.java:123 - ready`, "2024-01-01T10:00:00.123Z", fields.Info, "", ""},
	{"WildFly", `10:00:00,123 WARN  [org.jboss.as] (MSC service thread 1-2) slow`, "2024-01-02T10:00:00.123Z", fields.Warn, "", ""},
	{"WebLogic", `<Jan 1, 2024 10:00:00 AM UTC> <Notice> <WebLogicServer> <BEA-000365> <Server state changed>`, "2024-01-01T10:00:00Z", fields.Notice, "", ""},
	{"Asterisk", `[2024-01-01 10:00:00] ERROR[1234][C-1]: chan.c:12 f: no`, "2024-01-01T10:00:00Z", fields.Error, "", ""},
	{"Minecraft", `[10:00:00] [Server thread/WARN]: Can't keep up!`, "2024-01-02T10:00:00Z", fields.Warn, "", ""},
	{"Xorg", `[    12.345] (EE) Failed to load module`, "", fields.Error, "", ""},
	{"ESXi", `2024-01-01T10:00:00.123Z warning hostd[2099] [Originator@6876 sub=Vimsvc] x`, "2024-01-01T10:00:00.123Z", fields.Warn, "", ""},
	{"Puppet", `2024-01-01 10:00:00 +0000 Puppet (err): Could not retrieve catalog`, "2024-01-01T10:00:00Z", fields.Error, "", ""},
	{"npm", `npm ERR! code ELIFECYCLE`, "", fields.Error, "", ""},
	{"Maven", `[INFO] Scanning for projects...`, "", fields.Info, "", ""},
	{"AWS Lambda", "2024-01-01T10:00:00.123Z\t6bc28136-xmpl-4365-b021-0ce6b2e64ab0\tERROR\tboom", "2024-01-01T10:00:00.123Z", fields.Error, "", ""},
	{"Splunk", `01-01-2024 10:00:00.123 +0100 INFO  LMStack - added`, "2024-01-01T09:00:00.123Z", fields.Info, "", ""},
	{"Snort", `01/01/2024-10:00:00.123456  [**] [1:2:3] scan [**] [Priority: 2]`, "2024-01-01T10:00:00.123456Z", 0, "", ""},
	{"BGL", `- 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.363779 R02-M1-N0-C:J12-U11 RAS KERNEL INFO instruction cache parity error corrected`, "2005-06-03T22:42:50Z", fields.Info, "", ""},
	{"logrus, terminal with times", `ERRO[2024-01-01T10:00:00+01:00] it failed                  service=api`, "2024-01-01T09:00:00Z", fields.Error, "", ""},
	{"PostgreSQL on AWS", `2024-01-01 10:00:00 UTC:192.0.2.1(5432):u@db:[123]:ERROR:  relation "x" does not exist`, "2024-01-01T10:00:00Z", fields.Error, "", ""},
	{"Apache, no request", `192.0.2.1 - - [01/Jan/2024:10:00:00 +0000] "-" 408 0 "-" "-"`, "2024-01-01T10:00:00Z", fields.Warn, "", ""},
	{"CloudFront", "2024-01-01\t21:02:31\tLAX1\t392\t192.0.2.100\tGET\td1.cloudfront.net\t/index.html\t503\t-\tMozilla\t-\t-", "2024-01-01T21:02:31Z", fields.Error, "", ""},
	{"Cloudflare", `{"ClientIP":"192.0.2.1","EdgeStartTimestamp":"2024-01-01T10:00:00Z","EdgeResponseStatus":503,"ClientRequestMethod":"GET"}`, "2024-01-01T10:00:00Z", fields.Error, "", ""},
	{"OpenWrt", `Mon Jan  1 10:00:00 2024 daemon.err dnsmasq[123]: failed`, "2024-01-01T10:00:00Z", fields.Error, "", ""},
	{"an access log over syslog", `Jan  1 10:00:00 lb nginx: 192.0.2.1 - - [01/Jan/2024:10:00:00 +0000] "GET / HTTP/1.1" 500 1 "-" "-"`, "2024-01-01T10:00:00Z", fields.Error, "nginx", ""},
	{"a banner", `[info] started`, "", fields.Info, "", ""},
	{"a sentence", `User pressed the ERROR button at 2024-01-01 10:00:00`, "", 0, "", ""},
	{"a sentence with a time before it", `2024-01-01 10:00:00 the user saw an ERROR page`, "2024-01-01T10:00:00Z", 0, "", ""},
	{"a sentence with a colon", `Connection closed: no error`, "", 0, "", ""},
	{"nothing", `hello`, "", 0, "", ""},
}

// record is a sample as it is stored.
func record(line string) string {
	if json.Valid([]byte(line)) && line[0] == '{' {
		return line
	}
	body, _ := json.Marshal(map[string]string{"body": line})
	return string(body)
}

func TestSamples(t *testing.T) {
	var v fields.View // used again and again, as in use
	for _, tt := range samples {
		t.Run(tt.program, func(t *testing.T) {
			line := record(tt.line)
			if err := v.Scan([]byte(line)); err != nil {
				t.Fatal(err)
			}
			at, ok := v.Time(now)
			if got := at.Format(time.RFC3339Nano); !ok && tt.time != "" || ok && got != tt.time {
				t.Errorf("time %s (%v), want %q", got, ok, tt.time)
			}
			if got := v.Severity(); got != tt.severity {
				t.Errorf("severity %d, want %d", got, tt.severity)
			}
			if got := string(v.Service()); got != tt.service {
				t.Errorf("service %q, want %q", got, tt.service)
			}
			want := tt.text
			if want == "" && line != tt.line {
				want = tt.line
			} else if want == "" {
				want = line
			}
			if got := v.Text(); got != want {
				t.Errorf("text %q, want %q", got, want)
			}
			if line != record(tt.line) {
				t.Error("reading changed the record")
			}
		})
	}
}
