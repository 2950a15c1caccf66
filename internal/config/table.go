package config

import (
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/policies"
	"github.com/sluicehq/sluice/queue/disk"
)

// setting is one row of the table that everything else here is read from.
type setting struct {
	name  string // of the flag; key and variable follow from it
	group Group
	doc   string // what it is, its unit and what special values do; no full stop, for it is put into longer lines
	field func(*Config) field
}

const envPrefix = "SLUICE_"

func (s *setting) key() string { return strings.ReplaceAll(s.name, "-", "_") }

func (s *setting) env() string { return envPrefix + strings.ToUpper(s.key()) }

// flagOnly is true for what has no key and no variable.
func (s *setting) flagOnly() bool { return s.name == "json" }

// noKey is true for what a file can't say: which file to read, for one.
func (s *setting) noKey() bool { return s.flagOnly() || s.name == "config" }

// judges is true for what a command with a queue takes even if it has no policy: by what records are judged.
func (s *setting) judges() bool { return s.name == "slo" || s.name == "slo-target" }

// inPreset is true for the values that a preset has.
func (s *setting) inPreset() bool { return slices.Contains(presetValues, s.name) }

var presetValues = []string{
	"min-size", "max-size", "scale-up-threshold", "scale-down-threshold",
	"check-interval", "cooldown", "scale-up-count", "scale-down-count",
}

// Bounds that the rooms check as well. A test compares.
const (
	leastLease      = 100 * time.Millisecond
	leastQueueBytes = 1 << 20
	leastRoom       = 1 << 10 // for bodies, records and batches
	leastCheck      = 10 * time.Millisecond
	leastSLO        = 10 * time.Millisecond
	mostLedger      = 1_000_000
	mostHistory     = 3650 // days
)

// leastMemory keeps the collector from running all the time.
const leastMemory = 16 << 20

// byName finds a setting.
func byName(name string) *setting {
	for i := range table {
		if table[i].name == name {
			return &table[i]
		}
	}
	return nil
}

// table is in the order in which settings are printed.
var table = slices.Concat(commonSettings, serverSettings, queueSettings, intakeSettings, analyzerSettings, autoscalerSettings, policySettings)

var commonSettings = []setting{
	{"config", Common, "YAML file to read settings from; none is read unless it is named",
		func(c *Config) field { return file(&c.File) }},
	{"log-level", Common, "least important lines to log",
		func(c *Config) field { return level(&c.LogLevel) }},
	{"log-format", Common, "form of the log; auto is text on a terminal and JSON elsewhere",
		func(c *Config) field { return choice(&c.LogFormat, LogAuto, LogText, LogJSON) }},
	{"token-file", Common, "file of bearer tokens, one a line, with its scopes behind it: a server asks for one of them, a client sends the first that may do what it is about to; read again when it changes",
		func(c *Config) field { return file(&c.TokenFile) }},

	{"distributor", Client, "address of the distributor to talk to",
		func(c *Config) field { return server(&c.Distributor) }},
	{"server", Ask, "address of the process to ask: run, distributor or analyze; unless set, that of distributor, else that of listen on this machine",
		func(c *Config) field { return server(&c.Server) }},
	{"tls-ca", Client, "PEM file of certificates that have to have signed that of a distributor at https; empty is those of the system",
		func(c *Config) field { return file(&c.TLSCA) }},
	{"tls-client-cert", Client, "PEM file of the certificate to show to a distributor that asks for one; read again when it changes",
		func(c *Config) field { return file(&c.TLSClientCert) }},
	{"tls-client-key", Client, "PEM file of the private key of tls_client_cert",
		func(c *Config) field { return file(&c.TLSClientKey) }},
	{"json", Client, "print JSON, for programs",
		func(c *Config) field { return truth(&c.JSON) }},
}

var serverSettings = []setting{
	{"listen", Server, "address to serve HTTP on; :8000 is port 8000 of all interfaces, for which set token_file; port 0 takes any that is free",
		func(c *Config) field { return address(&c.Listen) }},
	{"allowed-hosts", Server, "names under which browsers and clients reach the server, with commas between them; IP addresses and localhost always do, and with token_file any name unless some are given",
		func(c *Config) field { return hosts(&c.AllowedHosts) }},
	{"tls-cert", Server, "PEM file of the server's certificate and those behind it: serve HTTPS; read again when it changes",
		func(c *Config) field { return file(&c.TLSCert) }},
	{"tls-key", Server, "PEM file of the private key of tls_cert",
		func(c *Config) field { return file(&c.TLSKey) }},
	{"tls-client-ca", Server, "PEM file of certificates that have to have signed the one that each client shows; empty asks clients for none",
		func(c *Config) field { return file(&c.TLSClientCA) }},
	{"base-path", Server, "path below which everything is served, for a proxy that passes it on",
		func(c *Config) field { return basePath(&c.BasePath) }},
	{"read-only", Server, "refuse to be steered over HTTP: pause, force, settings, dead letters, analyzers",
		func(c *Config) field { return truth(&c.ReadOnly) }},
	{"max-idle-connections", Server, "client connections that may stay open without a request",
		func(c *Config) field { return whole(&c.MaxIdleConnections, 1, 0) }},
	{"memory-limit", Server, "heap at which garbage is collected harder, a soft limit; 0 sets none",
		func(c *Config) field { return inBytes(&c.MemoryLimit, leastMemory, true) }},
}

var queueSettings = []setting{
	{"data", Queue, "folder for everything that is kept on disk; made if missing",
		func(c *Config) field { f := wording(&c.Queue.Dir, true); f.shape = "folder"; return f }},
	{"durability", Queue, "what an accepted record survives: disk a power cut, process only the end of the process",
		func(c *Config) field {
			return choice(&c.Queue.Durability, string(disk.Disk), string(disk.Process))
		}},
	{"lease", Queue, "how long an analyzer that went silent keeps a batch before another gets it",
		func(c *Config) field { return atLeast(&c.Queue.Lease, leastLease) }},
	{"max-bytes", Queue, "most disk space for batches that wait; then records are pushed back",
		func(c *Config) field { return inBytes(&c.Queue.MaxBytes, leastQueueBytes, false) }},
	{"min-free-bytes", Queue, "free disk space below which records are pushed back; 0 does not look, auto is 5 % of the disk but 8MiB to 256MiB",
		func(c *Config) field {
			p := &c.Queue.MinFreeBytes
			return orAuto(p, zeroIsOff(p, func(p *int64) field { return inBytes(p, 0, false) }))
		}},
	{"max-attempts", Queue, "attempts before a failing record becomes a dead letter; three times as many where its process vanished each time",
		func(c *Config) field { return whole(&c.Queue.Retry.MaxAttempts, 1, 0) }},
	{"split-after", Queue, "attempts before a failing batch is split to find the record to blame; at most max_attempts",
		func(c *Config) field { return whole(&c.Queue.Retry.SplitAfter, 1, 0) }},
	{"retry-delay", Queue, "pause before the second attempt, doubled for each later one",
		func(c *Config) field { return atLeast(&c.Queue.Retry.Delay, time.Nanosecond) }},
	{"max-retry-delay", Queue, "longest pause between attempts; never less than retry_delay",
		func(c *Config) field { return atLeast(&c.Queue.Retry.MaxDelay, time.Nanosecond) }},
	{"history-days", Queue, "days for which arrivals, sizes and decisions are kept besides today, in the folder history of the data folder; 0 keeps none",
		func(c *Config) field { return whole(&c.HistoryDays, 0, mostHistory) }},
}

var intakeSettings = []setting{
	{"max-body-bytes", Intake, "largest request body, inflated",
		func(c *Config) field { return inBytes(&c.Intake.MaxBodyBytes, leastRoom, false) }},
	{"max-record-bytes", Intake, "largest record; at most max_batch_bytes",
		func(c *Config) field { return inBytes(&c.Intake.MaxRecordBytes, leastRoom, false) }},
	{"max-batch-bytes", Intake, "largest batch before compression; the default is less where max_bytes is small",
		func(c *Config) field { return inBytes(&c.Intake.MaxBatchBytes, leastRoom, false) }},
	{"max-batch-records", Intake, "most records in a batch",
		func(c *Config) field { return whole(&c.Intake.MaxBatchRecords, 1, 0) }},
	{"max-in-flight-bytes", Intake, "memory for all bodies being read or stored; at least twice max_body_bytes",
		func(c *Config) field { return inBytes(&c.Intake.MaxInFlightBytes, leastRoom, false) }},
	{"max-pending-bytes", Intake, "memory for records that wait to be stored",
		func(c *Config) field { return inBytes(&c.Intake.MaxPendingBytes, leastRoom, false) }},
	{"multiline", Intake, "join the lines of a stack trace in text to the line before them, one record instead of many; a request may say otherwise with ?multiline=",
		func(c *Config) field { return opposite(&c.Intake.SplitLines) }},
	{"hold", Intake, "how long a request waits for room before it is pushed back; 0 does not wait",
		func(c *Config) field {
			return zeroIsOff(&c.Intake.Hold, func(p *time.Duration) field { return atLeast(p, 0) })
		}},
}

var analyzerSettings = []setting{
	{"handler", Analyzer, "what analyzers do with records: count them, sleep a while for each, or discard them",
		func(c *Config) field { return choice(&c.Handler.Name, HandlerCount, HandlerSleep, HandlerDiscard) }},
	{"slots", Analyzer, "batches that one analyzer works on at once",
		func(c *Config) field { return whole(&c.Analyzer.Slots, 1, 0) }},
	{"drain-timeout", Analyzer, "how long an analyzer that must go may finish what it has in hand",
		func(c *Config) field { return atLeast(&c.Analyzer.DrainTimeout, time.Nanosecond) }},
	{"lease-wait", Analyzer, "how long one request for work waits at an empty queue",
		func(c *Config) field { return atLeast(&c.Analyzer.LeaseWait, time.Nanosecond) }},
	{"name", Analyzer, "prefix of the analyzers' names; empty is host, process and random digits",
		func(c *Config) field { return wording(&c.Analyzer.Name, false) }},
	{"sleep-per-record", Analyzer, "what the sleep handler takes for each record",
		func(c *Config) field { return atLeast(&c.Handler.SleepPerRecord, 0) }},
	{"faults", Analyzer, "let the sleep handler obey the attribute sluice.fault of records: error, discard, panic or exit; for tests",
		func(c *Config) field { return truth(&c.Handler.Faults) }},
}

var autoscalerSettings = []setting{
	{"preset", Autoscaler, "named values for the eight settings from min_size to scale_down_count; each can still be set by itself",
		func(c *Config) field {
			f := choice(&c.Preset, autoscale.PresetNames()...)
			set := f.set
			f.set = func(text string) error {
				if err := set(text); err != nil {
					return err
				}
				o, err := autoscale.Preset(c.Preset)
				o.ObserveTimeout, o.LedgerSize, o.DryRun = c.Autoscale.ObserveTimeout, c.Autoscale.LedgerSize, c.Autoscale.DryRun
				c.Autoscale = o
				return err
			}
			f.shape = "name"
			f.rule = strings.Join(autoscale.PresetNames(), ", ")
			return f
		}},
	{"min-size", Autoscaler, "fewest analyzers; 0 lets the pool empty",
		func(c *Config) field { return whole(&c.Autoscale.MinSize, 0, 0) }},
	{"max-size", Autoscaler, "most analyzers",
		func(c *Config) field { return whole(&c.Autoscale.MaxSize, 1, 0) }},
	{"scale-up-threshold", Autoscaler, "waiting records at which the pool grows",
		func(c *Config) field { return whole(&c.Autoscale.ScaleUpThreshold, 1, 0) }},
	{"scale-down-threshold", Autoscaler, "waiting records at which the pool shrinks; less than scale_up_threshold",
		func(c *Config) field { return whole(&c.Autoscale.ScaleDownThreshold, 0, 0) }},
	{"check-interval", Autoscaler, "time between two looks at the queue; unless given, a second or a tenth of slo with any policy but threshold",
		func(c *Config) field { return atLeast(&c.Autoscale.CheckInterval, leastCheck) }},
	{"cooldown", Autoscaler, "time after a change of the pool before the next; 0 does not wait",
		func(c *Config) field { return atLeast(&c.Autoscale.Cooldown, 0) }},
	{"scale-up-count", Autoscaler, "analyzers added at a time",
		func(c *Config) field { return whole(&c.Autoscale.ScaleUpCount, 1, 0) }},
	{"scale-down-count", Autoscaler, "analyzers removed at a time",
		func(c *Config) field { return whole(&c.Autoscale.ScaleDownCount, 1, 0) }},
	{"observe-timeout", Autoscaler, "how long one look may take before the depth counts as unknown; auto is check_interval but at most 5s",
		func(c *Config) field {
			p := &c.Autoscale.ObserveTimeout
			return orAuto(p, atLeast(p, time.Nanosecond))
		}},
	{"ledger-size", Autoscaler, "decisions to keep for reading",
		func(c *Config) field { return whole(&c.Autoscale.LedgerSize, 1, mostLedger) }},
}

var policySettings = []setting{
	{"policy", Policy, "what names the size of the pool; auto is slo, or threshold where a preset or a setting of threshold is given",
		func(c *Config) field {
			f := choice(&c.Policy.Name, append([]string{PolicyAuto}, policies.Names()...)...)
			f.shape = "name"
			f.rule = strings.Join(append([]string{PolicyAuto}, policies.Names()...), ", ")
			return f
		}},
	{"policy-settings", Policy, "settings of a policy that is neither slo nor threshold, such as target=20,down_window=30s; what is not there has its product's default",
		func(c *Config) field { return pairs(&c.Policy.Settings) }},
	{"slo", Policy, "longest wait that a record may have, from its acceptance until it is analyzed: what the slo policy aims at, and what records are judged by; auto is 30s, and no SLO at a distributor",
		func(c *Config) field { return orAuto(&c.Policy.SLO, atLeast(&c.Policy.SLO, leastSLO)) }},
	{"slo-target", Policy, "percent of the records that must be analyzed within slo; the rest is the error budget",
		func(c *Config) field { return percent(&c.Policy.SLOTarget, 50, 99.9999) }},
	{"max-reversals", Policy, "changes of direction an hour that the slo policy may make; 0 sets no limit",
		func(c *Config) field { return whole(&c.Policy.MaxReversals, 0, 0) }},
	{"governor", Policy, "keep the slo policy from starting analyzers that bring no more throughput",
		func(c *Config) field { return truth(&c.Policy.Governor) }},
	{"seasonal", Policy, "let the slo policy have analyzers ready for what came on both of the last two days, or weeks, at this time, where starting them takes longer than slo",
		func(c *Config) field { return truth(&c.Policy.Seasonal) }},
	{"worker-hours", Policy, "most analyzer-hours in any 24 hours, whatever the policy; min_size is kept all the same; 0 sets no limit",
		func(c *Config) field { return whole(&c.Policy.WorkerHours, 0, 1e9) }},
	{"dry-run", Policy, "decide and explain, and leave the pool as it is",
		func(c *Config) field { return truth(&c.Autoscale.DryRun) }},
	{"league", Policy, "policies to compare with the one in charge, on the same traffic and without touching the pool; all or none",
		func(c *Config) field { return names(&c.Policy.League, policies.Names()) }},
	{"autoscaler-state", Policy, "file that keeps what the autoscaler has learned; empty is autoscaler.json in the data folder, or no file where there is none",
		func(c *Config) field { return file(&c.Policy.State) }},
}
