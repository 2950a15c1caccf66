package config

import (
	"regexp"
	"slices"
	"strings"
)

// variables picks the settings out of an environment. Variables of ours that nobody knows are problems.
func (in *input) variables(environ []string) map[string]given {
	known := make(map[string]*setting)
	var names []string
	for i := range table {
		if s := &table[i]; !s.flagOnly() {
			known[s.env()] = s
			names = append(names, s.env())
		}
	}
	found := make(map[string]given)
	for _, line := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, envPrefix) || value == "" {
			continue
		}
		if s := known[name]; s != nil {
			found[s.name] = given{value, "environment " + name}
		} else if !foreign(name, value) {
			in.problem("unknown environment variable %s%s", name, DidYouMean(name, names))
		}
	}
	return found
}

// kubernetes matches what a kubelet tells containers about services named sluice or sluice-something.
var kubernetes = regexp.MustCompile(`^SLUICE_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// foreign is true for variables that look like ours and belong to others. The package comment lists them.
func foreign(name, value string) bool {
	return strings.HasPrefix(name, "SLUICE_QUEUETEST_") ||
		kubernetes.MatchString(name) ||
		strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}
