package chart

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"math"
)

// svg is a canvas that writes SVG.
type svg struct {
	b       bytes.Buffer
	letters *letters
}

func newSVG(c Chart, l *letters) *svg {
	s := &svg{letters: l}
	fmt.Fprintf(&s.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="Go, 'Helvetica Neue', Arial, sans-serif">
<title>%s</title>
`, c.Width, c.Height, c.Width, c.Height, html.EscapeString(c.Title))
	return s
}

func (s *svg) bytes() []byte {
	s.b.WriteString("</svg>\n")
	return s.b.Bytes()
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// path writes points with a tenth of a pixel, leaving out those on the way of a straight stretch.
func (s *svg) path(points []Point) {
	command, kept := "M", Point{math.NaN(), math.NaN()}
	for i, p := range points {
		if i > 0 && i < len(points)-1 && between(kept, p, points[i+1]) {
			continue
		}
		if p != kept {
			fmt.Fprintf(&s.b, "%s%.1f %.1f", command, p.X, p.Y)
			command, kept = "L", p
		}
	}
}

// between says whether b lies on an upright or level line from a to c.
func between(a, b, c Point) bool {
	inside := func(a, b, c float64) bool { return a <= b && b <= c || a >= b && b >= c }
	return a.X == b.X && b.X == c.X && inside(a.Y, b.Y, c.Y) || a.Y == b.Y && b.Y == c.Y && inside(a.X, b.X, c.X)
}

func (s *svg) polygon(points []Point, fill color.RGBA) {
	fmt.Fprintf(&s.b, `<path fill="%s" d="`, hex(fill))
	s.path(points)
	s.b.WriteString("Z\"/>\n")
}

func (s *svg) line(points []Point, stroke color.RGBA, width, dash float64) {
	dashes := ""
	if dash > 0 {
		dashes = fmt.Sprintf(` stroke-dasharray="%g"`, dash)
	}
	fmt.Fprintf(&s.b, `<path fill="none" stroke="%s" stroke-width="%g"%s stroke-linejoin="round" d="`, hex(stroke), width, dashes)
	s.path(points)
	s.b.WriteString("\"/>\n")
}

func (s *svg) disc(center Point, radius float64, fill color.RGBA) {
	fmt.Fprintf(&s.b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%g\" fill=\"%s\"/>\n", center.X, center.Y, radius, hex(fill))
}

func (s *svg) text(at Point, size float64, a anchor, ink color.RGBA, text string) {
	fmt.Fprintf(&s.b, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%g\" fill=\"%s\" text-anchor=\"%s\">%s</text>\n",
		at.X, at.Y, size, hex(ink), [...]string{"start", "middle", "end"}[a], html.EscapeString(text))
}

// width is that of the letters in a PNG. A viewer may take another font, which is about as wide.
func (s *svg) width(size float64, text string) float64 { return s.letters.width(size, text) }
