package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// tab is a page in a browser of its own. Everything the page complains about fails the test.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string // of the page that was visited last, without what follows #

	mu      sync.Mutex
	console []string
	excused []string // parts of messages that are no fault, such as of a server that a test has stopped
}

// browserPath finds a browser. scripts/setup installs one where it can.
func browserPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("there is no chromium on this machine; scripts/setup installs it where apt-get has it")
	return ""
}

// browse starts a browser with a profile of its own.
func browse(t *testing.T, more ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	profile := t.TempDir() // first, so that it is deleted after the browser has ended
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(browserPath(t)), chromedp.UserDataDir(profile), chromedp.Flag("headless", "new"), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1280, 900),
		chromedp.WSURLReadTimeout(patience),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
	ctx, closed := chromedp.NewContext(alloc)
	b := &tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		b.complaints()
		closed()
		stop()
		// Its helpers may still write for a moment.
		for end := time.Now().Add(patience); os.RemoveAll(profile) != nil && time.Now().Before(end); pass(20 * time.Millisecond) {
		}
	})
	if err := chromedp.Do(ctx); err != nil { // it lives as long as ctx
		t.Fatalf("start %s: %v", browserPath(t), err)
	}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning || m.IsException() {
				b.mu.Lock()
				b.console = append(b.console, fmt.Sprintf("%s (%s:%d)", m, m.URL, m.Line))
				b.mu.Unlock()
			}
		}
	}()
	return b
}

// complaints fails the test for what the page wrote to the console.
func (b *tab) complaints() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.console {
		if !slices.ContainsFunc(b.excused, func(part string) bool { return strings.Contains(m, part) }) {
			b.t.Errorf("the page complains: %s", m)
		}
	}
	b.console = nil
}

// excuse names a part of messages that a test expects.
func (b *tab) excuse(part string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.excused = append(b.excused, part)
}

func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// size makes the window so large, in pixels of the page.
func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.do("size", chromedp.EmulateViewport(width, height))
}

// drawn waits until the page has been laid out and drawn as it is now.
func (b *tab) drawn() {
	b.t.Helper()
	b.await("the layout", `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
}

// colours says what the system prefers: light or dark.
func (b *tab) colours(scheme string) {
	b.t.Helper()
	p := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, p); err != nil {
		b.t.Fatal(err)
	}
}

// before runs a script in every page before its own.
func (b *tab) before(script string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
		b.t.Fatal(err)
	}
}

// visit loads a page anew and waits until it shows a screen with numbers.
func (b *tab) visit(url, screen string) {
	b.t.Helper()
	b.url = strings.TrimSuffix(url, "/") + "/"
	b.do("visit", chromedp.Navigate("about:blank"), chromedp.Navigate(b.url+"#/"+screen))
	b.await("the page to be live", `document.body.dataset.conn === 'live'`)
	b.await("the screen", `document.querySelector('main h1') !== null`)
}

// screen goes to another screen of the page, as a click does.
func (b *tab) screen(name string) {
	b.t.Helper()
	b.click(`nav a[href="#/` + name + `"]`)
	b.await("the screen "+name, fmt.Sprintf(`document.body.dataset.screen === %q && document.querySelector('main h1') !== null`, name))
}

// await waits until an expression is true on the page.
func (b *tab) await(what, expression string) {
	b.t.Helper()
	defer func() {
		if b.t.Failed() {
			b.t.Logf("the page then said: %.3000s", b.text("body"))
		}
	}()
	// While the page is being loaded anew there may be nothing to ask; that is not an answer.
	waitFor(b.t, what, func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(async () => { try { return !!(await (`+expression+`)) } catch { return false } })()`, chromedp.EvalAwaitPromise))
		return err == nil && yes
	})
}

// run is a part of a test in the same browser.
func (b *tab) run(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	outer := b.t
	defer func() { b.t = outer }()
	t.Run(name, func(t *testing.T) {
		b.t = t
		f(t)
	})
}

// click clicks on the first element that a selector finds, where it is on the page.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.await("something to click at "+selector, fmt.Sprintf(`(e => e && !e.disabled && e.getClientRects().length)(document.querySelector(%q))`, selector))
	eval[bool](b, fmt.Sprintf(`(document.querySelector(%q).scrollIntoView({block: 'center'}), true)`, selector))
	b.do("click on "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// button clicks on the button with a name, inside of what a selector finds.
func (b *tab) button(within, name string) {
	b.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll(%q)].flatMap(e => [...e.querySelectorAll('button')]).find(e => e.textContent.trim() === %q && !e.hidden)`, within, name)
	b.await("a button "+name, fmt.Sprintf(`(e => e && !e.disabled)(%s)`, find))
	eval[bool](b, fmt.Sprintf(`(document.querySelectorAll('[data-e2e]').forEach(e => e.removeAttribute('data-e2e')), (%s).setAttribute('data-e2e', ''), true)`, find))
	b.click("[data-e2e]")
}

// enter types into a field in place of what is there.
func (b *tab) enter(selector, value string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`(e => { e.focus(); e.value = %q; e.dispatchEvent(new Event('input', {bubbles: true})); e.dispatchEvent(new Event('change', {bubbles: true})); return true })(document.querySelector(%q))`, value, selector))
}

// text is what people read in an element; empty where there is none.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`(e => e ? e.innerText : '')(document.querySelector(%q))`, selector))
}

// eval evaluates an expression on the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("evaluate %.300s: %v", expression, err)
	}
	return v
}

func navigate(url string) chromedp.Action[chromedp.Void] { return chromedp.Navigate(url) }
