package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/internal/policies"
)

// checker looks for settings that are fine by themselves and not together.
type checker struct {
	in       *input
	l        *Loader
	c        *Config
	settings map[string]Setting // by name
}

// with names a setting in the middle of a message: max_size (10, preset default).
func (k *checker) with(name string) string {
	s := k.settings[name]
	return fmt.Sprintf("%s (%s, %s)", s.Key, s.Value, s.Source)
}

// fits refuses values that the rooms would change without a word. The values in asked are zero where nothing was given.
func (k *checker) fits(asked *Config) {
	if !slices.Contains(k.l.groups, Intake) {
		return
	}
	in, c := asked.Intake, k.c
	tooMuch := func(name string, value int, rule string, args ...any) {
		k.in.problem("%s is %s (%s), want %s",
			byName(name).key(), FormatSize(int64(value)), k.in.given[name].source, fmt.Sprintf(rule, args...))
		k.in.bad[name] = true
	}
	if room := c.Queue.MaxBatchBytes(); in.MaxBatchBytes > room && slices.Contains(k.l.groups, Queue) {
		tooMuch("max-batch-bytes", in.MaxBatchBytes, "at most %s with %s", FormatSize(int64(room)), k.with("max-bytes"))
	}
	if in.MaxRecordBytes > c.Intake.MaxBatchBytes {
		tooMuch("max-record-bytes", in.MaxRecordBytes, "at most %s", k.with("max-batch-bytes"))
	}
	if in.MaxInFlightBytes > 0 && in.MaxInFlightBytes < 2*c.Intake.MaxBodyBytes {
		tooMuch("max-in-flight-bytes", in.MaxInFlightBytes, "at least twice %s", k.with("max-body-bytes"))
	}
}

// together refuses settings that mean nothing without another.
func (k *checker) together() {
	c := k.c
	for _, pair := range []struct {
		group          Group
		name, needs    string
		value, missing string
	}{
		{Server, "tls-cert", "tls-key", c.TLSCert, c.TLSKey},
		{Server, "tls-key", "tls-cert", c.TLSKey, c.TLSCert},
		{Server, "tls-client-ca", "tls-cert", c.TLSClientCA, c.TLSCert},
		{Client, "tls-client-cert", "tls-client-key", c.TLSClientCert, c.TLSClientKey},
		{Client, "tls-client-key", "tls-client-cert", c.TLSClientKey, c.TLSClientCert},
	} {
		if slices.Contains(k.l.groups, pair.group) && pair.value != "" && pair.missing == "" {
			k.in.problem("%s is %s (%s), want %s beside it", byName(pair.name).key(), quoted(pair.value), k.in.given[pair.name].source, byName(pair.needs).key())
		}
	}
	url, given := k.in.given["distributor"]
	if !slices.Contains(k.l.groups, Client) || !given || !strings.HasPrefix(c.Distributor, "http://") {
		return
	}
	for _, name := range []string{"tls-ca", "tls-client-cert"} { // what is meant to be secret would go over the wire as it is
		if g, ok := k.in.given[name]; ok && g.text != "" {
			k.in.problem("%s is %s (%s), want distributor to begin with https://; it is %s (%s)", byName(name).key(), quoted(g.text), g.source, quoted(url.text), url.source)
		}
	}
}

// rooms asks each room that is in use what it thinks of its options.
func (k *checker) rooms() {
	c := k.c
	for _, room := range []struct {
		group    Group
		validate func() error
	}{
		{Queue, c.Queue.Validate},
		{Intake, c.Intake.WithDefaults().Validate},
		{Analyzer, c.Analyzer.WithDefaults().Validate},
		{Autoscaler, c.autoscaler().Validate},
		{Policy, c.policyProblems},
	} {
		if !slices.Contains(k.l.groups, room.group) {
			continue
		}
		names := fieldNames(room.group)
		for _, err := range apart(room.validate()) {
			k.translate(err, names)
		}
	}
}

// autoscaler is the options as the autoscaler will see them: those of the threshold policy count only where it is in charge.
func (c *Config) autoscaler() autoscale.Options {
	o := c.Autoscale
	if c.Policy.Name != "threshold" {
		o.Policy = (*autoscale.SLO)(nil) // only that there is one matters here
	}
	return o
}

// policyProblems builds the policy as the process will, to see whether that works. What threshold reads was looked at already.
func (c *Config) policyProblems() error {
	if len(c.Policy.Settings) > 0 {
		if !slices.Contains(rivals.Names(), c.Policy.Name) {
			return fmt.Errorf("config: PolicySettings is given, want nothing there for %s, which has settings of its own", c.Policy.Name)
		}
		if _, err := rivals.New(c.Policy.Name, c.Policy.Settings); err != nil {
			return fmt.Errorf("config: PolicySettings: %s", strings.NewReplacer("rivals: ", "", "\n", "; ").Replace(err.Error()))
		}
	}
	if c.Policy.Name == "threshold" {
		return nil
	}
	_, err := policies.New(c.Policy.Name, c.PolicyOptions())
	return err
}

// ScalerProblems is everything that the autoscaler and its policy find wrong with their options, in their own words.
func (c *Config) ScalerProblems() []error {
	return apart(errors.Join(c.autoscaler().Validate(), c.policyProblems()))
}

// PolicyOptions is what the policies are built from.
func (c *Config) PolicyOptions() policies.Options {
	return policies.Options{
		Threshold: c.Autoscale,
		SLO: autoscale.SLOOptions{
			SLO: c.Policy.SLO, CheckInterval: c.Autoscale.CheckInterval, MaxReversals: c.Policy.MaxReversals,
			Startup: -1, // analyzers are goroutines, and work at once
		},
		Rivals: map[string]rivals.Settings{c.Policy.Name: c.Policy.Settings},
	}
}

// translate puts a room's complaint into the words of settings: what it calls MinSize is min_size here, and came from somewhere.
// A complaint about a setting that is a problem already is left out, since it may be about a stand-in.
func (k *checker) translate(err error, names map[string]string) {
	known := false
	_, text, _ := strings.Cut(err.Error(), ": ") // without the room's name
	text = fieldWords.ReplaceAllStringFunc(text, func(match string) string {
		parts := fieldWords.FindStringSubmatch(match)
		name, ok := names[parts[1]]
		if !ok {
			return match
		}
		s, rest := k.settings[name], parts[2]
		known = known || k.standIn(byName(name))
		switch {
		case rest == "":
			return s.Key
		case strings.HasPrefix(rest, " is "):
			return fmt.Sprintf("%s is %s (%s)", s.Key, s.Value, s.Source)
		case strings.HasPrefix(rest, " ("):
			return k.with(name)
		}
		return fmt.Sprintf("%s %s (%s)", s.Key, s.Value, s.Source)
	})
	if !known {
		k.in.problem("%s", text)
	}
}

// standIn is true where the value is not what somebody wanted, because what they wrote could not be used.
func (k *checker) standIn(s *setting) bool {
	_, said := k.in.given[s.name]
	return k.in.bad[s.name] || k.in.bad["preset"] && s.inPreset() && !said
}

// fieldWords matches the name of a field in a room's complaint, with its value in any of the forms in use:
// `MinSize is 12`, `MaxSize (10)` and `and MaxDelay 1m0s`.
var fieldWords = regexp.MustCompile(`\b([A-Z][A-Za-z]+)( is [^\s,]+| \([^)]*\)| [0-9][^\s,]*)?`)

// fieldNames finds the setting behind the field of a room's options.
func fieldNames(g Group) map[string]string {
	names := make(map[string]string)
	for i := range table {
		if s := &table[i]; s.group == g {
			names[s.roomField()] = s.name
		}
	}
	return names
}

// roomField is what the room calls the setting: for most of them, the words of its name written together.
func (s *setting) roomField() string {
	switch s.name {
	case "data":
		return "Dir"
	case "retry-delay":
		return "Delay"
	case "max-retry-delay":
		return "MaxDelay"
	}
	var b strings.Builder
	for word := range strings.SplitSeq(s.name, "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// apart takes a joined error apart.
func apart(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	for _, e := range joined.Unwrap() {
		list = append(list, apart(e)...)
	}
	return list
}
