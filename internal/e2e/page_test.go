package e2e

import (
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/history"
	"github.com/sluicehq/sluice/queue"
)

// account reads the numbers of the account on the overview: accepted, completed, dead, waiting, in flight, lost.
func (b *tab) account() []int64 {
	b.t.Helper()
	var numbers []int64
	for _, text := range eval[[]string](b, `[...document.querySelectorAll('.equation .term b')].map(e => e.textContent)`) {
		n, err := strconv.ParseInt(strings.ReplaceAll(text, ",", ""), 10, 64)
		if err != nil {
			return nil // nothing was said yet
		}
		numbers = append(numbers, n)
	}
	return numbers
}

func accountOf(st api.Stats) []int64 {
	return []int64{st.Accepted, st.Completed, st.Dead, st.Depth, st.InFlight, 0}
}

// actions are the decisions that changed the pool.
func (p *process) actions(t *testing.T) []autoscale.Decision {
	t.Helper()
	var d api.Decisions
	ask(t, "GET", p.url+"/v1/decisions?actions=1", "").decode(t, &d)
	return d.Decisions
}

// past writes a history of depth, rates and sizes into a data folder, as if Sluice had been running there: waves of so many records a second.
func past(t *testing.T, data string, span time.Duration, perSecond float64) {
	t.Helper()
	now := time.Now().Truncate(history.Step)
	series := history.OpenSeries(history.Options{Dir: filepath.Join(data, "history"), Days: 14, Logger: slog.New(slog.DiscardHandler)}, now)
	defer series.Close()
	for at := now.Add(-span); at.Before(now); at = at.Add(history.Step) {
		wave := 1 + math.Sin(float64(at.Unix())/180)
		n := int64(perSecond * wave * history.Step.Seconds())
		size := 2 + int64(3*wave)
		series.Add(history.Point{Time: at.Unix(), In: n, Out: n, InBytes: 220 * n, Depth: n / 20, OldestWait: wave, Size: size, Named: size, Ready: size, Busy: size - 1})
	}
}

// The page beside the API, of a process under load.
func TestPage(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	past(t, data, 15*time.Minute, 200)
	server := serveBinary(t, plain(t), "run", "--data", data, "--handler", "sleep", "--sleep-per-record", "3ms", "--slo", "4s",
		"--max-batch-records", "50", "--max-attempts", "1", "--split-after", "1", "--faults")
	b := browse(t)
	b.visit(server.url, "overview")

	b.run(t, "numbers are those of the statistics", func(t *testing.T) { pageNumbers(t, b, server) })
	load := begin(t, plain(t), "emit", "--profile", "constant:1500", "--batch", "50", "--distributor", server.url)
	b.run(t, "under load too, a second old at most", func(t *testing.T) { pageUnderLoad(t, b, server) })
	b.run(t, "changes of the pool are marks with a reason", func(t *testing.T) { pageMarks(t, b, server) })
	b.run(t, "pause, resume, force", func(t *testing.T) { pageSteering(t, b, server) })
	b.run(t, "settings with a preview", func(t *testing.T) { pageSettings(t, b, server) })
	b.run(t, "an analyzer drained and another one killed", func(t *testing.T) { pageAnalyzers(t, b, server) })
	b.run(t, "records pass in the tail, and stand still while somebody reads", func(t *testing.T) { pageTail(t, b) })
	load.kill()
	b.run(t, "dead letters are tried again, and dropped after a question", func(t *testing.T) { pageDead(t, b, server) })
	b.run(t, "every control has a name", func(t *testing.T) { pageNames(t, b) })
	b.complaints()
	b.run(t, "a restart of the server", func(t *testing.T) { server = pageRestart(t, b, server) })
	server.stop()
}

func pageNumbers(t *testing.T, b *tab, server *process) {
	server.force(t, 0) // so that the numbers stand still
	waitFor(t, "the pool to be empty", func() bool { st := server.stats(t); return st.Pool.Size+st.Pool.Draining == 0 })
	server.accept(t, lines(1234, 100))
	begun := time.Now()
	want := accountOf(server.stats(t))
	if want[3] != 1234 {
		t.Fatalf("the account is %v, want 1234 records waiting", want)
	}
	waitFor(t, "the page to say so", func() bool { return slices.Equal(b.account(), want) })
	t.Logf("the page said it after %v", time.Since(begun).Round(time.Millisecond))
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the page was %v late, want a second or so", took)
	}
	if got := b.text(".overview .cards"); !strings.Contains(got, "Waiting\n1,234") || !strings.Contains(got, "0 running, 0 busy") {
		t.Errorf("the cards say\n%s\nwant 1,234 waiting, and no analyzers", got)
	}
	ask(t, "POST", server.url+"/v1/autoscaler/resume", "")
	server.settled(t)
	want = accountOf(server.stats(t))
	waitFor(t, "the page to have nothing waiting", func() bool { return slices.Equal(b.account(), want) })
}

func pageUnderLoad(t *testing.T, b *tab, server *process) {
	type seen struct {
		at       time.Time
		accepted int64
	}
	var all []seen
	looks := 0
	waitFor(t, "twenty looks", func() bool {
		all = append(all, seen{time.Now(), server.stats(t).Accepted})
		page := b.account()
		now := time.Now()
		newest := server.stats(t).Accepted
		if len(page) != 6 || now.Sub(all[0].at) < 3*time.Second {
			return false
		}
		oldest := int64(0) // what is older than this would be stale on the page
		for _, s := range all {
			if now.Sub(s.at) > 3*time.Second {
				oldest = s.accepted
			}
		}
		if page[0] < oldest || page[0] > newest {
			t.Errorf("the page says %d accepted, want %d (three seconds ago) to %d (now)", page[0], oldest, newest)
		}
		if page[0] != page[1]+page[2]+page[3]+page[4] || page[5] != 0 {
			t.Errorf("the account on the page does not add up: %v", page)
		}
		looks++
		return looks >= 20
	})
}

func pageMarks(t *testing.T, b *tab, server *process) {
	b.screen("autoscaler")
	waitFor(t, "the policy to let the pool grow", func() bool {
		return slices.ContainsFunc(server.actions(t), func(d autoscale.Decision) bool {
			return d.Action == autoscale.ActionUp && strings.HasPrefix(d.Reason, "deadline of")
		})
	})
	b.await("a mark", `[...document.querySelectorAll('.marks .mark')].some(m => m.mark.all.some(d => d.kind === 'up' && d.text.startsWith('deadline of')))`)
	b.await("a row", `document.querySelectorAll('.decisions tbody tr').length > 0`)
	reasons := map[string]bool{}
	for _, d := range server.actions(t) {
		reasons[d.Reason] = true
	}
	for _, row := range eval[[]string](b, `[...document.querySelectorAll('.decisions tbody tr td.why')].slice(-3).map(e => e.firstChild.data)`) {
		if !reasons[row] {
			t.Errorf("the page gives the reason %q, which is not among %v", row, reasons)
		}
	}
	// The first mark in the order of the keyboard tells its reason when it has the focus.
	told := eval[string](b, `(m => { m.focus(); return document.querySelector('.autoscaler .tip').innerText + '|' + m.getAttribute('aria-label') })(document.querySelector('.marks .mark[tabindex="0"]'))`)
	if !slices.ContainsFunc(server.actions(t), func(d autoscale.Decision) bool { return strings.Count(told, d.Reason) >= 2 }) {
		t.Errorf("a mark with the focus tells %q, want a reason, beside it and for screen readers", told)
	}
	b.await("words for why not more", `document.querySelector('.explain').innerText.includes('Why not more?') && document.querySelectorAll('.explain dd').length > 2`)
}

func pageSteering(t *testing.T, b *tab, server *process) {
	b.screen("autoscaler")
	b.button(".steer", "Pause")
	waitFor(t, "the pause", func() bool { return server.stats(t).Autoscaler.Paused })
	b.await("the page to say so", `document.querySelector('.steer .because').innerText.startsWith('Paused')`)
	b.button(".steer", "Resume")
	waitFor(t, "the end of the pause", func() bool { return !server.stats(t).Autoscaler.Paused })

	b.enter("#force-size", "-1")
	b.button(".steer", "Force")
	b.await("the page to refuse", `document.querySelector('.steer .problem').innerText.includes('whole number')`)
	b.enter("#force-size", "12") // more than the most: asked about
	b.button(".steer", "Force")
	b.await("a question", `document.querySelector('dialog[open]') !== null`)
	b.button("dialog", "Cancel")
	b.await("the question to go", `document.querySelector('dialog') === null`)
	if st := server.stats(t).Autoscaler; !st.ForcedUntil.IsZero() {
		t.Errorf("forced to %d although it was cancelled", st.ForcedSize)
	}
	b.button(".steer", "Force")
	b.button("dialog", "Force")
	waitFor(t, "twelve analyzers", func() bool { return server.stats(t).Pool.Size == 12 })
	b.await("the page to say so", `document.querySelector('.steer .because').innerText.startsWith('Forced to 12')`)
	b.button(".steer", "Resume")
	waitFor(t, "the end of the force", func() bool { return server.stats(t).Autoscaler.ForcedUntil.IsZero() })
}

func pageSettings(t *testing.T, b *tab, server *process) {
	b.screen("autoscaler")
	now := func() (s struct {
		Settings map[string]float64
		Changed  bool
	}) {
		ask(t, "GET", server.url+"/v1/autoscaler/settings", "").decode(t, &s)
		return s
	}
	b.await("the settings", `document.querySelector('#set-slo_seconds').value === '4'`)
	b.enter("#set-min_size", "40")
	b.await("what is wrong to be said at its field", `document.querySelector('#set-min_size-problem').innerText.includes('at most 10') && document.querySelector('.settings .primary').disabled`)
	b.enter("#set-min_size", "3")
	b.enter("#set-max_size", "9")
	b.button(".settings", "Preview")
	b.await("two lines and numbers before and after", `(rows => rows.length === 6 && rows[3].innerText.includes('most analyzers'))([...document.querySelectorAll('.preview tbody tr')]) && document.querySelectorAll('.preview path.line').length === 2`)
	if s := now(); s.Changed || s.Settings["max_size"] != 10 {
		t.Errorf("a preview has changed the settings: %v", s)
	}
	b.button(".settings", "Apply")
	waitFor(t, "the new settings", func() bool {
		s := now()
		return s.Changed && s.Settings["max_size"] == 9 && s.Settings["min_size"] == 3
	})
	b.await("the chart to have the new bounds", `(t => t.includes('max 9') && t.includes('min 3'))(document.querySelector('.autoscaler .chart').textContent)`)
}

func pageAnalyzers(t *testing.T, b *tab, server *process) {
	b.screen("analyzers")
	there := func(id string) bool {
		for _, r := range server.stats(t).Pool.Analyzers {
			if r.ID == id && r.State != analyzer.StateDraining {
				return true
			}
		}
		return false
	}
	for _, verb := range []string{"Drain", "Kill"} {
		b.await("rows", `document.querySelectorAll('.pool tbody tr').length >= 2`)
		id := eval[string](b, `document.querySelector('.pool tbody tr:not([data-state=draining]) th').textContent`)
		if !there(id) {
			t.Fatalf("the page shows %s, which is not in the pool", id)
		}
		b.click(fmt.Sprintf(`.pool button[aria-label="%s %s"]`, verb, id))
		if verb == "Kill" {
			b.button("dialog", "Kill")
		}
		waitFor(t, id+" to go", func() bool { return !there(id) })
		b.await("it to leave the page", fmt.Sprintf(`![...document.querySelectorAll('.pool tbody tr')].some(r => r.querySelector('th').textContent === %q && r.dataset.state !== 'draining')`, id))
	}
	// The headings sort; the direction is told to those who cannot see the arrow.
	b.button(".pool thead", "Records")
	b.await("the most records first", `(n => n.length > 1 && n[0] >= n[n.length - 1])([...document.querySelectorAll('.pool tbody td:nth-child(4)')].map(e => parseFloat(e.textContent) * (/k$/.test(e.textContent) ? 1000 : 1))) && document.querySelector('.pool th[aria-sort=descending]').innerText.startsWith('Records')`)
}

func pageTail(t *testing.T, b *tab) {
	b.screen("tail")
	b.await("records", `document.querySelectorAll('.log > li').length > 50`)
	// Read one in the middle: what is seen must not move while more comes in.
	b.await("the record to open", `(() => { const all = document.querySelectorAll('.log > li'); const li = all[all.length - 20]; li.click(); return document.querySelector('.log .open pre') })()`)
	where := func() string {
		return eval[string](b, `(li => li.innerText + li.getBoundingClientRect().top)(document.querySelector('.log .open'))`)
	}
	before := where()
	b.await("more records", `/^[2-9][0-9]|[0-9]{3}/.test(document.querySelector('.fresh').innerText)`)
	if after := where(); after != before {
		t.Errorf("what somebody reads has moved from %.60q to %.60q", before, after)
	}
	b.click(".logbox .fresh")
	b.await("the newest again", `document.querySelector('.fresh').hidden && !document.querySelector('.log .open')`)

	b.enter("#tail-q", "payment")
	b.await("what matches", `document.querySelectorAll('.log > li').length > 0 && [...document.querySelectorAll('.log > li')].every(li => li.innerText.toLowerCase().includes('payment'))`)
	b.enter("#tail-q", "")
}

func pageDead(t *testing.T, b *tab, server *process) {
	letters := func() []queue.DeadLetter {
		var d struct{ Dead []queue.DeadLetter }
		ask(t, "GET", server.url+"/v1/dead", "").decode(t, &d)
		return d.Dead
	}
	for range 3 { // one by one, so that each is a letter
		server.accept(t, `{"body":"no","attributes":{"sluice.fault":"discard"}}`+"\n")
	}
	waitFor(t, "dead letters", func() bool { return len(letters()) == 3 })
	b.screen("dead")
	b.await("their group", `document.querySelectorAll('.dead tbody tr.group').length === 1 && document.querySelector('.dead tbody').innerText.includes('3')`)
	b.click(".dead tr.group .disclose")
	b.await("the letters", `document.querySelectorAll('.dead tbody tr.letter').length === 3`)
	newest := letters()[2].ID
	b.button(".dead tr.group", "Retry")
	waitFor(t, "them to fail again", func() bool { l := letters(); return len(l) == 3 && l[0].ID > newest })
	b.await("the new letters", fmt.Sprintf(`[...document.querySelectorAll('.dead tr.letter code')].filter(e => Number(e.textContent) > %d).length === 3`, newest))
	b.button(".dead tr.letter", "View")
	b.await("the record", `document.querySelector('dialog pre') && document.querySelector('dialog pre').innerText.includes('sluice.fault')`)
	b.click("dialog button[aria-label=Close]")

	b.button(".deadletters", "Drop all")
	b.await("a question with the safe answer first", `document.activeElement.textContent === 'Cancel' && document.querySelector('dialog[open]') !== null`)
	b.button("dialog", "Cancel")
	b.await("the question to go", `document.querySelector('dialog') === null`)
	if n := len(letters()); n != 3 {
		t.Errorf("%d letters after the question was cancelled, want 3", n)
	}
	b.button(".deadletters", "Drop all")
	b.button("dialog", "Drop for good")
	waitFor(t, "them to be gone", func() bool { return len(letters()) == 0 })
	b.await("the page to say so", `document.querySelector('.deadletters').innerText.includes('No dead letters')`)
}

// pageNames looks at each screen for what somebody without eyes or a mouse needs.
func pageNames(t *testing.T, b *tab) {
	for _, screen := range []string{"overview", "autoscaler", "flow", "tail", "dead", "analyzers"} {
		b.screen(screen)
		for _, fault := range eval[[]string](b, `(() => {
			const bad = [];
			for (const tag of ['header', 'nav', 'main', 'main h1']) if (document.querySelectorAll(tag).length !== 1) bad.push('not one ' + tag);
			for (const e of document.querySelectorAll('button, a[href]')) {
				if (e.getClientRects().length && !(e.getAttribute('aria-label') || e.textContent.trim())) bad.push('no name: ' + e.outerHTML.slice(0, 120));
			}
			for (const e of document.querySelectorAll('input, select')) {
				if (!(e.labels && e.labels.length) && !e.getAttribute('aria-label')) bad.push('no label: ' + e.outerHTML.slice(0, 120));
			}
			for (const e of document.querySelectorAll('table')) if (!e.caption) bad.push('a table without a caption');
			const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
			if (new Set(ids).size !== ids.length) bad.push('an id twice');
			return bad;
		})()`) {
			t.Errorf("%s: %s", screen, fault)
		}
		for _, width := range []int64{360, 3840, 1280} {
			b.size(width, 900)
			b.drawn()
			if got := eval[int64](b, `document.documentElement.scrollWidth`); got > width {
				t.Errorf("%s is %d pixels wide on a screen of %d", screen, got, width)
			}
		}
	}
}

func pageRestart(t *testing.T, b *tab, server *process) *process {
	b.excuse("net::ERR_")
	b.excuse("the server responded with a status of 503")
	b.screen("overview")
	eval[bool](b, `(window.stillHere = true)`)
	server.stop()
	b.await("the page to say that the server is away", `document.body.dataset.conn === 'lost' && document.getElementById('conn').innerText.startsWith('reconnecting')`)
	next := server.again()
	b.await("the page to be back", `document.body.dataset.conn === 'live'`)
	next.accept(t, lines(77, 100))
	next.settled(t)
	want := accountOf(next.stats(t))
	waitFor(t, "the numbers of the new process", func() bool { return slices.Equal(b.account(), want) })
	if !eval[bool](b, `window.stillHere === true`) {
		t.Error("the page was loaded anew; it should have gone on by itself")
	}
	return next
}
