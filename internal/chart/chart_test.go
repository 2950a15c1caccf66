package chart_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"slices"
	"testing"

	"github.com/sluicehq/sluice/internal/chart"
)

var blue = chart.Palette[0]

func sample() chart.Chart {
	return chart.Chart{
		Title: "a < b", Subtitle: "small", Width: 400, Height: 480,
		X:      chart.Axis{Label: "time", Max: 7200, Ticks: chart.Seconds(0, 7200)},
		Legend: []chart.Legend{{Color: blue, Text: "one"}, {Color: blue, Text: "dot", Dot: true}},
		Panels: []chart.Panel{{
			Y:      chart.Axis{Label: "records"},
			Series: []chart.Series{{Color: blue, Style: chart.Area, Points: []chart.Point{{X: 0, Y: 10}, {X: 3600, Y: 10}, {X: 7200, Y: 0}}}},
			Lines:  []chart.Line{{At: 20, Label: "limit"}},
		}, {
			Series: []chart.Series{
				{Color: blue, Points: []chart.Point{{X: 0, Y: 0}, {X: 7200, Y: 1}}},
				{Color: blue, Style: chart.Steps, Points: []chart.Point{{X: 0, Y: 1}, {X: 7200, Y: 0}}},
				{Color: blue, Style: chart.Dots, Points: []chart.Point{{X: 7000, Y: 1}}, Labels: []string{"here"}},
				{Color: blue},
			},
		}},
	}
}

func TestSVGIsWellFormedAndSaysWhatItShows(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for d := xml.NewDecoder(bytes.NewReader(b.Bytes())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(xml.CharData); ok && len(bytes.TrimSpace(text)) > 0 {
			texts = append(texts, string(text))
		}
	}
	for _, want := range []string{"a < b", "small", "time", "records", "one", "dot", "limit", "here", "20m", "2h", "20"} {
		if !slices.Contains(texts, want) {
			t.Errorf("no text %q among %q", want, texts)
		}
	}
	var again bytes.Buffer
	sample().WriteSVG(&again)
	if !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Error("the same chart is another picture the second time")
	}
}

// share is the part of the pixels in an area that have the colour.
func share(img image.Image, area image.Rectangle, c color.RGBA) float64 {
	n := 0
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			if r, g, b, _ := img.At(x, y).RGBA(); color.RGBA64Model.Convert(c) == (color.RGBA64{uint16(r), uint16(g), uint16(b), 0xffff}) {
				n++
			}
		}
	}
	return float64(n) / float64(area.Dx()*area.Dy())
}

func TestPNGHasItsSizeAndColours(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WritePNG(&b); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	if img.Bounds() != image.Rect(0, 0, 400, 480) {
		t.Errorf("the picture is %v, want 400 by 480", img.Bounds())
	}
	if s := share(img, img.Bounds(), color.RGBA{0xff, 0xff, 0xff, 0xff}); s < 0.6 {
		t.Errorf("%.0f %% are paper, want most", 100*s)
	}
	// The area is in the lower half of the upper panel, and ends at the right edge.
	if s := share(img, image.Rect(90, 110, 370, 240), blue); s < 0.1 || s > 0.6 {
		t.Errorf("%.0f %% of the upper panel are filled, want some", 100*s)
	}
}

func TestEmptyChart(t *testing.T) {
	for _, write := range []func(chart.Chart, io.Writer) error{chart.Chart.WriteSVG, chart.Chart.WritePNG} {
		var b bytes.Buffer
		if err := write(chart.Chart{Panels: []chart.Panel{{}}}, &b); err != nil || b.Len() == 0 {
			t.Errorf("an empty chart gives %d bytes, error %v", b.Len(), err)
		}
	}
}

func TestSecondsAreCountedAsPeopleDo(t *testing.T) {
	for to, want := range map[float64][]string{
		10:     {"0", "1s", "2s", "3s", "4s", "5s", "6s", "7s", "8s", "9s", "10s"},
		5400:   {"0", "10m", "20m", "30m", "40m", "50m", "1h", "1h10m", "1h20m", "1h30m"},
		604800: {"0", "1d", "2d", "3d", "4d", "5d", "6d", "7d"},
	} {
		var got []string
		for _, tick := range chart.Seconds(0, to) {
			got = append(got, tick.Label)
		}
		if !slices.Equal(got, want) {
			t.Errorf("up to %v: %q, want %q", to, got, want)
		}
	}
}
