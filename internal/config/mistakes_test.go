package config

import (
	"os"
	"strings"
	"testing"
)

func TestMistakes(t *testing.T) {
	for _, test := range []struct {
		name string
		from sources
		want string // the whole message
	}{
		{"unknown key", sources{file: "# a\n\nmin_sise: 2"}, `sluice.yaml:3: unknown key "min_sise"; did you mean "min_size"?`},
		{"key with dashes", sources{file: "min-size: 2"}, `sluice.yaml:1: unknown key "min-size"; did you mean "min_size"?`},
		{"key like nothing", sources{file: "colour: red"}, `sluice.yaml:1: unknown key "colour"`},
		{"json in the file", sources{file: "json: true"}, `sluice.yaml:1: unknown key "json"`},
		{"config in the file", sources{file: "config: other.yaml"}, `sluice.yaml:1: unknown key "config"`},
		{"grouped settings", sources{file: "autoscaler:\n  min_size: 2"},
			`sluice.yaml:1: unknown key "autoscaler"; settings are not grouped, want all of them at the left edge`},
		{"given twice", sources{file: "slots: 2\nlease: 5s\nslots: 3"}, `sluice.yaml:3: slots is given twice, first in line 1`},
		{"map for a value", sources{file: "slots: {a: 1}"}, `sluice.yaml:1: slots holds a map, want one value`},
		{"list for a value", sources{file: "slots:\n- 1"}, `sluice.yaml:1: slots holds a list, want one value`},
		{"alias", sources{file: "min_size: &x 2\nmax_size: *x"}, `sluice.yaml:2: max_size holds an alias, want one value`},
		{"no value", sources{file: "slots:"}, `sluice.yaml:1: slots has no value; leave the line out for the default`},
		{"tag", sources{file: "slots: !!binary MQ=="}, `sluice.yaml:1: slots has the tag "!!binary", want a plain value`},
		{"key that is a list", sources{file: "[a, b]: 1"}, `sluice.yaml:1: the key is a list, want the name of a setting`},
		{"list of settings", sources{file: "- slots: 1"}, `sluice.yaml:1: the file holds a list, want lines such as max_size: 10`},
		{"plain text", sources{file: "slots"}, `sluice.yaml:1: the file holds the value "slots", want lines such as max_size: 10`},
		{"two documents", sources{file: "slots: 1\n---\nslots: 2"}, `sluice.yaml:2: another YAML document begins here, want one only`},
		{"not YAML", sources{file: "slots: 1\nlease: [5s\n"}, `sluice.yaml:2: not YAML: did not find expected ',' or ']'`},
		{"not YAML in the last line", sources{file: "slots: 1\nlease: @x"}, `sluice.yaml:2: not YAML: found character that cannot start any token`},
		{"wrong type in the file", sources{file: "slots: many"}, `slots is "many" (file sluice.yaml:1), want a whole number, at least 1`},
		{"fraction of an analyzer", sources{file: "max_size: 2.5"}, `max_size is 2.5 (file sluice.yaml:1), want a whole number, at least 1`},
		{"yes", sources{file: "faults: yes"}, `faults is "yes" (file sluice.yaml:1), want true or false`},

		{"unknown variable", sources{env: []string{"SLUICE_MINSIZE=2"}}, `unknown environment variable SLUICE_MINSIZE; did you mean "SLUICE_MIN_SIZE"?`},
		{"variable for a port", sources{env: []string{"SLUICE_PORT=8000"}}, `unknown environment variable SLUICE_PORT`},
		{"variable for json", sources{env: []string{"SLUICE_JSON=true"}}, `unknown environment variable SLUICE_JSON`},
		{"bad variable", sources{env: []string{"SLUICE_LEASE=soon"}},
			`lease is "soon" (environment SLUICE_LEASE), want a duration such as 10s, 1m30s or plain seconds, at least 100ms`},

		{"negative duration", sources{args: []string{"--cooldown=-5s"}}, `cooldown is "-5s" (flag --cooldown), want a duration such as 10s, 1m30s or plain seconds`},
		{"negative size", sources{args: []string{"--max-bytes=-1"}}, `max_bytes is "-1" (flag --max-bytes), want a size such as 65536, 64KiB or 4MB, at least 1MiB`},
		{"negative count", sources{args: []string{"--slots=-1"}}, `slots is "-1" (flag --slots), want at least 1`},
		{"bad size or auto", sources{args: []string{"--min-free-bytes=some"}},
			`min_free_bytes is "some" (flag --min-free-bytes), want a size such as 65536, 64KiB or 4MB, or auto`},
		{"tiny memory", sources{args: []string{"--memory-limit=1MB"}}, `memory_limit is 1MB (flag --memory-limit), want 0, or at least 16MiB`},
		{"empty folder", sources{args: []string{"--data="}}, `data is "" (flag --data), want something`},
		{"port alone", sources{args: []string{"--listen=8000"}}, `listen is 8000 (flag --listen), want host:port or :port, such as 127.0.0.1:8000`},
		{"port too high", sources{args: []string{"--listen=:80000"}}, `listen is ":80000" (flag --listen), want host:port or :port, such as 127.0.0.1:8000`},
		{"URL without scheme", sources{args: []string{"--distributor=localhost:8000"}},
			`distributor is "localhost:8000" (flag --distributor), want a URL such as http://127.0.0.1:8000`},
		{"password in a bad URL", sources{args: []string{"--distributor=ftp://me:secret@host"}},
			`distributor is "ftp://xxxxx@host" (flag --distributor), want a URL such as http://127.0.0.1:8000`},
		{"a URL for a host", sources{args: []string{"--allowed-hosts=sluice,http://logs"}},
			`allowed_hosts is "sluice,http://logs" (flag --allowed-hosts), want host names without scheme, port or *, such as logs.example,sluice`},
		{"any host", sources{env: []string{"SLUICE_ALLOWED_HOSTS=*"}},
			`allowed_hosts is "*" (environment SLUICE_ALLOWED_HOSTS), want host names without scheme, port or *, such as logs.example,sluice`},
		{"a certificate without its key", sources{file: "tls_cert: a.pem"}, `tls_cert is "a.pem" (file sluice.yaml:1), want tls_key beside it`},
		{"a key without its certificate", sources{env: []string{"SLUICE_TLS_KEY=a.key"}}, `tls_key is "a.key" (environment SLUICE_TLS_KEY), want tls_cert beside it`},
		{"clients are asked without TLS", sources{file: "tls_client_ca: a.pem"}, `tls_client_ca is "a.pem" (file sluice.yaml:1), want tls_cert beside it`},
		{"a client's certificate without its key", sources{file: "tls_client_cert: a.pem"}, `tls_client_cert is "a.pem" (file sluice.yaml:1), want tls_client_key beside it`},
		{"a client's key without its certificate", sources{file: "tls_client_key: a.pem"}, `tls_client_key is "a.pem" (file sluice.yaml:1), want tls_client_cert beside it`},
		{"TLS to plain HTTP", sources{args: []string{"--distributor=http://d:1"}, file: "tls_ca: a.pem"},
			`tls_ca is "a.pem" (file sluice.yaml:1), want distributor to begin with https://; it is "http://d:1" (flag --distributor)`},
		{"pairs without a value", sources{args: []string{"--policy=hpa", "--policy-settings=target"}},
			`policy_settings is "target" (flag --policy-settings), want key=value pairs with commas between them, such as target=20,down_window=30s`},
		{"unknown setting of a rival", sources{args: []string{"--policy=celery", "--policy-settings=prefech=2,keepalive=x"}},
			`policy_settings: celery: keepalive is "x", want a duration such as "15s"; celery has no setting "prefech" (settings: prefetch, keepalive)`},
		{"settings of a rival for slo", sources{file: "policy_settings: target=2"},
			`policy_settings is target=2 (file sluice.yaml:1), want nothing there for slo, which has settings of its own`},
		{"unknown handler", sources{args: []string{"--handler=cuont"}},
			`handler is "cuont" (flag --handler), want one of count, sleep, discard; did you mean "count"?`},
		{"unknown policy", sources{args: []string{"--policy=hpaa"}},
			`policy is "hpaa" (flag --policy), want one of auto, slo, threshold, backlog, celery, ds2, hpa, kpa, nomad, static; did you mean "hpa"?`},
		{"unknown policy in the league", sources{args: []string{"--league=slo,thresold"}},
			`league is "slo,thresold" (flag --league), want all, none or some of slo, threshold, backlog, celery, ds2, hpa, kpa, nomad, static; did you mean "threshold"?`},
		{"two policies", sources{args: []string{"--slo=5s"}, file: "preset: bursty"},
			`slo is 5s (flag --slo), which is for the policy slo, and preset (file sluice.yaml:1) is for threshold; say which one with --policy`},
		{"one reversal", sources{args: []string{"--max-reversals=1"}}, `max_reversals is 1 (flag --max-reversals), want 0 or at least 2`},
		{"SLO of nothing", sources{args: []string{"--slo=0"}}, `slo is 0 (flag --slo), want at least 10ms, or auto`},
		{"target that is a share", sources{args: []string{"--slo-target=0.999"}}, `slo_target is 0.999 (flag --slo-target), want 50% to 99.9999%`},
		{"target of all", sources{args: []string{"--slo-target=100%"}}, `slo_target is "100%" (flag --slo-target), want 50% to 99.9999%`},
		{"target that is no number", sources{args: []string{"--slo-target=most"}},
			`slo_target is "most" (flag --slo-target), want a percentage such as 99.9%, 50% to 99.9999%`},
		{"unknown preset", sources{args: []string{"--preset=prodution", "--min-size=20"}}, `preset is "prodution" (flag --preset), ` +
			`want one of default, bursty, steady, development, production, cost, throughput; did you mean "production"?`},
		{"bad level", sources{args: []string{"--log-level=verbose"}}, `log_level is "verbose" (flag --log-level), want one of debug, info, warn, error`},

		{"min above max", sources{args: []string{"--min-size=12"}}, `min_size is 12 (flag --min-size), want at most max_size (10, preset default)`},
		{"max below min of the preset", sources{file: "preset: production\nmax_size: 3"},
			`min_size is 5 (preset production), want at most max_size (3, file sluice.yaml:2)`},
		{"down as high as up", sources{env: []string{"SLUICE_SCALE_DOWN_THRESHOLD=50"}},
			`scale_down_threshold is 50 (environment SLUICE_SCALE_DOWN_THRESHOLD), want less than scale_up_threshold (50, preset default)`},
		{"no interval", sources{args: []string{"--check-interval=0"}}, `check_interval is 0 (flag --check-interval), want at least 10ms`},
		{"no growth", sources{args: []string{"--scale-up-count=0"}}, `scale_up_count is 0 (flag --scale-up-count), want at least 1`},
		{"slow look", sources{args: []string{"--observe-timeout=1m", "--check-interval=30"}},
			`observe_timeout is 1m (flag --observe-timeout), want at most check_interval (30s, flag --check-interval)`},
		{"pauses the wrong way round", sources{args: []string{"--retry-delay=5s", "--max-retry-delay=1s"}},
			`retry_delay is 5s (flag --retry-delay) and max_retry_delay 1s (flag --max-retry-delay), want 0 <= retry_delay <= max_retry_delay`},
		{"split too late", sources{args: []string{"--split-after=6"}}, `split_after is 6 (flag --split-after), want 1..max_attempts (5, default)`},
		{"record above batch", sources{args: []string{"--max-record-bytes=2MiB"}},
			`max_record_bytes is 2MiB (flag --max-record-bytes), want at most max_batch_bytes (1MiB, default)`},
		{"batch above queue", sources{file: "max_bytes: 2MiB\nmax_batch_bytes: 1MiB"},
			`max_batch_bytes is 1MiB (file sluice.yaml:2), want at most 699050 with max_bytes (2MiB, file sluice.yaml:1)`},
		{"little memory for bodies", sources{args: []string{"--max-in-flight-bytes=32MiB"}},
			`max_in_flight_bytes is 32MiB (flag --max-in-flight-bytes), want at least twice max_body_bytes (32MiB, default)`},
		{"a stand-in is not blamed", sources{args: []string{"--min-size=12", "--max-size=5o"}}, `max_size is 5o (flag --max-size), want a whole number, at least 1`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := load(t, test.from)
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if c != nil {
				t.Errorf("got a Config along with the error")
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	_, err := load(t, sources{
		file: "min_sise: 2\nlease: soon\nmax_size: 1\n",
		env:  []string{"SLUICE_SLOTS=0", "SLUICE_COOLDWON=5"},
		args: []string{"--hold=ever"},
	})
	want := strings.Join([]string{
		`unknown environment variable SLUICE_COOLDWON; did you mean "SLUICE_COOLDOWN"?`,
		`sluice.yaml:1: unknown key "min_sise"; did you mean "min_size"?`,
		`lease is "soon" (file sluice.yaml:2), want a duration such as 10s, 1m30s or plain seconds, at least 100ms`,
		`slots is 0 (environment SLUICE_SLOTS), want at least 1`,
		`hold is "ever" (flag --hold), want a duration such as 10s, 1m30s or plain seconds`,
		`min_size is 2 (preset default), want at most max_size (1, file sluice.yaml:3)`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestRoomsNotInUseAreNotAsked(t *testing.T) {
	for _, groups := range [][]Group{{Client}, {Server, Queue, Intake}, {Analyzer}} {
		if _, err := load(t, sources{groups: groups, env: []string{"SLUICE_MIN_SIZE=12"}}); err != nil {
			t.Errorf("%v: %v", groups, err)
		}
	}
	if _, err := load(t, sources{groups: []Group{Analyzer}, file: "max_record_bytes: 2MiB\nsplit_after: 9"}); err != nil {
		t.Errorf("settings of the distributor for an analyzer: %v", err)
	}
}

func TestForeignVariables(t *testing.T) {
	if _, err := load(t, sources{env: []string{
		"SLUICE_QUEUETEST_DIR=/tmp/x", "SLUICE_SERVICE_HOST=10.0.0.1", "SLUICE_SERVICE_PORT=8000", "SLUICE_SERVICE_PORT_HTTP=8000", "SLUICE_PORT=tcp://10.0.0.1:8000",
		"SLUICE_PORT_8000_TCP=tcp://10.0.0.1:8000", "SLUICE_PORT_8000_TCP_ADDR=10.0.0.1", "SLUICE_DISTRIBUTOR_SERVICE_HOST=10.0.0.1",
		"SLUICE_DISTRIBUTOR_PORT_8000_TCP_PROTO=tcp", "SLUICE_MINSIZE=", "OTHER_MIN_SIZE=x", "SLUICE", "",
	}}); err != nil {
		t.Error(err)
	}
}

func TestUnreadableFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("big.yaml", make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"none.yaml": "read configuration (environment SLUICE_CONFIG): open none.yaml: no such file or directory",
		".":         "read configuration (environment SLUICE_CONFIG): read .: is a directory",
		"big.yaml":  "read configuration (environment SLUICE_CONFIG): big.yaml is larger than 1MiB",
	} {
		if _, err := NewLoader().Load([]string{"SLUICE_CONFIG=" + path}); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}

func TestFilesWithoutSettings(t *testing.T) {
	for _, text := range []string{"# nothing\n", "---\n", "{}", "\n\n", "---\n# a\n...\n"} {
		mustLoad(t, sources{file: text})
	}
}

// Whatever a file holds, there is either a Config or a reason why not.
func FuzzLoadYAML(f *testing.F) {
	for _, text := range []string{"min_size: 2\npreset: cost", "a: [", "? {a: b}\n: c", "x: &a [*a]", "--- 1\n--- 2", "<<: {min_size: 1}", "slots: !!int 0x10", "\xff\xfe", "hold: 1e9"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := &input{given: make(map[string]given), bad: make(map[string]bool)}
		in.document("fuzz.yaml", data)
		c := NewLoader(Groups()...).build(in)
		for _, err := range in.problems {
			if err.Error() == "" {
				t.Errorf("%q: an empty problem", data)
			}
		}
		if len(in.problems) == 0 && c.Autoscale.Validate() != nil {
			t.Errorf("%q: passed with %+v", data, c.Autoscale)
		}
	})
}
