package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
)

// sources are what a process is started with.
type sources struct {
	groups []Group // all of them if empty
	args   []string
	env    []string
	file   string // text of sluice.yaml in the working directory, which --config is then added for; empty for no file
}

func load(t *testing.T, from sources) (*Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if from.file != "" {
		if err := os.WriteFile("sluice.yaml", []byte(from.file), 0o600); err != nil {
			t.Fatal(err)
		}
		from.args = append([]string{"--config", "sluice.yaml"}, from.args...)
	}
	if from.groups == nil {
		from.groups = Groups()
	}
	loader := NewLoader(from.groups...)
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	loader.AddFlags(flags)
	if err := flags.Parse(from.args); err != nil {
		t.Fatalf("parse %q: %v", from.args, err)
	}
	return loader.Load(from.env)
}

func mustLoad(t *testing.T, from sources) *Config {
	t.Helper()
	c, err := load(t, from)
	if err != nil {
		t.Fatalf("%+v: %v", from, err)
	}
	return c
}

func find(t *testing.T, c *Config, key string) Setting {
	t.Helper()
	i := slices.IndexFunc(c.Settings(), func(s Setting) bool { return s.Key == key })
	if i < 0 {
		t.Fatalf("no setting %s", key)
	}
	return c.Settings()[i]
}

func TestPrecedence(t *testing.T) {
	const file = "# shared\nmax_size: 11\n"
	env := []string{"SLUICE_MAX_SIZE=12"}
	flag := []string{"--max-size", "13"}
	for _, test := range []struct {
		name   string
		from   sources
		want   int
		source string
	}{
		{"nothing said", sources{}, 10, "preset default"},
		{"preset", sources{args: []string{"--preset=cost"}}, 5, "preset cost"},
		{"preset from the environment", sources{env: []string{"SLUICE_PRESET=production"}}, 50, "preset production"},
		{"preset from the file", sources{file: "preset: throughput"}, 50, "preset throughput"},
		{"preset by flag beats file", sources{file: "preset: throughput", args: []string{"--preset=cost"}}, 5, "preset cost"},
		{"file beats preset by flag", sources{file: file, args: []string{"--preset=cost"}}, 11, "file sluice.yaml:2"},
		{"file", sources{file: file}, 11, "file sluice.yaml:2"},
		{"environment beats file", sources{file: file, env: env}, 12, "environment SLUICE_MAX_SIZE"},
		{"empty environment is not set", sources{file: file, env: []string{"SLUICE_MAX_SIZE="}}, 11, "file sluice.yaml:2"},
		{"flag beats all", sources{file: file, env: env, args: flag}, 13, "flag --max-size"},
		{"flag beats file", sources{file: file, args: flag}, 13, "flag --max-size"},
		{"flag beats environment", sources{env: env, args: flag}, 13, "flag --max-size"},
		{"last flag wins", sources{args: append(flag, "--max-size=14")}, 14, "flag --max-size"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := mustLoad(t, test.from)
			if c.Autoscale.MaxSize != test.want {
				t.Errorf("%+v: max size %d, want %d", test.from, c.Autoscale.MaxSize, test.want)
			}
			if s := find(t, c, "max_size"); s.Source != test.source {
				t.Errorf("%+v: source %q, want %q", test.from, s.Source, test.source)
			}
		})
	}
}

// TestTheSLOOfACommandWithoutAPolicy: a distributor judges records by the SLO that it is given, and by none of its own.
func TestTheSLOOfACommandWithoutAPolicy(t *testing.T) {
	distributor := []Group{Server, Queue, Intake}
	for _, c := range []struct {
		name  string
		from  sources
		want  time.Duration
		given bool
		value string
	}{
		{"unless given, there is none", sources{groups: distributor}, 0, false, "auto"},
		{"auto is none", sources{groups: distributor, args: []string{"--slo=auto"}}, 0, true, "auto"},
		{"as given", sources{groups: distributor, args: []string{"--slo=7s"}}, 7 * time.Second, true, "7s"},
		{"from the file", sources{groups: distributor, file: "slo: 5s"}, 5 * time.Second, true, "5s"},
		{"with a policy it is 30s", sources{}, 30 * time.Second, false, "30s"},
		{"auto too", sources{args: []string{"--slo=auto"}}, 30 * time.Second, true, "30s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustLoad(t, c.from)
			if got.Policy.SLO != c.want || got.Policy.SLOGiven != c.given || find(t, got, "slo").Value != c.value || got.Policy.SLOTarget != 99.9 {
				t.Errorf("slo %v, given %v, shown as %q, target %v; want %v, %v, %q, 99.9", got.Policy.SLO, got.Policy.SLOGiven,
					find(t, got, "slo").Value, got.Policy.SLOTarget, c.want, c.given, c.value)
			}
		})
	}
}

func TestEverySettingFromEverySource(t *testing.T) {
	values := map[string]string{
		"distributor": "https://logs.example:8443/sluice", "server": "http://logs.example:8001", "listen": "127.0.0.1:0", "log-level": "debug", "log-format": "json", "data": "/tmp/x y",
		"durability": "process", "handler": "sleep", "name": "a: #1", "faults": "true", "preset": "cost", "min-free-bytes": "1MiB",
		"lease": "45s", "max-bytes": "1GB", "max-body-bytes": "3MiB", "max-record-bytes": "2KiB", "max-batch-bytes": "64KiB",
		"max-in-flight-bytes": "65MiB", "max-pending-bytes": "3MB", "memory-limit": "1GiB", "scale-down-threshold": "9", "hold": "2.5s",
		"max-attempts": "3", "split-after": "3", "min-size": "3", "max-size": "4", "scale-up-threshold": "20",
		"policy": "kpa", "governor": "false", "seasonal": "true", "dry-run": "true", "league": "slo,hpa", "autoscaler-state": "/tmp/state.json",
		"multiline": "false", "token-file": "/etc/tokens", "base-path": "/logs", "read-only": "true", "allowed-hosts": "sluice,logs.example",
		"tls-cert": "/etc/a.pem", "tls-key": "/etc/b.pem", "tls-client-ca": "/etc/c.pem",
		"tls-ca": "/etc/d.pem", "tls-client-cert": "/etc/e.pem", "tls-client-key": "/etc/f.pem",
		"policy-settings": "down_window=30s,target=20", "slo-target": "99.5%",
	}
	for i := range table {
		s := &table[i]
		if s.name == "json" || s.name == "config" {
			continue
		}
		want, ok := values[s.name]
		if kind := s.field(bare()).kind; !ok && kind == isWhole {
			want = "5"
		} else if !ok && kind == isDuration {
			want = "7s"
		}
		for _, test := range []struct {
			from   sources
			source string
		}{
			{sources{args: []string{"--" + s.name + "=" + want}}, "flag --" + s.name},
			{sources{env: []string{s.env() + "=" + want}}, "environment " + s.env()},
			{sources{file: s.key() + `: "` + want + `"`}, "file sluice.yaml:1"},
		} {
			switch s.name {
			case "policy-settings": // only rivals have them
				test.from.env = append(test.from.env, "SLUICE_POLICY=hpa")
			case "tls-cert", "tls-client-cert":
				test.from.env = append(test.from.env, strings.Replace(s.env(), "CERT", "KEY", 1)+"=/etc/key.pem")
			case "tls-key", "tls-client-key":
				test.from.env = append(test.from.env, strings.Replace(s.env(), "KEY", "CERT", 1)+"=/etc/cert.pem")
			case "tls-client-ca":
				test.from.env = append(test.from.env, "SLUICE_TLS_CERT=/etc/cert.pem", "SLUICE_TLS_KEY=/etc/key.pem")
			}
			got := find(t, mustLoad(t, test.from), s.key())
			if got.Value != want || got.Source != test.source {
				t.Errorf("%s: got %q from %q, want %q from %q", s.name, got.Value, got.Source, want, test.source)
			}
			if got.Value == got.Default {
				t.Errorf("%s: the test value %q is the default and shows nothing", s.name, want)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	c := mustLoad(t, sources{})
	if c.Listen != "127.0.0.1:8000" || c.Distributor != "http://127.0.0.1:8000" || c.Queue.Dir != "./sluice-data" || c.Handler.Name != HandlerCount {
		t.Errorf("defaults: listen %q, distributor %q, data %q, handler %q", c.Listen, c.Distributor, c.Queue.Dir, c.Handler.Name)
	}
	if c.MemoryLimit != 200_000_000 || c.MaxIdleConnections != 2000 || c.Handler.SleepPerRecord != 10*time.Millisecond {
		t.Errorf("defaults: memory %d, idle %d, sleep %v", c.MemoryLimit, c.MaxIdleConnections, c.Handler.SleepPerRecord)
	}
	if c.Queue.Lease != 30*time.Second || c.Intake.Hold != time.Second || c.Intake.MaxBatchBytes != 1<<20 {
		t.Errorf("defaults of the rooms: %+v, %+v", c.Queue, c.Intake)
	}
	if c.Queue.Logger != nil || c.Analyzer.Logger != nil || c.Analyzer.Name != "" || c.Queue.MinFreeBytes != 0 || c.Autoscale.ObserveTimeout != 0 {
		t.Errorf("what only the rooms can know was filled in: %+v, %+v", c.Queue, c.Analyzer)
	}
	if slots := (analyzer.Options{}).WithDefaults().Slots; c.Analyzer.Slots != slots {
		t.Errorf("slots %d, want %d", c.Analyzer.Slots, slots)
	}
	if c.Policy.Name != "slo" || c.Policy.SLO != 30*time.Second || c.Autoscale.CheckInterval != time.Second {
		t.Errorf("policy %+v with a check every %v", c.Policy, c.Autoscale.CheckInterval)
	}
	for _, s := range c.Settings() {
		if s.Key == "policy" || s.Key == "check_interval" { // what auto stands for was looked at above
			continue
		}
		if s.Source != "default" && s.Source != "preset default" || s.Value != s.Default {
			t.Errorf("%s: value %q, default %q, source %q", s.Key, s.Value, s.Default, s.Source)
		}
		if s.Doc == "" {
			t.Errorf("%s has no doc", s.Key)
		}
	}
	if got, want := len(c.Settings()), len(table)-1; got != want {
		t.Errorf("%d settings, want %d: all but --json", got, want)
	}
}

// TestWhichPolicy says who is in charge where nobody named a policy, and how often it looks.
func TestWhichPolicy(t *testing.T) {
	for _, c := range []struct {
		args     string
		policy   string
		interval time.Duration
	}{
		{"", "slo", time.Second},
		{"--slo 2s", "slo", 200 * time.Millisecond},
		{"--slo 10m", "slo", time.Second},
		{"--max-size 30 --check-interval 5s", "slo", 5 * time.Second},
		{"--observe-timeout 4s", "slo", 4 * time.Second},
		{"--preset default", "threshold", 10 * time.Second},
		{"--scale-up-threshold 70", "threshold", 10 * time.Second},
		{"--cooldown 5s", "threshold", 10 * time.Second},
		{"--policy threshold", "threshold", 10 * time.Second},
		{"--policy slo --preset production", "slo", 10 * time.Second},
		{"--policy kpa", "kpa", time.Second},
	} {
		got := mustLoad(t, sources{args: strings.Fields(c.args)})
		if got.Policy.Name != c.policy || got.Autoscale.CheckInterval != c.interval {
			t.Errorf("%q: policy %s with a check every %v, want %s and %v", c.args, got.Policy.Name, got.Autoscale.CheckInterval, c.policy, c.interval)
		}
	}
	// A command that does not take the policy has threshold.
	if got := mustLoad(t, sources{groups: []Group{Autoscaler}}); got.Policy.Name != "threshold" || got.Autoscale.CheckInterval != 10*time.Second {
		t.Errorf("without the group: %s every %v", got.Policy.Name, got.Autoscale.CheckInterval)
	}
}

// The table is the one of the issue that asked for the presets.
func TestPresets(t *testing.T) {
	const s = time.Second
	rows := map[string]autoscale.Options{
		"default":     {MinSize: 2, MaxSize: 10, ScaleUpThreshold: 50, ScaleDownThreshold: 10, CheckInterval: 10 * s, Cooldown: 30 * s, ScaleUpCount: 2, ScaleDownCount: 1},
		"bursty":      {MinSize: 2, MaxSize: 10, ScaleUpThreshold: 30, ScaleDownThreshold: 5, CheckInterval: 10 * s, Cooldown: 15 * s, ScaleUpCount: 2, ScaleDownCount: 1},
		"steady":      {MinSize: 2, MaxSize: 10, ScaleUpThreshold: 100, ScaleDownThreshold: 20, CheckInterval: 10 * s, Cooldown: 60 * s, ScaleUpCount: 1, ScaleDownCount: 1},
		"development": {MinSize: 1, MaxSize: 5, ScaleUpThreshold: 50, ScaleDownThreshold: 10, CheckInterval: 10 * s, Cooldown: 30 * s, ScaleUpCount: 1, ScaleDownCount: 1},
		"production":  {MinSize: 5, MaxSize: 50, ScaleUpThreshold: 50, ScaleDownThreshold: 10, CheckInterval: 10 * s, Cooldown: 30 * s, ScaleUpCount: 3, ScaleDownCount: 1},
		"cost":        {MinSize: 1, MaxSize: 5, ScaleUpThreshold: 100, ScaleDownThreshold: 10, CheckInterval: 10 * s, Cooldown: 120 * s, ScaleUpCount: 1, ScaleDownCount: 1},
		"throughput":  {MinSize: 5, MaxSize: 50, ScaleUpThreshold: 20, ScaleDownThreshold: 5, CheckInterval: 10 * s, Cooldown: 15 * s, ScaleUpCount: 3, ScaleDownCount: 1},
	}
	if got := autoscale.PresetNames(); len(got) != len(rows) {
		t.Errorf("presets are %v, want %d", got, len(rows))
	}
	for name, row := range rows {
		want := autoscale.DefaultOptions() // and not the row itself, in which zero is the default
		want.MinSize, want.MaxSize, want.ScaleUpThreshold, want.ScaleDownThreshold = row.MinSize, row.MaxSize, row.ScaleUpThreshold, row.ScaleDownThreshold
		want.CheckInterval, want.Cooldown, want.ScaleUpCount, want.ScaleDownCount = row.CheckInterval, row.Cooldown, row.ScaleUpCount, row.ScaleDownCount
		want.LedgerSize = ledgerSize
		c := mustLoad(t, sources{args: []string{"--preset", name}})
		if c.Autoscale != want || c.Preset != name {
			t.Errorf("preset %s: %+v\nwant %+v", name, c.Autoscale, want)
		}
		want.Cooldown, want.LedgerSize = 7*s, 100
		c = mustLoad(t, sources{file: "ledger_size: 100\ncooldown: 7\npreset: " + name})
		if c.Autoscale != want {
			t.Errorf("preset %s with cooldown 7: %+v\nwant %+v", name, c.Autoscale, want)
		}
	}
}

func TestZeroMeansZero(t *testing.T) {
	c := mustLoad(t, sources{file: "min_size: 0\ncooldown: 0\nscale_down_threshold: 0\nhold: 0\nmin_free_bytes: 0\nmemory_limit: 0\nsleep_per_record: 0"})
	if a := c.Autoscale; a.MinSize != 0 || a.Cooldown != 0 || a.ScaleDownThreshold != 0 || a.MaxSize != 10 {
		t.Errorf("autoscaler: %+v", a)
	}
	if c.Intake.Hold >= 0 || c.Queue.MinFreeBytes >= 0 || c.MemoryLimit != 0 || c.Handler.SleepPerRecord != 0 {
		t.Errorf("hold %v, min free %d, memory %d, sleep %v", c.Intake.Hold, c.Queue.MinFreeBytes, c.MemoryLimit, c.Handler.SleepPerRecord)
	}
	for key, want := range map[string]string{"hold": "0s", "min_free_bytes": "0", "cooldown": "0s"} {
		if got := find(t, c, key).Value; got != want {
			t.Errorf("%s shows as %q, want %q", key, got, want)
		}
	}
	c = mustLoad(t, sources{args: []string{"--min-free-bytes=auto", "--observe-timeout=auto"}})
	if c.Queue.MinFreeBytes != 0 || c.Autoscale.ObserveTimeout != 0 || find(t, c, "min_free_bytes").Value != "auto" {
		t.Errorf("auto: min free %d, observe timeout %v", c.Queue.MinFreeBytes, c.Autoscale.ObserveTimeout)
	}

	for _, name := range []string{"lease", "check-interval", "slots", "max-bytes", "max-attempts", "split-after", "retry-delay",
		"max-retry-delay", "max-body-bytes", "max-record-bytes", "max-batch-bytes", "max-batch-records", "max-in-flight-bytes", "max-pending-bytes",
		"drain-timeout", "lease-wait", "max-size", "scale-up-threshold", "scale-up-count", "scale-down-count", "observe-timeout", "ledger-size"} {
		_, err := load(t, sources{args: []string{"--" + name + "=0"}})
		if want := byName(name).key() + " is 0 (flag --" + name + "), want "; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("--%s=0: %v, want %q", name, err, want)
		}
	}
}

func TestDefaultsFollowOtherSettings(t *testing.T) {
	c := mustLoad(t, sources{args: []string{"--max-bytes=4MiB", "--max-attempts=1", "--retry-delay=5m", "--max-body-bytes=1GiB"}})
	if c.Intake.MaxBatchBytes != 1<<20 || c.Intake.MaxRecordBytes != 1<<20 {
		t.Errorf("batch of %d bytes, record of %d; want 1 MiB for both", c.Intake.MaxBatchBytes, c.Intake.MaxRecordBytes)
	}
	if r := c.Queue.Retry; r.SplitAfter != 1 || r.MaxDelay != 5*time.Minute {
		t.Errorf("retry %+v", r)
	}
	if c.Intake.MaxInFlightBytes != 2<<30 {
		t.Errorf("max in flight %d", c.Intake.MaxInFlightBytes)
	}
}

func TestOtherGroupsAreCheckedAndNotUsed(t *testing.T) {
	client := []Group{Client}
	shared := sources{groups: client, file: "max_size: 3\nmin_size: 5\ndata: /elsewhere\ndistributor: http://d:1/", env: []string{"SLUICE_SLOTS=4"}}
	c := mustLoad(t, shared)
	if c.Distributor != "http://d:1" || c.Autoscale.MaxSize != 10 || c.Analyzer.Slots != 1 || c.Queue.Dir != "./sluice-data" {
		t.Errorf("distributor %q, max size %d, slots %d, data %q", c.Distributor, c.Autoscale.MaxSize, c.Analyzer.Slots, c.Queue.Dir)
	}
	if len(c.Settings()) != 8 {
		t.Errorf("settings %+v, want config, log_level, log_format, token_file, distributor and three of TLS", c.Settings())
	}
	shared.file += "\nlease: soon"
	if _, err := load(t, shared); err == nil || !strings.Contains(err.Error(), `lease is "soon" (file sluice.yaml:5)`) {
		t.Errorf("a malformed value of another group: %v", err)
	}
	loader := NewLoader(client...)
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	loader.AddFlags(flags)
	if flags.Lookup("max-size") != nil || flags.Lookup("distributor") == nil || flags.Lookup("log-level") == nil {
		t.Error("the flags are not those of Client and Common")
	}
}

func TestFileIsNamedByFlagOrEnvironment(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": "slots: 2", "b.yaml": "slots: 3", "sluice.yaml": "slots: 4"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, test := range []struct {
		flag, env, file string
		slots           int
	}{
		{"", "", "", 1}, // ./sluice.yaml lies there and is not read
		{"", "a.yaml", "a.yaml", 2},
		{"b.yaml", "a.yaml", "b.yaml", 3},
	} {
		loader := NewLoader(Analyzer)
		flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
		loader.AddFlags(flags)
		if test.flag != "" {
			if err := flags.Set("config", test.flag); err != nil {
				t.Fatal(err)
			}
		}
		c, err := loader.Load([]string{"SLUICE_CONFIG=" + test.env})
		if err != nil || c.Analyzer.Slots != test.slots || c.File != test.file {
			t.Errorf("%+v: %+v, %v", test, c, err)
		}
	}
}

// The bounds in the table must be those of the rooms: what the table lets pass, the rooms take, and nothing less.
func TestBoundsAreThoseOfTheRooms(t *testing.T) {
	c := mustLoad(t, sources{args: []string{"--lease=100ms", "--max-bytes=1MiB", "--max-attempts=1", "--retry-delay=1ns", "--max-retry-delay=1ns",
		"--max-body-bytes=1KiB", "--max-record-bytes=1KiB", "--max-batch-bytes=1KiB", "--max-batch-records=1", "--max-pending-bytes=1KiB",
		"--drain-timeout=1ns", "--lease-wait=1ns", "--check-interval=10ms", "--observe-timeout=10ms", "--ledger-size=1000000",
		"--min-size=0", "--max-size=1", "--scale-up-threshold=1", "--scale-down-threshold=0", "--cooldown=0"}})

	q := c.Queue
	q.Lease, q.MaxBytes = leastLease-1, leastQueueBytes-1
	in := c.Intake
	in.MaxBodyBytes, in.MaxRecordBytes, in.MaxBatchBytes, in.MaxPendingBytes = leastRoom-1, leastRoom-1, leastRoom-1, leastRoom-1
	a := c.Autoscale
	a.CheckInterval, a.LedgerSize, a.MaxSize = leastCheck-1, mostLedger+1, 0
	for _, test := range []struct {
		err  error
		want int
	}{{q.Validate(), 2}, {in.Validate(), 4}, {a.Validate(), 3}} {
		if got := len(apart(test.err)); got != test.want {
			t.Errorf("%d complaints, want %d: %v", got, test.want, test.err)
		}
	}
}
