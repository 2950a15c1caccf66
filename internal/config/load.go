package config

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Loader reads the settings of some groups. Make one with [NewLoader], give its flags to a command with AddFlags, and Load when
// they are parsed.
type Loader struct {
	groups []Group
	flags  map[string]*flagValue
}

// NewLoader returns a loader for these groups and [Common].
func NewLoader(groups ...Group) *Loader {
	return &Loader{groups: append([]Group{Common}, groups...), flags: make(map[string]*flagValue)}
}

// takes says whether the setting is of a group that the loader is for.
func (l *Loader) takes(s *setting) bool {
	return slices.Contains(l.groups, s.group) || s.judges() && slices.Contains(l.groups, Queue)
}

// fill puts in the defaults. A command with a queue and without a policy has no SLO of its own.
func (l *Loader) fill(c *Config) {
	slo := c.Policy.SLO
	if c.fill(); !slices.Contains(l.groups, Policy) {
		c.Policy.SLO = slo
	}
}

// FlagGroup is the annotation of a flag that names its group.
const FlagGroup = "group"

// AddFlags registers a flag for each setting. What their values mean is found out by Load, so that all mistakes are told at
// once; parsing the flags refuses unknown flags only.
func (l *Loader) AddFlags(flags *pflag.FlagSet) {
	defaults := NewLoader(l.groups...).build(&input{}) // as they are for these groups
	defaults.Policy.Name = PolicyAuto
	for i := range table {
		s := &table[i]
		if !l.takes(s) {
			continue
		}
		f := s.field(defaults)
		v := &flagValue{text: f.text(), shape: string(f.kind)}
		if f.shape != "" {
			v.shape = f.shape
		}
		flag := flags.VarPF(v, s.name, "", s.sentence(f))
		flag.Annotations = map[string][]string{FlagGroup: {string(s.group)}}
		if f.kind == isBool {
			flag.NoOptDefVal = "true"
		}
		l.flags[s.name] = v
	}
}

// flagValue keeps what was typed until Load. It is a pflag.Value.
type flagValue struct {
	text  string
	shape string
	typed bool
}

func (v *flagValue) String() string { return v.text }

func (v *flagValue) Type() string { return v.shape }

func (v *flagValue) Set(text string) error {
	v.text, v.typed = text, true
	return nil
}

// Load puts together what was typed as flags, what environ (in the form of os.Environ) holds, and the configuration file if one is
// named. It returns either a valid Config or an error that joins everything that is wrong.
func (l *Loader) Load(environ []string) (*Config, error) {
	in := &input{given: make(map[string]given), bad: make(map[string]bool)}

	// From the weakest source to the strongest: each replaces what an earlier one said. Only the name of the file must be known first.
	variables := in.variables(environ)
	file := variables["config"]
	if v := l.flags["config"]; v != nil && v.typed {
		file = given{v.text, "flag --config"}
	}
	if file.text != "" {
		in.file(file)
	}
	for i := range table {
		if v, ok := variables[table[i].name]; ok {
			in.give(&table[i], v)
		}
	}
	for i := range table {
		if v := l.flags[table[i].name]; v != nil && v.typed {
			in.give(&table[i], given{v.text, "flag --" + table[i].name})
		}
	}

	c := l.build(in)
	if len(in.problems) > 0 {
		return nil, errors.Join(in.problems...)
	}
	return c, nil
}

// given is a value as someone wrote it.
type given struct {
	text   string
	source string // for people: "flag --min-size"
}

// rank orders the sources, the strongest highest.
func (g given) rank() int {
	for i, kind := range []string{"file ", "environment ", "flag "} {
		if strings.HasPrefix(g.source, kind) {
			return i
		}
	}
	return -1
}

// input collects what the sources say.
type input struct {
	given    map[string]given  // by the setting's name, from the strongest source so far
	bad      map[string]bool   // settings about which there is a problem already
	derived  map[string]string // where values come from that follow from others, by the setting's name
	problems []error
}

func (in *input) problem(format string, args ...any) {
	in.problems = append(in.problems, fmt.Errorf(format, args...))
}

func (in *input) derive(name, from string) {
	if in.derived == nil {
		in.derived = make(map[string]string)
	}
	in.derived[name] = from
}

// give takes a value if it is well-formed.
func (in *input) give(s *setting, g given) {
	err := s.field(bare()).set(g.text)
	if err != nil {
		in.bad[s.name] = true
		in.problem("%s is %s (%s), %w", s.key(), quoted(g.text), g.source, err)
		return
	}
	in.given[s.name] = g
}

// build makes the Config and checks what concerns several settings together.
func (l *Loader) build(in *input) *Config {
	c := bare()
	// The table has the preset before the values that override it.
	for i := range table {
		s := &table[i]
		if g, ok := in.given[s.name]; ok && l.takes(s) {
			if err := s.field(c).set(g.text); err != nil {
				in.problem("%s: %w", s.key(), err)
			}
		}
	}
	asked := *c
	_, c.Policy.SLOGiven = in.given["slo"]
	l.fill(c)
	l.choosePolicy(c, in)
	l.chooseServer(c, in)
	c.settings = l.describe(c, in)

	check := checker{in: in, c: c, settings: make(map[string]Setting), l: l}
	for _, s := range c.settings {
		check.settings[s.Name] = s
	}
	check.fits(&asked)
	check.together()
	check.rooms()
	return c
}

// choosePolicy settles what auto stands for, and how often a policy other than threshold looks unless somebody said so.
func (l *Loader) choosePolicy(c *Config, in *input) {
	p := &c.Policy
	if !slices.Contains(l.groups, Policy) {
		p.Name = "threshold"
		return
	}
	if p.Name == PolicyAuto {
		p.Name = "slo"
		if by := in.thresholdGiven(); by != "" {
			p.Name = "threshold"
			if slo, ok := in.given["slo"]; ok {
				in.problem("slo is %s (%s), which is for the policy slo, and %s is for threshold; say which one with --policy", quoted(slo.text), slo.source, by)
			}
		}
	}
	if p.Name == "threshold" {
		return
	}
	_, preset := in.given["preset"]
	if _, interval := in.given["check-interval"]; !preset && !interval {
		c.Autoscale.CheckInterval = max(min(time.Second, p.SLO/10), leastCheck, c.Autoscale.ObserveTimeout)
		in.derive("check-interval", "policy "+p.Name)
	}
}

// chooseServer settles which process is asked: the one that is named, the stronger source first; else the one that listens where the
// settings say, unless this process is it.
func (l *Loader) chooseServer(c *Config, in *input) {
	if !slices.Contains(l.groups, Ask) {
		return
	}
	server, named := in.given["server"]
	distributor, older := in.given["distributor"]
	switch {
	case named && (!older || server.rank() >= distributor.rank()):
		c.ServerNamed = true
	case older:
		c.Server, c.ServerNamed = c.Distributor, true
		in.derive("server", "distributor ("+distributor.source+")")
	case !slices.Contains(l.groups, Server):
		listen, ok := in.given["listen"]
		if url := urlOf(listen.text, in.given["base-path"].text, in.given["tls-cert"].text != ""); ok && url != "" {
			c.Server = url
			in.derive("server", "listen ("+listen.source+")")
		}
	}
}

// urlOf is where a process on the same machine answers that listens at an address; empty where that does not say the port.
func urlOf(listen, basePath string, tls bool) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	scheme := "http://"
	if tls {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port) + strings.TrimRight(basePath, "/")
}

// thresholdGiven names the first setting given that only the threshold policy reads, with its source; empty if there is none.
func (in *input) thresholdGiven() string {
	for _, name := range []string{"preset", "scale-up-threshold", "scale-down-threshold", "cooldown", "scale-up-count", "scale-down-count"} {
		if g, ok := in.given[name]; ok {
			return fmt.Sprintf("%s (%s)", byName(name).key(), g.source)
		}
	}
	return ""
}

// describe lists the settings that the loader takes.
func (l *Loader) describe(c *Config, in *input) []Setting {
	defaults := bare()
	l.fill(defaults)
	var list []Setting
	for i := range table {
		s := &table[i]
		if !l.takes(s) || s.flagOnly() {
			continue
		}
		source := "default"
		if by, ok := in.derived[s.name]; ok {
			source = by
		} else if g, ok := in.given[s.name]; ok {
			source = g.source
		} else if s.inPreset() {
			source = "preset " + c.Preset
		}
		list = append(list, s.describe(c, defaults, source))
	}
	return list
}

// plainWord is what needs no quotes around it in a message.
var plainWord = regexp.MustCompile(`^[0-9][0-9A-Za-z.]*$`)

// quoted shows what was typed, without what is secret or too long.
func quoted(text string) string {
	if len(text) <= 40 && plainWord.MatchString(text) {
		return text
	}
	text = withoutPassword(text)
	if len(text) > 80 {
		text = strings.ToValidUTF8(text[:80], "") + "..."
	}
	return strconv.Quote(text)
}

// hidden stands where the user and password of a URL were.
const hidden = "xxxxx"

var password = regexp.MustCompile(`//[^@]*@`)

// withoutPassword hides who logs in to a URL that is not well-formed; rather too much than too little.
func withoutPassword(text string) string {
	return password.ReplaceAllLiteralString(text, "//"+hidden+"@")
}
