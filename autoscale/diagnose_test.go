package autoscale

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// played is a ledger as the default options would have written it: one check every ten seconds, each with the depth given,
// negative meaning unknown. The change may do to each decision what a controller does to it.
func played(size int, o Options, change func(i int, d *Decision), depths ...int) []Decision {
	o = o.withDefaults()
	var rows []Decision
	var last time.Time
	for i, depth := range depths {
		seen := Observation{
			Time: noon.Add(time.Duration(i) * o.CheckInterval), Depth: depth, Size: size,
			MinSize: o.MinSize, MaxSize: o.MaxSize, LastAction: last,
		}
		if depth < 0 {
			seen.Unknown = "connection refused"
		}
		d := Decide(o.Threshold(), seen)
		if change != nil {
			change(i, &d)
		}
		if d.Action != ActionHold {
			last = d.Time
		}
		size = d.NewSize
		rows = append(rows, d)
	}
	return rows
}

// repeat returns n times the depths.
func repeat(n int, depths ...int) []int { return slices.Repeat(depths, n) }

func paused(_ int, d *Decision) { override{paused: true}.apply(d, d.Time) }

func forcedTo5(_ int, d *Decision) {
	override{forced: 5, until: d.Time.Add(time.Hour)}.apply(d, d.Time)
}

func refused(_ int, d *Decision) {
	if d.Action != ActionHold {
		d.hold(ClampResize, "resize to 4 failed: "+errors.New("quota exceeded").Error())
	}
}

// cappedBy is a limit on the size that the policy itself does not know.
func cappedBy(name string, size int, reason string) func(int, *Decision) {
	return func(_ int, d *Decision) {
		if d.NewSize > size {
			// The limit is a wrapper of the policy: it comes before the bounds.
			d.Clamps, d.NewSize = []Clamp{{name, d.NamedSize, size}}, size
			d.Action, d.Reason = direction(d.Size, size), reason
		}
	}
}

// takenBack lets every second check take the up before it back.
func takenBack(name string) func(int, *Decision) {
	return func(i int, d *Decision) {
		if i%2 == 1 {
			cappedBy(name, d.Size-1, "more would not help")(i, d)
		}
	}
}

func TestDiagnose(t *testing.T) {
	eager := DefaultOptions()
	eager.Cooldown = 0
	eager.ScaleDownThreshold = 30
	single := DefaultOptions()
	single.Cooldown, single.ScaleUpCount = 0, 1
	lame := single
	lame.MaxSize = 50

	tests := []struct {
		name     string
		rows     []Decision
		o        Options
		question string
		problem  bool
		answer   string
		setting  string
		current  string
		suggest  string
	}{
		{"nothing happened yet", nil, Options{}, QuestionNotUp, false, "There are no decisions yet.", "", "", ""},
		{"quiet", played(2, Options{}, nil, repeat(12, 34, 20)...), Options{}, QuestionNotUp, false,
			"It had no reason to: the depth stayed below 50 in all 24 checks (largest 34).", "", "", ""},
		{"it does scale up", played(2, Options{}, nil, 60, 30, 30, 30, 60), Options{}, QuestionNotUp, false,
			"It is: 2 ups in 5 checks, and nothing held it back (largest depth 60).", "", "", ""},
		{"at the maximum", played(10, Options{}, nil, repeat(8, 90)...), Options{}, QuestionNotUp, true,
			"The pool was at its maximum of 10 in 8 of 8 checks while the policy wanted more.", "max_size", "10", "15"},
		{"in cooldown", played(2, Options{}, nil, 60, 60, 60), Options{}, QuestionNotUp, true,
			"The cooldown of 30s held back 2 ups in 3 checks.", "cooldown", "30s", "15s"},
		{"unknown", played(2, Options{}, nil, 20, -1, -1, -1), Options{}, QuestionNotUp, true,
			"The depth was unknown in 3 of 4 checks, and the pool kept its size; the last reason: connection refused.", "", "", "repair the source of the depth"},
		{"paused", played(2, Options{}, paused, 60, 60, 20), Options{}, QuestionNotUp, true,
			"The autoscaler was paused in 2 of 3 checks in which the policy wanted to grow the pool.", "", "", "resume it"},
		{"forced", played(5, Options{}, forcedTo5, 60, 60, 20), Options{}, QuestionNotUp, true,
			"Somebody had forced a size in 2 of 3 checks in which the policy wanted to grow the pool.", "", "", "resume it, or wait until the forced size expires"},
		{"the pool refuses", played(2, Options{}, refused, 60, 60), Options{}, QuestionNotUp, true,
			"The pool did not follow in 2 of 2 checks; the last time: resize to 4 failed: quota exceeded.", "", "", "find out why the pool cannot be resized"},
		{"more would not help", played(4, Options{}, cappedBy(ClampGovernor, 4, "2 more would not help: throughput has stayed at 40/s since 4 workers; kept at 4"), 60, 60, 20),
			Options{}, QuestionNotUp, true,
			"More workers would not have helped in 2 of 3 checks; the last time: 2 more would not help: throughput has stayed at 40/s since 4 workers; kept at 4.",
			"", "", "look at what the workers wait for: a slow downstream, a lock, a full CPU"},
		{"not paid for", played(8, Options{}, cappedBy(ClampBudget, 8, "the budget pays for 8 of the 10 asked for"), repeat(4, 90)...), Options{}, QuestionNotUp, true,
			"The budget did not pay for more in 4 of 4 checks; the last time: the budget pays for 8 of the 10 asked for.",
			"", "", "a larger budget of worker-hours, or fewer records"},
		{"growing below the threshold", played(2, Options{}, nil, 12, 20, 30, 40, 48), Options{}, QuestionNotUp, true,
			"The depth grew from 12 to 48 over 5 checks, but stayed between the thresholds 10 and 50.", "scale_up_threshold", "50", "30"},
		{"steps too small", played(2, lame, nil, 60, 80, 100, 120), lame, QuestionNotUp, true,
			"It is, but too slowly: the depth grew from 60 to 120 over 4 ups in a row.", "scale_up_count", "1", "2"},

		{"nothing yet to be too much", nil, Options{}, QuestionTooMuch, false, "There are no decisions yet.", "", "", ""},
		{"no ups", played(2, Options{}, nil, 20, 20), Options{}, QuestionTooMuch, false, "It is not: no ups in 2 checks.", "", "", ""},
		{"ups that were needed", played(2, Options{}, nil, repeat(12, 90)...), Options{}, QuestionTooMuch, false,
			"It is not: of 4 ups in 12 checks, 0 were followed by a down within 5 minutes, and 0 came while the depth was falling.", "", "", ""},
		{"ups taken back", played(2, eager, nil, repeat(4, 60, 20, 20)...), eager, QuestionTooMuch, true,
			"4 of 4 ups were followed by a down within 5 minutes.", "scale_up_count", "2", "1"},
		{"ups taken back in single steps", played(2, single, nil, repeat(4, 60, 5)...), single, QuestionTooMuch, true,
			"4 of 4 ups were followed by a down within 5 minutes.", "scale_up_threshold", "50", "75"},
		{"ups while the depth falls", played(2, single, nil, 200, 150, 100, 60, 30, 30), single, QuestionTooMuch, true,
			"3 of 4 ups came while the depth was falling already.", "scale_up_threshold", "50", "75"},

		{"ups that did not help", played(4, single, takenBack(ClampGovernor), repeat(4, 60)...), single, QuestionTooMuch, true,
			"2 of 2 ups were followed by a down within 5 minutes; 2 of these were the governor's, since more workers did not help.",
			"", "", "look at what the workers wait for: a slow downstream, a lock, a full CPU"},
		{"ups that nobody pays for", played(4, single, takenBack(ClampBudget), repeat(4, 60)...), single, QuestionTooMuch, true,
			"2 of 2 ups were followed by a down within 5 minutes; 2 of these were the budget's, which did not pay for them.",
			"", "", "a larger budget of worker-hours, or fewer records"},

		{"nothing yet to oscillate", nil, Options{}, QuestionOscillating, false, "There are no decisions yet.", "", "", ""},
		{"one burst", played(2, Options{}, nil, 60, 30, 30, 5, 5, 5, 5), Options{}, QuestionOscillating, false,
			"It is not: 1 of 3 actions in 7 checks turned against the one before within 5 minutes.", "", "", ""},
		{"a narrow band", played(2, eager, nil, repeat(4, 60, 20)...), eager, QuestionOscillating, true,
			"7 of 8 actions turned against the one before within 5 minutes.", "scale_down_threshold", "30", "10"},
		{"no cooldown", played(2, single, nil, repeat(4, 60, 5)...), single, QuestionOscillating, true,
			"7 of 8 actions turned against the one before within 5 minutes.", "cooldown", "0s", "30s"},
		{"it turns around because more does not help", played(4, single, takenBack(ClampGovernor), repeat(4, 60)...), single, QuestionOscillating, true,
			"3 of 4 actions turned against the one before within 5 minutes; 2 of these were the governor's, since more workers did not help.",
			"", "", "look at what the workers wait for: a slow downstream, a lock, a full CPU"},
		{"forced changes are nobody's oscillation", played(2, single, func(i int, d *Decision) {
			override{forced: 2 + i%2*5, until: d.Time.Add(time.Hour)}.apply(d, d.Time)
		}, repeat(4, 60, 5)...), single, QuestionOscillating, false,
			"It is not: 0 of 0 actions in 8 checks turned against the one before within 5 minutes.", "", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			slices.Reverse(test.rows) // the order must not matter
			findings := diagnose(test.rows, test.o)
			for _, q := range []string{QuestionNotUp, QuestionTooMuch, QuestionOscillating} {
				if !slices.ContainsFunc(findings, func(f Finding) bool { return f.Question == q }) {
					t.Errorf("no answer to %q", q)
				}
			}
			i := slices.IndexFunc(findings, func(f Finding) bool { return f.Question == test.question })
			f := findings[i]
			if f.Problem != test.problem || f.Answer != test.answer {
				t.Errorf("problem %v: %s\nwant %v: %s", f.Problem, f.Answer, test.problem, test.answer)
			}
			if f.Setting != test.setting || f.Current != test.current || f.Suggested != test.suggest {
				t.Errorf("setting %q, %q -> %q, want %q, %q -> %q",
					f.Setting, f.Current, f.Suggested, test.setting, test.current, test.suggest)
			}
			if f.Problem == (len(f.Evidence) == 0) || len(f.Evidence) > 3 {
				t.Errorf("problem %v with the evidence %q", f.Problem, f.Evidence)
			}
		})
	}
}

func TestDiagnoseNamesEveryCauseTheMostFrequentFirst(t *testing.T) {
	findings := diagnose(played(8, Options{}, nil, append(repeat(9, 90), -1, -1, 90)...), Options{})
	var settings []string
	for _, f := range findings {
		if f.Question == QuestionNotUp {
			settings = append(settings, f.Setting)
		}
	}
	// Nine checks at the maximum, two without a depth; the first check grew the pool, so none was lost to the cooldown alone.
	if !slices.Equal(settings, []string{"max_size", ""}) {
		t.Errorf("settings %q, want the maximum and then the unknown depth: %+v", settings, findings)
	}
	if line := findings[0].Evidence[2]; !strings.Contains(line, "size 10 -> 10 (named 12): ") {
		t.Errorf("evidence %q, want sizes and reason", line)
	}
}

// TestDiagnoseRecommendsOneChange plays ledgers in which several questions have a problem.
func TestDiagnoseRecommendsOneChange(t *testing.T) {
	swinging := played(2, Options{}, nil, repeat(6, 60, 60, 60, 5, 5, 5)...)
	for name, test := range map[string]struct {
		rows     []Decision
		question string
	}{
		"at the maximum for long, and swinging a little": {append(played(10, Options{}, nil, repeat(30, 90)...), later(swinging, time.Hour)...), QuestionNotUp},
		"in cooldowns because it swings":                 {swinging, QuestionOscillating},
		"nothing is wrong":                               {played(2, Options{}, nil, repeat(9, 20)...), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var problems, recommended []string
			for _, f := range Diagnose(test.rows, Options{}) {
				if f.Problem {
					problems = append(problems, f.Question)
				}
				if f.Suggested != "" || f.Setting != "" || f.Current != "" {
					recommended = append(recommended, f.Question)
				}
			}
			if test.question == "" {
				if len(problems)+len(recommended) > 0 {
					t.Errorf("problems %q, recommendations for %q, want none", problems, recommended)
				}
				return
			}
			if len(problems) < 2 || !slices.Equal(recommended, []string{test.question}) {
				t.Errorf("problems %q, recommendations for %q, want several and one for %q", problems, recommended, test.question)
			}
		})
	}
}

func later(rows []Decision, by time.Duration) []Decision {
	for i := range rows {
		rows[i].Time = rows[i].Time.Add(by)
	}
	return rows
}

// TestDiagnoseKnowsThePolicyInUse asks about a ledger with the options of the controller that wrote it, which name their policy.
func TestDiagnoseKnowsThePolicyInUse(t *testing.T) {
	slo := newSLO(t, SLOOptions{SLO: time.Minute})
	budget, err := NewBudget(Options{}.Threshold(), BudgetOptions{WorkerHours: 1e6})
	if err != nil {
		t.Fatal(err)
	}
	rows := func(policy string) []Decision {
		rows := played(2, Options{}, nil, 12, 20, 30, 40, 48)
		for i := range rows {
			rows[i].Policy = policy
		}
		return rows
	}
	for name, test := range map[string]struct {
		o       Options
		policy  string
		setting string
	}{
		"threshold by default": {Options{}, "threshold", "scale_up_threshold"},
		"threshold in a wrap":  {Options{Policy: budget}, "threshold", "scale_up_threshold"},
		"slo":                  {Options{Policy: slo}, "slo", ""},
		"slo, left unsaid":     {Options{}, "slo", ""},
	} {
		c, err := New(&fakePool{}, &fakeQueue{}, test.o)
		if err != nil {
			t.Fatal(err)
		}
		o := c.Options()
		if test.o.Policy == nil {
			o.Policy = nil
		}
		for _, options := range []Options{c.Options(), o} {
			if f := Diagnose(rows(test.policy), options)[0]; f.Setting != test.setting || f.Problem != (test.setting != "") {
				t.Errorf("%s: %+v, want the setting %q", name, f, test.setting)
			}
		}
	}
}

// TestDiagnoseDoesNotContradictItself: a pool that oscillates is not told to shorten the cooldown that calms it.
func TestDiagnoseDoesNotContradictItself(t *testing.T) {
	o := DefaultOptions()
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var rows []Decision
	for i := range 24 {
		d := Decision{Time: start.Add(time.Duration(i) * o.CheckInterval), DepthKnown: true, Depth: 100, Size: 4, NamedSize: 6, NewSize: 4, Action: ActionHold}
		switch i % 4 {
		case 0:
			d.NewSize, d.Action = 6, ActionUp
		case 2:
			d.Depth, d.Size, d.NamedSize, d.NewSize, d.Action = 0, 6, 5, 5, ActionDown
		default:
			d.Clamps = []Clamp{{Name: ClampCooldown, Before: 6, After: 4}}
		}
		rows = append(rows, d)
	}
	suggested := map[string]string{}
	oscillates := false
	for _, f := range diagnose(rows, o) {
		if f.Setting == settingCooldown && f.Question == QuestionNotUp {
			continue // which is never the recommendation then, see below
		}
		oscillates = oscillates || f.Question == QuestionOscillating && f.Problem
		if before, ok := suggested[f.Setting]; ok && f.Setting != "" && before != f.Suggested {
			t.Errorf("%s: try %s, and also try %s", f.Setting, before, f.Suggested)
		}
		suggested[f.Setting] = f.Suggested
	}
	if !oscillates {
		t.Error("a pool that turns around every 20 s is not said to oscillate")
	}
}

// TestDiagnoseAdvisesNoThresholdsWhereThereAreNone has a policy without thresholds swing.
func TestDiagnoseAdvisesNoThresholdsWhereThereAreNone(t *testing.T) {
	var rows []Decision
	noon := time.Unix(43200, 0)
	for i := range 12 {
		d := Decision{Time: noon.Add(time.Duration(i) * 20 * time.Second), DepthKnown: true, Depth: 100 * i, Size: 4, NamedSize: 6, NewSize: 6, Action: ActionUp, Policy: "slo"}
		if i%2 == 1 {
			d.Size, d.NamedSize, d.NewSize, d.Action = 6, 4, 4, ActionDown
		}
		rows = append(rows, d)
	}
	problems := 0
	for _, f := range diagnose(rows, Options{MinSize: 1, MaxSize: 10, CheckInterval: time.Second}) {
		if f.Setting != "" {
			t.Errorf("%q advises %s, which the policy does not read", f.Answer, f.Setting)
		}
		if f.Problem {
			problems++
			if f.Suggested == "" {
				t.Errorf("%q comes without advice", f.Answer)
			}
		}
	}
	if problems == 0 {
		t.Error("a pool that swings every 20 s has no problem")
	}
}
