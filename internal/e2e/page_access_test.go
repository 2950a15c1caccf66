package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// With a token file the page asks for a token first, below a base path too, and a page that may only be read steers nothing.
func TestPageAsksForAToken(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef0123456789abcdef"
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("# for tests\n"+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir(), "--token-file", tokens, "--base-path", "/sluice", "--read-only", "--handler", "discard")
	b := browse(t)
	b.excuse("the server responded with a status of 401")
	b.url = server.url + "/sluice/"
	enter := func(token string) {
		b.await("the sign-in", `document.querySelector('#token') !== null`)
		b.enter("#token", token)
		b.click("#go")
	}
	b.do("visit", navigate(b.url+"#/analyzers"))
	enter("not the token at all")
	b.await("the wrong token to be refused", `document.querySelector('#problem').innerText.includes('not good')`)
	enter(token)
	b.await("the page, on the screen that was asked for", `document.body.dataset.conn === 'live' && document.body.dataset.screen === 'analyzers'`)
	if cookies := eval[string](b, `document.cookie`); strings.Contains(cookies, token) {
		t.Errorf("scripts can read the cookie: %s", cookies)
	}
	b.await("the rows", `document.querySelectorAll('.pool tbody tr').length === 2`)
	b.await("nothing to steer with", `document.body.dataset.readonly === 'yes' && [...document.querySelectorAll('.pool td.actions button')].every(e => e.disabled)`)
	b.screen("autoscaler")
	b.await("nothing to steer with", `document.querySelectorAll('.steer button:disabled, .steer input:disabled').length >= 3 && document.querySelector('.settings .primary').disabled`)
	r := ask(t, "POST", server.url+"/sluice/v1/autoscaler/pause", "", "Authorization", "Bearer "+token)
	if r.status != 403 {
		t.Errorf("pause: %s, want 403", r)
	}
	// A token that is taken away leads back to the sign-in, without a click.
	if err := os.WriteFile(tokens, []byte("another-token-of-32-characters-0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.await("the sign-in once the token is gone", `document.querySelector('#token') !== null`)
	enter("another-token-of-32-characters-0")
	b.await("the page again", `document.body.dataset.conn === 'live'`)
	b.click("#signout")
	b.await("the sign-in after signing out", `document.querySelector('#token') !== null`)
}

// The page of a process that has only a part shows that part, and asks for nothing that is elsewhere.
func TestPageOfEachRole(t *testing.T) {
	t.Parallel()
	distributor := serveBinary(t, plain(t), "distributor", "--data", t.TempDir())
	workers := serveBinary(t, plain(t), "analyze", "--distributor", distributor.url, "--handler", "discard")
	distributor.accept(t, lines(500, 100))
	b := browse(t)
	for _, c := range []struct {
		name          string
		server        *process
		screens, says string
		without       string // what is not known there, or has no place
	}{
		{"distributor", distributor, "overview,flow,tail,dead,analyzers", "^2 running", `Why not more|Bounds|out [\d.]+/s ·`},
		{"analyze", workers, "overview,autoscaler,analyzers", "^2 running", `What is in my logs|records in|in \d+/s`},
	} {
		b.run(t, c.name, func(t *testing.T) {
			b.visit(c.server.url, "tail") // which one of them does not have: it shows the overview then
			b.await("its screens", `[...document.querySelectorAll('nav a')].filter(e => !e.hidden).map(e => e.hash.slice(2)).join() === '`+c.screens+`'`)
			for screen := range strings.SplitSeq(c.screens, ",") {
				b.screen(screen)
				b.await("something to look at", `document.querySelector('main').innerText.trim().length > 40`)
			}
			b.screen("overview")
			b.await("its analyzers", `[...document.querySelectorAll('.card .answer')].some(e => new RegExp('`+c.says+`').test(e.innerText))`)
			if text := eval[string](b, `document.querySelector('main').innerText`); regexp.MustCompile(c.without).MatchString(text) {
				t.Errorf("the overview says %q, which is not known here: %s", regexp.MustCompile(c.without).FindString(text), text)
			}
			b.complaints()
		})
	}
}

// A token that may read shows everything and steers nothing; one that may not read does not open the page.
func TestPageOfATokenThatMayRead(t *testing.T) {
	t.Parallel()
	const sender, looker = "sender-0123456789abcdef", "looker-0123456789abcdef"
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte(sender+" ingest\n"+looker+" read\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir(), "--token-file", tokens, "--handler", "discard")
	b := browse(t)
	b.excuse("the server responded with a status of 401")
	b.excuse("the server responded with a status of 403")
	b.url = server.url + "/"
	b.do("visit", navigate(b.url+"#/autoscaler"))
	b.await("the sign-in", `document.querySelector('#token') !== null`)
	b.enter("#token", sender)
	b.click("#go")
	b.await("the sender to be refused", `document.querySelector('#problem').innerText.includes('needs a token with the scope read')`)
	b.enter("#token", looker)
	b.click("#go")
	b.await("the page", `document.body.dataset.conn === 'live' && document.body.dataset.screen === 'autoscaler'`)
	b.await("nothing to steer with", `document.body.dataset.readonly === 'yes' && document.querySelectorAll('.steer button:disabled, .steer input:disabled').length >= 3`)
	b.await("the reason", `[...document.querySelectorAll('.steer button')].every(e => e.title.includes('does not have the scope operate'))`)
	r := ask(t, "POST", server.url+"/v1/autoscaler/pause", "", "Authorization", "Bearer "+looker)
	if r.status != 403 {
		t.Errorf("pause: %s, want 403", r)
	}
}
