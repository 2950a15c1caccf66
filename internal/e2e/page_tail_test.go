package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/sluicehq/sluice/internal/words"
)

// point moves the pointer.
func (b *tab) point(x, y float64) {
	b.t.Helper()
	b.do("point", chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y))
}

// hash is what the address says behind the page.
func (b *tab) hash() string {
	b.t.Helper()
	return eval[string](b, `decodeURIComponent(location.hash)`)
}

// rows waits until the tail has exactly these records.
func (b *tab) rows(bodies ...string) {
	b.t.Helper()
	want, _ := json.Marshal(bodies)
	b.await(fmt.Sprintf("the rows %s", want), fmt.Sprintf(`JSON.stringify([...document.querySelectorAll('.log > li > .body')].map(e => e.textContent)) === %q`, want))
}

const passed = `{"timestamp":"2024-01-02T03:04:05.678Z","severity":"ERROR","service":"checkout","status":500,"body":"card: Time-out"}
{"timestamp":"2024-01-02T03:04:06Z","severity":"info","service":"checkout","status":200,"body":"card: paid"}
{"timestamp":"2024-01-02T03:04:07Z","level":"warning","service":"cart","status":500,"body":"slow"}
{"timestamp":"2024-01-02T03:04:08Z","service":"cart","body":"timeout of nothing"}
`

// What has passed is there when the tail is opened, and a filter searches it; the address has all that is shown.
func TestTailOfWhatHasPassed(t *testing.T) {
	t.Parallel()
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir(), "--handler", "discard")
	server.accept(t, passed)
	b := browse(t)
	if _, err := chromedp.Call(b.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Kolkata"}); err != nil {
		t.Fatal(err)
	}
	b.visit(server.url, "tail")
	all := []string{"card: Time-out", "card: paid", "slow", "timeout of nothing"}
	b.rows(all...)

	b.run(t, "a filter searches fields, levels and text", func(t *testing.T) {
		for filter, want := range map[string][]string{
			"severity:error service:checkout status:500": {"card: Time-out"},
			"severity:>=warn":            {"card: Time-out", "slow"},
			"/time.?out/i":               {"card: Time-out", "timeout of nothing"},
			"status:>=300 -service:cart": {"card: Time-out"},
		} {
			b.enter("#tail-q", filter)
			b.rows(want...)
			if hash := b.hash(); !strings.HasPrefix(hash, "#/tail?q=") {
				t.Errorf("the address is %s with the filter %s", hash, filter)
			}
		}
	})
	b.run(t, "a bad filter is refused beside its field", func(t *testing.T) {
		b.excuse("400 (Bad Request)")
		b.enter("#tail-q", "/(/")
		b.await("the reason", `document.querySelector('#tail-problem').innerText.includes('is no regular expression: missing closing )') && document.querySelector('#tail-q').ariaInvalid === 'true'`)
		if n := eval[int](b, `document.querySelectorAll('.log > li').length`); n == 0 {
			t.Error("the rows went away with it")
		}
		b.enter("#tail-q", "card")
		b.rows("card: Time-out", "card: paid")
		b.await("the reason to go", `document.querySelector('#tail-problem').innerText === '' && document.querySelector('#tail-q').ariaInvalid === null`)
		b.enter("#tail-q", "")
		b.rows(all...)
	})
	b.run(t, "a level alone, and back", func(t *testing.T) {
		b.click(`.chip[data-level="warn"] + .only`)
		b.rows("slow")
		if hash := b.hash(); hash != "#/tail?level=warn" {
			t.Errorf("the address is %s", hash)
		}
		eval[bool](b, `(history.back(), true)`)
		b.rows(all...)
		b.click(`.chip[data-level="other"]`)
		b.rows(all[:3]...)
		eval[bool](b, `(document.querySelector('.chip[data-level="info"]').dispatchEvent(new MouseEvent('dblclick', {bubbles: true})), true)`)
		b.rows("card: paid")
		b.click(`.chip[data-level="info"] + .only`)
		b.rows(all...)
	})
	b.run(t, "an open record is in the address, over a reload and back", func(t *testing.T) {
		b.enter("#tail-q", "service:checkout")
		b.rows("card: Time-out", "card: paid")
		b.click(".log > li:first-child")
		b.await("the record", `document.querySelector('.log > .open .detail pre') !== null && location.hash.includes('open=')`)
		link := b.hash()
		b.await("its address after a reload", `(location.reload(), true)`)
		b.await("the record again", `document.querySelector('.log > .open .detail pre') && document.querySelector('.log > .open > .body').textContent === 'card: Time-out' && document.querySelectorAll('.log > li').length === 2`)
		if hash := b.hash(); hash != link {
			t.Errorf("the address was %s and is %s after a reload", link, hash)
		}
		eval[bool](b, `(history.back(), true)`)
		b.await("it to close", `document.querySelector('.log > .open') === null && !location.hash.includes('open=')`)
		b.rows("card: Time-out", "card: paid")
		b.screen("overview")
		b.screen("tail") // a link to a screen leaves it as it was
		b.rows("card: Time-out", "card: paid")
		if hash := b.hash(); hash != "#/tail?q=service:checkout" {
			t.Errorf("the address is %s", hash)
		}
	})
	b.run(t, "a shared link shows a record that the filter hides now", func(t *testing.T) {
		id := eval[float64](b, `document.querySelector('.log > li:last-child').record.id`)
		b.do("visit", navigate("about:blank"), navigate(fmt.Sprintf("%s/#/tail?q=service:cart&open=%.0f", server.url, id)))
		b.await("the record among the others", `document.querySelector('.log > .open > .body') && document.querySelector('.log > .open > .body').textContent === 'card: paid' && document.querySelectorAll('.log > li').length === 3`)
	})
	b.run(t, "times name their zone", func(t *testing.T) {
		b.visit(server.url, "tail")
		b.rows(all...)
		time := `document.querySelector('.log > li > time')`
		if at, zone := eval[string](b, time+`.textContent`), b.text("#zone"); at != "08:34:05.678" || zone != "UTC+5:30" {
			t.Errorf("in India it was %s %s, want 08:34:05.678 UTC+5:30", at, zone)
		}
		b.click("#zone")
		b.await("UTC", time+`.textContent === '03:04:05.678' && document.querySelector('#zone').innerText === 'UTC'`)
		if full := eval[string](b, time+`.title`); full != "2024-01-02 03:04:05.678 UTC" {
			t.Errorf("all of the time is %q", full)
		}
		b.await("the status to name it", `document.querySelector('.tail .status').innerText.includes('times in UTC')`)
	})
	b.run(t, "the range of charts is in the address", func(t *testing.T) {
		b.screen("overview")
		b.button(".ranges", "1 h")
		b.await("the address", `location.hash === '#/overview?range=3600'`)
		b.await("it after a reload", `(location.reload(), true)`)
		b.await("the range", `[...document.querySelectorAll('.ranges button')].some(e => e.textContent === '1 h' && e.getAttribute('aria-pressed') === 'true')`)
	})
}

// Under load a record can be pointed at, and clicked: nothing moves under the pointer.
func TestTailUnderLoad(t *testing.T) {
	t.Parallel()
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir(), "--handler", "discard")
	begin(t, plain(t), "emit", "--profile", "constant:2000", "--batch", "50", "--server", server.url)
	b := browse(t)
	b.visit(server.url, "tail")
	b.await("records", `document.querySelectorAll('.log > li').length > 100`)
	newest := `Number(document.querySelector('.log > li:last-child').dataset.id)`
	first := eval[float64](b, newest)
	b.await("it to follow", fmt.Sprintf(`%s > %.0f`, newest, first))

	box := eval[[]float64](b, `(r => [r.left + r.width / 2, r.bottom - 60])(document.querySelector('.log').getBoundingClientRect())`)
	under := fmt.Sprintf(`document.elementFromPoint(%f, %f).closest('.log > li').dataset.id`, box[0], box[1])
	b.point(box[0], box[1])
	b.await("it to hold still", `document.querySelector('.tail .status').innerText.includes('holding still under the pointer')`)
	before := eval[string](b, under)
	b.await("more records, counted", `parseInt(document.querySelector('.fresh').innerText.replace(/,/g, '')) > 100`)
	if after := eval[string](b, under); after != before {
		t.Errorf("record %s was under the pointer, and now it is %s", before, after)
	}
	b.do("click", chromedp.MouseClickXY(box[0], box[1]))
	b.await("the record that was clicked", fmt.Sprintf(`document.querySelector('.log > .open').dataset.id === %q`, before))
	b.point(5, 5)
	b.await("it to hold while it is open", `document.querySelector('.tail .status').innerText.includes('while you read')`)

	// Whoever goes on reading the newest gets them, and selecting text holds as well.
	b.click(".logbox .fresh")
	b.point(5, 5)
	b.await("the newest", `document.querySelector('.log > .open') === null && document.querySelector('.tail .status').innerText.startsWith('following')`)
	eval[bool](b, `(getSelection().selectAllChildren(document.querySelector('.log > li:last-child > .body')), true)`)
	b.await("it to hold for the selection", `document.querySelector('.tail .status').innerText.includes('while you read')`)
	eval[bool](b, `(getSelection().removeAllRanges(), true)`)
	b.await("it to follow again", `document.querySelector('.tail .status').innerText.startsWith('following')`)
}

// On a narrow screen every column of the analyzers is there.
func TestAnalyzersOnANarrowScreen(t *testing.T) {
	t.Parallel()
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir(), "--handler", "count", "--name", strings.Repeat("long-name-", 4), "--min-size", "3")
	server.accept(t, passed)
	server.settled(t)
	b := browse(t)
	b.size(360, 800)
	b.visit(server.url, "analyzers")
	b.await("rows", `document.querySelectorAll('.pool tbody tr').length >= 3`)
	for _, fault := range eval[[]string](b, `(() => {
		const bad = [];
		for (const e of document.querySelectorAll('.pool tbody tr:first-child > *, .pool thead button')) {
			const r = e.getBoundingClientRect();
			if (r.width === 0 && !e.classList.contains('error')) bad.push('not shown: ' + e.className + ' ' + e.textContent);
			if (r.right > innerWidth || r.left < 0) bad.push('beyond the edge: ' + e.textContent);
		}
		if (document.documentElement.scrollWidth > innerWidth) bad.push('the page is too wide');
		return bad;
	})()`) {
		t.Error(fault)
	}
}

// The page and the command line write the same number in the same way.
func TestUnitsAreThoseOfTheCommandLine(t *testing.T) {
	t.Parallel()
	server := serveBinary(t, plain(t), "run", "--data", t.TempDir(), "--handler", "discard")
	b := browse(t)
	b.visit(server.url, "overview")
	var values []float64
	for x := 0.00013; x < 1e12; x *= 1.37 {
		values = append(values, x, float64(int64(x)))
	}
	values = append(values, 0, 59.7, 60, 90, 3599.7, 3600, 172_799, 172_800, 1023, 1023.6, 1024, 1<<20-1, 1<<20, 999.6, 99.96, 1, 0.0016, 0.175, 0.9990001, 0.9995)
	given, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	written := eval[map[string][]string](b, fmt.Sprintf(`(async () => {
		const f = await import('./ui/format.js');
		const values = %s;
		return Object.fromEntries(['short', 'rate', 'bytes', 'duration', 'count', 'percent'].map(name => [name, values.map(v => f[name](v))]));
	})()`, given))
	for i, x := range values {
		want := map[string]string{"short": words.Short(x), "rate": words.Rate(x), "bytes": words.Bytes(x)}
		if x <= 1e6 {
			want["percent"] = words.Percent(x)
		}
		if x < 1e9 {
			want["duration"] = words.Seconds(x)
		}
		if x == float64(int64(x)) {
			want["count"] = words.Thousands(int64(x))
		}
		for name, text := range want {
			if got := written[name][i]; got != text {
				t.Errorf("%s of %v is %q on the page and %q on the command line", name, x, got, text)
			}
		}
	}
}
