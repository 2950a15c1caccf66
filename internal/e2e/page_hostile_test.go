package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Bodies that want to run, to break out of where they are shown, or to look like something else.
var hostile = []string{
	`<script>window.pwned = 1</script>`,
	`</span></li></ol><script>window.pwned = 2</script>`,
	`"><img src=x onerror="window.pwned = 3">`,
	`<svg/onload=window.pwned=4>`,
	`<iframe srcdoc="<script>parent.pwned = 5</script>">`,
	`<a href="javascript:window.pwned=6">click</a>`,
	`<style>body { display: none }</style><link rel=stylesheet href=/v1/stats>`,
	`<form action=/v1/dead method=post><button>OK</button></form>`,
	`<base href="http://127.0.0.1:1/"><meta http-equiv=refresh content="0;url=about:blank">`,
	`${window.pwned = 7} {{constructor.constructor('window.pwned = 8')()}} javascript:window.pwned=9`,
	"\u001b[31mred\u001b[0m \u001b]0;a title\u0007 \u001b[2J \u0000 \u0008\u0008\u0008 \u009b1m",
	"\u202eexe.gpj\u202c \u2066\u2069\u200b\u200f\ufeff\u2028\u2029",
	strings.Repeat("W", 100_000),
	strings.Repeat("a\u0301\u0489", 20_000),
	strings.Repeat("\n", 5000) + "after many lines",
	"\u202e &lt;b&gt; &amp; \\u003cscript\\u003e '\"`",
	`event: stats` + "\n" + `data: {"dead": 99}` + "\n\n",
}

// hostileRecords has each body as text, as name of the service, as severity and as key and value of an attribute.
func hostileRecords(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for i, text := range hostile {
		name := text[:min(len(text), 300)]
		line, err := json.Marshal(map[string]any{"body": text, "severity": name, "service": name, "n": uint64(1)<<63 + uint64(i), "attributes": map[string]any{name: text}})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(line)
		b.WriteByte('\n')
		line, err = json.Marshal(map[string]any{"body": text, "service": name, "attributes": map[string]any{"sluice.fault": "error"}})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// What logs contain is shown as text, wherever it is shown, and changes nothing around it.
func TestPageShowsHostileRecordsAsText(t *testing.T) {
	t.Parallel()
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "0", "--faults", "--max-attempts", "2", "--split-after", "1", "--retry-delay", "1ms")
	b := browse(t)
	b.before(`window.violations = []; document.addEventListener('securitypolicyviolation', e => window.violations.push(e.violatedDirective + ' ' + e.blockedURI))`)
	b.visit(server.url, "tail")
	b.await("the tail to listen", `document.querySelector('.tail .status').innerText.startsWith('following')`)
	corpus := hostileRecords(t)
	server.accept(t, corpus)
	total := strings.Count(corpus, "\n")

	unharmed := func(where string) {
		t.Helper()
		for _, fault := range eval[[]string](b, `(() => {
			const bad = window.violations.map(v => 'the policy had to stop ' + v);
			if (window.pwned) bad.push('something ran: ' + window.pwned);
			for (const tag of ['script', 'img', 'iframe', 'style', 'link', 'object', 'embed', 'base', 'meta']) if (document.body.querySelector(tag)) bad.push('there is a ' + tag);
			for (const e of document.querySelectorAll('*')) {
				for (const a of e.attributes) if (/^on/i.test(a.name) || /^\s*javascript:/i.test(a.value)) bad.push('attribute ' + a.name + '=' + a.value.slice(0, 60));
			}
			for (const f of document.querySelectorAll('form[action]')) bad.push('a form to ' + f.action);
			if (document.documentElement.scrollWidth > innerWidth) bad.push('the page is ' + document.documentElement.scrollWidth + ' wide');
			if (getComputedStyle(document.body).display === 'none' || !document.querySelector('header .brand')) bad.push('the frame is gone');
			return bad;
		})()`) {
			t.Errorf("%s: %s", where, fault)
		}
	}

	b.await("all of them in the tail", fmt.Sprintf(`document.querySelectorAll('.log > li').length >= %d`, total))
	shown := b.text(".log")
	for _, text := range []string{hostile[0], hostile[2], hostile[5], "‹1B›[31mred‹1B›[0m", "‹202E›exe.gpj‹202C›", "‹2028›"} {
		if !strings.Contains(shown, text) {
			t.Errorf("the tail does not show %q as it is", text)
		}
	}
	unharmed("live tail")
	// Open every one of them.
	eval[bool](b, `(document.querySelectorAll('.log > li').forEach(li => li.click()), true)`)
	b.await("them to be open", fmt.Sprintf(`document.querySelectorAll('.log .detail pre').length >= %d`, total))
	if !strings.Contains(eval[string](b, `[...document.querySelectorAll('.log .detail pre')].map(e => e.textContent.slice(0, 3000)).join('')`), "9223372036854775808") {
		t.Error("a number of 64 bits was rounded")
	}
	unharmed("live tail, opened")
	b.button(".log .open .detail", "Context")
	b.await("the context", `document.querySelectorAll('dialog .around li').length > 5`)
	unharmed("context")
	b.click("dialog button[aria-label=Close]")

	b.screen("dead")
	b.await("all groups", fmt.Sprintf(`(n => n > 0 && [...document.querySelectorAll('.dead tr.group td.num:nth-child(3)')].reduce((sum, e) => sum + Number(e.textContent), 0) === %d)(document.querySelectorAll('.dead tr.group').length)`, len(hostile)))
	b.click(".dead tr.group .disclose")
	b.await("its letters", `document.querySelectorAll('.dead tr.letter').length > 0`)
	for letter := range min(4, eval[int](b, `document.querySelectorAll('.dead tr.letter').length`)) {
		eval[bool](b, fmt.Sprintf(`(document.querySelectorAll('.dead tr.letter')[%d].querySelector('button').click(), true)`, letter))
		b.await("the letter", `document.querySelector('dialog pre') !== null`)
		unharmed("a dead letter")
		b.click("dialog button[aria-label=Close]")
	}
	unharmed("dead letters")

	for _, screen := range []string{"overview", "flow", "analyzers", "autoscaler"} {
		b.screen(screen)
		if screen != "analyzers" && screen != "autoscaler" {
			b.await("the listener", `performance.getEntriesByType('resource').some(e => e.name.includes('v1/tail'))`)
			waitFor(t, "hostile records to show", func() bool {
				server.accept(t, corpus)
				return eval[int](b, `document.querySelectorAll('.lines li').length`) > 5
			})
		} else {
			b.await("something to look at", `document.querySelectorAll('main td, main dd').length > 3`)
		}
		for _, width := range []int64{360, 1280} {
			b.size(width, 800)
			b.drawn()
			unharmed(fmt.Sprint(screen, " at ", width))
		}
	}
	b.await("the last errors", `document.querySelector('main') !== null`)
	addsUp(t, "in the end", server.stats(t))
}
