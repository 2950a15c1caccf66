package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestPictures takes the pictures in docs/images of every screen, of a process that has been under load for some minutes. make screenshots runs it.
func TestPictures(t *testing.T) {
	folder := variable("PICTURES")
	if folder == "" {
		t.Skip("make screenshots takes the pictures, in about six minutes")
	}
	dir := t.TempDir()
	server := serveBinary(t, plain(t), "run", "--data", filepath.Join(dir, "data"), "--handler", "sleep", "--sleep-per-record", "4ms", "--slo", "10s",
		"--min-size", "2", "--max-size", "16", "--max-batch-records", "100", "--name", "worker", "--faults", "--split-after", "1", "--max-attempts", "2")
	failures(t, server)
	trace := filepath.Join(dir, "waves.csv")
	if err := os.WriteFile(trace, []byte(waves(1800)), 0o600); err != nil {
		t.Fatal(err)
	}
	begin(t, plain(t), "emit", "--trace", trace, "--batch", "50", "--emitters", "3", "--distributor", server.url)
	waitLong(t, "some minutes of load", 2*warmUp, func() bool { return server.stats(t).Uptime > warmUp.Seconds() })

	b := browse(t, chromedp.Flag("host-resolver-rules", "MAP sluice.example "+strings.TrimPrefix(server.url, "http://")))
	for _, view := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"light", 1280, 820, "light"}, {"dark", 1280, 820, "dark"}, {"360", 360, 740, "light"}} {
		b.size(view.width, view.height)
		b.colours(view.scheme)
		for _, screen := range []string{"overview", "autoscaler", "flow", "tail", "dead", "analyzers"} {
			b.visit("http://sluice.example", screen)
			b.await("something to see", lively[screen])
			pass(warmUp / 100) // a few more seconds for live records and rates
			if screen == "dead" {
				b.click(".dead tr.group .disclose")
				b.await("the letters", `document.querySelectorAll('.dead tr.letter').length > 0`)
			}
			b.picture(filepath.Join(folder, fmt.Sprintf("dashboard-%s-%s.png", screen, view.name)), chromedp.CaptureScreenshot())
		}
		if view.name == "light" {
			b.visit("http://sluice.example", "autoscaler")
			b.await("the settings", `document.querySelector('#set-slo_seconds').value === '10'`)
			b.enter("#set-slo_seconds", "4")
			b.button(".settings", "Preview")
			b.await("the preview and the league", `document.querySelectorAll('.preview path.line').length === 2 && document.querySelectorAll('.league tbody tr').length > 2`)
			b.picture(filepath.Join(folder, "dashboard-preview-light.png"), chromedp.Screenshot(chromedp.CSS(".autoscaler > .cards:last-child")))
		}
	}
}

// picture takes one and writes it to a file.
func (b *tab) picture(path string, take chromedp.Action[[]byte]) {
	b.t.Helper()
	picture, err := chromedp.Run(b.ctx, take)
	if err != nil {
		b.t.Fatal(err)
	}
	small, err := withPalette(picture)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, small, 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("%s: %d kB", path, len(small)/1000)
}

// warmUp is how long the load runs before the first picture: so long that the shortest chart is full.
const warmUp = 5 * time.Minute

// lively says when a screen shows what it is there for.
var lively = map[string]string{
	"overview":   `document.querySelectorAll('.lines li').length >= 7 && document.querySelectorAll('.split li').length > 2`,
	"autoscaler": `document.querySelectorAll('.mark').length > 2 && document.querySelectorAll('.league tbody tr').length > 2`,
	"flow":       `document.querySelectorAll('.lines li').length > 10`,
	"tail":       `document.querySelectorAll('.log li').length > 30`,
	"dead":       `document.querySelectorAll('.dead tr.group').length > 2`,
	"analyzers":  `document.querySelectorAll('.pool tbody tr').length > 1`,
}

// waves is a trace that comes and goes, with a burst now and then.
func waves(seconds int) string {
	var b strings.Builder
	b.WriteString("second,records\n")
	for s := range seconds {
		x := float64(s)
		n := 1100 + 750*math.Sin(x/38) + 160*math.Sin(x/7) + 60*math.Sin(x/2.3)
		if s%170 > 140 && s%170 < 152 {
			n += 1500
		}
		fmt.Fprintf(&b, "%d,%.0f\n", s, max(n, 80))
	}
	return b.String()
}

// failures makes dead letters of several kinds: an analyzer outside of the process gives up on some records, and one inside panics.
func failures(t *testing.T, server *process) {
	t.Helper()
	server.force(t, 0)
	waitFor(t, "the pool to be empty", func() bool { st := server.stats(t); return st.Pool.Size+st.Pool.Draining == 0 })
	reasons := []string{`parse amount "12,5O": invalid character 'O'`, `no such customer 8812`, `parse amount "7.99 EUR": unexpected text after the number`, `no such customer 40118`,
		`no such customer 517`, `geo lookup: no answer within 2s`, `parse amount "1e999": out of range`}
	for _, reason := range reasons {
		server.accept(t, fmt.Sprintf(`{"severity":"ERROR","service":"billing","body":"invoice refused","attributes":{"why":%q}}`+"\n", reason))
		var work struct {
			Leases []struct{ Token string }
		}
		ask(t, "POST", server.url+"/v1/leases", `{"analyzer":"enricher-1","max_batches":1,"wait_seconds":5}`).decode(t, &work)
		for _, l := range work.Leases {
			if r := ask(t, "POST", server.url+"/v1/leases/"+l.Token+"/ack", fmt.Sprintf(`{"failed":[{"record":0,"reason":%q,"discard":true}]}`, reason)); r.status != 200 {
				t.Fatalf("ack: %s", r)
			}
		}
	}
	server.accept(t, `{"severity":"FATAL","service":"checkout","body":"assignment to entry in nil map","attributes":{"sluice.fault":"panic"}}`+"\n")
	ask(t, "POST", server.url+"/v1/autoscaler/resume", "")
	waitFor(t, "dead letters", func() bool { return server.stats(t).Dead == int64(len(reasons))+1 })
}

// withPalette writes a picture with 256 colours at most, each pixel as near to what it was as that allows.
func withPalette(picture []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	counts := map[color.RGBA]int{}
	bounds := full.Bounds()
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(full.At(x, y)).(color.RGBA) }
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[at(x, y)]++
		}
	}
	var colours []color.RGBA
	for c := range counts {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int {
		if d := counts[b] - counts[a]; d != 0 {
			return d
		}
		return int(a.R)<<16 + int(a.G)<<8 + int(a.B) - int(b.R)<<16 - int(b.G)<<8 - int(b.B)
	})
	// The frequent ones first, but none that is nearly there already: so the greys of smooth letters leave room for a red that is rare.
	var palette color.Palette
	for apart := 2; palette == nil; apart++ {
		palette = color.Palette{}
		for _, c := range colours {
			if len(palette) == 0 || distance(c, palette[palette.Index(c)].(color.RGBA)) > apart*apart {
				palette = append(palette, c)
			}
			if len(palette) > 256 {
				palette = nil
				break
			}
		}
	}
	nearest := map[color.RGBA]uint8{}
	for _, c := range colours {
		nearest[c] = uint8(palette.Index(c))
	}
	small := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			small.SetColorIndex(x, y, nearest[at(x, y)])
		}
	}
	var out bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestCompression}
	err = e.Encode(&out, small)
	return out.Bytes(), err
}

func distance(a, b color.RGBA) int {
	r, g, bl := int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B)
	return r*r + g*g + bl*bl
}
