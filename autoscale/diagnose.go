package autoscale

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The questions that [Diagnose] answers, in this order.
const (
	QuestionNotUp       = "Why is it not scaling up?"
	QuestionTooMuch     = "Why is it scaling up too much?"
	QuestionOscillating = "Why is it oscillating?"
)

// diagnoseWindow is how soon a step back makes an action look like a mistake. It is the window in which the simulation
// model counts reversals.
const diagnoseWindow = 5 * time.Minute

// Finding is one answer to one of the questions.
type Finding struct {
	Question  string   `json:"question"`  // one of the Question constants
	Problem   bool     `json:"problem"`   // whether something should change; false when the answer is "it is not"
	Answer    string   `json:"answer"`    // one sentence with the numbers
	Setting   string   `json:"setting"`   // the setting to change, as in the YAML file; empty when it is not a setting
	Current   string   `json:"current"`   // its value; empty without a setting
	Suggested string   `json:"suggested"` // a value to try, or what to do where no setting helps; of one finding at most
	Evidence  []string `json:"evidence"`  // up to three decisions that show it, the newest last; never null

	shown int // how many decisions show it
}

// Diagnose reads decisions, in any order, and answers the three questions that people ask of an autoscaler: why it is not
// scaling up, why it is scaling up too much, why it is oscillating. Each question gets at least one finding, the most
// frequent cause first; it says so when there is no problem. The options are those that the decisions were made with. Their
// Policy says whose settings can be changed; without one it is threshold.
//
// At most one finding recommends a change, the one that the most checks show: changes for two questions at once would pull in
// opposite directions.
func Diagnose(decisions []Decision, o Options) []Finding {
	findings := diagnose(decisions, o)
	recommendOne(findings)
	return findings
}

// diagnose is Diagnose with what each finding by itself would recommend.
func diagnose(decisions []Decision, o Options) []Finding {
	rows := slices.Clone(decisions)
	slices.SortStableFunc(rows, func(a, b Decision) int { return a.Time.Compare(b.Time) })
	d := diagnosis{rows: rows, o: o.withDefaults()}
	d.readPolicy(o.Policy)
	return slices.Concat(d.notUp(), d.tooMuch(), d.oscillating())
}

// readPolicy finds out whether the decisions are those of the threshold policy, and takes its settings: with another one,
// those of the options mean nothing.
func (d *diagnosis) readPolicy(p Policy) {
	t, is := d.o.Threshold(), true
	if p != nil {
		t, is = within[Threshold](p)
	}
	if n := len(d.rows); n > 0 && d.rows[n-1].Policy != "" && d.rows[n-1].Policy != t.Name() {
		is = false
	}
	if !is {
		t = Threshold{}
	}
	d.isThreshold = is
	d.o.ScaleUpThreshold, d.o.ScaleDownThreshold = t.ScaleUpThreshold, t.ScaleDownThreshold
	d.o.ScaleUpCount, d.o.ScaleDownCount, d.o.Cooldown = t.ScaleUpCount, t.ScaleDownCount, t.Cooldown
}

// recommendOne leaves the recommendation to the finding with the most checks behind it, the first of equals. A shorter cooldown is
// none where the pool oscillates.
func recommendOne(findings []Finding) {
	swings := slices.ContainsFunc(findings, func(f Finding) bool { return f.Problem && f.Question == QuestionOscillating })
	best := -1
	for i, f := range findings {
		if !f.Problem || swings && f.Question == QuestionNotUp && f.Setting == settingCooldown {
			continue
		}
		if best < 0 || f.shown > findings[best].shown {
			best = i
		}
	}
	for i := range findings {
		if i != best {
			findings[i].Setting, findings[i].Current, findings[i].Suggested = "", "", ""
		}
	}
}

const settingCooldown = "cooldown"

// diagnosis is the ledger under the lens.
type diagnosis struct {
	rows        []Decision // the oldest first
	o           Options    // with the settings of the threshold policy that decided; zero with another one
	isThreshold bool
}

// cause is a way in which a row was kept from growing the pool.
type cause struct {
	rows    []Decision
	finding func(n int) Finding // without Question, Problem and Evidence
}

func hasClamp(d Decision, name string) bool {
	return slices.ContainsFunc(d.Clamps, func(c Clamp) bool { return c.Name == name })
}

func wantsUp(d Decision) bool { return d.NamedSize > d.Size }

// acted tells whether the policy moved the pool; what somebody forced is not the settings' fault.
func acted(d Decision) bool { return d.Action != ActionHold && !hasClamp(d, ClampForced) }

// filter returns the rows that match.
func (d diagnosis) filter(match func(Decision) bool) []Decision {
	var rows []Decision
	for _, row := range d.rows {
		if match(row) {
			rows = append(rows, row)
		}
	}
	return rows
}

// known is the rows with a depth, as opposed to those that could not tell.
func (d diagnosis) known() []Decision { return d.filter(func(r Decision) bool { return r.DepthKnown }) }

func (d diagnosis) notUp() []Finding {
	if len(d.rows) == 0 {
		return []Finding{answer(QuestionNotUp, "There are no decisions yet.")}
	}
	causes := []cause{d.takesTooLong(), d.atMax(), d.inCooldown(), d.wouldNotHelp(), d.notPaidFor(), d.withoutDepth(), d.paused(), d.forced(), d.refused(), d.growingBetween(), d.smallSteps(),
		d.tooLate(), d.rateUnknown()}
	causes = slices.DeleteFunc(causes, func(c cause) bool { return len(c.rows) == 0 })
	slices.SortStableFunc(causes, func(a, b cause) int { return cmp.Compare(len(b.rows), len(a.rows)) })
	if len(causes) == 0 {
		return []Finding{d.nothingKeptItDown()}
	}
	var findings []Finding
	for _, c := range causes {
		f := c.finding(len(c.rows))
		f.Question, f.Problem, f.Evidence, f.shown = QuestionNotUp, true, evidence(c.rows), len(c.rows)
		findings = append(findings, f)
	}
	return findings
}

// nothingKeptItDown is the answer when every wish to grow was granted, or nobody had one.
func (d diagnosis) nothingKeptItDown() Finding {
	deepest := slices.MaxFunc(d.rows, func(a, b Decision) int { return cmp.Compare(a.Depth, b.Depth) }).Depth
	ups := len(d.filter(func(r Decision) bool { return r.Action == ActionUp }))
	if ups > 0 {
		return answer(QuestionNotUp, "It is: %d ups in %d checks, and nothing held it back (largest depth %d).", ups, len(d.rows), deepest)
	}
	if !d.isThreshold {
		return answer(QuestionNotUp, "It had no reason to: the policy named no larger size in %d checks (largest depth %d).", len(d.rows), deepest)
	}
	return answer(QuestionNotUp, "It had no reason to: the depth stayed below %d in all %d checks (largest %d).",
		d.o.ScaleUpThreshold, len(d.rows), deepest)
}

func (d diagnosis) atMax() cause {
	return cause{
		rows: d.filter(func(r Decision) bool {
			return (wantsUp(r) || needsMore(r)) && r.Action == ActionHold && r.Size >= d.o.MaxSize && !hasClamp(r, ClampPaused) && !hasClamp(r, ClampForced) &&
				!outsideLimit(r)
		}),
		finding: func(n int) Finding {
			return Finding{
				Answer: fmt.Sprintf("The pool was at its maximum of %d in %d of %d checks while the policy wanted more.",
					d.o.MaxSize, n, len(d.rows)),
				Setting: "max_size", Current: fmt.Sprint(d.o.MaxSize), Suggested: fmt.Sprint(d.o.MaxSize + (d.o.MaxSize+1)/2),
			}
		},
	}
}

func (d diagnosis) inCooldown() cause {
	return cause{
		rows: d.filter(func(r Decision) bool { return wantsUp(r) && hasClamp(r, ClampCooldown) && r.Size < d.o.MaxSize }),
		finding: func(n int) Finding {
			shorter := max(d.o.Cooldown/2, d.o.CheckInterval)
			if shorter >= d.o.Cooldown {
				shorter = 0
			}
			return Finding{
				Answer:  fmt.Sprintf("The cooldown of %v held back %s in %d checks.", d.o.Cooldown, counted(n, "up"), len(d.rows)),
				Setting: settingCooldown, Current: d.o.Cooldown.String(), Suggested: shorter.String(),
			}
		},
	}
}

// outsideLimit tells whether something limited the size that the policy's settings cannot change.
func outsideLimit(r Decision) bool { return hasClamp(r, ClampGovernor) || hasClamp(r, ClampBudget) }

// heldBy tells whether the limit of that name kept the pool from growing.
func heldBy(r Decision, clamp string) bool {
	return wantsUp(r) && r.Action != ActionUp && hasClamp(r, clamp) && !hasClamp(r, ClampPaused) && !hasClamp(r, ClampForced)
}

const (
	adviceGovernor = "look at what the workers wait for: a slow downstream, a lock, a full CPU"
	adviceBudget   = "a larger budget of worker-hours, or fewer records"
)

func (d diagnosis) wouldNotHelp() cause {
	rows := d.filter(func(r Decision) bool { return heldBy(r, ClampGovernor) })
	return cause{
		rows: rows,
		finding: func(n int) Finding {
			return Finding{
				Answer:    fmt.Sprintf("More workers would not have helped in %d of %d checks; the last time: %s.", n, len(d.rows), rows[len(rows)-1].Reason),
				Suggested: adviceGovernor,
			}
		},
	}
}

func (d diagnosis) notPaidFor() cause {
	rows := d.filter(func(r Decision) bool { return heldBy(r, ClampBudget) })
	return cause{
		rows: rows,
		finding: func(n int) Finding {
			return Finding{
				Answer:    fmt.Sprintf("The budget did not pay for more in %d of %d checks; the last time: %s.", n, len(d.rows), rows[len(rows)-1].Reason),
				Suggested: adviceBudget,
			}
		},
	}
}

// limited suggests what to do where at least half of the actions in question are the governor's or the budget's. No setting
// of the policy would change them.
func limited(f *Finding, actions []Decision) bool {
	governed, unpaid := 0, 0
	for _, r := range actions {
		switch {
		case hasClamp(r, ClampGovernor):
			governed++
		case hasClamp(r, ClampBudget):
			unpaid++
		}
	}
	switch {
	case governed == 0 && unpaid == 0 || (governed+unpaid)*2 < len(actions):
		return false
	case governed >= unpaid:
		f.Answer = strings.TrimSuffix(f.Answer, ".") + fmt.Sprintf("; %d of these were the governor's, since more workers did not help.", governed)
		f.Suggested = adviceGovernor
	default:
		f.Answer = strings.TrimSuffix(f.Answer, ".") + fmt.Sprintf("; %d of these were the budget's, which did not pay for them.", unpaid)
		f.Suggested = adviceBudget
	}
	return true
}

func (d diagnosis) withoutDepth() cause {
	rows := d.filter(func(r Decision) bool { return !r.DepthKnown })
	return cause{
		rows: rows,
		finding: func(n int) Finding {
			why := "none given"
			for _, r := range rows { // a pause or a forced size may have covered the last one
				if reason, found := strings.CutPrefix(r.Reason, "depth unknown: "); found {
					why = reason
				}
			}
			return Finding{
				Answer:    fmt.Sprintf("The depth was unknown in %d of %d checks, and the pool kept its size; the last reason: %s.", n, len(d.rows), why),
				Suggested: "repair the source of the depth",
			}
		},
	}
}

func (d diagnosis) paused() cause {
	return cause{
		rows: d.filter(func(r Decision) bool { return wantsUp(r) && hasClamp(r, ClampPaused) }),
		finding: func(n int) Finding {
			return Finding{
				Answer:    fmt.Sprintf("The autoscaler was paused in %d of %d checks in which the policy wanted to grow the pool.", n, len(d.rows)),
				Suggested: "resume it",
			}
		},
	}
}

func (d diagnosis) forced() cause {
	return cause{
		rows: d.filter(func(r Decision) bool {
			return wantsUp(r) && r.NewSize <= r.Size && strings.HasPrefix(r.Reason, "forced to ")
		}),
		finding: func(n int) Finding {
			return Finding{
				Answer:    fmt.Sprintf("Somebody had forced a size in %d of %d checks in which the policy wanted to grow the pool.", n, len(d.rows)),
				Suggested: "resume it, or wait until the forced size expires",
			}
		},
	}
}

func (d diagnosis) refused() cause {
	rows := d.filter(func(r Decision) bool { return wantsUp(r) && hasClamp(r, ClampResize) })
	return cause{
		rows: rows,
		finding: func(n int) Finding {
			return Finding{
				Answer:    fmt.Sprintf("The pool did not follow in %d of %d checks; the last time: %s.", n, len(d.rows), rows[len(rows)-1].Reason),
				Suggested: "find out why the pool cannot be resized",
			}
		},
	}
}

// growingBetween finds the longest stretch in which the depth grew between the two thresholds without reaching the upper.
func (d diagnosis) growingBetween() cause {
	var best, stretch []Decision
	for _, r := range d.rows {
		between := r.DepthKnown && r.Action == ActionHold && !outsideLimit(r) && r.Depth > d.o.ScaleDownThreshold && r.Depth < d.o.ScaleUpThreshold
		if !between || (len(stretch) > 0 && r.Depth < stretch[len(stretch)-1].Depth) {
			stretch = nil
		}
		if between {
			stretch = append(stretch, r)
		}
		// Three checks and half as much again: less is noise.
		if len(stretch) >= 3 && stretch[len(stretch)-1].Depth*2 >= stretch[0].Depth*3 && len(stretch) > len(best) {
			best = slices.Clone(stretch)
		}
	}
	return cause{
		rows: best,
		finding: func(n int) Finding {
			low, high := best[0].Depth, best[n-1].Depth
			return Finding{
				Answer: fmt.Sprintf("The depth grew from %d to %d over %d checks, but stayed between the thresholds %d and %d.",
					low, high, n, d.o.ScaleDownThreshold, d.o.ScaleUpThreshold),
				Setting: "scale_up_threshold", Current: fmt.Sprint(d.o.ScaleUpThreshold),
				Suggested: fmt.Sprint(max(d.o.ScaleDownThreshold+1, (low+high)/2)),
			}
		},
	}
}

// smallSteps finds the longest series of ups that did not stop the depth from growing.
func (d diagnosis) smallSteps() cause {
	var best, series []Decision
	for _, r := range d.known() {
		if !d.isThreshold {
			break // its steps are as large as it wants
		}
		switch {
		case r.Action == ActionUp && (len(series) == 0 || r.Depth > series[len(series)-1].Depth):
			series = append(series, r)
		case r.Action == ActionUp:
			series = []Decision{r}
		case r.Action == ActionDown:
			series = nil
		}
		if len(series) >= 3 && len(series) > len(best) {
			best = slices.Clone(series)
		}
	}
	return cause{
		rows: best,
		finding: func(n int) Finding {
			return Finding{
				Answer: fmt.Sprintf("It is, but too slowly: the depth grew from %d to %d over %d ups in a row.",
					best[0].Depth, best[n-1].Depth, n),
				Setting: "scale_up_count", Current: fmt.Sprint(d.o.ScaleUpCount), Suggested: fmt.Sprint(2 * max(1, d.o.ScaleUpCount)),
			}
		},
	}
}

func (d diagnosis) tooMuch() []Finding {
	ups, takenBack, falling, back := d.wastedUps()
	switch {
	case len(d.rows) == 0:
		return []Finding{answer(QuestionTooMuch, "There are no decisions yet.")}
	case ups == 0:
		return []Finding{answer(QuestionTooMuch, "It is not: no ups in %d checks.", len(d.rows))}
	}
	f := Finding{Question: QuestionTooMuch, Problem: true}
	switch {
	case len(takenBack) >= 2 && len(takenBack)*2 >= ups:
		f.Answer = fmt.Sprintf("%d of %d ups were followed by a down within %v.", len(takenBack), ups, short(diagnoseWindow))
		f.Evidence, f.shown = evidence(takenBack), len(takenBack)
		if limited(&f, back) {
			return []Finding{f}
		}
	case len(falling) >= 2 && len(falling)*2 >= ups:
		f.Answer = fmt.Sprintf("%d of %d ups came while the depth was falling already.", len(falling), ups)
		f.Evidence, f.shown = evidence(falling), len(falling)
	default:
		return []Finding{answer(QuestionTooMuch,
			"It is not: of %d ups in %d checks, %d were followed by a down within %v, and %d came while the depth was falling.",
			ups, len(d.rows), len(takenBack), short(diagnoseWindow), len(falling))}
	}
	d.calmUps(&f)
	return []Finding{f}
}

// wastedUps counts the ups, and returns those that were taken back soon, those that came when the depth was falling, and
// the downs that took back the former.
func (d diagnosis) wastedUps() (ups int, takenBack, falling, back []Decision) {
	known := d.known()
	for i, r := range known {
		if !acted(r) || r.Action != ActionUp {
			continue
		}
		ups++
		if i > 0 && r.Depth < known[i-1].Depth {
			falling = append(falling, r)
		}
		for _, later := range known[i+1:] {
			if acted(later) {
				if later.Action == ActionDown && later.Time.Sub(r.Time) <= diagnoseWindow {
					takenBack, back = append(takenBack, r), append(back, later)
				}
				break
			}
		}
	}
	return ups, takenBack, falling, back
}

// calmElsewhere is what to do about too much movement where no threshold can be changed.
const calmElsewhere = "nothing, if the load came and went like that; else name a longer slo, or cap max_reversals, which costs idle workers"

// calmUps suggests smaller steps, or a later start where the step is 1 already.
func (d diagnosis) calmUps(f *Finding) {
	if !d.isThreshold {
		f.Suggested = calmElsewhere
		return
	}
	if d.o.ScaleUpCount > 1 {
		f.Setting, f.Current, f.Suggested = "scale_up_count", fmt.Sprint(d.o.ScaleUpCount), fmt.Sprint((d.o.ScaleUpCount+1)/2)
		return
	}
	f.Setting, f.Current = "scale_up_threshold", fmt.Sprint(d.o.ScaleUpThreshold)
	f.Suggested = fmt.Sprint(d.o.ScaleUpThreshold + (d.o.ScaleUpThreshold+1)/2)
}

func (d diagnosis) oscillating() []Finding {
	if len(d.rows) == 0 {
		return []Finding{answer(QuestionOscillating, "There are no decisions yet.")}
	}
	actions := d.filter(acted)
	var reversals []Decision
	for i := 1; i < len(actions); i++ {
		if actions[i].Action != actions[i-1].Action && actions[i].Time.Sub(actions[i-1].Time) <= diagnoseWindow {
			reversals = append(reversals, actions[i])
		}
	}
	// One is what every burst ends with.
	if len(reversals) < 2 {
		return []Finding{answer(QuestionOscillating, "It is not: %d of %d actions in %d checks turned against the one before within %v.",
			len(reversals), len(actions), len(d.rows), short(diagnoseWindow))}
	}
	f := Finding{
		Question: QuestionOscillating, Problem: true, Evidence: evidence(reversals), shown: len(reversals),
		Answer: fmt.Sprintf("%d of %d actions turned against the one before within %v.", len(reversals), len(actions), short(diagnoseWindow)),
	}
	if !limited(&f, reversals) {
		d.calmSwings(&f)
	}
	return []Finding{f}
}

// calmSwings widens the band where it is narrow, waits longer where it waits little, and takes smaller steps otherwise.
func (d diagnosis) calmSwings(f *Finding) {
	up, down := d.o.ScaleUpThreshold, d.o.ScaleDownThreshold
	switch {
	case !d.isThreshold:
		f.Suggested = calmElsewhere
	case down > 0 && up < 3*down:
		f.Setting, f.Current, f.Suggested = "scale_down_threshold", fmt.Sprint(down), fmt.Sprint(up/5)
	case d.o.Cooldown < 2*time.Minute:
		f.Setting, f.Current, f.Suggested = "cooldown", d.o.Cooldown.String(), max(2*d.o.Cooldown, 3*d.o.CheckInterval).String()
	default:
		d.calmUps(f)
	}
}

// counted writes "1 up" and "2 ups".
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}

// answer is a finding without a problem.
func answer(question, format string, args ...any) Finding {
	return Finding{Question: question, Answer: fmt.Sprintf(format, args...), Evidence: []string{}}
}

// evidence shows the newest three rows.
func evidence(rows []Decision) []string {
	lines := []string{}
	for _, r := range rows[max(0, len(rows)-3):] {
		lines = append(lines, fmt.Sprintf("%s size %d -> %d (named %d): %s",
			r.Time.Local().Format(time.TimeOnly), r.Size, r.NewSize, r.NamedSize, r.Reason))
	}
	return lines
}

// short writes whole minutes without their zero seconds.
func short(d time.Duration) string {
	if d%time.Minute == 0 {
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return d.String()
}
