package autoscale

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// policyFunc is a policy made of a function.
type policyFunc func(o Observation) Proposal

func (f policyFunc) Name() string                  { return "func" }
func (f policyFunc) Decide(o Observation) Proposal { return f(o) }

var noon = time.Date(2030, 5, 6, 12, 0, 0, 0, time.UTC)

// seen is an observation at noon within the default bounds.
func seen(depth, size int) Observation {
	return Observation{Time: noon, Depth: depth, Size: size, MinSize: 2, MaxSize: 10}
}

func acting(ago time.Duration, o Observation) Observation {
	o.LastAction = o.Time.Add(-ago)
	return o
}

func blind(why string, o Observation) Observation {
	o.Unknown = why
	return o
}

// TestPureDepthSequence is the promised sequence without any loop: what counts is the policy.
func TestPureDepthSequence(t *testing.T) {
	policy := DefaultOptions().Threshold()
	size, now, last := 2, noon, time.Time{}
	var got []int
	for _, depth := range []int{5, 60, 85, 8, 3, 3, 3, 3} {
		o := seen(depth, size)
		o.Time, o.LastAction = now, last
		d := Decide(policy, o)
		if d.Action != ActionHold {
			last = now
		}
		size = d.NewSize
		got = append(got, size)
		now = now.Add(policy.Cooldown)
	}
	if want := []int{2, 4, 6, 5, 4, 3, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("sizes %v, want %v", got, want)
	}
}

func TestThreshold(t *testing.T) {
	tests := []struct {
		name   string
		o      Observation
		named  int
		size   int
		action string
		reason string
		clamps []Clamp
	}{
		{"between", seen(34, 4), 4, 4, ActionHold, "depth 34 is between 10 and 50", nil},
		{"up", seen(60, 4), 6, 6, ActionUp, "depth 60 >= 50: up by 2", nil},
		{"up exactly at the threshold", seen(50, 4), 6, 6, ActionUp, "depth 50 >= 50: up by 2", nil},
		{"one below it", seen(49, 4), 4, 4, ActionHold, "depth 49 is between 10 and 50", nil},
		{"up cut by the maximum", seen(60, 9), 11, 10, ActionUp, "depth 60 >= 50: up by 1", []Clamp{{ClampMaxSize, 11, 10}}},
		{"at the maximum", seen(60, 10), 12, 10, ActionHold, "at max size 10", []Clamp{{ClampMaxSize, 12, 10}}},
		{"down", seen(8, 4), 3, 3, ActionDown, "depth 8 <= 10: down by 1", nil},
		{"down exactly at the threshold", seen(10, 4), 3, 3, ActionDown, "depth 10 <= 10: down by 1", nil},
		{"at the minimum", seen(0, 2), 1, 2, ActionHold, "at min size 2", []Clamp{{ClampMinSize, 1, 2}}},
		{"cooldown", acting(17700*time.Millisecond, seen(60, 4)), 6, 4, ActionHold, "cooldown: 12.3s left", []Clamp{{ClampCooldown, 6, 4}}},
		{"last moment of the cooldown", acting(30*time.Second-1, seen(60, 4)), 6, 4, ActionHold, "cooldown: 0.1s left", []Clamp{{ClampCooldown, 6, 4}}},
		{"cooldown over", acting(30*time.Second, seen(60, 4)), 6, 6, ActionUp, "depth 60 >= 50: up by 2", nil},
		{"cooldown with nothing to do", acting(time.Second, seen(34, 4)), 4, 4, ActionHold, "cooldown: 29.0s left", nil},
		{"a clock turned back", acting(-time.Hour, seen(60, 4)), 6, 4, ActionHold, "cooldown: 30.0s left", []Clamp{{ClampCooldown, 6, 4}}},
		{"unknown", blind("timeout", seen(60, 4)), 4, 4, ActionHold, "depth unknown: timeout", nil},
		{"unknown within a cooldown", acting(0, blind("timeout", seen(0, 4))), 4, 4, ActionHold, "depth unknown: timeout", nil},
		{"unknown and above the maximum", blind("timeout", seen(0, 14)), 14, 14, ActionHold, "depth unknown: timeout", nil},
		{"unknown and below the minimum", blind("timeout", seen(0, 1)), 1, 2, ActionUp, "size 1 is below min size 2: up by 1", []Clamp{{ClampMinSize, 1, 2}}},
		{"cooldown and above the maximum", acting(0, seen(60, 14)), 16, 10, ActionDown, "size 14 is above max size 10: down by 4",
			[]Clamp{{ClampCooldown, 16, 14}, {ClampMaxSize, 14, 10}}},
		{"cooldown and below the minimum", acting(0, seen(60, 1)), 3, 2, ActionUp, "size 1 is below min size 2: up by 1",
			[]Clamp{{ClampCooldown, 3, 1}, {ClampMinSize, 1, 2}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := Decide(DefaultOptions().Threshold(), test.o)
			if d.NamedSize != test.named || d.NewSize != test.size || d.Action != test.action || d.Reason != test.reason {
				t.Errorf("named %d, %s to %d because %q, want %d, %s to %d because %q",
					d.NamedSize, d.Action, d.NewSize, d.Reason, test.named, test.action, test.size, test.reason)
			}
			if !slices.Equal(d.Clamps, test.clamps) {
				t.Errorf("clamps %+v, want %+v", d.Clamps, test.clamps)
			}
		})
	}
}

func TestThresholdMayEmptyThePool(t *testing.T) {
	policy := Threshold{ScaleUpThreshold: 1, ScaleUpCount: 1, ScaleDownCount: 5}
	o := Observation{Time: noon, Size: 3, MaxSize: 4}
	if d := Decide(policy, o); d.NewSize != 0 || d.NamedSize != 0 || d.Reason != "depth 0 <= 0: down by 3" {
		t.Errorf("%+v, want 0", d)
	}
	o.Size = 0
	if d := Decide(policy, o); d.Action != ActionHold || d.Reason != "at min size 0" {
		t.Errorf("%+v, want a hold at 0", d)
	}
	o.Depth = 1
	if d := Decide(policy, o); d.NewSize != 1 {
		t.Errorf("%+v, want 1", d)
	}
}

func TestDecideReinsInAnyPolicy(t *testing.T) {
	for named, want := range map[int]int{-5: 2, 0: 2, 5: 5, 99: 10} {
		d := Decide(policyFunc(func(Observation) Proposal { return Proposal{Size: named} }), seen(0, 5))
		if d.NewSize != want || d.NamedSize != named || d.Reason != fmt.Sprintf("func named %d", named) {
			t.Errorf("named %d: %+v, want %d", named, d, want)
		}
	}
	bold := policyFunc(func(Observation) Proposal { return Proposal{Size: 3, Reason: "a hunch"} })
	d := Decide(bold, blind("no signal", seen(0, 5)))
	if d.NewSize != 5 || d.Reason != "depth unknown: no signal" || !slices.Equal(d.Clamps, []Clamp{{ClampUnknown, 3, 5}}) {
		t.Errorf("%+v, want 5 kept without a depth", d)
	}
}

// TestPromisesHoldForAnyInput draws policies, options and observations at random.
func TestPromisesHoldForAnyInput(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	for range 100_000 {
		o := Observation{
			Time: noon.Add(time.Duration(random.IntN(1000)) * time.Second), Depth: random.IntN(200), Size: random.IntN(30),
			MinSize: random.IntN(10), LastAction: noon,
		}
		o.MaxSize = o.MinSize + 1 + random.IntN(15)
		if random.IntN(4) == 0 {
			o.Unknown = "who knows"
		}
		var p Policy = Threshold{
			ScaleUpThreshold: 50 + random.IntN(50), ScaleDownThreshold: random.IntN(50),
			ScaleUpCount: 1 + random.IntN(9), ScaleDownCount: 1 + random.IntN(9), Cooldown: time.Duration(random.IntN(500)) * time.Second,
		}
		if random.IntN(2) == 0 {
			p = policyFunc(func(Observation) Proposal { return Proposal{Size: random.IntN(100) - 50} })
		}
		d := Decide(p, o)
		switch {
		case o.Unknown != "" && d.NewSize < o.Size:
			t.Fatalf("%+v shrinks on unknown: %+v", o, d)
		case o.Unknown == "" && (d.NewSize < o.MinSize || d.NewSize > o.MaxSize):
			t.Fatalf("%+v leaves the bounds: %+v", o, d)
		case d.Action != direction(d.Size, d.NewSize) || d.Reason == "":
			t.Fatalf("%+v does not explain itself: %+v", o, d)
		}
		size := d.NamedSize
		for _, c := range d.Clamps {
			if c.Before != size || c.Before == c.After {
				t.Fatalf("the clamps of %+v are no chain", d)
			}
			size = c.After
		}
		if size != d.NewSize {
			t.Fatalf("the clamps of %+v do not end at its new size", d)
		}
	}
}

// TestLiveSizeStaysWithinBounds plays a day of random depths and failures.
func TestLiveSizeStaysWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(3, 3))
		r := start(t, 5, Options{})
		for range 8640 {
			before := r.pool.Size()
			fails := random.IntN(5) == 0
			r.queue.set(func(q *fakeQueue) {
				q.depth, q.err = random.IntN(120), nil
				if fails {
					q.err = fmt.Errorf("no. %d", q.looks)
				}
			})
			pass(10 * time.Second)
			size := r.pool.Size()
			if size < 2 || size > 10 || (fails && size != before) {
				t.Fatalf("size %d after %d (look failed: %v)", size, before, fails)
			}
		}
		s := r.Stats()
		if s.TotalScaleUps == 0 || s.TotalScaleDowns == 0 {
			t.Errorf("%+v, want some life in it", s)
		}
	})
}

func TestValidateNamesEveryProblem(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		want []string
	}{
		{"everything wrong", Options{
			MinSize: -11, MaxSize: -2, ScaleUpThreshold: -3, ScaleDownThreshold: -4, CheckInterval: -5, Cooldown: -6,
			ScaleUpCount: -7, ScaleDownCount: -8, ObserveTimeout: -9, LedgerSize: -10,
		}, []string{
			"autoscale: MinSize is -11, want 0 or more", "MaxSize is -2, want 1 or more", "ScaleUpThreshold is -3, want 1 or more",
			"ScaleDownThreshold is -4, want 0 or more", "CheckInterval is -5ns, want at least 10ms", "Cooldown is -6ns, want 0 or more",
			"ScaleUpCount is -7, want 1 or more", "ScaleDownCount is -8, want 1 or more", "ObserveTimeout is -9ns", "LedgerSize is -10",
		}},
		{"zeros in options that came complete", func() Options {
			o := DefaultOptions()
			o.MaxSize, o.ScaleUpThreshold, o.CheckInterval, o.ScaleUpCount, o.ScaleDownCount = 0, 0, 0, 0, 0
			return o
		}(), []string{
			"MaxSize is 0, want 1 or more", "ScaleUpThreshold is 0", "CheckInterval is 0s", "ScaleUpCount is 0", "ScaleDownCount is 0",
		}},
		{"out of all proportion", Options{
			MaxSize: 1e9, ScaleUpCount: math.MaxInt, ScaleDownCount: math.MaxInt, CheckInterval: math.MaxInt64, Cooldown: math.MaxInt64,
		}, []string{
			"MaxSize is 1000000000, want at most 1000000", "ScaleUpCount is 9223372036854775807, want at most 1000000",
			"ScaleDownCount is 9223372036854775807", "CheckInterval is 2562047h47m16.854775807s, want at most 24h", "Cooldown is 2562047h47m16.854775807s, want at most 720h",
		}},
		{"crossed", Options{
			MinSize: 9, MaxSize: 3, ScaleUpThreshold: 10, ScaleDownThreshold: 10, CheckInterval: 9 * time.Millisecond,
			ScaleUpCount: 1, ScaleDownCount: 1,
		}, []string{
			"MinSize is 9, want at most MaxSize (3)", "ScaleDownThreshold is 10, want less than ScaleUpThreshold (10)", "CheckInterval is 9ms",
		}},
		{"slow look, vast ledger", Options{ObserveTimeout: time.Minute, LedgerSize: 1e9}, []string{
			"ObserveTimeout is 1m0s, want at most CheckInterval (10s)", "LedgerSize is 1000000000, want at most 1000000",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.o.Validate()
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error does not say %q:\n%v", part, err)
				}
			}
			if got := len(strings.Split(err.Error(), "\n")); got != len(test.want) {
				t.Errorf("%d problems, want %d:\n%v", got, len(test.want), err)
			}
		})
	}
}

func TestValidateAccepts(t *testing.T) {
	bare := Options{MaxSize: 1, ScaleUpThreshold: 1, CheckInterval: 10 * time.Millisecond, ScaleUpCount: 1, ScaleDownCount: 1}
	other := policyFunc(func(o Observation) Proposal { return Proposal{Size: o.Size} })
	for name, o := range map[string]Options{
		"nothing: the defaults":                 {},
		"the bounds alone":                      {MinSize: 2, MaxSize: 10},
		"the defaults with a ledger of one":     {LedgerSize: 1},
		"zeros that mean something":             bare,
		"another policy with bounds of its own": {MinSize: 1, MaxSize: 3, CheckInterval: time.Second, Policy: other},
		"another policy with default bounds":    {Policy: other},
	} {
		if err := o.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestZeroMeansTheDefaultFieldByField tells what becomes of options of which some fields are set.
func TestZeroMeansTheDefaultFieldByField(t *testing.T) {
	d := DefaultOptions().withDefaults()
	changed := func(change func(*Options)) Options {
		o := d
		change(&o)
		return o
	}
	literal := DefaultOptions()
	literal.MinSize, literal.ScaleDownThreshold, literal.Cooldown = 0, 0, 0
	for name, test := range map[string]struct{ o, want Options }{
		"nothing":         {Options{}, d},
		"the bounds":      {Options{MinSize: 2, MaxSize: 10}, d},
		"a large minimum": {Options{MinSize: 20}, changed(func(o *Options) { o.MinSize, o.MaxSize = 20, 20 })},
		"a small maximum": {Options{MaxSize: 1}, changed(func(o *Options) { o.MinSize, o.MaxSize = 1, 1 })},
		"a low threshold": {Options{ScaleUpThreshold: 4}, changed(func(o *Options) { o.ScaleUpThreshold, o.ScaleDownThreshold = 4, 0 })},
		"a high one":      {Options{ScaleDownThreshold: 60}, changed(func(o *Options) { o.ScaleUpThreshold, o.ScaleDownThreshold = 300, 60 })},
		"a step":          {Options{ScaleUpCount: 7}, changed(func(o *Options) { o.ScaleUpCount = 7 })},
		"none": {Options{MinSize: None, ScaleDownThreshold: None, Cooldown: None},
			changed(func(o *Options) { o.MinSize, o.ScaleDownThreshold, o.Cooldown = 0, 0, 0 })},
		"zeros in options that came complete": {literal, changed(func(o *Options) { o.MinSize, o.ScaleDownThreshold, o.Cooldown = 0, 0, 0 })},
	} {
		if got := test.o.withDefaults(); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
		c, err := New(&fakePool{}, &fakeQueue{}, test.o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		o := c.Options()
		if o.MinSize != test.want.MinSize || o.Cooldown != test.want.Cooldown || o.Policy != Policy(test.want.Threshold()) {
			t.Errorf("%s: in use are %+v, want %+v", name, o, test.want)
		}
		if again := o.withDefaults(); again != o {
			t.Errorf("%s: options in use become %+v, want %+v", name, again, o)
		}
	}
}

func TestPresets(t *testing.T) {
	second := time.Second
	want := map[string]Options{
		"default":     {2, 10, 50, 10, 10 * second, 30 * second, 2, 1, 0, 0, nil, nil, false, true},
		"bursty":      {2, 10, 30, 5, 10 * second, 15 * second, 2, 1, 0, 0, nil, nil, false, true},
		"steady":      {2, 10, 100, 20, 10 * second, 60 * second, 1, 1, 0, 0, nil, nil, false, true},
		"development": {1, 5, 50, 10, 10 * second, 30 * second, 1, 1, 0, 0, nil, nil, false, true},
		"production":  {5, 50, 50, 10, 10 * second, 30 * second, 3, 1, 0, 0, nil, nil, false, true},
		"cost":        {1, 5, 100, 10, 10 * second, 120 * second, 1, 1, 0, 0, nil, nil, false, true},
		"throughput":  {5, 50, 20, 5, 10 * second, 15 * second, 3, 1, 0, 0, nil, nil, false, true},
	}
	if got := PresetNames(); len(got) != len(want) || got[0] != "default" {
		t.Errorf("names %v, want %d with the default first", got, len(want))
	}
	for _, name := range PresetNames() {
		got, err := Preset(name)
		if err != nil || got != want[name] {
			t.Errorf("preset %s is %+v, %v, want %+v", name, got, err, want[name])
		}
		if err := got.Validate(); err != nil {
			t.Errorf("preset %s: %v", name, err)
		}
	}
	if DefaultOptions() != want["default"] {
		t.Errorf("defaults %+v, want %+v", DefaultOptions(), want["default"])
	}
	for wrong, hint := range map[string]string{"burst": `did you mean "bursty"?`, "Costs": `"cost"?`, "quantum": "(presets: default, bursty,"} {
		if _, err := Preset(wrong); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("preset %q: %v, want the hint %s", wrong, err, hint)
		}
	}
	if _, err := Preset("quantum"); strings.Contains(err.Error(), "did you mean") {
		t.Errorf("%v suggests something for a word that is like none", err)
	}
}

func TestDecisionSurvivesJSON(t *testing.T) {
	rows := []Decision{
		Decide(DefaultOptions().Threshold(), seen(60, 9)),
		Decide(DefaultOptions().Threshold(), seen(0, 5)),
		Decide(DefaultOptions().Threshold(), blind("gone", seen(0, 5))),
	}
	data, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"depth":60,"size":9,"named_size":11,"new_size":10,"action":"up","clamps":[{"name":"max_size","before":11,"after":10}]`,
		`"depth":0,`, `"depth":null,`, `"clamps":[],"reason":"depth unknown: gone","policy":"threshold"`, `"time":"2030-05-06T12:00:00Z"`,
	} {
		if !strings.Contains(string(data), part) {
			t.Errorf("JSON lacks %s:\n%s", part, data)
		}
	}
	var back []Decision
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if len(rows[i].Clamps) == 0 {
			rows[i].Clamps = []Clamp{}
		}
	}
	if !reflect.DeepEqual(back, rows) {
		t.Errorf("came back as %+v, want %+v", back, rows)
	}
}

func TestStatsSurviveJSON(t *testing.T) {
	last := Decide(DefaultOptions().Threshold(), seen(60, 9))
	full := Stats{
		Policy: "threshold", CurrentSize: 10, MinSize: 2, MaxSize: 10, Checks: 7, TotalScaleUps: 3, TotalScaleDowns: 1,
		InCooldown: true, CooldownRemaining: 12300 * time.Millisecond, Paused: true, ForcedSize: 4, ForcedUntil: noon, LastDecision: &last,
	}
	for _, s := range []Stats{full, {}} {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back Stats
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, s) {
			t.Errorf("%s came back as %+v, want %+v", data, back, s)
		}
	}
}
