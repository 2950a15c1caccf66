package chart

import (
	"image/color"
	"io"
	"math"
)

// Chart is a picture: panels that share an x axis. The zero values of its sizes are 1200 by 800 pixels.
type Chart struct {
	Title, Subtitle string
	Width, Height   int // pixels
	X               Axis
	Panels          []Panel  // from top to bottom
	Legend          []Legend // under the title
}

// Axis is what runs along an edge.
type Axis struct {
	Label    string // with its unit
	Min, Max float64
	Ticks    []Tick // nil means round numbers
}

// Tick is a mark on an axis.
type Tick struct {
	At    float64
	Label string
}

// Panel is one coordinate system.
type Panel struct {
	Height float64 // its share of the room, relative to the others; 0 means 1
	Beside bool    // stands right of the panel before it, instead of below
	Y      Axis    // Max 0 means that the data say it
	Series []Series
	Lines  []Line
}

// Series is points joined by a line, in order of x.
type Series struct {
	Color  color.RGBA
	Points []Point
	Style  Style
	Width  float64  // of the line in pixels; 0 means 1.5
	Labels []string // beside the points, for Dots; may be shorter than they are
}

// Point is a place in the coordinates of a panel.
type Point struct{ X, Y float64 }

// Style is how points become something to see.
type Style int

// Styles of a [Series].
const (
	Joined Style = iota // a straight line from each point to the next
	Steps               // each value holds until the next point
	Area                // as steps, filled down to 0
	Dots                // a disc for each point
)

// Line is a dashed line across a panel with a word above its end, such as a limit.
type Line struct {
	At    float64
	Label string
}

// Legend names a colour.
type Legend struct {
	Color color.RGBA
	Text  string
	Dot   bool // for Dots; otherwise a line
}

// Palette are colours that most people can tell apart, the strongest first.
var Palette = []color.RGBA{
	rgb(0x0072b2), rgb(0xd55e00), rgb(0x009e73), rgb(0xcc79a7), rgb(0xe69f00),
	rgb(0x56b4e9), rgb(0x7f3c8d), rgb(0x8c6d31), rgb(0x7f7f7f), rgb(0xa6a61f),
}

// Greys for what is not compared.
var (
	Grey  = rgb(0x6b7a90)
	Light = rgb(0xc9d1dc)
)

var (
	ink     = rgb(0x1f2329)
	faint   = rgb(0x5b6470)
	grid    = rgb(0xe4e7eb)
	paper   = rgb(0xffffff)
	limited = rgb(0xb3261e)
)

func rgb(hex uint32) color.RGBA {
	return color.RGBA{uint8(hex >> 16), uint8(hex >> 8), uint8(hex), 0xff}
}

// canvas is what SVG and PNG have in common. Coordinates are pixels from the upper left corner.
type canvas interface {
	polygon(points []Point, fill color.RGBA)
	line(points []Point, stroke color.RGBA, width float64, dash float64)
	disc(center Point, radius float64, fill color.RGBA)
	text(at Point, size float64, anchor anchor, ink color.RGBA, text string)
	width(size float64, text string) float64
}

// anchor is the part of a text that stands at its point.
type anchor int

const (
	left anchor = iota
	middle
	right
)

// WriteSVG writes the picture as SVG.
func (c Chart) WriteSVG(w io.Writer) error {
	l, err := newLetters()
	if err != nil {
		return err
	}
	c = c.withDefaults()
	s := newSVG(c, l)
	c.draw(s)
	_, err = w.Write(s.bytes())
	return err
}

// WritePNG writes the picture as PNG.
func (c Chart) WritePNG(w io.Writer) error {
	l, err := newLetters()
	if err != nil {
		return err
	}
	c = c.withDefaults()
	p := newPNG(c, l)
	c.draw(p)
	return p.encode(w)
}

func (c Chart) withDefaults() Chart {
	if c.Width == 0 {
		c.Width = 1200
	}
	if c.Height == 0 {
		c.Height = 800
	}
	if !(c.X.Max > c.X.Min) {
		c.X.Max = c.X.Min + 1
	}
	return c
}

// Measures of the layout, in pixels.
const (
	margin     = 24
	axisWidth  = 62 // for the numbers at the left
	titleSize  = 19
	textSize   = 13.5
	lineHeight = 20
	labelRoom  = 26 // above each panel
	panelGap   = 16
	bottomRoom = 52 // for the x axis
)

func (c Chart) draw(v canvas) {
	w, h := float64(c.Width), float64(c.Height)
	v.polygon([]Point{{0, 0}, {w, 0}, {w, h}, {0, h}}, paper)
	y := float64(margin + titleSize - 4)
	v.text(Point{margin, y}, titleSize, left, ink, c.Title)
	if c.Subtitle != "" {
		y += lineHeight + 3
		v.text(Point{margin, y}, textSize, left, faint, c.Subtitle)
	}
	y = c.drawLegend(v, y+lineHeight+4) + 10

	rows := c.rows()
	shares := 0.0
	for _, row := range rows {
		shares += row[0].share()
	}
	room := h - y - bottomRoom - margin/2 - float64(len(rows))*labelRoom - float64(len(rows)-1)*panelGap
	for i, row := range rows {
		y += labelRoom
		height := room * row[0].share() / shares
		width := (w - 2*margin) / float64(len(row))
		for column, p := range row {
			x := margin + width*float64(column) + axisWidth
			b := box{x, y, width - axisWidth, height, c.X.Min, c.X.Max, p.Y.Min, p.Top()}
			c.drawPanel(v, p, b, i == len(rows)-1)
		}
		y += height + panelGap
	}
}

// rows are the panels that stand beside each other. The first of each gives the height.
func (c Chart) rows() [][]Panel {
	var rows [][]Panel
	for _, p := range c.Panels {
		if n := len(rows); p.Beside && n > 0 {
			rows[n-1] = append(rows[n-1], p)
		} else {
			rows = append(rows, []Panel{p})
		}
	}
	return rows
}

// drawLegend flows the names over as many lines as they need, and returns where the next thing may begin.
func (c Chart) drawLegend(v canvas, y float64) float64 {
	x := float64(margin)
	for _, l := range c.Legend {
		need := 30 + v.width(textSize, l.Text) + 26
		if x+need > float64(c.Width)-margin+26 && x > margin {
			x, y = margin, y+lineHeight
		}
		if l.Dot {
			v.disc(Point{x + 11, y - 5}, 5, l.Color)
		} else {
			v.line([]Point{{x, y - 5}, {x + 22, y - 5}}, l.Color, 4, 0)
		}
		v.text(Point{x + 30, y}, textSize, left, ink, l.Text)
		x += need
	}
	return y
}

func (p Panel) share() float64 {
	if p.Height == 0 {
		return 1
	}
	return p.Height
}

// Top is the upper end of the y axis: a round number above all points, unless Y says it.
func (p Panel) Top() float64 {
	if p.Y.Max > p.Y.Min {
		return p.Y.Max
	}
	most := p.Y.Min
	for _, s := range p.Series {
		for _, q := range s.Points {
			most = max(most, q.Y)
		}
	}
	for _, l := range p.Lines {
		most = max(most, l.At)
	}
	if most == p.Y.Min {
		return p.Y.Min + 1
	}
	step := roundStep((most - p.Y.Min) / yTicks)
	return p.Y.Min + math.Ceil((most*1.04-p.Y.Min)/step)*step
}

// box is where a panel is, and its coordinates.
type box struct {
	x, y, w, h             float64
	minX, maxX, minY, maxY float64
}

// place turns coordinates into pixels. What is beyond the panel stays at its edge.
func (b box) place(p Point) Point {
	share := func(v, from, to float64) float64 { return min(1, max(0, (v-from)/(to-from))) }
	return Point{b.x + b.w*share(p.X, b.minX, b.maxX), b.y + b.h*(1-share(p.Y, b.minY, b.maxY))}
}

func (c Chart) drawPanel(v canvas, p Panel, b box, last bool) {
	v.text(Point{b.x - axisWidth + 2, b.y - 10}, textSize, left, ink, p.Y.Label)
	for _, t := range p.Y.ticks(b.minY, b.maxY, min(yTicks, max(1, int(b.h/24)))) {
		at := b.place(Point{b.minX, t.At})
		v.line([]Point{at, {b.x + b.w, at.Y}}, grid, 1, 0)
		v.text(Point{b.x - 8, at.Y + 4.5}, textSize-1, right, faint, t.Label)
	}
	end := 0.0
	for _, t := range c.X.ticks(b.minX, b.maxX, xTicks) {
		at := b.place(Point{t.At, b.minY})
		v.line([]Point{{at.X, b.y}, {at.X, b.y + b.h}}, grid, 1, 0)
		if half := v.width(textSize-1, t.Label) / 2; last && at.X-half > end {
			v.line([]Point{{at.X, b.y + b.h}, {at.X, b.y + b.h + 5}}, faint, 1, 0)
			v.text(Point{at.X, b.y + b.h + 20}, textSize-1, middle, faint, t.Label)
			end = at.X + half + 10
		}
	}
	for i := len(p.Series) - 1; i >= 0; i-- { // the first one on top
		p.Series[i].draw(v, b)
	}
	v.line([]Point{{b.x, b.y}, {b.x, b.y + b.h}, {b.x + b.w, b.y + b.h}}, faint, 1, 0)
	for _, l := range p.Lines {
		at := b.place(Point{b.maxX, l.At})
		v.line([]Point{{b.x, at.Y}, at}, limited, 1.5, 6)
		width := v.width(textSize, l.Label)
		v.polygon([]Point{{at.X - width - 8, at.Y - 19}, {at.X - 1, at.Y - 19}, {at.X - 1, at.Y - 2}, {at.X - width - 8, at.Y - 2}}, paper)
		v.text(Point{at.X - 4, at.Y - 5}, textSize, right, limited, l.Label)
	}
	if last {
		v.text(Point{b.x + b.w/2, b.y + b.h + 41}, textSize, middle, ink, c.X.Label)
	}
}

func (s Series) draw(v canvas, b box) {
	if len(s.Points) == 0 {
		return
	}
	var points []Point
	for i, p := range s.Points {
		at := b.place(p)
		if i > 0 && (s.Style == Steps || s.Style == Area) {
			points = append(points, Point{at.X, points[len(points)-1].Y})
		}
		points = append(points, at)
	}
	width := s.Width
	if width == 0 {
		width = 1.5
	}
	switch s.Style {
	case Area:
		bottom := b.y + b.h
		points = append(points, Point{points[len(points)-1].X, bottom}, Point{points[0].X, bottom})
		v.polygon(points, s.Color)
	case Dots:
		for i, p := range points {
			v.disc(p, 2*width, s.Color)
			if i < len(s.Labels) && s.Labels[i] != "" {
				s.label(v, b, p, s.Labels[i])
			}
		}
	default:
		v.line(points, s.Color, width, 0)
	}
}

// label stands right of its point, or left of it where the panel ends.
func (s Series) label(v canvas, b box, at Point, text string) {
	const away = 9
	if at.X+away+v.width(textSize-1, text) > b.x+b.w {
		v.text(Point{at.X - away, at.Y - 6}, textSize-1, right, ink, text)
	} else {
		v.text(Point{at.X + away, at.Y - 6}, textSize-1, left, ink, text)
	}
}
