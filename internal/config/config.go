package config

import (
	"log/slog"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/queue/disk"
)

// Group is a part of the settings that a command takes or leaves.
type Group string

// The groups, in the order in which they are printed. Every [Loader] takes Common.
const (
	Common     Group = "common"     // the configuration file and the log
	Client     Group = "client"     // talking to a distributor
	Ask        Group = "ask"        // asking a process that runs
	Server     Group = "server"     // being one
	Queue      Group = "queue"      // the embedded queue
	Intake     Group = "intake"     // taking records in
	Analyzer   Group = "analyzer"   // the pool and its handler
	Autoscaler Group = "autoscaler" // the bounds of the pool and the threshold policy
	Policy     Group = "policy"     // which policy names the size, and what is around it
)

// Groups lists all groups.
func Groups() []Group {
	return []Group{Common, Client, Ask, Server, Queue, Intake, Analyzer, Autoscaler, Policy}
}

// Formats of the log.
const (
	LogAuto = "auto" // text on a terminal, JSON otherwise
	LogText = "text"
	LogJSON = "json"
)

// Names of the handlers.
const (
	HandlerCount   = "count"
	HandlerSleep   = "sleep"
	HandlerDiscard = "discard"
)

// Config is everything that can be set. After [Loader.Load] its values are checked and the defaults are filled in, save for
// what only the room itself can know: a nil Logger, an empty Analyzer.Name, Queue.MinFreeBytes 0 and
// Autoscale.ObserveTimeout 0 still stand for the room's own choice.
type Config struct {
	File      string     // path of the configuration file; empty if there was none
	LogLevel  slog.Level // what is too small to be logged
	LogFormat string     // LogAuto, LogText or LogJSON
	TokenFile string     // file of bearer tokens, to ask for and to send; empty for none

	Distributor   string // URL of the distributor, without a slash at the end
	Server        string // URL of the process to ask, without a slash at the end; see ServerNamed
	ServerNamed   bool   // Server was named, as server or as distributor, and does not merely follow from Listen or the defaults
	TLSCA         string // file of certificates that vouch for a server at https; empty for those of the system
	TLSClientCert string // file of the certificate that a client shows; empty for none
	TLSClientKey  string // file of its private key
	JSON          bool   // print JSON for programs instead of text for people

	Listen             string   // address to serve HTTP on
	AllowedHosts       []string // names that it answers to besides localhost and IP addresses
	TLSCert            string   // file of the server's certificate; empty for no TLS
	TLSKey             string   // file of its private key
	TLSClientCA        string   // file of certificates that vouch for clients; empty asks clients for none
	MaxIdleConnections int      // connections that may be open and idle
	BasePath           string   // everything lies below it, such as "/sluice"; empty for none
	ReadOnly           bool     // nobody may steer over HTTP
	MemoryLimit        int64    // soft limit of the Go heap in bytes; 0 means none

	Queue       disk.Options
	HistoryDays int // days for which the arrivals per second are kept besides today; 0 means none

	Intake    distributor.Options
	Analyzer  analyzer.Options // Size and Remote are for the caller to set
	Handler   HandlerConfig
	Preset    string            // the name of the autoscaler's preset
	Autoscale autoscale.Options // Policy is for the caller to set
	Policy    PolicyConfig

	settings []Setting
}

// HandlerConfig says what the analyzers do with a batch.
type HandlerConfig struct {
	Name           string        // HandlerCount, HandlerSleep or HandlerDiscard
	SleepPerRecord time.Duration // how long the sleep handler takes for each record
	Faults         bool          // whether the sleep handler obeys the fault attribute of records
}

// PolicyConfig says which policy names the size of the pool. After [Loader.Load], Name is never PolicyAuto. A command that does
// not take these settings has the threshold policy.
type PolicyConfig struct {
	Name         string          // one of policies.Names
	Settings     rivals.Settings // of the policy, where it is a rival
	SLO          time.Duration   // longest wait that a record may have; 0 only where a command without a policy was given none
	SLOGiven     bool            // whether the operator set it
	SLOTarget    float64         // percent of the records that must be analyzed within it
	MaxReversals int             // changes of direction per hour that slo may make; 0 sets no limit
	Governor     bool            // whether slo is kept from analyzers that bring nothing
	Seasonal     bool            // whether slo has workers ready for what repeats by day and week
	WorkerHours  int             // in any 24 hours, for any policy; 0 sets no limit
	League       []string        // policies that are compared with the one in charge
	State        string          // file that keeps what was learned; empty is the caller's choice
}

// PolicyAuto is slo, unless a preset or a setting of the threshold policy was given.
const PolicyAuto = "auto"

// Settings tells each setting of the loaded groups with its value and where that came from. Settings that are flags only are
// left out: they say how to print, not how to work.
func (c *Config) Settings() []Setting { return c.settings }

// ledgerSize is the autoscaler's own default, a day of checks at 10 s.
const ledgerSize = 8640

// bare is a Config in which everything that a room has a default for is still zero.
func bare() *Config {
	c := &Config{
		LogLevel: slog.LevelInfo, LogFormat: LogAuto,
		Distributor: "http://127.0.0.1:8000", Server: "http://127.0.0.1:8000",
		Listen: "127.0.0.1:8000", MaxIdleConnections: 2000, MemoryLimit: 200e6,
		Queue: disk.Options{Dir: "./sluice-data"}, HistoryDays: 14,
		Handler:   HandlerConfig{Name: HandlerCount, SleepPerRecord: 10 * time.Millisecond},
		Preset:    autoscale.PresetNames()[0],
		Autoscale: autoscale.DefaultOptions(),
		Policy:    PolicyConfig{Name: PolicyAuto, SLOTarget: 99.9, Governor: true, League: []string{"threshold", "slo", "hpa", "kpa"}},
	}
	c.Autoscale.LedgerSize = ledgerSize
	return c
}

// fill puts the rooms' defaults where nothing was said.
func (c *Config) fill() {
	c.Queue = c.Queue.WithDefaults()
	c.Queue.Logger = nil

	// Several batches must fit into the queue, which a small one makes harder.
	intake := c.Intake
	if intake.MaxBatchBytes == 0 {
		intake.MaxBatchBytes = min(distributor.Options{}.WithDefaults().MaxBatchBytes, c.Queue.MaxBatchBytes())
	}
	intake = intake.WithDefaults()
	if c.Intake.Hold < 0 {
		intake.Hold = c.Intake.Hold
	}
	c.Intake = intake

	if c.Policy.SLO == 0 {
		c.Policy.SLO = 30 * time.Second
	}

	name := c.Analyzer.Name
	c.Analyzer = c.Analyzer.WithDefaults()
	c.Analyzer.Name, c.Analyzer.Logger = name, nil
}
