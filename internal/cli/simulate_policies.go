package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/rivals"
	"github.com/sluicehq/sluice/internal/config"
)

// sloSettings are the settings of slo that --set knows. What it has to achieve has flags.
var sloSettings = []string{"startup", "late_share", "max_reversals", "governor", "seasonal"}

// choosePolicies builds a fresh policy for each name.
func (s *simulation) choosePolicies() error {
	var errs []error
	for _, name := range s.flags.policies {
		s.names = append(s.names, strings.TrimSpace(name))
	}
	if slices.Equal(s.names, []string{"all"}) {
		s.names = policyNames()
	}
	if len(s.names) == 0 {
		errs = append(errs, fmt.Errorf("--policy is empty, want some of %s", strings.Join(policyNames(), ", ")))
	}
	for i, name := range s.names {
		switch {
		case slices.Contains(s.names[:i], name):
			errs = append(errs, fmt.Errorf("--policy names %q twice", name))
		case !slices.Contains(policyNames(), name):
			errs = append(errs, unknownPolicy(name, policyNames()))
		}
	}
	settings, err := s.flags.policySettings(s.names)
	if err != nil {
		errs = append(errs, err)
	}
	for i, name := range s.names {
		if !slices.Contains(policyNames(), name) || slices.Contains(s.names[:i], name) {
			continue // told already
		}
		p, err := s.newPolicy(name, settings[name])
		if err != nil {
			errs = append(errs, err)
		}
		s.policies = append(s.policies, p)
	}
	return errors.Join(errs...)
}

func unknownPolicy(name string, known []string) error {
	return fmt.Errorf("unknown policy %q (policies: %s)%s", name, strings.Join(known, ", "), config.DidYouMean(name, known))
}

// policySettings are what --set says, by policy.
func (f *simulateFlags) policySettings(names []string) (map[string]rivals.Settings, error) {
	all := map[string]rivals.Settings{}
	var errs []error
	for _, text := range f.set {
		left, value, hasValue := strings.Cut(text, "=")
		policy, key, hasKey := strings.Cut(strings.TrimSpace(left), ".")
		switch {
		case !hasValue || !hasKey:
			errs = append(errs, fmt.Errorf("--set %q, want policy.key=value, such as hpa.target=100", text))
		case policy == "threshold":
			errs = append(errs, fmt.Errorf("--set %q: threshold has flags of its own, such as --scale-up-threshold", text))
		case !slices.Contains(names, policy):
			errs = append(errs, fmt.Errorf("--set %q: %q is not among the policies compared (%s)%s", text, policy, strings.Join(names, ", "),
				config.DidYouMean(policy, names)))
		case !slices.Contains(settingNames(policy), key):
			errs = append(errs, fmt.Errorf("--set %q: %s has no setting %q (settings: %s)%s", text, policy, key,
				strings.Join(settingNames(policy), ", "), config.DidYouMean(key, settingNames(policy))))
		default:
			if all[policy] == nil {
				all[policy] = rivals.Settings{}
			}
			all[policy][key] = value
		}
	}
	return all, errors.Join(errs...)
}

// settingNames are the settings of a policy that --set knows.
func settingNames(policy string) []string {
	if policy == "slo" {
		return sloSettings
	}
	return rivals.SettingNames(policy)
}

func (s *simulation) newPolicy(name string, settings rivals.Settings) (autoscale.Policy, error) {
	switch name {
	case "threshold":
		f := s.flags
		o := autoscale.DefaultOptions() // in which zero is zero
		o.MinSize, o.MaxSize, o.CheckInterval, o.Cooldown = f.minSize, f.maxSize, s.options.CheckInterval, time.Duration(f.cooldown)
		o.ScaleUpThreshold, o.ScaleDownThreshold, o.ScaleUpCount, o.ScaleDownCount = f.upThreshold, f.downThreshold, f.upCount, f.downOne
		if s.options.Validate() != nil { // the bounds are told already
			o.MinSize, o.MaxSize, o.CheckInterval = 1, 1, time.Second
		}
		return o.Threshold(), o.Validate()
	case "slo":
		return s.newSLO(settings)
	default:
		return rivals.New(name, settings)
	}
}

// newSLO builds slo as run has it, with the governor around it.
func (s *simulation) newSLO(settings rivals.Settings) (autoscale.Policy, error) {
	o, governed, err := sloOptions(settings)
	if err != nil {
		return nil, err
	}
	o.SLO, o.CheckInterval = s.options.SLO, s.options.CheckInterval
	slo, err := autoscale.NewSLO(o)
	policy := autoscale.Policy(slo)
	if seasonal, _ := strconv.ParseBool(settings["seasonal"]); err == nil && seasonal {
		policy, err = autoscale.NewSeasonal(slo)
	}
	if err == nil && governed {
		policy, err = autoscale.NewGovernor(policy, autoscale.GovernorOptions{CheckInterval: s.options.CheckInterval})
	}
	if err != nil {
		return nil, fmt.Errorf("policy slo: %w", err)
	}
	return policy, nil
}

func sloOptions(settings rivals.Settings) (o autoscale.SLOOptions, governed bool, err error) {
	governed = true
	var errs []error
	for key, value := range settings {
		var err error
		switch key {
		case "startup":
			o.Startup, err = config.ParseDuration(value)
			if o.Startup == 0 {
				o.Startup = -1 // none, and not the default
			}
		case "late_share":
			o.LateShare, err = strconv.ParseFloat(value, 64)
		case "max_reversals":
			o.MaxReversals, err = strconv.Atoi(value)
		case "governor":
			governed, err = strconv.ParseBool(value)
		case "seasonal":
			_, err = strconv.ParseBool(value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("--set slo.%s=%s: %w", key, value, err))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return o, governed, errors.Join(errs...)
}
