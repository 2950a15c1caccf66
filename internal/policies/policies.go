// Package policies builds a policy by its name: for the pool, for the league, for the simulator.
package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
)

// Options are what the policies are built from; each takes what it reads.
type Options struct {
	Threshold autoscale.Options          // of threshold
	SLO       autoscale.SLOOptions       // of slo
	Rivals    map[string]rivals.Settings // of the others, by name; those not in it have their products' defaults
}

// Names lists all policies: our own, then the rivals in order of the alphabet.
func Names() []string {
	return append([]string{"slo", "threshold"}, rivals.Names()...)
}

// New builds a fresh policy. The error names everything wrong with its options.
func New(name string, o Options) (autoscale.Policy, error) {
	switch name {
	case "slo":
		p, err := autoscale.NewSLO(o.SLO)
		if err != nil {
			return nil, err // and not a policy that is a nil pointer
		}
		return p, nil
	case "threshold":
		o.Threshold.Policy = nil
		return o.Threshold.Threshold(), o.Threshold.Validate()
	}
	if !slices.Contains(rivals.Names(), name) {
		return nil, fmt.Errorf("unknown policy %q (policies: %s)", name, strings.Join(Names(), ", "))
	}
	return rivals.New(name, o.Rivals[name])
}
